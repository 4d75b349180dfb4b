//! Buffers and bind groups for chunks of one size.

use std::ops::Range;
use std::sync::Arc;

use super::arena::Arena;
use super::encode::{Dispatch, Encoder};
use super::failure::Failure;
use super::network::GpuNetwork;
use super::opening::Opening;
use super::pipeline::Pipeline;
use crate::Error;

/// Bytes from one uniform to the next: dynamic offsets are multiples of at most this on every adapter.
pub(crate) const UNIFORM_PITCH: usize = 256;

/// Chunks in flight: one is computed while the one before is read.
pub(crate) const IN_FLIGHT: usize = 2;

/// A dispatch with its objects.
struct Prepared {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    grid: [u32; 2],
}

/// What chunks of up to `chunk_rows` samples need on the device. Only the buffers to read from are double: everything
/// else is written and read in the queue's order, one chunk after the other.
pub(crate) struct Session {
    /// Samples in a chunk; kernels have been chosen for these.
    pub chunk_rows: usize,
    /// Places of the activations.
    pub arena: Arena,
    /// The activations.
    pub activations: wgpu::Buffer,
    /// Uniforms: the opening's, then one for each step, then the responses'.
    pub uniforms: wgpu::Buffer,
    steps: Vec<Prepared>,
    readbacks: [wgpu::Buffer; IN_FLIGHT],
    /// Samples for which the uniforms have been written.
    written_rows: usize,
}

impl Session {
    /// Allocates buffers for chunks of `chunk_rows` samples.
    pub(crate) async fn new(network: &GpuNetwork, chunk_rows: usize) -> Result<Self, Failure> {
        let GpuNetwork { gpu, plan, .. } = network;
        let arena = Arena::new(plan, chunk_rows);
        if network.overrides.refuse_rows_above.is_some_and(|most| chunk_rows > most) {
            return Err(Failure::OutOfMemory("an allocation that was made to fail".to_owned()));
        }
        let dispatches = Self::dispatches(network, &arena, chunk_rows, chunk_rows);
        let buffer = |label, size, usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            let label = Some(label);
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let response_bytes = 4 * (chunk_rows * plan.outputs) as u64;
        let uniform_bytes = (UNIFORM_PITCH * (dispatches.len() + 1)) as u64;
        let (activations, uniforms, readbacks) = gpu
            .guarded("activations", || {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
                let activations = buffer("activations", arena.bytes(), usage);
                let uniforms = buffer("uniforms", uniform_bytes, wgpu::BufferUsages::UNIFORM);
                let readback = || buffer("readback", response_bytes, wgpu::BufferUsages::MAP_READ);
                (activations, uniforms, [readback(), readback()])
            })
            .await?;

        let mut steps = Vec::with_capacity(dispatches.len());
        for dispatch in &dispatches {
            let pipeline = gpu.pipeline(dispatch.permutation).await?;
            let bind_group =
                network.bind(dispatch, &pipeline, &uniforms, activations.as_entire_binding(), &[]).await?;
            steps.push(Prepared { pipeline, bind_group, grid: dispatch.grid });
        }
        Ok(Session { chunk_rows, arena, activations, uniforms, steps, readbacks, written_rows: 0 })
    }

    /// Every step, and then the gathering of the responses, for a chunk of `rows` samples.
    fn dispatches(network: &GpuNetwork, arena: &Arena, chunk_rows: usize, rows: usize) -> Vec<Dispatch> {
        let encoder = network.encoder(arena, chunk_rows, rows);
        let steps = network.plan.steps.iter().map(|step| encoder.step(step, None));
        steps.chain([encoder.responses()]).collect()
    }

    /// The encoder of a chunk of `rows` samples.
    pub(crate) fn encoder<'a>(&'a self, network: &'a GpuNetwork, rows: usize) -> Encoder<'a> {
        network.encoder(&self.arena, self.chunk_rows, rows)
    }

    /// Writes the uniforms of a chunk of `rows` samples, if they are not those of the chunk before.
    fn write_uniforms(&mut self, network: &GpuNetwork, rows: usize) {
        if self.written_rows == rows {
            return;
        }
        let dispatches = Self::dispatches(network, &self.arena, self.chunk_rows, rows);
        let mut bytes = vec![0; UNIFORM_PITCH * dispatches.len()];
        for ((slot, step), dispatch) in
            bytes.chunks_exact_mut(UNIFORM_PITCH).zip(&mut self.steps).zip(&dispatches)
        {
            slot[..dispatch.uniform.len()].copy_from_slice(&dispatch.uniform);
            step.grid = dispatch.grid;
        }
        network.gpu.queue.write_buffer(&self.uniforms, UNIFORM_PITCH as u64, &bytes);
        self.written_rows = rows;
    }

    /// Submits a chunk whose responses go to the readback buffer number `slot`: one encoder, one compute pass.
    pub(crate) async fn submit(
        &mut self,
        network: &GpuNetwork,
        opening: &mut Opening<'_>,
        rows: Range<usize>,
        slot: usize,
    ) -> Result<wgpu::SubmissionIndex, Failure> {
        opening.prepare(network, self, rows.clone()).await?;
        let at = format!("samples {} to {}", rows.start, rows.end - 1);
        let gpu = &network.gpu;
        gpu.guarded(&at, || {
            self.write_uniforms(network, rows.len());
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                opening.record(&mut pass);
                for (number, step) in self.steps.iter().enumerate().skip(opening.steps_done()) {
                    let offset = UNIFORM_PITCH * (number + 1);
                    record(&mut pass, &step.pipeline, &step.bind_group, offset, step.grid);
                }
            }
            let from = 4 * u64::from(self.arena.responses.base);
            let bytes = self.response_bytes(network, rows.len());
            encoder.copy_buffer_to_buffer(&self.activations, from, &self.readbacks[slot], 0, bytes);
            gpu.queue.submit([encoder.finish()])
        })
        .await
    }

    /// Waits for the responses in the readback buffer number `slot`: `[rows, outputs]`.
    pub(crate) async fn responses(
        &self,
        network: &GpuNetwork,
        rows: usize,
        slot: usize,
        submission: wgpu::SubmissionIndex,
    ) -> Result<Vec<f32>, Error> {
        let bytes = self.response_bytes(network, rows);
        super::readback::read(&network.gpu, &self.readbacks[slot], bytes, submission).await
    }

    fn response_bytes(&self, network: &GpuNetwork, rows: usize) -> u64 {
        4 * (rows * network.plan.outputs) as u64
    }
}

/// Records a dispatch.
pub(crate) fn record(
    pass: &mut wgpu::ComputePass<'_>,
    pipeline: &Pipeline,
    bind_group: &wgpu::BindGroup,
    uniform_offset: usize,
    [x, y]: [u32; 2],
) {
    pass.set_pipeline(&pipeline.pipeline);
    pass.set_bind_group(0, bind_group, &[uniform_offset as u32]);
    pass.dispatch_workgroups(x, y, 1);
}
