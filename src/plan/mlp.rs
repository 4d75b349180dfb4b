//! Plans that are multilayer perceptrons: a chain of Linear layers over one row of features.

use std::sync::Arc;

use super::{Affine, Binary, Conv, Kernel, Operand, Plan, Step};
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

/// A network of Linear layers: functions of single features, at least one Linear, and perhaps a Softmax.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    /// What happens to each feature before the first layer.
    before: Vec<Each>,
    /// At least one.
    pub layers: Vec<Dense>,
    /// A Softmax over the last layer's outputs; `true`: its logarithm.
    pub softmax: Option<bool>,
}

impl Mlp {
    /// The network behind a plan, if it is such a chain.
    pub fn of(plan: &Plan) -> Option<Self> {
        let mut mlp = Mlp { before: Vec::new(), layers: Vec::new(), softmax: None };
        let mut at = plan.input;
        let mut width = plan.input_layout.len();
        for step in &plan.steps {
            let [input] = step.inputs[..] else { return None };
            let follows = (input.buffer, input.offset) == (at.buffer, at.offset);
            if !follows || mlp.softmax.is_some() {
                return None;
            }
            mlp.push(plan, step, width)?;
            width = mlp.layers.last().map_or(width, |layer| layer.outputs);
            at = step.output;
        }
        let ends = (plan.output.buffer, plan.output.offset) == (at.buffer, at.offset);
        (ends && !mlp.layers.is_empty() && width == plan.outputs).then_some(mlp)
    }

    fn push(&mut self, plan: &Plan, step: &Step, width: usize) -> Option<()> {
        let constant = |id: usize| plan.weights[id].data.clone();
        let first = self.layers.is_empty();
        match &step.kernel {
            Kernel::Conv(Conv {
                sliding,
                cin,
                cout,
                groups: 1,
                weight,
                bias,
                residual: false,
                activation,
            }) if sliding.is_pointwise() && sliding.input_rows() == 1 && *cin == width => {
                self.layers.push(Dense {
                    inputs: *cin,
                    outputs: *cout,
                    weight: constant(*weight),
                    bias: bias.map_or(vec![0.0; *cout], |id| constant(id).to_vec()),
                    activation: *activation,
                });
            }
            Kernel::Map(map) if map.rows * map.channels == width => match self.layers.last_mut() {
                None => self.before.push(Each::Map(map.activation)),
                Some(layer) if layer.activation == Activation::Identity => layer.activation = map.activation,
                Some(_) => return None,
            },
            Kernel::Affine(Affine { rows: 1, channels, scale, shift, activation })
                if first && *channels == width =>
            {
                let (scale, shift) = (constant(*scale), constant(*shift));
                self.before.push(Each::Line { scale, shift, activation: *activation });
            }
            Kernel::Binary(binary) if first => self.before.push(by_feature(plan, binary, width)?),
            Kernel::Softmax(softmax)
                if !first && softmax.outer == 1 && softmax.inner == 1 && softmax.len == width =>
            {
                self.softmax = Some(softmax.log);
            }
            _ => return None,
        }
        Some(())
    }

    /// Applies to a row what happens before the first layer.
    pub fn prepare(&self, row: &mut [f32]) {
        for each in &self.before {
            for (j, x) in row.iter_mut().enumerate() {
                *x = match each {
                    Each::Line { scale, shift, activation } => {
                        activation.apply(x.mul_add(scale[j], shift[j]))
                    }
                    Each::Map(activation) => activation.apply(*x),
                    Each::Pair { f, swapped, constant, activation } => {
                        let (a, b) = if *swapped { (constant[j], *x) } else { (*x, constant[j]) };
                        activation.apply(f(a, b))
                    }
                };
            }
        }
    }

    /// The network that computes these outputs alone, and where it has them: a last layer without Softmax is cut to
    /// the rows that are asked for.
    pub fn asked(&self, outputs: &[usize]) -> (Self, Vec<usize>) {
        let mut mlp = self.clone();
        let (None, Some(last)) = (self.softmax, mlp.layers.last_mut()) else {
            return (mlp, outputs.to_vec());
        };
        if last.outputs == outputs.len() && outputs.iter().enumerate().all(|(at, &output)| at == output) {
            return (mlp, outputs.to_vec());
        }
        let rows = last.weight.chunks_exact(last.outputs);
        last.weight = rows.flat_map(|row| outputs.iter().map(|&output| row[output])).collect();
        last.bias = outputs.iter().map(|&output| last.bias[output]).collect();
        last.outputs = outputs.len();
        (mlp, (0..outputs.len()).collect())
    }

    /// Multiply-adds after the first layer, per row.
    pub fn later_macs(&self) -> usize {
        self.layers[1..].iter().map(|layer| layer.inputs * layer.outputs).sum()
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
