//! Variances of sums over pairs of coalitions that were drawn without replacement, size by size.

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};

use crate::perturb::PairSampler;

/// Numbers in a block of terms.
const BLOCK_VALUES: usize = 1 << 20;

/// The largest leverage that a residual is corrected for.
const MOST_LEVERAGE: f64 = 0.95;

/// What some pairs add to estimates: pair p adds `influence[p, i] · rest[p, k]` to estimate `first + i` of output k.
pub(super) struct Share {
    first: usize,
    /// `[pairs, estimates]`
    influence: Array2<f64>,
    /// `[pairs, outputs]`
    rest: Array2<f64>,
}

impl Share {
    /// Of a regression on `x` `[pairs, columns]` with these weights and the inverse of its moments: `w M x e`. Residuals are divided
    /// by `√(1 - h)`, h their leverage (HC2: MacKinnon and White 1985).
    pub fn of_regression(
        x: &Array2<f64>,
        weights: impl Iterator<Item = f64>,
        inverse: &Array2<f64>,
        mut rest: Array2<f64>,
    ) -> Self {
        let mut influence = x.dot(inverse);
        influence *= &weights.collect::<Array1<f64>>().insert_axis(Axis(1));
        for ((mut rest, influence), x) in
            rest.outer_iter_mut().zip(influence.outer_iter()).zip(x.outer_iter())
        {
            let leverage = influence.dot(&x).clamp(0.0, MOST_LEVERAGE);
            rest /= (1.0 - leverage).sqrt();
        }
        Share { first: 0, influence, rest }
    }

    /// The same as shares in more estimates: these, and sums of them, `[estimates, sums]` saying how much of which.
    pub fn with_sums(mut self, sums: &Array2<f64>) -> Self {
        let sums = self.influence.dot(sums);
        self.influence = concatenate![Axis(1), self.influence, sums];
        self
    }

    /// The same as shares in more estimates: first `others` of which they are no part.
    pub fn after(self, others: usize) -> Self {
        Share { first: self.first + others, ..self }
    }

    /// The influences on the estimates from `first` on, `[pairs, estimates]`.
    fn onwards(&self, first: usize) -> ArrayView2<'_, f64> {
        self.influence.slice(s![.., first - self.first..])
    }
}

/// Variances of estimates, `[estimates, outputs]`, from the shares that `of` gives of some pairs, which add up and
/// end with the last estimate. Within a stratum
/// the pairs are drawn without replacement, so one of k pairs adds `(1 - f) k² s²/k` with its sampled part f and the variance s² of its
/// terms.
pub(super) fn variances(
    sampler: &PairSampler,
    estimates: usize,
    outputs: usize,
    mut of: impl FnMut(&[usize]) -> Vec<Share>,
) -> Array2<f64> {
    let pairs = sampler.coalitions().rows();
    let mut variances = Array2::<f64>::zeros((estimates, outputs));
    for (stratum, (drawn, part)) in sampler.strata().into_iter().enumerate() {
        if drawn == 0 || part >= 1.0 {
            continue;
        }
        let members: Vec<usize> = (0..pairs).filter(|&pair| sampler.stratum(pair) == stratum).collect();
        let mut sum = Array2::<f64>::zeros(variances.dim());
        let mut square = Array2::<f64>::zeros(variances.dim());
        for members in members.chunks((BLOCK_VALUES / estimates.max(outputs).max(1)).max(1)) {
            let shares = of(members);
            for a in &shares {
                let mut sum = sum.slice_mut(s![a.first.., ..]);
                sum += &a.influence.t().dot(&a.rest);
                for b in &shares {
                    let first = a.first.max(b.first);
                    let mut square = square.slice_mut(s![first.., ..]);
                    square += &(&a.onwards(first) * &b.onwards(first)).t().dot(&(&a.rest * &b.rest));
                }
            }
        }
        let k = drawn as f64;
        // One pair alone has no variance: its square must do.
        let (centre, scale) = if drawn > 1 { (1.0 / k, k / (k - 1.0)) } else { (0.0, 1.0) };
        variances.zip_mut_with(&(square - centre * &sum * &sum), |to, &v| {
            *to += (1.0 - part) * scale * v.max(0.0);
        });
    }
    variances
}

/// Pairs in strata that are not complete, less the part of `parameters` that was fitted to them: below 1, a residual tells nothing.
pub(super) fn degrees_of_freedom(sampler: &PairSampler, parameters: usize) -> f64 {
    let sampled: usize =
        sampler.strata().iter().filter(|stratum| stratum.1 < 1.0).map(|stratum| stratum.0).sum();
    let share = sampled as f64 / sampler.coalitions().rows().max(1) as f64;
    sampled as f64 - parameters as f64 * share
}
