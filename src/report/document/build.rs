//! Documents from explanations.

use super::{Document, Feature, Fit, Kind, Output, Stability};
use crate::explain::{self, Attribution, Explanation, Interactions};

impl Document {
    /// A document without instances; the caller fills in the rest.
    ///
    /// # Example
    /// ```
    /// use whybox::explain::{Estimator, ExactShapley, FunctionGame};
    /// use whybox::report::Document;
    /// use whybox::report::document::{Feature, Instance, Kind, Output};
    ///
    /// let game = FunctionGame::new(2, 1, |present: &[bool], out: &mut [f64]| {
    ///     out[0] = if present[0] { 2.0 } else { 0.0 };
    /// });
    /// let explanation = ExactShapley::default().explain(&game, &mut |_| {})?;
    /// let mut document = Document::new(Kind::Table, "a closure", "CPU", vec![Feature::new("a"), Feature::new("b")]);
    /// document.account(&explanation);
    /// document.instances.push(Instance {
    ///     row: Some(0),
    ///     values: vec!["1".into(), "7".into()],
    ///     numbers: vec![1.0, 7.0],
    ///     outputs: vec![Output::of(&explanation.attributions[0], "o", None)],
    /// });
    /// assert!(document.to_json()?.contains("exact Shapley values"));
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn new(kind: Kind, network: &str, device: &str, features: Vec<Feature>) -> Self {
        Document {
            kind,
            network: network.to_owned(),
            device: device.to_owned(),
            link: "identity".into(),
            features,
            ..Document::default()
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
}

impl Output {
    /// What an explanation says of one output, with its 95 % intervals; `conditions` as in [`Output::conditions`].
    pub fn of(attribution: &Attribution, name: impl Into<String>, conditions: Option<Vec<String>>) -> Self {
        let intervals = attribution.intervals(0.95);
        Output {
            index: attribution.output,
            name: name.into(),
            prediction: attribution.prediction,
            base_value: attribution.base_value,
            local_prediction: attribution.local_prediction,
            additivity_gap: attribution.additivity_gap(),
            weighted_r_squared: attribution.score,
            values: attribution.values.clone(),
            standard_errors: attribution.standard_errors.clone(),
            intervals: intervals.map(|all| all.into_iter().map(|(low, high)| [low, high]).collect()),
            conditions,
            interactions: None,
            stability: None,
        }
    }

    /// The same with the pairwise interactions of the explained output at `place`.
    pub fn with_interactions(self, found: &Interactions, place: usize) -> Self {
        let cell =
            |i: usize, j: usize| if i == j { found.singles[[i, place]] } else { found.pair(i, j, place) };
        let row = |i: usize| (0..found.players).map(|j| cell(i, j)).collect();
        Output { interactions: Some((0..found.players).map(row).collect()), ..self }
    }
}

impl From<&explain::Stability> for Stability {
    fn from(found: &explain::Stability) -> Self {
        Stability {
            runs: found.repeats,
            variables: 100.0 * found.variables_index,
            coefficients: 100.0 * found.coefficients_index,
            spread: found.spread.clone(),
            fits: (found.scores.iter())
                .map(|&(kernel_width, weighted_r_squared)| Fit { kernel_width, weighted_r_squared })
                .collect(),
        }
    }
}
