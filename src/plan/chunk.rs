//! How many samples go through the network at once.

use super::{Locality, Plan};
use crate::{Error, Result};

/// How the first layer gets its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLayer {
    /// The perturbation's kernel writes whole inputs, which the first step reads.
    Expanded,
    /// The first convolution selects instance or baseline while it reads: no input is ever written.
    Masked,
}

/// Decisions that depend on the run: they use the whole run's sizes, never a chunk's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Number of samples of the run.
    pub rows: usize,
    /// Samples in a chunk; the last chunk may be smaller.
    pub chunk_rows: usize,
    /// How the first layer gets its input.
    pub first_layer: FirstLayer,
}

impl Schedule {
    /// Plans a run of `rows` samples.
    ///
    /// `cap_bytes` bounds the activations of the chunks in flight (`chunks_in_flight` of them), and
    /// `binding_bytes` a single buffer. At most `preferred_rows` samples go into one chunk.
    ///
    /// # Errors
    /// [`Error::Limits`] if one sample alone does not fit.
    pub fn new(
        plan: &Plan,
        rows: usize,
        locality: Option<&Locality>,
        chunks_in_flight: usize,
        cap_bytes: u64,
        binding_bytes: u64,
        preferred_rows: usize,
    ) -> Result<Self> {
        let float = size_of::<f32>() as u64;
        let sample_bytes = float * plan.activation_elements() as u64 * chunks_in_flight as u64;
        let largest = float * plan.buffers.iter().copied().max().unwrap_or(0) as u64;
        let by_cap = cap_bytes / sample_bytes.max(1);
        let by_binding = binding_bytes / largest.max(1);
        let most = by_cap.min(by_binding);
        if most == 0 {
            let (needed, available) =
                if by_cap == 0 { (sample_bytes, cap_bytes) } else { (largest, binding_bytes) };
            return Err(Error::limits(
                format!("one sample needs {needed} bytes for activations, {available} are allowed"),
                "memory cap",
                format!("allow at least {} with --memory", human_bytes(needed)),
            ));
        }
        let chunk_rows =
            usize::try_from(most).unwrap_or(usize::MAX).min(preferred_rows).clamp(1, rows.max(1));
        let masked = locality.is_some_and(|locality| plan.can_mask(locality));
        let first_layer = if masked { FirstLayer::Masked } else { FirstLayer::Expanded };
        Ok(Schedule { rows, chunk_rows, first_layer })
    }

    /// The chunks' row ranges, in order.
    pub fn chunks(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        (0..self.rows).step_by(self.chunk_rows).map(|first| first..(first + self.chunk_rows).min(self.rows))
    }
}

/// `1.5 MiB` and the like.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
