//! The network that `whybox image` asks: what it says, and the part of it that a method needs.

use std::time::Instant;

use image::RgbImage;
use whybox::explain::{ImageExplainer, Labels, Link};
use whybox::model::{Model, OutputKind};
use whybox::perturb::picture::{PictureShape, Preprocess};
use whybox::report::Scale;
use whybox::{Device, Network, Result, builtin};

use crate::image::ImageArgs;
use crate::image_method::Method;
use crate::input::{find_class, read_labels};
use crate::lime::Task;
use crate::precision::reference_network;
use crate::progress::Bar;

/// A network with what is known about its outputs.
pub struct Subject {
    device: Device,
    model: Model,
    /// With all outputs.
    whole: Network,
    /// With these outputs alone.
    cut: Option<(Vec<usize>, Network)>,
    /// What all outputs are, before a link.
    pub scale: Scale,
    pub preprocess: Preprocess,
    names: Option<Vec<String>>,
    /// The outputs that are explained.
    pub chosen: Labels,
    pub warnings: Vec<String>,
    /// Seconds.
    pub importing: f64,
    pub loading: f64,
}

impl Subject {
    /// Reads the network and loads it on its device.
    pub fn load(args: &ImageArgs, bar: &Bar) -> Result<Self> {
        let start = Instant::now();
        let mut warnings = Vec::new();
        let model = match &args.model {
            Some(path) => Model::from_onnx(path)?,
            None => builtin::network()?,
        };
        let preprocess = preprocess(args.preprocess, args.model.is_none(), &model, &mut warnings)?;
        let (model, scale) = explained(args, model)?;
        let importing = start.elapsed().as_secs_f64();
        bar.stage("loading");
        let start = Instant::now();
        let device = args.run.device()?;
        let whole = device.load(&model)?;
        let outputs = whole.outputs();
        let names = match (&args.labels, &args.model) {
            (Some(path), _) => Some(read_labels(path, outputs)?),
            (None, None) if outputs == builtin::classes().len() => Some(builtin::classes()),
            _ => None,
        };
        let chosen = if args.class.is_empty() {
            Labels::Top(args.top.min(outputs))
        } else {
            let classes = args.class.iter().map(|class| find_class(class, names.as_deref(), outputs));
            Labels::Given(classes.collect::<Result<_>>()?)
        };
        let loading = start.elapsed().as_secs_f64();
        Ok(Subject {
            device,
            model,
            whole,
            cut: None,
            scale,
            preprocess,
            names,
            chosen,
            warnings,
            importing,
            loading,
        })
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        self.whole.name()
    }

    pub fn device_name(&self) -> String {
        self.device.name()
    }

    /// The name of an output.
    pub fn output_name(&self, output: usize) -> String {
        match &self.names {
            Some(names) => names[output].clone(),
            None => format!("output {output}"),
        }
    }

    /// All outputs for a photo.
    pub fn predict(&self, explainer: &ImageExplainer, photo: &RgbImage) -> Result<Vec<f64>> {
        let prediction = explainer.predict(&self.whole, photo.clone())?;
        Ok(prediction.into_iter().map(f64::from).collect())
    }

    /// Makes a network that gives the `chosen` outputs, and no others, ready for [`network_for`](Subject::network_for).
    pub fn prepare(&mut self, chosen: &[usize]) -> Result<()> {
        let known = self.cut.as_ref().is_some_and(|(outputs, _)| outputs == chosen);
        if self.cuts(chosen) && !known {
            self.cut = None;
            self.cut = Some((chosen.to_vec(), self.device.load(&self.model.clone().select(chosen)?)?));
        }
        Ok(())
    }

    /// A network that gives the `chosen` outputs, and whether it gives no others. Behind a Softmax all are needed;
    /// elsewhere the last layer is cut, so that only what is asked for is computed.
    pub fn network_for(&self, chosen: &[usize]) -> (&Network, bool) {
        match &self.cut {
            Some((outputs, cut)) if self.cuts(chosen) && outputs == chosen => (cut, true),
            _ => (&self.whole, false),
        }
    }

    fn cuts(&self, chosen: &[usize]) -> bool {
        self.scale != Scale::Probability && chosen.len() != self.whole.outputs()
    }

    /// That network in f32.
    pub fn reference_for(&self, chosen: &[usize]) -> Result<Network> {
        match self.cuts(chosen) {
            true => reference_network(&self.whole, &self.model.clone().select(chosen)?),
            false => reference_network(&self.whole, &self.model),
        }
    }
}

/// How a network wants its pictures: as given, as the built-in one does, or by a guess and a warning.
pub fn preprocess(
    given: Option<Preprocess>,
    builtin: bool,
    model: &Model,
    warnings: &mut Vec<String>,
) -> Result<Preprocess> {
    let shape = PictureShape::of(model.input_shape())?;
    match given {
        Some(given) => Ok(given),
        None if builtin => Ok(builtin::preprocess()),
        None => {
            let name = if shape.channels == 3 { "imagenet" } else { "unit" };
            warnings.push(format!(
                "No --preprocess was given: {name} is assumed. Check that the top 5 make sense; the presets are {}.",
                Preprocess::presets().join(", ")
            ));
            name.parse()
        }
    }
}

/// The network as it is explained, and what its outputs are. LIME explains probabilities unless told otherwise, Shapley
/// methods logits: they add up on that scale, which no Softmax bends.
fn explained(args: &ImageArgs, model: Model) -> Result<(Model, Scale)> {
    let classification = args.task == Task::Classification;
    let probabilities = args.method.method == Method::Lime || args.method.link() == Link::Logit;
    match args.explain.as_deref() {
        None if !classification => Ok((model, Scale::Score)),
        None if probabilities => Ok((model.probabilities()?, Scale::Probability)),
        Some("probabilities") => Ok((model.probabilities()?, Scale::Probability)),
        None | Some("logits") => {
            let scale = if classification { Scale::Logit } else { Scale::Score };
            Ok((model.scores(), scale))
        }
        Some(node) => {
            let whole = model.output_kind();
            let outputs = model.output_shape().to_vec();
            let model = model.up_to(node)?;
            // A Sigmoid inside a network is a gate; at its end it is a probability.
            let same = model.output_kind() == whole && model.output_shape() == outputs;
            let probabilities = same && whole == OutputKind::Probabilities;
            Ok((model, if probabilities { Scale::Probability } else { Scale::Score }))
        }
    }
}
