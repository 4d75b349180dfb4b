//! Shapley values from random orders of joining.

use ndarray::{Array2, s};

use super::kernel::worst;
use super::session::{Found, Session};
use super::{Budget, Estimator, Forecast};
use crate::Result;
use crate::explain::{Explanation, Game, Labels, Progress};
use crate::perturb::Coalitions;
use crate::perturb::pairs::permutation;

/// Stream of the generator for orders of joining.
const ORDERS_STREAM: u32 = 0x5045_524D;
/// Orders of the first round: fewer have no standard error worth the name.
const FIRST_ORDERS: usize = 16;

/// Permutation SHAP: each random order is walked forwards and backwards (antithetic), as in `shap`.
///
/// An order costs 2 (n - 1) evaluations, and is exact alone for a game without interactions of three or more
/// players. Standard errors come from the spread over orders, and from what one order more would change that is anywhere within
/// the farthest seen: few orders say little about a player that matters in few of them. Source of the pairing: Mitchell, Cooper, Frank and Holmes,
/// *Sampling permutations for Shapley value estimation*, JMLR 2022.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, PermutationShap};
///
/// let game = FunctionGame::new(6, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[1] && present[4] { 3.0 } else { 0.0 };
/// });
/// let shap = PermutationShap { budget: Budget::of(40), ..PermutationShap::default() };
/// let values = &shap.explain(&game, &mut |_| {})?.attributions[0].values;
/// assert!((values[1] - 1.5).abs() < 1e-12 && (values[4] - 1.5).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PermutationShap {
    /// Evaluations. Default: to a tolerance of 0.01, at most 50,000.
    pub budget: Budget,
    /// Which outputs are explained. Default: all.
    pub labels: Labels,
    /// Seed of the orders. Default: 0.
    pub seed: u64,
}

/// Shapley sampling: independent random orders, each walked once (Castro, Gómez and Tejada 2009; Štrumbelj and
/// Kononenko 2010; `ShapleyValueSampling` of `captum`). An order costs n - 1 evaluations.
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, ShapleySampling};
///
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[0] { 1.0 } else { 0.0 } + if present[3] { 2.0 } else { 0.0 };
/// });
/// let sampling = ShapleySampling { budget: Budget::of(50), ..ShapleySampling::default() };
/// let attribution = &sampling.explain(&game, &mut |_| {})?.attributions[0];
/// assert!((attribution.values[3] - 2.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ShapleySampling {
    /// Evaluations. Default: to a tolerance of 0.01, at most 50,000.
    pub budget: Budget,
    /// Which outputs are explained. Default: all.
    pub labels: Labels,
    /// Seed of the orders. Default: 0.
    pub seed: u64,
}

impl Default for PermutationShap {
    fn default() -> Self {
        PermutationShap { budget: Budget::default(), labels: Labels::All, seed: 0 }
    }
}

impl Default for ShapleySampling {
    fn default() -> Self {
        ShapleySampling { budget: Budget::default(), labels: Labels::All, seed: 0 }
    }
}

/// What both methods are: orders walked in one or in both directions.
struct Walks<'a> {
    name: &'static str,
    antithetic: bool,
    budget: &'a Budget,
    labels: &'a Labels,
    seed: u64,
}

impl Walks<'_> {
    fn explain(
        &self,
        game: &dyn Game,
        progress: &mut Progress<'_>,
        forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation> {
        let mut session = Session::open(game, self.labels, progress)?;
        let (players, outputs) = (session.players(), session.outputs());
        if players < 2 {
            let delta = session.delta();
            let values = Array2::from_shape_fn((players, outputs), |(_, k)| delta[k]);
            self.budget.check(players, 2)?;
            return Ok(session.finish(self.name, self.seed, Found::exact(values)));
        }
        let each = (players - 1) * if self.antithetic { 2 } else { 1 };
        self.budget.check(players, each + 2)?;
        let most = (self.budget.evaluations - 2) / each;
        let per_block = (session.block() / each).max(1);
        let mut mean = Array2::<f64>::zeros((players, outputs));
        let mut square = Array2::<f64>::zeros((players, outputs));
        let mut low = Array2::from_elem((players, outputs), f64::INFINITY);
        let mut high = Array2::from_elem((players, outputs), f64::NEG_INFINITY);
        let mut done = 0;
        let mut round = if self.budget.in_rounds() { FIRST_ORDERS.min(most) } else { most };
        loop {
            while done < round {
                let orders: Vec<Vec<usize>> = (done..round.min(done + per_block))
                    .map(|number| permutation(players, self.seed, ORDERS_STREAM, number as u64))
                    .collect();
                let values = session.values(&self.coalitions(players, &orders))?;
                for (number, order) in orders.iter().enumerate() {
                    let rows = values.slice(s![number * each..(number + 1) * each, ..]);
                    let walk = self.contributions(order, rows.view(), &session);
                    low.zip_mut_with(&walk, |low, &value| *low = low.min(value));
                    high.zip_mut_with(&walk, |high, &value| *high = high.max(value));
                    // Welford's update keeps small variances of large values.
                    done += 1;
                    let step = &walk - &mean;
                    mean.scaled_add(1.0 / done as f64, &step);
                    square += &(step * (walk - &mean));
                }
            }
            let errors = (done > 1).then(|| {
                let scale = 1.0 / (done as f64 * (done - 1) as f64);
                let unseen: Vec<f64> = (0..outputs)
                    .map(|k| {
                        let ends = low.column(k).into_iter().zip(high.column(k)).zip(mean.column(k));
                        let farthest = ends.map(|((low, high), mean)| (high - mean).max(mean - low));
                        (farthest.fold(0.0, f64::max) / done as f64).powi(2) / 3.0
                    })
                    .collect();
                Array2::from_shape_fn((players, outputs), |(player, k)| {
                    (square[[player, k]].max(0.0) * scale + unseen[k]).sqrt()
                })
            });
            // Both directions of one order are all that two players have.
            let exact = self.antithetic && players == 2;
            let error = if exact { 0.0 } else { worst(&mean, errors.as_ref()) };
            forecast(self.budget.forecast(session.evaluations, error));
            if round >= most || self.budget.spent(session.evaluations, error, session.elapsed()) {
                let found = Found {
                    errors,
                    degrees_of_freedom: (done - 1).max(1) as f64,
                    exact,
                    ..Found::exact(mean)
                };
                return Ok(session.finish(self.name, self.seed, found));
            }
            round = (2 * round).min(most);
        }
    }

    /// The coalitions along the orders: after each player but the last has joined; then the same backwards.
    fn coalitions(&self, players: usize, orders: &[Vec<usize>]) -> Coalitions {
        let mut rows = Coalitions::new(players);
        let mut rank = vec![0; players];
        for order in orders {
            order.iter().enumerate().for_each(|(place, &player)| rank[player] = place);
            (1..players).for_each(|size| rows.push(|player| rank[player] < size));
            if self.antithetic {
                (1..players).for_each(|size| rows.push(|player| rank[player] >= players - size));
            }
        }
        rows
    }

    /// What each player adds along one order, `[players, outputs]`.
    fn contributions(
        &self,
        order: &[usize],
        rows: ndarray::ArrayView2<f64>,
        session: &Session<'_, '_>,
    ) -> Array2<f64> {
        let (players, outputs) = (order.len(), session.outputs());
        let mut values = Array2::zeros((players, outputs));
        let directions = if self.antithetic { 2 } else { 1 };
        for direction in 0..directions {
            let first = direction * (players - 1);
            for step in 0..players {
                let player = if direction == 0 { order[step] } else { order[players - 1 - step] };
                for k in 0..outputs {
                    let before = if step == 0 { session.empty[k] } else { rows[[first + step - 1, k]] };
                    let after = if step + 1 == players { session.full[k] } else { rows[[first + step, k]] };
                    values[[player, k]] += (after - before) / f64::from(directions as u8);
                }
            }
        }
        values
    }
}

macro_rules! walks {
    ($method:ident, $name:literal, $antithetic:literal) => {
        impl Estimator for $method {
            fn name(&self) -> &'static str {
                $name
            }

            fn most_evaluations(&self, _players: usize) -> usize {
                self.budget.evaluations
            }

            fn with_time_left(&self, elapsed: f64, share: f64) -> Option<Box<dyn Estimator>> {
                let budget = self.budget.with_time_left(elapsed, share)?;
                Some(Box::new($method { budget, ..self.clone() }))
            }

            fn explain_forecasting(
                &self,
                game: &dyn Game,
                progress: &mut Progress<'_>,
                forecast: &mut dyn FnMut(Forecast),
            ) -> Result<Explanation> {
                let walks = Walks {
                    name: self.name(),
                    antithetic: $antithetic,
                    budget: &self.budget,
                    labels: &self.labels,
                    seed: self.seed,
                };
                walks.explain(game, progress, forecast)
            }
        }
    };
}

walks!(PermutationShap, "permutation SHAP", true);
walks!(ShapleySampling, "Shapley sampling", false);
