//! Less scatter from the same evaluations: a cheap model of the black box as a control variate.
//!
//! A linear surrogate of a probability is far from the truth: what saturates is not linear, and what the line misses
//! is the noise in its coefficients. A logistic model `g` of the same coalitions misses much less, and less still with a Gaussian
//! process on what it misses. So
//!
//! ```text
//! surrogate of v  =  surrogate of g  +  surrogate of (v − g)
//! ```
//!
//! where the first, which asks nothing of the black box, is fitted on many more coalitions than were evaluated, and
//! the second has small residuals. For any `g` the sum converges to the surrogate of `v`: a bad `g` costs accuracy, it
//! does not bias (M. C. Fu and others call this the difference estimator; control variates with a fitted model are in
//! A. B. Owen, *Monte Carlo theory, methods and examples*, 2013, section 8.9). A process passes near to whatever it was fitted
//! to, so that `v − g` there is too small and the sum would lean towards `g`: at an evaluated coalition, `g` is fitted to all the others.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::Lime;
use super::lime_errors::{Cheap, Line};
use crate::Result;
use crate::perturb::{Coalitions, Sampling, lime_coalition_rows};
use crate::solve::gaussian_process::GaussianProcess;
use crate::solve::logistic::Logistic;
use crate::solve::{Gram, Regression, Selection, Surrogate, SurrogateOptions};

/// Whether a cheap model of the black box takes the scatter out of LIME's coefficients.
///
/// # Example
/// ```
/// use whybox::explain::{Control, Estimator, FunctionGame, Lime};
/// use whybox::perturb::Sampling;
///
/// let game = FunctionGame::new(8, 1, |present: &[bool], out: &mut [f64]| {
///     let hits = present[..3].iter().filter(|&&here| here).count() as f64;
///     out[0] = 1.0 / (1.0 + (2.0 - hits).exp());
/// });
/// let first = |control, seed| {
///     let sampling = Sampling::Independent;
///     let lime = Lime { samples: 60, sampling, control, seed, ..Lime::default() };
///     Estimator::explain(&lime, &game, &mut |_| {}).map(|found| found.attributions[0].values[0])
/// };
/// let scatter = |control| -> whybox::Result<f64> { Ok((first(control, 1)? - first(control, 2)?).abs()) };
/// // The game is logistic: its model takes all scatter out, but for rounding.
/// assert!(scatter(Control::Logistic)? < 1e-3 && scatter(Control::None)? > 1e-3);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Control {
    /// No: exactly `lime`'s estimate.
    #[default]
    None,
    /// A logistic model, for outputs between 0 and 1; others are estimated without.
    Logistic,
    /// A logistic model and a Gaussian process on what it misses, fitted to at most 1,024 coalitions of each output: players interact as
    /// far as a first process is sensitive to them. As [`Control::Logistic`] where the process misses more, with more than 16,384
    /// samples, and where it would take longer than the evaluations ([`Game::work`](super::Game::work)).
    GaussianProcess,
}

/// Rows that are drawn and added to the moments at a time.
const BLOCK_ROWS: usize = 4096;

/// Rows that the logistic model is fitted on at most: it need not be the best one.
const FIT_ROWS: usize = 1 << 14;

/// Coalitions for each evaluated one that the cheap model is asked about,
const VIRTUAL: usize = 16;

/// within these bounds.
const LEAST_VIRTUAL: usize = 1 << 14;
const MOST_VIRTUAL: usize = 1 << 20;

/// What tells the second draw of coalitions from the first.
const OTHER_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Rows that the Gaussian process is fitted on at most, the first of [`FIT_ROWS`]: the effort grows with their cube.
const PROCESS_ROWS: usize = 1024;

/// Samples with which the process is tried at most.
const PROCESS_SAMPLES: usize = 1 << 14;

/// Multiply-adds of a game for each of the cube of the fitted rows, and for each eight players of a covariance: an engine does so many
/// in the time.
const WORK_OF_CUBE: f64 = 2.0;
const WORK_OF_COVARIANCE: f64 = 16.0;

/// Coalitions of their own that process and logistic model are asked about together, at most.
const PROCESS_VIRTUAL: usize = 1 << 16;

/// Rate of interaction of the player that matters most. That of the others is in proportion to their logistic coefficients in a first
/// process, and to this power of the sensitivity of the first process to them in the second, which is the one that counts.
const RATE: f64 = 0.2;
const SENSITIVITY_POWER: f64 = 1.5;

/// Rows that the first process is fitted on, and coalitions over which its sensitivities are averaged, at most.
const FIRST_ROWS: usize = 512;
const SENSITIVITY_ROWS: usize = 256;

/// Variance of a response beside the process, over that of the process.
const NOISE: f64 = 0.2;

/// What the logistic model misses varies as this power of the variance `p (1 − p)` of its probability, at least of the smallest.
const SPREAD_POWER: f64 = 0.75;
const LEAST_SPREAD: f64 = 1e-4;

/// Rates of interaction for players that matter so much.
fn rates(weights: &[f64], power: f64) -> Vec<f64> {
    let largest = weights.iter().fold(0.0, |most: f64, weight| most.max(weight.abs()));
    let rate = |weight: &f64| if largest > 0.0 { RATE * (weight.abs() / largest).powf(power) } else { 0.0 };
    weights.iter().map(rate).collect()
}

/// A cheap model of one output of a game.
struct Model {
    logistic: Logistic,
    process: Option<GaussianProcess>,
}

impl Model {
    fn values(&self, coalitions: &Coalitions) -> Vec<f64> {
        let mut values: Vec<f64> =
            (0..coalitions.rows()).map(|row| self.logistic.value(coalitions, row)).collect();
        if let Some(process) = &self.process {
            let smooth = process.values(coalitions);
            values.iter_mut().zip(smooth).for_each(|(value, smooth)| *value += spread(*value) * smooth);
        }
        values
    }
}

/// What the standard deviation of that which the logistic model misses is in proportion to, where it says `chance`.
fn spread(chance: f64) -> f64 {
    (chance * (1.0 - chance)).max(LEAST_SPREAD).powf(SPREAD_POWER)
}

/// What was evaluated, and how coalitions are drawn and weighted.
pub(super) struct Evaluated<'a> {
    pub lime: &'a Lime,
    pub players: usize,
    /// Weight of a coalition by the number of its players.
    pub weights: &'a [f64],
    /// `[samples, labels]`
    pub responses: &'a Array2<f64>,
    /// Multiply-adds of all evaluations, for each label.
    pub work: f64,
}

impl Evaluated<'_> {
    /// The surrogate of column `column` with a control variate. `plain` is the one without, whose fit to what was
    /// evaluated is kept; `missed` is its weighted sum of squared residuals. `None` where the responses are no probabilities,
    /// or the model is no better than the line.
    pub fn controlled(
        &self,
        column: usize,
        plain: &Surrogate,
        missed: f64,
        options: &SurrogateOptions,
    ) -> Result<Option<Surrogate>> {
        let responses = self.responses.column(column);
        let samples = responses.len();
        let inside = responses.iter().all(|response| (0.0..=1.0).contains(response));
        if !inside || samples <= self.players + 2 || samples > MOST_VIRTUAL / 2 {
            return Ok(None);
        }
        let sampling = self.lime.sampling;
        let Some((model, values)) = self.cheap_model(responses)? else { return Ok(None) };

        // Evaluated rows: g + (v − g) · (all rows / evaluated rows), so that the sum over all rows is the one wanted.
        let most = if model.process.is_some() { PROCESS_VIRTUAL } else { MOST_VIRTUAL };
        let virtual_rows = (VIRTUAL * samples).clamp(LEAST_VIRTUAL, most);
        let ratio = (samples + virtual_rows) as f64 / samples as f64;
        let mut all = Gram::new(self.players, 1);
        let mut residuals = Gram::new(self.players, 1);
        self.blocks(samples, self.lime.seed, sampling, |first, coalitions| {
            let weights = self.row_weights(coalitions);
            let column = |value: &dyn Fn(f64, f64) -> f64| {
                Array2::from_shape_fn((coalitions.rows(), 1), |(row, _)| {
                    value(values[first + row], responses[first + row])
                })
            };
            let shares: Vec<f64> = weights.iter().map(|weight| weight / ratio).collect();
            all.add(coalitions, &shares, column(&|cheap, seen| cheap + ratio * (seen - cheap)).view())?;
            residuals.add(coalitions, &weights, column(&|cheap, seen| seen - cheap).view())
        })?;
        let everything =
            SurrogateOptions { selection: Selection::None, regression: Regression::Ridge, ..*options };
        let rest = Surrogate::fit(&residuals, 0, &everything)?;
        // The model has to miss less than the line does, which was fitted to all that it is compared with.
        let fairly = if model.process.is_some() { self.left_out(samples) } else { 1.0 };
        if residuals.variation(0) * (1.0 - rest.score) >= fairly * missed {
            return Ok(None);
        }
        // The same distribution, by the design that scatters least.
        let spread = if sampling == Sampling::Removal { sampling } else { Sampling::Orthogonal };
        self.blocks(virtual_rows, self.lime.seed ^ OTHER_SEED, spread, |first, coalitions| {
            let mut shares: Vec<f64> =
                self.row_weights(coalitions).iter().map(|weight| weight / ratio).collect();
            if first == 0 {
                // The instance is one row of the evaluated ones: it keeps its share of the neighbourhood.
                shares[0] *= virtual_rows as f64 / samples as f64;
            }
            let values = Array1::from(model.values(coalitions)).insert_axis(Axis(1));
            all.add(coalitions, &shares, values.view())
        })?;
        let mut surrogate = Surrogate::fit(&all, 0, options)?;
        surrogate.output = plain.output;
        surrogate.score = plain.score;
        if options.regression == Regression::Lasso {
            return Ok(Some(surrogate));
        }
        let whole = Line::of(&surrogate);
        let missed = whole.fit_alike(&residuals, options.alpha)?;
        let cheap = Cheap { values: &values, line: whole.less(&missed), ratio };
        surrogate.standard_errors = None;
        self.design_errors(&mut surrogate, column, &residuals, &missed, Some(&cheap), options.alpha)?;
        Ok(Some(surrogate))
    }

    /// About by how much more a fit of one number for each player misses rows that are left out, in squares: `1 / (1 − h)²`, with the
    /// mean leverage `h` of that many rows.
    fn left_out(&self, rows: usize) -> f64 {
        let leverage = (self.players + 1) as f64 / rows as f64;
        (1.0 - leverage).max(f64::EPSILON).powi(-2)
    }

    /// About how many multiply-adds of a game take as long as a process for one output.
    fn process_work(&self, samples: usize) -> f64 {
        if samples > PROCESS_SAMPLES {
            return f64::INFINITY;
        }
        let rows = samples.min(PROCESS_ROWS) as f64;
        let asked = (VIRTUAL * samples).clamp(LEAST_VIRTUAL, PROCESS_VIRTUAL) + samples;
        WORK_OF_CUBE * rows.powi(3) + WORK_OF_COVARIANCE * rows * (asked * self.players.div_ceil(8)) as f64
    }

    /// A model of one output, and its value for each evaluated row: for those that a process was fitted to, the value of the process
    /// that is fitted to the others. `None` if there is none.
    fn cheap_model(&self, responses: ArrayView1<f64>) -> Result<Option<(Model, Vec<f64>)>> {
        let samples = responses.len();
        let Lime { seed, sampling, .. } = *self.lime;
        let fitted = lime_coalition_rows(self.players, samples, 0..samples.min(FIT_ROWS), seed, sampling)?;
        let weights = self.row_weights(&fitted);
        let fit = Logistic::fit(&fitted, &weights, responses.slice(ndarray::s![..fitted.rows()]))?;
        let Some(logistic) = fit else { return Ok(None) };
        let mut model = Model { logistic, process: None };
        let mut values = self.values(&model, samples)?;
        let wanted = self.lime.control == Control::GaussianProcess;
        if !wanted || self.process_work(samples) > self.work {
            return Ok(Some((model, values)));
        }
        let seen = fitted.slice(0..samples.min(PROCESS_ROWS));
        let spreads: Vec<f64> = values[..seen.rows()].iter().map(|&chance| spread(chance)).collect();
        let missed = |row: usize| responses[row] - values[row];
        let scaled: Vec<f64> = spreads.iter().enumerate().map(|(row, spread)| missed(row) / spread).collect();
        let few = seen.slice(0..seen.rows().min(FIRST_ROWS));
        let of_slopes = rates(&model.logistic.coefficients, 1.0);
        let (first, _) = GaussianProcess::fit(&few, &of_slopes, &scaled[..few.rows()], NOISE)?;
        let sensitivities = first.sensitivities(&few.slice(0..few.rows().min(SENSITIVITY_ROWS)));
        let (process, left_out) =
            GaussianProcess::fit(&seen, &rates(&sensitivities, SENSITIVITY_POWER), &scaled, NOISE)?;
        let squares = |of: &dyn Fn(usize) -> f64| -> f64 {
            (0..seen.rows()).map(|row| weights[row] * of(row).powi(2)).sum()
        };
        if squares(&|row| left_out[row] * spreads[row]) >= self.left_out(seen.rows()) * squares(&missed) {
            return Ok(Some((model, values)));
        }
        model.process = Some(process);
        values = self.values(&model, samples)?;
        // The instance is among the virtual rows as well: for it, both have to be the same.
        for (row, value) in values.iter_mut().enumerate().take(seen.rows()).skip(1) {
            *value = responses[row] - left_out[row] * spreads[row];
        }
        Ok(Some((model, values)))
    }

    fn values(&self, model: &Model, samples: usize) -> Result<Vec<f64>> {
        let mut values = Vec::with_capacity(samples);
        self.blocks(samples, self.lime.seed, self.lime.sampling, |_, coalitions| {
            values.extend(model.values(coalitions));
            Ok(())
        })?;
        Ok(values)
    }

    pub fn row_weights(&self, coalitions: &Coalitions) -> Vec<f64> {
        (0..coalitions.rows()).map(|row| self.weights[coalitions.count(row)]).collect()
    }

    fn blocks(
        &self,
        samples: usize,
        seed: u64,
        sampling: Sampling,
        mut each: impl FnMut(usize, &Coalitions) -> Result<()>,
    ) -> Result<()> {
        for first in (0..samples).step_by(BLOCK_ROWS) {
            let rows = first..samples.min(first + BLOCK_ROWS);
            each(first, &lime_coalition_rows(self.players, samples, rows, seed, sampling)?)?;
        }
        Ok(())
    }
}
