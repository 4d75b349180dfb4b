//! What each independently drawn group of rows adds to the coefficients of a weighted ridge regression.
//!
//! To first order the coefficients are their limits plus a sum over groups `g` of rows, each drawn as a whole (a row, or a
//! row and its complement),
//!
//! ```text
//! a_g = M Σ_{n∈g} w_n (x_n − x̄) e_n      M = (C + αI)⁺      Var β ≈ G / (G − tr(CM)) Σ_g a_g²
//! ```
//!
//! with the residuals `e`, and G groups. What cancels within a group, as effects of even order do in a pair of complements, is
//! no scatter; the formula for independent rows of [`Ridge`](super::Ridge) counts it. Source: K.-Y. Liang and S. L. Zeger,
//! *Longitudinal data analysis using generalized linear models*, Biometrika 73, 1986; the factor is HC1 of J. G. MacKinnon and
//! H. White, Journal of Econometrics 29, 1985.

use faer::Mat;
use ndarray::Array2;

use super::factor::Factor;
use super::gram::Gram;
use crate::Result;
use crate::perturb::Coalitions;

/// The weight of each row in the coefficients.
pub(crate) struct Influence {
    features: Vec<usize>,
    /// Weighted mean of each feature.
    means: Vec<f64>,
    /// `M`
    inverse: Array2<f64>,
    used: f64,
}

impl Influence {
    /// For the regression of these moments on `features` with penalty `alpha`.
    pub fn new(gram: &Gram, features: &[usize], alpha: f64) -> Result<Self> {
        gram.check_rows()?;
        let mut penalised: Mat<f64> = gram.covariance(features);
        for i in 0..features.len() {
            penalised[(i, i)] += alpha;
        }
        let factor = Factor::new(&penalised)?;
        let inverse = factor.inverse();
        let trace: f64 = (0..features.len()).map(|i| inverse[(i, i)]).sum();
        Ok(Influence {
            features: features.to_vec(),
            means: features.iter().map(|&f| gram.instance()[f] + gram.mean_offset(f)).collect(),
            inverse: Array2::from_shape_fn((features.len(), features.len()), |at| inverse[at]),
            used: factor.rank(features.len()) as f64 - alpha * trace,
        })
    }

    /// Parameters that the fit spends, `tr(CM)`; the intercept is not among them.
    pub fn used(&self) -> f64 {
        self.used
    }

    /// `a_g` of each `size` consecutive rows, `[groups, features]`; the last group may be smaller.
    pub fn of(
        &self,
        coalitions: &Coalitions,
        weights: &[f64],
        residuals: &[f64],
        size: usize,
    ) -> Array2<f64> {
        let mut sums = Array2::zeros((coalitions.rows().div_ceil(size), self.features.len()));
        for (row, (weight, residual)) in weights.iter().zip(residuals).enumerate() {
            let amount = weight * residual;
            let sums = sums.row_mut(row / size);
            for ((sum, &feature), mean) in sums.into_iter().zip(&self.features).zip(&self.means) {
                let x = f64::from(u8::from(coalitions.contains(row, feature)));
                *sum += amount * (x - mean);
            }
        }
        sums.dot(&self.inverse)
    }
}
