//! ConvTranspose: the input spread out by the stride, zeros between, under a convolution with the kernel turned over.

use super::NodeContext;
use super::conv::space;
use crate::Result;
use crate::model::{NOTHING, Op, Tensor, Window};

pub(super) fn import(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    let mut weight = cx.needed_tensor(1)?;
    let bias = cx.tensor(2)?;
    let shape = cx.shape(id);
    space(cx, &shape)?;
    let axes = shape.len() - 1;
    let groups = usize::try_from(cx.int("group", 1)).unwrap_or(0);
    if weight.shape.len() != axes + 2 || weight.shape[0] != shape[0] || weight.is_empty() {
        return Err(cx.damaged(format!("weights {:?} do not fit an input {shape:?}", weight.shape)));
    }
    if groups == 0 || !shape[0].is_multiple_of(groups) {
        return Err(cx.damaged(format!("{groups} groups do not divide {} channels", shape[0])));
    }
    if axes == 1 {
        weight.shape.insert(2, 1);
    }
    let auto_pad = cx.string("auto_pad").unwrap_or("NOTSET");
    if !["NOTSET", "VALID", ""].contains(&auto_pad) {
        return Err(cx.unsupported(format!("its auto_pad is {auto_pad}")));
    }
    let list = |name: &str, length: usize, default: i64| -> Result<Vec<i64>> {
        let given = cx.ints(name).map_or_else(|| vec![default; length], <[i64]>::to_vec);
        match given.len() == length && given.iter().all(|&v| (default.min(1)..1 << 20).contains(&v)) {
            true => Ok(given),
            false => Err(cx.unsupported(format!("its {name} {given:?} do not fit"))),
        }
    };
    let (strides, dilations) = (list("strides", axes, 1)?, list("dilations", axes, 1)?);
    let (pads, further) = (list("pads", 2 * axes, 0)?, list("output_padding", axes, 0)?);
    let wanted = cx.ints("output_shape").map(<[i64]>::to_vec);
    let mut value = id;
    let mut current = shape.clone();
    let mut dilation = [1, 1];
    for axis in 0..axes {
        let kernel = weight.shape[axis + 4 - axes] as i64;
        let (stride, length) = (strides[axis], shape[axis + 1] as i64);
        let reach = (kernel - 1) * dilations[axis];
        dilation[axis + 2 - axes] = dilations[axis] as usize;
        let spread = stride * (length - 1) + 1;
        let [first, last] = match &wanted {
            None => [pads[axis], pads[axis + axes]],
            Some(wanted) => {
                let size = wanted.iter().rev().nth(axes - 1 - axis);
                let size = size.copied().filter(|size| (1..1 << 31).contains(size));
                let size = size.ok_or_else(|| cx.damaged(format!("its output_shape is {wanted:?}")))?;
                let total = spread + reach + further[axis] - size;
                // What is cut off falls on both ends, the longer half before; what is added lies behind.
                if total > 0 { [total - total / 2, total / 2] } else { [0, total] }
            }
        };
        let (before, after) = (reach - first, reach - last + further[axis]);
        let total = before + spread + after;
        if total <= reach {
            return Err(cx.damaged(format!("its result is empty along axis {axis}")));
        }
        let total = cx.charge(&[usize::try_from(total).unwrap_or(usize::MAX)])? as i64;
        let source = |at: i64| {
            let at = at - before;
            if (0..spread).contains(&at) && at % stride == 0 { (at / stride) as u32 } else { NOTHING }
        };
        current[axis + 1] = total as usize;
        let select = Op::Select { axis: axis + 1, indices: (0..total).map(source).collect(), fill: 0.0 };
        value = cx.push(select, vec![value], current.clone())?;
    }
    let weight = turned_over(cx, &weight, groups)?;
    let outputs = weight.shape[0];
    let bias = bias.map(|bias| Tensor { shape: vec![bias.len()], data: bias.data });
    if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
        return Err(cx.damaged(format!("its bias has not {outputs} elements")));
    }
    let window =
        Window { kernel: [weight.shape[2], weight.shape[3]], stride: [1, 1], dilation, pads: [0; 4] };
    let [height, width] = window.output(space(cx, &current)?, false, &cx.name)?;
    let output = if axes == 1 { vec![outputs, width] } else { vec![outputs, height, width] };
    cx.emit_sample(Op::Conv { weight, bias, window, groups }, value, output, batched)
}

/// `[Cin, Cout / g, kh, kw]` → `[Cout, Cin / g, kh, kw]`, both of the kernel's axes reversed.
fn turned_over(cx: &mut NodeContext<'_, '_>, weight: &Tensor, groups: usize) -> Result<Tensor> {
    let [channels, own, height, width] = weight.shape[..] else {
        return Err(cx.damaged("its weights have not four axes"));
    };
    cx.charge(&weight.shape)?;
    let (each, area) = (channels / groups, height * width);
    let mut data = Vec::with_capacity(weight.len());
    for output in 0..groups * own {
        let group = output / own;
        for input in 0..each {
            let kernel = ((group * each + input) * own + output % own) * area;
            data.extend(weight.data[kernel..kernel + area].iter().rev());
        }
    }
    Ok(Tensor::new(&[groups * own, each, height, width], data))
}
