//! The random source and LIME's coalitions, as statistics see them.

use whybox::perturb::philox::philox4x32_10;
use whybox::perturb::{Sampling, lime_coalitions};

/// `kat_vectors` of the reference library of Salmon et al. 2011.
#[test]
fn philox_known_answers() {
    for (counter, key, expected) in [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ] {
        assert_eq!(philox4x32_10(counter, key), expected);
    }
}

/// Each player is present half the time, and each pair of players a quarter of it.
#[test]
fn coalitions_are_fair_coins() {
    let (players, samples) = (70, 20_001);
    for sampling in [Sampling::Independent, Sampling::Paired, Sampling::Orthogonal] {
        let coalitions = lime_coalitions(players, samples, 42, sampling).unwrap();
        let draws = (samples - 1) as f64;
        let share =
            |inside: &dyn Fn(usize) -> bool| (1..samples).filter(|&row| inside(row)).count() as f64 / draws;
        // Five standard errors of a share, and of the share of a pair (half as many free rows).
        let (single, pair) = (5.0 * (0.25 / draws).sqrt(), 5.0 * (0.375 / draws).sqrt());
        for p in 0..players {
            assert!((share(&|row| coalitions.contains(row, p)) - 0.5).abs() < single);
            let q = (p + 1 + p % 33) % players;
            let both = share(&|row| coalitions.contains(row, p) && coalitions.contains(row, q));
            assert!((both - 0.25).abs() < pair, "players {p} and {q}: {both}");
        }
        let mut rows: Vec<&[u32]> = (0..samples).map(|row| coalitions.row_words(row)).collect();
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), samples, "70 fair bits do not repeat in 20,000 rows");
        assert_ne!(coalitions, lime_coalitions(players, samples, 43, sampling).unwrap());
    }
}
