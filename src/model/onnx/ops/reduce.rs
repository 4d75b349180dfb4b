//! Reductions: means, sums, extrema and their places, products, and those that apply a function before or after.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::{BATCH, Constant};
use crate::model::onnx::context::Slot;
use crate::model::{Activation, BinaryKind, Op, ReduceKind, Tensor};

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let square = Activation::Pow { exponent: 2.0 };
    let (before, kind, after) = match cx.op {
        "ReduceMean" => (None, ReduceKind::Mean, None),
        "ReduceMax" => (None, ReduceKind::Max, None),
        "ReduceMin" => (None, ReduceKind::Min, None),
        "ReduceProd" => (None, ReduceKind::Prod, None),
        "ReduceL1" => (Some(Activation::Abs), ReduceKind::Sum, None),
        "ReduceL2" => (Some(square), ReduceKind::Sum, Some(Activation::Sqrt)),
        "ReduceSumSquare" => (Some(square), ReduceKind::Sum, None),
        "ReduceLogSum" => (None, ReduceKind::Sum, Some(Activation::Log)),
        "ReduceLogSumExp" => (Some(Activation::Exp), ReduceKind::Sum, Some(Activation::Log)),
        _ => (None, ReduceKind::Sum, None),
    };
    if let Slot::Constant(Constant::Int { data, .. }) = cx.slot(0)? {
        return of_integers(cx, kind, &data);
    }
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let given = cx.ints_or_input("axes", 1)?.unwrap_or_default();
    if given.is_empty() {
        if cx.int("noop_with_empty_axes", 0) != 0 {
            if before.is_some() || after.is_some() {
                return Err(cx.unsupported("it reduces over no axis"));
            }
            return cx.emit(Op::Reshape, vec![id], shape, batched);
        }
        if batched {
            return Err(cx.unsupported("it reduces over the batch axis"));
        }
    }
    let mut axes = given.iter().map(|&axis| cx.axis(axis, id, batched)).collect::<Result<Vec<_>>>()?;
    if axes.is_empty() {
        axes = (0..shape.len()).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    let keep = cx.int("keepdims", 1) != 0;
    let reduced = |keep: bool| without(&shape, &axes, keep);
    let output = reduced(keep);
    let mut operand = id;
    let mut largest = None;
    if cx.op == "ReduceLogSumExp" {
        // With the largest element taken off first, nothing overflows.
        let max = Op::Reduce { kind: ReduceKind::Max, axes: axes.clone() };
        let max = cx.push(max, vec![operand], reduced(true))?;
        operand = cx.push(Op::Binary(BinaryKind::Sub), vec![operand, max], shape.clone())?;
        largest = Some(max);
    }
    if let Some(before) = before {
        operand = cx.push(Op::Activation(before), vec![operand], shape.clone())?;
    }
    let mut result = cx.push(Op::Reduce { kind, axes: axes.clone() }, vec![operand], output.clone())?;
    if let Some(after) = after {
        result = cx.push(Op::Activation(after), vec![result], output.clone())?;
    }
    if let Some(largest) = largest {
        let largest = cx.push(Op::Reshape, vec![largest], output.clone())?;
        result = cx.push(Op::Binary(BinaryKind::Add), vec![result, largest], output)?;
    }
    cx.set_placed(result, batched);
    Ok(())
}

/// A shape without `axes`, or with length 1 there.
fn without(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let lengths = shape.iter().enumerate().filter_map(|(axis, &size)| match axes.contains(&axis) {
        true => keep.then_some(1),
        false => Some(size),
    });
    lengths.collect()
}

/// The place of the largest or smallest element along an axis, the first or the last where several are equal: the least
/// or greatest of the places whose element equals the extremum.
pub(super) fn place_of_extremum(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let axis = cx.axis(cx.int("axis", 0), id, batched)?;
    let length = cx.charge(&[shape[axis]])?;
    if length > 1 << f32::MANTISSA_DIGITS {
        return Err(cx.unsupported(format!("floats do not tell {length} places apart")));
    }
    let kept = without(&shape, &[axis], true);
    let output = without(&shape, &[axis], cx.int("keepdims", 1) != 0);
    let kind = if cx.op == "ArgMin" { ReduceKind::Min } else { ReduceKind::Max };
    let extremum = cx.push(Op::Reduce { kind, axes: vec![axis] }, vec![id], kept)?;
    let equal = cx.push(Op::Binary(BinaryKind::Equal), vec![id, extremum], shape.clone())?;
    // A gate leaves 0 elsewhere, so the places are counted from it: to -1 where the least is wanted, else from 1.
    let last = cx.int("select_last_index", 0) != 0;
    let (kind, first) = if last { (ReduceKind::Max, 1.0) } else { (ReduceKind::Min, -(length as f32)) };
    let mut lengths = vec![1; shape.len()];
    lengths[axis] = length;
    let places: Vec<f32> = (0..length).map(|place| place as f32 + first).collect();
    let with = |kind, constant| Op::BinaryConst { kind, constant, constant_first: false };
    let places = cx.push(with(BinaryKind::Gate, Tensor::new(&lengths, places)), vec![equal], shape)?;
    let place = cx.push(Op::Reduce { kind, axes: vec![axis] }, vec![places], output.clone())?;
    let from_zero = Tensor::new(&[], [first].as_slice());
    let place = cx.push(with(BinaryKind::Sub, from_zero), vec![place], output)?;
    cx.context.integers.insert(place);
    cx.set_placed(place, batched);
    Ok(())
}

/// A reduction of a vector of integers, such as the number of elements from a shape.
fn of_integers(cx: &mut NodeContext<'_, '_>, kind: ReduceKind, data: &[i64]) -> Result<()> {
    if data.contains(&BATCH) {
        return Err(cx.batch_in_arithmetic());
    }
    let rank = match cx.slot(0)? {
        Slot::Constant(constant) => constant.shape().len(),
        _ => 0,
    };
    let plain = matches!(cx.op, "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin");
    if rank != 1 || !plain || cx.int("noop_with_empty_axes", 0) != 0 {
        return Err(cx.unsupported("it reduces integers in another form than a vector to a number"));
    }
    let result = match kind {
        ReduceKind::Prod => data.iter().try_fold(1i64, |product, &x| product.checked_mul(x)),
        ReduceKind::Max => data.iter().copied().max(),
        ReduceKind::Min => data.iter().copied().min(),
        ReduceKind::Sum | ReduceKind::Mean => data.iter().try_fold(0i64, |sum, &x| sum.checked_add(x)),
    };
    let result = result.ok_or_else(|| cx.damaged("integer arithmetic overflows"))?;
    let shape = if cx.int("keepdims", 1) != 0 { vec![1] } else { Vec::new() };
    cx.set(Slot::Constant(Constant::Int { shape, data: vec![result] }));
    Ok(())
}
