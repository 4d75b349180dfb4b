//! The document of a comparison of explanations: what `whybox evaluate` writes, shows and draws.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::document::{Explained, Stamp};
use super::json::{self, Pairs};
use super::number::{Rounding, counted};
use super::plot::{self, PlotOptions, lines};
use super::write_atomically;
use crate::Result;
use crate::evaluate::{Judgement, Metric, Scores, Summary};

/// What is known of a judged instance besides its scores.
///
/// # Example
/// ```
/// use whybox::report::{EvaluatedInput, Evaluation};
///
/// let input = EvaluatedInput { output: 281, output_name: "tabby".into(), prediction: 0.93, players: 50 };
/// let mut evaluation = Evaluation::default(); // of no method yet, so an instance has no judgement
/// evaluation.push("cat.jpg", input.clone(), &[])?;
/// assert_eq!(evaluation.inputs, [input]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedInput {
    /// The explained output's number.
    pub output: usize,
    /// Its name.
    pub output_name: String,
    /// The network's output for the instance.
    pub prediction: f64,
    /// Players (segments, features).
    pub players: usize,
}

/// Methods × metrics × instances of one network, with the run that found them: `evaluation.json` (`docs/json.md`), a page, CSV,
/// curves and terminal text.
///
/// # Example
/// ```
/// use whybox::evaluate::{Candidate, Case, Comparison, Estimated, Metric, RandomExplanation, Scores};
/// use whybox::explain::{FunctionGame, KernelShap};
/// use whybox::report::{EvaluatedInput, Evaluation};
///
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().zip([4.0, 3.0, 2.0, 1.0]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
/// });
/// let mut candidates: Vec<Box<dyn Candidate>> =
///     vec![Box::new(Estimated::new(KernelShap::default())), Box::new(RandomExplanation::new(0, 0))];
/// let comparison = Comparison { metrics: vec![Metric::Deletion, Metric::Gini], ..Comparison::default() };
/// let scores = Scores::new(&comparison.metrics, &["Kernel SHAP", "random"], Some("random"));
/// let mut evaluation = Evaluation { network: "a sum".into(), scores, ..Evaluation::default() };
/// let input = EvaluatedInput { output: 0, output_name: "sum".into(), prediction: 10.0, players: 4 };
/// evaluation.push("the game", input, &comparison.judge(&Case::of(&game, 0), &mut candidates)?)?;
/// assert!(evaluation.html()?.contains("Kernel SHAP"));
/// assert!(evaluation.to_json()?.contains("\"kind\": \"evaluation\""));
/// assert!(evaluation.curves(Metric::Deletion, &Default::default()).is_some());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The network's name.
    pub network: String,
    /// The device that ran it.
    pub device: String,
    /// The seed of all random draws.
    pub seed: u64,
    /// Names and values of the settings, in the order in which to show them.
    pub settings: Vec<(String, String)>,
    /// The command line that repeats the run; empty if there is none.
    pub command: String,
    /// What the explained outputs are.
    pub explained: Explained,
    /// Evaluations of the network.
    pub evaluations: u64,
    /// Wall-clock seconds by stage, in order.
    pub seconds: Vec<(String, f64)>,
    /// What to know before trusting the numbers.
    pub warnings: Vec<String>,
    /// The scores.
    pub scores: Scores,
    /// What is known of each instance of the scores.
    pub inputs: Vec<EvaluatedInput>,
}

/// How a cell of methods × metrics is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Best,
    /// No better than the negative control.
    Lost,
    Plain,
}

impl Evaluation {
    /// Adds an instance.
    ///
    /// # Errors
    /// Those of [`Scores::push`].
    pub fn push(
        &mut self,
        name: impl Into<String>,
        input: EvaluatedInput,
        judgements: &[Judgement],
    ) -> Result<()> {
        self.scores.push(name, judgements)?;
        self.inputs.push(input);
        Ok(())
    }

    /// How many decimals a metric's means have.
    pub(super) fn rounding(&self, metric: usize) -> Rounding {
        let means = (0..self.scores.methods.len()).map(|method| self.scores.summary(method, metric).mean);
        Rounding::for_largest(
            means.filter(|mean| mean.is_finite()).fold(0.0, |m: f64, mean| m.max(mean.abs())),
        )
    }

    pub(super) fn mark(&self, method: usize, metric: usize) -> Mark {
        if self.scores.beats_control(method, metric) == Some(false) {
            Mark::Lost
        } else if self.scores.best(metric) == Some(method) {
            Mark::Best
        } else {
            Mark::Plain
        }
    }

    /// `3 inputs`.
    pub(super) fn counted_inputs(&self) -> String {
        counted(self.scores.inputs.len() as u64, "input")
    }

    /// The mean curves of [`Metric::Deletion`] or [`Metric::Insertion`] as SVG text; `None` if they were not asked for, or there is
    /// no instance. Of the options, theme, lettering and header count.
    pub fn curves(&self, metric: Metric, options: &PlotOptions) -> Option<String> {
        let column = self.scores.metrics.iter().position(|known| *known == metric)?;
        let round = self.rounding(column);
        let mut drawn = Vec::new();
        for (method, name) in self.scores.methods.iter().enumerate() {
            let curve = self.scores.mean_curve(method, metric)?;
            drawn.push(lines::Line {
                name: name.clone(),
                tail: format!(" {}", round.plain(self.scores.summary(method, column).mean)),
                points: curve.shares.into_iter().zip(curve.values).collect(),
                control: self.scores.control == Some(method),
            });
        }
        let (title, along) = match metric {
            Metric::Insertion => ("Insertion", "share of the players that have joined, the highest first"),
            _ => ("Deletion", "share of the players that have left, the highest first"),
        };
        let subtitle = format!(
            "{} · mean of {}; behind each name the area, {} is better",
            self.network,
            self.counted_inputs(),
            metric.better().name()
        );
        let captions = lines::Captions { title, subtitle: &subtitle, along, up: self.explained.name() };
        Some(lines::draw(&drawn, &captions, options))
    }

    /// The document as JSON text; NaN becomes `null`.
    ///
    /// # Errors
    /// [`Error::Limits`](crate::Error::Limits) if it cannot be serialised.
    pub fn to_json(&self) -> Result<String> {
        let Scores { metrics, methods, inputs, .. } = &self.scores;
        let name = |metric: &Metric| metric.name().to_owned();
        let of_methods = methods.iter().enumerate().map(|(method, name_of)| MethodJson {
            name: name_of,
            seconds: self.scores.seconds(method).mean,
            scores: (metrics.iter().enumerate())
                .map(|(at, metric)| (name(metric), self.scores.summary(method, at).into()))
                .collect(),
            deletion: self.scores.mean_curve(method, Metric::Deletion).map(|curve| curve.values),
            insertion: self.scores.mean_curve(method, Metric::Insertion).map(|curve| curve.values),
        });
        let judged = |judgement: &Judgement, name_of| JudgementJson {
            name: name_of,
            seconds: judgement.seconds,
            values: metrics.iter().map(name).zip(judgement.values.iter().copied()).collect(),
            attributions: judgement.attributions.clone(),
        };
        let of_inputs = inputs.iter().zip(&self.inputs).map(|(input, facts)| InputJson {
            name: &input.name,
            output: facts.output,
            output_name: &facts.output_name,
            prediction: facts.prediction,
            players: facts.players,
            methods: input.judgements.iter().zip(methods).map(|(j, name_of)| judged(j, name_of)).collect(),
        });
        json::text(&EvaluationJson {
            whybox: Stamp::default(),
            kind: "evaluation",
            network: &self.network,
            device: &self.device,
            seed: self.seed,
            settings: Pairs(&self.settings),
            command: &self.command,
            explained: self.explained.name(),
            evaluations: self.evaluations,
            seconds: Pairs(&self.seconds),
            warnings: &self.warnings,
            control: self.scores.control.map(|at| methods[at].as_str()),
            metrics: metrics.iter().map(MetricJson::from).collect(),
            methods: of_methods.collect(),
            inputs: of_inputs.collect(),
        })
    }

    /// Writes `evaluation.html`, `.json`, `.csv` (methods × metrics), `evaluation-inputs.csv` (every number), and the curves as
    /// `deletion.svg` and `insertion.svg` if they were asked for, into `folder`, which is made if need be, and returns their paths. All
    /// content is made before the first file is written, and each file appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) naming the path that cannot be written; [`Error::Limits`](crate::Error::Limits) if a file cannot
    /// be made.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let mut files = vec![
            ("evaluation.html", self.html()?),
            ("evaluation.json", self.to_json()?),
            ("evaluation.csv", self.scores.csv()?),
            ("evaluation-inputs.csv", self.scores.inputs_csv()?),
        ];
        for (name, metric) in [("deletion.svg", Metric::Deletion), ("insertion.svg", Metric::Insertion)] {
            files.extend(self.curves(metric, &plot::PlotOptions::default()).map(|svg| (name, svg)));
        }
        files.iter().map(|(name, text)| write_atomically(folder.as_ref(), name, text.as_bytes())).collect()
    }
}

#[derive(Serialize)]
struct EvaluationJson<'a> {
    whybox: Stamp,
    kind: &'static str,
    network: &'a str,
    device: &'a str,
    seed: u64,
    settings: Pairs<'a, String>,
    command: &'a str,
    explained: &'static str,
    evaluations: u64,
    seconds: Pairs<'a, f64>,
    warnings: &'a [String],
    control: Option<&'a str>,
    metrics: Vec<MetricJson>,
    methods: Vec<MethodJson<'a>>,
    inputs: Vec<InputJson<'a>>,
}

#[derive(Serialize)]
struct MetricJson {
    name: &'static str,
    better: &'static str,
    formula: &'static str,
    source: &'static str,
}

impl From<&Metric> for MetricJson {
    fn from(metric: &Metric) -> Self {
        MetricJson {
            name: metric.name(),
            better: metric.better().name(),
            formula: metric.formula(),
            source: metric.source(),
        }
    }
}

#[derive(Serialize)]
struct MethodJson<'a> {
    name: &'a str,
    seconds: f64,
    #[serde(serialize_with = "object")]
    scores: Vec<(String, SummaryJson)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insertion: Option<Vec<f64>>,
}

#[derive(Serialize)]
struct SummaryJson {
    mean: f64,
    standard_error: f64,
    inputs: usize,
}

impl From<Summary> for SummaryJson {
    fn from(summary: Summary) -> Self {
        let Summary { mean, standard_error, inputs } = summary;
        SummaryJson { mean, standard_error, inputs }
    }
}

#[derive(Serialize)]
struct InputJson<'a> {
    name: &'a str,
    output: usize,
    output_name: &'a str,
    prediction: f64,
    players: usize,
    methods: Vec<JudgementJson<'a>>,
}

#[derive(Serialize)]
struct JudgementJson<'a> {
    name: &'a str,
    seconds: f64,
    #[serde(serialize_with = "object")]
    values: Vec<(String, f64)>,
    attributions: Vec<f64>,
}

/// Names and values as a JSON object that keeps their order.
fn object<S: serde::Serializer, T: Serialize>(pairs: &[(String, T)], to: S) -> Result<S::Ok, S::Error> {
    Pairs(pairs).serialize(to)
}
