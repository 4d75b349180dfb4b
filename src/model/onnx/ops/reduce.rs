//! ReduceMean, ReduceSum, ReduceMax, ReduceMin.

use super::NodeContext;
use crate::Result;
use crate::model::{Op, ReduceKind};

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let kind = match cx.op {
        "ReduceMean" => ReduceKind::Mean,
        "ReduceSum" => ReduceKind::Sum,
        "ReduceMax" => ReduceKind::Max,
        _ => ReduceKind::Min,
    };
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let given = cx.ints_or_input("axes", 1)?.unwrap_or_default();
    if given.is_empty() {
        if cx.int("noop_with_empty_axes", 0) != 0 {
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
    let output = shape
        .iter()
        .enumerate()
        .filter_map(|(axis, &size)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(size),
        })
        .collect();
    cx.emit(Op::Reduce { kind, axes }, vec![id], output, batched)
}
