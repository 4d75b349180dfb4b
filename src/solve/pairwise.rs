//! Faithful pairwise interactions by regression.
//!
//! Odd and even terms of a game separate under the Shapley kernel: single terms are half the Shapley values, and
//! pair terms regress the even part `h(S) = (v(S) + v(N∖S)) / 2`. With the constraint at the full coalition put in,
//! `h(S) - h(N) = Σ_{i<j} d_ij [S separates i and j]`, and the faithful interaction is `-2 d_ij`.

use faer::Mat;
use ndarray::{Array2, ArrayView2};

use super::factor::Factor;
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Pairs of players at most: the matrix grows with their square.
const MOST_PAIRS: usize = 5000;

/// From pairs of coalitions with weights and `h(S) - h(N)` (`[pairs, outputs]`) to interactions
/// (`[players (players - 1) / 2, outputs]`).
pub(crate) fn pairwise(
    coalitions: &Coalitions,
    weights: &[f64],
    even: ArrayView2<f64>,
) -> Result<Array2<f64>> {
    let players = coalitions.players();
    let terms = players * players.saturating_sub(1) / 2;
    check_terms(players)?;
    let mut gram = Array2::<f64>::zeros((terms, terms));
    let mut moments = Array2::<f64>::zeros((terms, even.ncols()));
    let mut separated = Vec::new();
    for (row, &weight) in weights.iter().enumerate() {
        separated.clear();
        let mut term = 0;
        for i in 0..players {
            let inside = coalitions.contains(row, i);
            for j in i + 1..players {
                if coalitions.contains(row, j) != inside {
                    separated.push(term);
                }
                term += 1;
            }
        }
        for (place, &a) in separated.iter().enumerate() {
            moments.row_mut(a).scaled_add(weight, &even.row(row));
            let mut gram = gram.row_mut(a);
            separated[place..].iter().for_each(|&b| gram[b] += weight);
        }
    }
    solve(&gram, &moments)
}

/// Refuses more players than a matrix over their pairs can hold.
pub(crate) fn check_terms(players: usize) -> Result<()> {
    let terms = players * players.saturating_sub(1) / 2;
    if terms > MOST_PAIRS {
        return Err(Error::limits(
            format!("{players} players have {terms} pairs, too many for a regression"),
            "interactions",
            format!("group the players, so that there are at most {MOST_PAIRS} pairs"),
        ));
    }
    Ok(())
}

/// `-2 gram⁻¹ moments`, from the upper triangle of `gram`.
pub(crate) fn solve(gram: &Array2<f64>, moments: &Array2<f64>) -> Result<Array2<f64>> {
    let (terms, outputs) = moments.dim();
    let factor = Factor::new(&Mat::from_fn(terms, terms, |i, j| gram[[i.min(j), i.max(j)]]))?;
    if factor.rank(terms) < terms {
        return Err(Error::numeric(
            format!("{terms} interactions cannot be told apart by the coalitions evaluated"),
            "interactions by regression",
            format!("allow more evaluations: at least {}", 2 * terms + 2),
        ));
    }
    let solved = factor.solve(&Mat::from_fn(terms, outputs, |i, j| -2.0 * moments[[i, j]]));
    Ok(Array2::from_shape_fn((terms, outputs), |(i, j)| solved[(i, j)]))
}
