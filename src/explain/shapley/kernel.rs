//! Kernel SHAP: Shapley values by regression.

use ndarray::{Array2, Axis, concatenate, s};

use super::session::{Found, Session};
use super::{
    Budget, Estimator, Forecast, InteractionErrors, InteractionIndex, Interactions, least_evaluations,
};
use crate::explain::explanation::relative_error;
use crate::explain::{Explanation, Game, Labels, Progress};
use crate::perturb::{Coalitions, PairSampler, SizeSampling};
use crate::solve::cubic::cubic_points;
use crate::solve::paired::{PairedFit, PairedRegression};
use crate::solve::pairwise::{PairwiseErrors, PairwiseFit};
use crate::solve::{L1Reg, shapley_regression};
use crate::{Error, Result};

/// Pairs of the first round at least.
const FIRST_PAIRS: usize = 128;

/// What the regression fits.
///
/// # Example
/// ```
/// use whybox::explain::{KernelShap, Terms};
///
/// // As shap: for black boxes so cheap that a model of triples would cost more than asking them.
/// let plain = KernelShap { terms: Terms::Single, ..KernelShap::default() };
/// assert_eq!((KernelShap::default().terms, plain.terms), (Terms::Triples, Terms::Single));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terms {
    /// Single players, as `shap`. On paired coalitions this already is the regression with all pairwise terms (k-additive
    /// SHAP of order 2; arXiv 2601.18608).
    Single,
    /// Single players and, by kernel ridge regression, all triples, corrected by an out-of-sample regression. On pairs
    /// of coalitions, terms of order 4 cancel too.
    ///
    /// The cost of the ridge grows with the cube of the pairs that it is fitted to, so these are the first `m` with
    /// `16 m³` multiply-adds at most as many as the evaluations took ([`Game::work`]), 1,024 at most; below 64 only
    /// single players are fitted.
    #[default]
    Triples,
}

impl Terms {
    /// What is fitted once the evaluations have taken `work` multiply-adds for an instance ([`Game::work`] × evaluations): triples
    /// only where the model of them may have 64 pairs.
    ///
    /// # Example
    /// ```
    /// use whybox::explain::Terms;
    ///
    /// assert_eq!(Terms::Triples.fitted(16.0 * 64.0_f64.powi(3) + 1.0), Terms::Triples);
    /// assert_eq!(Terms::Triples.fitted(1e6), Terms::Single);
    /// assert_eq!(Terms::Single.fitted(1e12), Terms::Single);
    /// ```
    pub fn fitted(self, work: f64) -> Self {
        if self == Terms::Triples && cubic_points(work) > 0 { self } else { Terms::Single }
    }
}

/// Kernel SHAP (Lundberg and Lee, *A unified approach to interpreting model predictions*, NeurIPS 2017) on pairs of
/// complementary coalitions, drawn without replacement.
///
/// Sizes whose coalitions are few are enumerated; a game of n players is exact from `2^n` evaluations on. A tolerance
/// stops in rounds of doubling size; the values add up to the prediction. Standard errors are those of sampling: what
/// was enumerated adds none, and they are missing where the coalitions are too few to determine every value.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, KernelShap};
///
/// // Twenty players: neighbours interact.
/// let game = FunctionGame::new(20, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64;
/// });
/// let shap = KernelShap { budget: Budget::of(1000), seed: 3, ..KernelShap::default() };
/// let explanation = shap.explain(&game, &mut |_| {})?;
/// let attribution = &explanation.attributions[0];
/// // The players at the ends have one neighbour, the others two.
/// assert!((attribution.values[0] - 0.5).abs() < 1e-6 && (attribution.values[9] - 1.0).abs() < 1e-6);
/// assert!(attribution.additivity_gap().abs() < 1e-9);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KernelShap {
    /// Evaluations. Default: to a tolerance of 0.01, at most 50,000.
    pub budget: Budget,
    /// How evaluations are shared among sizes. Default: leverage.
    pub sampling: SizeSampling,
    /// What is fitted. Default: triples too. Without effect where players are selected.
    pub terms: Terms,
    /// Which players may have values other than 0. Default: all. A selection has no standard errors, so it uses the
    /// whole budget unless a clock stops it.
    pub l1_reg: L1Reg,
    /// Whether faithful pairwise interactions are estimated too, with their standard errors. Default: no.
    pub interactions: bool,
    /// Which outputs are explained. Default: all.
    pub labels: Labels,
    /// Seed of the coalitions. Default: 0.
    pub seed: u64,
}

impl Default for KernelShap {
    fn default() -> Self {
        KernelShap {
            budget: Budget::default(),
            sampling: SizeSampling::default(),
            terms: Terms::default(),
            l1_reg: L1Reg::None,
            interactions: false,
            labels: Labels::All,
            seed: 0,
        }
    }
}

/// Half sums and half differences of the values of pairs, `[pairs, outputs]`.
struct Responses {
    odd: Array2<f64>,
    even: Array2<f64>,
}

impl Responses {
    /// Evaluates the pairs that have none yet.
    fn extend(&mut self, sampler: &PairSampler, session: &mut Session<'_, '_>) -> Result<()> {
        let (known, all) = (self.odd.nrows(), sampler.coalitions().rows());
        // Both members of a pair in one block.
        let block = (session.block() / 2).max(1);
        let mut parts = Vec::new();
        for first in (known..all).step_by(block) {
            let half = sampler.coalitions().slice(first..all.min(first + block));
            let values = session.values(&both(&half)?)?;
            let (with, without) = (values.slice(s![..;2, ..]), values.slice(s![1..;2, ..]));
            parts.push(((&with - &without) / 2.0, (&with + &without) / 2.0));
        }
        let (odd, even): (Vec<_>, Vec<_>) = parts.iter().map(|(odd, even)| (odd.view(), even.view())).unzip();
        for (known, parts) in [(&mut self.odd, odd), (&mut self.even, even)] {
            let all: Vec<_> = std::iter::once(known.view()).chain(parts).collect();
            *known = concatenate(Axis(0), &all).map_err(internal)?;
        }
        Ok(())
    }
}

/// Responses of differing widths, which a session never gives.
fn internal(error: ndarray::ShapeError) -> Error {
    Error::numeric(error.to_string(), "responses of Kernel SHAP", "report this as a bug")
}

/// Each coalition, followed by its complement: an engine may get the one from the other.
fn both(half: &Coalitions) -> Result<Coalitions> {
    let complements = half.complement();
    let rows = (0..half.rows()).flat_map(|row| [half.row_words(row), complements.row_words(row)]);
    Coalitions::from_words(half.players(), rows.flatten().copied().collect())
}

impl Estimator for KernelShap {
    fn name(&self) -> &'static str {
        "Kernel SHAP"
    }

    fn most_evaluations(&self, players: usize) -> usize {
        self.budget.evaluations.min(1usize.checked_shl(players as u32).unwrap_or(usize::MAX))
    }

    fn with_time_left(&self, elapsed: f64, share: f64) -> Option<Box<dyn Estimator>> {
        let budget = self.budget.with_time_left(elapsed, share)?;
        Some(Box::new(KernelShap { budget, ..self.clone() }))
    }

    fn explain_forecasting(
        &self,
        game: &dyn Game,
        progress: &mut Progress<'_>,
        forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation> {
        self.l1_reg.check()?;
        let mut session = Session::open(game, &self.labels, progress)?;
        let players = session.players();
        self.budget.check(players, least_evaluations(players))?;
        if self.interactions {
            crate::solve::pairwise::check_terms(players)?;
        }
        if players == 0 {
            let found = Found::exact(Array2::zeros((0, session.outputs())));
            return Ok(session.finish(self.name(), self.seed, found));
        }
        let delta = session.delta();
        let mut sampler = PairSampler::new(players, self.sampling, self.seed)?;
        let none = || Array2::zeros((0, session.outputs()));
        let mut responses = Responses { odd: none(), even: none() };
        let most = (self.budget.evaluations - 2) / 2;
        let mut pairs = if self.budget.in_rounds() { FIRST_PAIRS.max(2 * players).min(most) } else { most };
        loop {
            sampler.extend(pairs);
            responses.extend(&sampler, &mut session)?;
            let spent = sampler.complete() || pairs >= most;
            if self.l1_reg != L1Reg::None {
                if spent || self.budget.seconds.is_some_and(|seconds| session.elapsed() >= seconds) {
                    let found = self.selected(&sampler, &responses, &session)?;
                    return Ok(session.finish(self.name(), self.seed, found));
                }
            } else {
                let regression = PairedRegression::new(&sampler)?;
                let points = if self.terms == Terms::Triples { cubic_points(session.work()) } else { 0 };
                let fit = regression.fit(responses.odd.view(), &delta, session.instance_outputs(), points)?;
                let error = worst(&fit.values, fit.errors.as_ref());
                forecast(self.budget.forecast(session.evaluations, error));
                if spent || self.budget.spent(session.evaluations, error, session.elapsed()) {
                    let found = Found {
                        scores: scores(&sampler, &responses, &fit.values, &session),
                        interactions: self.pairs(
                            &sampler,
                            &responses,
                            &fit.values,
                            Some((&regression, &fit)),
                            &session,
                        )?,
                        values: fit.values,
                        errors: fit.errors,
                        degrees_of_freedom: fit.degrees_of_freedom,
                        exact: sampler.complete(),
                    };
                    return Ok(session.finish(self.name(), self.seed, found));
                }
            }
            pairs = (2 * pairs).min(most);
        }
    }
}

impl KernelShap {
    /// Values of selected players: the plain regression over all rows, as in `shap`.
    fn selected(
        &self,
        sampler: &PairSampler,
        responses: &Responses,
        session: &Session<'_, '_>,
    ) -> Result<Found> {
        // Penalties refer to weights of sum 1, as in `shap`.
        let mut weights: Vec<f64> = sampler.weights().iter().flat_map(|&weight| [weight; 2]).collect();
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        let mut rows = Array2::zeros((weights.len(), session.outputs()));
        rows.slice_mut(s![..;2, ..]).assign(&(&responses.even + &responses.odd));
        rows.slice_mut(s![1..;2, ..]).assign(&(&responses.even - &responses.odd));
        let coalitions = both(sampler.coalitions())?;
        let values = match coalitions.players() {
            1 => Array2::from_shape_fn((1, session.outputs()), |(_, k)| session.delta()[k]),
            _ => shapley_regression(
                &coalitions,
                &weights,
                rows.view(),
                &session.empty,
                &session.full,
                self.l1_reg,
            )?,
        };
        Ok(Found {
            scores: scores(sampler, responses, &values, session),
            interactions: self.pairs(sampler, responses, &values, None, session)?,
            values,
            errors: None,
            degrees_of_freedom: f64::INFINITY,
            exact: coalitions.players() == 1,
        })
    }

    fn pairs(
        &self,
        sampler: &PairSampler,
        responses: &Responses,
        values: &Array2<f64>,
        fit: Option<(&PairedRegression<'_>, &PairedFit)>,
        session: &Session<'_, '_>,
    ) -> Result<Option<Interactions>> {
        let players = sampler.coalitions().players();
        if !self.interactions {
            return Ok(None);
        }
        let mut even = responses.even.clone();
        for (k, mut column) in even.columns_mut().into_iter().enumerate() {
            column -= (session.full[k] + session.empty[k]) / 2.0;
        }
        let found = PairwiseFit::new(sampler, even.view())?;
        let standard_errors = match sampler.complete() {
            true => None,
            false => {
                let shapley = fit.map(|(regression, fit)| (regression, fit, responses.odd.view()));
                let PairwiseErrors { pairs, singles, degrees_of_freedom } = found.errors(shapley)?;
                Some(InteractionErrors { pairs, singles, degrees_of_freedom })
            }
        };
        Ok(Some(Interactions {
            index: InteractionIndex::Faithful,
            players,
            singles: less_half_pairs(players, values, &found.pairs),
            pairs: found.pairs,
            standard_errors,
        }))
    }
}

/// Values less half of each player's pairs.
pub(super) fn less_half_pairs(players: usize, values: &Array2<f64>, pairs: &Array2<f64>) -> Array2<f64> {
    let mut singles = values.clone();
    let mut row = 0;
    for i in 0..players {
        for j in i + 1..players {
            let half = &pairs.row(row) / 2.0;
            let mut target = singles.slice_mut(s![i, ..]);
            target -= &half;
            let mut target = singles.slice_mut(s![j, ..]);
            target -= &half;
            row += 1;
        }
    }
    singles
}

/// The largest relative error over the outputs; infinite without errors.
pub(super) fn worst(values: &Array2<f64>, errors: Option<&Array2<f64>>) -> f64 {
    let Some(errors) = errors else { return f64::INFINITY };
    let columns = values.columns().into_iter().zip(errors.columns());
    columns.map(|(v, e)| relative_error(&v.to_vec(), &e.to_vec())).fold(0.0, f64::max)
}

/// Weighted R² of the additive model `v(∅) + Σ φ` over all coalitions evaluated; NaN where nothing varies.
fn scores(
    sampler: &PairSampler,
    responses: &Responses,
    values: &Array2<f64>,
    session: &Session<'_, '_>,
) -> Vec<f64> {
    let weights = sampler.weights();
    let total: f64 = weights.iter().sum();
    let outputs = session.outputs();
    let mut left = vec![0.0; outputs];
    let mut mean = vec![0.0; outputs];
    let mut spread = vec![0.0; outputs];
    let middle: Vec<f64> = session.full.iter().zip(&session.empty).map(|(a, b)| (a + b) / 2.0).collect();
    for (row, &weight) in weights.iter().enumerate() {
        let mut fitted = vec![0.0; outputs];
        for (player, values) in values.outer_iter().enumerate() {
            let half = if sampler.coalitions().contains(row, player) { 0.5 } else { -0.5 };
            fitted.iter_mut().zip(values).for_each(|(to, value)| *to += half * value);
        }
        for k in 0..outputs {
            let (odd, even) = (responses.odd[[row, k]], responses.even[[row, k]] - middle[k]);
            left[k] += weight * (even * even + (odd - fitted[k]).powi(2));
            mean[k] += weight * even;
            spread[k] += weight * (even * even + odd * odd);
        }
    }
    (0..outputs)
        .map(|k| {
            let spread = spread[k] - mean[k] * (mean[k] / total);
            if spread > 0.0 { 1.0 - left[k] / spread } else { f64::NAN }
        })
        .collect()
}
