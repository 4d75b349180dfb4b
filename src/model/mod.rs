//! Networks: a typed graph, from an ONNX file or from a builder.
//!
//! A [`Model`] is a graph with one input and one output whose shapes are static but for the batch. It runs
//! nothing: [`Device::load`](crate::Device::load) makes it runnable.

pub(crate) mod activation;
mod builder;
mod builder_more;
mod fold;
mod graph;
pub mod onnx;
mod recognise;
mod safetensors;
mod select;
mod shape;

use std::path::Path;

pub use activation::Activation;
pub use builder::Builder;
pub use graph::*;
pub use onnx::OnnxOptions;
pub use safetensors::SafeTensors;
pub use shape::Window;

use crate::{Error, Result};

/// A network with one input and one output.
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model};
///
/// // y = relu(x₀ − x₁)
/// let model = Model::builder("difference", &[2])
///     .linear(&[1.0, -1.0], &[0.0], 1)?
///     .activation(Activation::Relu)?
///     .build()?;
/// assert_eq!(model.input_shape(), [2]);
/// assert_eq!(model.output_len(), 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    name: String,
    graph: Graph,
}

/// What a classifier's output means, as far as its graph tells.
///
/// # Example
/// ```
/// use whybox::model::{Model, OutputKind};
///
/// let model = Model::builder("two", &[1]).linear(&[1.0, -1.0], &[0.0, 0.0], 2)?.build()?;
/// assert_eq!(model.output_kind(), OutputKind::Scores);
/// assert_eq!(model.probabilities()?.output_kind(), OutputKind::Probabilities);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// The graph ends in Softmax or in Sigmoid.
    Probabilities,
    /// The graph ends in LogSoftmax.
    LogProbabilities,
    /// Anything else: logits of a classifier, or the values of a regression.
    Scores,
}

impl Model {
    /// Wraps a graph after recognising functions and normalisations that were written out in parts, and folding what can
    /// be folded: batch normalisation, scales and shifts into the
    /// convolution or Linear before them, and steps that do nothing.
    ///
    /// # Errors
    /// [`Error::Model`] if the graph has no output element.
    pub fn from_graph(name: impl Into<String>, graph: Graph) -> Result<Self> {
        let graph = fold::fold(recognise::recognise(graph));
        if graph.values[graph.output].is_empty() || graph.values[graph.input].is_empty() {
            return Err(Error::model(
                "the network has an empty input or output",
                graph.values[graph.output].name.clone(),
                "export the network again with sizes above zero",
            ));
        }
        Ok(Model { name: name.into(), graph })
    }

    /// Reads an ONNX file with the default [`OnnxOptions`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Model`] if it is damaged, [`Error::Unsupported`] if
    /// it needs an operator that whybox does not have.
    pub fn from_onnx(path: impl AsRef<Path>) -> Result<Self> {
        onnx::read(path.as_ref(), &OnnxOptions::default())
    }

    /// Reads an ONNX file.
    ///
    /// # Errors
    /// Those of [`from_onnx`](Model::from_onnx).
    pub fn from_onnx_with(path: impl AsRef<Path>, options: &OnnxOptions) -> Result<Self> {
        onnx::read(path.as_ref(), options)
    }

    /// Reads an ONNX document from memory; weights in external files are not found.
    ///
    /// # Errors
    /// Those of [`from_onnx`](Model::from_onnx).
    pub fn from_onnx_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        onnx::parse(name, bytes, None, &OnnxOptions::default())
    }

    /// Starts a network with an input of the given per-sample shape.
    pub fn builder(name: impl Into<String>, input_shape: &[usize]) -> Builder {
        Builder::new(name, input_shape)
    }

    /// The model's name: the file's stem, or the builder's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph after folding.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shape of one sample of the input, for example `[3, 224, 224]`.
    pub fn input_shape(&self) -> &[usize] {
        &self.graph.values[self.graph.input].shape
    }

    /// Shape of one sample of the output, for example `[1000]`.
    pub fn output_shape(&self) -> &[usize] {
        &self.graph.values[self.graph.output].shape
    }

    /// Numbers per sample of the output.
    pub fn output_len(&self) -> usize {
        self.graph.values[self.graph.output].len()
    }

    /// Number of trained numbers.
    pub fn parameters(&self) -> usize {
        self.graph.nodes.iter().map(|node| node.op.parameters()).sum()
    }

    /// What the output means, as far as the graph tells.
    pub fn output_kind(&self) -> OutputKind {
        match self.last_op() {
            Some(Op::Softmax { log: false, .. }) => OutputKind::Probabilities,
            Some(Op::Softmax { log: true, .. }) => OutputKind::LogProbabilities,
            Some(Op::Activation(Activation::Sigmoid)) => OutputKind::Probabilities,
            _ => OutputKind::Scores,
        }
    }

    /// The same network up to, and without, the function that makes probabilities of its scores; unchanged
    /// if it ends in scores already.
    pub fn scores(mut self) -> Self {
        if self.output_kind() != OutputKind::Scores {
            let mut last = self.graph.output;
            // Reshapes after the Softmax do not change what the numbers mean.
            while let Some(node) = self.graph.producer(last).cloned() {
                last = node.inputs[0];
                if !matches!(node.op, Op::Reshape) {
                    break;
                }
            }
            self.graph.output = last;
            self.graph = fold::fold(self.graph);
        }
        self
    }

    /// The same network with probabilities as its output: a Softmax (for one output a Sigmoid) is added
    /// where it ends in scores; log-probabilities lose their logarithm.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the scores are a map: which of them compete is not known.
    pub fn probabilities(mut self) -> Result<Self> {
        match self.output_kind() {
            OutputKind::Probabilities => Ok(self),
            OutputKind::LogProbabilities => self.scores().probabilities(),
            OutputKind::Scores => {
                if self.output_shape().iter().filter(|&&length| length > 1).count() > 1 {
                    return Err(Error::unsupported(
                        format!(
                            "the network answers with a map {:?}, not with one number a class",
                            self.output_shape()
                        ),
                        "network output",
                        "explain raw values (--task regression), or a pooled node (--explain NODE)",
                    ));
                }
                let len = self.output_len();
                let op = if len == 1 {
                    Op::Activation(Activation::Sigmoid)
                } else {
                    Op::Softmax { axis: 0, log: false }
                };
                let flat = self.graph.append("flatten", Op::Reshape, vec![self.graph.output], vec![len]);
                self.graph.output = self.graph.append("probabilities", op, vec![flat], vec![len]);
                self.graph = fold::fold(self.graph);
                Ok(self)
            }
        }
    }

    /// The same network with the value called `name` as its output.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such value or node.
    pub fn up_to(mut self, name: &str) -> Result<Self> {
        let made = |id: &ValueId| *id == self.graph.input || self.graph.producer(*id).is_some();
        // A node that others were folded into answers to its own name and to the last of theirs.
        let called = |node: &&Node| node.name == name || node.name.rsplit(" + ").next() == Some(name);
        let by_node = self.graph.nodes.iter().rev().find(called).map(|node| node.output);
        let by_value = || self.graph.values.iter().rposition(|value| value.name == name).filter(made);
        let Some(output) = by_node.or_else(by_value) else {
            let names: Vec<&str> =
                self.graph.nodes.iter().rev().take(5).map(|node| node.name.as_str()).collect();
            return Err(Error::parameter(
                format!("the network has no node called {name:?}"),
                format!("--explain {name}"),
                format!("`whybox inspect MODEL` lists the nodes; the last are: {}", names.join(", ")),
            ));
        };
        self.graph.output = output;
        Ok(Model { graph: fold::fold(self.graph), ..self })
    }

    fn last_op(&self) -> Option<&Op> {
        let mut node = self.graph.producer(self.graph.output)?;
        while matches!(node.op, Op::Reshape) {
            node = self.graph.producer(node.inputs[0])?;
        }
        Some(&node.op)
    }
}
