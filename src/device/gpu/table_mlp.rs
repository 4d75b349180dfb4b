//! Means of a perceptron's answers over a background, fused: `shaders/table_mlp.wgsl`.
//!
//! A workgroup takes a group and a block of its background through all layers and writes the weighted sums of the
//! answers; blocks are added here, in f64 and in order, so that the size of a dispatch changes nothing.

use std::collections::VecDeque;
use std::ops::Range;

use bytemuck::{bytes_of, cast_slice};

use super::failure::Failure;
use super::grid::grid;
use super::network::GpuNetwork;
use super::session::{IN_FLIGHT, Recorded};
use super::source::Permutation;
use super::uniforms::TableMlpParams;
use crate::device::{MeanSink, Means, MeansForm, MeansReport, check_means};
use crate::plan::{Mixture, Mlp};

/// Background rows of a task.
const BLOCK_ROWS: usize = 256;

/// Widest layer, and most features, whose tile fits in workgroup memory.
const MOST_WIDTH: usize = 64;

/// Tasks of a dispatch, at most: their sums are read back together.
const MOST_TASKS: usize = 1 << 18;

/// Whether the kernel can take this network and these rows: all layers and features fit in a tile, all buffers in a
/// binding, and every number in 32 bits.
pub(super) fn fits(mlp: &Mlp, mixture: &Mixture, binding_bytes: u64) -> bool {
    let widths = mlp.layers.iter().flat_map(|layer| [layer.inputs, layer.outputs]);
    let rows = mixture.instances.len() + mixture.background.len();
    let bytes = 4 * rows.max(mixture.masks.len()) as u64;
    let groups = mixture.coalitions() as u64 * mixture.instance_rows() as u64;
    widths.max().is_some_and(|most| most <= MOST_WIDTH)
        && mixture.features == mlp.layers[0].inputs
        && mixture.player_count <= 32 * mixture.words_per_row
        && bytes <= binding_bytes.min(u64::from(u32::MAX))
        && groups < u64::from(u32::MAX)
}

/// Computes the means of all groups; see [`Network::means`](crate::device::Network::means).
pub(super) async fn run(
    network: &GpuNetwork,
    mlp: &Mlp,
    mixture: &Mixture,
    means: &Means<'_>,
    sink: &mut MeanSink<'_>,
) -> Result<MeansReport, Failure> {
    let gpu = &network.gpu;
    let (mlp, asked) = mlp.asked(means.outputs);
    let outputs = mlp.layers.last().map_or(0, |layer| layer.outputs);
    let mut rows = [&mixture.instances[..], &mixture.background[..]].concat();
    rows.chunks_exact_mut(mixture.features).for_each(|row| mlp.prepare(row));
    let (layers, weights) = packed(&mlp);
    let members: Vec<f32> = means.weights.iter().map(|&weight| weight as f32).collect();
    let contents: [&[u8]; 6] = [
        cast_slice(&rows),
        cast_slice(&mixture.players),
        cast_slice(&mixture.masks),
        cast_slice(&layers),
        cast_slice(&weights),
        cast_slice(&members),
    ];
    let mut buffers = Vec::new();
    for bytes in contents {
        buffers.push(network.upload("table", bytes).await?);
    }

    let permutation = Permutation { shader: "table_mlp", defines: &[] };
    let pipeline = gpu.pipeline(permutation).await?;
    let blocks = means.weights.len().div_ceil(BLOCK_ROWS);
    let groups = mixture.coalitions() * mixture.instance_rows();
    let macs: usize = mlp.layers.iter().map(|layer| layer.inputs * layer.outputs).sum();
    let by_time = gpu.caps.chunk_macs / (macs * BLOCK_ROWS.min(means.weights.len())) as u64;
    let most_tasks = (by_time.max(1) as usize).min(MOST_TASKS).min(groups * blocks).max(1);
    let bytes = (4 * most_tasks * outputs) as u64;
    let (uniforms, output, readbacks) = gpu
        .guarded("table", || {
            let buffer = |size, usage| {
                let usage = usage | wgpu::BufferUsages::COPY_DST;
                let label = Some("table");
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label,
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            };
            let uniforms = buffer(size_of::<TableMlpParams>() as u64, wgpu::BufferUsages::UNIFORM);
            let output = buffer(bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
            let readback = || buffer(bytes, wgpu::BufferUsages::MAP_READ);
            (uniforms, output, [readback(), readback()])
        })
        .await?;
    let bind_group = gpu
        .guarded("table", || {
            let resource = output.as_entire_binding();
            pipeline.bind(&gpu.device, &uniforms, uniforms.size(), resource, buffers.iter())
        })
        .await?;

    let mut sums = vec![0.0; outputs];
    let mut done = Vec::new();
    let mut told = 0;
    // The device computes a dispatch while the host adds up the one before.
    let mut flying: VecDeque<(Range<usize>, usize, wgpu::SubmissionIndex)> = VecDeque::new();
    let (mut next, mut slot) = (0, 0);
    while told < groups {
        if next < groups * blocks && flying.len() < IN_FLIGHT {
            let tasks = next..(next + most_tasks).min(groups * blocks);
            let grid = grid(tasks.len() as u32, gpu.caps.grid_groups);
            let params = TableMlpParams {
                tasks: tasks.len() as u32,
                groups_x: grid[0],
                group: (next / blocks) as u32,
                block: (next % blocks) as u32,
                blocks: blocks as u32,
                instances: mixture.instance_rows() as u32,
                background: mixture.background_rows() as u32,
                features: mixture.features as u32,
                words: mixture.words_per_row as u32,
                layers: mlp.layers.len() as u32,
                softmax: mlp.softmax.map_or(0, |log| 1 + u32::from(log)),
                outputs: outputs as u32,
            };
            let submission = gpu
                .guarded("table", || {
                    gpu.queue.write_buffer(&uniforms, 0, bytes_of(&params));
                    let mut encoder =
                        gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                    {
                        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                        let (pipeline, bind_group) = (&*pipeline, &bind_group);
                        Recorded { pipeline, bind_group, offset: 0, grid, step: None }.record(&mut pass);
                    }
                    let bytes = (4 * tasks.len() * outputs) as u64;
                    encoder.copy_buffer_to_buffer(&output, 0, &readbacks[slot], 0, bytes);
                    gpu.queue.submit([encoder.finish()])
                })
                .await?;
            next = tasks.end;
            flying.push_back((tasks, slot, submission));
            slot = (slot + 1) % IN_FLIGHT;
            continue;
        }
        let Some((tasks, slot, submission)) = flying.pop_front() else { break };
        let bytes = (4 * tasks.len() * outputs) as u64;
        let partial: Vec<f32> = super::readback::read(gpu, &readbacks[slot], bytes, submission).await?;
        done.clear();
        for (task, partial) in tasks.clone().zip(partial.chunks_exact(outputs)) {
            sums.iter_mut().zip(partial).for_each(|(sum, &more)| *sum += f64::from(more));
            if task % blocks + 1 == blocks {
                done.extend(asked.iter().map(|&output| sums[output]));
                sums.fill(0.0);
            }
        }
        let end = tasks.end / blocks;
        if told < end {
            check_means(told, means.outputs, &done)?;
            sink(told..end, &done)?;
            told = end;
        }
    }
    Ok(MeansReport { form: MeansForm::Fused })
}

/// The layers' table and weights as the kernel reads them.
fn packed(mlp: &Mlp) -> (Vec<[u32; 4]>, Vec<f32>) {
    let (mut layers, mut weights) = (Vec::new(), Vec::new());
    for layer in &mlp.layers {
        let quads = layer.outputs.div_ceil(4);
        let (code, low, high) = layer.activation.code();
        layers.push([layer.inputs as u32, quads as u32, (weights.len() / 4) as u32, code]);
        layers.push([low.to_bits(), high.to_bits(), 0, 0]);
        for row in layer.weight.chunks_exact(layer.outputs).chain([&layer.bias[..]]) {
            weights.extend_from_slice(row);
            weights.resize(weights.len() + 4 * quads - row.len(), 0.0);
        }
    }
    (layers, weights)
}
