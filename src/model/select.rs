//! Only what is asked: a network cut down to some of its outputs.

use super::{Graph, Model, Op, Tensor, ValueId, fold};
use crate::{Error, Result};

impl Model {
    /// The same network with the outputs `kept` alone, in that order. Where the last layer is a Linear or a
    /// convolution (perhaps with functions of single outputs, pools or means over space behind it), the other
    /// outputs are not computed at all; elsewhere, as behind a Softmax, they are computed and dropped.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `kept` is empty or names an output that the network has not.
    ///
    /// # Example
    /// ```
    /// use whybox::model::Model;
    ///
    /// let model = Model::builder("three", &[1]).linear(&[1.0, 2.0, 3.0], &[0.0; 3], 3)?.build()?;
    /// let model = model.select(&[2, 0])?;
    /// assert_eq!(model.output_len(), 2);
    /// assert_eq!(model.parameters(), 4);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn select(mut self, kept: &[usize]) -> Result<Self> {
        let outputs = self.output_len();
        if kept.is_empty() {
            return Err(Error::parameter("no output is left", "outputs", "keep at least one"));
        }
        if let Some(missing) = kept.iter().find(|&&output| output >= outputs) {
            return Err(Error::parameter(
                format!("there is no output {missing}"),
                "outputs",
                format!("the network has the outputs 0 to {}", outputs - 1),
            ));
        }
        if kept.iter().copied().eq(0..outputs) {
            return Ok(self);
        }
        let graph = &mut self.graph;
        match chain(graph, outputs) {
            Some(chain) => slice(graph, &chain, kept),
            None => drop_outputs(graph, outputs, kept),
        }
        self.graph = fold::fold(self.graph);
        Ok(self)
    }
}

/// The nodes from the layer that makes the outputs, which comes first, to the end, if all of them keep channels apart.
fn chain(graph: &Graph, outputs: usize) -> Option<Vec<usize>> {
    let mut nodes = Vec::new();
    let mut value = graph.output;
    loop {
        // Axis 0 has to be the outputs', whatever else there is.
        if graph.values[value].shape.first() != Some(&outputs) || graph.uses(value) != 1 {
            return None;
        }
        let at = graph.nodes.iter().position(|node| node.output == value)?;
        nodes.push(at);
        let node = &graph.nodes[at];
        let before = &graph.values[node.inputs[0]].shape;
        match &node.op {
            Op::Linear { .. } if graph.values[value].shape.len() == 1 => break,
            Op::Conv { groups: 1, .. } => break,
            Op::Activation(_) | Op::Pool { .. } | Op::Affine { .. } => {}
            Op::Reduce { axes, .. } if !axes.contains(&0) => {}
            Op::Reshape if before.first() == Some(&outputs) => {}
            _ => return None,
        }
        value = node.inputs[0];
    }
    // All numbers of the output belong to one class each.
    if graph.values[graph.output].len() != outputs {
        return None;
    }
    nodes.reverse();
    Some(nodes)
}

/// Cuts the layer at the chain's start, and everything behind it, down to the channels `kept`.
fn slice(graph: &mut Graph, chain: &[usize], kept: &[usize]) {
    for &at in chain {
        let node = &mut graph.nodes[at];
        match &mut node.op {
            Op::Linear { weight, bias } | Op::Conv { weight, bias, .. } => {
                *weight = rows(weight, kept);
                *bias = bias.as_ref().map(|bias| rows(bias, kept));
            }
            Op::Affine { scale, shift } => {
                *scale = rows(scale, kept);
                *shift = rows(shift, kept);
            }
            _ => {}
        }
        let output: ValueId = node.output;
        graph.values[output].shape[0] = kept.len();
    }
}

/// The entries `kept` of the first axis.
fn rows(tensor: &Tensor, kept: &[usize]) -> Tensor {
    let length = tensor.len() / tensor.shape[0];
    let data: Vec<f32> =
        kept.iter().flat_map(|&row| &tensor.data[row * length..(row + 1) * length]).copied().collect();
    let mut shape = tensor.shape.clone();
    shape[0] = kept.len();
    Tensor::new(&shape, data)
}

/// Picks outputs by a matrix of zeros and ones, which is exact.
fn drop_outputs(graph: &mut Graph, outputs: usize, kept: &[usize]) {
    let mut picks = vec![0.0; kept.len() * outputs];
    kept.iter().enumerate().for_each(|(row, &output)| picks[row * outputs + output] = 1.0);
    let weight = Tensor::new(&[kept.len(), outputs], picks);
    let flat = graph.append("flatten", Op::Reshape, vec![graph.output], vec![outputs]);
    let op = Op::Linear { weight, bias: None };
    graph.output = graph.append("kept outputs", op, vec![flat], vec![kept.len()]);
}
