//! Rows that mix instances with background rows.

use std::sync::Arc;

/// A table's perturbed rows: instances whose absent features take the values of background rows.
///
/// With R instances, C coalitions and B background rows there are C · R · B rows. Row `(c · R + r) · B + b`
/// takes feature j from instance r where player `players[j]` is present in coalition c, else from background row
/// b. So the rows of one (coalition, instance) follow each other: a *group*, over whose background an estimator
/// averages.
///
/// An engine may use the structure: of `W x + c`, the first layer of a network, what instance and background add are
/// computed once for each player and combined for each row.
///
/// # Example
/// ```
/// use whybox::plan::Mixture;
///
/// // One instance, two background rows; in the only coalition, the first of two features is present.
/// let mixture = Mixture {
///     features: 2,
///     instances: [1.0, 2.0].into(),
///     background: [10.0, 20.0, 30.0, 40.0].into(),
///     players: [0, 1].into(),
///     player_count: 2,
///     masks: [0b01].into(),
///     words_per_row: 1,
/// };
/// assert_eq!((mixture.instance_rows(), mixture.background_rows(), mixture.coalitions()), (1, 2, 1));
/// let mut row = [0.0; 2];
/// mixture.write(1, &mut row);
/// assert_eq!(row, [1.0, 40.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Mixture {
    /// Elements of a row, F.
    pub features: usize,
    /// `[R, F]`, stored as the plan's input is.
    pub instances: Arc<[f32]>,
    /// `[B, F]`, stored as the plan's input is.
    pub background: Arc<[f32]>,
    /// Player of each feature; `u32::MAX` = the instance's value always shows.
    pub players: Arc<[u32]>,
    /// Number of players.
    pub player_count: usize,
    /// Packed coalitions `[C, words_per_row]`: bit `p % 32` of word `c · words_per_row + p / 32` says that player p
    /// is present in coalition c.
    pub masks: Arc<[u32]>,
    /// Words per coalition.
    pub words_per_row: usize,
}

impl Mixture {
    /// Number of instances, R.
    pub fn instance_rows(&self) -> usize {
        self.instances.len() / self.features.max(1)
    }

    /// Number of background rows, B.
    pub fn background_rows(&self) -> usize {
        self.background.len() / self.features.max(1)
    }

    /// Number of coalitions, C.
    pub fn coalitions(&self) -> usize {
        self.masks.len() / self.words_per_row.max(1)
    }

    /// Whether player `player` is present in coalition `coalition`.
    #[inline]
    pub fn contains(&self, coalition: usize, player: u32) -> bool {
        player == u32::MAX
            || self.masks[coalition * self.words_per_row + player as usize / 32] >> (player % 32) & 1 == 1
    }

    /// Whether these are whole rows of `features` numbers whose players all have a bit: what a form that takes instance and
    /// background apart has to know.
    pub(crate) fn suits(&self, features: usize) -> bool {
        self.features == features
            && self.players.len() == features
            && self.player_count <= 32 * self.words_per_row
            && self.players.iter().all(|&player| player == u32::MAX || (player as usize) < self.player_count)
            && self.instance_rows() > 0
            && self.background_rows() > 0
    }

    /// Of each coalition, whether it has exactly the players that the one before has not, and that one is not such a
    /// complement itself: from the first on, the list of coalitions decides. Bits beyond the players do not count.
    ///
    /// Of W x + c for such a pair z and z̄, h(z̄) = h(∅) + h(all) − h(z).
    pub(crate) fn mirrored(&self) -> Vec<bool> {
        let (words, players) = (self.words_per_row, self.player_count);
        let all = |word: usize| match players.saturating_sub(32 * word) {
            players @ 0..32 => (1u32 << players) - 1,
            _ => u32::MAX,
        };
        let mut mirrored: Vec<bool> = Vec::with_capacity(self.coalitions());
        for coalition in 0..self.coalitions() {
            let pair = coalition.checked_sub(1).filter(|&before| players > 0 && !mirrored[before]);
            mirrored.push(pair.is_some_and(|before| {
                let (a, b) = self.masks[before * words..][..2 * words].split_at(words);
                a.iter().zip(b).enumerate().all(|(word, (a, b))| (a ^ b) & all(word) == all(word))
            }));
        }
        mirrored
    }

    /// Writes row `row`, as it is stored.
    pub fn write(&self, row: usize, out: &mut [f32]) {
        let (instances, rows) = (self.instance_rows(), self.background_rows());
        let group = row / rows;
        let (coalition, instance) = (group / instances, group % instances);
        let instance = &self.instances[instance * self.features..][..self.features];
        let background = &self.background[row % rows * self.features..][..self.features];
        for (j, to) in out.iter_mut().enumerate() {
            *to = if self.contains(coalition, self.players[j]) { instance[j] } else { background[j] };
        }
    }
}
