//! Comparisons, And, Or, Not, Where: truth is 1, falsehood 0. And Range, for shapes.

use super::NodeContext;
use super::broadcast::{self, places};
use crate::Result;
use crate::model::onnx::constant::{BATCH, Constant, multiple};
use crate::model::onnx::context::Slot;
use crate::model::{BinaryKind, Tensor};

/// What a function of two elements says about integers of shapes.
fn of_integers(kind: BinaryKind, x: i64, y: i64) -> Option<bool> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    // A multiple of the batch is above everything that is not above 0, and equals itself; more is not known.
    let order = match (multiple(x), multiple(y)) {
        (None, None) => x.cmp(&y),
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) if y <= 0 => Greater,
        (None, Some(_)) if x <= 0 => Less,
        _ => return None,
    };
    Some(match kind {
        BinaryKind::Greater => order == Greater,
        BinaryKind::GreaterOrEqual => order != Less,
        BinaryKind::Less => order == Less,
        BinaryKind::LessOrEqual => order != Greater,
        _ => order == Equal,
    })
}

/// `kind` of two slots; of two constants a truth value.
fn combined<'a>(
    cx: &mut NodeContext<'a, '_>,
    kind: BinaryKind,
    a: Slot<'a>,
    b: Slot<'a>,
) -> Result<Slot<'a>> {
    let (Slot::Constant(x), Slot::Constant(y)) = (&a, &b) else {
        return broadcast::combined(cx, kind, a, b);
    };
    let shape = broadcast::shape(cx, x.shape(), y.shape())?;
    cx.charge(&shape)?;
    let pairs = places(&shape, x.shape()).into_iter().zip(places(&shape, y.shape()));
    let data = match (x, y) {
        (Constant::Float(x), Constant::Float(y)) => {
            pairs.map(|(i, j)| kind.apply(x.data[i], y.data[j]) as i64).collect()
        }
        (Constant::Int { data: x, .. }, Constant::Int { data: y, .. }) => {
            let truths: Option<Vec<i64>> =
                pairs.map(|(i, j)| of_integers(kind, x[i], y[j]).map(i64::from)).collect();
            truths.ok_or_else(|| cx.batch_in_arithmetic())?
        }
        _ => return Err(cx.damaged("its operands are of different types")),
    };
    Ok(Slot::Constant(Constant::Int { shape, data }))
}

/// Marks truth values, and makes them the node's output.
fn set_truth(cx: &mut NodeContext<'_, '_>, slot: Slot<'_>) -> Result<()> {
    match slot {
        Slot::Value { id, batched } => {
            cx.context.integers.insert(id);
            cx.set(Slot::Value { id, batched });
        }
        Slot::Constant(constant) => cx.set(Slot::Constant(constant)),
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    }
    Ok(())
}

pub(super) fn compare(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let kind = match cx.op {
        "Equal" => BinaryKind::Equal,
        "Greater" => BinaryKind::Greater,
        "GreaterOrEqual" => BinaryKind::GreaterOrEqual,
        "Less" => BinaryKind::Less,
        _ => BinaryKind::LessOrEqual,
    };
    let (a, b) = (cx.slot(0)?, cx.slot(1)?);
    let truth = combined(cx, kind, a, b)?;
    set_truth(cx, truth)
}

/// And is a product; Or is a sum that is above 0.
pub(super) fn logic(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (a, b) = (cx.slot(0)?, cx.slot(1)?);
    let and = cx.op == "And";
    if let (
        Slot::Constant(Constant::Int { shape: xs, data: x }),
        Slot::Constant(Constant::Int { shape: ys, data: y }),
    ) = (&a, &b)
    {
        let shape = broadcast::shape(cx, xs, ys)?;
        cx.charge(&shape)?;
        let pairs = places(&shape, xs).into_iter().zip(places(&shape, ys));
        let truth = |(i, j): (usize, usize)| match and {
            true => x[i] != 0 && y[j] != 0,
            false => x[i] != 0 || y[j] != 0,
        };
        let data = pairs.map(|pair| i64::from(truth(pair))).collect();
        cx.set(Slot::Constant(Constant::Int { shape, data }));
        return Ok(());
    }
    let truth = match and {
        true => combined(cx, BinaryKind::Mul, a, b)?,
        false => {
            let sum = combined(cx, BinaryKind::Add, a, b)?;
            let zero = Slot::Constant(Constant::Float(Tensor::new(&[], vec![0.0])));
            combined(cx, BinaryKind::Greater, sum, zero)?
        }
    };
    set_truth(cx, truth)
}

pub(super) fn not(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let slot = cx.slot(0)?;
    if let Slot::Constant(Constant::Int { shape, data }) = slot {
        let data = data.into_iter().map(|v| i64::from(v == 0)).collect();
        cx.set(Slot::Constant(Constant::Int { shape, data }));
        return Ok(());
    }
    let zero = Slot::Constant(Constant::Float(Tensor::new(&[], vec![0.0])));
    let truth = combined(cx, BinaryKind::Equal, slot, zero)?;
    set_truth(cx, truth)
}

/// `condition ? a : b`, as a sum of two values of which one is 0: whatever is not chosen does not count, be it infinite.
pub(super) fn choose(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (condition, a, b) = (cx.slot(0)?, cx.slot(1)?, cx.slot(2)?);
    if let (Slot::Constant(condition), Slot::Constant(a), Slot::Constant(b)) = (&condition, &a, &b) {
        let chosen = chosen(cx, condition, a, b)?;
        cx.set(Slot::Constant(chosen));
        return Ok(());
    }
    let integer = [&a, &b].iter().all(|slot| match slot {
        Slot::Value { id, .. } => cx.context.integers.contains(id),
        Slot::Constant(constant) => matches!(constant, Constant::Int { .. }),
        Slot::Lazy(_) => false,
    });
    let condition = match condition {
        Slot::Constant(constant) => Slot::Constant(Constant::Float(cx.floats_of(constant)?)),
        condition => condition,
    };
    let first = gated(cx, BinaryKind::Gate, condition.clone(), a)?;
    let second = gated(cx, BinaryKind::GateNot, condition, b)?;
    let result = combined(cx, BinaryKind::Add, first, second)?;
    if let (true, Slot::Value { id, .. }) = (integer, &result) {
        cx.context.integers.insert(*id);
    }
    cx.set(result);
    Ok(())
}

/// What a condition leaves of a slot.
fn gated<'a>(
    cx: &mut NodeContext<'a, '_>,
    kind: BinaryKind,
    condition: Slot<'a>,
    slot: Slot<'a>,
) -> Result<Slot<'a>> {
    if let (Slot::Constant(Constant::Float(condition)), Slot::Constant(constant)) = (&condition, &slot) {
        let tensor = cx.floats_of(constant.clone())?;
        let shape = broadcast::shape(cx, &condition.shape, &tensor.shape)?;
        cx.charge(&shape)?;
        let pairs = places(&shape, &condition.shape).into_iter().zip(places(&shape, &tensor.shape));
        let data: Vec<f32> = pairs.map(|(i, j)| kind.apply(condition.data[i], tensor.data[j])).collect();
        return Ok(Slot::Constant(Constant::Float(Tensor { shape, data: data.into() })));
    }
    combined(cx, kind, condition, slot)
}

/// Where of constants; the batch may be among them.
fn chosen(
    cx: &mut NodeContext<'_, '_>,
    condition: &Constant,
    a: &Constant,
    b: &Constant,
) -> Result<Constant> {
    let Constant::Int { data: truths, .. } = condition else {
        return Err(cx.damaged("its condition is no truth value"));
    };
    let shape = broadcast::shape(cx, a.shape(), b.shape())?;
    let shape = broadcast::shape(cx, &shape, condition.shape())?;
    cx.charge(&shape)?;
    let [c, x, y] = [condition, a, b].map(|constant| places(&shape, constant.shape()));
    let pick = (0..c.len()).map(|i| if truths[c[i]] != 0 { (true, x[i]) } else { (false, y[i]) });
    match (a, b) {
        (Constant::Int { data: a, .. }, Constant::Int { data: b, .. }) => {
            let data = pick.map(|(first, at)| if first { a[at] } else { b[at] }).collect();
            Ok(Constant::Int { shape, data })
        }
        (Constant::Float(a), Constant::Float(b)) => {
            let data: Vec<f32> =
                pick.map(|(first, at)| if first { a.data[at] } else { b.data[at] }).collect();
            Ok(Constant::Float(Tensor { shape, data: data.into() }))
        }
        _ => Err(cx.damaged("its operands are of different types")),
    }
}

pub(super) fn range(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let mut ends = Vec::new();
    if let (Some(Constant::Int { data: start, .. }), Some(Constant::Int { data: end, .. }), Some(step)) =
        (cx.constant(0)?, cx.constant(1)?, cx.constant(2)?)
        && let (&[0], &[BATCH], Constant::Int { data: step, .. }) = (&start[..], &end[..], step)
        && step == [1]
    {
        let numbers = cx.sample_numbers()?;
        cx.set(numbers);
        return Ok(());
    }
    for at in 0..3 {
        match cx.constant(at)? {
            Some(constant) if constant.has_batch() => return Err(cx.batch_in_arithmetic()),
            Some(constant) if constant.len() == 1 => ends.push(constant),
            _ => return Err(cx.damaged(format!("input {at} has to be a single number"))),
        }
    }
    let made = match &ends[..] {
        [
            Constant::Int { data: start, .. },
            Constant::Int { data: end, .. },
            Constant::Int { data: step, .. },
        ] => {
            let (start, end, step) = (i128::from(start[0]), i128::from(end[0]), i128::from(step[0]));
            if step == 0 {
                return Err(cx.damaged("its step is 0"));
            }
            let span = if step > 0 { end - start } else { start - end };
            let count = span.max(0).div_euclid(step.abs()) + i128::from(span.max(0) % step.abs() != 0);
            let count = cx.charge(&[usize::try_from(count).unwrap_or(usize::MAX)])?;
            Constant::ints((0..count as i128).map(|i| (start + i * step) as i64).collect())
        }
        [Constant::Float(start), Constant::Float(end), Constant::Float(step)] => {
            let (start, end, step) = (start.data[0], end.data[0], step.data[0]);
            let count = ((f64::from(end) - f64::from(start)) / f64::from(step)).ceil().max(0.0);
            if !count.is_finite() {
                return Err(cx.damaged("its ends are not finite"));
            }
            let count = cx.charge(&[count as usize])?;
            let data: Vec<f32> = (0..count).map(|i| start + i as f32 * step).collect();
            Constant::Float(Tensor::new(&[count], data))
        }
        _ => return Err(cx.damaged("its inputs are of different types")),
    };
    cx.set(Slot::Constant(made));
    Ok(())
}

/// The remainder of constants: with the divisor's sign, or (fmod) the dividend's.
pub(super) fn modulo(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (Some(Constant::Int { shape: xs, data: x }), Some(Constant::Int { shape: ys, data: y })) =
        (cx.constant(0)?, cx.constant(1)?)
    else {
        return Err(cx.unsupported("its operands are no integers"));
    };
    let shape = broadcast::shape(cx, &xs, &ys)?;
    cx.charge(&shape)?;
    let fmod = cx.int("fmod", 0) != 0;
    let remainder = |(i, j): (usize, usize)| {
        if multiple(x[i]).is_some() || multiple(y[j]).is_some() {
            return Err(cx.batch_in_arithmetic());
        }
        let rest = x[i].checked_rem(y[j]).ok_or_else(|| cx.damaged("it divides by 0"))?;
        let turns = !fmod && rest != 0 && (rest < 0) != (y[j] < 0);
        Ok(if turns { rest + y[j] } else { rest })
    };
    let pairs = places(&shape, &xs).into_iter().zip(places(&shape, &ys));
    let data = pairs.map(remainder).collect::<Result<Vec<_>>>()?;
    cx.set(Slot::Constant(Constant::Int { shape, data }));
    Ok(())
}
