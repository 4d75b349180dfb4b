//! ONNX import: a file becomes a [`Model`].
//!
//! `rten-onnx` parses the document; here nodes become operators of the typed graph, constants fold on the
//! way, and the batch axis disappears: axis 0 of the input is the batch, unless
//! [`OnnxOptions::static_shapes`] says that there is none. What is not supported is an error that names node,
//! operator and opset; nothing is skipped.

mod batch;
mod constant;
mod context;
mod kinds;
mod numbers;
mod ops;
mod wire;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rten_onnx::onnx::{DataType, GraphProto, ModelProto, NodeProto, ValueInfoProto};

use self::constant::Constant;
use self::context::{Context, Slot};
use super::{Graph, Model, Value};
use crate::{Error, Result};

pub use ops::supported_operators;

/// Opsets that the importer reads.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// How to read an ONNX file.
///
/// # Example
/// ```
/// use whybox::model::{Model, OnnxOptions};
///
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/table/breast_cancer_mlp.onnx");
/// let model = Model::from_onnx_with(path, &OnnxOptions::default())?;
/// assert_eq!(model.input_shape(), [30]);
/// // A name that the graph has not is an error, never a guess.
/// let options = OnnxOptions { output: Some("nobody".into()), ..OnnxOptions::default() };
/// assert!(Model::from_onnx_with(path, &options).is_err());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct OnnxOptions {
    /// Name of the graph's input that is explained; needed where a graph has several.
    pub input: Option<String>,
    /// Constants for further inputs, by name: shape and row-major data.
    pub bind: HashMap<String, (Vec<usize>, Vec<f32>)>,
    /// Name of the output to take; if `None`, the first that holds floating-point numbers (a classifier's labels
    /// come before its scores), or a ZipMap's. Whole numbers and truth values are an output only if it is named: the number of a
    /// class is no score.
    pub output: Option<String>,
    /// Lengths for symbolic axes other than the batch, by the symbol's name.
    pub dims: HashMap<String, usize>,
    /// Takes every axis as it is written, with no batch axis: a run evaluates one whole input.
    pub static_shapes: bool,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path, options: &OnnxOptions) -> Result<Model> {
    let bytes = bytes_of(path)?;
    if bytes.is_empty() {
        return Err(Error::model(
            "the file is empty",
            path.display().to_string(),
            "export the network again",
        ));
    }
    let name = path.file_stem().map_or("network".into(), |stem| stem.to_string_lossy().into_owned());
    let at = path.display().to_string();
    parse(&name, &bytes, path.parent(), options).map_err(|error| located(error, &at))
}

/// Reads a document from memory; external weights are looked for in `folder`.
pub(super) fn parse(name: &str, bytes: &[u8], folder: Option<&Path>, options: &OnnxOptions) -> Result<Model> {
    let proto = document(bytes, name)?;
    let opset = opset(&proto)?;
    let graph = proto.graph.as_ref().ok_or_else(|| damaged("it holds no graph", name))?;
    let import = Import { graph, opset, folder: folder.map(PathBuf::from), options };
    Model::from_graph(name, import.run()?)
}

/// The bytes of the file at `path`.
fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::io(
            format!("the network file cannot be read: {error}"),
            path.display().to_string(),
            "check the path",
        )
    })
}

/// The document that `bytes` hold; `at` names it in errors.
fn document(bytes: &[u8], at: &str) -> Result<ModelProto> {
    wire::check(bytes).map_err(|what| damaged(what, at))?;
    ModelProto::parse_buf(bytes).map_err(|error| damaged(&error.to_string(), at))
}

fn damaged(what: &str, at: &str) -> Error {
    Error::model(format!("this is no ONNX file: {what}"), at, "export the network to ONNX again")
}

/// The version of the main operator set.
fn opset(proto: &ModelProto) -> Result<i64> {
    let main = proto
        .opset_import
        .iter()
        .find(|set| matches!(set.domain.as_deref(), None | Some("") | Some("ai.onnx")))
        .and_then(|set| set.version);
    match main {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(version) => Err(Error::unsupported(
            format!("opset {version} is outside {} to {}", OPSETS.start(), OPSETS.end()),
            "opset_import",
            "export the network with opset 17 or 18",
        )),
        None => {
            Err(Error::model("the file does not say its opset", "opset_import", "export the network again"))
        }
    }
}

/// Puts the file's name in front of where an error was found.
fn located(error: Error, file: &str) -> Error {
    let mut error = error;
    let (Error::Model(detail)
    | Error::Parameter(detail)
    | Error::Limits(detail)
    | Error::Unsupported(detail)
    | Error::Device(detail)
    | Error::Numeric(detail)
    | Error::Io(detail)
    | Error::Interrupted(detail)) = &mut error;
    detail.at = if detail.at.is_empty() { file.to_owned() } else { format!("{file}: {}", detail.at) };
    error
}

/// The batch that the input declares, if it is fixed.
fn declared_batch(input: &ValueInfoProto) -> Option<usize> {
    let shape = input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    shape.dim.first()?.dim_value.and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0)
}

/// Whether an output is declared as integers or text.
fn holds_labels(output: &ValueInfoProto) -> bool {
    let tensor = output.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let floats = [DataType::FLOAT, DataType::FLOAT16, DataType::BFLOAT16, DataType::DOUBLE];
    tensor.and_then(|tensor| tensor.elem_type).is_some_and(|kind| !floats.contains(&kind))
}

struct Import<'a> {
    graph: &'a GraphProto,
    opset: i64,
    folder: Option<PathBuf>,
    options: &'a OnnxOptions,
}

impl Import<'_> {
    fn run(&self) -> Result<Graph> {
        let mut slots: HashMap<String, Slot> = HashMap::new();
        for tensor in &self.graph.initializer {
            let name = tensor.name.clone().unwrap_or_default();
            slots.insert(name, Slot::Lazy(tensor));
        }
        for (name, (shape, data)) in &self.options.bind {
            if !self.graph.input.iter().any(|info| info.name.as_ref() == Some(name)) {
                let inputs: Vec<_> = self.graph.input.iter().filter_map(|info| info.name.clone()).collect();
                return Err(Error::parameter(
                    format!("the network has no input {name:?} to bind"),
                    "bind",
                    format!("it has: {}", inputs.join(", ")),
                ));
            }
            let constant =
                Constant::bound(shape, data, self.element_type(name)).map_err(|e| located(e, name))?;
            slots.insert(name.clone(), Slot::Constant(constant));
        }
        let input = self.input(&slots)?;
        let integer = self.check_element_type(input)?;
        let input_name = input.name.clone().unwrap_or_default();
        let shape = self.input_shape(input)?;
        let batched = !self.options.static_shapes;
        let per_sample = if batched { shape[1..].to_vec() } else { shape.clone() };
        let value = Value { name: input_name.clone(), shape: per_sample };
        let graph = Graph { values: vec![value], nodes: Vec::new(), input: 0, output: 0 };
        slots.insert(input_name, Slot::Value { id: 0, batched });

        let output_name = self.output_name()?;
        let order = self.needed_nodes(&output_name)?;
        let mut context = Context::new(graph, slots, self.opset, self.folder.clone(), declared_batch(input));
        if integer {
            context.integers.insert(0);
        }
        for node in order {
            ops::import(&mut context, node)?;
        }
        let made = self.graph.node.iter().any(|node| node.output.contains(&output_name));
        context.finish(&output_name, self.output_place(&output_name), made)
    }

    /// Element type of an input of the graph, where it is stated.
    fn element_type(&self, name: &str) -> Option<DataType> {
        let info = self.graph.input.iter().find(|info| info.name.as_deref() == Some(name))?;
        info.r#type.as_ref()?.tensor_type.as_ref()?.elem_type
    }

    /// Whether the input holds integers (token ids) or truth values, which pass through the network as floats. Other types are
    /// refused: their arithmetic would round differently.
    fn check_element_type(&self, input: &ValueInfoProto) -> Result<bool> {
        let name = input.name.clone().unwrap_or_default();
        match self.element_type(&name) {
            None | Some(DataType::FLOAT | DataType::FLOAT16 | DataType::BFLOAT16 | DataType::DOUBLE) => {
                Ok(false)
            }
            Some(DataType::INT64 | DataType::INT32 | DataType::BOOL) => Ok(true),
            Some(other) => Err(Error::unsupported(
                format!("inputs of type {other} are not supported"),
                self.input_place(&name),
                "export the network with a float32 input",
            )),
        }
    }

    /// An input as errors name it: with the first node that reads it.
    fn input_place(&self, name: &str) -> String {
        let reader = self.graph.node.iter().find(|node| node.input.iter().any(|input| input == name));
        let reader =
            reader.map_or_else(String::new, |node| format!(" of node {}", ops::title(node, self.opset)));
        format!("input {name:?}{reader}")
    }

    /// An output as errors name it: with the node that makes it.
    fn output_place(&self, name: &str) -> String {
        let maker = self.graph.node.iter().find(|node| node.output.iter().any(|output| output == name));
        let maker =
            maker.map_or_else(String::new, |node| format!(" of node {}", ops::title(node, self.opset)));
        format!("output {name:?}{maker}")
    }

    /// The one input that neither an initializer nor a binding feeds.
    fn input(&self, slots: &HashMap<String, Slot>) -> Result<&ValueInfoProto> {
        let free: Vec<_> = self
            .graph
            .input
            .iter()
            .filter(|info| !slots.contains_key(info.name.as_deref().unwrap_or_default()))
            .collect();
        let names = || free.iter().filter_map(|info| info.name.clone()).collect::<Vec<_>>().join(", ");
        if let Some(wanted) = &self.options.input {
            return free.iter().find(|info| info.name.as_ref() == Some(wanted)).copied().ok_or_else(|| {
                Error::parameter(
                    format!("the network has no input {wanted:?}"),
                    "input",
                    format!("it has: {}", names()),
                )
            });
        }
        match free[..] {
            [one] => Ok(one),
            [] => Err(Error::model("the network has no input", "graph", "export the network again")),
            _ => Err(Error::unsupported(
                format!("the network has {} inputs: {}", free.len(), names()),
                "graph input",
                "bind all but one to constants (OnnxOptions::bind), or export a network with one input",
            )),
        }
    }

    /// The declared shape; a symbolic first axis is the batch and becomes 1.
    fn input_shape(&self, info: &ValueInfoProto) -> Result<Vec<usize>> {
        let name = info.name.clone().unwrap_or_default();
        let at = self.input_place(&name);
        let shape = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
        let Some(shape) = shape else {
            return Err(Error::model(
                "the input's shape is not stated",
                at,
                "export the network with static shapes",
            ));
        };
        let mut sizes = Vec::new();
        for (axis, dim) in shape.dim.iter().enumerate() {
            let symbol = dim.dim_param.clone().unwrap_or_default();
            let size = match dim.dim_value {
                Some(size) if size > 0 => usize::try_from(size).ok(),
                _ => self.options.dims.get(&symbol).copied(),
            };
            match size {
                Some(size) => sizes.push(size),
                None if axis == 0 && !self.options.static_shapes => sizes.push(1),
                None if dim.dim_value == Some(0) => {
                    return Err(Error::unsupported(
                        format!("axis {axis} of the input is empty"),
                        at,
                        "export the network with an input that has elements",
                    ));
                }
                None => {
                    return Err(Error::unsupported(
                        format!("axis {axis} has no fixed length ({symbol:?})"),
                        at,
                        "export with fixed sizes for every axis but the batch, or give the length (OnnxOptions::dims)",
                    ));
                }
            }
        }
        if constant::elements(&sizes).is_none_or(|elements| elements == 0) {
            return Err(Error::limits(
                format!("the input's shape {sizes:?} is empty or too large"),
                at,
                "use another size",
            ));
        }
        if sizes.is_empty() && !self.options.static_shapes {
            return Err(Error::unsupported(
                "the input is a single number",
                at,
                "export an input of shape [N, features]",
            ));
        }
        Ok(sizes)
    }

    fn output_name(&self) -> Result<String> {
        let names: Vec<_> = self.graph.output.iter().filter_map(|info| info.name.clone()).collect();
        match &self.options.output {
            Some(wanted) if names.contains(wanted) => Ok(wanted.clone()),
            Some(wanted) => Err(Error::parameter(
                format!("the network has no output {wanted:?}"),
                "output",
                format!("it has: {}", names.join(", ")),
            )),
            None => {
                let all = self.graph.output.iter();
                let number = all.filter(|info| !holds_labels(info)).find_map(|info| info.name.clone());
                number.ok_or_else(|| match names.first() {
                    None => Error::model("the network has no output", "graph", "export the network again"),
                    Some(label) => Error::unsupported(
                        "the network's outputs are labels, no scores",
                        self.output_place(label),
                        "export the network with its scores as an output, or name the output (OnnxOptions::output)",
                    ),
                })
            }
        }
    }

    /// The nodes that the output depends on, each after those it depends on.
    fn needed_nodes(&self, output: &str) -> Result<Vec<&NodeProto>> {
        let mut producers: HashMap<&str, usize> = HashMap::new();
        for (at, node) in self.graph.node.iter().enumerate() {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                producers.insert(name, at);
            }
        }
        // Depth-first with an explicit stack, since files can nest deeper than a thread's stack.
        const NEW: u8 = 0;
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        let mut state = vec![NEW; self.graph.node.len()];
        let mut order = Vec::new();
        let mut stack: Vec<usize> = producers.get(output).copied().into_iter().collect();
        while let Some(&at) = stack.last() {
            if state[at] == DONE {
                stack.pop();
                continue;
            }
            let pending: Vec<usize> = self.graph.node[at]
                .input
                .iter()
                .filter_map(|name| producers.get(name.as_str()).copied())
                .filter(|&before| state[before] != DONE)
                .collect();
            if pending.is_empty() {
                state[at] = DONE;
                order.push(at);
                stack.pop();
            } else if state[at] == OPEN {
                let name = self.graph.node[at].name.clone().unwrap_or_default();
                return Err(Error::model(
                    "the graph runs in a circle",
                    format!("node {name:?}"),
                    "export it again",
                ));
            } else {
                state[at] = OPEN;
                stack.extend(pending);
            }
        }
        order.sort_unstable();
        // File order is topological in a valid file; if it is not, the context reports the missing value.
        Ok(order.into_iter().map(|at| &self.graph.node[at]).collect())
    }
}

/// Every node of the file whose operator the importer does not know, as `name (operator, opset)`.
///
/// # Errors
/// [`Error::Io`] or [`Error::Model`] if the file cannot be read.
pub fn unsupported_nodes(path: &Path) -> Result<Vec<String>> {
    let proto = document(&bytes_of(path)?, &path.display().to_string())?;
    let opset = opset(&proto).unwrap_or_default();
    let nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    Ok(nodes.filter(|node| !ops::is_known(node)).map(|node| ops::title(node, opset)).collect())
}
