//! Functions of two operands, with broadcasting.

use super::layout::{broadcast_strides, collapse};
use super::{Draft, Lowering, Matrix, Stored};
use crate::model::{self, BinaryKind, Node, Tensor};
use crate::plan::{Binary, Kernel, Operand};
use crate::{Error, Result};

impl Lowering<'_> {
    pub(super) fn binary(
        &mut self,
        node: &Node,
        kind: BinaryKind,
        shape: Vec<usize>,
        a: Stored,
        b: Stored,
    ) -> Result<Stored> {
        let (mut a, mut b) = (self.unflattened(&a), self.unflattened(&b));
        // The operand with the output's shape leads; the other is brought into its order.
        let swapped = a.shape != shape && b.shape == shape;
        if swapped {
            std::mem::swap(&mut a, &mut b);
        }
        if a.shape.len() == b.shape.len() {
            b = self.in_order(&b, &a.order.clone());
        } else {
            let (a_plain, b_plain): (Vec<_>, Vec<_>) =
                ((0..a.shape.len()).collect(), (0..b.shape.len()).collect());
            a = self.in_order(&a, &a_plain);
            b = self.in_order(&b, &b_plain);
        }
        let order = if a.shape.len() == shape.len() { a.order.clone() } else { (0..shape.len()).collect() };
        let strides = |stored: &Stored| broadcast_strides(&stored.shape, &stored.order, &shape, &order);
        let (a_strides, b_strides) = (strides(&a), strides(&b));
        self.emit_binary(
            node,
            kind,
            shape.clone(),
            order.clone(),
            (a.matrix, a_strides),
            (Some(b.matrix), b_strides),
            swapped,
        )
    }

    pub(super) fn binary_const(
        &mut self,
        node: &Node,
        kind: BinaryKind,
        shape: Vec<usize>,
        input: &Stored,
        constant: &Tensor,
        constant_first: bool,
    ) -> Result<Stored> {
        let mut input = self.unflattened(input);
        if input.shape.len() != shape.len() {
            let plain: Vec<usize> = (0..input.shape.len()).collect();
            input = self.in_order(&input, &plain);
        }
        let order =
            if input.shape.len() == shape.len() { input.order.clone() } else { (0..shape.len()).collect() };
        let a_strides = broadcast_strides(&input.shape, &input.order, &shape, &order);
        let plain: Vec<usize> = (0..constant.shape.len()).collect();
        let b_strides = broadcast_strides(&constant.shape, &plain, &shape, &order);
        let weight = self.weight(constant.data.clone());
        let stored = self.emit_binary(
            node,
            kind,
            shape,
            order,
            (input.matrix, a_strides),
            (None, b_strides),
            constant_first,
        )?;
        if let Some(Draft { kernel: Kernel::Binary(binary), .. }) = self.drafts.last_mut() {
            binary.b = Operand::Constant(weight);
        }
        Ok(stored)
    }

    #[allow(clippy::too_many_arguments, reason = "the operator's own parts")]
    pub(super) fn emit_binary(
        &mut self,
        node: &Node,
        kind: BinaryKind,
        shape: Vec<usize>,
        order: Vec<usize>,
        a: (usize, Vec<usize>),
        b: (Option<usize>, Vec<usize>),
        swapped: bool,
    ) -> Result<Stored> {
        let output = self.store(&shape, order.clone());
        let out_strides = broadcast_strides(&shape, &order, &shape, &order);
        let lengths: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let axes = collapse(&lengths, [&a.1, &b.1, &out_strides]);
        if axes.len() > 4 {
            return Err(Error::unsupported(
                format!("it broadcasts over {} separate axes", axes.len()),
                format!("node {:?} ({})", node.name, node.op.name()),
                "export the network with fewer axes in this operation",
            ));
        }
        let mut parts = [[0usize; 4]; 4];
        parts[0] = [1; 4];
        for (at, axis) in axes.iter().enumerate() {
            for (k, part) in parts.iter_mut().enumerate() {
                part[at + 4 - axes.len()] = axis[k];
            }
        }
        let [lengths, a_strides, b_strides, strides] = parts;
        let Matrix { rows, channels, .. } = self.matrices[output.matrix];
        // Rows and channels, as matrices have them: then parts of a Concat can be operands.
        let whole = |strides: &[usize; 4]| {
            lengths == [1, 1, rows, channels] && strides[2] == channels && (strides[3] == 1 || channels == 1)
        };
        let b_matrix = b.0;
        let row_form = [whole(&a_strides), b_matrix.is_some() && whole(&b_strides), whole(&strides)];
        if !row_form[2] {
            self.matrices[output.matrix].pinned = true;
        }
        let kernel = Kernel::Binary(Binary {
            kind,
            shape: lengths,
            a_strides,
            b_strides,
            out_strides: strides,
            b: Operand::Input,
            swapped,
            activation: model::Activation::Identity,
        });
        let mut operand = |matrix: usize, row_form: bool| match row_form {
            true => self.as_matrix(matrix, rows, channels),
            false => self.contiguous_if(true, matrix),
        };
        let a = operand(a.0, row_form[0]);
        let b = b_matrix.map(|b| operand(b, row_form[1]));
        let inputs: Vec<usize> = std::iter::once(a).chain(b).collect();
        let macs = (rows * channels) as u64;
        self.step(&node.name, kernel, &inputs, output.matrix, macs);
        if let Some(draft) = self.drafts.last_mut() {
            draft.row_form = row_form;
        }
        Ok(output)
    }
}
