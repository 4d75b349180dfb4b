//! Rewrites that leave every number as it is (but for rounding): dead nodes, steps that do nothing,
//! scales and shifts merged into the layer before them.

use super::{BinaryKind, Graph, NOTHING, Op, Tensor, ValueId};

/// Applies every rewrite, and drops what the output does not need.
///
/// One pass is enough: nodes come in executable order, and a rewrite changes what later nodes may do only.
pub(super) fn fold(mut graph: Graph) -> Graph {
    let mut uses = graph.all_uses();
    let mut producers = graph.producers();
    let mut gone = vec![false; graph.nodes.len()];
    // What stands for a value whose node is gone.
    let mut stands: Vec<ValueId> = (0..graph.values.len()).collect();
    for at in 0..graph.nodes.len() {
        let node = &mut graph.nodes[at];
        node.inputs.iter_mut().for_each(|input| *input = stands[*input]);
        let (output, Some(&input)) = (node.output, node.inputs.first()) else { continue };
        if does_nothing(&graph, at) {
            stands[output] = input;
            // This node reads its input no longer.
            uses[input] = uses[input] + uses[output] - 1;
            gone[at] = true;
            continue;
        }
        while pad_before(&mut graph, at, &uses, &producers) {
            if let Some(pad) = producers[graph.nodes[at].inputs[0]] {
                gone[pad] = true;
                graph.nodes[at].inputs[0] = graph.nodes[pad].inputs[0];
            }
        }
        let Some(before) = producers[input].filter(|_| uses[input] == 1) else { continue };
        let Some((scale, shift)) = scale_and_shift(&graph, at, &graph.nodes[before].op) else { continue };
        let Some(merged) = merge(&graph.nodes[before].op, &scale, &shift) else { continue };
        let name = format!("{} + {}", graph.nodes[before].name, graph.nodes[at].name);
        let earlier = &mut graph.nodes[before];
        (earlier.op, earlier.output, earlier.name) = (merged, output, name);
        producers[output] = Some(before);
        gone[at] = true;
    }
    graph.output = stands[graph.output];
    let mut at = 0;
    graph.nodes.retain(|_| {
        at += 1;
        !gone[at - 1]
    });
    prune(graph)
}

/// Takes zeros that are put around a picture into the convolution that reads it, if they are one axis' alone.
fn pad_before(graph: &mut Graph, at: usize, uses: &[usize], producers: &[Option<usize>]) -> bool {
    let node = &graph.nodes[at];
    let Op::Conv { window, .. } = &node.op else { return false };
    let input = node.inputs[0];
    let Some(pad) = producers[input].filter(|_| uses[input] == 1) else { return false };
    let Op::Select { axis, indices, fill: 0.0 } = &graph.nodes[pad].op else { return false };
    let source = &graph.values[graph.nodes[pad].inputs[0]].shape;
    let before = indices.iter().take_while(|&&index| index == NOTHING).count();
    let length = source[*axis];
    let inside = indices.iter().skip(before).take(length).copied().eq(0..length as u32);
    let after = indices.len().saturating_sub(before + length);
    let behind = indices.iter().rev().take(after).all(|&index| index == NOTHING);
    if *axis == 0 || !inside || !behind || before + length + after != indices.len() {
        return false;
    }
    // The axes of `[C, H, W]`, or the one of `[C, L]`.
    let side = if source.len() == 2 { 1 } else { axis - 1 };
    let mut window = *window;
    window.pads[side] += before;
    window.pads[side + 2] += after;
    if let Op::Conv { window: own, .. } = &mut graph.nodes[at].op {
        *own = window;
    }
    true
}

fn does_nothing(graph: &Graph, at: usize) -> bool {
    let node = &graph.nodes[at];
    let Some(&input) = node.inputs.first() else { return false };
    let same_shape = graph.values[input].shape == graph.values[node.output].shape;
    match &node.op {
        Op::Reshape => same_shape,
        Op::Transpose { perm } => perm.iter().enumerate().all(|(axis, &from)| axis == from),
        Op::Activation(super::Activation::Identity) => true,
        Op::Concat { .. } => node.inputs.len() == 1,
        _ => false,
    }
}

/// The scale and shift, one for each channel of the node's input, that the node applies to what `before` makes.
fn scale_and_shift(graph: &Graph, at: usize, before: &Op) -> Option<(Vec<f32>, Vec<f32>)> {
    let node = &graph.nodes[at];
    let shape = &graph.values[node.output].shape;
    let linear = || matches!(before, Op::Linear { .. });
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
        // Most often a bias alone is added.
        let data = if scale.iter().all(|&factor| factor == 1.0) {
            weight.data.clone()
        } else {
            let rows = weight.data.chunks_exact(each.max(1)).zip(scale);
            rows.flat_map(|(row, &factor)| row.iter().map(move |&w| w * factor)).collect()
        };
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
