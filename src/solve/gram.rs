//! Weighted moments of rows and responses, accumulated a chunk at a time.
//!
//! All sums are taken about the instance: with rows `x_n`, the instance `o` (all ones, for
//! coalitions), weights `w_n`, responses `y_n` and the first row's responses `y_0`,
//!
//! ```text
//! u_n = x_n - o,   v_n = y_n - y_0
//! W = Σ w   W₂ = Σ w²   s = Σ w u   t = Σ w v   A = Σ w u uᵀ   B = Σ w u vᵀ   q = Σ w v²
//! ```
//!
//! and the centred moments follow, `C = A - s sᵀ/W`, `c = B - s tᵀ/W`, `T = q - t²/W`. A narrow
//! kernel puts nearly all weight on the instance itself, where `u = 0`; sums about zero would then
//! lose the rest to cancellation, sums about the instance do not.

use faer::Mat;
use ndarray::ArrayView2;

use super::products::{Padded, add_products};
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Rows whose differences are kept at a time, at least.
const LEAST_ROWS: usize = 64;

/// Differences that are kept at a time: they stay in the second cache.
const CHUNK_CELLS: usize = 1 << 13;

/// The weighted moments of rows `[N, columns]` and responses `[N, outputs]`.
///
/// Memory is `8 * columns * (columns + outputs)` bytes, whatever the number of rows. Each sum runs
/// in the order of the rows, so the result does not depend on how they are cut into chunks, to the
/// last bit. Outputs may be those of several instances, where these share rows and weights.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::Coalitions;
/// use whybox::solve::Gram;
///
/// let coalitions = Coalitions::from_dense(array![[1u8, 1], [0, 1], [1, 0]].view())?;
/// let mut gram = Gram::new(2, 1);
/// gram.add(&coalitions, &[1.0, 0.5, 0.5], array![[3.0], [1.0], [2.0]].view())?;
/// assert_eq!(gram.rows(), 3);
/// assert_eq!(gram.effective_rows(), 4.0 / 1.5);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    origin: Vec<f64>,
    /// `y_0`; empty before the first row.
    first_response: Vec<f64>,
    rows: usize,
    weighted_rows: usize,
    weight: f64,
    weight_squared: f64,
    /// `s`, `[columns]`.
    sum: Vec<f64>,
    /// `A`, `[columns, columns]`, upper triangle.
    square: Vec<f64>,
    /// `B`, `[columns, outputs]`.
    cross: Vec<f64>,
    /// `t`, `[outputs]`.
    response: Vec<f64>,
    /// `q`, `[outputs]`.
    response_square: Vec<f64>,
}

impl Gram {
    /// No rows yet, for coalitions of `players` players: the instance is the full coalition.
    pub fn new(players: usize, outputs: usize) -> Self {
        Self::about(vec![1.0; players], outputs)
    }

    /// No rows yet, for rows of any numbers: `instance` (`[columns]`) is the row that is explained.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use whybox::solve::{Gram, Ridge};
    ///
    /// let rows = array![[2.0, 5.0], [1.0, 5.5], [2.5, 4.0], [0.0, 6.0]];
    /// let responses = rows.dot(&array![[3.0], [-1.0]]);
    /// let mut gram = Gram::about(vec![2.0, 5.0], 1);
    /// gram.add_rows(rows.view(), &[1.0; 4], responses.view())?;
    /// let fit = Ridge::fit(&gram, &[0, 1], &[0], 0.0)?;
    /// assert!((fit.coefficients[[0, 0]] - 3.0).abs() < 1e-12);
    /// assert!((fit.local_predictions[0] - 1.0).abs() < 1e-12);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn about(instance: Vec<f64>, outputs: usize) -> Self {
        let columns = instance.len();
        Self {
            origin: instance,
            first_response: Vec::new(),
            rows: 0,
            weighted_rows: 0,
            weight: 0.0,
            weight_squared: 0.0,
            sum: vec![0.0; columns],
            square: vec![0.0; columns * columns],
            cross: vec![0.0; columns * outputs],
            response: vec![0.0; outputs],
            response_square: vec![0.0; outputs],
        }
    }

    /// Adds a chunk of coalitions with their weights `[N]` and responses `[N, outputs]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes disagree or a weight is negative; [`Error::Numeric`] if a
    /// weight or response is NaN or infinite. After an error the sums are as before.
    pub fn add(
        &mut self,
        coalitions: &Coalitions,
        weights: &[f64],
        responses: ArrayView2<f64>,
    ) -> Result<()> {
        self.check(coalitions.players(), coalitions.rows(), weights, responses)?;
        self.accumulate(weights, responses, |row, cells| {
            for (cells, word) in cells.chunks_mut(32).zip(coalitions.row_words(row)) {
                for (bit, cell) in cells.iter_mut().enumerate() {
                    *cell = f64::from(word >> bit & 1);
                }
            }
        });
        Ok(())
    }

    /// Adds a chunk of rows `[N, columns]` with their weights `[N]` and responses `[N, outputs]`.
    ///
    /// # Errors
    /// As [`Gram::add`]; [`Error::Numeric`] also if a cell is NaN or infinite.
    pub fn add_rows(
        &mut self,
        rows: ArrayView2<f64>,
        weights: &[f64],
        responses: ArrayView2<f64>,
    ) -> Result<()> {
        self.check(rows.ncols(), rows.nrows(), weights, responses)?;
        // Looking for the place takes longer than looking whether there is one.
        let bad = || rows.indexed_iter().find(|(_, v)| !v.is_finite());
        // And a sum over all is vectorised, where a search is not.
        if rows.iter().fold(0, |count, v| count + u32::from(!v.is_finite())) > 0
            && let Some(((row, column), value)) = bad()
        {
            return Err(not_finite("cell", *value, format!("row {row}, column {column}")));
        }
        self.accumulate(weights, responses, |row, cells| {
            cells.iter_mut().zip(rows.row(row)).for_each(|(cell, &x)| *cell = x);
        });
        Ok(())
    }

    /// Number of columns (players).
    pub fn columns(&self) -> usize {
        self.origin.len()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.response.len()
    }

    /// Number of rows added.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The row that is explained: all ones, for coalitions.
    pub fn instance(&self) -> &[f64] {
        &self.origin
    }

    /// Kish's effective number of rows, `(Σ w)² / Σ w²`: how many rows of equal weight would know
    /// as much. Near 1, the kernel is so narrow that the instance outweighs its neighbourhood. 0
    /// without rows.
    ///
    /// Source: L. Kish, *Survey Sampling*, Wiley 1965, section 11.7.
    pub fn effective_rows(&self) -> f64 {
        if self.weight_squared > 0.0 { self.weight * self.weight / self.weight_squared } else { 0.0 }
    }

    /// `W`
    pub(super) fn total_weight(&self) -> f64 {
        self.weight
    }

    /// Rows with a weight above zero.
    pub(super) fn weighted_rows(&self) -> usize {
        self.weighted_rows
    }

    /// `C` over some columns, both triangles.
    pub(super) fn covariance(&self, columns: &[usize]) -> Mat<f64> {
        Mat::from_fn(columns.len(), columns.len(), |i, j| {
            let (a, b) = (columns[i], columns[j]);
            self.square[a.min(b) * self.columns() + a.max(b)] - self.sum[a] * (self.sum[b] / self.weight)
        })
    }

    /// `c` of one column and output.
    pub(super) fn correlation(&self, column: usize, output: usize) -> f64 {
        self.cross[column * self.outputs() + output]
            - self.sum[column] * (self.response[output] / self.weight)
    }

    /// `T`: the weighted sum of squares of a response about its mean.
    ///
    /// # Panics
    /// As indexing a slice does, where `output` is out of range.
    pub fn variation(&self, output: usize) -> f64 {
        let t = self.response[output];
        (self.response_square[output] - t * (t / self.weight)).max(0.0)
    }

    /// A column's weighted mean less the instance's value.
    pub(super) fn mean_offset(&self, column: usize) -> f64 {
        self.sum[column] / self.weight
    }

    /// A response's weighted mean.
    pub(super) fn mean_response(&self, output: usize) -> f64 {
        self.first_response[output] + self.response[output] / self.weight
    }

    /// Whether there is anything to fit, and in numbers that f64 holds.
    pub(super) fn check_rows(&self) -> Result<()> {
        if self.weighted_rows < 2 {
            return Err(Error::numeric(
                "fewer than two samples have a weight above zero",
                format!("{} samples of weight {}", self.rows, self.weight),
                "ask for more samples or a wider kernel",
            ));
        }
        // By Cauchy and Schwarz, the sums of squares bound all others.
        let mut variances = (0..self.columns()).map(|i| self.square[i * self.columns() + i]);
        if variances.any(|sum| !sum.is_finite())
            || self.response_square.iter().any(|sum| !sum.is_finite())
            || !self.weight_squared.is_finite()
        {
            return Err(Error::numeric(
                "a weighted sum of squares overflows",
                format!("{} samples of weight {}", self.rows, self.weight),
                "scale the columns, weights or responses down",
            ));
        }
        Ok(())
    }

    fn check(&self, columns: usize, rows: usize, weights: &[f64], responses: ArrayView2<f64>) -> Result<()> {
        let shapes = [
            ("columns", columns, self.columns()),
            ("weights", weights.len(), rows),
            ("rows of responses", responses.nrows(), rows),
            ("outputs", responses.ncols(), self.outputs()),
        ];
        if let Some((name, got, expected)) = shapes.iter().find(|(_, a, b)| a != b) {
            return Err(Error::parameter(
                format!("{got} {name} where {expected} are expected"),
                format!("a chunk of {rows} rows"),
                "give one weight and one row of responses for each row",
            ));
        }
        for (row, &weight) in weights.iter().enumerate() {
            if !weight.is_finite() {
                return Err(not_finite("weight", weight, format!("row {row}")));
            }
            if weight < 0.0 {
                return Err(Error::parameter(
                    "a weight is below 0",
                    format!("weight {weight} of row {row}"),
                    "give weights of at least 0",
                ));
            }
        }
        match responses.indexed_iter().find(|(_, y)| !y.is_finite()) {
            Some(((row, output), &y)) => {
                Err(not_finite("response", y, format!("row {row}, output {output}")))
            }
            None => Ok(()),
        }
    }

    /// Adds rows that passed [`Gram::check`]; `read(row, cells)` fetches one.
    fn accumulate(&mut self, weights: &[f64], responses: ArrayView2<f64>, read: impl Fn(usize, &mut [f64])) {
        if self.first_response.is_empty() && responses.nrows() > 0 {
            self.first_response = responses.row(0).to_vec();
        }
        let (columns, outputs) = (self.columns(), self.outputs());
        let chunk_rows =
            (CHUNK_CELLS / (columns + outputs).max(1)).clamp(LEAST_ROWS, weights.len().max(LEAST_ROWS));
        let (mut u, mut scaled) = (Padded::zeros(chunk_rows, columns), Padded::zeros(chunk_rows, columns));
        // A last response that is always 1 makes `s` of `B`.
        let mut v = Padded::zeros(chunk_rows, outputs + 1);
        let mut cross = self.cross_and_sum();
        for first in (0..weights.len()).step_by(chunk_rows) {
            let weights = &weights[first..weights.len().min(first + chunk_rows)];
            for (i, &weight) in weights.iter().enumerate() {
                let (u, scaled, v) = (u.row(i), scaled.row(i), v.row(i));
                read(first + i, u);
                for ((u, scaled), o) in u.iter_mut().zip(scaled).zip(&self.origin) {
                    *u -= o;
                    *scaled = weight * *u;
                }
                for ((v, y), y0) in v.iter_mut().zip(responses.row(first + i)).zip(&self.first_response) {
                    *v = y - y0;
                }
                v[outputs] = 1.0;
                self.add_response(weight, &v[..outputs]);
            }
            add_products(&mut self.square, &scaled, &u, weights.len(), true);
            add_products(&mut cross, &scaled, &v, weights.len(), false);
        }
        for (column, sums) in cross.chunks_exact(outputs + 1).enumerate() {
            self.cross[column * outputs..][..outputs].copy_from_slice(&sums[..outputs]);
            self.sum[column] = sums[outputs];
        }
        self.rows += weights.len();
    }

    /// `B` with `s` as its last column.
    fn cross_and_sum(&self) -> Vec<f64> {
        let outputs = self.outputs();
        let row = |column: usize| {
            let cross = &self.cross[column * outputs..][..outputs];
            cross.iter().copied().chain([self.sum[column]])
        };
        (0..self.columns()).flat_map(row).collect()
    }

    /// The sums that concern weights and responses only.
    fn add_response(&mut self, weight: f64, v: &[f64]) {
        self.weighted_rows += usize::from(weight > 0.0);
        self.weight += weight;
        self.weight_squared += weight * weight;
        for (output, v) in v.iter().enumerate() {
            self.response[output] += weight * v;
            self.response_square[output] += weight * v * v;
        }
    }
}

fn not_finite(what: &str, value: f64, at: String) -> Error {
    Error::numeric(
        format!("a {what} is {value}"),
        at,
        "look for overflow or division by zero where it comes from",
    )
}
