//! What `whybox table` and `whybox text` share: which outputs are explained, on which scale, LIME's settings, and the files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ndarray::ArrayView2;
use whybox::explain::Lime;
use whybox::model::{Model, OutputKind};
use whybox::report::document::Explained;
use whybox::report::{Document, rows_terminal};
use whybox::solve::{Distance, Selection};
use whybox::{Error, Result};

use crate::input::{DeviceChoice, PrecisionChoice, RunArgs, default_out, find_class, quoted, read_labels};
use crate::method::Method;
use crate::output::{colour, say, width};
use crate::precision::checked;

/// Which outputs are explained.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Names of the network's outputs, one a line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// What the outputs are: classification applies Softmax (for one output Sigmoid) if the network does not
    #[arg(
        long,
        value_enum,
        default_value = "classification",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub task: Task,
    /// What is explained: probabilities, logits, or a node's name [default: logits for Shapley values without a logit link,
    /// probabilities for LIME]
    #[arg(long, value_name = "WHAT", hide_short_help = true)]
    pub explain: Option<String>,
    /// Output to explain, by label or number; may be repeated
    #[arg(long, value_name = "NAME_OR_INDEX", conflicts_with = "top")]
    pub class: Vec<String>,
    /// Explain the K highest outputs
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = at_least_one)]
    pub top: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    Classification,
    Regression,
}

impl OutputArgs {
    /// The network as it is explained, and the unit of its outputs; `logits` says what a classification's are by default.
    pub fn apply(&self, model: Model, logits: bool) -> Result<(Model, Explained)> {
        let classification = self.task == Task::Classification;
        let default = if logits { "logits" } else { "probabilities" };
        match self.explain.as_deref() {
            None if !classification => Ok((model, Explained::Value)),
            what => match what.unwrap_or(default) {
                "probabilities" => Ok((model.probabilities()?, Explained::Probability)),
                "logits" if classification => Ok((model.scores(), Explained::Logit)),
                "logits" => Ok((model.scores(), Explained::Value)),
                node => {
                    let model = model.up_to(node)?;
                    let probabilities = model.output_kind() == OutputKind::Probabilities;
                    Ok((model, if probabilities { Explained::Probability } else { Explained::Score }))
                }
            },
        }
    }

    /// Names of the outputs.
    pub fn names(&self, outputs: usize, known: Option<Vec<String>>) -> Result<Vec<String>> {
        match (&self.labels, known) {
            (Some(path), _) => read_labels(path, outputs),
            (None, Some(names)) if names.len() == outputs => Ok(names),
            _ => Ok((0..outputs).map(|output| format!("output {output}")).collect()),
        }
    }

    /// The outputs that are explained, the same for all instances: those named, or the highest in the mean of the
    /// `predictions` `[instances, outputs]`.
    pub fn chosen(&self, names: &[String], predictions: ArrayView2<f32>) -> Result<Vec<usize>> {
        if !self.class.is_empty() {
            let mut chosen = Vec::new();
            for class in &self.class {
                let output = find_class(class, Some(names), names.len())?;
                if !chosen.contains(&output) {
                    chosen.push(output);
                }
            }
            return Ok(chosen);
        }
        let sums: Vec<f64> =
            predictions.columns().into_iter().map(|all| all.iter().map(|&x| f64::from(x)).sum()).collect();
        let mut order: Vec<usize> = (0..sums.len()).collect();
        order.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]));
        order.truncate(self.top);
        Ok(order)
    }

    /// Words of the command that repeats the run.
    pub fn words(&self, words: &mut Vec<String>) {
        let mut option = |name: &str, value: String| words.push(format!("--{name} {value}"));
        if let Some(path) = &self.labels {
            option("labels", quoted(path));
        }
        if self.task == Task::Regression {
            option("task", "regression".into());
        }
        if let Some(what) = &self.explain {
            option("explain", quoted(what.as_ref()));
        }
        for class in &self.class {
            option("class", quoted(class.as_ref()));
        }
        if self.class.is_empty() && self.top != 1 {
            option("top", self.top.to_string());
        }
    }
}

/// LIME's settings.
#[derive(Debug, Clone, Args)]
pub struct LimeArgs {
    /// Evaluations of each instance [default: 5000 for LIME, else as many as the tolerance takes]
    ///
    /// Neighbours for LIME [default: 5000], coalitions for Shapley values [default: as many as the tolerance takes, at most
    /// 50000, fewer for many rows]
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    pub samples: Option<usize>,
    /// Repeat LIME N times with other seeds, and say how far the runs agree
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    pub stability: Option<usize>,
    /// Width of LIME's kernel (0.75 √features for tables, 0.25 for texts)
    #[arg(long, value_name = "WIDTH", allow_negative_numbers = true, hide_short_help = true)]
    pub kernel_width: Option<f64>,
    /// How features are selected
    #[arg(long, value_enum, default_value = "auto", hide_short_help = true)]
    pub selection: SelectionChoice,
    /// Features in the surrogate at most
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = at_least_one, hide_short_help = true)]
    pub features: usize,
    /// Penalty of the ridge regression
    #[arg(
        long,
        value_name = "ALPHA",
        default_value_t = 1.0,
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub alpha: f64,
    /// Seed of all random draws
    #[arg(long, value_name = "S", default_value_t = 0, hide_short_help = true)]
    pub seed: u64,
}

/// Kernel widths whose fit `--stability` reports, as multiples of the run's own.
pub const WIDTHS: [f64; 3] = [0.5, 1.0, 2.0];

impl LimeArgs {
    /// Evaluations of each instance.
    pub fn lime_samples(&self) -> usize {
        self.samples.unwrap_or(Lime::text().samples)
    }

    /// The same with as many evaluations as a check of the precision takes; all coalitions stay all.
    pub fn checked(&self, method: Method, players: usize) -> Self {
        let samples = match method {
            Method::Exact => self.samples,
            Method::Lime => Some(checked(players, Some(self.lime_samples()))),
            _ => Some(checked(players, self.samples)),
        };
        LimeArgs { samples, stability: None, ..self.clone() }
    }

    /// Settings as name and value.
    pub fn settings(&self) -> Vec<(String, String)> {
        let width = self.kernel_width.map_or("default".to_owned(), |width| width.to_string());
        [
            ("samples", self.lime_samples().to_string()),
            ("kernel width", width),
            ("selection", format!("{:?}", self.selection).to_lowercase()),
            ("features", self.features.to_string()),
            ("alpha", self.alpha.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Words of the command that repeats the run.
    pub fn words(&self, words: &mut Vec<String>) {
        words.extend(self.samples.map(|samples| format!("--samples {samples}")));
        words.extend(self.stability.map(|runs| format!("--stability {runs}")));
        if let Some(width) = self.kernel_width {
            words.push(format!("--kernel-width {width}"));
        }
        if self.selection != SelectionChoice::Auto {
            words.push(format!("--selection {}", format!("{:?}", self.selection).to_lowercase()));
        }
        if self.features != 10 {
            words.push(format!("--features {}", self.features));
        }
        if self.alpha != 1.0 {
            words.push(format!("--alpha {}", self.alpha));
        }
        words.push(format!("--seed {}", self.seed));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SelectionChoice {
    Auto,
    None,
    Forward,
    Highest,
    Lasso,
}

impl From<SelectionChoice> for Selection {
    fn from(choice: SelectionChoice) -> Self {
        match choice {
            SelectionChoice::Auto => Selection::Auto,
            SelectionChoice::None => Selection::None,
            SelectionChoice::Forward => Selection::Forward,
            SelectionChoice::Highest => Selection::HighestWeights,
            SelectionChoice::Lasso => Selection::LassoPath,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DistanceChoice {
    Cosine,
    Euclidean,
    Manhattan,
    Chebyshev,
}

impl From<DistanceChoice> for Distance {
    fn from(choice: DistanceChoice) -> Self {
        match choice {
            DistanceChoice::Cosine => Distance::Cosine,
            DistanceChoice::Euclidean => Distance::Euclidean,
            DistanceChoice::Manhattan => Distance::Manhattan,
            DistanceChoice::Chebyshev => Distance::Chebyshev,
        }
    }
}

/// Where the results go.
#[derive(Debug, Clone, Args)]
pub struct OutArgs {
    /// Folder for explanation.html, .svg, .png, .json, .csv and .npz [default: whybox-out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the JSON document alone (files are written only with --out)
    #[arg(long)]
    pub json: bool,
}

impl OutArgs {
    /// Writes the files, with `extra` ones by name and content, and prints the report.
    pub fn finish(&self, report: &Document, extra: &[(&str, String)]) -> Result<()> {
        let folder = self.out.clone().or_else(|| (!self.json).then(default_out));
        let mut files = Vec::new();
        if let Some(folder) = &folder {
            files = report.write(folder)?;
            for (name, content) in extra {
                files.push(whybox::report::write_atomically(folder, name, content.as_bytes())?);
            }
        }
        if self.json {
            return say(&report.to_json()?);
        }
        let mut text = rows_terminal(report, colour(), width());
        text.push('\n');
        for file in &files {
            text += &format!("wrote {}\n", file.display());
        }
        say(&text)
    }
}

/// Words of the command for device, precision and memory.
pub fn run_words(run: &RunArgs, words: &mut Vec<String>) {
    if run.device != DeviceChoice::Best {
        words.push(format!("--device {}", format!("{:?}", run.device).to_lowercase()));
    }
    if run.precision == PrecisionChoice::F16 {
        words.push("--precision f16".into());
    }
    if let Some(bytes) = run.memory {
        words.push(format!("--memory {bytes}"));
    }
}

/// A network is needed beside data of one's own.
pub fn no_model(command: &str) -> Error {
    Error::parameter("no network is given", format!("whybox {command}"), "name its ONNX file with --model")
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(text, 1)
}

pub fn at_least_two(text: &str) -> Result<usize, String> {
    at_least(text, 2)
}

fn at_least(text: &str, least: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("give a whole number of at least {least}")),
    }
}
