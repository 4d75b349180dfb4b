//! Blocks of samples, and which steps each runs over columns.

use std::ops::Range;
use std::sync::Arc;

use crate::plan::sharing::{Analysis, Choice, Costs, MOST_ROWS, Prefix, Program, pixels};
use crate::plan::{Dependence, Plan, Sharing, SharingReport};

/// Samples below which it is not worth looking for shared columns.
pub(crate) const FEWEST_ROWS: usize = 16;

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
    /// Rows of a block, at most.
    block_rows: usize,
    /// What has been done so far.
    pub report: Option<SharingReport>,
}

impl Sharer {
    /// Decides for a run whose perturbation depends on players so; `budget` caps the bytes of columns and tables.
    pub fn new(program: Program, dependence: Dependence, costs: Costs, mode: Sharing, budget: u64) -> Self {
        let program = Arc::new(program);
        let analysis = Analysis::new(program.clone(), dependence);
        Sharer { program, analysis, costs, mode, budget, block_rows: MOST_ROWS, report: None }
    }

    /// Makes do with half of the memory from now on.
    pub fn halve(&mut self) {
        self.budget /= 2;
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

    /// The first block of `rows` that fits, and how it runs.
    fn decide(&mut self, plan: &Plan, rows: Range<usize>) -> (Range<usize>, Choice) {
        loop {
            // Blocks of one size, as far as they go: a small last one would share little.
            let blocks = rows.len().div_ceil(self.block_rows);
            let block = rows.start..rows.start + rows.len().div_ceil(blocks);
            let choice = self.analysis.block(plan, block.clone(), &self.costs, self.mode, self.budget);
            let Choice::TooLarge(bytes) = choice else { return (block, choice) };
            // Columns grow more slowly than samples, so this may be somewhat less than would fit.
            let fits = (block.len() as f64 * self.budget as f64 / bytes as f64 * 0.95) as usize;
            if fits < FEWEST_ROWS {
                return (block, choice);
            }
            self.block_rows = fits.min(block.len() - 1);
        }
    }

    /// The steps that were looked at for the first block of `rows`, and what became of them.
    pub fn inspect(&mut self, plan: &Plan, rows: Range<usize>) -> (usize, Vec<StepSharing>) {
        let (steps, block, counted) = match self.decide(plan, rows.clone()) {
            (block, Choice::Shared(prefix)) => (prefix.steps, block, prefix.counted),
            (block, Choice::Dense(counted)) => (0, block, counted),
            (block, Choice::TooLarge(_)) => (0, block, Vec::new()),
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
