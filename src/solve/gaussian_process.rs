//! Gaussian process regression on coalitions.
//!
//! The covariance of two coalitions is a product over the players that one of them has and the other has not,
//!
//! ```text
//! k(z, z') = Π over p with zₚ ≠ z'ₚ of (1 − ρₚ) / (1 + ρₚ),      0 ≤ ρₚ < 1
//! ```
//!
//! so that players with a small `ρ` hardly matter, and those with a large one may interact with each other. It is the covariance of a
//! game whose Fourier coefficient over a set of players has a variance in proportion to the product of their `ρ`.
//!
//! Source: C. E. Rasmussen and C. K. I. Williams, *Gaussian Processes for Machine Learning*, 2006: regression is section 2.2, residuals
//! with a point left out are section 5.4.2. The covariance is the diffusion kernel of a hypercube (R. I. Kondor and J. Lafferty,
//! ICML 2002) with a rate of its own for each player.

use faer::Mat;
use rayon::prelude::*;

use super::factor::Factor;
use crate::Result;
use crate::perturb::Coalitions;

/// Factors of the covariance for all ways in which eight neighbouring players can differ.
type Table = [f64; 256];

/// Responses for coalitions, smoothed: the mean of the process after it has seen some.
pub(crate) struct GaussianProcess {
    tables: Vec<Table>,
    /// `[seen, tables]`, a bit a player.
    seen: Vec<u8>,
    /// What each seen coalition adds, times its covariance.
    shares: Vec<f64>,
}

impl GaussianProcess {
    /// Fits responses whose mean is 0. `rates` are the players' `ρ`; `noise` is the variance of a response beside
    /// the process over the variance of the process.
    ///
    /// Also returned: for each response, by how much the process misses it that is fitted to all others.
    pub fn fit(
        coalitions: &Coalitions,
        rates: &[f64],
        responses: &[f64],
        noise: f64,
    ) -> Result<(Self, Vec<f64>)> {
        let tables = rates.chunks(8).map(table).collect();
        let mut process =
            GaussianProcess { tables, seen: bytes(coalitions, rates.len()), shares: Vec::new() };
        let width = process.tables.len();
        let rows: Vec<&[u8]> = process.seen.chunks_exact(width).collect();
        let mut covariance = Mat::zeros(rows.len(), rows.len());
        for (j, other) in rows.iter().enumerate() {
            for (i, row) in rows.iter().enumerate().skip(j) {
                covariance[(i, j)] = process.covariance(row, other);
            }
            covariance[(j, j)] += noise;
        }
        let factor = Factor::new(&covariance)?;
        let shares = factor.solve(&Mat::from_fn(responses.len(), 1, |row, _| responses[row]));
        process.shares = (0..responses.len()).map(|row| shares[(row, 0)]).collect();
        let inverse = factor.inverse_diagonal();
        let left_out = process.shares.iter().zip(inverse).map(|(share, inverse)| share / inverse).collect();
        Ok((process, left_out))
    }

    /// The mean of the process for each coalition.
    pub fn values(&self, coalitions: &Coalitions) -> Vec<f64> {
        let width = self.tables.len();
        let asked = bytes(coalitions, coalitions.players());
        let value = |row: &[u8]| {
            let seen = self.seen.chunks_exact(width).zip(&self.shares);
            seen.map(|(other, share)| share * self.covariance(row, other)).sum()
        };
        asked.par_chunks_exact(width).map(value).collect()
    }

    /// By how much the mean changes when a player changes sides: the root mean square over coalitions, `[players]`.
    pub fn sensitivities(&self, coalitions: &Coalitions) -> Vec<f64> {
        let (players, width) = (coalitions.players(), self.tables.len());
        let asked = bytes(coalitions, players);
        let change = |row: &[u8]| {
            // What each way to differ within eight players adds to the mean.
            let mut parts = vec![[0.0; 256]; width];
            let mut mean = 0.0;
            for (other, share) in self.seen.chunks_exact(width).zip(&self.shares) {
                let term = share * self.covariance(row, other);
                mean += term;
                for ((part, a), b) in parts.iter_mut().zip(row).zip(other) {
                    part[usize::from(a ^ b)] += term;
                }
            }
            let each = (0..players).map(|player| {
                let factor = self.tables[player / 8][1 << (player % 8)];
                let differ = (0..256).filter(|differing| differing >> (player % 8) & 1 == 1);
                let differ: f64 = differ.map(|differing| parts[player / 8][differing]).sum();
                // Those that differed agree now, those that agreed differ.
                (differ / factor + (mean - differ) * factor - mean).powi(2)
            });
            each.collect::<Vec<f64>>()
        };
        let changes: Vec<Vec<f64>> = asked.par_chunks_exact(width).map(change).collect();
        let mean =
            |player: usize| changes.iter().map(|change| change[player]).sum::<f64>() / changes.len() as f64;
        (0..players).map(|player| mean(player).sqrt()).collect()
    }

    fn covariance(&self, row: &[u8], other: &[u8]) -> f64 {
        let factors = self.tables.iter().zip(row.iter().zip(other));
        factors.map(|(table, (a, b))| table[usize::from(a ^ b)]).product()
    }
}

fn table(rates: &[f64]) -> Table {
    std::array::from_fn(|differing| {
        let differ = rates.iter().enumerate().filter(|(player, _)| differing >> player & 1 == 1);
        differ.map(|(_, rate)| (1.0 - rate) / (1.0 + rate)).product()
    })
}

/// Rows of `ceil(players / 8)` bytes.
fn bytes(coalitions: &Coalitions, players: usize) -> Vec<u8> {
    let row = |row| {
        let words = coalitions.row_words(row).iter();
        words.flat_map(|word| word.to_le_bytes()).take(players.div_ceil(8))
    };
    (0..coalitions.rows()).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perturb::{Sampling, lime_coalitions};

    /// Every coalition of `players` players.
    fn all(players: usize) -> Coalitions {
        Coalitions::from_words(players, (0..1 << players).collect()).unwrap()
    }

    #[test]
    fn the_covariance_is_a_sum_over_sets_of_players() {
        // The Fourier form: the sum over all sets S of Π ρₚ χ_S(z) χ_S(z'), over its value at z = z'.
        let rates = [0.3, 0.0, 0.7, 0.2, 0.05, 0.4, 0.1, 0.25, 0.6, 0.15];
        let coalitions = all(10);
        let (process, _) = GaussianProcess::fit(&coalitions, &rates, &vec![0.0; 1024], 1.0).unwrap();
        let rows: Vec<&[u8]> = process.seen.chunks_exact(2).collect();
        for (a, b) in [(0, 0), (5, 700), (1023, 0), (345, 344)] {
            let sum = |differing: usize| -> f64 {
                (0..1024usize)
                    .map(|set| {
                        let size: f64 = (0..10).filter(|p| set >> p & 1 == 1).map(|p| rates[p]).product();
                        if (set & differing).count_ones().is_multiple_of(2) { size } else { -size }
                    })
                    .sum()
            };
            let expected = sum(a ^ b) / sum(0);
            assert!((process.covariance(rows[a], rows[b]) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn sensitivities_are_those_of_the_mean() {
        let coalitions = lime_coalitions(11, 50, 2, Sampling::Independent).unwrap();
        let rates: Vec<f64> = (0..11).map(|p| 0.04 * f64::from(p)).collect();
        let responses: Vec<f64> = (0..50).map(|row| f64::from(coalitions.count(row) as u8).cos()).collect();
        let (process, _) = GaussianProcess::fit(&coalitions, &rates, &responses, 0.2).unwrap();
        let asked = lime_coalitions(11, 20, 7, Sampling::Independent).unwrap();
        let here = process.values(&asked);
        for (player, found) in process.sensitivities(&asked).into_iter().enumerate() {
            let mut moved = Coalitions::new(11);
            (0..20).for_each(|row| moved.push(|p| asked.contains(row, p) != (p == player)));
            let changes =
                process.values(&moved).into_iter().zip(&here).map(|(there, here)| (there - here).powi(2));
            let expected = (changes.sum::<f64>() / 20.0).sqrt();
            assert!((found - expected).abs() < 1e-12, "player {player}: {found} {expected}");
            assert_eq!(found < 1e-12, player == 0, "only the first has a rate of 0");
        }
    }

    #[test]
    fn a_response_left_out_is_missed_as_a_fit_without_it_misses_it() {
        let coalitions = lime_coalitions(12, 60, 4, Sampling::Independent).unwrap();
        let rates: Vec<f64> = (0..12).map(|p| 0.03 * f64::from(p)).collect();
        let response = |row: usize| f64::from(coalitions.count(row) as u8).sin();
        let responses: Vec<f64> = (0..60).map(response).collect();
        let (_, left_out) = GaussianProcess::fit(&coalitions, &rates, &responses, 0.2).unwrap();
        for out in [0, 17, 59] {
            let words = |row| coalitions.row_words(row).to_vec();
            let rest: Vec<usize> = (0..60).filter(|&row| row != out).collect();
            let others = rest.iter().flat_map(|&row| words(row)).collect();
            let others = Coalitions::from_words(12, others).unwrap();
            let seen: Vec<f64> = rest.iter().map(|&row| responses[row]).collect();
            let (without, _) = GaussianProcess::fit(&others, &rates, &seen, 0.2).unwrap();
            let value = without.values(&Coalitions::from_words(12, words(out)).unwrap())[0];
            assert!((responses[out] - value - left_out[out]).abs() < 1e-10);
            // What has been seen is missed by less.
            let (with, _) = GaussianProcess::fit(&coalitions, &rates, &responses, 0.2).unwrap();
            let value = with.values(&Coalitions::from_words(12, words(out)).unwrap())[0];
            assert!((responses[out] - value).abs() < left_out[out].abs());
        }
    }
}
