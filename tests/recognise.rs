//! Functions and normalisations that exporters write out in parts become one operator, and nothing else does.
//! That the numbers stay ONNX Runtime's is tests/onnx.rs' business.

use std::path::Path;

use whybox::model::{Activation, BinaryKind, Graph, Model, Op, ReduceKind, Tensor, Value, ValueId};

/// Name of a recorded network and the operators that it should have.
const FILES: [(&str, &[&str]); 22] = [
    ("parts_silu", &["Conv", "Swish"]),
    ("parts_silu_first", &["Conv", "Swish"]),
    ("parts_quick_gelu", &["Conv", "Swish"]),
    ("parts_gate", &["Swish"]),
    ("parts_hardswish", &["Conv", "HardSwish"]),
    ("parts_hardswish_clip", &["Conv", "HardSwish"]),
    ("parts_hardswish_last", &["Conv", "HardSwish"]),
    ("parts_hardsigmoid", &["Conv", "HardSigmoid"]),
    ("parts_hardsigmoid_other", &["Conv", "Clip", "Div"]),
    ("parts_mish", &["Conv", "Mish"]),
    ("parts_softplus", &["Conv", "Softplus"]),
    ("parts_gelu", &["Conv", "Gelu"]),
    ("parts_gelu_half_first", &["Conv", "Gelu"]),
    ("parts_gelu_nearly", &["Conv", "Div", "Erf", "Add", "Mul", "Mul"]),
    ("parts_gelu_tanh", &["Conv", "GeluTanh"]),
    ("parts_gelu_tanh_products", &["Conv", "GeluTanh"]),
    ("parts_layer_norm", &["LayerNormalization"]),
    ("parts_layer_norm_twice", &["LayerNormalization"]),
    ("parts_instance_norm", &["Conv", "InstanceNormalization"]),
    ("parts_rms_norm", &["RMSNormalization"]),
    ("parts_l2_norm", &["Conv", "LpNormalization"]),
    ("group_norm_parts", &["Conv", "GroupNormalization", "Relu"]),
];

fn operators(model: &Model) -> Vec<&'static str> {
    model.graph().nodes.iter().map(|node| node.op.name()).collect()
}

#[test]
fn recorded_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    let mut wrong = Vec::new();
    for (name, expected) in FILES {
        let model = Model::from_onnx(folder.join(format!("{name}.onnx"))).expect("a sound file");
        let found = operators(&model);
        if found != expected {
            wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A graph under construction whose values all have the input's shape, unless a reduction keeps axes of length 1.
struct Making(Graph);

impl Making {
    fn new(shape: &[usize]) -> Self {
        let input = Value { name: "x".into(), shape: shape.to_vec() };
        Making(Graph { values: vec![input], nodes: Vec::new(), input: 0, output: 0 })
    }

    fn push(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let mut shape = self.0.values[inputs[0]].shape.clone();
        if let Op::Reduce { axes, .. } = &op {
            axes.iter().for_each(|&axis| shape[axis] = 1);
        }
        self.0.append(op.name(), op, inputs.to_vec(), shape)
    }

    fn function(&mut self, activation: Activation, x: ValueId) -> ValueId {
        self.push(Op::Activation(activation), &[x])
    }

    fn number(&mut self, kind: BinaryKind, x: ValueId, number: f32) -> ValueId {
        let constant = Tensor::new(&[], vec![number]);
        self.push(Op::BinaryConst { kind, constant, constant_first: false }, &[x])
    }

    fn finish(mut self, output: ValueId) -> Vec<&'static str> {
        self.0.output = output;
        operators(&Model::from_graph("made", self.0).expect("a sound graph"))
    }
}

/// The parts of a function may have other readers: they stay, and the function is still one operator.
#[test]
fn parts_with_other_readers_stay() {
    let mut making = Making::new(&[4]);
    let gate = making.function(Activation::Sigmoid, 0);
    let product = making.push(Op::Binary(BinaryKind::Mul), &[0, gate]);
    let sum = making.push(Op::Binary(BinaryKind::Add), &[product, gate]);
    assert_eq!(making.finish(sum), ["Sigmoid", "Swish", "Add"]);
}

/// A gate by the sigmoid of another value is no Swish.
#[test]
fn gates_of_other_values_stay() {
    let mut making = Making::new(&[4]);
    let other = making.function(Activation::Relu, 0);
    let gate = making.function(Activation::Sigmoid, other);
    let product = making.push(Op::Binary(BinaryKind::Mul), &[0, gate]);
    assert_eq!(making.finish(product), ["Relu", "Sigmoid", "Mul"]);
}

/// A normalisation is one only if the mean that is subtracted and the mean of the squares are over the same axes.
#[test]
fn means_over_other_axes_are_no_variance() {
    let build = |of: usize| {
        let mut making = Making::new(&[4, 6]);
        let mean = |axis: usize| Op::Reduce { kind: ReduceKind::Mean, axes: vec![axis] };
        let centre = making.push(mean(1), &[0]);
        let apart = making.push(Op::Binary(BinaryKind::Sub), &[0, centre]);
        let squares = making.push(Op::Binary(BinaryKind::Mul), &[apart, apart]);
        let variance = making.push(mean(of), &[squares]);
        let shifted = making.number(BinaryKind::Add, variance, 1e-5);
        let root = making.function(Activation::Sqrt, shifted);
        let quotient = making.push(Op::Binary(BinaryKind::Div), &[apart, root]);
        making.finish(quotient)
    };
    assert_eq!(build(1), ["LayerNormalization"]);
    // What remains is the root mean square of the difference over the other axis.
    assert_eq!(build(0), ["ReduceMean", "Sub", "RMSNormalization"]);
}

/// A scale goes into the normalisation before it only if nothing else reads that.
#[test]
fn scales_of_shared_normalisations_stay_apart() {
    let kind = whybox::model::NormKind::Standard { epsilon: 1e-5 };
    let norm = Op::Normalize { kind, axes: vec![0], groups: 1, scale: None, shift: None };
    let build = |shared: bool| {
        let mut making = Making::new(&[6]);
        let normal = making.push(norm.clone(), &[0]);
        let scaled = making.number(BinaryKind::Mul, normal, 3.0);
        let other = if shared { normal } else { 0 };
        let sum = making.push(Op::Binary(BinaryKind::Add), &[scaled, other]);
        making.finish(sum)
    };
    assert_eq!(build(false), ["LayerNormalization", "Add"]);
    assert_eq!(build(true), ["LayerNormalization", "Mul", "Add"]);
}
