//! The first layer of a plan, where it is Linear over the whole row.

use std::sync::Arc;

use super::access::{Extent, accesses, ends};
use super::{Affine, Binary, Conv, Kernel, Operand, Plan, Step, View};
use crate::model::{Activation, BinaryKind};

/// A Linear layer with its activation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    pub inputs: usize,
    pub outputs: usize,
    /// `[inputs, outputs]`
    pub weight: Arc<[f32]>,
    /// `[outputs]`
    pub bias: Vec<f32>,
    pub activation: Activation,
}

impl Dense {
    /// The layer that a step computes, if it is Linear over one row of `width` numbers.
    pub fn of(plan: &Plan, step: &Step, width: usize) -> Option<Self> {
        let constant = |id: usize| plan.weights[id].data.clone();
        let Kernel::Conv(Conv { sliding, cin, cout, groups: 1, weight, bias, residual: false, activation }) =
            &step.kernel
        else {
            return None;
        };
        (sliding.is_pointwise() && sliding.input_rows() == 1 && *cin == width).then(|| Dense {
            inputs: *cin,
            outputs: *cout,
            weight: constant(*weight),
            bias: bias.map_or(vec![0.0; *cout], |id| constant(id).to_vec()),
            activation: *activation,
        })
    }
}

/// A function of each feature by itself.
#[derive(Debug, Clone)]
enum Each {
    /// act(scale · x + shift)
    Line { scale: Arc<[f32]>, shift: Arc<[f32]>, activation: Activation },
    /// act(f(x, constant)), or act(f(constant, x)) if swapped
    Pair { f: fn(f32, f32) -> f32, swapped: bool, constant: Vec<f32>, activation: Activation },
    /// act(x)
    Map(Activation),
}

impl Each {
    /// What a step does to every feature of a row of `width`, if it does nothing else.
    fn of(plan: &Plan, step: &Step, width: usize) -> Option<Self> {
        match &step.kernel {
            Kernel::Map(map) if map.rows * map.channels == width => Some(Each::Map(map.activation)),
            Kernel::Affine(Affine { rows: 1, channels, scale, shift, activation }) if *channels == width => {
                let constant = |id: usize| plan.weights[id].data.clone();
                let (scale, shift) = (constant(*scale), constant(*shift));
                Some(Each::Line { scale, shift, activation: *activation })
            }
            Kernel::Binary(binary) => by_feature(plan, binary, width),
            _ => None,
        }
    }

    fn apply(&self, row: &mut [f32]) {
        for (j, x) in row.iter_mut().enumerate() {
            *x = match self {
                Each::Line { scale, shift, activation } => activation.apply(x.mul_add(scale[j], shift[j])),
                Each::Map(activation) => activation.apply(*x),
                Each::Pair { f, swapped, constant, activation } => {
                    let (a, b) = if *swapped { (constant[j], *x) } else { (*x, constant[j]) };
                    activation.apply(f(a, b))
                }
            };
        }
    }
}

/// A binary step with a constant, if it takes every feature to its own place.
fn by_feature(plan: &Plan, binary: &Binary, width: usize) -> Option<Each> {
    let Operand::Constant(id) = binary.b else { return None };
    let f: fn(f32, f32) -> f32 = match binary.kind {
        BinaryKind::Add => |a, b| a + b,
        BinaryKind::Sub => |a, b| a - b,
        BinaryKind::Mul => |a, b| a * b,
        BinaryKind::Div => |a, b| a / b,
        _ => return None,
    };
    let from = &plan.weights[id].data;
    let mut constant = vec![None; width];
    let [n0, n1, n2, n3] = binary.shape;
    for i0 in 0..n0 {
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                for i3 in 0..n3 {
                    let place = |strides: [usize; 4]| {
                        i0 * strides[0] + i1 * strides[1] + i2 * strides[2] + i3 * strides[3]
                    };
                    let at = place(binary.a_strides);
                    if at != place(binary.out_strides) {
                        return None;
                    }
                    *constant.get_mut(at)? = Some(*from.get(place(binary.b_strides))?);
                }
            }
        }
    }
    let constant = constant.into_iter().collect::<Option<Vec<f32>>>()?;
    Some(Each::Pair { f, swapped: binary.swapped, constant, activation: binary.activation })
}

/// The first steps of a plan: functions of single features, and a Linear layer over the whole row, which nothing else
/// reads. The rest of the plan needs the layer's output and nothing that came before it.
///
/// What the layer adds up before its activation falls apart by feature, so rows that mix instances and background
/// ([`Mixture`](super::Mixture)) need no row of features: their parts are computed once and combined.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// What happens to each feature before the layer.
    before: Vec<Each>,
    /// The layer; of `plan.input_layout.len()` inputs.
    pub layer: Dense,
    /// It stands for so many steps, the plan's first.
    pub steps: usize,
    /// Where the plan expects the layer's outputs: `layer.outputs` numbers from its offset on.
    pub output: View,
}

impl Head {
    /// The head of a plan, if it has one.
    pub fn of(plan: &Plan) -> Option<Self> {
        let width = plan.input_layout.len();
        let mut at = plan.input;
        let mut before = Vec::new();
        for (number, step) in plan.steps.iter().enumerate() {
            let [input] = step.inputs[..] else { return None };
            if (input.buffer, input.offset) != (at.buffer, at.offset) {
                return None;
            }
            at = step.output;
            if let Some(layer) = Dense::of(plan, step, width) {
                let head = Head { before, layer, steps: number + 1, output: at };
                return head.is_all_that_reads(plan).then_some(head);
            }
            before.push(Each::of(plan, step, width)?);
        }
        None
    }

    /// A layer by itself, for tests.
    #[cfg(test)]
    pub fn alone(layer: Dense) -> Self {
        let output = View { buffer: 0, offset: 0, stride: layer.outputs };
        Head { before: Vec::new(), layer, steps: 1, output }
    }

    /// Applies to a row what happens before the layer.
    pub fn prepare(&self, row: &mut [f32]) {
        self.before.iter().for_each(|each| each.apply(row));
    }

    /// Whether no later step, nor the plan's output, reads the input or what the head makes of it on the way to the
    /// layer's output. May say no where the answer is yes.
    fn is_all_that_reads(&self, plan: &Plan) -> bool {
        // Elements of the buffers that hold a value of the head; a later value may use their memory again.
        let mut held: Vec<Vec<bool>> = plan.buffers.iter().map(|&len| vec![false; len]).collect();
        let [input, output] = ends(plan);
        mark(&mut held, &input, true);
        for (number, step) in plan.steps.iter().enumerate() {
            let Ok(found) = accesses(step) else { return false };
            if number >= self.steps && found.reads.iter().any(|read| touches(&held, read)) {
                return false;
            }
            mark(&mut held, &found.write, number + 1 < self.steps);
        }
        !touches(&held, &output)
    }
}

/// The elements of an extent, row by row. Without rows, it may be any of those between its ends.
fn rows(extent: &Extent) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let step = if extent.stride == 0 { extent.end } else { extent.stride };
    let len = if extent.stride == 0 { extent.end - extent.start } else { extent.channels };
    (extent.start..extent.end).step_by(step.max(1)).map(move |first| first..(first + len).min(extent.end))
}

fn mark(held: &mut [Vec<bool>], write: &Extent, holds: bool) {
    if write.stride == 0 && !holds {
        // Some of these elements are overwritten: not known which.
        return;
    }
    for row in rows(write) {
        if let Some(row) = held.get_mut(write.buffer).and_then(|buffer| buffer.get_mut(row)) {
            row.fill(holds);
        }
    }
}

/// (Elements that do not exist are refused elsewhere.)
fn touches(held: &[Vec<bool>], read: &Extent) -> bool {
    let Some(buffer) = held.get(read.buffer) else { return true };
    rows(read).any(|row| buffer.get(row).is_none_or(|row| row.contains(&true)))
}
