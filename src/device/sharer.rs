//! Blocks of samples, and which steps each runs over columns.

use std::ops::Range;
use std::sync::Arc;

use crate::plan::sharing::{Analysis, Choice, Costs, MOST_ROWS, Prefix, Program, pixels};
use crate::plan::{Plan, Sharing, SharingReport};

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
    /// Decides for the run that is analysed; `budget` caps the bytes of columns and tables.
    pub fn new(analysis: Analysis, costs: Costs, mode: Sharing, budget: u64) -> Self {
        let program = analysis.program().clone();
        Sharer { program, analysis, costs, mode, budget, block_rows: None, report: None }
    }

    /// What the next run may use again.
    pub fn into_kept(self) -> Analysis {
        self.analysis.kept()
    }

    /// The block that [`next`](Sharer::next) has found.
    pub fn prefix(&self) -> &Prefix {
        self.analysis.prefix()
    }

    /// Makes do with half of the memory from now on.
    pub fn halve(&mut self) {
        self.budget /= 2;
        self.block_rows = None;
    }

    /// Makes the next block of `rows` the present one; `false` if the rest of the run is dense.
    pub fn next(&mut self, plan: &Plan, rows: Range<usize>) -> bool {
        let (block, Choice::Shared { .. }) = self.decide(plan, rows.clone()) else {
            if let Some(report) = &mut self.report {
                let rest = plan.macs() * rows.len() as u64;
                report.macs += rest;
                report.dense_macs += rest;
            }
            return false;
        };
        self.analysis.complete();
        let prefix = self.analysis.prefix();
        let [macs, dense_macs] = prefix.macs(plan);
        let rest: u64 = plan.steps[prefix.steps..].iter().map(|step| step.macs).sum();
        let rest = rest * block.len() as u64;
        let new = SharingReport { steps: prefix.steps, block_rows: block.len(), macs: 0, dense_macs: 0 };
        let report = self.report.get_or_insert(new);
        report.macs += macs + rest;
        report.dense_macs += dense_macs + rest;
        true
    }

    /// The first block of `rows`, which is then the one that was looked at last, and how it runs.
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
    /// what fits, and downwards to where the cheapest steps fit.
    fn search(&mut self, plan: &Plan, rows: &Range<usize>) -> (Range<usize>, Choice) {
        let allowed = |&blocks: &usize| {
            rows.len().div_ceil(blocks) <= MOST_ROWS && (blocks == 1 || rows.len() / blocks >= FEWEST_ROWS)
        };
        let counts: Vec<usize> = block_counts(rows.len()).filter(allowed).collect();
        let start = counts.iter().rposition(|&blocks| rows.len() / blocks >= START_ROWS).unwrap_or(0);
        // Blocks differ somewhat, and the others should fit as well.
        let budget = self.budget / 100 * 98;
        // The first attempt is the only one as a rule.
        let first = part(rows, counts[start]);
        let choice = self.analysis.block(plan, first.clone(), &self.costs, self.mode, budget);
        let mut best = (first, choice);
        let mut attempt = |blocks: usize| {
            let block = part(rows, blocks);
            let choice = self.analysis.weigh(plan, block.clone(), &self.costs, self.mode, budget);
            (block, choice)
        };
        for &blocks in counts[..start].iter().rev() {
            let larger = attempt(blocks);
            if cost(&larger) >= cost(&best) {
                break;
            }
            best = larger;
        }
        let mut complete = best.1.is_cheapest();
        for &blocks in &counts[start + 1..] {
            if complete {
                break;
            }
            let smaller = attempt(blocks);
            complete = smaller.1.is_cheapest();
            if cost(&smaller) < cost(&best) {
                best = smaller;
            }
        }
        if self.analysis.prefix().rows != best.0 {
            self.analysis.weigh(plan, best.0.clone(), &self.costs, self.mode, budget);
        }
        best
    }

    /// The steps that were looked at for the first block of `rows`, and what became of them.
    pub fn inspect(&mut self, plan: &Plan, rows: Range<usize>) -> (usize, Vec<StepSharing>) {
        let (block, choice) = self.decide(plan, rows);
        let Prefix { steps, counted, .. } = self.analysis.prefix();
        let (steps, counted) = match choice {
            Choice::Shared { .. } => (*steps, &counted[..]),
            Choice::Dense => (0, &counted[..]),
            Choice::TooLarge => (0, &[][..]),
        };
        let table = plan.steps.iter().zip(counted).enumerate();
        let table = table.map(|(number, (step, &columns))| StepSharing {
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
        Choice::Shared { cost, .. } => cost / block.len() as f64,
        Choice::Dense | Choice::TooLarge => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Window};
    use crate::perturb::philox::Philox;
    use crate::plan::Dependence;
    use crate::plan::sharing::StepCost;

    const SIDE: usize = 16;
    const ROWS: usize = 3000;

    fn network() -> Plan {
        let window = Window::square(3).pad(1);
        let mut builder = Model::builder("three convolutions", &[3, SIDE, SIDE]);
        for (inputs, outputs) in [(3, 16), (16, 16), (16, 16)] {
            let weight = vec![0.1; outputs * inputs * 9];
            builder = builder.conv(&weight, None, outputs, window, 1).unwrap();
        }
        let model = builder.global_average_pool().unwrap().build().unwrap();
        Plan::new(&model).unwrap()
    }

    /// A player for each 2 × 2 pixels, with independent fair coins.
    fn dependence() -> Dependence {
        let side = SIDE / 2;
        let players = (0..SIDE * SIDE).map(|at| (at / SIDE / 2 * side + at % SIDE / 2) as u32);
        let coins = Philox::new(3, 0);
        Dependence {
            starts: (0..=(SIDE * SIDE) as u32).collect(),
            players: players.collect(),
            masks: (0..2 * ROWS as u64).map(|word| coins.at(word)).collect(),
            words_per_row: 2,
        }
    }

    fn sharer(plan: &Plan, mode: Sharing, budget: u64) -> Sharer {
        let cost = |step: &crate::plan::Step| {
            let dense = step.macs as f64;
            StepCost { dense, column: dense / pixels(&step.kernel).max(1) as f64 }
        };
        let steps = plan.steps.iter().map(cost).collect();
        let costs =
            Costs { steps, join: 0.0, expand: 0.0, least_gain: 0.0, channel_multiple: 1, column_bytes: 0 };
        let program = Program::new(plan, SIDE * SIDE).unwrap().expect("convolutions can share");
        Sharer::new(Analysis::new(program, dependence()), costs, mode, budget)
    }

    /// Against every number of steps over every number of blocks up to 200.
    #[test]
    fn the_search_finds_what_costs_least_under_a_cap() {
        let plan = network();
        let mut found = Vec::new();
        for mib in [1000, 40, 30, 20, 14, 10, 7, 5, 3, 2] {
            let budget = mib << 20;
            let mut auto = sharer(&plan, Sharing::Auto, budget);
            let chosen = auto.decide(&plan, 0..ROWS);
            let mut best = f64::INFINITY;
            for steps in 1..=3 {
                let mut other = sharer(&plan, Sharing::First(steps), budget);
                for blocks in block_counts(200) {
                    let block = part(&(0..ROWS), blocks);
                    let budget = budget / 100 * 98;
                    let choice = other.analysis.weigh(&plan, block.clone(), &other.costs, other.mode, budget);
                    best = best.min(cost(&(block, choice)));
                }
            }
            assert!(cost(&chosen) <= best * 1.02, "{mib} MiB: {} instead of {best}", cost(&chosen));
            found.push(match chosen {
                (block, Choice::Shared { .. }) => (block.len(), auto.prefix().steps),
                (block, _) => (block.len(), 0),
            });
        }
        // Room for all, then smaller blocks, then fewer steps.
        assert_eq!(found[0], (ROWS, 3));
        assert!(found.iter().any(|&(rows, steps)| rows < ROWS && steps == 3), "{found:?}");
        assert!(found.contains(&(ROWS, 2)), "{found:?}");
    }
}
