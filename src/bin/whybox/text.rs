//! `whybox text`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use whybox::explain::{
    Estimator, Game, Hierarchy, KernelShap, Labels, Lime, Link, Linked, Stability, Terms, TextGame, TokenGame,
};
use whybox::model::Model;
use whybox::perturb::{Coalitions, Rows};
use whybox::report::Document;
use whybox::report::document::{Feature, Instance, Kind, Output, PrecisionError};
use whybox::text::{Hide, IndexedText, Occurrences, TextInput, Tokenizer, Vocabulary};
use whybox::{Error, Network, Result};

use crate::help;
use crate::input::{RunArgs, quoted};
use crate::interrupt::Interrupt;
use crate::lime::{DistanceChoice, LimeArgs, OutArgs, OutputArgs, WIDTHS, run_words};
use crate::method::{LinkChoice, Method, Request, ShapleyArgs};
use crate::precision::{self, reference_network};
use crate::progress::Bar;

const EXAMPLES: &str = "\
Examples:
  whybox text 'a good film' --model net.onnx --vocabulary words.txt
  whybox text --file review.txt --model net.onnx --vocabulary words.txt --input ids --positions
  whybox text 'a good film' --model net.onnx --vocabulary words.txt --method shap --interactions";

#[derive(Debug, Clone, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
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
    #[arg(long, value_name = "TOKEN", hide_short_help = true)]
    mask: Option<String>,
    /// The method
    #[arg(long, value_enum, default_value = "lime")]
    method: Method,
    #[command(flatten, next_help_heading = "Shapley values")]
    shapley: ShapleyArgs,
    /// Distance of a text from the whole one
    #[arg(
        long,
        value_enum,
        default_value = "cosine",
        help_heading = "Evaluations and LIME",
        hide_short_help = true
    )]
    distance: DistanceChoice,
    #[command(flatten, next_help_heading = "What is explained")]
    outputs: OutputArgs,
    #[command(flatten, next_help_heading = "Evaluations and LIME")]
    lime: LimeArgs,
    #[command(flatten, next_help_heading = "Run and results")]
    run: RunArgs,
    #[command(flatten, next_help_heading = "Run and results")]
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
    let interrupt = Interrupt::listen()?;
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
    args.check()?;
    let logits = args.method != Method::Lime && args.shapley.link == LinkChoice::Identity;
    let (model, explained) = args.outputs.apply(Model::from_onnx(&args.model)?, logits)?;
    let importing = start.elapsed().as_secs_f64();
    let bar = Bar::new(0);
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
    let options = args.run.options_until(&interrupt);
    let ask_of = |network: &Network, texts: &[String]| {
        let cells: Vec<f32> = texts.iter().flat_map(|text| vocabulary.row(text, input)).collect();
        Ok(network.responses(&Rows::new(&cells, width)?, &options)?.mapv(f64::from))
    };
    let hide = match (&args.mask, args.positions) {
        (Some(mask), _) => Hide::Mask(mask.clone()),
        (None, true) => Hide::Mask("UNKWORDZ".into()),
        (None, false) => Hide::Remove,
    };
    let tokens = indexed.tokens().to_vec();
    // What is longer than the network reads loses its end only after tokens before it were hidden: that needs the text itself.
    let fits = indexed.owners().iter().flatten().count() <= width;
    let by_ids = fits && matches!(input, TextInput::Ids(_));
    let ask = |texts: &[String]| ask_of(&network, texts);
    let game: Box<dyn Game + '_> = if by_ids {
        Box::new(TokenGame::new(&network, &indexed, &vocabulary, &hide, options.clone())?)
    } else {
        Box::new(TextGame::new(indexed.clone(), hide.clone(), &ask)?)
    };
    let mut whole = Coalitions::with_capacity(tokens.len(), 1);
    whole.push(|_| true);
    let outputs = args.outputs.chosen(&names, game.values(&whole)?.mapv(|x| x as f32).view())?;
    let features: Vec<Feature> =
        tokens.iter().map(|token| Feature { name: token.clone(), columns: Vec::new() }).collect();
    let mut document = Document::new(Kind::Text, network.name(), &network.device().name(), features);
    document.seconds = vec![("import".into(), importing), ("load".into(), loading)];
    let explained_outputs = args.explain(game.as_ref(), outputs.clone(), &names, &bar, &mut document)?;
    if precision::differs(&network) {
        bar.stage("checking");
        let start = Instant::now();
        let few = args.checked(tokens.len());
        let explain = |game: &dyn Game| -> Result<(Vec<Vec<f64>>, u64)> {
            let mut scratch = Document::default();
            let found = few.explain(game, outputs.clone(), &names, &bar, &mut scratch)?;
            Ok((found.into_iter().map(|output| output.values).collect(), scratch.evaluations))
        };
        let check = || -> Result<PrecisionError> {
            let reference = reference_network(&network, &model)?;
            let ask = |texts: &[String]| ask_of(&reference, texts);
            let exact: Box<dyn Game + '_> = if by_ids {
                Box::new(TokenGame::new(&reference, &indexed, &vocabulary, &hide, options.clone())?)
            } else {
                Box::new(TextGame::new(indexed.clone(), hide.clone(), &ask)?)
            };
            let ((found, evaluations), (expected, _)) = (explain(game.as_ref())?, explain(exact.as_ref())?);
            Ok(PrecisionError::new(network.device().precision(), &found, &expected, evaluations))
        };
        document.precision = precision::found(check(), &mut document.warnings)?;
        document.seconds.push(("precision".into(), start.elapsed().as_secs_f64()));
    }
    drop(bar);
    document.seed = args.lime.seed;
    document.explained = explained;
    document.command = args.command();
    document.instances.push(Instance {
        row: None,
        numbers: vec![f64::NAN; tokens.len()],
        values: tokens,
        outputs: explained_outputs,
    });
    interrupt.finish(|| args.out.finish(&document, &[]))
}

impl TextArgs {
    /// The same with as many evaluations as a check of the precision takes.
    fn checked(&self, tokens: usize) -> Self {
        let lime = self.lime.checked(self.method, tokens);
        TextArgs { lime, shapley: self.shapley.checked(), ..self.clone() }
    }

    /// Refuses options that the method does not know.
    fn check(&self) -> Result<()> {
        if self.method != Method::Lime && self.lime.stability.is_some() {
            return Err(Error::parameter(
                "this option does not fit the method",
                "--stability",
                "Shapley values have standard errors; it is for --method lime",
            ));
        }
        self.shapley.check(self.method)
    }

    fn explain(
        &self,
        game: &dyn Game,
        outputs: Vec<usize>,
        names: &[String],
        bar: &Bar,
        document: &mut Document,
    ) -> Result<Vec<Output>> {
        let labels = Labels::Given(outputs);
        let lime = Lime {
            samples: self.lime.lime_samples(),
            distance: self.distance.into(),
            kernel_width: self.lime.kernel_width.unwrap_or(Lime::text().kernel_width),
            selection: self.lime.selection.into(),
            num_features: self.lime.features,
            alpha: self.lime.alpha,
            labels: labels.clone(),
            seed: self.lime.seed,
            ..Lime::text()
        };
        let request = Request {
            players: game.players(),
            rows: 1,
            samples: self.lime.samples,
            seed: self.lime.seed,
            work: game.work() as usize,
        };
        let estimator: Box<dyn Estimator> = match self.method {
            Method::Lime => Box::new(lime.clone()),
            // Reading order is the hierarchy: neighbouring words belong together.
            method => {
                self.shapley.estimator(method, &request, labels, &|| Hierarchy::balanced(game.players()))?
            }
        };
        let linked = Linked { game, link: self.shapley.link() };
        let asked: &dyn Game = if linked.link == Link::Logit { &linked } else { game };
        let expected = std::cell::Cell::new(estimator.most_evaluations(game.players()));
        let explanation = estimator.explain_forecasting(
            asked,
            &mut |done| bar.of(done, expected.get().max(done)),
            &mut |forecast| expected.set(forecast.expected),
        )?;
        document.account(&explanation);
        let regression = explanation.method == KernelShap::default().name();
        let work = game.work() * explanation.evaluations as f64;
        document.settings = self.settings(regression.then(|| request.terms().fitted(work)));
        document.link = format!("{:?}", self.shapley.link).to_lowercase();
        if self.method != Method::Lime {
            document.warnings.extend(self.shapley.left(self.method, std::slice::from_ref(&explanation)));
        }
        let output = |(place, attribution): (usize, &whybox::explain::Attribution)| {
            let mut output = Output::of(attribution, names[attribution.output].clone(), None);
            if let Some(found) = &explanation.interactions {
                output = output.with_interactions(found, place);
            }
            if let Some(runs) = self.lime.stability {
                let lime = Lime { labels: Labels::Given(vec![output.index]), ..lime.clone() };
                let found = Stability::of(&lime, game, runs, self.lime.features, &WIDTHS)?;
                output.stability = Some((&found).into());
            }
            Ok(output)
        };
        explanation.attributions.iter().enumerate().map(output).collect()
    }

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
    fn settings(&self, fitted: Option<Terms>) -> Vec<(String, String)> {
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
        match self.method {
            Method::Lime => settings.extend(self.lime.settings()),
            _ => {
                settings.retain(|(name, _)| name != "distance");
                settings.extend(self.shapley.settings(self.method, self.lime.samples, fitted));
            }
        }
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
            words.push(format!("--distance {}", lower(format!("{:?}", self.distance))));
        }
        if self.method != Method::Lime {
            words.push(format!("--method {}", lower(format!("{:?}", self.method))));
        }
        self.outputs.words(&mut words);
        self.shapley.words(&mut words);
        self.lime.words(&mut words);
        run_words(&self.run, &mut words);
        words.join(" ")
    }
}
