//! Solving with a symmetric positive semidefinite matrix.

use faer::linalg::solvers::{DenseSolveCore, Llt, SelfAdjointEigen};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::prelude::Solve;
use faer::{Mat, Par, Side};

use crate::{Error, Result};

/// A factored symmetric positive semidefinite matrix `S`: Cholesky where it is safely definite, else
/// an eigendecomposition, whose solutions are those of least norm.
pub(super) enum Factor {
    Definite(Llt<f64>),
    /// The pseudoinverse and the rank.
    Singular(Mat<f64>, usize),
}

impl Factor {
    /// Factors `matrix`, whose lower triangle is read.
    pub fn new(matrix: &Mat<f64>) -> Result<Self> {
        // A variance that is lost in rounding beside the largest one is no variance.
        let largest = (0..matrix.nrows()).fold(0.0, |max: f64, i| max.max(matrix[(i, i)]));
        let negligible = largest * f64::EPSILON * 8.0 * matrix.nrows() as f64;
        if let Ok(factor) = matrix.llt(Side::Lower) {
            let pivots = factor.L();
            let definite = (0..matrix.nrows()).all(|i| pivots[(i, i)].powi(2) > negligible);
            if definite {
                return Ok(Factor::Definite(factor));
            }
        }
        let eigen = matrix.self_adjoint_eigen(Side::Lower).map_err(|_| {
            Error::numeric(
                "the eigenvalues of a Gram matrix do not converge",
                format!("{} columns", matrix.nrows()),
                "look for columns of very different scales",
            )
        })?;
        Ok(Self::pseudoinverse(&eigen, negligible))
    }

    fn pseudoinverse(eigen: &SelfAdjointEigen<f64>, negligible: f64) -> Self {
        let (vectors, values) = (eigen.U(), eigen.S().column_vector());
        let size = values.nrows();
        let kept: Vec<usize> = (0..size).filter(|&k| values[k] > negligible).collect();
        let scaled = Mat::from_fn(size, kept.len(), |i, k| vectors[(i, kept[k])] / values[kept[k]]);
        let basis = Mat::from_fn(kept.len(), size, |k, i| vectors[(i, kept[k])]);
        Factor::Singular(scaled * basis, kept.len())
    }

    /// `S⁺ right`.
    pub fn solve(&self, right: &Mat<f64>) -> Mat<f64> {
        match self {
            Factor::Definite(factor) => factor.solve(right),
            Factor::Singular(inverse, _) => inverse * right,
        }
    }

    /// `S⁺`, both triangles.
    pub fn inverse(&self) -> Mat<f64> {
        match self {
            Factor::Definite(factor) => factor.inverse(),
            Factor::Singular(inverse, _) => inverse.clone(),
        }
    }

    /// The diagonal of `S⁺`.
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        match self {
            // S⁻¹ = L⁻ᵀ L⁻¹: squares of the columns of L⁻¹, which costs a third of the whole inverse.
            Factor::Definite(factor) => {
                let lower = factor.L();
                let mut inverse = Mat::zeros(lower.nrows(), lower.ncols());
                invert_lower_triangular(inverse.as_mut(), lower, Par::Seq);
                (0..lower.ncols()).map(|j| inverse.col(j).squared_norm_l2()).collect()
            }
            Factor::Singular(inverse, _) => (0..inverse.nrows()).map(|i| inverse[(i, i)]).collect(),
        }
    }

    /// The rank of `S`, whose size is `size`.
    pub fn rank(&self, size: usize) -> usize {
        match self {
            Factor::Definite(_) => size,
            Factor::Singular(_, rank) => *rank,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest(matrix: &Mat<f64>) -> f64 {
        let cells = (0..matrix.ncols()).flat_map(|j| (0..matrix.nrows()).map(move |i| (i, j)));
        cells.fold(0.0, |max: f64, at| max.max(matrix[at].abs()))
    }

    #[test]
    fn both_factors_invert() {
        let root = Mat::from_fn(7, 7, |i, j| ((i * 5 + j * 3) % 7) as f64 - (i * j % 4) as f64);
        let definite = &root * root.transpose() + Mat::<f64>::identity(7, 7);
        let thin = Mat::from_fn(7, 3, |i, j| root[(i, j)]);
        let singular = &thin * thin.transpose();
        for (matrix, rank) in [(definite, 7), (singular, 3), (Mat::zeros(7, 7), 0)] {
            let factor = Factor::new(&matrix).unwrap();
            assert_eq!(factor.rank(7), rank);
            let inverse = factor.inverse();
            let residual = &matrix * &inverse * &matrix - &matrix;
            assert!(largest(&residual) <= 1e-10 * largest(&matrix).max(1.0));
            for (i, cell) in factor.inverse_diagonal().into_iter().enumerate() {
                assert!((cell - inverse[(i, i)]).abs() <= 1e-12 * inverse[(i, i)].abs().max(1.0));
            }
            let solved = factor.solve(&matrix) - &inverse * &matrix;
            assert!(largest(&solved) <= 1e-10);
        }
    }
}
