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
            ReduceKind::Prod => 1.0,
        };
        let join = |total, x| match kind {
            ReduceKind::Mean | ReduceKind::Sum => simd.add(total, x),
            ReduceKind::Max => simd.keep_nan(total, simd.max(total, x)),
            ReduceKind::Min => simd.keep_nan(total, simd.min(total, x)),
            ReduceKind::Prod => simd.mul(total, x),
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

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        level.run(Softmaxing { softmax: self, operands });
    }
}

struct Softmaxing<'a> {
    softmax: &'a Softmax,
    operands: &'a Operands,
}

impl Job for Softmaxing<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Softmax { outer, len, inner, log } = *self.softmax;
        for (sample, o) in (0..self.operands.samples).flat_map(|n| (0..outer).map(move |o| (n, o))) {
            // SAFETY: a sample has outer · len · inner contiguous elements in both operands.
            unsafe {
                let from = self.operands.input.row(sample, 0).add(o * len * inner).cast_const();
                let to = self.operands.output.row(sample, 0).add(o * len * inner);
                if inner == 1 {
                    line(simd, from, to, len, log);
                } else {
                    columns(simd, from, to, [len, inner], log);
                }
            }
        }
    }
}

/// Softmax of `len` contiguous elements.
///
/// # Safety
/// `from` is valid for reads and `to` for reads and writes of `len` floats.
#[inline(always)]
unsafe fn line<S: Simd>(simd: S, from: *const f32, to: *mut f32, len: usize, log: bool) {
    // SAFETY (whole body): by the caller's promise.
    unsafe {
        let max = (0..len).fold(f32::NEG_INFINITY, |max, at| {
            let x = *from.add(at);
            // Not f32::max, which would hide a NaN.
            if x > max || x.is_nan() { x } else { max }
        });
        let apart = |at: usize| simd.sub(simd.load_upto(from.add(at), len - at), simd.splat(max));
        for at in (0..len).step_by(S::LANES) {
            simd.store_upto(to.add(at), simd.exp(apart(at)), len - at);
        }
        let sum: f64 = (0..len).map(|at| f64::from(*to.add(at))).sum();
        let (log_sum, share) = (simd.splat(sum.ln() as f32), simd.splat((1.0 / sum) as f32));
        for at in (0..len).step_by(S::LANES) {
            let y = match log {
                true => simd.sub(apart(at), log_sum),
                false => simd.mul(simd.load_upto(to.add(at), len - at), share),
            };
            simd.store_upto(to.add(at), y, len - at);
        }
    }
}

/// Softmax of each column of `[len, inner]`.
///
/// # Safety
/// `from` is valid for reads and `to` for reads and writes of `len` · `inner` floats.
#[inline(always)]
unsafe fn columns<S: Simd>(simd: S, from: *const f32, to: *mut f32, [len, inner]: [usize; 2], log: bool) {
    for i in (0..inner).step_by(S::LANES) {
        let left = inner - i;
        // SAFETY (whole body): by the caller's promise; no vector has more than 16 lanes.
        unsafe {
            let x = |l: usize| simd.load_upto(from.add(l * inner + i), left);
            let mut max = simd.splat(f32::NEG_INFINITY);
            for l in 0..len {
                max = simd.keep_nan(max, simd.max(max, x(l)));
            }
            let mut sum = simd.splat(0.0);
            for l in 0..len {
                let e = simd.exp(simd.sub(x(l), max));
                sum = simd.add(sum, e);
                simd.store_upto(to.add(l * inner + i), e, left);
            }
            let mut lanes = [1.0f32; 16];
            simd.store(lanes.as_mut_ptr(), sum);
            let log_sum = simd.load(lanes.map(f32::ln).as_ptr());
            let share = simd.div(simd.splat(1.0), sum);
            for l in 0..len {
                let y = match log {
                    true => simd.sub(simd.sub(x(l), max), log_sum),
                    false => simd.mul(simd.load_upto(to.add(l * inner + i), left), share),
                };
                simd.store_upto(to.add(l * inner + i), y, left);
            }
        }
    }
}
