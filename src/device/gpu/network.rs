//! A plan resident on a GPU.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Gpu;
use super::arena::Arena;
use super::columns::Columns;
use super::encode::{Dispatch, Encoder, constants};
use super::failure::Failure;
use super::head::{Meeting, Parts};
use super::mean_sums::{self, GroupSums};
use super::opening::{Masked, Opening, whole_words};
use super::pack::Packed;
use super::pipeline::Pipeline;
use super::select::Tile;
use super::session::{Chunk, IN_FLIGHT, Session, Start};
use super::source::Shader;
use super::storage::{check_storage, stored_weights};
use super::table_mlp;
use super::timing::Timer;
use crate::device::sharer::FEWEST_ROWS;
use crate::device::{
    Engine, MeanSink, Means, MeansForm, MeansReport, Precision, RunOptions, RunReport, Sink, StepProfile,
    cannot_fuse,
};
use crate::perturb::Expander;
use crate::plan::sharing::Analysis;
use crate::plan::{FirstLayer, Head, Mlp, Needs, Plan, Schedule, Sharing, check};
use crate::{Error, Result};

/// Cap on the bytes of activations if none is given.
const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;

/// More samples than this in a chunk gain nothing and cost memory.
const MOST_ROWS: u64 = 1 << 15;

/// Choices that tests and benchmarks force.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// The convolution kernel.
    pub tile: Option<Tile>,
    /// Samples in a chunk, at most.
    pub chunk_rows: Option<usize>,
    /// Pretends to run out of memory for chunks of more samples.
    pub refuse_rows_above: Option<usize>,
}

/// What a run is asked for.
struct Asked<'a> {
    perturbation: &'a dyn Expander,
    rows: usize,
    options: &'a RunOptions,
    /// Whether weighted sums of groups come back instead of answers.
    means: Option<&'a Means<'a>>,
    /// The parts of table rows, if chunks begin behind the first layer.
    parts: Option<&'a Parts<'a>>,
    /// Times the steps.
    timer: Option<&'a mut Timer>,
}

/// A plan with its weights on a GPU.
#[doc(hidden)]
pub struct GpuNetwork {
    pub(super) gpu: Arc<Gpu>,
    pub(super) plan: Arc<Plan>,
    pub(super) overrides: Overrides,
    constants: HashMap<Packed, wgpu::Buffer>,
    /// The network as a chain of Linear layers, if it is one.
    mlp: Option<Mlp>,
    /// Its first layer, if that is Linear over the whole row.
    head: Option<Head>,
    /// The buffers of the last run, for the next one.
    spare: Mutex<Option<Session>>,
}

impl GpuNetwork {
    /// Checks a plan and uploads its weights.
    pub(super) async fn new(gpu: Arc<Gpu>, plan: Arc<Plan>, overrides: Overrides) -> Result<Self> {
        check(&plan)?;
        let precision = gpu.precision;
        check_storage(&plan, precision)?;
        let (mlp, head) = (Mlp::of(&plan), Head::of(&plan));
        let (constants_of, spare) = (HashMap::new(), Mutex::new(None));
        let mut network = GpuNetwork { gpu, plan, overrides, constants: constants_of, mlp, head, spare };
        for step in &network.plan.clone().steps {
            for packed in constants(step) {
                if !network.constants.contains_key(&packed) {
                    let elements = packed.elements_in(&network.plan, precision);
                    let bytes = stored_weights(&elements, packed.precision(precision), &step.name)?;
                    let buffer = network.upload(&step.name, &whole_words(&bytes)).await?;
                    network.constants.insert(packed, buffer);
                }
            }
        }
        Ok(network)
    }

    /// Evaluates `rows` rows of a perturbation; see [`Network::run`](crate::device::Network::run).
    ///
    /// # Errors
    /// [`Error::Parameter`] if a form of the first layer is asked for that is impossible or the masks do not fit,
    /// [`Error::Limits`] if one sample exceeds the memory, [`Error::Device`] if the device fails, and whatever `sink`
    /// returns.
    #[doc(hidden)]
    pub fn evaluate(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        pollster::block_on(self.evaluate_async(perturbation, rows, options, sink))
    }

    /// [`evaluate`](GpuNetwork::evaluate) without blocking.
    ///
    /// # Errors
    /// Those of [`evaluate`](GpuNetwork::evaluate).
    #[doc(hidden)]
    pub async fn evaluate_async(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        self.run_async(Asked { perturbation, rows, options, means: None, parts: None, timer: None }, sink)
            .await
    }

    async fn run_async(&self, mut asked: Asked<'_>, sink: &mut Sink<'_>) -> Result<RunReport> {
        let Asked { perturbation, rows, options, .. } = asked;
        let masked = match perturbation.locality() {
            Some(locality) if options.first_layer != Some(FirstLayer::Expanded) => {
                Masked::new(&self.plan, locality, rows)?
            }
            _ => None,
        };
        if options.first_layer == Some(FirstLayer::Masked) && masked.is_none() {
            return Err(Error::parameter(
                "the first layer cannot read this input masked",
                "first_layer",
                "leave the choice open: it needs a convolution without groups, and an input varied by segments",
            ));
        }
        let mut columns = match asked.parts {
            Some(_) => None,
            None => self.columns(perturbation, rows, options)?,
        };
        let needs = self.needs(asked.parts);
        let first_layer = if masked.is_some() { FirstLayer::Masked } else { FirstLayer::Expanded };
        let mut preferred = self.preferred_rows();
        let mut done = 0;
        let chunk_rows = loop {
            let schedule = self.schedule(rows, options, preferred, needs)?;
            let (sharing, most_rows) = match &mut columns {
                Some((columns, most_rows)) => (Some(columns), *most_rows),
                None => (None, usize::MAX),
            };
            let chunk_rows = schedule.chunk_rows.min(most_rows);
            let opening = Opening::new(perturbation, masked.clone());
            match self.attempt(&mut asked, opening, sharing, chunk_rows, &mut done, sink).await {
                Ok(()) => break chunk_rows,
                // Samples do not depend on their chunk: the rest of the run goes on in smaller ones.
                Err(Failure::OutOfMemory(_)) if chunk_rows > 1 => preferred = chunk_rows / 2,
                Err(failure) => return Err(failure.into()),
            }
            if let Some((columns, _)) = &mut columns {
                columns.shrink();
            }
        };
        let sharing = columns.and_then(|(columns, _)| columns.report());
        Ok(RunReport { chunk_rows, first_layer, sharing })
    }

    /// What shares early layers between coalitions, if the run may, and samples of a chunk at most.
    fn columns<'a>(
        &self,
        perturbation: &'a dyn Expander,
        rows: usize,
        options: &RunOptions,
    ) -> Result<Option<(Columns<'a>, usize)>> {
        let wanted = match options.sharing {
            Sharing::Off => false,
            Sharing::Auto => options.first_layer.is_none() && rows >= FEWEST_ROWS,
            Sharing::First(_) => true,
        };
        let Some(dependence) =
            perturbation.dependence().filter(|dependence| wanted && dependence.is_sound(rows))
        else {
            return Ok(None);
        };
        let Some(analysis) = Analysis::of(&self.plan, dependence, None)? else { return Ok(None) };
        // Columns may take half of the cap, and what the dense rest leaves.
        let cap = options.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES);
        let needs = self.needs(None);
        let Needs { fixed_bytes, sample_bytes } = needs;
        let most_rows = (cap / 2).saturating_sub(fixed_bytes) / sample_bytes.max(1);
        let most_rows = usize::try_from(most_rows).unwrap_or(usize::MAX).max(1);
        let chunk_rows =
            self.schedule(rows, options, self.preferred_rows(), needs)?.chunk_rows.min(most_rows);
        let budget = cap.saturating_sub(fixed_bytes + chunk_rows as u64 * sample_bytes);
        let budget = budget.min(self.gpu.caps.binding_bytes);
        let columns = Columns::new(&self.plan, analysis, perturbation, options.sharing, budget);
        Ok(Some((columns, most_rows)))
    }

    /// Samples of a chunk that keeps the device busy and lets other work in between.
    fn preferred_rows(&self) -> usize {
        let by_time = (self.gpu.caps.chunk_macs / self.plan.macs().max(1)).clamp(1, MOST_ROWS) as usize;
        self.overrides.chunk_rows.unwrap_or(by_time)
    }

    /// Evaluates `rows` rows of a perturbation and hands the means of their groups to `sink`.
    async fn means_async(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        let mut parts = None;
        if options.means != Some(MeansForm::Rows) {
            let forced = options.means == Some(MeansForm::Fused);
            let both = self.mlp.as_ref().zip(perturbation.mixture());
            let binding_bytes = self.gpu.caps.binding_bytes;
            if let Some((mlp, mixture)) =
                both.filter(|(mlp, mixture)| table_mlp::fits(mlp, mixture, means, binding_bytes))
            {
                return Ok(table_mlp::run(self, mlp, mixture, means, sink).await?);
            }
            parts = self.parts(perturbation, rows, means, options, forced)?;
            if forced && parts.is_none() {
                return Err(cannot_fuse());
            }
        }
        if means.outputs.is_empty() {
            return means
                .by_rows(self.plan.outputs, sink, |sink| self.evaluate(perturbation, rows, options, sink));
        }
        let asked =
            Asked { perturbation, rows, options, means: Some(means), parts: parts.as_ref(), timer: None };
        self.run_async(asked, &mut mean_sums::adding(means, sink)).await?;
        Ok(MeansReport { form: if parts.is_some() { MeansForm::Fused } else { MeansForm::Rows } })
    }

    /// The parts of table rows, if their chunks can begin behind the first layer and this pays or is forced. Not with f16
    /// storage, which would round parts before they are added.
    fn parts<'a>(
        &'a self,
        perturbation: &'a dyn Expander,
        rows: usize,
        means: &Means<'_>,
        options: &RunOptions,
        forced: bool,
    ) -> Result<Option<Parts<'a>>> {
        let (Some(head), Some(mixture)) = (&self.head, perturbation.mixture()) else { return Ok(None) };
        let suits = self.gpu.precision == Precision::F32
            && (forced || options.first_layer.is_none())
            && means.weights.len() == mixture.background_rows()
            && !means.outputs.is_empty();
        if !suits {
            return Ok(None);
        }
        let needs = Parts::needs(head, mixture, self.needs(None));
        let chunk_rows = match self.schedule(rows, options, self.preferred_rows(), needs) {
            Ok(schedule) => schedule.chunk_rows,
            Err(error) if forced => return Err(error),
            Err(_) => return Ok(None),
        };
        let parts = Parts::new(head, mixture, chunk_rows, self.gpu.caps.binding_bytes);
        Ok(parts.filter(|parts| forced || parts.pays(chunk_rows)))
    }

    /// What chunks take.
    fn needs(&self, parts: Option<&Parts<'_>>) -> Needs {
        let needs = Arena::needs(&self.plan, self.gpu.precision);
        parts.map_or(needs, |parts| parts.chunk_needs(needs))
    }

    fn schedule(
        &self,
        rows: usize,
        options: &RunOptions,
        preferred_rows: usize,
        needs: Needs,
    ) -> Result<Schedule> {
        let binding_bytes = self.gpu.caps.binding_bytes;
        let memory_bytes = options.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES).min(binding_bytes);
        // All activations lie in one buffer that all chunks in flight share.
        Schedule::new(&self.plan, rows, None, needs, memory_bytes, preferred_rows)
    }

    /// Runs the rows from `done` on in chunks of `chunk_rows`; `done` counts the rows that `sink` has got.
    async fn attempt(
        &self,
        asked: &mut Asked<'_>,
        mut opening: Opening<'_>,
        mut columns: Option<&mut Columns<'_>>,
        chunk_rows: usize,
        done: &mut usize,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let rows = asked.rows;
        if *done == rows {
            return Ok(());
        }
        let mut session = self.session(chunk_rows).await?;
        let mut sums = match asked.means {
            Some(means) => Some(GroupSums::new(self, &session, means).await?),
            None => None,
        };
        let mut meeting = match asked.parts {
            Some(parts) => Some(Meeting::new(self, &session, parts).await?),
            None => None,
        };
        // The host prepares a chunk, and hands on the answers of another, while the device computes.
        let most = if asked.timer.is_some() { 1 } else { IN_FLIGHT };
        let mut flying: VecDeque<(Range<usize>, usize, wgpu::SubmissionIndex)> = VecDeque::new();
        let mut next = *done;
        let mut slot = 0;
        // Rows up to here are decided on: whether their first steps run over columns.
        let (mut decided, mut shared) = (if columns.is_some() { next } else { rows }, false);
        while *done < rows {
            if next < rows && flying.len() < most {
                if let Some(columns) = columns.as_deref_mut().filter(|_| next == decided) {
                    let timer = asked.timer.as_deref_mut();
                    let end = columns.next(self, &session, next..rows, timer).await?;
                    (decided, shared) = (end.unwrap_or(rows), end.is_some());
                }
                let range = next..(next + chunk_rows).min(decided);
                let start = match (columns.as_deref_mut().filter(|_| shared), &mut meeting) {
                    (Some(columns), _) => Start::Columns(columns),
                    (None, Some(meeting)) => Start::Meeting(meeting),
                    (None, None) => Start::Opening(&mut opening),
                };
                let mut chunk = Chunk {
                    rows: range.clone(),
                    start,
                    sums: sums.as_mut(),
                    timer: asked.timer.as_deref_mut(),
                };
                let submission = session.submit(self, &mut chunk, slot).await?;
                next = range.end;
                flying.push_back((range, slot, submission));
                slot = (slot + 1) % IN_FLIGHT;
            } else if let Some((chunk, slot, submission)) = flying.pop_front() {
                let values = session.answers(self, &chunk, sums.as_ref(), slot, submission.clone()).await?;
                if let Some(timer) = asked.timer.as_deref_mut() {
                    timer.collect(&self.gpu, submission).await?;
                }
                *done = chunk.end;
                sink(chunk, &values)?;
            }
        }
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(())
    }

    /// The last run's session if its chunks have the same size, or else a new one. It is taken away, so that runs at
    /// the same time have one each.
    async fn session(&self, chunk_rows: usize) -> Result<Session, Failure> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        match spare {
            Some(session) if session.chunk_rows == chunk_rows => Ok(session),
            // The old buffers go before the new ones are allocated.
            old => {
                drop(old);
                Session::new(self, chunk_rows).await
            }
        }
    }

    pub(super) fn encoder<'a>(&'a self, arena: &'a Arena, chunk_rows: usize, rows: usize) -> Encoder<'a> {
        Encoder { plan: &self.plan, arena, caps: &self.gpu.caps, chunk_rows, tile: self.overrides.tile, rows }
    }

    /// Binds a dispatch's constants, and behind them the perturbation's buffers.
    pub(super) async fn bind(
        &self,
        dispatch: &Dispatch,
        pipeline: &Pipeline,
        uniforms: &wgpu::Buffer,
        output: wgpu::BindingResource<'_>,
        further: &[wgpu::Buffer],
    ) -> Result<wgpu::BindGroup, Failure> {
        let at = dispatch.permutation.to_string();
        let uniform_bytes =
            Shader::named(dispatch.permutation.shader).map_or(0, |shader| shader.uniform.bytes);
        // `new` has uploaded the constants of every step.
        let constants =
            dispatch.constants.iter().filter_map(|packed| self.constants.get(packed)).chain(further);
        let device = &self.gpu.device;
        self.gpu
            .guarded(&at, || pipeline.bind(device, uniforms, uniform_bytes as u64, output, constants))
            .await
    }

    /// A storage buffer with these bytes, whole words.
    pub(super) async fn upload(&self, at: &str, bytes: &[u8]) -> Result<wgpu::Buffer, Failure> {
        let gpu = &self.gpu;
        let size = (bytes.len() as u64).max(4);
        if size > gpu.caps.binding_bytes {
            return Err(Failure::Error(Error::limits(
                format!(
                    "a constant of {size} bytes exceeds the {} that the GPU can bind",
                    gpu.caps.binding_bytes
                ),
                at,
                "use --device cpu",
            )));
        }
        gpu.guarded(at, || {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(at),
                size,
                usage,
                mapped_at_creation: false,
            });
            gpu.queue.write_buffer(&buffer, 0, bytes);
            buffer
        })
        .await
    }
}

impl Engine for GpuNetwork {
    fn run(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        self.evaluate(perturbation, rows, options, sink)
    }

    fn chunk_rows(&self, rows: usize, options: &RunOptions) -> Result<usize> {
        Ok(self.schedule(rows, options, self.preferred_rows(), self.needs(None))?.chunk_rows)
    }

    fn means(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        pollster::block_on(self.means_async(perturbation, rows, means, options, sink))
    }

    fn profile(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
    ) -> Result<Vec<StepProfile>> {
        let mut timer = Timer::new(&self.gpu, &self.plan)?;
        let asked = Asked { perturbation, rows, options, means: None, parts: None, timer: Some(&mut timer) };
        pollster::block_on(self.run_async(asked, &mut |_, _| Ok(())))?;
        let costs = timer.kernels.into_iter().zip(timer.seconds);
        let profile = self.plan.steps.iter().zip(costs).map(|(step, (kernel, seconds))| StepProfile {
            step: step.name.clone(),
            kernel,
            seconds,
            macs: step.macs * rows as u64,
        });
        Ok(profile.collect())
    }
}
