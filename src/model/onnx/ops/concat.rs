//! Concat.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;
use crate::model::{Op, Tensor};

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let axis = cx.int("axis", 1);
    let slots = (0..cx.input_count()).map(|at| cx.slot(at)).collect::<Result<Vec<_>>>()?;
    let first = slots.iter().find_map(|slot| match slot {
        Slot::Value { id, batched } => Some((*id, *batched)),
        _ => None,
    });
    match first {
        Some((id, batched)) => activations(cx, axis, slots, id, batched),
        None => constants(cx, axis, slots),
    }
}

/// Activations, and constants that are the same for every sample.
fn activations<'a>(
    cx: &mut NodeContext<'a, '_>,
    axis: i64,
    slots: Vec<Slot<'a>>,
    first: usize,
    batched: bool,
) -> Result<()> {
    let dims = cx.dims(first, batched);
    let axis = cx.counted(axis, dims.len())?;
    let own = cx.axis(axis as i64, first, batched)?;
    let place = cx.batch_place(first);
    let declared = cx.context.declared_batch;
    let mut shape = cx.shape(first);
    shape[own] = 0;
    let mut inputs = Vec::with_capacity(slots.len());
    for slot in slots {
        let slot = match slot {
            Slot::Constant(constant) if constant.shape().get(axis) == Some(&0) => continue,
            Slot::Constant(constant) => match batched {
                true if place.before || place.after => {
                    return Err(
                        cx.unsupported("it joins a constant to a batch that is merged with other axes")
                    );
                }
                true if declared.is_none() => {
                    return Err(cx.damaged("it joins a constant of one sample to a batch of any size"));
                }
                true if constant.shape().get(place.axis).copied() != declared => {
                    return Err(cx.damaged("it joins constants to a batch of another length"));
                }
                true => cx.materialised(constant, Some(place.axis))?,
                false => cx.materialised(constant, None)?,
            },
            slot => slot,
        };
        let Slot::Value { id, batched: other_batched } = slot else {
            return Err(cx.damaged("an input has no value"));
        };
        let other = cx.shape(id);
        let fits = other_batched == batched
            && cx.batch_place(id) == place
            && other.len() == shape.len()
            && (0..shape.len()).all(|k| k == own || other[k] == shape[k]);
        if !fits {
            return Err(
                cx.damaged(format!("shapes {:?} and {other:?} differ beyond axis {axis}", cx.shape(first)))
            );
        }
        shape[own] += other[own];
        inputs.push(id);
    }
    cx.emit_at(Op::Concat { axis: own }, inputs, shape, batched, place)
}

/// Constants: shapes, as exporters join them, and others.
fn constants(cx: &mut NodeContext<'_, '_>, axis: i64, slots: Vec<Slot<'_>>) -> Result<()> {
    let parts: Vec<Constant> = slots
        .into_iter()
        .filter_map(|slot| match slot {
            Slot::Constant(constant) => Some(constant),
            _ => None,
        })
        .collect();
    let Some(first) = parts.first() else { return Err(cx.damaged("it has no inputs")) };
    let mut shape = first.shape().to_vec();
    let axis = cx.counted(axis, shape.len())?;
    shape[axis] = 0;
    for part in &parts {
        let other = part.shape();
        if other.len() != shape.len() || (0..shape.len()).any(|k| k != axis && other[k] != shape[k]) {
            return Err(cx.damaged(format!("shapes {shape:?} and {other:?} differ beyond axis {axis}")));
        }
        shape[axis] += other[axis];
    }
    cx.charge(&shape)?;
    let outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    let lines = |part: &Constant, o: usize| {
        let line = part.shape()[axis] * inner;
        o * line..(o + 1) * line
    };
    let floats = parts.iter().all(|part| matches!(part, Constant::Float(_)));
    let mut reals = Vec::new();
    let mut ints = Vec::new();
    for o in 0..outer {
        for part in &parts {
            match part {
                Constant::Float(tensor) if floats => reals.extend_from_slice(&tensor.data[lines(part, o)]),
                Constant::Int { data, .. } => ints.extend_from_slice(&data[lines(part, o)]),
                Constant::Float(_) => return Err(cx.damaged("its inputs are of different types")),
            }
        }
    }
    let joined = match floats {
        true => Constant::Float(Tensor { shape, data: reals.into() }),
        false => Constant::Int { shape, data: ints },
    };
    cx.set(Slot::Constant(joined));
    Ok(())
}
