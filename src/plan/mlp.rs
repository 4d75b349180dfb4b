//! Plans that are multilayer perceptrons: a chain of Linear layers over one row of features.

use super::{Dense, Head, Kernel, Plan, Step};
use crate::model::Activation;

/// A network of Linear layers: functions of single features, at least one Linear, and perhaps a Softmax.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    /// Features' own functions and the first layer.
    head: Head,
    /// At least one, the head's first.
    pub layers: Vec<Dense>,
    /// A Softmax over the last layer's outputs; `true`: its logarithm.
    pub softmax: Option<bool>,
}

impl Mlp {
    /// The network behind a plan, if it is such a chain.
    pub fn of(plan: &Plan) -> Option<Self> {
        let head = Head::of(plan)?;
        let (mut at, mut width) = (head.output, head.layer.outputs);
        let behind = &plan.steps[head.steps..];
        let mut mlp = Mlp { layers: vec![head.layer.clone()], head, softmax: None };
        for step in behind {
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
        (ends && width == plan.outputs).then_some(mlp)
    }

    fn push(&mut self, plan: &Plan, step: &Step, width: usize) -> Option<()> {
        match &step.kernel {
            Kernel::Conv(_) => self.layers.push(Dense::of(plan, step, width)?),
            Kernel::Map(map) if map.rows * map.channels == width => match self.layers.last_mut() {
                Some(layer) if layer.activation == Activation::Identity => layer.activation = map.activation,
                _ => return None,
            },
            Kernel::Softmax(softmax) if softmax.outer == 1 && softmax.inner == 1 && softmax.len == width => {
                self.softmax = Some(softmax.log);
            }
            _ => return None,
        }
        Some(())
    }

    /// Applies to a row what happens before the first layer.
    pub fn prepare(&self, row: &mut [f32]) {
        self.head.prepare(row);
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
