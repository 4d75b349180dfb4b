//! Means of a perceptron's answers over a background, fused: `shaders/table_mlp.wgsl`.
//!
//! Of the first layer, what a coalition's background rows add is computed once for a chunk of instances, and what an
//! instance adds once for a block of background rows, as on the CPU; a complement that follows its coalition costs a
//! subtraction (`table_units`). A workgroup takes a unit (a coalition or such a pair), a chunk of
//! instances and a block of the background through all layers and writes the weighted sums of the
//! answers; blocks are added here, in f64 and in order, so that the size of a dispatch changes nothing. Nor does an
//! instance's answer depend on those that it shares a chunk with.

use std::collections::VecDeque;
use std::ops::Range;

use bytemuck::{bytes_of, cast_slice};

use super::failure::Failure;
use super::grid::grid;
use super::network::GpuNetwork;
use super::session::{IN_FLIGHT, Recorded};
use super::source::Permutation;
use super::table_units::{Units, totals};
use super::uniforms::TableMlpParams;
use crate::device::{MeanSink, Means, MeansForm, MeansReport, check_means};
use crate::plan::{Dense, Mixture, Mlp};

/// Background rows of a task.
const BLOCK_ROWS: usize = 256;

/// Widest layer, and most features, with which tiles of a useful size fit in workgroup memory ([`Layout`]).
const MOST_WIDTH: usize = 64;

/// Threads of a workgroup.
const THREADS: usize = 128;

/// Room for the two tiles, in quads of rows of one feature or neuron; and for the instances' part of the first layer
/// and the weighted sums, in numbers. Together they fill the 16 KiB of workgroup memory that every adapter has.
const TILE_QUADS: usize = 768;
const SUMS: usize = 1024;

/// Instances of a chunk, at most: with more of them little of the first layer is left to save, and workgroups get few.
const MOST_INSTANCES: usize = 16;

/// Weighted sums that a dispatch writes, at most: they are read back together.
const MOST_SUMS: usize = 1 << 19;

/// How a workgroup's memory is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Quads of background rows in a tile: a power of two.
    quads: usize,
    /// Where the second tile begins, which holds the rows and the layers of odd number.
    second: usize,
    /// Instances of a chunk, at least one.
    instances: usize,
    /// Coalitions of a unit, at most: one or two, each with its weighted sums.
    sides: usize,
}

impl Layout {
    /// As many rows and instances as fit; a thread has one patch of four neurons and four rows of the first layer, at
    /// most. The rows do not depend on the instances, nor does the order of any sum.
    fn new(layers: &[Dense], sides: usize, instances: usize, background: usize) -> Self {
        let widest = |first: usize| {
            let every_other = layers.iter().skip(first).step_by(2);
            every_other.map(|layer| layer.outputs.next_multiple_of(4)).max().unwrap_or(0)
        };
        let (opening, outputs) = (&layers[0], layers.last().map_or(0, |layer| layer.outputs));
        let [first, second] = [widest(0), widest(1).max(opening.inputs)];
        let fours = opening.outputs.div_ceil(4).max(1);
        let most = (TILE_QUADS / (first + second)).min(THREADS / fours).clamp(1, BLOCK_ROWS / 4);
        let quads = (1 << most.ilog2()).min(background.div_ceil(4).next_power_of_two());
        let most = (SUMS / (4 * fours + sides * outputs)).clamp(1, MOST_INSTANCES);
        let chunks = instances.div_ceil(most).max(1);
        Layout { quads, second: first * quads, instances: instances.div_ceil(chunks).max(1), sides }
    }

    /// Multiply-adds of a whole task, where a task has so many background rows at most.
    fn macs(&self, mlp: &Mlp, rows: usize) -> usize {
        let rows = rows.next_multiple_of(4 * self.quads);
        let opening = mlp.layers[0].inputs * mlp.layers[0].outputs;
        opening * (rows + self.instances) + mlp.later_macs() * rows * self.instances * self.sides
    }
}

/// Whether the kernel can take this network and these rows: all layers and features fit in a tile, all buffers in a
/// binding, and every number in 32 bits; and whether the means are those over the background.
pub(super) fn fits(mlp: &Mlp, mixture: &Mixture, means: &Means<'_>, binding_bytes: u64) -> bool {
    let widths = mlp.layers.iter().flat_map(|layer| [layer.inputs, layer.outputs]);
    let rows = mixture.instances.len() + mixture.background.len();
    let bytes = 4 * rows.max(mixture.masks.len() + mixture.coalitions()) as u64;
    let groups = mixture.coalitions() as u64 * mixture.instance_rows() as u64;
    widths.max().is_some_and(|most| most <= MOST_WIDTH)
        && mixture.suits(mlp.layers[0].inputs)
        && bytes <= binding_bytes.min(u64::from(u32::MAX))
        && groups < u64::from(u32::MAX)
        && means.weights.len() == mixture.background_rows()
        && !means.outputs.is_empty()
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
    let mut members: Vec<f32> = means.weights.iter().map(|&weight| weight as f32).collect();
    members.resize(members.len().next_multiple_of(4), 0.0);
    let (units, totals) = pairs(&mlp.layers[0], mixture, &rows, gpu.caps.binding_bytes);
    let packed_units = units.packed(mixture);
    let contents: [&[u8]; 7] = [
        cast_slice(&rows),
        cast_slice(&mixture.players),
        cast_slice(&packed_units),
        cast_slice(&layers),
        cast_slice(&weights),
        cast_slice(&members),
        cast_slice(&totals),
    ];
    let mut buffers = Vec::new();
    for bytes in contents {
        buffers.push(network.upload("table", bytes).await?);
    }

    let permutation = Permutation { shader: "table_mlp", defines: &[] };
    let pipeline = gpu.pipeline(permutation).await?;
    let blocks = means.weights.len().div_ceil(BLOCK_ROWS);
    let instances = mixture.instance_rows();
    let groups = mixture.coalitions() * instances;
    let layout = Layout::new(&mlp.layers, units.sides(), instances, means.weights.len());
    let chunks = instances.div_ceil(layout.instances);
    let all_tasks = units.len() * chunks * blocks;
    let macs = layout.macs(&mlp, BLOCK_ROWS.min(means.weights.len()));
    let side_sums = layout.instances * outputs;
    let task_sums = layout.sides * side_sums;
    let by_time = (gpu.caps.chunk_macs / macs.max(1) as u64).min(MOST_SUMS as u64) as usize;
    let most_tasks = by_time.min(MOST_SUMS / task_sums).min(all_tasks).max(1);
    let bytes = (4 * most_tasks * task_sums) as u64;
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

    let mut sums = vec![0.0; task_sums];
    // The means of a unit: `[sides, instances, asked outputs]`.
    let mut unit_means = vec![0.0; layout.sides * instances * asked.len()];
    let mut done = Vec::new();
    let mut told = 0;
    // The device computes a dispatch while the host adds up the one before.
    let mut flying: VecDeque<(Range<usize>, usize, wgpu::SubmissionIndex)> = VecDeque::new();
    let (mut next, mut slot) = (0, 0);
    while told < groups {
        if next < all_tasks && flying.len() < IN_FLIGHT {
            let tasks = next..(next + most_tasks).min(all_tasks);
            let grid = grid(tasks.len() as u32, gpu.caps.grid_groups);
            let params = TableMlpParams {
                tasks: tasks.len() as u32,
                groups_x: grid[0],
                chunk: (next / blocks) as u32,
                block: (next % blocks) as u32,
                blocks: blocks as u32,
                chunks: chunks as u32,
                chunk_instances: layout.instances as u32,
                instances: instances as u32,
                background: mixture.background_rows() as u32,
                features: mixture.features as u32,
                words: mixture.words_per_row as u32,
                layers: mlp.layers.len() as u32,
                softmax: mlp.softmax.map_or(0, |log| 1 + u32::from(log)),
                outputs: outputs as u32,
                quads_log2: layout.quads.ilog2(),
                second: layout.second as u32,
                sides: layout.sides as u32,
                ..TableMlpParams::default()
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
                    let bytes = (4 * tasks.len() * task_sums) as u64;
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
        let bytes = (4 * tasks.len() * task_sums) as u64;
        let partial: Vec<f32> = super::readback::read(gpu, &readbacks[slot], bytes, submission).await?;
        done.clear();
        for (task, partial) in tasks.clone().zip(partial.chunks_exact(task_sums)) {
            sums.iter_mut().zip(partial).for_each(|(sum, &more)| *sum += f64::from(more));
            if task % blocks + 1 < blocks {
                continue;
            }
            let (unit, chunk) = (task / blocks / chunks, task / blocks % chunks);
            // The last chunk may have fewer instances.
            let first = chunk * layout.instances;
            let live = layout.instances.min(instances - first);
            for (side, sums) in sums.chunks_exact(side_sums).take(units.sides_of(unit)).enumerate() {
                let to = &mut unit_means[(side * instances + first) * asked.len()..];
                for (to, sums) in to.chunks_exact_mut(asked.len()).zip(sums.chunks_exact(outputs)).take(live)
                {
                    to.iter_mut().zip(&asked).for_each(|(to, &output)| *to = sums[output]);
                }
            }
            sums.fill(0.0);
            if chunk + 1 == chunks {
                done.extend_from_slice(&unit_means[..units.sides_of(unit) * instances * asked.len()]);
            }
        }
        let end = units.first(tasks.end / blocks / chunks) * instances;
        if told < end {
            check_means(told, means.outputs, &done)?;
            sink(told..end, &done)?;
            told = end;
        }
    }
    Ok(MeansReport { form: MeansForm::Fused })
}

/// The run's units and totals: pairs where there are any, and where their totals are numbers that fit in a binding.
fn pairs(layer: &Dense, mixture: &Mixture, rows: &[f32], binding_bytes: u64) -> (Units, Vec<f32>) {
    let units = Units::paired(mixture);
    let rows_of_totals = mixture.instance_rows() + mixture.background_rows();
    let bytes = (4 * rows_of_totals * layer.outputs.next_multiple_of(4)) as u64;
    if units.sides() > 1
        && bytes <= binding_bytes.min(u64::from(u32::MAX))
        && let Some(totals) = totals(layer, mixture, rows)
    {
        return (units, totals);
    }
    // A binding has one vector at least.
    (Units::single(mixture), vec![0.0; 4])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Model};
    use crate::plan::Plan;

    fn layers(widths: &[usize]) -> Vec<Dense> {
        let layer = |pair: &[usize]| Dense {
            inputs: pair[0],
            outputs: pair[1],
            weight: vec![0.0; pair[0] * pair[1]].into(),
            bias: vec![0.0; pair[1]],
            activation: Activation::Identity,
        };
        widths.windows(2).map(layer).collect()
    }

    #[test]
    fn the_table() {
        let cases: [(&[usize], usize, usize, [usize; 4]); 8] = [
            // widths, instances, background rows; quads, second tile, instances of a chunk, and of one in pairs
            (&[30, 64, 32, 2], 50, 100, [8, 512, 13, 13]),
            (&[30, 64, 32, 2], 1, 100, [8, 512, 1, 1]),
            (&[64, 64, 64, 64], 50, 100, [4, 256, 8, 5]),
            (&[64, 64], 50, 100, [4, 256, 8, 5]),
            (&[10, 16, 1], 32, 100, [16, 256, 16, 16]),
            (&[10, 16, 1], 17, 5, [2, 32, 9, 9]),
            (&[1, 1], 16, 1, [1, 4, 16, 16]),
            (&[40, 8, 33, 2], 3, 1000, [16, 128, 3, 3]),
        ];
        for (widths, instances, background, [quads, second, single, paired]) in cases {
            for (sides, chunk) in [(1, single), (2, paired)] {
                let expected = Layout { quads, second, instances: chunk, sides };
                let found = Layout::new(&layers(widths), sides, instances, background);
                assert_eq!(found, expected, "{widths:?}, {instances} instances, {background} rows");
            }
        }
    }

    #[test]
    fn multiply_adds_of_a_row() {
        // 30-64-32-2 over 96 background rows, which fill three tiles: for each (coalition, instance, row), 2,112 behind the
        // first layer, and of its 1,920 what the rows and the instances of a task share.
        let mut model = Model::builder("perceptron", &[30]);
        for (inputs, outputs) in [(30, 64), (64, 32), (32, 2)] {
            model =
                model.linear(&vec![0.0; inputs * outputs], &vec![0.0; outputs], outputs).expect("shapes fit");
        }
        let plan = Plan::new(&model.build().expect("a sound network")).expect("a plan");
        let mlp = Mlp::of(&plan).expect("a chain of Linear layers");
        let cases = [(1, 1, 1920.0 * (1.0 + 1.0 / 96.0)), (1, 13, 1920.0 * (1.0 / 13.0 + 1.0 / 96.0))];
        for (sides, instances, first) in
            cases.into_iter().chain(cases.map(|(_, n, first)| (2, n, first / 2.0)))
        {
            let layout = Layout::new(&mlp.layers, sides, instances, 96);
            let found = layout.macs(&mlp, 96) as f64 / (96 * instances * sides) as f64;
            assert!((found - (2112.0 + first)).abs() < 1e-9, "{sides} × {instances}: {found}");
        }
    }

    #[test]
    fn everything_fits() {
        let sizes = [1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 61, 63, 64];
        for features in sizes {
            for first in sizes {
                for (hidden, outputs) in sizes.iter().flat_map(|&a| sizes.map(|b| (a, b))) {
                    let layers = layers(&[features, first, hidden, outputs]);
                    for sides in [1, 2] {
                        let layout = Layout::new(&layers, sides, 100, 1000);
                        let Layout { quads, second, instances, .. } = layout;
                        assert!(
                            quads >= 4 && quads.is_power_of_two() && BLOCK_ROWS.is_multiple_of(4 * quads)
                        );
                        assert!(second + quads * features.max(hidden.next_multiple_of(4)) <= TILE_QUADS);
                        assert!(quads * first.max(outputs).next_multiple_of(4) <= second);
                        assert!(quads * first.div_ceil(4) <= THREADS);
                        assert!(instances * (first.next_multiple_of(4) + sides * outputs) <= SUMS);
                        assert!((5..=MOST_INSTANCES).contains(&instances) && outputs <= THREADS);
                    }
                }
            }
        }
    }
}
