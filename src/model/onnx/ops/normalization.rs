//! Normalisations: by stored statistics (BatchNormalization at inference) and by the data's own.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::context::Slot;
use crate::model::{Activation, BinaryKind, NormKind, Op, ReduceKind, Response, Tensor};

pub(super) fn batch(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    if cx.int("training_mode", 0) != 0 {
        return Err(cx.unsupported("it is in training mode"));
    }
    if cx.int("spatial", 1) == 0 {
        return Err(cx.unsupported("it has statistics for each pixel (spatial = 0)"));
    }
    let shape = cx.shape(id);
    let channels = shape.first().copied().unwrap_or(0);
    let mut parts = Vec::new();
    for at in 1..5 {
        let tensor = cx.needed_tensor(at)?;
        if tensor.len() != channels {
            return Err(cx.damaged(format!("input {at} has not {channels} elements")));
        }
        parts.push(tensor.data);
    }
    let epsilon = f64::from(cx.float("epsilon", 1e-5));
    let (gamma, beta, mean, variance) = (&parts[0], &parts[1], &parts[2], &parts[3]);
    let exact = |c: usize| f64::from(gamma[c]) / (f64::from(variance[c]) + epsilon).sqrt();
    let scale: Vec<f32> = (0..channels).map(|c| exact(c) as f32).collect();
    let shift: Vec<f32> =
        (0..channels).map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * exact(c)) as f32).collect();
    let op = Op::Affine { scale: Tensor::new(&[channels], scale), shift: Tensor::new(&[channels], shift) };
    cx.emit_sample(op, id, shape, batched)
}

/// LayerNormalization and RMSNormalization: over the axes from `axis` on.
pub(super) fn layer(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let first = cx.axis(cx.int("axis", -1), id, batched)?;
    let epsilon = cx.float("epsilon", 1e-5);
    let kind = match cx.op {
        "RMSNormalization" => NormKind::RootMeanSquare { epsilon },
        _ => NormKind::Standard { epsilon },
    };
    let mut line = |at: usize| -> Result<Option<Tensor>> {
        let Some(mut tensor) = cx.tensor(at)? else { return Ok(None) };
        // Leading axes of length 1, the batch's among them, say nothing.
        while tensor.shape.len() > shape.len() && tensor.shape[0] == 1 {
            tensor.shape.remove(0);
        }
        let lead = shape.len().checked_sub(tensor.shape.len());
        let fits = |lead: usize| {
            tensor.shape.iter().zip(&shape[lead..]).all(|(&length, &whole)| length == 1 || length == whole)
        };
        if lead.is_some_and(fits) {
            return Ok(Some(tensor));
        }
        Err(cx.damaged(format!("input {at} has the shape {:?}, its data {shape:?}", tensor.shape)))
    };
    let (scale, shift) = (line(1)?, line(2)?);
    let axes: Vec<usize> = (first..shape.len()).collect();
    if cx.wanted(1) || cx.wanted(2) {
        statistics(cx, id, batched, &axes, epsilon)?;
    }
    cx.emit(Op::Normalize { kind, axes, groups: 1, scale, shift }, vec![id], shape, batched)
}

/// The further outputs of LayerNormalization: mean and 1 / √(variance + ε).
fn statistics(
    cx: &mut NodeContext<'_, '_>,
    id: usize,
    batched: bool,
    axes: &[usize],
    epsilon: f32,
) -> Result<()> {
    let shape = cx.shape(id);
    let mut short = shape.clone();
    axes.iter().for_each(|&axis| short[axis] = 1);
    let reduce = || Op::Reduce { kind: ReduceKind::Mean, axes: axes.to_vec() };
    let mean = cx.push(reduce(), vec![id], short.clone())?;
    cx.set_further(1, Slot::Value { id: mean, batched });
    let apart = cx.push(Op::Binary(BinaryKind::Sub), vec![id, mean], shape.clone())?;
    let square = Op::Activation(Activation::Pow { exponent: 2.0 });
    let squares = cx.push(square, vec![apart], shape)?;
    let variance = cx.push(reduce(), vec![squares], short.clone())?;
    let constant = Tensor::new(&[], vec![epsilon]);
    let add = Op::BinaryConst { kind: BinaryKind::Add, constant, constant_first: false };
    let shifted = cx.push(add, vec![variance], short.clone())?;
    let root = cx.push(Op::Activation(Activation::Sqrt), vec![shifted], short.clone())?;
    let inverse = cx.push(Op::Activation(Activation::Reciprocal), vec![root], short)?;
    cx.set_further(2, Slot::Value { id: inverse, batched });
    Ok(())
}

/// InstanceNormalization: over space.
pub(super) fn instance(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let shape = cx.shape(id);
    if shape.len() < 2 {
        return Err(cx.damaged(format!("an input {shape:?} has no space")));
    }
    let kind = NormKind::Standard { epsilon: cx.float("epsilon", 1e-5) };
    let scale = by_channel(cx, 1, &shape, shape[0])?;
    let shift = by_channel(cx, 2, &shape, shape[0])?;
    let axes = (1..shape.len()).collect();
    cx.emit_sample(Op::Normalize { kind, axes, groups: 1, scale, shift }, id, shape, batched)
}

/// GroupNormalization: over space and the channels of a group. Scale and shift are per group before opset 21.
pub(super) fn group(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let shape = cx.shape(id);
    if shape.len() < 2 {
        return Err(cx.damaged(format!("an input {shape:?} has no space")));
    }
    let channels = shape[0];
    let groups = usize::try_from(cx.int("num_groups", 0)).unwrap_or(0);
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(cx.damaged(format!("{groups} groups do not divide {channels} channels")));
    }
    let kind = NormKind::Standard { epsilon: cx.float("epsilon", 1e-5) };
    let given = if cx.opset() < 21 { groups } else { channels };
    let scale = by_channel(cx, 1, &shape, given)?;
    let shift = by_channel(cx, 2, &shape, given)?;
    let axes = (0..shape.len()).collect();
    cx.emit_sample(Op::Normalize { kind, axes, groups, scale, shift }, id, shape, batched)
}

/// Input `at`, which has `given` elements, as one number a channel; `None` if it changes nothing.
fn by_channel(
    cx: &mut NodeContext<'_, '_>,
    at: usize,
    shape: &[usize],
    given: usize,
) -> Result<Option<Tensor>> {
    let tensor = cx.needed_tensor(at)?;
    if tensor.len() != given {
        return Err(cx.damaged(format!("input {at} has not {given} elements")));
    }
    let neutral = if at == 1 { 1.0 } else { 0.0 };
    if tensor.data.iter().all(|&x| x == neutral) {
        return Ok(None);
    }
    let channels = shape[0];
    let data: Vec<f32> = (0..channels).map(|c| tensor.data[c * given / channels]).collect();
    let mut own = vec![1; shape.len()];
    own[0] = channels;
    Ok(Some(Tensor { shape: own, data: data.into() }))
}

/// MeanVarianceNormalization: (x − mean) / (√variance + 1e-9), by default over batch and space.
pub(super) fn mean_variance(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let given = cx.ints("axes").unwrap_or(&[0, 2, 3]);
    let mut axes = given.iter().map(|&axis| cx.axis(axis, id, batched)).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    // Where the variance is above 1e-18, the same to within float32.
    let kind = NormKind::Standard { epsilon: 1e-18 };
    let op = Op::Normalize { kind, axes, groups: 1, scale: None, shift: None };
    cx.emit(op, vec![id], shape, batched)
}

/// LpNormalization: by the sum of absolute values or the root of the sum of squares along an axis.
pub(super) fn lp(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let axis = cx.axis(cx.int("axis", -1), id, batched)?;
    let kind = match cx.int("p", 2) {
        1 => NormKind::L1,
        2 => NormKind::L2,
        p => return Err(cx.damaged(format!("there is no norm of order {p}"))),
    };
    let op = Op::Normalize { kind, axes: vec![axis], groups: 1, scale: None, shift: None };
    cx.emit(op, vec![id], shape, batched)
}

/// LRN: over channels.
pub(super) fn response(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let shape = cx.shape(id);
    let size = usize::try_from(cx.int("size", 0)).unwrap_or(0);
    if shape.len() < 2 || size == 0 || size > 1 << 16 {
        return Err(cx.unsupported(format!("a window of {size} channels over {shape:?}")));
    }
    let response = Response {
        size,
        alpha: cx.float("alpha", 1e-4),
        beta: cx.float("beta", 0.75),
        bias: cx.float("bias", 1.0),
    };
    cx.emit_sample(Op::Lrn(response), id, shape, batched)
}
