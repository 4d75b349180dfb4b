//! Weighted ridge regression with an unpenalised intercept, from moments.

use faer::Mat;
use ndarray::Array2;

use super::factor::Factor;
use super::gram::Gram;
use crate::{Error, Result};

/// A weighted ridge regression of some outputs on some features, all with one factorisation.
///
/// It minimises `Σ w (y - b - βᵀx)² + α |β|²` over `b` and `β`, for each output. With the centred
/// moments `C`, `c` and `T` of a [`Gram`], and the weighted means `x̄`, `ȳ`:
///
/// ```text
/// β = (C + αI)⁺ c        b = ȳ - βᵀx̄        R² = 1 - RSS / T        RSS = T - 2βᵀc + βᵀCβ
/// ```
///
/// `⁺` is the pseudoinverse: where `α` = 0 and columns are constant or dependent, the solution of
/// least norm, so that a constant column gets 0. Where the response is constant, `R²` is 1.
/// These are the answers of scikit-learn's `Ridge(alpha, fit_intercept=True)` given
/// `fit(x, y, sample_weight=w)` and `score(x, y, sample_weight=w)`.
///
/// The standard errors are those of weighted least squares, for a fixed design and errors of
/// variance `σ²/w`, with the degrees of freedom that the ridge leaves:
///
/// ```text
/// M = (C + αI)⁺    Var β = σ² M C M = σ² (M - αM²)    σ² = RSS / (n - 1 - tr(CM))
/// ```
///
/// with `n` the rows of weight above 0 (T. Hastie, R. Tibshirani and J. Friedman, *The Elements of
/// Statistical Learning*, 2nd edition, sections 3.2 and 3.4.1). They measure the scatter of samples
/// around the surrogate, not the ridge's bias, and a column that never varies gets 0.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::Coalitions;
/// use whybox::solve::{Gram, Ridge};
///
/// let coalitions = Coalitions::from_dense(array![[1u8, 1], [0, 1], [1, 0], [0, 0]].view())?;
/// let mut gram = Gram::new(2, 1);
/// gram.add(&coalitions, &[1.0; 4], array![[6.0], [4.0], [3.0], [1.0]].view())?;
/// let fit = Ridge::fit(&gram, &[0, 1], &[0], 0.0)?;
/// assert!((fit.coefficients[[0, 0]] - 2.0).abs() < 1e-12);
/// assert!((fit.coefficients[[1, 0]] - 3.0).abs() < 1e-12);
/// assert!((fit.intercepts[0] - 1.0).abs() < 1e-12);
/// assert!((fit.scores[0] - 1.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ridge {
    /// `β`, `[features, outputs]`, in units of the response per unit of the column.
    pub coefficients: Array2<f64>,
    /// `b`, `[outputs]`: the surrogate at the row of zeros.
    pub intercepts: Vec<f64>,
    /// The surrogate at the instance, `[outputs]`.
    pub local_predictions: Vec<f64>,
    /// Weighted R², `[outputs]`, at most 1.
    pub scores: Vec<f64>,
    /// Standard errors of `coefficients`, of the same shape; `None` where the samples are too few
    /// to leave a degree of freedom.
    pub standard_errors: Option<Array2<f64>>,
}

impl Ridge {
    /// Fits `outputs` on the columns `features` with penalty `alpha`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a feature or output out of range or repeated, no feature, or a
    /// penalty that is negative or not finite; [`Error::Numeric`] where fewer than two rows have a
    /// weight above 0, or the eigendecomposition of a singular system fails.
    pub fn fit(gram: &Gram, features: &[usize], outputs: &[usize], alpha: f64) -> Result<Self> {
        let system = System::new(gram, features, outputs, alpha)?;
        let beta = system.factor.solve(&system.correlations);
        let explained = &system.covariance * &beta;
        let (rows, columns) = (features.len(), outputs.len());

        let mut residuals = Vec::with_capacity(columns);
        let mut scores = Vec::with_capacity(columns);
        let mut intercepts = Vec::with_capacity(columns);
        let mut local_predictions = Vec::with_capacity(columns);
        for (k, &output) in outputs.iter().enumerate() {
            let total = gram.variation(output);
            let gain: f64 = (0..rows)
                .map(|i| beta[(i, k)] * (2.0 * system.correlations[(i, k)] - explained[(i, k)]))
                .sum();
            let residual = (total - gain).max(0.0);
            residuals.push(residual);
            scores.push(if total > 0.0 { 1.0 - residual / total } else { 1.0 });

            let offset = |i: usize| beta[(i, k)] * gram.mean_offset(features[i]);
            let value = |i: usize| beta[(i, k)] * gram.instance()[features[i]];
            let local = gram.mean_response(output) - (0..rows).map(offset).sum::<f64>();
            local_predictions.push(local);
            intercepts.push(local - (0..rows).map(value).sum::<f64>());
        }
        Ok(Self {
            coefficients: Array2::from_shape_fn((rows, columns), |at| beta[at]),
            intercepts,
            local_predictions,
            scores,
            standard_errors: system.standard_errors(gram, &residuals, alpha),
        })
    }

    /// The coefficients only, `[features, outputs]`: what feature selection ranks by.
    pub(super) fn coefficients(
        gram: &Gram,
        features: &[usize],
        outputs: &[usize],
        alpha: f64,
    ) -> Result<Mat<f64>> {
        let system = System::new(gram, features, outputs, alpha)?;
        Ok(system.factor.solve(&system.correlations))
    }
}

/// The normal equations of one fit, factored.
struct System {
    covariance: Mat<f64>,
    correlations: Mat<f64>,
    factor: Factor,
}

impl System {
    fn new(gram: &Gram, features: &[usize], outputs: &[usize], alpha: f64) -> Result<Self> {
        check_indices("feature", features, gram.columns())?;
        check_indices("output", outputs, gram.outputs())?;
        if !(alpha.is_finite() && alpha >= 0.0) {
            return Err(Error::parameter(
                "a ridge penalty must be finite and at least 0",
                format!("alpha {alpha}"),
                "LIME takes 1",
            ));
        }
        gram.check_rows()?;
        let covariance = gram.covariance(features);
        let mut penalised = covariance.clone();
        for i in 0..features.len() {
            penalised[(i, i)] += alpha;
        }
        Ok(Self {
            correlations: Mat::from_fn(features.len(), outputs.len(), |i, k| {
                gram.correlation(features[i], outputs[k])
            }),
            factor: Factor::new(&penalised)?,
            covariance,
        })
    }

    fn standard_errors(&self, gram: &Gram, residuals: &[f64], alpha: f64) -> Option<Array2<f64>> {
        let size = self.covariance.nrows();
        let inverse = self.factor.inverse();
        let trace: f64 = (0..size).map(|i| inverse[(i, i)]).sum();
        let used = 1.0 + self.factor.rank(size) as f64 - alpha * trace;
        let freedom = gram.weighted_rows() as f64 - used;
        // A saturated fit leaves a rounding error of freedom, and nothing to estimate σ² from.
        if freedom < 1e-9 * used {
            return None;
        }
        let scales: Vec<f64> = (0..size)
            .map(|i| {
                let squares: f64 = (0..size).map(|j| inverse[(j, i)].powi(2)).sum();
                (inverse[(i, i)] - alpha * squares).max(0.0)
            })
            .collect();
        Some(Array2::from_shape_fn((size, residuals.len()), |(i, k)| {
            (scales[i] * residuals[k] / freedom).sqrt()
        }))
    }
}

/// Whether `indices` are distinct, at least one, and below `size`.
pub(super) fn check_indices(what: &str, indices: &[usize], size: usize) -> Result<()> {
    let mut seen = vec![false; size];
    for &index in indices {
        match seen.get_mut(index) {
            Some(seen) if !*seen => *seen = true,
            Some(_) => {
                return Err(Error::parameter(
                    format!("{what} {index} is given twice"),
                    format!("a regression on {} {what}s", indices.len()),
                    "give each once",
                ));
            }
            None => {
                return Err(Error::parameter(
                    format!("there is no {what} {index}"),
                    format!("{size} {what}s"),
                    format!("count {what}s from 0"),
                ));
            }
        }
    }
    if indices.is_empty() {
        return Err(Error::parameter(
            format!("a regression needs at least one {what}"),
            format!("{size} {what}s to choose from"),
            format!("name the {what}s to fit"),
        ));
    }
    Ok(())
}
