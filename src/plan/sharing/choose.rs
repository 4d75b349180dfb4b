//! How many steps run over columns.

use std::cmp::Ordering;

/// What a step costs an engine, in any unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepCost {
    /// One sample on the step's best dense kernel.
    pub dense: f64,
    /// One column.
    pub column: f64,
}

/// What running over columns costs an engine, in one unit throughout.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs {
    /// Of each step.
    pub steps: Vec<StepCost>,
    /// An element copied into a joined value,
    pub join: f64,
    /// or from a column into a sample.
    pub expand: f64,
    /// The smallest gain, as a share of a run without sharing, for which columns are worth their tables.
    pub least_gain: f64,
    /// Floats from a column to the next are a multiple of this.
    pub channel_multiple: usize,
    /// Bytes of the engine's own tables for each column.
    pub column_bytes: usize,
}

/// A number of shared steps and what the whole run then costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Steps that run over columns.
    pub steps: usize,
    /// Cost of all steps, shared or not, and of expanding what lies between.
    pub cost: f64,
}

impl Candidate {
    /// Cheaper ones first; of those that cost the same, the one of fewer steps.
    fn order(&self, other: &Candidate) -> Ordering {
        self.cost.total_cmp(&other.cost).then(self.steps.cmp(&other.steps))
    }
}

/// Those that cost at most `most`, from the cheapest on; each has its own number of steps.
pub fn by_cost(candidates: &[Candidate], most: f64) -> impl Iterator<Item = Candidate> {
    let after = move |last: Option<Candidate>| {
        let later = |other: &&Candidate| last.is_none_or(|last| other.order(&last).is_gt());
        let worth = candidates.iter().filter(|candidate| candidate.cost <= most);
        worth.filter(later).min_by(|a, b| a.order(b)).copied()
    };
    // As a rule the first is taken: looking for each anew needs no list.
    std::iter::successors(after(None), move |&last| after(Some(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(costs: &[f64], most: f64) -> Vec<usize> {
        let candidates = costs.iter().zip(1..).map(|(&cost, steps)| Candidate { steps, cost });
        by_cost(&candidates.collect::<Vec<_>>(), most).map(|found| found.steps).collect()
    }

    #[test]
    fn the_cheapest_number_of_steps_comes_first() {
        assert_eq!(steps(&[80.0, 50.0, 60.0], 98.0), [2, 3, 1]);
        assert!(steps(&[101.0, 130.0], 98.0).is_empty());
        // Expanding between two steps may cost more than going on.
        assert_eq!(steps(&[150.0, 90.0, 70.0, 75.0], 98.0), [3, 4, 2]);
        assert_eq!(steps(&[70.0, 60.0, 70.0, 60.0], 98.0), [2, 4, 1, 3]);
    }

    #[test]
    fn a_gain_smaller_than_the_tables_cost_is_left() {
        assert!(steps(&[99.0], 98.0).is_empty());
        assert!(steps(&[80.0], 50.0).is_empty());
        assert_eq!(steps(&[50.0], 50.0), [1]);
        assert!(steps(&[], 98.0).is_empty());
    }
}
