//! Kernels that move data, and the product of two activations.

use super::WeightId;

/// A constant, the same for every sample: `out[r, c] = value[r, c]`. It reads no activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Rows per sample.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// `[rows, channels]`
    pub value: WeightId,
}

/// Entries of the middle axis of a contiguous sample `[outer, len, inner]`, picked by a table:
/// `out[o, i, c] = in[o, indices[i], c]`, or `fill` where the index is −1. The output `[outer, count, inner]` is
/// contiguous, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Select {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the axis in the input.
    pub len: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Length of the axis in the output.
    pub count: usize,
    /// `[count]`: whole numbers from −1 to below `len`.
    pub indices: WeightId,
    /// What stands where nothing is picked.
    pub fill: f32,
}

/// Rows of a table by number: `out[r, c] = table[in[r], c]`. The input is contiguous; numbers outside the table are
/// refused before a run ([`InputLayout::check_ids`](super::InputLayout::check_ids)), and never read outside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedding {
    /// Numbers per sample.
    pub rows: usize,
    /// Rows of the table.
    pub vocabulary: usize,
    /// Columns of the table.
    pub width: usize,
    /// `[vocabulary, width]`
    pub table: WeightId,
}

/// Products of two activations: `out[p, q, i, j] = Σ_k a[p, q, i, k] · b[p, q, k, j]`.
///
/// Element (p, q, i, j) of an operand lies at `offset + p · s₀ + q · s₁ + i · s₂ + j · s₃`; a stride of 0 repeats. The last
/// stride of `a` and of the output is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatMul {
    /// Number of products: p and q.
    pub batch: [usize; 2],
    /// Rows of `a` and of the output.
    pub m: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Columns of `b` and of the output.
    pub n: usize,
    /// Strides of the step's first input (p, q, i, k).
    pub a_strides: [usize; 4],
    /// Strides of the step's second input (p, q, k, j).
    pub b_strides: [usize; 4],
    /// Strides of the output (p, q, i, j).
    pub out_strides: [usize; 4],
}

impl MatMul {
    /// Lengths of the axes of `a`, `b` and the output.
    pub fn shapes(&self) -> [[usize; 4]; 3] {
        let [p, q] = self.batch;
        [[p, q, self.m, self.k], [p, q, self.k, self.n], [p, q, self.m, self.n]]
    }
}
