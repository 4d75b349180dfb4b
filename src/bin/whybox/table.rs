//! `whybox table`

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use clap::{Args, ValueEnum};
use ndarray::{Array2, Axis};
use whybox::explain::{Explanation, Terms, submodular_pick};
use whybox::model::Model;
use whybox::perturb::{Around, CellSampling, Discretiser, Neighbourhood, Rows};
use whybox::report::Document;
use whybox::report::document::{Explained, Kind};
use whybox::table::{BackgroundChoice, Encoding, Missing, RawTable, RowChoice};
use whybox::{Error, Result, builtin};

use crate::help;
use crate::input::{RunArgs, quoted};
use crate::interrupt::{Interrupt, locked};
use crate::lime::{DistanceChoice, LimeArgs, OutArgs, OutputArgs, at_least_one, no_model, run_words};
use crate::method::{LinkChoice, Method, ShapleyArgs};
use crate::precision::{self, CHECKED_ROWS};
use crate::progress::Bar;
use crate::table_methods::Asked;

const EXAMPLES: &str = "\
Examples:
  whybox table
  whybox table people.csv --model net.onnx --target income --drop id,name --rows 3,10-20
  whybox table people.csv --model net.onnx --target income --rows all --background kmeans:50
  whybox table people.csv --model net.onnx --method lime --stability 10 --rows all --pick 5";

#[derive(Debug, Clone, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
pub struct TableArgs {
    /// A CSV file with a header line (the built-in table if left out)
    #[arg(value_name = "DATA.csv")]
    data: Option<PathBuf>,
    /// The network's ONNX file (the built-in one if left out)
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    /// The column that the network predicts: it is no feature
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Columns that the network does not read
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    drop: Vec<String>,
    /// Rows to explain, counted from 0: 3,10-20 or all
    #[arg(long, value_name = "ROWS", default_value = "0")]
    rows: RowChoice,
    /// How columns become numbers (docs/tables.md; inferred if left out, and written to encoding.toml)
    #[arg(long, value_name = "FILE")]
    encoding: Option<PathBuf>,
    /// What stands for a missing cell, where the encoding is inferred
    #[arg(long, value_enum, default_value = "error", hide_short_help = true)]
    missing: MissingChoice,
    /// The method
    #[arg(long, value_enum, default_value = "shap")]
    pub method: Method,
    /// What stands for an absent feature: N rows of the table, all, kmeans:K, or a file's rows [default: 100]
    #[arg(long, value_name = "WHICH")]
    pub background: Option<BackgroundChoice>,
    /// Features that are one player together (docs/tables.md)
    #[arg(long, value_name = "FILE")]
    pub groups: Option<PathBuf>,
    /// The K rows that together show most (SP-LIME)
    #[arg(long, value_name = "K", value_parser = at_least_one, hide_short_help = true)]
    pick: Option<usize>,
    #[command(flatten, next_help_heading = "Shapley values")]
    pub shapley: ShapleyArgs,
    /// How columns of numbers are cut into bins
    #[arg(
        long,
        value_enum,
        default_value = "quartile",
        alias = "discretiser",
        help_heading = "Evaluations and LIME",
        hide_short_help = true
    )]
    discretizer: DiscretiserChoice,
    /// How cells are drawn
    #[arg(
        long,
        value_enum,
        default_value = "independent",
        help_heading = "Evaluations and LIME",
        hide_short_help = true
    )]
    sampling: SamplingChoice,
    /// Where numbers are drawn around that are not cut into bins
    #[arg(
        long,
        value_enum,
        default_value = "mean",
        help_heading = "Evaluations and LIME",
        hide_short_help = true
    )]
    around: AroundChoice,
    /// Distance of a drawn row from the instance
    #[arg(
        long,
        value_enum,
        default_value = "euclidean",
        help_heading = "Evaluations and LIME",
        hide_short_help = true
    )]
    pub distance: DistanceChoice,
    #[command(flatten, next_help_heading = "What is explained")]
    pub outputs: OutputArgs,
    #[command(flatten, next_help_heading = "Evaluations and LIME")]
    pub lime: LimeArgs,
    #[command(flatten, next_help_heading = "Run and results")]
    pub run: RunArgs,
    #[command(flatten, next_help_heading = "Run and results")]
    out: OutArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MissingChoice {
    Error,
    Median,
    MostFrequent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiscretiserChoice {
    Quartile,
    Decile,
    Entropy,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SamplingChoice {
    Independent,
    Hypercube,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AroundChoice {
    Mean,
    Instance,
}

/// A table's features as text and as numbers.
pub struct Columns {
    pub raw: RawTable,
    pub encoding: Encoding,
    /// `[rows, features]`
    pub codes: Array2<f64>,
}

impl Columns {
    /// The columns that are not `dropped`, for a network that reads rows of `width` numbers.
    pub fn read(
        whole: &RawTable,
        dropped: &[String],
        encoding: Option<&Path>,
        missing: MissingChoice,
        width: usize,
    ) -> Result<Self> {
        let raw = whole.without(dropped)?;
        let encoding = match encoding {
            Some(path) => {
                let encoding = Encoding::read(path)?;
                encoding.check_width(width, &path.display().to_string())?;
                encoding
            }
            None => {
                let missing = match missing {
                    MissingChoice::Error => Missing::Error,
                    MissingChoice::Median => Missing::Median,
                    MissingChoice::MostFrequent => Missing::MostFrequent,
                };
                Encoding::infer(&raw, missing, Some(width))?
            }
        };
        let codes = encoding.codes(&raw)?;
        Ok(Columns { raw, encoding, codes })
    }
}

/// A table as a network reads it.
pub struct Subject {
    pub raw: RawTable,
    pub encoding: Encoding,
    /// `[rows, features]`
    pub codes: Array2<f64>,
    /// A class for each row, where the discretiser needs them and there is a target.
    classes: Option<Vec<usize>>,
    pub model: Model,
    explained: Explained,
    /// The rows that are explained.
    pub rows: Vec<usize>,
}

pub fn run(args: &TableArgs) -> Result<()> {
    args.check()?;
    let interrupt = Interrupt::listen()?;
    let done = explain(args, &interrupt);
    if let Err(Error::Interrupted(_)) = done {
        interrupt.keep();
    }
    done
}

fn explain(args: &TableArgs, interrupt: &Interrupt) -> Result<()> {
    let begin = Instant::now();
    let mut subject = args.subject()?;
    let importing = begin.elapsed().as_secs_f64();
    let bar = Bar::new(0);
    bar.stage("loading");
    let start = Instant::now();
    let network = args.run.device()?.load(&subject.model)?;
    let loading = start.elapsed().as_secs_f64();
    let known = args.data.is_none().then(builtin::table_classes);
    let names = args.outputs.names(network.outputs(), known)?;
    let cells = subject.cells();
    let given = cells.as_slice().unwrap_or_default();
    let predictions =
        network.responses(&Rows::new(given, cells.ncols())?, &args.run.options_until(interrupt))?;
    let outputs = args.outputs.chosen(&names, predictions.view())?;

    let mut document = Document::new(Kind::Table, network.name(), &network.device().name(), Vec::new());
    document.seconds = vec![("import".into(), importing), ("load".into(), loading)];
    document.explained = subject.explained;
    document.command = args.command();
    document.warnings = args.warnings(&subject);
    let extra = match &args.encoding {
        Some(_) => Vec::new(),
        None => vec![("encoding.toml", subject.encoding.to_toml()?)],
    };
    let growing = Arc::new(Mutex::new(document));
    interrupt.on_interruption(args.keep(&growing, extra.clone(), subject.rows.len()));
    let options = args.run.options_until(interrupt);
    let asked = Asked { network: &network, outputs, names: &names, bar: &bar, options };
    match args.method {
        Method::Lime => args.lime(&subject, &asked, &growing)?,
        _ => args.shapley(&subject, &asked, &growing)?,
    }
    let mut document = locked(&growing).clone();
    if let Some(count) = args.pick {
        let all = document.instances.iter().map(|instance| instance.outputs[0].values.clone());
        let values: Vec<f64> = all.flatten().collect();
        let shape = (document.instances.len(), document.features.len());
        let values = Array2::from_shape_vec(shape, values)
            .map_err(|error| Error::parameter(error.to_string(), "--pick", "report this as a bug"))?;
        document.picked = submodular_pick(values.view(), count)?;
    }
    if precision::differs(&network) {
        bar.stage("checking");
        let start = Instant::now();
        subject.rows.truncate(CHECKED_ROWS);
        let check = args.precision_error(&subject, &asked, document.features.len());
        document.precision = precision::found(check, &mut document.warnings)?;
        document.seconds.push(("precision".into(), start.elapsed().as_secs_f64()));
    }
    drop(bar);
    interrupt.finish(|| args.out.finish(&document, &extra))
}

impl Subject {
    /// The explained rows as the network reads them, `[rows, width]`.
    pub fn cells(&self) -> Array2<f32> {
        self.encoding.expand(self.codes.select(Axis(0), &self.rows).view()).mapv(|x| x as f32)
    }
}

impl TableArgs {
    /// Refuses options that the method does not know.
    fn check(&self) -> Result<()> {
        self.shapley.check(self.method)?;
        let refuse =
            |at: &str, remedy: &str| Err(Error::parameter("this option does not fit the method", at, remedy));
        match self.method {
            Method::Lime if self.groups.is_some() => {
                refuse("--groups", "LIME perturbs single columns: choose --method shap")
            }
            Method::Lime if self.background.is_some() => {
                refuse("--background", "LIME draws its own neighbours: choose --method shap")
            }
            Method::Lime => Ok(()),
            _ if self.lime.stability.is_some() => {
                refuse("--stability", "Shapley values have standard errors; it is for --method lime")
            }
            _ => Ok(()),
        }
    }

    /// The same with as many evaluations as a check of the precision takes.
    pub fn checked(&self, players: usize) -> Self {
        let lime = self.lime.checked(self.method, players);
        TableArgs { lime, shapley: self.shapley.checked(), ..self.clone() }
    }

    fn subject(&self) -> Result<Subject> {
        let (whole, target) = match &self.data {
            Some(path) => (RawTable::read(path)?, self.target.clone()),
            None => (builtin::table()?, Some(self.target.clone().unwrap_or(builtin::TABLE_TARGET.into()))),
        };
        let model = match (&self.model, &self.data) {
            (Some(path), _) => Model::from_onnx(path)?,
            (None, None) => builtin::table_network()?,
            (None, Some(_)) => return Err(no_model("table")),
        };
        let logits = self.method != Method::Lime && self.shapley.link == LinkChoice::Identity;
        let (model, explained) = self.outputs.apply(model, logits)?;
        let wanted = self.method == Method::Lime && self.discretizer == DiscretiserChoice::Entropy;
        let target_classes = target.as_ref().filter(|_| wanted).map(|target| classes(&whole, target));
        let classes = target_classes.transpose()?;
        let dropped: Vec<String> = self.drop.iter().chain(&target).cloned().collect();
        let width: usize = model.input_shape().iter().product();
        let columns = Columns::read(&whole, &dropped, self.encoding.as_deref(), self.missing, width)?;
        let Columns { raw, encoding, codes } = columns;
        let rows = self.rows.rows(raw.rows())?;
        Ok(Subject { raw, encoding, codes, classes, model, explained, rows })
    }

    pub fn neighbourhood(&self, subject: &Subject) -> Result<Neighbourhood> {
        let categorical: Vec<bool> =
            subject.encoding.columns().iter().map(|column| column.is_categorical()).collect();
        let discretiser = match self.discretizer {
            DiscretiserChoice::Quartile => Discretiser::Quartile,
            DiscretiserChoice::Decile => Discretiser::Decile,
            DiscretiserChoice::Entropy => Discretiser::Entropy,
            DiscretiserChoice::None => Discretiser::None,
        };
        let sampling = match self.sampling {
            SamplingChoice::Independent => CellSampling::Independent,
            SamplingChoice::Hypercube => CellSampling::LatinHypercube,
        };
        let around = match self.around {
            AroundChoice::Mean => Around::Mean,
            AroundChoice::Instance => Around::Instance,
        };
        let classes = subject.classes.as_deref();
        Ok(Neighbourhood::new(subject.codes.view(), &categorical, discretiser, classes)?
            .with(sampling, around))
    }

    fn warnings(&self, subject: &Subject) -> Vec<String> {
        let constant = |feature: &usize| {
            let column = subject.codes.column(*feature);
            column.iter().all(|value| *value == column[0])
        };
        let names: Vec<&str> = (0..subject.encoding.features())
            .filter(constant)
            .map(|feature| subject.encoding.columns()[feature].name.as_str())
            .collect();
        match names[..] {
            [] => Vec::new(),
            _ => vec![format!(
                "The same in every row, so that nothing can be said of them: {}.",
                names.join(", ")
            )],
        }
    }

    /// Writes the rows that are whole by the time of an interruption.
    fn keep(
        &self,
        growing: &Arc<Mutex<Document>>,
        extra: Vec<(&'static str, String)>,
        rows: usize,
    ) -> impl FnOnce() -> Result<()> + Send + use<> {
        let (growing, out) = (growing.clone(), self.out.clone());
        move || {
            let mut document = locked(&growing).clone();
            if document.instances.is_empty() {
                return Ok(());
            }
            let whole = document.instances.len();
            document.warnings.push(format!("The run was interrupted: {whole} of {rows} rows are explained."));
            out.finish(&document, &extra)
        }
    }

    /// A row, or a block of rows, is explained: what it cost, and the settings, which depend on the method that was taken and, for
    /// Kernel SHAP, on what it `fitted`.
    pub fn account(&self, document: &mut Document, explanation: &Explanation, fitted: Option<Terms>) {
        document.account(explanation);
        document.seed = self.lime.seed;
        document.settings = self.settings(fitted);
    }

    pub fn background(&self) -> BackgroundChoice {
        self.background.clone().unwrap_or(BackgroundChoice::Sample(100))
    }

    /// What decides the result, as name and value.
    fn settings(&self, fitted: Option<Terms>) -> Vec<(String, String)> {
        let lower = |value: String| value.to_lowercase();
        if self.method != Method::Lime {
            let mut settings = vec![("background".to_owned(), self.background().to_string())];
            settings.extend(self.groups.iter().map(|path| ("groups".to_owned(), path.display().to_string())));
            settings.extend(self.shapley.settings(self.method, self.lime.samples, fitted));
            return settings;
        }
        let mut settings: Vec<(String, String)> = [
            ("discretizer", lower(format!("{:?}", self.discretizer))),
            ("sampling", lower(format!("{:?}", self.sampling))),
            ("around", lower(format!("{:?}", self.around))),
            ("distance", lower(format!("{:?}", self.distance))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        settings.extend(self.lime.settings());
        settings
    }

    /// The command that repeats the run.
    fn command(&self) -> String {
        let mut words = vec!["whybox table".to_owned()];
        words.extend(self.data.as_ref().map(|path| quoted(path)));
        let mut option = |name: &str, value: String| words.push(format!("--{name} {value}"));
        if let Some(path) = &self.model {
            option("model", quoted(path));
        }
        if let Some(target) = &self.target {
            option("target", quoted(target.as_ref()));
        }
        if !self.drop.is_empty() {
            option("drop", quoted(self.drop.join(",").as_ref()));
        }
        option("rows", self.rows.to_string());
        if let Some(path) = &self.encoding {
            option("encoding", quoted(path));
        }
        let value = |choice: &dyn ValueName| choice.name();
        if let Some(background) = &self.background {
            option("background", quoted(background.to_string().as_ref()));
        }
        if let Some(path) = &self.groups {
            option("groups", quoted(path));
        }
        if let Some(count) = self.pick {
            option("pick", count.to_string());
        }
        let choices: [(&str, &dyn ValueName, &dyn ValueName); 6] = [
            ("method", &self.method, &Method::Shap),
            ("missing", &self.missing, &MissingChoice::Error),
            ("discretizer", &self.discretizer, &DiscretiserChoice::Quartile),
            ("sampling", &self.sampling, &SamplingChoice::Independent),
            ("around", &self.around, &AroundChoice::Mean),
            ("distance", &self.distance, &DistanceChoice::Euclidean),
        ];
        for (name, choice, default) in choices {
            if value(choice) != value(default) {
                option(name, value(choice));
            }
        }
        self.outputs.words(&mut words);
        self.shapley.words(&mut words);
        self.lime.words(&mut words);
        run_words(&self.run, &mut words);
        words.join(" ")
    }
}

/// The word by which an option's value is asked for.
trait ValueName {
    fn name(&self) -> String;
}

impl<T: ValueEnum> ValueName for T {
    fn name(&self) -> String {
        // None of these values is skipped.
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }
}

/// The number of each row's class: its place among the column's distinct values, sorted.
fn classes(table: &RawTable, target: &str) -> Result<Vec<usize>> {
    let column = table.find(target)?;
    let mut values: Vec<&str> = table.column(column).collect();
    values.sort_unstable();
    values.dedup();
    if values.len() < 2 {
        return Err(Error::parameter(
            format!("the column {target:?} holds one value only"),
            table.name(),
            "name the column of classes with --target, or leave this one out with --drop",
        ));
    }
    Ok(table.column(column).map(|cell| values.partition_point(|value| *value < cell)).collect())
}
