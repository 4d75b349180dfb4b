//! LIME (Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016): a weighted linear surrogate around
//! the instance.

use std::time::Instant;

use ndarray::{Array2, Axis};

use super::control::{Control, Evaluated};
use super::explanation::top;
use super::lime_errors::Line;
use super::{Attribution, Explanation, Game, Progress};
use crate::perturb::{Sampling, lime_coalition_rows};
use crate::solve::{Distance, Gram, Kernel, Regression, Selection, Surrogate, SurrogateOptions};
use crate::{Error, Result};

/// Coalitions that are drawn, evaluated and added to the moments at a time: bounds the host's memory, whatever
/// the number of samples, and is far above what keeps a device busy.
const BLOCK_ROWS: usize = 1 << 14;

/// Responses held at a time: fewer rows where a coalition has very many outputs.
const BLOCK_VALUES: usize = 1 << 24;

/// Players at most: the moments grow with their square, to 512 MiB here.
const MOST_PLAYERS: usize = 8192;

/// Which outputs are explained.
///
/// # Example
/// ```
/// use whybox::explain::Labels;
///
/// let prediction = [0.1, 0.7, 0.2];
/// assert_eq!(Labels::Top(2).choose(&prediction), [1, 2]);
/// assert_eq!(Labels::Given(vec![2, 0, 2]).choose(&prediction), [2, 0]);
/// assert_eq!(Labels::All.choose(&prediction), [0, 1, 2]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// The `k` outputs with the highest prediction for the instance.
    Top(usize),
    /// These outputs.
    Given(Vec<usize>),
    /// Every output, in its order.
    All,
}

impl Labels {
    /// Refuses what a game of `outputs` outputs cannot answer.
    pub(super) fn check(&self, outputs: usize) -> Result<()> {
        match self {
            Labels::Top(0) => Err(Error::parameter("no output to explain", "--top 0", "ask for at least 1")),
            Labels::Given(labels) if labels.is_empty() => {
                Err(Error::parameter("no output to explain", "labels", "name at least one"))
            }
            Labels::Given(labels) => match labels.iter().find(|&&label| label >= outputs) {
                Some(label) => Err(Error::parameter(
                    format!("there is no output {label}"),
                    "--class",
                    format!("the network has the outputs 0 to {}", outputs.saturating_sub(1)),
                )),
                None => Ok(()),
            },
            Labels::Top(_) | Labels::All => Ok(()),
        }
    }

    /// The outputs that are explained for an instance with this prediction, each once.
    pub fn choose(&self, prediction: &[f64]) -> Vec<usize> {
        match self {
            Labels::Top(k) => top(prediction, *k),
            Labels::All => (0..prediction.len()).collect(),
            Labels::Given(labels) => {
                let mut seen = vec![false; prediction.len()];
                labels.iter().copied().filter(|&label| !std::mem::replace(&mut seen[label], true)).collect()
            }
        }
    }
}

/// LIME over any game. The defaults are those of `lime_image` 0.2.0.1, but for the top labels (1 instead of 5).
///
/// Source of the formulas: `lime_base.py` and `lime_image.py` of that package; see [`crate::solve`].
///
/// # Example
/// ```
/// use whybox::explain::{FunctionGame, Labels, Lime};
///
/// let game = FunctionGame::new(4, 2, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[1] { 0.8 } else { 0.2 };
///     out[1] = 1.0 - out[0];
/// });
/// let lime = Lime { samples: 500, labels: Labels::All, ..Lime::default() };
/// let explanation = lime.explain(&game, &mut |_| {})?;
/// assert!(explanation.attributions[0].values[1] > 0.5 && explanation.attributions[1].values[1] < -0.5);
/// assert!(explanation.attributions[0].score > 0.99);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Lime {
    /// Number of coalitions, the instance itself included. Default: 1,000.
    pub samples: usize,
    /// Distance of a coalition from the instance. Default: cosine.
    pub distance: Distance,
    /// Width of the exponential kernel. Default: 0.25.
    pub kernel_width: f64,
    /// How features are selected. Default: `auto`.
    pub selection: Selection,
    /// Features at most. Default: 100,000, so all.
    pub num_features: usize,
    /// Penalty of the regression. Default: 1.
    pub alpha: f64,
    /// What the surrogate is. Default: a ridge regression; `captum`'s is a lasso, with an `alpha` of 0.01.
    pub regression: Regression,
    /// How coalitions are drawn. Default: in pairs, which scatter least over seeds with the default control; without one,
    /// orthogonal arrays do.
    pub sampling: Sampling,
    /// Whether a cheap model of the black box takes more scatter out. Default: a logistic one with a Gaussian process.
    pub control: Control,
    /// Which outputs are explained. Default: the top one.
    pub labels: Labels,
    /// Seed of the coalitions. Default: 0.
    pub seed: u64,
}

impl Default for Lime {
    fn default() -> Self {
        let surrogate = SurrogateOptions::default();
        Lime {
            samples: 1000,
            distance: Distance::Cosine,
            kernel_width: 0.25,
            selection: surrogate.selection,
            num_features: surrogate.num_features,
            alpha: surrogate.alpha,
            regression: surrogate.regression,
            sampling: Sampling::Paired,
            control: Control::GaussianProcess,
            labels: Labels::Top(1),
            seed: 0,
        }
    }
}

impl Lime {
    /// Explains a game. Coalitions and their values are forgotten block by block; what is kept of a sample is one number for each
    /// explained output, or two with a control.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than two samples, a kernel width or penalty that makes no sense, or
    /// a label that the game has not; [`Error::Numeric`] for a game that answers NaN; whatever the game reports.
    pub fn explain(&self, game: &dyn Game, progress: &mut Progress<'_>) -> Result<Explanation> {
        self.check(game)?;
        let kernel = Kernel::new(self.kernel_width)?;
        let players = game.players();
        let weights: Vec<f64> =
            (0..=players).map(|present| kernel.weight(self.distance.of(present, players))).collect();
        let mut prediction = Vec::new();
        let mut labels = Vec::new();
        let mut gram = Gram::new(players, 0);
        // The responses: for the control, and for the errors of a design of pairs.
        let paired = matches!(self.sampling, Sampling::Paired | Sampling::Orthogonal);
        let keeps = paired || self.control != Control::None;
        let mut responses = Vec::new();
        let (mut evaluating, mut solving) = (0.0, 0.0);
        let block = (BLOCK_VALUES / game.outputs().max(1)).clamp(1, BLOCK_ROWS);
        for first in (0..self.samples).step_by(block) {
            let rows = first..self.samples.min(first + block);
            let coalitions =
                lime_coalition_rows(players, self.samples, rows.clone(), self.seed, self.sampling)?;
            let start = Instant::now();
            let values = game.values(&coalitions)?;
            if values.dim() != (rows.len(), game.outputs()) {
                return Err(Error::parameter(
                    format!("the game answered {:?} for {} coalitions", values.dim(), rows.len()),
                    "Game::values",
                    format!("return [coalitions, outputs], here [{}, {}]", rows.len(), game.outputs()),
                ));
            }
            evaluating += start.elapsed().as_secs_f64();
            let start = Instant::now();
            if first == 0 {
                // Row 0 is the instance: its values choose the labels.
                prediction = values.row(0).to_vec();
                labels = self.labels.choose(&prediction);
                gram = Gram::new(players, labels.len());
            }
            let row_weights: Vec<f64> =
                (0..coalitions.rows()).map(|row| weights[coalitions.count(row)]).collect();
            let explained: Array2<f64> = values.select(Axis(1), &labels);
            gram.add(&coalitions, &row_weights, explained.view())?;
            if keeps {
                responses.extend(explained);
            }
            solving += start.elapsed().as_secs_f64();
            progress(rows.end);
        }
        let start = Instant::now();
        let options = SurrogateOptions {
            selection: self.selection,
            num_features: self.num_features,
            alpha: self.alpha,
            regression: self.regression,
        };
        let columns: Vec<usize> = (0..labels.len()).collect();
        let mut surrogates = Surrogate::fit_all(&gram, &columns, &options)?;
        if keeps {
            let shape = (self.samples, labels.len());
            // One response for each sample and label was kept.
            let responses = Array2::from_shape_vec(shape, responses).unwrap_or_else(|_| unreachable!());
            let work = game.work() * (self.samples / labels.len().max(1)) as f64;
            let evaluated = Evaluated { lime: self, players, weights: &weights, responses: &responses, work };
            for (column, surrogate) in surrogates.iter_mut().enumerate() {
                let missed = gram.variation(column) * (1.0 - surrogate.score);
                let better = match self.control {
                    Control::None => None,
                    Control::Logistic | Control::GaussianProcess => {
                        evaluated.controlled(column, surrogate, missed, &options)?
                    }
                };
                match better {
                    Some(better) => *surrogate = better,
                    None if paired && self.regression == Regression::Ridge => {
                        let line = Line::of(surrogate);
                        evaluated.design_errors(surrogate, column, &gram, &line, None, self.alpha)?;
                    }
                    None => {}
                }
            }
        }
        let attributions = surrogates
            .iter()
            .zip(&labels)
            .map(|(surrogate, &output)| attribution(surrogate, players, output, prediction[output]))
            .collect();
        solving += start.elapsed().as_secs_f64();
        Ok(Explanation {
            method: "LIME",
            players,
            attributions,
            interactions: None,
            exact: false,
            prediction,
            evaluations: self.samples,
            seed: self.seed,
            seconds: vec![("evaluate".into(), evaluating), ("solve".into(), solving)],
        })
    }

    fn check(&self, game: &dyn Game) -> Result<()> {
        if self.samples < 2 {
            return Err(Error::parameter(
                format!("{} samples cannot be fitted", self.samples),
                format!("--samples {}", self.samples),
                "ask for at least 2; 1,000 is usual",
            ));
        }
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            return Err(Error::parameter(
                format!("a penalty of {} makes no sense", self.alpha),
                "--alpha",
                "give a number of at least 0; 1 is usual",
            ));
        }
        if self.num_features == 0 {
            return Err(Error::parameter(
                "a surrogate without features",
                "--features 0",
                "ask for at least 1",
            ));
        }
        if game.players() > MOST_PLAYERS {
            return Err(Error::limits(
                format!(
                    "{} segments are too many: the surrogate's matrix grows with their square",
                    game.players()
                ),
                "--segments",
                format!("choose at most {MOST_PLAYERS}, for example slic:n=70"),
            ));
        }
        self.labels.check(game.outputs())
    }
}

/// A surrogate as one value for each player.
pub(super) fn attribution(
    surrogate: &Surrogate,
    players: usize,
    output: usize,
    prediction: f64,
) -> Attribution {
    let mut values = vec![0.0; players];
    surrogate.coefficients.iter().for_each(|&(player, value)| values[player] = value);
    let standard_errors = surrogate.standard_errors.as_ref().map(|errors| {
        let mut all = vec![f64::NAN; players];
        surrogate.coefficients.iter().zip(errors).for_each(|(&(player, _), &error)| all[player] = error);
        all
    });
    Attribution {
        output,
        values,
        standard_errors,
        degrees_of_freedom: surrogate.degrees_of_freedom,
        base_value: surrogate.intercept,
        local_prediction: surrogate.local_prediction,
        prediction,
        score: surrogate.score,
    }
}
