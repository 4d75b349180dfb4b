//! Coalitions by randomised orthogonal arrays: every player is present exactly half the time, with every two and every
//! three others in all combinations equally often.
//!
//! A block of order `m = 2^k` takes, for each player, a column of the Walsh–Hadamard matrix of order `m`, chosen at
//! random without repetition, with a random sign; its rows come in random order, each followed by its complement
//! (foldover). So main effects are estimated free of one another and of all pairwise interactions, where independent
//! draws mix them by chance. Each row alone is a row of fair coins, as LIME draws them, and so the surrogate converges
//! to LIME's.
//!
//! Source: A. S. Hedayat, N. J. A. Sloane and J. Stufken, *Orthogonal Arrays*, Springer 1999, chapters 2 and 7; A. B. Owen,
//! *Randomly permuted (t, m, s)-nets and (t, s)-sequences*, 1995, for the randomisation.

use rand::Rng;
use rand::seq::{SliceRandom, index};

use super::coalitions::complement_row;
use super::philox::Philox;

/// Stream of the Philox generator for the arrays' columns, signs and orders.
const STREAM: u32 = 0x4F41;

/// Rows 1, 2, … of a run of orthogonal pairs.
#[derive(Debug, Clone)]
pub(super) struct OrthogonalPairs {
    players: usize,
    blocks: Vec<Block>,
}

/// One array and its foldover.
#[derive(Debug, Clone)]
struct Block {
    /// Pairs in the blocks before.
    first_pair: u64,
    /// The matrix's column for each player.
    columns: Vec<u32>,
    /// Which players have the opposite sign, packed as in [`super::Coalitions`].
    signs: Vec<u32>,
    /// The matrix's rows in the order in which they come.
    order: Vec<u32>,
}

impl OrthogonalPairs {
    /// The arrays for a run of `samples` rows, the instance included.
    pub(super) fn new(players: usize, samples: usize, seed: u64, words: usize) -> Self {
        let mut first_pair = 0;
        let mut blocks = Vec::new();
        for (number, order) in orders(players, samples.saturating_sub(1).div_ceil(2)).into_iter().enumerate()
        {
            let mut draws = Philox::new(seed, STREAM);
            draws.seek((number as u64) << 40);
            // Column 0 is constant: it is no player's.
            let columns = index::sample(&mut draws, order - 1, players);
            let columns = columns.into_iter().map(|column| column as u32 + 1).collect();
            let signs = (0..words).map(|_| draws.next_u32()).collect();
            let mut rows: Vec<u32> = (0..order as u32).collect();
            rows.shuffle(&mut draws);
            blocks.push(Block { first_pair, columns, signs, order: rows });
            first_pair += order as u64;
        }
        OrthogonalPairs { players, blocks }
    }

    /// Writes row `row` (at least 1), packed; bits beyond the last player are left as they come.
    pub(super) fn row(&self, row: u64, words: &mut [u32]) {
        let pair = (row - 1) / 2;
        let at = self.blocks.partition_point(|block| block.first_pair <= pair) - 1;
        let block = &self.blocks[at];
        // The arrays hold all rows of the run; rows beyond it repeat the last array.
        let walsh = block.order[(pair - block.first_pair) as usize % block.order.len()];
        words.copy_from_slice(&block.signs);
        for (player, column) in block.columns.iter().enumerate() {
            words[player / 32] ^= ((walsh & column).count_ones() & 1) << (player % 32);
        }
        if row.is_multiple_of(2) {
            complement_row(words, self.players);
        }
    }
}

/// Orders of the arrays that together give `pairs` rows: whole arrays as large as fit, where a little more than fits is
/// cut off the last.
fn orders(players: usize, pairs: usize) -> Vec<usize> {
    let least = (players + 1).next_power_of_two();
    let mut orders = Vec::new();
    let mut left = pairs;
    while left > 0 || orders.is_empty() {
        let above = left.next_power_of_two();
        let order = if above - left <= left / 8 { above } else { above / 2 }.max(least);
        orders.push(order);
        left = left.saturating_sub(order);
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_cover_the_run() {
        assert_eq!(orders(70, 500), [512]);
        assert_eq!(orders(70, 750), [512, 256]);
        assert_eq!(orders(70, 600), [512, 128]);
        assert_eq!(orders(200, 100), [256]);
        assert_eq!(orders(1, 0), [2]);
        for pairs in 1..2000 {
            let all: usize = orders(12, pairs).iter().sum();
            assert!(all >= pairs && all <= pairs + pairs / 8 + 16, "{pairs}: {all}");
        }
    }
}
