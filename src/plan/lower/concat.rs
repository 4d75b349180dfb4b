//! Values side by side: parts of one matrix where their makers can write in place, and where earlier ones left them.

use super::layout::position;
use super::{Lowering, Matrix, Stored};
use crate::model::{self, Node};
use crate::plan::{Kernel, Map};

impl Lowering<'_> {
    pub(super) fn concat(&mut self, node: &Node, shape: Vec<usize>, axis: usize) -> Stored {
        let inputs: Vec<Stored> = node.inputs.iter().map(|id| self.stored[id].clone()).collect();
        let inputs: Vec<Stored> = inputs.iter().map(|input| self.unflattened(input)).collect();
        let order = inputs[0].order.clone();
        let inputs: Vec<Stored> = inputs.iter().map(|input| self.in_order(input, &order)).collect();
        let output = self.store(&shape, order.clone());
        // As matrices: rows before the axis, channels from it on.
        let at = position(&order, axis);
        let rows: usize = order[..at].iter().map(|&axis| shape[axis]).product();
        let inner: usize = order[at + 1..].iter().map(|&axis| shape[axis]).product();
        let matrix = &mut self.matrices[output.matrix];
        (matrix.rows, matrix.channels) = (rows, shape[axis] * inner);
        let mut offset = 0;
        // What reads the whole must come after the last part is written, and that need not be the last input.
        let mut last = None;
        let grown = self.grown(&inputs, axis, rows, inner);
        if let Some((whole, parts)) = grown {
            self.matrices[whole].part_of = Some((output.matrix, 0));
            last = self.matrices[whole].writer;
            offset = inputs[..parts].iter().map(|input| input.shape[axis] * inner).sum();
        }
        for input in &inputs[grown.map_or(0, |(_, parts)| parts)..] {
            let channels = input.shape[axis] * inner;
            let part = &self.matrices[input.matrix];
            let movable = part.part_of.is_none()
                && !part.pinned
                && part.writer.is_some()
                && part.rows == rows
                && part.channels == channels;
            if movable {
                self.matrices[input.matrix].part_of = Some((output.matrix, offset));
                last = last.max(self.matrices[input.matrix].writer);
            } else {
                let piece = self.matrices.len();
                self.matrices.push(Matrix {
                    rows,
                    channels,
                    part_of: Some((output.matrix, offset)),
                    pinned: false,
                    writer: None,
                });
                let source = self.as_matrix(input.matrix, rows, channels);
                let kernel = Kernel::Map(Map { rows, channels, activation: model::Activation::Identity });
                self.step(&node.name, kernel, &[source], piece, 0);
                last = last.max(self.matrices[piece].writer);
            }
            offset += channels;
        }
        self.matrices[output.matrix].writer = last;
        output
    }

    /// The matrix that the first inputs already are the parts of, side by side in this order, and how many they are: a
    /// dense block's features grow by one piece a layer, and stay where they lie.
    fn grown(&self, inputs: &[Stored], axis: usize, rows: usize, inner: usize) -> Option<(usize, usize)> {
        let (whole, _) = self.root(inputs.first()?.matrix);
        let free = &self.matrices[whole];
        if free.pinned || free.writer.is_none() || free.rows != rows {
            return None;
        }
        let mut offset = 0;
        for (at, input) in inputs.iter().enumerate() {
            let (part, channels) = (&self.matrices[input.matrix], input.shape[axis] * inner);
            let fits = part.rows == rows && part.channels == channels && !part.pinned;
            if !fits || self.root(input.matrix) != (whole, offset) {
                return None;
            }
            offset += channels;
            if offset == free.channels {
                return Some((whole, at + 1));
            }
        }
        None
    }
}
