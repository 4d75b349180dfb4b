//! The typed graph: what a network computes, for one sample.
//!
//! Shapes are **per sample**: the batch axis is never written down, it is the outermost axis of every
//! value. Constants (weights, scales, shifts) live inside the operators, so a node's inputs are
//! activations only ([`Op::Constant`] has none), and the nodes are in an order in which each value is made before it
//! is used.

use std::sync::Arc;

use super::{Activation, Window};

/// Number of a value within its [`Graph`].
pub type ValueId = usize;

/// A constant: shape and row-major data.
///
/// # Example
/// ```
/// use whybox::model::Tensor;
///
/// let tensor = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// assert_eq!((tensor.len(), tensor.shape[0], tensor.data[3]), (6, 2, 4.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Row-major elements.
    pub data: Arc<[f32]>,
}

impl Tensor {
    /// A constant of the given shape; `data.len()` has to be the product of `shape`.
    pub fn new(shape: &[usize], data: impl Into<Arc<[f32]>>) -> Self {
        let data = data.into();
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Tensor { shape: shape.to_vec(), data }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

/// How a pool summarises its window.
///
/// # Example
/// ```
/// use whybox::model::{Model, PoolKind, Window};
/// use whybox::{Device, perturb::Rows};
///
/// let model = Model::builder("mean", &[1, 2, 2])
///     .pool(PoolKind::Average { count_include_pad: false }, Window::square(2), false)?
///     .build()?;
/// let answers = Device::cpu().load(&model)?.responses(&Rows::new(&[1.0, 2.0, 3.0, 6.0], 4)?, &Default::default())?;
/// assert!((answers[[0, 0]] - 3.0).abs() < 1e-5);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest element; padding never wins.
    Max,
    /// The mean; `count_include_pad` says whether padding counts in the divisor.
    Average {
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
    },
}

/// How a reduction summarises its axes.
///
/// # Example
/// ```
/// use whybox::model::{Model, ReduceKind};
/// use whybox::{Device, perturb::Rows};
///
/// let model = Model::builder("largest", &[2, 3]).reduce(ReduceKind::Max, &[1], false)?.build()?;
/// let answers = Device::cpu().load(&model)?.responses(&Rows::new(&[1.0, 5.0, 2.0, 4.0, 3.0, 0.0], 6)?, &Default::default())?;
/// assert_eq!(answers, ndarray::array![[5.0, 4.0]]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceKind {
    /// Arithmetic mean.
    Mean,
    /// Sum.
    Sum,
    /// Largest element.
    Max,
    /// Smallest element.
    Min,
    /// Product.
    Prod,
}

/// What a normalisation subtracts and divides by; sums and means are over the normalised elements.
///
/// # Example
/// ```
/// use whybox::model::{Model, NormKind};
/// use whybox::{Device, perturb::Rows};
///
/// let model = Model::builder("direction", &[2]).normalize(NormKind::L2, &[0], 1, None, None)?.build()?;
/// let answers = Device::cpu().load(&model)?.responses(&Rows::new(&[3.0, 4.0], 2)?, &Default::default())?;
/// assert!((answers[[0, 0]] - 0.6).abs() < 1e-5 && (answers[[0, 1]] - 0.8).abs() < 1e-5);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormKind {
    /// (x − mean) / √(variance + ε), the variance with divisor n.
    Standard {
        /// ε
        epsilon: f32,
    },
    /// x / √(mean x² + ε)
    RootMeanSquare {
        /// ε
        epsilon: f32,
    },
    /// x / Σ|x|; 0 where the sum is 0.
    L1,
    /// x / √Σx²; 0 where the sum is 0.
    L2,
}

/// Sum over a window of channels: `x / (bias + alpha / size · Σ x²)^beta`, the window reaching from
/// ⌊(size − 1) / 2⌋ channels before to ⌈(size − 1) / 2⌉ after (Krizhevsky et al., "ImageNet classification with deep
/// convolutional neural networks", 2012, as ONNX has it).
///
/// # Example
/// ```
/// use whybox::model::{Model, Response};
/// use whybox::{Device, perturb::Rows};
///
/// let model = Model::builder("lrn", &[1, 1, 1])
///     .lrn(Response { size: 1, alpha: 1.0, beta: 1.0, bias: 1.0 })?
///     .build()?;
/// let answers = Device::cpu().load(&model)?.responses(&Rows::new(&[2.0], 1)?, &Default::default())?;
/// assert!((answers[[0, 0]] - 0.4).abs() < 1e-5); // 2 / (1 + 2²)
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response {
    /// Channels in a window.
    pub size: usize,
    /// Weight of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// What is added to it.
    pub bias: f32,
}

/// A function of two elements. Truth is 1, falsehood 0; whatever is not 0 is true.
///
/// # Example
/// ```
/// use whybox::model::BinaryKind;
///
/// assert_eq!(BinaryKind::Less.apply(1.0, 2.0), 1.0);
/// assert_eq!(BinaryKind::PRelu.apply(-2.0, 0.5), -1.0);
/// assert_eq!((BinaryKind::Gate.name(), BinaryKind::Gate.apply(0.0, 7.0)), ("Where", 0.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryKind {
    /// a = b
    Equal,
    /// a > b
    Greater,
    /// a ≥ b
    GreaterOrEqual,
    /// a < b
    Less,
    /// a ≤ b
    LessOrEqual,
    /// b where a is true, else 0
    Gate,
    /// b where a is false, else 0
    GateNot,
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b
    Div,
    /// The larger; NaN where either is.
    Max,
    /// The smaller; NaN where either is.
    Min,
    /// a to the power of b
    Pow,
    /// a for a ≥ 0, else b · a (PRelu with slope b)
    PRelu,
}

/// An operator with its constants. Axes count per-sample axes from 0.
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model, Op};
///
/// let model =
///     Model::builder("two", &[2]).linear(&[1.0, -1.0], &[0.5], 1)?.activation(Activation::Relu)?.build()?;
/// let nodes = &model.graph().nodes;
/// assert_eq!([nodes[0].op.name(), nodes[1].op.name()], ["Linear", "Relu"]);
/// assert_eq!(nodes[0].op.parameters(), 3);
/// assert_eq!(nodes[1].op, Op::Activation(Activation::Relu));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Convolution of `[Cin, H, W]` (or `[Cin, L]`) with `weight` `[Cout, Cin / groups, kh, kw]`.
    Conv {
        /// `[Cout, Cin / groups, kh, kw]`
        weight: Tensor,
        /// `[Cout]`
        bias: Option<Tensor>,
        /// Kernel, stride, dilation and padding.
        window: Window,
        /// Number of groups.
        groups: usize,
    },
    /// `x · weightᵀ + bias` over the last axis; `weight` is `[out, in]`.
    Linear {
        /// `[out, in]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
    },
    /// Max or average pooling of `[C, H, W]` (or `[C, L]`). The output's size is in the value's shape
    /// (so `ceil_mode` and `auto_pad` are resolved before).
    Pool {
        /// Max or average.
        kind: PoolKind,
        /// Kernel, stride, dilation and padding.
        window: Window,
    },
    /// Reduction over `axes`; the output's shape says whether they are kept with length 1.
    Reduce {
        /// Mean, sum, …
        kind: ReduceKind,
        /// Ascending axes.
        axes: Vec<usize>,
    },
    /// A scalar function of each element.
    Activation(Activation),
    /// `scale[c] · x + shift[c]`, `c` along axis 0 (BatchNormalization).
    Affine {
        /// `[C]`
        scale: Tensor,
        /// `[C]`
        shift: Tensor,
    },
    /// A function of two activations with NumPy broadcasting.
    Binary(BinaryKind),
    /// A function of an activation and a constant, with NumPy broadcasting.
    BinaryConst {
        /// The function.
        kind: BinaryKind,
        /// The constant, of at most the output's rank.
        constant: Tensor,
        /// Whether the constant is the first operand.
        constant_first: bool,
    },
    /// `norm(x)·scale + shift`, the elements normalised together being those along `axes`.
    Normalize {
        /// What is subtracted and divided by.
        kind: NormKind,
        /// Ascending axes.
        axes: Vec<usize>,
        /// Parts of equal length into which axis 0 falls first (GroupNormalization); 1 unless `axes` are all axes.
        groups: usize,
        /// Broadcasts to the input.
        scale: Option<Tensor>,
        /// Broadcasts to the input.
        shift: Option<Tensor>,
    },
    /// Local response normalisation over axis 0.
    Lrn(Response),
    /// The inputs side by side along `axis`.
    Concat {
        /// The axis along which the inputs are joined.
        axis: usize,
    },
    /// Axis `i` of the output is axis `perm[i]` of the input.
    Transpose {
        /// Permutation of the axes.
        perm: Vec<usize>,
    },
    /// The same elements in the same order under another shape.
    Reshape,
    /// The same value for every sample; it has no input.
    Constant {
        /// The value, of the output's shape.
        value: Tensor,
    },
    /// Entry `i` of the output along `axis` is entry `indices[i]` of the input, or `fill` where that is [`NOTHING`]
    /// (Gather, Slice, Split, Pad, Expand, Tile).
    Select {
        /// The axis along which entries are picked.
        axis: usize,
        /// Entries of the input, or [`NOTHING`].
        indices: Arc<[u32]>,
        /// What stands where nothing is picked.
        fill: f32,
    },
    /// Products of the matrices that the last two axes form, `[…, M, K] × […, K, N]`; the axes before broadcast.
    MatMul,
    /// Row `id` of a table for each element of the input, along a new last axis. Elements are whole numbers from 0 to
    /// below the table's length.
    Embedding {
        /// `[vocabulary, width]`
        table: Tensor,
    },
    /// Softmax along `axis`, or its logarithm.
    Softmax {
        /// The axis along which the results add up to 1.
        axis: usize,
        /// Whether the logarithm is taken (LogSoftmax).
        log: bool,
    },
}

/// Stands in [`Op::Select`] for an entry that is filled instead of picked.
pub const NOTHING: u32 = u32::MAX;

impl Op {
    /// Number of trained numbers.
    pub fn parameters(&self) -> usize {
        match self {
            Op::Conv { weight, bias, .. } | Op::Linear { weight, bias } => {
                weight.len() + bias.as_ref().map_or(0, Tensor::len)
            }
            Op::Affine { scale, shift } => scale.len() + shift.len(),
            Op::BinaryConst { constant, .. } => constant.len(),
            Op::Constant { value } => value.len(),
            Op::Embedding { table } => table.len(),
            Op::Normalize { scale, shift, .. } => {
                [scale, shift].into_iter().flatten().map(|tensor| tensor.len()).sum()
            }
            _ => 0,
        }
    }

    /// The operator's name, as `whybox inspect` shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv { .. } => "Conv",
            Op::Linear { .. } => "Linear",
            Op::Pool { kind: PoolKind::Max, .. } => "MaxPool",
            Op::Pool { .. } => "AveragePool",
            Op::Reduce { kind: ReduceKind::Mean, .. } => "ReduceMean",
            Op::Reduce { kind: ReduceKind::Sum, .. } => "ReduceSum",
            Op::Reduce { kind: ReduceKind::Max, .. } => "ReduceMax",
            Op::Reduce { kind: ReduceKind::Min, .. } => "ReduceMin",
            Op::Reduce { kind: ReduceKind::Prod, .. } => "ReduceProd",
            Op::Activation(activation) => activation.name(),
            Op::Affine { .. } => "BatchNormalization",
            Op::Binary(kind) | Op::BinaryConst { kind, .. } => kind.name(),
            Op::Normalize { kind: NormKind::RootMeanSquare { .. }, .. } => "RMSNormalization",
            Op::Normalize { kind: NormKind::L1 | NormKind::L2, .. } => "LpNormalization",
            Op::Normalize { groups, axes, .. } => match (groups, &axes[..]) {
                (1, [1, _, ..]) => "InstanceNormalization",
                (1, _) => "LayerNormalization",
                _ => "GroupNormalization",
            },
            Op::Lrn(_) => "LRN",
            Op::Concat { .. } => "Concat",
            Op::Transpose { .. } => "Transpose",
            Op::Reshape => "Reshape",
            Op::Constant { .. } => "Constant",
            Op::Select { .. } => "Gather",
            Op::MatMul => "MatMul",
            Op::Embedding { .. } => "Embedding",
            Op::Softmax { log: false, .. } => "Softmax",
            Op::Softmax { log: true, .. } => "LogSoftmax",
        }
    }
}

impl BinaryKind {
    /// The function's value.
    #[inline]
    pub fn apply(self, a: f32, b: f32) -> f32 {
        let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
        match self {
            BinaryKind::Equal => truth(a == b),
            BinaryKind::Greater => truth(a > b),
            BinaryKind::GreaterOrEqual => truth(a >= b),
            BinaryKind::Less => truth(a < b),
            BinaryKind::LessOrEqual => truth(a <= b),
            BinaryKind::Gate => {
                if a != 0.0 {
                    b
                } else {
                    0.0
                }
            }
            BinaryKind::GateNot => {
                if a != 0.0 {
                    0.0
                } else {
                    b
                }
            }
            BinaryKind::Add => a + b,
            BinaryKind::Sub => a - b,
            BinaryKind::Mul => a * b,
            BinaryKind::Div => a / b,
            BinaryKind::Max => {
                if a > b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            BinaryKind::Min => {
                if a < b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            BinaryKind::Pow => a.powf(b),
            BinaryKind::PRelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
        }
    }

    /// The function's number, as the shaders know it.
    pub fn code(self) -> u32 {
        match self {
            BinaryKind::Equal => 16,
            BinaryKind::Greater => 17,
            BinaryKind::GreaterOrEqual => 18,
            BinaryKind::Less => 19,
            BinaryKind::LessOrEqual => 20,
            BinaryKind::Gate => 21,
            BinaryKind::GateNot => 22,
            BinaryKind::Add => 0,
            BinaryKind::Sub => 1,
            BinaryKind::Mul => 2,
            BinaryKind::Div => 3,
            BinaryKind::Max => 4,
            BinaryKind::Min => 5,
            BinaryKind::Pow => 6,
            BinaryKind::PRelu => 7,
        }
    }

    /// The ONNX operator's name.
    pub fn name(self) -> &'static str {
        match self {
            BinaryKind::Equal => "Equal",
            BinaryKind::Greater => "Greater",
            BinaryKind::GreaterOrEqual => "GreaterOrEqual",
            BinaryKind::Less => "Less",
            BinaryKind::LessOrEqual => "LessOrEqual",
            BinaryKind::Gate | BinaryKind::GateNot => "Where",
            BinaryKind::Add => "Add",
            BinaryKind::Sub => "Sub",
            BinaryKind::Mul => "Mul",
            BinaryKind::Div => "Div",
            BinaryKind::Max => "Max",
            BinaryKind::Min => "Min",
            BinaryKind::Pow => "Pow",
            BinaryKind::PRelu => "PRelu",
        }
    }
}

/// One activation of the network.
///
/// # Example
/// ```
/// use whybox::model::Model;
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let input = &model.graph().values[model.graph().input];
/// assert_eq!((input.name.as_str(), &input.shape[..], input.len()), ("input", &[2][..], 2));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Name in the file, or one made up.
    pub name: String,
    /// Lengths of the axes of one sample.
    pub shape: Vec<usize>,
}

impl Value {
    /// Elements per sample.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the value has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One operator applied to values.
///
/// # Example
/// ```
/// use whybox::model::Model;
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let (graph, node) = (model.graph(), &model.graph().nodes[0]);
/// assert_eq!((node.name.as_str(), node.op.name()), ("linear_0", "Linear"));
/// assert_eq!((&node.inputs[..], node.output), (&[graph.input][..], graph.output));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name in the file, or one made up.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// The activations it reads, in the operator's order.
    pub inputs: Vec<ValueId>,
    /// The activation it makes.
    pub output: ValueId,
}

/// A network as a list of nodes in executable order, with one input and one output.
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model, Op};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let mut graph = model.graph().clone();
/// assert_eq!(graph.producer(graph.output).map(|node| node.op.name()), Some("Linear"));
/// assert!(graph.producer(graph.input).is_none());
/// assert_eq!(graph.uses(graph.input), 1);
/// // Another layer by hand.
/// graph.output = graph.append("positive", Op::Activation(Activation::Relu), vec![graph.output], vec![1]);
/// assert_eq!(Model::from_graph("positive sum", graph)?.graph().nodes.len(), 2);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// All activations.
    pub values: Vec<Value>,
    /// Nodes; each value is made before it is used.
    pub nodes: Vec<Node>,
    /// The value fed by the caller.
    pub input: ValueId,
    /// The value given back.
    pub output: ValueId,
}

impl Graph {
    /// The node that makes `value`, if any does (the input has none).
    pub fn producer(&self, value: ValueId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.output == value)
    }

    /// For each value, the number in `nodes` of the node that makes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        self.nodes.iter().enumerate().for_each(|(at, node)| producers[node.output] = Some(at));
        producers
    }

    /// For each value, how many nodes read it, plus one if it is the output.
    pub fn all_uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|&id| uses[id] += 1);
        uses[self.output] += 1;
        uses
    }

    /// Adds a node that makes a new value of the given shape, and returns the value.
    pub fn append(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
    ) -> ValueId {
        let name = name.into();
        let output = self.values.len();
        self.values.push(Value { name: name.clone(), shape });
        self.nodes.push(Node { name, op, inputs, output });
        output
    }

    /// How many nodes read `value`, plus one if it is the output.
    pub fn uses(&self, value: ValueId) -> usize {
        let reads = self.nodes.iter().flat_map(|node| &node.inputs).filter(|&&id| id == value);
        reads.count() + usize::from(self.output == value)
    }
}
