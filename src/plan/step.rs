//! What the engines execute: a step is data, with shapes and the numbers of its buffers and weights.
//!
//! Layout. Everything that has channels and space is stored **channels last**: `[H, W, C]` for one
//! sample, samples outermost. A [`View`] is a matrix of *rows* (pixels, or tokens) by *channels* within
//! a buffer: element (row r, channel c) of sample n lies at
//! `n · buffer_len + offset + r · stride + c`, with `stride ≥ channels`. So a Concat along channels
//! costs nothing: its producers write next to one another in the same buffer.

use std::sync::Arc;

use super::{Embedding, Fill, MatMul, Select};
use crate::model::{Activation, BinaryKind, NormKind, PoolKind, ReduceKind, Response, Window};
use crate::{Error, Result};

/// Number of an activation buffer within its plan.
pub type BufferId = usize;

/// Number of a constant within its plan.
pub type WeightId = usize;

/// Rows by channels within an activation buffer; see the module's text for the address of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// First element within a sample.
    pub offset: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

/// Geometry of a sliding window, all sizes per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Kernel, stride, dilation and padding (padding below and right may exceed what is stated where
    /// `ceil_mode` asked for one window more; `output` rules).
    pub window: Window,
}

impl Sliding {
    /// Whether each output pixel reads exactly the input pixel of the same place.
    pub fn is_pointwise(&self) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && self.input == self.output
    }

    /// Input pixels per sample.
    pub fn input_rows(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Output pixels per sample.
    pub fn output_rows(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

/// A convolution or, where the window is pointwise, a matrix product over rows:
/// `out[p, o] = act(Σ_{t,i} in[p + t, i] · w[t, i, o] + bias[o] (+ residual[p, o]))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Window and picture sizes. A Linear has `input = output = [1, rows]` and a 1×1 window.
    pub sliding: Sliding,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Groups; `groups == cin == cout` is a depthwise convolution.
    pub groups: usize,
    /// `[groups, kh · kw, cin / groups, cout / groups]`; for depthwise this is `[C, kh · kw]`.
    pub weight: WeightId,
    /// `[cout]`
    pub bias: Option<WeightId>,
    /// Whether the step's second input (same shape as the output) is added before the activation.
    pub residual: bool,
    /// Applied last.
    pub activation: Activation,
}

/// Max or average pooling; windows never read outside the picture. The divisor of an average counts the
/// taps inside the picture, or, with `count_include_pad`, those inside the padded picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    /// Max or average.
    pub kind: PoolKind,
    /// Window and picture sizes.
    pub sliding: Sliding,
    /// Channels.
    pub channels: usize,
}

/// Reduction of a contiguous sample seen as `[outer, len, inner]` over the middle axis; the output is
/// `[outer, inner]`. Input and output views have `stride` = `inner` where they are contiguous; the input
/// may be a channel view only if `outer == 1` (rows = len, channels = inner).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduce {
    /// Mean, sum, …
    pub kind: ReduceKind,
    /// Product of the axes before.
    pub outer: usize,
    /// Product of the reduced axes.
    pub len: usize,
    /// Product of the axes after.
    pub inner: usize,
}

/// `out = act(in)` over rows × channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Map {
    /// Rows per sample.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// The function.
    pub activation: Activation,
}

/// `out[r, c] = act(scale[c] · in[r, c] + shift[c])`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Rows per sample.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// `[channels]`
    pub scale: WeightId,
    /// `[channels]`
    pub shift: WeightId,
    /// Applied last.
    pub activation: Activation,
}

/// Where a binary step finds its second operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// The step's second input.
    Input,
    /// A constant (the same for every sample).
    Constant(WeightId),
}

/// `out = act(a ∘ b)` over up to four axes with broadcasting. Element (i0, i1, i2, i3) of an operand lies at
/// `offset + Σ i_k · stride_k`; a stride of 0 repeats. `a` is the step's first input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Binary {
    /// The function.
    pub kind: BinaryKind,
    /// Lengths of the output's axes, outermost first, padded with leading 1s.
    pub shape: [usize; 4],
    /// Strides of the first operand.
    pub a_strides: [usize; 4],
    /// Strides of the second operand.
    pub b_strides: [usize; 4],
    /// Strides of the output.
    pub out_strides: [usize; 4],
    /// Where the second operand is.
    pub b: Operand,
    /// Whether the operands change places (`b ∘ a`).
    pub swapped: bool,
    /// Applied last.
    pub activation: Activation,
}

/// A strided copy over up to six axes (Transpose, layout changes, Concat pieces that cannot be written in place).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// Lengths of the axes, outermost first, padded with leading 1s.
    pub shape: [usize; 6],
    /// Strides of the input.
    pub in_strides: [usize; 6],
    /// Strides of the output.
    pub out_strides: [usize; 6],
}

/// Softmax over the middle axis of a contiguous sample `[outer, len, inner]`, or its logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the softmax axis.
    pub len: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Whether the logarithm is taken.
    pub log: bool,
}

/// `out = act(norm(in) · scale[c] + shift[c])` over rows × channels. The sample is `[outer, len, groups, width]`: rows are
/// outer · len, channels groups · width, and the elements of one (outer, group) are normalised together.
///
/// LayerNormalization has `len` = `groups` = 1, InstanceNormalization `width` = 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalize {
    /// What is subtracted and divided by.
    pub kind: NormKind,
    /// Product of the axes before.
    pub outer: usize,
    /// Rows that are normalised together.
    pub len: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Channels of a group.
    pub width: usize,
    /// `[groups · width]`
    pub scale: Option<WeightId>,
    /// `[groups · width]`
    pub shift: Option<WeightId>,
    /// Applied last.
    pub activation: Activation,
}

impl Normalize {
    /// Rows per sample.
    pub fn rows(&self) -> usize {
        self.outer * self.len
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.groups * self.width
    }
}

/// Local response normalisation over the channels of each row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// Rows per sample.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// The formula's numbers.
    pub response: Response,
}

/// What a step computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kernel {
    /// Convolution or matrix product.
    Conv(Conv),
    /// Max or average pooling.
    Pool(Pool),
    /// Reduction of one axis.
    Reduce(Reduce),
    /// A scalar function.
    Map(Map),
    /// A scale and a shift for each channel.
    Affine(Affine),
    /// A function of two operands.
    Binary(Binary),
    /// A strided copy.
    Copy(Copy),
    /// Softmax or LogSoftmax.
    Softmax(Softmax),
    /// A constant.
    Fill(Fill),
    /// Entries picked along an axis.
    Select(Select),
    /// Rows of a table by number.
    Embedding(Embedding),
    /// A product of two activations.
    MatMul(MatMul),
    /// A normalisation by the data's own mean and scale.
    Normalize(Normalize),
    /// Local response normalisation.
    Lrn(Lrn),
}

/// One kernel with the places it reads and writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Names of the graph's nodes that it computes, joined by " + ".
    pub name: String,
    /// What it computes.
    pub kernel: Kernel,
    /// Where it reads: one view, or two (residual, second operand).
    pub inputs: Vec<View>,
    /// Where it writes.
    pub output: View,
    /// Multiply-adds per sample.
    pub macs: u64,
}

/// A constant of the plan.
#[derive(Debug, Clone)]
pub struct Weight {
    /// Elements, in the order that the kernel's text states.
    pub data: Arc<[f32]>,
}

/// How a sample of the network's input is stored.
///
/// The caller's order is the graph's (`[C, H, W]` for pictures); a plan whose first layer wants channels
/// last has the perturbation write them so, and spends no step on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLayout {
    /// Per-sample shape in the graph's order, for example `[C, H, W]`.
    pub shape: Vec<usize>,
    /// Whether the sample is stored `[H, W, C]` (channels last) instead of in the graph's order.
    pub channels_last: bool,
    /// Where the input is token ids: how many there are. Elements are whole numbers from 0 to below this.
    pub vocabulary: Option<usize>,
}

impl InputLayout {
    /// Elements per sample.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a sample has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels and pixels of a sample: `[C, …]` has `C` channels of the product of the other axes.
    pub fn channels_pixels(&self) -> (usize, usize) {
        let channels = self.shape.first().copied().unwrap_or(1).max(1);
        (channels, self.len() / channels)
    }

    /// Checks that rows in the graph's order hold token ids, if that is what the network takes.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the row and the place of an element that is no id.
    pub fn check_ids(&self, rows: &[f32]) -> Result<()> {
        let Some(vocabulary) = self.vocabulary else { return Ok(()) };
        let is_id = |&id: &f32| id.fract() == 0.0 && id >= 0.0 && (id as usize) < vocabulary;
        match rows.iter().position(|id| !is_id(id)) {
            None => Ok(()),
            Some(at) => Err(Error::parameter(
                format!("{} is no token id: they are whole numbers from 0 to {}", rows[at], vocabulary - 1),
                format!("row {}, element {}", at / self.len().max(1), at % self.len().max(1)),
                "use the tokenizer that the network was trained with",
            )),
        }
    }

    /// Reorders one sample from the graph's order into the stored one.
    pub fn store(&self, sample: &[f32], stored: &mut [f32]) {
        if !self.channels_last {
            stored.copy_from_slice(sample);
            return;
        }
        let (channels, pixels) = self.channels_pixels();
        for (pixel, row) in stored.chunks_exact_mut(channels).enumerate() {
            for (channel, element) in row.iter_mut().enumerate() {
                *element = sample[channel * pixels + pixel];
            }
        }
    }
}

impl Kernel {
    /// The function applied last.
    pub fn activation(&self) -> Activation {
        match self {
            Kernel::Conv(conv) => conv.activation,
            Kernel::Map(map) => map.activation,
            Kernel::Affine(affine) => affine.activation,
            Kernel::Binary(binary) => binary.activation,
            Kernel::Normalize(normalize) => normalize.activation,
            Kernel::Pool(_) | Kernel::Reduce(_) | Kernel::Copy(_) | Kernel::Softmax(_) | Kernel::Lrn(_) => {
                Activation::Identity
            }
            Kernel::Fill(_) | Kernel::Select(_) | Kernel::Embedding(_) | Kernel::MatMul(_) => {
                Activation::Identity
            }
        }
    }

    /// The constants that the kernel reads.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Kernel::Conv(conv) => std::iter::once(conv.weight).chain(conv.bias).collect(),
            Kernel::Affine(affine) => vec![affine.scale, affine.shift],
            Kernel::Binary(Binary { b: Operand::Constant(id), .. }) => vec![*id],
            Kernel::Fill(fill) => vec![fill.value],
            Kernel::Select(select) => vec![select.indices],
            Kernel::Embedding(embedding) => vec![embedding.table],
            Kernel::Normalize(normalize) => normalize.scale.into_iter().chain(normalize.shift).collect(),
            _ => Vec::new(),
        }
    }

    /// Shape of one sample of the output as it is stored, axes of length 1 in front left out.
    pub fn output_shape(&self) -> Vec<usize> {
        let shape = match self {
            Kernel::Conv(conv) => vec![conv.sliding.output[0], conv.sliding.output[1], conv.cout],
            Kernel::Pool(pool) => vec![pool.sliding.output[0], pool.sliding.output[1], pool.channels],
            Kernel::Reduce(reduce) => vec![reduce.outer, reduce.inner],
            Kernel::Map(map) => vec![map.rows, map.channels],
            Kernel::Affine(affine) => vec![affine.rows, affine.channels],
            Kernel::Binary(binary) => binary.shape.to_vec(),
            Kernel::Copy(copy) => copy.shape.to_vec(),
            Kernel::Softmax(softmax) => vec![softmax.outer, softmax.len, softmax.inner],
            Kernel::Fill(fill) => vec![fill.rows, fill.channels],
            Kernel::Select(select) => vec![select.outer, select.count, select.inner],
            Kernel::Embedding(embedding) => vec![embedding.rows, embedding.width],
            Kernel::MatMul(product) => product.shapes()[2].to_vec(),
            Kernel::Normalize(normalize) => vec![normalize.rows(), normalize.channels()],
            Kernel::Lrn(lrn) => vec![lrn.rows, lrn.channels],
        };
        let lead = shape.iter().take_while(|&&length| length == 1).count();
        shape[lead.min(shape.len() - 1)..].to_vec()
    }
}
