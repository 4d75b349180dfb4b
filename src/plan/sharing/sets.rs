//! Sets of players, each kept once.

use std::collections::HashMap;

/// Number of a set.
pub type SetId = u32;

/// The empty set: what a pixel outside the picture depends on.
pub(super) const EMPTY: SetId = 0;

/// Sets of players as rows of bits; equal sets have equal numbers.
#[derive(Debug)]
pub(super) struct Sets {
    words: usize,
    bits: Vec<u64>,
    numbers: HashMap<Box<[u64]>, SetId>,
    scratch: Vec<u64>,
}

impl Sets {
    /// The empty set alone; players are numbered below `players`.
    pub fn new(players: usize) -> Self {
        let words = players.div_ceil(64).max(1);
        let empty = vec![0; words];
        let numbers = HashMap::from([(empty.clone().into_boxed_slice(), EMPTY)]);
        Sets { words, bits: empty.clone(), numbers, scratch: empty }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    fn number(&mut self) -> SetId {
        if let Some(&known) = self.numbers.get(self.scratch.as_slice()) {
            return known;
        }
        let number = self.numbers.len() as SetId;
        self.bits.extend_from_slice(&self.scratch);
        self.numbers.insert(self.scratch.clone().into_boxed_slice(), number);
        number
    }

    /// The set of some players.
    pub fn of(&mut self, players: impl IntoIterator<Item = u32>) -> SetId {
        self.scratch.fill(0);
        for player in players {
            self.scratch[player as usize / 64] |= 1 << (player % 64);
        }
        self.number()
    }

    /// The union of some sets.
    pub fn union(&mut self, sets: impl IntoIterator<Item = SetId>) -> SetId {
        let mut sets = sets.into_iter();
        let Some(first) = sets.next() else { return EMPTY };
        let (mut last, mut same) = (first, true);
        let words = self.words;
        self.scratch.copy_from_slice(&self.bits[first as usize * words..][..words]);
        for set in sets {
            // Neighbouring taps mostly have the same set.
            if set == last {
                continue;
            }
            (last, same) = (set, false);
            let bits = &self.bits[set as usize * words..][..words];
            self.scratch.iter_mut().zip(bits).for_each(|(all, more)| *all |= more);
        }
        if same { first } else { self.number() }
    }

    /// Writes the players of a set, ascending.
    pub fn players(&self, set: SetId, players: &mut Vec<u32>) {
        players.clear();
        let bits = &self.bits[set as usize * self.words..][..self.words];
        for (word, &bits) in bits.iter().enumerate() {
            let mut left = bits;
            while left != 0 {
                players.push(word as u32 * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_equal_numbers() {
        let mut sets = Sets::new(130);
        let (a, b) = (sets.of([3, 129]), sets.of([64]));
        assert_eq!(sets.of([129, 3]), a);
        assert_eq!(sets.of([]), EMPTY);
        let both = sets.union([a, b, a, EMPTY]);
        let mut players = vec![5];
        sets.players(both, &mut players);
        assert_eq!(players, [3, 64, 129]);
        assert_eq!(sets.union([b, a]), both);
        assert_eq!(sets.union([a, a]), a);
        assert_eq!(sets.len(), 4);
    }
}
