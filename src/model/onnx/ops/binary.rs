//! Add, Sub, Mul, Div, Pow, PRelu, and Sum, Mean, Max and Min, with NumPy broadcasting.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::{Constant, arithmetic};
use crate::model::onnx::context::Slot;
use crate::model::{Activation, BinaryKind, Op, Tensor};

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
        let exponent = floats(cx, exponent.clone())?.data[0];
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
        (Slot::Value { id: a, batched: a_batched }, Slot::Value { id: b, batched: b_batched }) => {
            let (a_shape, b_shape) = (cx.shape(a), cx.shape(b));
            // With a batch axis, shapes align from the right only if the ranks agree.
            if a_batched != b_batched || (a_batched && a_shape.len() != b_shape.len()) {
                return Err(cx.unsupported(format!("{a_shape:?} and {b_shape:?} differ in rank")));
            }
            let shape = broadcast(cx, &a_shape, &b_shape)?;
            let id = cx.push(Op::Binary(kind), vec![a, b], shape)?;
            Ok(Slot::Value { id, batched: a_batched })
        }
        (Slot::Value { id, batched }, Slot::Constant(constant)) => {
            let constant = floats(cx, constant)?;
            with_constant(cx, kind, id, batched, constant, false)
        }
        (Slot::Constant(constant), Slot::Value { id, batched }) => {
            let constant = floats(cx, constant)?;
            with_constant(cx, kind, id, batched, constant, true)
        }
        (Slot::Constant(a), Slot::Constant(b)) => Ok(Slot::Constant(fold(cx, kind, a, b)?)),
        // `slot` reads initializers, so none is left unread.
        _ => Err(cx.damaged("an input has no value")),
    }
}

/// A constant as floats; integers are converted.
fn floats(cx: &mut NodeContext<'_, '_>, constant: Constant) -> Result<Tensor> {
    match constant {
        Constant::Float(tensor) => Ok(tensor),
        constant @ Constant::Int { .. } if constant.has_batch() => Err(cx.batch_in_arithmetic()),
        Constant::Int { shape, data } => {
            cx.charge(&shape)?;
            let data: Vec<f32> = data.into_iter().map(|v| v as f32).collect();
            Ok(Tensor { shape, data: data.into() })
        }
    }
}

fn with_constant<'a>(
    cx: &mut NodeContext<'a, '_>,
    kind: BinaryKind,
    id: usize,
    batched: bool,
    mut constant: Tensor,
    constant_first: bool,
) -> Result<Slot<'a>> {
    let value_shape = cx.shape(id);
    if batched && constant.shape.len() > value_shape.len() {
        // The constant has the batch axis too: it may only repeat along it.
        let extra = constant.shape.len() - value_shape.len();
        if extra > 1 || constant.shape[0] != 1 {
            return Err(cx.unsupported(format!("the constant {:?} varies along the batch", constant.shape)));
        }
        constant.shape.remove(0);
    }
    let shape = broadcast(cx, &value_shape, &constant.shape)?;
    if batched && shape.len() != value_shape.len() {
        return Err(cx.unsupported("the constant adds an axis before the batch"));
    }
    let id = cx.push(Op::BinaryConst { kind, constant, constant_first }, vec![id], shape)?;
    Ok(Slot::Value { id, batched })
}

/// The shape that both broadcast to.
fn broadcast(cx: &NodeContext<'_, '_>, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|axis| match (length(a, axis), length(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(cx.damaged(format!("shapes {a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// Both operands constant: the result is a constant.
fn fold(cx: &mut NodeContext<'_, '_>, kind: BinaryKind, a: Constant, b: Constant) -> Result<Constant> {
    let shape = broadcast(cx, a.shape(), b.shape())?;
    let elements = cx.charge(&shape)?;
    let place = |operand: &[usize], flat: usize| {
        let (mut rest, mut at, mut step) = (flat, 0, 1);
        for axis in (0..shape.len()).rev() {
            let index = rest % shape[axis];
            rest /= shape[axis];
            if let Some(k) = (axis + operand.len()).checked_sub(shape.len()) {
                if operand[k] != 1 {
                    at += index * step;
                }
                step *= operand[k];
            }
        }
        at
    };
    match (&a, &b) {
        (Constant::Float(x), Constant::Float(y)) => {
            let data: Vec<f32> = (0..elements)
                .map(|i| kind.apply(x.data[place(&x.shape, i)], y.data[place(&y.shape, i)]))
                .collect();
            Ok(Constant::Float(Tensor { shape, data: data.into() }))
        }
        (Constant::Int { shape: xs, data: x }, Constant::Int { shape: ys, data: y }) => {
            let mut data = Vec::with_capacity(elements);
            for i in 0..elements {
                let (x, y) = (x[place(xs, i)], y[place(ys, i)]);
                let result =
                    arithmetic(kind, x, y).ok_or_else(|| cx.damaged("integer arithmetic overflows"))?;
                data.push(result.ok_or_else(|| cx.batch_in_arithmetic())?);
            }
            Ok(Constant::Int { shape, data })
        }
        _ => Err(cx.damaged("its operands are of different types")),
    }
}
