//! What f16 storage did to the attributions.

use serde::{Deserialize, Serialize};

use super::super::number::{Rounding, count};
use super::nullable::{number, unknown};
use crate::explain::relative_distance;

/// How far the attributions of a network stored in another precision than f32 are from those in f32: measured by the same method
/// with the same draws, in both precisions, with few evaluations (many even the errors out, so that the explanation itself is
/// as a rule nearer).
///
/// # Example
/// ```
/// use whybox::report::document::PrecisionError;
///
/// let half = [vec![0.5, 0.251], vec![1.0, 0.0]];
/// let full = [vec![0.5, 0.250], vec![1.0, 0.0]];
/// let error = PrecisionError::new("f16", &half, &full, 256);
/// assert!((error.attribution_error - 0.001 / 0.3125f64.sqrt()).abs() < 1e-9);
/// assert!(error.to_string().starts_with("f16 storage, effects 0.179 % from f32’s"));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PrecisionError {
    /// How weights and activations are stored, for example `f16`.
    pub storage: String,
    /// Relative L2 distance of the attributions from those in f32: the largest over instances and outputs.
    #[serde(with = "number", default = "unknown")]
    pub attribution_error: f64,
    /// Evaluations with which it was measured, in each precision.
    pub evaluations: u64,
}

impl PrecisionError {
    /// From the attributions of each instance and output, `[players]`, in both precisions. What cannot be compared, or is no number,
    /// makes the error NaN.
    pub fn new(storage: impl ToString, found: &[Vec<f64>], reference: &[Vec<f64>], evaluations: u64) -> Self {
        let alike =
            found.len() == reference.len() && found.iter().zip(reference).all(|(a, b)| a.len() == b.len());
        let errors = found.iter().zip(reference).map(|(a, b)| relative_distance(a, b));
        let largest = errors.fold(0.0, |most: f64, error| if most >= error { most } else { error });
        let known = found.iter().chain(reference).flatten().all(|value| value.is_finite());
        let attribution_error = if alike && known { largest } else { f64::NAN };
        PrecisionError { storage: storage.to_string(), attribution_error, evaluations }
    }
}

impl std::fmt::Display for PrecisionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = 100.0 * self.attribution_error;
        write!(
            f,
            "{} storage, effects {} % from f32’s ({} evaluations)",
            self.storage,
            Rounding::for_largest(percent).plain(percent),
            count(self.evaluations)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_no_number() {
        let error = |found: &[Vec<f64>], full: &[Vec<f64>]| {
            PrecisionError::new("f16", found, full, 1).attribution_error
        };
        let full = [vec![1.0, 2.0], vec![3.0, 4.0]];
        assert_eq!(error(&full, &full), 0.0);
        assert!(error(&[vec![1.0, 2.0], vec![3.0, 4.5]], &full) > 0.05);
        for broken in
            [vec![vec![1.0, 2.0]], vec![vec![1.0], vec![3.0, 4.0]], vec![vec![f64::NAN, 2.0], vec![3.0, 4.0]]]
        {
            assert!(error(&broken, &full).is_nan());
        }
    }
}
