//! The result of an explanation.

/// How far a run has got: called with the number of evaluations done so far.
pub type Progress<'a> = dyn FnMut(usize) + 'a;

/// What each player did for one output.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// Number of the output.
    pub output: usize,
    /// Effect of each player, `[players]`, in units of the output; 0 for players that were not selected.
    pub values: Vec<f64>,
    /// One standard error of each effect, `[players]`, where the method has them; NaN for players that were not
    /// selected.
    pub standard_errors: Option<Vec<f64>>,
    /// The explanation with no player present: the surrogate's intercept for LIME, v(∅) for Shapley values.
    pub base_value: f64,
    /// The explanation with all players present: `base_value` plus the sum of `values`.
    pub local_prediction: f64,
    /// The black box with all players present.
    pub prediction: f64,
    /// Local fidelity: the surrogate's weighted R²; NaN for methods that fit no surrogate.
    pub score: f64,
}

impl Attribution {
    /// What the explanation leaves unexplained: `prediction − local_prediction`. Rounding for Shapley values,
    /// which add up by construction; the surrogate's misfit at the instance for LIME.
    pub fn additivity_gap(&self) -> f64 {
        self.prediction - self.local_prediction
    }
}

/// An explanation of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Name of the method, for example `LIME`.
    pub method: &'static str,
    /// Number of players.
    pub players: usize,
    /// One entry for each explained output, in the order asked for or of falling prediction.
    pub attributions: Vec<Attribution>,
    /// Every output for the instance itself.
    pub prediction: Vec<f64>,
    /// Evaluations of the black box.
    pub evaluations: usize,
    /// Seed of all random draws.
    pub seed: u64,
    /// Seconds by stage, in order.
    pub seconds: Vec<(String, f64)>,
}

impl Explanation {
    /// Outputs by falling prediction, at most `k`; equal ones in their order.
    pub fn top(&self, k: usize) -> Vec<usize> {
        top(&self.prediction, k)
    }
}

/// The `k` largest values' places, largest first; equal ones in their order.
pub(super) fn top(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(k);
    order
}
