//! Buffers and bind groups for chunks of one size.

use std::ops::Range;
use std::sync::Arc;

use half::f16;

use super::arena::Arena;
use super::columns::Columns;
use super::encode::{Dispatch, Encoder};
use super::failure::Failure;
use super::head::Meeting;
use super::mean_sums::GroupSums;
use super::network::GpuNetwork;
use super::opening::Opening;
use super::pipeline::Pipeline;
use super::readback;
use super::storage::check_answers;
use super::timing::Timer;
use crate::Error;
use crate::device::Precision;

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
        let arena = Arena::new(plan, chunk_rows, gpu.precision);
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
        let response_bytes = arena.bytes_of(chunk_rows * plan.outputs);
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

    /// Submits a chunk whose answers go to the readback buffers number `slot`: one encoder, one compute pass.
    pub(crate) async fn submit(
        &mut self,
        network: &GpuNetwork,
        chunk: &mut Chunk<'_, '_, '_, '_>,
        slot: usize,
    ) -> Result<wgpu::SubmissionIndex, Failure> {
        let rows = chunk.rows.clone();
        if let Start::Opening(opening) = &mut chunk.start {
            opening.prepare(network, self, rows.clone()).await?;
        }
        let at = format!("samples {} to {}", rows.start, rows.end - 1);
        let gpu = &network.gpu;
        gpu.guarded(&at, || {
            self.write_uniforms(network, rows.len());
            if let Start::Columns(columns) = &mut chunk.start {
                columns.write(network, self, &rows);
            }
            if let Start::Meeting(meeting) = &mut chunk.start {
                meeting.write(network, self, &rows);
            }
            if let Some(sums) = chunk.sums.as_deref_mut() {
                sums.write(network, self, &rows);
            }
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let (mut dispatches, steps_done) = match &chunk.start {
                Start::Opening(opening) => (opening.recorded(), opening.steps_done()),
                Start::Columns(columns) => (columns.recorded(), columns.steps_done()),
                Start::Meeting(meeting) => (meeting.recorded(), meeting.steps_done()),
            };
            let steps = self.steps.iter().enumerate().skip(steps_done);
            dispatches.extend(steps.map(|(number, step)| Recorded {
                pipeline: &step.pipeline,
                bind_group: &step.bind_group,
                offset: UNIFORM_PITCH * (number + 1),
                grid: step.grid,
                // The last one gathers the responses.
                step: Some(number).filter(|&number| number < network.plan.steps.len()),
            }));
            dispatches.extend(chunk.sums.as_deref().map(GroupSums::recorded));
            record_all(network, &mut encoder, &dispatches, chunk.timer.as_deref_mut());
            match chunk.sums.as_deref() {
                Some(sums) => sums.copy(&mut encoder, &rows, slot),
                None => {
                    let from = self.arena.offset(self.arena.responses.base);
                    let bytes = self.response_bytes(network, rows.len());
                    encoder.copy_buffer_to_buffer(&self.activations, from, &self.readbacks[slot], 0, bytes);
                }
            }
            gpu.queue.submit([encoder.finish()])
        })
        .await
    }

    /// Waits for the answers in the readback buffers number `slot`: `[rows, outputs]`, or the sums of their groups.
    pub(crate) async fn answers(
        &self,
        network: &GpuNetwork,
        rows: &Range<usize>,
        sums: Option<&GroupSums>,
        slot: usize,
        submission: wgpu::SubmissionIndex,
    ) -> Result<Vec<f32>, Error> {
        let gpu = &network.gpu;
        let answers = match sums {
            Some(sums) => {
                let (buffer, bytes) = sums.readback(rows, slot);
                readback::read(gpu, buffer, bytes, submission).await?
            }
            None => {
                let (buffer, bytes) = (&self.readbacks[slot], self.response_bytes(network, rows.len()));
                match gpu.precision {
                    Precision::F32 => readback::read(gpu, buffer, bytes, submission).await?,
                    Precision::F16 => {
                        let halves: Vec<f16> = readback::read(gpu, buffer, bytes, submission).await?;
                        // What fills the last word is none of them.
                        let answers = rows.len() * network.plan.outputs;
                        halves[..answers].iter().map(|half| half.to_f32()).collect()
                    }
                }
            }
        };
        check_answers(rows, &answers, gpu.precision)?;
        Ok(answers)
    }

    fn response_bytes(&self, network: &GpuNetwork, rows: usize) -> u64 {
        self.arena.bytes_of(rows * network.plan.outputs)
    }
}

/// A chunk to be submitted.
pub(crate) struct Chunk<'a, 'b, 'c, 'd> {
    /// Its rows of the run.
    pub rows: Range<usize>,
    /// How it begins,
    pub start: Start<'a, 'b, 'c, 'd>,
    /// and, if only sums of groups are asked for, how it ends.
    pub sums: Option<&'a mut GroupSums>,
    /// Times its dispatches.
    pub timer: Option<&'a mut Timer>,
}

/// How a chunk begins.
pub(crate) enum Start<'a, 'b, 'c, 'd> {
    /// With its inputs, or the masked first layer.
    Opening(&'a mut Opening<'b>),
    /// Behind the steps that its block has run over columns.
    Columns(&'a mut Columns<'c>),
    /// Behind its first layer, where instance and background meet.
    Meeting(&'a mut Meeting<'d>),
}

/// A dispatch ready to be recorded.
pub(crate) struct Recorded<'a> {
    pub pipeline: &'a Pipeline,
    pub bind_group: &'a wgpu::BindGroup,
    /// Where its uniform is.
    pub offset: usize,
    pub grid: [u32; 2],
    /// The plan's step that it is for.
    pub step: Option<usize>,
}

impl Recorded<'_> {
    /// Records the dispatch.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y] = self.grid;
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, self.bind_group, &[self.offset as u32]);
        pass.dispatch_workgroups(x, y, 1);
    }
}

/// Records dispatches in one compute pass; with a timer, in one each.
pub(crate) fn record_all(
    network: &GpuNetwork,
    encoder: &mut wgpu::CommandEncoder,
    dispatches: &[Recorded<'_>],
    timer: Option<&mut Timer>,
) {
    if let Some(timer) = timer {
        return timer.record(&network.gpu, encoder, dispatches);
    }
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass));
}
