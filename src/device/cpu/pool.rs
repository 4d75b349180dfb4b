//! Max and average pooling, vectors over channels.

use std::ops::Range;

use super::compiled::Executable;
use super::memory::{Operands, Workspace};
use super::simd::{Job, Level, Simd};
use crate::model::PoolKind;
use crate::plan::Pool;

impl Executable for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        level.run(Pooling { pool: self, operands });
    }
}

struct Pooling<'a> {
    pool: &'a Pool,
    operands: &'a Operands,
}

/// Taps of a window along one axis that lie inside the picture, and how many lie inside the padded picture.
#[inline(always)]
fn inside(pool: &Pool, axis: usize, at: usize) -> (Range<usize>, usize) {
    let window = &pool.sliding.window;
    let (start, dilation, kernel) = (at * window.stride[axis], window.dilation[axis], window.kernel[axis]);
    let (before, input) = (window.pads[axis], pool.sliding.input[axis]);
    let first = before.saturating_sub(start).div_ceil(dilation).min(kernel);
    let end = (input + before).saturating_sub(start).div_ceil(dilation).min(kernel);
    let padded =
        (input + before + window.pads[axis + 2]).saturating_sub(start).div_ceil(dilation).min(kernel);
    (first..end.max(first), padded)
}

/// What an output pixel's sum is divided by.
pub(super) fn divisor(pool: &Pool, pixel: usize) -> usize {
    let width = pool.sliding.output[1];
    let [(rows, padded_rows), (columns, padded_columns)] =
        [inside(pool, 0, pixel / width), inside(pool, 1, pixel % width)];
    match pool.kind {
        PoolKind::Average { count_include_pad: true } => (padded_rows * padded_columns).max(1),
        _ => (rows.len() * columns.len()).max(1),
    }
}

impl Job for Pooling<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Pool { kind, sliding, channels } = *self.pool;
        let window = &sliding.window;
        for sample in 0..self.operands.samples {
            for y in 0..sliding.output[0] {
                let (rows, padded_rows) = inside(self.pool, 0, y);
                for x in 0..sliding.output[1] {
                    let (columns, padded_columns) = inside(self.pool, 1, x);
                    let divisor = match kind {
                        PoolKind::Average { count_include_pad: true } => padded_rows * padded_columns,
                        _ => rows.len() * columns.len(),
                    };
                    let scale = simd.splat(1.0 / divisor.max(1) as f32);
                    let max = kind == PoolKind::Max;
                    for channel in (0..channels).step_by(S::LANES) {
                        let left = channels - channel;
                        let mut result = simd.splat(if max { f32::NEG_INFINITY } else { 0.0 });
                        for ky in rows.clone() {
                            let iy = y * window.stride[0] + ky * window.dilation[0] - window.pads[0];
                            for kx in columns.clone() {
                                let ix = x * window.stride[1] + kx * window.dilation[1] - window.pads[1];
                                // SAFETY: `inside` leaves taps within the picture only.
                                let tap = unsafe {
                                    let row = self.operands.input.row(sample, iy * sliding.input[1] + ix);
                                    simd.load_upto(row.add(channel), left)
                                };
                                result = if max {
                                    simd.keep_nan(result, simd.max(result, tap))
                                } else {
                                    simd.add(result, tap)
                                };
                            }
                        }
                        if !max {
                            result = simd.mul(result, scale);
                        }
                        // SAFETY: the output pixel exists and has `left` channels from here on.
                        unsafe {
                            let row = self.operands.output.row(sample, y * sliding.output[1] + x);
                            simd.store_upto(row.add(channel), result, left);
                        }
                    }
                }
            }
        }
    }
}
