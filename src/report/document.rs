//! The document of an explained table or text: `explanation.json` as it is written, read and drawn.
//!
//! `docs/json.md` is its manual. A [`Document`] is plain data; its numbers are as computed, and one that is NaN or infinite
//! is `null` in the file and NaN here.

use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::image_report::Scale;
use super::json::{self, SCHEMA};
use crate::{Error, Result};

/// Larger magnitudes overflow while they are drawn.
const LARGEST: f64 = 1e300;

/// What was explained.
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
    /// What the attributions belong to, `[features]`.
    pub features: Vec<Feature>,
    /// The explained instances.
    pub instances: Vec<Instance>,
}

/// A feature: a column, a group of columns, or a token.
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
    /// How well repeated runs agree, where the run was repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
}

/// How well repeated LIME runs agree (Visani and others, 2022), 0 to 100 each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    /// Number of repeated runs.
    pub runs: usize,
    /// Variables stability index: how much the selected features agree.
    pub variables: f64,
    /// Coefficients stability index: how much the coefficients' intervals overlap.
    pub coefficients: f64,
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
    /// Reads a document from JSON text: that of a table or text, or that of an image, whose segments become features.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the text is no explanation of a layout that this version reads, and those of
    /// [`Document::validate`].
    pub fn from_json(text: &str) -> Result<Self> {
        let fail = |what: String| {
            Error::parameter(what, "explanation.json", "give a file that whybox wrote (docs/json.md)")
        };
        #[derive(Deserialize)]
        struct Probe {
            whybox: Stamp,
            kind: Option<Kind>,
        }
        let no_explanation = |e| fail(format!("this is no explanation: {e}"));
        let probe: Probe = serde_json::from_str(text).map_err(no_explanation)?;
        if probe.whybox.schema != SCHEMA {
            return Err(fail(format!("the layout is version {}, not {SCHEMA}", probe.whybox.schema)));
        }
        let document = match probe.kind {
            Some(Kind::Table | Kind::Text) => serde_json::from_str(text).map_err(no_explanation)?,
            Some(Kind::Image) | None => {
                serde_json::from_str::<ImageDocument>(text).map_err(no_explanation)?.into()
            }
        };
        Document::validate(&document)?;
        Ok(document)
    }

    /// Reads a document from a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, and those of [`Document::from_json`], naming the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(path.as_ref()).map_err(|e| {
            Error::io(format!("cannot read the explanation: {e}"), at.clone(), "check the path")
        })?;
        Document::from_json(&text).map_err(|error| match error {
            Error::Parameter(detail) => Error::parameter(detail.what, at, detail.remedy),
            other => other,
        })
    }

    /// The document as JSON text; NaN becomes `null`.
    ///
    /// # Errors
    /// Those of [`Document::validate`].
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        json::text(self)
    }

    /// Checks that shapes agree and that what is drawn is finite.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no feature, instance or output, or lists of another length than `features`;
    /// [`Error::Numeric`] for an attribution, prediction or base value that is NaN, infinite or beyond ±1e300.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: &str, at: String| {
            Err(Error::parameter(what, at, "hand the report an explanation as docs/json.md describes it"))
        };
        let features = self.features.len();
        if features == 0 {
            return fail("there is no feature", String::new());
        }
        let Some(first) = self.instances.first() else {
            return fail("there is no explained instance", String::new());
        };
        if first.outputs.is_empty() {
            return fail("there is no explained output", String::new());
        }
        for (i, instance) in self.instances.iter().enumerate() {
            let at = format!("instance {i}");
            if instance.values.len() != features || instance.numbers.len() != features {
                return fail("the instance and the features differ in number", at);
            }
            let indices = |instance: &Instance| instance.outputs.iter().map(|o| o.index).collect::<Vec<_>>();
            if indices(instance) != indices(first) {
                return fail("the instances explain different outputs", at);
            }
            for output in &instance.outputs {
                output.validate(features, &at)?;
            }
        }
        Ok(())
    }

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

impl Output {
    fn validate(&self, features: usize, at: &str) -> Result<()> {
        let at = || format!("{at}, output {} ({})", self.index, self.name);
        let matrix = |m: &Vec<Vec<f64>>| m.len() == features && m.iter().all(|row| row.len() == features);
        let fits = self.values.len() == features
            && self.standard_errors.as_ref().is_none_or(|e| e.len() == features)
            && self.intervals.as_ref().is_none_or(|e| e.len() == features)
            && self.conditions.as_ref().is_none_or(|c| c.len() == features)
            && self.interactions.as_ref().is_none_or(matrix);
        if !fits {
            return Err(Error::parameter(
                "a list of the output and the features differ in number",
                at(),
                "give one entry for each feature",
            ));
        }
        let numbers = [self.prediction, self.base_value, self.local_prediction];
        let matrix = self.interactions.iter().flatten().flatten();
        if numbers.iter().chain(&self.values).chain(matrix).any(|x| x.is_nan() || x.abs() > LARGEST) {
            return Err(Error::numeric(
                "the explanation holds a NaN or a number beyond ±1e300",
                at(),
                "check the network's outputs for this instance",
            ));
        }
        Ok(())
    }
}

/// What plots need of an image's document (`docs/json.md`, schema 1 without a kind).
#[derive(Deserialize)]
struct ImageDocument {
    whybox: Stamp,
    method: String,
    network: String,
    device: String,
    seed: u64,
    #[serde(with = "pairs", default)]
    settings: Vec<(String, String)>,
    command: String,
    evaluations: u64,
    #[serde(with = "number")]
    evaluations_per_second: f64,
    #[serde(with = "pairs", default)]
    seconds: Vec<(String, f64)>,
    warnings: Vec<String>,
    segments: ImageSegments,
    outputs: Vec<ImageOutput>,
}

#[derive(Deserialize)]
struct ImageSegments {
    count: usize,
}

#[derive(Deserialize)]
struct ImageOutput {
    index: usize,
    name: String,
    explained: Explained,
    prediction: f64,
    intercept: f64,
    local_prediction: f64,
    #[serde(with = "number")]
    weighted_r_squared: f64,
    weights: Vec<f64>,
    #[serde(with = "maybe_numbers", default)]
    standard_errors: Option<Vec<f64>>,
}

impl From<ImageDocument> for Document {
    fn from(image: ImageDocument) -> Self {
        let count = image.segments.count;
        let explained = image.outputs.first().map_or(Explained::default(), |o| o.explained);
        let outputs = image.outputs.into_iter().map(|o| Output {
            index: o.index,
            name: o.name,
            prediction: o.prediction,
            base_value: o.intercept,
            local_prediction: o.local_prediction,
            additivity_gap: o.prediction - o.local_prediction,
            weighted_r_squared: o.weighted_r_squared,
            values: o.weights,
            standard_errors: o.standard_errors,
            ..Output::default()
        });
        let instance = Instance {
            row: None,
            values: vec![String::new(); count],
            numbers: vec![f64::NAN; count],
            outputs: outputs.collect(),
        };
        let segment = |s| Feature { name: format!("segment {s}"), columns: Vec::new() };
        Document {
            whybox: image.whybox,
            kind: Kind::Image,
            method: image.method,
            network: image.network,
            device: image.device,
            seed: image.seed,
            settings: image.settings,
            command: image.command,
            link: "identity".into(),
            explained,
            evaluations: image.evaluations,
            evaluations_per_second: image.evaluations_per_second,
            seconds: image.seconds,
            warnings: image.warnings,
            features: (0..count).map(segment).collect(),
            instances: vec![instance],
        }
    }
}

fn unknown() -> f64 {
    f64::NAN
}

/// Names and values as a JSON object that keeps their order.
mod pairs {
    use std::fmt;
    use std::marker::PhantomData;

    use super::{Deserialize, Deserializer, MapAccess, Serialize, Serializer, Visitor};

    pub fn serialize<S: Serializer, T: Serialize>(
        pairs: &[(String, T)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, T)>, D::Error> {
        struct Ordered<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Ordered<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Ordered(PhantomData))
    }
}

/// `null` in the file is NaN in memory, at every depth; serde_json writes NaN as `null` by itself.
macro_rules! nullable {
    ($module:ident, $type:ty, $raw:ty, $convert:expr) => {
        mod $module {
            use super::{Deserialize, Deserializer, Serialize, Serializer};

            pub fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                value.serialize(serializer)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                <$raw>::deserialize(deserializer).map($convert)
            }
        }
    };
}

fn known(x: Option<f64>) -> f64 {
    x.unwrap_or(f64::NAN)
}

fn all_known(row: Vec<Option<f64>>) -> Vec<f64> {
    row.into_iter().map(known).collect()
}

nullable!(number, f64, Option<f64>, super::known);
nullable!(numbers, Vec<f64>, Vec<Option<f64>>, super::all_known);
nullable!(maybe_numbers, Option<Vec<f64>>, Option<Vec<Option<f64>>>, |row| row.map(super::all_known));
nullable!(maybe_matrix, Option<Vec<Vec<f64>>>, Option<Vec<Vec<Option<f64>>>>, |rows| {
    rows.map(|rows| rows.into_iter().map(super::all_known).collect())
});
nullable!(maybe_intervals, Option<Vec<[f64; 2]>>, Option<Vec<Option<[Option<f64>; 2]>>>, |rows| {
    let bounds = |b: Option<[Option<f64>; 2]>| b.map_or([f64::NAN; 2], |b| b.map(super::known));
    rows.map(|rows| rows.into_iter().map(bounds).collect())
});

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
