//! Gemm and MatMul: with constant weights a Linear, of two activations a product.

use super::NodeContext;
use super::shape::transposed;
use crate::Result;
use crate::model::onnx::batch::BatchPlace;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;
use crate::model::{BinaryKind, Op, Tensor};

/// `alpha · A' · B' + beta · C`.
pub(super) fn gemm(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (alpha, beta) = (cx.float("alpha", 1.0), cx.float("beta", 1.0));
    let left = turned(cx, 0, "transA")?;
    let right = turned(cx, 1, "transB")?;
    let bias = if cx.given(2) && beta != 0.0 { Some(cx.slot(2)?) } else { None };
    // The usual form: a Linear with its bias.
    if let (Slot::Value { id, batched }, Slot::Constant(weight)) = (&left, &right)
        && matches!(bias, None | Some(Slot::Constant(_)))
    {
        let weight = cx.floats_of(weight.clone())?;
        let outputs = weight.shape[1];
        let bias = match &bias {
            Some(Slot::Constant(constant)) => Some(cx.floats_of(constant.clone())?),
            _ => None,
        };
        // A bias that varies over rows would have its long axis first.
        let fits = |bias: &Tensor| {
            bias.len() == 1
                || (bias.len() == outputs && bias.shape.last() == Some(&outputs) && bias.shape.len() <= 2)
        };
        if bias.as_ref().is_none_or(fits) {
            let spread = |bias: Tensor| -> Vec<f32> {
                (0..outputs).map(|o| bias.data[o % bias.len()] * beta).collect()
            };
            let bias = bias.map(|bias| Tensor::new(&[outputs], spread(bias)));
            let result = linear(cx, *id, *batched, &weight, alpha, bias)?;
            cx.set(result);
            return Ok(());
        }
    }
    let mut result = product(cx, left, right)?;
    if alpha != 1.0 {
        result = scaled(cx, result, alpha)?;
    }
    if let Some(bias) = bias {
        let bias = if beta == 1.0 { bias } else { scaled(cx, bias, beta)? };
        result = added(cx, result, bias)?;
    }
    cx.set(result);
    Ok(())
}

/// Operand `at` of a Gemm, transposed if the attribute says so.
fn turned<'a>(cx: &mut NodeContext<'a, '_>, at: usize, attribute: &str) -> Result<Slot<'a>> {
    let slot = cx.slot(at)?;
    let rank = match &slot {
        Slot::Value { id, batched } => cx.rank(*id, *batched),
        Slot::Constant(constant) => constant.shape().len(),
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    };
    if rank != 2 {
        return Err(cx.damaged(format!("operand {at} has {rank} axes")));
    }
    if cx.int(attribute, 0) == 0 {
        return Ok(slot);
    }
    match slot {
        Slot::Value { id, batched } => transposed(cx, id, batched, &[1, 0]),
        Slot::Constant(constant) => {
            let tensor = cx.floats_of(constant)?;
            let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
            cx.charge(&tensor.shape)?;
            let data = transpose(&tensor.data, rows, columns);
            Ok(Slot::Constant(Constant::Float(Tensor::new(&[columns, rows], data))))
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// `slot · factor`
fn scaled<'a>(cx: &mut NodeContext<'a, '_>, slot: Slot<'a>, factor: f32) -> Result<Slot<'a>> {
    match slot {
        Slot::Value { id, batched } => {
            let (shape, place) = (cx.shape(id), cx.batch_place(id));
            let constant = Tensor::new(&[], vec![factor]);
            let op = Op::BinaryConst { kind: BinaryKind::Mul, constant, constant_first: false };
            cx.push_at(op, vec![id], shape, batched, place)
        }
        Slot::Constant(constant) => {
            let tensor = cx.floats_of(constant)?;
            cx.charge(&tensor.shape)?;
            let data: Vec<f32> = tensor.data.iter().map(|v| v * factor).collect();
            Ok(Slot::Constant(Constant::Float(Tensor { shape: tensor.shape, data: data.into() })))
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

/// The product plus C, which broadcasts to its two axes.
fn added<'a>(cx: &mut NodeContext<'a, '_>, product: Slot<'a>, bias: Slot<'a>) -> Result<Slot<'a>> {
    let Slot::Value { id, batched } = product else {
        return Err(cx.unsupported("all its operands are constants"));
    };
    let (shape, place) = (cx.shape(id), cx.batch_place(id));
    match bias {
        Slot::Constant(constant) => {
            let mut constant = cx.floats_of(constant)?;
            let varies = |axis: usize| {
                (axis + constant.shape.len()).checked_sub(2).is_some_and(|k| constant.shape[k] != 1)
            };
            if batched && (varies(place.axis) || place.before || place.after) {
                return Err(cx.unsupported(format!("its bias {:?} varies over the batch", constant.shape)));
            }
            if batched && let Some(axis) = (place.axis + constant.shape.len()).checked_sub(2) {
                constant.shape.remove(axis);
            }
            let op = Op::BinaryConst { kind: BinaryKind::Add, constant, constant_first: false };
            cx.push_at(op, vec![id], shape, batched, place)
        }
        Slot::Value { id: other, .. } => {
            if cx.shape(other) != shape || cx.batch_place(other) != place {
                return Err(cx.unsupported("its third operand broadcasts"));
            }
            cx.push_at(Op::Binary(BinaryKind::Add), vec![id, other], shape, batched, place)
        }
        Slot::Lazy(_) => Err(cx.damaged("an input has no value")),
    }
}

pub(super) fn matmul(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (left, right) = (cx.slot(0)?, cx.slot(1)?);
    let result = product(cx, left, right)?;
    cx.set(result);
    Ok(())
}

/// The product of two operands as NumPy has it.
pub(super) fn product<'a>(cx: &mut NodeContext<'a, '_>, left: Slot<'a>, right: Slot<'a>) -> Result<Slot<'a>> {
    match (left, right) {
        (Slot::Value { id, batched }, Slot::Constant(weight)) => {
            let mut weight = cx.floats_of(weight)?;
            // Leading axes of length 1 add nothing.
            while weight.shape.len() > 2 && weight.shape[0] == 1 && weight.shape.len() <= cx.rank(id, batched)
            {
                weight.shape.remove(0);
            }
            match weight.shape.len() {
                2 => linear(cx, id, batched, &weight, 1.0, None),
                1 => {
                    let inputs = weight.len();
                    let column = Tensor { shape: vec![inputs, 1], data: weight.data };
                    let product = linear(cx, id, batched, &column, 1.0, None)?;
                    without_last(cx, product)
                }
                _ => {
                    let right = constant_operand(cx, weight, id, batched)?;
                    products(cx, (id, batched), right)
                }
            }
        }
        (Slot::Constant(weight), Slot::Value { id, batched }) => {
            let mut weight = cx.floats_of(weight)?;
            while weight.shape.len() > 2 && weight.shape[0] == 1 && weight.shape.len() <= cx.rank(id, batched)
            {
                weight.shape.remove(0);
            }
            let rank = cx.rank(id, batched);
            if weight.shape.len() != 2 || rank < 2 {
                let left = constant_operand(cx, weight, id, batched)?;
                return products(cx, left, (id, batched));
            }
            // W · X = (Xᵀ · Wᵀ)ᵀ
            let perm: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            let (rows, columns) = (weight.shape[0], weight.shape[1]);
            let turned = Tensor::new(&[columns, rows], transpose(&weight.data, rows, columns));
            let Slot::Value { id, .. } = transposed(cx, id, batched, &perm)? else {
                return Err(cx.damaged("an input has no value"));
            };
            let Slot::Value { id, .. } = linear(cx, id, batched, &turned, 1.0, None)? else {
                return Err(cx.damaged("an input has no value"));
            };
            transposed(cx, id, batched, &perm)
        }
        (Slot::Value { id: a, batched: a_batched }, Slot::Value { id: b, batched: b_batched }) => {
            products(cx, (a, a_batched), (b, b_batched))
        }
        (Slot::Constant(a), Slot::Constant(b)) => {
            let (a, b) = (cx.floats_of(a)?, cx.floats_of(b)?);
            let ([m, k], [l, n]) = (&a.shape[..], &b.shape[..]) else {
                return Err(cx.unsupported("its operands are constants of more than two axes"));
            };
            if k != l {
                return Err(cx.damaged(format!("shapes {:?} and {:?} do not fit", a.shape, b.shape)));
            }
            cx.charge(&[*m, *k, *n])?;
            let element = |at: usize| -> f32 {
                let (row, column) = (at / n, at % n);
                let terms =
                    (0..*k).map(|i| f64::from(a.data[row * k + i]) * f64::from(b.data[i * n + column]));
                terms.sum::<f64>() as f32
            };
            let data: Vec<f32> = (0..m * n).map(element).collect();
            Ok(Slot::Constant(Constant::Float(Tensor::new(&[*m, *n], data))))
        }
        _ => Err(cx.damaged("an input has no value")),
    }
}

/// A value without its last axis, of length 1.
fn without_last<'a>(cx: &mut NodeContext<'a, '_>, slot: Slot<'a>) -> Result<Slot<'a>> {
    let Slot::Value { id, batched } = slot else { return Ok(slot) };
    let mut dims = cx.dims(id, batched);
    dims.pop();
    cx.reshape_to(id, batched, &dims)
}

/// A constant of several matrices as an activation that fits one.
fn constant_operand(
    cx: &mut NodeContext<'_, '_>,
    weight: Tensor,
    id: usize,
    batched: bool,
) -> Result<(usize, bool)> {
    let rank = cx.rank(id, batched);
    let place = cx.batch_place(id);
    let mut shape = weight.shape.clone();
    if shape.len() > rank || place.before || place.after {
        return Err(cx.unsupported(format!("its constant {shape:?} has more axes than its other operand")));
    }
    while shape.len() < rank {
        shape.insert(0, 1);
    }
    let constant = Constant::Float(Tensor { shape, data: weight.data });
    match cx.materialised(constant, batched.then_some(place.axis))? {
        Slot::Value { id, batched } => Ok((id, batched)),
        _ => Err(cx.damaged("an input has no value")),
    }
}

/// Activation times a constant matrix `[in, out]`, over the last axis.
fn linear<'a>(
    cx: &mut NodeContext<'a, '_>,
    id: usize,
    batched: bool,
    weight: &Tensor,
    alpha: f32,
    bias: Option<Tensor>,
) -> Result<Slot<'a>> {
    let (inputs, outputs) = (weight.shape[0], weight.shape[1]);
    let place = cx.batch_place(id);
    if batched && place.axis + 1 == cx.rank(id, true) {
        return Err(cx.unsupported("it sums over the batch"));
    }
    let mut shape = cx.shape(id);
    match shape.last_mut() {
        Some(last) if *last == inputs && outputs > 0 => *last = outputs,
        _ => return Err(cx.damaged(format!("an input {shape:?} does not fit weights {:?}", weight.shape))),
    }
    let mut data = transpose(&weight.data, inputs, outputs);
    if alpha != 1.0 {
        data.iter_mut().for_each(|v| *v *= alpha);
    }
    let weight = Tensor::new(&[outputs, inputs], data);
    cx.push_at(Op::Linear { weight, bias }, vec![id], shape, batched, place)
}

/// The product of two activations; the batch has to be among the axes before the last two of both.
fn products<'a>(cx: &mut NodeContext<'a, '_>, left: (usize, bool), right: (usize, bool)) -> Result<Slot<'a>> {
    let ranks = [left, right].map(|(id, batched)| cx.rank(id, batched));
    let (batched, rank) = (left.1, ranks[0].max(ranks[1]));
    if ranks.iter().any(|&rank| rank < 2) {
        return Err(cx.unsupported("it multiplies vectors"));
    }
    let places = [left, right].map(|(id, _)| cx.batch_place(id));
    let aligned = [0, 1].map(|k| BatchPlace { axis: places[k].axis + rank - ranks[k], ..places[k] });
    if left.1 != right.1 || (batched && (aligned[0] != aligned[1] || aligned[0].axis + 2 >= rank)) {
        let shown = [left, right].map(|(id, _)| cx.shape(id));
        return Err(cx.unsupported(format!("it multiplies over the batch: {:?} × {:?}", shown[0], shown[1])));
    }
    let [a, b] = [(left.0, ranks[0]), (right.0, ranks[1])]
        .map(|(id, own)| -> Vec<usize> { std::iter::repeat_n(1, rank - own).chain(cx.shape(id)).collect() });
    let inner = a.len() - 2;
    let misfit = || cx.damaged(format!("shapes {a:?} and {b:?} do not fit"));
    if a.len() != b.len() || a[inner + 1] != b[inner] {
        return Err(misfit());
    }
    let mut shape = Vec::with_capacity(a.len());
    for axis in 0..inner {
        shape.push(match (a[axis], b[axis]) {
            (x, y) if x == y || y == 1 => x,
            (1, y) => y,
            _ => return Err(misfit()),
        });
    }
    shape.extend([a[inner], b[inner + 1]]);
    let wide = |cx: &mut NodeContext<'a, '_>, id: usize, shape: Vec<usize>| match cx.shape(id) == shape {
        true => Ok(id),
        false => cx.push(Op::Reshape, vec![id], shape),
    };
    let inputs = vec![wide(cx, left.0, a)?, wide(cx, right.0, b)?];
    cx.push_at(Op::MatMul, inputs, shape, batched, aligned[0])
}

fn transpose(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    // In blocks, so that lines of memory are used while they are in the cache.
    const BLOCK: usize = 16;
    for first in (0..columns).step_by(BLOCK) {
        let block = first..(first + BLOCK).min(columns);
        let start = out.len();
        out.resize(start + block.len() * rows, 0.0);
        for row in 0..rows {
            for (at, column) in block.clone().enumerate() {
                out[start + at * rows + row] = data[row * columns + column];
            }
        }
    }
    out
}
