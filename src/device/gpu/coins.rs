//! LIME's coalitions drawn on the GPU: the proof that shader and host draw the same bits.

use std::ops::Range;

use bytemuck::bytes_of;

use super::Gpu;
use super::failure::Failure;
use super::grid::grid_of_threads;
use super::session::Recorded;
use super::source::Permutation;
use super::uniforms::BernoulliParams;
use crate::Result;

impl Gpu {
    /// Packed rows `rows` of LIME's coalitions of `players` players, `[rows, ceil(players / 32)]`; with `paired`, even
    /// rows are complements.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    #[doc(hidden)]
    pub fn lime_coalitions(
        &self,
        players: u32,
        rows: Range<u32>,
        seed: u64,
        paired: bool,
    ) -> Result<Vec<u32>> {
        Ok(pollster::block_on(self.lime_coalitions_async(players, rows, seed, paired))?)
    }

    async fn lime_coalitions_async(
        &self,
        players: u32,
        rows: Range<u32>,
        seed: u64,
        paired: bool,
    ) -> Result<Vec<u32>, Failure> {
        let words = players.div_ceil(32);
        let total = words * (rows.end - rows.start);
        if total == 0 {
            return Ok(Vec::new());
        }
        let grid = grid_of_threads(total, self.caps.grid_groups);
        let params = BernoulliParams {
            total,
            groups_x: grid[0],
            words,
            players,
            first_row: rows.start,
            paired: u32::from(paired),
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
        };
        let pipeline = self.pipeline(Permutation { shader: "perturb/bernoulli", defines: &[] }).await?;
        let bytes = 4 * u64::from(total);
        let (readback, submission) = self
            .guarded("perturb/bernoulli", || {
                let buffer = |size, usage| {
                    let usage = usage | wgpu::BufferUsages::COPY_DST;
                    let device = &self.device;
                    device.create_buffer(&wgpu::BufferDescriptor {
                        label: None,
                        size,
                        usage,
                        mapped_at_creation: false,
                    })
                };
                let uniforms = buffer(size_of_val(&params) as u64, wgpu::BufferUsages::UNIFORM);
                let output = buffer(bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
                let readback = buffer(bytes, wgpu::BufferUsages::MAP_READ);
                self.queue.write_buffer(&uniforms, 0, bytes_of(&params));
                let none = std::iter::empty();
                let bind_group =
                    pipeline.bind(&self.device, &uniforms, uniforms.size(), output.as_entire_binding(), none);
                let mut encoder =
                    self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                    let (pipeline, bind_group) = (&*pipeline, &bind_group);
                    Recorded { pipeline, bind_group, offset: 0, grid, step: None }.record(&mut pass);
                }
                encoder.copy_buffer_to_buffer(&output, 0, &readback, 0, bytes);
                (readback, self.queue.submit([encoder.finish()]))
            })
            .await?;
        Ok(super::readback::read(self, &readback, bytes, submission).await?)
    }
}
