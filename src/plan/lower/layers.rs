//! Layers with weights, and reductions.

use super::layout::{last_first, memory_to_logical, position, space};
use super::pack::transposed;
use super::{Lowering, Stored};
use crate::model::{self, Node, Tensor};
use crate::plan::{Conv, Kernel, Reduce, Sliding};

impl Lowering<'_> {
    #[allow(clippy::too_many_arguments, reason = "the operator's own parts")]
    pub(super) fn conv(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        weight: &Tensor,
        bias: Option<&Tensor>,
        window: model::Window,
        groups: usize,
    ) -> Stored {
        let input = self.channels_last(input);
        let output = self.store(&shape, last_first(shape.len()));
        let (cin, cout) = (input.shape[0], shape[0]);
        let sliding = Sliding { input: space(&input.shape), output: space(&shape), window };
        let taps = window.kernel[0] * window.kernel[1];
        let (group_in, group_out) = (cin / groups, cout / groups);
        // Taps before channels: the weights' columns are `[group_in, taps]`.
        let order: Vec<usize> =
            (0..taps).flat_map(|tap| (0..group_in).map(move |i| i * taps + tap)).collect();
        let mut packed = vec![0.0; weight.len()];
        let group_len = (group_out * order.len()).max(1);
        for (rows, packed) in weight.data.chunks_exact(group_len).zip(packed.chunks_exact_mut(group_len)) {
            transposed(rows, group_out, &order, packed);
        }
        let macs = (sliding.output_rows() * weight.len()) as u64;
        let kernel = Kernel::Conv(Conv {
            sliding,
            cin,
            cout,
            groups,
            weight: self.weight(packed.into()),
            bias: bias.map(|bias| self.weight(bias.data.clone())),
            residual: false,
            activation: model::Activation::Identity,
        });
        self.step(&node.name, kernel, &[input.matrix], output.matrix, macs);
        output
    }

    pub(super) fn linear(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Stored {
        let (cout, cin) = (weight.shape[0], weight.shape[1]);
        // A flattened picture keeps its memory order; the weights' columns move instead.
        let place: Vec<usize> = match &input.flattened {
            Some((before, order)) if shape.len() == 1 => memory_to_logical(before, order),
            _ => (0..cin).collect(),
        };
        let input = match (&input.flattened, shape.len()) {
            (Some(_), 1) => input.clone(),
            _ => {
                let input = self.unflattened(input);
                let plain: Vec<usize> = (0..input.shape.len()).collect();
                self.in_order(&input, &plain)
            }
        };
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let source = self.as_matrix(input.matrix, rows, cin);
        let output = self.store(&shape, (0..shape.len()).collect());
        let mut packed = vec![0.0; weight.len()];
        transposed(&weight.data, cout, &place, &mut packed);
        let pixels = [1, rows];
        let kernel = Kernel::Conv(Conv {
            sliding: Sliding { input: pixels, output: pixels, window: model::Window::square(1) },
            cin,
            cout,
            groups: 1,
            weight: self.weight(packed.into()),
            bias: bias.map(|bias| self.weight(bias.data.clone())),
            residual: false,
            activation: model::Activation::Identity,
        });
        self.step(&node.name, kernel, &[source], output.matrix, (rows * cin * cout) as u64);
        output
    }

    pub(super) fn reduce(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        kind: model::ReduceKind,
        axes: &[usize],
    ) -> Stored {
        let mut input = self.unflattened(input);
        let rank = input.shape.len();
        let reduced: Vec<bool> = (0..rank).map(|axis| axes.contains(&axis)).collect();
        // The reduced axes have to be neighbours in memory; axes of length 1 are anywhere.
        let long: Vec<usize> = input.order.iter().copied().filter(|&axis| input.shape[axis] > 1).collect();
        let changes = long.windows(2).filter(|pair| reduced[pair[0]] != reduced[pair[1]]).count();
        let first_reduced = long.first().is_some_and(|&axis| reduced[axis]);
        if changes > 2 || (changes == 2 && first_reduced) {
            let kept = (0..rank).filter(|&axis| !reduced[axis]);
            let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
            input = self.copied(&input, &order);
        }
        let mut extent = [1usize; 3];
        let mut part = 0;
        for &axis in &input.order {
            if input.shape[axis] == 1 {
                continue;
            }
            part = match (part, reduced[axis]) {
                (0, true) => 1,
                (1, false) => 2,
                (part, _) => part,
            };
            extent[part] *= input.shape[axis];
        }
        let [outer, len, inner] = extent;
        input.matrix = match outer {
            1 => self.as_matrix(input.matrix, len, inner),
            _ => self.contiguous_if(true, input.matrix),
        };
        // The output's axes keep their order; kept axes of length 1 can be anywhere.
        let keeps = shape.len() == rank;
        let order: Vec<usize> = if keeps {
            input.order.clone()
        } else {
            let left: Vec<usize> = (0..rank).filter(|&axis| !reduced[axis]).collect();
            input.order.iter().filter(|&&axis| !reduced[axis]).map(|&axis| position(&left, axis)).collect()
        };
        let output = self.store(&shape, order);
        self.matrices[output.matrix].pinned = outer > 1;
        let matrix = &mut self.matrices[output.matrix];
        (matrix.rows, matrix.channels) = (outer, inner);
        let kernel = Kernel::Reduce(Reduce { kind, outer, len, inner });
        self.step(&node.name, kernel, &[input.matrix], output.matrix, 0);
        output
    }
}
