//! Effects of pairs of players.

use ndarray::Array2;

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
        let outputs = self.pairs.ncols();
        let mut pairs = Array2::zeros((players * (players - 1) / 2, outputs));
        let mut singles = Array2::zeros((players, outputs));
        for (i, &a) in varying.iter().enumerate() {
            singles.row_mut(a).assign(&self.singles.row(i));
            for (j, &b) in varying.iter().enumerate().skip(i + 1) {
                pairs.row_mut(pair_row(players, a, b)).assign(&self.pairs.row(pair_row(self.players, i, j)));
            }
        }
        Interactions { players, pairs, singles, ..self }
    }
}

/// The row of the pair `i < j`.
pub(super) fn pair_row(players: usize, i: usize, j: usize) -> usize {
    i * players - i * (i + 1) / 2 + j - i - 1
}
