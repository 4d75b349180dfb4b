//! Networks written down in Rust.

use super::{Activation, BinaryKind, Graph, Model, Op, PoolKind, ReduceKind, Tensor, Value, ValueId, Window};
use crate::{Error, Result};

/// Builds a [`Model`] layer by layer. Each call continues from the *current* value; [`mark`](Builder::mark) keeps a
/// value for [`add`](Builder::add), [`concat`](Builder::concat) or [`resume`](Builder::resume).
///
/// # Example
/// A residual block:
/// ```
/// use whybox::model::{Activation, Model, Window};
///
/// let weight = vec![0.01; 4 * 4 * 3 * 3];
/// let mut net = Model::builder("block", &[4, 8, 8]);
/// let shortcut = net.mark();
/// let model = net
///     .conv(&weight, None, 4, Window::square(3).pad(1), 1)?
///     .activation(Activation::Relu)?
///     .conv(&weight, Some(&[0.5; 4]), 4, Window::square(3).pad(1), 1)?
///     .add(shortcut)?
///     .activation(Activation::Relu)?
///     .build()?;
/// assert_eq!(model.output_shape(), [4, 8, 8]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    pub(super) graph: Graph,
    pub(super) current: ValueId,
}

impl Builder {
    pub(super) fn new(name: impl Into<String>, input_shape: &[usize]) -> Self {
        let input = Value { name: "input".into(), shape: input_shape.to_vec() };
        let graph = Graph { values: vec![input], nodes: Vec::new(), input: 0, output: 0 };
        Builder { name: name.into(), graph, current: 0 }
    }

    /// Shape of one sample of the current value.
    pub fn shape(&self) -> &[usize] {
        &self.graph.values[self.current].shape
    }

    /// Keeps the current value.
    pub fn mark(&self) -> ValueId {
        self.current
    }

    /// Continues from a value kept before.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the value is not this builder's.
    pub fn resume(mut self, value: ValueId) -> Result<Self> {
        self.check(value)?;
        self.current = value;
        Ok(self)
    }

    /// Convolution of `[C, H, W]` with `weight` `[outputs, C / groups, kh, kw]` (row-major) and `bias` `[outputs]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes do not agree, [`Error::Model`] if the window does not fit.
    pub fn conv(
        self,
        weight: &[f32],
        bias: Option<&[f32]>,
        outputs: usize,
        window: Window,
        groups: usize,
    ) -> Result<Self> {
        let name = self.next_name("conv");
        let [c, h, w] = self.picture(&name)?;
        if groups == 0 || c % groups != 0 || !outputs.is_multiple_of(groups) || outputs == 0 {
            return Err(wrong(
                &name,
                format!("{groups} groups do not divide {c} inputs and {outputs} outputs"),
            ));
        }
        let shape = [outputs, c / groups, window.kernel[0], window.kernel[1]];
        expect_len(&name, "weight", weight.len(), shape.iter().product())?;
        if let Some(bias) = bias {
            expect_len(&name, "bias", bias.len(), outputs)?;
        }
        let [oh, ow] = window.output([h, w], false, &name)?;
        let bias = bias.map(|bias| Tensor::new(&[outputs], bias));
        let op = Op::Conv { weight: Tensor::new(&shape, weight), bias, window, groups };
        Ok(self.push(name, op, vec![outputs, oh, ow]))
    }

    /// `x · weightᵀ + bias` over the last axis, `weight` `[outputs, inputs]` row-major; a picture is flattened first.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes do not agree.
    pub fn linear(self, weight: &[f32], bias: &[f32], outputs: usize) -> Result<Self> {
        let this = if self.shape().len() > 2 { self.flatten() } else { self };
        let name = this.next_name("linear");
        let mut shape = this.shape().to_vec();
        let Some(last) = shape.last_mut() else {
            return Err(wrong(&name, "the input has no axis".into()));
        };
        expect_len(&name, "weight", weight.len(), *last * outputs)?;
        expect_len(&name, "bias", bias.len(), outputs)?;
        let weight = Tensor::new(&[outputs, *last], weight);
        let bias = (!bias.is_empty()).then(|| Tensor::new(&[outputs], bias));
        *last = outputs;
        Ok(this.push(name, Op::Linear { weight, bias }, shape))
    }

    /// A scalar function of each element.
    ///
    /// # Errors
    /// None at present; a `Result` so that calls chain alike.
    pub fn activation(self, activation: Activation) -> Result<Self> {
        let name = self.next_name(&activation.name().to_lowercase());
        let shape = self.shape().to_vec();
        Ok(self.push(name, Op::Activation(activation), shape))
    }

    /// Max pooling.
    ///
    /// # Errors
    /// [`Error::Model`] if the window does not fit.
    pub fn max_pool(self, window: Window) -> Result<Self> {
        self.pool(PoolKind::Max, window, false)
    }

    /// Average pooling; padding does not count in the divisor.
    ///
    /// # Errors
    /// [`Error::Model`] if the window does not fit.
    pub fn average_pool(self, window: Window) -> Result<Self> {
        self.pool(PoolKind::Average { count_include_pad: false }, window, false)
    }

    /// Pooling of any kind; `ceil` rounds the output's size up.
    ///
    /// # Errors
    /// [`Error::Model`] if the window does not fit.
    pub fn pool(self, kind: PoolKind, window: Window, ceil: bool) -> Result<Self> {
        let name = self.next_name("pool");
        let [c, h, w] = self.picture(&name)?;
        let [oh, ow] = window.output([h, w], ceil, &name)?;
        Ok(self.push(name, Op::Pool { kind, window }, vec![c, oh, ow]))
    }

    /// Mean over space: `[C, H, W]` to `[C]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the current value is no picture.
    pub fn global_average_pool(self) -> Result<Self> {
        let name = self.next_name("global_average_pool");
        let [c, _, _] = self.picture(&name)?;
        Ok(self.push(name, Op::Reduce { kind: ReduceKind::Mean, axes: vec![1, 2] }, vec![c]))
    }

    /// `scale[c] · x + shift[c]`: batch normalisation with its statistics folded in.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes do not agree.
    pub fn affine(self, scale: &[f32], shift: &[f32]) -> Result<Self> {
        let name = self.next_name("affine");
        let shape = self.shape().to_vec();
        let channels = shape.first().copied().unwrap_or(0);
        expect_len(&name, "scale", scale.len(), channels)?;
        expect_len(&name, "shift", shift.len(), channels)?;
        let op =
            Op::Affine { scale: Tensor::new(&[channels], scale), shift: Tensor::new(&[channels], shift) };
        Ok(self.push(name, op, shape))
    }

    /// Batch normalisation in inference over the first axis: `weight · (x − mean) / √(variance + epsilon) + bias`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes do not agree.
    pub fn batch_norm(
        self,
        weight: &[f32],
        bias: &[f32],
        mean: &[f32],
        variance: &[f32],
        epsilon: f32,
    ) -> Result<Self> {
        let name = self.next_name("batch_norm");
        let channels = self.shape().first().copied().unwrap_or(0);
        for (what, found) in [("weight", weight), ("shift", bias), ("mean", mean), ("variance", variance)] {
            expect_len(&name, what, found.len(), channels)?;
        }
        let scale: Vec<f64> = weight
            .iter()
            .zip(variance)
            .map(|(&w, &v)| f64::from(w) / (f64::from(v) + f64::from(epsilon)).sqrt())
            .collect();
        let shift =
            bias.iter().zip(mean).zip(&scale).map(|((&b, &m), s)| (f64::from(b) - f64::from(m) * s) as f32);
        let shift: Vec<f32> = shift.collect();
        let scale: Vec<f32> = scale.iter().map(|&s| s as f32).collect();
        self.affine(&scale, &shift)
    }

    /// Adds a value kept before (of the same shape).
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes differ.
    #[allow(
        clippy::should_implement_trait,
        reason = "the layer's name; `+` on builders would say something else"
    )]
    pub fn add(self, other: ValueId) -> Result<Self> {
        self.binary(BinaryKind::Add, other)
    }

    /// A function of the current value and one kept before (second operand); of the same rank, axes of length 1
    /// broadcast: a gate `[C, 1, 1]` times a picture `[C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes do not broadcast.
    pub fn binary(mut self, kind: BinaryKind, other: ValueId) -> Result<Self> {
        self.check(other)?;
        let name = self.next_name(&kind.name().to_lowercase());
        let shape = broadcast(self.shape(), &self.graph.values[other].shape).ok_or_else(|| {
            wrong(&name, format!("{:?} and {:?} differ", self.shape(), self.graph.values[other].shape))
        })?;
        self.current = self.graph.append(name, Op::Binary(kind), vec![self.current, other], shape);
        Ok(self)
    }

    /// A function of the current value (first operand) and a constant, with NumPy broadcasting.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the constant would widen the value or does not fit it.
    pub fn binary_const(self, kind: BinaryKind, constant: &Tensor) -> Result<Self> {
        self.with_constant(kind, constant, false)
    }

    /// A function of a constant (first operand) and the current value, with NumPy broadcasting: `1 − x`, `1 / x`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the constant would widen the value or does not fit it.
    pub fn const_binary(self, kind: BinaryKind, constant: &Tensor) -> Result<Self> {
        self.with_constant(kind, constant, true)
    }

    fn with_constant(self, kind: BinaryKind, constant: &Tensor, constant_first: bool) -> Result<Self> {
        let name = self.next_name(&kind.name().to_lowercase());
        let shape = self.shape().to_vec();
        if !fits(&constant.shape, &shape) {
            return Err(wrong(&name, format!("a constant of {:?} does not fit {shape:?}", constant.shape)));
        }
        let op = Op::BinaryConst { kind, constant: constant.clone(), constant_first };
        Ok(self.push(name, op, shape))
    }

    /// Mean, sum, largest or smallest element over ascending `axes`, which go away, or stay with length 1 if `keep`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if an axis does not exist or the axes are not in ascending order.
    pub fn reduce(self, kind: ReduceKind, axes: &[usize], keep: bool) -> Result<Self> {
        let name = self.next_name("reduce");
        let ascending = axes.windows(2).all(|pair| pair[0] < pair[1]);
        if axes.is_empty() || !ascending || axes.iter().any(|&axis| axis >= self.shape().len()) {
            return Err(wrong(&name, format!("axes {axes:?} are not ascending axes of {:?}", self.shape())));
        }
        let length = |(axis, &length): (usize, &usize)| match axes.contains(&axis) {
            true if keep => Some(1),
            true => None,
            false => Some(length),
        };
        let shape = self.shape().iter().enumerate().filter_map(length).collect();
        Ok(self.push(name, Op::Reduce { kind, axes: axes.to_vec() }, shape))
    }

    /// Axis `i` of the result is axis `perm[i]` of the current value.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `perm` is no permutation of the axes.
    pub fn transpose(self, perm: &[usize]) -> Result<Self> {
        let name = self.next_name("transpose");
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape().len()) {
            return Err(wrong(
                &name,
                format!("{perm:?} is no permutation of the axes of {:?}", self.shape()),
            ));
        }
        let shape = perm.iter().map(|&axis| self.shape()[axis]).collect();
        Ok(self.push(name, Op::Transpose { perm: perm.to_vec() }, shape))
    }

    /// The same elements in the same order under another shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the number of elements differs.
    pub fn reshape(self, shape: &[usize]) -> Result<Self> {
        let name = self.next_name("reshape");
        let elements = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        if elements != Some(self.shape().iter().product()) {
            return Err(wrong(&name, format!("{:?} has other elements than {shape:?}", self.shape())));
        }
        Ok(self.push(name, Op::Reshape, shape.to_vec()))
    }

    /// Joins values kept before and the current one (last) along the channels.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the other axes differ.
    pub fn concat(mut self, others: &[ValueId]) -> Result<Self> {
        let name = self.next_name("concat");
        let mut inputs = others.to_vec();
        inputs.push(self.current);
        let mut shape = self.shape().to_vec();
        let mut channels = 0;
        for &id in &inputs {
            self.check(id)?;
            let other = &self.graph.values[id].shape;
            if other.len() != shape.len() || other[1..] != shape[1..] {
                return Err(wrong(&name, format!("{shape:?} and {other:?} differ beyond the channels")));
            }
            channels += other[0];
        }
        shape[0] = channels;
        self.current = self.graph.append(name, Op::Concat { axis: 0 }, inputs, shape);
        Ok(self)
    }

    /// All elements in one axis.
    pub fn flatten(self) -> Self {
        let name = self.next_name("flatten");
        let len = self.shape().iter().product();
        self.push(name, Op::Reshape, vec![len])
    }

    /// Softmax over the first axis.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the current value has no axis.
    pub fn softmax(self) -> Result<Self> {
        self.softmax_along(0, false)
    }

    /// Softmax, or its logarithm, along an axis.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such axis.
    pub fn softmax_along(self, axis: usize, log: bool) -> Result<Self> {
        let name = self.next_name("softmax");
        let shape = self.shape().to_vec();
        if axis >= shape.len() {
            return Err(wrong(&name, format!("{shape:?} has no axis {axis}")));
        }
        Ok(self.push(name, Op::Softmax { axis, log }, shape))
    }

    /// Finishes: the current value is the output.
    ///
    /// # Errors
    /// [`Error::Model`] if the input or the output is empty.
    pub fn build(mut self) -> Result<Model> {
        self.graph.output = self.current;
        Model::from_graph(self.name, self.graph)
    }

    pub(super) fn push(mut self, name: String, op: Op, shape: Vec<usize>) -> Self {
        self.current = self.graph.append(name, op, vec![self.current], shape);
        self
    }

    pub(super) fn next_name(&self, kind: &str) -> String {
        format!("{kind}_{}", self.graph.nodes.len())
    }

    pub(super) fn picture(&self, at: &str) -> Result<[usize; 3]> {
        match *self.shape() {
            [c, h, w] => Ok([c, h, w]),
            _ => Err(wrong(at, format!("needs a picture [C, H, W], has {:?}", self.shape()))),
        }
    }

    pub(super) fn check(&self, value: ValueId) -> Result<()> {
        if value < self.graph.values.len() {
            return Ok(());
        }
        Err(wrong("builder", format!("there is no value {value}")))
    }
}

/// Whether a constant broadcasts to `shape` without widening it.
pub(super) fn fits(constant: &[usize], shape: &[usize]) -> bool {
    let mut aligned = vec![1; shape.len().saturating_sub(constant.len())];
    aligned.extend_from_slice(constant);
    broadcast(shape, &aligned).is_some_and(|wide| wide == shape)
}

/// The shape that two shapes of the same rank broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let one = |(&a, &b): (&usize, &usize)| match (a, b) {
        _ if a == b => Some(a),
        (1, wide) | (wide, 1) => Some(wide),
        _ => None,
    };
    if a.len() == b.len() { a.iter().zip(b).map(one).collect() } else { None }
}

pub(super) fn wrong(at: &str, what: String) -> Error {
    Error::parameter(what, at, "check the shapes of this layer")
}

pub(super) fn expect_len(at: &str, what: &str, found: usize, needed: usize) -> Result<()> {
    if found == needed || (what == "bias" && found == 0) {
        return Ok(());
    }
    Err(wrong(at, format!("{what} has {found} elements, {needed} are needed")))
}
