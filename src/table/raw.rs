//! A CSV file as text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// What stands for a missing value, whatever its case; an empty cell is one too.
const MISSING: [&str; 6] = ["na", "n/a", "nan", "null", "none", "?"];

/// Whether a cell's text stands for a missing value: empty, `NA`, `N/A`, `NaN`, `null`, `None` or `?`.
pub fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// A table with named columns, each cell as text without the spaces around it.
///
/// # Example
/// ```
/// use whybox::table::RawTable;
///
/// let table = RawTable::parse(b"name,age\r\n\"Doe, Jane\",41\r\n", "people.csv")?;
/// assert_eq!(table.columns(), ["name", "age"]);
/// assert_eq!(table.cell(0, 0), "Doe, Jane");
/// let table = table.without(&["name".into()])?;
/// assert_eq!((table.rows(), table.columns().len()), (1, 1));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTable {
    name: String,
    columns: Vec<String>,
    /// The cells' texts without anything between them, row by row: a million rows are no million small allocations.
    text: String,
    /// Where each cell ends in it.
    ends: Vec<usize>,
}

impl RawTable {
    /// Reads a CSV file in UTF-8 with one header line: commas, double quotes, any line end.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; else as [`RawTable::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let file = File::open(&path).map_err(|error| unreadable(&error, &at))?;
        Self::parse_from(file, &at)
    }

    /// Reads CSV text; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for text that is not UTF-8, rows of another length than the header, no row, no column, or
    /// two columns of one name.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        Self::parse_from(bytes, name)
    }

    /// The reader leaves out a byte order mark.
    fn parse_from(source: impl Read, name: &str) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
        let columns: Vec<String> =
            reader.headers().map_err(|error| damaged(&error, name))?.iter().map(str::to_owned).collect();
        if columns.is_empty() || columns.iter().all(String::is_empty) {
            return Err(Error::parameter(
                "the table is empty",
                name,
                "give a CSV file with a header line and at least one row",
            ));
        }
        for (at, column) in columns.iter().enumerate() {
            let what = if column.is_empty() {
                format!("column {} has no name", at + 1)
            } else if columns[..at].contains(column) {
                format!("two columns are called {column:?}")
            } else if column.parse::<f64>().is_ok() {
                format!("the header names a column {column:?}, which is a number")
            } else {
                continue;
            };
            return Err(Error::parameter(what, name, "give each column a name of its own in the first line"));
        }
        let mut table = RawTable { name: name.to_owned(), columns, text: String::new(), ends: Vec::new() };
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| damaged(&error, name))? {
            record.iter().for_each(|cell| table.push(cell));
        }
        if table.ends.is_empty() {
            return Err(Error::parameter(
                "the table has a header and no rows",
                name,
                "give at least one row",
            ));
        }
        Ok(table)
    }

    /// Appends a cell.
    fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    /// What the table is called in errors: its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows, the header not counted.
    pub fn rows(&self) -> usize {
        self.ends.len() / self.columns.len()
    }

    /// The text of a cell.
    ///
    /// # Panics
    /// If the row or the column does not exist.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        assert!(column < self.columns.len(), "column {column} of {}", self.columns.len());
        let place = row * self.columns.len() + column;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.text[start..self.ends[place]]
    }

    /// The cells of a column, from the first row on.
    pub fn column(&self, column: usize) -> impl Iterator<Item = &str> {
        (0..self.rows()).map(move |row| self.cell(row, column))
    }

    /// The place of a column.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the columns there are.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            Error::parameter(
                format!("the table has no column {name:?}"),
                self.name.clone(),
                format!("its columns are: {}", self.columns.join(", ")),
            )
        })
    }

    /// The same table without some columns.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one does not exist, or none would be left.
    pub fn without(&self, names: &[String]) -> Result<Self> {
        let dropped: Vec<usize> = names.iter().map(|name| self.find(name)).collect::<Result<_>>()?;
        let kept: Vec<usize> = (0..self.columns.len()).filter(|column| !dropped.contains(column)).collect();
        if kept.is_empty() {
            return Err(Error::parameter(
                "no column is left",
                self.name.clone(),
                "keep at least one column besides --target and --drop",
            ));
        }
        Ok(self.select(&kept))
    }

    fn select(&self, kept: &[usize]) -> Self {
        let mut table = RawTable {
            name: self.name.clone(),
            columns: kept.iter().map(|&column| self.columns[column].clone()).collect(),
            text: String::new(),
            ends: Vec::with_capacity(self.rows() * kept.len()),
        };
        for row in 0..self.rows() {
            kept.iter().for_each(|&column| table.push(self.cell(row, column)));
        }
        table
    }
}

fn unreadable(error: &std::io::Error, at: &str) -> Error {
    Error::io(format!("the table cannot be read: {error}"), at, "check the path")
}

fn damaged(error: &csv::Error, name: &str) -> Error {
    let line = |position: &Option<csv::Position>| {
        position.as_ref().map_or(name.to_owned(), |position| format!("{name}, line {}", position.line()))
    };
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            Error::parameter("the table is no UTF-8 text", line(pos), "save it in UTF-8")
        }
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Error::parameter(
            format!("{len} cells, where the header names {expected_len} columns"),
            line(pos),
            "give every row one cell a column, separated by commas; cells with commas in double quotes",
        ),
        csv::ErrorKind::Io(error) => unreadable(error, name),
        _ => Error::parameter(format!("the table cannot be read: {error}"), name, "check the file"),
    }
}
