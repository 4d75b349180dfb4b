//! The operators, a family a file. Each importer reads one node into the graph.

mod activation;
mod binary;
mod concat;
mod constant;
mod conv;
mod linear;
mod normalization;
mod pool;
mod reduce;
mod shape;
mod softmax;

use rten_onnx::onnx::NodeProto;

use super::context::{Context, NodeContext};
use crate::{Error, Result};

type Importer = fn(&mut NodeContext<'_, '_>) -> Result<()>;

/// Name, importer and the form that is supported.
type Entry = (&'static str, Importer, &'static str);

/// Every operator of the main domain that the importer knows, in alphabetical order.
const OPERATORS: &[Entry] = &[
    ("Abs", activation::import, "all"),
    ("Add", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("AveragePool", pool::average, "1-D and 2-D; ceil_mode, count_include_pad, auto_pad, dilations"),
    ("BatchNormalization", normalization::batch, "inference, constant statistics"),
    ("Cast", constant::identity, "between floating-point types; integer constants"),
    ("Ceil", activation::import, "all"),
    ("Celu", activation::import, "all"),
    ("Clip", activation::clip, "bounds as attributes or constant inputs"),
    ("Concat", concat::import, "activations along any axis but the batch; constants"),
    ("Constant", constant::constant, "tensor, float(s), int(s)"),
    ("ConstantOfShape", constant::constant_of_shape, "constant shape"),
    ("Conv", conv::import, "1-D and 2-D; any stride, pad, dilation, groups, auto_pad"),
    ("Div", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Dropout", constant::identity, "inference"),
    ("Elu", activation::import, "all"),
    ("Erf", activation::import, "all"),
    ("Exp", activation::import, "all"),
    ("Flatten", shape::flatten, "axis 1"),
    ("Floor", activation::import, "all"),
    ("Gather", constant::gather, "constants and shapes"),
    ("Gelu", activation::import, "exact and tanh"),
    ("Gemm", linear::gemm, "constant B; alpha, beta, transB"),
    ("GlobalAveragePool", pool::global_average, "any number of space axes"),
    ("GlobalLpPool", pool::global_lp, "any number of space axes"),
    ("GlobalMaxPool", pool::global_max, "any number of space axes"),
    (
        "GroupNormalization",
        normalization::group,
        "constant scale and shift, per group (opset 18) or per channel (21)",
    ),
    ("HardSigmoid", activation::import, "all"),
    ("HardSwish", activation::import, "all"),
    ("Identity", constant::identity, "all"),
    ("InstanceNormalization", normalization::instance, "constant scale and shift"),
    ("LRN", normalization::response, "all"),
    ("LayerNormalization", normalization::layer, "any axis but the batch; constant scale and shift"),
    ("LeakyRelu", activation::import, "all"),
    ("Log", activation::import, "all"),
    ("LogSoftmax", softmax::import, "any axis but the batch"),
    ("LpNormalization", normalization::lp, "p 1 and 2, any axis but the batch"),
    ("LpPool", pool::lp, "1-D and 2-D; auto_pad, dilations; not ceil_mode"),
    ("MatMul", linear::matmul, "constant second operand of two axes"),
    ("Max", binary::variadic, "activations and constants, broadcasting"),
    ("MaxPool", pool::max, "1-D and 2-D; ceil_mode, auto_pad, dilations"),
    ("Mean", binary::variadic, "activations and constants, broadcasting"),
    ("MeanVarianceNormalization", normalization::mean_variance, "any axes but the batch"),
    ("Min", binary::variadic, "activations and constants, broadcasting"),
    ("Mish", activation::import, "all"),
    ("Mul", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Neg", activation::import, "all"),
    ("PRelu", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Pow", binary::pow, "two activations or an activation and a constant, broadcasting"),
    ("RMSNormalization", normalization::layer, "any axis but the batch; constant scale"),
    ("Reciprocal", activation::import, "all"),
    ("ReduceL1", reduce::import, "any axes but the batch"),
    ("ReduceL2", reduce::import, "any axes but the batch"),
    ("ReduceLogSum", reduce::import, "any axes but the batch"),
    ("ReduceLogSumExp", reduce::import, "any axes but the batch"),
    ("ReduceMax", reduce::import, "any axes but the batch"),
    ("ReduceMean", reduce::import, "any axes but the batch"),
    ("ReduceMin", reduce::import, "any axes but the batch"),
    ("ReduceProd", reduce::import, "any axes but the batch"),
    ("ReduceSum", reduce::import, "any axes but the batch"),
    ("ReduceSumSquare", reduce::import, "any axes but the batch"),
    ("Relu", activation::import, "all"),
    ("Reshape", shape::reshape, "constant shape; the batch stays axis 0"),
    ("Round", activation::import, "all"),
    ("Selu", activation::import, "all"),
    ("Shape", constant::shape, "all"),
    ("Sigmoid", activation::import, "all"),
    ("Sign", activation::import, "all"),
    ("Slice", constant::slice, "constants and shapes"),
    ("Softmax", softmax::import, "any axis but the batch"),
    ("Softplus", activation::import, "all"),
    ("Softsign", activation::import, "all"),
    ("Sqrt", activation::import, "all"),
    ("Squeeze", shape::squeeze, "any axis but the batch"),
    ("Sub", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Sum", binary::variadic, "activations and constants, broadcasting"),
    ("Swish", activation::import, "all"),
    ("Tanh", activation::import, "all"),
    ("ThresholdedRelu", activation::import, "all"),
    ("Transpose", shape::transpose, "the batch stays axis 0"),
    ("Unsqueeze", shape::unsqueeze, "any axis but the batch"),
];

/// Name and supported form of every operator that the importer knows.
pub fn supported_operators() -> impl Iterator<Item = (&'static str, &'static str)> {
    OPERATORS.iter().map(|&(name, _, form)| (name, form))
}

/// Whether the importer knows the node's operator.
pub(super) fn is_known(node: &NodeProto) -> bool {
    find(node).is_some()
}

/// The node as errors name it: `"name" (operator, opset)`.
pub(super) fn title(node: &NodeProto, opset: i64) -> String {
    let op = node.op_type.as_deref().unwrap_or_default();
    let domain = match node.domain.as_deref() {
        None | Some("") | Some("ai.onnx") => String::new(),
        Some(domain) => format!("{domain}."),
    };
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    let name = name.or(node.output.first().map(String::as_str)).unwrap_or(op);
    format!("{name:?} ({domain}{op}, opset {opset})")
}

fn find(node: &NodeProto) -> Option<&'static Entry> {
    let main_domain = matches!(node.domain.as_deref(), None | Some("") | Some("ai.onnx"));
    let op = node.op_type.as_deref()?;
    OPERATORS.iter().find(|(name, _, _)| main_domain && *name == op)
}

/// Reads one node.
pub(super) fn import<'a>(context: &mut Context<'a>, node: &'a NodeProto) -> Result<()> {
    let mut cx = NodeContext::new(context, node);
    match find(node) {
        Some((_, importer, _)) => importer(&mut cx),
        None => Err(Error::unsupported(
            format!("operator {} is not supported", cx.op),
            format!("node {}", title(node, cx.opset())),
            "docs/operators.md lists the supported operators; export the network without it, or end it before this node",
        )),
    }
}
