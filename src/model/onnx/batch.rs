//! Where the batch is.
//!
//! Values of the graph are per sample, and most values of a file have the batch as axis 0. But exporters move it
//! (`[N, L, E]` → `[L, N, E]`) and merge it with other axes (`[N · heads, L, d]`, `[L · N, E]`). The graph's value stays as
//! it is, axes in the file's order without the batch; its [`BatchPlace`] says where the file has the batch among them.
//! What depends on neighbouring samples cannot be said in this form, and is refused.

use super::constant::{Constant, batches, elements, multiple};
use super::context::{NodeContext, Slot};
use super::kinds;
use crate::Result;
use crate::model::{Op, ValueId};

/// The axis of the file's shape that the batch is in, and what else is in it: one axis of the value before the batch
/// (`L · N`), one after it (`N · heads`), both, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BatchPlace {
    pub(super) axis: usize,
    pub(super) before: bool,
    pub(super) after: bool,
}

impl BatchPlace {
    /// The batch alone, as axis 0.
    pub(super) const FIRST: BatchPlace = BatchPlace { axis: 0, before: false, after: false };

    /// The batch alone, as the given axis.
    pub(super) fn alone(axis: usize) -> Self {
        BatchPlace { axis, ..BatchPlace::FIRST }
    }

    /// Axes of the value that lie before the batch.
    pub(super) fn boundary(self) -> usize {
        self.axis + usize::from(self.before)
    }

    /// Axes of the value in the file's axis `axis`.
    pub(super) fn axes(self, axis: usize) -> std::ops::Range<usize> {
        let merged = usize::from(self.before) + usize::from(self.after);
        match axis.cmp(&self.axis) {
            std::cmp::Ordering::Less => axis..axis + 1,
            std::cmp::Ordering::Equal => axis..axis + merged,
            std::cmp::Ordering::Greater => axis - 1 + merged..axis + merged,
        }
    }
}

/// Readies a node whose inputs may have the batch elsewhere than alone as axis 0: operators that broadcast get their
/// inputs with as many axes as the result has; the others learn where their result has the batch; an operator that
/// needs the batch as axis 0 is refused.
pub(super) fn prepare(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let op = cx.op;
    if kinds::AWARE.contains(&op) {
        return Ok(());
    }
    if kinds::BROADCASTING.contains(&op) {
        return align(cx);
    }
    let mut place = None;
    for at in 0..cx.input_count() {
        if let Some(Slot::Value { id, batched: true }) = cx.peek(at) {
            let other = cx.batch_place(id);
            if place.is_some_and(|place| place != other) {
                return Err(cx.unsupported("the batch is not the same axis of its inputs"));
            }
            place = Some(other);
        }
    }
    let Some(place) = place.filter(|&place| place != BatchPlace::FIRST) else { return Ok(()) };
    let (id, batched) = cx.value(0)?;
    let rank = cx.rank(id, batched) as i64;
    let counted = |axis: i64| if axis < 0 { axis + rank } else { axis };
    match op {
        _ if kinds::ELEMENTWISE.contains(&op) => {}
        "Softmax" | "LogSoftmax" => {
            let axis = counted(cx.int("axis", if cx.opset() < 13 { 1 } else { -1 }));
            if cx.opset() < 13 && axis != rank - 1 {
                return Err(cx.unsupported("it joins the batch with other axes"));
            }
        }
        "LayerNormalization" | "RMSNormalization" => {
            if counted(cx.int("axis", -1)) <= place.axis as i64 {
                return Err(cx.unsupported("it normalises over the batch"));
            }
        }
        _ if op.starts_with("Reduce") => {
            if cx.int("keepdims", 1) == 0 {
                let axes = cx.ints_or_input("axes", 1)?.unwrap_or_default();
                let before = axes.iter().filter(|&&axis| counted(axis) < place.axis as i64).count();
                cx.place = BatchPlace { axis: place.axis.saturating_sub(before), ..place };
                return Ok(());
            }
        }
        _ => return Err(cx.unsupported("the batch is not its input's first axis")),
    }
    cx.place = place;
    Ok(())
}

/// Gives the inputs of a broadcasting operator the same number of axes, where they differ or the batch has moved.
fn align(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let count = cx.input_count();
    let mut slots = Vec::with_capacity(count);
    for at in 0..count {
        slots.push(if cx.given(at) { Some(cx.slot(at)?) } else { None });
    }
    let mut rank = 0;
    let (mut ranks, mut moved, mut values) = (Vec::new(), false, 0);
    for slot in slots.iter().flatten() {
        match slot {
            Slot::Value { id, batched } => {
                values += 1;
                let own = cx.rank(*id, *batched);
                ranks.push(own);
                rank = rank.max(own);
                moved |= *batched && cx.batch_place(*id) != BatchPlace::FIRST;
            }
            Slot::Constant(constant) => rank = rank.max(constant.shape().len()),
            Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
        }
    }
    let grows = ranks.iter().any(|&own| own != rank);
    if values == 0 || (!moved && !grows) {
        return Ok(());
    }
    // Where the batch is, counted in the result's axes.
    let mut place: Option<BatchPlace> = None;
    for slot in slots.iter().flatten() {
        if let Slot::Value { id, batched: true } = slot {
            let own = cx.batch_place(*id);
            let own = BatchPlace { axis: own.axis + rank - cx.rank(*id, true), ..own };
            if place.is_some_and(|place| place != own) {
                return Err(cx.unsupported("the batch is not the same axis of its inputs"));
            }
            place = Some(own);
        }
    }
    for (at, slot) in slots.into_iter().enumerate() {
        let aligned = match slot {
            Some(Slot::Value { id, batched }) => {
                let shape = cx.shape(id);
                let lead = rank - cx.rank(id, batched);
                if lead == 0 {
                    continue;
                }
                let longer: Vec<usize> = std::iter::repeat_n(1, lead).chain(shape).collect();
                let aligned = cx.push(Op::Reshape, vec![id], longer)?;
                Slot::Value { id: aligned, batched }
            }
            Some(Slot::Constant(constant)) if !constant.shape().is_empty() => {
                let Some(place) = place else { continue };
                let lead = rank - constant.shape().len();
                let full: Vec<usize> =
                    std::iter::repeat_n(1, lead).chain(constant.shape().iter().copied()).collect();
                let constant = cx.one_sample(constant.reshaped(full.clone()), place.axis)?;
                let merged = usize::from(place.before) + usize::from(place.after);
                let mut shape = full;
                shape.splice(place.axis..=place.axis, std::iter::repeat_n(1, merged));
                Slot::Constant(constant.reshaped(shape))
            }
            _ => continue,
        };
        cx.overrides.insert(at, aligned);
    }
    cx.place = place.unwrap_or_default();
    Ok(())
}

/// Per-sample shape of a value, and the place of its batch, under the shape `target` of the file: lengths, multiples
/// of the batch, at most one −1 for whatever is left.
pub(super) fn reshaped(
    cx: &NodeContext<'_, '_>,
    id: ValueId,
    target: &[i64],
) -> Result<(Vec<usize>, BatchPlace)> {
    let shape = cx.shape(id);
    let (ahead, behind) = shape.split_at(cx.batch_place(id).boundary());
    let halves: [usize; 2] = [ahead.iter().product(), behind.iter().product()];
    let len = halves[0] * halves[1];
    let misfit = || cx.damaged(format!("[N] × {shape:?} does not fit the shape {}", shown(target)));
    let open = target.iter().position(|&size| size == -1);
    let symbols = target.iter().filter(|&&size| multiple(size).is_some()).count();
    if symbols > 1 {
        return Err(cx.unsupported("it has the batch in two axes"));
    }
    let mut known = 1usize;
    for (axis, &size) in target.iter().enumerate() {
        if Some(axis) == open {
            continue;
        }
        let length = multiple(size).or_else(|| usize::try_from(size).ok()).filter(|&length| length > 0);
        known = length.and_then(|length| known.checked_mul(length)).ok_or_else(misfit)?;
    }
    let mut full = target.to_vec();
    if symbols == 1 {
        if let Some(open) = open {
            full[open] = (len / known) as i64;
        }
        return placed(&full, halves).ok_or_else(|| match len.is_multiple_of(known) {
            true if open.is_some() || known == len => cx.unsupported(mixes(&shape, target)),
            _ => misfit(),
        });
    }
    // A network traced with one sample may have that one written into its shapes.
    let declared = cx.context.declared_batch.unwrap_or(1);
    let (total, first) = (len.checked_mul(declared).ok_or_else(misfit)?, target.first().copied());
    let resolves = match open {
        Some(_) => known > 0 && total.is_multiple_of(known),
        None => known == total,
    };
    let resolved = |full: &mut Vec<i64>| {
        if let Some(open) = open {
            full[open] = (total / known) as i64;
        }
    };
    if resolves && halves[0] == 1 && first == Some(declared as i64) {
        resolved(&mut full);
        full[0] = batches(1);
        return placed(&full, halves).ok_or_else(misfit);
    }
    if let (Some(open), None) = (open, cx.context.declared_batch) {
        if !len.is_multiple_of(known) {
            return Err(misfit());
        }
        full[open] = batches(len / known);
        return placed(&full, halves).ok_or_else(|| cx.unsupported(mixes(&shape, target)));
    }
    if !resolves {
        return Err(misfit());
    }
    resolved(&mut full);
    // Where all axes are numbers, several may hold the batch: alone is best, then before other axes, but not as a
    // part of the last, over which products are summed.
    let candidates = (0..full.len()).filter_map(|axis| {
        let mut full = full.clone();
        let size = usize::try_from(full[axis]).ok().filter(|size| size.is_multiple_of(declared))?;
        full[axis] = batches(size / declared);
        let (shape, place) = placed(&full, halves)?;
        let last = axis + 1 == full.len();
        let rank = match (place.before, place.after) {
            (false, false) => 0,
            (false, true) if !last || axis == 0 => 1,
            (true, false) => 2,
            _ => 3,
        };
        Some((rank, shape, place))
    });
    let best = candidates.min_by_key(|(rank, ..)| *rank);
    best.map(|(_, shape, place)| (shape, place)).ok_or_else(|| cx.unsupported(mixes(&shape, target)))
}

fn mixes(shape: &[usize], target: &[i64]) -> String {
    format!("it mixes samples: [N] × {shape:?} becomes {}", shown(target))
}

/// A shape with multiples of the batch as people write them.
fn shown(target: &[i64]) -> String {
    let sizes: Vec<String> = target
        .iter()
        .map(|&size| match multiple(size) {
            Some(1) => "N".to_owned(),
            Some(k) => format!("{k}·N"),
            None => size.to_string(),
        })
        .collect();
    format!("[{}]", sizes.join(", "))
}

/// Splits the axis of `full` that holds the batch, so that `halves[0]` elements lie before the batch, `halves[1]` after.
fn placed(full: &[i64], halves: [usize; 2]) -> Option<(Vec<usize>, BatchPlace)> {
    let axis = full.iter().position(|&size| multiple(size).is_some())?;
    let lengths = |sizes: &[i64]| -> Option<Vec<usize>> {
        sizes.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size > 0)).collect()
    };
    let (ahead, behind) = (lengths(&full[..axis])?, lengths(&full[axis + 1..])?);
    let (first, last) = (elements(&ahead)?, elements(&behind)?);
    let (before, after) = (halves[0] / first, halves[1] / last);
    let exact = before * first == halves[0] && after * last == halves[1];
    if !exact || before.checked_mul(after) != multiple(full[axis]) {
        return None;
    }
    let mut shape = ahead;
    shape.extend([before, after].into_iter().filter(|&length| length > 1));
    shape.extend(behind);
    Some((shape, BatchPlace { axis, before: before > 1, after: after > 1 }))
}

impl<'a> NodeContext<'a, '_> {
    /// Where the batch of a value is.
    pub(super) fn batch_place(&self, id: ValueId) -> BatchPlace {
        self.context.moved.get(&id).copied().unwrap_or_default()
    }

    /// The value's shape as the file has it, the batch as a symbol.
    pub(super) fn dims(&self, id: ValueId, batched: bool) -> Vec<i64> {
        let shape = self.shape(id);
        if !batched {
            return shape.iter().map(|&size| size as i64).collect();
        }
        let place = self.batch_place(id);
        (0..self.rank(id, true))
            .map(|axis| {
                let size = shape[place.axes(axis)].iter().product::<usize>();
                if axis == place.axis { batches(size) } else { size as i64 }
            })
            .collect()
    }

    /// The number of a length that is a multiple of the batch, where the batch is fixed.
    pub(super) fn declared(&self, size: i64) -> Option<i64> {
        let (count, batch) = (multiple(size)?, self.context.declared_batch?);
        i64::try_from(count.checked_mul(batch)?).ok()
    }

    /// An axis of the file, counted from 0.
    pub(super) fn counted(&self, axis: i64, rank: usize) -> Result<usize> {
        let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        match usize::try_from(counted) {
            Ok(counted) if counted < rank => Ok(counted),
            _ => Err(self.damaged(format!("axis {axis} is outside a shape of {rank} axes"))),
        }
    }

    /// Adds an operator whose result has the batch at `place`, and makes that the node's output.
    pub(super) fn emit_at(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
        batched: bool,
        place: BatchPlace,
    ) -> Result<()> {
        let slot = self.push_at(op, inputs, shape, batched, place)?;
        self.set(slot);
        Ok(())
    }

    /// As [`emit_at`](Self::emit_at), but the result is given back.
    pub(super) fn push_at(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
        batched: bool,
        place: BatchPlace,
    ) -> Result<Slot<'a>> {
        let id = self.push(op, inputs, shape)?;
        if batched && place != BatchPlace::FIRST {
            self.context.moved.insert(id, place);
        }
        Ok(Slot::Value { id, batched })
    }

    /// Makes a value the node's output, with the batch where [`prepare`] has put it.
    pub(super) fn set_placed(&mut self, id: ValueId, batched: bool) {
        if batched && self.place != BatchPlace::FIRST {
            self.context.moved.insert(id, self.place);
        }
        self.set(Slot::Value { id, batched });
    }

    /// The value under the shape `target` of the file.
    pub(super) fn reshape_to(&mut self, id: ValueId, batched: bool, target: &[i64]) -> Result<Slot<'a>> {
        let (shape, place) = match batched {
            true => reshaped(self, id, target)?,
            false => (super::ops::resolve_plain(self, id, target)?, BatchPlace::FIRST),
        };
        self.push_at(Op::Reshape, vec![id], shape, batched, place)
    }

    /// A constant whose axis `axis` is the batch, of length 1: what is the same for every sample of a fixed batch is kept
    /// once.
    pub(super) fn one_sample(&self, constant: Constant, axis: usize) -> Result<Constant> {
        let shape = constant.shape();
        let length = shape.get(axis).copied().unwrap_or(1);
        if length == 1 {
            return Ok(constant);
        }
        let inner: usize = shape[axis + 1..].iter().product();
        let first = |flat: usize| flat - flat / inner % length * inner;
        let repeats = |same: &dyn Fn(usize, usize) -> bool| (0..constant.len()).all(|at| same(at, first(at)));
        let repeats = self.context.declared_batch == Some(length)
            && match &constant {
                Constant::Float(tensor) => {
                    repeats(&|a, b| tensor.data[a].to_bits() == tensor.data[b].to_bits())
                }
                Constant::Int { data, .. } => repeats(&|a, b| data[a] == data[b]),
            };
        if !repeats {
            return Err(self.unsupported(format!("the constant {shape:?} varies along the batch")));
        }
        let mut one = shape.to_vec();
        one[axis] = 1;
        let kept = (0..constant.len()).filter(|&at| first(at) == at);
        Ok(constant.picked(one, kept))
    }

    /// A constant as an activation that is the same for every sample; what the file's axis `batch` has but once.
    pub(super) fn materialised(&mut self, constant: Constant, batch: Option<usize>) -> Result<Slot<'a>> {
        let integer = matches!(constant, Constant::Int { .. });
        let constant = match batch {
            Some(axis) => self.one_sample(constant, axis)?,
            None => constant,
        };
        let mut value = self.floats_of(constant)?;
        if let Some(axis) = batch {
            value.shape.remove(axis);
        }
        let shape = value.shape.clone();
        let place = BatchPlace::alone(batch.unwrap_or(0));
        let slot = self.push_at(Op::Constant { value }, vec![], shape, batch.is_some(), place)?;
        if let (true, Slot::Value { id, .. }) = (integer, &slot) {
            self.context.integers.insert(*id);
        }
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_splits_off_its_axis() {
        // [L, N, E] → [L · N, E] → [L, N · heads, d] → [L, N, E]
        let (length, heads, depth) = (7, 2, 4);
        let halves = [length, heads * depth];
        let [l, d, e] = [length, depth, heads * depth].map(|size| size as i64);
        let merged = |axis, before, after| BatchPlace { axis, before, after };
        assert_eq!(placed(&[batches(7), e], halves), Some((vec![7, 8], merged(0, true, false))));
        assert_eq!(placed(&[l, batches(2), d], halves), Some((vec![7, 2, 4], merged(1, false, true))));
        assert_eq!(placed(&[l, batches(1), e], halves), Some((vec![7, 8], BatchPlace::alone(1))));
        // Halves of two samples would lie in one row.
        assert_eq!(placed(&[batches(1), l, e], halves), None);
        assert_eq!(placed(&[batches(7), 3, 3], halves), None);
    }

    #[test]
    fn axes_of_a_merged_batch() {
        let place = BatchPlace { axis: 1, before: true, after: true };
        assert_eq!([0, 1, 2].map(|axis| place.axes(axis)), [0..1, 1..3, 3..4]);
        assert_eq!([0, 1, 2].map(|axis| BatchPlace::alone(1).axes(axis)), [0..1, 1..1, 1..2]);
    }
}
