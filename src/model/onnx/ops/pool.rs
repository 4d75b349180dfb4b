//! MaxPool, AveragePool and their global forms.

use super::NodeContext;
use super::conv::{space, window};
use crate::Result;
use crate::model::{Op, PoolKind, ReduceKind};

pub(super) fn max(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    if cx.node.output.iter().filter(|name| !name.is_empty()).count() > 1 {
        return Err(cx.unsupported("it also returns indices"));
    }
    if cx.int("storage_order", 0) != 0 {
        return Err(cx.unsupported("it stores columns first"));
    }
    slide(cx, PoolKind::Max)
}

pub(super) fn average(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let count_include_pad = cx.int("count_include_pad", 0) != 0;
    slide(cx, PoolKind::Average { count_include_pad })
}

fn slide(cx: &mut NodeContext<'_, '_>, kind: PoolKind) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let shape = cx.shape(id);
    let space = space(cx, &shape)?;
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
    cx.emit_sample(Op::Pool { kind, window }, id, output, batched)
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
