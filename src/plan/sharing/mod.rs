//! Local coalition sharing: early layers once for each distinct local coalition.
//!
//! Under a mask of segments, an activation depends only on the bits of the players in its receptive field. For output
//! pixel `p` of a step let `R(p)` be those players; samples whose coalitions agree on `R(p)` have the same activations
//! there, and only `U(p)` of the `N` differ. So a step can run over *columns*, one for each pixel and distinct
//! restriction of the run's coalitions to `R(p)`: `Σ_p U(p)` instead of `N · H · W`. The rows that a window reads are
//! found through the restrictions themselves: column `(p, u)` stands for the first sample `n` with that restriction,
//! and tap `q` is column `(q, number of n's restriction to R(q))`. No other table is kept. That is the "rulebook" of
//! sparse convolutions (Graham, Engelcke and van der Maaten, 2018) with coalitions in the place of occupied sites. The
//! results are exact; only the order of floating-point additions differs.
//!
//! `R` grows by union over windows, residual additions and concatenations and stays in elementwise steps; taps outside
//! the picture add nothing to it. Where columns cost more than the best dense kernel, they are expanded to samples and
//! the rest of the plan runs dense. Which step that is follows from the coalitions and the engine's [`Costs`].

mod choose;
mod program;
mod restrict;
mod sets;

use std::ops::Range;
use std::sync::Arc;

#[doc(hidden)]
pub use choose::{Candidate, Costs, StepCost, by_cost};
#[doc(hidden)]
pub use program::{Live, Op, Piece, Program, Source, Value, ValueId};
pub(crate) use program::{Reading, binary_rows, reading};
pub(crate) use restrict::MOST_ROWS;
#[doc(hidden)]
pub use restrict::{Restriction, Restrictions};
#[doc(hidden)]
pub use sets::SetId;
use sets::Sets;

use super::memory::{Lifetime, Storage};
use super::{Conv, Dependence, Kernel, Plan, Sliding};
use crate::Result;

/// Beyond this share of a dense layer's columns no kernel over columns wins.
const HOPELESS: f64 = 0.97;

/// Whether early layers are shared between coalitions.
///
/// # Example
/// ```
/// use whybox::device::RunOptions;
/// use whybox::plan::Sharing;
///
/// let alone = RunOptions { sharing: Sharing::Off, ..RunOptions::default() };
/// assert_ne!(alone.sharing, RunOptions::default().sharing);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Where it pays: on the processor from 2 % of the run's estimated cost on; on a GPU from a half on, since its tables are
    /// made on the host and no real GPU has been measured.
    #[default]
    Auto,
    /// So many steps, or as many as is possible, whatever it costs: for tests and benchmarks.
    First(usize),
    /// Never.
    Off,
}

/// What sharing did in a run.
///
/// # Example
/// ```
/// use whybox::plan::SharingReport;
///
/// let report = SharingReport { steps: 4, block_rows: 1000, macs: 25, dense_macs: 100 };
/// assert_eq!(report.macs as f64 / report.dense_macs as f64, 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharingReport {
    /// Steps that ran over columns in the first block, counted from the network's input.
    pub steps: usize,
    /// Samples that shared columns with each other. Fewer than the run's where memory did not allow for more: then
    /// less is saved.
    pub block_rows: usize,
    /// Multiply-adds that were done,
    pub macs: u64,
    /// of so many that a plain evaluation of every sample takes.
    pub dense_macs: u64,
}

/// The columns of a value: for each pixel one for each distinct restriction, pixel by pixel.
#[doc(hidden)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// The players on which each pixel depends.
    pub sets: Arc<[SetId]>,
    /// Pixel p has the columns `starts[p]..starts[p + 1]`.
    pub starts: Vec<usize>,
}

impl Columns {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The sets of players behind every value of a program, which all blocks of a run share, and the block at hand. What a
/// block needs is refilled for the next one, of this run or of a later one: once it is as large as the largest block
/// asks for, nothing is allocated.
#[doc(hidden)]
pub struct Analysis {
    program: Arc<Program>,
    dependence: Dependence,
    players: usize,
    sets: Sets,
    /// Of the values seen so far,
    of_values: Vec<Arc<[SetId]>>,
    /// and how many sets there were after each: they are numbered in the order in which values have them.
    sets_after: Vec<usize>,
    /// The block that was looked at last.
    prefix: Prefix,
    /// Columns of each of its values, also beyond the shared steps.
    totals: Vec<usize>,
    /// Values whose sets get tables as soon as they are looked at.
    tabled: usize,
    candidates: Vec<Candidate>,
    lifetimes: Vec<Lifetime>,
}

/// How a block of samples runs: the first steps over columns.
#[doc(hidden)]
#[derive(Default)]
pub struct Prefix {
    /// How many steps.
    pub steps: usize,
    /// Rows of the run that share them.
    pub rows: Range<usize>,
    /// Columns of each value that these steps make or read.
    pub columns: Vec<Columns>,
    /// The block's restrictions.
    pub restrictions: Restrictions,
    /// Columns that each step has been found to need, also beyond the last shared one.
    pub counted: Vec<usize>,
    storage: Storage,
}

/// What became of a block.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// The cheapest number of steps that fits.
    Shared {
        /// What the whole block costs, its dense rest included, in the unit of [`Costs`],
        cost: f64,
        /// and whether no number of steps would cost less if there were more memory.
        cheapest: bool,
    },
    /// It would not pay.
    Dense,
    /// Sharing would pay if there were room for it.
    TooLarge,
}

impl Choice {
    /// Whether more memory would not make it cheaper.
    pub(crate) fn is_cheapest(&self) -> bool {
        match self {
            Choice::Shared { cheapest, .. } => *cheapest,
            Choice::Dense => true,
            Choice::TooLarge => false,
        }
    }
}

impl Analysis {
    /// Prepares a run; the dependence has as many pixels as the program's input.
    pub fn new(program: Program, dependence: Dependence) -> Self {
        let players = dependence.players.iter().max().map_or(0, |&last| last as usize + 1);
        let (program, sets) = (Arc::new(program), Sets::new(players));
        let (of_values, sets_after, prefix, totals, tabled, candidates, lifetimes) = Default::default();
        Analysis {
            program,
            dependence,
            players,
            sets,
            of_values,
            sets_after,
            prefix,
            totals,
            tabled,
            candidates,
            lifetimes,
        }
    }

    /// Prepares a run of a plan as [`new`](Analysis::new) does, with what a run before has `kept` of the same plan if its
    /// pixels depended on the same players; `None` if no step of the plan can be shared.
    pub(crate) fn of(plan: &Plan, dependence: Dependence, kept: Option<Analysis>) -> Result<Option<Self>> {
        let same = |kept: &Analysis| {
            kept.dependence.starts == dependence.starts && kept.dependence.players == dependence.players
        };
        if let Some(kept) = kept.filter(same) {
            return Ok(Some(Analysis { dependence, ..kept }));
        }
        let program = Program::new(plan, dependence.pixels())?;
        Ok(program.map(|program| Analysis::new(program, dependence)))
    }

    /// Forgets the run's coalitions, keeps what depends on none, and the memory.
    pub(crate) fn kept(mut self) -> Self {
        self.dependence.masks = Arc::default();
        self
    }

    /// Bytes of the tables that are kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let starts = self.prefix.columns.iter().map(|columns| columns.starts.capacity());
        (self.prefix.restrictions.kept_bytes() + size_of::<usize>() * starts.sum::<usize>()) as u64
    }

    /// What is analysed.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The block that was looked at last: how many columns there are. Its tables are there once it is
    /// [complete](Analysis::complete).
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Decides for some rows of the run: at most 65,536. `budget` caps the bytes of columns and tables.
    pub fn block(
        &mut self,
        plan: &Plan,
        rows: Range<usize>,
        costs: &Costs,
        mode: Sharing,
        budget: u64,
    ) -> Choice {
        // What a block before has shared, this one probably will: its tables are made on the way, and at first all. Where
        // tables would outgrow those of the block before, they can wait until this one is decided on.
        self.tabled = match self.prefix.columns.len() {
            0 => usize::MAX,
            values if rows.len() <= self.prefix.rows.len() => values,
            _ => 0,
        };
        self.decide(plan, rows, costs, mode, budget)
    }

    /// As [`block`](Analysis::block), for a block that may be far larger than what fits: counts, and makes no table.
    pub fn weigh(
        &mut self,
        plan: &Plan,
        rows: Range<usize>,
        costs: &Costs,
        mode: Sharing,
        budget: u64,
    ) -> Choice {
        self.tabled = 0;
        if self.prefix.columns.is_empty() {
            self.prefix.restrictions.keep(0);
        }
        self.decide(plan, rows, costs, mode, budget)
    }

    fn decide(
        &mut self,
        plan: &Plan,
        rows: Range<usize>,
        costs: &Costs,
        mode: Sharing,
        budget: u64,
    ) -> Choice {
        let words = self.dependence.words_per_row;
        let masks = &self.dependence.masks[rows.start * words..rows.end * words];
        self.prefix.restrictions.begin(masks, words, rows.len(), self.players);
        self.prefix.rows = rows.clone();
        self.prefix.counted.clear();
        self.totals.clear();
        self.candidates.clear();
        let program = self.program.clone();
        let columns = self.count(plan, 0, None);
        let dense: f64 = costs.steps.iter().map(|cost| cost.dense).sum::<f64>() * rows.len() as f64;
        let (mut saved, mut spent) = (0.0, costs.expand * columns as f64);
        let mut at = 0;
        for step in 0..program.steps() {
            let mut hopeless = false;
            while let Some((_, op)) = program.ops.get(at).filter(|(number, _)| *number == step) {
                let columns = self.count(plan, op.output(), Some((step, op)));
                let value = &program.values[op.output()];
                let count = columns as f64;
                spent += match op {
                    Op::Step { .. } => costs.steps[step].column * count,
                    Op::Join { .. } => costs.join * count * value.channels as f64,
                };
                hopeless |= count >= HOPELESS * (rows.len() * value.pixels) as f64;
                if let Op::Step { .. } = op {
                    self.prefix.counted.push(columns);
                }
                at += 1;
            }
            saved += costs.steps[step].dense * rows.len() as f64;
            let live = &program.live[step + 1];
            let elements =
                |live: &Live| program.values[live.value].pixels * program.values[live.value].channels;
            let expanded: usize = live.iter().map(elements).sum();
            let cost = dense - saved + spent + costs.expand * (expanded * rows.len()) as f64;
            self.candidates.push(Candidate { steps: step + 1, cost });
            if hopeless && mode == Sharing::Auto {
                break;
            }
        }
        let candidates = std::mem::take(&mut self.candidates);
        let (worth, most) = match mode {
            Sharing::Auto => (&candidates[..], (1.0 - costs.least_gain) * dense),
            Sharing::First(steps) => {
                let last = steps.min(candidates.len());
                (&candidates[last.saturating_sub(1)..last], f64::INFINITY)
            }
            Sharing::Off => (&[][..], 0.0),
        };
        let mut choice = Choice::Dense;
        for (rank, Candidate { steps, cost }) in by_cost(worth, most).enumerate() {
            self.store(steps, costs.channel_multiple);
            let values = 1 + program.ops_of(steps).len();
            let made: usize = self.totals[1..values].iter().sum();
            let tables = self.prefix.restrictions.bytes(self.sets_after[values - 1]);
            let columns = 4 * self.prefix.buffers().iter().sum::<usize>();
            if (columns + tables + costs.column_bytes * made) as u64 <= budget {
                self.prefix.steps = steps;
                choice = Choice::Shared { cost, cheapest: rank == 0 };
                break;
            }
            choice = Choice::TooLarge;
        }
        self.candidates = candidates;
        choice
    }

    /// Makes the tables of the block that was looked at last, which is shared.
    pub fn complete(&mut self) {
        let Prefix { steps, columns, restrictions, .. } = &mut self.prefix;
        let values = 1 + self.program.ops_of(*steps).len();
        restrictions.make(&self.sets, self.sets_after[values - 1]);
        columns.resize_with(values.max(columns.len()), Columns::default);
        // Those of no value that was ever shared were made in vain.
        restrictions.keep(self.sets_after[columns.len() - 1]);
        for (columns, sets) in columns[..values].iter_mut().zip(&self.of_values) {
            columns.sets = sets.clone();
            columns.starts.clear();
            columns.starts.reserve(sets.len() + 1);
            let mut total = 0;
            columns.starts.push(total);
            columns.starts.extend(sets.iter().map(|&set| {
                total += restrictions.count_of(set);
                total
            }));
        }
    }

    /// Counts the columns of a value, the next one: a column for each restriction to each pixel's set.
    fn count(&mut self, plan: &Plan, value: ValueId, op: Option<(usize, &Op)>) -> usize {
        // Values are numbered in the order of operations.
        debug_assert_eq!(value, self.totals.len());
        if value == self.of_values.len() {
            let sets = self.sets_of(plan, op).into();
            self.of_values.push(sets);
            self.sets_after.push(self.sets.len());
        }
        let restrictions = &mut self.prefix.restrictions;
        if value < self.tabled {
            restrictions.make(&self.sets, self.sets_after[value]);
        } else {
            restrictions.count(&self.sets, self.sets_after[value]);
        }
        let total = self.of_values[value].iter().map(|&set| restrictions.count_of(set)).sum();
        self.totals.push(total);
        total
    }

    /// The players of each pixel of what an operation makes, or of the input.
    fn sets_of(&mut self, plan: &Plan, op: Option<(usize, &Op)>) -> Vec<SetId> {
        let Some((step, op)) = op else {
            let Dependence { starts, players, .. } = &self.dependence;
            let pixel = |ends: &[u32]| players[ends[0] as usize..ends[1] as usize].iter().copied();
            return starts.windows(2).map(|ends| self.sets.of(pixel(ends))).collect();
        };
        let values: Vec<Arc<[SetId]>> = op.reads().map(|value| self.of_values[value].clone()).collect();
        let window = match (op, reading(&plan.steps[step].kernel)) {
            (Op::Step { .. }, Some(Reading::Window(sliding))) => Some(sliding),
            _ => None,
        };
        let Some(sliding) = window.filter(|sliding| !sliding.is_pointwise()) else {
            let pixels = values.first().map_or(0, |sets| sets.len());
            if let [only] = &values[..] {
                return only.to_vec();
            }
            return (0..pixels).map(|p| self.sets.union(values.iter().map(|sets| sets[p]))).collect();
        };
        let mut taps: Vec<usize> = Vec::new();
        let mut all = Vec::with_capacity(sliding.output_rows());
        for pixel in 0..sliding.output_rows() {
            taps.clear();
            inside(&sliding, pixel, |_, source| taps.push(source));
            let windows = taps.iter().map(|&source| values[0][source]);
            all.push(self.sets.union(windows.chain(values[1..].iter().map(|sets| sets[pixel]))));
        }
        all
    }

    /// Finds which values share a buffer if the first `steps` steps run over columns.
    fn store(&mut self, steps: usize, multiple: usize) {
        let Analysis { program, totals, lifetimes, .. } = self;
        let ops = program.ops_of(steps);
        lifetimes.clear();
        let floats =
            |value: ValueId| totals[value] * program.values[value].channels.next_multiple_of(multiple);
        lifetimes.push(Lifetime { first: None, last: 0, len: floats(0).next_multiple_of(16) });
        for (at, (_, op)) in ops.iter().enumerate() {
            op.reads().for_each(|value| lifetimes[value].last = at);
            lifetimes.push(Lifetime {
                first: Some(at),
                last: at,
                len: floats(op.output()).next_multiple_of(16),
            });
        }
        for live in &program.live[steps] {
            lifetimes[live.value].last = usize::MAX;
        }
        self.prefix.storage.share(lifetimes);
    }
}

impl Prefix {
    /// Buffer of each value among [`buffers`](Prefix::buffers).
    pub fn places(&self) -> &[usize] {
        &self.storage.places
    }

    /// Floats of each buffer; values that do not live at the same time share one.
    pub fn buffers(&self) -> &[usize] {
        &self.storage.buffers
    }

    /// Multiply-adds of the shared steps, and of the same steps for every sample.
    pub fn macs(&self, plan: &Plan) -> [u64; 2] {
        let rows = self.rows.len() as u64;
        let steps = plan.steps[..self.steps].iter().zip(&self.counted);
        steps.fold([0, 0], |[shared, dense], (step, &columns)| {
            [shared + per_column(&step.kernel, step.macs) * columns as u64, dense + step.macs * rows]
        })
    }
}

/// Multiply-adds of one column of a step.
fn per_column(kernel: &Kernel, macs: u64) -> u64 {
    macs / pixels(kernel).max(1) as u64
}

/// Pixels that a step writes for each sample, if it can be followed pixel by pixel.
pub(crate) fn pixels(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::Conv(Conv { sliding, .. }) => sliding.output_rows(),
        Kernel::Pool(pool) => pool.sliding.output_rows(),
        Kernel::Map(map) => map.rows,
        Kernel::Affine(affine) => affine.rows,
        Kernel::Binary(binary) => binary.shape[..3].iter().product(),
        _ => 0,
    }
}

/// Calls `tap` with the number of each tap of an output pixel that lies inside the picture, and the input pixel
/// there.
#[inline(always)]
pub(crate) fn inside(sliding: &Sliding, pixel: usize, mut tap: impl FnMut(usize, usize)) {
    let window = &sliding.window;
    let at = [pixel / sliding.output[1], pixel % sliding.output[1]];
    let along = |axis: usize, k: usize| {
        // Wraps below zero, to a number beyond any picture.
        (at[axis] * window.stride[axis] + k * window.dilation[axis]).wrapping_sub(window.pads[axis])
    };
    for ky in 0..window.kernel[0] {
        let y = along(0, ky);
        if y >= sliding.input[0] {
            continue;
        }
        for kx in 0..window.kernel[1] {
            let x = along(1, kx);
            if x < sliding.input[1] {
                tap(ky * window.kernel[1] + kx, y * sliding.input[1] + x);
            }
        }
    }
}
