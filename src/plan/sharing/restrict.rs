//! Restrictions of coalitions to sets of players. All tables are refilled block by block: their memory grows to what the
//! largest block needs, and no further.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::sets::{SetId, Sets};

/// Players that one pass of a key takes: with the 16 bits of a restriction's number before them, a word is full.
const PASS: usize = 48;

/// Keys of at most so many bits index a table; longer ones are hashed.
const TABLE_BITS: usize = 12;

/// Most rows whose restrictions can be counted in 16 bits.
pub(crate) const MOST_ROWS: usize = 1 << 16;

/// The distinct restrictions of a block of coalitions to one set of players, numbered in the order in which they first
/// appear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    /// Number of each row's restriction.
    pub numbers: Vec<u16>,
    /// The first row with each restriction.
    pub rows: Vec<u16>,
}

/// The restrictions of a block's coalitions, by set.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Restrictions {
    presence: Presence,
    /// How many restrictions there are to each set that has been looked at.
    counts: Vec<usize>,
    /// The tables of the first `made` sets; those behind are of blocks before.
    tables: Vec<Restriction>,
    made: usize,
    /// Of each thread.
    scratch: Vec<Mutex<Scratch>>,
}

impl Restrictions {
    /// The restrictions to a set that some value's pixel has.
    #[inline]
    pub fn of(&self, set: SetId) -> &Restriction {
        // Made for every set before the columns of the values that have it.
        debug_assert!((set as usize) < self.made, "restrictions to set {set} were made");
        &self.tables[set as usize]
    }

    /// How many there are to a set that has been looked at.
    pub(super) fn count_of(&self, set: SetId) -> usize {
        self.counts[set as usize]
    }

    /// Forgets the block before, and takes the first `players` bits of rows of `words_per_row` words.
    pub(super) fn begin(&mut self, masks: &[u32], words_per_row: usize, rows: usize, players: usize) {
        self.presence.unpack(masks, words_per_row, rows, players);
        self.counts.clear();
        self.made = 0;
        let threads = rayon::current_num_threads().max(self.scratch.len());
        self.scratch.resize_with(threads, Mutex::default);
        // Which thread will meet the largest set is chance.
        self.scratch.iter().for_each(|scratch| lock(scratch).reserve(rows, players));
    }

    /// Counts the restrictions to the first `end` sets; those that were looked at before are not looked at again.
    pub(super) fn count(&mut self, sets: &Sets, end: usize) {
        let Restrictions { presence, counts, scratch, .. } = self;
        let first = counts.len();
        counts.resize(end.max(first), 0);
        counts[first..].par_iter_mut().zip(first..end).for_each(|(count, set)| {
            let mut scratch = here(scratch);
            let mut table = std::mem::take(&mut scratch.table);
            presence.restrict(sets, set as SetId, &mut scratch, &mut table);
            *count = table.rows.len();
            scratch.table = table;
        });
    }

    /// Makes the tables of the first `end` sets, as far as they are missing.
    pub(super) fn make(&mut self, sets: &Sets, end: usize) {
        let Restrictions { presence, counts, tables, made, scratch } = self;
        tables.resize_with(end.max(tables.len()), Restriction::default);
        let first = (*made).min(end);
        tables[first..end].par_iter_mut().zip(first..end).for_each(|(table, set)| {
            presence.restrict(sets, set as SetId, &mut here(scratch), table);
        });
        *made = end.max(*made);
        let known = counts.len().min(end);
        counts.extend(tables[known..end].iter().map(|table| table.rows.len()));
    }

    /// Gives back the memory of all tables but those of the first `end` sets.
    pub(super) fn keep(&mut self, end: usize) {
        if self.tables.len() > end {
            self.tables.truncate(end);
            self.tables.shrink_to_fit();
            self.made = self.made.min(end);
        }
    }

    /// Bytes that the tables of the first `end` sets take, made or not.
    pub(super) fn bytes(&self, end: usize) -> usize {
        let numbers = end * self.presence.rows;
        2 * (numbers + self.counts[..end].iter().sum::<usize>())
    }

    /// Bytes that are kept for blocks to come.
    pub(super) fn kept_bytes(&self) -> usize {
        let tables = self.tables.iter().map(|table| table.numbers.capacity() + table.rows.capacity());
        let scratch = self.scratch.iter().map(|scratch| lock(scratch).bytes()).sum::<usize>();
        2 * tables.sum::<usize>() + self.presence.bytes.capacity() + scratch
    }
}

/// The scratch of the thread that asks: one of the pool's, since only its threads run parallel loops.
fn here(scratch: &[Mutex<Scratch>]) -> MutexGuard<'_, Scratch> {
    lock(&scratch[rayon::current_thread_index().unwrap_or(0) % scratch.len()])
}

/// Locks; scratch is overwritten before it is read, so poison does not matter.
fn lock(scratch: &Mutex<Scratch>) -> MutexGuard<'_, Scratch> {
    scratch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The coalitions of a block, a byte for each player and row, player by player.
#[derive(Debug, Default)]
struct Presence {
    rows: usize,
    bytes: Vec<u8>,
}

impl Presence {
    /// Unpacks the first `players` bits of rows of `words_per_row` words.
    fn unpack(&mut self, masks: &[u32], words_per_row: usize, rows: usize, players: usize) {
        debug_assert!(rows <= MOST_ROWS);
        self.rows = rows;
        self.bytes.resize(rows * players, 0);
        for (player, column) in self.bytes.chunks_exact_mut(rows.max(1)).enumerate() {
            let words = masks[player / 32..].iter().step_by(words_per_row);
            column.iter_mut().zip(words).for_each(|(byte, word)| *byte = (word >> (player % 32) & 1) as u8);
        }
    }

    /// Numbers the restrictions of all rows to the players of a set.
    fn restrict(&self, sets: &Sets, set: SetId, scratch: &mut Scratch, table: &mut Restriction) {
        let mut players = std::mem::take(&mut scratch.players);
        sets.players(set, &mut players);
        let Restriction { numbers, rows } = table;
        numbers.clear();
        numbers.resize(self.rows, 0);
        rows.clear();
        // No set has more; coalitions that are drawn evenly come near it.
        rows.reserve(1usize.checked_shl(players.len() as u32).map_or(self.rows, |most| most.min(self.rows)));
        rows.push(0);
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
                scratch.number_by_table(1 << players.len(), numbers, rows);
            } else {
                scratch.number_by_hash(numbers, rows);
            }
        }
        scratch.players = players;
    }
}

/// What a thread keeps between restrictions.
#[derive(Debug, Default)]
struct Scratch {
    players: Vec<u32>,
    keys: Vec<u64>,
    /// Restriction + 1 of a key, or of a slot of the hash table; 0 = none yet.
    slots: Vec<u32>,
    /// The table of a set whose restrictions are only counted.
    table: Restriction,
}

impl Scratch {
    /// Makes room for any set of so many players at most.
    fn reserve(&mut self, rows: usize, players: usize) {
        let Scratch { players: set, keys, slots, table } = self;
        fit(set, players);
        fit(keys, rows);
        fit(slots, (1 << hash_bits(rows)).max(1 << TABLE_BITS.min(players)));
        fit(&mut table.numbers, rows);
        fit(&mut table.rows, rows.max(1));
    }

    fn bytes(&self) -> usize {
        let Scratch { players, keys, slots, table } = self;
        4 * (players.capacity() + slots.capacity())
            + 8 * keys.capacity()
            + 2 * (table.numbers.capacity() + table.rows.capacity())
    }

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
        let bits = hash_bits(self.keys.len());
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

/// Bits that tell apart the slots of a hash table for so many keys.
fn hash_bits(keys: usize) -> u32 {
    (2 * keys).next_power_of_two().trailing_zeros().max(1)
}

/// Makes room for so many elements in all.
fn fit<T>(memory: &mut Vec<T>, len: usize) {
    memory.reserve(len.saturating_sub(memory.len()));
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
        Restriction { numbers, rows: first }
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
        let counts = [0, 1, 5, 12, 13, 20, 48, 49, 96, 97, 150];
        let of = |count: u32| -> Vec<u32> { (0..count).map(|i| i * 150 / count).collect() };
        let mut sets = Sets::new(players);
        let numbers = counts.map(|count| sets.of(of(count)));
        let mut found = Restrictions::default();
        // The tables of a block before, and those of fewer rows, leave nothing behind.
        for rows in [rows, 300, rows] {
            found.begin(&masks, words, rows, players);
            found.make(&sets, 3);
            found.count(&sets, 8);
            found.make(&sets, sets.len());
            for (count, set) in counts.into_iter().zip(numbers) {
                let expected = by_definition(&masks, words, rows, &of(count));
                assert_eq!(found.count_of(set), expected.rows.len(), "{count} players, {rows} rows");
                assert_eq!(found.of(set), &expected, "{count} players, {rows} rows");
            }
            let bytes = (0..numbers.len()).map(|set| &found.tables[set]);
            let bytes: usize = bytes.map(|table| 2 * (table.numbers.len() + table.rows.len())).sum();
            assert_eq!(found.bytes(numbers.len()), bytes);
        }
    }
}
