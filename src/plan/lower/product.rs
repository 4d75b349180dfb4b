//! Products of two activations.

use super::{Lowering, Stored};
use crate::model::{Node, Op};
use crate::plan::{Kernel, MatMul};
use crate::{Error, Result};

/// Length of an axis, and its strides in both operands and the output.
type Axis = (usize, [usize; 3]);

impl Lowering<'_> {
    pub(super) fn matmul(
        &mut self,
        node: &Node,
        a: &Stored,
        b: &Stored,
        shape: Vec<usize>,
    ) -> Result<Stored> {
        let rank = shape.len();
        let plain: Vec<usize> = (0..rank).collect();
        let (mut a, mut b) = (self.unflattened(a), self.unflattened(b));
        // Sums run along contiguous rows of the first operand.
        if a.shape[rank - 1] > 1 && innermost(&a) != Some(rank - 1) {
            a = self.in_order(&a, &plain);
        }
        let mut order = self.wanted_order(node, rank);
        let mut batch = leading(&a, &b, &shape, &order);
        if batch.len() > 2 {
            (a, b, order) = (self.in_order(&a, &plain), self.in_order(&b, &plain), plain);
            batch = leading(&a, &b, &shape, &order);
        }
        if batch.len() > 2 {
            return Err(Error::unsupported(
                format!("it broadcasts over {} separate axes", batch.len()),
                format!("node {:?} ({})", node.name, node.op.name()),
                "export the network with fewer axes in this operation",
            ));
        }
        while batch.len() < 2 {
            batch.insert(0, (1, [0; 3]));
        }
        let output = self.store(&shape, order);
        self.matrices[output.matrix].pinned = true;
        let (own, second, out) = (strides(&a), strides(&b), strides(&output));
        let of =
            |operand: usize, last: [usize; 2]| [batch[0].1[operand], batch[1].1[operand], last[0], last[1]];
        let (m, k, n) = (shape[rank - 2], a.shape[rank - 1], shape[rank - 1]);
        let kernel = Kernel::MatMul(MatMul {
            batch: [batch[0].0, batch[1].0],
            m,
            k,
            n,
            a_strides: of(0, [own[rank - 2], 1]),
            b_strides: of(1, [second[rank - 2], second[rank - 1]]),
            out_strides: of(2, [out[rank - 2], 1]),
        });
        let inputs = [self.operand(&a), self.operand(&b)];
        let macs = shape.iter().product::<usize>() * k;
        self.step(&node.name, kernel, &inputs, output.matrix, macs as u64);
        Ok(output)
    }

    /// The memory order that a Transpose after it wants, if that is its only reader; else the plain one.
    fn wanted_order(&self, node: &Node, rank: usize) -> Vec<usize> {
        let plain = (0..rank).collect();
        if self.uses[node.output] != 1 {
            return plain;
        }
        let reader = self.graph.nodes.iter().find(|reader| reader.inputs.contains(&node.output));
        match reader.map(|reader| &reader.op) {
            Some(Op::Transpose { perm }) if perm.last() == Some(&(rank - 1)) => perm.clone(),
            _ => plain,
        }
    }

    /// The matrix of an operand whose strides are known: rows may be a part of wider ones, as long as no axis reaches
    /// over the end of a row.
    fn operand(&mut self, stored: &Stored) -> usize {
        let rows = self.matrices[stored.matrix].rows;
        let mut product = 1;
        let ends = product == rows
            || stored.order.iter().any(|&axis| {
                product *= stored.shape[axis];
                product == rows
            });
        // Rows of one element could be spread out, and the terms of a sum with them.
        let single = self.matrices[stored.matrix].channels == 1;
        self.contiguous_if(!ends || single, stored.matrix)
    }
}

/// The innermost axis in memory that is longer than 1.
fn innermost(stored: &Stored) -> Option<usize> {
    stored.order.iter().copied().rev().find(|&axis| stored.shape[axis] > 1)
}

/// Strides of a value's axes where it is contiguous.
fn strides(stored: &Stored) -> Vec<usize> {
    let mut strides = vec![0; stored.shape.len()];
    let mut step = 1;
    for &axis in stored.order.iter().rev() {
        strides[axis] = step;
        step *= stored.shape[axis];
    }
    // An axis of length 1 repeats.
    strides.iter().zip(&stored.shape).map(|(&stride, &length)| if length > 1 { stride } else { 0 }).collect()
}

/// The axes before the last two, joined where all operands walk evenly over neighbours.
fn leading(a: &Stored, b: &Stored, shape: &[usize], order: &[usize]) -> Vec<Axis> {
    let output = Stored { shape: shape.to_vec(), order: order.to_vec(), ..a.clone() };
    let all = [strides(a), strides(b), strides(&output)];
    let mut axes: Vec<Axis> = Vec::new();
    for axis in 0..shape.len() - 2 {
        let (length, own) = (shape[axis], [all[0][axis], all[1][axis], all[2][axis]]);
        if length == 1 {
            continue;
        }
        match axes.last_mut() {
            Some((outer, before)) if (0..3).all(|k| before[k] == own[k] * length) => {
                *outer *= length;
                *before = own;
            }
            _ => axes.push((length, own)),
        }
    }
    axes
}
