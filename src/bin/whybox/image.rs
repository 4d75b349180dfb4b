//! `whybox image`

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use image::RgbImage;
use whybox::explain::{Game, ImageExplainer, ImageExplanation, ImageGame, Labels, MaskResolution, Stability};
use whybox::perturb::picture::{Baseline, Preprocess, open_photo};
use whybox::perturb::segment::Segmentation;
use whybox::report::document::PrecisionError;
use whybox::report::plot::ThemeName;
use whybox::report::{ImageReport, PhotoIndex, Scale, View, blocks, terminal, write_report};
use whybox::{Error, Result, builtin};

use crate::help;
use crate::image_method::MethodArgs;
use crate::image_subject::Subject;
use crate::input::{RunArgs, default_out, quoted};
use crate::interrupt::Interrupt;
use crate::lime::{Task, WIDTHS, at_least_one, run_words};
use crate::output::{colour, height, picture_colours, say, width};
use crate::precision;
use crate::progress::Bar;

const EXAMPLES: &str = "\
Examples:
  whybox image
  whybox image cat.jpg --model squeezenet.onnx --labels imagenet.txt --preprocess caffe
  whybox image cat.jpg --model net.onnx --class 281 --segments slic:n=100 --samples 5000
  whybox image cat.jpg --model net.onnx --method shap --tolerance 0.005 --show positive,top:5
  whybox image photos/*.jpg --model net.onnx --out report";

#[derive(Debug, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
pub struct ImageArgs {
    /// The photos to explain (the built-in one if left out); several get a folder each, and an index page
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// The network's ONNX file (the built-in one if left out)
    #[arg(long, value_name = "M.onnx")]
    pub model: Option<PathBuf>,
    /// Names of the network's outputs, one a line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// How the network wants its pictures: imagenet, unit, raw, cifar10, caffe, tf
    ///
    /// Parts that differ follow the name: unit,fit=stretch,mean=0.5,std=0.5
    #[arg(long, value_name = "NAME[,…]")]
    pub preprocess: Option<Preprocess>,
    /// What the outputs are: classification applies Softmax (for one output Sigmoid) if the network does not
    #[arg(
        long,
        value_enum,
        default_value = "classification",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub task: Task,
    #[command(flatten)]
    pub method: MethodArgs,
    /// How the picture is cut: slic, quickshift, felzenszwalb, grid or file:labels.png
    ///
    /// slic:n=70,compactness=10 (about n, small ones are merged)
    /// quickshift:kernel=4,max_dist=200,ratio=0.2  felzenszwalb:scale=100,sigma=0.5,min=50
    /// grid:rows=7,cols=7  file:labels.png
    #[arg(long, value_name = "ALGO[:k=v,…]", default_value = "slic:n=70,compactness=10")]
    segments: Segmentation,
    /// What a hidden segment shows: average, mean, black, grey, white, #RRGGBB, blur:sigma=5, image:FILE
    ///
    /// average (of the picture), mean (of the segment), mean8 (the same cut to 8 bits, as lime does), black, grey, white, #RRGGBB,
    /// blur:sigma=5 (percent of the shorter side), image:FILE
    #[arg(long, value_name = "KIND", default_value = "average")]
    baseline: Baseline,
    /// Where segments are cut and masked
    #[arg(long, value_enum, default_value = "network", value_name = "WHERE", hide_short_help = true)]
    mask_resolution: MaskAt,
    /// Output to explain, by label or number; may be repeated
    #[arg(long, value_name = "NAME_OR_INDEX", conflicts_with = "top")]
    pub class: Vec<String>,
    /// Explain the K highest outputs
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = a_few)]
    pub top: usize,
    /// What is explained: probabilities, logits, or a node's name [default: probabilities for LIME and --link logit,
    /// else logits]
    #[arg(long, value_name = "WHAT", hide_short_help = true)]
    pub explain: Option<String>,
    #[command(flatten)]
    pub run: RunArgs,
    /// Pictures to draw: overlay, segments, positive, negative, top:5 (cut out), errors, classes (side by side)
    #[arg(long, value_name = "VIEW,…", value_delimiter = ',', default_value = "overlay")]
    show: Vec<View>,
    /// Ground of the pictures
    #[arg(long, value_enum, default_value = "light")]
    theme: Theme,
    /// Folder for explanation.png, .svg, .html and .json [default: whybox-out]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the JSON document alone, one a photo (files are written only with --out)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MaskAt {
    /// On the picture that the network sees
    Network,
    /// On the photo, before it is resized
    Photo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Theme {
    Light,
    Dark,
}

/// Each explained output gets a picture of its own.
fn a_few(text: &str) -> Result<usize, String> {
    at_least_one(text)
        .and_then(|number| if number <= 20 { Ok(number) } else { Err("explain at most 20 outputs".into()) })
}

/// Columns of the picture in the terminal at most.
const BROADEST: usize = 160;
/// Below this a map says little about where the network looks.
const FEW_SEGMENTS: usize = 8;
/// Segments of each run that stability compares.
const COMPARED: usize = 5;

pub fn run(args: &ImageArgs) -> Result<()> {
    args.method.check()?;
    let interrupt = Interrupt::listen()?;
    let bar = Bar::new(args.method.most_evaluations());
    bar.stage("reading");
    let mut subject = Subject::load(args, &bar)?;
    let folder = args.out.clone().or_else(|| (!args.json).then(default_out));
    if args.photos.len() > 1 {
        return args.explain_all(&mut subject, &interrupt, &bar, folder.as_deref());
    }
    let photo = match args.photos.first() {
        Some(path) => open_photo(path)?,
        None => builtin::photo()?,
    };
    let mut report = args.explain_one(&mut subject, &interrupt, &bar, photo, args.photos.first())?;
    bar.stage("drawing");
    let start = Instant::now();
    let files = match &folder {
        Some(folder) => args.write(&report, &interrupt, folder)?,
        None => Vec::new(),
    };
    drop(bar);
    if args.json {
        return say(&report.json()?);
    }
    report.seconds.push(("draw and write".into(), start.elapsed().as_secs_f64()));
    let mut text = terminal(&report, colour(), width());
    if let Some(colours) = picture_colours() {
        // Half of the screen at most, so that the numbers stay in sight.
        let rows = (height() / 2).clamp(8, 32);
        text += &format!("\n{}\n", blocks(&report, colours, width().min(BROADEST), rows)?);
    }
    for file in &files {
        text += &format!("wrote {}\n", file.display());
    }
    say(&text)
}

impl ImageArgs {
    /// Explains every photo into a folder of its own, and goes on after one that fails.
    fn explain_all(
        &self,
        subject: &mut Subject,
        interrupt: &Interrupt,
        bar: &Bar,
        folder: Option<&Path>,
    ) -> Result<()> {
        let title = format!("{} photos · {}", self.photos.len(), subject.name());
        let mut index = PhotoIndex::new(title, self.photos.len());
        let names = folder_names(&self.photos);
        let mut failures = Vec::new();
        for (path, name) in self.photos.iter().zip(&names) {
            let shown = path.display().to_string();
            let explained = open_photo(path)
                .and_then(|photo| self.explain_one(subject, interrupt, bar, photo, Some(path)))
                .and_then(|report| {
                    if let Some(folder) = folder {
                        bar.stage("drawing");
                        self.write(&report, interrupt, &folder.join(name))?;
                    }
                    Ok(report)
                });
            let line = match explained {
                Ok(report) if self.json => {
                    index.add(&shown, name, &report)?;
                    report.json()?
                }
                Ok(report) => {
                    index.add(&shown, name, &report)?;
                    // A report has at least one class.
                    let class = &report.classes[0];
                    let to =
                        folder.map_or_else(String::new, |folder| folder.join(name).display().to_string());
                    format!("{shown}: {} {:.3} → {to}\n", class.short_name(), class.value)
                }
                Err(error @ Error::Interrupted(_)) => return Err(error),
                Err(error) => {
                    index.fail(&shown, &error.to_string());
                    failures.push((shown, error));
                    String::new()
                }
            };
            if let Some(folder) = folder {
                let _whole = interrupt.whole()?;
                index.write(folder)?;
            }
            bar.aside(|| say(&line))?;
        }
        if let (Some(folder), false) = (folder, self.json) {
            bar.aside(|| say(&format!("wrote {}\n", folder.join("index.html").display())))?;
        }
        let Some((first, error)) = failures.first() else { return Ok(()) };
        let list: Vec<String> =
            failures.iter().map(|(photo, error)| format!("\n    {photo}: {}", error.detail().what)).collect();
        Err(Error::parameter(
            format!(
                "{} of {} photos could not be explained:{}",
                failures.len(),
                self.photos.len(),
                list.concat()
            ),
            first.clone(),
            error.detail().remedy.clone(),
        ))
    }

    /// The report of one photo.
    fn explain_one(
        &self,
        subject: &mut Subject,
        interrupt: &Interrupt,
        bar: &Bar,
        photo: RgbImage,
        path: Option<&PathBuf>,
    ) -> Result<ImageReport> {
        bar.restart(self.method.most_evaluations());
        bar.stage("segmenting");
        let run = self.run.options_until(interrupt);
        let explainer = ImageExplainer {
            segmentation: self.segments.clone(),
            baseline: self.baseline.clone(),
            preprocess: subject.preprocess,
            masks: match self.mask_resolution {
                MaskAt::Network => MaskResolution::Network,
                MaskAt::Photo => MaskResolution::Photo,
            },
            link: self.method.link(),
            seed: self.method.seed,
            run,
        };
        let prediction = subject.predict(&explainer, &photo)?;
        let chosen = subject.chosen.choose(&prediction);
        subject.prepare(&chosen)?;
        let (network, cut) = subject.network_for(&chosen);
        let asked = if cut { Labels::All } else { Labels::Given(chosen.clone()) };
        let game = explainer.game(network, photo)?;
        let estimator = self.method.estimator(&game, asked.clone())?;
        bar.expect(estimator.most_evaluations(game.players()));
        let mut result = game.explain(estimator.as_ref(), &mut |done| bar.at(done), &mut |forecast| {
            bar.expect(forecast.expected)
        })?;
        let stability = match self.method.stability {
            Some(runs) => {
                bar.stage("repeating");
                let start = Instant::now();
                let lime = self.method.lime(asked.clone());
                let found = Stability::of_outputs(&lime, &game, runs, COMPARED, &WIDTHS)?;
                result.explanation.seconds.push(("stability".into(), start.elapsed().as_secs_f64()));
                found
            }
            None => Vec::new(),
        };
        let mut warnings = Vec::new();
        let mut checked = None;
        if precision::differs(network) {
            bar.stage("checking");
            let start = Instant::now();
            checked = precision::found(self.precision_error(&game, subject, &chosen, asked), &mut warnings)?;
            result.explanation.seconds.push(("precision".into(), start.elapsed().as_secs_f64()));
        }
        drop(game);
        // The network may have been cut to what is explained: the numbers of the outputs are those of the whole.
        for (attribution, &output) in result.explanation.attributions.iter_mut().zip(&chosen) {
            attribution.output = output;
        }
        result.explanation.prediction = prediction;
        let seconds = [("import", subject.importing), ("load", subject.loading)];
        let seconds = seconds.into_iter().map(|(name, seconds)| (name.to_owned(), seconds));
        result.explanation.seconds.splice(0..0, seconds);
        let mut report = self.report(&result, subject, path);
        report.precision = checked;
        report.warnings.extend(warnings);
        for (class, found) in report.classes.iter_mut().zip(&stability) {
            class.stability = Some(found.into());
        }
        Ok(report)
    }

    /// How far the weights are from those of the same network in f32.
    fn precision_error(
        &self,
        game: &ImageGame<'_>,
        subject: &Subject,
        chosen: &[usize],
        asked: Labels,
    ) -> Result<PrecisionError> {
        let reference = subject.reference_for(chosen)?;
        let storage = subject.network_for(chosen).0.device().precision();
        let method = self.method.checked(game.players()).estimator(game, asked)?;
        let explain = |game: &ImageGame<'_>| -> Result<(Vec<Vec<f64>>, usize)> {
            let found = game.explain(method.as_ref(), &mut |_| {}, &mut |_| {})?.explanation;
            let values = found.attributions.into_iter().map(|attribution| attribution.values);
            Ok((values.collect(), found.evaluations))
        };
        let ((found, evaluations), (expected, _)) = (explain(game)?, explain(&game.on(&reference)?)?);
        Ok(PrecisionError::new(storage, &found, &expected, evaluations as u64))
    }

    /// Writes the files of one photo, all or none.
    fn write(&self, report: &ImageReport, interrupt: &Interrupt, folder: &Path) -> Result<Vec<PathBuf>> {
        let theme = match self.theme {
            Theme::Light => ThemeName::Light,
            Theme::Dark => ThemeName::Dark,
        };
        let files = report.files(&self.show, theme)?;
        let _whole = interrupt.whole()?;
        write_report(folder, &files)
    }

    fn report(&self, result: &ImageExplanation, subject: &Subject, photo: Option<&PathBuf>) -> ImageReport {
        let name = |output: usize| subject.output_name(output);
        let mut report =
            ImageReport::new(result, subject.name(), subject.device_name(), subject.scale, &name);
        if self.method.link() == whybox::explain::Link::Logit {
            report.classes.iter_mut().for_each(|class| class.scale = Scale::Logit);
        }
        report.settings = self.settings(subject);
        if let Some(shared) = result.sharing {
            let kept = shared.macs as f64 / shared.dense_macs.max(1) as f64;
            let (steps, rows) = (shared.steps, shared.block_rows);
            let what =
                format!("first {steps} steps, {rows} at a time; {kept:.2} of all multiply-adds are done");
            report.settings.push(("shared between samples".into(), what));
        }
        report.command = self.command(subject, photo);
        report.warnings.extend(subject.warnings.iter().cloned());
        if result.segments < FEW_SEGMENTS {
            report.warnings.push(format!(
                "Only {} segments: the map is coarse. Choose finer ones with --segments.",
                result.segments
            ));
        }
        report.warnings.extend(self.method.shortfall(&result.explanation));
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
        let outputs = if self.class.is_empty() { format!("top {}", self.top) } else { self.class.join(", ") };
        let named = [
            ("explain", explained),
            ("outputs", outputs),
            ("task", lower(format!("{:?}", self.task))),
            ("preprocess", subject.preprocess.to_string()),
            ("segments", self.segments.to_string()),
            ("baseline", self.baseline.to_string()),
            ("mask resolution", lower(format!("{:?}", self.mask_resolution))),
        ];
        let mut settings: Vec<_> = named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        settings.extend(self.method.settings());
        let memory = self.run.memory.map_or("default".into(), |bytes| format!("{bytes} bytes"));
        settings.push(("memory".into(), memory));
        settings
    }

    /// The command that repeats the run.
    fn command(&self, subject: &Subject, photo: Option<&PathBuf>) -> String {
        let mut words = vec!["whybox image".to_owned()];
        words.extend(photo.map(|photo| quoted(photo)));
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
        option("segments", quoted(self.segments.to_string().as_ref()));
        option("baseline", quoted(self.baseline.to_string().as_ref()));
        for class in &self.class {
            option("class", quoted(class.as_ref()));
        }
        if self.class.is_empty() {
            option("top", self.top.to_string());
        }
        if self.mask_resolution != MaskAt::Network {
            option("mask-resolution", "photo".into());
        }
        self.method.words(&mut words);
        run_words(&self.run, &mut words);
        let mut option = |name: &str, value: String| words.push(format!("--{name} {value}"));
        if self.show != [View::Overlay] {
            let views: Vec<String> = self.show.iter().map(View::to_string).collect();
            option("show", views.join(","));
        }
        if self.theme == Theme::Dark {
            option("theme", "dark".into());
        }
        words.join(" ")
    }
}

/// A folder's name for each photo: its own without the ending, with a number where that is taken.
fn folder_names(photos: &[PathBuf]) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |photo: &PathBuf| {
        let stem = photo.file_stem().map_or("photo".into(), |stem| stem.to_string_lossy().into_owned());
        let numbered = (1..).map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") });
        // Numbers never end.
        numbered.into_iter().find(|name| taken.insert(name.to_lowercase())).unwrap_or(stem)
    };
    photos.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_of_one_name_get_folders_of_their_own() {
        let photos = ["a/cat.jpg", "b/cat.png", "Cat.gif", "dog.jpg"].map(PathBuf::from);
        assert_eq!(folder_names(&photos), ["cat", "cat-2", "Cat-3", "dog"]);
    }
}
