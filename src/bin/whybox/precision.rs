//! What `--precision f16` does to an explanation: the same method with few evaluations, in both precisions.

use whybox::device::Precision;
use whybox::model::Model;
use whybox::{Device, Network, Result};

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

/// The same device in f32, if it stores anything else.
pub fn reference(device: &Device) -> Result<Option<Device>> {
    match device.precision() {
        Precision::F32 => Ok(None),
        Precision::F16 => device.with_precision(Precision::F32).map(Some),
    }
}

/// A network's model in f32 on the same device, if it is stored in anything else.
pub fn reference_network(network: &Network, model: &Model) -> Result<Option<Network>> {
    reference(network.device())?.map(|device| device.load(model)).transpose()
}
