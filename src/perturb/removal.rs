//! LIME's coalitions on texts: first how many tokens are absent, then which.
//!
//! Source of the distribution: `LimeTextExplainer.__data_labels_distances` of `lime` 0.2.0.1: the number of absent tokens is
//! uniform on 1 to all, and so is the set of that size.

use rand::Rng;

use super::philox::{Philox, halves, philox4x32_10};

/// The stream of these rows.
const REMOVAL_STREAM: u32 = 18;

/// Writes row number `row` (not 0, which is the instance), packed as in [`Coalitions`](super::Coalitions).
///
/// The row has a generator of its own, whose seed is drawn at its number.
pub(super) fn removal_row(players: usize, row: u64, seed: u64, words: &mut [u32]) {
    let [low, high] = halves(row);
    let [a, b, ..] = philox4x32_10([low, high, 0, REMOVAL_STREAM], halves(seed));
    let mut draws = Philox::new(u64::from(a) | u64::from(b) << 32, REMOVAL_STREAM);
    // A number in 0..below, biased by less than 2⁻³².
    let mut die = |below: usize| ((u128::from(draws.next_u64()) * below as u128) >> 64) as usize;
    let absent = 1 + die(players);
    words.fill(u32::MAX);
    // Floyd's choice of a set: each step adds `at`, or the player drawn if that is still present.
    for at in players - absent..players {
        let drawn = die(at + 1);
        let present = words[drawn / 32] >> (drawn % 32) & 1 == 1;
        let player = if present { drawn } else { at };
        words[player / 32] &= !(1 << (player % 32));
    }
}

#[cfg(test)]
mod tests {
    use crate::perturb::{Sampling, lime_coalitions};

    #[test]
    fn sizes_and_members_are_uniform() {
        let (players, samples) = (6, 60_001);
        let rows = lime_coalitions(players, samples, 4, Sampling::Removal).unwrap();
        let mut sizes = vec![0usize; players + 1];
        let mut absent = vec![0usize; players];
        for row in 1..samples {
            sizes[players - rows.count(row)] += 1;
            (0..players).filter(|&player| !rows.contains(row, player)).for_each(|player| absent[player] += 1);
        }
        assert_eq!(sizes[0], 0);
        // Four standard deviations of a binomial count.
        let near = |count: usize, share: f64| {
            let n = (samples - 1) as f64;
            (count as f64 - n * share).abs() < 4.0 * (n * share * (1.0 - share)).sqrt()
        };
        assert!(sizes[1..].iter().all(|&count| near(count, 1.0 / 6.0)), "{sizes:?}");
        assert!(absent.iter().all(|&count| near(count, 3.5 / 6.0)), "{absent:?}");
    }
}
