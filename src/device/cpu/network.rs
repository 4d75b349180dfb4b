//! A plan on the processor: what a run needs, and its chunks.

mod chunk;
mod head;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::chunk::{Chunk, Shared};
use super::bands::{Group, Limits, groups};
use super::compiled::{Executable, compile};
use super::fused::{Asked, Fused, HeadMemory, Opening};
use super::layout::{Layout, Segment};
use super::memory::{Aligned, Workspace};
use super::select::ConvKernel;
use super::shared::{Block, FEWEST_ROWS, Shared as SharedSteps, Sharer, StepSharing, costs};
use super::simd::Level;
use super::tiling::{TILES, segments};
use crate::device::{
    Engine, MeanSink, Means, MeansForm, MeansReport, RunOptions, RunReport, Sink, StepProfile, cannot_fuse,
};
use crate::perturb::Expander;
use crate::plan::sharing::Analysis;
use crate::plan::{FirstLayer, Head, Locality, Needs, Plan, Schedule, Sharing, check};
use crate::{Error, Result};

/// Activations of a run take at most so many bytes unless the caller says otherwise.
const DEFAULT_CAP_BYTES: u64 = 1 << 30;

/// Samples of a chunk: enough for large weights to be read rarely, few enough for the first answers to
/// come soon;
const PREFERRED_ROWS: u64 = 128;

/// more where a sample is little work, so that threads meet rarely: about so many multiply-adds to a chunk,
const PREFERRED_MACS: u64 = 1 << 32;

/// up to this many samples.
const MOST_ROWS: u64 = 4096;

/// A plan made ready for the processor.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::device::{RunOptions, cpu::Cpu};
/// use whybox::perturb::{Perturbation, Rows};
/// use whybox::{model::Model, plan::Plan};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let plan = Arc::new(Plan::new(&model)?);
/// let rows = Rows::new(&[1.0; 200], 2)?;
/// let expander = rows.bind(&plan.input_layout)?;
/// let network = Cpu::new().load(plan.clone())?;
/// let profile = network.profile(expander.as_ref(), 100, &RunOptions::default())?;
/// assert_eq!((profile.len(), profile[0].macs), (1, 200));
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct CpuNetwork {
    level: Level,
    plan: Arc<Plan>,
    steps: Vec<Box<dyn Executable>>,
    segments: Vec<Segment>,
    /// Steps that run in bands.
    groups: Vec<Group>,
    layout: Layout,
    /// The network as a chain of Linear layers, if it is one.
    fused: Option<Fused>,
    /// Its first layer, if that is Linear over the whole row.
    head: Option<Head>,
    /// The steps that can run over columns.
    shared: SharedSteps,
    /// Memory of the last run, for the next.
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    shared: Aligned,
    /// Values of the shared steps,
    columns: Aligned,
    /// and which there are: what was found out about the input's pixels, and tables of blocks.
    analysis: Option<Analysis>,
    /// Sums behind the first layer.
    head: HeadMemory,
    threads: Vec<Mutex<Thread>>,
    responses: Vec<f32>,
}

impl Memory {
    fn bytes(&self) -> u64 {
        let thread = |thread: &Mutex<Thread>| {
            let thread = lock(thread);
            let Workspace { scratch, partial, between, .. } = &thread.work;
            thread.own.len() + scratch.len() + partial.len() + between.len()
        };
        let floats = self.shared.len()
            + self.columns.len()
            + self.head.floats()
            + self.threads.iter().map(thread).sum::<usize>();
        let tables = self.analysis.as_ref().map_or(0, Analysis::kept_bytes);
        (floats * size_of::<f32>()) as u64 + tables
    }

    /// Makes it ready for a run.
    fn prepare(&mut self, options: &RunOptions) {
        if self.bytes() > options.memory_bytes.unwrap_or(DEFAULT_CAP_BYTES) {
            // A run before had a larger cap.
            *self = Memory::default();
        }
        let threads = rayon::current_num_threads();
        self.threads.resize_with(threads.max(self.threads.len()), Mutex::default);
    }
}

/// What a thread has for itself.
#[derive(Default)]
pub(super) struct Thread {
    own: Aligned,
    pub(super) work: Workspace,
    /// Seconds of each step.
    pub(super) seconds: Vec<f64>,
}

impl CpuNetwork {
    pub(super) fn new(
        level: Level,
        plan: Arc<Plan>,
        forced: Option<ConvKernel>,
        bands: Limits,
    ) -> Result<Self> {
        check(&plan)?;
        let compiled = plan.steps.iter().map(|step| compile(level, &plan, &step.kernel, forced));
        let steps = compiled.collect::<Vec<_>>();
        let segments = segments(&plan, &steps);
        let layout = Layout::new(&plan, &segments)?;
        let groups = groups(level, &plan, &steps, &segments, &layout, bands, forced)?;
        let (fused, head) = (Fused::of(&plan), Head::of(&plan));
        let shared = SharedSteps::new(&plan);
        Ok(CpuNetwork {
            level,
            plan,
            steps,
            segments,
            groups,
            layout,
            fused,
            head,
            shared,
            memory: Mutex::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    #[cfg(test)]
    pub(super) fn groups_mut(&mut self) -> &mut [Group] {
        &mut self.groups
    }

    /// Evaluates `rows` rows of a perturbation and hands the responses to `sink` chunk by chunk, in order.
    ///
    /// # Errors
    /// [`Error::Limits`] if a sample does not fit under the cap, [`Error::Parameter`] if the first
    /// layer cannot have the form that the options ask for, and whatever `sink` returns.
    pub fn run(
        &self,
        expander: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        let mut memory = self.take_memory();
        let report = self.run_in(&mut memory, expander, rows, options, sink);
        *lock(&self.memory) = memory;
        report
    }

    /// Evaluates `rows` rows of a perturbation and hands the means of their groups to `sink`; see
    /// [`Network::means`](crate::device::Network::means).
    ///
    /// # Errors
    /// Those of [`run`](CpuNetwork::run), [`Error::Parameter`] if the options ask for a form that is impossible, and
    /// [`Error::Numeric`] if an answer is NaN or infinite.
    pub fn means(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        means.check(rows, self.plan.outputs)?;
        // The fused form averages over the background and nothing else.
        let mixture =
            perturbation.mixture().filter(|mixture| mixture.background_rows() == means.weights.len());
        let forced = options.means == Some(MeansForm::Fused);
        if let Some(mixture) = mixture.filter(|_| options.means != Some(MeansForm::Rows)) {
            let suits = |fused: &&Fused| fused.fits(mixture) && (forced || fused.pays(self.level, mixture));
            if let Some(fused) = self.fused.as_ref().filter(suits) {
                let cap = options.memory_bytes.unwrap_or(DEFAULT_CAP_BYTES);
                return fused.run(self.level, mixture, means, cap, sink);
            }
            let asked = Asked { mixture, outputs: means.outputs.len(), macs: self.plan.macs() };
            let cap = options.memory_bytes.unwrap_or(DEFAULT_CAP_BYTES);
            let suits = |head: &&Head| {
                asked.fits(head) && (forced || asked.pays(head) && asked.first_bytes(head) <= cap / 2)
            };
            if let Some(head) = self.head.as_ref().filter(suits) {
                let opening = Opening::new(self.level, head, asked);
                match self.head_run(&opening, options) {
                    Ok(run) => return self.means_by_head(perturbation, &opening, &run, means, options, sink),
                    Err(error) if forced => return Err(error),
                    // Rows may do with less memory.
                    Err(_) => {}
                }
            }
        }
        if forced {
            return Err(cannot_fuse());
        }
        means.by_rows(self.plan.outputs, sink, |sink| self.run(perturbation, rows, options, sink))
    }

    /// Evaluates `rows` rows of a perturbation and gives what each step cost; what a step over columns waits for its inputs
    /// to be joined is part of it.
    ///
    /// # Errors
    /// Those of [`run`](CpuNetwork::run).
    pub fn profile(
        &self,
        expander: &dyn Expander,
        rows: usize,
        options: &RunOptions,
    ) -> Result<Vec<StepProfile>> {
        let mut memory = self.take_memory();
        memory.threads.iter().for_each(|thread| lock(thread).seconds.clear());
        let done = self.run_in(&mut memory, expander, rows, options, &mut |_, _| Ok(()));
        let seconds = |step: usize| -> f64 {
            memory.threads.iter().filter_map(|thread| lock(thread).seconds.get(step).copied()).sum()
        };
        let steps = self.plan.steps.iter().zip(&self.steps).enumerate();
        let profiles = steps.map(|(number, (step, compiled))| StepProfile {
            step: step.name.clone(),
            kernel: compiled.name(),
            seconds: seconds(number),
            macs: step.macs * rows as u64,
        });
        let profiles = profiles.collect();
        *lock(&self.memory) = memory;
        done.map(|_| profiles)
    }

    /// How many samples share columns in a run of `rows` rows, and what that does for each of the first steps; `None`
    /// if nothing can be shared.
    ///
    /// # Errors
    /// Those of a run.
    pub fn sharing(
        &self,
        expander: &dyn Expander,
        rows: usize,
        options: &RunOptions,
    ) -> Result<Option<(usize, Vec<StepSharing>)>> {
        let (mut schedule, largest_tile) = self.schedule(rows, None, options)?;
        let sharer = self.sharer(expander, rows, options, &mut schedule, largest_tile, &mut None)?;
        Ok(sharer.map(|mut sharer| sharer.inspect(&self.plan, 0..rows)))
    }

    /// The memory of the last run; a run at the same time as another finds none and makes its own.
    fn take_memory(&self) -> Memory {
        std::mem::take(&mut *lock(&self.memory))
    }

    fn run_in(
        &self,
        memory: &mut Memory,
        expander: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        let locality = expander.locality().filter(|locality| self.can_mask(locality, rows));
        let (mut schedule, largest_tile) = self.schedule(rows, locality, options)?;
        match options.first_layer {
            Some(FirstLayer::Masked) if locality.is_none() => {
                return Err(Error::parameter(
                    "the first layer of this network cannot take this perturbation's masks",
                    "first layer: masked",
                    "use the expanded form",
                ));
            }
            Some(form) => schedule.first_layer = form,
            None => {}
        }
        let locality = locality.filter(|_| schedule.first_layer == FirstLayer::Masked);

        memory.prepare(options);
        let kept = &mut memory.analysis;
        let mut sharer = self.sharer(expander, rows, options, &mut schedule, largest_tile, kept)?;
        memory.shared.reserve(self.layout.shared_floats() * schedule.chunk_rows);
        let shared = Shared(memory.shared.as_mut_slice().as_mut_ptr());
        let mut first_row = 0;
        while first_row < rows {
            let shared_block = sharer.as_mut().is_some_and(|sharer| sharer.next(&self.plan, first_row..rows));
            let block = sharer.as_ref().filter(|_| shared_block).map(|sharer| {
                let block = Block::new(&self.plan, &sharer.program, sharer.prefix(), &mut memory.columns);
                block.run(self.level, &self.shared, expander, &memory.threads);
                block
            });
            let end = block.as_ref().map_or(rows, |block| block.prefix.rows.end);
            for start in (first_row..end).step_by(schedule.chunk_rows) {
                let range = start..(start + schedule.chunk_rows).min(end);
                let chunk = Chunk {
                    rows: range.clone(),
                    expander,
                    locality,
                    block: block.as_ref(),
                    head: None,
                    largest_tile,
                    shared,
                    threads: &memory.threads,
                };
                self.run_chunk(&chunk);
                self.collect(&chunk, &mut memory.responses);
                sink(range, &memory.responses)?;
            }
            first_row = end;
        }
        let sharing = sharer.as_ref().and_then(|sharer| sharer.report);
        memory.analysis = sharer.map(Sharer::into_kept).or(memory.analysis.take());
        Ok(RunReport { chunk_rows: schedule.chunk_rows, first_layer: schedule.first_layer, sharing })
    }

    /// What decides block by block, if the run may share; makes room for it, and takes what a run before has kept.
    fn sharer(
        &self,
        expander: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        schedule: &mut Schedule,
        largest_tile: usize,
        kept: &mut Option<Analysis>,
    ) -> Result<Option<Sharer>> {
        let wanted = match options.sharing {
            Sharing::Off => false,
            Sharing::Auto => options.first_layer.is_none() && rows >= FEWEST_ROWS,
            Sharing::First(_) => true,
        };
        let Some(dependence) = expander.dependence().filter(|dependence| wanted && dependence.is_sound(rows))
        else {
            return Ok(None);
        };
        let cap = options.memory_bytes.unwrap_or(DEFAULT_CAP_BYTES);
        // Tables are small beside columns, unless a run before had a larger cap.
        let kept = kept.take().filter(|kept| kept.kept_bytes() <= cap / 2);
        let Some(analysis) = Analysis::of(&self.plan, dependence, kept)? else { return Ok(None) };
        // Columns may take half of what the threads leave of the cap, and what the dense rest leaves.
        let threads = self.thread_bytes(largest_tile);
        let rows = cap.saturating_sub(threads) / 2 / self.sample_bytes();
        schedule.chunk_rows = schedule.chunk_rows.min(usize::try_from(rows).unwrap_or(usize::MAX)).max(1);
        let budget = cap.saturating_sub(threads + schedule.chunk_rows as u64 * self.sample_bytes());
        let costs = costs(&self.plan, &self.steps);
        Ok(Some(Sharer::new(analysis, costs, options.sharing, budget)))
    }

    /// Bytes of the chunk's memory for each sample.
    fn sample_bytes(&self) -> u64 {
        (size_of::<f32>() * (self.layout.shared_floats() + self.plan.outputs).max(1)) as u64
    }

    /// Chunk size under the cap, and the largest tile that leaves room for it.
    fn schedule(
        &self,
        rows: usize,
        locality: Option<&Locality>,
        options: &RunOptions,
    ) -> Result<(Schedule, usize)> {
        let cap = options.memory_bytes.unwrap_or(DEFAULT_CAP_BYTES);
        // Threads' memory may take half of the cap, the chunk's the rest.
        let sample_bytes = self.sample_bytes();
        let fits = |&&tile: &&usize| {
            let own = self.thread_bytes(tile);
            own <= cap / 2 && own.saturating_add(sample_bytes) <= cap
        };
        let largest = TILES.iter().rev().find(fits).copied().unwrap_or(1);
        let needs = Needs { fixed_bytes: self.thread_bytes(largest), sample_bytes };
        let preferred = (PREFERRED_MACS / self.plan.macs().max(1)).clamp(PREFERRED_ROWS, MOST_ROWS) as usize;
        let schedule = Schedule::new(&self.plan, rows, locality, needs, cap, preferred)?;
        Ok((schedule, largest))
    }

    /// Bytes of all threads' memory if no tile is larger than `largest`.
    fn thread_bytes(&self, largest: usize) -> u64 {
        let own = |(number, segment): (usize, &Segment)| {
            self.layout.own_floats(number, segment.tile.unwrap_or(1).min(largest))
        };
        let own = self.segments.iter().enumerate().map(own).max().unwrap_or(0);
        let scratch = self.steps.iter().map(|step| step.scratch_floats(largest)).max().unwrap_or(0);
        let partial = self.steps.iter().map(|step| step.partial_floats(self.level)).max().unwrap_or(0);
        let between = self.groups.iter().map(Group::floats).max().unwrap_or(0);
        (size_of::<f32>() * (own + scratch + partial + between) * rayon::current_num_threads()) as u64
    }

    /// Whether the first layer's input can be selected from a locality while it is read, every bit being there.
    fn can_mask(&self, locality: &Locality, rows: usize) -> bool {
        let fits = |&player: &u32| player == u32::MAX || (player as usize) < 32 * locality.words_per_row;
        self.plan.can_mask(locality)
            && locality.masks.len() >= rows * locality.words_per_row
            && locality.players.iter().all(fits)
    }
}

impl Engine for CpuNetwork {
    fn run(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        CpuNetwork::run(self, perturbation, rows, options, sink)
    }

    fn chunk_rows(&self, rows: usize, options: &RunOptions) -> Result<usize> {
        Ok(self.schedule(rows, None, options)?.0.chunk_rows)
    }

    fn means(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        CpuNetwork::means(self, perturbation, rows, means, options, sink)
    }

    fn profile(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
    ) -> Result<Vec<StepProfile>> {
        CpuNetwork::profile(self, perturbation, rows, options)
    }
}

/// Locks; memory that a panic left behind is overwritten before it is read, so poison does not matter.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
