//! Deletion and insertion: players leave, or come, in the order of their attributions.

use super::{ask, check};
use crate::explain::Game;
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// The game's output while players leave or come.
///
/// # Example
/// ```
/// use whybox::evaluate::Curve;
///
/// let curve = Curve { shares: vec![0.0, 0.5, 1.0], values: vec![1.0, 0.5, 0.0] };
/// assert_eq!(curve.area(), 0.5);
/// assert_eq!((curve.at(0.25), curve.at(1.0)), (0.75, 0.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Share of the players that have left or come, from 0 to 1, ascending.
    pub shares: Vec<f64>,
    /// The output at each share.
    pub values: Vec<f64>,
}

impl Curve {
    /// Area under the curve by the trapezoid rule over the shares, so in units of the output.
    ///
    /// Source: RISE's `evaluation.py`, whose steps are equal; here they may differ by a player.
    pub fn area(&self) -> f64 {
        let steps = self.shares.windows(2).zip(self.values.windows(2));
        steps.map(|(share, value)| (share[1] - share[0]) * (value[0] + value[1]) / 2.0).sum()
    }

    /// The output at a share, linear between the steps; NaN for a curve without points.
    pub fn at(&self, share: f64) -> f64 {
        let after = self.shares.partition_point(|&known| known < share);
        match (after.checked_sub(1), self.shares.get(after)) {
            (_, None) => self.values.last().copied().unwrap_or(f64::NAN),
            (None, Some(_)) => self.values[0],
            (Some(before), Some(&next)) => {
                let part = (share - self.shares[before]) / (next - self.shares[before]);
                self.values[before] + part * (self.values[after] - self.values[before])
            }
        }
    }
}

/// Removes players, highest attribution first, in `steps` steps: a faithful explanation makes the output fall fast.
///
/// # Errors
/// [`Error::Parameter`] if the attributions do not fit the game, or `steps` is 0; whatever the game reports.
///
/// # Example
/// ```
/// use whybox::evaluate::{deletion, insertion};
/// use whybox::explain::FunctionGame;
///
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = f64::from(u8::from(present[2]));
/// });
/// let values = [0.0, 0.0, 1.0, 0.0];
/// assert_eq!(deletion(&game, &values, 0, 4)?.area(), 0.125);
/// assert_eq!(insertion(&game, &values, 0, 4)?.area(), 0.875);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn deletion(game: &dyn Game, values: &[f64], output: usize, steps: usize) -> Result<Curve> {
    curve(game, values, output, steps, |gone| !gone)
}

/// Adds players to an empty coalition, highest attribution first, in `steps` steps: a faithful explanation makes the
/// output rise fast.
///
/// # Errors
/// As [`deletion`].
pub fn insertion(game: &dyn Game, values: &[f64], output: usize, steps: usize) -> Result<Curve> {
    curve(game, values, output, steps, |come| come)
}

fn curve(
    game: &dyn Game,
    values: &[f64],
    output: usize,
    steps: usize,
    present: fn(bool) -> bool,
) -> Result<Curve> {
    let way = Way::new(game.players(), values, steps)?;
    let mut coalitions = Coalitions::with_capacity(game.players(), way.moved.len());
    way.push(&mut coalitions, present);
    Ok(way.curve(ask(game, &coalitions, output)?.to_vec()))
}

/// How many players have moved at each step, and when each does.
pub(super) struct Way {
    /// Place of each player in the order of moving.
    place: Vec<usize>,
    /// Players that have moved, from 0 to all.
    pub(super) moved: Vec<usize>,
}

impl Way {
    /// The way of `players` by falling attribution.
    pub(super) fn new(players: usize, values: &[f64], steps: usize) -> Result<Self> {
        check(values, players)?;
        if steps == 0 {
            return Err(Error::parameter("a curve without steps", "steps", "ask for at least 1"));
        }
        let mut place = vec![0; players];
        let mut order: Vec<usize> = (0..players).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        order.iter().enumerate().for_each(|(at, &player)| place[player] = at);
        let steps = steps.min(players);
        Ok(Way { place, moved: (0..=steps).map(|step| (step * players).div_ceil(steps)).collect() })
    }

    /// Adds the coalition of each step; `present` says whether a player that has moved is there.
    pub(super) fn push(&self, coalitions: &mut Coalitions, present: fn(bool) -> bool) {
        for &moved in &self.moved {
            coalitions.push(|player| present(self.place[player] < moved));
        }
    }

    /// The curve of the answers to these coalitions.
    pub(super) fn curve(&self, values: Vec<f64>) -> Curve {
        let players = self.place.len() as f64;
        Curve { shares: self.moved.iter().map(|&moved| moved as f64 / players).collect(), values }
    }
}
