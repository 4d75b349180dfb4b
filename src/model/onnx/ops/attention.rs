//! Attention: softmax(scale · Q · Kᵀ + mask) · V, head by head (Vaswani et al., "Attention is all you need", 2017, as
//! ONNX has it from opset 23 on).

use super::NodeContext;
use super::linear::product;
use super::select::{dims, index, known, picked};
use super::shape::transposed;
use crate::Result;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;
use crate::model::{Activation, BinaryKind, Op, Tensor, ValueId};

/// Stands for −∞: far enough below every score that nothing is left of it, and still a number for any GPU.
const HIDDEN: f32 = -1e30;

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    for (at, what) in [(4, "past keys"), (5, "past values"), (6, "lengths of padded keys")] {
        if cx.given(at) {
            return Err(cx.unsupported(format!("it has {what}")));
        }
    }
    if cx.int("qk_matmul_output_mode", 0) != 0 && cx.wanted(3) {
        return Err(cx.unsupported("it also gives its scores"));
    }
    let (id, batched) = cx.value(0)?;
    let flat = cx.rank(id, batched) == 3;
    let query = heads(cx, 0, "q_num_heads")?;
    let count = dims(cx, &query)[1];
    let [key, value] = [heads(cx, 1, "kv_num_heads")?, heads(cx, 2, "kv_num_heads")?];
    let (key, value) = (shared(cx, key, count)?, shared(cx, value, count)?);
    let depth = dims(cx, &query)[3];
    let scale = cx.float("scale", 0.0);
    let scale = if scale == 0.0 { 1.0 / (depth as f32).sqrt() } else { scale };
    let turned = match key {
        Slot::Value { id, batched } => transposed(cx, id, batched, &[0, 1, 3, 2])?,
        _ => return Err(cx.unsupported("its keys are constant")),
    };
    let scores = product(cx, query, turned)?;
    let mut scores = each(cx, scores, |cx, id| {
        let constant = Tensor::new(&[], vec![scale]);
        let op = Op::BinaryConst { kind: BinaryKind::Mul, constant, constant_first: false };
        cx.push(op, vec![id], cx.shape(id))
    })?;
    let cap = cx.float("softcap", 0.0);
    if cap != 0.0 {
        scores = each(cx, scores, |cx, id| {
            let shape = cx.shape(id);
            let times = |factor: f32| Op::BinaryConst {
                kind: BinaryKind::Mul,
                constant: Tensor::new(&[], vec![factor]),
                constant_first: false,
            };
            let small = cx.push(times(1.0 / cap), vec![id], shape.clone())?;
            let bounded = cx.push(Op::Activation(Activation::Tanh), vec![small], shape.clone())?;
            cx.push(times(cap), vec![bounded], shape)
        })?;
    }
    let size = dims(cx, &scores);
    let [rows, columns] = [known(cx, size[2])?, known(cx, size[3])?];
    if let Some(mask) = mask(cx, rows, columns)? {
        scores = each(cx, scores, |cx, id| {
            let op = Op::BinaryConst { kind: BinaryKind::Add, constant: mask.clone(), constant_first: false };
            cx.push(op, vec![id], cx.shape(id))
        })?;
    }
    let weights = each(cx, scores, |cx, id| {
        let shape = cx.shape(id);
        cx.push(Op::Softmax { axis: shape.len() - 1, log: false }, vec![id], shape)
    })?;
    let mut result = product(cx, weights, value)?;
    if flat {
        let Slot::Value { id, batched } = result else { return Err(cx.damaged("it has no result")) };
        let Slot::Value { id, batched } = transposed(cx, id, batched, &[0, 2, 1, 3])? else {
            return Err(cx.damaged("it has no result"));
        };
        let size = cx.dims(id, batched);
        result = cx.reshape_to(id, batched, &[size[0], size[1], size[2] * size[3]])?;
    }
    cx.set(result);
    Ok(())
}

/// The slot after a function that keeps its shape and where its batch is.
fn each<'a>(
    cx: &mut NodeContext<'a, '_>,
    slot: Slot<'a>,
    function: impl FnOnce(&mut NodeContext<'a, '_>, ValueId) -> Result<ValueId>,
) -> Result<Slot<'a>> {
    match slot {
        Slot::Value { id, batched } => Ok(Slot::Value { id: function(cx, id)?, batched }),
        _ => Err(cx.unsupported("one of its operands is constant")),
    }
}

/// Input `at` as `[N, heads, length, depth]`, from that or `[N, length, heads · depth]`.
fn heads<'a>(cx: &mut NodeContext<'a, '_>, at: usize, attribute: &str) -> Result<Slot<'a>> {
    let (id, batched) = cx.value(at)?;
    match cx.dims(id, batched)[..] {
        [_, _, _, _] => Ok(Slot::Value { id, batched }),
        [batch, length, width] => {
            let count = cx.int(attribute, 0);
            if count < 1 || width % count != 0 {
                return Err(cx.damaged(format!("{count} heads do not divide {width} numbers")));
            }
            match cx.reshape_to(id, batched, &[batch, length, count, width / count])? {
                Slot::Value { id, batched } => transposed(cx, id, batched, &[0, 2, 1, 3]),
                slot => Ok(slot),
            }
        }
        ref other => Err(cx.damaged(format!("an input of {} axes", other.len()))),
    }
}

/// The heads repeated, where several queries share one.
fn shared<'a>(cx: &mut NodeContext<'a, '_>, slot: Slot<'a>, count: i64) -> Result<Slot<'a>> {
    let own = dims(cx, &slot)[1];
    if own == count {
        return Ok(slot);
    }
    if own < 1 || count % own != 0 {
        return Err(cx.damaged(format!("{own} heads do not divide {count}")));
    }
    let indices = (0..count).map(|head| index((head / (count / own)) as usize)).collect();
    picked(cx, slot, 1, indices, 0.0)
}

/// What is added to the scores.
fn mask(cx: &mut NodeContext<'_, '_>, rows: usize, columns: usize) -> Result<Option<Tensor>> {
    let mut mask = match cx.constant(3)? {
        None => None,
        Some(Constant::Float(tensor)) => Some(tensor),
        Some(Constant::Int { shape, data }) => {
            let data: Vec<f32> = data.iter().map(|&shown| if shown != 0 { 0.0 } else { HIDDEN }).collect();
            Some(Tensor { shape, data: data.into() })
        }
    };
    if let Some(tensor) = &mut mask {
        // Its first axes are batch and heads.
        if tensor.shape.len() == 4 && tensor.shape[0] == 1 {
            tensor.shape.remove(0);
        }
        let fits = tensor.shape.len() <= 3 && tensor.shape.ends_with(&[rows, columns]);
        if !fits {
            return Err(cx.unsupported(format!("its mask is {:?}", tensor.shape)));
        }
        let data: Vec<f32> = tensor.data.iter().map(|&x| x.max(HIDDEN)).collect();
        tensor.data = data.into();
    }
    if cx.int("is_causal", 0) != 0 {
        cx.charge(&[rows, columns])?;
        let mut tensor = mask.unwrap_or_else(|| Tensor::new(&[rows, columns], vec![0.0; rows * columns]));
        let hidden = |at: usize| at % columns > at / columns % rows;
        let data: Vec<f32> =
            tensor.data.iter().enumerate().map(|(at, &x)| if hidden(at) { HIDDEN } else { x }).collect();
        tensor.data = data.into();
        mask = Some(tensor);
    }
    let whole_rows = |tensor: &Tensor| tensor.data.chunks(columns).all(|row| row.iter().any(|&x| x > HIDDEN));
    if mask.as_ref().is_some_and(|tensor| !whole_rows(tensor)) {
        return Err(cx.unsupported("its mask hides every key from a query"));
    }
    Ok(mask)
}
