//! `whybox plot`

use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use whybox::report::plot::{self, Lettering, PlotKind, PlotOptions, ThemeName};
use whybox::report::{Document, write_atomically};
use whybox::{Error, Result};

use crate::help;
use crate::output::{colour, say, width};

const EXAMPLES: &str = "\
Examples:
  whybox plot whybox-out/explanation.json
  whybox plot whybox-out/explanation.json --kind waterfall --out why.svg
  whybox plot explanation.json --kind beeswarm --top 15 --theme dark --out all.png
  whybox plot explanation.json --kind dependence --feature age --by hours --out age.svg";

#[derive(Debug, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
pub struct PlotArgs {
    /// The explanation of a table, a text or a photo
    #[arg(value_name = "EXPLANATION.json")]
    explanation: PathBuf,
    /// What to draw
    #[arg(long, value_enum)]
    kind: Option<Choice>,
    /// The file to write: .svg or .png, or .html for the page of everything [default: bars in the terminal]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The instance, by its position in the explanation, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    instance: usize,
    /// The explained output, by name or number [default: the first]
    #[arg(long, value_name = "CLASS")]
    output: Option<String>,
    /// Features shown by name; the others are summed up
    #[arg(long, value_name = "K", default_value_t = 10)]
    top: usize,
    /// Light or dark ground
    #[arg(long, value_enum, default_value = "light")]
    theme: Theme,
    /// The feature of the dependence plot [default: the most important one]
    #[arg(long, value_name = "NAME")]
    feature: Option<String>,
    /// The feature that colours the dependence plot or forms the groups
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Leave out the title, for a paper that has its own caption
    #[arg(long, hide_short_help = true)]
    bare: bool,
    /// Keep text in an SVG as text, to edit, instead of outlines
    #[arg(long, hide_short_help = true)]
    text: bool,
}

#[derive(Debug, Clone, Copy)]
struct Choice(PlotKind);

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: [Choice; PlotKind::ALL.len()] = {
            let mut all = [Choice(PlotKind::Waterfall); PlotKind::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Choice(PlotKind::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.about()))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Theme {
    Light,
    Dark,
}

pub fn run(args: &PlotArgs) -> Result<()> {
    let document = Document::read(&args.explanation)?;
    let find = |name: &Option<String>| name.as_deref().map(|name| document.find_feature(name)).transpose();
    let options = PlotOptions {
        instance: args.instance,
        output: args.output.as_deref().map_or(Ok(0), |wanted| document.find_output(wanted))?,
        top: args.top,
        theme: match args.theme {
            Theme::Light => ThemeName::Light,
            Theme::Dark => ThemeName::Dark,
        },
        lettering: if args.text { Lettering::Text } else { Lettering::Outlines },
        header: !args.bare,
        feature: find(&args.feature)?,
        by: find(&args.by)?,
    };
    let kind = args.kind.map(|Choice(kind)| kind);
    let Some(out) = &args.out else {
        return match kind {
            None | Some(PlotKind::Bar | PlotKind::Tokens) => {
                say(&document.terminal(&options, colour(), width())?)
            }
            Some(kind) => {
                Err(Error::parameter("the terminal shows bars only", kind.name(), "name a file with --out"))
            }
        };
    };
    let bytes = draw(&document, kind, &options, out)?;
    // A file's path has a name, or there would be no extension.
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = write_atomically(folder, &name, &bytes)?;
    say(&format!("wrote {}\n", path.display()))
}

/// The content of the file that was asked for.
fn draw(document: &Document, kind: Option<PlotKind>, options: &PlotOptions, out: &Path) -> Result<Vec<u8>> {
    let at = || out.display().to_string();
    let ending = out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match (ending.as_str(), kind) {
        ("svg", Some(kind)) => plot::svg(document, kind, options).map(String::into_bytes),
        ("png", Some(kind)) => plot::png(document, kind, options),
        ("html", None) => document.html().map(String::into_bytes),
        ("html", Some(PlotKind::Tokens)) => plot::tokens_html(document, options).map(String::into_bytes),
        ("svg" | "png", None) => {
            let kinds = plot::kinds_for(document);
            let names: Vec<&str> = kinds.into_iter().map(PlotKind::name).collect();
            Err(Error::parameter("which plot?", at(), format!("choose a --kind: {}", names.join(", "))))
        }
        ("html", Some(kind)) => {
            let help = "leave out --kind for the page, or end the name in .svg or .png";
            Err(Error::parameter(format!("an HTML file holds no {kind} plot alone"), at(), help))
        }
        _ => Err(Error::parameter(
            "plots are SVG, PNG or HTML files",
            at(),
            "end the name in .svg, .png or .html",
        )),
    }
}
