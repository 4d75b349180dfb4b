//! Do attributions say what happens when players are absent?

use rand::seq::index;

use super::{ask, check, correlation};
use crate::explain::Game;
use crate::perturb::Coalitions;
use crate::perturb::philox::Philox;
use crate::{Error, Result};

/// Stream of the Philox generator for the absent players.
const STREAM: u32 = 0x4556_414C;

/// Which coalitions a metric of faithfulness asks about.
///
/// # Example
/// ```
/// use whybox::evaluate::{Faithfulness, faithfulness_correlation, infidelity};
/// use whybox::explain::FunctionGame;
///
/// // A linear game: its own weights are perfectly faithful.
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().zip([3.0, -1.0, 0.5]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
/// });
/// let settings = Faithfulness { subset: 0.5, ..Faithfulness::default() };
/// let weights = [3.0, -1.0, 0.5];
/// assert!((faithfulness_correlation(&game, &weights, 0, &settings)? - 1.0).abs() < 1e-9);
/// assert!(infidelity(&game, &weights, 0, &settings)? < 1e-9);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faithfulness {
    /// Coalitions that are asked about. Default: 100 (quantus).
    pub runs: usize,
    /// Share of the players that are absent together, at least one player. Default: 0.2 (xplique).
    pub subset: f64,
    /// Seed of the draws. Default: 0.
    pub seed: u64,
}

impl Default for Faithfulness {
    fn default() -> Self {
        Faithfulness { runs: 100, subset: 0.2, seed: 0 }
    }
}

impl Faithfulness {
    /// The coalitions that are asked about: all players first, then `runs` random ones.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than two runs, or a share that is not above 0 and at most 1.
    pub fn coalitions(&self, players: usize) -> Result<Coalitions> {
        if self.runs < 2 || !(self.subset > 0.0 && self.subset <= 1.0) {
            return Err(Error::parameter(
                format!("{} coalitions with a share of {} absent", self.runs, self.subset),
                "faithfulness",
                "ask about at least 2 coalitions, with a share above 0 and at most 1 absent",
            ));
        }
        let absent = ((players as f64 * self.subset).round() as usize).clamp(1, players);
        let mut draws = Philox::new(self.seed, STREAM);
        let mut coalitions = Coalitions::with_capacity(players, self.runs + 1);
        coalitions.push(|_| true);
        for _ in 0..self.runs {
            let mut present = vec![true; players];
            index::sample(&mut draws, players, absent).iter().for_each(|player| present[player] = false);
            coalitions.push(|player| present[player]);
        }
        Ok(coalitions)
    }
}

/// Pearson's correlation, over random sets of absent players, of the sum of their attributions with the fall of the
/// output (Bhatt et al. 2020). NaN where either never varies.
///
/// # Errors
/// [`Error::Parameter`] for attributions or settings that do not fit; whatever the game reports.
pub fn faithfulness_correlation(
    game: &dyn Game,
    values: &[f64],
    output: usize,
    settings: &Faithfulness,
) -> Result<f64> {
    let (sums, falls) = sums_and_falls(game, values, output, settings)?;
    Ok(correlation(&sums, &falls))
}

/// Mean square of the difference between the sum of the absent players' attributions and the fall of the output, over
/// random sets of absent players, in squared units of the output (Yeh et al. 2019 with binary perturbations; captum's
/// `infidelity` without normalisation).
///
/// # Errors
/// As [`faithfulness_correlation`].
pub fn infidelity(game: &dyn Game, values: &[f64], output: usize, settings: &Faithfulness) -> Result<f64> {
    let (sums, falls) = sums_and_falls(game, values, output, settings)?;
    Ok(mean_square(&sums, &falls))
}

/// For each drawn set of absent players: the sum of their attributions, and v(all) − v(all others).
fn sums_and_falls(
    game: &dyn Game,
    values: &[f64],
    output: usize,
    settings: &Faithfulness,
) -> Result<(Vec<f64>, Vec<f64>)> {
    check(values, game.players())?;
    let coalitions = settings.coalitions(game.players())?;
    let answers = ask(game, &coalitions, output)?.to_vec();
    Ok((sums(values, &coalitions), falls(&answers)))
}

/// The sum of the absent players' attributions, for each coalition but the first, of all.
pub(super) fn sums(values: &[f64], coalitions: &Coalitions) -> Vec<f64> {
    let sum = |row| -> f64 {
        values.iter().enumerate().filter(|&(p, _)| !coalitions.contains(row, p)).map(|(_, value)| value).sum()
    };
    (1..coalitions.rows()).map(sum).collect()
}

/// How far each answer lies below the first, of all players.
pub(super) fn falls(answers: &[f64]) -> Vec<f64> {
    answers.iter().skip(1).map(|answer| answers[0] - answer).collect()
}

/// Mean square of the differences.
pub(super) fn mean_square(sums: &[f64], falls: &[f64]) -> f64 {
    sums.iter().zip(falls).map(|(sum, fall)| (sum - fall).powi(2)).sum::<f64>() / sums.len() as f64
}
