//! Shapley values over any [`Game`]: exact, by regression, by permutations, over a hierarchy.
//!
//! The Shapley value of player i is its mean contribution `v(S ∪ i) - v(S)` over all orders of joining
//! (L. S. Shapley, *A value for n-person games*, 1953). All estimators keep efficiency: base value plus values is
//! the prediction.

mod exact;
mod hierarchy;
mod interactions;
mod kernel;
mod linked;
mod owen;
mod permutation;
mod session;
mod table;

pub use exact::ExactShapley;
pub use hierarchy::{Hierarchy, Linkage};
pub use interactions::{InteractionErrors, InteractionIndex, Interactions};
pub use kernel::{KernelShap, Terms};
pub use linked::{Link, Linked};
pub use owen::OwenValues;
pub use permutation::{PermutationShap, ShapleySampling};
pub use table::CoalitionValues;

use super::{Explanation, Game, Lime, Progress};
use crate::{Error, Result};

/// A method that explains a game.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, ExactShapley, FunctionGame, KernelShap, PermutationShap};
///
/// let game = FunctionGame::new(5, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[0] && present[1] { 4.0 } else { 0.0 };
/// });
/// let methods: [Box<dyn Estimator>; 3] = [
///     Box::new(ExactShapley::default()),
///     Box::new(KernelShap::default()),
///     Box::new(PermutationShap { budget: Budget::of(200), ..PermutationShap::default() }),
/// ];
/// for method in methods {
///     let values = &method.explain(&game, &mut |_| {})?.attributions[0].values;
///     assert!((values[0] - 2.0).abs() < 1e-9 && values[4].abs() < 1e-9);
/// }
/// # Ok::<(), whybox::Error>(())
/// ```
pub trait Estimator {
    /// The method's name, for example `Kernel SHAP`.
    fn name(&self) -> &'static str;

    /// Evaluations at most, for a game of `players` players that all vary.
    fn most_evaluations(&self, players: usize) -> usize;

    /// The same for one of several games that [`Budget::seconds`] are for: with a `share` (0 to 1) of what is left of them after
    /// `elapsed` seconds. `None`, the default, where no clock ends a run.
    fn with_time_left(&self, elapsed: f64, share: f64) -> Option<Box<dyn Estimator>> {
        let _ = (elapsed, share);
        None
    }

    /// Explains a game, and forecasts after each round when the tolerance will be met.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a game without players, an output that it has not, or a budget below the number of
    /// players + 2; [`Error::Numeric`] for a game that answers NaN; whatever the game reports.
    fn explain_forecasting(
        &self,
        game: &dyn Game,
        progress: &mut Progress<'_>,
        forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation>;

    /// Explains a game.
    ///
    /// # Errors
    /// As [`Estimator::explain_forecasting`].
    fn explain(&self, game: &dyn Game, progress: &mut Progress<'_>) -> Result<Explanation> {
        self.explain_forecasting(game, progress, &mut |_| {})
    }
}

impl Estimator for Lime {
    fn name(&self) -> &'static str {
        "LIME"
    }

    fn most_evaluations(&self, _players: usize) -> usize {
        self.samples
    }

    fn explain_forecasting(
        &self,
        game: &dyn Game,
        progress: &mut Progress<'_>,
        _forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation> {
        Lime::explain(self, game, progress)
    }
}

/// Where a run in rounds stands.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, PermutationShap};
///
/// let game = FunctionGame::new(30, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = (present.iter().filter(|&&here| here).count() as f64).sqrt() * f64::from(u8::from(present[3]));
/// });
/// let shap = PermutationShap { budget: Budget::default(), ..PermutationShap::default() };
/// let mut last = None;
/// shap.explain_forecasting(&game, &mut |_| {}, &mut |forecast| last = Some(forecast))?;
/// let last = last.expect("a tolerance makes rounds");
/// assert!(last.evaluations <= last.expected && last.expected <= 50_000);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Evaluations done.
    pub evaluations: usize,
    /// The error that is left: see [`Explanation::relative_error`].
    pub relative_error: f64,
    /// Evaluations that the tolerance will need, `n (error / tolerance)²`, at most the cap.
    pub expected: usize,
}

/// How much a sampled explanation may cost.
///
/// A run goes on in rounds, each twice as long as the one before, until the first limit is reached. No clock decides a
/// result unless `seconds` is given.
///
/// # Example
/// ```
/// use whybox::explain::Budget;
///
/// let patient = Budget { evaluations: 1_000_000, tolerance: Some(0.001), ..Budget::default() };
/// assert_eq!(Budget::of(2000), Budget { evaluations: 2000, tolerance: None, seconds: None });
/// assert!(patient.seconds.is_none()); // no clock decides
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Evaluations of the game at most, the empty and the full coalition included. Default: 50,000.
    pub evaluations: usize,
    /// Stop when the largest standard error over the range of the values is below this. Default: 0.01. `None`: use
    /// all evaluations.
    pub tolerance: Option<f64>,
    /// Stop after the round in which this many seconds have passed. Default: `None`.
    pub seconds: Option<f64>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { evaluations: 50_000, tolerance: Some(0.01), seconds: None }
    }
}

impl Budget {
    /// Exactly this many evaluations, or all that there are.
    pub fn of(evaluations: usize) -> Self {
        Budget { evaluations, tolerance: None, seconds: None }
    }

    /// Refuses limits that make no sense, and fewer evaluations than `least`.
    fn check(&self, players: usize, least: usize) -> Result<()> {
        if self.evaluations < least {
            return Err(Error::parameter(
                format!("{} evaluations are too few for {players} players", self.evaluations),
                format!("--samples {}", self.evaluations),
                format!("allow at least {least}"),
            ));
        }
        let senseless = |limit: Option<f64>| limit.is_some_and(|limit| !(limit.is_finite() && limit > 0.0));
        for (name, limit) in [("--tolerance", self.tolerance), ("--seconds", self.seconds)] {
            if senseless(limit) {
                return Err(Error::parameter(
                    format!("a limit of {} makes no sense", limit.unwrap_or(f64::NAN)),
                    name,
                    "give a number above 0",
                ));
            }
        }
        Ok(())
    }

    /// See [`Estimator::with_time_left`].
    fn with_time_left(&self, elapsed: f64, share: f64) -> Option<Self> {
        // A limit that makes no sense is left for `check` to refuse.
        let seconds = self.seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0)?;
        // A game that comes too late still has its first round.
        let left = ((seconds - elapsed) * share).max(f64::MIN_POSITIVE);
        Some(Budget { seconds: Some(left), ..*self })
    }

    /// Whether a run that stands here has done enough.
    fn spent(&self, evaluations: usize, error: f64, elapsed: f64) -> bool {
        evaluations >= self.evaluations
            || self.tolerance.is_some_and(|tolerance| error <= tolerance)
            || self.seconds.is_some_and(|seconds| elapsed >= seconds)
    }

    /// Whether anything but the number of evaluations may end a run.
    fn in_rounds(&self) -> bool {
        self.tolerance.is_some() || self.seconds.is_some()
    }

    fn forecast(&self, evaluations: usize, error: f64) -> Forecast {
        let expected = match self.tolerance {
            Some(tolerance) => (evaluations as f64 * (error / tolerance).powi(2)).ceil() as usize,
            None => self.evaluations,
        };
        let expected = expected.clamp(evaluations.min(self.evaluations), self.evaluations);
        Forecast { evaluations, relative_error: error, expected }
    }
}

/// Evaluations that a regression over `players` players needs at least: players + 2, or all coalitions.
fn least_evaluations(players: usize) -> usize {
    (players + 2).min(1 << players.min(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_the_seconds_is_shared_and_never_nothing() {
        let budget = Budget { seconds: Some(10.0), ..Budget::default() };
        assert_eq!(budget.with_time_left(4.0, 0.5), Some(Budget { seconds: Some(3.0), ..budget }));
        let late = budget.with_time_left(11.0, 0.5).expect("a clock");
        assert!(late.check(3, 2).is_ok() && late.seconds < Some(1e-9));
        assert_eq!(Budget::default().with_time_left(1.0, 0.5), None);
        // What makes no sense is refused, not made sense of.
        assert_eq!(Budget { seconds: Some(-1.0), ..budget }.with_time_left(0.0, 1.0), None);
    }
}
