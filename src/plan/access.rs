//! What a step reads and what it writes.

use super::check::broken;
use super::{BufferId, Kernel, Operand, Plan, Step, View};
use crate::Result;

/// Elements of a buffer, per sample, that a step reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The buffer.
    pub buffer: BufferId,
    /// First element.
    pub start: usize,
    /// End of the last row.
    pub end: usize,
    /// Elements from a row to the next, 0 if the elements follow no rows;
    pub stride: usize,
    /// of these, this many from `start` on belong to the extent.
    pub channels: usize,
}

impl Extent {
    /// `rows` rows of `channels` elements.
    fn rows(view: View, rows: usize, channels: usize) -> Self {
        let end = view
            .offset
            .saturating_add(rows.saturating_sub(1).saturating_mul(view.stride))
            .saturating_add(channels);
        // A single row is contiguous whatever its stride.
        let stride = if rows <= 1 { channels } else { view.stride };
        Extent { buffer: view.buffer, start: view.offset, end, stride, channels }
    }

    /// Strided axes: one row if they visit every element from first to last.
    fn axes(view: View, shape: &[usize], strides: &[usize]) -> Self {
        let last = shape
            .iter()
            .zip(strides)
            .fold(0usize, |sum, (n, stride)| sum.saturating_add(n.saturating_sub(1).saturating_mul(*stride)));
        let span = last.saturating_add(1);
        let visited: usize =
            shape.iter().zip(strides).filter(|(_, stride)| **stride > 0).map(|(n, _)| n).product();
        let row = if visited == span { span } else { 0 };
        Extent {
            buffer: view.buffer,
            start: view.offset,
            end: view.offset.saturating_add(span),
            stride: row,
            channels: row,
        }
    }

    /// Whether every element of `other` belongs to this extent. May say no where the answer is yes.
    pub fn covers(&self, other: &Extent) -> bool {
        let within = self.buffer == other.buffer && self.start <= other.start && other.end <= self.end;
        if !within || self.stride == 0 {
            return false;
        }
        let column = (other.start - self.start) % self.stride;
        self.channels == self.stride
            || (self.stride == other.stride && column + other.channels <= self.channels)
    }

    /// Whether an element may belong to both. May say yes where the answer is no.
    pub fn overlaps(&self, other: &Extent) -> bool {
        if self.buffer != other.buffer || self.end <= other.start || other.end <= self.start {
            return false;
        }
        if self.stride != other.stride || self.stride == 0 {
            return true;
        }
        let (a, b) = (self.start % self.stride, other.start % self.stride);
        let wraps = a + self.channels > self.stride || b + other.channels > self.stride;
        wraps || (a < b + other.channels && b < a + self.channels)
    }
}

/// What a step reads, in the order of its inputs, and what it writes.
pub(crate) struct Accesses {
    /// One for each input that the kernel reads.
    pub reads: Vec<Extent>,
    /// The output.
    pub write: Extent,
}

/// What a step reads and writes.
///
/// # Errors
/// [`Error::Model`] if the step has too few inputs.
pub(crate) fn accesses(step: &Step) -> Result<Accesses> {
    let input = |index: usize| {
        step.inputs.get(index).copied().ok_or_else(|| broken(step, format!("input {index} is missing")))
    };
    let rows = |view: View, rows: usize, channels: usize| Extent::rows(view, rows, channels);
    let out = step.output;
    Ok(match &step.kernel {
        Kernel::Conv(conv) => {
            let write = rows(out, conv.sliding.output_rows(), conv.cout);
            let mut reads = vec![rows(input(0)?, conv.sliding.input_rows(), conv.cin)];
            if conv.residual {
                reads.push(rows(input(1)?, conv.sliding.output_rows(), conv.cout));
            }
            Accesses { reads, write }
        }
        Kernel::Pool(pool) => Accesses {
            reads: vec![rows(input(0)?, pool.sliding.input_rows(), pool.channels)],
            write: rows(out, pool.sliding.output_rows(), pool.channels),
        },
        Kernel::Reduce(reduce) => Accesses {
            reads: vec![rows(input(0)?, reduce.outer * reduce.len, reduce.inner)],
            write: rows(out, reduce.outer, reduce.inner),
        },
        Kernel::Map(map) => Accesses {
            reads: vec![rows(input(0)?, map.rows, map.channels)],
            write: rows(out, map.rows, map.channels),
        },
        Kernel::Affine(affine) => Accesses {
            reads: vec![rows(input(0)?, affine.rows, affine.channels)],
            write: rows(out, affine.rows, affine.channels),
        },
        Kernel::Binary(binary) => {
            let mut reads = vec![Extent::axes(input(0)?, &binary.shape, &binary.a_strides)];
            if binary.b == Operand::Input {
                reads.push(Extent::axes(input(1)?, &binary.shape, &binary.b_strides));
            }
            Accesses { reads, write: Extent::axes(out, &binary.shape, &binary.out_strides) }
        }
        Kernel::Copy(copy) => Accesses {
            reads: vec![Extent::axes(input(0)?, &copy.shape, &copy.in_strides)],
            write: Extent::axes(out, &copy.shape, &copy.out_strides),
        },
        Kernel::Fill(fill) => Accesses { reads: Vec::new(), write: rows(out, fill.rows, fill.channels) },
        Kernel::Select(select) => Accesses {
            reads: vec![rows(input(0)?, 1, select.outer * select.len * select.inner)],
            write: rows(out, 1, select.outer * select.count * select.inner),
        },
        Kernel::Embedding(embedding) => Accesses {
            reads: vec![rows(input(0)?, 1, embedding.rows)],
            write: rows(out, embedding.rows, embedding.width),
        },
        Kernel::MatMul(product) => {
            let [a, b, result] = product.shapes();
            Accesses {
                reads: vec![
                    Extent::axes(input(0)?, &a, &product.a_strides),
                    Extent::axes(input(1)?, &b, &product.b_strides),
                ],
                write: Extent::axes(out, &result, &product.out_strides),
            }
        }
        Kernel::Normalize(normalize) => Accesses {
            reads: vec![rows(input(0)?, normalize.rows(), normalize.channels())],
            write: rows(out, normalize.rows(), normalize.channels()),
        },
        Kernel::Lrn(lrn) => Accesses {
            reads: vec![rows(input(0)?, lrn.rows, lrn.channels)],
            write: rows(out, lrn.rows, lrn.channels),
        },
        Kernel::Softmax(softmax) => {
            let len = softmax.outer * softmax.len * softmax.inner;
            Accesses { reads: vec![rows(input(0)?, 1, len)], write: rows(out, 1, len) }
        }
    })
}

/// The whole input and the whole output of the plan.
pub(crate) fn ends(plan: &Plan) -> [Extent; 2] {
    [Extent::rows(plan.input, 1, plan.input_layout.len()), Extent::rows(plan.output, 1, plan.outputs)]
}
