//! Depthwise convolution: one filter for each channel, vectors over channels.

use std::ops::Range;

use super::compiled::Executable;
use super::direct::bias;
use super::memory::{Aligned, Operands, Workspace};
use super::simd::{Job, Level, Simd};
use crate::plan::{Conv, Plan};

/// Neighbouring output pixels that are summed together: a weight is loaded once for them.
const PIXELS: usize = 4;

/// A depthwise convolution.
pub(crate) struct Depthwise {
    conv: Conv,
    /// `[taps, channels]`
    weights: Aligned,
    bias: Vec<f32>,
}

impl Depthwise {
    /// Reorders the weights.
    pub fn new(plan: &Plan, conv: &Conv) -> Self {
        let weight = &plan.weights[conv.weight].data;
        let taps: usize = conv.sliding.window.kernel.iter().product();
        let mut weights = Aligned::zeros(taps * conv.cout);
        for (at, element) in weights.as_mut_slice()[..taps * conv.cout].iter_mut().enumerate() {
            *element = weight[(at % conv.cout) * taps + at / conv.cout];
        }
        Depthwise { conv: conv.clone(), weights, bias: bias(plan, conv) }
    }
}

impl Executable for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn weight_bytes(&self) -> usize {
        self.weights.len() * size_of::<f32>()
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        level.run(Rowwise { step: self, operands });
    }
}

struct Rowwise<'a> {
    step: &'a Depthwise,
    operands: &'a Operands,
}

/// Output pixels `x..x + pixels` of row `y` of a sample, with the taps that lie inside the picture for
/// all of them.
struct Span {
    sample: usize,
    y: usize,
    x: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Taps that lie inside the picture for an output pixel, along one axis.
#[inline(always)]
fn taps_inside(conv: &Conv, axis: usize, at: usize) -> Range<usize> {
    let window = &conv.sliding.window;
    let (start, before) = (at * window.stride[axis], window.pads[axis]);
    let first = before.saturating_sub(start).div_ceil(window.dilation[axis]).min(window.kernel[axis]);
    let end = (conv.sliding.input[axis] + before).saturating_sub(start).div_ceil(window.dilation[axis]);
    first..end.min(window.kernel[axis]).max(first)
}

impl Job for Rowwise<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let conv = &self.step.conv;
        let [height, width] = conv.sliding.output;
        let all = 0..conv.sliding.window.kernel[1];
        // Pixels from `first` to `end` have all their columns of taps inside the picture.
        let is_inner = |x: &usize| taps_inside(conv, 1, *x) == all;
        let first = (0..width).find(is_inner).unwrap_or(width);
        let end = (first..width).find(|x| !is_inner(x)).unwrap_or(width);
        for sample in 0..self.operands.samples {
            for y in 0..height {
                let rows = taps_inside(conv, 0, y);
                let mut x = 0;
                while x < width {
                    let columns = taps_inside(conv, 1, x);
                    let span = Span { sample, y, x, rows: rows.clone(), columns };
                    // SAFETY: these output pixels exist; all their taps are inside the picture.
                    unsafe {
                        if x >= first && x + PIXELS <= end {
                            self.span::<S, PIXELS>(simd, &span);
                            x += PIXELS;
                        } else {
                            self.span::<S, 1>(simd, &span);
                            x += 1;
                        }
                    }
                }
            }
        }
    }
}

impl Rowwise<'_> {
    /// All channels of a span of `N` pixels.
    ///
    /// # Safety
    /// The pixels exist, and the span's taps lie inside the picture.
    #[inline(always)]
    unsafe fn span<S: Simd, const N: usize>(&self, simd: S, span: &Span) {
        let channels = self.step.conv.cout;
        let whole = channels / S::LANES * S::LANES;
        // SAFETY: by the caller's promise; the last vector has channels − whole channels.
        unsafe {
            for channel in (0..whole).step_by(S::LANES) {
                self.vector::<S, N, true>(simd, span, channel, S::LANES);
            }
            if whole < channels {
                self.vector::<S, N, false>(simd, span, whole, channels - whole);
            }
        }
    }

    /// One vector of channels of a span, `count` of them; all lanes if `FULL`.
    ///
    /// # Safety
    /// As [`span`](Rowwise::span), and the channels exist.
    #[inline(always)]
    unsafe fn vector<S: Simd, const N: usize, const FULL: bool>(
        &self,
        simd: S,
        span: &Span,
        channel: usize,
        count: usize,
    ) {
        let conv = &self.step.conv;
        let window = &conv.sliding.window;
        let width = conv.sliding.input[1];
        // SAFETY (whole body): `count` channels from `channel` on of pixels, weights and biases.
        unsafe {
            let load = |at: *const f32| if FULL { simd.load(at) } else { simd.load_first(at, count) };
            let weights = self.step.weights.as_slice().as_ptr().add(channel);
            let mut sums = [simd.splat(0.0); N];
            if !self.step.bias.is_empty() {
                sums = [load(self.step.bias.as_ptr().add(channel)); N];
            }
            let step = window.stride[1] * self.operands.input.stride;
            for ky in span.rows.clone() {
                let y = span.y * window.stride[0] + ky * window.dilation[0] - window.pads[0];
                for kx in span.columns.clone() {
                    let x = span.x * window.stride[1] + kx * window.dilation[1] - window.pads[1];
                    let from = self.operands.input.row(span.sample, y * width + x).add(channel);
                    let w = load(weights.add((ky * window.kernel[1] + kx) * conv.cout));
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add(load(from.add(pixel * step)), w, *sum);
                    }
                }
            }
            let row = span.y * conv.sliding.output[1] + span.x;
            if let Some(residual) = self.operands.second.filter(|_| conv.residual) {
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.add(*sum, load(residual.row(span.sample, row + pixel).add(channel)));
                }
            }
            for (pixel, &sum) in sums.iter().enumerate() {
                let out = self.operands.output.row(span.sample, row + pixel).add(channel);
                let sum = simd.activate(conv.activation, sum);
                if FULL {
                    simd.store(out, sum);
                } else {
                    simd.store_first(out, sum, count);
                }
                simd.finish(conv.activation, out, count);
            }
        }
    }
}
