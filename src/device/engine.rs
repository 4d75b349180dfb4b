//! What an engine has to do.

use std::ops::Range;

use super::StepProfile;
use super::cancel::Cancel;
use super::means::{MeanSink, Means, MeansForm, MeansReport};
use crate::Result;
use crate::perturb::Expander;
use crate::plan::{FirstLayer, Sharing, SharingReport};

/// Receives the responses of a chunk: its rows and `[rows, outputs]` numbers, in ascending order of rows.
///
/// # Example
/// ```
/// use whybox::device::Sink;
/// use whybox::{Device, model::Model, perturb::Rows};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let mut sum = 0.0;
/// let sink: &mut Sink<'_> = &mut |_, values| {
///     sum += values.iter().sum::<f32>();
///     Ok(())
/// };
/// let report = network.run(&Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?, &Default::default(), sink)?;
/// assert_eq!(sum, 10.0);
/// assert!(report.chunk_rows >= 1);
/// # Ok::<(), whybox::Error>(())
/// ```
pub type Sink<'a> = dyn FnMut(Range<usize>, &[f32]) -> Result<()> + 'a;

/// Choices of a run that do not change what is computed.
///
/// # Example
/// ```
/// use whybox::device::RunOptions;
///
/// let options = RunOptions { memory_bytes: Some(256 << 20), ..RunOptions::default() };
/// assert!(RunOptions::default().memory_bytes.is_none() && options.memory_bytes == Some(268_435_456));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Cap on the bytes of activations, host and device; the engine's own default if `None`.
    pub memory_bytes: Option<u64>,
    /// Forces a form of the first layer, for tests and benchmarks; the schedule decides if `None`.
    pub first_layer: Option<FirstLayer>,
    /// Forces a form of averaging, for tests and benchmarks; plan and perturbation decide if `None`.
    pub means: Option<MeansForm>,
    /// Whether early layers are shared between coalitions that agree locally. A forced first layer shares nothing
    /// unless this is [`Sharing::First`].
    pub sharing: Sharing,
    /// Ends the run between two chunks when somebody asks for it.
    pub cancel: Cancel,
}

/// What happened in a run.
///
/// # Example
/// ```
/// use whybox::{Device, model::Model, perturb::Rows};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let report = network.run(&Rows::new(&[0.0; 20], 2)?, &Default::default(), &mut |_, _| Ok(()))?;
/// // Rows share nothing: they are given, not made of an instance and a baseline.
/// assert!(report.chunk_rows >= 1 && report.sharing.is_none());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// Samples in a chunk.
    pub chunk_rows: usize,
    /// How the first layer got its input.
    pub first_layer: FirstLayer,
    /// What was shared between samples, if anything was.
    pub sharing: Option<SharingReport>,
}

/// A plan made resident on a device.
pub(crate) trait Engine: Send + Sync {
    /// Evaluates `rows` rows of a perturbation and hands the responses to `sink` chunk by chunk.
    ///
    /// # Errors
    /// `Error::Limits` if a sample does not fit under the cap, `Error::Device` if the device fails, and
    /// whatever `sink` returns.
    fn run(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport>;

    /// Samples in a chunk of a run of `rows` samples.
    ///
    /// # Errors
    /// `Error::Limits` if a sample does not fit under the cap.
    fn chunk_rows(&self, rows: usize, options: &RunOptions) -> Result<usize>;

    /// Evaluates `rows` rows of a perturbation and hands the means of their groups to `sink`, in order.
    ///
    /// # Errors
    /// Those of [`run`](Engine::run), `Error::Parameter` if the groups or outputs do not fit or the options ask for
    /// a form that is impossible, and `Error::Numeric` if an answer is NaN or infinite.
    fn means(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport>;

    /// Evaluates `rows` rows of a perturbation and gives what each step cost.
    ///
    /// # Errors
    /// Those of [`run`](Engine::run), and `Error::Unsupported` if the engine cannot tell.
    fn profile(
        &self,
        perturbation: &dyn Expander,
        rows: usize,
        options: &RunOptions,
    ) -> Result<Vec<StepProfile>>;
}
