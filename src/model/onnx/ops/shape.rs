//! Flatten, Reshape, Squeeze, Unsqueeze, Transpose.

use super::NodeContext;
use crate::Result;
use crate::model::Op;
use crate::model::onnx::constant::{BATCH, Constant, elements};
use crate::model::onnx::context::Slot;

pub(super) fn flatten(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let axis = cx.int("axis", 1);
    let rank = cx.rank(id, batched) as i64;
    let axis = if axis < 0 { axis + rank } else { axis };
    if !(0..=rank).contains(&axis) {
        return Err(cx.damaged(format!("axis {axis} is outside a shape of {rank} axes")));
    }
    let output = match (batched, axis as usize) {
        (true, 1) => vec![shape.iter().product()],
        (true, _) => return Err(cx.unsupported("it joins the batch with another axis")),
        (false, axis) => vec![shape[..axis].iter().product(), shape[axis..].iter().product()],
    };
    cx.emit(Op::Reshape, vec![id], output, batched)
}

pub(super) fn reshape(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let target = match cx.ints("shape") {
        Some(ints) => ints.to_vec(),
        None => match cx.constant(1)? {
            Some(Constant::Int { data, .. }) => data,
            _ => return Err(cx.damaged("its shape has to be integers")),
        },
    };
    let zero_is_zero = cx.int("allowzero", 0) != 0;
    match cx.slot(0)? {
        Slot::Constant(constant) => {
            let before: Vec<i64> = constant.shape().iter().map(|&size| size as i64).collect();
            let shape = resolve(cx, &target, &before, constant.len(), zero_is_zero)?;
            cx.set(Slot::Constant(constant.reshaped(shape)));
            Ok(())
        }
        Slot::Value { id, batched } => {
            let shape = cx.shape(id);
            let len = shape.iter().product();
            let before: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
            if !batched {
                let output = resolve(cx, &target, &before, len, zero_is_zero)?;
                return cx.emit(Op::Reshape, vec![id], output, batched);
            }
            // The batch has to stay axis 0: written as the batch symbol, as "copy" or as the declared batch
            // with the rest accounting for one sample, or as "whatever is left".
            let Some((&first, rest)) = target.split_first() else {
                return Err(cx.unsupported("it removes the batch axis"));
            };
            if rest.contains(&BATCH) {
                return Err(cx.unsupported("it moves the batch axis"));
            }
            // A network traced with one sample may have that one written into its shapes.
            let declared = cx.context.declared_batch.unwrap_or(1) as i64;
            let keeps = first == BATCH || (first == 0 && !zero_is_zero) || first == -1 || first == declared;
            if !keeps {
                return Err(cx.unsupported(format!("it gives the batch axis the length {first}")));
            }
            // A 0 copies the axis of the same place, which is one further to the left without the batch.
            let output = resolve(cx, rest, &before, len, zero_is_zero).map_err(|error| match first {
                -1 => cx.unsupported(format!(
                    "it may join the batch with other axes: {shape:?} becomes {rest:?}"
                )),
                _ => error,
            })?;
            cx.emit(Op::Reshape, vec![id], output, batched)
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// Works out 0 (copy) and −1 (whatever is left) of a target shape.
fn resolve(
    cx: &NodeContext<'_, '_>,
    target: &[i64],
    before: &[i64],
    len: usize,
    zero_is_zero: bool,
) -> Result<Vec<usize>> {
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (axis, &size) in target.iter().enumerate() {
        let size = match size {
            0 if !zero_is_zero => {
                *before.get(axis).ok_or_else(|| cx.damaged("it copies an axis that is not there"))?
            }
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            BATCH => return Err(cx.unsupported("it moves the batch axis")),
            size => size,
        };
        shape.push(
            usize::try_from(size).map_err(|_| cx.damaged(format!("its shape {target:?} is negative")))?,
        );
    }
    let misfit = || cx.damaged(format!("{len} elements do not fit the shape {target:?}"));
    let known = elements(&shape).ok_or_else(misfit)?;
    if let Some(axis) = open {
        if known == 0 || !len.is_multiple_of(known) {
            return Err(misfit());
        }
        shape[axis] = len / known;
    } else if known != len {
        return Err(misfit());
    }
    Ok(shape)
}

pub(super) fn squeeze(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let axes = cx.ints_or_input("axes", 1)?;
    match cx.slot(0)? {
        Slot::Constant(constant) => {
            let rank = constant.shape().len() as i64;
            let drop: Vec<i64> = match axes {
                Some(axes) => axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis }).collect(),
                None => (0..rank).filter(|&axis| constant.shape()[axis as usize] == 1).collect(),
            };
            let shape = constant.shape().to_vec();
            let kept: Vec<usize> = (0..shape.len())
                .filter(|&axis| !drop.contains(&(axis as i64)))
                .map(|axis| shape[axis])
                .collect();
            if kept.iter().product::<usize>() != constant.len() {
                return Err(cx.damaged("it removes an axis longer than 1"));
            }
            cx.set(Slot::Constant(constant.reshaped(kept)));
            Ok(())
        }
        Slot::Value { id, batched } => {
            let shape = cx.shape(id);
            let drop: Vec<usize> = match axes {
                Some(axes) => axes.iter().map(|&axis| cx.axis(axis, id, batched)).collect::<Result<_>>()?,
                // All axes of length 1: the batch among them if it is fixed to 1.
                None if batched && cx.context.declared_batch == Some(1) => {
                    return Err(cx.unsupported("it removes the batch axis"));
                }
                None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
            };
            if drop.iter().any(|&axis| shape[axis] != 1) {
                return Err(cx.damaged("it removes an axis longer than 1"));
            }
            let output =
                (0..shape.len()).filter(|axis| !drop.contains(axis)).map(|axis| shape[axis]).collect();
            cx.emit(Op::Reshape, vec![id], output, batched)
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

pub(super) fn unsqueeze(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let axes = cx.ints_or_input("axes", 1)?.ok_or_else(|| cx.damaged("it has no axes"))?;
    let slot = cx.slot(0)?;
    let rank = match &slot {
        Slot::Constant(constant) => constant.shape().len(),
        Slot::Value { id, batched } => cx.rank(*id, *batched),
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    };
    let result_rank = (rank + axes.len()) as i64;
    let mut places: Vec<i64> =
        axes.iter().map(|&axis| if axis < 0 { axis + result_rank } else { axis }).collect();
    places.sort_unstable();
    places.dedup();
    if places.len() != axes.len() || places.iter().any(|axis| !(0..result_rank).contains(axis)) {
        return Err(cx.damaged(format!("its axes {axes:?} are outside a shape of {result_rank} axes")));
    }
    match slot {
        Slot::Constant(constant) => {
            let mut shape = constant.shape().to_vec();
            places.iter().for_each(|&axis| shape.insert(axis as usize, 1));
            cx.set(Slot::Constant(constant.reshaped(shape)));
            Ok(())
        }
        Slot::Value { id, batched } => {
            if batched && places.first() == Some(&0) {
                return Err(cx.unsupported("it puts an axis before the batch"));
            }
            let mut shape = cx.shape(id);
            places.iter().for_each(|&axis| shape.insert(axis as usize - usize::from(batched), 1));
            cx.emit(Op::Reshape, vec![id], shape, batched)
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

pub(super) fn transpose(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    match cx.slot(0)? {
        Slot::Constant(constant) => {
            let shape = constant.shape().to_vec();
            let perm = permutation(cx, shape.len())?;
            cx.charge(&shape)?;
            let output: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
            let mut strides = vec![1; shape.len()];
            for axis in (1..shape.len()).rev() {
                strides[axis - 1] = strides[axis] * shape[axis];
            }
            let places = (0..constant.len()).map(|flat| {
                let mut rest = flat;
                let mut at = 0;
                for (axis, &from) in perm.iter().enumerate().rev() {
                    at += rest % output[axis] * strides[from];
                    rest /= output[axis];
                }
                at
            });
            let moved = constant.picked(output.clone(), places.collect::<Vec<_>>().into_iter());
            cx.set(Slot::Constant(moved));
            Ok(())
        }
        Slot::Value { id, batched } => {
            let mut perm = permutation(cx, cx.rank(id, batched))?;
            if batched {
                if perm.first() != Some(&0) {
                    return Err(cx.unsupported("it moves the batch axis"));
                }
                perm = perm[1..].iter().map(|&axis| axis - 1).collect();
            }
            let shape = cx.shape(id);
            let output = perm.iter().map(|&axis| shape[axis]).collect();
            cx.emit(Op::Transpose { perm }, vec![id], output, batched)
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// The attribute `perm` (all axes reversed by default), checked.
fn permutation(cx: &NodeContext<'_, '_>, rank: usize) -> Result<Vec<usize>> {
    let perm: Vec<usize> = match cx.ints("perm") {
        None => (0..rank).rev().collect(),
        Some(given) => given.iter().map(|&axis| usize::try_from(axis).unwrap_or(usize::MAX)).collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(cx.damaged(format!("{perm:?} is no permutation of {rank} axes")));
    }
    Ok(perm)
}
