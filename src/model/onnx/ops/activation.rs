//! Relu, LeakyRelu, Sigmoid, Tanh, Clip.

use super::NodeContext;
use crate::Result;
use crate::model::{Activation, Op};

fn emit(cx: &mut NodeContext<'_, '_>, activation: Activation) -> Result<()> {
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    cx.emit(Op::Activation(activation), vec![id], shape, batched)
}

pub(super) fn relu(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    emit(cx, Activation::Relu)
}

pub(super) fn leaky_relu(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let slope = cx.float("alpha", 0.01);
    emit(cx, Activation::LeakyRelu { slope })
}

pub(super) fn sigmoid(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    emit(cx, Activation::Sigmoid)
}

pub(super) fn tanh(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    emit(cx, Activation::Tanh)
}

/// Bounds are attributes before opset 11 and constant inputs since.
pub(super) fn clip(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let bound = |cx: &mut NodeContext<'_, '_>, name: &str, at: usize, default: f32| {
        if cx.has(name) {
            return Ok(cx.float(name, default));
        }
        match cx.tensor(at)? {
            None => Ok(default),
            Some(tensor) if tensor.len() == 1 => Ok(tensor.data[0]),
            Some(_) => Err(cx.damaged(format!("its bound {name} has to be a single number"))),
        }
    };
    let low = bound(cx, "min", 1, f32::NEG_INFINITY)?;
    let high = bound(cx, "max", 2, f32::INFINITY)?;
    // Where the bounds cross, ONNX gives the upper one.
    emit(cx, Activation::Clip { low: low.min(high), high })
}
