//! How much of an explanation would be there again with another seed or another kernel?

use std::cell::RefCell;

use ndarray::Array2;

use super::{Control, Explanation, Game, Labels, Lime, LimeTabular, RowFunction};
use crate::perturb::{Coalitions, Neighbourhood};
use crate::{Error, Result};

/// LIME repeated over seeds and kernel widths, for one output.
///
/// # Example
/// ```
/// use whybox::explain::{FunctionGame, Lime, Stability};
///
/// // A linear game leaves nothing to chance.
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = present.iter().zip([4.0, 3.0, 2.0, 1.0]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
/// });
/// let lime = Lime { samples: 200, ..Lime::default() };
/// let stability = Stability::of(&lime, &game, 5, 2, &[0.5, 1.0, 2.0])?;
/// assert_eq!(stability.variables_index, 1.0);
/// assert!(stability.spread.iter().all(|&spread| spread < 0.05));
/// assert_eq!(stability.scores.len(), 3);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Stability {
    /// The output, as the first run chose it.
    pub output: usize,
    /// Runs, each with a seed of its own.
    pub repeats: usize,
    /// Players of each run that are compared: those with the largest effects.
    pub top: usize,
    /// Variables stability index, 0 to 1: the mean, over pairs of runs, of the share of top players in common.
    pub variables_index: f64,
    /// Coefficients stability index, 0 to 1: for each player that is at the top of two runs or more, the share of pairs of
    /// runs whose 95 % intervals of its effect overlap; the mean over players. NaN without standard errors.
    pub coefficients_index: f64,
    /// Mean of each player's effect over the runs, `[players]`.
    pub mean: Vec<f64>,
    /// Standard deviation of each player's effect over the runs, `[players]`.
    pub spread: Vec<f64>,
    /// For each factor asked for: the kernel width, and the mean weighted R² over the runs.
    pub scores: Vec<(f64, f64)>,
}

impl Stability {
    /// Repeats `lime` with the seeds `lime.seed`, `lime.seed + 1`, …; `top` players are compared; the fit is repeated, on
    /// the same evaluations, for each kernel width that `width_factors` gives as a multiple of `lime.kernel_width`.
    ///
    /// Source of the indices: Visani et al., *Statistical stability indices for LIME*, Journal of the Operational Research
    /// Society 2022.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than two repeats or no top player; those of [`Lime::explain`].
    pub fn of(
        lime: &Lime,
        game: &dyn Game,
        repeats: usize,
        top: usize,
        width_factors: &[f64],
    ) -> Result<Self> {
        // There is at least one explained output, or LIME would have refused.
        Ok(Self::of_outputs(lime, game, repeats, top, width_factors)?.swap_remove(0))
    }

    /// As [`Stability::of`], for each output that `lime` explains: the same evaluations serve all.
    ///
    /// # Errors
    /// Those of [`Stability::of`].
    pub fn of_outputs(
        lime: &Lime,
        game: &dyn Game,
        repeats: usize,
        top: usize,
        width_factors: &[f64],
    ) -> Result<Vec<Self>> {
        check(repeats, top)?;
        let top = top.min(game.players());
        let mut runs: Vec<Explanation> = Vec::with_capacity(repeats);
        // Of each width, the sum of the fits of each output over the runs.
        let mut sums: Vec<Vec<f64>> = vec![Vec::new(); width_factors.len()];
        for repeat in 0..repeats {
            let lime = Lime { seed: lime.seed.wrapping_add(repeat as u64), ..lime.clone() };
            let replay = Replay { game, answers: RefCell::default(), next: RefCell::new(0) };
            runs.push(lime.explain(&replay, &mut |_| {})?);
            for (sum, factor) in sums.iter_mut().zip(width_factors) {
                *replay.next.borrow_mut() = 0;
                // The fit is that of the plain surrogate, whatever control its coefficients have.
                let kernel_width = lime.kernel_width * factor;
                let wider = Lime { kernel_width, control: Control::None, ..lime.clone() };
                let fits = wider.explain(&replay, &mut |_| {})?.attributions;
                sum.resize(fits.len(), 0.0);
                sum.iter_mut().zip(&fits).for_each(|(sum, fit)| *sum += fit.score);
            }
        }
        let stability = |k: usize| {
            let widths = width_factors.iter().map(|factor| factor * lime.kernel_width);
            let scores = widths.zip(&sums).map(|(width, sum)| (width, sum[k] / repeats as f64)).collect();
            Self::from_runs(&runs, k, top, scores)
        };
        Ok((0..runs[0].attributions.len()).map(stability).collect())
    }

    /// The same for LIME on a row of a table, for one of its outputs.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than two repeats or no top player; those of [`LimeTabular::explain`].
    pub fn of_row(
        lime: &LimeTabular,
        (neighbourhood, instance): (&Neighbourhood, &[f64]),
        output: usize,
        black_box: &mut RowFunction<'_>,
        (repeats, top): (usize, usize),
        width_factors: &[f64],
    ) -> Result<Self> {
        check(repeats, top)?;
        let features = neighbourhood.features();
        let width = lime.kernel_width.unwrap_or(0.75 * (features as f64).sqrt());
        let mut runs = Vec::with_capacity(repeats);
        let mut sums = vec![0.0; width_factors.len()];
        for repeat in 0..repeats {
            let seed = lime.seed.wrapping_add(repeat as u64);
            let lime = LimeTabular { seed, labels: Labels::Given(vec![output]), ..lime.clone() };
            let mut answers: Vec<Array2<f64>> = Vec::new();
            runs.push(lime.explain(
                neighbourhood,
                instance,
                &mut |rows| {
                    answers.push(black_box(rows)?);
                    Ok(answers[answers.len() - 1].clone())
                },
                &mut |_| {},
            )?);
            for (sum, factor) in sums.iter_mut().zip(width_factors) {
                let wider = LimeTabular { kernel_width: Some(width * factor), ..lime.clone() };
                // The same rows are drawn, so the answers are the same ones.
                let mut replay = answers.iter();
                let mut again = |rows: ndarray::ArrayView2<f64>| match replay.next() {
                    Some(answer) => Ok(answer.clone()),
                    None => black_box(rows),
                };
                *sum +=
                    wider.explain(neighbourhood, instance, &mut again, &mut |_| {})?.attributions[0].score;
            }
        }
        let widths = width_factors.iter().map(|factor| factor * width);
        let scores = widths.zip(sums).map(|(width, sum)| (width, sum / repeats as f64)).collect();
        Ok(Self::from_runs(&runs, 0, top.min(features), scores))
    }

    /// Of the explained output at place `k`.
    fn from_runs(runs: &[Explanation], k: usize, top: usize, scores: Vec<(f64, f64)>) -> Self {
        let players = runs[0].players;
        let values = |run: usize| &runs[run].attributions[k].values;
        let count = runs.len() as f64;
        let mean: Vec<f64> =
            (0..players).map(|p| (0..runs.len()).map(|run| values(run)[p]).sum::<f64>() / count).collect();
        let spread = (0..players).map(|p| {
            let squares = (0..runs.len()).map(|run| (values(run)[p] - mean[p]).powi(2));
            (squares.sum::<f64>() / (count - 1.0)).sqrt()
        });
        let tops: Vec<Vec<usize>> = (0..runs.len())
            .map(|run| {
                let mut order: Vec<usize> = (0..players).collect();
                order.sort_by(|&a, &b| values(run)[b].abs().total_cmp(&values(run)[a].abs()));
                order.truncate(top);
                order
            })
            .collect();
        let pairs: Vec<(usize, usize)> = (0..runs.len()).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
        let common = |&(a, b): &(usize, usize)| {
            tops[a].iter().filter(|player| tops[b].contains(player)).count() as f64 / top as f64
        };
        Stability {
            output: runs[0].attributions[k].output,
            repeats: runs.len(),
            top,
            variables_index: pairs.iter().map(common).sum::<f64>() / pairs.len() as f64,
            coefficients_index: coefficients_index(runs, k, &tops, &pairs),
            spread: spread.collect(),
            mean,
            scores,
        }
    }
}

fn check(repeats: usize, top: usize) -> Result<()> {
    if repeats < 2 || top == 0 {
        return Err(Error::parameter(
            format!("stability of {repeats} runs, comparing {top} players"),
            "--stability",
            "repeat at least twice, and compare at least 1 player",
        ));
    }
    Ok(())
}

fn coefficients_index(runs: &[Explanation], k: usize, tops: &[Vec<usize>], pairs: &[(usize, usize)]) -> f64 {
    /// Half the width of a 95 % interval, in standard errors.
    const HALF_WIDTH: f64 = 1.959_964;
    let interval = |run: usize, player: usize| {
        let attribution = &runs[run].attributions[k];
        let error = attribution.standard_errors.as_ref().map_or(f64::NAN, |errors| errors[player]);
        (attribution.values[player] - HALF_WIDTH * error, attribution.values[player] + HALF_WIDTH * error)
    };
    let mut shares = Vec::new();
    for player in 0..runs[0].players {
        let both: Vec<_> =
            pairs.iter().filter(|(a, b)| tops[*a].contains(&player) && tops[*b].contains(&player)).collect();
        if both.is_empty() {
            continue;
        }
        let overlaps = both.iter().map(|&&(a, b)| {
            let ((low_a, high_a), (low_b, high_b)) = (interval(a, player), interval(b, player));
            if low_a.is_nan() || low_b.is_nan() {
                return f64::NAN;
            }
            f64::from(u8::from(low_a <= high_b && low_b <= high_a))
        });
        shares.push(overlaps.sum::<f64>() / both.len() as f64);
    }
    shares.iter().sum::<f64>() / shares.len() as f64
}

/// A game that remembers its answers in the order of the questions, and gives them again from the start.
struct Replay<'a> {
    game: &'a dyn Game,
    answers: RefCell<Vec<Array2<f64>>>,
    next: RefCell<usize>,
}

impl Game for Replay<'_> {
    fn players(&self) -> usize {
        self.game.players()
    }

    fn outputs(&self) -> usize {
        self.game.outputs()
    }

    fn work(&self) -> f64 {
        self.game.work()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut next = self.next.borrow_mut();
        let mut answers = self.answers.borrow_mut();
        if *next == answers.len() {
            answers.push(self.game.values(coalitions)?);
        }
        *next += 1;
        Ok(answers[*next - 1].clone())
    }
}
