//! Add, Sub, Mul, Div, Pow, PRelu, and Sum, Mean, Max and Min, with NumPy broadcasting.

use super::NodeContext;
use super::broadcast::{self, places};
use crate::Result;
use crate::model::onnx::constant::{Constant, arithmetic};
use crate::model::onnx::context::Slot;
use crate::model::{Activation, BinaryKind, Tensor};

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let kind = match cx.op {
        "Add" => BinaryKind::Add,
        "Sub" => BinaryKind::Sub,
        "Mul" => BinaryKind::Mul,
        "PRelu" => BinaryKind::PRelu,
        _ => BinaryKind::Div,
    };
    let (a, b) = (cx.slot(0)?, cx.slot(1)?);
    let result = combine(cx, kind, a, b)?;
    cx.set(result);
    Ok(())
}

/// Pow; one constant exponent makes it a function of one operand.
pub(super) fn pow(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (a, b) = (cx.slot(0)?, cx.slot(1)?);
    if let (&Slot::Value { id, batched }, Slot::Constant(exponent)) = (&a, &b)
        && exponent.len() == 1
        && exponent.shape().len() <= cx.rank(id, batched)
    {
        let exponent = cx.floats_of(exponent.clone())?.data[0];
        return super::activation::emit(cx, Activation::power(exponent));
    }
    let result = combine(cx, BinaryKind::Pow, a, b)?;
    cx.set(result);
    Ok(())
}

/// Sum, Mean, Max and Min of any number of operands.
pub(super) fn variadic(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let kind = match cx.op {
        "Max" => BinaryKind::Max,
        "Min" => BinaryKind::Min,
        _ => BinaryKind::Add,
    };
    let count = cx.input_count();
    let mut result = cx.slot(0)?;
    for at in 1..count {
        let operand = cx.slot(at)?;
        result = combine(cx, kind, result, operand)?;
    }
    if cx.op == "Mean" && count > 1 {
        let share = Constant::Float(Tensor::new(&[], vec![1.0 / count as f32]));
        result = combine(cx, BinaryKind::Mul, result, Slot::Constant(share))?;
    }
    if count == 1 {
        cx.alias(result)
    } else {
        cx.set(result)
    }
    Ok(())
}

fn combine<'a>(cx: &mut NodeContext<'a, '_>, kind: BinaryKind, a: Slot<'a>, b: Slot<'a>) -> Result<Slot<'a>> {
    match (a, b) {
        (Slot::Constant(a), Slot::Constant(b)) => Ok(Slot::Constant(fold(cx, kind, a, b)?)),
        (a, b) => broadcast::combined(cx, kind, a, b),
    }
}

/// Both operands constant: the result is a constant.
fn fold(cx: &mut NodeContext<'_, '_>, kind: BinaryKind, a: Constant, b: Constant) -> Result<Constant> {
    let shape = broadcast::shape(cx, a.shape(), b.shape())?;
    cx.charge(&shape)?;
    let pairs = places(&shape, a.shape()).into_iter().zip(places(&shape, b.shape()));
    match (&a, &b) {
        (Constant::Float(x), Constant::Float(y)) => {
            let data: Vec<f32> = pairs.map(|(i, j)| kind.apply(x.data[i], y.data[j])).collect();
            Ok(Constant::Float(Tensor { shape, data: data.into() }))
        }
        (Constant::Int { data: x, .. }, Constant::Int { data: y, .. }) => {
            let of_integers = |(i, j): (usize, usize)| {
                let result =
                    arithmetic(kind, x[i], y[j]).ok_or_else(|| cx.damaged("integer arithmetic overflows"))?;
                result.ok_or_else(|| cx.batch_in_arithmetic())
            };
            let data = pairs.map(of_integers).collect::<Result<_>>()?;
            Ok(Constant::Int { shape, data })
        }
        _ => Err(cx.damaged("its operands are of different types")),
    }
}
