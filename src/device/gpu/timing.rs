//! Seconds by step: timestamps before and after every dispatch of a chunk.
//!
//! Each dispatch gets a compute pass of its own, since every adapter with timestamps takes them at a pass's ends and only
//! some within it. A run without a timer has one pass for a chunk and no timestamps.

use super::Gpu;
use super::failure::Failure;
use super::session::Recorded;
use crate::plan::Plan;
use crate::{Error, Result};

/// Dispatches of a query set: two timestamps each, and no set may have more than 4,096.
const SET_DISPATCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

/// What a dispatch was for.
type Timed = Option<usize>;

/// Adds up the device's seconds of each step.
pub(crate) struct Timer {
    sets: Vec<wgpu::QuerySet>,
    /// Where timestamps go, and from where the host reads them.
    buffers: Option<[wgpu::Buffer; 2]>,
    /// The dispatches whose timestamps have been asked for.
    timed: Vec<Timed>,
    /// Of each step, in the plan's order.
    pub seconds: Vec<f64>,
    /// The kernel of each step, as far as it ran.
    pub kernels: Vec<&'static str>,
}

impl Timer {
    /// # Errors
    /// [`Error::Unsupported`] if the adapter has no timestamps.
    pub(crate) fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Err(Error::unsupported(
                "this GPU or its driver has no timestamps, so its steps cannot be timed",
                format!("profile on {}", gpu.name()),
                "profile on the processor (Device::cpu(), --device cpu), or update the driver",
            ));
        }
        let steps = plan.steps.len();
        Ok(Timer {
            sets: Vec::new(),
            buffers: None,
            timed: Vec::new(),
            seconds: vec![0.0; steps],
            kernels: vec!["–"; steps],
        })
    }

    /// Records dispatches, each between two timestamps.
    pub(super) fn record(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        dispatches: &[Recorded<'_>],
    ) {
        let count = dispatches.len();
        while self.sets.len() < count.div_ceil(SET_DISPATCHES) {
            self.sets.push(gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * SET_DISPATCHES as u32,
            }));
        }
        let bytes = 16 * count.next_multiple_of(SET_DISPATCHES).max(1) as u64;
        if self.buffers.as_ref().is_none_or(|[resolved, _]| resolved.size() < bytes) {
            let buffer = |usage| {
                let label = Some("profile");
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label,
                    size: bytes,
                    usage,
                    mapped_at_creation: false,
                })
            };
            use wgpu::BufferUsages as Usages;
            let resolved = buffer(Usages::QUERY_RESOLVE | Usages::COPY_SRC);
            self.buffers = Some([resolved, buffer(Usages::MAP_READ | Usages::COPY_DST)]);
        }
        self.timed = dispatches.iter().map(|dispatch| dispatch.step).collect();
        for (set, dispatches) in self.sets.iter().zip(dispatches.chunks(SET_DISPATCHES)) {
            for (first, dispatch) in (0..).step_by(2).zip(dispatches) {
                let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                    query_set: set,
                    beginning_of_pass_write_index: Some(first),
                    end_of_pass_write_index: Some(first + 1),
                });
                let description = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                dispatch.record(&mut encoder.begin_compute_pass(&description));
                if let Some(step) = dispatch.step {
                    self.kernels[step] = dispatch.pipeline.permutation.kernel();
                }
            }
        }
        let Some([resolved, readback]) = &self.buffers else { return };
        for (number, (set, dispatches)) in self.sets.iter().zip(dispatches.chunks(SET_DISPATCHES)).enumerate()
        {
            let range = 0..2 * dispatches.len() as u32;
            encoder.resolve_query_set(set, range, resolved, (16 * number * SET_DISPATCHES) as u64);
        }
        encoder.copy_buffer_to_buffer(resolved, 0, readback, 0, 16 * count as u64);
    }

    /// Waits for a submission and adds its dispatches' seconds to their steps'.
    pub(super) async fn collect(
        &mut self,
        gpu: &Gpu,
        submission: wgpu::SubmissionIndex,
    ) -> Result<(), Failure> {
        let Some([_, readback]) = &self.buffers else { return Ok(()) };
        let bytes = 16 * self.timed.len() as u64;
        let ticks: Vec<[u64; 2]> = super::readback::read(gpu, readback, bytes, submission).await?;
        let seconds_per_tick = 1e-9 * f64::from(gpu.queue.get_timestamp_period());
        for (step, [start, end]) in self.timed.drain(..).zip(ticks) {
            if let Some(step) = step {
                self.seconds[step] += end.saturating_sub(start) as f64 * seconds_per_tick;
            }
        }
        Ok(())
    }
}
