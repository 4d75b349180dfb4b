//! Effects of pairs of players.

use std::ops::Range;

use ndarray::{Array2, s};

/// What the effect of a pair means.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, ExactShapley, FunctionGame, InteractionIndex};
///
/// let game = FunctionGame::new(4, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = f64::from(u8::from(present.iter().all(|&here| here)));
/// });
/// let pair = |index| {
///     let exact = ExactShapley { interactions: Some(index), ..ExactShapley::default() };
///     exact.explain(&game, &mut |_| {}).map(|found| found.interactions.expect("asked for").pair(0, 1, 0))
/// };
/// // A term of four players is shared out among pairs in two ways.
/// assert!((pair(InteractionIndex::Shapley)? - 1.0 / 3.0).abs() < 1e-9);
/// assert!((pair(InteractionIndex::Faithful)? - 0.3).abs() < 1e-9);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InteractionIndex {
    /// Shapley interaction index: the mean of `v(S∪ij) - v(S∪i) - v(S∪j) + v(S)` over orders of joining (Grabisch
    /// and Roubens, *An axiomatic approach to the concept of interaction among players*, 1999).
    Shapley,
    /// Faithful Shapley interactions of order 2: the coefficients of the best approximation of the game by single and
    /// pair terms under the Shapley kernel, exact at the empty and the full coalition (Tsai, Yeh and Ravikumar,
    /// *Faith-Shap*, JMLR 2023).
    Faithful,
}

/// Effects of pairs of players, for each explained output.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::explain::{InteractionIndex, Interactions};
///
/// let found = Interactions {
///     index: InteractionIndex::Shapley,
///     players: 3,
///     pairs: array![[0.5], [0.0], [-0.25]],
///     singles: array![[1.0], [2.0], [0.0]],
///     standard_errors: None,
/// };
/// assert_eq!((found.pair(0, 1, 0), found.pair(2, 1, 0), found.pair(1, 1, 0)), (0.5, -0.25, 0.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    /// What they mean.
    pub index: InteractionIndex,
    /// Number of players, n.
    pub players: usize,
    /// `[n (n - 1) / 2, outputs]`: pairs (0, 1), (0, 2), …, (0, n - 1), (1, 2), …
    pub pairs: Array2<f64>,
    /// `[n, outputs]`: the terms of single players that go with the pairs. For [`InteractionIndex::Faithful`], base
    /// value plus singles plus pairs is the prediction; for [`InteractionIndex::Shapley`], the Shapley values less
    /// half of each player's pairs (n-Shapley values of order 2, k-SII), for which the same holds.
    pub singles: Array2<f64>,
    /// How far sampling may have put pairs and singles off; `None` where they are exact.
    pub standard_errors: Option<InteractionErrors>,
}

/// Standard errors of sampled [`Interactions`].
///
/// They are those of a regression whose rows are pairs of complementary coalitions, each drawn as a whole and without
/// replacement within a size; residuals are divided by `√(1 - h)`, h their leverage (HC2: J. G. MacKinnon and H. White, Journal of
/// Econometrics 29, 1985).
///
/// # Example
/// ```
/// use whybox::explain::{Budget, Estimator, FunctionGame, KernelShap};
///
/// let game = FunctionGame::new(12, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = (0..12).map(|i| i as f64 * f64::from(u8::from(present[i]))).sum::<f64>().sqrt();
/// });
/// let error = |evaluations| -> whybox::Result<f64> {
///     let shap = KernelShap { interactions: true, budget: Budget::of(evaluations), ..KernelShap::default() };
///     let found = shap.explain(&game, &mut |_| {})?.interactions.expect("asked for");
///     Ok(found.standard_errors.map_or(0.0, |errors| errors.pairs.mean().expect("66 pairs")))
/// };
/// // More evaluations, smaller errors; all of them, none.
/// assert!(error(500)? > error(2000)? && error(2000)? > 0.0 && error(4096)? == 0.0);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionErrors {
    /// One standard error of each of [`Interactions::pairs`], `[n (n - 1) / 2, outputs]`; NaN where the coalitions barely determine
    /// them.
    pub pairs: Array2<f64>,
    /// One standard error of each of [`Interactions::singles`], `[n, outputs]`; NaN also where players were selected
    /// ([`KernelShap::l1_reg`](super::KernelShap::l1_reg)).
    pub singles: Array2<f64>,
    /// Of Student's t distribution, for intervals.
    pub degrees_of_freedom: f64,
}

impl Interactions {
    /// The effect of players `i` and `j` for an explained output (by place); 0 for a player with itself.
    ///
    /// # Panics
    /// As indexing does, where a number is out of range.
    pub fn pair(&self, i: usize, j: usize, output: usize) -> f64 {
        if i == j { 0.0 } else { self.pairs[[pair_row(self.players, i.min(j), i.max(j)), output]] }
    }

    /// The same over `players` players, of which these are the `varying` ones; the others interact with nobody.
    pub(super) fn spread(self, players: usize, varying: &[usize]) -> Self {
        if varying.len() == players {
            return self;
        }
        let known = self.players;
        let singles = |of: &Array2<f64>| {
            let mut all = Array2::zeros((players, of.ncols()));
            varying.iter().zip(of.outer_iter()).for_each(|(&a, row)| all.row_mut(a).assign(&row));
            all
        };
        let pairs = |of: &Array2<f64>| {
            let mut all = Array2::zeros((players * (players - 1) / 2, of.ncols()));
            for (i, &a) in varying.iter().enumerate() {
                for (j, &b) in varying.iter().enumerate().skip(i + 1) {
                    all.row_mut(pair_row(players, a, b)).assign(&of.row(pair_row(known, i, j)));
                }
            }
            all
        };
        Interactions { players, ..self.map(pairs, singles) }
    }

    /// Those of some explained outputs, by place.
    pub(in crate::explain) fn outputs(&self, places: Range<usize>) -> Self {
        let part = |of: &Array2<f64>| of.slice(s![.., places.clone()]).to_owned();
        self.map(part, part)
    }

    /// The same with other tables of pairs and singles.
    fn map(
        &self,
        pairs: impl Fn(&Array2<f64>) -> Array2<f64>,
        singles: impl Fn(&Array2<f64>) -> Array2<f64>,
    ) -> Self {
        let errors = self.standard_errors.as_ref().map(|errors| InteractionErrors {
            pairs: pairs(&errors.pairs),
            singles: singles(&errors.singles),
            degrees_of_freedom: errors.degrees_of_freedom,
        });
        Interactions {
            index: self.index,
            players: self.players,
            pairs: pairs(&self.pairs),
            singles: singles(&self.singles),
            standard_errors: errors,
        }
    }
}

/// The row of the pair `i < j`.
pub(super) fn pair_row(players: usize, i: usize, j: usize) -> usize {
    i * players - i * (i + 1) / 2 + j - i - 1
}
