//! Less scatter from the same evaluations: a cheap model of the black box as a control variate.
//!
//! A linear surrogate of a probability is far from the truth: what saturates is not linear, and what the line misses
//! is the noise in its coefficients. A logistic model `g` of the same coalitions misses much less. So
//!
//! ```text
//! surrogate of v  =  surrogate of g  +  surrogate of (v − g)
//! ```
//!
//! where the first, which asks nothing of the black box, is fitted on many more coalitions than were evaluated, and
//! the second has small residuals. For any `g` the sum converges to the surrogate of `v`: a bad `g` costs accuracy, it
//! does not bias (M. C. Fu and others call this the difference estimator; control variates with a fitted model are in
//! A. B. Owen, *Monte Carlo theory, methods and examples*, 2013, section 8.9).

use ndarray::{Array2, ArrayView1};

use super::Lime;
use super::lime_errors::{Cheap, Line};
use crate::Result;
use crate::perturb::{Coalitions, Sampling, lime_coalition_rows};
use crate::solve::{Gram, Regression, Ridge, Selection, Surrogate, SurrogateOptions};

/// Whether a cheap model of the black box takes the scatter out of LIME's coefficients.
///
/// # Example
/// ```
/// use whybox::explain::{Control, Estimator, FunctionGame, Lime};
///
/// let game = FunctionGame::new(8, 1, |present: &[bool], out: &mut [f64]| {
///     let hits = present[..3].iter().filter(|&&here| here).count() as f64;
///     out[0] = 1.0 / (1.0 + (2.0 - hits).exp());
/// });
/// let first = |control, seed| {
///     let lime = Lime { samples: 60, control, seed, ..Lime::default() };
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
}

/// Rows that are drawn and added to the moments at a time.
const BLOCK_ROWS: usize = 4096;

/// Rows that the logistic model is fitted on at most: it need not be the best one.
const FIT_ROWS: usize = 1 << 14;

/// Newton's steps: each about doubles the digits, and no more than a few are needed.
const STEPS: usize = 12;

/// Penalty of the logistic model's squared coefficients, enough to keep them finite where coalitions separate 0 from 1.
const PENALTY: f64 = 0.01;

/// Coalitions for each evaluated one that the cheap model is asked about,
const VIRTUAL: usize = 16;

/// within these bounds.
const LEAST_VIRTUAL: usize = 1 << 14;
const MOST_VIRTUAL: usize = 1 << 20;

/// What tells the second draw of coalitions from the first.
const OTHER_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// A logistic model of a game: `1 / (1 + exp(−(a + Σ bₚ zₚ)))`.
struct Logistic {
    intercept: f64,
    coefficients: Vec<f64>,
}

impl Logistic {
    fn linear(&self, coalitions: &Coalitions, row: usize) -> f64 {
        let mut sum = self.intercept;
        for (coefficients, word) in self.coefficients.chunks(32).zip(coalitions.row_words(row)) {
            for (bit, coefficient) in coefficients.iter().enumerate() {
                sum += f64::from(word >> bit & 1) * coefficient;
            }
        }
        sum
    }

    fn value(&self, coalitions: &Coalitions, row: usize) -> f64 {
        sigmoid(self.linear(coalitions, row))
    }

    /// Penalised maximum likelihood by iteratively reweighted least squares (McCullagh and Nelder 1989, section 2.5), for
    /// responses between 0 and 1.
    fn fit(coalitions: &Coalitions, weights: &[f64], responses: ArrayView1<f64>) -> Result<Self> {
        let players = coalitions.players();
        let features: Vec<usize> = (0..players).collect();
        let mean = responses.mean().unwrap_or(0.5).clamp(1e-3, 1.0 - 1e-3);
        let mut model = Logistic { intercept: (mean / (1.0 - mean)).ln(), coefficients: vec![0.0; players] };
        for _ in 0..STEPS {
            let mut working = Array2::zeros((responses.len(), 1));
            let mut information = Vec::with_capacity(responses.len());
            for (row, &response) in responses.iter().enumerate() {
                // Far out the information vanishes, and a step along it would never come back.
                let linear = model.linear(coalitions, row).clamp(-12.0, 12.0);
                let chance = sigmoid(linear);
                let slope = chance * (1.0 - chance);
                working[[row, 0]] = linear + (response - chance) / slope;
                information.push(weights[row] * slope);
            }
            let mut gram = Gram::new(players, 1);
            gram.add(coalitions, &information, working.view())?;
            let fit = Ridge::fit(&gram, &features, &[0], PENALTY)?;
            model =
                Logistic { intercept: fit.intercepts[0], coefficients: fit.coefficients.column(0).to_vec() };
        }
        Ok(model)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What was evaluated, and how coalitions are drawn and weighted.
pub(super) struct Evaluated<'a> {
    pub lime: &'a Lime,
    pub players: usize,
    /// Weight of a coalition by the number of its players.
    pub weights: &'a [f64],
    /// `[samples, labels]`
    pub responses: &'a Array2<f64>,
}

impl Evaluated<'_> {
    /// The surrogate of column `column` with a logistic control variate. `plain` is the one without, whose fit to what was
    /// evaluated is kept; `missed` is its weighted sum of squared residuals. `None` where the responses are no probabilities, or the model is no better than the line.
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
        let rows = samples.min(FIT_ROWS);
        let coalitions = lime_coalition_rows(self.players, samples, 0..rows, self.lime.seed, sampling)?;
        let model =
            Logistic::fit(&coalitions, &self.row_weights(&coalitions), responses.slice(ndarray::s![..rows]))?;

        // Evaluated rows: g + (v − g) · (all rows / evaluated rows), so that the sum over all rows is the one wanted.
        let virtual_rows = (VIRTUAL * samples).clamp(LEAST_VIRTUAL, MOST_VIRTUAL);
        let ratio = (samples + virtual_rows) as f64 / samples as f64;
        let mut all = Gram::new(self.players, 1);
        let mut residuals = Gram::new(self.players, 1);
        self.blocks(samples, self.lime.seed, sampling, |first, coalitions| {
            let weights = self.row_weights(coalitions);
            let values = |amount: f64| {
                Array2::from_shape_fn((coalitions.rows(), 1), |(row, _)| {
                    let cheap = model.value(coalitions, row);
                    let residual = responses[first + row] - cheap;
                    if amount == 0.0 { residual } else { cheap + amount * residual }
                })
            };
            let shares: Vec<f64> = weights.iter().map(|weight| weight / ratio).collect();
            all.add(coalitions, &shares, values(ratio).view())?;
            residuals.add(coalitions, &weights, values(0.0).view())
        })?;
        let everything =
            SurrogateOptions { selection: Selection::None, regression: Regression::Ridge, ..*options };
        let rest = Surrogate::fit(&residuals, 0, &everything)?;
        // The model has to miss less than the line does.
        if residuals.variation(0) * (1.0 - rest.score) >= missed {
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
            let values =
                Array2::from_shape_fn((coalitions.rows(), 1), |(row, _)| model.value(coalitions, row));
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
        let value = |coalitions: &Coalitions, row: usize| model.value(coalitions, row);
        let cheap = Cheap { value: &value, line: whole.less(&missed), ratio };
        surrogate.standard_errors = None;
        self.design_errors(&mut surrogate, column, &residuals, &missed, Some(&cheap), options.alpha)?;
        Ok(Some(surrogate))
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
