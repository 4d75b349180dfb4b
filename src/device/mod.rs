//! Devices and the networks loaded on them.

mod cancel;
pub mod cpu;
mod engine;
pub mod gpu;
mod means;
mod precision;
mod profile;
mod sharer;

use std::sync::Arc;

use ndarray::Array2;

pub use cancel::Cancel;
pub(crate) use engine::Engine;
pub use engine::{RunOptions, RunReport, Sink};
pub use means::{MeanSink, Means, MeansForm, MeansReport};
pub(crate) use means::{cannot_fuse, check_means};
pub use precision::Precision;
pub use profile::StepProfile;

use crate::model::Model;
use crate::perturb::Perturbation;
use crate::plan::{InputLayout, Plan};
use crate::{Error, Result};

/// Where networks run: a GPU through wgpu, or the processor.
///
/// # Example
/// ```
/// let device = whybox::Device::cpu();
/// assert!(device.name().starts_with("CPU"));
/// ```
#[derive(Clone)]
pub struct Device {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Cpu(Arc<cpu::Cpu>),
    Gpu(Arc<gpu::Gpu>),
}

impl Device {
    /// The GPU if there is one (a software rasteriser is not one), else the processor.
    pub fn best() -> Self {
        match gpu::Gpu::hardware() {
            Ok(gpu) => Device { kind: Kind::Gpu(Arc::new(gpu)) },
            Err(_) => Device::cpu(),
        }
    }

    /// A GPU; a software adapter if there is no other.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no adapter.
    pub fn gpu() -> Result<Self> {
        Ok(Device { kind: Kind::Gpu(Arc::new(gpu::Gpu::any()?)) })
    }

    /// The processor; creates no wgpu instance.
    pub fn cpu() -> Self {
        Device { kind: Kind::Cpu(Arc::new(cpu::Cpu::new())) }
    }

    /// The device's name, for people.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Cpu(cpu) => cpu.name(),
            Kind::Gpu(gpu) => gpu.name(),
        }
    }

    /// Whether this is a GPU (software adapters included).
    pub fn is_gpu(&self) -> bool {
        matches!(self.kind, Kind::Gpu(_))
    }

    /// The same device with numbers stored in another precision.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for f16 on the processor or on a GPU that has none.
    ///
    /// # Example
    /// ```
    /// use whybox::Device;
    /// use whybox::device::Precision;
    ///
    /// let device = Device::best();
    /// let half = device.with_precision(Precision::F16).unwrap_or(device);
    /// println!("{} stores {}", half.name(), half.precision());
    /// ```
    pub fn with_precision(&self, precision: Precision) -> Result<Self> {
        match (&self.kind, precision) {
            (Kind::Gpu(gpu), _) => Ok(Device { kind: Kind::Gpu(Arc::new(gpu.with_precision(precision)?)) }),
            (Kind::Cpu(_), Precision::F32) => Ok(self.clone()),
            (Kind::Cpu(_), Precision::F16) => Err(Error::unsupported(
                "f16 storage needs a GPU: the processor computes in f32",
                self.name(),
                "use --precision f32 (the default), or a GPU with --device gpu",
            )),
        }
    }

    /// How weights and activations are stored.
    pub fn precision(&self) -> Precision {
        match &self.kind {
            Kind::Cpu(_) => Precision::F32,
            Kind::Gpu(gpu) => gpu.precision(),
        }
    }

    /// Plans a model and makes its weights resident.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a step cannot run here, [`Error::Device`] or [`Error::Limits`] if the
    /// weights cannot be made resident.
    pub fn load(&self, model: &Model) -> Result<Network> {
        let plan = Arc::new(Plan::new(model)?);
        let engine: Box<dyn Engine> = match &self.kind {
            Kind::Cpu(cpu) => Box::new(cpu.load(plan.clone())?),
            Kind::Gpu(gpu) => Box::new(gpu::Gpu::load(gpu, plan.clone())?),
        };
        Ok(Network { plan, engine, device: self.clone(), name: model.name().to_owned() })
    }
}

/// A model resident on a device.
///
/// # Example
/// ```
/// use whybox::perturb::Rows;
/// use whybox::{Device, model::Model};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let answers = network.responses(&Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?, &Default::default())?;
/// assert_eq!(answers.into_raw_vec_and_offset().0, [3.0, 7.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Network {
    plan: Arc<Plan>,
    engine: Box<dyn Engine>,
    device: Device,
    name: String,
}

impl Network {
    /// The device it is on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the device executes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Shape and stored order of one sample of the input.
    pub fn input(&self) -> &InputLayout {
        &self.plan.input_layout
    }

    /// Numbers per sample that come back.
    pub fn outputs(&self) -> usize {
        self.plan.outputs
    }

    /// Evaluates every row of a perturbation and hands the responses to `sink` chunk by chunk, in order.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the perturbation does not fit the input, [`Error::Limits`] if one sample
    /// exceeds the memory cap, [`Error::Device`] if the device fails, [`Error::Interrupted`] if the options' switch ends the
    /// run, and whatever `sink` returns.
    pub fn run(
        &self,
        perturbation: &dyn Perturbation,
        options: &RunOptions,
        sink: &mut Sink<'_>,
    ) -> Result<RunReport> {
        let expander = perturbation.bind(&self.plan.input_layout)?;
        options.cancel.check()?;
        self.engine.run(expander.as_ref(), perturbation.rows(), options, &mut |rows, values| {
            options.cancel.check()?;
            sink(rows, values)
        })
    }

    /// Samples that go through the network at once in a run of `rows` samples under the options' memory cap. (A GPU that
    /// runs out of memory takes fewer.)
    ///
    /// # Errors
    /// [`Error::Limits`] if one sample exceeds the memory cap.
    pub fn chunk_rows(&self, rows: usize, options: &RunOptions) -> Result<usize> {
        self.engine.chunk_rows(rows, options)
    }

    /// Evaluates every row of a perturbation and hands the weighted means of their groups to `sink`, in order.
    ///
    /// Every `means.weights.len()` consecutive rows are a group. Where the perturbation mixes rows of tables
    /// ([`Background`](crate::perturb::Background)) and the network's first layer is Linear over the whole row, what instances
    /// and background add to that layer is computed once and combined; of a small chain of Linear layers, nothing is written but
    /// means.
    ///
    /// # Errors
    /// Those of [`run`](Network::run), [`Error::Parameter`] if the rows are no whole groups, no output is asked for or one does not
    /// exist, and [`Error::Numeric`] if an answer is NaN or infinite.
    ///
    /// # Example
    /// ```
    /// use whybox::device::Means;
    /// use whybox::{Device, model::Model, perturb::Rows};
    ///
    /// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
    /// let network = Device::cpu().load(&model)?;
    /// let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?;
    /// let means = Means { weights: &[0.25, 0.75], outputs: &[0] };
    /// network.means(&rows, &means, &Default::default(), &mut |groups, values| {
    ///     assert_eq!((groups, values), (0..1, &[6.0][..]));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn means(
        &self,
        perturbation: &dyn Perturbation,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        let expander = perturbation.bind(&self.plan.input_layout)?;
        means.check(perturbation.rows(), self.outputs())?;
        options.cancel.check()?;
        self.engine.means(expander.as_ref(), perturbation.rows(), means, options, &mut |groups, values| {
            options.cancel.check()?;
            sink(groups, values)
        })
    }

    /// Evaluates every row of a perturbation and gives what each step of the [plan](Network::plan) cost, in its order.
    /// The first run of a network also pays for its memory: let a run go before. A GPU is asked for timestamps around every
    /// step and runs one chunk at a time, so such a run takes longer than its steps.
    ///
    /// # Errors
    /// Those of [`run`](Network::run), and [`Error::Unsupported`] on a GPU without timestamps.
    ///
    /// # Example
    /// ```
    /// use whybox::{Device, model::Model, perturb::Rows};
    ///
    /// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
    /// let network = Device::cpu().load(&model)?;
    /// let profile = network.profile(&Rows::new(&[1.0; 200], 2)?, &Default::default())?;
    /// assert_eq!((profile.len(), profile[0].macs), (1, 200));
    /// assert!(profile[0].seconds > 0.0);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn profile(&self, perturbation: &dyn Perturbation, options: &RunOptions) -> Result<Vec<StepProfile>> {
        let expander = perturbation.bind(&self.plan.input_layout)?;
        self.engine.profile(expander.as_ref(), perturbation.rows(), options)
    }

    /// Evaluates every row of a perturbation: `[rows, outputs]`.
    ///
    /// # Errors
    /// Those of [`run`](Network::run), and [`Error::Numeric`] if a response is NaN or infinite.
    pub fn responses(&self, perturbation: &dyn Perturbation, options: &RunOptions) -> Result<Array2<f32>> {
        let outputs = self.outputs();
        let mut all = Vec::with_capacity(perturbation.rows() * outputs);
        self.run(perturbation, options, &mut |rows, values| {
            check_finite(rows.start, outputs, values)?;
            all.extend_from_slice(values);
            Ok(())
        })?;
        let shape = (perturbation.rows(), outputs);
        Array2::from_shape_vec(shape, all).map_err(|error| {
            Error::device(error.to_string(), "responses", "this is a defect of whybox: please report it")
        })
    }
}

/// Reports the first NaN or infinity among the responses of rows `first_row..`.
///
/// # Errors
/// [`Error::Numeric`] naming the row and the output.
pub fn check_finite(first_row: usize, outputs: usize, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::numeric(
            format!("the network answered {}", values[at]),
            format!("sample {}, output {}", first_row + at / outputs, at % outputs),
            "check the preprocessing (--preprocess) and the network's weights",
        )),
    }
}
