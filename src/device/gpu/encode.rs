//! A step as data for the GPU: which pipeline, which constants, which uniform, which grid.
//!
//! Pure functions of plan, arena and sizes; nothing here touches a device.

use bytemuck::bytes_of;

use super::arena::{Arena, Region};
use super::grid::{grid, grid_of_threads};
use super::pack::{K_MULTIPLE, Packed, group_channels};
use super::select::{Caps, Tile, choose};
use super::source::Permutation;
use super::uniforms::{
    BinaryParams, ChannelParams, ConvParams, CopyParams, LrnParams, NormalizeParams, PoolParams,
    ReduceParams, SoftmaxParams,
};
use crate::model::{Activation, NormKind, PoolKind, ReduceKind};
use crate::plan::{
    Binary, Conv, Copy, Kernel, Lrn, Normalize, Operand, Plan, Pool, Reduce, Softmax, Step, View,
};

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dispatch {
    /// Its pipeline.
    pub permutation: Permutation,
    /// Read-only buffers from binding 2 on. (A masked convolution's further ones are the perturbation's.)
    pub constants: Vec<Packed>,
    /// Its uniform.
    pub uniform: Vec<u8>,
    /// Workgroups.
    pub grid: [u32; 2],
}

/// Where a view's element (sample 0, row 0, channel 0) lies, and the way to the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) base: u32,
    pub(super) sample: u32,
    pub(super) stride: u32,
}

/// Makes dispatches for chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder<'a> {
    /// What is executed; `check` has accepted it.
    pub plan: &'a Plan,
    /// Where activations lie.
    pub arena: &'a Arena,
    /// What the adapter can do.
    pub caps: &'a Caps,
    /// Samples in the run's chunks: kernels are chosen for these.
    pub chunk_rows: usize,
    /// Forces a convolution kernel, for tests and benchmarks.
    pub tile: Option<Tile>,
    /// Samples in the chunk at hand, at most `chunk_rows`.
    pub rows: usize,
}

/// Sizes have been checked against buffers of less than 2³¹ bytes, so they fit.
pub(super) fn word(n: usize) -> u32 {
    debug_assert!(n <= u32::MAX as usize);
    n as u32
}

pub(super) fn words<const N: usize>(numbers: [usize; N]) -> [u32; N] {
    numbers.map(word)
}

/// Whether rows of a view begin at multiples of four.
fn aligned(view: View, rows: usize) -> bool {
    view.offset.is_multiple_of(4) && (rows == 1 || view.stride.is_multiple_of(4))
}

/// Whether quads along the last axis of strided axes are contiguous and begin at multiples of four.
fn aligned_axes(view: View, shape: &[usize], strides: &[usize]) -> bool {
    let (Some((last, outer)), Some((1, strides))) = (shape.split_last(), strides.split_last()) else {
        return false;
    };
    let steps = outer.iter().zip(strides).all(|(&len, stride)| len == 1 || stride.is_multiple_of(4));
    last.is_multiple_of(4) && view.offset.is_multiple_of(4) && steps
}

fn permutation(shader: &'static str, vec4: bool) -> Permutation {
    Permutation { shader, defines: if vec4 { &["VEC4"] } else { &[] } }
}

/// Input of the convolution, as the kernels' permutations distinguish it.
#[derive(Clone, Copy)]
enum Input {
    Quads,
    Single,
    Masked,
}

fn convolution(tile: Tile, input: Input) -> Permutation {
    let (shader, defines): (_, &'static [&'static str]) = match (tile, input) {
        (Tile::Tall, Input::Quads) => ("conv_tiled", &["TALL", "VEC4"]),
        (Tile::Tall, Input::Single) => ("conv_tiled", &["TALL"]),
        (Tile::Tall, Input::Masked) => ("conv_tiled", &["TALL", "MASKED"]),
        (Tile::Square, Input::Quads) => ("conv_tiled", &["VEC4"]),
        (Tile::Square, Input::Single) => ("conv_tiled", &[]),
        (Tile::Square, Input::Masked) => ("conv_tiled", &["MASKED"]),
        (Tile::Small, Input::Quads) => ("conv_tiled", &["SMALL", "VEC4"]),
        (Tile::Small, Input::Single) => ("conv_tiled", &["SMALL"]),
        (Tile::Small, Input::Masked) => ("conv_tiled", &["SMALL", "MASKED"]),
        (Tile::Registers, Input::Quads) => ("conv_registers", &["VEC4"]),
        (Tile::Registers, Input::Single) => ("conv_registers", &[]),
        (Tile::Registers, Input::Masked) => ("conv_registers", &["MASKED"]),
    };
    Permutation { shader, defines }
}

fn is_depthwise(conv: &Conv) -> bool {
    conv.groups > 1 && conv.groups == conv.cin && conv.groups == conv.cout
}

/// The constants of a step, in the order of their bindings.
pub(crate) fn constants(step: &Step) -> Vec<Packed> {
    match &step.kernel {
        Kernel::Conv(conv) => {
            let taps: usize = conv.sliding.window.kernel.iter().product();
            if is_depthwise(conv) {
                return vec![
                    Packed::Depthwise { weight: conv.weight, channels: conv.cout, taps },
                    Packed::Vector { weight: conv.bias, groups: 1, len: conv.cout },
                ];
            }
            let [cout, cin] = group_channels(conv);
            vec![
                Packed::Conv { weight: conv.weight, groups: conv.groups, k: taps * cin, cout },
                Packed::Vector { weight: conv.bias, groups: conv.groups, len: cout },
            ]
        }
        Kernel::Affine(affine) => [affine.scale, affine.shift]
            .map(|weight| Packed::Vector { weight: Some(weight), groups: 1, len: affine.channels })
            .to_vec(),
        Kernel::Binary(Binary { b: Operand::Constant(weight), .. }) => {
            vec![Packed::Plain { weight: *weight }]
        }
        Kernel::Fill(fill) => vec![Packed::Plain { weight: fill.value }],
        Kernel::Select(select) => vec![Packed::Plain { weight: select.indices }],
        Kernel::Embedding(embedding) => vec![Packed::Plain { weight: embedding.table }],
        Kernel::Normalize(normalize) => normalize
            .scale
            .into_iter()
            .chain(normalize.shift)
            .map(|weight| Packed::Plain { weight })
            .collect(),
        _ => Vec::new(),
    }
}

impl Encoder<'_> {
    /// A step; the first convolution with the masked input if `masked_words` (words of a row of masks) is given.
    pub(crate) fn step(&self, step: &Step, masked_words: Option<usize>) -> Dispatch {
        let (permutation, uniform, grid) = match &step.kernel {
            Kernel::Conv(conv) => self.conv(step, conv, masked_words),
            Kernel::Pool(pool) => self.pool(step, pool),
            Kernel::Reduce(reduce) => self.reduce(step, reduce),
            Kernel::Map(map) => self.channels("map", step, map.rows, map.channels, map.activation),
            Kernel::Affine(affine) => {
                self.channels("affine", step, affine.rows, affine.channels, affine.activation)
            }
            Kernel::Binary(binary) => self.binary(step, binary),
            Kernel::Copy(copy) => self.copy(self.place(step.inputs[0]), self.place(step.output), copy, {
                aligned_axes(step.inputs[0], &copy.shape, &copy.in_strides)
                    && aligned_axes(step.output, &copy.shape, &copy.out_strides)
            }),
            Kernel::Softmax(softmax) => self.softmax(step, softmax),
            Kernel::Fill(fill) => self.fill(step, fill),
            Kernel::Select(select) => self.select(step, select),
            Kernel::Embedding(embedding) => self.embedding(step, embedding),
            Kernel::MatMul(product) => self.matmul(step, product),
            Kernel::Normalize(normalize) => self.normalize(step, normalize),
            Kernel::Lrn(lrn) => self.lrn(step, lrn),
        };
        Dispatch { permutation, constants: constants(step), uniform, grid }
    }

    /// Gathers the outputs into `[rows, outputs]` without gaps.
    pub(crate) fn responses(&self) -> Dispatch {
        let outputs = self.plan.outputs;
        let strides = [outputs, outputs, outputs, outputs, outputs, 1];
        let copy = Copy { shape: [1, 1, 1, 1, 1, outputs], in_strides: strides, out_strides: strides };
        let Region { base, sample } = self.arena.responses;
        let to = Place { base, sample, stride: sample };
        let vec4 = outputs.is_multiple_of(4) && self.plan.output.offset.is_multiple_of(4);
        let (permutation, uniform, grid) = self.copy(self.place(self.plan.output), to, &copy, vec4);
        Dispatch { permutation, constants: Vec::new(), uniform, grid }
    }

    pub(super) fn place(&self, view: View) -> Place {
        let Region { base, sample } = self.arena.buffers[view.buffer];
        Place { base: base + word(view.offset), sample, stride: word(view.stride) }
    }

    fn flat(&self, threads: usize) -> (u32, [u32; 2]) {
        let threads = word(threads);
        (threads, grid_of_threads(threads, self.caps.grid_groups))
    }

    fn conv(
        &self,
        step: &Step,
        conv: &Conv,
        masked_words: Option<usize>,
    ) -> (Permutation, Vec<u8>, [u32; 2]) {
        let depthwise = is_depthwise(conv);
        // A depthwise convolution is one group whose channels do not mix.
        let (groups, [cout, cin]) =
            if depthwise { (1, [conv.cout, conv.cin]) } else { (conv.groups, group_channels(conv)) };
        let sliding = &conv.sliding;
        let [kernel_height, kernel_width] = sliding.window.kernel;
        let pixels = sliding.output_rows();
        let quads = cout.div_ceil(4);

        let residual = conv.residual.then(|| step.inputs[1]);
        let whole = cin.is_multiple_of(4)
            && cout.is_multiple_of(4)
            && aligned(step.inputs[0], sliding.input_rows())
            && aligned(step.output, pixels)
            && residual.is_none_or(|view| aligned(view, pixels));
        let input = match masked_words {
            Some(_) => Input::Masked,
            None if whole => Input::Quads,
            None => Input::Single,
        };
        let tile = if groups > 1 {
            Tile::Registers
        } else {
            let columns = word(self.chunk_rows * pixels);
            self.tile.unwrap_or_else(|| choose(columns, word(cout), self.caps))
        };
        let strips = sliding.output[1].div_ceil(4);
        let (columns, tiles, grid) = if depthwise {
            let columns = self.rows * sliding.output[0] * strips;
            (columns, strips, self.flat(columns * quads).1)
        } else if tile == Tile::Registers {
            let columns = self.rows * pixels;
            (columns, 1, self.flat(columns.div_ceil(4) * groups * quads).1)
        } else {
            let columns = self.rows * pixels;
            let tiles = cout.div_ceil(tile.size()[1] as usize);
            let groups = columns.div_ceil(tile.size()[0] as usize) * tiles;
            (columns, tiles, grid(word(groups), self.caps.grid_groups))
        };
        let permutation =
            if depthwise { self::permutation("conv_depthwise", whole) } else { convolution(tile, input) };

        let depth = tile.depth() as usize;
        let k = kernel_height * kernel_width * cin;
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let residual_place = self.place(residual.unwrap_or(step.output));
        let (activation, low, high) = conv.activation.code();
        let params = ConvParams {
            columns: word(columns),
            groups_x: grid[0],
            tiles: word(tiles),
            steps: word(k.div_ceil(depth)),
            in_base: from.base,
            in_sample: from.sample,
            in_stride: from.stride,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            residual: u32::from(conv.residual),
            residual_base: residual_place.base,
            residual_sample: residual_place.sample,
            residual_stride: residual_place.stride,
            in_height: word(sliding.input[0]),
            in_width: word(sliding.input[1]),
            out_height: word(sliding.output[0]),
            out_width: word(sliding.output[1]),
            out_pixels: word(pixels),
            kernel_height: word(kernel_height),
            kernel_width: word(kernel_width),
            stride_y: word(sliding.window.stride[0]),
            stride_x: word(sliding.window.stride[1]),
            dilation_y: word(sliding.window.dilation[0]),
            dilation_x: word(sliding.window.dilation[1]),
            pad_top: word(sliding.window.pads[0]),
            pad_left: word(sliding.window.pads[1]),
            cin: word(cin),
            cout: word(cout),
            groups: word(groups),
            quads: word(quads),
            weight_rows: word(k.next_multiple_of(K_MULTIPLE)),
            step_channels: word(depth % cin),
            step_x: word(depth / cin % kernel_width),
            step_y: word(depth / cin / kernel_width),
            words_per_row: word(masked_words.unwrap_or(0)),
            activation,
            low,
            high,
            pad: 0,
        };
        (permutation, bytes_of(&params).to_vec(), grid)
    }

    fn pool(&self, step: &Step, pool: &Pool) -> (Permutation, Vec<u8>, [u32; 2]) {
        let Pool { kind, sliding, channels } = pool;
        let quads = channels.div_ceil(4);
        let (total, grid) = self.flat(self.rows * sliding.output_rows() * quads);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let [top, left, below, right] = sliding.window.pads;
        let whole = channels.is_multiple_of(4)
            && aligned(step.inputs[0], sliding.input_rows())
            && aligned(step.output, sliding.output_rows());
        let params = PoolParams {
            total,
            groups_x: grid[0],
            quads: word(quads),
            channels: word(*channels),
            in_base: from.base,
            in_sample: from.sample,
            in_stride: from.stride,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            in_height: word(sliding.input[0]),
            in_width: word(sliding.input[1]),
            out_height: word(sliding.output[0]),
            out_width: word(sliding.output[1]),
            kernel_height: word(sliding.window.kernel[0]),
            kernel_width: word(sliding.window.kernel[1]),
            stride_y: word(sliding.window.stride[0]),
            stride_x: word(sliding.window.stride[1]),
            dilation_y: word(sliding.window.dilation[0]),
            dilation_x: word(sliding.window.dilation[1]),
            pad_top: word(top),
            pad_left: word(left),
            padded_height: word(sliding.input[0] + top + below),
            padded_width: word(sliding.input[1] + left + right),
            average: u32::from(matches!(kind, PoolKind::Average { .. })),
            include_pad: u32::from(matches!(kind, PoolKind::Average { count_include_pad: true })),
        };
        (permutation("pool", whole), bytes_of(&params).to_vec(), grid)
    }

    fn reduce(&self, step: &Step, reduce: &Reduce) -> (Permutation, Vec<u8>, [u32; 2]) {
        let Reduce { kind, outer, len, inner } = *reduce;
        let quads = inner.div_ceil(4);
        let (total, grid) = self.flat(self.rows * outer * quads);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let whole =
            inner.is_multiple_of(4) && aligned(step.inputs[0], outer * len) && aligned(step.output, outer);
        let params = ReduceParams {
            total,
            groups_x: grid[0],
            quads: word(quads),
            outer: word(outer),
            len: word(len),
            inner: word(inner),
            in_base: from.base,
            in_sample: from.sample,
            in_stride: from.stride,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            kind: match kind {
                ReduceKind::Mean => 0,
                ReduceKind::Sum => 1,
                ReduceKind::Max => 2,
                ReduceKind::Min => 3,
                ReduceKind::Prod => 4,
            },
            pad: 0,
        };
        (permutation("reduce", whole), bytes_of(&params).to_vec(), grid)
    }

    fn channels(
        &self,
        shader: &'static str,
        step: &Step,
        rows: usize,
        channels: usize,
        activation: Activation,
    ) -> (Permutation, Vec<u8>, [u32; 2]) {
        let quads = channels.div_ceil(4);
        let (total, grid) = self.flat(self.rows * rows * quads);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let whole = channels.is_multiple_of(4) && aligned(step.inputs[0], rows) && aligned(step.output, rows);
        let (activation, low, high) = activation.code();
        let params = ChannelParams {
            total,
            groups_x: grid[0],
            quads: word(quads),
            channels: word(channels),
            rows: word(rows),
            in_base: from.base,
            in_sample: from.sample,
            in_stride: from.stride,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            activation,
            low,
            high,
        };
        (permutation(shader, whole), bytes_of(&params).to_vec(), grid)
    }

    fn binary(&self, step: &Step, binary: &Binary) -> (Permutation, Vec<u8>, [u32; 2]) {
        let Binary { kind, shape, a_strides, b_strides, out_strides, b, swapped, activation } = *binary;
        let quads = shape[3].div_ceil(4);
        let (total, grid) = self.flat(self.rows * shape[0] * shape[1] * shape[2] * quads);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let whole = aligned_axes(step.inputs[0], &shape, &a_strides)
            && aligned_axes(step.output, &shape, &out_strides);
        let (defines, b_base, b_sample): (&'static [&'static str], _, _) = match b {
            Operand::Constant(_) => (if whole { &["CONSTANT", "VEC4"] } else { &["CONSTANT"] }, 0, 0),
            Operand::Input => {
                let second = self.place(step.inputs[1]);
                let whole = whole && aligned_axes(step.inputs[1], &shape, &b_strides);
                (if whole { &["VEC4"] } else { &[] }, second.base, second.sample)
            }
        };
        let (activation, low, high) = activation.code();
        let params = BinaryParams {
            shape: words(shape),
            a_strides: words(a_strides),
            b_strides: words(b_strides),
            out_strides: words(out_strides),
            total,
            groups_x: grid[0],
            quads: word(quads),
            kind: kind.code(),
            a_base: from.base,
            a_sample: from.sample,
            b_base,
            b_sample,
            out_base: to.base,
            out_sample: to.sample,
            swapped: u32::from(swapped),
            activation,
            low,
            high,
            pad_0: 0,
            pad_1: 0,
        };
        (Permutation { shader: "binary", defines }, bytes_of(&params).to_vec(), grid)
    }

    fn copy(&self, from: Place, to: Place, copy: &Copy, vec4: bool) -> (Permutation, Vec<u8>, [u32; 2]) {
        let quads = copy.shape[5].div_ceil(4);
        let lines: usize = copy.shape[..5].iter().product();
        let (total, grid) = self.flat(self.rows * lines * quads);
        let halves = |[a, b, c, d, e, f]: [usize; 6]| (words([a, b, c, 0]), words([d, e, f, 0]));
        let (shape_outer, shape_inner) = halves(copy.shape);
        let (in_outer, in_inner) = halves(copy.in_strides);
        let (out_outer, out_inner) = halves(copy.out_strides);
        let params = CopyParams {
            shape_outer,
            shape_inner,
            in_outer,
            in_inner,
            out_outer,
            out_inner,
            total,
            groups_x: grid[0],
            quads: word(quads),
            in_base: from.base,
            in_sample: from.sample,
            out_base: to.base,
            out_sample: to.sample,
            pad: 0,
        };
        (permutation("copy", vec4), bytes_of(&params).to_vec(), grid)
    }

    fn softmax(&self, step: &Step, softmax: &Softmax) -> (Permutation, Vec<u8>, [u32; 2]) {
        let Softmax { outer, len, inner, log } = *softmax;
        let (total, grid) = self.flat(self.rows * outer * inner);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let params = SoftmaxParams {
            total,
            groups_x: grid[0],
            outer: word(outer),
            len: word(len),
            inner: word(inner),
            in_base: from.base,
            in_sample: from.sample,
            out_base: to.base,
            out_sample: to.sample,
            logarithm: u32::from(log),
        };
        (permutation("softmax", false), bytes_of(&params).to_vec(), grid)
    }

    fn normalize(&self, step: &Step, normalize: &Normalize) -> (Permutation, Vec<u8>, [u32; 2]) {
        let Normalize { kind, outer, len, groups, width, scale, shift, activation } = *normalize;
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        // A workgroup for each set of elements that are normalised together.
        let sets = word(self.rows * outer * groups);
        let grid = grid(sets, self.caps.grid_groups);
        let defines: &'static [&'static str] = match (scale, shift) {
            (None, None) => &[],
            (Some(_), None) => &["SCALE"],
            (None, Some(_)) => &["SHIFT"],
            (Some(_), Some(_)) => &["SCALE", "SHIFT"],
        };
        let (kind, epsilon) = match kind {
            NormKind::Standard { epsilon } => (0, epsilon),
            NormKind::RootMeanSquare { epsilon } => (1, epsilon),
            NormKind::L1 => (2, 0.0),
            NormKind::L2 => (3, 0.0),
        };
        let (activation, low, high) = activation.code();
        let params = NormalizeParams {
            sets,
            groups_x: grid[0],
            outer: word(outer),
            len: word(len),
            groups: word(groups),
            width: word(width),
            in_base: from.base,
            in_sample: from.sample,
            in_stride: from.stride,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            kind,
            epsilon,
            activation,
            low,
            high,
            pad: 0,
        };
        (Permutation { shader: "normalize", defines }, bytes_of(&params).to_vec(), grid)
    }

    fn lrn(&self, step: &Step, lrn: &Lrn) -> (Permutation, Vec<u8>, [u32; 2]) {
        let Lrn { rows, channels, response } = *lrn;
        let (total, grid) = self.flat(self.rows * rows * channels);
        let (from, to) = (self.place(step.inputs[0]), self.place(step.output));
        let params = LrnParams {
            total,
            groups_x: grid[0],
            rows: word(rows),
            channels: word(channels),
            in_base: from.base,
            in_sample: from.sample,
            in_stride: from.stride,
            out_base: to.base,
            out_sample: to.sample,
            out_stride: to.stride,
            size: word(response.size),
            alpha: response.alpha / response.size as f32,
            beta: response.beta,
            bias: response.bias,
        };
        (permutation("lrn", false), bytes_of(&params).to_vec(), grid)
    }
}
