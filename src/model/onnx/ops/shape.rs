//! Flatten, Reshape, Squeeze, Unsqueeze, Transpose: the batch may move and merge with other axes.

use super::NodeContext;
use crate::Result;
use crate::model::Op;
use crate::model::onnx::batch::BatchPlace;
use crate::model::onnx::constant::{Constant, batches, elements, is_symbolic, multiple};
use crate::model::onnx::context::Slot;

pub(super) fn flatten(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let axis = cx.int("axis", 1);
    let cut = |cx: &NodeContext<'_, '_>, rank: usize| {
        let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        match usize::try_from(counted) {
            Ok(counted) if counted <= rank => Ok(counted),
            _ => Err(cx.damaged(format!("axis {axis} is outside a shape of {rank} axes"))),
        }
    };
    match cx.slot(0)? {
        Slot::Constant(constant) => {
            let (ahead, behind) = constant.shape().split_at(cut(cx, constant.shape().len())?);
            let shape = vec![ahead.iter().product(), behind.iter().product()];
            cx.set(Slot::Constant(constant.reshaped(shape)));
            Ok(())
        }
        Slot::Value { id, batched } => {
            let dims = cx.dims(id, batched);
            let (ahead, behind) = dims.split_at(cut(cx, dims.len())?);
            let target = [joined(ahead), joined(behind)];
            let flat = cx.reshape_to(id, batched, &target)?;
            cx.set(flat);
            Ok(())
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// The product of lengths, of which one may be a multiple of the batch.
pub(super) fn joined(dims: &[i64]) -> i64 {
    let product = dims.iter().map(|&size| multiple(size).unwrap_or(size as usize)).product();
    if dims.iter().any(|&size| is_symbolic(size)) { batches(product) } else { product as i64 }
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
            let dims = cx.dims(id, batched);
            let copied = |(axis, size): (usize, i64)| match size {
                0 if !zero_is_zero => {
                    dims.get(axis).copied().ok_or_else(|| cx.damaged("it copies an axis that is not there"))
                }
                size if size < -1 && !is_symbolic(size) => {
                    Err(cx.damaged(format!("its shape {target:?} is negative")))
                }
                size => Ok(size),
            };
            let target = target.iter().copied().enumerate().map(copied).collect::<Result<Vec<_>>>()?;
            if target.iter().filter(|&&size| size == -1).count() > 1 {
                return Err(cx.damaged(format!("its shape {target:?} is negative")));
            }
            let reshaped = cx.reshape_to(id, batched, &target)?;
            cx.set(reshaped);
            Ok(())
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// The shape that `target` asks for, of a value without a batch.
pub(in crate::model::onnx) fn resolve_plain(
    cx: &NodeContext<'_, '_>,
    id: usize,
    target: &[i64],
) -> Result<Vec<usize>> {
    resolve(cx, target, &[], cx.shape(id).iter().product(), true)
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
            size if is_symbolic(size) => return Err(cx.batch_in_arithmetic()),
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
            let mut dims = cx.dims(id, batched);
            let drop: Vec<usize> = match axes {
                Some(axes) => axes.iter().map(|&axis| cx.counted(axis, dims.len())).collect::<Result<_>>()?,
                None => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
            };
            let one = cx.context.declared_batch == Some(1);
            if axes_are_all(cx) && one && dims.contains(&batches(1)) {
                return Err(cx.unsupported("it removes the batch axis"));
            }
            if let Some(&axis) =
                drop.iter().find(|&&axis| dims[axis] != 1 && !(one && dims[axis] == batches(1)))
            {
                return Err(match is_symbolic(dims[axis]) {
                    true => cx.unsupported("it removes the batch axis"),
                    false => cx.damaged("it removes an axis longer than 1"),
                });
            }
            let mut axis = 0;
            dims.retain(|_| {
                axis += 1;
                !drop.contains(&(axis - 1))
            });
            let squeezed = cx.reshape_to(id, batched, &dims)?;
            cx.set(squeezed);
            Ok(())
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// Whether a Squeeze names no axes: then all of length 1 go, the batch among them where it is fixed to 1.
fn axes_are_all(cx: &NodeContext<'_, '_>) -> bool {
    !cx.has("axes") && !cx.given(1)
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
            let mut dims = cx.dims(id, batched);
            places.iter().for_each(|&axis| dims.insert(axis as usize, 1));
            let unsqueezed = cx.reshape_to(id, batched, &dims)?;
            cx.set(unsqueezed);
            Ok(())
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

pub(super) fn transpose(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    match cx.slot(0)? {
        Slot::Constant(constant) => {
            let perm = permutation(cx, constant.shape().len())?;
            let moved = transposed_constant(cx, constant, &perm)?;
            cx.set(Slot::Constant(moved));
            Ok(())
        }
        Slot::Value { id, batched } => {
            let perm = permutation(cx, cx.rank(id, batched))?;
            let moved = transposed(cx, id, batched, &perm)?;
            cx.set(moved);
            Ok(())
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// The value with axis `perm[i]` of the file as axis `i`.
pub(super) fn transposed<'a>(
    cx: &mut NodeContext<'a, '_>,
    id: usize,
    batched: bool,
    perm: &[usize],
) -> Result<Slot<'a>> {
    let (own, place) = match batched {
        // The axes of the value that each axis of the file holds.
        true => {
            let place = cx.batch_place(id);
            let axis = perm.iter().position(|&axis| axis == place.axis).unwrap_or(0);
            (perm.iter().flat_map(|&axis| place.axes(axis)).collect(), BatchPlace { axis, ..place })
        }
        false => (perm.to_vec(), BatchPlace::FIRST),
    };
    let shape = cx.shape(id);
    let output = own.iter().map(|&axis| shape[axis]).collect();
    cx.push_at(Op::Transpose { perm: own }, vec![id], output, batched, place)
}

/// The constant with axis `perm[i]` as axis `i`.
pub(super) fn transposed_constant(
    cx: &mut NodeContext<'_, '_>,
    constant: Constant,
    perm: &[usize],
) -> Result<Constant> {
    let shape = constant.shape().to_vec();
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
    Ok(constant.picked(output.clone(), places))
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
