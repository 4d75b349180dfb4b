//! What stands for an absent feature: rows of the same kind, with weights.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2, Axis};
use rand::Rng;

use super::kmeans::kmeans;
use super::{Encoding, RawTable};
use crate::perturb::philox::Philox;
use crate::{Error, Result};

/// The stream that background rows are drawn from.
const STREAM: u32 = 19;

/// Which rows the background has.
///
/// # Example
/// ```
/// use whybox::table::BackgroundChoice;
///
/// assert_eq!("kmeans:10".parse::<BackgroundChoice>()?, BackgroundChoice::KMeans(10));
/// assert_eq!("100".parse::<BackgroundChoice>()?, BackgroundChoice::Sample(100));
/// assert_eq!("all".parse::<BackgroundChoice>()?, BackgroundChoice::All);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackgroundChoice {
    /// All rows of the table.
    All,
    /// So many rows of the table, drawn without replacement; all of them if there are no more.
    Sample(usize),
    /// So many k-means centres of the table, weighted by their clusters' shares; see [`kmeans`].
    KMeans(usize),
    /// The rows of another CSV file with the same columns.
    File(PathBuf),
}

/// Rows as the network reads them `[B, width]`, and their weights `[B]`, which sum to 1.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::table::{BackgroundChoice, Encoding};
///
/// let text = "[[column]]\nname = \"age\"\ntype = \"number\"\n";
/// let encoding = Encoding::parse(text, "encoding.toml")?;
/// let table = array![[1.0], [2.0], [9.0]];
/// let background = BackgroundChoice::All.rows(table.view(), &encoding, 0)?;
/// assert_eq!(background.rows, table);
/// assert!((background.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BackgroundRows {
    /// `[B, width]`
    pub rows: Array2<f64>,
    /// `[B]`
    pub weights: Vec<f64>,
}

impl BackgroundChoice {
    /// The rows that are chosen; `table` holds those of the table `[N, width]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for zero rows, more centres than rows, or a file whose columns or cells do not fit;
    /// [`Error::Io`] for a file that cannot be read.
    pub fn rows(&self, table: ArrayView2<f64>, encoding: &Encoding, seed: u64) -> Result<BackgroundRows> {
        let even = |rows: Array2<f64>| {
            let weights = vec![1.0 / rows.nrows() as f64; rows.nrows()];
            BackgroundRows { rows, weights }
        };
        match self {
            BackgroundChoice::All => Ok(even(table.to_owned())),
            BackgroundChoice::Sample(0) => Err(Error::parameter(
                "a background without rows",
                "--background 0",
                "ask for at least 1; 100 is usual",
            )),
            BackgroundChoice::Sample(count) => {
                Ok(even(table.select(Axis(0), &sample(table.nrows(), *count, seed))))
            }
            BackgroundChoice::KMeans(k) => {
                let (rows, weights) = kmeans(table, *k, seed)?;
                Ok(BackgroundRows { rows, weights })
            }
            BackgroundChoice::File(path) => {
                let codes = encoding.codes(&RawTable::read(path)?)?;
                Ok(even(encoding.expand(codes.view())))
            }
        }
    }
}

/// `count` of `total` places without replacement, ascending: the first of a shuffle.
fn sample(total: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..total).collect();
    let mut draws = Philox::new(seed, STREAM);
    for at in 0..count.min(total) {
        let left = (total - at) as u128;
        let step = (u128::from(draws.next_u64()) * left) >> 64;
        places.swap(at, at + step as usize);
    }
    places.truncate(count);
    places.sort_unstable();
    places
}

impl FromStr for BackgroundChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(BackgroundChoice::All);
        }
        if let Some(k) = text.strip_prefix("kmeans:") {
            return k.parse().map(BackgroundChoice::KMeans).map_err(|_| {
                Error::parameter(
                    format!("{k:?} is no number of centres"),
                    format!("--background {text}"),
                    "write for example kmeans:10",
                )
            });
        }
        Ok(text.parse().map_or_else(|_| BackgroundChoice::File(text.into()), BackgroundChoice::Sample))
    }
}

impl fmt::Display for BackgroundChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackgroundChoice::All => f.write_str("all"),
            BackgroundChoice::Sample(count) => write!(f, "{count}"),
            BackgroundChoice::KMeans(k) => write!(f, "kmeans:{k}"),
            BackgroundChoice::File(path) => write!(f, "{}", path.display()),
        }
    }
}
