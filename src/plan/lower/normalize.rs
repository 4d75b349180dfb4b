//! Normalisations: which axes are rows, groups and channels.

use super::layout::last_first;
use super::{Lowering, Stored};
use crate::Result;
use crate::model::{self, BinaryKind, Node, NormKind, Response, Tensor};
use crate::plan::{Kernel, Lrn, Normalize};

impl Lowering<'_> {
    pub(super) fn normalize(
        &mut self,
        node: &Node,
        input: &Stored,
        kind: NormKind,
        axes: &[usize],
        groups: usize,
        line: [Option<&Tensor>; 2],
    ) -> Result<Stored> {
        let input = self.unflattened(input);
        let shape = input.shape.clone();
        let rank = shape.len();
        let length = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
        let spatial: Vec<usize> = (1..rank).collect();
        let long: Vec<usize> = input.order.iter().copied().filter(|&axis| shape[axis] > 1).collect();
        let changes =
            long.windows(2).filter(|pair| axes.contains(&pair[0]) != axes.contains(&pair[1])).count();
        let innermost = changes == 0 || (changes == 1 && !axes.contains(&long[0]));
        let per_channel = |tensor: &Tensor| varies(tensor, &shape).iter().all(|&axis| axis == 0);
        let bare = line.iter().all(Option::is_none);
        let by_channel = groups > 1
            || (axes == spatial && line.into_iter().flatten().all(per_channel) && !(innermost && bare));
        let (input, [outer, len, groups, width], columns) = if by_channel {
            // Channels last: rows are pixels, and each channel or group of channels has its own mean.
            let channels = shape[0];
            let groups = if axes.contains(&0) { groups } else { channels };
            let extent = [1, length(&spatial), groups, channels / groups];
            (self.channels_last(&input), extent, vec![0])
        } else {
            // The normalised axes innermost: a row is what is normalised together.
            let kept = input.order.iter().copied().filter(|axis| !axes.contains(axis));
            let own = input.order.iter().copied().filter(|axis| axes.contains(axis));
            let order: Vec<usize> = kept.chain(own.clone()).collect();
            let own: Vec<usize> = own.collect();
            let mut input = self.in_order(&input, &order);
            let width = length(&own);
            let rows = length(&order) / width;
            input.matrix = self.as_matrix(input.matrix, rows, width);
            (input, [rows, 1, 1, width], own)
        };
        // Scale and shift that are the same for every row are the kernel's; others are steps of their own.
        let mut constants = [None, None];
        let fits = |tensor: &Tensor| varies(tensor, &shape).iter().all(|axis| columns.contains(axis));
        let own = line.into_iter().flatten().all(fits);
        if own {
            for (constant, tensor) in constants.iter_mut().zip(line) {
                *constant = tensor.map(|tensor| self.weight(spread(tensor, &shape, &columns).into()));
            }
        }
        let [scale, shift] = constants;
        let output = self.store(&shape, input.order.clone());
        let matrix = &mut self.matrices[output.matrix];
        (matrix.rows, matrix.channels) = (outer * len, groups * width);
        let elements = (outer * len * groups * width) as u64;
        let activation = model::Activation::Identity;
        let normalize = Normalize { kind, outer, len, groups, width, scale, shift, activation };
        self.step(&node.name, Kernel::Normalize(normalize), &[input.matrix], output.matrix, 2 * elements);
        let mut result = output;
        if !own {
            for (tensor, kind) in line.into_iter().zip([BinaryKind::Mul, BinaryKind::Add]) {
                if let Some(tensor) = tensor {
                    result = self.binary_const(node, kind, shape.clone(), &result, tensor, false)?;
                }
            }
        }
        Ok(result)
    }

    pub(super) fn lrn(&mut self, node: &Node, input: &Stored, response: Response) -> Stored {
        let input = self.channels_last(input);
        let output = self.store(&input.shape, last_first(input.shape.len()));
        let channels = input.shape[0];
        let rows = input.shape[1..].iter().product();
        let kernel = Kernel::Lrn(Lrn { rows, channels, response });
        let macs = (rows * channels * response.size) as u64;
        self.step(&node.name, kernel, &[input.matrix], output.matrix, macs);
        output
    }
}

/// The axes of `shape` along which a constant that broadcasts to it varies.
fn varies(tensor: &Tensor, shape: &[usize]) -> Vec<usize> {
    let lead = shape.len() - tensor.shape.len();
    (0..tensor.shape.len()).filter(|&axis| tensor.shape[axis] > 1).map(|axis| axis + lead).collect()
}

/// The constant's value for each index of `columns`, outermost first; it varies along no other axis.
fn spread(tensor: &Tensor, shape: &[usize], columns: &[usize]) -> Vec<f32> {
    let lead = shape.len() - tensor.shape.len();
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (axis, &length) in tensor.shape.iter().enumerate().rev() {
        if length > 1 {
            strides[axis + lead] = step;
        }
        step *= length;
    }
    let len: usize = columns.iter().map(|&axis| shape[axis]).product();
    let value = |place: usize| {
        let mut rest = place;
        let mut at = 0;
        for &axis in columns.iter().rev() {
            at += rest % shape[axis] * strides[axis];
            rest /= shape[axis];
        }
        tensor.data[at]
    };
    (0..len).map(value).collect()
}
