//! The Shapley regression over any coalitions and weights, with `shap`'s selection of players.
//!
//! Source: `KernelExplainer.solve` of `shap` 0.51. Given the same masks, weights and responses the values are the same.

use faer::Mat;
use ndarray::{Array2, ArrayView1, ArrayView2};

use super::factor::Factor;
use super::lars::{LarsMethod, LarsOptions, LarsPath, follow};
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Which players may have values other than 0.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, KernelShap};
/// use whybox::solve::L1Reg;
///
/// let game = FunctionGame::new(30, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = 3.0 * f64::from(u8::from(present[4])) + 0.01 * f64::from(u8::from(present[9]));
/// });
/// let shap = KernelShap { l1_reg: L1Reg::NumFeatures(1), budget: Budget::of(500), ..KernelShap::default() };
/// let values = &shap.explain(&game, &mut |_| {})?.attributions[0].values;
/// assert_eq!(values.iter().filter(|value| **value != 0.0).count(), 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum L1Reg {
    /// All: nothing is selected.
    #[default]
    None,
    /// The first `k` of the least-angle path; the default of `shap`, with 10.
    NumFeatures(usize),
    /// The lasso that minimises Akaike's criterion.
    Aic,
    /// The lasso that minimises the Bayesian criterion.
    Bic,
    /// The lasso with this penalty.
    Alpha(f64),
}

/// Shapley values `[players, outputs]` that minimise `Σ w (v(S) - v(∅) - Σ_{i∈S} φ_i)²` under
/// `Σ φ = v(N) - v(∅)`.
///
/// Takes proper coalitions (neither empty nor full) with weights `[rows]` and responses `[rows, outputs]`, and the
/// values of the empty and the full coalition, `[outputs]`. Without selection, one factorisation serves all outputs.
/// Where the coalitions do not determine all values, the solution is the one nearest to equal values.
///
/// # Errors
/// [`Error::Parameter`] if shapes disagree, a weight is negative, or a selection makes no sense;
/// [`Error::Numeric`] for NaN, or for fewer coalitions than an information criterion needs.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::Coalitions;
/// use whybox::solve::{L1Reg, shapley_regression};
///
/// let coalitions = Coalitions::from_dense(array![[1u8, 0], [0, 1]].view())?;
/// let responses = array![[1.0], [2.0]];
/// let values = shapley_regression(&coalitions, &[1.0, 1.0], responses.view(), &[0.0], &[5.0], L1Reg::None)?;
/// assert!((values[[0, 0]] - 2.0).abs() < 1e-12 && (values[[1, 0]] - 3.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn shapley_regression(
    coalitions: &Coalitions,
    weights: &[f64],
    responses: ArrayView2<f64>,
    empty: &[f64],
    full: &[f64],
    l1: L1Reg,
) -> Result<Array2<f64>> {
    let (players, outputs) = (coalitions.players(), responses.ncols());
    let shapes = (responses.nrows(), weights.len(), empty.len(), full.len());
    if shapes != (coalitions.rows(), coalitions.rows(), outputs, outputs) || players == 0 {
        return Err(Error::parameter(
            "the parts of a Shapley regression disagree",
            format!(
                "{} coalitions, {} weights, responses {:?}",
                coalitions.rows(),
                weights.len(),
                responses.dim()
            ),
            "give a weight and a row of responses for each coalition, and two values for each output",
        ));
    }
    if weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) {
        return Err(Error::parameter(
            "a weight is negative or not finite",
            "weights",
            "use weights of at least 0",
        ));
    }
    if responses.iter().chain(empty).chain(full).any(|v| !v.is_finite()) {
        return Err(Error::numeric("a response is not finite", "responses", "give finite numbers"));
    }
    l1.check()?;
    let moments = Moments::new(coalitions, weights, responses, empty);
    let mut values = Array2::zeros((players, outputs));
    let all: Vec<usize> = (0..players).collect();
    if l1 == L1Reg::None {
        moments.solve(&all, &(0..outputs).collect::<Vec<_>>(), empty, full, &mut values)?;
        return Ok(values);
    }
    let augmented = Augmented::new(coalitions, weights);
    for output in 0..outputs {
        let response: Vec<f64> = responses.column(output).iter().map(|v| v - empty[output]).collect();
        let chosen = augmented.select(coalitions, weights, &response, full[output] - empty[output], l1)?;
        if !chosen.is_empty() {
            moments.solve(&chosen, &[output], empty, full, &mut values)?;
        }
    }
    Ok(values)
}

impl L1Reg {
    /// Refuses what makes no sense.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            L1Reg::NumFeatures(0) => {
                Err(Error::parameter("no player may be selected", "l1_reg", "ask for at least 1"))
            }
            L1Reg::Alpha(alpha) if !(alpha.is_finite() && alpha > 0.0) => Err(Error::parameter(
                format!("a penalty of {alpha} makes no sense"),
                "l1_reg",
                "give a number above 0",
            )),
            _ => Ok(()),
        }
    }
}

/// `Σ w z zᵀ` and `Σ w z (v - v(∅))`.
struct Moments {
    gram: Array2<f64>,
    cross: Array2<f64>,
}

impl Moments {
    fn new(coalitions: &Coalitions, weights: &[f64], responses: ArrayView2<f64>, empty: &[f64]) -> Self {
        let players = coalitions.players();
        let mut gram = Array2::zeros((players, players));
        let mut cross = Array2::zeros((players, empty.len()));
        let mut present = Vec::with_capacity(players);
        for (row, &weight) in weights.iter().enumerate() {
            present.clear();
            present.extend((0..players).filter(|&player| coalitions.contains(row, player)));
            let rise = &responses.row(row) - &ArrayView1::from(empty);
            for &i in &present {
                present.iter().for_each(|&j| gram[[i, j]] += weight);
                cross.row_mut(i).scaled_add(weight, &rise);
            }
        }
        Self { gram, cross }
    }

    /// Solves for some players and outputs: with `φ = Δ/k + u`, `1·u = 0`.
    fn solve(
        &self,
        players: &[usize],
        outputs: &[usize],
        empty: &[f64],
        full: &[f64],
        values: &mut Array2<f64>,
    ) -> Result<()> {
        let size = players.len();
        let count = size as f64;
        let share = |output: usize| (full[output] - empty[output]) / count;
        let mut matrix = Mat::from_fn(size, size, |i, j| self.gram[[players[i], players[j]]]);
        let row_sums: Vec<f64> = (0..size).map(|i| (0..size).map(|j| matrix[(i, j)]).sum()).collect();
        let mut right = Mat::from_fn(size, outputs.len(), |i, k| {
            self.cross[[players[i], outputs[k]]] - row_sums[i] * share(outputs[k])
        });
        // Both sides onto the space of zero sum, where `c 11ᵀ/k` keeps the matrix regular.
        let total: f64 = row_sums.iter().sum::<f64>() / count;
        let trace: f64 = (0..size).map(|i| matrix[(i, i)]).sum::<f64>();
        let level = (trace - total).max(0.0) / count;
        let level = if level > 0.0 { level } else { 1.0 };
        for i in 0..size {
            for j in 0..size {
                matrix[(i, j)] += (total + level - row_sums[i] - row_sums[j]) / count;
            }
        }
        for k in 0..outputs.len() {
            let mean = (0..size).map(|i| right[(i, k)]).sum::<f64>() / count;
            (0..size).for_each(|i| right[(i, k)] -= mean);
        }
        let solved = Factor::new(&matrix)?.solve(&right);
        for (k, &output) in outputs.iter().enumerate() {
            for (i, &player) in players.iter().enumerate() {
                values[[player, output]] = solved[(i, k)] + share(output);
            }
        }
        Ok(())
    }
}

/// Moments of the rows that `shap` selects on: `√(w (M - s)) z` and `√(w s) (z - 1)`, s the size of z.
struct Augmented {
    gram: Mat<f64>,
    /// Column sums: the criteria centre the columns, though their rows are weighted.
    sums: Vec<f64>,
    rows: usize,
}

impl Augmented {
    fn new(coalitions: &Coalitions, weights: &[f64]) -> Self {
        let players = coalitions.players();
        let mut gram = Mat::zeros(players, players);
        let mut sums = vec![0.0; players];
        for (row, &weight) in weights.iter().enumerate() {
            let size = coalitions.count(row) as f64;
            let (inside, outside) = (weight * (players as f64 - size), weight * size);
            for i in 0..players {
                let present = coalitions.contains(row, i);
                sums[i] += if present { inside.sqrt() } else { -outside.sqrt() };
                let weight = if present { inside } else { outside };
                for j in (0..players).filter(|&j| coalitions.contains(row, j) == present) {
                    gram[(i, j)] += weight;
                }
            }
        }
        Self { gram, sums, rows: 2 * weights.len() }
    }

    /// The players that are selected for one output: `response` is `v(S) - v(∅)`.
    fn select(
        &self,
        coalitions: &Coalitions,
        weights: &[f64],
        response: &[f64],
        delta: f64,
        l1: L1Reg,
    ) -> Result<Vec<usize>> {
        let players = coalitions.players();
        let mut cross = vec![0.0; players];
        let (mut sum, mut square) = (0.0, 0.0);
        for (row, (&weight, &v)) in weights.iter().zip(response).enumerate() {
            let size = coalitions.count(row) as f64;
            let (inside, outside) = (weight * (players as f64 - size), weight * size);
            sum += inside.sqrt() * v + outside.sqrt() * (v - delta);
            square += inside * v * v + outside * (v - delta) * (v - delta);
            for (player, cross) in cross.iter_mut().enumerate() {
                *cross += if coalitions.contains(row, player) { inside * v } else { -outside * (v - delta) };
            }
        }
        if let L1Reg::NumFeatures(count) = l1 {
            let options = LarsOptions { method: LarsMethod::Lar, max_steps: count };
            return Ok(follow(&self.gram, cross, self.rows, &options).active);
        }
        // The lasso has an intercept: everything about its mean.
        let rows = self.rows as f64;
        let gram =
            Mat::from_fn(players, players, |i, j| self.gram[(i, j)] - self.sums[i] * self.sums[j] / rows);
        let cross: Vec<f64> = (0..players).map(|i| cross[i] - self.sums[i] * sum / rows).collect();
        let square = square - sum * sum / rows;
        match l1 {
            L1Reg::Alpha(alpha) => {
                let path = follow(
                    &gram,
                    cross,
                    self.rows,
                    &LarsOptions { max_steps: 100 * players, ..Default::default() },
                );
                Ok(nonzero(&path.at(alpha)))
            }
            criterion => self.criterion(gram, cross, square, criterion == L1Reg::Bic),
        }
    }

    /// scikit-learn's `LassoLarsIC` on columns of unit variance: `n ln(2π σ²) + RSS/σ² + penalty · df`.
    fn criterion(&self, gram: Mat<f64>, cross: Vec<f64>, square: f64, bic: bool) -> Result<Vec<usize>> {
        let (players, rows) = (cross.len(), self.rows as f64);
        if self.rows <= players + 1 {
            return Err(Error::numeric(
                format!("{} coalitions are too few for an information criterion", self.rows / 2),
                "l1_reg",
                "allow more evaluations, or select a number of players",
            ));
        }
        let scale: Vec<f64> = (0..players)
            .map(|i| (gram[(i, i)] / rows).sqrt())
            .map(|deviation| if deviation > 0.0 { deviation } else { 1.0 })
            .collect();
        let gram = Mat::from_fn(players, players, |i, j| gram[(i, j)] / (scale[i] * scale[j]));
        let cross: Vec<f64> = cross.iter().zip(&scale).map(|(c, s)| c / s).collect();
        let solved = Factor::new(&gram)?.solve(&Mat::from_fn(players, 1, |i, _| cross[i]));
        let explained: f64 = (0..players).map(|i| solved[(i, 0)] * cross[i]).sum();
        let noise = (square - explained).max(0.0) / (self.rows - players - 1) as f64;
        // A response without noise: every player that its path reaches.
        let noise = noise.max(square * f64::EPSILON);
        let path: LarsPath = follow(&gram, cross.clone(), self.rows, &LarsOptions::default());
        let penalty = if bic { rows.ln() } else { 2.0 };
        let cost = |knot: usize| {
            let beta = path.coefficients.row(knot);
            let fitted: f64 = (0..players)
                .map(|i| beta[i] * (0..players).map(|j| gram[(i, j)] * beta[j]).sum::<f64>())
                .sum();
            let product: f64 = beta.iter().zip(&cross).map(|(b, c)| b * c).sum();
            let freedom = beta.iter().filter(|b| b.abs() > f64::EPSILON).count() as f64;
            (square - 2.0 * product + fitted) / noise + penalty * freedom
        };
        let costs: Vec<f64> = (0..path.alphas.len()).map(cost).collect();
        let best = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        Ok(best.map_or_else(Vec::new, |knot| nonzero(path.coefficients.row(knot).as_slice().unwrap_or(&[]))))
    }
}

fn nonzero(coefficients: &[f64]) -> Vec<usize> {
    (0..coefficients.len()).filter(|&i| coefficients[i] != 0.0).collect()
}
