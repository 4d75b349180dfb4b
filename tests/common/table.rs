//! Tables and coalitions without a pattern, and a game's values by their definition.

use ndarray::Array2;
use whybox::Network;
use whybox::device::RunOptions;
use whybox::perturb::{Coalitions, Rows};

/// Numbers that look random.
pub fn noise(seed: usize) -> impl FnMut() -> f32 {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Numbers in [−1, 1).
pub fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let mut next = noise(seed);
    (0..count).map(|_| next()).collect()
}

/// A table of such numbers.
pub fn table(rows: usize, columns: usize, seed: usize) -> Array2<f32> {
    Array2::from_shape_vec((rows, columns), numbers(rows * columns, seed)).expect("rows × columns numbers")
}

/// Coalitions at random, some by counting, and some that are complements of the ones before them.
pub fn coalitions(players: usize, rows: usize, seed: usize) -> Coalitions {
    let mut next = noise(seed);
    let mut coalitions = Coalitions::new(players);
    for row in 0..rows {
        match row % 5 {
            0 if row > 0 => {
                let last = coalitions.slice(row - 1..row).complement();
                coalitions.push(|player| last.contains(0, player));
            }
            1 => coalitions.push(|player| (row / 5) >> (player % 8) & 1 == 1),
            _ => coalitions.push(|_| next() > 0.0),
        }
    }
    coalitions
}

/// The definition: rows one by one, averaged in f64. `[coalitions, instances · outputs]`
pub fn by_definition(
    network: &Network,
    [instances, background]: [&Array2<f32>; 2],
    weights: &[f64],
    players: &[usize],
    coalitions: &Coalitions,
    outputs: &[usize],
) -> Array2<f64> {
    let sum: f64 = weights.iter().sum();
    let mut values = Array2::zeros((coalitions.rows(), instances.nrows() * outputs.len()));
    for coalition in 0..coalitions.rows() {
        for (number, instance) in instances.outer_iter().enumerate() {
            let mut rows = Vec::new();
            for row in background.outer_iter() {
                let present = |column: usize| coalitions.contains(coalition, players[column]);
                rows.extend((0..row.len()).map(|j| if present(j) { instance[j] } else { row[j] }));
            }
            let rows = Rows::new(&rows, instance.len()).expect("whole rows");
            let answers = network.responses(&rows, &RunOptions::default()).expect("finite answers");
            for (answers, weight) in answers.outer_iter().zip(weights) {
                for (at, &output) in outputs.iter().enumerate() {
                    values[[coalition, number * outputs.len() + at]] +=
                        weight / sum * f64::from(answers[output]);
                }
            }
        }
    }
    values
}

/// Largest difference over the largest value.
pub fn difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let largest = b.iter().fold(1e-12f64, |most, value| most.max(value.abs()));
    a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / largest
}
