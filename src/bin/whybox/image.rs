//! `whybox image`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use whybox::explain::{Control, ImageExplainer, ImageExplanation, Labels, Lime, MaskResolution};
use whybox::model::{Model, OutputKind};
use whybox::perturb::Sampling;
use whybox::perturb::picture::{Baseline, PictureShape, Preprocess, open_photo};
use whybox::perturb::segment::Segmentation;
use whybox::report::{ImageReport, Scale, terminal};
use whybox::solve::{Distance, Selection};
use whybox::{Result, builtin};

use crate::input::{DeviceChoice, RunArgs, default_out, find_class, quoted, read_labels};
use crate::output::{colour, say, width};
use crate::progress::Bar;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  whybox image
  whybox image cat.jpg --model squeezenet.onnx --labels imagenet.txt --preprocess caffe
  whybox image cat.jpg --model net.onnx --class 281 --segments slic:n=100 --samples 5000
  whybox image cat.jpg --model net.onnx --preprocess 'unit,fit=stretch,mean=0.5,std=0.5'")]
pub struct ImageArgs {
    /// The photo to explain (the built-in one if left out)
    #[arg(value_name = "PHOTO")]
    photo: Option<PathBuf>,
    /// The network's ONNX file (the built-in one if left out)
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    /// Names of the network's outputs, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How the network wants its pictures: imagenet, unit, raw, cifar10, caffe, tf, and parts that differ
    #[arg(long, value_name = "NAME[,PART=…]")]
    preprocess: Option<Preprocess>,
    /// What the outputs are
    #[arg(long, value_enum, default_value = "classification")]
    task: Task,
    /// The method
    #[arg(long, value_enum, default_value = "lime")]
    method: Method,
    /// Evaluations of the network
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_two)]
    samples: usize,
    /// How the picture is cut: slic:n=70,compactness=10 (about n, small ones are merged)
    /// quickshift:kernel=4,max_dist=200,ratio=0.2  felzenszwalb:scale=100,sigma=0.5,min=50
    /// grid:rows=7,cols=7  file:labels.png
    #[arg(long, value_name = "ALGO[:k=v,…]", default_value = "slic:n=70,compactness=10")]
    segments: Segmentation,
    /// What a hidden segment shows: average (of the picture), mean (of the segment), mean8, black, grey, white,
    /// #RRGGBB, blur:sigma=5 (percent of the shorter side), image:FILE
    #[arg(long, value_name = "KIND", default_value = "average")]
    baseline: Baseline,
    /// Where segments are cut and masked
    #[arg(long, value_enum, default_value = "network", value_name = "WHERE")]
    mask_resolution: MaskAt,
    /// Output to explain, by label or number; may be repeated
    #[arg(long, value_name = "NAME_OR_INDEX", conflicts_with = "top")]
    class: Vec<String>,
    /// Explain the K highest outputs
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = a_few)]
    top: usize,
    /// What is explained: probabilities, logits, or a node's name (probabilities for classification)
    #[arg(long, value_name = "WHAT")]
    explain: Option<String>,
    /// Distance of a masked picture from the photo
    #[arg(long, value_enum, default_value = "cosine")]
    distance: DistanceChoice,
    /// Width of LIME's kernel
    #[arg(long, value_name = "WIDTH", default_value_t = 0.25, allow_negative_numbers = true)]
    kernel_width: f64,
    /// How features are selected
    #[arg(long, value_enum, default_value = "auto")]
    selection: SelectionChoice,
    /// Segments in the surrogate at most
    #[arg(long, value_name = "K", default_value_t = 100_000, value_parser = at_least_one)]
    features: usize,
    /// Penalty of the ridge regression
    #[arg(long, value_name = "ALPHA", default_value_t = 1.0, allow_negative_numbers = true)]
    alpha: f64,
    /// How masks are drawn (independent is what lime does)
    #[arg(long, value_enum, default_value = "orthogonal")]
    sampling: SamplingChoice,
    /// Model of the network that takes scatter out of the effects (none is what lime does)
    #[arg(long, value_enum, default_value = "logistic")]
    control: ControlChoice,
    /// Seed of all random draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    run: RunArgs,
    /// Folder for explanation.png, .svg, .html and .json [default: whybox-out]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the JSON document alone (files are written only with --out)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Softmax (or sigmoid for one output) is applied if the network does not end in it
    Classification,
    /// Outputs are taken as they are
    Regression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// A weighted linear surrogate around the photo
    Lime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MaskAt {
    /// On the picture that the network sees
    Network,
    /// On the photo, before it is resized
    Photo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DistanceChoice {
    Cosine,
    Euclidean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SelectionChoice {
    Auto,
    None,
    Forward,
    Highest,
    Lasso,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SamplingChoice {
    Independent,
    Paired,
    Orthogonal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ControlChoice {
    None,
    Logistic,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(text, 1)
}

/// Each explained output gets a picture of its own.
fn a_few(text: &str) -> Result<usize, String> {
    at_least(text, 1)
        .and_then(|number| if number <= 20 { Ok(number) } else { Err("explain at most 20 outputs".into()) })
}

fn at_least_two(text: &str) -> Result<usize, String> {
    at_least(text, 2)
}

fn at_least(text: &str, least: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("give a whole number of at least {least}")),
    }
}

/// Below this a map says little about where the network looks.
const FEW_SEGMENTS: usize = 8;

/// A network with what is known about its outputs.
struct Subject {
    model: Model,
    scale: Scale,
    preprocess: Preprocess,
    warnings: Vec<String>,
}

pub fn run(args: &ImageArgs) -> Result<()> {
    let bar = Bar::new(args.samples);
    bar.stage("reading");
    let begin = Instant::now();
    let photo = match &args.photo {
        Some(path) => open_photo(path)?,
        None => builtin::photo()?,
    };
    let subject = args.subject()?;
    let importing = begin.elapsed().as_secs_f64();

    bar.stage("loading");
    let start = Instant::now();
    let network = args.run.device()?.load(&subject.model)?;
    let loading = start.elapsed().as_secs_f64();
    let labels = args.label_names(network.outputs())?;
    let explainer = args.explainer(&subject, labels.as_deref(), network.outputs())?;

    bar.stage("segmenting");
    let mut result = explainer.explain(&network, photo, &mut |done| bar.at(done))?;
    bar.stage("drawing");
    result.explanation.seconds.insert(0, ("load".into(), loading));
    result.explanation.seconds.insert(0, ("import".into(), importing));

    let device = network.device().name();
    let report = args.report(&result, &subject, labels.as_deref(), network.name(), device);
    let start = Instant::now();
    let folder = args.out.clone().or_else(|| (!args.json).then(default_out));
    let files = folder.as_ref().map(|folder| report.write(folder)).transpose()?.unwrap_or_default();
    drop(bar);
    if args.json {
        return say(&format!("{}\n", report.json()?));
    }
    let mut report = report;
    report.seconds.push(("draw and write".into(), start.elapsed().as_secs_f64()));
    let mut text = terminal(&report, colour(), width());
    for file in &files {
        text += &format!("wrote {}\n", file.display());
    }
    say(&text)
}

impl ImageArgs {
    /// The network as it is explained.
    fn subject(&self) -> Result<Subject> {
        let mut warnings = Vec::new();
        let model = match &self.model {
            Some(path) => Model::from_onnx(path)?,
            None => builtin::network()?,
        };
        let shape = PictureShape::of(model.input_shape())?;
        let preprocess = match (self.preprocess, &self.model) {
            (Some(given), _) => given,
            (None, None) => builtin::preprocess(),
            (None, Some(_)) => {
                let name = if shape.channels == 3 { "imagenet" } else { "unit" };
                warnings.push(format!(
                    "No --preprocess was given: {name} is assumed. Check that the top 5 make sense; the presets are {}.",
                    Preprocess::presets().join(", ")
                ));
                name.parse()?
            }
        };
        let classification = self.task == Task::Classification;
        let (model, scale) = match self.explain.as_deref() {
            None | Some("probabilities") if classification => (model.probabilities()?, Scale::Probability),
            None => (model, Scale::Score),
            Some("probabilities") => (model.probabilities()?, Scale::Probability),
            Some("logits") => {
                let scale = if classification { Scale::Logit } else { Scale::Score };
                (model.scores(), scale)
            }
            Some(node) => {
                let whole = model.output_kind();
                let outputs = model.output_shape().to_vec();
                let model = model.up_to(node)?;
                // A Sigmoid inside a network is a gate; at its end it is a probability.
                let same = model.output_kind() == whole && model.output_shape() == outputs;
                let probabilities = same && whole == OutputKind::Probabilities;
                (model, if probabilities { Scale::Probability } else { Scale::Score })
            }
        };
        Ok(Subject { model, scale, preprocess, warnings })
    }

    fn label_names(&self, outputs: usize) -> Result<Option<Vec<String>>> {
        match (&self.labels, &self.model) {
            (Some(path), _) => read_labels(path, outputs).map(Some),
            (None, None) if outputs == builtin::classes().len() => Ok(Some(builtin::classes())),
            _ => Ok(None),
        }
    }

    fn explainer(
        &self,
        subject: &Subject,
        labels: Option<&[String]>,
        outputs: usize,
    ) -> Result<ImageExplainer> {
        let chosen = if self.class.is_empty() {
            Labels::Top(self.top.min(outputs))
        } else {
            let classes = self.class.iter().map(|class| find_class(class, labels, outputs));
            Labels::Given(classes.collect::<Result<_>>()?)
        };
        let lime = Lime {
            samples: self.samples,
            distance: match self.distance {
                DistanceChoice::Cosine => Distance::Cosine,
                DistanceChoice::Euclidean => Distance::Euclidean,
            },
            kernel_width: self.kernel_width,
            selection: match self.selection {
                SelectionChoice::Auto => Selection::Auto,
                SelectionChoice::None => Selection::None,
                SelectionChoice::Forward => Selection::Forward,
                SelectionChoice::Highest => Selection::HighestWeights,
                SelectionChoice::Lasso => Selection::LassoPath,
            },
            num_features: self.features,
            alpha: self.alpha,
            sampling: match self.sampling {
                SamplingChoice::Independent => Sampling::Independent,
                SamplingChoice::Paired => Sampling::Paired,
                SamplingChoice::Orthogonal => Sampling::Orthogonal,
            },
            control: match self.control {
                ControlChoice::None => Control::None,
                ControlChoice::Logistic => Control::Logistic,
            },
            labels: chosen,
            seed: self.seed,
        };
        Ok(ImageExplainer {
            lime,
            segmentation: self.segments.clone(),
            baseline: self.baseline.clone(),
            preprocess: subject.preprocess,
            masks: match self.mask_resolution {
                MaskAt::Network => MaskResolution::Network,
                MaskAt::Photo => MaskResolution::Photo,
            },
            run: self.run.options(),
        })
    }

    fn report(
        &self,
        result: &ImageExplanation,
        subject: &Subject,
        labels: Option<&[String]>,
        network: &str,
        device: String,
    ) -> ImageReport {
        let name = |output: usize| match labels {
            Some(labels) => labels[output].clone(),
            None => format!("output {output}"),
        };
        let mut report = ImageReport::new(result, network, device, subject.scale, &name);
        report.settings = self.settings(subject);
        if let Some(shared) = result.sharing {
            let kept = shared.macs as f64 / shared.dense_macs.max(1) as f64;
            let what = format!("first {} steps, {kept:.2} of all multiply-adds are done", shared.steps);
            report.settings.push(("shared between samples".into(), what));
        }
        report.command = self.command(subject);
        report.warnings.extend(subject.warnings.iter().cloned());
        if result.segments < FEW_SEGMENTS {
            report.warnings.push(format!(
                "Only {} segments: the map is coarse. Choose finer ones with --segments.",
                result.segments
            ));
        }
        report
    }

    /// What decides the result, as name and value.
    fn settings(&self, subject: &Subject) -> Vec<(String, String)> {
        let lower = |value: String| value.to_lowercase();
        let explained = match (self.explain.as_deref(), subject.scale) {
            (Some(what), _) => what.to_owned(),
            (None, Scale::Probability) => "probabilities".into(),
            (None, Scale::Logit) => "logits".into(),
            (None, Scale::Score) => "scores".into(),
        };
        [
            ("explain", explained),
            ("preprocess", subject.preprocess.to_string()),
            ("segments", self.segments.to_string()),
            ("baseline", self.baseline.to_string()),
            ("mask resolution", lower(format!("{:?}", self.mask_resolution))),
            ("samples", self.samples.to_string()),
            ("sampling", lower(format!("{:?}", self.sampling))),
            ("control", lower(format!("{:?}", self.control))),
            ("distance", lower(format!("{:?}", self.distance))),
            ("kernel width", self.kernel_width.to_string()),
            ("selection", lower(format!("{:?}", self.selection))),
            ("features", self.features.to_string()),
            ("alpha", self.alpha.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// The command that repeats the run.
    fn command(&self, subject: &Subject) -> String {
        let mut words = vec!["whybox image".to_owned()];
        let mut option = |name: &str, value: String| words.push(format!("--{name} {value}"));
        if let Some(path) = &self.model {
            option("model", quoted(path));
        }
        if self.model.is_some() || self.preprocess.is_some() {
            option("preprocess", subject.preprocess.to_string());
        }
        if let Some(path) = &self.labels {
            option("labels", quoted(path));
        }
        if self.task == Task::Regression {
            option("task", "regression".into());
        }
        if let Some(what) = &self.explain {
            option("explain", quoted(what.as_ref()));
        }
        option("samples", self.samples.to_string());
        option("segments", quoted(self.segments.to_string().as_ref()));
        option("baseline", quoted(self.baseline.to_string().as_ref()));
        for class in &self.class {
            option("class", quoted(class.as_ref()));
        }
        if self.class.is_empty() {
            option("top", self.top.to_string());
        }
        let lower = |value: String| value.to_lowercase();
        if self.mask_resolution != MaskAt::Network {
            option("mask-resolution", "photo".into());
        }
        if self.distance != DistanceChoice::Cosine {
            option("distance", "euclidean".into());
        }
        if self.kernel_width != 0.25 {
            option("kernel-width", self.kernel_width.to_string());
        }
        if self.selection != SelectionChoice::Auto {
            option("selection", lower(format!("{:?}", self.selection)));
        }
        if self.features != 100_000 {
            option("features", self.features.to_string());
        }
        if self.alpha != 1.0 {
            option("alpha", self.alpha.to_string());
        }
        if self.control != ControlChoice::Logistic {
            option("control", "none".into());
        }
        if self.sampling != SamplingChoice::Orthogonal {
            option("sampling", format!("{:?}", self.sampling).to_lowercase());
        }
        option("seed", self.seed.to_string());
        if self.run.device != DeviceChoice::Best {
            option("device", lower(format!("{:?}", self.run.device)));
        }
        if let Some(bytes) = self.run.memory {
            option("memory", bytes.to_string());
        }
        if let Some(photo) = &self.photo {
            words.insert(1, quoted(photo));
        }
        words.join(" ")
    }
}
