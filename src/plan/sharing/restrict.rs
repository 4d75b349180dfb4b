//! Restrictions of coalitions to sets of players.

/// Players that one pass of a key takes: with the 16 bits of a restriction's number before them, a word is full.
const PASS: usize = 48;

/// Keys of at most so many bits index a table; longer ones are hashed.
const TABLE_BITS: usize = 12;

/// Most rows whose restrictions can be counted in 16 bits.
pub(crate) const MOST_ROWS: usize = 1 << 16;

/// The distinct restrictions of a block of coalitions to one set of players, numbered in the order in which they first
/// appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    /// Number of each row's restriction.
    pub numbers: Box<[u16]>,
    /// The first row with each restriction.
    pub rows: Box<[u16]>,
}

impl Restriction {
    /// Bytes of both tables.
    pub fn bytes(&self) -> usize {
        2 * (self.numbers.len() + self.rows.len())
    }
}

/// The coalitions of a block, a byte for each player and row, player by player.
#[derive(Debug)]
pub(super) struct Presence {
    rows: usize,
    bytes: Vec<u8>,
}

impl Presence {
    /// Unpacks the first `players` bits of rows of `words_per_row` words.
    pub fn new(masks: &[u32], words_per_row: usize, rows: usize, players: usize) -> Self {
        debug_assert!(rows <= MOST_ROWS);
        let mut bytes = vec![0; rows * players];
        for (player, column) in bytes.chunks_exact_mut(rows.max(1)).enumerate() {
            let words = masks[player / 32..].iter().step_by(words_per_row);
            column.iter_mut().zip(words).for_each(|(byte, word)| *byte = (word >> (player % 32) & 1) as u8);
        }
        Presence { rows, bytes }
    }

    /// Numbers the restrictions of all rows to some players.
    pub fn restrict(&self, players: &[u32], scratch: &mut Scratch) -> Restriction {
        let mut numbers = vec![0u16; self.rows];
        let mut rows = vec![0u16; 1];
        for (pass, players) in players.chunks(PASS).enumerate() {
            // What earlier players told apart stays apart: their restriction's number begins the key.
            let keys = &mut scratch.keys;
            keys.clear();
            keys.extend(numbers.iter().map(|&number| u64::from(number)));
            for &player in players {
                let column = &self.bytes[player as usize * self.rows..][..self.rows];
                keys.iter_mut().zip(column).for_each(|(key, &bit)| *key = *key << 1 | u64::from(bit));
            }
            if pass == 0 && players.len() <= TABLE_BITS {
                scratch.number_by_table(1 << players.len(), &mut numbers, &mut rows);
            } else {
                scratch.number_by_hash(&mut numbers, &mut rows);
            }
        }
        Restriction { numbers: numbers.into(), rows: rows.into() }
    }
}

/// What is kept between restrictions.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    keys: Vec<u64>,
    /// Restriction + 1 of a key, or of a slot of the hash table; 0 = none yet.
    slots: Vec<u32>,
}

impl Scratch {
    fn number_by_table(&mut self, size: usize, numbers: &mut [u16], rows: &mut Vec<u16>) {
        rows.clear();
        self.slots.clear();
        self.slots.resize(size, 0);
        for (row, (&key, number)) in self.keys.iter().zip(numbers).enumerate() {
            let slot = &mut self.slots[key as usize];
            if *slot == 0 {
                rows.push(row as u16);
                *slot = rows.len() as u32;
            }
            *number = (*slot - 1) as u16;
        }
    }

    /// Open addressing, at most half full.
    fn number_by_hash(&mut self, numbers: &mut [u16], rows: &mut Vec<u16>) {
        let bits = (2 * self.keys.len()).next_power_of_two().trailing_zeros().max(1);
        rows.clear();
        self.slots.clear();
        self.slots.resize(1 << bits, 0);
        for (row, (&key, number)) in self.keys.iter().zip(numbers).enumerate() {
            // Fibonacci hashing (Knuth, volume 3, 6.4).
            let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize;
            loop {
                match self.slots[at] {
                    0 => {
                        rows.push(row as u16);
                        self.slots[at] = rows.len() as u32;
                        *number = (rows.len() - 1) as u16;
                        break;
                    }
                    known if self.keys[usize::from(rows[known as usize - 1])] == key => {
                        *number = (known - 1) as u16;
                        break;
                    }
                    _ => at = (at + 1) & ((1 << bits) - 1),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The definition, row by row.
    fn by_definition(masks: &[u32], words: usize, rows: usize, players: &[u32]) -> Restriction {
        let mut known = HashMap::new();
        let mut first = Vec::new();
        let numbers = (0..rows)
            .map(|row| {
                let bit = |&p: &u32| masks[row * words + p as usize / 32] >> (p % 32) & 1;
                let key: Vec<u32> = players.iter().map(bit).collect();
                *known.entry(key).or_insert_with(|| {
                    first.push(row as u16);
                    (first.len() - 1) as u16
                })
            })
            .collect();
        Restriction { numbers, rows: first.into() }
    }

    #[test]
    fn restrictions_are_those_of_the_definition() {
        let (rows, words, players) = (700, 5, 150);
        let mut state = 1u64;
        let masks: Vec<u32> = (0..rows * words)
            .map(|i| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                // Rows repeat: so do restrictions to many players.
                if i >= 400 * words { 0x5555_0000 + (i / words % 7) as u32 } else { (state >> 33) as u32 }
            })
            .collect();
        let presence = Presence::new(&masks, words, rows, players);
        let mut scratch = Scratch::default();
        for count in [0, 1, 5, 12, 13, 20, 48, 49, 96, 97, 150] {
            let set: Vec<u32> = (0..count).map(|i| i * 150 / count).collect();
            let found = presence.restrict(&set, &mut scratch);
            assert_eq!(found, by_definition(&masks, words, rows, &set), "{count} players");
        }
    }
}
