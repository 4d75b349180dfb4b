//! LIME's coalitions: every player present or absent by a fair coin.
//!
//! A row is a pure function of `(seed, row)`, so it does not depend on how many rows are asked for,
//! in which chunks, by how many threads or on which device. Word `w` of row `r` is lane `w % 4` of
//! [`philox4x32_10`] at
//!
//! ```text
//! counter = (w / 4, r low, r high, LIME_STREAM)      key = (seed low, seed high)
//! ```
//!
//! with the bits beyond the last player cleared. Row 0 is the instance: all players are present.
//!
//! Source of the distribution: `lime_image.data_labels` of `lime` 0.2.0.1 (fair bits, row 0 set to
//! ones); its draws come from another generator, so the same seed gives other rows there.

use std::ops::Range;

use super::coalitions::{Coalitions, complement_row, last_word_mask, words_for};
use super::orthogonal::OrthogonalPairs;
use super::philox::{halves, philox4x32_10};
use super::removal::removal_row;
use crate::{Error, Result};

/// The stream that LIME's coalitions are drawn from.
pub const LIME_STREAM: u32 = 1;

/// How the rows after the first are drawn.
///
/// # Example
/// ```
/// use whybox::perturb::{Sampling, lime_coalitions};
///
/// let rows = |sampling| lime_coalitions(12, 65, 7, sampling);
/// let paired = rows(Sampling::Paired)?;
/// assert_eq!(paired.slice(1..2).complement(), paired.slice(2..3));
/// // Rows on texts lack at least one token.
/// assert!((1..65).all(|row| rows(Sampling::Removal).is_ok_and(|drawn| drawn.count(row) < 12)));
/// assert_ne!(rows(Sampling::Independent)?, rows(Sampling::Orthogonal)?);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// Independent rows, as in `lime`.
    #[default]
    Independent,
    /// Antithetic pairs: row `2k` is the complement of row `2k - 1`, so that effects of even order
    /// cancel from the estimates of single players.
    Paired,
    /// Antithetic pairs from randomised orthogonal arrays, so that single players and pairs of players are balanced
    /// exactly: the least scatter over seeds of the three (docs/performance.md). The rows depend on how many are
    /// asked for.
    Orthogonal,
    /// So many players absent as a fair die of that many sides says, from 1 to all: LIME's rows on texts.
    Removal,
}

/// Writes row number `row` of LIME's coin tosses, packed as in [`Coalitions`].
fn lime_row(players: usize, row: u64, seed: u64, sampling: Sampling, words: &mut [u32]) {
    let mirrored = sampling == Sampling::Paired && row > 0 && row.is_multiple_of(2);
    if row == 0 {
        words.fill(u32::MAX);
    } else if sampling == Sampling::Removal {
        removal_row(players, row, seed, words);
    } else {
        let [low, high] = halves(row - u64::from(mirrored));
        for (block, lanes) in (0..).zip(words.chunks_mut(4)) {
            let draw = philox4x32_10([block, low, high, LIME_STREAM], halves(seed));
            lanes.copy_from_slice(&draw[..lanes.len()]);
        }
    }
    if mirrored {
        complement_row(words, players);
    } else if let Some(last) = words.last_mut() {
        *last &= last_word_mask(players);
    }
}

/// LIME's coalitions: row 0 is all ones, the other `samples - 1` rows are fair coins.
///
/// # Errors
/// [`Error::Parameter`] for zero players or zero samples.
///
/// # Example
/// ```
/// use whybox::perturb::{Sampling, lime_coalitions};
///
/// let coalitions = lime_coalitions(40, 1000, 42, Sampling::Paired)?;
/// assert_eq!(coalitions.count(0), 40);
/// assert_eq!(coalitions.slice(1..2).complement(), coalitions.slice(2..3));
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn lime_coalitions(players: usize, samples: usize, seed: u64, sampling: Sampling) -> Result<Coalitions> {
    if samples == 0 {
        return Err(Error::parameter(
            "zero samples",
            "coalitions of LIME",
            "ask for at least 2: the instance and one variation of it",
        ));
    }
    lime_coalition_rows(players, samples, 0..samples, seed, sampling)
}

/// The rows in `rows` of the `samples` rows that [`lime_coalitions`] gives.
///
/// # Errors
/// [`Error::Parameter`] for zero players.
///
/// # Example
/// ```
/// use whybox::perturb::{Sampling, lime_coalition_rows, lime_coalitions};
///
/// let all = lime_coalitions(12, 100, 42, Sampling::Independent)?;
/// let chunk = lime_coalition_rows(12, 100, 30..50, 42, Sampling::Independent)?;
/// assert_eq!(chunk, all.slice(30..50));
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn lime_coalition_rows(
    players: usize,
    samples: usize,
    rows: Range<usize>,
    seed: u64,
    sampling: Sampling,
) -> Result<Coalitions> {
    if players == 0 {
        return Err(Error::parameter(
            "zero players",
            "coalitions of LIME",
            "give at least one segment, column or token to vary",
        ));
    }
    let words_per_row = words_for(players);
    let mut words = vec![0; rows.len() * words_per_row];
    let orthogonal = (sampling == Sampling::Orthogonal)
        .then(|| OrthogonalPairs::new(players, samples, seed, words_per_row));
    for (row, words) in rows.zip(words.chunks_exact_mut(words_per_row)) {
        match &orthogonal {
            Some(pairs) if row > 0 => {
                pairs.row(row as u64, words);
                // words_for gives at least one word.
                words[words_per_row - 1] &= last_word_mask(players);
            }
            _ => lime_row(players, row as u64, seed, sampling, words),
        }
    }
    Coalitions::from_words(players, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_do_not_depend_on_chunks() {
        for sampling in [Sampling::Independent, Sampling::Paired, Sampling::Orthogonal, Sampling::Removal] {
            for players in [1, 31, 32, 33, 127, 128, 129, 300] {
                let all = lime_coalitions(players, 50, 3, sampling).unwrap();
                for chunk in [1, 7, 50] {
                    let mut words = Vec::new();
                    for first in (0..50).step_by(chunk) {
                        let rows = first..50.min(first + chunk);
                        let part = lime_coalition_rows(players, 50, rows, 3, sampling).unwrap();
                        words.extend_from_slice(part.words());
                    }
                    assert_eq!(words, all.words(), "{players} players, chunks of {chunk}");
                }
            }
        }
    }

    #[test]
    fn a_longer_run_begins_with_the_shorter_one() {
        let long = lime_coalitions(70, 200, 1, Sampling::Paired).unwrap();
        let short = lime_coalitions(70, 90, 1, Sampling::Paired).unwrap();
        assert_eq!(long.slice(0..90), short);
    }

    #[test]
    fn pairs_are_complements_and_share_the_odd_rows() {
        let paired = lime_coalitions(45, 101, 8, Sampling::Paired).unwrap();
        let independent = lime_coalitions(45, 101, 8, Sampling::Independent).unwrap();
        for odd in (1..101).step_by(2) {
            let first = paired.slice(odd..odd + 1);
            assert_eq!(first, independent.slice(odd..odd + 1));
            assert_eq!(first.complement(), paired.slice(odd + 1..odd + 2));
        }
    }

    /// In a whole array with its foldover, any three players are in each of their 8 combinations equally often.
    #[test]
    fn orthogonal_pairs_are_balanced() {
        for players in [3, 31, 45] {
            let all = lime_coalitions(players, 129, 8, Sampling::Orthogonal).unwrap();
            for (p, q, r) in [(0, 1, 2), (players - 3, players - 1, players / 2)] {
                let mut counts = [0; 8];
                for row in 1..129 {
                    let bit = |player| usize::from(all.contains(row, player));
                    counts[bit(p) + 2 * bit(q) + 4 * bit(r)] += 1;
                }
                let distinct = p != r && q != r;
                assert!(!distinct || counts == [16; 8], "{players} players: {counts:?}");
            }
            assert_ne!(all, lime_coalitions(players, 129, 9, Sampling::Orthogonal).unwrap());
        }
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        assert!(lime_coalitions(0, 5, 0, Sampling::Independent).is_err());
        assert!(lime_coalitions(5, 0, 0, Sampling::Independent).is_err());
    }
}
