//! Gather, Slice, Split, Pad, Expand and Tile: entries picked along an axis.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::{Constant, batches, is_symbolic, multiple};
use crate::model::onnx::context::Slot;
use crate::model::{NOTHING, Op};

/// `slot` with entry `indices[i]` ([`NOTHING`]: `fill`) as entry `i` along axis `axis` of the file's shape.
pub(super) fn picked<'a>(
    cx: &mut NodeContext<'a, '_>,
    slot: Slot<'a>,
    axis: usize,
    indices: Vec<u32>,
    fill: f32,
) -> Result<Slot<'a>> {
    match slot {
        Slot::Value { id, batched } => {
            let own = cx.axis(axis as i64, id, batched)?;
            let mut shape = cx.shape(id);
            if indices.iter().copied().eq(0..shape[own] as u32) {
                return Ok(Slot::Value { id, batched });
            }
            shape[own] = indices.len();
            let place = cx.batch_place(id);
            cx.push_at(
                Op::Select { axis: own, indices: indices.into(), fill },
                vec![id],
                shape,
                batched,
                place,
            )
        }
        Slot::Constant(constant) => {
            let before = constant.shape().to_vec();
            let mut shape = before.clone();
            shape[axis] = indices.len();
            let elements = cx.charge(&shape)?;
            let inner: usize = shape[axis + 1..].iter().product();
            let line = indices.len() * inner;
            let place = |flat: usize| {
                let (outer, rest) = (flat / line, flat % line);
                let index = indices[rest / inner];
                (index != NOTHING).then(|| (outer * before[axis] + index as usize) * inner + rest % inner)
            };
            Ok(Slot::Constant(match constant {
                Constant::Float(tensor) => {
                    let data: Vec<f32> =
                        (0..elements).map(|flat| place(flat).map_or(fill, |at| tensor.data[at])).collect();
                    Constant::Float(crate::model::Tensor { shape, data: data.into() })
                }
                Constant::Int { data, .. } => {
                    let data =
                        (0..elements).map(|flat| place(flat).map_or(fill as i64, |at| data[at])).collect();
                    Constant::Int { shape, data }
                }
            }))
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// The shape of a slot as the file has it.
pub(super) fn dims(cx: &NodeContext<'_, '_>, slot: &Slot<'_>) -> Vec<i64> {
    match slot {
        Slot::Value { id, batched } => cx.dims(*id, *batched),
        Slot::Constant(constant) => constant.shape().iter().map(|&size| size as i64).collect(),
        Slot::Lazy(_) => Vec::new(),
    }
}

/// A length that is known: not the batch.
pub(super) fn known(cx: &NodeContext<'_, '_>, size: i64) -> Result<usize> {
    match multiple(size) {
        Some(_) => Err(cx.unsupported("it works along the batch axis")),
        None => usize::try_from(size).map_err(|_| cx.damaged("a length is negative")),
    }
}

/// Indices as numbers of entries; there may be as many as a value may have elements.
pub(super) fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NOTHING - 1)
}

pub(super) fn gather(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let data = cx.slot(0)?;
    let given = cx.slot(1)?;
    let sizes = dims(cx, &data);
    let axis = cx.counted(cx.int("axis", 0), sizes.len())?;
    if let Some(gathered) = cx.gathered_by_number(&data, &given)? {
        cx.set(gathered);
        return Ok(());
    }
    let (shape, indices) = match (given, &data) {
        (Slot::Constant(Constant::Int { shape, data }), _) => (shape, data),
        (Slot::Value { id, batched }, Slot::Constant(_)) => return embedding(cx, axis, id, batched),
        _ => return Err(cx.unsupported("its indices are computed")),
    };
    let length = known(cx, sizes[axis])? as i64;
    let mut places = Vec::with_capacity(indices.len());
    for at in indices {
        let counted = if at < 0 { at.saturating_add(length) } else { at };
        if !(0..length).contains(&counted) {
            return Err(cx.damaged(format!("index {at} is outside {length} elements")));
        }
        places.push(index(counted as usize));
    }
    let gathered = picked(cx, data, axis, places, 0.0)?;
    // The indices' axes stand where the gathered axis was.
    let mut target = sizes;
    target.splice(axis..=axis, shape.iter().map(|&size| size as i64));
    let result = reshaped(cx, gathered, &target)?;
    cx.alias(result);
    Ok(())
}

/// The slot under another shape of the file; nothing if it has that shape.
fn reshaped<'a>(cx: &mut NodeContext<'a, '_>, slot: Slot<'a>, target: &[i64]) -> Result<Slot<'a>> {
    if dims(cx, &slot) == target {
        return Ok(slot);
    }
    match slot {
        Slot::Value { id, batched } => cx.reshape_to(id, batched, target),
        Slot::Constant(constant) => {
            let shape = target.iter().map(|&size| known(cx, size)).collect::<Result<_>>()?;
            Ok(Slot::Constant(constant.reshaped(shape)))
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// Rows of a constant table, numbered by an activation.
fn embedding(cx: &mut NodeContext<'_, '_>, axis: usize, id: usize, batched: bool) -> Result<()> {
    if !cx.context.integers.contains(&id) {
        return Err(cx.damaged("its indices are no integers"));
    }
    let table = cx.needed_tensor(0)?;
    if cx.context.numbers.contains_key(&id) {
        return Err(cx.unsupported("it looks up the numbers of the samples"));
    }
    if axis != 0 || table.shape.len() != 2 || table.is_empty() {
        return Err(cx.unsupported(format!("it looks up along axis {axis} of a table {:?}", table.shape)));
    }
    let mut shape = cx.shape(id);
    shape.push(table.shape[1]);
    let place = cx.batch_place(id);
    cx.emit_at(Op::Embedding { table }, vec![id], shape, batched, place)
}

pub(super) fn slice(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let starts = cx.ints_or_input("starts", 1)?.ok_or_else(|| cx.damaged("it has no starts"))?;
    let ends = bounds(cx)?;
    let axes = cx.ints_or_input("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = cx.ints_or_input("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(cx.damaged("its starts, ends, axes and steps differ in number"));
    }
    let mut slot = cx.slot(0)?;
    for (at, &axis) in axes.iter().enumerate() {
        let sizes = dims(cx, &slot);
        let axis = cx.counted(axis, sizes.len())?;
        let (start, end, step) = (starts[at], ends[at], steps[at]);
        if step == 0 {
            return Err(cx.damaged("its step is 0"));
        }
        if is_symbolic(sizes[axis]) {
            // All samples, in order.
            let whole = start == 0 && step == 1 && (end == sizes[axis] || end >= i64::from(i32::MAX));
            if whole {
                continue;
            }
            return Err(cx.unsupported("it slices the batch axis"));
        }
        if is_symbolic(end) {
            return Err(cx.batch_in_arithmetic());
        }
        let length = known(cx, sizes[axis])? as i64;
        let counted = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        let places: Vec<u32> = if step > 0 {
            let (start, end) = (counted(start).clamp(0, length), counted(end).clamp(0, length));
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            (start..end).step_by(step).map(|at| index(at as usize)).collect()
        } else {
            let (start, end) = (counted(start).clamp(-1, length - 1), counted(end).clamp(-1, length - 1));
            let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
            (end + 1..start + 1).rev().step_by(step).map(|at| index(at as usize)).collect()
        };
        slot = picked(cx, slot, axis, places, 0.0)?;
    }
    cx.alias(slot);
    Ok(())
}

/// The ends of a Slice; the batch may be one.
fn bounds(cx: &mut NodeContext<'_, '_>) -> Result<Vec<i64>> {
    match cx.ints("ends") {
        Some(ends) => Ok(ends.to_vec()),
        None => match cx.constant(2)? {
            Some(Constant::Int { data, .. }) => Ok(data),
            _ => Err(cx.damaged("its ends have to be integers")),
        },
    }
}

pub(super) fn split(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let slot = cx.slot(0)?;
    let sizes = dims(cx, &slot);
    let axis = cx.counted(cx.int("axis", 0), sizes.len())?;
    let length = known(cx, sizes[axis])?;
    let parts = match cx.ints_or_input("split", 1)? {
        Some(parts) => parts.iter().map(|&size| known(cx, size)).collect::<Result<Vec<_>>>()?,
        None => {
            let outputs = cx.node.output.len().max(1);
            let count = usize::try_from(cx.int("num_outputs", outputs as i64)).unwrap_or(0).max(1);
            // The last part may be smaller.
            let each = length.div_ceil(count).max(1);
            (0..count).map(|part| each.min(length.saturating_sub(part * each))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(length) {
        return Err(cx.damaged(format!("parts {parts:?} do not make up {length} elements")));
    }
    let mut first = 0;
    for (at, part) in parts.into_iter().enumerate() {
        if cx.node.output.get(at).is_some_and(|name| !name.is_empty()) && part > 0 {
            let places = (first..first + part).map(index).collect();
            let part = picked(cx, slot.clone(), axis, places, 0.0)?;
            match part {
                // A part that is the whole keeps its name.
                Slot::Value { id, .. } if matches!(&slot, Slot::Value { id: whole, .. } if *whole == id) => {
                    cx.alias_output(at, part);
                }
                part => cx.set_output(at, part),
            }
        }
        first += part;
    }
    Ok(())
}

pub(super) fn pad(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let slot = cx.slot(0)?;
    let sizes = dims(cx, &slot);
    let name = if cx.has("paddings") { "paddings" } else { "pads" };
    let pads = cx.ints_or_input(name, 1)?.ok_or_else(|| cx.damaged("it has no pads"))?;
    let fill = match cx.opset() {
        ..11 => cx.float("value", 0.0),
        _ => match cx.tensor(2)? {
            None => 0.0,
            Some(value) if value.len() == 1 => value.data[0],
            Some(_) => return Err(cx.damaged("its value has to be a single number")),
        },
    };
    let axes = cx.ints_or_input("axes", 3)?.unwrap_or_else(|| (0..sizes.len() as i64).collect());
    if pads.len() != 2 * axes.len() {
        return Err(cx.damaged(format!("{} pads do not fit {} axes", pads.len(), axes.len())));
    }
    let mode = cx.string("mode").unwrap_or("constant");
    let mut slot = slot;
    for (at, &axis) in axes.iter().enumerate() {
        let axis = cx.counted(axis, sizes.len())?;
        let (before, after) = (pads[at], pads[at + axes.len()]);
        if before == 0 && after == 0 {
            continue;
        }
        let length = known(cx, sizes[axis])? as i64;
        let longest = 1 << 31;
        if length == 0 || before.abs() > longest || after.abs() > longest || before + length + after < 0 {
            return Err(cx.damaged(format!("pads {before} and {after} do not fit {length} elements")));
        }
        cx.charge(&[(before + length + after) as usize])?;
        let source = |at: i64| -> Option<i64> {
            match mode {
                _ if (0..length).contains(&at) => Some(at),
                "edge" => Some(at.clamp(0, length - 1)),
                "wrap" => Some(at.rem_euclid(length)),
                "reflect" => {
                    let period = (2 * (length - 1)).max(1);
                    let folded = at.rem_euclid(period);
                    Some(if folded < length { folded } else { period - folded })
                }
                _ => None,
            }
        };
        if !["constant", "edge", "wrap", "reflect"].contains(&mode) {
            return Err(cx.unsupported(format!("its mode {mode:?} is not supported")));
        }
        let places =
            (-before..length + after).map(|at| source(at).map_or(NOTHING, |at| index(at as usize))).collect();
        slot = picked(cx, slot, axis, places, fill)?;
    }
    cx.alias(slot);
    Ok(())
}

pub(super) fn expand(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let Some(Constant::Int { data: target, .. }) = cx.constant(1)? else {
        return Err(cx.damaged("its shape has to be integers"));
    };
    let mut slot = cx.slot(0)?;
    let own = dims(cx, &slot);
    let rank = own.len().max(target.len());
    let wide = |sizes: &[i64]| -> Vec<i64> {
        std::iter::repeat_n(1, rank - sizes.len()).chain(sizes.iter().copied()).collect()
    };
    let (own, target) = (wide(&own), wide(&target));
    slot = reshaped(cx, slot, &own)?;
    // A constant that is repeated over the batch becomes an activation.
    let batch = target.iter().position(|&size| is_symbolic(size));
    let declared = cx.context.declared_batch;
    let mut repeats = Vec::new();
    for axis in 0..rank {
        match (own[axis], target[axis]) {
            (size, wanted) if size == wanted || wanted == 1 || wanted == -1 => {}
            (size, wanted)
                if is_symbolic(size)
                    && multiple(size).zip(declared).map(|(k, n)| (k * n) as i64) == Some(wanted) => {}
            (1, wanted) if wanted == batches(1) && matches!(slot, Slot::Constant(_)) => {}
            (1, wanted) if !is_symbolic(wanted) => repeats.push((axis, known(cx, wanted)?)),
            (size, wanted) if is_symbolic(size) || is_symbolic(wanted) => {
                return Err(cx.unsupported("it repeats along the batch axis"));
            }
            (size, wanted) => return Err(cx.damaged(format!("{size} elements do not expand to {wanted}"))),
        }
    }
    if let (Slot::Constant(constant), Some(axis)) = (&slot, batch) {
        slot = cx.materialised(constant.clone(), Some(axis))?;
    }
    for (axis, count) in repeats {
        cx.charge(&[count])?;
        slot = picked(cx, slot, axis, vec![0; count], 0.0)?;
    }
    cx.alias(slot);
    Ok(())
}

pub(super) fn tile(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let Some(Constant::Int { data: repeats, .. }) = cx.constant(1)? else {
        return Err(cx.damaged("its repeats have to be integers"));
    };
    let mut slot = cx.slot(0)?;
    let sizes = dims(cx, &slot);
    if repeats.len() != sizes.len() {
        return Err(cx.damaged(format!("{} repeats do not fit {} axes", repeats.len(), sizes.len())));
    }
    for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
        if count == batches(1)
            && let (1, Slot::Constant(constant)) = (sizes[axis], &slot)
        {
            slot = cx.materialised(constant.clone(), Some(axis))?;
            continue;
        }
        let (length, count) = (known(cx, sizes[axis])?, known(cx, count)?);
        let total = cx.charge(&[length, count])?;
        slot = picked(cx, slot, axis, (0..total).map(|at| index(at % length)).collect(), 0.0)?;
    }
    cx.alias(slot);
    Ok(())
}
