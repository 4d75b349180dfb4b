//! Blocks of samples, and which steps each runs over columns.

use std::ops::Range;
use std::sync::Arc;

use crate::plan::sharing::{Analysis, Choice, Costs, MOST_ROWS, Prefix, Program, pixels};
use crate::plan::{Dependence, Plan, Sharing, SharingReport};

/// Samples below which it is not worth looking for shared columns.
pub(crate) const FEWEST_ROWS: usize = 16;

/// Rows of the blocks with which the search for a good size starts, at least, if there are so many.
const START_ROWS: usize = 1024;

/// What sharing does for a step.
///
/// # Example
/// ```
/// use whybox::device::cpu::StepSharing;
///
/// let conv = StepSharing { step: "conv1".into(), shared: true, columns: 250, dense_columns: 1000, macs: 4000 };
/// assert_eq!(conv.kept(), 0.25);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSharing {
    /// The step's name.
    pub step: String,
    /// Whether it runs over columns.
    pub shared: bool,
    /// Distinct columns of a block of samples,
    pub columns: usize,
    /// of so many pixels of all samples.
    pub dense_columns: usize,
    /// Multiply-adds of a plain evaluation of the block.
    pub macs: u64,
}

impl StepSharing {
    /// Distinct columns as a share of all.
    pub fn kept(&self) -> f64 {
        self.columns as f64 / self.dense_columns.max(1) as f64
    }
}

/// Decides which steps run over columns, block by block.
pub(crate) struct Sharer {
    pub program: Arc<Program>,
    analysis: Analysis,
    costs: Costs,
    mode: Sharing,
    /// Bytes for columns and tables.
    budget: u64,
    /// Rows of a block, at most; `None` until one has been decided on.
    block_rows: Option<usize>,
    /// What has been done so far.
    pub report: Option<SharingReport>,
}

impl Sharer {
    /// Decides for a run whose perturbation depends on players so; `budget` caps the bytes of columns and tables.
    pub fn new(program: Program, dependence: Dependence, costs: Costs, mode: Sharing, budget: u64) -> Self {
        let program = Arc::new(program);
        let analysis = Analysis::new(program.clone(), dependence);
        Sharer { program, analysis, costs, mode, budget, block_rows: None, report: None }
    }

    /// Makes do with half of the memory from now on.
    pub fn halve(&mut self) {
        self.budget /= 2;
        self.block_rows = None;
    }

    /// The next block of `rows`, or nothing if the rest of the run is dense.
    pub fn next(&mut self, plan: &Plan, rows: Range<usize>) -> Option<Prefix> {
        let (block, Choice::Shared(prefix)) = self.decide(plan, rows) else { return None };
        let [macs, dense_macs] = prefix.macs(plan);
        let rest: u64 = plan.steps[prefix.steps..].iter().map(|step| step.macs).sum();
        let rest = rest * block.len() as u64;
        let new = SharingReport { steps: prefix.steps, block_rows: block.len(), macs: 0, dense_macs: 0 };
        let report = self.report.get_or_insert(new);
        report.macs += macs + rest;
        report.dense_macs += dense_macs + rest;
        Some(*prefix)
    }

    /// The first block of `rows`, and how it runs.
    fn decide(&mut self, plan: &Plan, rows: Range<usize>) -> (Range<usize>, Choice) {
        while let Some(block_rows) = self.block_rows {
            let block = part(&rows, rows.len().div_ceil(block_rows));
            let choice = self.analysis.block(plan, block.clone(), &self.costs, self.mode, self.budget);
            let Choice::TooLarge = choice else { return (block, choice) };
            // Another block of this size did fit: this one by chance has more columns.
            self.block_rows = (block.len() > FEWEST_ROWS).then(|| block.len() * 9 / 10);
        }
        let (block, choice) = self.search(plan, &rows);
        self.block_rows = Some(block.len());
        (block, choice)
    }

    /// Looks for the number of blocks that costs least: in larger ones, samples share more, but fewer steps may fit. From
    /// blocks of about a thousand upwards as long as that gains, so that no tables are made that are far larger than
    /// what fits, and downwards if memory is what keeps the cheapest steps from being shared.
    fn search(&mut self, plan: &Plan, rows: &Range<usize>) -> (Range<usize>, Choice) {
        let allowed = |&blocks: &usize| {
            rows.len().div_ceil(blocks) <= MOST_ROWS && (blocks == 1 || rows.len() / blocks >= FEWEST_ROWS)
        };
        let counts: Vec<usize> = block_counts(rows.len()).filter(allowed).collect();
        let start = counts.iter().rposition(|&blocks| rows.len() / blocks >= START_ROWS).unwrap_or(0);
        // Blocks differ somewhat, and the others should fit as well.
        let budget = self.budget / 100 * 98;
        let mut attempt = |blocks: usize| {
            let block = part(rows, blocks);
            let choice = self.analysis.block(plan, block.clone(), &self.costs, self.mode, budget);
            (block, choice)
        };
        let mut best = attempt(counts[start]);
        for &blocks in counts[..start].iter().rev() {
            if matches!(best.1, Choice::TooLarge) {
                break;
            }
            let larger = attempt(blocks);
            if cost(&larger) > cost(&best) {
                break;
            }
            best = larger;
        }
        for &blocks in &counts[start + 1..] {
            if best.1.is_cheapest() {
                break;
            }
            let smaller = attempt(blocks);
            if cost(&smaller) > cost(&best) {
                break;
            }
            best = smaller;
        }
        best
    }

    /// The steps that were looked at for the first block of `rows`, and what became of them.
    pub fn inspect(&mut self, plan: &Plan, rows: Range<usize>) -> (usize, Vec<StepSharing>) {
        let (steps, block, counted) = match self.decide(plan, rows.clone()) {
            (block, Choice::Shared(prefix)) => (prefix.steps, block, prefix.counted),
            (block, Choice::Dense(counted)) => (0, block, counted),
            (block, Choice::TooLarge) => (0, block, Vec::new()),
        };
        let table = plan.steps.iter().zip(counted).enumerate();
        let table = table.map(|(number, (step, columns))| StepSharing {
            step: step.name.clone(),
            shared: number < steps,
            columns,
            dense_columns: pixels(&step.kernel) * block.len(),
            macs: step.macs * block.len() as u64,
        });
        (block.len(), table.collect())
    }
}

/// 1, 2, 3, 4, 6, 8, 12 … up to `most`.
fn block_counts(most: usize) -> impl Iterator<Item = usize> {
    let powers = (1..usize::BITS - 1).flat_map(|power| [1 << power, 3 << (power - 1)]);
    [1].into_iter().chain(powers).take_while(move |&count| count <= most.max(1))
}

/// The first of so many blocks of one size: a small last one would share little.
fn part(rows: &Range<usize>, blocks: usize) -> Range<usize> {
    rows.start..rows.start + rows.len().div_ceil(blocks)
}

/// What a sample of a block costs if it is shared.
fn cost((block, choice): &(Range<usize>, Choice)) -> f64 {
    match choice {
        Choice::Shared(prefix) => prefix.cost / block.len() as f64,
        Choice::Dense(_) | Choice::TooLarge => f64::INFINITY,
    }
}
