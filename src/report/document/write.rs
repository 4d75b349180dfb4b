//! A document's files.

use std::path::{Path, PathBuf};

use super::{Document, Kind};
use crate::report::plot::{self, PlotKind, PlotOptions};
use crate::report::{archive, json, write_atomically};
use crate::{Error, Result};

impl Document {
    /// The document as JSON text; NaN becomes `null`.
    ///
    /// # Errors
    /// Those of [`Document::validate`].
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        json::text(self)
    }

    /// The effects as CSV, one line for each instance, output and player.
    ///
    /// # Errors
    /// Those of [`Document::validate`]; [`Error::Limits`] if it cannot be written.
    pub fn csv(&self) -> Result<String> {
        self.validate()?;
        let fail = |error: String| {
            Error::limits(format!("cannot write CSV: {error}"), "explanation.csv", "report this as a bug")
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = [
            "row",
            "output",
            "output_name",
            "feature",
            "value",
            "effect",
            "standard_error",
            "condition",
            "prediction",
            "base_value",
        ];
        writer.write_record(header).map_err(|e| fail(e.to_string()))?;
        for instance in &self.instances {
            for output in &instance.outputs {
                for (player, feature) in self.features.iter().enumerate() {
                    let error = output.standard_error(player);
                    let record = [
                        instance.row.map_or(String::new(), |row| row.to_string()),
                        output.index.to_string(),
                        output.name.clone(),
                        feature.name.clone(),
                        instance.values[player].clone(),
                        output.values[player].to_string(),
                        error.map_or(String::new(), |error| error.to_string()),
                        output
                            .conditions
                            .as_ref()
                            .map_or(String::new(), |conditions| conditions[player].clone()),
                        output.prediction.to_string(),
                        output.base_value.to_string(),
                    ];
                    writer.write_record(record).map_err(|e| fail(e.to_string()))?;
                }
            }
        }
        let bytes = writer.into_inner().map_err(|e| fail(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| fail(e.to_string()))
    }

    /// The plot that says most: a text's tokens, a LIME explanation's conditions, one row's waterfall, many rows' beeswarm.
    pub fn main_plot(&self) -> PlotKind {
        let conditions = self.instances.iter().flat_map(|i| &i.outputs).all(|o| o.conditions.is_some());
        match (self.kind, self.instances.len()) {
            (Kind::Text, _) => PlotKind::Tokens,
            (_, 2..) => PlotKind::Beeswarm,
            _ if conditions => PlotKind::Conditions,
            _ => PlotKind::Waterfall,
        }
    }

    /// Writes `explanation.json`, `.csv`, `.npz`, `.html` (the page) and [`Document::main_plot`] of the first output as `.svg` and
    /// `.png` into `folder`, which is made if need be, and returns their paths. All content is made before the first file is
    /// written, and each file appears whole or not at all.
    ///
    /// # Errors
    /// Those of [`Document::validate`]; [`Error::Io`] naming the path that cannot be written; [`Error::Limits`] if the picture does not
    /// fit into memory.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let (kind, options) = (self.main_plot(), PlotOptions::default());
        let files = [
            ("explanation.json", self.to_json()?.into_bytes()),
            ("explanation.csv", self.csv()?.into_bytes()),
            ("explanation.npz", archive::npz(self)?),
            ("explanation.html", self.html()?.into_bytes()),
            ("explanation.svg", plot::svg(self, kind, &options)?.into_bytes()),
            ("explanation.png", plot::png(self, kind, &options)?),
        ];
        files.iter().map(|(name, bytes)| write_atomically(folder.as_ref(), name, bytes)).collect()
    }
}
