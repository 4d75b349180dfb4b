//! Einsum of two operands, as Transposes, Reshapes and a product of matrices.

use super::NodeContext;
use super::linear::product;
use super::shape::transposed;
use crate::Result;
use crate::model::onnx::constant::{Constant, is_symbolic};
use crate::model::onnx::context::Slot;

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let equation: String =
        cx.string("equation").unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    let other =
        |cx: &NodeContext<'_, '_>| cx.unsupported(format!("the equation {equation:?} is no product of two"));
    let Some((operands, result)) = equation.split_once("->") else { return Err(other(cx)) };
    let Some((left, right)) = operands.split_once(',') else { return Err(other(cx)) };
    let letters = |text: &str| -> Option<Vec<char>> {
        let all: Vec<char> = text.chars().collect();
        let plain = all.iter().enumerate().all(|(at, c)| c.is_alphabetic() && !all[..at].contains(c));
        plain.then_some(all)
    };
    let (Some(left), Some(right), Some(result)) = (letters(left), letters(right), letters(result)) else {
        return Err(other(cx));
    };
    let count = |c: &char| {
        [&left, &right, &result].iter().map(|letters| usize::from(letters.contains(c))).sum::<usize>()
    };
    // A letter that stands alone would be summed, or made, by itself.
    if left.iter().chain(&right).chain(&result).any(|c| count(c) < 2) {
        return Err(other(cx));
    }
    let of =
        |test: &dyn Fn(&char) -> bool| -> Vec<char> { left.iter().copied().filter(|c| test(c)).collect() };
    let batch: Vec<char> = result.iter().copied().filter(|c| left.contains(c) && right.contains(c)).collect();
    let sum = of(&|c| right.contains(c) && !result.contains(c));
    let rows: Vec<char> = result.iter().copied().filter(|c| !right.contains(c)).collect();
    let columns: Vec<char> = result.iter().copied().filter(|c| !left.contains(c)).collect();

    let (a, sizes_a) = arranged(cx, 0, &left, [&batch, &rows, &sum])?;
    let (b, sizes_b) = arranged(cx, 1, &right, [&batch, &sum, &columns])?;
    let made = product(cx, a, b)?;
    // Of the products the batch is in one operand's axes, and may be in both.
    let size = |c: &char| -> Option<i64> {
        let own = |letters: &[char], sizes: &[i64]| letters.iter().position(|l| l == c).map(|at| sizes[at]);
        let both = [own(&left, &sizes_a), own(&right, &sizes_b)];
        both.into_iter().flatten().max_by_key(|&size| (is_symbolic(size), size))
    };
    let order: Vec<char> = [batch, rows, columns].concat();
    let target: Option<Vec<i64>> = order.iter().map(size).collect();
    let target = target.ok_or_else(|| other(cx))?;
    let Slot::Value { id, batched } = made else { return Err(cx.unsupported("its operands are constants")) };
    let Slot::Value { id, batched } = cx.reshape_to(id, batched, &target)? else { return Err(other(cx)) };
    let perm: Option<Vec<usize>> =
        result.iter().map(|c| order.iter().position(|letter| letter == c)).collect();
    let perm = perm.ok_or_else(|| other(cx))?;
    let moved = transposed(cx, id, batched, &perm)?;
    cx.set(moved);
    Ok(())
}

/// Operand `at` with its axes in three groups, the first kept apart, the others one axis each; and the sizes that its
/// letters had.
fn arranged<'a>(
    cx: &mut NodeContext<'a, '_>,
    at: usize,
    letters: &[char],
    groups: [&Vec<char>; 3],
) -> Result<(Slot<'a>, Vec<i64>)> {
    let slot = cx.slot(at)?;
    let sizes: Vec<i64> = match &slot {
        Slot::Value { id, batched } => cx.dims(*id, *batched),
        Slot::Constant(constant) => constant.shape().iter().map(|&size| size as i64).collect(),
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    };
    if sizes.len() != letters.len() {
        return Err(cx.damaged(format!("operand {at} has {} axes", sizes.len())));
    }
    let place = |c: &char| letters.iter().position(|letter| letter == c).unwrap_or(0);
    let perm: Vec<usize> = groups.iter().flat_map(|group| group.iter().map(place)).collect();
    let joined =
        |group: &[char]| super::shape::joined(&group.iter().map(|c| sizes[place(c)]).collect::<Vec<_>>());
    let mut target: Vec<i64> = groups[0].iter().map(|c| sizes[place(c)]).collect();
    target.extend([joined(groups[1]), joined(groups[2])]);
    let arranged = match slot {
        Slot::Value { id, batched } => {
            let Slot::Value { id, batched } = transposed(cx, id, batched, &perm)? else {
                return Err(cx.damaged("an input has no value"));
            };
            cx.reshape_to(id, batched, &target)?
        }
        Slot::Constant(constant) => {
            let shape = target.iter().map(|&size| size as usize).collect();
            let moved: Constant = super::shape::transposed_constant(cx, constant, &perm)?;
            Slot::Constant(moved.reshaped(shape))
        }
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    };
    Ok((arranged, sizes))
}
