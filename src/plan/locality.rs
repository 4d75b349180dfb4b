//! Which players each part of the input depends on.

use std::sync::Arc;

/// Which players each input pixel depends on, and the coalitions of the run.
///
/// A two-state input: pixel `p` shows the instance where its player is present and the baseline where it
/// is absent. An engine may select while it reads the first layer's input (the *fused* form), or share
/// early layers between coalitions; the numbers are those of the expanding kernel.
#[derive(Debug, Clone)]
pub struct Locality {
    /// Player of each pixel; `u32::MAX` = the pixel always shows the instance.
    pub players: Arc<[u32]>,
    /// The instance, stored as the plan's input is.
    pub instance: Arc<[f32]>,
    /// The baseline, stored as the plan's input is.
    pub baseline: Arc<[f32]>,
    /// Packed coalitions: bit `p % 32` of word `n · words_per_row + p / 32` says that player `p` is
    /// present in row `n`.
    pub masks: Arc<[u32]>,
    /// Words per row of `masks`.
    pub words_per_row: usize,
}
