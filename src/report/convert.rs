//! From an explanation to the plain data of its report.

use super::{ExplainedClass, ImageReport, PhotoSegments, Scale};
use crate::explain::ImageExplanation;

/// Outputs that the prediction lists.
const PREDICTIONS: usize = 5;

impl ImageReport {
    /// The report of an explanation: `network` and `device` are names, `scale` is what the outputs are, and `name`
    /// gives the name of an output. Settings, command and warnings are left empty.
    pub fn new(
        result: &ImageExplanation,
        network: &str,
        device: String,
        scale: Scale,
        name: &dyn Fn(usize) -> String,
    ) -> Self {
        let explanation = &result.explanation;
        let classes = explanation
            .attributions
            .iter()
            .map(|attribution| ExplainedClass {
                name: name(attribution.output),
                index: attribution.output,
                value: attribution.prediction,
                scale,
                weights: attribution.values.clone(),
                standard_errors: attribution.standard_errors.clone(),
                intervals: attribution.intervals(0.95),
                intercept: attribution.base_value,
                local_prediction: attribution.local_prediction,
                r_squared: attribution.score.is_finite().then_some(attribution.score),
                stability: None,
            })
            .collect();
        let evaluating: f64 = explanation
            .seconds
            .iter()
            .filter(|(stage, _)| stage == "evaluate")
            .map(|(_, seconds)| seconds)
            .sum();
        let prediction = explanation
            .top(PREDICTIONS)
            .into_iter()
            .map(|output| (name(output), explanation.prediction[output]));
        ImageReport {
            photo: result.photo.clone(),
            segments: PhotoSegments { labels: result.labels.clone(), count: result.segments },
            classes,
            prediction: prediction.collect(),
            prediction_scale: scale,
            method: explanation.method.to_owned(),
            surrogate: explanation.method == "LIME",
            network: network.to_owned(),
            device,
            evaluations: explanation.evaluations as u64,
            evaluations_per_second: explanation.evaluations as f64 / evaluating.max(1e-9),
            seconds: explanation.seconds.clone(),
            precision: None,
            seed: explanation.seed,
            settings: Vec::new(),
            command: String::new(),
            warnings: Vec::new(),
        }
    }
}
