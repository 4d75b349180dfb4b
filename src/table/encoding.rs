//! How a file's columns become a network's numbers. `docs/tables.md` describes the file.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::raw::{RawTable, is_missing};
use crate::{Error, Result};

/// Categories of a column at most, where they are inferred: more are more likely names or free text.
const MOST_CATEGORIES: usize = 1000;

/// What stands for a missing cell.
///
/// # Example
/// ```
/// use whybox::table::{Encoding, Missing, RawTable};
///
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), "age,sex\n30,f\n,m\n50,f\n").unwrap();
/// let table = RawTable::read(file.path())?;
/// let strict = Encoding::infer(&table, Missing::Error, None).and_then(|encoding| encoding.codes(&table));
/// assert!(strict.is_err());
/// let encoding = Encoding::infer(&table, Missing::Median, None)?;
/// assert_eq!(encoding.codes(&table)?[[1, 0]], 40.0);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Nothing: a missing cell is an error.
    #[default]
    Error,
    /// The column's median; the most frequent category where the column has categories.
    Median,
    /// The column's most frequent value.
    MostFrequent,
}

/// How one column is read.
///
/// # Example
/// ```
/// use whybox::table::{Encoding, Kind};
///
/// let text = "[[column]]\nname = \"sex\"\ntype = \"one-hot\"\ncategories = [\"f\", \"m\"]\n";
/// let encoding = Encoding::parse(text, "encoding.toml")?;
/// assert_eq!(encoding.columns()[0].kind, Kind::OneHot);
/// assert_eq!(encoding.expand(ndarray::array![[1.0]].view()), ndarray::array![[0.0, 1.0]]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The cell is a number, and so is what the network reads.
    Number,
    /// One network column for each category: 1 where the cell is that category, else 0.
    OneHot,
    /// One network column: the category's number.
    Ordinal,
}

/// One column of the file.
///
/// # Example
/// ```
/// use whybox::table::{ColumnEncoding, Kind};
///
/// let column = ColumnEncoding {
///     name: "size".into(),
///     kind: Kind::Ordinal,
///     categories: ["small", "large"].map(String::from).to_vec(),
///     values: vec![0.0, 10.0],
///     fill: Some("small".into()),
/// };
/// assert!(column.is_categorical());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnEncoding {
    /// The column's name in the file.
    pub name: String,
    /// How it is read.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The categories in the network's order; none for numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// For ordinal columns: the number of each category; 0, 1, 2, … if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f64>,
    /// What a missing cell is read as: a number or a category. Without it a missing cell is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<String>,
}

/// How a table becomes rows of numbers: one entry for each column that the network reads, in its order.
///
/// # Example
/// ```
/// use whybox::table::Encoding;
///
/// let encoding = Encoding::parse(
///     "[[column]]\nname = \"sex\"\ntype = \"ordinal\"\ncategories = [\"f\", \"m\"]\n",
///     "encoding.toml",
/// )?;
/// assert_eq!(encoding.width(), 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    #[serde(rename = "column")]
    columns: Vec<ColumnEncoding>,
}

impl Encoding {
    /// Reads an encoding file (TOML).
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; else as [`Encoding::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::io(format!("the encoding cannot be read: {error}"), &at, "check the path")
        })?;
        Self::parse(&text, &at)
    }

    /// Reads the text of an encoding file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for text that is no encoding, or one that contradicts itself.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let encoding: Encoding = toml::from_str(text).map_err(|error| {
            Error::parameter(
                format!("this is no encoding: {}", error.message()),
                name,
                "write one [[column]] for each column, as in docs/tables.md",
            )
        })?;
        encoding.check(name)?;
        Ok(encoding)
    }

    /// The text of the encoding file.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| {
            Error::parameter(
                format!("the encoding cannot be written: {error}"),
                "encoding",
                "report this as a bug",
            )
        })
    }

    /// Reads the kinds off the cells: a column whose cells are all numbers is one; any other has categories, sorted.
    ///
    /// Categories are one-hot columns, unless the network's `width` is the number of the file's columns: then they
    /// are ordinal. Missing cells do not count, but decide what is filled in, as `missing` says.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a column without a value, one with too many categories, and widths that do not fit.
    pub fn infer(raw: &RawTable, missing: Missing, width: Option<usize>) -> Result<Self> {
        let mut columns = Vec::with_capacity(raw.columns().len());
        for (at, name) in raw.columns().iter().enumerate() {
            columns.push(infer_column(raw, at, name, missing)?);
        }
        let mut encoding = Encoding { columns };
        if width == Some(encoding.columns.len()) {
            for column in &mut encoding.columns {
                if column.kind == Kind::OneHot {
                    column.kind = Kind::Ordinal;
                }
            }
        }
        match width {
            Some(width) => encoding.check_width(width, raw.name()).map(|()| encoding),
            None => Ok(encoding),
        }
    }

    /// One entry for each feature.
    pub fn columns(&self) -> &[ColumnEncoding] {
        &self.columns
    }

    /// Number of features: columns of the file that the network reads.
    pub fn features(&self) -> usize {
        self.columns.len()
    }

    /// Numbers in a row of the network.
    pub fn width(&self) -> usize {
        self.columns.iter().map(ColumnEncoding::width).sum()
    }

    /// The network columns of each feature.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let mut next = 0;
        let group = |column: &ColumnEncoding| {
            let first = next;
            next += column.width();
            (first..next).collect()
        };
        self.columns.iter().map(group).collect()
    }

    /// Names of the network's columns: the feature's, and `feature=category` for one-hot columns.
    pub fn names(&self) -> Vec<String> {
        let names = |column: &ColumnEncoding| match column.kind {
            Kind::OneHot => {
                column.categories.iter().map(|category| format!("{}={category}", column.name)).collect()
            }
            _ => vec![column.name.clone()],
        };
        self.columns.iter().flat_map(names).collect()
    }

    /// Checks that rows fit a network.
    ///
    /// # Errors
    /// [`Error::Parameter`] that lists the columns and their widths.
    pub fn check_width(&self, width: usize, at: &str) -> Result<()> {
        if self.width() == width {
            return Ok(());
        }
        let describe = |column: &ColumnEncoding| match column.width() {
            1 => column.name.clone(),
            many => format!("{} ({many})", column.name),
        };
        let columns: Vec<String> = self.columns.iter().map(describe).collect();
        Err(Error::parameter(
            format!("the table gives {} numbers a row, the network takes {width}", self.width()),
            at,
            format!(
                "leave columns out with --drop or --target, or say with --encoding which are read and how; \
                 read are: {}",
                columns.join(", ")
            ),
        ))
    }

    /// Reads a table: `[rows, features]`, numbers as they are, categories by their place in the list.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a column that the table has not, and for a cell that is missing without a fill, no finite
    /// number, or of an unknown category; each names row and column.
    pub fn codes(&self, raw: &RawTable) -> Result<Array2<f64>> {
        let mut codes = Array2::zeros((raw.rows(), self.features()));
        for (feature, column) in self.columns.iter().enumerate() {
            let place = raw.find(&column.name)?;
            for (row, cell) in raw.column(place).enumerate() {
                codes[[row, feature]] = column.code(cell).map_err(|(what, remedy)| {
                    Error::parameter(
                        what,
                        format!("{}, row {row}, column {}", raw.name(), column.name),
                        remedy,
                    )
                })?;
            }
        }
        Ok(codes)
    }

    /// Rows as the network reads them, `[rows, width]`, from codes as [`Encoding::codes`] gives.
    ///
    /// # Panics
    /// If `codes` has not [`Encoding::features`] columns.
    pub fn expand(&self, codes: ArrayView2<f64>) -> Array2<f64> {
        assert_eq!(codes.ncols(), self.features(), "one code for each feature");
        let mut rows = Array2::zeros((codes.nrows(), self.width()));
        for (codes, mut row) in codes.axis_iter(Axis(0)).zip(rows.axis_iter_mut(Axis(0))) {
            let mut at = 0;
            for (&code, column) in codes.iter().zip(&self.columns) {
                match column.kind {
                    Kind::Number => row[at] = code,
                    Kind::Ordinal => row[at] = column.values.get(code as usize).copied().unwrap_or(code),
                    Kind::OneHot => row[at + (code as usize).min(column.categories.len() - 1)] = 1.0,
                }
                at += column.width();
            }
        }
        rows
    }

    /// What a code means: the number, or the category.
    pub fn text(&self, feature: usize, code: f64) -> String {
        let column = &self.columns[feature];
        column.categories.get(code as usize).cloned().unwrap_or_else(|| code.to_string())
    }

    fn check(&self, at: &str) -> Result<()> {
        let broken = |what: String| Err(Error::parameter(what, at, "see docs/tables.md"));
        if self.columns.is_empty() {
            return broken("the encoding has no columns".into());
        }
        for (place, column) in self.columns.iter().enumerate() {
            let name = &column.name;
            if self.columns[..place].iter().any(|other| other.name == *name) {
                return broken(format!("column {name:?} comes twice"));
            }
            let (categories, values) = (column.categories.len(), column.values.len());
            if (column.kind == Kind::Number) != (categories == 0) {
                return broken(format!(
                    "column {name:?}: one-hot and ordinal columns have categories, numbers have none"
                ));
            }
            if values > 0 && (column.kind != Kind::Ordinal || values != categories) {
                return broken(format!(
                    "column {name:?}: values are for ordinal columns, one for each category"
                ));
            }
            let repeated = |at: usize| column.categories[..at].contains(&column.categories[at]);
            if let Some(category) = (0..categories).find(|&at| repeated(at)) {
                return broken(format!(
                    "column {name:?}: category {:?} comes twice",
                    column.categories[category]
                ));
            }
            if let Some(fill) = &column.fill
                && (is_missing(fill) || column.code(fill).is_err())
            {
                return broken(format!("column {name:?}: the fill {fill:?} is no value of it"));
            }
        }
        Ok(())
    }
}

impl ColumnEncoding {
    /// Network columns that it takes.
    pub fn width(&self) -> usize {
        if self.kind == Kind::OneHot { self.categories.len() } else { 1 }
    }

    /// Whether it has categories.
    pub fn is_categorical(&self) -> bool {
        self.kind != Kind::Number
    }

    /// The code of a cell, or what is wrong and what to do.
    fn code(&self, cell: &str) -> Result<f64, (String, String)> {
        // A category may well be called "none".
        let known = |cell: &str| self.categories.iter().position(|category| category == cell);
        if let Some(place) = known(cell) {
            return Ok(place as f64);
        }
        if is_missing(cell) {
            return match &self.fill {
                Some(fill) => self.code(fill),
                None => Err((
                    format!("the value {cell:?} is missing"),
                    "fill it in, or state with --missing median or most-frequent what stands for it".into(),
                )),
            };
        }
        if self.is_categorical() {
            let known = self.categories.join(", ");
            return Err((
                format!("{cell:?} is no category of this column"),
                format!("known are: {known}; state others in the encoding file"),
            ));
        }
        match cell.parse::<f64>() {
            Ok(number) if (number as f32).is_finite() => Ok(number),
            Ok(_) => Err((format!("{cell:?} is not finite in 32 bits"), "give finite numbers".into())),
            Err(_) => Err((
                format!("{cell:?} is no number"),
                "write numbers with a decimal point, or give the column categories in the encoding file"
                    .into(),
            )),
        }
    }
}

fn infer_column(raw: &RawTable, at: usize, name: &str, missing: Missing) -> Result<ColumnEncoding> {
    let present: Vec<&str> = raw.column(at).filter(|cell| !is_missing(cell)).collect();
    if present.is_empty() {
        return Err(Error::parameter(
            format!("column {name:?} has no value"),
            raw.name(),
            "leave it out with --drop",
        ));
    }
    let numbers: Option<Vec<f64>> = present.iter().map(|cell| cell.parse().ok()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    present.iter().for_each(|cell| *counts.entry(cell).or_default() += 1);
    // The first of the most frequent ones, in the order of the alphabet.
    let most = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(cell, _)| (*cell).to_owned());
    if numbers.is_none() && counts.len() > MOST_CATEGORIES {
        return Err(Error::parameter(
            format!("column {name:?} has {} different texts", counts.len()),
            raw.name(),
            "leave it out with --drop, or list its categories in an encoding file",
        ));
    }
    let kind = if numbers.is_some() { Kind::Number } else { Kind::OneHot };
    let fill = match (missing, &numbers) {
        (Missing::Error, _) => None,
        (Missing::Median, Some(numbers)) => Some(median(numbers).to_string()),
        _ => most,
    };
    let categories =
        if numbers.is_some() { Vec::new() } else { counts.keys().map(|&cell| cell.to_owned()).collect() };
    Ok(ColumnEncoding { name: name.to_owned(), kind, categories, values: Vec::new(), fill })
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { sorted[middle - 1].midpoint(sorted[middle]) }
}
