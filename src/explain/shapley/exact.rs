//! Exact Shapley values and pairwise interactions by full enumeration.

use ndarray::{Array2, ArrayView1, ArrayView2};

use super::interactions::pair_row;
use super::kernel::less_half_pairs;
use super::session::{EveryPlayer, Found, Session};
use super::{CoalitionValues, Estimator, Forecast, InteractionIndex, Interactions};
use crate::explain::{Explanation, Game, Labels, Progress};
use crate::perturb::Coalitions;
use crate::perturb::pairs::binomial;
use crate::solve::pairwise;
use crate::{Error, Result};

/// Players at most: a coalition is a 32-bit number here.
const MOST_PLAYERS: usize = 30;

/// Shapley values by evaluating every coalition: `2^n` evaluations for n players that vary, streamed in blocks, so that
/// memory does not grow with their number.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, ExactShapley, FunctionGame, InteractionIndex};
///
/// // Exclusive or: neither player does anything alone.
/// let game = FunctionGame::new(2, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = f64::from(u8::from(present[0] != present[1]));
/// });
/// let exact = ExactShapley { interactions: Some(InteractionIndex::Shapley), ..ExactShapley::default() };
/// let explanation = exact.explain(&game, &mut |_| {})?;
/// assert_eq!(explanation.attributions[0].values, [0.0, 0.0]);
/// assert_eq!(explanation.interactions.as_ref().map(|found| found.pair(0, 1, 0)), Some(-2.0));
/// assert!(explanation.exact && explanation.evaluations == 4);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExactShapley {
    /// Evaluations at most; a game that has more coalitions is refused. Default: 4,194,304 (22 players).
    pub evaluations: usize,
    /// Which pairwise interactions are computed. Default: none.
    pub interactions: Option<InteractionIndex>,
    /// Which outputs are explained. Default: all.
    pub labels: Labels,
}

impl Default for ExactShapley {
    fn default() -> Self {
        ExactShapley { evaluations: 1 << 22, interactions: None, labels: Labels::All }
    }
}

impl ExactShapley {
    /// Evaluates every coalition of all players and keeps the values of all outputs: `2^n` rows.
    ///
    /// # Errors
    /// As [`Estimator::explain`].
    pub fn coalition_values(&self, game: &dyn Game, progress: &mut Progress<'_>) -> Result<CoalitionValues> {
        let all = EveryPlayer(game);
        let mut session = Session::open(&all, &Labels::All, progress)?;
        let players = session.players();
        self.check(players)?;
        let mut values = Array2::zeros((1 << players, session.outputs()));
        self.stream(&mut session, |codes, rows| {
            let (first, last) = (codes[0] as usize, codes[codes.len() - 1] as usize);
            values.slice_mut(ndarray::s![first..=last, ..]).assign(&rows);
        })?;
        CoalitionValues::new(players, values)
    }

    fn check(&self, players: usize) -> Result<()> {
        if players > MOST_PLAYERS || 1 << players > self.evaluations {
            return Err(Error::limits(
                format!(
                    "{players} players have 2^{players} coalitions, more than {} evaluations",
                    self.evaluations
                ),
                "exact Shapley values",
                "group the players, allow more evaluations, or use Kernel SHAP",
            ));
        }
        Ok(())
    }

    /// Gives all coalitions with their values to `take`, in order of their numbers, a block at a time.
    fn stream(
        &self,
        session: &mut Session<'_, '_>,
        mut take: impl FnMut(&[u32], ArrayView2<f64>),
    ) -> Result<()> {
        let players = session.players();
        let all = (1u32 << players) - 1;
        let ends = |row: &[f64]| ArrayView1::from(row).insert_axis(ndarray::Axis(0)).to_owned();
        take(&[0], ends(&session.empty).view());
        let block = session.block() as u32;
        let mut first = 1;
        while first < all {
            let codes: Vec<u32> = (first..all.min(first.saturating_add(block))).collect();
            let values = session.values(&Coalitions::from_words(players, codes.clone())?)?;
            take(&codes, values.view());
            first += codes.len() as u32;
        }
        if all > 0 {
            take(&[all], ends(&session.full).view());
        }
        Ok(())
    }
}

/// Running sums `Σ_S c(|S|) y`, over all coalitions, those with a player, and those with a pair of players.
struct Sums {
    none: Vec<f64>,
    single: Vec<f64>,
    pair: Vec<f64>,
    /// y is v(S) less this, which keeps rounding errors small.
    origin: Vec<f64>,
    /// Factors by size.
    factors: [Vec<f64>; 3],
    players: usize,
}

impl Sums {
    fn new(players: usize, origin: Vec<f64>, factors: [Vec<f64>; 3]) -> Self {
        let pairs = if factors[2].is_empty() { 0 } else { players * players.saturating_sub(1) / 2 };
        let outputs = origin.len();
        Sums {
            none: vec![0.0; outputs],
            single: vec![0.0; players * outputs],
            pair: vec![0.0; pairs * outputs],
            origin,
            factors,
            players,
        }
    }

    fn add(&mut self, code: u32, values: ArrayView1<f64>) {
        let outputs = self.origin.len();
        let size = code.count_ones() as usize;
        let members: Vec<usize> = (0..self.players).filter(|player| code >> player & 1 == 1).collect();
        for (k, (value, origin)) in values.iter().zip(&self.origin).enumerate() {
            let y = value - origin;
            self.none[k] += self.factors[0][size] * y;
            let single = self.factors[1][size] * y;
            members.iter().for_each(|&i| self.single[i * outputs + k] += single);
            if let Some(factor) = self.factors[2].get(size) {
                let pair = factor * y;
                for (place, &i) in members.iter().enumerate() {
                    for &j in &members[place + 1..] {
                        self.pair[pair_row(self.players, i, j) * outputs + k] += pair;
                    }
                }
            }
        }
    }

    fn single(&self, player: usize, output: usize) -> f64 {
        self.single[player * self.origin.len() + output]
    }

    /// `Σ` over pairs of `none + single + single + pair`.
    fn pairs(&self, with_none: bool) -> Array2<f64> {
        let outputs = self.origin.len();
        let mut pairs = Array2::zeros((self.players * self.players.saturating_sub(1) / 2, outputs));
        let mut row = 0;
        for i in 0..self.players {
            for j in i + 1..self.players {
                for k in 0..outputs {
                    let none = if with_none { self.none[k] } else { 0.0 };
                    pairs[[row, k]] =
                        none + self.single(i, k) + self.single(j, k) + self.pair[row * outputs + k];
                }
                row += 1;
            }
        }
        pairs
    }
}

impl Estimator for ExactShapley {
    fn name(&self) -> &'static str {
        "exact Shapley values"
    }

    fn most_evaluations(&self, players: usize) -> usize {
        self.evaluations.min(1usize.checked_shl(players as u32).unwrap_or(usize::MAX))
    }

    fn explain_forecasting(
        &self,
        game: &dyn Game,
        progress: &mut Progress<'_>,
        _forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation> {
        let mut session = Session::open(game, &self.labels, progress)?;
        let players = session.players();
        self.check(players)?;
        if players == 0 {
            let found = Found::exact(Array2::zeros((0, session.outputs())));
            return Ok(session.finish(self.name(), 0, found));
        }
        // A coalition of size s counts a(s) for its members, -b(s) for the others.
        let share = |others: usize, size: usize| 1.0 / (others as f64 * binomial(others - 1, size));
        let b: Vec<f64> = (0..=players).map(|s| if s < players { share(players, s) } else { 0.0 }).collect();
        let a: Vec<f64> = (0..=players).map(|s| if s > 0 { b[s - 1] } else { 0.0 }).collect();
        let factors =
            [b.iter().map(|b| -b).collect(), a.iter().zip(&b).map(|(a, b)| a + b).collect(), Vec::new()];
        let mut values = Sums::new(players, session.empty.clone(), factors);
        let mut second = self.interactions.filter(|_| players > 1).map(|index| pair_sums(index, &session));
        self.stream(&mut session, |codes, rows| {
            for (&code, row) in codes.iter().zip(rows.outer_iter()) {
                values.add(code, row);
                if let Some(second) = &mut second {
                    second.add(code, row);
                }
            }
        })?;
        let values = Array2::from_shape_fn((players, session.outputs()), |(player, k)| {
            values.single(player, k) + values.none[k]
        });
        let interactions = match (self.interactions, second) {
            (Some(index), Some(sums)) => {
                let pairs = match index {
                    InteractionIndex::Shapley => sums.pairs(true),
                    InteractionIndex::Faithful => {
                        pairwise::solve(&separation_gram(players), &sums.pairs(false))?
                    }
                };
                let singles = less_half_pairs(players, &values, &pairs);
                Some(Interactions { index, players, pairs, singles, standard_errors: None })
            }
            _ => None,
        };
        let found = Found { interactions, ..Found::exact(values) };
        Ok(session.finish(self.name(), 0, found))
    }
}

/// The sums that the interactions of an index need.
fn pair_sums(index: InteractionIndex, session: &Session<'_, '_>) -> Sums {
    let players = session.players();
    let sizes = 0..=players;
    match index {
        InteractionIndex::Shapley => {
            // Coalitions T of the others count w(|T|) with both, -w with one, w with none of the pair.
            let w = |others: Option<usize>| match others {
                Some(t) if t + 2 <= players => 1.0 / ((players - 1) as f64 * binomial(players - 2, t)),
                _ => 0.0,
            };
            let none: Vec<f64> = sizes.clone().map(|s| w(Some(s))).collect();
            let one: Vec<f64> = sizes.clone().map(|s| -w(s.checked_sub(1))).collect();
            let both: Vec<f64> = sizes.clone().map(|s| w(s.checked_sub(2))).collect();
            let single = sizes.clone().map(|s| one[s] - none[s]).collect();
            let pair = sizes.map(|s| both[s] - 2.0 * one[s] + none[s]).collect();
            Sums::new(players, session.empty.clone(), [none, single, pair])
        }
        InteractionIndex::Faithful => {
            // Σ μ [S separates i and j] (v(S) - (v(∅) + v(N)) / 2)
            let kernel: Vec<f64> = sizes.map(|s| kernel(players, s)).collect();
            let pair = kernel.iter().map(|weight| -2.0 * weight).collect();
            let middle = session.full.iter().zip(&session.empty).map(|(full, empty)| (full + empty) / 2.0);
            Sums::new(players, middle.collect(), [vec![0.0; players + 1], kernel, pair])
        }
    }
}

/// The Shapley kernel of a coalition of a size; 0 for the empty and the full one, which are constraints.
fn kernel(players: usize, size: usize) -> f64 {
    if size == 0 || size == players {
        return 0.0;
    }
    1.0 / (binomial(players, size) * size as f64 * (players - size) as f64)
}

/// `Σ_S μ(S) [S separates i, j] [S separates k, l]` over pairs of players: three numbers.
fn separation_gram(players: usize) -> Array2<f64> {
    let pairs: Vec<[usize; 2]> = (0..players).flat_map(|i| (i + 1..players).map(move |j| [i, j])).collect();
    let choose = |n: usize, k: isize| if k < 0 || k as usize > n { 0.0 } else { binomial(n, k as usize) };
    // Of `size` players, `fixed` are outside the count and `inside` of them are in: ways to choose the rest.
    let sum = |fixed: usize, ways: &[(isize, f64)]| -> f64 {
        (1..players)
            .map(|size| {
                let rest = |&(inside, times): &(isize, f64)| {
                    times * choose(players.saturating_sub(fixed), size as isize - inside)
                };
                kernel(players, size) * ways.iter().map(rest).sum::<f64>()
            })
            .sum()
    };
    let same = sum(2, &[(1, 2.0)]);
    let sharing = if players > 2 { sum(3, &[(1, 1.0), (2, 1.0)]) } else { 0.0 };
    let apart = if players > 3 { sum(4, &[(2, 4.0)]) } else { 0.0 };
    Array2::from_shape_fn((pairs.len(), pairs.len()), |(a, b)| {
        match pairs[a].iter().filter(|player| pairs[b].contains(player)).count() {
            2 => same,
            1 => sharing,
            _ => apart,
        }
    })
}
