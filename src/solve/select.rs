//! LIME's feature selection, from moments.
//!
//! Source: `lime_base.LimeBase.feature_selection` of `lime` 0.2.0.1, which re-reads all rows for
//! every candidate; the moments give the same answers at a cost that does not depend on their number.

use faer::Mat;

use super::gram::Gram;
use super::lars::{LarsOptions, follow};
use super::ridge::{Ridge, check_indices};
use crate::{Error, Result};

/// The penalty of the ridge regression that [`Selection::HighestWeights`] ranks by.
const RANKING_ALPHA: f64 = 0.01;
/// [`Selection::Auto`] goes forward for at most this many features.
const AUTO_FORWARD: usize = 6;
/// A column with less than this part of its variance outside the span of those chosen adds nothing.
const DEPENDENT: f64 = 1e-12;

/// How the features of a surrogate are chosen.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::Coalitions;
/// use whybox::solve::{Gram, Selection, select};
///
/// let rows = array![[1u8, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1]];
/// let mut gram = Gram::new(3, 1);
/// let responses = array![[6.0], [5.0], [1.0], [6.0], [0.0]];
/// gram.add(&Coalitions::from_dense(rows.view())?, &[1.0; 5], responses.view())?;
/// assert_eq!(select(&gram, &[0], 1, Selection::Forward)?, [[1]]);
/// assert_eq!(select(&gram, &[0], 1, Selection::None)?, [[0, 1, 2]]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// [`Selection::Forward`] for at most 6 features, else [`Selection::HighestWeights`].
    #[default]
    Auto,
    /// All features, whatever their number.
    None,
    /// Adds, time after time, the feature that raises the weighted R² of least squares most.
    Forward,
    /// The features with the largest `|β · instance|` in a ridge regression with penalty 0.01 on
    /// all features.
    HighestWeights,
    /// The last knot of the lasso path with few enough features that are not zero: at most, and
    /// perhaps fewer than, the number asked for.
    LassoPath,
}

/// Chooses at most `num_features` features for each of `outputs`, `[outputs][features]`.
///
/// The order is that of `lime`: of joining, of falling weight, or ascending. `num_features` may
/// exceed the number of columns.
///
/// # Errors
/// [`Error::Parameter`] for `num_features` of 0, or an output that is out of range or repeated;
/// [`Error::Numeric`] where fewer than two rows have a weight above 0.
///
/// # Example
/// ```
/// use ndarray::Array2;
/// use whybox::perturb::{Sampling, lime_coalitions};
/// use whybox::solve::{Gram, Selection, select};
///
/// let coalitions = lime_coalitions(9, 300, 42, Sampling::Independent)?;
/// let responses = Array2::from_shape_fn((300, 1), |(row, _)| {
///     let present = |player| f64::from(u8::from(coalitions.contains(row, player)));
///     5.0 * present(4) - 3.0 * present(7)
/// });
/// let mut gram = Gram::new(9, 1);
/// gram.add(&coalitions, &[1.0; 300], responses.view())?;
/// for selection in [Selection::Auto, Selection::HighestWeights, Selection::LassoPath] {
///     let mut chosen = select(&gram, &[0], 2, selection)?.remove(0);
///     chosen.sort();
///     assert_eq!(chosen, [4, 7]);
/// }
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn select(
    gram: &Gram,
    outputs: &[usize],
    num_features: usize,
    selection: Selection,
) -> Result<Vec<Vec<usize>>> {
    check_indices("output", outputs, gram.outputs())?;
    gram.check_rows()?;
    if num_features == 0 {
        return Err(Error::parameter(
            "zero features",
            "the features of a surrogate",
            "ask for at least 1, or for more than there are to keep all",
        ));
    }
    let all: Vec<usize> = (0..gram.columns()).collect();
    let every = || Ok(vec![all.clone(); outputs.len()]);
    match selection {
        Selection::Auto if num_features <= AUTO_FORWARD => {
            select(gram, outputs, num_features, Selection::Forward)
        }
        Selection::Auto => select(gram, outputs, num_features, Selection::HighestWeights),
        Selection::None => every(),
        // Who takes all need not rank.
        Selection::Forward | Selection::HighestWeights if num_features >= all.len() => every(),
        Selection::Forward => {
            let covariance = gram.covariance(&all);
            let chosen = outputs
                .iter()
                .map(|&output| forward(covariance.clone(), correlations(gram, output), num_features));
            Ok(chosen.collect())
        }
        Selection::HighestWeights => highest_weights(gram, &all, outputs, num_features),
        Selection::LassoPath => {
            let covariance = gram.covariance(&all);
            let chosen = outputs.iter().map(|&output| {
                let target = correlations(gram, output);
                lasso(&covariance, target, gram.rows(), num_features)
            });
            Ok(chosen.collect())
        }
    }
}

fn correlations(gram: &Gram, output: usize) -> Vec<f64> {
    (0..gram.columns()).map(|column| gram.correlation(column, output)).collect()
}

/// Greedy least squares. After each choice the moments are replaced by those of what the chosen
/// feature leaves over, so that the next gain in R² is one division: `c² / C` over `T`.
fn forward(mut covariance: Mat<f64>, mut target: Vec<f64>, num_features: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..target.len()).collect();
    let floors: Vec<f64> = left.iter().map(|&j| DEPENDENT * covariance[(j, j)]).collect();
    let mut chosen = Vec::with_capacity(num_features);
    while chosen.len() < num_features {
        let mut best: Option<(usize, f64)> = None;
        for (place, &j) in left.iter().enumerate() {
            let variance = covariance[(j, j)];
            let gain = if variance > floors[j] { target[j].powi(2) / variance } else { 0.0 };
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((place, gain));
            }
        }
        let Some((place, gain)) = best else { break };
        let feature = left.remove(place);
        chosen.push(feature);
        if gain > 0.0 {
            let variance = covariance[(feature, feature)];
            for &j in &left {
                let share = covariance[(feature, j)] / variance;
                target[j] -= share * target[feature];
                for &i in &left {
                    covariance[(i, j)] -= share * covariance[(i, feature)];
                }
            }
        }
    }
    chosen
}

/// One ridge regression for all outputs; ties keep the order of the columns.
fn highest_weights(
    gram: &Gram,
    all: &[usize],
    outputs: &[usize],
    num_features: usize,
) -> Result<Vec<Vec<usize>>> {
    let beta = Ridge::coefficients(gram, all, outputs, RANKING_ALPHA)?;
    let rank = |k: usize| {
        let weight = |&j: &usize| (beta[(j, k)] * gram.instance()[j]).abs();
        let mut ranked = all.to_vec();
        ranked.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        ranked.truncate(num_features);
        ranked
    };
    Ok((0..outputs.len()).map(rank).collect())
}

/// Walks the path back from its end, all features if it has no step.
fn lasso(covariance: &Mat<f64>, target: Vec<f64>, rows: usize, num_features: usize) -> Vec<usize> {
    let features = target.len();
    let path = follow(covariance, target, rows, &LarsOptions::default());
    (path.coefficients.outer_iter().skip(1).rev())
        .map(|knot| (0..features).filter(|&j| knot[j] != 0.0).collect::<Vec<_>>())
        .find(|nonzero| nonzero.len() <= num_features)
        .unwrap_or_else(|| (0..features).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perturb::{Coalitions, Sampling, lime_coalitions};
    use ndarray::Array2;

    /// A game with interactions, so that the features' gains depend on what was chosen before.
    fn gram(coalitions: &Coalitions) -> Gram {
        let rows = coalitions.rows();
        let responses = Array2::from_shape_fn((rows, 2), |(row, output)| {
            let x = |p: usize| f64::from(u8::from(coalitions.contains(row, p)));
            let linear: f64 = (0..coalitions.players()).map(|p| x(p) / (1.0 + p as f64)).sum();
            linear + (1.0 + output as f64) * x(2) * x(5) - x(1) * x(3) * x(4)
        });
        let weights: Vec<f64> = (0..rows).map(|row| 0.1 + (row % 7) as f64).collect();
        let mut gram = Gram::new(coalitions.players(), 2);
        gram.add(coalitions, &weights, responses.view()).unwrap();
        gram
    }

    #[test]
    fn forward_agrees_with_refitting_every_candidate() {
        let gram = gram(&lime_coalitions(9, 200, 5, Sampling::Independent).unwrap());
        let quick = select(&gram, &[0, 1], 6, Selection::Forward).unwrap();
        for (output, quick) in quick.iter().enumerate() {
            let mut chosen: Vec<usize> = Vec::new();
            while chosen.len() < 6 {
                let score = |j: usize| {
                    let with = [&chosen[..], &[j]].concat();
                    Ridge::fit(&gram, &with, &[output], 0.0).unwrap().scores[0]
                };
                let candidates = (0..9).filter(|j| !chosen.contains(j));
                let best = candidates.max_by(|&a, &b| score(a).total_cmp(&score(b)));
                chosen.extend(best);
            }
            assert_eq!(*quick, chosen);
        }
    }

    #[test]
    fn constant_columns_and_responses_are_harmless() {
        let mut coalitions = Coalitions::new(4);
        for row in 0..30 {
            coalitions.push(|p| p == 3 || row == 0 || (row * 5 + p * 3) % 7 < 3);
        }
        let varied = Array2::from_shape_fn((30, 1), |(row, _)| coalitions.count(row) as f64);
        for responses in [varied, Array2::from_elem((30, 1), 0.25)] {
            let mut gram = Gram::new(4, 1);
            gram.add(&coalitions, &[1.0; 30], responses.view()).unwrap();
            for selection in [
                Selection::Auto,
                Selection::None,
                Selection::Forward,
                Selection::HighestWeights,
                Selection::LassoPath,
            ] {
                let chosen = select(&gram, &[0], 3, selection).unwrap().remove(0);
                assert!(!chosen.is_empty(), "{selection:?}");
                let fit = Ridge::fit(&gram, &chosen, &[0], 0.0).unwrap();
                assert!(fit.coefficients.iter().all(|beta| beta.is_finite()));
                assert!((fit.scores[0] - 1.0).abs() < 1e-12, "{selection:?} {}", fit.scores[0]);
            }
        }
    }
}
