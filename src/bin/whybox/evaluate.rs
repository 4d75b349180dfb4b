//! `whybox evaluate`

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ndarray::Array2;
use whybox::evaluate::{Comparison, Faithfulness, Judgement, Metric, Scores, Sensitivity};
use whybox::explain::Game;
use whybox::perturb::Coalitions;
use whybox::perturb::picture::{Baseline, Preprocess};
use whybox::perturb::segment::Segmentation;
use whybox::report::{EvaluatedInput, Evaluation};
use whybox::table::{BackgroundChoice, RowChoice};
use whybox::{Error, Result};

use crate::evaluate_methods::Method;
use crate::help;
use crate::input::{RunArgs, default_out, find_class, quoted};
use crate::interrupt::Interrupt;
use crate::lime::{OutputArgs, Task, at_least_one, at_least_two, run_words};
use crate::output::{colour, say, width};
use crate::progress::Bar;
use crate::table::MissingChoice;
use crate::{evaluate_photos, evaluate_table};

const EXAMPLES: &str = "\
Examples:
  whybox evaluate
  whybox evaluate photos --model net.onnx --preprocess imagenet --masks masks
  whybox evaluate people.csv --model net.onnx --target income --rows 0-49
  whybox evaluate --rows 0-4 --methods lime,shap,random --metrics deletion,faithfulness";

#[derive(Debug, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
pub struct EvaluateArgs {
    /// Photos, folders of photos, or one CSV file [default: the built-in photo]
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// The network's ONNX file [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// lime, shap, permutation, sampling, partition, exact, random (the control)
    #[arg(
        long,
        value_enum,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "lime,shap,permutation,partition,random",
        hide_possible_values = true
    )]
    pub methods: Vec<Method>,
    /// deletion, insertion, faithfulness, infidelity, sensitivity, gini, entropy, randomised, with --masks pointing and mass
    /// [default: all that apply]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub metrics: Vec<Metric>,
    /// Evaluations of each explanation, but for exact
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_two)]
    pub samples: usize,
    /// Seed of all random draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Names of the network's outputs, one a line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// What the outputs are: classification or regression
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        default_value = "classification",
        hide_possible_values = true
    )]
    pub task: Task,
    /// probabilities, logits, or a node's name [default: probabilities]
    #[arg(long, value_name = "WHAT")]
    pub explain: Option<String>,
    /// Output to explain, by label or number; may be repeated
    #[arg(long, value_name = "OUTPUT", conflicts_with = "top")]
    pub class: Vec<String>,
    /// Explain the K highest outputs of each input
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = at_least_one)]
    pub top: usize,
    /// How the network wants its pictures, as for `whybox image`
    #[arg(long, value_name = "NAME", help_heading = "Photos")]
    pub preprocess: Option<Preprocess>,
    /// How pictures are cut, as for `whybox image`
    #[arg(long, value_name = "ALGO", default_value = "slic:n=70,compactness=10", help_heading = "Photos")]
    pub segments: Segmentation,
    /// What a hidden segment shows, as for `whybox image`
    #[arg(long, value_name = "KIND", default_value = "average", help_heading = "Photos")]
    pub baseline: Baseline,
    /// Masks of the objects, named as the photos; what is not black is inside
    #[arg(long, value_name = "DIR", help_heading = "Photos")]
    pub masks: Option<PathBuf>,
    /// Rows to explain: 3,10-20 or all; alone of the built-in table [default: 0-9]
    #[arg(long, value_name = "ROWS", help_heading = "Tables")]
    pub rows: Option<RowChoice>,
    /// The column that the network predicts: it is no feature
    #[arg(long, value_name = "COLUMN", help_heading = "Tables")]
    pub target: Option<String>,
    /// Columns that the network does not read
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Tables")]
    pub drop: Vec<String>,
    /// How columns become numbers [default: inferred]
    #[arg(long, value_name = "FILE", help_heading = "Tables")]
    pub encoding: Option<PathBuf>,
    /// What stands for a missing cell: error, median, most-frequent
    #[arg(
        long,
        value_enum,
        default_value = "error",
        hide_possible_values = true,
        hide_short_help = true,
        help_heading = "Tables"
    )]
    pub missing: MissingChoice,
    /// What stands for an absent feature: N, all, kmeans:K or FILE [default: 100]
    #[arg(long, value_name = "ROWS", help_heading = "Tables")]
    pub background: Option<BackgroundChoice>,
    #[command(flatten, next_help_heading = "Run and results")]
    pub run: RunArgs,
    /// Folder for the page, the numbers and the curves [default: whybox-out]
    #[arg(long, value_name = "DIR", help_heading = "Run and results")]
    out: Option<PathBuf>,
    /// Print the JSON document alone (files are written only with --out)
    #[arg(long, help_heading = "Run and results")]
    json: bool,
}

/// Between two writes of unfinished results, at least.
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(args: &EvaluateArgs) -> Result<()> {
    let table = args.is_table();
    args.check(table)?;
    let interrupt = Interrupt::listen()?;
    let bar = Bar::new(0);
    bar.stage("loading");
    let metrics = args.metrics();
    let methods: Vec<String> = args.methods.iter().map(|method| method.name()).collect();
    let mut work = Work {
        args,
        interrupt,
        comparison: Comparison {
            metrics: metrics.clone(),
            faithfulness: Faithfulness { seed: args.seed, ..Faithfulness::default() },
            ..Comparison::default()
        },
        sensitivity: Sensitivity { seed: args.seed, ..Sensitivity::default() },
        tally: Tally { done: Cell::new(0), bar },
        evaluation: Evaluation {
            seed: args.seed,
            command: args.command(table),
            scores: Scores::new(&metrics, &methods, Some("random")),
            ..Evaluation::default()
        },
        failures: Vec::new(),
        written: Instant::now(),
    };
    work.evaluation.settings = args.settings(table, &work.comparison, &work.sensitivity);
    let start = Instant::now();
    if table { evaluate_table::judge(&mut work) } else { evaluate_photos::judge(&mut work) }?;
    let loading: f64 = work.evaluation.seconds.iter().map(|(_, seconds)| seconds).sum();
    work.evaluation.seconds.push(("judge".into(), start.elapsed().as_secs_f64() - loading));
    work.finish()
}

/// Evaluations of the network so far, and the bar that shows them.
pub struct Tally {
    done: Cell<u64>,
    pub bar: Bar,
}

impl Tally {
    pub fn add(&self, evaluations: usize) {
        self.done.set(self.done.get() + evaluations as u64);
        self.bar.at(self.done.get() as usize);
    }
}

/// A game whose evaluations are counted: so many of the network for each coalition.
pub struct Counted<'a, G> {
    pub game: G,
    pub each: usize,
    pub tally: &'a Tally,
}

impl<G: Game> Game for Counted<'_, G> {
    fn players(&self) -> usize {
        self.game.players()
    }

    fn outputs(&self) -> usize {
        self.game.outputs()
    }

    fn varying(&self) -> Vec<bool> {
        self.game.varying()
    }

    fn work(&self) -> f64 {
        self.game.work()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let values = self.game.values(coalitions)?;
        self.tally.add(coalitions.rows() * self.each);
        Ok(values)
    }
}

/// A comparison in the making.
pub struct Work<'a> {
    pub args: &'a EvaluateArgs,
    pub interrupt: Interrupt,
    pub comparison: Comparison,
    pub sensitivity: Sensitivity,
    pub tally: Tally,
    pub evaluation: Evaluation,
    failures: Vec<(String, Error)>,
    written: Instant,
}

/// An explained output of an input, with what its explanations are worth.
pub type Found = (String, EvaluatedInput, Vec<Judgement>);

impl Work<'_> {
    pub fn wants(&self, metric: Metric) -> bool {
        self.comparison.metrics.contains(&metric)
    }

    /// Tells the bar how many evaluations `inputs` will take, of which each coalition takes `each`.
    pub fn expect(&self, inputs: usize, each: usize) {
        let again = |metric, times| if self.wants(metric) { times } else { 0 };
        let times = 1 + again(Metric::Sensitivity, self.sensitivity.samples) + again(Metric::Randomised, 1);
        let methods = self.args.methods.iter().filter(|method| **method != Method::Random).count();
        self.tally.bar.expect(inputs * times * methods * self.args.samples * each);
    }

    /// Takes what was found for an input, or why it failed; an interruption ends the run.
    pub fn take(&mut self, input: &str, found: Result<Vec<Found>>) -> Result<()> {
        match found {
            Ok(found) => {
                for (name, facts, judgements) in found {
                    self.evaluation.push(name, facts, &judgements)?;
                }
            }
            Err(error @ Error::Interrupted(_)) => return Err(error),
            Err(error) => self.failures.push((input.to_owned(), error)),
        }
        // What Ctrl-C keeps.
        if self.written.elapsed() > PAUSE
            && let Some(folder) = self.folder()
        {
            self.write(&folder)?;
            self.written = Instant::now();
        }
        Ok(())
    }

    fn folder(&self) -> Option<PathBuf> {
        self.args.out.clone().or_else(|| (!self.args.json).then(default_out))
    }

    fn write(&mut self, folder: &Path) -> Result<Vec<PathBuf>> {
        self.evaluation.evaluations = self.tally.done.get();
        if self.evaluation.inputs.is_empty() {
            return Ok(Vec::new());
        }
        let _whole = self.interrupt.whole()?;
        self.evaluation.write(folder)
    }

    /// Writes the files, prints the comparison, and reports the inputs that failed.
    fn finish(mut self) -> Result<()> {
        let all = self.evaluation.inputs.len() + self.failures.len();
        if !self.failures.is_empty() {
            let names: Vec<&str> = self.failures.iter().map(|(name, _)| name.as_str()).collect();
            self.evaluation.warnings.push(format!("Could not be judged: {}.", names.join(", ")));
        }
        let files = match self.folder() {
            Some(folder) => self.write(&folder)?,
            None => Vec::new(),
        };
        self.evaluation.evaluations = self.tally.done.get();
        if !self.evaluation.inputs.is_empty() {
            let text = if self.args.json {
                self.evaluation.to_json()?
            } else {
                let wrote = files.iter().map(|file| format!("wrote {}\n", file.display()));
                format!("{}\n{}", self.evaluation.terminal(colour(), width()), wrote.collect::<String>())
            };
            self.tally.bar.aside(|| say(&text))?;
        }
        let Some((first, error)) = self.failures.first() else { return Ok(()) };
        if all == 1 {
            return Err(error.clone());
        }
        let list = self.failures.iter().map(|(name, error)| format!("\n    {name}: {}", error.detail().what));
        Err(Error::parameter(
            format!("{} inputs could not be judged:{}", self.failures.len(), list.collect::<String>()),
            first.clone(),
            error.detail().remedy.clone(),
        ))
    }
}

impl EvaluateArgs {
    /// Whether rows of a table are judged, not photos.
    fn is_table(&self) -> bool {
        let csv = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        self.inputs.iter().any(csv) || (self.inputs.is_empty() && self.table_option().is_some())
    }

    /// An option that only a table has.
    fn table_option(&self) -> Option<&'static str> {
        [
            ("--rows", self.rows.is_some()),
            ("--target", self.target.is_some()),
            ("--drop", !self.drop.is_empty()),
            ("--encoding", self.encoding.is_some()),
            ("--background", self.background.is_some()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }

    /// Refuses what does not fit together.
    fn check(&self, table: bool) -> Result<()> {
        let refuse = |what: &str, at: &str, help: &str| Err(Error::parameter(what, at, help));
        if table && self.inputs.len() > 1 {
            return refuse("a table is judged alone", "whybox evaluate", "give one CSV file, or photos");
        }
        if let Some(option) = self.table_option().filter(|_| !table) {
            return refuse("this option is for tables", option, "give a CSV file, or leave the option out");
        }
        if table && (self.masks.is_some() || self.preprocess.is_some()) {
            let option = if self.masks.is_some() { "--masks" } else { "--preprocess" };
            return refuse("this option is for photos", option, "leave it out for a table");
        }
        let placed = |metric: &Metric| matches!(metric, Metric::Pointing | Metric::Mass);
        if self.masks.is_none() && self.metrics.iter().any(placed) {
            return refuse(
                "pointing and mass need to know where the object is",
                "--metrics",
                "name a folder of masks with --masks",
            );
        }
        Ok(())
    }

    /// The metrics that apply, each once.
    fn metrics(&self) -> Vec<Metric> {
        let masks = self.masks.is_some();
        let applies = |metric: &Metric| masks || !matches!(metric, Metric::Pointing | Metric::Mass);
        let wanted = |metric: &Metric| self.metrics.is_empty() || self.metrics.contains(metric);
        Metric::ALL.into_iter().filter(|metric| applies(metric) && wanted(metric)).collect()
    }

    /// The outputs' options, as other commands have them.
    pub fn outputs(&self) -> OutputArgs {
        OutputArgs {
            labels: self.labels.clone(),
            task: self.task,
            explain: self.explain.clone(),
            class: self.class.clone(),
            top: self.top,
        }
    }

    /// The outputs that are explained for an input: those named, or its highest.
    pub fn chosen(&self, names: &[String], prediction: &[f64]) -> Result<Vec<usize>> {
        let mut chosen: Vec<usize> = Vec::new();
        for class in &self.class {
            let output = find_class(class, Some(names), names.len())?;
            if !chosen.contains(&output) {
                chosen.push(output);
            }
        }
        if self.class.is_empty() {
            chosen = whybox::explain::Labels::Top(self.top).choose(prediction);
        }
        Ok(chosen)
    }

    /// What decides the result, as name and value.
    fn settings(
        &self,
        table: bool,
        comparison: &Comparison,
        sensitivity: &Sensitivity,
    ) -> Vec<(String, String)> {
        let names = |list: Vec<String>| list.join(", ");
        let outputs = if self.class.is_empty() { format!("top {}", self.top) } else { self.class.join(", ") };
        let mut settings = vec![
            ("methods", names(self.methods.iter().map(|method| method.name()).collect())),
            ("metrics", names(comparison.metrics.iter().map(Metric::to_string).collect())),
            ("samples of each explanation", self.samples.to_string()),
            ("explain", self.explain.clone().unwrap_or_else(|| "probabilities".into())),
            ("outputs", outputs),
            ("steps of a curve at most", comparison.steps.to_string()),
            (
                "random sets",
                format!(
                    "{}, {} of the players absent",
                    comparison.faithfulness.runs, comparison.faithfulness.subset
                ),
            ),
        ];
        if self.task == Task::Regression && self.explain.is_none() {
            settings[3].1 = "values".into();
        }
        let ball = if table { "standard deviations of a column" } else { "of a pixel's range" };
        settings
            .push(("neighbours", format!("{}, within {} {ball}", sensitivity.samples, sensitivity.radius)));
        if table {
            settings.push(("background", self.background().to_string()));
        } else {
            settings.push(("segments", self.segments.to_string()));
            settings.push(("baseline", self.baseline.to_string()));
        }
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub fn background(&self) -> BackgroundChoice {
        self.background.clone().unwrap_or(BackgroundChoice::Sample(100))
    }

    /// The command that repeats the run.
    fn command(&self, table: bool) -> String {
        let mut words = vec!["whybox evaluate".to_owned()];
        words.extend(self.inputs.iter().map(|path| quoted(path)));
        let mut option = |name: &str, value: String| words.push(format!("--{name} {value}"));
        let paths = [("model", &self.model), ("masks", &self.masks), ("encoding", &self.encoding)];
        for (name, path) in paths {
            if let Some(path) = path {
                option(name, quoted(path));
            }
        }
        if let Some(preprocess) = &self.preprocess {
            option("preprocess", preprocess.to_string());
        }
        if table {
            if let Some(target) = &self.target {
                option("target", quoted(target.as_ref()));
            }
            if !self.drop.is_empty() {
                option("drop", quoted(self.drop.join(",").as_ref()));
            }
            if let Some(rows) = &self.rows {
                option("rows", rows.to_string());
            }
            if self.missing != MissingChoice::Error {
                let missing = self.missing.to_possible_value();
                option("missing", missing.map_or(String::new(), |value| value.get_name().to_owned()));
            }
            // With nothing else said, this makes it a table.
            option("background", quoted(self.background().to_string().as_ref()));
        } else {
            option("segments", quoted(self.segments.to_string().as_ref()));
            option("baseline", quoted(self.baseline.to_string().as_ref()));
        }
        let methods: Vec<String> = self.methods.iter().map(|method| method.name()).collect();
        option("methods", methods.join(","));
        if !self.metrics.is_empty() {
            let metrics: Vec<&str> = self.metrics.iter().map(|metric| metric.name()).collect();
            option("metrics", metrics.join(","));
        }
        option("samples", self.samples.to_string());
        option("seed", self.seed.to_string());
        self.outputs().words(&mut words);
        run_words(&self.run, &mut words);
        words.join(" ")
    }
}
