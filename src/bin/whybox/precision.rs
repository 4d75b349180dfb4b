//! What `--precision f16` does to an explanation: the same method with few evaluations, in both precisions.

use whybox::device::Precision;
use whybox::model::Model;
use whybox::report::document::PrecisionError;
use whybox::{Error, Network, Result};

/// Evaluations of an instance in each precision: so many, or for many players [`BY_PLAYER`] each. A run of fewer repeats its own.
const CHECKED: usize = 256;
const BY_PLAYER: usize = 4;

/// Rows of a table that are checked: the first ones.
pub const CHECKED_ROWS: usize = 4;

/// Evaluations with which a run of at most `samples` is checked.
pub fn checked(players: usize, samples: Option<usize>) -> usize {
    let enough = CHECKED.max(BY_PLAYER * players);
    samples.map_or(enough, |samples| samples.min(enough))
}

/// What a check found. Where it failed, for example because the network does not fit in f32, the explanation is kept and a warning
/// says so; an interruption stays one.
pub fn found(check: Result<PrecisionError>, warnings: &mut Vec<String>) -> Result<Option<PrecisionError>> {
    match check {
        Ok(error) => Ok(Some(error)),
        Err(error @ Error::Interrupted(_)) => Err(error),
        Err(error) => {
            warnings.push(format!("How far f16 is from f32 could not be measured: {error}"));
            Ok(None)
        }
    }
}

/// A network's model in f32 on the same device.
pub fn reference_network(network: &Network, model: &Model) -> Result<Network> {
    network.device().with_precision(Precision::F32)?.load(model)
}

/// Whether a network stores its numbers in anything but f32.
pub fn differs(network: &Network) -> bool {
    network.device().precision() != Precision::F32
}
