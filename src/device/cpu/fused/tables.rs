//! Sums over the absent players of a block of background rows, from tables of subsets.

use std::ops::Range;

use super::super::memory::Aligned;
use super::super::simd::Simd;
use crate::plan::Dense;

/// Most bytes of a block's tables: they should stay in the second cache.
pub(super) const MOST_TABLE_BYTES: usize = 5 << 18;

/// Most players of a part.
const MOST_PART: usize = 12;

/// Tables that are added in one pass.
const PASS: usize = 4;

/// The players, cut into parts whose subsets are tabulated. Parts of later players come first: in an enumeration, whose
/// first players change fastest, leading parts change rarely.
pub(super) struct Parts {
    /// Players of each part.
    pub ranges: Vec<Range<usize>>,
    /// First subset of each part in the tables.
    pub offsets: Vec<usize>,
}

impl Parts {
    /// The longest parts whose tables, of `sum_bytes` bytes a subset, stay in cache and are worth their making for
    /// `rows` coalitions.
    pub fn new(players: usize, sum_bytes: usize, rows: usize) -> Self {
        let subsets = |length: usize| players.div_ceil(length) << length;
        let fits = |&length: &usize| {
            subsets(length) * sum_bytes <= MOST_TABLE_BYTES && subsets(length) <= rows.max(2 * players)
        };
        let length = (2..=MOST_PART).rev().find(fits).unwrap_or(1);
        let count = players.div_ceil(length);
        let mut ranges: Vec<_> =
            (0..count).map(|part| players * part / count..players * (part + 1) / count).collect();
        ranges.reverse();
        let mut next = 0;
        let mut offset = |part: &Range<usize>| {
            next += 1 << part.len();
            next - (1 << part.len())
        };
        let offsets = ranges.iter().map(&mut offset).collect();
        Parts { ranges, offsets }
    }

    /// Subsets of all parts.
    pub fn subsets(&self) -> usize {
        self.ranges.iter().map(|part| 1usize << part.len()).sum()
    }
}

/// The absent players of a part (of at most [`MOST_PART`] players) as the bits of a number.
pub(super) fn absent(words: &[u32], part: &Range<usize>) -> u32 {
    let word = |at: usize| u64::from(words.get(at).copied().unwrap_or(0));
    let first = part.start / 32;
    let bits = (word(first) | word(first + 1) << 32) >> (part.start % 32);
    !(bits as u32) & ((1 << part.len()) - 1)
}

/// What each absent player adds to the first layer: `[players, width, lanes]` from a block `[features, lanes]`.
#[inline(always)]
pub(super) fn singles<S: Simd>(
    simd: S,
    layer: &Dense,
    features: &[Vec<usize>],
    block: &Aligned,
    singles: &mut Aligned,
) {
    let (width, lanes) = (layer.outputs, S::LANES);
    let block = block.as_slice();
    for (features, sums) in features.iter().zip(singles.as_mut_slice().chunks_exact_mut(width * lanes)) {
        sums.fill(0.0);
        for &feature in features {
            let row = &layer.weight[feature * width..][..width];
            let values = &block[feature * lanes..][..lanes];
            for (&weight, sum) in row.iter().zip(sums.chunks_exact_mut(lanes)) {
                // SAFETY: both slices hold LANES floats.
                unsafe {
                    let value = simd.load(values.as_ptr());
                    let more = simd.mul_add(simd.splat(weight), value, simd.load(sum.as_ptr()));
                    simd.store(sum.as_mut_ptr(), more);
                }
            }
        }
    }
}

/// Tabulates the subsets of each part and the sum over all players; a sum has `size` floats.
#[inline(always)]
pub(super) fn fill<S: Simd>(
    simd: S,
    parts: &Parts,
    size: usize,
    singles: &Aligned,
    tables: &mut Aligned,
    total: &mut Aligned,
) {
    let singles = singles.as_slice();
    let tables = tables.as_mut_slice();
    let total = &mut total.as_mut_slice()[..size];
    total.fill(0.0);
    for (part, &offset) in parts.ranges.iter().zip(&parts.offsets) {
        let table = &mut tables[offset * size..][..size << part.len()];
        fill_part(simd, part, size, singles, table);
        add(simd, total, [&table[table.len() - size..]]);
    }
}

/// Tabulates the subsets of a part.
#[inline(always)]
pub(super) fn fill_part<S: Simd>(
    simd: S,
    part: &Range<usize>,
    size: usize,
    singles: &[f32],
    table: &mut [f32],
) {
    table[..size].fill(0.0);
    for subset in 1..1usize << part.len() {
        let (before, rest) = table.split_at_mut(subset * size);
        let without = &before[(subset & (subset - 1)) * size..][..size];
        let player = part.start + subset.trailing_zeros() as usize;
        sum(simd, &mut rest[..size], [without, &singles[player * size..][..size]]);
    }
}

/// out = Σ sources
#[inline(always)]
fn sum<S: Simd, const N: usize>(simd: S, out: &mut [f32], sources: [&[f32]; N]) {
    assert!(out.len().is_multiple_of(S::LANES) && sources.iter().all(|source| source.len() == out.len()));
    for at in (0..out.len()).step_by(S::LANES) {
        // SAFETY: at + LANES ≤ len of all, by the assertion.
        unsafe {
            let mut sum = simd.load(sources[0].as_ptr().add(at));
            for source in &sources[1..] {
                sum = simd.add(sum, simd.load(source.as_ptr().add(at)));
            }
            simd.store(out.as_mut_ptr().add(at), sum);
        }
    }
}

/// out += Σ sources
#[inline(always)]
pub(super) fn add<S: Simd, const N: usize>(simd: S, out: &mut [f32], sources: [&[f32]; N]) {
    assert!(out.len().is_multiple_of(S::LANES) && sources.iter().all(|source| source.len() == out.len()));
    for at in (0..out.len()).step_by(S::LANES) {
        // SAFETY: at + LANES ≤ len of all, by the assertion.
        unsafe {
            let mut sum = simd.load(out.as_ptr().add(at));
            for source in sources {
                sum = simd.add(sum, simd.load(source.as_ptr().add(at)));
            }
            simd.store(out.as_mut_ptr().add(at), sum);
        }
    }
}

/// What a step of a walk reads and writes.
pub(super) struct Sums<'a> {
    pub tables: &'a [f32],
    /// Over all players.
    pub total: &'a [f32],
    /// Over the leading parts.
    pub leading: &'a mut [f32],
    /// Over the absent players of the coalition: the result, and before it the last step's.
    pub absent: &'a mut [f32],
}

/// A walk over coalitions that keeps the sum over the leading parts that the next coalition shares.
pub(super) struct Walk<'a> {
    parts: &'a Parts,
    size: usize,
    /// How many parts `leading` sums,
    level: usize,
    /// and of which coalition.
    of: usize,
}

impl<'a> Walk<'a> {
    pub fn new(parts: &'a Parts, size: usize) -> Self {
        Walk { parts, size, level: 0, of: 0 }
    }

    /// Sums over the absent players of coalition `number`, whose subsets `[coalitions, parts]` are given;
    /// `mirrored`: it is the complement of the one before.
    #[inline(always)]
    pub fn step<S: Simd>(&mut self, simd: S, number: usize, mirrored: bool, subsets: &[u32], sums: Sums<'_>) {
        let Walk { parts, size, .. } = *self;
        let count = parts.ranges.len();
        let absent = &mut sums.absent[..size];
        if mirrored {
            for at in (0..size).step_by(S::LANES) {
                // SAFETY: at + LANES ≤ size, the length of both.
                unsafe {
                    let to = absent.as_mut_ptr().add(at);
                    let all = simd.load(sums.total[..size].as_ptr().add(at));
                    simd.store(to, simd.sub(all, simd.load(to)));
                }
            }
            return;
        }
        let of = |number: usize| &subsets[number * count..][..count];
        let table = |part: usize| {
            let subset = parts.offsets[part] + of(number)[part] as usize;
            &sums.tables[subset * size..][..size]
        };
        if count == 0 {
            absent.fill(0.0);
            return;
        }
        let leading = &mut sums.leading[..size];
        if of(self.of)[..self.level] != of(number)[..self.level] {
            self.level = 0;
        }
        // Parts that the next coalition shares, the last one left out.
        let next = if (number + 1) * count < subsets.len() { of(number + 1) } else { &[] };
        let shared = of(number).iter().zip(next).take(count - 1).take_while(|(a, b)| a == b).count();
        if shared > self.level {
            gather(simd, leading, shared, &table);
            self.level = shared;
            self.of = number;
        }
        match self.level {
            0 => gather(simd, absent, count, &table),
            level => {
                sum(simd, absent, [leading, table(level)]);
                // A loop, not a closure: that would be compiled without the instruction set.
                for part in level + 1..count {
                    add(simd, absent, [table(part)]);
                }
            }
        }
    }
}

/// Sums the tables of the first `count` parts, [`PASS`] at a time.
#[inline(always)]
pub(super) fn gather<'a, S: Simd>(
    simd: S,
    out: &mut [f32],
    count: usize,
    table: &impl Fn(usize) -> &'a [f32],
) {
    match count {
        1 => sum(simd, out, [table(0)]),
        2 => sum(simd, out, [table(0), table(1)]),
        3 => sum(simd, out, [table(0), table(1), table(2)]),
        _ => sum(simd, out, [table(0), table(1), table(2), table(3)]),
    }
    let mut part = PASS;
    while part < count {
        match count - part {
            1 => add(simd, out, [table(part)]),
            2 => add(simd, out, [table(part), table(part + 1)]),
            _ => add(simd, out, [table(part), table(part + 1), table(part + 2)]),
        }
        part += 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_players_once_and_stay_small() {
        for players in [0, 1, 2, 7, 20, 30, 33, 100] {
            for rows in [1, 64, 512, 1 << 20] {
                let parts = Parts::new(players, 4096, rows);
                let mut seen: Vec<usize> = parts.ranges.iter().cloned().flatten().collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..players).collect::<Vec<_>>());
                assert!(parts.subsets() * 4096 <= MOST_TABLE_BYTES.max(players * 2 * 4096));
                assert!(parts.subsets() <= rows.max(2 * players));
            }
        }
        assert_eq!(Parts::new(20, 4096, 512).ranges.len(), 4);
    }

    #[test]
    fn absent_players_across_words() {
        let words = [0x8000_0000, 0b101];
        assert_eq!(absent(&words, &(31..36)), 0b10100 & 0b11111);
        assert_eq!(absent(&words, &(0..12)), 0xfff);
        assert_eq!(absent(&words, &(32..35)), 0b010);
    }
}
