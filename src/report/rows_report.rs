//! Explanations of rows of a table or of a text: the data of their report. `docs/json.md` describes the document.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::json::{SCHEMA, text};
use super::{archive, write_atomically};
use crate::explain::{Attribution, Explanation};
use crate::{Error, Result};

/// Standard errors from the middle to the end of a 95 % interval.
const INTERVAL: f64 = 1.959_963_984_540_054;

/// One or many instances explained: rows of a table, or a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowsReport {
    /// Version of the document and of the program.
    #[serde(rename = "whybox")]
    version: Version,
    /// `table` or `text`.
    pub kind: &'static str,
    /// For example `LIME`.
    pub method: String,
    /// The network's name.
    pub network: String,
    /// The device's name.
    pub device: String,
    /// Seed of all random draws.
    pub seed: u64,
    /// The method's settings by name.
    #[serde(serialize_with = "pairs")]
    pub settings: Vec<(String, String)>,
    /// The command line that repeats the run; empty if there is none.
    pub command: String,
    /// `identity` or `logit`.
    pub link: String,
    /// `probability`, `logit`, `score` or `value`: the unit of all effects.
    pub explained: &'static str,
    /// Evaluations of the network, over all instances.
    pub evaluations: u64,
    /// Per second of evaluating.
    pub evaluations_per_second: f64,
    /// Wall-clock seconds by stage, in order.
    #[serde(serialize_with = "pairs")]
    pub seconds: Vec<(String, f64)>,
    /// What to know before trusting the numbers.
    pub warnings: Vec<String>,
    /// The players.
    pub features: Vec<ReportFeature>,
    /// What was explained.
    pub instances: Vec<ReportInstance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Version {
    schema: u32,
    version: &'static str,
}

/// One player.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportFeature {
    /// Its name.
    pub name: String,
    /// The columns of the file that it stands for; none for tokens.
    pub columns: Vec<String>,
}

/// One row or text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportInstance {
    /// Its row, counted from 0.
    pub row: usize,
    /// Each player's value as text, `[features]`.
    pub values: Vec<String>,
    /// Each player's value where it is one number, `[features]`.
    pub numbers: Vec<Option<f64>>,
    /// The explained outputs, the most interesting first.
    pub outputs: Vec<ReportOutput>,
}

/// One output of one instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportOutput {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The network's output for the instance.
    pub prediction: f64,
    /// What the explanation says of no players.
    pub base_value: f64,
    /// What it says of all players.
    pub local_prediction: f64,
    /// `prediction - local_prediction`.
    pub additivity_gap: f64,
    /// Fit of a surrogate; `None` where the method has none.
    pub weighted_r_squared: Option<f64>,
    /// Effect of each player, `[features]`.
    pub values: Vec<f64>,
    /// One standard error of each, NaN where unknown.
    pub standard_errors: Option<Vec<f64>>,
    /// 95 % intervals: 1.96 standard errors to both sides.
    pub intervals: Option<Vec<[f64; 2]>>,
    /// What each effect is the effect of, for example `30.00 < age <= 45.00`.
    pub conditions: Option<Vec<String>>,
    /// Effects of pairs, `[features, features]`.
    pub interactions: Option<Vec<Vec<f64>>>,
}

impl ReportOutput {
    /// What an explanation says of one output; `conditions` as in [`ReportOutput::conditions`].
    pub fn new(attribution: &Attribution, name: String, conditions: Option<Vec<String>>) -> Self {
        let errors = attribution.standard_errors.as_ref();
        let interval = |(value, error): (&f64, &f64)| [value - INTERVAL * error, value + INTERVAL * error];
        ReportOutput {
            index: attribution.output,
            name,
            prediction: attribution.prediction,
            base_value: attribution.base_value,
            local_prediction: attribution.local_prediction,
            additivity_gap: attribution.additivity_gap(),
            weighted_r_squared: Some(attribution.score).filter(|score| score.is_finite()),
            values: attribution.values.clone(),
            standard_errors: errors.cloned(),
            intervals: errors.map(|errors| attribution.values.iter().zip(errors).map(interval).collect()),
            conditions,
            interactions: None,
        }
    }

    /// Players by falling size of their effect.
    pub fn ranked(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|&a, &b| self.values[b].abs().total_cmp(&self.values[a].abs()));
        order
    }
}

impl RowsReport {
    /// A report without instances; the caller fills in the rest.
    pub fn new(kind: &'static str, network: &str, device: String, features: Vec<ReportFeature>) -> Self {
        RowsReport {
            version: Version { schema: SCHEMA, version: env!("CARGO_PKG_VERSION") },
            kind,
            method: String::new(),
            network: network.to_owned(),
            device,
            seed: 0,
            settings: Vec::new(),
            command: String::new(),
            link: "identity".into(),
            explained: "probability",
            evaluations: 0,
            evaluations_per_second: 0.0,
            seconds: Vec::new(),
            warnings: Vec::new(),
            features,
            instances: Vec::new(),
        }
    }

    /// Adds what one explanation cost: evaluations, and seconds to the stages of the same name.
    pub fn account(&mut self, explanation: &Explanation) {
        self.method = explanation.method.to_owned();
        self.seed = explanation.seed;
        self.evaluations += explanation.evaluations as u64;
        for (stage, seconds) in &explanation.seconds {
            match self.seconds.iter_mut().find(|(name, _)| name == stage) {
                Some((_, sum)) => *sum += seconds,
                None => self.seconds.push((stage.clone(), *seconds)),
            }
        }
        let evaluating = self.seconds.iter().find(|(name, _)| name == "evaluate").map_or(0.0, |(_, s)| *s);
        if evaluating > 0.0 {
            self.evaluations_per_second = self.evaluations as f64 / evaluating;
        }
    }

    /// The document as JSON text; NaN becomes `null`.
    ///
    /// # Errors
    /// [`Error::Limits`] if it cannot be serialised.
    pub fn json(&self) -> Result<String> {
        text(self)
    }

    /// The effects as CSV, one line for each instance, output and player.
    ///
    /// # Errors
    /// [`Error::Limits`] if it cannot be written.
    pub fn csv(&self) -> Result<String> {
        let fail = |error: String| {
            Error::limits(format!("cannot write CSV: {error}"), "explanation.csv", "report this as a bug")
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = [
            "row",
            "output",
            "output_name",
            "feature",
            "value",
            "effect",
            "standard_error",
            "condition",
            "prediction",
            "base_value",
        ];
        writer.write_record(header).map_err(|e| fail(e.to_string()))?;
        for instance in &self.instances {
            for output in &instance.outputs {
                for (player, feature) in self.features.iter().enumerate() {
                    let error = output
                        .standard_errors
                        .as_ref()
                        .map(|errors| errors[player])
                        .filter(|e| e.is_finite());
                    let record = [
                        instance.row.to_string(),
                        output.index.to_string(),
                        output.name.clone(),
                        feature.name.clone(),
                        instance.values[player].clone(),
                        output.values[player].to_string(),
                        error.map_or(String::new(), |error| error.to_string()),
                        output
                            .conditions
                            .as_ref()
                            .map_or(String::new(), |conditions| conditions[player].clone()),
                        output.prediction.to_string(),
                        output.base_value.to_string(),
                    ];
                    writer.write_record(record).map_err(|e| fail(e.to_string()))?;
                }
            }
        }
        let bytes = writer.into_inner().map_err(|e| fail(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| fail(e.to_string()))
    }

    /// Writes `explanation.json`, `.csv` and `.npz` into `folder`, which is made if need be, and returns their paths.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path that cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let files = [
            ("explanation.json", self.json()?.into_bytes()),
            ("explanation.csv", self.csv()?.into_bytes()),
            ("explanation.npz", archive::npz(self)?),
        ];
        files.iter().map(|(name, bytes)| write_atomically(folder.as_ref(), name, bytes)).collect()
    }
}

fn pairs<T: Serialize, S: Serializer>(pairs: &[(String, T)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}
