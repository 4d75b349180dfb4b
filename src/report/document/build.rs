//! Documents from explanations.

use ndarray::Array2;

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
            interaction_errors: None,
            stability: None,
        }
    }

    /// The same with the pairwise interactions of the explained output at `place`, and their standard errors if they have any.
    ///
    /// # Example
    /// ```
    /// use whybox::explain::{Budget, Estimator, FunctionGame, KernelShap};
    /// use whybox::report::document::Output;
    ///
    /// let game = FunctionGame::new(12, 1, |present: &[bool], out: &mut [f64]| {
    ///     out[0] = (present.iter().filter(|&&here| here).count() as f64).sqrt();
    /// });
    /// let shap = KernelShap { interactions: true, budget: Budget::of(500), ..KernelShap::default() };
    /// let found = shap.explain(&game, &mut |_| {})?;
    /// let pairs = found.interactions.as_ref().expect("asked for");
    /// let output = Output::of(&found.attributions[0], "o", None).with_interactions(pairs, 0);
    /// assert_eq!(output.interactions.map(|matrix| matrix[0][5]), Some(pairs.pair(0, 5, 0)));
    /// assert!(output.interaction_errors.is_some_and(|matrix| matrix[5][0] > 0.0));
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn with_interactions(self, found: &Interactions, place: usize) -> Self {
        let players = found.players;
        let matrix = |pairs: &Array2<f64>, singles: &Array2<f64>| -> Vec<Vec<f64>> {
            let mut matrix = vec![vec![0.0; players]; players];
            let both = (0..players).flat_map(|i| (i + 1..players).map(move |j| (i, j)));
            for ((i, j), &value) in both.zip(pairs.column(place)) {
                (matrix[i][j], matrix[j][i]) = (value, value);
            }
            for (i, &value) in singles.column(place).iter().enumerate() {
                matrix[i][i] = value;
            }
            matrix
        };
        Output {
            interactions: Some(matrix(&found.pairs, &found.singles)),
            interaction_errors: found.standard_errors.as_ref().map(|e| matrix(&e.pairs, &e.singles)),
            ..self
        }
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
