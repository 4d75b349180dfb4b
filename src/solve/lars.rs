//! The least-angle regression path and its lasso variant, from moments.
//!
//! Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, *Least angle regression*, Annals of
//! Statistics 32(2), 2004, sections 2 (LARS) and 3.1 (the lasso modification). Scale, stopping rules
//! and what happens at a crossing are those of scikit-learn's `lars_path`, so that the paths agree.

use faer::Mat;
use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::{Error, Result};

/// A path ends when its penalty is this near to 0 (scikit-learn: the epsilon of f32).
const ZERO_PENALTY: f64 = f32::EPSILON as f64;
/// A column is dependent on the active ones where its part outside their span is shorter.
const DEPENDENT: f64 = 1e-7;
/// Keeps a division by exactly zero from giving NaN.
const TINY: f64 = f32::MIN_POSITIVE as f64;
/// Correlations of the direction are rounded to this many units, so that equal columns stay equal.
const DECIMALS: f64 = 1e15;

/// Which path is followed.
///
/// # Example
/// ```
/// use ndarray::{Array2, array};
/// use whybox::solve::{LarsMethod, LarsOptions, lars_path};
///
/// // On orthogonal columns nothing ever leaves: both paths are the same.
/// let path = |method| lars_path(Array2::eye(2).view(), array![1.0, -3.0].view(), 1, &LarsOptions { method, max_steps: 9 });
/// assert_eq!(path(LarsMethod::Lasso)?.coefficients, path(LarsMethod::Lar)?.coefficients);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LarsMethod {
    /// The lasso's: a coefficient that reaches zero leaves.
    #[default]
    Lasso,
    /// Least-angle regression's: features only join.
    Lar,
}

/// How a path is followed.
///
/// # Example
/// ```
/// use ndarray::{Array2, array};
/// use whybox::solve::{LarsOptions, lars_path};
///
/// let one = LarsOptions { max_steps: 1, ..LarsOptions::default() };
/// assert_eq!(lars_path(Array2::eye(2).view(), array![1.0, -3.0].view(), 1, &one)?.active, [1]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LarsOptions {
    /// Default: the lasso's.
    pub method: LarsMethod,
    /// Steps at most. Default: 500.
    pub max_steps: usize,
}

impl Default for LarsOptions {
    fn default() -> Self {
        Self { method: LarsMethod::Lasso, max_steps: 500 }
    }
}

/// The knots of a path, from no feature on.
///
/// # Example
/// ```
/// use ndarray::{Array2, array};
/// use whybox::solve::{LarsOptions, lars_path};
///
/// let path = lars_path(Array2::eye(2).view(), array![1.0, -3.0].view(), 1, &LarsOptions::default())?;
/// assert_eq!(path.active, [1, 0]);
/// assert_eq!((path.alphas[0], path.coefficients.ncols()), (3.0, 2));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LarsPath {
    /// The penalty at each knot, falling, `[knots]`: `α` of `|y - Xβ|² / 2N + α |β|₁`, which is the
    /// largest absolute correlation over the number of rows.
    pub alphas: Vec<f64>,
    /// The features that are active at the end, in the order of joining.
    pub active: Vec<usize>,
    /// The coefficients at each knot, `[knots, features]`; of one that has left, exactly 0.
    pub coefficients: Array2<f64>,
}

impl LarsPath {
    /// The coefficients at a penalty, `[features]`: linear between knots, zero above the first and
    /// constant below the last. On the lasso's path, the lasso with that penalty.
    ///
    /// # Example
    /// ```
    /// use ndarray::{Array2, array};
    /// use whybox::solve::{LarsOptions, lars_path};
    ///
    /// let options = LarsOptions::default();
    /// let path = lars_path(Array2::eye(2).view(), array![1.0, -3.0].view(), 1, &options)?;
    /// assert_eq!(path.at(2.0), [0.0, -1.0]);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn at(&self, alpha: f64) -> Vec<f64> {
        let knot = |k: usize| self.coefficients.row(k);
        match self.alphas.iter().position(|&knot| knot <= alpha) {
            // A path has at least one knot, so a penalty below all is below the last.
            None => knot(self.alphas.len() - 1).to_vec(),
            Some(0) => knot(0).to_vec(),
            Some(k) => {
                let (high, low) = (self.alphas[k - 1], self.alphas[k]);
                let share = (high - alpha) / (high - low);
                let ends = knot(k - 1).into_iter().zip(knot(k));
                ends.map(|(a, b)| a + share * (b - a)).collect()
            }
        }
    }
}

/// Follows the path of a regression on centred columns.
///
/// Takes `gram` = `XᵀX` (`[features, features]`, symmetric), `correlations` = `Xᵀy` (`[features]`)
/// and the number of `rows` of `X`, by which penalties are divided. Weights go in as
/// `X = √w (x - x̄)`, `y = √w (y - ȳ)`. A column that depends on the active ones is left out.
///
/// # Errors
/// [`Error::Parameter`] if the shapes disagree or `rows` is 0; [`Error::Numeric`] if a number is
/// NaN or infinite.
///
/// # Example
/// Orthogonal columns join in the order of their correlations and grow by soft thresholding:
/// ```
/// use ndarray::{Array2, array};
/// use whybox::solve::{LarsOptions, lars_path};
///
/// let gram = Array2::eye(3);
/// let path = lars_path(gram.view(), array![1.0, -3.0, 0.5].view(), 1, &LarsOptions::default())?;
/// assert_eq!(path.active, [1, 0, 2]);
/// assert_eq!(path.alphas[..3], [3.0, 1.0, 0.5]);
/// assert_eq!(path.coefficients.row(1), array![0.0, -2.0, 0.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn lars_path(
    gram: ArrayView2<f64>,
    correlations: ArrayView1<f64>,
    rows: usize,
    options: &LarsOptions,
) -> Result<LarsPath> {
    let features = correlations.len();
    if gram.dim() != (features, features) || rows == 0 {
        return Err(Error::parameter(
            "the moments of a path disagree",
            format!("a Gram matrix {:?}, {features} correlations, {rows} rows", gram.dim()),
            "give [features, features], [features] and at least one row",
        ));
    }
    if gram.iter().chain(correlations).any(|m| !m.is_finite()) {
        return Err(Error::numeric(
            "a moment is NaN or infinite",
            format!("a path over {features} features"),
            "look for overflow or division by zero where it comes from",
        ));
    }
    let gram = Mat::from_fn(features, features, |i, j| gram[[i, j]]);
    Ok(follow(&gram, correlations.to_vec(), rows, options))
}

/// [`lars_path`] for moments that are known to be sound.
pub(super) fn follow(
    gram: &Mat<f64>,
    correlations: Vec<f64>,
    rows: usize,
    options: &LarsOptions,
) -> LarsPath {
    let mut walk = Walk::new(gram, correlations);
    let mut alphas: Vec<f64> = Vec::new();
    let mut knots: Vec<Vec<f64>> = Vec::new();
    let mut crossed = false;
    loop {
        let (place, level) = walk.strongest();
        let alpha = level / rows as f64;
        if alpha > ZERO_PENALTY && knots.len() < options.max_steps && !crossed && !walk.join(place) {
            continue;
        }
        let rising = alphas.last().is_some_and(|&previous| previous < alpha);
        alphas.push(alpha);
        knots.push(walk.beta.clone());
        // A lasso's penalty that rises is made of rounding errors: nothing else is left.
        if alpha <= ZERO_PENALTY
            || knots.len() > options.max_steps
            || rising && options.method == LarsMethod::Lasso
        {
            break;
        }
        crossed = walk.step(level, options.method);
    }
    LarsPath {
        alphas,
        active: walk.active,
        coefficients: Array2::from_shape_fn((knots.len(), gram.nrows()), |(k, j)| knots[k][j]),
    }
}

/// Where a path stands.
struct Walk<'a> {
    gram: &'a Mat<f64>,
    /// `Xᵀy`.
    target: Vec<f64>,
    beta: Vec<f64>,
    active: Vec<usize>,
    /// The signs of the active features' correlations with the residual.
    signs: Vec<f64>,
    /// Row `i` of the Cholesky factor of the active features' Gram matrix, `i + 1` entries.
    cholesky: Vec<Vec<f64>>,
    /// The candidates and their correlations with the residual. Dependent columns have left.
    inactive: Vec<(usize, f64)>,
}

impl<'a> Walk<'a> {
    fn new(gram: &'a Mat<f64>, target: Vec<f64>) -> Self {
        Self {
            gram,
            beta: vec![0.0; target.len()],
            active: Vec::new(),
            signs: Vec::new(),
            cholesky: Vec::new(),
            inactive: target.iter().copied().enumerate().collect(),
            target,
        }
    }

    /// The place among the inactive, and the absolute correlation, of the next to join; 0 if none.
    fn strongest(&self) -> (usize, f64) {
        let candidates = self.inactive.iter().enumerate();
        candidates.fold((0, 0.0), |(best, level), (place, (_, correlation))| {
            if correlation.abs() > level { (place, correlation.abs()) } else { (best, level) }
        })
    }

    /// Moves a candidate to the active features; false if it depends on them and is dropped.
    fn join(&mut self, place: usize) -> bool {
        // The first candidate takes the vacant place, as in scikit-learn: it decides between ties.
        self.inactive.swap(0, place);
        let (feature, correlation) = self.inactive.remove(0);
        let row = self.cholesky_row(feature, self.active.len());
        // Non-empty: a row ends with its pivot.
        if row[row.len() - 1] < DEPENDENT {
            return false;
        }
        self.cholesky.push(row);
        self.active.push(feature);
        self.signs.push(correlation.signum());
        true
    }

    /// The row that `feature` adds to the Cholesky factor of the first `size` active features.
    fn cholesky_row(&self, feature: usize, size: usize) -> Vec<f64> {
        let products = (0..size).map(|i| self.gram[(feature, self.active[i])]);
        let mut row = self.forward(products);
        let rest = self.gram[(feature, feature)] - row.iter().map(|x| x * x).sum::<f64>();
        row.push(rest.abs().sqrt().max(f64::EPSILON));
        row
    }

    /// Solves `L x = right` for as many entries as `right` has.
    fn forward(&self, right: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(self.active.len() + 1);
        for (right, row) in right.zip(&self.cholesky) {
            let known: f64 = row.iter().zip(&x).map(|(l, x)| l * x).sum();
            x.push((right - known) / row[x.len()]);
        }
        x
    }

    /// Solves `Lᵀ x = right` in place.
    fn backward(&self, mut x: Vec<f64>) -> Vec<f64> {
        for i in (0..x.len()).rev() {
            x[i] /= self.cholesky[i][i];
            for j in 0..i {
                x[j] -= self.cholesky[i][j] * x[i];
            }
        }
        x
    }

    /// Goes from correlation `level` to the next knot; true if a coefficient crossed zero, after
    /// which no feature joins.
    fn step(&mut self, level: f64, method: LarsMethod) -> bool {
        // The direction that is equiangular to the active columns: w = a G⁻¹ s, of unit length.
        let half = self.forward(self.signs.iter().copied());
        let angle = 1.0 / half.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut direction = self.backward(half);
        direction.iter_mut().for_each(|w| *w *= angle);

        let slopes: Vec<f64> = self
            .inactive
            .iter()
            .map(|&(feature, _)| {
                let products = self.active.iter().map(|&i| self.gram[(i, feature)]);
                let slope: f64 = products.zip(&direction).map(|(g, w)| g * w).sum();
                (slope * DECIMALS).round_ties_even() / DECIMALS
            })
            .collect();

        // The candidate that first catches up decides the length; else the least-squares fit does.
        let mut length = level / angle;
        for ((_, correlation), slope) in self.inactive.iter().zip(&slopes) {
            let meets = [
                (level - correlation) / (angle - slope + TINY),
                (level + correlation) / (angle + slope + TINY),
            ];
            length = meets.into_iter().filter(|&t| t > 0.0).fold(length, f64::min);
        }

        // Unless an active coefficient reaches zero before.
        let zeros: Vec<f64> = (self.active.iter().zip(&direction))
            .map(|(&feature, w)| -self.beta[feature] / (w + TINY))
            .collect();
        let first_zero = zeros.iter().copied().filter(|&t| t > 0.0).fold(f64::MAX, f64::min);
        let crossed = first_zero < length;
        if crossed && method == LarsMethod::Lasso {
            length = first_zero;
        }

        for (&feature, w) in self.active.iter().zip(&direction) {
            self.beta[feature] += length * w;
        }
        for ((_, correlation), slope) in self.inactive.iter_mut().zip(&slopes) {
            *correlation -= length * slope;
        }
        if crossed {
            for place in (0..zeros.len()).rev().filter(|&place| zeros[place] == first_zero) {
                match method {
                    LarsMethod::Lasso => self.leave(place),
                    LarsMethod::Lar => self.signs[place] = -self.signs[place],
                }
            }
        }
        crossed
    }

    /// Moves an active feature, whose coefficient has reached zero, back to the candidates.
    fn leave(&mut self, place: usize) {
        let feature = self.active.remove(place);
        self.signs.remove(place);
        self.beta[feature] = 0.0;
        self.cholesky.truncate(place);
        for i in place..self.active.len() {
            let row = self.cholesky_row(self.active[i], i);
            self.cholesky.push(row);
        }
        let products = self.active.iter().map(|&i| self.gram[(feature, i)] * self.beta[i]);
        let correlation = self.target[feature] - products.sum::<f64>();
        self.inactive.insert(0, (feature, correlation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn path(gram: &Array2<f64>, correlations: &[f64], method: LarsMethod) -> LarsPath {
        let options = LarsOptions { method, ..LarsOptions::default() };
        lars_path(gram.view(), ArrayView1::from(correlations), 10, &options).unwrap()
    }

    #[test]
    fn the_path_ends_at_least_squares() {
        let gram = array![[4.0, 1.0, -0.5], [1.0, 3.0, 0.7], [-0.5, 0.7, 2.0]];
        for method in [LarsMethod::Lasso, LarsMethod::Lar] {
            let path = path(&gram, &[1.0, -2.0, 0.3], method);
            let end = path.coefficients.row(path.alphas.len() - 1);
            for (fit, target) in gram.dot(&end).iter().zip([1.0, -2.0, 0.3]) {
                assert!((fit - target).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_duplicate_column_is_left_out() {
        let gram = array![[2.0, 2.0, 0.5], [2.0, 2.0, 0.5], [0.5, 0.5, 1.0]];
        let path = path(&gram, &[2.0, 2.0, 1.0], LarsMethod::Lasso);
        assert_eq!(path.active, [0, 2]);
    }

    #[test]
    fn nothing_to_follow() {
        let flat = path(&array![[1.0, 0.0], [0.0, 1.0]], &[0.0, 0.0], LarsMethod::Lasso);
        assert_eq!((flat.alphas.len(), flat.active.len()), (1, 0));
        let gram = array![[1.0]];
        let options = LarsOptions::default();
        assert!(lars_path(gram.view(), array![f64::NAN].view(), 3, &options).is_err());
        assert!(lars_path(gram.view(), array![1.0, 2.0].view(), 3, &options).is_err());
        assert!(lars_path(gram.view(), array![1.0].view(), 0, &options).is_err());
    }
}
