//! Reductions and softmax over the middle axis of `[outer, len, inner]`.

use std::ops::Range;

use super::compiled::Executable;
use super::memory::{Operands, Workspace};
use super::simd::{Job, Level, Simd};
use crate::model::ReduceKind;
use crate::plan::{Reduce, Softmax};

/// Elements that are summed before they join the total: sums of many small numbers lose less this way.
const RUN: usize = 64;

impl Executable for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        level.run(Reducing { reduce: self, operands });
    }
}

struct Reducing<'a> {
    reduce: &'a Reduce,
    operands: &'a Operands,
}

impl Job for Reducing<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Reduce { kind, outer, len, inner } = *self.reduce;
        let Operands { input, output, .. } = *self.operands;
        let scale = if kind == ReduceKind::Mean { 1.0 / len as f32 } else { 1.0 };
        let start = match kind {
            ReduceKind::Mean | ReduceKind::Sum => 0.0,
            ReduceKind::Max => f32::NEG_INFINITY,
            ReduceKind::Min => f32::INFINITY,
        };
        let join = |total, x| match kind {
            ReduceKind::Mean | ReduceKind::Sum => simd.add(total, x),
            ReduceKind::Max => simd.keep_nan(total, simd.max(total, x)),
            ReduceKind::Min => simd.keep_nan(total, simd.min(total, x)),
        };
        for sample in 0..self.operands.samples {
            for o in 0..outer {
                for i in (0..inner).step_by(S::LANES) {
                    let left = inner - i;
                    let mut total = simd.splat(start);
                    for first in (0..len).step_by(RUN) {
                        let mut part = simd.splat(start);
                        for l in first..(first + RUN).min(len) {
                            // SAFETY: row o · len + l of the input has `left` elements from i on.
                            let x = unsafe { simd.load_upto(input.row(sample, o * len + l).add(i), left) };
                            part = join(part, x);
                        }
                        total = join(total, part);
                    }
                    if kind == ReduceKind::Mean {
                        total = simd.mul(total, simd.splat(scale));
                    }
                    // SAFETY: row o of the output has `left` elements from i on.
                    unsafe { simd.store_upto(output.row(sample, o).add(i), total, left) };
                }
            }
        }
    }
}

impl Executable for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    unsafe fn run(&self, _level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        let Softmax { outer, len, inner, log } = *self;
        for sample in 0..operands.samples {
            // SAFETY: the first element of a sample.
            let (from, to) = unsafe { (operands.input.row(sample, 0), operands.output.row(sample, 0)) };
            for line in 0..outer * inner {
                let start = line / inner * len * inner + line % inner;
                let elements = (0..len).map(|l| start + l * inner);
                // SAFETY: start + l · inner < outer · len · inner, the length of the contiguous sample.
                unsafe {
                    let max = elements.clone().fold(f32::NEG_INFINITY, |max, at| {
                        let x = *from.add(at);
                        // Not f32::max, which would hide a NaN.
                        if x > max || x.is_nan() { x } else { max }
                    });
                    let sum: f64 = elements.clone().map(|at| f64::from((*from.add(at) - max).exp())).sum();
                    let log_sum = sum.ln() as f32;
                    for at in elements {
                        let x = *from.add(at) - max;
                        *to.add(at) = if log { x - log_sum } else { (f64::from(x.exp()) / sum) as f32 };
                    }
                }
            }
        }
    }
}
