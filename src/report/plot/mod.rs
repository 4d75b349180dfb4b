//! Plots of explained tables and texts: one [`Document`] in, one SVG or PNG out, light or dark.
//!
//! Text is set with the embedded font, as outlines unless asked otherwise ([`Lettering`]), and measured with the same
//! font before it is placed: names never collide or run out of the picture, which looks the same on every machine.
//! What does not fit is cut in its middle with an ellipsis; hovering the mark tells the whole name and the exact number.
//!
//! Signs follow shap's plots: red for positive, blue for negative. Both scales, the diverging one (blue, paper,
//! red) and that of feature values (blue, purple, red), are perceptually uniform (linear in OKLab and OKLCh)
//! and safe for colour-blind readers, since red and blue differ along the axis that all common kinds keep.
//!
//! # Example
//! ```
//! use whybox::report::document::{Document, Feature, Instance, Output};
//! use whybox::report::plot::{self, PlotKind, PlotOptions};
//!
//! let document = Document {
//!     method: "Kernel SHAP".into(),
//!     features: vec![Feature::new("age"), Feature::new("hours")],
//!     instances: vec![Instance {
//!         row: Some(3),
//!         values: vec!["39".into(), "40".into()],
//!         numbers: vec![39.0, 40.0],
//!         outputs: vec![Output::new(0, "income", 0.7, 0.25, vec![0.6, -0.15])],
//!     }],
//!     ..Document::default()
//! };
//! let svg = plot::svg(&document, PlotKind::Waterfall, &PlotOptions::default())?;
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), whybox::Error>(())
//! ```

mod axis;
mod bars;
mod beeswarm;
mod canvas;
mod decision;
mod dependence;
mod fidelity;
mod force;
mod frame;
mod groups;
mod heatmap;
mod interactions;
pub(super) mod lines;
mod order;
pub(super) mod theme;
mod tokens;
mod waterfall;

use std::fmt;
use std::str::FromStr;

use super::document::Document;
use super::raster;
use crate::{Error, Result};
use frame::{Many, One};

pub(super) use frame::quantity;
pub use tokens::{html as tokens_html, terminal as tokens_terminal};

/// What to draw.
///
/// # Example
/// ```
/// use whybox::report::plot::PlotKind;
///
/// assert_eq!("beeswarm".parse(), Ok(PlotKind::Beeswarm));
/// assert!(PlotKind::ALL.iter().all(|kind| kind.name().parse() == Ok(*kind)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlotKind {
    /// One instance: from the base value to the output, a step a feature.
    Waterfall,
    /// One instance: what pushes the output up against what pushes it down, on one line.
    Force,
    /// One instance: a signed bar a feature, with its 95 % interval.
    Bar,
    /// All instances: the way of each from the base value to its output; the chosen one stands out.
    Decision,
    /// All instances: a dot an instance in each feature's row, coloured by the feature's value.
    Beeswarm,
    /// All instances: the mean |attribution| of each feature.
    Summary,
    /// All instances: features × instances, similar instances side by side.
    Heatmap,
    /// All instances: one feature's attribution over its value, coloured by the feature it interacts with most.
    Dependence,
    /// Groups of instances: the mean |attribution| of each feature, a bar a group.
    Groups,
    /// One instance: LIME's signed bars with their conditions.
    Conditions,
    /// How well the explanation fits: weighted R², what it adds up to, stability.
    Fidelity,
    /// One text: its tokens on coloured ground.
    Tokens,
    /// One instance: pairwise interactions as a matrix.
    Matrix,
    /// One instance: pairwise interactions as a network.
    Network,
}

impl PlotKind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [PlotKind; 14] = [
        PlotKind::Waterfall,
        PlotKind::Force,
        PlotKind::Bar,
        PlotKind::Decision,
        PlotKind::Beeswarm,
        PlotKind::Summary,
        PlotKind::Heatmap,
        PlotKind::Dependence,
        PlotKind::Groups,
        PlotKind::Conditions,
        PlotKind::Fidelity,
        PlotKind::Tokens,
        PlotKind::Matrix,
        PlotKind::Network,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PlotKind::Waterfall => "waterfall",
            PlotKind::Force => "force",
            PlotKind::Bar => "bar",
            PlotKind::Decision => "decision",
            PlotKind::Beeswarm => "beeswarm",
            PlotKind::Summary => "summary",
            PlotKind::Heatmap => "heatmap",
            PlotKind::Dependence => "dependence",
            PlotKind::Groups => "groups",
            PlotKind::Conditions => "conditions",
            PlotKind::Fidelity => "fidelity",
            PlotKind::Tokens => "tokens",
            PlotKind::Matrix => "matrix",
            PlotKind::Network => "network",
        }
    }

    /// What it shows, in one line.
    pub fn about(self) -> &'static str {
        match self {
            PlotKind::Waterfall => "one instance: from the base value to the output, a step a feature",
            PlotKind::Force => "one instance: what pushes up against what pushes down, on one line",
            PlotKind::Bar => "one instance: a signed bar a feature, with its 95 % interval",
            PlotKind::Decision => "all instances: the way of each from the base value to its output",
            PlotKind::Beeswarm => {
                "all instances: a dot each in every feature's row, coloured by the feature's value"
            }
            PlotKind::Summary => "all instances: the mean |attribution| of each feature",
            PlotKind::Heatmap => "all instances: features × instances, similar instances side by side",
            PlotKind::Dependence => "all instances: a feature's attribution over its value (--feature, --by)",
            PlotKind::Groups => "groups of instances: the mean |attribution|, a bar a group (--by)",
            PlotKind::Conditions => "one instance: LIME's signed bars with their conditions",
            PlotKind::Fidelity => "how well the explanation fits: weighted R², sums, stability",
            PlotKind::Tokens => "one text: its tokens on coloured ground",
            PlotKind::Matrix => "one instance: pairwise interactions as a matrix",
            PlotKind::Network => "one instance: pairwise interactions as a network",
        }
    }
}

impl fmt::Display for PlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PlotKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        PlotKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names = PlotKind::ALL.map(PlotKind::name).join(", ");
            Error::parameter("there is no such plot", text, format!("choose one of: {names}"))
        })
    }
}

/// Light or dark ground.
///
/// # Example
/// ```
/// use whybox::report::plot::{PlotOptions, ThemeName};
///
/// let dark = PlotOptions { theme: ThemeName::Dark, ..PlotOptions::default() };
/// assert_ne!(dark.theme, ThemeName::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThemeName {
    /// Dark ink on white.
    #[default]
    Light,
    /// Light ink on near-black.
    Dark,
    /// For an SVG within a page whose style sheet sets `--paper`, `--ink`, `--muted`, `--rule` and `--bar`. No other program knows
    /// these names.
    Page,
}

/// How an SVG holds its text.
///
/// # Example
/// ```
/// use whybox::report::document::{Document, Feature, Instance, Output};
/// use whybox::report::plot::{self, Lettering, PlotKind, PlotOptions};
///
/// let document = Document {
///     features: vec![Feature::new("age")],
///     instances: vec![Instance {
///         values: vec!["39".into()],
///         numbers: vec![39.0],
///         outputs: vec![Output::new(0, "income", 0.7, 0.25, vec![0.45])],
///         ..Instance::default()
///     }],
///     ..Document::default()
/// };
/// let svg = |lettering| plot::svg(&document, PlotKind::Bar, &PlotOptions { lettering, ..PlotOptions::default() });
/// assert!(svg(Lettering::Text)?.contains("<text") && !svg(Lettering::Outlines)?.contains("<text"));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lettering {
    /// As outlines of the embedded font: the same picture everywhere, in a browser, a drawing program or a paper.
    #[default]
    Outlines,
    /// As text, to select and edit; a machine without the font shows another one, fitted to the same widths.
    Text,
}

/// How to draw.
///
/// # Example
/// ```
/// use whybox::report::plot::{Lettering, PlotOptions, ThemeName};
///
/// // For a paper: no title, fifteen features, text to edit.
/// let options = PlotOptions { top: 15, header: false, lettering: Lettering::Text, ..PlotOptions::default() };
/// assert_eq!((options.theme, options.instance), (ThemeName::Light, 0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PlotOptions {
    /// The instance of plots of one, by its position in the document; 0.
    pub instance: usize,
    /// The output, by its position among the explained ones ([`Document::find_output`]); 0.
    pub output: usize,
    /// Features shown by name, at least 1; the others are summed up in one row. 10.
    pub top: usize,
    /// Light or dark; light.
    pub theme: ThemeName,
    /// Outlines or text; outlines.
    pub lettering: Lettering,
    /// Whether the picture says what it shows at its top; true.
    pub header: bool,
    /// The feature of the dependence plot, by position; the most important one.
    pub feature: Option<usize>,
    /// The feature that colours the dependence plot or forms the groups, by position; for colour the one that interacts most
    /// (shap's approximation), for groups the most important one.
    pub by: Option<usize>,
}

impl Default for PlotOptions {
    fn default() -> Self {
        PlotOptions {
            instance: 0,
            output: 0,
            top: 10,
            theme: ThemeName::Light,
            lettering: Lettering::Outlines,
            header: true,
            feature: None,
            by: None,
        }
    }
}

/// Draws a plot as SVG text.
///
/// # Errors
/// Those of [`Document::validate`]; [`Error::Parameter`] for an instance, output or feature that does not exist, `top` of 0, or a
/// document without what the plot shows (numeric values, conditions, interactions).
pub fn svg(document: &Document, kind: PlotKind, options: &PlotOptions) -> Result<String> {
    document.validate()?;
    if options.top == 0 {
        return Err(Error::parameter("a plot of no features", "top 0", "ask for at least 1"));
    }
    let one = || One::new(document, options);
    let many = || Many::new(document, options);
    match kind {
        PlotKind::Waterfall => Ok(waterfall::draw(&one()?, options)),
        PlotKind::Force => Ok(force::draw(&one()?, options)),
        PlotKind::Bar => Ok(bars::one(&one()?, options)),
        PlotKind::Decision => Ok(decision::draw(&many()?, &one()?, options)),
        PlotKind::Beeswarm => Ok(beeswarm::draw(&many()?, options)),
        PlotKind::Summary => Ok(bars::summary(&many()?, options)),
        PlotKind::Heatmap => heatmap::draw(&many()?, options),
        PlotKind::Dependence => dependence::draw(&many()?, options),
        PlotKind::Groups => groups::draw(&many()?, options),
        PlotKind::Conditions => bars::conditions(&one()?, options),
        PlotKind::Fidelity => Ok(fidelity::draw(&many()?, options)),
        PlotKind::Tokens => Ok(tokens::draw(&one()?, options)),
        PlotKind::Matrix => interactions::matrix(&one()?, options),
        PlotKind::Network => interactions::network(&one()?, options),
    }
}

/// Draws a plot as the bytes of a PNG file, two pixels a point.
///
/// # Errors
/// Those of [`svg`]; [`Error::Parameter`] for the theme of a page; [`Error::Limits`] if the picture does not fit into memory.
pub fn png(document: &Document, kind: PlotKind, options: &PlotOptions) -> Result<Vec<u8>> {
    if options.theme == ThemeName::Page {
        return Err(Error::parameter("a PNG has no page around it", "theme Page", "choose light or dark"));
    }
    let text = PlotOptions { lettering: Lettering::Text, ..options.clone() };
    raster::png(&svg(document, kind, &text)?)
}

/// A labelled number of one instance: what the terminal's bars show.
pub(super) struct Labelled {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) error: Option<f64>,
}

/// The strongest features of one instance, and the sum of all others; LIME's conditions in place of values.
pub(super) fn bars(document: &Document, options: &PlotOptions) -> Result<Vec<Labelled>> {
    document.validate()?;
    let one = One::new(document, options)?;
    let condition = |f: usize| one.output.conditions.as_ref().map(|c| c[f].clone()).filter(|c| !c.is_empty());
    let labelled = |row: &frame::Row| {
        let alone = (!row.is_other()).then(|| row.features[0]);
        Labelled {
            label: alone.and_then(condition).unwrap_or_else(|| row.full()),
            value: one.value(row),
            error: alone.and_then(|f| one.output.standard_error(f)),
        }
    };
    Ok(one.rows(options.top).iter().map(labelled).collect())
}

/// The kinds that a document has the data for, the most telling first.
pub fn kinds_for(document: &Document) -> Vec<PlotKind> {
    let options = PlotOptions::default();
    let (Ok(one), Ok(many)) = (One::new(document, &options), Many::new(document, &options)) else {
        return Vec::new();
    };
    let several = many.outputs.len() > 1;
    let has = |kind: &PlotKind| match kind {
        PlotKind::Waterfall | PlotKind::Force | PlotKind::Bar => true,
        PlotKind::Decision | PlotKind::Beeswarm | PlotKind::Summary | PlotKind::Heatmap => several,
        PlotKind::Dependence => several && dependence::draw(&many, &options).is_ok(),
        PlotKind::Groups => several && groups::draw(&many, &options).is_ok(),
        PlotKind::Conditions => one.output.conditions.is_some(),
        PlotKind::Fidelity => true,
        PlotKind::Tokens => document.kind == super::document::Kind::Text,
        PlotKind::Matrix | PlotKind::Network => one.output.interactions.is_some(),
    };
    PlotKind::ALL.into_iter().filter(has).collect()
}
