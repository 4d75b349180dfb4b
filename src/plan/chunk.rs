//! How many samples go through the network at once.

use super::{Locality, Plan};
use crate::{Error, Result};

/// How the first layer gets its input.
///
/// # Example
/// ```
/// use whybox::device::RunOptions;
/// use whybox::plan::FirstLayer;
///
/// let expanded = RunOptions { first_layer: Some(FirstLayer::Expanded), ..RunOptions::default() };
/// assert_ne!(expanded.first_layer, Some(FirstLayer::Masked));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLayer {
    /// The perturbation's kernel writes whole inputs, which the first step reads.
    Expanded,
    /// The first convolution selects instance or baseline while it reads: no input is ever written.
    Masked,
}

/// Decisions that depend on the run: they use the whole run's sizes, never a chunk's.
///
/// # Example
/// ```
/// use whybox::model::Model;
/// use whybox::plan::{Needs, Plan, Schedule};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let plan = Plan::new(&model)?;
/// let needs = Needs { fixed_bytes: 100, sample_bytes: 10 };
/// let schedule = Schedule::new(&plan, 25, None, needs, 200, 64)?;
/// assert_eq!(schedule.chunks().collect::<Vec<_>>(), [0..10, 10..20, 20..25]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Number of samples of the run.
    pub rows: usize,
    /// Samples in a chunk; the last chunk may be smaller.
    pub chunk_rows: usize,
    /// How the first layer gets its input.
    pub first_layer: FirstLayer,
}

/// What a run needs in memory.
///
/// # Example
/// ```
/// use whybox::model::Model;
/// use whybox::plan::{Needs, Plan, Schedule};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let plan = Plan::new(&model)?;
/// let needs = Needs { fixed_bytes: 100, sample_bytes: 10 };
/// assert_eq!(Schedule::new(&plan, 25, None, needs, 140, 64)?.chunk_rows, 4);
/// assert!(Schedule::new(&plan, 25, None, needs, 105, 64).is_err()); // not even one sample
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Bytes whatever the number of samples: workspaces of threads, tables.
    pub fixed_bytes: u64,
    /// Bytes for each sample of the chunks in flight.
    pub sample_bytes: u64,
}

impl Schedule {
    /// Plans a run of `rows` samples whose memory stays below `cap_bytes`, with at most `preferred_rows` samples in a
    /// chunk.
    ///
    /// # Errors
    /// [`Error::Limits`] if one sample alone does not fit.
    pub fn new(
        plan: &Plan,
        rows: usize,
        locality: Option<&Locality>,
        needs: Needs,
        cap_bytes: u64,
        preferred_rows: usize,
    ) -> Result<Self> {
        let most = cap_bytes.saturating_sub(needs.fixed_bytes) / needs.sample_bytes.max(1);
        if most == 0 {
            let least = human_bytes(needs.fixed_bytes.saturating_add(needs.sample_bytes));
            return Err(Error::limits(
                format!("one sample needs {least} for activations, {} are allowed", human_bytes(cap_bytes)),
                "memory cap",
                format!("allow at least {least} with --memory, or use another device"),
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
    // Rounded up, so that what an error asks for is enough.
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{:.1} {}", (value * 10.0).ceil() / 10.0, UNITS[unit])
    }
}
