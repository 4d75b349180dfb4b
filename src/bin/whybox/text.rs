//! `whybox text`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use whybox::explain::{Game, Lime, TextGame};
use whybox::model::Model;
use whybox::perturb::Rows;
use whybox::report::{ReportFeature, ReportInstance, ReportOutput, RowsReport};
use whybox::text::{Hide, IndexedText, Occurrences, TextInput, Tokenizer, Vocabulary};
use whybox::{Error, Result};

use crate::input::{RunArgs, quoted};
use crate::lime::{DistanceChoice, LimeArgs, OutArgs, OutputArgs, run_words};
use crate::progress::Bar;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  whybox text 'a good film' --model net.onnx --vocabulary words.txt
  whybox text --file review.txt --model net.onnx --vocabulary words.txt --input ids --positions --class spam")]
pub struct TextArgs {
    /// The text to explain
    #[arg(value_name = "TEXT", required_unless_present = "file", conflicts_with = "file")]
    text: Option<String>,
    /// A file that holds the text
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// The network's ONNX file
    #[arg(long, value_name = "M.onnx")]
    model: PathBuf,
    /// The network's tokens, one a line (docs/tables.md)
    #[arg(long, value_name = "FILE")]
    vocabulary: PathBuf,
    /// What the network reads: how often each token occurs, whether it does, or the tokens' numbers in order
    #[arg(long, value_enum, default_value = "counts")]
    input: InputChoice,
    /// What a token is
    #[arg(long, value_enum, default_value = "words")]
    tokenizer: TokenizerChoice,
    /// Each position is a player, not each different token; hidden ones are masked
    #[arg(long)]
    positions: bool,
    /// What a hidden token is replaced by (it is removed, or UNKWORDZ with --positions)
    #[arg(long, value_name = "TOKEN")]
    mask: Option<String>,
    /// Distance of a text from the whole one
    #[arg(long, value_enum, default_value = "cosine")]
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
enum InputChoice {
    Counts,
    Binary,
    Ids,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TokenizerChoice {
    Words,
    Whitespace,
    Characters,
}

pub fn run(args: &TextArgs) -> Result<()> {
    let start = Instant::now();
    let text = args.text()?;
    let tokenizer = match args.tokenizer {
        TokenizerChoice::Words => Tokenizer::Words,
        TokenizerChoice::Whitespace => Tokenizer::Whitespace,
        TokenizerChoice::Characters => Tokenizer::Characters,
    };
    let occurrences = if args.positions { Occurrences::Apart } else { Occurrences::Together };
    let indexed = IndexedText::new(&text, tokenizer, occurrences)?;
    let vocabulary = Vocabulary::read(&args.vocabulary, tokenizer)?;
    let (model, explained) = args.outputs.apply(Model::from_onnx(&args.model)?)?;
    let importing = start.elapsed().as_secs_f64();
    let bar = Bar::new(args.lime.samples);
    bar.stage("loading");
    let start = Instant::now();
    let network = args.run.device()?.load(&model)?;
    let loading = start.elapsed().as_secs_f64();
    let names = args.outputs.names(network.outputs(), None)?;

    let width = network.input().len();
    let input = match args.input {
        InputChoice::Ids => TextInput::Ids(width),
        InputChoice::Counts | InputChoice::Binary if width != vocabulary.len() => {
            return Err(Error::parameter(
                format!("the vocabulary has {} tokens, the network takes {width} numbers", vocabulary.len()),
                args.vocabulary.display().to_string(),
                "give the network's own vocabulary; if it reads token numbers, say --input ids",
            ));
        }
        InputChoice::Counts => TextInput::Counts,
        InputChoice::Binary => TextInput::Binary,
    };
    let options = args.run.options();
    let ask = |texts: &[String]| {
        let cells: Vec<f32> = texts.iter().flat_map(|text| vocabulary.row(text, input)).collect();
        Ok(network.responses(&Rows::new(&cells, width)?, &options)?.mapv(f64::from))
    };
    let hide = match (&args.mask, args.positions) {
        (Some(mask), _) => Hide::Mask(mask.clone()),
        (None, true) => Hide::Mask("UNKWORDZ".into()),
        (None, false) => Hide::Remove,
    };
    let game = TextGame::new(indexed, hide, &ask)?;
    let lime = Lime {
        samples: args.lime.samples,
        distance: args.distance.into(),
        kernel_width: args.lime.kernel_width.unwrap_or(0.25),
        selection: args.lime.selection.into(),
        num_features: args.lime.features,
        alpha: args.lime.alpha,
        labels: args.outputs.chosen(&names)?,
        seed: args.lime.seed,
        ..Lime::text()
    };
    let explanation = lime.explain(&game, &mut |done| bar.at(done))?;
    drop(bar);

    let tokens = game.text().tokens();
    let features = tokens.iter().map(|token| ReportFeature { name: token.clone(), columns: Vec::new() });
    let mut report = RowsReport::new("text", network.name(), network.device().name(), features.collect());
    report.seconds = vec![("import".into(), importing), ("load".into(), loading)];
    report.account(&explanation);
    report.explained = explained;
    report.settings = args.settings();
    report.command = args.command();
    report.instances.push(ReportInstance {
        row: 0,
        values: tokens.to_vec(),
        numbers: vec![None; game.players()],
        outputs: (explanation.attributions.iter())
            .map(|attribution| ReportOutput::new(attribution, names[attribution.output].clone(), None))
            .collect(),
    });
    args.out.finish(&report, &[])
}

impl TextArgs {
    fn text(&self) -> Result<String> {
        match (&self.text, &self.file) {
            (Some(text), _) => Ok(text.clone()),
            (None, Some(path)) => std::fs::read_to_string(path).map_err(|error| {
                let at = path.display().to_string();
                Error::io(format!("the text cannot be read: {error}"), at, "give a UTF-8 file")
            }),
            (None, None) => Err(Error::parameter("no text is given", "whybox text", "give a text or --file")),
        }
    }

    /// What decides the result, as name and value.
    fn settings(&self) -> Vec<(String, String)> {
        let lower = |value: String| value.to_lowercase();
        let mut settings: Vec<(String, String)> = [
            ("input", lower(format!("{:?}", self.input))),
            ("tokenizer", lower(format!("{:?}", self.tokenizer))),
            ("positions", self.positions.to_string()),
            ("mask", self.mask.clone().unwrap_or_default()),
            ("distance", lower(format!("{:?}", self.distance))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        settings.extend(self.lime.settings());
        settings
    }

    /// The command that repeats the run.
    fn command(&self) -> String {
        let mut words = vec!["whybox text".to_owned()];
        match (&self.text, &self.file) {
            (Some(text), _) => words.push(quoted(text.as_ref())),
            (None, Some(path)) => words.push(format!("--file {}", quoted(path))),
            (None, None) => {}
        }
        words.push(format!("--model {}", quoted(&self.model)));
        words.push(format!("--vocabulary {}", quoted(&self.vocabulary)));
        let lower = |value: String| value.to_lowercase();
        if self.input != InputChoice::Counts {
            words.push(format!("--input {}", lower(format!("{:?}", self.input))));
        }
        if self.tokenizer != TokenizerChoice::Words {
            words.push(format!("--tokenizer {}", lower(format!("{:?}", self.tokenizer))));
        }
        if self.positions {
            words.push("--positions".into());
        }
        if let Some(mask) = &self.mask {
            words.push(format!("--mask {}", quoted(mask.as_ref())));
        }
        if self.distance != DistanceChoice::Cosine {
            words.push("--distance euclidean".into());
        }
        self.outputs.words(&mut words);
        self.lime.words(&mut words);
        run_words(&self.run, &mut words);
        words.join(" ")
    }
}
