//! A CSV file as text.

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
    /// Row by row.
    cells: Vec<String>,
}

impl RawTable {
    /// Reads a CSV file in UTF-8 with one header line: commas, double quotes, any line end.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; else as [`RawTable::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let bytes = std::fs::read(&path).map_err(|error| {
            Error::io(format!("the table cannot be read: {error}"), &at, "check the path")
        })?;
        Self::parse(&bytes, &at)
    }

    /// Reads CSV text; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for text that is not UTF-8, rows of another length than the header, no row, no column, or
    /// two columns of one name.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
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
        let mut cells = Vec::new();
        for record in reader.records() {
            cells.extend(record.map_err(|error| damaged(&error, name))?.iter().map(str::to_owned));
        }
        if cells.is_empty() {
            return Err(Error::parameter(
                "the table has a header and no rows",
                name,
                "give at least one row",
            ));
        }
        Ok(RawTable { name: name.to_owned(), columns, cells })
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
        self.cells.len() / self.columns.len()
    }

    /// The text of a cell.
    ///
    /// # Panics
    /// If the row or the column does not exist.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        assert!(column < self.columns.len(), "column {column} of {}", self.columns.len());
        &self.cells[row * self.columns.len() + column]
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
        let rows = 0..self.rows();
        RawTable {
            name: self.name.clone(),
            columns: kept.iter().map(|&column| self.columns[column].clone()).collect(),
            cells: rows
                .flat_map(|row| kept.iter().map(move |&column| self.cell(row, column).to_owned()))
                .collect(),
        }
    }
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
        _ => Error::parameter(format!("the table cannot be read: {error}"), name, "check the file"),
    }
}
