//! The standard workloads.

use std::time::Instant;

use super::networks;
use crate::device::RunOptions;
use crate::explain::{ImageExplainer, Lime};
use crate::model::Model;
use crate::perturb::Rows;
use crate::perturb::picture::Preprocess;
use crate::{Device, Network, Result, builtin};

/// Does it once with a loaded network, and returns the evaluations of the network that it took.
type Task = Box<dyn Fn(&Network) -> Result<usize>>;

/// Something that users do, to be timed.
///
/// # Example
/// ```
/// use whybox::bench::Workload;
/// use whybox::{Device, model::Model};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let measured = Workload::forward(model, 64).measure(&Device::cpu(), 0.0)?;
/// assert_eq!((measured.evaluations, measured.macs), (64, 2));
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Workload {
    /// What is done, for people.
    pub name: String,
    model: Model,
    task: Task,
}

/// How fast a workload ran.
///
/// # Example
/// ```
/// use whybox::bench::Measurement;
///
/// let measured = Measurement { workload: "LIME".into(), seconds: 0.5, evaluations: 1000, macs: 1_000_000, runs: 3 };
/// assert_eq!((measured.rate(), measured.gflops()), (2000.0, 4.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was done.
    pub workload: String,
    /// Median seconds of one explanation, or of one batch of forward passes.
    pub seconds: f64,
    /// Evaluations of the network in it.
    pub evaluations: usize,
    /// Multiply-adds of one evaluation, as plain convolutions count them.
    pub macs: u64,
    /// How often it ran.
    pub runs: usize,
}

impl Measurement {
    /// Evaluations a second.
    pub fn rate(&self) -> f64 {
        self.evaluations as f64 / self.seconds
    }

    /// 10⁹ operations of the network (two for each multiply-add) a second. Fast algorithms and shared work do fewer
    /// than they are credited with here, so this may exceed the device's peak.
    pub fn gflops(&self) -> f64 {
        2e-9 * self.macs as f64 * self.rate()
    }
}

impl Workload {
    pub(super) fn new(
        name: String,
        model: Model,
        task: impl Fn(&Network) -> Result<usize> + 'static,
    ) -> Self {
        Workload { name, model, task: Box::new(task) }
    }

    /// Raw forward passes of `model`, `rows` at a time.
    pub fn forward(model: Model, rows: usize) -> Self {
        let len: usize = model.input_shape().iter().product();
        Self::new(format!("forward passes, {}", model.name()), model, move |network| {
            let batch: Vec<f32> = (0..rows * len).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
            network.run(&Rows::new(&batch, len)?, &RunOptions::default(), &mut |_, _| Ok(()))?;
            Ok(rows)
        })
    }

    /// LIME on the built-in photo: SLIC with about 70 segments, probabilities of the top class.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the network answers with a map.
    pub fn lime_photo(model: Model, preprocess: Preprocess, samples: usize, run: RunOptions) -> Result<Self> {
        let explainer = ImageExplainer { preprocess, run, ..ImageExplainer::default() };
        let lime = Lime { samples, ..Lime::default() };
        let name = format!("LIME, photo, {samples} samples, {}", model.name());
        let photo = builtin::photo()?;
        Ok(Self::new(name, model.probabilities()?, move |network| {
            Ok(explainer.explain(network, photo.clone(), &lime, &mut |_| {})?.explanation.evaluations)
        }))
    }

    /// What `whybox bench` runs: the networks of the field at 224 × 224, the built-in one, an MLP, and the built-in table.
    /// `samples` is for photos.
    ///
    /// # Errors
    /// None but for a defect: all of it is built in.
    pub fn standard(samples: usize, run: &RunOptions) -> Result<Vec<Self>> {
        let imagenet: Preprocess = "imagenet".parse()?;
        let photo = |model, preprocess| Self::lime_photo(model, preprocess, samples, run.clone());
        Ok(vec![
            photo(builtin::network()?, builtin::preprocess())?,
            photo(networks::squeezenet()?, imagenet)?,
            photo(networks::resnet18()?, imagenet)?,
            photo(networks::vgg11()?, imagenet)?,
            photo(networks::mobilenet_v2()?, imagenet)?,
            Self::forward(networks::resnet18()?, 64),
            Self::forward(networks::mlp()?, 65_536),
            Self::kernel_shap_table(2048, 100, run.clone())?,
            Self::exact_table(100, run.clone())?,
            Self::lime_table(5000, run.clone())?,
        ])
    }

    /// Runs the workload once unmeasured and then again and again for about `seconds`, at least three times.
    ///
    /// # Errors
    /// Those of [`Device::load`] and of the explanation.
    pub fn measure(&self, device: &Device, seconds: f64) -> Result<Measurement> {
        let network = device.load(&self.model)?;
        let mut evaluations = (self.task)(&network)?;
        let (begin, mut times) = (Instant::now(), Vec::new());
        while times.len() < 3 || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            evaluations = (self.task)(&network)?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(Measurement {
            workload: self.name.clone(),
            seconds: times[times.len() / 2],
            evaluations,
            macs: network.plan().macs(),
            runs: times.len(),
        })
    }
}
