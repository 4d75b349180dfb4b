//! Weighted lasso with an unpenalised intercept, from moments: `captum`'s surrogate.
//!
//! It minimises, over `b` and `β`,
//!
//! ```text
//! Σ w (y − b − βᵀx)² / 2W + α |β|₁        W = Σ w
//! ```
//!
//! as scikit-learn's `Lasso(alpha)` does given `fit(x, y, sample_weight=w)`; the minimum is the point of the lasso's path
//! ([`lars_path`](super::lars_path)) at that penalty, so there is nothing to iterate.

use super::gram::Gram;
use super::lars::{LarsOptions, follow};
use super::ridge::check_indices;
use super::surrogate::Surrogate;
use crate::{Error, Result};

/// Steps of a path for each feature, at most: features may join, leave and join again.
const STEPS: usize = 8;

/// The surrogate of one output on some features.
pub(super) fn lasso(gram: &Gram, features: &[usize], output: usize, alpha: f64) -> Result<Surrogate> {
    check_indices("feature", features, gram.columns())?;
    check_indices("output", &[output], gram.outputs())?;
    if !(alpha.is_finite() && alpha >= 0.0) {
        return Err(Error::parameter(
            "a lasso penalty must be finite and at least 0",
            format!("alpha {alpha}"),
            "captum takes 0.01",
        ));
    }
    gram.check_rows()?;
    let covariance = gram.covariance(features);
    let correlations: Vec<f64> = features.iter().map(|&f| gram.correlation(f, output)).collect();
    let options = LarsOptions { max_steps: STEPS * features.len() + 64, ..LarsOptions::default() };
    let beta = follow(&covariance, correlations.clone(), 1, &options).at(alpha * gram.total_weight());

    let size = features.len();
    let explained = |i: usize| (0..size).map(|j| covariance[(i, j)] * beta[j]).sum::<f64>();
    let gain: f64 = (0..size).map(|i| beta[i] * (2.0 * correlations[i] - explained(i))).sum();
    let total = gram.variation(output);
    let offset: f64 = (0..size).map(|i| beta[i] * gram.mean_offset(features[i])).sum();
    let local_prediction = gram.mean_response(output) - offset;
    let instance: f64 = (0..size).map(|i| beta[i] * gram.instance()[features[i]]).sum();
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| beta[b].abs().total_cmp(&beta[a].abs()));
    Ok(Surrogate {
        output,
        intercept: local_prediction - instance,
        coefficients: order.into_iter().map(|i| (features[i], beta[i])).collect(),
        standard_errors: None,
        degrees_of_freedom: f64::INFINITY,
        score: if total > 0.0 { 1.0 - (total - gain).max(0.0) / total } else { 1.0 },
        local_prediction,
    })
}
