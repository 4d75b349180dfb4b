//! The operators, a family a file. Each importer reads one node into the graph.

mod activation;
mod attention;
mod binary;
mod broadcast;
mod choose;
mod concat;
mod constant;
mod conv;
mod einsum;
mod learned;
mod linear;
mod normalization;
mod pool;
mod rearrange;
mod reduce;
mod resize;
mod select;
mod shape;
mod softmax;
mod transposed_conv;

use rten_onnx::onnx::NodeProto;

use super::context::{Context, NodeContext};
use crate::{Error, Result};

pub(super) use broadcast::places;
pub(super) use shape::resolve_plain;

type Importer = fn(&mut NodeContext<'_, '_>) -> Result<()>;

/// Name, importer and the form that is supported.
type Entry = (&'static str, Importer, &'static str);

/// Every operator of the main domain that the importer knows, in alphabetical order.
const OPERATORS: &[Entry] = &[
    ("Abs", activation::import, "all"),
    ("Add", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("And", choose::logic, "truth values, broadcasting"),
    ("ArgMax", reduce::place_of_extremum, "of an activation, along any axis but the batch"),
    ("ArgMin", reduce::place_of_extremum, "of an activation, along any axis but the batch"),
    (
        "Attention",
        attention::import,
        "three or four axes, shared heads, constant mask, is_causal, softcap; no past, no scores as output",
    ),
    ("AveragePool", pool::average, "1-D and 2-D; ceil_mode, count_include_pad, auto_pad, dilations"),
    ("BatchNormalization", normalization::batch, "inference, constant statistics"),
    (
        "Cast",
        constant::identity,
        "between floating-point types; of integers and truth values; to integers only of integers",
    ),
    ("Ceil", activation::import, "all"),
    ("Celu", activation::import, "all"),
    ("Clip", activation::clip, "bounds as attributes or constant inputs"),
    ("Concat", concat::import, "along any axis but the batch; activations, constants, both"),
    ("Constant", constant::constant, "tensor, float(s), int(s)"),
    ("ConstantOfShape", constant::constant_of_shape, "constant shape, the batch among it"),
    ("Conv", conv::import, "1-D and 2-D; any stride, pad, dilation, groups, auto_pad"),
    (
        "ConvTranspose",
        transposed_conv::import,
        "1-D and 2-D; any stride, pad, dilation, groups, output_padding, output_shape; not auto_pad",
    ),
    ("DepthToSpace", rearrange::depth_to_space, "all"),
    ("Div", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Dropout", constant::identity, "inference; no mask as output"),
    ("Einsum", einsum::import, "products of two operands, no letter summed by itself"),
    ("Elu", activation::import, "all"),
    ("Equal", choose::compare, "activations and constants, broadcasting; shapes"),
    ("Erf", activation::import, "all"),
    ("Exp", activation::import, "all"),
    ("Expand", select::expand, "any axis; over the batch constants only"),
    ("Flatten", shape::flatten, "all; the batch may merge with other axes"),
    ("Floor", activation::import, "all"),
    (
        "Gather",
        select::gather,
        "constant indices along any axis but the batch; rows of a constant table by token ids; entries of a flattened batch by the numbers of the samples",
    ),
    ("Gelu", activation::import, "exact and tanh"),
    (
        "Gemm",
        linear::gemm,
        "constant B, or constant A; alpha, beta, transA, transB; any C that is the same for every sample",
    ),
    ("GlobalAveragePool", pool::global_average, "any number of space axes"),
    ("GlobalLpPool", pool::global_lp, "any number of space axes"),
    ("GlobalMaxPool", pool::global_max, "any number of space axes"),
    ("Greater", choose::compare, "activations and constants, broadcasting; shapes"),
    ("GreaterOrEqual", choose::compare, "activations and constants, broadcasting; shapes"),
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
    ("Less", choose::compare, "activations and constants, broadcasting; shapes"),
    ("LessOrEqual", choose::compare, "activations and constants, broadcasting; shapes"),
    ("Log", activation::import, "all"),
    ("LogSoftmax", softmax::import, "any axis but the batch"),
    ("LpNormalization", normalization::lp, "p 1 and 2, any axis but the batch"),
    ("LpPool", pool::lp, "1-D and 2-D; auto_pad, dilations; not ceil_mode"),
    (
        "MatMul",
        linear::matmul,
        "an activation and a constant on either side, or two activations, broadcasting; the batch among the leading axes",
    ),
    ("Max", binary::variadic, "activations and constants, broadcasting"),
    ("MaxPool", pool::max, "1-D and 2-D; ceil_mode, auto_pad, dilations; no indices"),
    ("Mean", binary::variadic, "activations and constants, broadcasting"),
    ("MeanVarianceNormalization", normalization::mean_variance, "any axes but the batch"),
    ("Min", binary::variadic, "activations and constants, broadcasting"),
    ("Mish", activation::import, "all"),
    ("Mod", choose::modulo, "integer constants"),
    ("Mul", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Neg", activation::import, "all"),
    ("Not", choose::not, "truth values"),
    ("Or", choose::logic, "truth values, broadcasting"),
    ("PRelu", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Pad", select::pad, "constant, edge, reflect, wrap; any axis but the batch; pads below 0 crop"),
    ("Pow", binary::pow, "two activations or an activation and a constant, broadcasting"),
    ("RMSNormalization", normalization::layer, "any axis but the batch; constant scale"),
    ("Range", choose::range, "constants; the numbers of the samples"),
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
    (
        "Reshape",
        shape::reshape,
        "constant shape; the batch may move, merge with neighbours and split off again",
    ),
    (
        "Resize",
        resize::resize,
        "nearest, linear and cubic along any axes but the batch; not antialias, tf_crop_and_resize, keep_aspect_ratio_policy",
    ),
    ("Round", activation::import, "all"),
    ("Selu", activation::import, "all"),
    ("Shape", constant::shape, "all"),
    ("Sigmoid", activation::import, "all"),
    ("Sign", activation::import, "all"),
    ("Size", constant::size, "all"),
    ("Slice", select::slice, "all axes but the batch; any step"),
    ("Softmax", softmax::import, "any axis but the batch"),
    ("Softplus", activation::import, "all"),
    ("Softsign", activation::import, "all"),
    ("SpaceToDepth", rearrange::space_to_depth, "all"),
    ("Split", select::split, "any axis but the batch; equal parts or sizes"),
    ("Sqrt", activation::import, "all"),
    ("Squeeze", shape::squeeze, "any axis; the batch where it is fixed to 1"),
    ("Sub", binary::import, "two activations or an activation and a constant, broadcasting"),
    ("Sum", binary::variadic, "activations and constants, broadcasting"),
    ("Swish", activation::import, "all"),
    ("Tanh", activation::import, "all"),
    ("ThresholdedRelu", activation::import, "all"),
    ("Tile", select::tile, "any axis; over the batch constants only"),
    ("Transpose", shape::transpose, "all; the batch may move"),
    ("Unsqueeze", shape::unsqueeze, "any axis"),
    ("Upsample", resize::resize, "nearest and linear along any axes but the batch"),
    ("Where", choose::choose, "activations and constants, broadcasting; shapes"),
];

/// Domain (empty for the main one), name and supported form of every operator that the importer knows.
pub fn supported_operators() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let of = |domain, table: &'static [Entry]| table.iter().map(move |&(name, _, form)| (domain, name, form));
    of("", OPERATORS).chain(of(learned::DOMAIN, learned::OPERATORS))
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
    let table = match node.domain.as_deref() {
        None | Some("" | "ai.onnx") => OPERATORS,
        Some(learned::DOMAIN) => learned::OPERATORS,
        Some(_) => return None,
    };
    let op = node.op_type.as_deref()?;
    table.iter().find(|(name, _, _)| *name == op)
}

/// Reads one node.
pub(super) fn import<'a>(context: &mut Context<'a>, node: &'a NodeProto) -> Result<()> {
    let mut cx = NodeContext::new(context, node);
    match find(node) {
        Some((_, importer, _)) => {
            super::batch::prepare(&mut cx)?;
            importer(&mut cx)?;
            cx.note_missing();
            Ok(())
        }
        None => Err(Error::unsupported(
            format!("operator {} is not supported", cx.op),
            format!("node {}", title(node, cx.opset())),
            "docs/operators.md lists the supported operators; export the network without it, or end it before this node",
        )),
    }
}
