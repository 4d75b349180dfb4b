//! Owen values over a hierarchy of players.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ndarray::{Array1, Array2};

use super::session::{EveryPlayer, Found, Session};
use super::{Budget, Estimator, Forecast, Hierarchy};
use crate::explain::{Explanation, Game, Labels, Progress};
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Clusters that are split at a time: their coalitions go to the game together.
const BATCH: usize = 512;

/// Owen values: a game between the two parts of the whole, between the parts of each part, and so on (G. Owen, *Values
/// of games with a priori unions*, 1977; recursively, Winter 1989). What `PartitionExplainer` of `shap` computes.
///
/// The clusters with the largest effects are split first. Where the evaluations end, a cluster's effect is shared
/// equally among its players; the explanation then says that it is not exact, and has no standard errors, since
/// nothing is random.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, Hierarchy, OwenValues};
///
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[0] && present[1] { 2.0 } else { 0.0 } + f64::from(u8::from(present[3]));
/// });
/// let owen = OwenValues::new(Hierarchy::balanced(4)?);
/// let explanation = owen.explain(&game, &mut |_| {})?;
/// assert_eq!(explanation.attributions[0].values, [1.0, 1.0, 0.0, 1.0]);
/// assert!(explanation.exact);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OwenValues {
    /// The tree over the players; `None` halves them in their order. Default: `None`.
    pub hierarchy: Option<Hierarchy>,
    /// Evaluations. Its tolerance has no effect. Default: at most 50,000.
    pub budget: Budget,
    /// Which outputs are explained. Default: all.
    pub labels: Labels,
}

impl Default for OwenValues {
    fn default() -> Self {
        OwenValues { hierarchy: None, budget: Budget::default(), labels: Labels::All }
    }
}

impl OwenValues {
    /// Owen values over this hierarchy, else the defaults.
    pub fn new(hierarchy: Hierarchy) -> Self {
        OwenValues { hierarchy: Some(hierarchy), ..OwenValues::default() }
    }
}

/// A cluster in a context: what it adds there, and with which weight.
struct Task {
    /// The largest effect over the outputs times the weight; then the order of arrival.
    priority: (f64, usize),
    cluster: usize,
    /// Players present before.
    context: Vec<bool>,
    before: Array1<f64>,
    after: Array1<f64>,
    weight: f64,
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Task {}

impl PartialOrd for Task {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Task {
    fn cmp(&self, other: &Self) -> Ordering {
        let effects = self.priority.0.total_cmp(&other.priority.0);
        effects.then(other.priority.1.cmp(&self.priority.1))
    }
}

impl Estimator for OwenValues {
    fn name(&self) -> &'static str {
        "Owen values"
    }

    fn most_evaluations(&self, _players: usize) -> usize {
        self.budget.evaluations
    }

    fn with_time_left(&self, elapsed: f64, share: f64) -> Option<Box<dyn Estimator>> {
        let budget = self.budget.with_time_left(elapsed, share)?;
        Some(Box::new(OwenValues { budget, ..self.clone() }))
    }

    fn explain_forecasting(
        &self,
        game: &dyn Game,
        progress: &mut Progress<'_>,
        _forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation> {
        let players = game.players();
        let all = EveryPlayer(game);
        let mut session = Session::open(&all, &self.labels, progress)?;
        let tree = match &self.hierarchy {
            Some(tree) => tree.clone(),
            None => Hierarchy::balanced(players)?,
        };
        if tree.players() != players {
            return Err(Error::parameter(
                format!("a hierarchy of {} players for a game of {players}", tree.players()),
                "hierarchy",
                "build it over the game's players",
            ));
        }
        self.budget.check(players, if players == 1 { 2 } else { 4 })?;
        let mut values = Array2::<f64>::zeros((players, session.outputs()));
        let mut arrivals = 0;
        let mut open = BinaryHeap::from([Task {
            priority: (f64::INFINITY, 0),
            cluster: tree.root(),
            context: vec![false; players],
            before: session.empty.clone().into(),
            after: session.full.clone().into(),
            weight: 1.0,
        }]);
        let mut exact = true;
        while !open.is_empty() {
            let left = (self.budget.evaluations - session.evaluations) / 2;
            let late = self.budget.seconds.is_some_and(|seconds| session.elapsed() >= seconds);
            if left == 0 || late {
                for task in open.drain() {
                    let members = tree.members(task.cluster);
                    exact &= members.len() == 1;
                    let share = (&task.after - &task.before) * (task.weight / members.len() as f64);
                    for player in members {
                        let mut value = values.row_mut(player);
                        value += &share;
                    }
                }
                break;
            }
            let mut batch = Vec::new();
            let mut coalitions = Coalitions::new(players);
            while batch.len() < left.min(BATCH) {
                let Some(task) = open.pop() else { break };
                let Some(children) = tree.children(task.cluster) else {
                    let mut value = values.row_mut(task.cluster);
                    value.scaled_add(task.weight, &(&task.after - &task.before));
                    continue;
                };
                let contexts = children.map(|child| {
                    let mut context = task.context.clone();
                    tree.members(child).into_iter().for_each(|player| context[player] = true);
                    coalitions.push(|player| context[player]);
                    context
                });
                batch.push((task, children, contexts));
            }
            let found = session.values(&coalitions)?;
            for (number, (task, children, contexts)) in batch.into_iter().enumerate() {
                // Each child alone, and each after the other, with half the weight.
                let alone = [found.row(2 * number).to_owned(), found.row(2 * number + 1).to_owned()];
                for child in 0..2 {
                    let other = 1 - child;
                    let steps = [
                        (task.context.clone(), task.before.clone(), alone[child].clone()),
                        (contexts[other].clone(), alone[other].clone(), task.after.clone()),
                    ];
                    for (context, before, after) in steps {
                        arrivals += 1;
                        let weight = task.weight / 2.0;
                        let effect = (&after - &before).iter().fold(0.0, |max: f64, d| max.max(d.abs()));
                        let priority = (effect * weight, arrivals);
                        open.push(Task {
                            priority,
                            cluster: children[child],
                            context,
                            before,
                            after,
                            weight,
                        });
                    }
                }
            }
        }
        let found = Found { exact, ..Found::exact(values) };
        Ok(session.finish(self.name(), 0, found))
    }
}
