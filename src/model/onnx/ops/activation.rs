//! Functions of one operand.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::Constant;
use crate::model::onnx::context::Slot;
use crate::model::{Activation, Op, Tensor};

/// The function of input 0; of a constant, a constant.
pub(super) fn emit(cx: &mut NodeContext<'_, '_>, activation: Activation) -> Result<()> {
    if let Slot::Constant(Constant::Float(tensor)) = cx.slot(0)? {
        cx.charge(&tensor.shape)?;
        let data: Vec<f32> = tensor.data.iter().map(|&x| activation.apply(x)).collect();
        cx.set(Slot::Constant(Constant::Float(Tensor { shape: tensor.shape, data: data.into() })));
        return Ok(());
    }
    let (id, batched) = cx.value(0)?;
    let shape = cx.shape(id);
    cx.emit(Op::Activation(activation), vec![id], shape, batched)
}

/// Every function whose parameters are attributes, with ONNX's defaults.
pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let alpha = |default| cx.float("alpha", default);
    let activation = match cx.op {
        "Abs" => Activation::Abs,
        "Ceil" => Activation::Ceil,
        "Celu" => Activation::Celu { alpha: alpha(1.0) },
        "Elu" => Activation::Elu { alpha: alpha(1.0) },
        "Erf" => Activation::Erf,
        "Exp" => Activation::Exp,
        "Floor" => Activation::Floor,
        "Gelu" => match cx.string("approximate") {
            None | Some("none") => Activation::Gelu,
            Some("tanh") => Activation::GeluTanh,
            Some(other) => return Err(cx.damaged(format!("there is no approximation {other:?}"))),
        },
        "HardSigmoid" => Activation::HardSigmoid { alpha: alpha(0.2), beta: cx.float("beta", 0.5) },
        "HardSwish" => Activation::HardSwish,
        "LeakyRelu" => Activation::LeakyRelu { slope: alpha(0.01) },
        "Log" => Activation::Log,
        "Mish" => Activation::Mish,
        "Neg" => Activation::Neg,
        "Reciprocal" => Activation::Reciprocal,
        "Relu" => Activation::Relu,
        "Round" => Activation::Round,
        "Selu" => Activation::Selu { alpha: alpha(1.673_263_2), gamma: cx.float("gamma", 1.050_701) },
        "Sigmoid" => Activation::Sigmoid,
        "Sign" => Activation::Sign,
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Sqrt" => Activation::Sqrt,
        "Swish" => Activation::Swish { alpha: alpha(1.0) },
        "Tanh" => Activation::Tanh,
        "ThresholdedRelu" => Activation::ThresholdedRelu { alpha: alpha(1.0) },
        // The table of operators lists those above.
        other => return Err(cx.unsupported(format!("{other} is no function of one operand"))),
    };
    if matches!(activation, Activation::Celu { alpha: 0.0 }) {
        return Err(cx.damaged("its alpha is 0"));
    }
    emit(cx, activation)
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
