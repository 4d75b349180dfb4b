//! NumPy broadcasting.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;
use crate::model::{BinaryKind, Op};

/// The shape that both broadcast to.
pub(super) fn shape(cx: &NodeContext<'_, '_>, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|axis| match (length(a, axis), length(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(cx.damaged(format!("shapes {a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// For each element of `shape`, the element of an operand of shape `operand` that it reads.
pub(in crate::model::onnx) fn places(shape: &[usize], operand: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (axis, &length) in shape.iter().enumerate() {
        let own = (axis + operand.len()).checked_sub(shape.len()).map_or(1, |at| operand[at]);
        places = places
            .iter()
            .flat_map(|&at| (0..length).map(move |i| at * own + if own == 1 { 0 } else { i }))
            .collect();
    }
    places
}

/// `kind` of two slots that [`prepare`](crate::model::onnx::batch::prepare) has aligned, at least one of them an
/// activation.
pub(super) fn combined<'a>(
    cx: &mut NodeContext<'a, '_>,
    kind: BinaryKind,
    a: Slot<'a>,
    b: Slot<'a>,
) -> Result<Slot<'a>> {
    match (a, b) {
        (Slot::Value { id, batched }, Slot::Constant(constant)) => {
            with_constant(cx, kind, id, batched, constant, false)
        }
        (Slot::Constant(constant), Slot::Value { id, batched }) => {
            with_constant(cx, kind, id, batched, constant, true)
        }
        (Slot::Value { id: a, batched }, Slot::Value { id: b, batched: other }) => {
            let (own, second) = (cx.shape(a), cx.shape(b));
            // With a batch axis, shapes align from the right only if the ranks agree.
            if batched != other || (batched && own.len() != second.len()) {
                return Err(cx.unsupported(format!("{own:?} and {second:?} differ in rank")));
            }
            let shape = shape(cx, &own, &second)?;
            cx.push_at(Op::Binary(kind), vec![a, b], shape, batched, cx.place)
        }
        // `slot` reads initializers, so none is left unread.
        _ => Err(cx.damaged("an input has no value")),
    }
}

fn with_constant<'a>(
    cx: &mut NodeContext<'a, '_>,
    kind: BinaryKind,
    id: usize,
    batched: bool,
    constant: Constant,
    constant_first: bool,
) -> Result<Slot<'a>> {
    let own = cx.shape(id);
    // The constant may have the batch axis too, and repeat along it.
    let has_batch = batched && constant.shape().len() == own.len() + 1;
    let constant = if has_batch { cx.one_sample(constant, 0)? } else { constant };
    let mut constant = cx.floats_of(constant)?;
    if has_batch {
        constant.shape.remove(0);
    }
    let shape = shape(cx, &own, &constant.shape)?;
    if batched && shape.len() != own.len() {
        return Err(cx.unsupported("the constant adds an axis before the batch"));
    }
    cx.push_at(Op::BinaryConst { kind, constant, constant_first }, vec![id], shape, batched, cx.place)
}
