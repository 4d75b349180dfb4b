//! The dispatches of kernels over rows and channels: pools, reductions, functions, normalisations, copies.

use bytemuck::bytes_of;

use super::encode::{
    Encoded, Encoder, Place, aligned, aligned_axes, permutation, shared_permutation, word, words,
};
use super::grid::{grid, grid_of_threads};
use super::select::Caps;
use super::source::Permutation;
use super::uniforms::{
    BinaryParams, ChannelParams, CopyParams, LrnParams, NormalizeParams, PoolParams, ReduceParams,
    SoftmaxParams,
};
use crate::model::{Activation, NormKind, PoolKind, ReduceKind};
use crate::plan::{Binary, Copy, Lrn, Normalize, Operand, Pool, Reduce, Softmax, Step};

/// Where the operands of a kernel over rows lie.
pub(super) struct RowsAt {
    pub from: Place,
    pub to: Place,
    /// How many there are: samples, or output pixels of all samples, or columns.
    pub count: usize,
    /// Whether all quads begin at multiples of four.
    pub whole: bool,
}

impl Encoder<'_> {
    pub(super) fn pool(&self, step: &Step, pool: &Pool) -> Encoded {
        let sliding = &pool.sliding;
        let at = RowsAt {
            from: self.place(step.inputs[0]),
            to: self.place(step.output),
            count: self.rows * sliding.output_rows(),
            whole: aligned(step.inputs[0], sliding.input_rows())
                && aligned(step.output, sliding.output_rows()),
        };
        pool_at(self.caps, pool, &at, None)
    }

    pub(super) fn reduce(&self, step: &Step, reduce: &Reduce) -> Encoded {
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

    pub(super) fn channels(
        &self,
        shader: &'static str,
        step: &Step,
        rows: usize,
        channels: usize,
        activation: Activation,
    ) -> Encoded {
        let at = RowsAt {
            from: self.place(step.inputs[0]),
            to: self.place(step.output),
            count: self.rows,
            whole: aligned(step.inputs[0], rows) && aligned(step.output, rows),
        };
        channels_at(self.caps, shader, &at, [rows, channels], activation)
    }

    pub(super) fn binary(&self, step: &Step, binary: &Binary) -> Encoded {
        let Binary { shape, a_strides, b_strides, out_strides, .. } = binary;
        let second = match binary.b {
            Operand::Constant(_) => None,
            Operand::Input => Some(self.place(step.inputs[1])),
        };
        let whole = aligned_axes(step.inputs[0], shape, a_strides)
            && aligned_axes(step.output, shape, out_strides)
            && (second.is_none() || aligned_axes(step.inputs[1], shape, b_strides));
        let at =
            RowsAt { from: self.place(step.inputs[0]), to: self.place(step.output), count: self.rows, whole };
        binary_at(self.caps, binary, &at, second, None)
    }

    pub(super) fn copy(&self, from: Place, to: Place, copy: &Copy, vec4: bool) -> Encoded {
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

    pub(super) fn softmax(&self, step: &Step, softmax: &Softmax) -> Encoded {
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

    pub(super) fn normalize(&self, step: &Step, normalize: &Normalize) -> Encoded {
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

    pub(super) fn lrn(&self, step: &Step, lrn: &Lrn) -> Encoded {
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

/// The dispatch of a pool whose operands lie anywhere; over columns with tables of the output's origins and the input's
/// pixels.
pub(super) fn pool_at(caps: &Caps, pool: &Pool, at: &RowsAt, tables: Option<[u32; 2]>) -> Encoded {
    let Pool { kind, sliding, channels } = pool;
    let RowsAt { from, to, .. } = at;
    let quads = channels.div_ceil(4);
    let total = word(at.count * quads);
    let grid = grid_of_threads(total, caps.grid_groups);
    let [top, left, below, right] = sliding.window.pads;
    let whole = at.whole && channels.is_multiple_of(4);
    let [origins, in_pixels] = tables.unwrap_or([0; 2]);
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
        origins,
        in_pixels,
    };
    let permutation = if tables.is_some() { shared_permutation } else { permutation };
    (permutation("pool", whole), bytes_of(&params).to_vec(), grid)
}

/// The dispatch of a function of rows × channels of each of `at.count` samples, which lie anywhere.
pub(super) fn channels_at(
    caps: &Caps,
    shader: &'static str,
    at: &RowsAt,
    [rows, channels]: [usize; 2],
    activation: Activation,
) -> Encoded {
    let RowsAt { from, to, .. } = at;
    let quads = channels.div_ceil(4);
    let total = word(at.count * rows * quads);
    let grid = grid_of_threads(total, caps.grid_groups);
    let whole = at.whole && channels.is_multiple_of(4);
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

/// The dispatch of a function of two operands, of each of `at.count` samples, which lie anywhere; `second` is the second
/// operand unless it is a constant. Over columns with tables of the output's origins and both operands' pixels.
pub(super) fn binary_at(
    caps: &Caps,
    binary: &Binary,
    at: &RowsAt,
    second: Option<Place>,
    tables: Option<[u32; 3]>,
) -> Encoded {
    let Binary { kind, shape, a_strides, b_strides, out_strides, swapped, activation, .. } = *binary;
    let RowsAt { from, to, whole, .. } = *at;
    let quads = shape[3].div_ceil(4);
    let total = word(at.count * shape[0] * shape[1] * shape[2] * quads);
    let grid = grid_of_threads(total, caps.grid_groups);
    let defines: &'static [&'static str] = match (tables.is_some(), second.is_some(), whole) {
        (true, _, true) => &["SHARED", "VEC4"],
        (true, _, false) => &["SHARED"],
        (false, true, true) => &["VEC4"],
        (false, true, false) => &[],
        (false, false, true) => &["CONSTANT", "VEC4"],
        (false, false, false) => &["CONSTANT"],
    };
    let (b_base, b_sample) = second.map_or((0, 0), |second| (second.base, second.sample));
    let [origins, a_pixels, b_pixels] = tables.unwrap_or([0; 3]);
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
        origins,
        a_pixels,
        b_pixels,
        pad_0: 0,
        pad_1: 0,
        pad_2: 0,
    };
    (Permutation { shader: "binary", defines }, bytes_of(&params).to_vec(), grid)
}
