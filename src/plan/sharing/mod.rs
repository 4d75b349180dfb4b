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

use rayon::prelude::*;

#[doc(hidden)]
pub use choose::{Candidate, Costs, StepCost, by_cost};
#[doc(hidden)]
pub use program::{Live, Op, Piece, Program, Source, Value, ValueId};
pub(crate) use program::{Reading, binary_rows, reading};
pub(crate) use restrict::MOST_ROWS;
#[doc(hidden)]
pub use restrict::Restriction;
use restrict::{Presence, Scratch};
#[doc(hidden)]
pub use sets::SetId;
use sets::Sets;

use super::memory::{Lifetime, share};
use super::{Conv, Dependence, Kernel, Plan, Sliding};

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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The restrictions of a block's coalitions, by set.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Restrictions {
    of: Vec<Option<Restriction>>,
}

impl Restrictions {
    /// The restrictions to a set that some value's pixel has.
    pub fn of(&self, set: SetId) -> &Restriction {
        // Made for every set before the columns of the values that have it.
        self.of[set as usize].as_ref().unwrap_or_else(|| unreachable!("restrictions to set {set} were made"))
    }

    /// Which sets some columns have.
    fn used(&self, columns: &[Columns]) -> Vec<bool> {
        let mut used = vec![false; self.of.len()];
        columns.iter().flat_map(|columns| columns.sets.iter()).for_each(|&set| used[set as usize] = true);
        used
    }

    /// Bytes of the tables that are used.
    fn bytes(&self, used: &[bool]) -> usize {
        let tables = self.of.iter().zip(used).filter(|(_, used)| **used);
        tables.filter_map(|(table, _)| table.as_ref().map(Restriction::bytes)).sum()
    }

    /// Forgets all others.
    fn keep(&mut self, used: &[bool]) {
        self.of.iter_mut().zip(used).filter(|(_, used)| !**used).for_each(|(table, _)| *table = None);
    }
}

/// The sets of players behind every value of a program, which all blocks of a run share.
#[doc(hidden)]
pub struct Analysis {
    program: Arc<Program>,
    dependence: Dependence,
    players: usize,
    sets: Sets,
    /// Of the values seen so far.
    of_values: Vec<Option<Arc<[SetId]>>>,
}

/// How a block of samples runs: the first steps over columns.
#[doc(hidden)]
pub struct Prefix {
    /// How many steps.
    pub steps: usize,
    /// Rows of the run that share them.
    pub rows: Range<usize>,
    /// Columns of each value.
    pub columns: Vec<Columns>,
    /// The block's restrictions.
    pub restrictions: Restrictions,
    /// Buffer of each value among [`buffers`](Prefix::buffers).
    pub places: Vec<usize>,
    /// Floats of each buffer; values that do not live at the same time share one.
    pub buffers: Vec<usize>,
    /// Columns that each step has been found to need, also beyond the last shared one.
    pub counted: Vec<usize>,
    /// What the whole block costs, its dense rest included, in the unit of [`Costs`],
    pub cost: f64,
    /// and whether no number of steps would cost less if there were more memory.
    pub cheapest: bool,
}

/// What became of a block.
#[doc(hidden)]
pub enum Choice {
    /// The cheapest number of steps that fits.
    Shared(Box<Prefix>),
    /// It would not pay; the columns that were counted before that was clear.
    Dense(Vec<usize>),
    /// Sharing would pay if there were room for it.
    TooLarge,
}

impl Choice {
    /// Whether more memory would not make it cheaper.
    pub(crate) fn is_cheapest(&self) -> bool {
        match self {
            Choice::Shared(prefix) => prefix.cheapest,
            Choice::Dense(_) => true,
            Choice::TooLarge => false,
        }
    }
}

impl Analysis {
    /// Prepares a run; the dependence has as many pixels as the program's input.
    pub fn new(program: Arc<Program>, dependence: Dependence) -> Self {
        let players = dependence.players.iter().max().map_or(0, |&last| last as usize + 1);
        let of_values = vec![None; program.values.len()];
        Analysis { program, dependence, players, sets: Sets::new(players), of_values }
    }

    /// What is analysed.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
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
        let words = self.dependence.words_per_row;
        let masks = &self.dependence.masks[rows.start * words..rows.end * words];
        let presence = Presence::new(masks, words, rows.len(), self.players);
        let program = self.program.clone();
        let mut restrictions = Restrictions::default();
        let mut columns: Vec<Columns> = Vec::with_capacity(program.values.len());
        columns.push(self.columns(plan, 0, None, &presence, &mut restrictions));
        let dense: f64 = costs.steps.iter().map(|cost| cost.dense).sum::<f64>() * rows.len() as f64;
        let (mut saved, mut spent) = (0.0, costs.expand * columns[0].len() as f64);
        let mut counted = Vec::new();
        let mut candidates = vec![Candidate { steps: 0, cost: dense }];
        let mut at = 0;
        for step in 0..program.steps() {
            let mut hopeless = false;
            while let Some((_, op)) = program.ops.get(at).filter(|(number, _)| *number == step) {
                // Values are numbered in the order of operations.
                debug_assert_eq!(op.output(), columns.len());
                let found = self.columns(plan, op.output(), Some((step, op)), &presence, &mut restrictions);
                let value = &program.values[op.output()];
                let count = found.len() as f64;
                spent += match op {
                    Op::Step { .. } => costs.steps[step].column * count,
                    Op::Join { .. } => costs.join * count * value.channels as f64,
                };
                hopeless |= count >= HOPELESS * (rows.len() * value.pixels) as f64;
                if let Op::Step { .. } = op {
                    counted.push(found.len());
                }
                columns.push(found);
                at += 1;
            }
            saved += costs.steps[step].dense * rows.len() as f64;
            let live = &program.live[step + 1];
            let elements =
                |live: &Live| program.values[live.value].pixels * program.values[live.value].channels;
            let expanded: usize = live.iter().map(elements).sum();
            let cost = dense - saved + spent + costs.expand * (expanded * rows.len()) as f64;
            candidates.push(Candidate { steps: step + 1, cost });
            if hopeless && mode == Sharing::Auto {
                break;
            }
        }
        let order = match mode {
            Sharing::Auto => by_cost(&candidates, costs.least_gain),
            Sharing::First(steps) => {
                candidates[1..].iter().take(steps).next_back().copied().into_iter().collect()
            }
            Sharing::Off => Vec::new(),
        };
        for (rank, &Candidate { steps, cost }) in order.iter().enumerate() {
            let (places, buffers) = self.storage(steps, &columns, costs.channel_multiple);
            let values = 1 + program.ops_of(steps).len();
            let made: usize = columns[1..values].iter().map(Columns::len).sum();
            let used = restrictions.used(&columns[..values]);
            let tables = restrictions.bytes(&used);
            let bytes = (4 * buffers.iter().sum::<usize>() + tables + costs.column_bytes * made) as u64;
            if bytes <= budget {
                restrictions.keep(&used);
                columns.truncate(values);
                let cheapest = rank == 0;
                return Choice::Shared(Box::new(Prefix {
                    steps,
                    rows,
                    columns,
                    restrictions,
                    places,
                    buffers,
                    counted,
                    cost,
                    cheapest,
                }));
            }
        }
        if order.is_empty() { Choice::Dense(counted) } else { Choice::TooLarge }
    }

    /// The columns of a value: those of its making operation's readers' sets.
    fn columns(
        &mut self,
        plan: &Plan,
        value: ValueId,
        op: Option<(usize, &Op)>,
        presence: &Presence,
        restrictions: &mut Restrictions,
    ) -> Columns {
        let sets = match &self.of_values[value] {
            Some(sets) => sets.clone(),
            None => {
                let sets: Arc<[SetId]> = self.sets_of(plan, op).into();
                self.of_values[value] = Some(sets.clone());
                sets
            }
        };
        restrictions.of.resize_with(self.sets.len(), || None);
        let mut missing: Vec<SetId> =
            sets.iter().copied().filter(|&set| restrictions.of[set as usize].is_none()).collect();
        missing.sort_unstable();
        missing.dedup();
        let restrict =
            |scratch: &mut Scratch, &set: &SetId| presence.restrict(&self.sets.players(set), scratch);
        let made: Vec<Restriction> = missing.par_iter().map_init(Scratch::default, restrict).collect();
        for (set, made) in missing.into_iter().zip(made) {
            restrictions.of[set as usize] = Some(made);
        }
        let mut starts = Vec::with_capacity(sets.len() + 1);
        let mut total = 0;
        starts.push(0);
        for &set in sets.iter() {
            total += restrictions.of(set).rows.len();
            starts.push(total);
        }
        Columns { sets, starts }
    }

    /// The players of each pixel of what an operation makes, or of the input.
    fn sets_of(&mut self, plan: &Plan, op: Option<(usize, &Op)>) -> Vec<SetId> {
        let known = |values: &[Option<Arc<[SetId]>>], value: ValueId| -> Arc<[SetId]> {
            values[value].clone().unwrap_or_else(|| unreachable!("values are made in order"))
        };
        let Some((step, op)) = op else {
            let Dependence { starts, players, .. } = &self.dependence;
            let pixel = |ends: &[u32]| players[ends[0] as usize..ends[1] as usize].iter().copied();
            return starts.windows(2).map(|ends| self.sets.of(pixel(ends))).collect();
        };
        let values: Vec<Arc<[SetId]>> = op.reads().map(|value| known(&self.of_values, value)).collect();
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

    /// Which values may share a buffer if the first `steps` steps run over columns.
    fn storage(&self, steps: usize, columns: &[Columns], multiple: usize) -> (Vec<usize>, Vec<usize>) {
        let program = &self.program;
        let ops = program.ops_of(steps);
        let mut lifetimes: Vec<Lifetime> = Vec::with_capacity(ops.len() + 1);
        let floats =
            |value: ValueId| columns[value].len() * program.values[value].channels.next_multiple_of(multiple);
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
        share(&lifetimes)
    }
}

impl Prefix {
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
