//! Softmax and LogSoftmax.

use super::NodeContext;
use crate::Result;
use crate::model::Op;

/// Before opset 13, all axes from `axis` (default 1) on form one long axis; since then `axis` (default −1) alone.
pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let log = cx.op == "LogSoftmax";
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    let flattens = cx.opset() < 13;
    let axis = cx.int("axis", if flattens { 1 } else { -1 });
    let axis = cx.axis(axis, id, batched)?;
    if !flattens || shape[axis + 1..].iter().all(|&size| size == 1) {
        return cx.emit(Op::Softmax { axis, log }, vec![id], shape, batched);
    }
    let mut flat = shape[..axis].to_vec();
    flat.push(shape[axis..].iter().product());
    let joined = cx.push(Op::Reshape, vec![id], flat.clone())?;
    let softmax = cx.push(Op::Softmax { axis, log }, vec![joined], flat)?;
    cx.emit(Op::Reshape, vec![softmax], shape, batched)
}
