//! Files and terminal text from an explanation. Nothing here computes an attribution.
//!
//! An [`ImageReport`] holds the plain data of one image explanation and gives
//!
//! | file | content |
//! |---|---|
//! | `explanation.png`, `explanation.svg` | one class explained in one picture; `-2`, `-3`, … for further classes |
//! | `explanation.html` | all classes on one interactive page that needs no network |
//! | `explanation.json` | every number in full precision (`docs/json.md`) |
//!
//! Tables and texts have a [`Document`], which is read, written, shown as a page ([`Document::html`]) or in the terminal
//! ([`Document::terminal`]), and drawn by [`plot`]. A comparison of methods has an [`Evaluation`].
//!
//! There is one drawing system: pictures are SVG, the PNG is the same SVG drawn with the embedded
//! font, and the page holds the same layers.

mod archive;
mod blocks;
mod colour;
mod convert;
pub mod document;
mod document_page;
mod document_terminal;
mod evaluation;
mod evaluation_page;
mod evaluation_terminal;
mod figure;
mod fonts;
mod head;
mod html;
mod image_report;
mod index_page;
mod json;
mod number;
mod outline;
mod overlay;
pub mod plot;
mod raster;
mod rows_terminal;
mod run_section;
mod side_by_side;
mod stage;
mod terminal;
mod view;
mod write;

use std::path::{Path, PathBuf};

pub use blocks::{BlockColours, blocks};
pub use document::Document;
pub use evaluation::{EvaluatedInput, Evaluation};
pub use fonts::{FAMILY, REPLACEMENT, missing_glyphs};
pub use image_report::{ExplainedClass, ImageReport, OUTSIDE, PhotoSegments, Scale};
pub use index_page::PhotoIndex;
pub use json::SCHEMA;
pub use overlay::TOP;
pub use rows_terminal::rows_terminal;
pub use terminal::terminal;
pub use view::View;
pub use write::write_atomically;

use rayon::prelude::*;

use crate::{Error, Result};
use overlay::Drawing;

/// How the picture of an explained photo is drawn.
///
/// # Example
/// ```
/// use whybox::report::plot::ThemeName;
/// use whybox::report::{FigureOptions, View};
///
/// let options = FigureOptions { view: View::Top(3), theme: ThemeName::Dark };
/// assert_eq!(FigureOptions::default(), FigureOptions { view: View::Overlay, theme: ThemeName::Light });
/// assert_ne!(options, FigureOptions::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FigureOptions {
    /// What it shows beside the photo. Default: the overlay.
    pub view: View,
    /// Light or dark ground. Default: light.
    pub theme: plot::ThemeName,
}

impl ImageReport {
    /// Writes all files into `folder`, which is made if need be, and returns their paths.
    ///
    /// Files of these names are replaced, those of further classes of a run before are removed. All content is made before the first file is written, and
    /// each file appears whole or not at all.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`]; [`Error::Io`] naming the path that cannot be written;
    /// [`Error::Limits`] if a picture does not fit into memory.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let files = self.files(&[View::Overlay], plot::ThemeName::Light)?;
        write_report(folder.as_ref(), &files)
    }

    /// The names and contents of all files, with a picture for each of the `views` and each class (one for
    /// [`View::Classes`]); other views than the overlay are called for example `explanation-positive.png`.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`]; [`Error::Limits`] if a picture does not fit into memory;
    /// [`Error::Parameter`] for a view that the explanation has nothing for.
    pub fn files(&self, views: &[View], theme: plot::ThemeName) -> Result<Vec<(String, Vec<u8>)>> {
        self.validate()?;
        let drawing = Drawing::new(self)?;
        let warnings = self.all_warnings();
        let wanted: Vec<(View, usize)> = views
            .iter()
            .flat_map(|&view| {
                let classes = if view == View::Classes { 1 } else { self.classes.len() };
                (0..classes).map(move |class| (view, class))
            })
            .collect();
        let pictures = wanted.par_iter().map(|&(view, i)| {
            let svg = self.draw(i, &drawing, &warnings, &FigureOptions { view, theme })?;
            let number = if i == 0 { String::new() } else { format!("-{}", i + 1) };
            let stem = format!("explanation{}{number}", view.suffix());
            Ok([(format!("{stem}.png"), raster::png(&svg)?), (format!("{stem}.svg"), svg.into_bytes())])
        });
        let mut files: Vec<_> = pictures.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        files.push(("explanation.html".into(), html::page(self, &drawing, &warnings)?.into_bytes()));
        files.push(("explanation.json".into(), json::json(self, &warnings)?.into_bytes()));
        Ok(files)
    }

    fn draw(
        &self,
        class: usize,
        drawing: &Drawing,
        warnings: &[String],
        options: &FigureOptions,
    ) -> Result<String> {
        match options.view {
            View::Classes => side_by_side::figure(self, drawing, options),
            _ => figure::figure(self, &self.classes[class], drawing, warnings, options),
        }
    }

    /// The figure of the class at `position` in `classes` as SVG text.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`]; [`Error::Parameter`] if there is no such class.
    pub fn svg(&self, position: usize) -> Result<String> {
        self.figure(position, &FigureOptions::default())
    }

    /// As [`ImageReport::svg`], in another view or on dark ground.
    ///
    /// # Errors
    /// Those of [`ImageReport::svg`], and [`Error::Parameter`] for the standard errors of a method that gives none.
    pub fn figure(&self, position: usize, options: &FigureOptions) -> Result<String> {
        self.validate()?;
        if position >= self.classes.len() {
            let at = format!("class {position} of {}", self.classes.len());
            return Err(Error::parameter("there is no such explained class", at, "count from 0"));
        }
        self.draw(position, &Drawing::new(self)?, &self.all_warnings(), options)
    }

    /// The figure of the class at `position` in `classes` as the bytes of a PNG file, two pixels a
    /// point.
    ///
    /// # Errors
    /// As for [`ImageReport::svg`]; [`Error::Limits`] if it does not fit into memory.
    pub fn png(&self, position: usize) -> Result<Vec<u8>> {
        raster::png(&self.svg(position)?)
    }

    /// The page of all classes as HTML text.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`].
    pub fn html(&self) -> Result<String> {
        self.validate()?;
        html::page(self, &Drawing::new(self)?, &self.all_warnings())
    }

    /// The document of all numbers as JSON text.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`].
    pub fn json(&self) -> Result<String> {
        self.validate()?;
        json::json(self, &self.all_warnings())
    }

    /// The given warnings, and one that names the characters which the pictures cannot show.
    pub fn all_warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        let classes = self.classes.iter().map(|c| &c.name);
        let predicted = self.prediction.iter().map(|(name, _)| name);
        let texts = [&self.method, &self.network, &self.device];
        let drawn: String = classes.chain(predicted).chain(texts).map(String::as_str).collect();
        let missing = missing_glyphs(&drawn);
        if !missing.is_empty() {
            let named: Vec<String> =
                missing.iter().map(|c| format!("{c} (U+{:04X})", u32::from(*c))).collect();
            warnings.push(format!(
                "The pictures show {REPLACEMENT} for characters that their font lacks: {}.",
                named.join(", ")
            ));
        }
        warnings
    }
}

/// Writes the files of one report into `folder`, which is made if need be, and returns their paths. Pictures that a run
/// before left there and this one has not are removed: they would be taken for this run's.
///
/// # Errors
/// [`Error::Io`] naming the path that cannot be written.
pub fn write_report(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<Vec<PathBuf>> {
    let written = files.iter().map(|(name, bytes)| write_atomically(folder, name, bytes)).collect();
    for view in View::KINDS {
        for number in 1.. {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let names = ["png", "svg"].map(|ending| format!("explanation{}{suffix}.{ending}", view.suffix()));
            if files.iter().any(|(name, _)| names.contains(name)) {
                continue;
            }
            // Both, whether or not the first was there.
            let removed = names.map(|name| std::fs::remove_file(folder.join(name)).is_ok());
            if removed == [false; 2] {
                break;
            }
        }
    }
    written
}
