//! Which rows are meant: `3`, `10-20`, `all`.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A choice of rows, counted from 0.
///
/// # Example
/// ```
/// use whybox::table::RowChoice;
///
/// let choice: RowChoice = "3,10-12".parse()?;
/// assert_eq!(choice.rows(20)?, [3, 10, 11, 12]);
/// assert!(choice.rows(12).is_err());
/// assert_eq!("all".parse::<RowChoice>()?.rows(2)?, [0, 1]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChoice {
    /// Every row.
    All,
    /// First and last row of each stretch, both included.
    Given(Vec<(usize, usize)>),
}

impl RowChoice {
    /// The rows of a table of `count` rows, in the order given; a row that is named twice comes once.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a row that does not exist.
    pub fn rows(&self, count: usize) -> Result<Vec<usize>> {
        let RowChoice::Given(stretches) = self else { return Ok((0..count).collect()) };
        let mut seen = vec![false; count];
        let mut rows = Vec::new();
        for &(first, last) in stretches {
            if last >= count {
                return Err(Error::parameter(
                    format!("there is no row {last}"),
                    format!("--rows {self}"),
                    format!("the table has the rows 0 to {}", count.saturating_sub(1)),
                ));
            }
            rows.extend((first..=last).filter(|&row| !std::mem::replace(&mut seen[row], true)));
        }
        Ok(rows)
    }
}

impl FromStr for RowChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == "all" {
            return Ok(RowChoice::All);
        }
        let number = |part: &str| part.trim().parse::<usize>().ok();
        let stretch = |part: &str| match part.split_once('-') {
            Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(a, b)| a <= b),
            None => number(part).map(|row| (row, row)),
        };
        let stretches: Option<Vec<_>> = text.split(',').map(stretch).collect();
        stretches.map(RowChoice::Given).ok_or_else(|| {
            Error::parameter(
                format!("{text:?} names no rows"),
                format!("--rows {text}"),
                "write rows counted from 0, for example 3 or 3,10-20 or all",
            )
        })
    }
}

impl fmt::Display for RowChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowChoice::Given(stretches) = self else { return f.write_str("all") };
        let parts: Vec<String> = (stretches.iter())
            .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
            .collect();
        f.write_str(&parts.join(","))
    }
}
