//! The tables by which kernels find columns: `shaders/shared/columns.wgsl`.

use std::collections::HashMap;

use super::encode::word;
use crate::plan::sharing::{Prefix, SetId, ValueId};

/// Tables of a block, made when they are first asked for.
pub(super) struct Tables<'a> {
    prefix: &'a Prefix,
    words: Vec<u32>,
    numbers: HashMap<SetId, u32>,
    pixels: HashMap<ValueId, u32>,
    origins: HashMap<ValueId, u32>,
}

impl<'a> Tables<'a> {
    /// No table yet.
    pub fn new(prefix: &'a Prefix) -> Self {
        let (numbers, pixels, origins) = Default::default();
        Tables { prefix, words: Vec::new(), numbers, pixels, origins }
    }

    /// All tables, for upload.
    pub fn into_words(self) -> Vec<u32> {
        self.words
    }

    /// Where the numbers of a set's restrictions begin, in halves of words.
    fn numbers(&mut self, set: SetId) -> u32 {
        let Tables { prefix, words, numbers, .. } = self;
        *numbers.entry(set).or_insert_with(|| {
            let at = word(2 * words.len());
            let pairs = prefix.restrictions.of(set).numbers.chunks(2);
            words.extend(
                pairs.map(|pair| {
                    u32::from(pair[0]) | pair.get(1).map_or(0, |&second| u32::from(second) << 16)
                }),
            );
            at
        })
    }

    /// Where a value's pixels are.
    pub fn pixels(&mut self, value: ValueId) -> u32 {
        if let Some(&known) = self.pixels.get(&value) {
            return known;
        }
        let columns = &self.prefix.columns[value];
        let entries: Vec<[u32; 2]> = columns
            .sets
            .iter()
            .zip(&columns.starts)
            .map(|(&set, &start)| [word(start), self.numbers(set)])
            .collect();
        let at = word(self.words.len());
        self.words.extend(entries.into_iter().flatten());
        self.pixels.insert(value, at);
        at
    }

    /// Where the origins of a value's columns are.
    pub fn origins(&mut self, value: ValueId) -> u32 {
        if let Some(&known) = self.origins.get(&value) {
            return known;
        }
        let at = word(self.words.len());
        for (pixel, &set) in self.prefix.columns[value].sets.iter().enumerate() {
            let rows = &self.prefix.restrictions.of(set).rows;
            self.words.extend(rows.iter().flat_map(|&row| [word(pixel), u32::from(row)]));
        }
        self.origins.insert(value, at);
        at
    }
}
