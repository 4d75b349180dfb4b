//! The Shapley regression over pairs of complementary coalitions.
//!
//! Kernel SHAP (Lundberg and Lee, NeurIPS 2017) finds the values φ that minimise
//! `Σ_S μ(S) (v(S) - v(∅) - Σ_{i∈S} φ_i)²` under `Σ φ = v(N) - v(∅) = Δ`. Where S and its complement are both
//! there, only the odd part of the game matters (arXiv 2602.01399): with `x = z - ½` and `g(S) = (v(S) - v(N∖S)) / 2`,
//!
//! ```text
//! minimise Σ_pairs w (g - x·φ)²   under   1·φ = Δ
//! φ = Δ/n 1 + C Σ w x (g - x·1 Δ/n),   C = P (P Σ w x xᵀ P + c 11ᵀ/n)⁻¹ P,   P = I - 11ᵀ/n
//! ```
//!
//! All even terms, so all pairwise interactions, cancel exactly (arXiv 2601.18608). `C` is computed once for all
//! outputs. Where there are too few pairs, the solution is the one nearest to `Δ/n 1`, and has no standard errors.

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use super::cubic::{Cubic, Pairs};
use super::factor::Factor;
use super::scatter::{Share, degrees_of_freedom, variances};
use crate::Result;
use crate::perturb::{Coalitions, PairSampler};

/// Pairs for each player that determine a line well.
const MANY_PAIRS: usize = 4;

/// What a line leaves of a linear game, as a part of it, at most.
const ROUNDING: f64 = 1e-9;

/// Numbers in a block of residuals.
const BLOCK_VALUES: usize = 1 << 20;

/// A sample of pairs with their regression matrix, ready for any number of outputs.
pub(crate) struct PairedRegression<'a> {
    sampler: &'a PairSampler,
    weights: Vec<f64>,
    /// `C`, `[players, players]`.
    inverse: Array2<f64>,
    /// Whether the pairs determine all values.
    determined: bool,
}

/// Shapley values with their standard errors.
pub(crate) struct PairedFit {
    /// `[players, outputs]`
    pub values: Array2<f64>,
    /// `[players, outputs]`, where the pairs suffice.
    pub errors: Option<Array2<f64>>,
    pub degrees_of_freedom: f64,
    /// What a model left of the odd part of the responses, `[pairs, outputs]`, if one came first.
    corrected: Option<Array2<f64>>,
    /// What the line says of that, `[players, outputs]`.
    line: Array2<f64>,
}

impl<'a> PairedRegression<'a> {
    pub fn new(sampler: &'a PairSampler) -> Result<Self> {
        let coalitions = sampler.coalitions();
        let players = coalitions.players();
        let weights = sampler.weights();
        let mut gram = Array2::<f64>::zeros((players, players));
        for rows in blocks(coalitions.rows(), players) {
            let x = halves(coalitions, rows.clone());
            let weighted = &x * &Array1::from(weights[rows].to_vec()).insert_axis(Axis(1));
            gram += &weighted.t().dot(&x);
        }
        // P A P: rows and columns about their means.
        gram -= &gram.mean_axis(Axis(0)).unwrap_or_default().insert_axis(Axis(0));
        gram = gram.reversed_axes();
        gram -= &gram.mean_axis(Axis(0)).unwrap_or_default().insert_axis(Axis(0));
        let level = gram.diag().sum() / players as f64;
        let level = if level > 0.0 { level } else { 1.0 };
        let share = level / players as f64;
        let matrix = Mat::from_fn(players, players, |i, j| gram[[i, j]] + share);
        let factor = Factor::new(&matrix)?;
        let inverse = factor.inverse();
        // The constant direction has eigenvalue `level`: take it out again.
        let share = 1.0 / (level * players as f64);
        let inverse = Array2::from_shape_fn((players, players), |(i, j)| inverse[(i, j)] - share);
        Ok(Self { sampler, weights, inverse, determined: factor.rank(players) == players })
    }

    /// Values and errors from the odd part of the responses, `[pairs, outputs]`, and `Δ`, `[outputs]`, of which each
    /// `instance_outputs` are those of one instance. With `points` above 0, that many pairs first fit a third-order model,
    /// whose Shapley values are known; the regression corrects it by what it does not explain, out of sample.
    pub fn fit(
        &self,
        odd: ArrayView2<f64>,
        delta: &[f64],
        instance_outputs: usize,
        points: usize,
    ) -> Result<PairedFit> {
        let pairs = self.sampler.coalitions();
        if points == 0 || self.sampler.complete() || pairs.players() < 3 || odd.nrows() < 2 {
            return Ok(self.linear(odd, delta));
        }
        let many = odd.nrows() >= MANY_PAIRS * pairs.players();
        // The linear part first, so that a linear game stays exact; but not where it would fit anything, or noise as well.
        let mut rest = odd.to_owned();
        let (mut values, mut left) = (Array2::zeros((pairs.players(), delta.len())), delta.to_vec());
        if self.determined {
            values = self.linear(odd, delta).values;
            left.fill(0.0);
            for rows in blocks(odd.nrows(), delta.len().max(pairs.players())) {
                let mut rest = rest.slice_mut(s![rows.clone(), ..]);
                rest -= &halves(pairs, rows).dot(&values);
            }
            for k in (0..delta.len()).filter(|_| !many) {
                let size = |of: ArrayView1<f64>| of.iter().map(|x| x * x).sum::<f64>();
                if size(rest.column(k)) > ROUNDING * ROUNDING * size(odd.column(k)) {
                    rest.column_mut(k).assign(&odd.column(k));
                    values.column_mut(k).fill(0.0);
                    left[k] = delta[k];
                }
            }
        }
        let known = Pairs { coalitions: pairs, weights: &self.weights, sampled: &self.sampled() };
        let model = Cubic::fit(&known, rest.view(), &left, instance_outputs, points)?;
        let mut fit = self.linear(model.residuals.view(), &model.delta);
        if !many {
            shrink(&mut fit, &model.delta);
        }
        fit.values += &model.values;
        fit.values += &values;
        fit.corrected = Some(model.residuals);
        Ok(fit)
    }

    /// Whether each pair stands for others that were not drawn.
    fn sampled(&self) -> Vec<bool> {
        let strata = self.sampler.strata();
        (0..self.weights.len()).map(|pair| strata[self.sampler.stratum(pair)].1 < 1.0).collect()
    }

    fn linear(&self, odd: ArrayView2<f64>, delta: &[f64]) -> PairedFit {
        let coalitions = self.sampler.coalitions();
        let players = coalitions.players();
        let even_split: Array1<f64> = delta.iter().map(|delta| delta / players as f64).collect();
        let mut moments = Array2::<f64>::zeros((players, delta.len()));
        for rows in blocks(coalitions.rows(), delta.len().max(players)) {
            let x = halves(coalitions, rows.clone());
            let mut rest = odd.slice(s![rows.clone(), ..]).to_owned();
            for ((mut rest, x), row) in rest.outer_iter_mut().zip(x.outer_iter()).zip(rows) {
                let total = x.sum();
                rest.scaled_add(-total, &even_split);
                rest *= self.weights[row];
            }
            moments += &x.t().dot(&rest);
        }
        let values = self.inverse.dot(&moments) + even_split.insert_axis(Axis(0));
        let errors = (self.determined).then(|| self.errors(odd, &values));
        let degrees_of_freedom = degrees_of_freedom(self.sampler, players).max(1.0);
        PairedFit { line: values.clone(), values, errors, degrees_of_freedom, corrected: None }
    }

    /// Standard errors of a line's values.
    fn errors(&self, odd: ArrayView2<f64>, values: &Array2<f64>) -> Array2<f64> {
        let shares = |members: &[usize]| vec![self.line_share(members, odd, values)];
        variances(self.sampler, values.nrows(), values.ncols(), shares).mapv_into(f64::sqrt)
    }

    /// What some pairs add to the values of a line: `w C x e`.
    fn line_share(&self, members: &[usize], odd: ArrayView2<f64>, values: &Array2<f64>) -> Share {
        let coalitions = self.sampler.coalitions();
        let x = Array2::from_shape_fn((members.len(), coalitions.players()), |(row, player)| {
            if coalitions.contains(members[row], player) { 0.5 } else { -0.5 }
        });
        let rest = odd.select(Axis(0), members) - x.dot(values);
        Share::of_regression(&x, members.iter().map(|&pair| self.weights[pair]), &self.inverse, rest)
    }

    /// What some pairs add to the values of a fit to `odd`.
    pub(super) fn share(&self, members: &[usize], fit: &PairedFit, odd: ArrayView2<f64>) -> Share {
        let odd = fit.corrected.as_ref().map_or(odd, |residuals| residuals.view());
        self.line_share(members, odd, &fit.line)
    }
}

/// `z - ½` of some rows, `[rows, players]`.
pub(super) fn halves(coalitions: &Coalitions, rows: std::ops::Range<usize>) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), coalitions.players()), |(row, player)| {
        if coalitions.contains(rows.start + row, player) { 0.5 } else { -0.5 }
    })
}

/// Ranges of rows whose blocks of `width` numbers a row stay small.
pub(super) fn blocks(rows: usize, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let block = (BLOCK_VALUES / width.max(1)).max(1);
    (0..rows).step_by(block).map(move |first| first..rows.min(first + block))
}

/// Shrinks a correction towards the even split of `delta` by as much as its errors explain of it: what a model of third order
/// leaves is mostly noise where pairs are few. Where they are many, this was measured to do harm.
///
/// Source: W. James and C. Stein, *Estimation with quadratic loss*, 1961, as the positive part.
fn shrink(fit: &mut PairedFit, delta: &[f64]) {
    let Some(errors) = &fit.errors else { return };
    let players = fit.values.nrows() as f64;
    for ((mut values, errors), delta) in fit.values.columns_mut().into_iter().zip(errors.columns()).zip(delta)
    {
        let even = delta / players;
        let size: f64 = values.iter().map(|value| (value - even).powi(2)).sum();
        let noise: f64 = errors.iter().map(|error| error * error).sum();
        let kept = if size > 0.0 { (1.0 - noise / size).max(0.0) } else { 0.0 };
        values.mapv_inplace(|value| even + kept * (value - even));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_correction_shrinks_to_the_even_split() {
        let correction = |errors: Array2<f64>| {
            let values = array![[3.0], [1.0], [-1.0]];
            let line = values.clone();
            let mut fit =
                PairedFit { values, errors: Some(errors), degrees_of_freedom: 9.0, corrected: None, line };
            shrink(&mut fit, &[3.0]);
            fit.values.column(0).to_vec()
        };
        assert_eq!(correction(array![[0.0], [0.0], [0.0]]), [3.0, 1.0, -1.0]);
        // Noise of 4 in a size of 8: half is kept.
        assert_eq!(correction(array![[2.0], [0.0], [0.0]]), [2.0, 1.0, 0.0]);
        assert_eq!(correction(array![[2.0], [2.0], [2.0]]), [1.0, 1.0, 1.0]);
    }
}
