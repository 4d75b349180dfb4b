//! The result of an explanation.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Interactions;

/// How far a run has got: called with the number of evaluations done so far.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, ExactShapley, FunctionGame, Progress};
///
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| out[0] = f64::from(u8::from(present[0])));
/// let mut done = 0;
/// let progress: &mut Progress<'_> = &mut |evaluations| done = evaluations;
/// ExactShapley::default().explain(&game, progress)?;
/// assert_eq!(done, 8);
/// # Ok::<(), whybox::Error>(())
/// ```
pub type Progress<'a> = dyn FnMut(usize) + 'a;

/// What each player did for one output.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, ExactShapley, FunctionGame};
///
/// let game = FunctionGame::new(2, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = 1.0 + if present[1] { 3.0 } else { 0.0 };
/// });
/// let explanation = ExactShapley::default().explain(&game, &mut |_| {})?;
/// let attribution = &explanation.attributions[0];
/// assert_eq!(attribution.values, [0.0, 3.0]);
/// assert_eq!((attribution.base_value, attribution.prediction), (1.0, 4.0));
/// assert_eq!(attribution.additivity_gap(), 0.0);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// Number of the output.
    pub output: usize,
    /// Effect of each player, `[players]`, in units of the output; 0 for players that were not selected.
    pub values: Vec<f64>,
    /// One standard error of each effect, `[players]`, where the method has them; NaN for players that were not
    /// selected.
    pub standard_errors: Option<Vec<f64>>,
    /// How many independent pieces of information each standard error rests on: infinite where it is large or
    /// known. Decides the width of [`Attribution::intervals`].
    pub degrees_of_freedom: f64,
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

    /// Confidence intervals `(low, high)` of the values, `[players]`, from Student's t distribution; `None` where
    /// there are no standard errors, or where `confidence` is not between 0 and 1. With 0.95, the interval holds
    /// the value that more evaluations would converge to 95 times in 100.
    ///
    /// # Example
    /// ```
    /// use whybox::explain::{Budget, Estimator, FunctionGame, KernelShap};
    ///
    /// let game = FunctionGame::new(12, 1, |present: &[bool], out: &mut [f64]| {
    ///     out[0] = (0..12).map(|i| i as f64 * f64::from(u8::from(present[i]))).sum::<f64>().sqrt();
    /// });
    /// let shap = KernelShap { budget: Budget::of(300), ..KernelShap::default() };
    /// let explanation = shap.explain(&game, &mut |_| {})?;
    /// let intervals = explanation.attributions[0].intervals(0.95).expect("a sampled estimate has errors");
    /// assert!(intervals.iter().all(|(low, high)| low <= high));
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn intervals(&self, confidence: f64) -> Option<Vec<(f64, f64)>> {
        let errors = self.standard_errors.as_ref().filter(|_| confidence > 0.0 && confidence < 1.0)?;
        let width = student(0.5 + confidence / 2.0, self.degrees_of_freedom);
        Some(self.values.iter().zip(errors).map(|(v, e)| (v - width * e, v + width * e)).collect())
    }
}

/// A quantile of Student's t distribution; the normal one's for infinite or meaningless degrees of freedom.
fn student(probability: f64, degrees: f64) -> f64 {
    // A million degrees of freedom are the normal distribution to six digits.
    let degrees = if degrees >= 1.0 { degrees.min(1e6) } else { 1e6 };
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.inverse_cdf(probability))
}

/// An explanation of one instance.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, ExactShapley, FunctionGame};
///
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[0] && present[2] { 6.0 } else { 1.0 };
/// });
/// let explanation = ExactShapley::default().explain(&game, &mut |_| {})?;
/// assert!(explanation.exact && explanation.relative_error() == Some(0.0));
/// assert_eq!((explanation.prediction[0], explanation.attributions[0].base_value), (6.0, 1.0));
/// assert!((explanation.attributions[0].values[2] - 2.5).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Name of the method, for example `LIME`.
    pub method: &'static str,
    /// Number of players.
    pub players: usize,
    /// One entry for each explained output, in the order asked for or of falling prediction.
    pub attributions: Vec<Attribution>,
    /// Effects of pairs of players, where they were asked for.
    pub interactions: Option<Interactions>,
    /// Whether the values are exact but for rounding: every coalition that they depend on was evaluated.
    pub exact: bool,
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

    /// What error is left: over the outputs, the largest of (largest standard error / range of the values), the
    /// number that a tolerance is compared with. 0 for exact values, `None` where the method gives no errors.
    pub fn relative_error(&self) -> Option<f64> {
        if self.exact {
            return Some(0.0);
        }
        let errors = self.attributions.iter().map(|attribution| {
            let errors = attribution.standard_errors.as_ref()?;
            Some(relative_error(&attribution.values, errors))
        });
        errors.reduce(|a, b| Some(a?.max(b?))).flatten()
    }
}

/// The largest standard error over the range of the values (0 included, so that equal values have a range); 0
/// where nothing varies, infinite for an error that is not known.
pub(super) fn relative_error(values: &[f64], errors: &[f64]) -> f64 {
    if errors.iter().any(|error| error.is_nan()) {
        return f64::INFINITY;
    }
    let largest = errors.iter().copied().fold(0.0, f64::max);
    let (low, high) = values.iter().fold((0.0_f64, 0.0_f64), |(low, high), &v| (low.min(v), high.max(v)));
    // Rounding errors of a constant game are no error.
    if largest <= 1e-12 * high.max(-low) || largest == 0.0 { 0.0 } else { largest / (high - low) }
}

/// The `k` largest values' places, largest first; equal ones in their order.
pub(super) fn top(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(k);
    order
}
