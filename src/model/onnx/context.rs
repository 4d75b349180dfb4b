//! What the importer knows while it walks the nodes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use rten_onnx::onnx::{AttributeProto, NodeProto, TensorProto};

use super::batch::BatchPlace;
use super::constant::{Constant, elements, is_symbolic};
use super::numbers::Numbers;
use crate::model::{BinaryKind, Graph, Op, ReduceKind, Tensor, ValueId};
use crate::{Error, Result};

/// What a name of the file stands for.
#[derive(Clone)]
pub(super) enum Slot<'a> {
    /// An initializer that nothing has asked for yet.
    Lazy(&'a TensorProto),
    /// A constant.
    Constant(Constant),
    /// An activation; `batched` values have a batch axis in their ONNX shape: axis 0, if [`Context::moved`] does not
    /// say otherwise.
    Value { id: ValueId, batched: bool },
}

/// The graph so far, and the meaning of each name.
pub(super) struct Context<'a> {
    pub(super) graph: Graph,
    slots: HashMap<String, Slot<'a>>,
    pub(super) opset: i64,
    pub(super) folder: Option<PathBuf>,
    /// The batch that the file declares, if it is fixed.
    pub(super) declared_batch: Option<usize>,
    /// Where the batch is of values that do not have it alone as axis 0.
    pub(super) moved: HashMap<ValueId, BatchPlace>,
    /// Activations that hold integers or truth values, as floats.
    pub(super) integers: HashSet<ValueId>,
    /// Activations that count the samples.
    pub(super) numbers: HashMap<ValueId, Numbers>,
    /// Outputs of nodes that the importer does not compute: labels, indices, masks.
    missing: HashSet<String>,
    /// Numbers that the file holds, as far as they were read.
    held: usize,
    /// Numbers made from those.
    made: usize,
}

/// A file may make this many numbers of nothing, and [`GROWTH`] for each that it holds: enough for every exporter's
/// habits, and a bound on the memory that a small file can ask for.
const ALLOWANCE: usize = 1 << 24;
const GROWTH: usize = 16;

impl<'a> Context<'a> {
    pub(super) fn new(
        graph: Graph,
        slots: HashMap<String, Slot<'a>>,
        opset: i64,
        folder: Option<PathBuf>,
        declared_batch: Option<usize>,
    ) -> Self {
        Context {
            graph,
            slots,
            opset,
            folder,
            declared_batch,
            moved: HashMap::new(),
            integers: HashSet::new(),
            numbers: HashMap::new(),
            missing: HashSet::new(),
            held: 0,
            made: 0,
        }
    }

    /// The finished graph with the value called `output` as its output; `place` names it in errors, and `made` says whether some
    /// node makes it.
    pub(super) fn finish(mut self, output: &str, place: String, made: bool) -> Result<Graph> {
        match self.slots.get(output) {
            Some(Slot::Value { id, .. }) if !self.numbers.contains_key(id) => {
                // Answers come sample by sample.
                let ahead = self.moved.get(id).map_or(0, |place| place.boundary());
                if self.graph.values[*id].shape[..ahead].iter().any(|&length| length > 1) {
                    return Err(Error::unsupported(
                        "the batch is not the output's first axis",
                        place,
                        "choose another output, or export the network with the batch as axis 0",
                    ));
                }
                self.graph.output = *id;
                Ok(self.graph)
            }
            Some(_) => Err(Error::unsupported(
                "the output does not depend on the input",
                place,
                "choose another output, or export the network again",
            )),
            None if made => Err(Error::unsupported(
                "this output of the node is not computed",
                place,
                "choose another output",
            )),
            None => Err(Error::model("no node makes the output", place, "export the network again")),
        }
    }
}

/// One node under import: its attributes, its inputs, and how to report an error about it.
pub(super) struct NodeContext<'a, 'c> {
    pub(super) context: &'c mut Context<'a>,
    pub(super) node: &'a NodeProto,
    pub(super) op: &'a str,
    pub(super) name: String,
    /// Inputs as [`prepare`](super::batch::prepare) wants them.
    pub(super) overrides: HashMap<usize, Slot<'a>>,
    /// Where [`emit`](NodeContext::emit) has the batch.
    pub(super) place: BatchPlace,
}

impl<'a, 'c> NodeContext<'a, 'c> {
    pub(super) fn new(context: &'c mut Context<'a>, node: &'a NodeProto) -> Self {
        let op = node.op_type.as_deref().unwrap_or_default();
        let name = match node.name.as_deref() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => node.output.first().cloned().unwrap_or_else(|| op.to_owned()),
        };
        NodeContext { context, node, op, name, overrides: HashMap::new(), place: BatchPlace::FIRST }
    }

    fn place(&self) -> String {
        format!("node {}", super::ops::title(self.node, self.context.opset))
    }

    /// The file contradicts itself at this node.
    pub(super) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::model(what, self.place(), "export the network again")
    }

    /// The node is sound but beyond what whybox does.
    pub(super) fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::unsupported(
            what,
            self.place(),
            "docs/operators.md lists what is supported; export in another form",
        )
    }

    pub(super) fn batch_in_arithmetic(&self) -> Error {
        self.unsupported("it computes with the batch size")
    }

    pub(super) fn opset(&self) -> i64 {
        self.context.opset
    }

    // Attributes.

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    // Some writers leave a value of 0 out of an attribute that is there.

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i.unwrap_or(0))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f.unwrap_or(0.0))
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    pub(super) fn string(&self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(|a| a.s.as_deref())
    }

    pub(super) fn attribute_tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.attribute(name).and_then(|a| a.t.as_ref())
    }

    pub(super) fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.attribute(name).map(|a| a.floats.as_slice())
    }

    // Inputs.

    pub(super) fn input_count(&self) -> usize {
        self.node.input.len()
    }

    fn input_name(&self, at: usize) -> Option<&'a str> {
        self.node.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The slot of input `at`, with an initializer read on its first use.
    pub(super) fn slot(&mut self, at: usize) -> Result<Slot<'a>> {
        if let Some(slot) = self.overrides.get(&at) {
            return Ok(slot.clone());
        }
        let name = self.input_name(at).ok_or_else(|| self.damaged(format!("input {at} is missing")))?;
        let slot = self.context.slots.get(name).cloned();
        match slot {
            Some(Slot::Lazy(tensor)) => {
                let constant = self.read(tensor)?;
                self.context.slots.insert(name.to_owned(), Slot::Constant(constant.clone()));
                Ok(Slot::Constant(constant))
            }
            Some(slot) => Ok(slot),
            None if self.context.missing.contains(name) => {
                Err(self.unsupported(format!("its input {name:?} is an output that is not computed")))
            }
            None => Err(self.damaged(format!("its input {name:?} is made by no earlier node"))),
        }
    }

    /// The slot of input `at` as it is, if it is given.
    pub(super) fn peek(&self, at: usize) -> Option<Slot<'a>> {
        self.context.slots.get(self.input_name(at)?).cloned()
    }

    /// Reads a tensor of the file.
    pub(super) fn read(&mut self, tensor: &TensorProto) -> Result<Constant> {
        let constant = Constant::read(tensor, self.context.folder.as_deref())?;
        self.context.held = self.context.held.saturating_add(constant.len());
        Ok(constant)
    }

    /// Accounts for a constant of the given shape that is about to be made from others; gives its length.
    pub(super) fn charge(&mut self, shape: &[usize]) -> Result<usize> {
        let Some(elements) = elements(shape) else { return Err(self.too_large(shape)) };
        self.context.made = self.context.made.saturating_add(elements);
        if self.context.made > ALLOWANCE.saturating_add(self.context.held.saturating_mul(GROWTH)) {
            return Err(self.too_large(shape));
        }
        Ok(elements)
    }

    fn too_large(&self, shape: &[usize]) -> Error {
        Error::limits(format!("its result {shape:?} is too large"), self.place(), "use a smaller network")
    }

    /// Whether input `at` is given.
    pub(super) fn given(&self, at: usize) -> bool {
        self.input_name(at).is_some()
    }

    /// Input `at` as an activation.
    pub(super) fn value(&mut self, at: usize) -> Result<(ValueId, bool)> {
        match self.slot(at)? {
            Slot::Value { id, batched } => Ok((id, batched)),
            _ => Err(self.unsupported(format!("input {at} is a constant where an activation is expected"))),
        }
    }

    /// Input `at` as a constant, if it is given.
    pub(super) fn constant(&mut self, at: usize) -> Result<Option<Constant>> {
        if !self.given(at) {
            return Ok(None);
        }
        match self.slot(at)? {
            Slot::Constant(constant) => Ok(Some(constant)),
            _ => Err(self.unsupported(format!("input {at} has to be a constant"))),
        }
    }

    /// Input `at` as constant floats, if it is given; integers are converted.
    pub(super) fn tensor(&mut self, at: usize) -> Result<Option<Tensor>> {
        self.constant(at)?.map(|constant| self.floats_of(constant)).transpose()
    }

    /// A constant as floats.
    pub(super) fn floats_of(&mut self, constant: Constant) -> Result<Tensor> {
        match constant {
            Constant::Float(tensor) => Ok(tensor),
            constant if constant.has_batch() => Err(self.batch_in_arithmetic()),
            Constant::Int { shape, data } => {
                self.charge(&shape)?;
                // Beyond 2²⁴ floats are not dense enough.
                if data.iter().any(|v| v.unsigned_abs() > 1 << 53) {
                    return Err(self.unsupported("its integers are too large for floats"));
                }
                let data: Vec<f32> = data.into_iter().map(|v| v as f32).collect();
                Ok(Tensor { shape, data: data.into() })
            }
        }
    }

    /// Input `at` as constant floats.
    pub(super) fn needed_tensor(&mut self, at: usize) -> Result<Tensor> {
        self.tensor(at)?.ok_or_else(|| self.damaged(format!("input {at} is missing")))
    }

    /// Integers from attribute `name` or, in later opsets, from constant input `at`.
    pub(super) fn ints_or_input(&mut self, name: &str, at: usize) -> Result<Option<Vec<i64>>> {
        if let Some(ints) = self.ints(name) {
            return Ok(Some(ints.to_vec()));
        }
        match self.constant(at)? {
            None => Ok(None),
            Some(Constant::Int { data, .. }) if data.iter().any(|&v| is_symbolic(v)) => {
                Err(self.batch_in_arithmetic())
            }
            Some(Constant::Int { data, .. }) => Ok(Some(data)),
            Some(Constant::Float(_)) => Err(self.damaged(format!("input {at} has to hold integers"))),
        }
    }

    /// Shape of a value without its batch axis.
    pub(super) fn shape(&self, id: ValueId) -> Vec<usize> {
        self.context.graph.values[id].shape.clone()
    }

    /// Rank of a value as the file counts it, the batch axis included.
    pub(super) fn rank(&self, id: ValueId, batched: bool) -> usize {
        let place = self.batch_place(id);
        let rank = self.context.graph.values[id].shape.len();
        if batched { rank + 1 - usize::from(place.before) - usize::from(place.after) } else { rank }
    }

    /// Turns an axis of the file (negative from the end, batch included) into a per-sample axis.
    pub(super) fn axis(&self, axis: i64, id: ValueId, batched: bool) -> Result<usize> {
        let axis = self.counted(axis, self.rank(id, batched))?;
        if !batched {
            return Ok(axis);
        }
        let place = self.batch_place(id);
        if axis == place.axis {
            return Err(self.unsupported("it works along the batch axis"));
        }
        Ok(place.axes(axis).start)
    }

    // Operators whose axis 0 is the batch by definition.

    /// Input `at` as an activation without a batch axis; where the whole network is taken as static, a batch of one
    /// is removed, and [`emit_sample`](Self::emit_sample) puts it back.
    pub(super) fn sample(&mut self, at: usize) -> Result<(ValueId, bool)> {
        let (id, batched) = self.value(at)?;
        if batched {
            return Ok((id, batched));
        }
        match self.shape(id)[..] {
            [1, ref rest @ ..] => Ok((self.push(Op::Reshape, vec![id], rest.to_vec())?, batched)),
            ref shape => {
                Err(self.unsupported(format!("{shape:?} has a batch, in a network that is taken as static")))
            }
        }
    }

    /// As [`emit`](Self::emit), for the input that [`sample`](Self::sample) gave.
    pub(super) fn emit_sample(
        &mut self,
        op: Op,
        id: ValueId,
        mut shape: Vec<usize>,
        batched: bool,
    ) -> Result<()> {
        if batched {
            return self.emit(op, vec![id], shape, batched);
        }
        let sample = self.push(op, vec![id], shape.clone())?;
        shape.insert(0, 1);
        self.emit(Op::Reshape, vec![sample], shape, batched)
    }

    // Results.

    /// Adds an operator whose result has the given per-sample shape; returns the new value.
    pub(super) fn push(&mut self, op: Op, inputs: Vec<ValueId>, shape: Vec<usize>) -> Result<ValueId> {
        match elements(&shape) {
            None => return Err(self.too_large(&shape)),
            Some(0) => return Err(self.unsupported(format!("its result {shape:?} is empty"))),
            Some(_) => {}
        }
        // Weights that several nodes share are packed for each of them.
        self.charge(&[op.parameters()])?;
        let integers =
            |all: &[ValueId]| !all.is_empty() && all.iter().all(|id| self.context.integers.contains(id));
        let integer = integers(&inputs)
            && match &op {
                Op::Reshape | Op::Transpose { .. } | Op::Concat { .. } | Op::Select { .. } => true,
                Op::Binary(BinaryKind::Add | BinaryKind::Sub | BinaryKind::Mul) => true,
                Op::BinaryConst {
                    kind: BinaryKind::Add | BinaryKind::Sub | BinaryKind::Mul,
                    constant,
                    ..
                } => constant.data.iter().all(|v| v.fract() == 0.0),
                Op::Binary(BinaryKind::Div)
                | Op::BinaryConst { kind: BinaryKind::Div, .. }
                | Op::Reduce { kind: ReduceKind::Mean, .. } => {
                    return Err(self.unsupported("it divides integers"));
                }
                _ => false,
            };
        let numbers = self.numbers_after(&op, &inputs, &shape)?;
        let id = self.context.graph.append(self.name.clone(), op, inputs, shape);
        if integer {
            self.context.integers.insert(id);
        }
        if let Some(numbers) = numbers {
            self.context.numbers.insert(id, numbers);
        }
        Ok(id)
    }

    /// Gives the node's first output its meaning.
    pub(super) fn set(&mut self, slot: Slot<'a>) {
        self.set_output(0, slot);
    }

    /// Gives one of the node's outputs its meaning.
    pub(super) fn set_output(&mut self, at: usize, slot: Slot<'a>) {
        let Some(name) = self.node.output.get(at).filter(|name| !name.is_empty()) else { return };
        if let Slot::Value { id, .. } = &slot {
            self.context.graph.values[*id].name.clone_from(name);
        }
        self.context.slots.insert(name.clone(), slot);
    }

    /// Gives the node's first output the meaning of a value that has a name of its own already.
    pub(super) fn alias(&mut self, slot: Slot<'a>) {
        self.alias_output(0, slot);
    }

    /// As [`alias`](Self::alias), for another output.
    pub(super) fn alias_output(&mut self, at: usize, slot: Slot<'a>) {
        if let Some(name) = self.node.output.get(at).filter(|name| !name.is_empty()) {
            self.context.slots.insert(name.clone(), slot);
        }
    }

    /// Remembers which of the node's outputs have got no meaning.
    pub(super) fn note_missing(&mut self) {
        let named = self.node.output.iter().filter(|name| !name.is_empty());
        for name in named.filter(|name| !self.context.slots.contains_key(*name)).collect::<Vec<_>>() {
            self.context.missing.insert(name.clone());
        }
    }

    /// Whether the node's output `at` has a name.
    pub(super) fn wanted(&self, at: usize) -> bool {
        self.node.output.get(at).is_some_and(|name| !name.is_empty())
    }

    /// Gives the node's output `at` its meaning.
    pub(super) fn set_further(&mut self, at: usize, slot: Slot<'a>) {
        if let Some(name) = self.node.output.get(at) {
            self.context.slots.insert(name.clone(), slot);
        }
    }

    /// Adds an operator and makes its result the node's output.
    pub(super) fn emit(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
        batched: bool,
    ) -> Result<()> {
        self.emit_at(op, inputs, shape, batched, self.place)
    }
}
