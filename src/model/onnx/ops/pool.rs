//! MaxPool, AveragePool, LpPool and their global forms.

use super::NodeContext;
use super::conv::{space, window};
use crate::Result;
use crate::model::{Activation, BinaryKind, Op, PoolKind, ReduceKind, Tensor, Window};

pub(super) fn max(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    // The second output, the places of the maxima, is not computed (nor does storage_order, its order, matter).
    slide(cx, PoolKind::Max)
}

pub(super) fn average(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let count_include_pad = cx.int("count_include_pad", 0) != 0;
    slide(cx, PoolKind::Average { count_include_pad })
}

fn slide(cx: &mut NodeContext<'_, '_>, kind: PoolKind) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let (window, output) = geometry(cx, &cx.shape(id))?;
    cx.emit_sample(Op::Pool { kind, window }, id, output, batched)
}

/// The window and the output's shape.
fn geometry(cx: &NodeContext<'_, '_>, shape: &[usize]) -> Result<(Window, Vec<usize>)> {
    let space = space(cx, shape)?;
    let kernel: Vec<usize> = cx
        .ints("kernel_shape")
        .unwrap_or_default()
        .iter()
        .map(|&v| usize::try_from(v).unwrap_or(0))
        .collect();
    let kernel = match kernel[..] {
        [length] if shape.len() == 2 => [1, length],
        [height, width] if shape.len() == 3 => [height, width],
        _ => return Err(cx.damaged(format!("its kernel_shape {kernel:?} does not fit {shape:?}"))),
    };
    let window = window(cx, kernel, shape.len() - 1, space)?;
    let [height, width] = window.output(space, cx.int("ceil_mode", 0) != 0, &cx.name)?;
    // A window that sees nothing but padding has no maximum and no mean.
    if !window.sees_input(space, [height, width]) {
        return Err(cx.unsupported("some of its windows lie in the padding altogether"));
    }
    let output = if shape.len() == 2 { vec![shape[0], width] } else { vec![shape[0], height, width] };
    Ok((window, output))
}

pub(super) fn global_average(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    global(cx, ReduceKind::Mean)
}

pub(super) fn global_max(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    global(cx, ReduceKind::Max)
}

fn global(cx: &mut NodeContext<'_, '_>, kind: ReduceKind) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let mut shape = cx.shape(id);
    if shape.len() < 2 {
        return Err(cx.damaged(format!("an input {shape:?} has no space")));
    }
    let axes = (1..shape.len()).collect();
    shape[1..].fill(1);
    cx.emit_sample(Op::Reduce { kind, axes }, id, shape, batched)
}

/// (Σ |x|ᵖ)^(1/p) over all space.
pub(super) fn global_lp(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let power = lp_power(cx)?;
    let (id, batched) = cx.sample(0)?;
    let mut shape = cx.shape(id);
    if shape.len() < 2 {
        return Err(cx.damaged(format!("an input {shape:?} has no space")));
    }
    let powers = powers(cx, id, power)?;
    let axes = (1..shape.len()).collect();
    shape[1..].fill(1);
    let sum = cx.push(Op::Reduce { kind: ReduceKind::Sum, axes }, vec![powers], shape.clone())?;
    cx.emit_sample(Op::Activation(Activation::power(1.0 / power)), sum, shape, batched)
}

/// (Σ |x|ᵖ)^(1/p) over windows: a mean that counts the padding, times the number of taps.
pub(super) fn lp(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    if cx.int("ceil_mode", 0) != 0 {
        return Err(cx.unsupported("it rounds its size up (ceil_mode)"));
    }
    let power = lp_power(cx)?;
    let (id, batched) = cx.sample(0)?;
    let powers = powers(cx, id, power)?;
    let (window, shape) = geometry(cx, &cx.shape(id))?;
    let taps = (window.kernel[0] * window.kernel[1]) as f32;
    let kind = PoolKind::Average { count_include_pad: true };
    let mean = cx.push(Op::Pool { kind, window }, vec![powers], shape.clone())?;
    let constant = Tensor::new(&[], vec![taps]);
    let times = Op::BinaryConst { kind: BinaryKind::Mul, constant, constant_first: false };
    let sum = cx.push(times, vec![mean], shape.clone())?;
    cx.emit_sample(Op::Activation(Activation::power(1.0 / power)), sum, shape, batched)
}

fn lp_power(cx: &NodeContext<'_, '_>) -> Result<f32> {
    match cx.int("p", 2) {
        p if p > 0 => Ok(p as f32),
        p => Err(cx.damaged(format!("there is no norm of order {p}"))),
    }
}

/// |x|ᵖ
fn powers(cx: &mut NodeContext<'_, '_>, id: usize, power: f32) -> Result<usize> {
    let shape = cx.shape(id);
    let size =
        if power == 2.0 { id } else { cx.push(Op::Activation(Activation::Abs), vec![id], shape.clone())? };
    cx.push(Op::Activation(Activation::power(power)), vec![size], shape)
}
