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
///
/// # Example
/// ```
/// use whybox::model::{Model, Window};
/// use whybox::plan::{Plan};
///
/// // Two convolutions that write next to one another.
/// let net = Model::builder("side by side", &[1, 4, 4]);
/// let input = net.mark();
/// let net = net.conv(&[1.0; 2], None, 2, Window::square(1), 1)?;
/// let left = net.mark();
/// let net = net.resume(input)?.conv(&[1.0; 3], None, 3, Window::square(1), 1)?;
/// let model = net.concat(&[left])?.build()?;
/// let plan = Plan::new(&model)?;
/// let [left, right] = [plan.steps[0].output, plan.steps[1].output];
/// assert_eq!(left.buffer, right.buffer);
/// assert_eq!([left.offset, right.offset], [0, 2]);
/// assert_eq!([left.stride, right.stride], [5, 5]);
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model, Window};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("conv", &[1, 4, 4]).conv(&[1.0; 18], None, 2, Window::square(3), 1)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Conv(conv) = &plan.steps[0].kernel else { panic!("another kernel") };
/// let sliding = conv.sliding;
/// assert_eq!((sliding.output, sliding.input_rows(), sliding.output_rows()), ([2, 2], 16, 4));
/// assert!(!sliding.is_pointwise());
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model, Window};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("conv", &[1, 4, 4])
///     .conv(&[1.0; 18], None, 2, Window::square(3), 1)?
///     .activation(Activation::Relu)?
///     .build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Conv(conv) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((conv.cin, conv.cout, conv.groups, conv.bias), (1, 2, 1, None));
/// assert_eq!(conv.activation, Activation::Relu); // it needs no step of its own
/// assert_eq!(plan.weights[conv.weight].data.len(), 18);
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model, PoolKind, Window};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("pool", &[1, 4, 4]).max_pool(Window::square(2).stride(2))?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Pool(pool) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((pool.kind, pool.channels, pool.sliding.output), (PoolKind::Max, 1, [2, 2]));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model, ReduceKind};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("sums", &[2, 3]).reduce(ReduceKind::Sum, &[1], false)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Reduce(reduce) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((reduce.outer, reduce.len, reduce.inner), (2, 3, 1));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("relu", &[3]).activation(Activation::Relu)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Map(map) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((map.rows, map.channels, map.activation), (1, 3, Activation::Relu));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("affine", &[2]).affine(&[2.0, 3.0], &[0.5, 0.0])?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Affine(affine) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((affine.rows, affine.channels), (1, 2));
/// assert_eq!(plan.weights[affine.scale].data[..], [2.0, 3.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{BinaryKind, Model, Tensor};
/// use whybox::plan::{Kernel, Operand, Plan};
///
/// let least = Tensor::new(&[3], vec![0.0, 1.0, 2.0]);
/// let model = Model::builder("at least", &[3]).binary_const(BinaryKind::Max, &least)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Binary(binary) = &plan.steps[0].kernel else { panic!("another kernel") };
/// let Operand::Constant(least) = binary.b else { panic!("not a constant") };
/// assert_eq!(plan.weights[least].data[..], [0.0, 1.0, 2.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// The step's second input.
    Input,
    /// A constant (the same for every sample).
    Constant(WeightId),
}

/// `out = act(a ∘ b)` over up to four axes with broadcasting. Element (i0, i1, i2, i3) of an operand lies at
/// `offset + Σ i_k · stride_k`; a stride of 0 repeats. `a` is the step's first input.
///
/// # Example
/// ```
/// use whybox::model::{Activation, BinaryKind, Model};
/// use whybox::plan::{Kernel, Operand, Plan};
///
/// let net = Model::builder("negative part", &[3]);
/// let input = net.mark();
/// let model = net.activation(Activation::Relu)?.binary(BinaryKind::Sub, input)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Binary(binary) = &plan.steps[1].kernel else { panic!("another kernel") };
/// assert_eq!((binary.kind, binary.b, binary.shape), (BinaryKind::Sub, Operand::Input, [1, 1, 1, 3]));
/// assert_eq!(plan.steps[1].inputs.len(), 2);
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("transpose", &[2, 3]).transpose(&[1, 0])?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Copy(copy) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!(copy.shape, [1, 1, 1, 1, 3, 2]);
/// assert_eq!((&copy.in_strides[4..], &copy.out_strides[4..]), (&[1, 3][..], &[2, 1][..]));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("softmax", &[3]).softmax()?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Softmax(softmax) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((softmax.outer, softmax.len, softmax.inner, softmax.log), (1, 3, 1, false));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("tokens", &[2, 4]).layer_norm(&[1.0; 4], &[0.0; 4], 1e-5)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Normalize(norm) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((norm.rows(), norm.channels()), (2, 4));
/// assert_eq!((norm.outer, norm.len, norm.groups, norm.width), (2, 1, 1, 4));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model, Response};
/// use whybox::plan::{Kernel, Plan};
///
/// let response = Response { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 };
/// let model = Model::builder("lrn", &[8]).lrn(response)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Lrn(lrn) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((lrn.rows, lrn.channels, lrn.response), (1, 8, response));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model =
///     Model::builder("two", &[3]).linear(&[1.0; 6], &[], 2)?.activation(Activation::Relu)?.build()?;
/// let plan = Plan::new(&model)?;
/// let kernel = &plan.steps[0].kernel;
/// assert!(matches!(kernel, Kernel::Conv(conv) if conv.sliding.is_pointwise()));
/// assert_eq!((kernel.output_shape(), kernel.activation()), (vec![2], Activation::Relu));
/// assert_eq!(kernel.weights().len(), 1); // there is no bias
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model};
/// use whybox::plan::{Plan};
///
/// let model =
///     Model::builder("two", &[3]).linear(&[1.0; 6], &[], 2)?.activation(Activation::Relu)?.build()?;
/// let plan = Plan::new(&model)?;
/// let step = &plan.steps[0];
/// assert_eq!((step.name.as_str(), step.macs), ("linear_0 + relu_1", 6));
/// assert_eq!((step.inputs[0], step.output), (plan.input, plan.output));
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("two", &[2]).linear(&[1.0, 2.0, 3.0, 4.0], &[], 2)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Conv(linear) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!(plan.weights[linear.weight].data[..], [1.0, 3.0, 2.0, 4.0]); // outputs innermost
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Weight {
    /// Elements, in the order that the kernel's text states.
    pub data: Arc<[f32]>,
}

/// How a sample of the network's input is stored.
///
/// The caller's order is the graph's (`[C, H, W]` for pictures); a plan whose first layer wants channels
/// last has the perturbation write them so, and spends no step on it.
///
/// # Example
/// ```
/// use whybox::plan::InputLayout;
///
/// let layout = InputLayout { shape: vec![2, 1, 2], channels_last: true, vocabulary: None };
/// let mut stored = [0.0; 4];
/// layout.store(&[1.0, 2.0, 3.0, 4.0], &mut stored);
/// assert_eq!((layout.len(), layout.channels_pixels(), stored), (4, (2, 2), [1.0, 3.0, 2.0, 4.0]));
///
/// let tokens = InputLayout { shape: vec![3], channels_last: false, vocabulary: Some(100) };
/// assert!(tokens.check_ids(&[7.0, 99.0, 0.0]).is_ok() && tokens.check_ids(&[7.0, 100.0, 0.0]).is_err());
/// ```
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
