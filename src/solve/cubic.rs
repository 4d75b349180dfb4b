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
//! closed form. The ratio ρ and the noise are chosen by weighted leave-one-out errors, for each instance. This is
//! PolySHAP (arXiv 2601.18608) of order 3 on paired samples, so of order 4, with a ridge that lets it have more terms
//! than samples.

use faer::Mat;
use ndarray::{Array2, ArrayView2, Axis, s};

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
/// Pairs (at most, and as part of all) that choose ρ and the noise by a few small fits.
const CHOOSING_PAIRS: usize = 192;
const CHOOSING_PART: usize = 3;
/// Prior variance of all cubic terms over that of all linear terms.
const RATIOS: [f64; 5] = [0.03, 0.1, 0.3, 1.0, 3.0];
/// Variance of what is beyond third order, over that of all linear terms.
const NOISES: [f64; 4] = [1e-2, 1e-4, 1e-3, 1e-1];

/// How many pairs the model may be fitted to, so that it costs no more than a game of `work` multiply-adds; 0 for none.
pub(crate) fn cubic_points(work: f64) -> usize {
    let pairs = (work / WORK_OF_CUBE).cbrt() as usize;
    if pairs < LEAST_PAIRS { 0 } else { pairs.min(MOST_PAIRS) }
}

/// The pairs that a model is fitted to.
pub(super) struct Pairs<'a> {
    pub coalitions: &'a Coalitions,
    /// Of the regression, `[pairs]`.
    pub weights: &'a [f64],
    /// Whether each pair stands for others that were not drawn.
    pub sampled: &'a [bool],
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
    /// A model for each `instance_outputs` outputs, those of one instance: they share ρ and noise, and so have the same
    /// values whichever instances stand beside them. Instances of the same ρ and noise share a factorisation.
    pub fn fit(
        pairs: &Pairs<'_>,
        odd: ArrayView2<f64>,
        delta: &[f64],
        instance_outputs: usize,
        points: usize,
    ) -> Result<Self> {
        let Pairs { coalitions, sampled, .. } = *pairs;
        let players = coalitions.players();
        // Training point 0 is the instance, where the odd part is Δ/2; point p + 1 is pair p.
        let fitted = coalitions.rows().min(points);
        let mut train = Coalitions::with_capacity(players, fitted + 1);
        train.push(|_| true);
        (0..fitted).for_each(|row| train.push(|player| coalitions.contains(row, player)));
        let mut targets = Array2::zeros((fitted + 1, delta.len()));
        targets.row_mut(0).iter_mut().zip(delta).for_each(|(to, delta)| *to = delta / 2.0);
        targets.slice_mut(s![1.., ..]).assign(&odd.slice(s![..fitted, ..]));

        let choosing = CHOOSING_PAIRS.min(points.div_ceil(CHOOSING_PART)).min(train.rows());
        let kernels = choose(&train, choosing, pairs, &targets, instance_outputs)?;
        let mut alpha = Array2::zeros(targets.dim());
        let mut residuals = odd.to_owned();
        for (kernel, columns) in groups(&kernels) {
            let inverse = kernel.inverse(&train, fitted + 1)?;
            let part = inverse.dot(&targets.select(Axis(1), &columns));
            for (part, &column) in part.columns().into_iter().zip(&columns) {
                alpha.column_mut(column).assign(&part);
                for row in 0..fitted {
                    let scale = if sampled[row] { 1.0 / inverse[[row + 1, row + 1]] } else { kernel.noise };
                    residuals[[row, column]] = part[row + 1] * scale;
                }
            }
        }

        // `K α`, and the Shapley values of it, are sums of a linear part, the same for all, and ρ times a cubic one.
        let cubic = CubicKernel { players: players as f64, ratio: 1.0, noise: 0.0 };
        let mut line = Array2::<f64>::zeros((players, delta.len()));
        for rows in blocks(train.rows(), players.max(delta.len())) {
            line += &halves(&train, rows.clone()).t().dot(&alpha.slice(s![rows, ..]));
        }
        line *= 4.0 / players as f64;
        let noises = kernels.iter().map(|kernel| kernel.noise);
        let left = alpha.row(0).iter().zip(noises).map(|(alpha, noise)| 2.0 * noise * alpha).collect();
        for (mut alpha, kernel) in alpha.columns_mut().into_iter().zip(&kernels) {
            alpha *= kernel.ratio;
        }
        let thirds: Vec<f64> = cubic.by_distance(|t| cubic.third(t)).collect();
        for rows in blocks(coalitions.rows() - fitted, delta.len().max(fitted)) {
            let rows = rows.start + fitted..rows.end + fitted;
            let block = Array2::from_shape_fn((rows.len(), fitted + 1), |(row, other)| {
                thirds[apart(&train, other, coalitions, rows.start + row)]
            });
            let mut target = residuals.slice_mut(s![rows.clone(), ..]);
            target -= &block.dot(&alpha);
            target -= &halves(coalitions, rows).dot(&line);
        }
        Ok(Cubic { values: line + cubic.third_order_shapley(&train).dot(&alpha), residuals, delta: left })
    }
}

/// `K` with a noise on its diagonal.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CubicKernel {
    players: f64,
    ratio: f64,
    noise: f64,
}

impl CubicKernel {
    fn triples(&self) -> f64 {
        self.players * (self.players - 1.0) * (self.players - 2.0) / 6.0
    }

    /// The cubic terms' part of the kernel, without ρ.
    fn third(&self, t: f64) -> f64 {
        t * (t * t - 3.0 * self.players + 2.0) / 6.0 / self.triples()
    }

    /// A function of `x·x'` by the number of players in which two coalitions differ.
    fn by_distance(&self, of: impl Fn(f64) -> f64) -> impl Iterator<Item = f64> {
        (0..=self.players as usize).map(move |apart| of(self.players - 2.0 * apart as f64))
    }

    /// `(K + noise I)⁻¹` over the first `rows` training points.
    fn inverse(&self, train: &Coalitions, rows: usize) -> Result<Array2<f64>> {
        // Agreements are whole numbers: the kernel is a table.
        let table: Vec<f64> = self.by_distance(|t| t / self.players + self.ratio * self.third(t)).collect();
        let matrix = Mat::from_fn(rows, rows, |i, j| {
            let value = table[apart(train, i, train, j)];
            if i == j { value + self.noise } else { value }
        });
        let inverse = Factor::new(&matrix)?.inverse();
        Ok(Array2::from_shape_fn((rows, rows), |at| inverse[at]))
    }

    /// The Shapley values of the cubic terms' part of `K(·, x)` for each training point, without ρ, `[players, points]`:
    /// 2/3 of each term that holds the player.
    fn third_order_shapley(&self, train: &Coalitions) -> Array2<f64> {
        let mut values = Array2::zeros((train.players(), train.rows()));
        for rows in blocks(train.rows(), train.players()) {
            for (row, x) in rows.clone().zip(halves(train, rows).outer_iter()) {
                let total: f64 = 2.0 * x.sum();
                for (player, &half) in x.iter().enumerate() {
                    let sign = 2.0 * half;
                    let others = total - sign;
                    let pairs = (others * others - (self.players - 1.0)) / 2.0;
                    values[[player, row]] = sign * (2.0 / 3.0) * pairs / self.triples();
                }
            }
        }
        values
    }
}

/// The columns of each distinct kernel.
fn groups(kernels: &[CubicKernel]) -> Vec<(CubicKernel, Vec<usize>)> {
    let mut groups: Vec<(CubicKernel, Vec<usize>)> = Vec::new();
    for (column, kernel) in kernels.iter().enumerate() {
        match groups.iter_mut().find(|(other, _)| other == kernel) {
            Some((_, columns)) => columns.push(column),
            None => groups.push((*kernel, vec![column])),
        }
    }
    groups
}

/// Chooses the kernel of each output by leave-one-out errors of the first `rows` training points, pooled over the
/// outputs of an instance: first ρ, then the noise.
fn choose(
    train: &Coalitions,
    rows: usize,
    pairs: &Pairs<'_>,
    targets: &Array2<f64>,
    instance_outputs: usize,
) -> Result<Vec<CubicKernel>> {
    let mut targets = targets.slice(s![..rows, ..]).to_owned();
    for mut column in targets.columns_mut() {
        let norm = column.dot(&column).sqrt();
        if norm > 0.0 {
            column /= norm;
        }
    }
    // Only pairs that stand for others matter, if there are any.
    let any = pairs.sampled[..rows - 1].contains(&true);
    let weight: Vec<f64> = (0..rows - 1)
        .map(|pair| if pairs.sampled[pair] || !any { pairs.weights[pair] } else { 0.0 })
        .collect();
    let outputs = targets.ncols();
    let start = CubicKernel { players: train.players() as f64, ratio: RATIOS[0], noise: NOISES[0] };
    let mut best = vec![(f64::INFINITY, start); outputs.div_ceil(instance_outputs)];
    type Best = [(f64, CubicKernel)];
    let try_on = |best: &mut Best, candidate: CubicKernel, instances: &[usize]| -> Result<()> {
        let inverse = candidate.inverse(train, rows)?;
        let columns: Vec<usize> = (instances.iter())
            .flat_map(|i| i * instance_outputs..outputs.min((i + 1) * instance_outputs))
            .collect();
        let alpha = inverse.dot(&targets.select(Axis(1), &columns));
        let mut scores = vec![0.0; instances.len()];
        for (place, alpha) in alpha.columns().into_iter().enumerate() {
            let left = (1..rows).map(|row| weight[row - 1] * (alpha[row] / inverse[[row, row]]).powi(2));
            scores[place / instance_outputs] += left.sum::<f64>();
        }
        for (&instance, score) in instances.iter().zip(scores) {
            if score < best[instance].0 {
                best[instance] = (score, candidate);
            }
        }
        Ok(())
    };
    let all: Vec<usize> = (0..outputs.div_ceil(instance_outputs)).collect();
    for ratio in RATIOS {
        try_on(&mut best, CubicKernel { ratio, ..start }, &all)?;
    }
    let chosen: Vec<CubicKernel> = best.iter().map(|(_, kernel)| *kernel).collect();
    for (kernel, instances) in groups(&chosen) {
        for noise in &NOISES[1..] {
            try_on(&mut best, CubicKernel { noise: *noise, ..kernel }, &instances)?;
        }
    }
    Ok((0..outputs).map(|output| best[output / instance_outputs].1).collect())
}

/// In how many players two coalitions differ.
fn apart(a: &Coalitions, i: usize, b: &Coalitions, j: usize) -> usize {
    let words = a.row_words(i).iter().zip(b.row_words(j));
    words.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() as usize
}
