//! What a comparison found: methods × metrics over instances.

use super::{Curve, Judgement, Metric};
use crate::{Error, Result};

/// Points of a mean curve.
const POINTS: usize = 101;

/// A mean over instances.
///
/// # Example
/// ```
/// use whybox::evaluate::Summary;
///
/// let summary = Summary::of([1.0, 3.0, f64::NAN]);
/// assert_eq!((summary.mean, summary.standard_error, summary.inputs), (2.0, 1.0, 2));
/// assert!(Summary::of([1.0]).standard_error.is_nan());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The mean over the instances for which the number is defined; NaN if there is none.
    pub mean: f64,
    /// Its standard error, s/√n; NaN for fewer than two instances.
    pub standard_error: f64,
    /// Instances for which the number is defined.
    pub inputs: usize,
}

impl Summary {
    /// Of the numbers that are not NaN.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_error = if values.len() < 2 { f64::NAN } else { (squares / (n - 1.0) / n).sqrt() };
        Summary { mean, standard_error, inputs: values.len() }
    }
}

/// One instance and what its explanations are worth.
///
/// # Example
/// ```
/// use whybox::evaluate::{Judgement, Metric, Scores};
///
/// let judgement = |value| {
///     let attributions = vec![1.0];
///     Judgement { attributions, seconds: 0.5, values: vec![value], deletion: None, insertion: None }
/// };
/// let mut scores = Scores::new(&[Metric::Gini], &["one", "another"], None);
/// scores.push("cat.jpg", &[judgement(0.25), judgement(0.75)])?;
/// let judged = &scores.inputs[0];
/// assert_eq!((judged.name.as_str(), judged.judgements[1].values[0]), ("cat.jpg", 0.75));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Its name.
    pub name: String,
    /// What each method's explanation is worth, `[methods]`.
    pub judgements: Vec<Judgement>,
}

/// Methods × metrics × instances, with means and standard errors over instances; an example is at [`Comparison`](super::Comparison).
///
/// # Example
/// ```
/// use whybox::evaluate::{Judgement, Metric, Scores};
///
/// let judgement = |value| {
///     let attributions = vec![1.0];
///     Judgement { attributions, seconds: 0.5, values: vec![value], deletion: None, insertion: None }
/// };
/// let mut scores = Scores::new(&[Metric::Gini], &["one", "another"], None);
/// scores.push("cat.jpg", &[judgement(0.25), judgement(0.75)])?;
/// scores.push("dog.jpg", &[judgement(0.75), judgement(1.25)])?;
/// assert!(scores.push("fox.jpg", &[judgement(0.5)]).is_err()); // two methods, one judgement
/// assert_eq!((scores.summary(0, 0).mean, scores.summary(1, 0).mean), (0.5, 1.0));
/// assert_eq!(scores.best(0), Some(1)); // more is better
/// assert!(scores.csv()?.starts_with("method,metric,better,mean,standard_error,inputs"));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// The metrics, the columns.
    pub metrics: Vec<Metric>,
    /// Names of the methods, the rows.
    pub methods: Vec<String>,
    /// The position of the negative control among the methods.
    pub control: Option<usize>,
    /// The instances so far.
    pub inputs: Vec<Judged>,
}

impl Scores {
    /// No instance yet; `control` names the method that has to lose.
    pub fn new(metrics: &[Metric], methods: &[impl AsRef<str>], control: Option<&str>) -> Self {
        let methods: Vec<String> = methods.iter().map(|name| name.as_ref().to_owned()).collect();
        let control = methods.iter().position(|name| Some(name.as_str()) == control);
        Scores { metrics: metrics.to_vec(), methods, control, inputs: Vec::new() }
    }

    /// Adds an instance: a judgement for each method, with a value for each metric.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are more or fewer.
    pub fn push(&mut self, name: impl Into<String>, judgements: &[Judgement]) -> Result<()> {
        let whole = |judgement: &Judgement| judgement.values.len() == self.metrics.len();
        if judgements.len() != self.methods.len() || !judgements.iter().all(whole) {
            return Err(Error::parameter(
                format!("{} judgements for {} methods", judgements.len(), self.methods.len()),
                "Scores::push",
                "give one judgement for each method, by the same metrics",
            ));
        }
        self.inputs.push(Judged { name: name.into(), judgements: judgements.to_vec() });
        Ok(())
    }

    /// A method's mean of a metric, both by position.
    pub fn summary(&self, method: usize, metric: usize) -> Summary {
        Summary::of(self.inputs.iter().map(|input| input.judgements[method].values[metric]))
    }

    /// A method's mean seconds an explanation.
    pub fn seconds(&self, method: usize) -> Summary {
        Summary::of(self.inputs.iter().map(|input| input.judgements[method].seconds))
    }

    /// The method with the best mean of a metric, the negative control aside; the first of equal ones.
    pub fn best(&self, metric: usize) -> Option<usize> {
        let better = self.metrics[metric].better();
        let mut best: Option<(usize, f64)> = None;
        for method in (0..self.methods.len()).filter(|&method| Some(method) != self.control) {
            let mean = self.summary(method, metric).mean;
            if !mean.is_nan() && best.is_none_or(|(_, before)| better.prefers(mean, before)) {
                best = Some((method, mean));
            }
        }
        best.map(|(method, _)| method)
    }

    /// Whether a method's mean of a metric is better than the negative control's; `None` without a control, for itself, where a
    /// number is not defined, and for metrics that a random explanation need not lose ([`Metric::is_controlled`]).
    pub fn beats_control(&self, method: usize, metric: usize) -> Option<bool> {
        let control = self.control.filter(|&control| control != method)?;
        let (mean, random) = (self.summary(method, metric).mean, self.summary(control, metric).mean);
        let known = self.metrics[metric].is_controlled() && !mean.is_nan() && !random.is_nan();
        known.then(|| self.metrics[metric].better().prefers(mean, random))
    }

    /// A method's mean curve over the instances, at the shares 0, 0.01, …, 1: that of [`Metric::Deletion`] or [`Metric::Insertion`];
    /// `None` where there is none.
    pub fn mean_curve(&self, method: usize, metric: Metric) -> Option<Curve> {
        let curves: Vec<&Curve> =
            self.inputs.iter().filter_map(|i| i.judgements[method].curve(metric)).collect();
        let shares: Vec<f64> = (0..POINTS).map(|point| point as f64 / (POINTS - 1) as f64).collect();
        let mean =
            |share: &f64| curves.iter().map(|curve| curve.at(*share)).sum::<f64>() / curves.len() as f64;
        (!curves.is_empty()).then(|| Curve { values: shares.iter().map(mean).collect(), shares })
    }

    /// Methods × metrics as CSV: `method, metric, better, mean, standard_error, inputs`. What is not defined is empty.
    ///
    /// # Errors
    /// [`Error::Limits`] if it cannot be written.
    pub fn csv(&self) -> Result<String> {
        let mut lines =
            vec![["method", "metric", "better", "mean", "standard_error", "inputs"].map(String::from)];
        for (method, name) in self.methods.iter().enumerate() {
            for (at, metric) in self.metrics.iter().enumerate() {
                let summary = self.summary(method, at);
                lines.push([
                    name.clone(),
                    metric.name().into(),
                    metric.better().name().into(),
                    number(summary.mean),
                    number(summary.standard_error),
                    summary.inputs.to_string(),
                ]);
            }
        }
        text(&lines)
    }

    /// Every number as CSV: `input, method, metric, value`. What is not defined is empty.
    ///
    /// # Errors
    /// [`Error::Limits`] if it cannot be written.
    pub fn inputs_csv(&self) -> Result<String> {
        let mut lines = vec![["input", "method", "metric", "value"].map(String::from)];
        for input in &self.inputs {
            for (judgement, name) in input.judgements.iter().zip(&self.methods) {
                for (value, metric) in judgement.values.iter().zip(&self.metrics) {
                    lines.push([input.name.clone(), name.clone(), metric.name().into(), number(*value)]);
                }
            }
        }
        text(&lines)
    }
}

impl Judgement {
    /// The curve of [`Metric::Deletion`] or [`Metric::Insertion`], if it was asked for.
    pub fn curve(&self, metric: Metric) -> Option<&Curve> {
        match metric {
            Metric::Deletion => self.deletion.as_ref(),
            Metric::Insertion => self.insertion.as_ref(),
            _ => None,
        }
    }
}

fn number(x: f64) -> String {
    if x.is_finite() { x.to_string() } else { String::new() }
}

fn text<const N: usize>(lines: &[[String; N]]) -> Result<String> {
    let fail =
        |error: String| Error::limits(format!("cannot write CSV: {error}"), "CSV", "report this as a bug");
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).map_err(|error| fail(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| fail(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| fail(error.to_string()))
}
