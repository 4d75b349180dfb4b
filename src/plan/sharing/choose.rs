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

/// Numbers of steps from the cheapest on; no sharing at all unless it gains `least_gain` of what a run without it
/// costs. `candidates[0]` shares nothing.
pub fn by_cost(candidates: &[Candidate], least_gain: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| candidates[a].cost.total_cmp(&candidates[b].cost));
    let worth = |&at: &usize| at == 0 || candidates[at].cost <= (1.0 - least_gain) * candidates[0].cost;
    let kept: Vec<usize> = order.into_iter().filter(worth).map(|at| candidates[at].steps).collect();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(costs: &[f64]) -> Vec<Candidate> {
        costs.iter().enumerate().map(|(steps, &cost)| Candidate { steps, cost }).collect()
    }

    #[test]
    fn the_cheapest_number_of_steps_wins() {
        let by_cost = |costs: &[f64]| super::by_cost(&candidates(costs), 0.02);
        assert_eq!(by_cost(&[100.0, 80.0, 50.0, 60.0])[0], 2);
        assert_eq!(by_cost(&[100.0, 101.0, 130.0])[0], 0);
        // Expanding between two steps may cost more than going on.
        assert_eq!(by_cost(&[100.0, 150.0, 90.0, 70.0, 75.0])[0], 3);
    }

    #[test]
    fn a_gain_smaller_than_the_tables_cost_is_left() {
        assert_eq!(by_cost(&candidates(&[100.0, 99.0]), 0.02)[0], 0);
        assert_eq!(by_cost(&candidates(&[100.0, 80.0]), 0.5)[0], 0);
        assert_eq!(by_cost(&candidates(&[100.0, 49.0]), 0.5)[0], 1);
        assert_eq!(by_cost(&candidates(&[100.0]), 0.02), [0]);
    }
}
