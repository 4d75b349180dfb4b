//! Constant, ConstantOfShape, Identity, Cast, Dropout, Shape.

use super::NodeContext;
use crate::Result;
use crate::model::onnx::constant::{BATCH, Constant, batches, is_symbolic};
use crate::model::onnx::context::Slot;
use crate::model::{BinaryKind, Op, Tensor};

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
        let truth = to == DataType::BOOL;
        let slot = match slot {
            Slot::Value { id, batched } if cx.context.integers.contains(&id) => {
                let (shape, place) = (cx.shape(id), cx.batch_place(id));
                if integer {
                    Slot::Value { id, batched }
                } else if float {
                    // The same numbers, which are no integers from here on.
                    let slot = cx.push_at(Op::Reshape, vec![id], shape, batched, place)?;
                    if let Slot::Value { id, .. } = slot {
                        cx.context.integers.remove(&id);
                    }
                    slot
                } else if truth {
                    let zero = || Tensor::new(&[], vec![0.0]);
                    let is_zero = |constant| Op::BinaryConst {
                        kind: BinaryKind::Equal,
                        constant,
                        constant_first: false,
                    };
                    let not = cx.push(is_zero(zero()), vec![id], shape.clone())?;
                    let slot = cx.push_at(is_zero(zero()), vec![not], shape, batched, place)?;
                    if let Slot::Value { id, .. } = slot {
                        cx.context.integers.insert(id);
                    }
                    slot
                } else {
                    return Err(cx.unsupported(format!("it turns activations into {to}")));
                }
            }
            Slot::Constant(Constant::Int { shape, data }) if truth => Slot::Constant(Constant::Int {
                shape,
                data: data.into_iter().map(|v| i64::from(v != 0)).collect(),
            }),
            Slot::Value { .. } if !float => {
                return Err(cx.unsupported(format!("it turns activations into {to}")));
            }
            Slot::Constant(Constant::Int { shape, data }) if float => {
                if data.iter().any(|&v| is_symbolic(v)) {
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
    let batch = data.iter().position(|&v| is_symbolic(v));
    let length = |&size: &i64| if size == BATCH { Ok(1) } else { usize::try_from(size) };
    if data.iter().filter(|&&size| is_symbolic(size)).count() > 1 {
        return Err(cx.batch_in_arithmetic());
    }
    let shape = data.iter().map(length).collect::<Result<Vec<_>, _>>();
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
    let slot = match batch {
        Some(axis) => cx.materialised(made, Some(axis))?,
        None => Slot::Constant(made),
    };
    cx.set(slot);
    Ok(())
}

pub(super) fn shape(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let mut sizes: Vec<i64> = match cx.slot(0)? {
        Slot::Value { id, batched } => cx.dims(id, batched),
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

/// The number of elements; the batch may be a factor.
pub(super) fn size(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let count = match cx.slot(0)? {
        Slot::Value { id, batched } => {
            let own: usize = cx.shape(id).iter().product();
            if batched { batches(own) } else { own as i64 }
        }
        Slot::Constant(constant) => constant.len() as i64,
        Slot::Lazy(_) => return Err(cx.damaged("an input has no value")),
    };
    cx.set(Slot::Constant(Constant::Int { shape: vec![], data: vec![count] }));
    Ok(())
}
