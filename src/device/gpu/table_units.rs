//! Coalitions in pairs, for the kernels of tables (`shaders/table_*.wgsl`): of a coalition z and its complement z̄, the first layer's sums
//! h(z) and h(z̄) add up to a *total* that depends on the instance and the background row alone, so h(z̄) costs a
//! subtraction.
//!
//! With `h(z) = c + Σ_{p always} W_p x_p + Σ_{p ∈ z} W_p x_p + Σ_{p ∉ z} W_p b_p` for an instance x and a background row b,
//! `h(z) + h(z̄) = T(x) + T(b)` where `T(x) = 2 (c + Σ_{p always} W_p x_p) + Σ_p W_p x_p` and `T(b) = Σ_p W_p b_p`.

use crate::plan::{Dense, Mixture};

/// A run's coalitions, each alone or with the complement that follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Units {
    /// The first coalition of each unit; at the end, how many coalitions there are.
    starts: Vec<usize>,
}

impl Units {
    /// Every coalition by itself.
    pub fn single(mixture: &Mixture) -> Self {
        Units { starts: (0..=mixture.coalitions()).collect() }
    }

    /// A coalition joins the one before if it [mirrors](Mixture::mirrored) it.
    pub fn paired(mixture: &Mixture) -> Self {
        let mirrored = mixture.mirrored();
        let alone = (0..mirrored.len()).filter(|&coalition| !mirrored[coalition]);
        Units { starts: alone.chain([mirrored.len()]).collect() }
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Coalitions of a unit: one or two.
    pub fn sides_of(&self, unit: usize) -> usize {
        self.starts[unit + 1] - self.starts[unit]
    }

    /// Coalitions of a unit, at most.
    pub fn sides(&self) -> usize {
        (0..self.len()).map(|unit| self.sides_of(unit)).max().unwrap_or(1)
    }

    /// Coalitions before a unit.
    pub fn first(&self, unit: usize) -> usize {
        self.starts[unit]
    }

    /// As the kernel reads them, `[units, 1 + words]`: how many coalitions, and the bits of the first.
    pub fn packed(&self, mixture: &Mixture) -> Vec<u32> {
        let words = mixture.words_per_row;
        let mut packed = Vec::with_capacity(self.len() * (1 + words));
        for unit in 0..self.len() {
            packed.push(self.sides_of(unit) as u32);
            packed.extend_from_slice(&mixture.masks[self.first(unit) * words..][..words]);
        }
        packed
    }
}

/// The totals of rows `[instances + background rows, features]` as the first layer takes them: `[rows, width rounded up to
/// four]`, added up in f64. `None` where one is not finite, since a side could be finite there and its difference
/// from the total would not.
pub(super) fn totals(layer: &Dense, mixture: &Mixture, rows: &[f32]) -> Option<Vec<f32>> {
    let (width, padded) = (layer.outputs, layer.outputs.next_multiple_of(4));
    let mut totals = Vec::with_capacity(rows.len() / mixture.features.max(1) * padded);
    let mut sums = vec![0.0; width];
    for (number, row) in rows.chunks_exact(mixture.features).enumerate() {
        let is_instance = number < mixture.instance_rows();
        let twice = if is_instance { 2.0 } else { 0.0 };
        sums.iter_mut().zip(&layer.bias).for_each(|(sum, &bias)| *sum = twice * f64::from(bias));
        for ((&x, &player), weights) in
            row.iter().zip(&mixture.players[..]).zip(layer.weight.chunks_exact(width))
        {
            let is_player = (player as usize) < mixture.player_count;
            if is_player || is_instance {
                let x = if is_player { f64::from(x) } else { 2.0 * f64::from(x) };
                sums.iter_mut().zip(weights).for_each(|(sum, &weight)| *sum += x * f64::from(weight));
            }
        }
        if sums.iter().any(|&sum| !(sum as f32).is_finite()) {
            return None;
        }
        totals.extend(sums.iter().map(|&sum| sum as f32));
        totals.resize(totals.len() + padded - width, 0.0);
    }
    Some(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Activation;

    fn mixture(player_count: usize, words_per_row: usize, masks: &[u32]) -> Mixture {
        Mixture {
            features: player_count,
            instances: vec![1.0; player_count].into(),
            background: vec![2.0; player_count].into(),
            players: (0..player_count as u32).collect(),
            player_count,
            masks: masks.into(),
            words_per_row,
        }
    }

    #[test]
    fn the_list_decides() {
        let [z, y, not_z, not_y] = [0b00110, 0b10000, 0b11001, 0b01111];
        let cases: [(&[u32], &[usize]); 9] = [
            (&[], &[0]),
            (&[z], &[0, 1]),
            (&[z, not_z], &[0, 2]),
            (&[z, not_z, z], &[0, 2, 3]),
            (&[z, not_z, z, not_z], &[0, 2, 4]),
            (&[z, y, not_y, z], &[0, 1, 3, 4]),
            (&[z, z, not_z, not_z], &[0, 1, 3, 4]),
            (&[z, y, not_z, not_y], &[0, 1, 2, 3, 4]),
            // Nobody and everybody; bits beyond the players differ or do not.
            (&[0, 0b11111, 0xffff_ffe0, 0b11111, 0xffff_ff00], &[0, 2, 4, 5]),
        ];
        for (masks, starts) in cases {
            let mixture = mixture(5, 1, masks);
            let units = Units::paired(&mixture);
            assert_eq!(units.starts, starts, "{masks:x?}");
            let sides: Vec<_> = (0..units.len()).map(|unit| units.sides_of(unit)).collect();
            assert_eq!(sides.iter().sum::<usize>(), masks.len());
            assert_eq!(units.sides(), sides.iter().copied().max().unwrap_or(1));
            let packed = units.packed(&mixture);
            for (unit, packed) in packed.chunks_exact(2).enumerate() {
                assert_eq!(packed, [sides[unit] as u32, masks[units.first(unit)]]);
            }
            assert_eq!(Units::single(&mixture).len(), masks.len());
        }
    }

    #[test]
    fn every_word_counts() {
        for players in [31, 32, 33, 64, 70] {
            let words: usize = usize::div_ceil(players, 32);
            let first: Vec<u32> = (0..words as u32).map(|word| 0x1357_9bdf << word).collect();
            let second: Vec<u32> = first.iter().map(|word| !word).collect();
            assert_eq!(Units::paired(&mixture(players, words, &[&first[..], &second].concat())).len(), 1);
            // Negative control: one player's bit, and then a bit of nobody's.
            for bit in 0..32 * words {
                let mut other = second.clone();
                other[bit / 32] ^= 1 << (bit % 32);
                let units = Units::paired(&mixture(players, words, &[&first[..], &other].concat()));
                assert_eq!(units.len(), if bit < players { 2 } else { 1 }, "{players} players, bit {bit}");
            }
        }
        assert_eq!(Units::paired(&mixture(0, 1, &[0, 0])).len(), 2);
    }

    #[test]
    fn totals_are_both_sides() {
        // Three features: player 1, always the instance's, player 0.
        let layer = Dense {
            inputs: 3,
            outputs: 2,
            weight: [1.0, 2.0, 10.0, 20.0, 100.0, 200.0].into(),
            bias: vec![0.5, 0.25],
            activation: Activation::Relu,
        };
        let mixture = Mixture {
            features: 3,
            instances: [1.0, 3.0, 5.0].into(),
            background: [2.0, f32::NAN, 4.0].into(),
            players: [1, u32::MAX, 0].into(),
            player_count: 2,
            masks: [0b01, 0b10].into(),
            words_per_row: 1,
        };
        let rows = [&mixture.instances[..], &mixture.background[..]].concat();
        let instance = [2.0 * 0.5 + 1.0 + 2.0 * 30.0 + 500.0, 2.0 * 0.25 + 2.0 + 2.0 * 60.0 + 1000.0];
        let expected = [instance[0], instance[1], 0.0, 0.0, 402.0, 804.0, 0.0, 0.0];
        assert_eq!(totals(&layer, &mixture, &rows), Some(expected.to_vec()));
        for (at, wrong) in [(0, f32::NEG_INFINITY), (1, f32::NAN), (2, 3e38), (3, f32::NAN)] {
            let mut rows = rows.clone();
            rows[at] = wrong;
            assert_eq!(totals(&layer, &mixture, &rows), None, "{wrong} in cell {at}");
        }
    }
}
