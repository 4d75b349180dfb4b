//! A third-order model of a game's odd part, by kernel ridge regression.
//!
//! An odd function of `x ∈ {-1, 1}ⁿ` is a sum of parities `χ_T = Π_{i∈T} x_i` of odd order. With independent
//! normal priors on the coefficients of orders 1 and 3, the model is a Gaussian process with the kernel
//!
//! ```text
//! K(x, x') = t/n + ρ (t³ - (3n - 2) t) / 6 / C(n, 3),   t = x·x'
//! ```
//!
//! so that the C(n, 3) coefficients are never formed (the third elementary symmetric polynomial of `x∘x'`). The
//! Shapley values of a parity of odd order are 2/|T| for each of its players, which gives those of the model in
//! closed form. The ratio ρ and the noise are chosen by weighted leave-one-out errors, pooled over outputs. This is
//! PolySHAP (arXiv 2601.18608) of order 3 on paired samples, so of order 4, with a ridge that lets it have more terms
//! than samples.

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::factor::Factor;
use super::paired::{blocks, halves};
use crate::Result;
use crate::perturb::Coalitions;

/// Pairs that the model is fitted to: its cost grows with their cube. The others correct it all the same.
const MOST_PAIRS: usize = 1024;
/// Below this many the model is not worth its cost.
const LEAST_PAIRS: usize = 64;
/// Multiply-adds of a game for each of the cube of the pairs: an engine does about ten times as many a second as the
/// factorisation in f64.
const WORK_OF_CUBE: f64 = 16.0;
/// Pairs (at most, and as part of all) and outputs that choose ρ and the noise: nine small fits.
const CHOOSING_PAIRS: usize = 192;
const CHOOSING_PART: usize = 3;
const CHOOSING_OUTPUTS: usize = 16;
/// Prior variance of all cubic terms over that of all linear terms.
const RATIOS: [f64; 5] = [0.03, 0.1, 0.3, 1.0, 3.0];
/// Variance of what is beyond third order, over that of all linear terms.
const NOISES: [f64; 4] = [1e-2, 1e-4, 1e-3, 1e-1];

/// How many pairs the model may be fitted to, so that it costs no more than a game of `work` multiply-adds; 0 for none.
pub(crate) fn cubic_points(work: f64) -> usize {
    let pairs = (work / WORK_OF_CUBE).cbrt() as usize;
    if pairs < LEAST_PAIRS { 0 } else { pairs.min(MOST_PAIRS) }
}

pub(super) struct Cubic {
    /// The model's Shapley values, `[players, outputs]`.
    pub values: Array2<f64>,
    /// What it leaves of each pair, `[pairs, outputs]`: leave-one-out where a pair stands for others, so that it says
    /// what the model leaves of those.
    pub residuals: Array2<f64>,
    /// What it leaves of `Δ`, `[outputs]`.
    pub delta: Vec<f64>,
}

impl Cubic {
    pub fn fit(
        coalitions: &Coalitions,
        weights: &[f64],
        sampled: &[bool],
        odd: ArrayView2<f64>,
        delta: &[f64],
        points: usize,
    ) -> Result<Self> {
        let players = coalitions.players();
        // Training point 0 is the instance, where the odd part is Δ/2; point p + 1 is pair p.
        let fitted = coalitions.rows().min(points);
        let mut train = Coalitions::with_capacity(players, fitted + 1);
        train.push(|_| true);
        (0..fitted).for_each(|row| train.push(|player| coalitions.contains(row, player)));
        let mut targets = Array2::zeros((fitted + 1, delta.len()));
        targets.row_mut(0).iter_mut().zip(delta).for_each(|(to, delta)| *to = delta / 2.0);
        targets.slice_mut(s![1.., ..]).assign(&odd.slice(s![..fitted, ..]));

        let choosing = CHOOSING_PAIRS.min(points.div_ceil(CHOOSING_PART));
        let kernel = choose(&train, choosing, weights, sampled, &targets)?;
        let inverse = kernel.inverse(&train, fitted + 1)?;
        let inverse = Array2::from_shape_fn((fitted + 1, fitted + 1), |(i, j)| inverse[(i, j)]);
        let alpha = inverse.dot(&targets);

        let mut residuals = odd.to_owned();
        for row in 0..fitted {
            let scale = if sampled[row] { 1.0 / inverse[[row + 1, row + 1]] } else { kernel.noise };
            residuals.row_mut(row).assign(&(&alpha.row(row + 1) * scale));
        }
        for rows in blocks(coalitions.rows() - fitted, delta.len().max(fitted)) {
            let rows = rows.start + fitted..rows.end + fitted;
            let block = Array2::from_shape_fn((rows.len(), fitted + 1), |(row, other)| {
                kernel.at(agreement(&train, other, coalitions, rows.start + row))
            });
            let mut target = residuals.slice_mut(s![rows, ..]);
            target -= &block.dot(&alpha);
        }
        let delta = alpha.row(0).iter().map(|alpha| 2.0 * kernel.noise * alpha).collect();
        Ok(Cubic { values: kernel.shapley(&train).dot(&alpha), residuals, delta })
    }
}

/// `K` with a noise on its diagonal.
#[derive(Clone, Copy)]
struct CubicKernel {
    players: f64,
    ratio: f64,
    noise: f64,
}

impl CubicKernel {
    fn triples(&self) -> f64 {
        self.players * (self.players - 1.0) * (self.players - 2.0) / 6.0
    }

    fn at(&self, t: f64) -> f64 {
        let third = t * (t * t - 3.0 * self.players + 2.0) / 6.0;
        t / self.players + self.ratio * third / self.triples()
    }

    /// `(K + noise I)⁻¹` over the first `rows` training points.
    fn inverse(&self, train: &Coalitions, rows: usize) -> Result<Mat<f64>> {
        // Agreements are whole numbers: the kernel is a table.
        let table: Vec<f64> =
            (0..=train.players()).map(|apart| self.at(self.players - 2.0 * apart as f64)).collect();
        let matrix = Mat::from_fn(rows, rows, |i, j| {
            let value = table[apart(train, i, train, j)];
            if i == j { value + self.noise } else { value }
        });
        Ok(Factor::new(&matrix)?.inverse())
    }

    /// The Shapley values of `K(·, x)` for each training point, `[players, points]`: 2 of each linear term, 2/3 of each
    /// cubic one that holds the player.
    fn shapley(&self, train: &Coalitions) -> Array2<f64> {
        let mut values = Array2::zeros((train.players(), train.rows()));
        for rows in blocks(train.rows(), train.players()) {
            for (row, x) in rows.clone().zip(halves(train, rows).outer_iter()) {
                let total: f64 = 2.0 * x.sum();
                for (player, &half) in x.iter().enumerate() {
                    let sign = 2.0 * half;
                    let others = total - sign;
                    let pairs = (others * others - (self.players - 1.0)) / 2.0;
                    values[[player, row]] =
                        sign * (2.0 / self.players + 2.0 / 3.0 * self.ratio * pairs / self.triples());
                }
            }
        }
        values
    }
}

/// Chooses the kernel by leave-one-out errors of the first pairs.
fn choose(
    train: &Coalitions,
    pairs: usize,
    weights: &[f64],
    sampled: &[bool],
    targets: &Array2<f64>,
) -> Result<CubicKernel> {
    let rows = train.rows().min(pairs);
    let outputs = targets.ncols();
    let some: Vec<usize> = (0..outputs).step_by(outputs.div_ceil(CHOOSING_OUTPUTS).max(1)).collect();
    let mut targets = targets.slice(s![..rows, ..]).select(Axis(1), &some);
    for mut column in targets.columns_mut() {
        let norm = column.dot(&column).sqrt();
        if norm > 0.0 {
            column /= norm;
        }
    }
    // Only pairs that stand for others matter, if there are any.
    let any = sampled[..rows - 1].contains(&true);
    let weight: Array1<f64> =
        (0..rows - 1).map(|pair| if sampled[pair] || !any { weights[pair] } else { 0.0 }).collect();
    let score = |kernel: &CubicKernel| -> Result<f64> {
        let inverse = kernel.inverse(train, rows)?;
        let inverse = Array2::from_shape_fn((rows, rows), |(i, j)| inverse[(i, j)]);
        let alpha = inverse.dot(&targets);
        Ok((1..rows)
            .map(|row| {
                let left = &alpha.row(row) / inverse[[row, row]];
                weight[row - 1] * left.dot(&left)
            })
            .sum())
    };
    let kernel = |ratio, noise| CubicKernel { players: train.players() as f64, ratio, noise };
    let best = |candidates: &[CubicKernel]| -> Result<CubicKernel> {
        let mut best = (f64::INFINITY, candidates[0]);
        for candidate in candidates {
            let score = score(candidate)?;
            if score < best.0 {
                best = (score, *candidate);
            }
        }
        Ok(best.1)
    };
    let ratio = best(&RATIOS.map(|ratio| kernel(ratio, NOISES[0])))?.ratio;
    best(&NOISES.map(|noise| kernel(ratio, noise)))
}

/// In how many players two coalitions differ.
fn apart(a: &Coalitions, i: usize, b: &Coalitions, j: usize) -> usize {
    let words = a.row_words(i).iter().zip(b.row_words(j));
    words.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() as usize
}

/// `x·x'` of two coalitions as vectors of ±1.
fn agreement(a: &Coalitions, i: usize, b: &Coalitions, j: usize) -> f64 {
    a.players() as f64 - 2.0 * apart(a, i, b, j) as f64
}
