//! Functions of single elements, with and without a second operand, and strided copies.

use std::ops::Range;
use std::sync::Arc;

use super::compiled::Executable;
use super::memory::{Operands, Workspace};
use super::simd::{Job, Level, Simd};
use crate::model::{Activation, BinaryKind};
use crate::plan::{Affine, Binary, Copy, Map, Operand, Plan};

/// `act(scale[c] · x + shift[c])` or, without scale and shift, `act(x)`.
pub(crate) struct Scaled {
    rows: usize,
    channels: usize,
    /// Scale and shift.
    line: Option<[Arc<[f32]>; 2]>,
    activation: Activation,
}

impl Scaled {
    /// A step without scale and shift.
    pub fn map(map: &Map) -> Self {
        Scaled { rows: map.rows, channels: map.channels, line: None, activation: map.activation }
    }

    /// A step with both.
    pub fn affine(plan: &Plan, affine: &Affine) -> Self {
        let constant = |id: usize| plan.weights[id].data.clone();
        Scaled {
            rows: affine.rows,
            channels: affine.channels,
            line: Some([constant(affine.scale), constant(affine.shift)]),
            activation: affine.activation,
        }
    }
}

impl Executable for Scaled {
    fn name(&self) -> &'static str {
        if self.line.is_some() { "affine" } else { "map" }
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        level.run(Scaling { step: self, operands });
    }
}

struct Scaling<'a> {
    step: &'a Scaled,
    operands: &'a Operands,
}

impl Job for Scaling<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Scaled { mut rows, mut channels, ref line, activation } = *self.step;
        let Operands { input, output, .. } = self.operands;
        // Without scale and shift, rows without gaps are one long row.
        if line.is_none() && input.stride == channels && output.stride == channels {
            (rows, channels) = (1, rows * channels);
        }
        for sample in 0..self.operands.samples {
            for row in 0..rows {
                for channel in (0..channels).step_by(S::LANES) {
                    let left = channels - channel;
                    // SAFETY: both rows, scale and shift have `left` elements from `channel` on.
                    unsafe {
                        let mut x = simd.load_upto(input.row(sample, row).add(channel), left);
                        if let Some([scale, shift]) = line {
                            let scale = simd.load_upto(scale.as_ptr().add(channel), left);
                            let shift = simd.load_upto(shift.as_ptr().add(channel), left);
                            x = simd.mul_add(x, scale, shift);
                        }
                        let out = output.row(sample, row).add(channel);
                        simd.store_upto(out, simd.activate(activation, x), left);
                    }
                }
                // SAFETY: the row has this many elements.
                unsafe { simd.finish(activation, output.row(sample, row), channels) };
            }
        }
    }
}

/// A function of two operands.
pub(crate) struct Pairwise {
    binary: Binary,
    constant: Option<Arc<[f32]>>,
}

impl Pairwise {
    /// Finds the constant, if there is one.
    pub fn new(plan: &Plan, binary: &Binary) -> Self {
        let constant = match binary.b {
            Operand::Input => None,
            Operand::Constant(id) => Some(plan.weights[id].data.clone()),
        };
        Pairwise { binary: *binary, constant }
    }
}

impl Executable for Pairwise {
    fn name(&self) -> &'static str {
        "binary"
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        level.run(Pairing { step: self, operands });
    }
}

struct Pairing<'a> {
    step: &'a Pairwise,
    operands: &'a Operands,
}

impl Job for Pairing<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Binary { kind, shape, mut a_strides, mut b_strides, out_strides, swapped, activation, .. } =
            self.step.binary;
        if swapped {
            (a_strides, b_strides) = (b_strides, a_strides);
        }
        for sample in 0..self.operands.samples {
            // SAFETY: first elements of a sample's operands; a constant is the same for all samples.
            let (a, b, out) = unsafe {
                let b = match (&self.step.constant, self.operands.second) {
                    (Some(constant), _) => constant.as_ptr(),
                    (None, Some(second)) => second.row(sample, 0).cast_const(),
                    // Checked when the plan was compiled.
                    (None, None) => return,
                };
                let a = self.operands.input.row(sample, 0).cast_const();
                let (a, b) = if swapped { (b, a) } else { (a, b) };
                (a, b, self.operands.output.row(sample, 0))
            };
            for i0 in 0..shape[0] {
                for i1 in 0..shape[1] {
                    for i2 in 0..shape[2] {
                        let start = |strides: [usize; 4]| i0 * strides[0] + i1 * strides[1] + i2 * strides[2];
                        // SAFETY: the largest index lies within the operand: checked when the plan was
                        // compiled.
                        unsafe {
                            let line = Line {
                                a: a.add(start(a_strides)),
                                b: b.add(start(b_strides)),
                                out: out.add(start(out_strides)),
                                strides: [a_strides[3], b_strides[3], out_strides[3]],
                                len: shape[3],
                            };
                            match kind {
                                BinaryKind::Add => line.run(simd, activation, |a, b| a + b),
                                BinaryKind::Mul => line.run(simd, activation, |a, b| a * b),
                                BinaryKind::Sub => line.run(simd, activation, |a, b| a - b),
                                BinaryKind::Div => line.run(simd, activation, |a, b| a / b),
                                // One loop for the rarer ones.
                                kind => line.run(simd, activation, |a, b| kind.apply(a, b)),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The innermost axis of a binary step.
struct Line {
    a: *const f32,
    b: *const f32,
    out: *mut f32,
    strides: [usize; 3],
    len: usize,
}

impl Line {
    /// # Safety
    /// Every index of the line lies within its operand.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, activation: Activation, f: impl Fn(f32, f32) -> f32) {
        // SAFETY: by the caller's promise.
        unsafe {
            match self.strides {
                // Constant strides let the compiler make vectors of the loop.
                [1, 1, 1] => self.each(1, 1, 1, &f),
                [1, 0, 1] => self.each(1, 0, 1, &f),
                [0, 1, 1] => self.each(0, 1, 1, &f),
                [a, b, out] => self.each(a, b, out, &f),
            }
            match (activation, self.strides[2]) {
                (Activation::Identity, _) => {}
                (_, 1) => simd.apply(activation, self.out, self.len),
                (_, stride) => {
                    for i in 0..self.len {
                        let at = self.out.add(i * stride);
                        *at = activation.apply(*at);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`run`](Line::run).
    #[inline(always)]
    unsafe fn each(&self, a: usize, b: usize, out: usize, f: impl Fn(f32, f32) -> f32) {
        for i in 0..self.len {
            // SAFETY: i < len.
            unsafe { *self.out.add(i * out) = f(*self.a.add(i * a), *self.b.add(i * b)) };
        }
    }
}

impl Executable for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    unsafe fn run(&self, _level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        let lines: usize = self.shape[..5].iter().product();
        for sample in 0..operands.samples {
            // SAFETY: first elements of a sample.
            let (from, to) = unsafe { (operands.input.row(sample, 0), operands.output.row(sample, 0)) };
            for line in 0..lines {
                let mut rest = line;
                let (mut source, mut target) = (0, 0);
                for axis in (0..5).rev() {
                    let i = rest % self.shape[axis];
                    rest /= self.shape[axis];
                    source += i * self.in_strides[axis];
                    target += i * self.out_strides[axis];
                }
                let (source_stride, target_stride) = (self.in_strides[5], self.out_strides[5]);
                for i in 0..self.shape[5] {
                    // SAFETY: the largest index lies within the operand: checked when the plan was
                    // compiled.
                    unsafe { *to.add(target + i * target_stride) = *from.add(source + i * source_stride) };
                }
            }
        }
    }
}
