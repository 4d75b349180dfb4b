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
//! ([`Document::terminal`]), and drawn by [`plot`].
//!
//! There is one drawing system: pictures are SVG, the PNG is the same SVG drawn with the embedded
//! font, and the page holds the same layers.

mod archive;
mod colour;
mod convert;
pub mod document;
mod document_page;
mod document_terminal;
mod figure;
mod fonts;
mod html;
mod image_report;
mod json;
mod number;
mod outline;
mod overlay;
pub mod plot;
mod raster;
mod rows_terminal;
mod terminal;
mod write;

use std::path::{Path, PathBuf};

pub use document::Document;
pub use fonts::{FAMILY, REPLACEMENT, missing_glyphs};
pub use image_report::{ExplainedClass, ImageReport, OUTSIDE, PhotoSegments, Scale};
pub use json::SCHEMA;
pub use overlay::TOP;
pub use rows_terminal::rows_terminal;
pub use terminal::terminal;
pub use write::write_atomically;

use rayon::prelude::*;

use crate::{Error, Result};
use overlay::Drawing;

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
        self.validate()?;
        let drawing = Drawing::new(self)?;
        let warnings = self.all_warnings();
        let pictures = self.classes.par_iter().enumerate().map(|(i, class)| {
            let svg = figure::figure(self, class, &drawing, &warnings)?;
            let suffix = if i == 0 { String::new() } else { format!("-{}", i + 1) };
            let png = (format!("explanation{suffix}.png"), raster::png(&svg)?);
            Ok([png, (format!("explanation{suffix}.svg"), svg.into_bytes())])
        });
        let mut files: Vec<_> = pictures.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        files.push(("explanation.html".into(), html::page(self, &drawing, &warnings)?.into_bytes()));
        files.push(("explanation.json".into(), json::json(self, &warnings)?.into_bytes()));
        let folder = folder.as_ref();
        let written = files.iter().map(|(name, bytes)| write_atomically(folder, name, bytes)).collect();
        self.remove_surplus(folder);
        written
    }

    /// Removes pictures of further classes that a run before this one explained into the same folder: they would be
    /// taken for this run's.
    fn remove_surplus(&self, folder: &Path) {
        for number in self.classes.len() + 1.. {
            let paths = ["png", "svg"].map(|ending| folder.join(format!("explanation-{number}.{ending}")));
            if paths.iter().all(|path| std::fs::remove_file(path).is_err()) {
                break;
            }
        }
    }

    /// The figure of the class at `position` in `classes` as SVG text.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`]; [`Error::Parameter`] if there is no such class.
    pub fn svg(&self, position: usize) -> Result<String> {
        self.validate()?;
        let class = self.classes.get(position).ok_or_else(|| {
            let at = format!("class {position} of {}", self.classes.len());
            Error::parameter("there is no such explained class", at, "count from 0")
        })?;
        figure::figure(self, class, &Drawing::new(self)?, &self.all_warnings())
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
