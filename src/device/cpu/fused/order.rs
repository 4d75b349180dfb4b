//! The order of a stretch's rows.

use std::ops::Range;

/// How the rows of a stretch follow each other.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Order {
    /// Coalitions × instances.
    pub groups: usize,
    /// Background rows of the stretch,
    pub background: usize,
    /// and of a block; the last one may have fewer.
    pub block: usize,
}

/// The rows of a stretch that lie in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Piece {
    /// The block.
    pub block: usize,
    /// First row of the block in the stretch,
    pub first: usize,
    /// and these rows from there on: row `g · background.len() + b` is background row `background.start + b` of the stretch in
    /// group g.
    pub rows: Range<usize>,
    /// The block's background rows in the stretch.
    pub background: Range<usize>,
}

impl Order {
    /// Rows of the stretch.
    pub fn len(self) -> usize {
        self.groups * self.background
    }

    /// The background rows of a block.
    pub fn background_of(self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.background)
    }

    /// The groups between the first and the last that some rows belong to.
    pub fn groups_of(self, rows: Range<usize>) -> Range<usize> {
        let (mut start, mut end) = (self.groups, 0);
        for piece in self.pieces(rows) {
            let each = piece.background.len();
            start = start.min(piece.rows.start / each);
            end = end.max(piece.rows.end.div_ceil(each));
        }
        start.min(end)..end
    }

    /// Some rows, block by block.
    pub fn pieces(self, rows: Range<usize>) -> impl Iterator<Item = Piece> {
        let block_rows = self.groups * self.block;
        (rows.start / block_rows..rows.end.div_ceil(block_rows)).map(move |block| {
            let (first, background) = (block * block_rows, self.background_of(block));
            let end = (first + self.groups * background.len()).min(rows.end);
            Piece { block, first, rows: rows.start.max(first) - first..end - first, background }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_rows_in_order() {
        // Three groups of 5 background rows, in blocks of 2, 2 and 1.
        let order = Order { groups: 3, background: 5, block: 2 };
        let piece = |block, first, rows, background| Piece { block, first, rows, background };
        let found: Vec<Piece> = order.pieces(0..15).collect();
        assert_eq!(found, [piece(0, 0, 0..6, 0..2), piece(1, 6, 0..6, 2..4), piece(2, 12, 0..3, 4..5)]);
        assert_eq!(
            order.pieces(4..7).collect::<Vec<_>>(),
            [piece(0, 0, 4..6, 0..2), piece(1, 6, 0..1, 2..4)]
        );
        assert_eq!(
            [order.groups_of(2..4), order.groups_of(4..7), order.groups_of(13..15)],
            [1..2, 0..3, 1..3]
        );
        assert_eq!(order.pieces(13..15).collect::<Vec<_>>(), [piece(2, 12, 1..3, 4..5)]);
    }
}
