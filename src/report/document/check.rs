//! Whether a document's lists fit each other, and its numbers can be drawn.

use super::{Document, Instance, Output};
use crate::{Error, Result};

/// Larger magnitudes overflow while they are drawn.
const LARGEST: f64 = 1e300;

impl Document {
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
}

impl Output {
    fn validate(&self, features: usize, at: &str) -> Result<()> {
        let at = || format!("{at}, output {} ({})", self.index, self.name);
        let matrix = |m: &Vec<Vec<f64>>| m.len() == features && m.iter().all(|row| row.len() == features);
        let fits = self.values.len() == features
            && self.standard_errors.as_ref().is_none_or(|e| e.len() == features)
            && self.intervals.as_ref().is_none_or(|e| e.len() == features)
            && self.conditions.as_ref().is_none_or(|c| c.len() == features)
            && self.interactions.as_ref().is_none_or(matrix)
            && self.interaction_errors.as_ref().is_none_or(matrix);
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
