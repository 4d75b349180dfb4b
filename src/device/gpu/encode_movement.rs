//! The dispatches of kernels that move data, and of products of two activations.

use bytemuck::bytes_of;

use super::encode::{Encoded, Encoder, word, words};
use super::grid::{grid, grid_of_threads};
use super::select::Tile;
use super::source::Permutation;
use super::uniforms::{EmbeddingParams, FillParams, MatMulParams, SelectParams};
use crate::plan::{Embedding, Fill, MatMul, Select, Step};

fn plain(shader: &'static str) -> Permutation {
    Permutation { shader, defines: &[] }
}

impl Encoder<'_> {
    pub(super) fn fill(&self, step: &Step, fill: &Fill) -> Encoded {
        let total = word(self.rows * fill.rows * fill.channels);
        let grid = grid_of_threads(total, self.caps.grid_groups);
        let to = self.place(step.output);
        let params = FillParams {
            total,
            groups_x: grid[0],
            rows: word(fill.rows),
            channels: word(fill.channels),
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            pad: 0,
        };
        (plain("fill"), bytes_of(&params).to_vec(), grid)
    }

    pub(super) fn select(&self, step: &Step, select: &Select) -> Encoded {
        let Select { outer, len, inner, count, fill, .. } = *select;
        let total = word(self.rows * outer * count * inner);
        let grid = grid_of_threads(total, self.caps.grid_groups);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let params = SelectParams {
            total,
            groups_x: grid[0],
            outer: word(outer),
            len: word(len),
            inner: word(inner),
            count: word(count),
            in_base: from.base,
            in_sample: from.sample,
            out_base: to.base,
            out_sample: to.sample,
            fill,
            pad: 0,
        };
        (plain("select"), bytes_of(&params).to_vec(), grid)
    }

    pub(super) fn embedding(&self, step: &Step, embedding: &Embedding) -> Encoded {
        let Embedding { rows, vocabulary, width, .. } = *embedding;
        let total = word(self.rows * rows * width);
        let grid = grid_of_threads(total, self.caps.grid_groups);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let params = EmbeddingParams {
            total,
            groups_x: grid[0],
            rows: word(rows),
            width: word(width),
            vocabulary: word(vocabulary),
            in_base: from.base,
            in_sample: from.sample,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
        };
        (plain("embedding"), bytes_of(&params).to_vec(), grid)
    }

    pub(super) fn matmul(&self, step: &Step, product: &MatMul) -> Encoded {
        let MatMul { batch, m, k, n, a_strides, b_strides, out_strides } = *product;
        let (a, b) = (self.place(step.inputs[0]), self.place(step.inputs[1]));
        let to = self.place(step.output);
        let registers = self.tile.map_or(self.caps.software, |tile| tile == Tile::Registers);
        let side = if registers { 4 } else { 32 };
        let (tiles_i, tiles_j) = (m.div_ceil(side), n.div_ceil(side));
        let total = word(self.rows * batch[0] * batch[1] * tiles_i * tiles_j);
        let most = self.caps.grid_groups;
        let grid = if registers { grid_of_threads(total, most) } else { grid(total, most) };
        let params = MatMulParams {
            a_strides: words(a_strides),
            b_strides: words(b_strides),
            out_strides: words(out_strides),
            total,
            groups_x: grid[0],
            batch_p: word(batch[0]),
            batch_q: word(batch[1]),
            m: word(m),
            k: word(k),
            n: word(n),
            tiles_i: word(tiles_i),
            tiles_j: word(tiles_j),
            a_base: a.base,
            a_sample: a.sample,
            b_base: b.base,
            b_sample: b.sample,
            out_base: to.base,
            out_sample: to.sample,
            pad: 0,
        };
        let defines: &'static [&'static str] = if registers { &["REGISTERS"] } else { &[] };
        (Permutation { shader: "matmul", defines }, bytes_of(&params).to_vec(), grid)
    }
}
