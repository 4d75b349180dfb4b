//! Games: what an estimator asks.

use ndarray::Array2;
use rayon::prelude::*;

use crate::perturb::Coalitions;
use crate::{Error, Result};

/// A function from coalitions to numbers: `v(S)` is what the black box says when just the players in S are
/// present. A network with a masker and an instance is a game; so is a user's closure ([`FunctionGame`]).
///
/// # Example
/// ```
/// use ndarray::Array2;
/// use whybox::explain::{Estimator, Game, KernelShap};
/// use whybox::perturb::Coalitions;
///
/// /// How many players are present, squared.
/// struct Squared;
///
/// impl Game for Squared {
///     fn players(&self) -> usize {
///         6
///     }
///     fn outputs(&self) -> usize {
///         1
///     }
///     fn values(&self, coalitions: &Coalitions) -> whybox::Result<Array2<f64>> {
///         let present = |row| (0..6).filter(|&player| coalitions.contains(row, player)).count();
///         Ok(Array2::from_shape_fn((coalitions.rows(), 1), |(row, _)| present(row).pow(2) as f64))
///     }
/// }
///
/// let explanation = KernelShap::default().explain(&Squared, &mut |_| {})?;
/// assert!(explanation.attributions[0].values.iter().all(|value| (value - 6.0).abs() < 1e-9));
/// # Ok::<(), whybox::Error>(())
/// ```
pub trait Game {
    /// Number of players (segments, features, tokens).
    fn players(&self) -> usize;

    /// Numbers per coalition.
    fn outputs(&self) -> usize;

    /// Number of instances that are played at once: the outputs are those of the first, then those of the second, and so
    /// on, equally many each. An estimator chooses nothing for one instance by the others. Default: 1.
    fn instances(&self) -> usize {
        1
    }

    /// Which players vary, `[players]`: one that does not has the same value present as absent (a table cell that
    /// equals every background row's), so its Shapley value is 0 and nothing is evaluated for it. Default: all.
    fn varying(&self) -> Vec<bool> {
        vec![true; self.players()]
    }

    /// Multiply-adds behind the value of one coalition (for one instance, where several are played), as far as known: how
    /// elaborate a solver may be before it costs more than the game ([`Terms::Triples`](super::Terms::Triples),
    /// [`Control::GaussianProcess`](super::Control::GaussianProcess)). Default: 10 million, a small network.
    fn work(&self) -> f64 {
        1e7
    }

    /// The value of each coalition: `[coalitions.rows(), outputs]`.
    ///
    /// # Errors
    /// Whatever the black box reports.
    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>>;
}

/// A closure as a game. The closure gets, for one coalition, which players are present, and fills the outputs. One thread calls it; with
/// [`FunctionGame::parallel`], several do.
///
/// # Example
/// ```
/// use whybox::explain::{FunctionGame, Game, Lime};
///
/// // Two players that matter, and one that does not.
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = 2.0 * f64::from(u8::from(present[0])) - f64::from(u8::from(present[2]));
/// });
/// let lime = Lime { samples: 400, alpha: 1e-9, ..Lime::default() };
/// let explanation = lime.explain(&game, &mut |_| {})?;
/// let values = &explanation.attributions[0].values;
/// assert!((values[0] - 2.0).abs() < 1e-6 && values[1].abs() < 1e-6 && (values[2] + 1.0).abs() < 1e-6);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct FunctionGame<F> {
    players: usize,
    outputs: usize,
    function: F,
}

impl<F: Fn(&[bool], &mut [f64])> FunctionGame<F> {
    /// A game of `players` players whose closure fills `outputs` numbers, which are 0 before.
    pub fn new(players: usize, outputs: usize, function: F) -> Self {
        FunctionGame { players, outputs, function }
    }

    /// The same game for a closure that several threads may call at once.
    pub fn parallel(self) -> ParallelGame<F>
    where
        F: Sync,
    {
        ParallelGame(self)
    }

    /// Puts the coalition's value into `out`; `present` is room for its players.
    fn answer(
        &self,
        coalitions: &Coalitions,
        row: usize,
        present: &mut [bool],
        out: &mut [f64],
    ) -> Result<()> {
        for (player, present) in present.iter_mut().enumerate() {
            *present = coalitions.contains(row, player);
        }
        (self.function)(present, out);
        match out.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(output) => Err(Error::numeric(
                format!("the function answered {}", out[output]),
                format!("coalition {row}, output {output}"),
                "return finite numbers for every coalition",
            )),
        }
    }

    /// Rows of numbers as a table, `[rows, outputs]`.
    fn table(&self, rows: usize, values: Vec<f64>) -> Result<Array2<f64>> {
        Array2::from_shape_vec((rows, self.outputs), values)
            .map_err(|error| Error::limits(error.to_string(), "values of a function", "report this as a bug"))
    }
}

impl<F: Fn(&[bool], &mut [f64])> Game for FunctionGame<F> {
    fn players(&self) -> usize {
        self.players
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut values = vec![0.0; coalitions.rows() * self.outputs];
        let mut present = vec![false; self.players];
        for (row, out) in values.chunks_mut(self.outputs.max(1)).enumerate() {
            self.answer(coalitions, row, &mut present, out)?;
        }
        self.table(coalitions.rows(), values)
    }
}

/// A closure as a game, called by several threads at once: [`FunctionGame::parallel`].
///
/// Coalitions are shared out among the threads of the current rayon pool (`rayon::ThreadPool::install` chooses another). Each answers
/// for itself, so the values are those of the [`FunctionGame`] bit for bit, whatever the number of threads.
///
/// # Example
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use whybox::explain::{Budget, Estimator, FunctionGame, KernelShap};
///
/// let calls = AtomicUsize::new(0); // what threads share has to be `Sync`
/// let game = FunctionGame::new(10, 1, |present: &[bool], out: &mut [f64]| {
///     calls.fetch_add(1, Ordering::Relaxed);
///     out[0] = present.iter().filter(|&&here| here).count().pow(2) as f64;
/// })
/// .parallel();
/// let shap = KernelShap { budget: Budget::of(300), ..KernelShap::default() };
/// let explanation = shap.explain(&game, &mut |_| {})?;
/// assert!((explanation.attributions[0].values[7] - 10.0).abs() < 1e-9);
/// assert_eq!(calls.into_inner(), explanation.evaluations);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct ParallelGame<F>(FunctionGame<F>);

impl<F: Fn(&[bool], &mut [f64]) + Sync> Game for ParallelGame<F> {
    fn players(&self) -> usize {
        self.0.players
    }

    fn outputs(&self) -> usize {
        self.0.outputs
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let game = &self.0;
        let mut values = vec![0.0; coalitions.rows() * game.outputs];
        let failed = values
            .par_chunks_mut(game.outputs.max(1))
            .enumerate()
            .map_init(
                || vec![false; game.players],
                |present, (row, out)| game.answer(coalitions, row, present, out),
            )
            // The first by number, whichever thread met one first.
            .find_map_first(Result::err);
        match failed {
            Some(error) => Err(error),
            None => game.table(coalitions.rows(), values),
        }
    }
}
