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
    /// From the attributions of each instance and output, `[players]`, in both precisions.
    pub fn new(storage: impl ToString, found: &[Vec<f64>], reference: &[Vec<f64>], evaluations: u64) -> Self {
        let errors = found.iter().zip(reference).map(|(a, b)| relative_distance(a, b));
        let attribution_error = errors.fold(0.0, f64::max);
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
