//! Faithful pairwise interactions by regression.
//!
//! Odd and even terms of a game separate under the Shapley kernel: single terms are half the Shapley values, and
//! pair terms regress the even part `h(S) = (v(S) + v(N∖S)) / 2`. With the constraint at the full coalition put in,
//! `h(S) - h(N) = Σ_{i<j} d_ij [S separates i and j]`, and the faithful interaction is `-2 d_ij`.

use faer::Mat;
use ndarray::{Array2, ArrayView2, Axis};

use super::factor::Factor;
use super::paired::{PairedFit, PairedRegression};
use super::scatter::{Share, degrees_of_freedom, variances};
use crate::perturb::{Coalitions, PairSampler};
use crate::{Error, Result};

/// Pairs of players at most: the matrix grows with their square.
const MOST_PAIRS: usize = 5000;

/// Interactions from pairs of coalitions.
pub(crate) struct PairwiseFit<'a> {
    sampler: &'a PairSampler,
    weights: Vec<f64>,
    /// `h(S) - h(N)`, `[pairs of coalitions, outputs]`
    even: ArrayView2<'a, f64>,
    /// The regression's matrix, upper triangle.
    gram: Array2<f64>,
    /// `[players (players - 1) / 2, outputs]`
    pub pairs: Array2<f64>,
}

/// One standard error of each interaction and of what single players do beside them.
pub(crate) struct PairwiseErrors {
    /// `[players (players - 1) / 2, outputs]`
    pub pairs: Array2<f64>,
    /// `[players, outputs]`; NaN where those of the Shapley values are unknown.
    pub singles: Array2<f64>,
    pub degrees_of_freedom: f64,
}

impl<'a> PairwiseFit<'a> {
    /// From `h(S) - h(N)`, `[pairs of coalitions, outputs]`.
    pub fn new(sampler: &'a PairSampler, even: ArrayView2<'a, f64>) -> Result<Self> {
        let coalitions = sampler.coalitions();
        let players = coalitions.players();
        let terms = players * players.saturating_sub(1) / 2;
        check_terms(players)?;
        let weights = sampler.weights();
        let mut gram = Array2::<f64>::zeros((terms, terms));
        let mut moments = Array2::<f64>::zeros((terms, even.ncols()));
        let mut apart = Vec::new();
        for (row, &weight) in weights.iter().enumerate() {
            apart.clear();
            apart.extend(separated(coalitions, row));
            for (place, &a) in apart.iter().enumerate() {
                moments.row_mut(a).scaled_add(weight, &even.row(row));
                let mut gram = gram.row_mut(a);
                apart[place..].iter().for_each(|&b| gram[b] += weight);
            }
        }
        let pairs = solve(&gram, &moments)?;
        Ok(PairwiseFit { sampler, weights, even, gram, pairs })
    }

    /// Standard errors of sampling, as those of the Shapley values: a pair of coalitions is drawn as a whole. `shapley` is the
    /// regression of these values on the same pairs, with what it was fitted to. NaN where the coalitions barely determine the
    /// interactions.
    pub fn errors(
        &self,
        shapley: Option<(&PairedRegression<'_>, &PairedFit, ArrayView2<'_, f64>)>,
    ) -> Result<PairwiseErrors> {
        let coalitions = self.sampler.coalitions();
        let players = coalitions.players();
        let (terms, outputs) = self.pairs.dim();
        let freedom = degrees_of_freedom(self.sampler, terms);
        let unknown = |rows: usize| Array2::from_elem((rows, outputs), f64::NAN);
        if freedom < 1.0 {
            return Ok(PairwiseErrors {
                pairs: unknown(terms),
                singles: unknown(players),
                degrees_of_freedom: 1.0,
            });
        }
        let inverse = factor(&self.gram)?.inverse();
        let inverse = Array2::from_shape_fn((terms, terms), |at| inverse[at]);
        // An interaction is `-2 d`, and a player alone does its value less half of its interactions, so `φ + Σ d`.
        let mut sums = Array2::zeros((terms, players));
        for (mut row, pair) in sums.outer_iter_mut().zip(both(players)) {
            pair.into_iter().for_each(|player| row[player] = 1.0);
        }
        let shapley = shapley.filter(|(_, fit, _)| fit.errors.is_some());
        let shares = |members: &[usize]| {
            let mut x = Array2::zeros((members.len(), terms));
            for (mut x, &row) in x.outer_iter_mut().zip(members) {
                separated(coalitions, row).for_each(|term| x[term] = 1.0);
            }
            let rest = self.even.select(Axis(0), members) + x.dot(&self.pairs) / 2.0;
            let weights = members.iter().map(|&row| self.weights[row]);
            let even = Share::of_regression(&x, weights, &inverse, rest).with_sums(&sums);
            let odd = shapley.map(|(regression, fit, odd)| regression.share(members, fit, odd).after(terms));
            std::iter::once(even).chain(odd).collect()
        };
        let errors = variances(self.sampler, terms + players, outputs, shares).mapv_into(f64::sqrt);
        let (pairs, singles) = errors.view().split_at(Axis(0), terms);
        Ok(PairwiseErrors {
            pairs: 2.0 * &pairs,
            singles: if shapley.is_some() { singles.to_owned() } else { unknown(players) },
            degrees_of_freedom: freedom,
        })
    }
}

/// All pairs of players, in order.
fn both(players: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..players).flat_map(move |i| (i + 1..players).map(move |j| [i, j]))
}

/// Numbers of the pairs of players that a coalition separates.
fn separated(coalitions: &Coalitions, row: usize) -> impl Iterator<Item = usize> {
    both(coalitions.players())
        .enumerate()
        .filter(move |(_, [i, j])| coalitions.contains(row, *i) != coalitions.contains(row, *j))
        .map(|(term, _)| term)
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
    let solved = factor(gram)?.solve(&Mat::from_fn(terms, outputs, |i, j| -2.0 * moments[[i, j]]));
    Ok(Array2::from_shape_fn((terms, outputs), |(i, j)| solved[(i, j)]))
}

/// The factored matrix of a regression, given its upper triangle, if it determines every interaction.
fn factor(gram: &Array2<f64>) -> Result<Factor> {
    let terms = gram.nrows();
    let factor = Factor::new(&Mat::from_fn(terms, terms, |i, j| gram[[i.min(j), i.max(j)]]))?;
    if factor.rank(terms) < terms {
        return Err(Error::numeric(
            format!("{terms} interactions cannot be told apart by the coalitions evaluated"),
            "interactions by regression",
            format!("allow more evaluations: at least {}", 2 * terms + 2),
        ));
    }
    Ok(factor)
}
