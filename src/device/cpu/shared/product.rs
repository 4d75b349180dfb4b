//! Convolution over columns: the matrix product that reads its rows by address, with addresses from restrictions.

use super::columns::{OverColumns, Task};
use crate::device::cpu::direct::{bias, pack};
use crate::device::cpu::memory::Workspace;
use crate::device::cpu::product::{Packed, Product};
use crate::device::cpu::simd::Level;
use crate::plan::{Conv, Plan};

/// A convolution with any number of groups but depthwise.
pub(crate) struct Gathered {
    conv: Conv,
    weights: Packed,
    bias: Vec<f32>,
    block: usize,
}

impl Gathered {
    /// Packs the weights.
    pub fn new(level: Level, plan: &Plan, conv: &Conv) -> Self {
        let (weights, block) = pack(level, plan, conv);
        Gathered { conv: conv.clone(), weights, bias: bias(plan, conv), block }
    }
}

impl OverColumns for Gathered {
    fn block(&self) -> usize {
        self.block
    }

    unsafe fn run(&self, level: Level, task: &Task<'_>, work: &mut Workspace) {
        let conv = &self.conv;
        let (depth, channels) = (self.weights.depth(), conv.cout / conv.groups);
        // A row outside the picture is read from any group's channels on.
        work.zeros.reserve(conv.cin);
        work.partial.reserve(self.weights.partial_floats(level) * self.block);
        for first in task.range.clone().step_by(self.block) {
            let range = first..(first + self.block).min(task.range.end);
            let zeros = work.zeros.as_slice().as_ptr();
            task.window_addresses(&conv.sliding, range.clone(), zeros, &mut work.addresses);
            task.row_addresses(range, conv.residual, &mut work.addresses);
            for group in 0..conv.groups {
                if group > 0 {
                    // SAFETY (three times): the next group's channels follow in every row.
                    let addresses = &mut work.addresses;
                    addresses.inputs.iter_mut().for_each(|at| *at = unsafe { at.add(depth) });
                    addresses.outputs.iter_mut().for_each(|at| *at = unsafe { at.add(channels) });
                    addresses.residuals.iter_mut().for_each(|at| *at = unsafe { at.add(channels) });
                }
                level.run(Product {
                    weights: &self.weights,
                    matrix: group,
                    panels: 0..self.weights.panels(),
                    inputs: &work.addresses.inputs,
                    outputs: &work.addresses.outputs,
                    residuals: &work.addresses.residuals,
                    bias: self.bias.get(group * channels..(group + 1) * channels).unwrap_or(&[]),
                    activation: conv.activation,
                    partial: work.partial.as_mut_slice(),
                });
            }
        }
    }
}
