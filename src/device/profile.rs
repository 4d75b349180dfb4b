//! What each step of a network costs.

/// What one step costs in a run.
///
/// # Example
/// ```
/// use whybox::device::StepProfile;
///
/// let step = StepProfile { step: "conv1".into(), kernel: "direct", seconds: 0.5, macs: 1_000_000_000 };
/// assert_eq!(step.gflops(), 4.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StepProfile {
    /// The step's name: the graph's nodes that it computes.
    pub step: String,
    /// The kernel that ran.
    pub kernel: &'static str,
    /// Seconds for all rows. On the processor added up over threads: of its time, not of the clock on the wall; on a GPU
    /// between two of its own timestamps.
    pub seconds: f64,
    /// Multiply-adds of all rows, as a plain convolution counts them.
    pub macs: u64,
}

impl StepProfile {
    /// 10⁹ operations (two for each multiply-add) a second and thread, or a second of the GPU; 0 where the step took no time that could be
    /// measured.
    pub fn gflops(&self) -> f64 {
        if self.seconds > 0.0 { 2e-9 * self.macs as f64 / self.seconds } else { 0.0 }
    }
}
