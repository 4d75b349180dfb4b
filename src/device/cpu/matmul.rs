//! Products of two activations: the second operand is packed as weights are, for each product anew.

use std::ops::Range;

use super::compiled::Executable;
use super::memory::{Operands, Workspace};
use super::product::{MR, Packed, Product};
use super::simd::Level;
use crate::model::Activation;
use crate::plan::MatMul;

/// A product of two activations.
pub(crate) struct Multiplied {
    product: MatMul,
}

impl Multiplied {
    /// Nothing is prepared.
    pub fn new(product: &MatMul) -> Self {
        Multiplied { product: *product }
    }
}

impl Executable for Multiplied {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn partial_floats(&self, level: Level) -> usize {
        Packed::partial_floats_for(level, self.product.k) * self.product.m.next_multiple_of(MR)
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, work: &mut Workspace) {
        let MatMul { batch, m, k, n, a_strides, b_strides, out_strides } = self.product;
        // Checked when the plan was compiled.
        let Some(second) = operands.second else { return };
        work.partial.reserve(self.partial_floats(level));
        for sample in 0..operands.samples {
            for p in 0..batch[0] {
                for q in 0..batch[1] {
                    // SAFETY (all addresses): within the operands, whose extents were checked with the plan.
                    let start = |base: *mut f32, strides: [usize; 4]| unsafe {
                        base.add(p * strides[0] + q * strides[1])
                    };
                    let (a, b, out) = unsafe {
                        (
                            start(operands.input.row(sample, 0), a_strides),
                            start(second.row(sample, 0), b_strides),
                            start(operands.output.row(sample, 0), out_strides),
                        )
                    };
                    let packed = Packed::new(level, [1, 1, k, n], |_, row, column| unsafe {
                        *b.add(row * b_strides[2] + column * b_strides[3])
                    });
                    let row = |i: usize| unsafe { a.add(i * a_strides[2]).cast_const() };
                    let addresses = &mut work.addresses;
                    addresses.clear();
                    // Rows beyond the last repeat it.
                    addresses.inputs.extend((0..m.next_multiple_of(MR)).map(|i| row(i.min(m - 1))));
                    addresses.outputs.extend((0..m).map(|i| unsafe { out.add(i * out_strides[2]) }));
                    level.run(Product {
                        weights: &packed,
                        matrix: 0,
                        panels: 0..packed.panels(),
                        inputs: &addresses.inputs,
                        outputs: &addresses.outputs,
                        residuals: &[],
                        bias: &[],
                        activation: Activation::Identity,
                        partial: work.partial.as_mut_slice(),
                    });
                }
            }
        }
    }
}
