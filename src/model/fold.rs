//! Rewrites that leave every number as it is (but for rounding): dead nodes, steps that do nothing,
//! scales and shifts merged into the layer before them.

use std::collections::HashMap;

use super::{BinaryKind, Graph, Op, Tensor, ValueId};

/// Applies every rewrite until nothing changes, and drops what the output does not need.
pub(super) fn fold(mut graph: Graph) -> Graph {
    while merge_once(&mut graph) {}
    prune(graph)
}

/// Performs one rewrite, if there is one.
fn merge_once(graph: &mut Graph) -> bool {
    let uses = count_uses(graph);
    let producers: HashMap<ValueId, usize> =
        graph.nodes.iter().enumerate().map(|(at, node)| (node.output, at)).collect();
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        let input = node.inputs[0];
        if does_nothing(graph, at) {
            let output = node.output;
            graph.nodes.remove(at);
            redirect(graph, output, input);
            return true;
        }
        let Some((scale, shift)) = scale_and_shift(graph, at) else { continue };
        let Some(&before) = producers.get(&input) else { continue };
        if uses[&input] != 1 {
            continue;
        }
        let Some(merged) = merge(&graph.nodes[before].op, &scale, &shift) else { continue };
        let output = graph.nodes[at].output;
        let name = format!("{} + {}", graph.nodes[before].name, graph.nodes[at].name);
        graph.nodes[before].op = merged;
        graph.nodes[before].output = output;
        graph.nodes[before].name = name;
        graph.nodes.remove(at);
        return true;
    }
    false
}

fn does_nothing(graph: &Graph, at: usize) -> bool {
    let node = &graph.nodes[at];
    let same_shape = graph.values[node.inputs[0]].shape == graph.values[node.output].shape;
    match &node.op {
        Op::Reshape => same_shape,
        Op::Transpose { perm } => perm.iter().enumerate().all(|(axis, &from)| axis == from),
        Op::Activation(super::Activation::Identity) => true,
        Op::Concat { .. } => node.inputs.len() == 1,
        _ => false,
    }
}

/// The scale and shift, one for each channel of the node's input, that the node applies.
fn scale_and_shift(graph: &Graph, at: usize) -> Option<(Vec<f32>, Vec<f32>)> {
    let node = &graph.nodes[at];
    let shape = &graph.values[node.output].shape;
    let linear = || matches!(graph.producer(node.inputs[0]).map(|n| &n.op), Some(Op::Linear { .. }));
    match &node.op {
        // A norm behind a Linear over several rows has a scale for each row, which the Linear's weights cannot hold.
        Op::Affine { .. } if shape.len() > 1 && linear() => None,
        Op::Affine { scale, shift } => Some((scale.data.to_vec(), shift.data.to_vec())),
        Op::BinaryConst { kind, constant, constant_first } => {
            if graph.values[node.inputs[0]].shape != *shape {
                return None;
            }
            // A Linear's channels are on its last axis, a convolution's on its first.
            let axis = if linear() { shape.len().checked_sub(1)? } else { 0 };
            let values = per_channel(constant, shape, axis)?;
            let ones = vec![1.0; values.len()];
            let zeros = vec![0.0; values.len()];
            match (kind, constant_first) {
                (BinaryKind::Add, _) => Some((ones, values)),
                (BinaryKind::Sub, false) => Some((ones, values.iter().map(|v| -v).collect())),
                (BinaryKind::Sub, true) => Some((vec![-1.0; values.len()], values)),
                (BinaryKind::Mul, _) => Some((values, zeros)),
                (BinaryKind::Div, false) if values.iter().all(|&v| v != 0.0) => {
                    Some((values.iter().map(|v| 1.0 / v).collect(), zeros))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The constant's value for each index of `axis`, if it varies along no other axis.
fn per_channel(constant: &Tensor, shape: &[usize], axis: usize) -> Option<Vec<f32>> {
    let channels = *shape.get(axis)?;
    if constant.len() == 1 {
        return Some(vec![constant.data[0]; channels]);
    }
    let lead = shape.len().checked_sub(constant.shape.len())?;
    let only_axis = constant.shape.iter().enumerate().all(|(k, &len)| len == 1 || k + lead == axis);
    (only_axis && constant.len() == channels).then(|| constant.data.to_vec())
}

/// The layer with `scale` and `shift` applied to its output channels.
fn merge(op: &Op, scale: &[f32], shift: &[f32]) -> Option<Op> {
    let rescaled = |weight: &Tensor, bias: &Option<Tensor>| {
        let outputs = weight.shape[0];
        if scale.len() != outputs {
            return None;
        }
        let each = weight.len() / outputs;
        let data: Vec<f32> = weight.data.iter().enumerate().map(|(i, &w)| w * scale[i / each]).collect();
        let bias: Vec<f32> = (0..outputs)
            .map(|o| bias.as_ref().map_or(0.0, |bias| bias.data[o]) * scale[o] + shift[o])
            .collect();
        Some((Tensor::new(&weight.shape, data), Some(Tensor::new(&[outputs], bias))))
    };
    match op {
        Op::Conv { weight, bias, window, groups } => {
            let (weight, bias) = rescaled(weight, bias)?;
            Some(Op::Conv { weight, bias, window: *window, groups: *groups })
        }
        Op::Linear { weight, bias } => {
            let (weight, bias) = rescaled(weight, bias)?;
            Some(Op::Linear { weight, bias })
        }
        Op::Affine { scale: first, shift: offset } if first.len() == scale.len() => {
            let product: Vec<f32> = first.data.iter().zip(scale).map(|(a, b)| a * b).collect();
            let sum: Vec<f32> =
                offset.data.iter().zip(scale).zip(shift).map(|((o, s), t)| o * s + t).collect();
            Some(Op::Affine {
                scale: Tensor::new(&first.shape, product),
                shift: Tensor::new(&first.shape, sum),
            })
        }
        _ => None,
    }
}

fn count_uses(graph: &Graph) -> HashMap<ValueId, usize> {
    let mut uses = HashMap::from([(graph.output, 1)]);
    for input in graph.nodes.iter().flat_map(|node| &node.inputs) {
        *uses.entry(*input).or_default() += 1;
    }
    uses
}

fn redirect(graph: &mut Graph, from: ValueId, to: ValueId) {
    for input in graph.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
        if *input == from {
            *input = to;
        }
    }
    if graph.output == from {
        graph.output = to;
    }
}

/// Keeps the nodes that the output depends on.
fn prune(mut graph: Graph) -> Graph {
    let mut needed = vec![false; graph.values.len()];
    needed[graph.output] = true;
    for node in graph.nodes.iter().rev() {
        if needed[node.output] {
            for &input in &node.inputs {
                needed[input] = true;
            }
        }
    }
    graph.nodes.retain(|node| needed[node.output]);
    graph
}
