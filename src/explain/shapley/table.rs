//! The values of all coalitions, kept.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use ndarray::Array2;
use npyz::WriterBuilder;

use super::super::Game;
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// The values of all `2^n` coalitions of a game: itself a game, which evaluates nothing.
///
/// # Example
/// ```
/// use whybox::explain::{CoalitionValues, Estimator, ExactShapley, FunctionGame};
///
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().filter(|&&p| p).count().pow(2) as f64;
/// });
/// let exact = ExactShapley::default();
/// let kept = exact.coalition_values(&game, &mut |_| {})?;
/// assert_eq!(kept.values()[[0b111, 0]], 9.0);
/// let explanation = exact.explain(&kept, &mut |_| {})?;
/// assert!(explanation.attributions[0].values.iter().all(|value| (value - 3.0).abs() < 1e-12));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CoalitionValues {
    players: usize,
    values: Array2<f64>,
}

impl CoalitionValues {
    /// Takes `[2^players, outputs]`: bit i of a row's number says that player i is present.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are not 2^players rows.
    pub fn new(players: usize, values: Array2<f64>) -> Result<Self> {
        if players > 30 || values.nrows() != 1 << players {
            return Err(Error::parameter(
                format!("{} rows are not the coalitions of {players} players", values.nrows()),
                "coalition values",
                "give 2^players rows, for at most 30 players",
            ));
        }
        Ok(CoalitionValues { players, values })
    }

    /// `[2^players, outputs]`: bit i of a row's number says that player i is present.
    pub fn values(&self) -> &Array2<f64> {
        &self.values
    }

    /// Writes the values as a `.npy` file of float64, `[2^players, outputs]`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let wrong = |error: std::io::Error| {
            Error::io(
                format!("cannot write: {error}"),
                path.display().to_string(),
                "choose a place that can be written",
            )
        };
        let shape = [self.values.nrows() as u64, self.values.ncols() as u64];
        let file = BufWriter::new(File::create(path).map_err(wrong)?);
        let mut writer =
            npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd().map_err(wrong)?;
        writer.extend(self.values.iter().copied()).map_err(wrong)?;
        writer.finish().map_err(wrong)
    }

    /// Reads what [`CoalitionValues::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Parameter`] if it holds no such table.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |error: std::io::Error| {
            Error::io(
                format!("cannot read: {error}"),
                path.display().to_string(),
                "give a .npy file of float64",
            )
        };
        let file = BufReader::new(File::open(path).map_err(wrong)?);
        let table = npyz::NpyFile::new(file).map_err(wrong)?;
        let shape: Vec<usize> = table.shape().iter().map(|&n| n as usize).collect();
        let c_order = table.order() == npyz::Order::C;
        let values: Vec<f64> = table.into_vec().map_err(wrong)?;
        match (shape.as_slice(), c_order) {
            (&[rows, outputs], true) if rows.is_power_of_two() => {
                let values = Array2::from_shape_vec((rows, outputs), values).map_err(|error| {
                    Error::parameter(error.to_string(), path.display().to_string(), "write the file again")
                })?;
                CoalitionValues::new(rows.ilog2() as usize, values)
            }
            _ => Err(Error::parameter(
                format!("an array of shape {shape:?} is no table of coalition values"),
                path.display().to_string(),
                "give [2^players, outputs] in C order",
            )),
        }
    }
}

impl Game for CoalitionValues {
    fn players(&self) -> usize {
        self.players
    }

    fn outputs(&self) -> usize {
        self.values.ncols()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        if coalitions.players() != self.players {
            return Err(Error::parameter(
                format!("coalitions of {} players", coalitions.players()),
                format!("a table of {} players", self.players),
                "ask with as many players as the table has",
            ));
        }
        // At most 30 players: a coalition is one word, and its number.
        let rows: Vec<usize> = coalitions.words().iter().map(|&word| word as usize).collect();
        Ok(self.values.select(ndarray::Axis(0), &rows))
    }
}
