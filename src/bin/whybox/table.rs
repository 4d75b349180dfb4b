//! `whybox table`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ndarray::{Array2, ArrayView2};
use whybox::explain::LimeTabular;
use whybox::model::Model;
use whybox::perturb::{Around, CellSampling, Discretiser, Neighbourhood, Rows};
use whybox::report::{ReportFeature, ReportInstance, ReportOutput, RowsReport};
use whybox::table::{Encoding, Kind, Missing, RawTable, RowChoice};
use whybox::{Error, Network, Result, builtin};

use crate::input::{RunArgs, quoted};
use crate::lime::{DistanceChoice, LimeArgs, OutArgs, OutputArgs, no_model, run_words};
use crate::progress::Bar;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  whybox table
  whybox table people.csv --model net.onnx --target income --drop id,name --rows 3,10-20
  whybox table people.csv --model net.onnx --encoding encoding.toml --missing median --rows all --json")]
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
    #[arg(long, value_enum, default_value = "error")]
    missing: MissingChoice,
    /// The method
    #[arg(long, value_enum, default_value = "lime")]
    method: Method,
    /// How columns of numbers are cut into bins
    #[arg(long, value_enum, default_value = "quartile", alias = "discretiser")]
    discretizer: DiscretiserChoice,
    /// How cells are drawn
    #[arg(long, value_enum, default_value = "independent")]
    sampling: SamplingChoice,
    /// Where numbers are drawn around that are not cut into bins
    #[arg(long, value_enum, default_value = "mean")]
    around: AroundChoice,
    /// Distance of a drawn row from the instance
    #[arg(long, value_enum, default_value = "euclidean")]
    distance: DistanceChoice,
    #[command(flatten)]
    outputs: OutputArgs,
    #[command(flatten)]
    lime: LimeArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    out: OutArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    // A weighted linear surrogate around each row.
    Lime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MissingChoice {
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

/// A table as a network reads it.
struct Subject {
    raw: RawTable,
    encoding: Encoding,
    /// `[rows, features]`
    codes: Array2<f64>,
    /// A class for each row, if there is a target.
    classes: Option<Vec<usize>>,
    model: Model,
    explained: &'static str,
}

pub fn run(args: &TableArgs) -> Result<()> {
    let begin = Instant::now();
    let subject = args.subject()?;
    let rows = args.rows.rows(subject.raw.rows())?;
    let importing = begin.elapsed().as_secs_f64();
    let Method::Lime = args.method;
    let bar = Bar::new(rows.len() * args.lime.samples);
    bar.stage("loading");
    let start = Instant::now();
    let network = args.run.device()?.load(&subject.model)?;
    let loading = start.elapsed().as_secs_f64();
    let known = args.data.is_none().then(builtin::table_classes);
    let names = args.outputs.names(network.outputs(), known)?;

    let features = subject.encoding.columns().iter().map(|column| {
        let name = column.name.clone();
        ReportFeature { columns: vec![name.clone()], name }
    });
    let mut report = RowsReport::new("table", network.name(), network.device().name(), features.collect());
    report.seconds = vec![("import".into(), importing), ("load".into(), loading)];
    args.lime(&subject, &network, &rows, &names, &bar, &mut report)?;
    report.explained = subject.explained;
    report.settings = args.settings();
    report.command = args.command();
    report.warnings = args.warnings(&subject);
    drop(bar);
    let extra = match &args.encoding {
        Some(_) => Vec::new(),
        None => vec![("encoding.toml", subject.encoding.to_toml()?)],
    };
    args.out.finish(&report, &extra)
}

impl TableArgs {
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
        let (model, explained) = self.outputs.apply(model)?;
        let classes = target.as_ref().map(|target| classes(&whole, target)).transpose()?;
        let dropped: Vec<String> = self.drop.iter().chain(&target).cloned().collect();
        let raw = whole.without(&dropped)?;
        let width: usize = model.input_shape().iter().product();
        let encoding = match &self.encoding {
            Some(path) => {
                let encoding = Encoding::read(path)?;
                encoding.check_width(width, &path.display().to_string())?;
                encoding
            }
            None => {
                let missing = match self.missing {
                    MissingChoice::Error => Missing::Error,
                    MissingChoice::Median => Missing::Median,
                    MissingChoice::MostFrequent => Missing::MostFrequent,
                };
                Encoding::infer(&raw, missing, Some(width))?
            }
        };
        let codes = encoding.codes(&raw)?;
        Ok(Subject { raw, encoding, codes, classes, model, explained })
    }

    fn lime(
        &self,
        subject: &Subject,
        network: &Network,
        rows: &[usize],
        names: &[String],
        bar: &Bar,
        report: &mut RowsReport,
    ) -> Result<()> {
        let Subject { raw, encoding, codes, .. } = subject;
        let lime = LimeTabular {
            samples: self.lime.samples,
            distance: self.distance.into(),
            kernel_width: self.lime.kernel_width,
            selection: self.lime.selection.into(),
            num_features: self.lime.features,
            alpha: self.lime.alpha,
            labels: self.outputs.chosen(names)?,
            seed: self.lime.seed,
        };
        let neighbourhood = self.neighbourhood(subject)?;
        let options = self.run.options();
        let mut ask = |codes: ArrayView2<f64>| {
            let cells: Vec<f32> = encoding.expand(codes).iter().map(|&x| x as f32).collect();
            let answers = network.responses(&Rows::new(&cells, encoding.width())?, &options)?;
            Ok(answers.mapv(f64::from))
        };
        for (at, &row) in rows.iter().enumerate() {
            let instance = codes.row(row).to_vec();
            let told = at * lime.samples;
            let explanation =
                lime.explain(&neighbourhood, &instance, &mut ask, &mut |done| bar.at(told + done))?;
            report.account(&explanation);
            let columns = || encoding.columns().iter().enumerate();
            let condition = |(feature, column): (usize, &whybox::table::ColumnEncoding)| {
                let text = encoding.text(feature, instance[feature]);
                neighbourhood.condition(feature, &column.name, instance[feature], &text)
            };
            let conditions: Vec<String> = columns().map(condition).collect();
            let output = |attribution: &whybox::explain::Attribution| {
                ReportOutput::new(attribution, names[attribution.output].clone(), Some(conditions.clone()))
            };
            // The cell's own text; what stands for a missing one.
            let value = |(feature, column): (usize, &whybox::table::ColumnEncoding)| {
                let cell = raw.find(&column.name).map(|place| raw.cell(row, place));
                let cell = cell.ok().filter(|cell| !whybox::table::is_missing(cell));
                cell.map_or_else(|| encoding.text(feature, instance[feature]), str::to_owned)
            };
            let number = |(feature, column): (usize, &whybox::table::ColumnEncoding)| {
                (column.kind == Kind::Number).then(|| instance[feature])
            };
            report.instances.push(ReportInstance {
                row,
                values: columns().map(value).collect(),
                numbers: columns().map(number).collect(),
                outputs: explanation.attributions.iter().map(output).collect(),
            });
        }
        Ok(())
    }

    fn neighbourhood(&self, subject: &Subject) -> Result<Neighbourhood> {
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

    /// What decides the result, as name and value.
    fn settings(&self) -> Vec<(String, String)> {
        let lower = |value: String| value.to_lowercase();
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
        let choices: [(&str, &dyn ValueName, &dyn ValueName); 5] = [
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
