//! What every Shapley estimator needs of a game: checked values of the explained outputs, over the players that
//! vary, in blocks of bounded memory.

use std::time::Instant;

use ndarray::{Array2, s};

use super::super::{Attribution, Explanation, Game, Interactions, Labels, Progress};
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Coalitions given to the game at a time.
const BLOCK_ROWS: usize = 4096;
/// Numbers that the game answers at a time: fewer rows where a coalition has very many outputs.
const BLOCK_VALUES: usize = 1 << 22;

pub(super) struct Session<'a, 'p> {
    game: &'a dyn Game,
    progress: &'a mut Progress<'p>,
    /// The players that vary.
    varying: Vec<usize>,
    /// The explained outputs.
    labels: Vec<usize>,
    /// All outputs of the instance.
    prediction: Vec<f64>,
    /// v(∅) and v(N) of the explained outputs.
    pub empty: Vec<f64>,
    pub full: Vec<f64>,
    pub evaluations: usize,
    evaluating: f64,
    started: Instant,
}

/// What an estimator found, over the players that vary.
pub(super) struct Found {
    /// `[players, outputs]`
    pub values: Array2<f64>,
    /// `[players, outputs]`
    pub errors: Option<Array2<f64>>,
    pub degrees_of_freedom: f64,
    /// `[outputs]`; empty if nothing is fitted.
    pub scores: Vec<f64>,
    pub interactions: Option<Interactions>,
    pub exact: bool,
}

impl Found {
    pub fn exact(values: Array2<f64>) -> Self {
        Found {
            values,
            errors: None,
            degrees_of_freedom: f64::INFINITY,
            scores: Vec::new(),
            interactions: None,
            exact: true,
        }
    }
}

impl<'a, 'p> Session<'a, 'p> {
    /// Evaluates the empty and the full coalition.
    pub fn open(game: &'a dyn Game, labels: &Labels, progress: &'a mut Progress<'p>) -> Result<Self> {
        let players = game.players();
        if players == 0 {
            return Err(Error::parameter(
                "a game without players",
                "Game::players",
                "give at least one segment, column or token to vary",
            ));
        }
        labels.check(game.outputs())?;
        let varies = game.varying();
        if varies.len() != players {
            return Err(Error::parameter(
                format!("the game says of {} of {players} players whether they vary", varies.len()),
                "Game::varying",
                "return one answer for each player",
            ));
        }
        let mut session = Session {
            game,
            progress,
            varying: (0..players).filter(|&player| varies[player]).collect(),
            labels: (0..game.outputs()).collect(),
            prediction: Vec::new(),
            empty: Vec::new(),
            full: Vec::new(),
            evaluations: 0,
            evaluating: 0.0,
            started: Instant::now(),
        };
        let mut ends = Coalitions::with_capacity(session.players(), 2);
        ends.push(|_| true);
        ends.push(|_| false);
        // All players present is the instance, absent ones that do not vary are no different: but present and
        // absent must differ in the words, so the empty coalition is empty for all.
        let values = session.values(&ends)?;
        session.prediction = values.row(0).to_vec();
        session.labels = labels.choose(&session.prediction);
        session.full = session.labels.iter().map(|&label| values[[0, label]]).collect();
        session.empty = session.labels.iter().map(|&label| values[[1, label]]).collect();
        Ok(session)
    }

    /// Players that vary.
    pub fn players(&self) -> usize {
        self.varying.len()
    }

    pub fn outputs(&self) -> usize {
        self.labels.len()
    }

    /// How many outputs in turn are those of one instance.
    pub fn instance_outputs(&self) -> usize {
        let instances = self.game.instances().max(1);
        // A choice among the outputs of several instances leaves no order: each stands for itself.
        let all = self.labels.iter().enumerate().all(|(place, &label)| place == label);
        match self.outputs() {
            outputs if instances == 1 => outputs.max(1),
            outputs if all && outputs == self.game.outputs() && outputs % instances == 0 => {
                (outputs / instances).max(1)
            }
            _ => 1,
        }
    }

    /// `v(N) - v(∅)`, `[outputs]`.
    pub fn delta(&self) -> Vec<f64> {
        self.full.iter().zip(&self.empty).map(|(full, empty)| full - empty).collect()
    }

    pub fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Multiply-adds that the evaluations so far took.
    pub fn work(&self) -> f64 {
        self.game.work() * self.evaluations as f64
    }

    /// How many coalitions fit a block.
    pub fn block(&self) -> usize {
        (BLOCK_VALUES / self.game.outputs().max(1)).clamp(1, BLOCK_ROWS)
    }

    /// The explained outputs of coalitions over the players that vary, `[rows, outputs]`.
    pub fn values(&mut self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut all = Array2::zeros((coalitions.rows(), self.labels.len()));
        let block = self.block();
        for first in (0..coalitions.rows()).step_by(block) {
            let rows = first..coalitions.rows().min(first + block);
            let part = self.expand(&coalitions.slice(rows.clone()));
            let start = Instant::now();
            let values = self.game.values(&part)?;
            self.evaluating += start.elapsed().as_secs_f64();
            if values.dim() != (rows.len(), self.game.outputs()) {
                return Err(Error::parameter(
                    format!("the game answered {:?} for {} coalitions", values.dim(), rows.len()),
                    "Game::values",
                    format!("return [coalitions, outputs], here [{}, {}]", rows.len(), self.game.outputs()),
                ));
            }
            if let Some(((row, output), value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return Err(Error::numeric(
                    format!("the game answered {value}"),
                    format!("coalition {}, output {output}", self.evaluations + row),
                    "return finite numbers for every coalition",
                ));
            }
            let mut target = all.slice_mut(s![rows.clone(), ..]);
            for (to, &label) in self.labels.iter().enumerate() {
                target.column_mut(to).assign(&values.column(label));
            }
            self.evaluations += rows.len();
            (self.progress)(self.evaluations);
        }
        Ok(all)
    }

    /// Coalitions over all players: one that does not vary is present unless nobody is.
    fn expand(&self, coalitions: &Coalitions) -> Coalitions {
        let players = self.game.players();
        if self.varying.len() == players {
            return coalitions.clone();
        }
        let mut all = Coalitions::with_capacity(players, coalitions.rows());
        for row in 0..coalitions.rows() {
            let mut next = 0;
            all.push(|player| match self.varying.get(next) {
                Some(&varying) if varying == player => {
                    next += 1;
                    coalitions.contains(row, next - 1)
                }
                _ => coalitions.count(row) > 0 || self.varying.is_empty() && row == 0,
            });
        }
        all
    }

    /// The explanation over all players: those that do not vary get 0, exactly.
    pub fn finish(self, method: &'static str, seed: u64, found: Found) -> Explanation {
        let players = self.game.players();
        let spread = |column: ndarray::ArrayView1<f64>| {
            let mut all = vec![0.0; players];
            self.varying.iter().zip(column).for_each(|(&player, &value)| all[player] = value);
            all
        };
        let attributions = (0..self.labels.len()).map(|k| {
            let values = spread(found.values.column(k));
            Attribution {
                output: self.labels[k],
                local_prediction: self.empty[k] + values.iter().sum::<f64>(),
                values,
                standard_errors: match (&found.errors, found.exact) {
                    (_, true) => Some(vec![0.0; players]),
                    (Some(errors), false) => Some(spread(errors.column(k))),
                    (None, false) => None,
                },
                degrees_of_freedom: found.degrees_of_freedom,
                base_value: self.empty[k],
                prediction: self.full[k],
                score: found.scores.get(k).copied().unwrap_or(f64::NAN),
            }
        });
        let attributions = attributions.collect();
        let solving = (self.elapsed() - self.evaluating).max(0.0);
        Explanation {
            method,
            players,
            attributions,
            interactions: found.interactions.map(|found| found.spread(players, &self.varying)),
            exact: found.exact,
            prediction: self.prediction,
            evaluations: self.evaluations,
            seed,
            seconds: vec![("evaluate".into(), self.evaluating), ("solve".into(), solving)],
        }
    }
}

/// The game with every player, also one that does not vary, so that their numbers are the game's.
pub(super) struct EveryPlayer<'a>(pub &'a dyn Game);

impl Game for EveryPlayer<'_> {
    fn players(&self) -> usize {
        self.0.players()
    }

    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    fn instances(&self) -> usize {
        self.0.instances()
    }

    fn work(&self) -> f64 {
        self.0.work()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        self.0.values(coalitions)
    }
}
