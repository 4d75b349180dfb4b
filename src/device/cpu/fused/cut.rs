//! How a run behind a plan's head is cut, and whether it is worth it.

use super::super::memory::LINE;
use super::first::First;
use super::tables::{MOST_TABLE_BYTES, Parts};
use crate::plan::{Head, Mixture};

/// Floats of a sum over a block's background rows, where the layer is narrower: enough for what a coalition costs apart from
/// its additions not to matter, few enough for many subsets to stay in cache.
const SUM_FLOATS: usize = 1024;

/// A sum of fewer floats is not worth its making.
const LEAST_SUM_FLOATS: usize = 256;

/// Most background rows of a block.
const MOST_BLOCK_ROWS: usize = 64;

/// Fewer background rows share too little: an instance's part is made for each coalition.
const LEAST_BACKGROUND: usize = 4;

/// What a line of floats costs, in multiply-adds of the dense product's: its addition from a table, and the sum of instance
/// and background with its way to the next layer. Set so that what was slower than rows stays rows (`docs/performance.md`).
const LOOK_UP: f64 = 5.0;
const OPEN: f64 = 12.0;

/// Look-ups that making an entry of a table costs.
const FILL: f64 = 3.0;

/// What writing a feature of a row costs.
const EXPAND: f64 = 8.0;

/// Groups of rows in a tile, about.
const TILE_GROUPS: usize = 16;

/// Bytes of a stretch's means and of the instances' parts, at most (but for a single coalition).
const STRETCH_BYTES: usize = 16 << 20;

/// Bytes of its tables, at most (but for a single block).
pub(super) const STRETCH_TABLE_BYTES: u64 = 16 << 20;

/// Multiply-adds of its coalitions, about, so that answers come now and then.
const STRETCH_MACS: u64 = 1 << 36;

/// What a run is asked.
#[derive(Clone, Copy)]
pub(in super::super) struct Asked<'a> {
    pub mixture: &'a Mixture,
    /// Answers that are asked for.
    pub outputs: usize,
    /// Multiply-adds of a row.
    pub macs: u64,
}

/// How a run is cut. It depends on the run's sizes and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Background rows of a block, at most.
    pub rows: usize,
    /// Coalitions of a stretch, at most.
    pub coalitions: usize,
}

impl Asked<'_> {
    /// Whether the rows are the head's.
    pub fn fits(&self, head: &Head) -> bool {
        self.mixture.suits(head.layer.inputs) && self.outputs > 0
    }

    /// Bytes of what the instances add, player by player.
    pub fn first_bytes(&self, head: &Head) -> u64 {
        First::bytes(self.mixture, stride(head.layer.outputs))
    }

    /// Whether this form is worth it: enough background rows share an instance's part, tables stay in cache, and additions from
    /// there take less than making rows of features and multiplying them.
    pub fn pays(&self, head: &Head) -> bool {
        let (mixture, width) = (self.mixture, head.layer.outputs);
        let cut = self.cut(width);
        let lines = width.div_ceil(LINE) as f64;
        let parts = Parts::new(mixture.player_count, sum_bytes(cut.rows, width), cut.coalitions);
        // A tile has a few instances' rows.
        let shared = mixture.instance_rows().clamp(1, TILE_GROUPS) as f64;
        let look_ups = parts.ranges.len() as f64 + FILL * parts.subsets() as f64 / cut.coalitions as f64;
        let sums = lines * (LOOK_UP * look_ups / shared + OPEN);
        let rows = mixture.features as f64 * (lines + EXPAND);
        mixture.background_rows() >= LEAST_BACKGROUND
            && table_bytes(cut.rows, width, mixture.player_count) <= MOST_TABLE_BYTES
            && sums < rows
    }

    /// For a layer of `width` outputs.
    pub(super) fn cut(&self, width: usize) -> Cut {
        let Asked { mixture, macs, .. } = *self;
        let (background, instances) = (mixture.background_rows().max(1), mixture.instance_rows().max(1));
        let most = (SUM_FLOATS / width.max(1)).clamp(1, MOST_BLOCK_ROWS);
        // As many blocks as needed, none nearly empty.
        let mut rows = background.div_ceil(background.div_ceil(most));
        while table_bytes(rows, width, mixture.player_count) > MOST_TABLE_BYTES
            && rows / 2 * width >= LEAST_SUM_FLOATS
        {
            rows = rows.div_ceil(2);
        }
        let by_bytes = STRETCH_BYTES / self.coalition_bytes(width).max(1);
        let coalition_macs = macs.max(1).saturating_mul((instances * background) as u64);
        let by_work = usize::try_from(STRETCH_MACS / coalition_macs).unwrap_or(usize::MAX);
        Cut { rows, coalitions: by_bytes.min(by_work).clamp(1, mixture.coalitions().max(1)) }
    }

    /// Bytes of a coalition's means and of what the instances add to it.
    pub(super) fn coalition_bytes(&self, width: usize) -> usize {
        let group = stride(width) * size_of::<f32>() + self.outputs * size_of::<f64>();
        group * self.mixture.instance_rows()
    }
}

/// Floats of an instance's sum: whole lines.
pub(super) fn stride(width: usize) -> usize {
    width.next_multiple_of(LINE)
}

/// Floats of a sum over `rows` background rows: `[rows, width]`, and up to a whole line.
pub(super) fn sum_floats(rows: usize, width: usize) -> usize {
    (rows * width).next_multiple_of(LINE)
}

pub(super) fn sum_bytes(rows: usize, width: usize) -> usize {
    sum_floats(rows, width) * size_of::<f32>()
}

/// Bytes of the smallest tables worth the name: of pairs of players.
fn table_bytes(rows: usize, width: usize, players: usize) -> usize {
    2 * players * sum_bytes(rows, width)
}

#[cfg(test)]
mod tests {
    use super::super::head::tests::mixture;
    use super::*;
    use crate::model::Activation;
    use crate::plan::Dense;

    #[test]
    fn rows_stay_where_sums_cost_more() {
        let pays = |players, instances, background, width, coalitions| {
            let masks = vec![0; coalitions * usize::div_ceil(players, 32)];
            let mixture = mixture(players, instances, background, &masks);
            let layer = Dense {
                inputs: players,
                outputs: width,
                weight: vec![0.0; players * width].into(),
                bias: vec![0.0; width],
                activation: Activation::Relu,
            };
            let head = Head::alone(layer);
            Asked { mixture: &mixture, outputs: 2, macs: 10_000 }.pays(&head)
        };
        assert!(pays(30, 1, 100, 64, 2048) && pays(30, 50, 100, 64, 2048) && pays(300, 1, 100, 64, 512));
        // Few background rows, few coalitions, a wide layer of few features; many instances make up for it.
        assert!(!pays(30, 1, 3, 64, 2048) && !pays(30, 1, 100, 64, 64) && !pays(60, 1, 100, 512, 128));
        assert!(pays(30, 20, 100, 1024, 16) && !pays(30, 1, 100, 1024, 64));
    }

    #[test]
    fn blocks_suit_the_cache_and_the_clock() {
        let masks = vec![0; 5000];
        let cut = |players, instances, background, width, macs| {
            Asked { mixture: &mixture(players, instances, background, &masks), outputs: 2, macs }.cut(width)
        };
        // 100 rows in seven blocks; instances' parts of 16 MiB.
        assert_eq!(cut(30, 1, 100, 64, 10_000), Cut { rows: 15, coalitions: 5000 });
        assert_eq!(cut(30, 50, 100, 64, 10_000), Cut { rows: 15, coalitions: 1233 });
        // A wide layer, many players, a narrow one.
        assert_eq!(cut(30, 1, 100, 512, 10_000).rows, 2);
        assert_eq!(cut(32, 1, 100, 4096, 10_000).rows, 1);
        assert_eq!(cut(32, 1, 3, 8, 10_000).rows, 3);
        // Answers come now and then, however large the network is.
        assert_eq!(cut(30, 1, 100, 64, 1 << 24).coalitions, 40);
        assert_eq!(cut(30, 50, 100, 64, u64::MAX).coalitions, 1);
    }
}
