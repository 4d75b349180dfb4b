//! The first layer of rows that mix instances and background, where the rest of a network is not a small chain.
//!
//! As in the chain's form, `h(z, b) = c + Σ_{q ∈ z} W_q x_q + Σ_{q ∉ z} W_q b_q`. What an instance adds under a coalition is
//! computed once for all background rows. These are cut into *blocks*, so few rows that tables of the sums over subsets of players
//! (`tables`) stay in a core's cache; what a block adds under a coalition comes from there, or from the complement before it,
//! and serves all instances. A row of the layer is the sum of one and the other under the activation; the plan's other steps
//! take it from there.
//!
//! A *stretch* is some coalitions with all instances, and as many blocks as keep all threads busy. Its rows are ordered by block,
//! coalition, instance and background row.
//!
//! **Reproducibility.** A coalition's sums depend on the run alone: on the parts that its players are cut into, and on whether
//! it is the complement of the one before; not on stretches, tiles or threads.

use std::ops::Range;

use rayon::prelude::*;

use super::super::memory::{Aligned, LINE, Rows};
use super::super::simd::{Job, Level, Simd};
use super::cut::{Asked, Cut, STRETCH_TABLE_BYTES, stride, sum_bytes, sum_floats};
use super::first::First;
use super::order::{Order, Piece};
use super::tables::{self, Parts};
use crate::model::Activation;
use crate::plan::{Dense, Head};

/// A run's constants.
pub(in super::super) struct Opening<'a> {
    head: &'a Head,
    pub asked: Asked<'a>,
    level: Level,
    cut: Cut,
    parts: Parts,
    first: First,
    /// Of each coalition, whether it is taken as the complement of the one before, which is not.
    mirrored: Vec<bool>,
}

/// Memory of stretches, for the next ones.
#[derive(Default)]
pub(in super::super) struct HeadMemory {
    /// Sums of a stretch's answers: `[coalitions, instances, outputs]`.
    pub sums: Vec<f64>,
    /// What the instances add: `[coalitions, instances, stride]`.
    present: Aligned,
    /// Background rows behind their features' own functions: `[rows, features]`.
    background: Vec<f32>,
    /// What each absent player adds: `[blocks, players, sum]`.
    singles: Aligned,
    /// Sums over the subsets of each part: `[blocks, subsets of all parts, sum]`.
    tables: Aligned,
    /// Sums over all players: `[blocks, sum]`,
    total: Aligned,
    /// and whether all of them are numbers: of an infinite sum no complement is left.
    finite: Vec<bool>,
}

impl HeadMemory {
    /// Floats that it holds.
    pub fn floats(&self) -> usize {
        let lines = [&self.present, &self.singles, &self.tables, &self.total];
        2 * self.sums.capacity()
            + self.background.capacity()
            + lines.iter().map(|memory| memory.len()).sum::<usize>()
    }
}

impl<'a> Opening<'a> {
    /// Prepares a run that [`fits`](Asked::fits).
    pub fn new(level: Level, head: &'a Head, asked: Asked<'a>) -> Self {
        let (mixture, width) = (asked.mixture, head.layer.outputs);
        let cut = asked.cut(width);
        let parts = Parts::new(mixture.player_count, sum_bytes(cut.rows, width), cut.coalitions);
        let first = First::new(&head.layer, |row| head.prepare(row), mixture, stride(width));
        // A single part's table has the complement itself.
        let mirrored = match parts.ranges.len() {
            0 | 1 => vec![false; mixture.coalitions()],
            _ => mixture.mirrored(),
        };
        Opening { head, asked, level, cut, parts, first, mirrored }
    }

    /// Coalitions of a stretch if its means and the instances' parts take at most so many bytes; at least one.
    pub fn coalitions(&self, most_bytes: u64) -> usize {
        let fitting = most_bytes / (self.asked.coalition_bytes(self.head.layer.outputs) as u64).max(1);
        self.cut.coalitions.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
    }

    /// Background rows of a stretch if its tables take at most so many bytes: whole blocks, at least one.
    pub fn background_rows(&self, most_bytes: u64) -> usize {
        let fitting = most_bytes.min(STRETCH_TABLE_BYTES) / (self.block_floats() * size_of::<f32>()) as u64;
        let blocks = self.asked.mixture.background_rows().div_ceil(self.cut.rows);
        self.cut.rows * blocks.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
    }

    /// Floats of a block's sums.
    fn block_floats(&self) -> usize {
        let sums = self.parts.subsets() + self.asked.mixture.player_count + 1;
        sums * sum_floats(self.cut.rows, self.head.layer.outputs)
    }

    /// Bytes for stretches of so many coalitions and background rows, the run's constants and the threads' own sums.
    pub fn bytes(&self, coalitions: usize, background: usize, threads: usize) -> u64 {
        let Opening { head, asked, cut, first, mirrored, .. } = self;
        let width = head.layer.outputs;
        let floats = background.div_ceil(cut.rows) * self.block_floats()
            + threads * sum_floats(cut.rows, width)
            + background * asked.mixture.features
            + first.always.len()
            + first.present.len();
        (floats * size_of::<f32>() + mirrored.len() + coalitions * asked.coalition_bytes(width)) as u64
    }

    /// Computes what the instances add under some coalitions.
    pub fn meet(&self, coalitions: Range<usize>, memory: &mut HeadMemory) {
        let stride = stride(self.head.layer.outputs);
        let coalition_floats = self.asked.mixture.instance_rows() * stride;
        memory.present.reserve(coalitions.len() * coalition_floats);
        let present = &mut memory.present.as_mut_slice()[..coalitions.len() * coalition_floats];
        let sums = present.par_chunks_exact_mut(coalition_floats).zip(coalitions);
        sums.with_min_len(16).for_each(|(sums, coalition)| {
            self.level.run(Meeting { opening: self, coalition, stride, sums });
        });
    }

    /// Tabulates what some background rows add: a stretch of the coalitions that [`meet`](Opening::meet) has seen last.
    pub fn tabulate<'m>(
        &'m self,
        coalitions: Range<usize>,
        background: Range<usize>,
        memory: &'m mut HeadMemory,
    ) -> Opened<'m> {
        let Opening { head, asked: Asked { mixture, .. }, level, cut, parts, first, .. } = self;
        let HeadMemory { present, background: rows, singles, tables, total, finite, .. } = memory;
        let (features, players) = (mixture.features, mixture.player_count);
        rows.clear();
        rows.extend_from_slice(&mixture.background[background.start * features..background.end * features]);
        rows.chunks_exact_mut(features).for_each(|row| head.prepare(row));

        let order = Order {
            groups: coalitions.len() * mixture.instance_rows(),
            background: background.len(),
            block: cut.rows,
        };
        let blocks = background.len().div_ceil(cut.rows);
        let size = sum_floats(cut.rows, head.layer.outputs);
        singles.reserve(blocks * players * size);
        tables.reserve(blocks * parts.subsets() * size);
        total.reserve(blocks * size);
        let singles = &mut singles.as_mut_slice()[..blocks * players * size];
        singles.par_chunks_exact_mut(size).enumerate().for_each(|(at, sums)| {
            let Range { start, end } = order.background_of(at / players);
            let block = &rows[start * features..end * features];
            level.run(Single { layer: &head.layer, features: &first.features[at % players], block, sums });
        });
        let mut rest = &mut tables.as_mut_slice()[..blocks * parts.subsets() * size];
        let mut pieces = Vec::with_capacity(blocks * parts.ranges.len());
        for block in 0..blocks {
            let singles = &singles[block * players * size..][..players * size];
            for part in &parts.ranges {
                let (table, behind) = std::mem::take(&mut rest).split_at_mut(size << part.len());
                pieces.push(Part { part, size, singles, table });
                rest = behind;
            }
        }
        pieces.into_par_iter().for_each(|part| level.run(part));
        let tables = &tables.as_slice()[..blocks * parts.subsets() * size];
        let total = &mut total.as_mut_slice()[..blocks * size];
        finite.clear();
        for (block, total) in total.chunks_exact_mut(size).enumerate() {
            let tables = &tables[block * parts.subsets() * size..];
            level.run(Total { parts, tables, total });
            finite.push(total.iter().all(|sum| sum.is_finite()));
        }
        Opened { opening: self, coalitions, order, size, present: present.as_slice(), tables, total, finite }
    }
}

/// Adds up what the instances add under a coalition.
struct Meeting<'a> {
    opening: &'a Opening<'a>,
    coalition: usize,
    stride: usize,
    /// `[instances, stride]`
    sums: &'a mut [f32],
}

impl Job for Meeting<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Meeting { opening, coalition, stride, sums } = self;
        let Opening { first, asked: Asked { mixture, .. }, .. } = opening;
        sums.copy_from_slice(&first.always);
        let players = mixture.player_count;
        for player in 0..players {
            if mixture.contains(coalition, player as u32) {
                for (instance, sum) in sums.chunks_exact_mut(stride).enumerate() {
                    let more = &first.present[(instance * players + player) * stride..][..stride];
                    tables::add(simd, sum, [more]);
                }
            }
        }
    }
}

/// Computes what a player adds to each background row where it is absent.
struct Single<'a> {
    layer: &'a Dense,
    features: &'a [usize],
    /// `[rows, features]`
    block: &'a [f32],
    /// `[rows, width]`, and up to a whole line.
    sums: &'a mut [f32],
}

impl Job for Single<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Single { layer, features, block, sums } = self;
        let width = layer.outputs;
        sums.fill(0.0);
        for (row, sums) in block.chunks_exact(layer.inputs).zip(sums.chunks_exact_mut(width)) {
            for &feature in features {
                let weights = &layer.weight[feature * width..][..width];
                let x = simd.splat(row[feature]);
                for at in (0..width).step_by(S::LANES) {
                    // SAFETY: width − at floats are left of both.
                    unsafe {
                        let to = sums.as_mut_ptr().add(at);
                        let weight = simd.load_upto(weights.as_ptr().add(at), width - at);
                        let sum = simd.mul_add(x, weight, simd.load_upto(to, width - at));
                        simd.store_upto(to, sum, width - at);
                    }
                }
            }
        }
    }
}

struct Part<'a> {
    part: &'a Range<usize>,
    size: usize,
    singles: &'a [f32],
    table: &'a mut [f32],
}

impl Job for Part<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        tables::fill_part(simd, self.part, self.size, self.singles, self.table);
    }
}

struct Total<'a> {
    parts: &'a Parts,
    tables: &'a [f32],
    total: &'a mut [f32],
}

impl Job for Total<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Total { parts, tables, total } = self;
        let size = total.len();
        total.fill(0.0);
        for (part, &offset) in parts.ranges.iter().zip(&parts.offsets) {
            let all = offset + (1 << part.len()) - 1;
            tables::add(simd, total, [&tables[all * size..][..size]]);
        }
    }
}

/// A stretch whose rows can be written.
pub(in super::super) struct Opened<'a> {
    opening: &'a Opening<'a>,
    coalitions: Range<usize>,
    pub order: Order,
    /// Floats of a sum.
    size: usize,
    present: &'a [f32],
    tables: &'a [f32],
    total: &'a [f32],
    finite: &'a [bool],
}

impl Opened<'_> {
    /// The plan's head.
    pub fn head(&self) -> &Head {
        self.opening.head
    }

    /// Writes the layer's outputs of some rows.
    ///
    /// # Safety
    /// `to` has a sample for each of them whose row 0 is valid for writes of the layer's outputs, which nothing else touches.
    pub unsafe fn write(&self, rows: Range<usize>, to: Rows, scratch: &mut Aligned) {
        scratch.reserve(self.size);
        let absent = &mut scratch.as_mut_slice()[..self.size];
        self.opening.level.run(Writing { opened: self, rows, to, absent });
    }
}

struct Writing<'a> {
    opened: &'a Opened<'a>,
    rows: Range<usize>,
    to: Rows,
    /// What the background adds under the coalition at hand.
    absent: &'a mut [f32],
}

impl Job for Writing<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Writing { opened, rows, to, absent } = self;
        let mut sample = 0;
        for piece in opened.order.pieces(rows) {
            // SAFETY: the pieces are the rows in their order.
            unsafe {
                let to = Rows { base: to.row(sample, 0), ..to };
                opened.write_piece(simd, &piece, to, absent);
            }
            sample += piece.rows.len();
        }
    }
}

impl Opened<'_> {
    /// Writes rows of one block.
    ///
    /// # Safety
    /// As [`write`](Opened::write).
    #[inline(always)]
    unsafe fn write_piece<S: Simd>(&self, simd: S, piece: &Piece, to: Rows, absent: &mut [f32]) {
        let layer = &self.opening.head.layer;
        let (width, stride) = (layer.outputs, stride(layer.outputs));
        let instances = self.opening.asked.mixture.instance_rows();
        let (rows, Range { start, end }) = (piece.background.len(), piece.rows.clone());
        // The coalition whose sums are at hand, and of which background rows.
        let mut at_hand: Option<(usize, Range<usize>)> = None;
        let mut at = start;
        while at < end {
            let (group, row) = (at / rows, at % rows);
            let stop = end.min((group + 1) * rows);
            let number = group / instances;
            let coalition = self.coalitions.start + number;
            if at_hand.as_ref().is_none_or(|(known, _)| *known != coalition) {
                // Another instance, if there is one, needs the sums of other rows.
                let alone = end.min((number + 1) * instances * rows) <= stop;
                let wanted = if alone { row..row + (stop - at) } else { 0..rows };
                self.sum_up(simd, piece.block, coalition, &wanted, at_hand, absent);
                at_hand = Some((coalition, wanted));
            }
            let present = &self.present[group * stride..][..stride];
            let absent = &absent[row * width..][..(stop - at) * width];
            // SAFETY: samples at − start …, by the caller's promise.
            unsafe {
                let to = Rows { base: to.row(at - start, 0), ..to };
                match layer.activation {
                    // The usual one, without asking for every vector which one it is.
                    Activation::Relu => open(simd, layer, Activation::Relu, present, absent, to),
                    activation => open(simd, layer, activation, present, absent, to),
                }
            }
            at = stop;
        }
    }

    /// Sums over a coalition's absent players, for the background rows `wanted` of a block. `at_hand` is the coalition whose
    /// sums `absent` has, and for which rows.
    #[inline(always)]
    fn sum_up<S: Simd>(
        &self,
        simd: S,
        block: usize,
        coalition: usize,
        wanted: &Range<usize>,
        at_hand: Option<(usize, Range<usize>)>,
        absent: &mut [f32],
    ) {
        let width = self.opening.head.layer.outputs;
        // Whole lines.
        let floats = wanted.start * width / LINE * LINE..(wanted.end * width).next_multiple_of(LINE);
        let absent = &mut absent[floats.clone()];
        if !(self.opening.mirrored[coalition] && self.finite[block]) {
            self.look_up(simd, block, coalition, floats, absent);
            return;
        }
        let before = coalition - 1;
        let known = at_hand.is_some_and(|(coalition, rows)| {
            coalition == before && rows.start <= wanted.start && wanted.end <= rows.end
        });
        if !known {
            self.look_up(simd, block, before, floats.clone(), absent);
        }
        let total = &self.total[block * self.size..][floats];
        for at in (0..absent.len()).step_by(S::LANES) {
            // SAFETY: whole lines of both, which are whole vectors.
            unsafe {
                let to = absent.as_mut_ptr().add(at);
                simd.store(to, simd.sub(simd.load(total.as_ptr().add(at)), simd.load(to)));
            }
        }
    }

    /// The same from the tables.
    #[inline(always)]
    fn look_up<S: Simd>(
        &self,
        simd: S,
        block: usize,
        coalition: usize,
        floats: Range<usize>,
        absent: &mut [f32],
    ) {
        let Opening { parts, asked: Asked { mixture, .. }, .. } = self.opening;
        if parts.ranges.is_empty() {
            absent.fill(0.0);
            return;
        }
        let words = &mixture.masks[coalition * mixture.words_per_row..][..mixture.words_per_row];
        let tables = &self.tables[block * parts.subsets() * self.size..];
        let table = |part: usize| {
            let subset = parts.offsets[part] + tables::absent(words, &parts.ranges[part]) as usize;
            &tables[subset * self.size..][floats.clone()]
        };
        tables::gather(simd, absent, parts.ranges.len(), &table);
    }
}

/// Adds instance and background, row by row, and applies the activation.
///
/// # Safety
/// `to` has a sample for each row of `absent`, whose row 0 is valid for writes of the layer's outputs.
#[inline(always)]
unsafe fn open<S: Simd>(
    simd: S,
    layer: &Dense,
    activation: Activation,
    present: &[f32],
    absent: &[f32],
    to: Rows,
) {
    let width = layer.outputs;
    assert!(present.len() >= width);
    for (sample, absent) in absent.chunks_exact(width).enumerate() {
        // SAFETY: width − at floats are left of each.
        unsafe {
            let to = to.row(sample, 0);
            for at in (0..width).step_by(S::LANES) {
                let left = width - at;
                let (a, b) = (absent.as_ptr().add(at), present.as_ptr().add(at));
                let sum = simd.add(simd.load_upto(a, left), simd.load_upto(b, left));
                simd.store_upto(to.add(at), simd.activate(activation, sum), left);
            }
            simd.finish(activation, to, width);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::plan::Mixture;

    pub fn mixture(players: usize, instances: usize, background: usize, masks: &[u32]) -> Mixture {
        Mixture {
            features: players,
            instances: vec![1.0; instances * players].into(),
            background: vec![2.0; background * players].into(),
            players: (0..players as u32).collect(),
            player_count: players,
            masks: masks.into(),
            words_per_row: players.div_ceil(32),
        }
    }

    #[test]
    fn complements_follow_what_is_none() {
        let masks = [0b001, 0b110, 0b001, 0b110, 0b111, 0b101, 0b010, 0b101, 0b1010];
        let found = mixture(3, 1, 1, &masks).mirrored();
        assert_eq!(found, [false, true, false, true, false, false, true, false, true]);
        let found = mixture(33, 1, 1, &[5, 0, !5, 1, !5, 0]).mirrored();
        assert_eq!(found, [false, true, false]);
        assert_eq!(mixture(33, 1, 1, &[5, 0, !5, 0]).mirrored(), [false, false]);
    }
}
