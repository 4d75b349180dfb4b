//! What is compared: methods that explain an instance, its neighbours, and the instance under a randomised network.

use ndarray::Array2;
use rand::RngExt;

use super::check;
use crate::explain::{Estimator, Game};
use crate::perturb::Coalitions;
use crate::perturb::philox::Philox;
use crate::{Error, Result};

/// Stream of the Philox generator for random explanations.
const STREAM: u32 = 0x524E_444D;

/// A game and those of its outputs that are explained, each by itself. It is a game of these outputs.
///
/// # Example
/// ```
/// use whybox::evaluate::View;
/// use whybox::explain::{FunctionGame, Game};
/// use whybox::perturb::Coalitions;
///
/// let game = FunctionGame::new(2, 3, |present: &[bool], out: &mut [f64]| {
///     out.copy_from_slice(&[1.0, 2.0, if present[0] { 3.0 } else { 0.0 }]);
/// });
/// let view = View { game: &game, outputs: vec![2, 0] };
/// let all = Coalitions::from_words(2, vec![0b11])?;
/// assert_eq!(view.outputs(), 2);
/// assert_eq!(view.values(&all)?, ndarray::array![[3.0, 1.0]]);
/// assert!(View::of(&game, 3).values(&all).is_err()); // there is no output 3
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Clone)]
pub struct View<'a> {
    /// What is asked.
    pub game: &'a dyn Game,
    /// The explained outputs.
    pub outputs: Vec<usize>,
}

impl<'a> View<'a> {
    /// One output of a game.
    pub fn of(game: &'a dyn Game, output: usize) -> Self {
        View { game, outputs: vec![output] }
    }
}

impl Game for View<'_> {
    fn players(&self) -> usize {
        self.game.players()
    }

    fn outputs(&self) -> usize {
        self.outputs.len()
    }

    fn varying(&self) -> Vec<bool> {
        self.game.varying()
    }

    fn work(&self) -> f64 {
        self.game.work()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        if let Some(output) = self.outputs.iter().find(|&&output| output >= self.game.outputs()) {
            return Err(Error::parameter(
                format!("there is no output {output}"),
                "View",
                format!("the game has the outputs 0 to {}", self.game.outputs().saturating_sub(1)),
            ));
        }
        Ok(self.game.values(coalitions)?.select(ndarray::Axis(1), &self.outputs))
    }
}

/// Which view of a [`Case`](super::Case) is explained.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, Case, Comparison, Metric, View, Which};
/// use whybox::explain::FunctionGame;
///
/// /// Answers that were worked out elsewhere.
/// struct Recorded;
///
/// impl Candidate for Recorded {
///     fn name(&self) -> &str {
///         "recorded"
///     }
///     fn explain(&mut self, _view: &View<'_>, which: Which) -> whybox::Result<Vec<Vec<f64>>> {
///         Ok(vec![match which {
///             Which::Instance => vec![3.0, 4.0],
///             Which::Near(view) => vec![3.0, 4.0 + view as f64],
///             Which::Randomised => vec![4.0, 3.0],
///         }])
///     }
/// }
///
/// let game = FunctionGame::new(2, 1, |_: &[bool], out: &mut [f64]| out[0] = 0.0);
/// let near = vec![View::of(&game, 0), View::of(&game, 0)];
/// let case = Case { near, randomised: Some(View::of(&game, 0)), ..Case::of(&game, 0) };
/// let metrics = vec![Metric::Sensitivity, Metric::Randomised];
/// let comparison = Comparison { metrics, ..Comparison::default() };
/// let mut candidates: Vec<Box<dyn Candidate>> = vec![Box::new(Recorded)];
/// let values = &comparison.judge(&case, &mut candidates)?[0].values;
/// assert!((values[0] - 0.2).abs() < 1e-12); // the second near instance: a change of 1 in a norm of 5
/// assert!((values[1] - 1.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The instance itself.
    Instance,
    /// The view with this number among those of near instances.
    Near(usize),
    /// The instance under the randomised network.
    Randomised,
}

/// A method under comparison.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, Case, Comparison, Metric, View, Which};
/// use whybox::explain::{FunctionGame, Game};
///
/// /// Says the same of every player.
/// struct Alike;
///
/// impl Candidate for Alike {
///     fn name(&self) -> &str {
///         "alike"
///     }
///     fn explain(&mut self, view: &View<'_>, _which: Which) -> whybox::Result<Vec<Vec<f64>>> {
///         Ok(vec![vec![1.0; view.players()]; view.outputs.len()])
///     }
/// }
///
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| out[0] = f64::from(u8::from(present[0])));
/// let comparison = Comparison { metrics: vec![Metric::Gini], ..Comparison::default() };
/// let mut candidates: Vec<Box<dyn Candidate>> = vec![Box::new(Alike)];
/// let judgements = comparison.judge(&Case::of(&game, 0), &mut candidates)?;
/// assert!(judgements[0].values[0].abs() < 1e-12); // as sparse as what says nothing
/// # Ok::<(), whybox::Error>(())
/// ```
pub trait Candidate {
    /// Its name.
    fn name(&self) -> &str;

    /// One list of attributions `[players]` for each output of the view.
    ///
    /// # Errors
    /// Whatever the method reports.
    fn explain(&mut self, view: &View<'_>, which: Which) -> Result<Vec<Vec<f64>>>;
}

/// An [`Estimator`] under comparison. It has to explain all outputs ([`Labels::All`](crate::explain::Labels::All)), which are
/// those of the view.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, Estimated, View, Which};
/// use whybox::explain::{FunctionGame, KernelShap};
///
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().zip([1.0, 2.0, 4.0]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
/// });
/// let mut shap = Estimated::new(KernelShap::default());
/// let lists = shap.explain(&View::of(&game, 0), Which::Instance)?;
/// assert_eq!((shap.name.as_str(), lists.len()), ("Kernel SHAP", 1));
/// assert!((lists[0][2] - 4.0).abs() < 1e-9);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Estimated<'a> {
    /// Its name.
    pub name: String,
    /// The method.
    pub estimator: Box<dyn Estimator + 'a>,
}

impl<'a> Estimated<'a> {
    /// An estimator by its own name.
    pub fn new(estimator: impl Estimator + 'a) -> Self {
        Estimated { name: estimator.name().to_owned(), estimator: Box::new(estimator) }
    }
}

impl Candidate for Estimated<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn explain(&mut self, view: &View<'_>, _which: Which) -> Result<Vec<Vec<f64>>> {
        let explanation = self.estimator.explain(view, &mut |_| {})?;
        let explained = explanation.attributions.iter().map(|attribution| attribution.output);
        if !explained.eq(0..view.outputs.len()) {
            return Err(Error::parameter(
                "the estimator does not explain every output, in their order",
                self.name.clone(),
                "give it the labels Labels::All",
            ));
        }
        Ok(explanation.attributions.into_iter().map(|attribution| attribution.values).collect())
    }
}

/// The negative control: an explanation that knows nothing of the network but how much there is to explain. Its attributions are
/// uniform draws, other ones each time, scaled so that they add up to `v(all) − v(none)`.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, RandomExplanation, View, Which};
/// use whybox::explain::FunctionGame;
///
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| out[0] = if present[0] { 5.0 } else { 3.0 });
/// let mut random = RandomExplanation::new(7, 0);
/// let mut draw = || random.explain(&View::of(&game, 0), Which::Instance).map(|lists| lists[0].clone());
/// let (first, second) = (draw()?, draw()?);
/// assert!((first.iter().sum::<f64>() - 2.0).abs() < 1e-12);
/// assert_ne!(first, second);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct RandomExplanation {
    draws: Philox,
}

impl RandomExplanation {
    /// The control of the instance with number `instance`: its draws depend on the seed and this number alone.
    pub fn new(seed: u64, instance: u32) -> Self {
        let mut draws = Philox::new(seed, STREAM);
        draws.seek(u64::from(instance) << 32);
        RandomExplanation { draws }
    }
}

impl Candidate for RandomExplanation {
    fn name(&self) -> &str {
        "random"
    }

    fn explain(&mut self, view: &View<'_>, _which: Which) -> Result<Vec<Vec<f64>>> {
        let players = view.players();
        let mut ends = Coalitions::with_capacity(players, 2);
        ends.push(|_| false);
        ends.push(|_| true);
        let values = view.values(&ends)?;
        let lists = (0..view.outputs.len()).map(|output| {
            let drawn: Vec<f64> = (0..players).map(|_| self.draws.random::<f64>()).collect();
            let scale = (values[[1, output]] - values[[0, output]]) / drawn.iter().sum::<f64>();
            drawn.into_iter().map(|value| value * scale).collect()
        });
        Ok(lists.collect())
    }
}

/// The lists that a candidate gives for a view, checked.
pub(super) fn explained(
    candidate: &mut dyn Candidate,
    view: &View<'_>,
    which: Which,
) -> Result<Vec<Vec<f64>>> {
    let lists = candidate.explain(view, which)?;
    if lists.len() != view.outputs.len() {
        return Err(Error::parameter(
            format!("{} lists of attributions for {} outputs", lists.len(), view.outputs.len()),
            candidate.name(),
            "give one list for each output of the view",
        ));
    }
    lists.iter().try_for_each(|list| check(list, view.players()))?;
    Ok(lists)
}
