//! Methods against each other: every metric of every method for one instance, in few large batches.

use std::time::Instant;

use super::candidate::{Candidate, View, Which, explained};
use super::curve::{Curve, Way};
use super::faithfulness::{falls, mean_square, sums};
use super::sensitivity::relative_change;
use super::{Faithfulness, Metric, Object, complexity, correlation, rank_correlation, sparseness};
use crate::explain::Game;
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// One instance to explain, and what its explanations can be judged by.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, Case, Comparison, Estimated, Metric, View};
/// use whybox::explain::{FunctionGame, KernelShap};
///
/// // The instance, and one near it whose every weight is a tenth larger.
/// let weighted = |scale: f64| {
///     FunctionGame::new(3, 1, move |present: &[bool], out: &mut [f64]| {
///         let sum: f64 = present.iter().zip([2.0, 3.0, 6.0]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
///         out[0] = scale * sum;
///     })
/// };
/// let (game, near) = (weighted(1.0), weighted(1.1));
/// let case = Case { near: vec![View::of(&near, 0)], ..Case::of(&game, 0) };
/// let comparison = Comparison { metrics: vec![Metric::Sensitivity, Metric::Mass], ..Comparison::default() };
/// let mut candidates: Vec<Box<dyn Candidate>> = vec![Box::new(Estimated::new(KernelShap::default()))];
/// let values = &comparison.judge(&case, &mut candidates)?[0].values;
/// assert!((values[0] - 0.1).abs() < 1e-9);
/// assert!(values[1].is_nan()); // nobody said where the object is
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Case<'a> {
    /// The instance: one output of a game.
    pub instance: View<'a>,
    /// Instances near it, with the same players, for [`Metric::Sensitivity`]; each output of each view is one.
    pub near: Vec<View<'a>>,
    /// The instance under the [`randomised`](super::randomised) network, for [`Metric::Randomised`].
    pub randomised: Option<View<'a>>,
    /// Where the object is, for [`Metric::Pointing`] and [`Metric::Mass`].
    pub object: Option<Object>,
}

impl<'a> Case<'a> {
    /// An output of a game, with nothing else known.
    pub fn of(game: &'a dyn Game, output: usize) -> Self {
        Case { instance: View::of(game, output), near: Vec::new(), randomised: None, object: None }
    }
}

/// What a method's explanation of one instance is worth.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, Case, Comparison, Estimated, Metric};
/// use whybox::explain::{FunctionGame, KernelShap};
///
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().zip([1.0, 2.0, 4.0]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
/// });
/// let comparison = Comparison { metrics: vec![Metric::Deletion], ..Comparison::default() };
/// let mut candidates: Vec<Box<dyn Candidate>> = vec![Box::new(Estimated::new(KernelShap::default()))];
/// let judgement = &comparison.judge(&Case::of(&game, 0), &mut candidates)?[0];
/// assert!((judgement.attributions[1] - 2.0).abs() < 1e-9);
/// assert_eq!(judgement.curve(Metric::Deletion).map(|curve| curve.area()), Some(judgement.values[0]));
/// assert!(judgement.insertion.is_none());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The attributions, `[players]`.
    pub attributions: Vec<f64>,
    /// Seconds that the explanation took.
    pub seconds: f64,
    /// The value of each metric of the comparison; NaN where it is not defined: nothing to judge by, or all attributions zero.
    pub values: Vec<f64>,
    /// The deletion curve, if it was asked for.
    pub deletion: Option<Curve>,
    /// The insertion curve, if it was asked for.
    pub insertion: Option<Curve>,
}

/// Which metrics, and how they ask. Its answers are collected in [`Scores`](super::Scores).
///
/// All coalitions of all curves and of the metrics of faithfulness are one batch, in which every method is asked about the same random
/// sets.
///
/// # Example
/// LIME and Kernel SHAP against a random explanation:
/// ```
/// use whybox::evaluate::{Candidate, Case, Comparison, Estimated, Metric, RandomExplanation, Scores};
/// use whybox::explain::{FunctionGame, KernelShap, Labels, Lime};
///
/// let game = FunctionGame::new(8, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().zip(1..).filter(|(p, _)| **p).map(|(_, i)| f64::from(i * i)).sum::<f64>().sqrt();
/// });
/// let mut candidates: Vec<Box<dyn Candidate>> = vec![
///     Box::new(Estimated::new(Lime { labels: Labels::All, ..Lime::default() })),
///     Box::new(Estimated::new(KernelShap::default())),
///     Box::new(RandomExplanation::new(0, 0)),
/// ];
/// let metrics = vec![Metric::Deletion, Metric::Insertion, Metric::Faithfulness];
/// let comparison = Comparison { metrics, ..Comparison::default() };
/// let mut scores = Scores::new(&comparison.metrics, &["LIME", "Kernel SHAP", "random"], Some("random"));
/// scores.push("the game", &comparison.judge(&Case::of(&game, 0), &mut candidates)?);
/// let area = |method| scores.summary(method, 0).mean;
/// assert!(area(0) < area(2) && area(1) < area(2)); // deletion: less is better
/// assert_ne!(scores.best(0), Some(2));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The metrics. Default: all.
    pub metrics: Vec<Metric>,
    /// Steps of the curves at most; never more than players. Default: 100, so that as a rule a step is one player (quantus).
    pub steps: usize,
    /// Random sets of absent players of [`Metric::Faithfulness`] and [`Metric::Infidelity`].
    pub faithfulness: Faithfulness,
}

impl Default for Comparison {
    fn default() -> Self {
        Comparison { metrics: Metric::ALL.to_vec(), steps: 100, faithfulness: Faithfulness::default() }
    }
}

/// The answers that curves and faithfulness need.
struct Answers {
    ways: Vec<Way>,
    sets: Option<Coalitions>,
    falls: Vec<f64>,
    deletion: Vec<Vec<f64>>,
    insertion: Vec<Vec<f64>>,
}

impl Comparison {
    fn wants(&self, metrics: &[Metric]) -> bool {
        metrics.iter().any(|metric| self.metrics.contains(metric))
    }

    /// Explains an instance by every candidate, and judges them: one [`Judgement`] for each, in their order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an instance of no or of several outputs, candidates that do not fit the game, or settings that make no
    /// sense; whatever games and candidates report. What a metric cannot say of an explanation is NaN, not an error.
    pub fn judge(
        &self,
        case: &Case<'_>,
        candidates: &mut [Box<dyn Candidate + '_>],
    ) -> Result<Vec<Judgement>> {
        if case.instance.outputs.len() != 1 {
            return Err(Error::parameter(
                format!("an instance of {} outputs", case.instance.outputs.len()),
                "Case::instance",
                "judge one output at a time",
            ));
        }
        let mut explanations = Vec::new();
        for candidate in candidates.iter_mut() {
            let start = Instant::now();
            let lists = explained(candidate.as_mut(), &case.instance, Which::Instance)?;
            let seconds = start.elapsed().as_secs_f64();
            // Checked: there is one list for the one output.
            explanations.extend(lists.into_iter().map(|list| (list, seconds)));
        }
        let answers = self.ask(case, &explanations)?;
        let mut judgements = Vec::new();
        for (at, (attributions, seconds)) in explanations.into_iter().enumerate() {
            let curve = |all: &[Vec<f64>]| all.get(at).map(|values| answers.ways[at].curve(values.clone()));
            let mut judgement = Judgement {
                attributions,
                seconds,
                values: Vec::new(),
                deletion: curve(&answers.deletion),
                insertion: curve(&answers.insertion),
            };
            for &metric in &self.metrics {
                let value = self.value(metric, case, &answers, &judgement, candidates[at].as_mut())?;
                judgement.values.push(value);
            }
            judgements.push(judgement);
        }
        Ok(judgements)
    }

    /// Asks everything that curves and faithfulness need in one batch.
    fn ask(&self, case: &Case<'_>, explanations: &[(Vec<f64>, f64)]) -> Result<Answers> {
        let players = case.instance.players();
        let wanted = self.wants(&[Metric::Faithfulness, Metric::Infidelity]);
        let sets = wanted.then(|| self.faithfulness.coalitions(players)).transpose()?;
        let mut batch = sets.clone().unwrap_or_else(|| Coalitions::new(players));
        let ways = explanations
            .iter()
            .map(|(values, _)| Way::new(players, values, self.steps))
            .collect::<Result<Vec<_>>>()?;
        let leave: fn(bool) -> bool = |gone| !gone;
        let join: fn(bool) -> bool = |come| come;
        let kinds = [(Metric::Deletion, leave), (Metric::Insertion, join)].map(|(metric, present)| {
            let wanted = self.metrics.contains(&metric);
            if wanted {
                ways.iter().for_each(|way| way.push(&mut batch, present));
            }
            wanted
        });
        let answers = match batch.rows() {
            0 => Vec::new(),
            _ => case.instance.values(&batch)?.into_raw_vec_and_offset().0,
        };
        let (of_sets, mut rest) = answers.split_at(sets.as_ref().map_or(0, Coalitions::rows));
        let [deletion, insertion] = kinds.map(|wanted| {
            let mut take = |way: &Way| {
                let (values, after) = rest.split_at(way.moved.len());
                rest = after;
                values.to_vec()
            };
            if wanted { ways.iter().map(&mut take).collect() } else { Vec::new() }
        });
        Ok(Answers { ways, falls: falls(of_sets), sets, deletion, insertion })
    }

    fn value(
        &self,
        metric: Metric,
        case: &Case<'_>,
        answers: &Answers,
        judgement: &Judgement,
        candidate: &mut dyn Candidate,
    ) -> Result<f64> {
        let here = &judgement.attributions;
        let area = |curve: &Option<Curve>| curve.as_ref().map_or(f64::NAN, Curve::area);
        let added = || answers.sets.as_ref().map_or_else(Vec::new, |sets| sums(here, sets));
        match metric {
            Metric::Deletion => Ok(area(&judgement.deletion)),
            Metric::Insertion => Ok(area(&judgement.insertion)),
            Metric::Faithfulness => Ok(correlation(&added(), &answers.falls)),
            Metric::Infidelity => Ok(mean_square(&added(), &answers.falls)),
            Metric::Sensitivity => {
                let mut worst = f64::NAN;
                for (at, view) in case.near.iter().enumerate() {
                    for there in explained(candidate, view, Which::Near(at))? {
                        worst = worst.max(defined(relative_change(here, &there))?);
                    }
                }
                Ok(worst)
            }
            Metric::Gini => defined(sparseness(here)),
            Metric::Entropy => defined(complexity(here)),
            Metric::Pointing => case.object.as_ref().map_or(Ok(f64::NAN), |object| object.pointing(here)),
            Metric::Mass => case.object.as_ref().map_or(Ok(f64::NAN), |object| defined(object.mass(here))),
            Metric::Randomised => match &case.randomised {
                // A network of shuffled weights may answer infinities: then there is nothing to compare with.
                Some(view) => defined(explained(candidate, view, Which::Randomised).map(|there| {
                    // One list for each output; a case under the randomised network has the instance's one.
                    there.first().map_or(f64::NAN, |there| rank_correlation(here, there).abs())
                })),
                None => Ok(f64::NAN),
            },
        }
    }
}

/// NaN where a metric is not defined.
fn defined(value: Result<f64>) -> Result<f64> {
    match value {
        Err(Error::Numeric(_)) => Ok(f64::NAN),
        other => other,
    }
}
