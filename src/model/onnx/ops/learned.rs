//! The domain `ai.onnx.ml`, as far as scalers and linear models go: what skl2onnx writes. Class labels are not
//! computed; scores and probabilities are.
//!
//! Forms are those of <https://onnx.ai/onnx/operators/> (ai.onnx.ml), what it leaves open as ONNX Runtime has it.

use super::{Entry, NodeContext};
use crate::Result;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;
use crate::model::{Activation, BinaryKind, NormKind, Op, Tensor};

/// The domain's name.
pub(super) const DOMAIN: &str = "ai.onnx.ml";

/// The domain's operators that the importer knows, in alphabetical order.
pub(super) const OPERATORS: &[Entry] = &[
    ("ArrayFeatureExtractor", extractor, "constant indices; not of the batch"),
    ("Binarizer", binarizer, "all"),
    ("FeatureVectorizer", vectorizer, "activations [N, features]"),
    (
        "LinearClassifier",
        classifier,
        "scores; post_transform NONE, LOGISTIC, SOFTMAX; the label is not computed",
    ),
    ("LinearRegressor", regressor, "post_transform NONE, of several targets LOGISTIC, SOFTMAX"),
    ("Normalizer", normalizer, "norms L1 and L2"),
    ("Scaler", scaler, "all"),
    ("ZipMap", zip_map, "the numbers of the map, in the order of its keys"),
];

/// Input `at`, `[N, features]`: value, whether it has a batch, number of features.
fn table(cx: &mut NodeContext<'_, '_>, at: usize) -> Result<(usize, bool, usize)> {
    let (id, batched) = cx.value(at)?;
    if cx.rank(id, batched) != 2 || cx.axis(1, id, batched).is_err() {
        return Err(cx.unsupported(format!("its input {:?} is no table [N, features]", cx.shape(id))));
    }
    let features = cx.shape(id).last().copied().unwrap_or(1);
    Ok((id, batched, features))
}

/// Entries of the last axis.
fn extractor(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let Some(Constant::Int { data, .. }) = cx.constant(1)? else {
        return Err(cx.damaged("its indices are no integers"));
    };
    let (id, batched) = cx.value(0)?;
    let axis = cx.rank(id, batched).saturating_sub(1);
    let own = cx.axis(axis as i64, id, batched)?;
    let length = cx.shape(id)[own];
    let places =
        data.iter().map(|&at| usize::try_from(at).ok().filter(|&at| at < length).map(|at| at as u32));
    let places = places.collect::<Option<Vec<u32>>>();
    let places = places.ok_or_else(|| cx.damaged(format!("an index is outside {length} features")))?;
    let slot = super::select::picked(cx, Slot::Value { id, batched }, axis, places, 0.0)?;
    cx.alias(slot);
    Ok(())
}

/// 1 where the input is above the threshold.
fn binarizer(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let (shape, place) = (cx.shape(id), cx.batch_place(id));
    let constant = Tensor::new(&[], vec![cx.float("threshold", 0.0)]);
    let op = Op::BinaryConst { kind: BinaryKind::Greater, constant, constant_first: false };
    cx.emit_at(op, vec![id], shape, batched, place)
}

/// Tables side by side.
fn vectorizer(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let widths = cx.ints("inputdimensions").unwrap_or(&[]).to_vec();
    let (mut inputs, mut shape, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..cx.input_count() {
        let (id, batched, features) = table(cx, at)?;
        if widths.get(at).is_some_and(|&width| width != features as i64) {
            return Err(cx.damaged(format!("input {at} has {features} features")));
        }
        let own = cx.shape(id);
        match shape.last_mut() {
            None => shape = own,
            Some(sum) => *sum += features,
        }
        inputs.push(id);
        batches.push(batched);
    }
    let Some(&batched) = batches.first() else { return Err(cx.damaged("it has no input")) };
    if batches.iter().any(|&other| other != batched) {
        return Err(cx.unsupported("one of its inputs is the same for every sample"));
    }
    cx.emit(Op::Concat { axis: shape.len() - 1 }, inputs, shape, batched)
}

/// (x − offset) · scale
fn scaler(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched, features) = table(cx, 0)?;
    let shape = cx.shape(id);
    let mut value = id;
    for (name, kind, neutral) in [("offset", BinaryKind::Sub, 0.0), ("scale", BinaryKind::Mul, 1.0)] {
        let numbers = cx.floats(name).unwrap_or(&[]).to_vec();
        if ![0, 1, features].contains(&numbers.len()) {
            return Err(cx.damaged(format!("{} numbers of {name} for {features} features", numbers.len())));
        }
        if numbers.iter().any(|&x| x != neutral) {
            let constant = Tensor::new(&[numbers.len()], numbers);
            let op = Op::BinaryConst { kind, constant, constant_first: false };
            value = cx.push(op, vec![value], shape.clone())?;
        }
    }
    let slot = Slot::Value { id: value, batched };
    if value == id {
        cx.alias(slot)
    } else {
        cx.set(slot)
    }
    Ok(())
}

fn normalizer(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched, _) = table(cx, 0)?;
    let kind = match cx.string("norm").unwrap_or("MAX") {
        "L1" => NormKind::L1,
        "L2" => NormKind::L2,
        other => return Err(cx.unsupported(format!("its norm is {other}"))),
    };
    let shape = cx.shape(id);
    let axes = vec![shape.len() - 1];
    cx.emit(Op::Normalize { kind, axes, groups: 1, scale: None, shift: None }, vec![id], shape, batched)
}

/// The numbers of the map, which come in the order of its keys.
fn zip_map(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched, _) = table(cx, 0)?;
    cx.alias(Slot::Value { id, batched });
    Ok(())
}

/// What a linear model does with its scores.
fn transform(cx: &NodeContext<'_, '_>) -> Result<Option<Op>> {
    match cx.string("post_transform").unwrap_or("NONE") {
        "NONE" => Ok(None),
        "LOGISTIC" => Ok(Some(Op::Activation(Activation::Sigmoid))),
        "SOFTMAX" => Ok(Some(Op::Softmax { axis: 0, log: false })),
        other => Err(cx.unsupported(format!("its post_transform is {other}"))),
    }
}

/// `x · coefficientsᵀ + intercepts`: weights `[rows, features]` and a number for each row.
fn coefficients(cx: &NodeContext<'_, '_>, features: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let weights = cx.floats("coefficients").unwrap_or(&[]).to_vec();
    let rows = weights.len() / features;
    if rows == 0 || rows * features != weights.len() {
        return Err(cx.damaged(format!("{} coefficients do not fit {features} features", weights.len())));
    }
    let intercepts = match cx.floats("intercepts") {
        Some(given) if !given.is_empty() => given.to_vec(),
        _ => vec![0.0; rows],
    };
    if intercepts.len() != rows {
        return Err(cx.damaged(format!("{} intercepts for {rows} rows of coefficients", intercepts.len())));
    }
    Ok((weights, intercepts))
}

/// The scores of a linear model, transformed, as output `output`.
fn scores(
    cx: &mut NodeContext<'_, '_>,
    (weights, intercepts): (Vec<f32>, Vec<f32>),
    transform: Option<Op>,
    output: usize,
) -> Result<()> {
    let (id, batched, features) = table(cx, 0)?;
    let rows = intercepts.len();
    let mut shape = cx.shape(id);
    let last = shape.len() - 1;
    shape[last] = rows;
    let weight = Tensor::new(&[rows, features], weights);
    let bias = Some(Tensor::new(&[rows], intercepts));
    let mut value = cx.push(Op::Linear { weight, bias }, vec![id], shape.clone())?;
    if let Some(transform) = transform {
        let transform = match transform {
            Op::Softmax { log, .. } => Op::Softmax { axis: last, log },
            other => other,
        };
        value = cx.push(transform, vec![value], shape)?;
    }
    cx.set_output(output, Slot::Value { id: value, batched });
    Ok(())
}

fn regressor(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (_, _, features) = table(cx, 0)?;
    let (weights, intercepts) = coefficients(cx, features)?;
    let transform = transform(cx)?;
    if transform.is_some() && intercepts.len() == 1 {
        return Err(cx.unsupported("it transforms a single target, which runtimes leave as it is"));
    }
    scores(cx, (weights, intercepts), transform, 0)
}

/// Output 1; output 0 is the label.
fn classifier(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (_, _, features) = table(cx, 0)?;
    let (mut weights, mut intercepts) = coefficients(cx, features)?;
    let transform = transform(cx)?;
    if let [intercept] = intercepts[..] {
        // One row for two classes: the first class's score is 1 − s, and with LOGISTIC −s before it.
        let complement = match transform {
            None => 1.0 - intercept,
            Some(Op::Activation(_)) => -intercept,
            Some(_) => return Err(cx.unsupported("it takes the softmax of a single score")),
        };
        let negative: Vec<f32> = weights.iter().map(|w| -w).collect();
        weights.splice(0..0, negative);
        intercepts.insert(0, complement);
    }
    scores(cx, (weights, intercepts), transform, 1)
}
