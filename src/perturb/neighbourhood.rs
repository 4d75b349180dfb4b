//! LIME's neighbourhood of a table's row.
//!
//! A row of the neighbourhood is a pure function of `(seed, row)`: cell `f` of row `r` takes two 53-bit uniform numbers from the four
//! lanes of [`philox4x32_10`] at
//!
//! ```text
//! counter = (r low, r high, f, NEIGHBOURHOOD_STREAM)      key = (seed low, seed high)
//! ```
//!
//! so it depends neither on chunks nor on threads. Normal draws go through [`normal_quantile`](super::normal_quantile) on the host, in f64.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{Array2, ArrayView2, Axis};
use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::bins::{Bins, Discretiser};
use super::column::{Column, Lanes, TILE, uniforms};
use super::philox::{halves, philox4x32_10};
use crate::{Error, Result};

/// The stream of the Latin hypercube's permutations.
const HYPERCUBE_STREAM: u32 = 17;

/// How cells are drawn.
///
/// # Example
/// ```
/// use ndarray::Array2;
/// use whybox::perturb::{Around, CellSampling, Discretiser, Neighbourhood};
///
/// let table = Array2::from_shape_fn((100, 1), |(row, _)| row as f64);
/// let mean = |sampling| -> whybox::Result<f64> {
///     let around = Neighbourhood::new(table.view(), &[false], Discretiser::None, None)?.with(sampling, Around::Mean);
///     Ok(around.draw(&[0.0], 1..1001, 1001, 3).codes.sum() / 1000.0)
/// };
/// // Even strata bring the sample's mean near to the table's, 49.5.
/// let off = |mean: f64| (mean - 49.5).abs();
/// assert!(off(mean(CellSampling::LatinHypercube)?) < 0.3);
/// assert!(off(mean(CellSampling::Independent)?) < 5.0);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CellSampling {
    /// Independently, as in `lime`.
    #[default]
    Independent,
    /// On a Latin hypercube: each cell's draws fall once into each of as many equal strata as there are rows, so that
    /// every column alone is sampled evenly.
    ///
    /// Source: M. McKay, R. Beckman and W. Conover, Technometrics 21 (1979), 239-245.
    LatinHypercube,
}

/// Where columns of numbers that are not cut into bins are drawn around.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::{Around, CellSampling, Discretiser, Neighbourhood};
///
/// let table = array![[0.0], [1.0], [2.0]];
/// let mean = |around| -> whybox::Result<f64> {
///     let plain = Neighbourhood::new(table.view(), &[false], Discretiser::None, None)?;
///     let rows = plain.with(CellSampling::Independent, around).draw(&[100.0], 1..201, 201, 0);
///     Ok(rows.codes.sum() / 200.0)
/// };
/// assert!((mean(Around::Mean)? - 1.0).abs() < 1.0 && (mean(Around::Instance)? - 100.0).abs() < 1.0);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Around {
    /// The table's mean, as in `lime`.
    #[default]
    Mean,
    /// The instance.
    Instance,
}

/// What a table says about the neighbourhood of any of its rows.
///
/// A column with categories is drawn from the table's shares. A column of numbers is cut into bins, drawn from their shares,
/// then from a normal distribution with the bin's mean and standard deviation that is cut off at the bin's ends; without
/// a discretiser it is drawn from a normal distribution with the table's standard deviation.
///
/// Source: `LimeTabularExplainer.__data_inverse` and `BaseDiscretizer` of `lime` 0.2.0.1. Where all of a bin is one value, `lime` puts
/// 0 instead of that value; here it is the value.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::{Discretiser, Neighbourhood};
///
/// let table = array![[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 0.0]];
/// let neighbourhood = Neighbourhood::new(table.view(), &[false, true], Discretiser::Quartile, None)?;
/// let all = neighbourhood.draw(&[2.0, 1.0], 0..100, 100, 7);
/// assert_eq!(all.codes.row(0).to_vec(), [2.0, 1.0]);
/// assert_eq!(all.data.row(0).to_vec(), [1.0, 1.0]);
/// assert_eq!(neighbourhood.draw(&[2.0, 1.0], 40..60, 100, 7).codes, all.codes.slice(ndarray::s![40..60, ..]));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbourhood {
    columns: Vec<Column>,
    sampling: CellSampling,
    around: Around,
    spare: Spare,
}

/// Memory of rows that were drawn before: clearing the pages of fresh memory takes half as long as drawing.
#[derive(Debug, Default)]
struct Spare(Mutex<Vec<Vec<f64>>>);

/// Cells of the rows whose memory is kept, at most.
const KEPT_CELLS: usize = 1 << 18;

impl Spare {
    /// `len` numbers of any value.
    fn take(&self, len: usize) -> Vec<f64> {
        let mut cells = self.lists().pop().unwrap_or_default();
        cells.resize(len, 0.0);
        cells
    }

    fn keep(&self, cells: Array2<f64>) {
        let mut lists = self.lists();
        if cells.len() <= KEPT_CELLS && lists.len() < 2 {
            lists.push(cells.into_raw_vec_and_offset().0);
        }
    }

    fn lists(&self) -> MutexGuard<'_, Vec<Vec<f64>>> {
        // Whatever a panic left there is overwritten before it is read.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Spare {
    fn clone(&self) -> Self {
        Spare::default()
    }
}

impl PartialEq for Spare {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Some rows of a neighbourhood.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::{Discretiser, Neighbourhood};
///
/// let table = array![[0.0], [1.0], [1.0]];
/// let rows = Neighbourhood::new(table.view(), &[true], Discretiser::Quartile, None)?.draw(&[1.0], 0..50, 50, 0);
/// // The surrogate sees whether the category is the instance's, the black box the category.
/// assert_eq!(rows.data, rows.codes.mapv(|code| f64::from(u8::from(code == 1.0))));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// What the surrogate sees, `[rows, features]`: 1 where the cell has the instance's category or bin, else 0; numbers
    /// less the table's mean over its standard deviation.
    pub data: Array2<f64>,
    /// What the black box sees, `[rows, features]`: numbers and codes of categories.
    pub codes: Array2<f64>,
}

impl Neighbourhood {
    /// Learns from a table `[N, features]` of codes; `categorical` tells which columns have categories. `labels` (a class a row) are needed by
    /// [`Discretiser::Entropy`] alone.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a table without rows or columns or with a cell that is not finite, and for missing labels.
    pub fn new(
        table: ArrayView2<f64>,
        categorical: &[bool],
        discretiser: Discretiser,
        labels: Option<&[usize]>,
    ) -> Result<Self> {
        if table.is_empty() || categorical.len() != table.ncols() {
            return Err(Error::parameter(
                format!("a table of shape {:?}, with {} kinds of columns", table.dim(), categorical.len()),
                "neighbourhood",
                "give at least one row and one column, and say of each column whether it has categories",
            ));
        }
        if let Some(((row, column), value)) = table.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::parameter(
                format!("a cell is {value}"),
                format!("row {row}, column {column}"),
                "give finite numbers",
            ));
        }
        let columns = table.axis_iter(Axis(1)).zip(categorical).map(|(column, &categories)| {
            let column = column.to_vec();
            if categories {
                return Ok(Column::categories(column));
            }
            Ok(match Bins::new(&column, discretiser, labels)? {
                Some(bins) => Column::binned(bins),
                None => Column::continuous(&column),
            })
        });
        Ok(Neighbourhood {
            columns: columns.collect::<Result<_>>()?,
            sampling: CellSampling::default(),
            around: Around::default(),
            spare: Spare::default(),
        })
    }

    /// The same, with another way to draw.
    pub fn with(self, sampling: CellSampling, around: Around) -> Self {
        Neighbourhood { sampling, around, ..self }
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.columns.len()
    }

    /// The bins of a feature; `None` if it is not cut.
    pub fn bins(&self, feature: usize) -> Option<&Bins> {
        match &self.columns[feature] {
            Column::Binned { bins, .. } => Some(bins),
            _ => None,
        }
    }

    /// What a feature's effect is the effect of, as `lime` prints it: `30.00 < age <= 45.00`, `colour=red` (`text` is the value's
    /// own), or the feature's name where it is not cut.
    pub fn condition(&self, feature: usize, name: &str, value: f64, text: &str) -> String {
        match &self.columns[feature] {
            Column::Binned { bins, .. } => bins.condition(name, bins.of(value)),
            Column::Categories { .. } => format!("{name}={text}"),
            Column::Continuous { .. } => name.to_owned(),
        }
    }

    /// What the surrogate sees of the instance itself, `[features]`.
    pub fn origin(&self, instance: &[f64]) -> Vec<f64> {
        let cell = |(column, &x): (&Column, &f64)| match column {
            Column::Continuous { mean, scale } => (x - mean) / scale,
            _ => 1.0,
        };
        self.columns.iter().zip(instance).map(cell).collect()
    }

    /// Rows `rows` of a neighbourhood of `total` rows around an instance `[features]`, given as codes. Row 0 is the
    /// instance. `total` counts for the Latin hypercube alone.
    ///
    /// # Panics
    /// If the instance has not [`Neighbourhood::features`] numbers.
    pub fn draw(&self, instance: &[f64], rows: Range<usize>, total: usize, seed: u64) -> Neighbours {
        let features = self.features();
        assert_eq!(instance.len(), features, "one number for each feature");
        let origin = self.origin(instance);
        let own: Vec<f64> = self.columns.iter().zip(instance).map(|(column, &x)| column.place(x)).collect();
        let strata = match self.sampling {
            CellSampling::Independent => Vec::new(),
            CellSampling::LatinHypercube => {
                let shuffle = |dimension| Shuffle::new(total.max(2) - 1, dimension, seed);
                (0..2 * features as u32).map(shuffle).collect()
            }
        };
        let [mut data, mut codes] = [0; 2].map(|_| self.spare.take(rows.len() * features));
        let tiles = data.par_chunks_mut(TILE * features).zip(codes.par_chunks_mut(TILE * features));
        let simd = pulp::Arch::new();
        tiles.enumerate().for_each(|(tile, (data, codes))| {
            let first = (rows.start + tile * TILE) as u64;
            for (feature, column) in self.columns.iter().enumerate() {
                let centre = match self.around {
                    Around::Mean => None,
                    Around::Instance => Some(instance[feature]),
                };
                let mut lanes = [[0.0; TILE]; 2];
                let [seen, coded] = &mut lanes;
                let strata = strata.get(2 * feature..2 * feature + 2).unwrap_or_default();
                let (feature_number, own) = (feature as u32, own[feature]);
                simd.dispatch(Draw { first, feature_number, seed, strata, column, own, centre, seen, coded });
                let cells = data.chunks_exact_mut(features).zip(codes.chunks_exact_mut(features));
                for ((data, codes), (&seen, &coded)) in cells.zip(seen.iter().zip(coded.iter())) {
                    (data[feature], codes[feature]) = (seen, coded);
                }
            }
            if first == 0 {
                data[..features].copy_from_slice(&origin);
                codes[..features].copy_from_slice(instance);
            }
        });
        let shape = (rows.len(), features);
        // Both have one cell for each row and feature.
        let matrix = |cells| Array2::from_shape_vec(shape, cells).unwrap_or_else(|_| unreachable!());
        Neighbours { data: matrix(data), codes: matrix(codes) }
    }

    /// Takes back rows that are no longer needed, for the memory.
    pub(crate) fn keep(&self, drawn: Neighbours) {
        self.spare.keep(drawn.data);
        self.spare.keep(drawn.codes);
    }
}

/// Draws a tile of a column. (A closure would not be compiled for the instruction set.)
struct Draw<'a> {
    first: u64,
    feature_number: u32,
    seed: u64,
    strata: &'a [Shuffle],
    column: &'a Column,
    own: f64,
    centre: Option<f64>,
    seen: &'a mut Lanes,
    coded: &'a mut Lanes,
}

impl NullaryFnOnce for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let mut draws = uniforms(self.first, self.feature_number, self.seed);
        stratify(&mut draws, self.first, self.strata);
        self.column.draw(&draws, self.own, self.centre, self.seen, self.coded);
    }
}

/// Puts the draws of rows `first..` into their strata; row 0, the instance, has none.
fn stratify(draws: &mut [Lanes; 2], first: u64, strata: &[Shuffle]) {
    for (draws, shuffle) in draws.iter_mut().zip(strata) {
        for (draw, row) in draws.iter_mut().zip(first..) {
            // Beyond the last row there may be none either.
            if (1..=shuffle.length).contains(&row) {
                *draw = (shuffle.of(row - 1) as f64 + *draw) / shuffle.length as f64;
            }
        }
    }
}

/// A permutation of `0..length` that is computed place by place: a Feistel network over the next power of four, walked until it
/// comes back into the range.
///
/// Source: J. Black and P. Rogaway, *Ciphers with arbitrary finite domains*, CT-RSA 2002, section 4.
struct Shuffle {
    length: u64,
    half_bits: u32,
    keys: [u32; 8],
}

impl Shuffle {
    fn new(length: usize, dimension: u32, seed: u64) -> Self {
        let bits = usize::BITS - length.saturating_sub(1).leading_zeros();
        let draw = |block| philox4x32_10([block, 0, dimension, HYPERCUBE_STREAM], halves(seed));
        let ([a, b, c, d], [e, f, g, h]) = (draw(0), draw(1));
        Shuffle { length: length as u64, half_bits: bits.div_ceil(2).max(1), keys: [a, b, c, d, e, f, g, h] }
    }

    fn of(&self, place: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let mut at = place;
        loop {
            let (mut left, mut right) = (at >> self.half_bits, at & mask);
            for &key in &self.keys {
                let mixed = (right ^ u64::from(key)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                (left, right) = (right, left ^ (mixed >> 32 & mask));
            }
            at = left << self.half_bits | right;
            if at < self.length {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use statrs::distribution::{ContinuousCDF, Normal};

    #[test]
    fn shuffles_are_permutations() {
        for length in [1, 2, 3, 4, 5, 63, 64, 65, 1000] {
            let shuffle = Shuffle::new(length, 3, 11);
            let mut seen: Vec<u64> = (0..length as u64).map(|place| shuffle.of(place)).collect();
            if length == 1000 {
                assert!(seen.iter().zip(0..).filter(|&(&at, place)| at == place).count() < 20);
            }
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..length as u64), "{length}");
        }
    }

    #[test]
    fn a_hypercube_fills_every_stratum_once() {
        let table = array![[0.0], [1.0]];
        let hypercube = Neighbourhood::new(table.view(), &[false], Discretiser::None, None)
            .unwrap()
            .with(CellSampling::LatinHypercube, Around::Mean);
        let all = hypercube.draw(&[0.3], 0..101, 101, 5);
        let normal = Normal::standard();
        let mut strata: Vec<usize> =
            all.data.iter().skip(1).map(|&z| (normal.cdf(z) * 100.0) as usize).collect();
        strata.sort_unstable();
        assert_eq!(strata, (0..100).collect::<Vec<_>>());
        let part = hypercube.draw(&[0.3], 20..30, 101, 5);
        assert_eq!(part.data, all.data.slice(ndarray::s![20..30, ..]));
    }

    #[test]
    fn draws_have_the_tables_distribution() {
        let column: Vec<f64> = (0..200).map(|i| f64::from(i).powf(1.3)).collect();
        let table = Array2::from_shape_fn(
            (200, 2),
            |(row, f)| if f == 0 { column[row] } else { (row % 4 / 3) as f64 },
        );
        for sampling in [CellSampling::Independent, CellSampling::LatinHypercube] {
            let drawn = Neighbourhood::new(table.view(), &[false, true], Discretiser::Quartile, None)
                .unwrap()
                .with(sampling, Around::Mean)
                .draw(&[30.0, 0.0], 0..20_000, 20_000, 1);
            let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
            // A quarter of the rows is in the instance's bin, three quarters have its category.
            assert!((mean(drawn.data.column(0).to_vec()) - 0.25).abs() < 0.012);
            assert!((mean(drawn.data.column(1).to_vec()) - 0.75).abs() < 0.012);
            let of_table = mean(column.clone());
            assert!((mean(drawn.codes.column(0).to_vec()) / of_table - 1.0).abs() < 0.02);
            let (low, high) = (column[0], column[199]);
            assert!(drawn.codes.column(0).iter().all(|x| (low..=high).contains(x)));
        }
    }

    #[test]
    fn constant_columns_stay_constant() {
        let table = Array2::from_elem((5, 1), 3.5);
        for discretiser in [Discretiser::Quartile, Discretiser::Decile] {
            let drawn = Neighbourhood::new(table.view(), &[false], discretiser, None).unwrap();
            assert!(drawn.draw(&[3.5], 0..50, 50, 0).codes.iter().all(|&x| x == 3.5));
        }
    }
}
