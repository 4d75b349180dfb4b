//! Lowering: from the graph to steps.
//!
//! Every value becomes a *matrix* of rows × channels. The memory order of its axes is tracked, so that a
//! Transpose is free and a convolution finds its input channels last; a copy is made only where an operator
//! needs another order. A Concat along channels makes its inputs parts of one matrix.

mod binary;
mod concat;
mod finish;
mod fuse;
mod layers;
mod layout;
mod movement;
mod normalize;
mod pack;
mod product;

use std::collections::HashMap;
use std::sync::Arc;

use self::layout::{last_first, position, space};
use super::*;
use crate::model::{self, BinaryKind, Graph, Model, Node, Op, ValueId};
use crate::{Error, Result};

/// Axes longer than 1 that a [`Copy`] takes.
const COPY_AXES: usize = 6;

/// Rows × channels somewhere in memory.
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) channels: usize,
    /// The matrix that it is a part of, and its first channel there.
    pub(super) part_of: Option<(usize, usize)>,
    /// Whether something relies on it being contiguous.
    pub(super) pinned: bool,
    /// The draft that writes it.
    pub(super) writer: Option<usize>,
}

/// Where and how a value of the graph is stored.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) matrix: usize,
    pub(super) shape: Vec<usize>,
    /// The value's axes from outermost to innermost in memory.
    pub(super) order: Vec<usize>,
    /// Set where `shape` is the flattening of this shape, whose axes lie in this order.
    pub(super) flattened: Option<(Vec<usize>, Vec<usize>)>,
}

/// A step before its views are known.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) kernel: Kernel,
    pub(super) inputs: Vec<usize>,
    pub(super) output: usize,
    pub(super) macs: u64,
    /// For `Binary`: whether axis 2 of first operand, second operand and output is the rows of a matrix.
    pub(super) row_form: [bool; 3],
}

impl Plan {
    /// Lowers a model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if an operator broadcasts or permutes in a way that no kernel has.
    pub fn new(model: &Model) -> Result<Self> {
        let graph = model.graph();
        for value in
            graph.nodes.iter().map(|node| &graph.values[node.output]).chain([&graph.values[graph.input]])
        {
            if value.shape.iter().filter(|&&length| length > 1).count() > COPY_AXES {
                return Err(Error::unsupported(
                    format!("{:?} has more than {COPY_AXES} axes", value.shape),
                    format!("value {:?}", value.name),
                    "export the network with fewer axes",
                ));
            }
        }
        let mut lowering = Lowering {
            graph,
            uses: graph.all_uses(),
            producers: graph.producers(),
            stored: HashMap::new(),
            matrices: Vec::new(),
            drafts: Vec::new(),
            weights: Vec::new(),
        };
        lowering.run()
    }
}

struct Lowering<'g> {
    graph: &'g Graph,
    uses: Vec<usize>,
    /// Which node makes each value.
    producers: Vec<Option<usize>>,
    stored: HashMap<ValueId, Stored>,
    matrices: Vec<Matrix>,
    drafts: Vec<Draft>,
    weights: Vec<Weight>,
}

impl Lowering<'_> {
    fn run(&mut self) -> Result<Plan> {
        let input_shape = self.graph.values[self.graph.input].shape.clone();
        let channels_last = input_shape.len() > 1 && self.input_wants_channels_last();
        let order =
            if channels_last { last_first(input_shape.len()) } else { (0..input_shape.len()).collect() };
        let input = self.store(&input_shape, order);
        self.stored.insert(self.graph.input, input.clone());
        for node in &self.graph.nodes {
            let output = self.node(node)?;
            self.stored.insert(node.output, output);
        }
        let output = self.stored[&self.graph.output].clone();
        let plain: Vec<usize> = (0..output.shape.len()).collect();
        let mut output = self.in_order(&output, &plain);
        if output.matrix == input.matrix || self.matrices[output.matrix].part_of.is_some() {
            output = self.copied(&output, &plain);
        }
        let layout = InputLayout { shape: input_shape, channels_last, vocabulary: self.vocabulary()? };
        Ok(self.finish(layout, input.matrix, output))
    }

    /// Whether the first operator with an opinion on the input's order is a convolution or a pool.
    fn input_wants_channels_last(&self) -> bool {
        let mut front = vec![self.graph.input];
        for node in &self.graph.nodes {
            if !node.inputs.first().is_some_and(|input| front.contains(input)) {
                continue;
            }
            match node.op {
                Op::Conv { .. } | Op::Pool { .. } => return true,
                Op::Activation(_) | Op::Affine { .. } | Op::BinaryConst { .. } => front.push(node.output),
                _ => {}
            }
        }
        false
    }

    fn node(&mut self, node: &Node) -> Result<Stored> {
        let shape = self.graph.values[node.output].shape.clone();
        if let Op::Constant { value } = &node.op {
            return Ok(self.fill(node, value));
        }
        let input = self.stored[&node.inputs[0]].clone();
        match &node.op {
            Op::Conv { weight, bias, window, groups } => {
                Ok(self.conv(node, &input, shape, weight, bias.as_ref(), *window, *groups))
            }
            Op::Linear { weight, bias } => Ok(self.linear(node, &input, shape, weight, bias.as_ref())),
            Op::Pool { kind, window } => {
                let input = self.channels_last(&input);
                let output = self.store(&shape, last_first(shape.len()));
                let sliding = Sliding { input: space(&input.shape), output: space(&shape), window: *window };
                let kernel = Kernel::Pool(Pool { kind: *kind, sliding, channels: shape[0] });
                self.step(&node.name, kernel, &[input.matrix], output.matrix, 0);
                Ok(output)
            }
            Op::Reduce { kind, axes } => Ok(self.reduce(node, &input, shape, *kind, axes)),
            Op::Activation(activation) => {
                if self.only_reader(node.inputs[0]) && self.fuse_activation(&input, *activation, &node.name) {
                    return Ok(input);
                }
                let output = self.store(&shape, input.order.clone());
                let Matrix { rows, channels, .. } = self.matrices[output.matrix];
                let source = self.as_matrix(input.matrix, rows, channels);
                let kernel = Kernel::Map(Map { rows, channels, activation: *activation });
                self.step(&node.name, kernel, &[source], output.matrix, 0);
                Ok(Stored { flattened: input.flattened, ..output })
            }
            Op::Affine { scale, shift } => {
                let input = self.channels_last(&input);
                let output = self.store(&shape, input.order.clone());
                let Matrix { rows, channels, .. } = self.matrices[output.matrix];
                let kernel = Kernel::Affine(Affine {
                    rows,
                    channels,
                    scale: self.weight(scale.data.clone()),
                    shift: self.weight(shift.data.clone()),
                    activation: model::Activation::Identity,
                });
                self.step(&node.name, kernel, &[input.matrix], output.matrix, (rows * channels) as u64);
                Ok(output)
            }
            Op::Binary(kind) => {
                let other = self.stored[&node.inputs[1]].clone();
                if *kind == BinaryKind::Add
                    && let Some(fused) = self.fuse_residual(node, &input, &other)
                {
                    return Ok(fused);
                }
                self.binary(node, *kind, shape, input, other)
            }
            Op::BinaryConst { kind, constant, constant_first } => {
                self.binary_const(node, *kind, shape, &input, constant, *constant_first)
            }
            Op::Normalize { kind, axes, groups, scale, shift } => {
                self.normalize(node, &input, *kind, axes, *groups, [scale.as_ref(), shift.as_ref()])
            }
            Op::Lrn(response) => Ok(self.lrn(node, &input, *response)),
            Op::Concat { axis } => Ok(self.concat(node, shape, *axis)),
            Op::Transpose { perm } => {
                // Output axis i is input axis perm[i]: memory stays, the axes' names change.
                let input = self.unflattened(&input);
                let order = input.order.iter().map(|&axis| position(perm, axis)).collect();
                Ok(Stored { shape, order, ..input })
            }
            Op::Reshape => Ok(self.reshape(&input, shape)),
            // Handled above: it has no input.
            Op::Constant { value } => Ok(self.fill(node, value)),
            Op::Select { axis, indices, fill } => self.select(node, &input, shape, *axis, indices, *fill),
            Op::Embedding { table } => Ok(self.embedding(node, &input, shape, table)),
            Op::MatMul => {
                let other = self.stored[&node.inputs[1]].clone();
                self.matmul(node, &input, &other, shape)
            }
            Op::Softmax { axis, log } => {
                let input = self.unflattened(&input);
                let input = self.contiguous(&input);
                let output = self.store(&shape, input.order.clone());
                let at = position(&input.order, *axis);
                let length = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
                let kernel = Kernel::Softmax(Softmax {
                    outer: length(&input.order[..at]),
                    len: shape[*axis],
                    inner: length(&input.order[at + 1..]),
                    log: *log,
                });
                self.matrices[output.matrix].pinned = true;
                self.step(&node.name, kernel, &[input.matrix], output.matrix, 0);
                Ok(output)
            }
        }
    }

    pub(super) fn weight(&mut self, data: Arc<[f32]>) -> WeightId {
        self.weights.push(Weight { data });
        self.weights.len() - 1
    }

    pub(super) fn step(&mut self, name: &str, kernel: Kernel, inputs: &[usize], output: usize, macs: u64) {
        self.matrices[output].writer = Some(self.drafts.len());
        let (name, inputs) = (name.to_owned(), inputs.to_vec());
        self.drafts.push(Draft { name, kernel, inputs, output, macs, row_form: [false; 3] });
    }
}
