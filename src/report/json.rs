//! `explanation.json`: every number of a report in full precision. `docs/json.md` is its manual.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::{Formatter, PrettyFormatter};

use super::document::PrecisionError;
use super::image_report::{ExplainedClass, ImageReport, OUTSIDE};
use crate::{Error, Result};

/// The version of the document's schema. Added fields do not change it; anything else does.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    whybox: Version,
    method: &'a str,
    network: &'a str,
    device: &'a str,
    seed: u64,
    settings: Pairs<'a, String>,
    command: &'a str,
    evaluations: u64,
    evaluations_per_second: f64,
    seconds: Pairs<'a, f64>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<&'a PrecisionError>,
    photo: Size,
    prediction: Prediction<'a>,
    segments: Segments,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Version {
    schema: u32,
    version: &'static str,
}

#[derive(Serialize)]
struct Size {
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Prediction<'a> {
    scale: &'static str,
    top: Vec<Top<'a>>,
}

#[derive(Serialize)]
struct Top<'a> {
    name: &'a str,
    value: f64,
}

#[derive(Serialize)]
struct Segments {
    count: usize,
    pixels: Vec<u64>,
    runs: String,
}

#[derive(Serialize)]
struct Output<'a> {
    index: usize,
    name: &'a str,
    explained: &'static str,
    prediction: f64,
    intercept: f64,
    base_value: f64,
    local_prediction: f64,
    additivity_gap: f64,
    weighted_r_squared: Option<f64>,
    weights: &'a [f64],
    standard_errors: Option<&'a [f64]>,
    intervals: Option<&'a [(f64, f64)]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stability: Option<super::document::Stability>,
}

/// Names and values as a JSON object that keeps their order.
pub(super) struct Pairs<'a, T>(pub(super) &'a [(String, T)]);

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'a> From<&'a ExplainedClass> for Output<'a> {
    fn from(class: &'a ExplainedClass) -> Self {
        Output {
            index: class.index,
            name: &class.name,
            explained: class.scale.name(),
            prediction: class.value,
            intercept: class.intercept,
            base_value: class.intercept,
            local_prediction: class.local_prediction,
            additivity_gap: class.additivity_gap(),
            weighted_r_squared: class.r_squared,
            weights: &class.weights,
            standard_errors: class.standard_errors.as_deref(),
            intervals: class.intervals.as_deref(),
            stability: class.stability.clone(),
        }
    }
}

/// The document of a valid report as JSON text; NaN becomes `null`.
///
/// # Errors
/// [`Error::Limits`] if it cannot be serialised.
pub(super) fn json(report: &ImageReport, warnings: &[String]) -> Result<String> {
    let top = report.prediction.iter().map(|(name, value)| Top { name, value: *value });
    let (width, height) = report.photo.dimensions();
    let document = Document {
        whybox: Version { schema: SCHEMA, version: env!("CARGO_PKG_VERSION") },
        method: &report.method,
        network: &report.network,
        device: &report.device,
        seed: report.seed,
        settings: Pairs(&report.settings),
        command: &report.command,
        evaluations: report.evaluations,
        evaluations_per_second: report.evaluations_per_second,
        seconds: Pairs(&report.seconds),
        warnings,
        precision: report.precision.as_ref(),
        photo: Size { width, height },
        prediction: Prediction { scale: report.prediction_scale.name(), top: top.collect() },
        segments: Segments {
            count: report.segments.count,
            pixels: report.segments.pixels(),
            runs: runs(&report.segments.labels),
        },
        outputs: report.classes.iter().map(Output::from).collect(),
    };
    text(&document)
}

/// A document as JSON text in the layout of [`FlatArrays`].
///
/// # Errors
/// [`Error::Limits`] if it cannot be serialised.
pub(super) fn text(document: &impl Serialize) -> Result<String> {
    let fail = |e: String| {
        Error::limits(format!("cannot serialise: {e}"), "explanation.json", "report this as a bug")
    };
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, FlatArrays::default());
    document.serialize(&mut serializer).map_err(|e| fail(e.to_string()))?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(|e| fail(e.to_string()))
}

/// Run lengths of the segment map: `label:length`, separated by spaces; `-` is no segment.
fn runs(labels: &[u32]) -> String {
    let mut text = String::new();
    for run in labels.chunk_by(|a, b| a == b) {
        if !text.is_empty() {
            text.push(' ');
        }
        match run[0] {
            OUTSIDE => text.push_str(&format!("-:{}", run.len())),
            label => text.push_str(&format!("{label}:{}", run.len())),
        }
    }
    text
}

/// Objects over several lines, arrays on one: a thousand weights are not a thousand lines.
#[derive(Default)]
struct FlatArrays<'a>(PrettyFormatter<'a>);

impl Formatter for FlatArrays<'_> {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_name_each_stretch() {
        assert_eq!(runs(&[0, 0, 1, OUTSIDE, OUTSIDE, 0]), "0:2 1:1 -:2 0:1");
        assert_eq!(runs(&[]), "");
    }
}
