//! Coalitions: sets of present players, packed a bit each.

use std::ops::Range;

use ndarray::ArrayView2;

use crate::{Error, Result};

/// Players that one word holds.
const WORD_BITS: usize = u32::BITS as usize;

/// `N` sets of present players, one bit a player.
///
/// A *player* is whatever can be present or absent: a segment of an image, a (grouped) column of a
/// table, a token. Player `p` of row `n` is bit `p % 32` of word `n * words_per_row + p / 32`;
/// 1 means present. Bits beyond the last player are always 0, so that counting words counts players.
/// Memory: `4 * ceil(players / 32)` bytes a row.
///
/// # Example
/// ```
/// use whybox::perturb::Coalitions;
///
/// let mut coalitions = Coalitions::new(3);
/// coalitions.push(|_| true);
/// coalitions.push(|player| player == 1);
/// assert_eq!(coalitions.rows(), 2);
/// assert_eq!(coalitions.words(), [0b111, 0b010]);
/// assert_eq!(coalitions.count(1), 1);
/// assert!(!coalitions.contains(1, 2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coalitions {
    players: usize,
    words_per_row: usize,
    bits: Vec<u32>,
}

impl Coalitions {
    /// No rows yet, of `players` players.
    pub fn new(players: usize) -> Self {
        Self::with_capacity(players, 0)
    }

    /// As [`Coalitions::new`], with room for `rows` rows.
    pub fn with_capacity(players: usize, rows: usize) -> Self {
        let words_per_row = words_for(players);
        Self { players, words_per_row, bits: Vec::with_capacity(rows * words_per_row) }
    }

    /// Packs a matrix `[rows, players]` of zeros and ones (`u8` or `bool`).
    ///
    /// # Errors
    /// [`Error::Parameter`] if an entry is neither 0 nor 1.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use whybox::perturb::Coalitions;
    ///
    /// let coalitions = Coalitions::from_dense(array![[1u8, 1], [0, 1]].view())?;
    /// assert_eq!(coalitions.words(), [0b11, 0b10]);
    /// assert!(Coalitions::from_dense(array![[2u8]].view()).is_err());
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn from_dense<T: Copy + Into<u8>>(dense: ArrayView2<T>) -> Result<Self> {
        let (rows, players) = dense.dim();
        let mut coalitions = Self::with_capacity(players, rows);
        for (n, row) in dense.outer_iter().enumerate() {
            if let Some(p) = row.iter().position(|&value| value.into() > 1) {
                return Err(Error::parameter(
                    format!("a coalition holds {}", row[p].into()),
                    format!("row {n}, player {p}"),
                    "use 1 for present and 0 for absent",
                ));
            }
            coalitions.push(|p| row[p].into() == 1);
        }
        Ok(coalitions)
    }

    /// Takes rows that are already packed, `ceil(players / 32)` words each (one word for 0 players).
    ///
    /// # Errors
    /// [`Error::Parameter`] if the words are no whole number of rows, or a bit beyond the last
    /// player is set.
    ///
    /// # Example
    /// ```
    /// use whybox::perturb::Coalitions;
    ///
    /// let coalitions = Coalitions::from_words(33, vec![0, 1, u32::MAX, 0])?;
    /// assert_eq!((coalitions.count(0), coalitions.count(1)), (1, 32));
    /// assert!(Coalitions::from_words(33, vec![0, 2]).is_err());
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn from_words(players: usize, words: Vec<u32>) -> Result<Self> {
        let words_per_row = words_for(players);
        if !words.len().is_multiple_of(words_per_row) {
            return Err(Error::parameter(
                format!("{} words are no whole number of rows", words.len()),
                format!("coalitions of {players} players"),
                format!("give {words_per_row} words a row"),
            ));
        }
        let padding = !last_word_mask(players);
        let stray = words.chunks_exact(words_per_row).position(|row| row[words_per_row - 1] & padding != 0);
        if let Some(n) = stray {
            return Err(Error::parameter(
                format!("a bit beyond player {} is set", players.saturating_sub(1)),
                format!("row {n}"),
                "clear the unused bits of each row's last word",
            ));
        }
        Ok(Self { players, words_per_row, bits: words })
    }

    /// Appends a row: `present(p)` says whether player `p` is in, and is asked once a player, in
    /// order.
    pub fn push(&mut self, mut present: impl FnMut(usize) -> bool) {
        for first in (0..self.words_per_row).map(|word| word * WORD_BITS) {
            let last = self.players.min(first + WORD_BITS);
            self.bits.push((first..last).fold(0, |word, p| word | (u32::from(present(p)) << (p - first))));
        }
    }

    /// Number of coalitions.
    pub fn rows(&self) -> usize {
        self.bits.len() / self.words_per_row
    }

    /// Number of players.
    pub fn players(&self) -> usize {
        self.players
    }

    /// Words that a row takes: `ceil(players / 32)`, and at least 1.
    pub fn words_per_row(&self) -> usize {
        self.words_per_row
    }

    /// Whether `player` is present in `row`.
    ///
    /// # Panics
    /// As indexing a slice does, where `row` or `player` is out of range.
    pub fn contains(&self, row: usize, player: usize) -> bool {
        assert!(player < self.players, "player {player} of {}", self.players);
        self.row_words(row)[player / WORD_BITS] >> (player % WORD_BITS) & 1 == 1
    }

    /// Number of players present in `row`.
    ///
    /// # Panics
    /// As indexing a slice does, where `row` is out of range.
    pub fn count(&self, row: usize) -> usize {
        let ones = self.row_words(row).iter().map(|word| word.count_ones());
        ones.sum::<u32>() as usize
    }

    /// The packed bits of `row`.
    ///
    /// # Panics
    /// As indexing a slice does, where `row` is out of range.
    pub fn row_words(&self, row: usize) -> &[u32] {
        &self.bits[row * self.words_per_row..][..self.words_per_row]
    }

    /// The packed bits of all rows, `[rows, words_per_row]` in row-major order: what a device
    /// uploads.
    pub fn words(&self) -> &[u32] {
        &self.bits
    }

    /// The same rows with present and absent exchanged.
    ///
    /// # Example
    /// ```
    /// use whybox::perturb::Coalitions;
    ///
    /// let coalitions = Coalitions::from_words(3, vec![0b001])?;
    /// assert_eq!(coalitions.complement().words(), [0b110]);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn complement(&self) -> Self {
        let mut bits = self.bits.clone();
        bits.chunks_exact_mut(self.words_per_row).for_each(|row| complement_row(row, self.players));
        Self { bits, ..*self }
    }

    /// A copy of the rows in `range`.
    ///
    /// # Panics
    /// As slicing a slice does, where `range` is out of range.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let words = range.start * self.words_per_row..range.end * self.words_per_row;
        Self { bits: self.bits[words].to_vec(), ..*self }
    }
}

/// Words that hold a row of `players` bits; one where there is no player, so that rows can still be
/// counted.
pub(super) fn words_for(players: usize) -> usize {
    players.div_ceil(WORD_BITS).max(1)
}

/// The bits of a row's last word that belong to a player.
pub(super) fn last_word_mask(players: usize) -> u32 {
    match players % WORD_BITS {
        0 if players == 0 => 0,
        0 => u32::MAX,
        used => (1 << used) - 1,
    }
}

/// Exchanges present and absent in one packed row.
pub(super) fn complement_row(row: &mut [u32], players: usize) {
    row.iter_mut().for_each(|word| *word = !*word);
    if let Some(last) = row.last_mut() {
        *last &= last_word_mask(players);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_agrees_with_the_closure_at_awkward_sizes() {
        for players in [0, 1, 31, 32, 33, 63, 64, 65, 200] {
            let inside = |row: usize, p: usize| (p * 7 + row * 3) % 5 < 2;
            let mut coalitions = Coalitions::with_capacity(players, 4);
            (0..4).for_each(|row| coalitions.push(|p| inside(row, p)));
            let complement = coalitions.complement();
            assert_eq!(coalitions.rows(), 4, "{players} players");
            for row in 0..4 {
                let expected = (0..players).filter(|&p| inside(row, p)).count();
                assert_eq!(coalitions.count(row), expected);
                assert_eq!(complement.count(row), players - expected);
                assert!((0..players).all(|p| coalitions.contains(row, p) == inside(row, p)));
            }
            assert_eq!(complement.complement(), coalitions);
            assert_eq!(coalitions.slice(1..3).row_words(0), coalitions.row_words(1));
            let again = Coalitions::from_words(players, coalitions.words().to_vec());
            assert_eq!(again, Ok(coalitions));
        }
    }

    #[test]
    fn bad_words_are_errors() {
        assert!(Coalitions::from_words(40, vec![0; 3]).is_err());
        assert!(Coalitions::from_words(0, vec![1]).is_err());
        assert!(Coalitions::from_dense(ndarray::array![[true, false]].view()).is_ok());
    }
}
