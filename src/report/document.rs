//! The document of an explained table or text: `explanation.json` as it is written, read and drawn.
//!
//! `docs/json.md` is its manual. A [`Document`] is plain data; its numbers are as computed, and one that is NaN or infinite
//! is `null` in the file and NaN here.

mod build;
mod check;
mod nullable;
mod precision;
mod read;
mod write;

use serde::{Deserialize, Serialize};

use super::image_report::Scale;
use super::json::SCHEMA;
use crate::{Error, Result};
pub use precision::PrecisionError;

use nullable::{maybe_intervals, maybe_matrix, maybe_numbers, number, numbers, pairs, unknown};

/// What was explained.
///
/// # Example
/// ```
/// use whybox::report::document::{Document, Kind};
///
/// let document = Document::new(Kind::Text, "net.onnx", "CPU", Vec::new());
/// assert_eq!(document.kind, Kind::Text);
/// assert_eq!(Document::default().kind, Kind::Table);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Rows of a table; a feature is a column or a group of columns.
    #[default]
    Table,
    /// A text; a feature is a token, in reading order.
    Text,
    /// A photo; a feature is a segment. Only read, never written as a [`Document`].
    Image,
}

/// What the explained numbers are.
///
/// # Example
/// ```
/// use whybox::report::Scale;
/// use whybox::report::document::Explained;
///
/// assert_eq!(Explained::from(Scale::Logit).name(), "logit");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Explained {
    /// In 0..=1, after a softmax or sigmoid.
    Probability,
    /// Before the softmax or sigmoid.
    Logit,
    /// A score of a class.
    Score,
    /// A quantity that a regression predicts.
    #[default]
    Value,
}

impl Explained {
    /// `probability`, `logit`, `score` or `value`.
    pub fn name(self) -> &'static str {
        match self {
            Explained::Probability => "probability",
            Explained::Logit => "logit",
            Explained::Score => "score",
            Explained::Value => "value",
        }
    }
}

impl From<Scale> for Explained {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Probability => Explained::Probability,
            Scale::Logit => Explained::Logit,
            Scale::Score => Explained::Score,
        }
    }
}

/// Which layout the file has, and who wrote it.
///
/// # Example
/// ```
/// use whybox::report::{Document, SCHEMA};
///
/// assert_eq!(Document::default().whybox.schema, SCHEMA);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The version of the layout.
    pub schema: u32,
    /// The version of whybox.
    pub version: String,
}

impl Default for Stamp {
    fn default() -> Self {
        Stamp { schema: SCHEMA, version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// Explanations of one or more instances that share a network, a method and features.
///
/// # Example
/// ```
/// use whybox::report::document::{Document, Explained, Feature, Instance, Output};
///
/// let document = Document {
///     method: "Kernel SHAP".into(),
///     explained: Explained::Probability,
///     features: vec![Feature::new("age"), Feature::new("hours")],
///     instances: vec![Instance {
///         row: Some(3),
///         values: vec!["39".into(), "40".into()],
///         numbers: vec![39.0, 40.0],
///         outputs: vec![Output::new(1, ">50K", 0.7, 0.25, vec![0.3, 0.15])],
///     }],
///     ..Document::default()
/// };
/// let text = document.to_json()?;
/// assert_eq!(Document::from_json(&text)?.to_json()?, text);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Which layout the file has.
    pub whybox: Stamp,
    /// What was explained.
    #[serde(default)]
    pub kind: Kind,
    /// The method, for example `Kernel SHAP`.
    pub method: String,
    /// The network's name.
    pub network: String,
    /// The device that ran the network.
    pub device: String,
    /// The seed of all random draws.
    pub seed: u64,
    /// Names and values of the method's settings, in the order in which to show them.
    #[serde(with = "pairs", default)]
    pub settings: Vec<(String, String)>,
    /// The command line that repeats the run; empty if there is none.
    #[serde(default)]
    pub command: String,
    /// The link between the network's output and what the attributions add up to: `identity` or `logit`.
    #[serde(default)]
    pub link: String,
    /// What the outputs are.
    pub explained: Explained,
    /// Evaluations of the network.
    pub evaluations: u64,
    /// Evaluations per second of running the network.
    #[serde(with = "number", default = "unknown")]
    pub evaluations_per_second: f64,
    /// Wall-clock seconds by stage, in order.
    #[serde(with = "pairs", default)]
    pub seconds: Vec<(String, f64)>,
    /// What the reader must know before trusting the numbers, a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How far the attributions are from those in f32, where the network is stored in another precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<PrecisionError>,
    /// The instances that together show most (SP-LIME's pick), by their position, the most telling first; empty where nobody
    /// asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub picked: Vec<usize>,
    /// What the attributions belong to, `[features]`.
    pub features: Vec<Feature>,
    /// The explained instances.
    pub instances: Vec<Instance>,
}

/// A feature: a column, a group of columns, or a token.
///
/// # Example
/// ```
/// use whybox::report::document::Feature;
///
/// assert_eq!(Feature::new("age").columns, ["age"]);
/// let place = Feature { name: "place".into(), columns: vec!["latitude".into(), "longitude".into()] };
/// assert_eq!(place.columns.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Feature {
    /// The name.
    pub name: String,
    /// The names of the columns that form it; empty for a token.
    #[serde(default)]
    pub columns: Vec<String>,
}

impl Feature {
    /// A feature that is the column of its name.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Feature { columns: vec![name.clone()], name }
    }
}

/// One explained row or text.
///
/// # Example
/// ```
/// use whybox::report::document::{Instance, Output};
///
/// let instance = Instance {
///     row: Some(3),
///     values: vec!["39".into(), "Private".into()],
///     numbers: vec![39.0, f64::NAN], // a category is no number
///     outputs: vec![Output::new(1, ">50K", 0.7, 0.25, vec![0.3, 0.15])],
/// };
/// assert_eq!(instance.values.len(), instance.numbers.len());
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Instance {
    /// The row's number in its file, counted from 0.
    #[serde(default)]
    pub row: Option<usize>,
    /// The raw value of each feature as text, `[features]`.
    pub values: Vec<String>,
    /// The value of each feature as a number, `[features]`; NaN for categories and groups.
    #[serde(with = "numbers")]
    pub numbers: Vec<f64>,
    /// The explained outputs, the same ones in the same order for each instance.
    pub outputs: Vec<Output>,
}

/// What each feature did for one output.
///
/// # Example
/// ```
/// use whybox::report::document::Output;
///
/// let output = Output::new(1, ">50K", 0.75, 0.25, vec![0.375, 0.125]);
/// assert_eq!((output.local_prediction, output.additivity_gap), (0.75, 0.0));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Output {
    /// The output's index among the network's.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The network's output for the instance, in units of the attributions (after the link).
    #[serde(with = "number")]
    pub prediction: f64,
    /// The explanation with no feature present.
    #[serde(with = "number")]
    pub base_value: f64,
    /// The explanation with all features present: `base_value` plus the sum of `values`.
    #[serde(with = "number")]
    pub local_prediction: f64,
    /// `prediction − local_prediction`.
    #[serde(with = "number", default = "unknown")]
    pub additivity_gap: f64,
    /// The surrogate's weighted R²; NaN for methods that fit none.
    #[serde(with = "number", default = "unknown")]
    pub weighted_r_squared: f64,
    /// The attribution of each feature, `[features]`.
    #[serde(with = "numbers")]
    pub values: Vec<f64>,
    /// One standard error of each attribution, `[features]`; NaN where unknown.
    #[serde(with = "maybe_numbers", default)]
    pub standard_errors: Option<Vec<f64>>,
    /// The bounds within which each attribution lies with 95 % confidence, `[features]`.
    #[serde(with = "maybe_intervals", default)]
    pub intervals: Option<Vec<[f64; 2]>>,
    /// What LIME asked of each feature, for example `30 < age ≤ 45`, `[features]`.
    #[serde(default)]
    pub conditions: Option<Vec<String>>,
    /// Pairwise interactions, `[features, features]`, symmetric, main effects on the diagonal.
    #[serde(with = "maybe_matrix", default)]
    pub interactions: Option<Vec<Vec<f64>>>,
    /// One standard error of each interaction and main effect, `[features, features]`; NaN where unknown, `None` where they are
    /// exact or there are none.
    #[serde(with = "maybe_matrix", default)]
    pub interaction_errors: Option<Vec<Vec<f64>>>,
    /// How well repeated runs agree, where the run was repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
}

/// How well repeated LIME runs agree (Visani and others, 2022).
///
/// # Example
/// ```
/// use whybox::report::document::{Output, Stability};
///
/// let mut output = Output::new(0, "cat", 0.7, 0.2, vec![0.5]);
/// output.stability = Some(Stability { runs: 10, variables: 96.0, coefficients: 88.0, ..Stability::default() });
/// assert!(output.stability.is_some_and(|found| found.fits.is_empty()));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stability {
    /// Number of repeated runs.
    pub runs: usize,
    /// Variables stability index, 0 to 100: how much the selected features agree.
    #[serde(with = "number", default = "unknown")]
    pub variables: f64,
    /// Coefficients stability index, 0 to 100: how much the coefficients' intervals overlap; NaN without standard errors.
    #[serde(with = "number", default = "unknown")]
    pub coefficients: f64,
    /// Standard deviation of each attribution over the runs, `[features]`.
    #[serde(with = "numbers", default)]
    pub spread: Vec<f64>,
    /// Fit at several kernel widths, the mean over the runs.
    #[serde(default)]
    pub fits: Vec<Fit>,
}

/// The fit of surrogates with one kernel width.
///
/// # Example
/// ```
/// use whybox::report::document::Fit;
///
/// let fits = [0.5, 1.0].map(|kernel_width| Fit { kernel_width, weighted_r_squared: 0.9 - 0.1 * kernel_width });
/// assert!(fits[0].weighted_r_squared > fits[1].weighted_r_squared);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The kernel's width.
    pub kernel_width: f64,
    /// The mean weighted R².
    #[serde(with = "number", default = "unknown")]
    pub weighted_r_squared: f64,
}

impl Output {
    /// An output without errors, conditions and interactions, whose attributions add up to
    /// `base_value + Σ values`.
    pub fn new(
        index: usize,
        name: impl Into<String>,
        prediction: f64,
        base_value: f64,
        values: Vec<f64>,
    ) -> Self {
        let local_prediction = base_value + values.iter().sum::<f64>();
        Output {
            index,
            name: name.into(),
            prediction,
            base_value,
            local_prediction,
            additivity_gap: prediction - local_prediction,
            weighted_r_squared: f64::NAN,
            values,
            ..Output::default()
        }
    }

    /// The bounds of the 95 % confidence interval of a feature's attribution: the given ones, or 1.96 standard errors
    /// to each side; `None` where nothing is known.
    pub fn interval(&self, feature: usize) -> Option<[f64; 2]> {
        let given = self.intervals.as_ref().and_then(|intervals| intervals.get(feature)).copied();
        let finite = |bounds: &[f64; 2]| bounds.iter().all(|x| x.is_finite());
        given.filter(finite).or_else(|| {
            let error = *self.standard_errors.as_ref()?.get(feature)?;
            let value = *self.values.get(feature)?;
            Some([value - 1.96 * error, value + 1.96 * error]).filter(finite)
        })
    }

    /// One standard error of a feature's attribution, if it is known.
    pub fn standard_error(&self, feature: usize) -> Option<f64> {
        self.standard_errors.as_ref()?.get(feature).copied().filter(|e| e.is_finite())
    }

    /// All features, the largest |attribution| first; equal ones in their order.
    pub fn ranked(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|&a, &b| self.values[b].abs().total_cmp(&self.values[a].abs()));
        order
    }
}

impl Document {
    /// The position among the explained outputs of the class with this name, or with this index.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the explained outputs.
    pub fn find_output(&self, wanted: &str) -> Result<usize> {
        let outputs = self.instances.first().map_or(&[][..], |i| &i.outputs);
        let named = outputs.iter().position(|o| o.name == wanted);
        let numbered = || wanted.parse().ok().and_then(|n: usize| outputs.iter().position(|o| o.index == n));
        named.or_else(numbered).ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            Error::parameter(
                "this output is not explained",
                wanted,
                format!("choose one of: {}", names.join(", ")),
            )
        })
    }

    /// The position of the feature with this name.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is none.
    pub fn find_feature(&self, wanted: &str) -> Result<usize> {
        self.features.iter().position(|f| f.name == wanted).ok_or_else(|| {
            let names: Vec<&str> = self.features.iter().take(20).map(|f| f.name.as_str()).collect();
            Error::parameter(
                "there is no such feature",
                wanted,
                format!("choose one of: {}", names.join(", ")),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_nan_and_order_is_kept() {
        let text = r#"{"whybox":{"schema":1,"version":"0"},"kind":"table","method":"m","network":"n","device":"d","seed":1,
            "settings":{"z":"1","a":"2"},"explained":"logit","evaluations":5,"features":[{"name":"x"}],
            "instances":[{"row":3,"values":["?"],"numbers":[null],"outputs":[{"index":0,"name":"o","prediction":1,
            "base_value":0.5,"local_prediction":1,"values":[0.5],"standard_errors":[null],"intervals":[null]}]}]}"#;
        let document = Document::from_json(text).unwrap();
        assert_eq!(document.settings.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["z", "a"]);
        let instance = &document.instances[0];
        assert!(instance.numbers[0].is_nan());
        assert_eq!(instance.outputs[0].interval(0), None);
        assert!(instance.outputs[0].weighted_r_squared.is_nan());
        let written = document.to_json().unwrap();
        assert!(written.contains("null") && !written.contains("NaN"));
        assert_eq!(Document::from_json(&written).unwrap().to_json().unwrap(), written);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let good = Document {
            features: vec![Feature::new("x")],
            instances: vec![Instance {
                row: None,
                values: vec!["1".into()],
                numbers: vec![1.0],
                outputs: vec![Output::new(0, "o", 1.0, 0.0, vec![1.0])],
            }],
            ..Document::default()
        };
        assert!(good.validate().is_ok());
        let mut short = good.clone();
        short.instances[0].values.clear();
        assert!(matches!(short.validate(), Err(Error::Parameter(_))));
        let mut nan = good.clone();
        nan.instances[0].outputs[0].values[0] = f64::NAN;
        assert!(matches!(nan.validate(), Err(Error::Numeric(_))));
        let mut none = good.clone();
        none.instances.clear();
        assert!(matches!(none.validate(), Err(Error::Parameter(_))));
        assert!(matches!(Document::from_json("{}"), Err(Error::Parameter(_))));
        assert!(
            good.find_output("o").is_ok() && good.find_output("0").is_ok() && good.find_output("p").is_err()
        );
    }
}
