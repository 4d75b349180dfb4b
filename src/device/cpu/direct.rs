//! Convolution as a product over addresses: no copy of the input, any stride, dilation and number of
//! groups. A Linear or 1×1 convolution is the case of one tap.

use std::ops::Range;

use super::compiled::Executable;
use super::memory::{Addresses, Operands, Rows, Workspace};
use super::product::{MR, Packed, Product};
use super::simd::Level;
use crate::plan::{Conv, Plan, Sliding};

/// Rows that go through all panels together: their inputs stay in the second cache while each panel is
/// read once.
const BLOCK_ROWS: usize = 16 * MR;

/// The same where the weights are too large for the second cache.
const LARGE_BLOCK_ROWS: usize = 64 * MR;

/// Weights of at most so many bytes stay in the second cache.
const RESIDENT_BYTES: usize = 1 << 20;

/// A convolution without copies.
pub(crate) struct Direct {
    conv: Conv,
    weights: Packed,
    bias: Vec<f32>,
    block_rows: usize,
}

impl Direct {
    /// Packs the weights.
    pub fn new(level: Level, plan: &Plan, conv: &Conv) -> Self {
        let (weights, block_rows) = pack(level, plan, conv);
        Direct { conv: conv.clone(), weights, bias: bias(plan, conv), block_rows }
    }
}

/// The weights of a convolution with any number of groups but depthwise, packed, and how many rows go through all
/// panels together.
pub(crate) fn pack(level: Level, plan: &Plan, conv: &Conv) -> (Packed, usize) {
    let weight = &plan.weights[conv.weight].data;
    let taps = conv.sliding.window.kernel.iter().product();
    let (depth, channels) = (conv.cin / conv.groups, conv.cout / conv.groups);
    let rows = taps * depth;
    let weights = Packed::new(level, [conv.groups, taps, depth, channels], |group, k, o| {
        weight[(group * rows + k) * channels + o]
    });
    let block_rows = if weights.bytes() > RESIDENT_BYTES { LARGE_BLOCK_ROWS } else { BLOCK_ROWS };
    (weights, block_rows)
}

/// The bias of a convolution, or nothing.
pub(crate) fn bias(plan: &Plan, conv: &Conv) -> Vec<f32> {
    conv.bias.map_or_else(Vec::new, |bias| plan.weights[bias].data[..conv.cout].to_vec())
}

impl Executable for Direct {
    fn name(&self) -> &'static str {
        if self.conv.sliding.is_pointwise() { "product" } else { "direct" }
    }

    fn weight_bytes(&self) -> usize {
        self.weights.bytes()
    }

    fn partial_floats(&self, level: Level) -> usize {
        self.weights.partial_floats(level) * self.block_rows
    }

    fn panels(&self) -> usize {
        if self.conv.groups == 1 { self.weights.panels() } else { 1 }
    }

    unsafe fn run(&self, level: Level, operands: &Operands, panels: Range<usize>, work: &mut Workspace) {
        let conv = &self.conv;
        let depth = self.weights.depth();
        let channels = conv.cout / conv.groups;
        let panels = if conv.groups == 1 { panels } else { 0..self.weights.panels() };
        let total = operands.samples * conv.sliding.output_rows();
        work.zeros.reserve(depth);
        work.partial.reserve(self.partial_floats(level));
        for group in 0..conv.groups {
            // SAFETY: channels of the group lie within the rows.
            let (input, output, residual) = unsafe {
                (
                    operands.input.at_channel(group * depth),
                    operands.output.at_channel(group * channels),
                    operands.second.filter(|_| conv.residual).map(|rows| rows.at_channel(group * channels)),
                )
            };
            for first in (0..total).step_by(self.block_rows) {
                let rows = first..(first + self.block_rows).min(total);
                let zeros = work.zeros.as_slice().as_ptr();
                // SAFETY: rows < samples × output rows.
                unsafe {
                    input_addresses(&conv.sliding, input, rows.clone(), zeros, &mut work.addresses);
                    output_addresses(&conv.sliding, output, residual, rows, &mut work.addresses);
                }
                level.run(Product {
                    weights: &self.weights,
                    matrix: group,
                    panels: panels.clone(),
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

/// An output pixel of a tile of samples, counted without divisions.
#[derive(Clone, Copy)]
struct Cursor {
    sample: usize,
    y: usize,
    x: usize,
    size: [usize; 2],
}

impl Cursor {
    /// Row `row` of all samples' output rows.
    fn new(sliding: &Sliding, row: usize) -> Self {
        let (sample, pixel) = (row / sliding.output_rows(), row % sliding.output_rows());
        Cursor { sample, y: pixel / sliding.output[1], x: pixel % sliding.output[1], size: sliding.output }
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.x += 1;
        if self.x == self.size[1] {
            self.x = 0;
            self.y += 1;
            if self.y == self.size[0] {
                self.y = 0;
                self.sample += 1;
            }
        }
    }
}

/// Writes `[tiles, taps, MR]` addresses of what each output row reads.
///
/// # Safety
/// `rows` are output rows of the tile's samples; `input` is a view of the window's input; `zeros` is as
/// long as a row.
unsafe fn input_addresses(
    sliding: &Sliding,
    input: Rows,
    rows: Range<usize>,
    zeros: *const f32,
    addresses: &mut Addresses,
) {
    let window = &sliding.window;
    let [height, width] = sliding.input;
    let taps = window.kernel[0] * window.kernel[1];
    addresses.inputs.clear();
    addresses.inputs.resize(rows.len().div_ceil(MR) * taps * MR, zeros);
    let mut at = Cursor::new(sliding, rows.start);
    for i in 0..rows.len() {
        let slots = &mut addresses.inputs[(i / MR) * taps * MR..][..taps * MR];
        for ky in 0..window.kernel[0] {
            // Wraps below zero, to a number beyond any height.
            let y = (at.y * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.pads[0]);
            if y >= height {
                continue;
            }
            // SAFETY: row y is in the picture, the sample in the tile.
            let line = unsafe { input.row(at.sample, y * width) };
            for kx in 0..window.kernel[1] {
                let x = (at.x * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.pads[1]);
                if x < width {
                    // SAFETY: pixel x is in the row.
                    slots[(ky * window.kernel[1] + kx) * MR + i % MR] = unsafe { line.add(x * input.stride) };
                }
            }
        }
        at.advance();
    }
}

/// Writes the addresses of output rows and, if there is a residual, of its rows.
///
/// # Safety
/// `rows` are output rows of the tile's samples.
pub(crate) unsafe fn output_addresses(
    sliding: &Sliding,
    output: Rows,
    residual: Option<Rows>,
    rows: Range<usize>,
    addresses: &mut Addresses,
) {
    let per_sample = sliding.output_rows();
    let push = |to: Rows, addresses: &mut dyn FnMut(*mut f32)| {
        let (mut sample, mut pixel) = (rows.start / per_sample, rows.start % per_sample);
        for _ in rows.clone() {
            // SAFETY: by the caller's promise.
            addresses(unsafe { to.row(sample, pixel) });
            pixel += 1;
            if pixel == per_sample {
                (sample, pixel) = (sample + 1, 0);
            }
        }
    };
    let Addresses { outputs, residuals, .. } = addresses;
    outputs.clear();
    residuals.clear();
    push(output, &mut |at| outputs.push(at));
    if let Some(residual) = residual {
        push(residual, &mut |at| residuals.push(at.cast_const()));
    }
}
