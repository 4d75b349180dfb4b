//! Weighted sums of groups of answers, on the device: `shaders/group_sums.wgsl`.
//!
//! A chunk gives one number for each group of which it holds rows, and each output that is wanted. Groups that lie in
//! several chunks are added up on the host, in f64.

use std::ops::Range;

use bytemuck::{bytes_of, cast_slice};

use super::failure::Failure;
use super::grid::grid;
use super::network::GpuNetwork;
use super::session::{IN_FLIGHT, Recorded, Session};
use super::source::Permutation;
use super::uniforms::GroupSumParams;
use crate::Result;
use crate::device::{MeanSink, Means, check_means};

/// The last dispatch of a chunk whose groups are summed.
pub(crate) struct GroupSums {
    pipeline: std::sync::Arc<super::pipeline::Pipeline>,
    bind_group: wgpu::BindGroup,
    uniforms: wgpu::Buffer,
    sums: wgpu::Buffer,
    readbacks: [wgpu::Buffer; IN_FLIGHT],
    group_rows: usize,
    outputs: usize,
    grid: [u32; 2],
}

/// Groups of which a range of rows holds some.
fn groups(rows: &Range<usize>, group_rows: usize) -> Range<usize> {
    rows.start / group_rows..rows.end.div_ceil(group_rows)
}

impl GroupSums {
    /// Makes ready for the chunks of a session.
    pub(super) async fn new(
        network: &GpuNetwork,
        session: &Session,
        means: &Means<'_>,
    ) -> Result<Self, Failure> {
        let gpu = &network.gpu;
        let (group_rows, outputs) = (means.weights.len(), means.outputs.len());
        let weights: Vec<f32> = means.weights.iter().map(|&weight| weight as f32).collect();
        let wanted: Vec<u32> = means.outputs.iter().map(|&output| output as u32).collect();
        let weights = network.upload("weights of rows", cast_slice(&weights)).await?;
        let wanted = network.upload("wanted outputs", cast_slice(&wanted)).await?;
        let pipeline = gpu.pipeline(Permutation { shader: "group_sums", defines: &[] }).await?;
        // A chunk that begins and ends within a group touches one more than it could hold.
        let most_groups = session.chunk_rows.div_ceil(group_rows) + 1;
        let bytes = 4 * (most_groups * outputs).max(1) as u64;
        let (bind_group, uniforms, sums, readbacks) = gpu
            .guarded("sums of groups", || {
                let buffer = |size, usage| {
                    let label = Some("sums of groups");
                    gpu.device.create_buffer(&wgpu::BufferDescriptor {
                        label,
                        size,
                        usage,
                        mapped_at_creation: false,
                    })
                };
                use wgpu::BufferUsages as Usages;
                let uniforms = buffer(size_of::<GroupSumParams>() as u64, Usages::UNIFORM | Usages::COPY_DST);
                let sums = buffer(bytes, Usages::STORAGE | Usages::COPY_SRC);
                let readback = || buffer(bytes, Usages::MAP_READ | Usages::COPY_DST);
                let constants = [&session.activations, &weights, &wanted].into_iter();
                let resource = sums.as_entire_binding();
                let bind_group = pipeline.bind(&gpu.device, &uniforms, uniforms.size(), resource, constants);
                (bind_group, uniforms, sums, [readback(), readback()])
            })
            .await?;
        let grid = [1, 1];
        Ok(GroupSums { pipeline, bind_group, uniforms, sums, readbacks, group_rows, outputs, grid })
    }

    /// Numbers that come back for these rows.
    fn len(&self, rows: &Range<usize>) -> usize {
        groups(rows, self.group_rows).len() * self.outputs
    }

    /// Writes the uniform of a chunk.
    pub(super) fn write(&mut self, network: &GpuNetwork, session: &Session, rows: &Range<usize>) {
        let cells = self.len(rows) as u32;
        self.grid = grid(cells, network.gpu.caps.grid_groups);
        let params = GroupSumParams {
            cells,
            groups_x: self.grid[0],
            outputs: self.outputs as u32,
            rows: rows.len() as u32,
            first_member: (rows.start % self.group_rows) as u32,
            group_rows: self.group_rows as u32,
            in_base: session.arena.responses.base,
            in_sample: session.arena.responses.sample,
        };
        network.gpu.queue.write_buffer(&self.uniforms, 0, bytes_of(&params));
    }

    /// The dispatch of the chunk whose uniform has been written.
    pub(super) fn recorded(&self) -> Recorded<'_> {
        Recorded {
            pipeline: &self.pipeline,
            bind_group: &self.bind_group,
            offset: 0,
            grid: self.grid,
            step: None,
        }
    }

    /// Copies a chunk's sums to where the host reads them; says where and how many bytes.
    pub(super) fn copy(&self, encoder: &mut wgpu::CommandEncoder, rows: &Range<usize>, slot: usize) {
        encoder.copy_buffer_to_buffer(&self.sums, 0, &self.readbacks[slot], 0, 4 * self.len(rows) as u64);
    }

    /// Where the host reads a chunk's sums, and how many bytes.
    pub(super) fn readback(&self, rows: &Range<usize>, slot: usize) -> (&wgpu::Buffer, u64) {
        (&self.readbacks[slot], 4 * self.len(rows) as u64)
    }
}

/// Adds up chunks' sums and hands the means of whole groups to `sink`.
pub(super) fn adding<'a>(
    means: &'a Means<'_>,
    sink: &'a mut MeanSink<'_>,
) -> impl FnMut(Range<usize>, &[f32]) -> Result<()> + 'a {
    let group_rows = means.weights.len();
    let wanted = means.outputs.len();
    let mut open = vec![0.0; wanted];
    let mut done = Vec::new();
    move |rows, sums| {
        done.clear();
        for (group, part) in groups(&rows, group_rows).zip(sums.chunks_exact(wanted)) {
            open.iter_mut().zip(part).for_each(|(sum, &more)| *sum += f64::from(more));
            if (group + 1) * group_rows <= rows.end {
                done.extend(open.iter_mut().map(std::mem::take));
            }
        }
        let whole = rows.start / group_rows..rows.end / group_rows;
        if whole.is_empty() {
            return Ok(());
        }
        check_means(whole.start, means.outputs, &done)?;
        sink(whole, &done)
    }
}
