//! Lowering: from the graph to steps.
//!
//! Every value becomes a *matrix* of rows × channels. The memory order of its axes is tracked, so that a
//! Transpose is free and a convolution finds its input channels last; a copy is made only where an operator
//! needs another order. A Concat along channels makes its inputs parts of one matrix.

use std::collections::HashMap;
use std::sync::Arc;

use super::memory::{Lifetime, share};
use super::*;
use crate::model::{self, BinaryKind, Graph, Model, Node, Op, Tensor, ValueId};
use crate::{Error, Result};

/// Axes longer than 1 that a [`Copy`] takes.
const COPY_AXES: usize = 6;

/// Rows × channels somewhere in memory.
struct Matrix {
    rows: usize,
    channels: usize,
    /// The matrix that it is a part of, and its first channel there.
    part_of: Option<(usize, usize)>,
    /// Whether something relies on it being contiguous.
    pinned: bool,
    /// The draft that writes it.
    writer: Option<usize>,
}

/// Where and how a value of the graph is stored.
#[derive(Clone)]
struct Stored {
    matrix: usize,
    shape: Vec<usize>,
    /// The value's axes from outermost to innermost in memory.
    order: Vec<usize>,
    /// Set where `shape` is the flattening of this shape, whose axes lie in this order.
    flattened: Option<(Vec<usize>, Vec<usize>)>,
}

/// A step before its views are known.
struct Draft {
    name: String,
    kernel: Kernel,
    inputs: Vec<usize>,
    output: usize,
    macs: u64,
    /// For `Binary`: whether axis 2 of first operand, second operand and output is the rows of a matrix.
    row_form: [bool; 3],
}

impl Plan {
    /// Lowers a model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if an operator broadcasts or permutes in a way that no kernel has.
    pub fn new(model: &Model) -> Result<Self> {
        let graph = model.graph();
        for value in graph.nodes.iter().map(|node| &graph.values[node.output]).chain([&graph.values[graph.input]]) {
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
            uses: graph.values.iter().enumerate().map(|(id, _)| graph.uses(id)).collect(),
            stored: HashMap::new(),
            matrices: Vec::new(),
            drafts: Vec::new(),
            weights: Vec::new(),
        };
        lowering.run()
    }
}

pub(super) struct Lowering<'g> {
    graph: &'g Graph,
    uses: Vec<usize>,
    stored: HashMap<ValueId, Stored>,
    matrices: Vec<Matrix>,
    drafts: Vec<Draft>,
    weights: Vec<Weight>,
}

impl Lowering<'_> {
    fn run(&mut self) -> Result<Plan> {
        let input_shape = self.graph.values[self.graph.input].shape.clone();
        let channels_last = input_shape.len() > 1 && self.input_wants_channels_last();
        let order = if channels_last { last_first(input_shape.len()) } else { (0..input_shape.len()).collect() };
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
        let layout = InputLayout { shape: input_shape, channels_last };
        Ok(self.finish(layout, input.matrix, output))
    }

    /// Whether the first operator with an opinion on the input's order is a convolution or a pool.
    fn input_wants_channels_last(&self) -> bool {
        let mut front = vec![self.graph.input];
        for node in &self.graph.nodes {
            if !front.contains(&node.inputs[0]) {
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
                if *kind == BinaryKind::Add {
                    if let Some(fused) = self.fuse_residual(node, &input, &other) {
                        return Ok(fused);
                    }
                }
                self.binary(node, *kind, shape, input, other)
            }
            Op::BinaryConst { kind, constant, constant_first } => {
                self.binary_const(node, *kind, shape, &input, constant, *constant_first)
            }
            Op::Concat { axis } => Ok(self.concat(node, shape, *axis)),
            Op::Transpose { perm } => {
                // Output axis i is input axis perm[i]: memory stays, the axes' names change.
                let input = self.unflattened(&input);
                let order = input.order.iter().map(|&axis| position(perm, axis)).collect();
                Ok(Stored { shape, order, ..input })
            }
            Op::Reshape => Ok(self.reshape(&input, shape)),
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

    #[allow(clippy::too_many_arguments, reason = "the operator's own parts")]
    fn conv(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        weight: &Tensor,
        bias: Option<&Tensor>,
        window: model::Window,
        groups: usize,
    ) -> Stored {
        let input = self.channels_last(input);
        let output = self.store(&shape, last_first(shape.len()));
        let (cin, cout) = (input.shape[0], shape[0]);
        let sliding = Sliding { input: space(&input.shape), output: space(&shape), window };
        let taps = window.kernel[0] * window.kernel[1];
        let (group_in, group_out) = (cin / groups, cout / groups);
        let mut packed = Vec::with_capacity(weight.len());
        for group in 0..groups {
            for tap in 0..taps {
                for i in 0..group_in {
                    packed.extend(
                        (0..group_out).map(|o| weight.data[((group * group_out + o) * group_in + i) * taps + tap]),
                    );
                }
            }
        }
        let macs = (sliding.output_rows() * weight.len()) as u64;
        let kernel = Kernel::Conv(Conv {
            sliding,
            cin,
            cout,
            groups,
            weight: self.weight(packed.into()),
            bias: bias.map(|bias| self.weight(bias.data.clone())),
            residual: false,
            activation: model::Activation::Identity,
        });
        self.step(&node.name, kernel, &[input.matrix], output.matrix, macs);
        output
    }

    fn linear(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Stored {
        let (cout, cin) = (weight.shape[0], weight.shape[1]);
        // A flattened picture keeps its memory order; the weights' columns move instead.
        let place: Vec<usize> = match &input.flattened {
            Some((before, order)) if shape.len() == 1 => memory_to_logical(before, order),
            _ => (0..cin).collect(),
        };
        let input = match (&input.flattened, shape.len()) {
            (Some(_), 1) => input.clone(),
            _ => {
                let input = self.unflattened(input);
                let plain: Vec<usize> = (0..input.shape.len()).collect();
                self.in_order(&input, &plain)
            }
        };
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let source = self.as_matrix(input.matrix, rows, cin);
        let output = self.store(&shape, (0..shape.len()).collect());
        let mut packed = Vec::with_capacity(weight.len());
        for &logical in &place {
            packed.extend((0..cout).map(|o| weight.data[o * cin + logical]));
        }
        let pixels = [1, rows];
        let kernel = Kernel::Conv(Conv {
            sliding: Sliding { input: pixels, output: pixels, window: model::Window::square(1) },
            cin,
            cout,
            groups: 1,
            weight: self.weight(packed.into()),
            bias: bias.map(|bias| self.weight(bias.data.clone())),
            residual: false,
            activation: model::Activation::Identity,
        });
        self.step(&node.name, kernel, &[source], output.matrix, (rows * cin * cout) as u64);
        output
    }

    fn reduce(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        kind: model::ReduceKind,
        axes: &[usize],
    ) -> Stored {
        let mut input = self.unflattened(input);
        let rank = input.shape.len();
        let reduced: Vec<bool> = (0..rank).map(|axis| axes.contains(&axis)).collect();
        // The reduced axes have to be neighbours in memory; axes of length 1 are anywhere.
        let long: Vec<usize> = input.order.iter().copied().filter(|&axis| input.shape[axis] > 1).collect();
        let changes = long.windows(2).filter(|pair| reduced[pair[0]] != reduced[pair[1]]).count();
        let first_reduced = long.first().is_some_and(|&axis| reduced[axis]);
        if changes > 2 || (changes == 2 && first_reduced) {
            let kept = (0..rank).filter(|&axis| !reduced[axis]);
            let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
            input = self.copied(&input, &order);
        }
        let mut extent = [1usize; 3];
        let mut part = 0;
        for &axis in &input.order {
            if input.shape[axis] == 1 {
                continue;
            }
            part = match (part, reduced[axis]) {
                (0, true) => 1,
                (1, false) => 2,
                (part, _) => part,
            };
            extent[part] *= input.shape[axis];
        }
        let [outer, len, inner] = extent;
        input.matrix = match outer {
            1 => self.as_matrix(input.matrix, len, inner),
            _ => self.contiguous_if(true, input.matrix),
        };
        // The output's axes keep their order; kept axes of length 1 can be anywhere.
        let keeps = shape.len() == rank;
        let order: Vec<usize> = if keeps {
            input.order.clone()
        } else {
            let left: Vec<usize> = (0..rank).filter(|&axis| !reduced[axis]).collect();
            input.order.iter().filter(|&&axis| !reduced[axis]).map(|&axis| position(&left, axis)).collect()
        };
        let output = self.store(&shape, order);
        self.matrices[output.matrix].pinned = outer > 1;
        let matrix = &mut self.matrices[output.matrix];
        (matrix.rows, matrix.channels) = (outer, inner);
        let kernel = Kernel::Reduce(Reduce { kind, outer, len, inner });
        self.step(&node.name, kernel, &[input.matrix], output.matrix, 0);
        output
    }

    /// Whether a value's memory has a single reader. A Reshape or a Transpose gives memory a second name, so the
    /// values before them count, too.
    fn only_reader(&self, mut value: ValueId) -> bool {
        while self.uses[value] == 1 {
            match self.graph.producer(value) {
                Some(Node { op: Op::Reshape | Op::Transpose { .. }, inputs, .. }) => value = inputs[0],
                _ => return true,
            }
        }
        false
    }

    /// Writes `act` into the step that makes `input`, if that step can apply it.
    fn fuse_activation(&mut self, input: &Stored, act: model::Activation, name: &str) -> bool {
        let Some(writer) = self.matrices[input.matrix].writer else { return false };
        let draft = &mut self.drafts[writer];
        let slot = match &mut draft.kernel {
            Kernel::Conv(conv) => &mut conv.activation,
            Kernel::Affine(affine) => &mut affine.activation,
            Kernel::Binary(binary) => &mut binary.activation,
            _ => return false,
        };
        if draft.output != input.matrix || *slot != model::Activation::Identity {
            return false;
        }
        *slot = act;
        draft.name = format!("{} + {name}", draft.name);
        true
    }

    /// Lets the convolution that makes one operand add the other.
    fn fuse_residual(&mut self, node: &Node, a: &Stored, b: &Stored) -> Option<Stored> {
        let candidate = |conv: &Stored, other: &Stored, id: ValueId| {
            let writer = self.matrices[conv.matrix].writer?;
            let draft = &self.drafts[writer];
            let Kernel::Conv(kernel) = &draft.kernel else { return None };
            let earlier = self.matrices[other.matrix].writer.is_none_or(|w| w < writer);
            let free = !kernel.residual
                && kernel.activation == model::Activation::Identity
                && draft.output == conv.matrix
                && self.only_reader(id)
                && conv.flattened.is_none()
                && other.flattened.is_none();
            let same = conv.shape == other.shape
                && same_order(&conv.shape, &conv.order, &other.order)
                && self.matrices[conv.matrix].rows == self.matrices[other.matrix].rows;
            (earlier && free && same && conv.matrix != other.matrix).then_some(writer)
        };
        let first = candidate(a, b, node.inputs[0]).map(|writer| (writer, a.clone(), b.matrix));
        let second = candidate(b, a, node.inputs[1]).map(|writer| (writer, b.clone(), a.matrix));
        let (writer, stored, other) = first.or(second)?;
        let draft = &mut self.drafts[writer];
        if let Kernel::Conv(kernel) = &mut draft.kernel {
            kernel.residual = true;
        }
        draft.inputs.push(other);
        draft.name = format!("{} + {}", draft.name, node.name);
        Some(stored)
    }

    fn binary(&mut self, node: &Node, kind: BinaryKind, shape: Vec<usize>, a: Stored, b: Stored) -> Result<Stored> {
        let (mut a, mut b) = (self.unflattened(&a), self.unflattened(&b));
        // The operand with the output's shape leads; the other is brought into its order.
        let swapped = a.shape != shape && b.shape == shape;
        if swapped {
            std::mem::swap(&mut a, &mut b);
        }
        if a.shape.len() == b.shape.len() {
            b = self.in_order(&b, &a.order.clone());
        } else {
            let (a_plain, b_plain): (Vec<_>, Vec<_>) = ((0..a.shape.len()).collect(), (0..b.shape.len()).collect());
            a = self.in_order(&a, &a_plain);
            b = self.in_order(&b, &b_plain);
        }
        let order = if a.shape.len() == shape.len() { a.order.clone() } else { (0..shape.len()).collect() };
        let strides = |stored: &Stored| broadcast_strides(&stored.shape, &stored.order, &shape, &order);
        let (a_strides, b_strides) = (strides(&a), strides(&b));
        self.emit_binary(node, kind, shape.clone(), order.clone(), (a.matrix, a_strides), (Some(b.matrix), b_strides), swapped)
    }

    fn binary_const(
        &mut self,
        node: &Node,
        kind: BinaryKind,
        shape: Vec<usize>,
        input: &Stored,
        constant: &Tensor,
        constant_first: bool,
    ) -> Result<Stored> {
        let mut input = self.unflattened(input);
        if input.shape.len() != shape.len() {
            let plain: Vec<usize> = (0..input.shape.len()).collect();
            input = self.in_order(&input, &plain);
        }
        let order = if input.shape.len() == shape.len() { input.order.clone() } else { (0..shape.len()).collect() };
        let a_strides = broadcast_strides(&input.shape, &input.order, &shape, &order);
        let plain: Vec<usize> = (0..constant.shape.len()).collect();
        let b_strides = broadcast_strides(&constant.shape, &plain, &shape, &order);
        let weight = self.weight(constant.data.clone());
        let stored =
            self.emit_binary(node, kind, shape, order, (input.matrix, a_strides), (None, b_strides), constant_first)?;
        if let Some(Draft { kernel: Kernel::Binary(binary), .. }) = self.drafts.last_mut() {
            binary.b = Operand::Constant(weight);
        }
        Ok(stored)
    }

    #[allow(clippy::too_many_arguments, reason = "the operator's own parts")]
    fn emit_binary(
        &mut self,
        node: &Node,
        kind: BinaryKind,
        shape: Vec<usize>,
        order: Vec<usize>,
        a: (usize, Vec<usize>),
        b: (Option<usize>, Vec<usize>),
        swapped: bool,
    ) -> Result<Stored> {
        let output = self.store(&shape, order.clone());
        let out_strides = broadcast_strides(&shape, &order, &shape, &order);
        let lengths: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let axes = collapse(&lengths, [&a.1, &b.1, &out_strides]);
        if axes.len() > 4 {
            return Err(Error::unsupported(
                format!("it broadcasts over {} separate axes", axes.len()),
                format!("node {:?} ({})", node.name, node.op.name()),
                "export the network with fewer axes in this operation",
            ));
        }
        let mut parts = [[0usize; 4]; 4];
        parts[0] = [1; 4];
        for (at, axis) in axes.iter().enumerate() {
            for (k, part) in parts.iter_mut().enumerate() {
                part[at + 4 - axes.len()] = axis[k];
            }
        }
        let [lengths, a_strides, b_strides, strides] = parts;
        let Matrix { rows, channels, .. } = self.matrices[output.matrix];
        // Rows and channels, as matrices have them: then parts of a Concat can be operands.
        let whole = |strides: &[usize; 4]| {
            lengths == [1, 1, rows, channels] && strides[2] == channels && (strides[3] == 1 || channels == 1)
        };
        let b_matrix = b.0;
        let row_form = [whole(&a_strides), b_matrix.is_some() && whole(&b_strides), whole(&strides)];
        if !row_form[2] {
            self.matrices[output.matrix].pinned = true;
        }
        let kernel = Kernel::Binary(Binary {
            kind,
            shape: lengths,
            a_strides,
            b_strides,
            out_strides: strides,
            b: Operand::Input,
            swapped,
            activation: model::Activation::Identity,
        });
        let mut operand = |matrix: usize, row_form: bool| match row_form {
            true => self.as_matrix(matrix, rows, channels),
            false => self.contiguous_if(true, matrix),
        };
        let a = operand(a.0, row_form[0]);
        let b = b_matrix.map(|b| operand(b, row_form[1]));
        let inputs: Vec<usize> = std::iter::once(a).chain(b).collect();
        let macs = (rows * channels) as u64;
        self.step(&node.name, kernel, &inputs, output.matrix, macs);
        if let Some(draft) = self.drafts.last_mut() {
            draft.row_form = row_form;
        }
        Ok(output)
    }

    fn concat(&mut self, node: &Node, shape: Vec<usize>, axis: usize) -> Stored {
        let inputs: Vec<Stored> = node.inputs.iter().map(|id| self.stored[id].clone()).collect();
        let inputs: Vec<Stored> = inputs.iter().map(|input| self.unflattened(input)).collect();
        let order = inputs[0].order.clone();
        let inputs: Vec<Stored> = inputs.iter().map(|input| self.in_order(input, &order)).collect();
        let output = self.store(&shape, order.clone());
        // As matrices: rows before the axis, channels from it on.
        let at = position(&order, axis);
        let rows: usize = order[..at].iter().map(|&axis| shape[axis]).product();
        let inner: usize = order[at + 1..].iter().map(|&axis| shape[axis]).product();
        let matrix = &mut self.matrices[output.matrix];
        (matrix.rows, matrix.channels) = (rows, shape[axis] * inner);
        let mut offset = 0;
        for input in &inputs {
            let channels = input.shape[axis] * inner;
            let part = &self.matrices[input.matrix];
            let movable = part.part_of.is_none()
                && !part.pinned
                && part.writer.is_some()
                && part.rows == rows
                && part.channels == channels;
            if movable {
                self.matrices[input.matrix].part_of = Some((output.matrix, offset));
                self.matrices[output.matrix].writer = self.matrices[input.matrix].writer;
            } else {
                let piece = self.matrices.len();
                self.matrices.push(Matrix {
                    rows,
                    channels,
                    part_of: Some((output.matrix, offset)),
                    pinned: false,
                    writer: None,
                });
                let source = self.as_matrix(input.matrix, rows, channels);
                let kernel = Kernel::Map(Map { rows, channels, activation: model::Activation::Identity });
                self.step(&node.name, kernel, &[source], piece, 0);
                self.matrices[output.matrix].writer = Some(self.drafts.len() - 1);
            }
            offset += channels;
        }
        // What reads the whole must come after the last part is written.
        let last = inputs.iter().filter_map(|input| self.matrices[input.matrix].writer).max();
        self.matrices[output.matrix].writer = last.max(self.matrices[output.matrix].writer);
        output
    }

    /// The same memory under another shape. Flattening a picture keeps the memory's order and remembers it, so
    /// that a Linear can move its weights instead of the activations.
    fn reshape(&mut self, input: &Stored, shape: Vec<usize>) -> Stored {
        let order: Vec<usize> = (0..shape.len()).collect();
        if shape.len() == 1 && input.shape.len() == 1 {
            return Stored { shape, order, ..input.clone() };
        }
        let input = self.unflattened(input);
        let plain: Vec<usize> = (0..input.shape.len()).collect();
        let in_order = same_order(&input.shape, &input.order, &plain);
        if shape.len() == 1 && !in_order {
            let matrix = self.contiguous_if(true, input.matrix);
            return Stored { matrix, shape, order, flattened: Some((input.shape, input.order)) };
        }
        let input = self.in_order(&input, &plain);
        let matrix = self.contiguous_if(true, input.matrix);
        Stored { matrix, shape, order, flattened: None }
    }

    // Orders and places.

    /// A fresh matrix for a value of the given shape whose axes lie in the given order.
    fn store(&mut self, shape: &[usize], order: Vec<usize>) -> Stored {
        let channels = order.last().map_or(1, |&axis| shape[axis]);
        let len: usize = shape.iter().product();
        let matrix = self.matrices.len();
        self.matrices.push(Matrix { rows: len / channels.max(1), channels, part_of: None, pinned: false, writer: None });
        Stored { matrix, shape: shape.to_vec(), order, flattened: None }
    }

    fn channels_last(&mut self, input: &Stored) -> Stored {
        let input = self.unflattened(input);
        let order = last_first(input.shape.len());
        let mut input = self.in_order(&input, &order);
        // Axes of length 1 may stand elsewhere; name the order as the kernels read it.
        input.order = order;
        let channels = input.shape.first().copied().unwrap_or(1).max(1);
        let rows = input.shape.iter().product::<usize>() / channels;
        input.matrix = self.as_matrix(input.matrix, rows, channels);
        input
    }

    /// The value with its axes in memory as `order` says; a copy only if they are not.
    fn in_order(&mut self, input: &Stored, order: &[usize]) -> Stored {
        if same_order(&input.shape, &input.order, order) && input.flattened.is_none() {
            return Stored { order: order.to_vec(), ..input.clone() };
        }
        let input = self.unflattened(input);
        self.copied(&input, order)
    }

    /// A copy of the value with its axes in memory as `order` says.
    fn copied(&mut self, input: &Stored, order: &[usize]) -> Stored {
        let output = self.store(&input.shape, order.to_vec());
        let in_strides = broadcast_strides(&input.shape, &input.order, &input.shape, order);
        let out_strides = broadcast_strides(&input.shape, order, &input.shape, order);
        let lengths: Vec<usize> = order.iter().map(|&axis| input.shape[axis]).collect();
        let source = self.contiguous_if(true, input.matrix);
        self.push_copy(&lengths, &in_strides, &out_strides, source, output.matrix);
        output
    }

    fn push_copy(&mut self, lengths: &[usize], from: &[usize], to: &[usize], source: usize, target: usize) {
        let mut axes = collapse(lengths, [from, to, to]);
        // With as many long axes as a copy takes, an innermost one of length 1 is too many.
        axes.truncate(COPY_AXES);
        let mut copy = Copy { shape: [1; 6], in_strides: [0; 6], out_strides: [0; 6] };
        for (at, axis) in axes.iter().enumerate() {
            let at = at + 6 - axes.len();
            copy.shape[at] = axis[0];
            copy.in_strides[at] = axis[1];
            copy.out_strides[at] = axis[2];
        }
        self.matrices[target].pinned = true;
        self.step("layout", Kernel::Copy(copy), &[source], target, 0);
    }

    fn contiguous(&mut self, input: &Stored) -> Stored {
        Stored { matrix: self.contiguous_if(true, input.matrix), ..input.clone() }
    }

    /// The matrix itself if it need not, or can, be contiguous; else a contiguous copy.
    fn contiguous_if(&mut self, needed: bool, matrix: usize) -> usize {
        if !needed {
            return matrix;
        }
        if self.matrices[matrix].part_of.is_none() {
            self.matrices[matrix].pinned = true;
            return matrix;
        }
        let Matrix { rows, channels, .. } = self.matrices[matrix];
        let copy = self.matrices.len();
        self.matrices.push(Matrix { rows, channels, part_of: None, pinned: true, writer: None });
        let kernel = Kernel::Map(Map { rows, channels, activation: model::Activation::Identity });
        self.step("layout", kernel, &[matrix], copy, 0);
        copy
    }

    /// The matrix for a reader that sees it as `rows` × `channels`: itself if it was made so, or if it is, and
    /// stays, contiguous; else a contiguous copy.
    fn as_matrix(&mut self, matrix: usize, rows: usize, channels: usize) -> usize {
        let made_so = (self.matrices[matrix].rows, self.matrices[matrix].channels) == (rows, channels);
        self.contiguous_if(!made_so, matrix)
    }

    /// Undoes a lazy flattening: the elements in the logical order of the flattened axis.
    fn unflattened(&mut self, input: &Stored) -> Stored {
        let Some((shape, order)) = input.flattened.clone() else { return input.clone() };
        let before = Stored { matrix: input.matrix, shape: shape.clone(), order, flattened: None };
        let plain: Vec<usize> = (0..shape.len()).collect();
        let copied = self.copied(&before, &plain);
        Stored { matrix: copied.matrix, shape: input.shape.clone(), order: input.order.clone(), flattened: None }
    }

    fn weight(&mut self, data: Arc<[f32]>) -> WeightId {
        self.weights.push(Weight { data });
        self.weights.len() - 1
    }

    fn step(&mut self, name: &str, kernel: Kernel, inputs: &[usize], output: usize, macs: u64) {
        self.matrices[output].writer = Some(self.drafts.len());
        let (name, inputs) = (name.to_owned(), inputs.to_vec());
        self.drafts.push(Draft { name, kernel, inputs, output, macs, row_form: [false; 3] });
    }

    // Views.

    fn finish(&mut self, input_layout: InputLayout, input: usize, output: Stored) -> Plan {
        let roots: Vec<usize> = (0..self.matrices.len()).map(|matrix| self.root(matrix).0).collect();
        let mut lifetimes: Vec<Lifetime> = self
            .matrices
            .iter()
            .map(|matrix| Lifetime { first: None, last: 0, len: matrix.rows * matrix.channels })
            .collect();
        for (at, draft) in self.drafts.iter().enumerate() {
            let life = &mut lifetimes[roots[draft.output]];
            life.first = life.first.or(Some(at));
            life.last = life.last.max(at);
            for &matrix in &draft.inputs {
                lifetimes[roots[matrix]].last = lifetimes[roots[matrix]].last.max(at);
            }
        }
        lifetimes[roots[input]].first = None;
        lifetimes[roots[output.matrix]].last = self.drafts.len();
        // Only roots that something uses get memory.
        let mut used = vec![false; self.matrices.len()];
        used[roots[input]] = true;
        used[roots[output.matrix]] = true;
        self.drafts.iter().flat_map(|d| d.inputs.iter().chain([&d.output])).for_each(|&m| used[roots[m]] = true);
        let kept: Vec<usize> = (0..self.matrices.len()).filter(|&m| used[m] && roots[m] == m).collect();
        let lives: Vec<Lifetime> = kept.iter().map(|&matrix| lifetimes[matrix]).collect();
        let (assigned, buffers) = share(&lives);
        let buffer_of = |root: usize| assigned[position(&kept, root)];
        let view = |matrix: usize, channels: usize| {
            let (root, offset) = self.root(matrix);
            let stride = if root == matrix { channels } else { self.matrices[root].channels };
            View { buffer: buffer_of(root), offset, stride }
        };
        let steps = self
            .drafts
            .iter()
            .map(|draft| {
                let (channels_in, channels_out) = channels_of(&draft.kernel);
                let residual = matches!(&draft.kernel, Kernel::Conv(conv) if conv.residual);
                let inputs: Vec<View> = draft
                    .inputs
                    .iter()
                    .enumerate()
                    .map(|(at, &matrix)| {
                        let channels = if residual && at == 1 { channels_out } else { channels_in };
                        view(matrix, channels.unwrap_or(self.matrices[matrix].channels))
                    })
                    .collect();
                let output = view(draft.output, channels_out.unwrap_or(self.matrices[draft.output].channels));
                let mut kernel = draft.kernel.clone();
                if let Kernel::Binary(binary) = &mut kernel {
                    let [a, b, out] = draft.row_form;
                    if a {
                        binary.a_strides[2] = inputs[0].stride;
                    }
                    if b {
                        binary.b_strides[2] = inputs[1].stride;
                    }
                    if out {
                        binary.out_strides[2] = output.stride;
                    }
                }
                Step { name: draft.name.clone(), kernel, inputs, output, macs: draft.macs }
            })
            .collect();
        let input_channels = self.matrices[input].channels;
        Plan {
            input: view(input, input_channels),
            output: view(output.matrix, self.matrices[output.matrix].channels),
            outputs: output.shape.iter().product(),
            input_layout,
            buffers,
            steps,
            weights: std::mem::take(&mut self.weights),
        }
    }

    /// The matrix that `matrix` is finally a part of, and its first channel there.
    fn root(&self, mut matrix: usize) -> (usize, usize) {
        let mut offset = 0;
        while let Some((parent, at)) = self.matrices[matrix].part_of {
            offset += at;
            matrix = parent;
        }
        (matrix, offset)
    }
}

/// Channels of a kernel's input and output rows, where the kernel fixes them.
fn channels_of(kernel: &Kernel) -> (Option<usize>, Option<usize>) {
    match kernel {
        Kernel::Conv(conv) => (Some(conv.cin), Some(conv.cout)),
        Kernel::Pool(pool) => (Some(pool.channels), Some(pool.channels)),
        Kernel::Reduce(reduce) => (Some(reduce.inner), Some(reduce.inner)),
        Kernel::Map(map) => (Some(map.channels), Some(map.channels)),
        Kernel::Affine(affine) => (Some(affine.channels), Some(affine.channels)),
        Kernel::Binary(binary) => (Some(binary.shape[3]), Some(binary.shape[3])),
        Kernel::Copy(_) | Kernel::Softmax(_) => (None, None),
    }
}

/// Height and width of `[C, H, W]`, or `[1, L]` of `[C, L]`.
fn space(shape: &[usize]) -> [usize; 2] {
    match *shape {
        [_, length] => [1, length],
        [_, height, width] => [height, width],
        // Convolutions and pools are made with two or three axes only.
        _ => [1, shape.iter().skip(1).product()],
    }
}

/// Memory order of a value stored channels last: axis 0 is innermost.
fn last_first(rank: usize) -> Vec<usize> {
    (1..rank).chain((rank > 0).then_some(0)).collect()
}

fn position(list: &[usize], wanted: usize) -> usize {
    // Callers look up an axis that the list holds by construction.
    list.iter().position(|&item| item == wanted).unwrap_or(0)
}

/// Whether two memory orders are the same, axes of length 1 left aside.
fn same_order(shape: &[usize], a: &[usize], b: &[usize]) -> bool {
    let long = |order: &[usize]| order.iter().copied().filter(|&axis| shape[axis] > 1).collect::<Vec<_>>();
    long(a) == long(b)
}

/// For each place in memory (axes in `order`), the row-major index of the element there.
fn memory_to_logical(shape: &[usize], order: &[usize]) -> Vec<usize> {
    let mut row_major = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        row_major[axis - 1] = row_major[axis] * shape[axis];
    }
    let mut places = vec![0];
    for &axis in order {
        places = places
            .iter()
            .flat_map(|&base| (0..shape[axis]).map(move |index| (base, index)))
            .map(|(base, index)| base + index * row_major[axis])
            .collect();
    }
    places
}

/// Strides of an operand over the output's axes in the output's memory order; 0 where it repeats. Shapes align
/// from the right, as NumPy's do.
fn broadcast_strides(shape: &[usize], order: &[usize], out_shape: &[usize], out_order: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for &axis in order.iter().rev() {
        strides[axis] = step;
        step *= shape[axis];
    }
    let lead = out_shape.len() - shape.len();
    out_order
        .iter()
        .map(|&axis| match axis.checked_sub(lead) {
            Some(own) if shape[own] > 1 => strides[own],
            Some(own) if out_shape[axis] == 1 => strides[own],
            _ => 0,
        })
        .collect()
}

/// Joins neighbouring axes over which every operand walks evenly, and drops axes of length 1; the innermost
/// axis stays apart, because it is the channels. Each result is (length, three strides).
fn collapse(lengths: &[usize], strides: [&[usize]; 3]) -> Vec<[usize; 4]> {
    let mut axes: Vec<[usize; 4]> = Vec::new();
    for at in 0..lengths.len() {
        let axis = [lengths[at], strides[0][at], strides[1][at], strides[2][at]];
        let innermost = at + 1 == lengths.len();
        if axis[0] == 1 && !innermost {
            continue;
        }
        let joins = axes.last().is_some_and(|outer| {
            !innermost && (1..4).all(|k| outer[k] == axis[k] * axis[0])
        });
        match axes.last_mut() {
            Some(outer) if joins => *outer = [outer[0] * axis[0], axis[1], axis[2], axis[3]],
            _ => axes.push(axis),
        }
    }
    if axes.len() == 1 {
        axes.insert(0, [1, 0, 0, 0]);
        axes[0] = [1, axes[1][0] * axes[1][1], axes[1][0] * axes[1][2], axes[1][0] * axes[1][3]];
    }
    axes
}
