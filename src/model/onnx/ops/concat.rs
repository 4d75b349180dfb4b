//! Concat.

use super::NodeContext;
use crate::Result;
use crate::model::Op;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let axis = cx.int("axis", 1);
    let mut values = Vec::new();
    let mut constants = Vec::new();
    for at in 0..cx.input_count() {
        match cx.slot(at)? {
            Slot::Value { id, batched } => values.push((id, batched)),
            Slot::Constant(constant) => constants.push(constant),
            Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
        }
    }
    match (values.is_empty(), constants.is_empty()) {
        (false, true) => activations(cx, axis, &values),
        (true, false) => shapes(cx, constants),
        (true, true) => Err(cx.damaged("it has no inputs")),
        (false, false) => Err(cx.unsupported("it joins activations and constants")),
    }
}

fn activations(cx: &mut NodeContext<'_, '_>, axis: i64, values: &[(usize, bool)]) -> Result<()> {
    let (first, batched) = values[0];
    let axis = cx.axis(axis, first, batched)?;
    let mut shape = cx.shape(first);
    shape[axis] = 0;
    for &(id, other_batched) in values {
        let other = cx.shape(id);
        let fits = other_batched == batched
            && other.len() == shape.len()
            && (0..shape.len()).all(|k| k == axis || other[k] == shape[k]);
        if !fits {
            return Err(
                cx.damaged(format!("shapes {:?} and {other:?} differ beyond axis {axis}", cx.shape(first)))
            );
        }
        shape[axis] += other[axis];
    }
    let inputs = values.iter().map(|&(id, _)| id).collect();
    cx.emit(Op::Concat { axis }, inputs, shape, batched)
}

/// Vectors of integers, as exporters join them to a shape.
fn shapes(cx: &mut NodeContext<'_, '_>, constants: Vec<Constant>) -> Result<()> {
    cx.charge(&[constants.iter().map(Constant::len).sum()])?;
    let mut joined = Vec::new();
    for constant in constants {
        match constant {
            Constant::Int { shape, data } if shape.len() == 1 => joined.extend(data),
            _ => return Err(cx.unsupported("it joins constants that are no vectors of integers")),
        }
    }
    cx.set(Slot::Constant(Constant::ints(joined)));
    Ok(())
}
