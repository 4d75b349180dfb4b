//! Conv, and what it shares with pools: windows and automatic padding.

use super::NodeContext;
use crate::Result;
use crate::model::{Op, Tensor, Window};

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let mut weight = cx.needed_tensor(1)?;
    let bias = cx.tensor(2)?;
    let shape = cx.shape(id);
    let space = space(cx, &shape)?;
    if weight.shape.len() != shape.len() + 1 {
        return Err(cx.damaged(format!("weights {:?} do not fit an input {shape:?}", weight.shape)));
    }
    if shape.len() == 2 {
        weight.shape.insert(2, 1);
    }
    let kernel = [weight.shape[2], weight.shape[3]];
    let window = window(cx, kernel, shape.len() - 1, space)?;
    let groups = usize::try_from(cx.int("group", 1)).unwrap_or(0);
    let outputs = weight.shape[0];
    if groups == 0 || outputs % groups != 0 || weight.shape[1].checked_mul(groups) != Some(shape[0]) {
        return Err(cx.damaged(format!(
            "weights {:?} with {groups} groups do not fit {} input channels",
            weight.shape, shape[0]
        )));
    }
    if weight.is_empty() {
        return Err(cx.damaged("it has no weights"));
    }
    let bias = bias.map(|bias| Tensor { shape: vec![bias.len()], data: bias.data });
    if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
        return Err(cx.damaged(format!("its bias has not {outputs} elements")));
    }
    let [height, width] = window.output(space, false, &cx.name)?;
    let output = if shape.len() == 2 { vec![outputs, width] } else { vec![outputs, height, width] };
    cx.emit_sample(Op::Conv { weight, bias, window, groups }, id, output, batched)
}

/// Height and width of `[C, H, W]`, or `[1, L]` of `[C, L]`.
pub(super) fn space(cx: &NodeContext<'_, '_>, shape: &[usize]) -> Result<[usize; 2]> {
    match *shape {
        [_, length] => Ok([1, length]),
        [_, height, width] => Ok([height, width]),
        _ => Err(cx.unsupported(format!("it slides over {} axes", shape.len().saturating_sub(1)))),
    }
}

/// The window that the node's attributes describe; `axes` is 1 or 2.
pub(super) fn window(
    cx: &NodeContext<'_, '_>,
    kernel: [usize; 2],
    axes: usize,
    input: [usize; 2],
) -> Result<Window> {
    let pair = |name: &str, default: usize| -> Result<[usize; 2]> {
        let Some(given) = cx.ints(name) else { return Ok([default; 2]) };
        let sizes: Option<Vec<usize>> = given.iter().map(|&v| usize::try_from(v).ok()).collect();
        match sizes.as_deref() {
            Some(&[length]) if axes == 1 => Ok([default, length]),
            Some(&[height, width]) if axes == 2 => Ok([height, width]),
            _ => Err(cx.damaged(format!("its {name} {given:?} do not fit"))),
        }
    };
    if cx.has("kernel_shape") && pair("kernel_shape", 1)? != kernel {
        return Err(cx.damaged("kernel_shape differs from the weights"));
    }
    let (stride, dilation) = (pair("strides", 1)?, pair("dilations", 1)?);
    let mut pads = [0; 4];
    match cx.string("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" | "" => {
            if let Some(given) = cx.ints("pads") {
                let sizes: Option<Vec<usize>> = given.iter().map(|&v| usize::try_from(v).ok()).collect();
                pads = match sizes.as_deref() {
                    Some(&[before, after]) if axes == 1 => [0, before, 0, after],
                    Some(&[top, left, bottom, right]) if axes == 2 => [top, left, bottom, right],
                    _ => return Err(cx.unsupported(format!("its pads {given:?} are negative or do not fit"))),
                };
            }
        }
        "VALID" => {}
        mode @ ("SAME_UPPER" | "SAME_LOWER") => {
            for axis in 0..2 {
                let (size, step) = (input[axis], stride[axis].max(1));
                let reach = kernel[axis].saturating_sub(1).saturating_mul(dilation[axis]).saturating_add(1);
                let needed = (size.div_ceil(step).saturating_sub(1))
                    .saturating_mul(step)
                    .saturating_add(reach)
                    .saturating_sub(size);
                let small = needed / 2;
                let (before, after) =
                    if mode == "SAME_UPPER" { (small, needed - small) } else { (needed - small, small) };
                pads[axis] = before;
                pads[axis + 2] = after;
            }
        }
        other => return Err(cx.damaged(format!("auto_pad {other:?} is not defined"))),
    }
    Ok(Window { kernel, stride, dilation, pads })
}
