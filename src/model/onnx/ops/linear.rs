//! Gemm and MatMul with constant weights.

use super::NodeContext;
use crate::Result;
use crate::model::{Op, Tensor};

/// `alpha · A · B' + beta · C` with A the activation `[N, in]`.
pub(super) fn gemm(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let weight = cx.needed_tensor(1)?;
    let bias = cx.tensor(2)?;
    let shape = cx.shape(id);
    if cx.int("transA", 0) != 0 {
        return Err(cx.unsupported("it transposes the activation (transA)"));
    }
    let [rows, columns] = weight.shape[..] else {
        return Err(cx.damaged(format!("its weights {:?} are no matrix", weight.shape)));
    };
    let transposed = cx.int("transB", 0) != 0;
    let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
    let rank = if batched { 1 } else { 2 };
    if shape.len() != rank || shape.last() != Some(&inputs) {
        return Err(cx.damaged(format!("an input {shape:?} does not fit weights {:?}", weight.shape)));
    }
    let (alpha, beta) = (cx.float("alpha", 1.0), cx.float("beta", 1.0));
    let mut data = if transposed { weight.data.to_vec() } else { transpose(&weight.data, rows, columns) };
    if alpha != 1.0 {
        data.iter_mut().for_each(|v| *v *= alpha);
    }
    let bias = match bias {
        None => None,
        Some(bias) => {
            let axis = bias.shape.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
            // A bias that varies over rows would have its long axis first.
            let per_row = bias.shape.len() == 2 && bias.shape[0] != 1;
            let values: Vec<f32> = match axis[..] {
                [] => vec![bias.data[0]; outputs],
                [size] if size == outputs && !per_row => bias.data.to_vec(),
                _ => return Err(cx.unsupported(format!("its bias {:?} varies over the batch", bias.shape))),
            };
            Some(Tensor::new(&[outputs], values.into_iter().map(|v| v * beta).collect::<Vec<_>>()))
        }
    };
    let mut output = shape;
    if let Some(last) = output.last_mut() {
        *last = outputs;
    }
    let weight = Tensor::new(&[outputs, inputs], data);
    cx.emit(Op::Linear { weight, bias }, vec![id], output, batched)
}

/// Activation times a constant matrix, over the last axis.
pub(super) fn matmul(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let weight = cx.needed_tensor(1)?;
    let mut shape = cx.shape(id);
    let [inputs, outputs] = weight.shape[..] else {
        return Err(cx.unsupported(format!("its second operand {:?} is no matrix", weight.shape)));
    };
    match shape.last_mut() {
        Some(last) if *last == inputs => *last = outputs,
        _ => return Err(cx.damaged(format!("an input {shape:?} does not fit weights {:?}", weight.shape))),
    }
    let weight = Tensor::new(&[outputs, inputs], transpose(&weight.data, inputs, outputs));
    cx.emit(Op::Linear { weight, bias: None }, vec![id], shape, batched)
}

fn transpose(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| data[row * columns + column]));
    }
    out
}
