//! Constant, ConstantOfShape, Identity, Cast, Dropout, and Shape, Gather and Slice on shapes.

use super::NodeContext;
use crate::Result;
use crate::model::Tensor;
use crate::model::onnx::constant::{BATCH, Constant};
use crate::model::onnx::context::Slot;

pub(super) fn constant(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let constant = if let Some(tensor) = cx.attribute_tensor("value") {
        cx.read(tensor)?
    } else if cx.has("value_float") {
        Constant::Float(Tensor::new(&[], vec![cx.float("value_float", 0.0)]))
    } else if let Some(floats) = cx.floats("value_floats") {
        Constant::Float(Tensor::new(&[floats.len()], floats))
    } else if cx.has("value_int") {
        Constant::Int { shape: vec![], data: vec![cx.int("value_int", 0)] }
    } else if let Some(ints) = cx.ints("value_ints") {
        Constant::ints(ints.to_vec())
    } else {
        return Err(cx.unsupported("its value is neither a tensor nor numbers"));
    };
    cx.set(Slot::Constant(constant));
    Ok(())
}

/// Element types do not matter here: activations are float32 throughout, float16 constants are widened.
pub(super) fn identity(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    use rten_onnx::onnx::DataType;
    let slot = cx.slot(0)?;
    if cx.op == "Dropout" {
        let training = cx.constant(2)?;
        if training
            .is_some_and(|flag| !matches!(flag, Constant::Int { data, .. } if data.iter().all(|&v| v == 0)))
        {
            return Err(cx.unsupported("it is in training mode"));
        }
    }
    if cx.op == "Cast" {
        let to = DataType(i32::try_from(cx.int("to", 1)).unwrap_or(0));
        let float = matches!(to, DataType::FLOAT | DataType::FLOAT16 | DataType::DOUBLE | DataType::BFLOAT16);
        let integer = matches!(to, DataType::INT64 | DataType::INT32);
        let slot = match slot {
            Slot::Value { .. } if !float => {
                return Err(cx.unsupported(format!("it turns activations into {to}")));
            }
            Slot::Constant(Constant::Int { shape, data }) if float => {
                if data.contains(&BATCH) {
                    return Err(cx.batch_in_arithmetic());
                }
                cx.charge(&shape)?;
                let data: Vec<f32> = data.into_iter().map(|v| v as f32).collect();
                Slot::Constant(Constant::Float(Tensor { shape, data: data.into() }))
            }
            Slot::Constant(Constant::Float(tensor)) if integer => {
                cx.charge(&tensor.shape)?;
                let data = tensor.data.iter().map(|&v| v as i64).collect();
                Slot::Constant(Constant::Int { shape: tensor.shape, data })
            }
            Slot::Constant(_) if !float && !integer => {
                return Err(cx.unsupported(format!("it turns constants into {to}")));
            }
            other => other,
        };
        cx.alias(slot);
        return Ok(());
    }
    cx.alias(slot);
    Ok(())
}

pub(super) fn constant_of_shape(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let Some(Constant::Int { data, .. }) = cx.constant(0)? else {
        return Err(cx.damaged("its shape has to be integers"));
    };
    if data.contains(&BATCH) {
        return Err(cx.unsupported("it makes a constant of the batch's size"));
    }
    let shape = data.iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| cx.damaged("a length is negative"))?;
    let elements = cx.charge(&shape)?;
    let value = match cx.attribute_tensor("value") {
        Some(tensor) => cx.read(tensor)?,
        None => Constant::Float(Tensor::new(&[1], vec![0.0])),
    };
    if value.len() != 1 {
        return Err(cx.damaged("its value has to be a single number"));
    }
    let made = value.picked(shape, std::iter::repeat_n(0, elements));
    cx.set(Slot::Constant(made));
    Ok(())
}

pub(super) fn shape(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let mut sizes: Vec<i64> = match cx.slot(0)? {
        Slot::Value { id, batched } => {
            let batch = batched.then_some(BATCH);
            batch.into_iter().chain(cx.shape(id).into_iter().map(|size| size as i64)).collect()
        }
        Slot::Constant(constant) => constant.shape().iter().map(|&size| size as i64).collect(),
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    };
    let rank = sizes.len() as i64;
    let clamp = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let (start, end) = (clamp(cx.int("start", 0)), clamp(cx.int("end", rank)));
    sizes = if start < end { sizes[start..end].to_vec() } else { Vec::new() };
    cx.set(Slot::Constant(Constant::ints(sizes)));
    Ok(())
}

/// Gather along axis 0 of a constant.
pub(super) fn gather(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (Slot::Constant(data), Some(Constant::Int { shape: indices_shape, data: indices })) =
        (cx.slot(0)?, cx.constant(1)?)
    else {
        return Err(cx.unsupported("it gathers from an activation"));
    };
    if cx.int("axis", 0) != 0 || data.shape().is_empty() {
        return Err(cx.unsupported("it gathers along another axis than the first"));
    }
    let length = data.shape()[0] as i64;
    let inner: usize = data.shape()[1..].iter().product();
    let shape: Vec<usize> = indices_shape.iter().chain(&data.shape()[1..]).copied().collect();
    cx.charge(&shape)?;
    let mut places = Vec::new();
    for index in indices {
        let at = if index < 0 { index + length } else { index };
        if !(0..length).contains(&at) {
            return Err(cx.damaged(format!("index {index} is outside {length} elements")));
        }
        places.extend((0..inner).map(|k| at as usize * inner + k));
    }
    let gathered = data.picked(shape, places.into_iter());
    cx.set(Slot::Constant(gathered));
    Ok(())
}

/// Slice of a vector of integers (a shape).
pub(super) fn slice(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let Slot::Constant(Constant::Int { shape, data }) = cx.slot(0)? else {
        return Err(cx.unsupported("it slices an activation"));
    };
    if shape.len() != 1 {
        return Err(cx.unsupported("it slices a constant that is no vector"));
    }
    let starts = cx.ints_or_input("starts", 1)?.unwrap_or_default();
    let ends = cx.ints_or_input("ends", 2)?.unwrap_or_default();
    let axes = cx.ints_or_input("axes", 3)?.unwrap_or_else(|| vec![0]);
    let steps = if cx.given(4) { cx.ints_or_input("steps", 4)?.unwrap_or_default() } else { vec![1] };
    let ([start], [end], [0 | -1], [1]) = (&starts[..], &ends[..], &axes[..], &steps[..]) else {
        return Err(cx.unsupported("it slices with a step, or along several axes"));
    };
    let length = data.len() as i64;
    let clamp = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length) as usize;
    let (start, end) = (clamp(*start), clamp(*end));
    let part = if start < end { data[start..end].to_vec() } else { Vec::new() };
    cx.set(Slot::Constant(Constant::ints(part)));
    Ok(())
}
