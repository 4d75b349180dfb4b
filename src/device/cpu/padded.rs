//! Convolution of a picture with few channels: the picture is copied once into a padded one, where the
//! pixels of a row of the window are contiguous. So a 7×7 window over 3 channels is 7 taps of 21 floats
//! instead of 49 taps of 3.
//!
//! The copy is also the place where a masked first layer selects instance or baseline.

use std::ops::Range;

use super::compiled::Executable;
use super::direct::{bias, output_addresses};
use super::memory::{Operands, Workspace};
use super::product::{MR, Packed, Product};
use super::simd::Level;
use crate::plan::{Conv, Locality, Plan};

/// Output rows that are summed together.
const BLOCK_ROWS: usize = 16 * MR;

/// A convolution over a padded copy.
pub(crate) struct Padded {
    conv: Conv,
    weights: Packed,
    bias: Vec<f32>,
    /// Height and width of the padded picture.
    picture: [usize; 2],
}

/// Where the copy comes from.
enum Source<'a> {
    /// The step's input.
    Stored(&'a Operands),
    /// Instance and baseline, selected by the bits of these rows of the run.
    Masked(&'a Locality, usize),
}

impl Padded {
    /// Packs the weights of a convolution without groups and without dilation to the right.
    pub fn new(level: Level, plan: &Plan, conv: &Conv) -> Self {
        let weight = &plan.weights[conv.weight].data;
        let window = &conv.sliding.window;
        let depth = window.kernel[1] * conv.cin;
        let weights =
            Packed::new(level, [1, window.kernel[0], depth, conv.cout], |_, k, o| weight[k * conv.cout + o]);
        let picture = [
            (conv.sliding.output[0] - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1,
            (conv.sliding.output[1] - 1) * window.stride[1] + window.kernel[1],
        ];
        Padded { conv: conv.clone(), weights, bias: bias(plan, conv), picture }
    }

    /// The step on rows `first_row..` of a run whose input is described by `locality` and stored nowhere.
    ///
    /// # Safety
    /// As [`Executable::run`], but that `operands.input` is not read; `locality` fits the input's shape
    /// and has the rows.
    pub unsafe fn run_masked(
        &self,
        level: Level,
        operands: &Operands,
        locality: &Locality,
        first_row: usize,
        work: &mut Workspace,
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.run_from(level, operands, &Source::Masked(locality, first_row), work) }
    }

    /// # Safety
    /// As [`Executable::run`].
    unsafe fn run_from(&self, level: Level, operands: &Operands, source: &Source<'_>, work: &mut Workspace) {
        let conv = &self.conv;
        let [height, width] = self.picture;
        let sliding = &conv.sliding;
        let window = &sliding.window;
        work.scratch.reserve(self.scratch_floats(1));
        work.partial.reserve(self.partial_floats(level));
        for sample in 0..operands.samples {
            let picture = &mut work.scratch.as_mut_slice()[..height * width * conv.cin];
            for (py, row) in picture.chunks_exact_mut(width * conv.cin).enumerate() {
                let y = py.wrapping_sub(window.pads[0]);
                if y >= sliding.input[0] {
                    row.fill(0.0);
                    continue;
                }
                let left = window.pads[1].min(width);
                let pixels = sliding.input[1].min(width - left);
                row[..left * conv.cin].fill(0.0);
                row[(left + pixels) * conv.cin..].fill(0.0);
                let inside = &mut row[left * conv.cin..(left + pixels) * conv.cin];
                let first = y * sliding.input[1];
                match source {
                    // SAFETY: row y and its first `pixels` pixels are in the picture.
                    Source::Stored(operands) => unsafe { self.copy_stored(operands, sample, first, inside) },
                    Source::Masked(locality, row) => select(locality, row + sample, conv.cin, first, inside),
                }
            }
            let picture = picture.as_ptr();
            for first in (0..sliding.output_rows()).step_by(BLOCK_ROWS) {
                let rows = first..(first + BLOCK_ROWS).min(sliding.output_rows());
                let taps = window.kernel[0];
                work.addresses.inputs.clear();
                work.addresses.inputs.resize(rows.len().div_ceil(MR) * taps * MR, picture);
                let (mut y, mut x) = (rows.start / sliding.output[1], rows.start % sliding.output[1]);
                for i in 0..rows.len() {
                    let slots = &mut work.addresses.inputs[(i / MR) * taps * MR..][..taps * MR];
                    for ky in 0..taps {
                        let py = y * window.stride[0] + ky * window.dilation[0];
                        // SAFETY: py < height and x · stride + kernel ≤ width, by the picture's size.
                        slots[ky * MR + i % MR] =
                            unsafe { picture.add((py * width + x * window.stride[1]) * conv.cin) };
                    }
                    x += 1;
                    if x == sliding.output[1] {
                        (y, x) = (y + 1, 0);
                    }
                }
                let all = sample * sliding.output_rows();
                let residual = operands.second.filter(|_| conv.residual);
                // SAFETY: rows of this sample.
                unsafe {
                    let rows = all + rows.start..all + rows.end;
                    output_addresses(sliding, operands.output, residual, rows, &mut work.addresses);
                }
                level.run(Product {
                    weights: &self.weights,
                    matrix: 0,
                    panels: 0..self.weights.panels(),
                    inputs: &work.addresses.inputs,
                    outputs: &work.addresses.outputs,
                    residuals: &work.addresses.residuals,
                    bias: &self.bias,
                    activation: conv.activation,
                    partial: work.partial.as_mut_slice(),
                });
            }
        }
    }

    /// Copies pixels `first..` of a stored sample.
    ///
    /// # Safety
    /// The pixels lie within the picture, the sample within the tile.
    unsafe fn copy_stored(&self, operands: &Operands, sample: usize, first: usize, to: &mut [f32]) {
        let cin = self.conv.cin;
        // SAFETY: by the caller's promise; where rows are contiguous, the next row starts where one ends.
        unsafe {
            if operands.input.stride == cin {
                let from = std::slice::from_raw_parts(operands.input.row(sample, first), to.len());
                to.copy_from_slice(from);
            } else {
                for (pixel, to) in to.chunks_exact_mut(cin).enumerate() {
                    to.copy_from_slice(std::slice::from_raw_parts(
                        operands.input.row(sample, first + pixel),
                        cin,
                    ));
                }
            }
        }
    }
}

/// Writes pixels `first..` of row `row` of a run: instance where the pixel's player is present, else
/// baseline.
pub(crate) fn select(locality: &Locality, row: usize, channels: usize, first: usize, to: &mut [f32]) {
    let pixels = to.len() / channels;
    let players = &locality.players[first..first + pixels];
    let mask = &locality.masks[row * locality.words_per_row..][..locality.words_per_row];
    let mut done = 0;
    // Neighbouring pixels mostly share a player: copy runs of them.
    while done < pixels {
        let player = players[done];
        let run = players[done..].iter().take_while(|&&other| other == player).count();
        let present = player == u32::MAX || mask[player as usize / 32] >> (player % 32) & 1 == 1;
        let from = if present { &locality.instance } else { &locality.baseline };
        let start = (first + done) * channels;
        to[done * channels..][..run * channels].copy_from_slice(&from[start..start + run * channels]);
        done += run;
    }
}

impl Executable for Padded {
    fn name(&self) -> &'static str {
        "padded"
    }

    fn weight_bytes(&self) -> usize {
        self.weights.bytes()
    }

    fn scratch_floats(&self, _samples: usize) -> usize {
        self.picture[0] * self.picture[1] * self.conv.cin
    }

    fn partial_floats(&self, level: Level) -> usize {
        self.weights.partial_floats(level) * BLOCK_ROWS
    }

    fn as_padded(&self) -> Option<&Padded> {
        Some(self)
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, work: &mut Workspace) {
        // SAFETY: the caller's promise.
        unsafe { self.run_from(level, operands, &Source::Stored(operands), work) }
    }
}
