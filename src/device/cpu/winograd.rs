//! 3×3 convolution by Winograd's F(4×4, 3×3): a tile of 4×4 outputs costs 36 multiplications for each
//! pair of channels instead of 144.
//!
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. For a block of tiles: the inputs `d` (6×6 pixels) are transformed,
//! vectors over channels, to `[36, tiles, cin]`; 36 products with the transformed weights `[36, cin,
//! cout]` follow; the results are transformed back, and bias, residual and activation applied as they
//! are stored.

use std::ops::Range;

use super::compiled::Executable;
use super::direct::bias;
use super::memory::{LINE, Operands, Workspace};
use super::product::{MR, Packed, Product};
use super::simd::{Job, Level, Simd};
use crate::model::Activation;
use crate::plan::{Conv, Plan};

/// The interpolation points are 0, ±A, ±B and ∞. Of the pairs tried, this one has the smallest error:
/// 0.7 of that of the usual 1 and 2, and less than that of a plain sum. Their squares and products are
/// exact in binary.
const A: f64 = 0.75;
const B: f64 = 1.5;

/// Name of the kernel, for people.
pub(super) const NAME: &str = "winograd";

/// Outputs of a tile along one axis.
pub(super) const OUT: usize = 4;
/// Inputs of a tile along one axis.
const IN: usize = 6;
/// Products.
const POINTS: usize = IN * IN;

/// Transformed inputs and results of a block should stay within so many bytes of the second cache.
const BLOCK_BYTES: usize = 1 << 19;
/// Tiles of a block if the weights have to come from beyond the second cache: enough to be worth the way.
const LARGE_BLOCK: usize = 64 * MR;
/// Weights of at most so many bytes stay in the second cache.
const RESIDENT_BYTES: usize = 1 << 20;

/// A 3×3 convolution by transformation.
pub(crate) struct Winograd {
    conv: Conv,
    weights: Packed,
    bias: Vec<f32>,
    shape: Shape,
}

/// Sizes of a block.
#[derive(Clone, Copy)]
struct Shape {
    /// Tiles down and right.
    tiles: [usize; 2],
    /// Tiles in a block.
    block: usize,
    /// Floats of a transformed tile, for one point.
    cin: usize,
    /// Floats of a result, for one point.
    cout: usize,
}

impl Shape {
    /// Floats from one point's inputs to the next's.
    fn input_stride(&self) -> usize {
        odd_lines(self.block * self.cin)
    }

    /// Floats from one point's results to the next's.
    fn output_stride(&self) -> usize {
        odd_lines(self.block * self.cout)
    }
}

/// Rounds up to an odd number of cache lines, so that the 36 places of a tile do not compete for one
/// set of the cache.
fn odd_lines(floats: usize) -> usize {
    (floats.div_ceil(LINE) | 1) * LINE
}

impl Winograd {
    /// Transforms and packs the weights of a 3×3 convolution of stride 1 without dilation and groups.
    pub fn new(level: Level, plan: &Plan, conv: &Conv) -> Self {
        let weight = &plan.weights[conv.weight].data;
        let (cin, cout) = (conv.cin, conv.cout);
        // [cin, cout, 36], a temporary: the packed order asks for elements one by one.
        let mut transformed = vec![0.0f32; cin * cout * POINTS];
        for i in 0..cin {
            for o in 0..cout {
                let filter = std::array::from_fn(|tap| f64::from(weight[(tap * cin + i) * cout + o]));
                transformed[(i * cout + o) * POINTS..][..POINTS].copy_from_slice(&transform_weights(&filter));
            }
        }
        let weights = Packed::new(level, [POINTS, 1, cin, cout], |point, i, o| {
            transformed[(i * cout + o) * POINTS + point]
        });
        let lanes = level.lanes();
        let (padded_in, padded_out) = (cin.next_multiple_of(lanes), cout.next_multiple_of(lanes));
        let tile_bytes = POINTS * (padded_in + padded_out) * size_of::<f32>();
        let block = if weights.bytes() > RESIDENT_BYTES {
            LARGE_BLOCK
        } else {
            (BLOCK_BYTES / tile_bytes / MR * MR).clamp(4 * MR, LARGE_BLOCK)
        };
        let tiles = [conv.sliding.output[0].div_ceil(OUT), conv.sliding.output[1].div_ceil(OUT)];
        let shape = Shape { tiles, block, cin: padded_in, cout: padded_out };
        Winograd { conv: conv.clone(), weights, bias: bias(plan, conv), shape }
    }
}

/// `G g Gᵀ`, in f64, rounded once.
fn transform_weights(filter: &[f64; 9]) -> [f32; POINTS] {
    let points = [0.0, A, -A, B, -B];
    let mut g = [[0.0; 3]; IN];
    for (row, p) in g.iter_mut().zip(points) {
        let scale: f64 = points.iter().filter(|&&q| q != p).map(|q| p - q).product();
        *row = [1.0 / scale, p / scale, p * p / scale];
    }
    g[5] = [0.0, 0.0, 1.0];
    std::array::from_fn(|point| {
        let (row, column) = (g[point / IN], g[point % IN]);
        let sum: f64 = (0..9).map(|tap| row[tap / 3] * filter[tap] * column[tap % 3]).sum();
        sum as f32
    })
}

/// `Bᵀ d` along one axis.
#[inline(always)]
fn transform_input<S: Simd>(simd: S, d: [S::Vector; IN]) -> [S::Vector; IN] {
    let c = |x: f64| simd.splat(x as f32);
    let (a2, b2) = (A * A, B * B);
    let u = simd.mul_add(c(-b2), d[2], d[4]);
    let v = simd.mul(c(A), simd.mul_add(c(-b2), d[1], d[3]));
    let p = simd.mul_add(c(-a2), d[2], d[4]);
    let q = simd.mul(c(B), simd.mul_add(c(-a2), d[1], d[3]));
    [
        simd.mul_add(c(a2 * b2), d[0], simd.mul_add(c(-(a2 + b2)), d[2], d[4])),
        simd.add(u, v),
        simd.sub(u, v),
        simd.add(p, q),
        simd.sub(p, q),
        simd.mul_add(c(a2 * b2), d[1], simd.mul_add(c(-(a2 + b2)), d[3], d[5])),
    ]
}

/// `Aᵀ m` along one axis.
#[inline(always)]
fn transform_output<S: Simd>(simd: S, m: [S::Vector; IN]) -> [S::Vector; OUT] {
    let c = |x: f64| simd.splat(x as f32);
    let (a_sum, a_difference) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
    let (b_sum, b_difference) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
    [
        simd.add(m[0], simd.add(a_sum, b_sum)),
        simd.mul_add(c(B), b_difference, simd.mul(c(A), a_difference)),
        simd.mul_add(c(B * B), b_sum, simd.mul(c(A * A), a_sum)),
        simd.add(m[5], simd.mul_add(c(B * B * B), b_difference, simd.mul(c(A * A * A), a_difference))),
    ]
}

/// Transforms the inputs of a block of tiles.
struct Forward<'a> {
    conv: &'a Conv,
    shape: Shape,
    operands: &'a Operands,
    tiles: Range<usize>,
    zeros: *const f32,
    to: &'a mut [f32],
}

impl Job for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let sliding = &self.conv.sliding;
        let stride = self.shape.input_stride();
        assert!(self.to.len() >= POINTS * stride && self.shape.block >= self.tiles.len());
        let per_sample = self.shape.tiles[0] * self.shape.tiles[1];
        for (number, tile) in self.tiles.enumerate() {
            let (sample, tile) = (tile / per_sample, tile % per_sample);
            let (ty, tx) = (tile / self.shape.tiles[1], tile % self.shape.tiles[1]);
            let mut pixels = [self.zeros; POINTS];
            for i in 0..IN {
                let y = (ty * OUT + i).wrapping_sub(sliding.window.pads[0]);
                for j in 0..IN {
                    let x = (tx * OUT + j).wrapping_sub(sliding.window.pads[1]);
                    if y < sliding.input[0] && x < sliding.input[1] {
                        // SAFETY: the pixel lies in the picture.
                        pixels[i * IN + j] =
                            unsafe { self.operands.input.row(sample, y * sliding.input[1] + x) };
                    }
                }
            }
            for channel in (0..self.conv.cin).step_by(S::LANES) {
                let left = self.conv.cin - channel;
                let mut half = [[simd.splat(0.0); IN]; IN];
                for j in 0..IN {
                    let mut d = [simd.splat(0.0); IN];
                    for (i, d) in d.iter_mut().enumerate() {
                        // SAFETY: min(left, LANES) channels of a pixel, or of `zeros`, which is as long.
                        *d = unsafe { simd.load_upto(pixels[i * IN + j].add(channel), left) };
                    }
                    for (row, x) in half.iter_mut().zip(transform_input(simd, d)) {
                        row[j] = x;
                    }
                }
                for (i, &row) in half.iter().enumerate() {
                    for (j, x) in transform_input(simd, row).into_iter().enumerate() {
                        let at = (i * IN + j) * stride + number * self.shape.cin + channel;
                        // SAFETY: number < block and channel + LANES ≤ cin rounded up to LANES, so this
                        // ends before the next point's stride; 36 strides were checked above.
                        unsafe { simd.store(self.to.as_mut_ptr().add(at), x) };
                    }
                }
            }
        }
    }
}

/// Transforms the results of a block of tiles back and finishes them.
struct Backward<'a> {
    conv: &'a Conv,
    shape: Shape,
    operands: &'a Operands,
    tiles: Range<usize>,
    from: &'a [f32],
    bias: &'a [f32],
}

impl Job for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let sliding = &self.conv.sliding;
        let [height, width] = sliding.output;
        let stride = self.shape.output_stride();
        let cout = self.conv.cout;
        assert!(self.from.len() >= POINTS * stride && self.shape.block >= self.tiles.len());
        assert!(self.bias.is_empty() || self.bias.len() == cout);
        let residual = self.operands.second.filter(|_| self.conv.residual);
        let per_sample = self.shape.tiles[0] * self.shape.tiles[1];
        for (number, tile) in self.tiles.enumerate() {
            let (sample, tile) = (tile / per_sample, tile % per_sample);
            let (y0, x0) = (tile / self.shape.tiles[1] * OUT, tile % self.shape.tiles[1] * OUT);
            for channel in (0..cout).step_by(S::LANES) {
                let left = cout - channel;
                let mut half = [[simd.splat(0.0); IN]; OUT];
                for j in 0..IN {
                    let mut m = [simd.splat(0.0); IN];
                    for (i, m) in m.iter_mut().enumerate() {
                        let at = (i * IN + j) * stride + number * self.shape.cout + channel;
                        // SAFETY: as in `Forward`.
                        *m = unsafe { simd.load(self.from.as_ptr().add(at)) };
                    }
                    for (row, x) in half.iter_mut().zip(transform_output(simd, m)) {
                        row[j] = x;
                    }
                }
                let bias = if self.bias.is_empty() {
                    simd.splat(0.0)
                } else {
                    // SAFETY: `left` biases are left.
                    unsafe { simd.load_upto(self.bias.as_ptr().add(channel), left) }
                };
                for (i, &row) in half.iter().enumerate().take(height - y0) {
                    for (j, x) in transform_output(simd, row).into_iter().enumerate().take(width - x0) {
                        let pixel = (y0 + i) * width + x0 + j;
                        let mut sum = simd.add(x, bias);
                        // SAFETY: the pixel lies in the picture and has `left` channels from here on.
                        unsafe {
                            if let Some(residual) = residual {
                                let at = residual.row(sample, pixel).add(channel);
                                sum = simd.add(sum, simd.load_upto(at, left));
                            }
                            let at = self.operands.output.row(sample, pixel).add(channel);
                            simd.store_upto(at, simd.activate(self.conv.activation, sum), left);
                            simd.finish(self.conv.activation, at, left.min(S::LANES));
                        }
                    }
                }
            }
        }
    }
}

impl Executable for Winograd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn weight_bytes(&self) -> usize {
        self.weights.bytes()
    }

    fn scratch_floats(&self, _samples: usize) -> usize {
        POINTS * (self.shape.input_stride() + self.shape.output_stride())
    }

    fn partial_floats(&self, level: Level) -> usize {
        self.weights.partial_floats(level) * self.shape.block.next_multiple_of(MR)
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, work: &mut Workspace) {
        let shape = self.shape;
        work.zeros.reserve(self.conv.cin);
        work.scratch.reserve(self.scratch_floats(operands.samples));
        work.partial.reserve(self.partial_floats(level));
        let (input_stride, output_stride) = (shape.input_stride(), shape.output_stride());
        let (inputs, outputs) = work.scratch.as_mut_slice().split_at_mut(POINTS * input_stride);
        let total = operands.samples * shape.tiles[0] * shape.tiles[1];
        for first in (0..total).step_by(shape.block) {
            let tiles = first..(first + shape.block).min(total);
            let zeros = work.zeros.as_slice().as_ptr();
            level.run(Forward { conv: &self.conv, shape, operands, tiles: tiles.clone(), zeros, to: inputs });
            let addresses = &mut work.addresses;
            addresses.clear();
            let (input, output) = (inputs.as_ptr(), outputs.as_mut_ptr());
            // SAFETY: row < block. Rows beyond the last repeat it.
            unsafe {
                let last = tiles.len() - 1;
                let rows = (0..tiles.len().next_multiple_of(MR)).map(|row| row.min(last));
                addresses.inputs.extend(rows.map(|row| input.add(row * shape.cin)));
                addresses.outputs.extend((0..tiles.len()).map(|row| output.add(row * shape.cout)));
            }
            for point in 0..POINTS {
                if point > 0 {
                    // Wrapping, since nothing here says again that 36 strides fit (`scratch_floats` does).
                    addresses.inputs.iter_mut().for_each(|at| *at = at.wrapping_add(input_stride));
                    addresses.outputs.iter_mut().for_each(|at| *at = at.wrapping_add(output_stride));
                }
                level.run(Product {
                    weights: &self.weights,
                    matrix: point,
                    panels: 0..self.weights.panels(),
                    inputs: &addresses.inputs,
                    outputs: &addresses.outputs,
                    residuals: &[],
                    bias: &[],
                    activation: Activation::Identity,
                    partial: work.partial.as_mut_slice(),
                });
            }
            level.run(Backward { conv: &self.conv, shape, operands, tiles, from: outputs, bias: &self.bias });
        }
    }
}
