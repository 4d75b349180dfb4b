//! How many steps run over columns.

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

/// Those that are worth it, from the cheapest on: all that gain `least_gain` of what a run without sharing costs.
/// `candidates[0]` shares nothing and is none of them.
pub fn by_cost(candidates: &[Candidate], least_gain: f64) -> Vec<Candidate> {
    let [alone, sharing @ ..] = candidates else { return Vec::new() };
    let worth = |candidate: &&Candidate| candidate.cost <= (1.0 - least_gain) * alone.cost;
    let mut order: Vec<Candidate> = sharing.iter().filter(worth).copied().collect();
    order.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(costs: &[f64], least_gain: f64) -> Vec<usize> {
        let candidates = costs.iter().enumerate().map(|(steps, &cost)| Candidate { steps, cost });
        by_cost(&candidates.collect::<Vec<_>>(), least_gain).iter().map(|found| found.steps).collect()
    }

    #[test]
    fn the_cheapest_number_of_steps_comes_first() {
        assert_eq!(steps(&[100.0, 80.0, 50.0, 60.0], 0.02), [2, 3, 1]);
        assert!(steps(&[100.0, 101.0, 130.0], 0.02).is_empty());
        // Expanding between two steps may cost more than going on.
        assert_eq!(steps(&[100.0, 150.0, 90.0, 70.0, 75.0], 0.02), [3, 4, 2]);
    }

    #[test]
    fn a_gain_smaller_than_the_tables_cost_is_left() {
        assert!(steps(&[100.0, 99.0], 0.02).is_empty());
        assert!(steps(&[100.0, 80.0], 0.5).is_empty());
        assert_eq!(steps(&[100.0, 49.0], 0.5), [1]);
        assert!(steps(&[100.0], 0.02).is_empty());
    }
}
