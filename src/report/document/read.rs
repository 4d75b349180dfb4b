//! Documents from files: those of tables and texts, and those of photos, whose segments become features.

use std::path::Path;

use serde::Deserialize;

use super::nullable::{maybe_numbers, number, pairs};
use super::{Document, Explained, Feature, Instance, Kind, Output, PrecisionError, SCHEMA, Stamp};
use crate::{Error, Result};

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
    #[serde(default)]
    precision: Option<PrecisionError>,
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
            precision: image.precision,
            picked: Vec::new(),
            features: (0..count).map(segment).collect(),
            instances: vec![instance],
        }
    }
}
