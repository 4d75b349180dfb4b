//! Resize and Upsample: along each axis, entries picked, or sums of picked entries with weights.

use super::NodeContext;
use super::select::{dims, index, known, picked};
use crate::Result;
use crate::model::onnx::constant::{Constant, is_symbolic};
use crate::model::onnx::context::Slot;
use crate::model::{BinaryKind, Op, Tensor};

/// One axis: what its entries are made of.
struct Axis {
    from: usize,
    to: usize,
    scale: f32,
}

/// Where entry `at` of the result lies in the input. In float32, as runtimes have it: the nearest entry hangs on it.
fn coordinate(mode: &str, axis: &Axis, at: usize) -> Option<f32> {
    let (x, from, to) = (at as f32, axis.from as f32, axis.to as f32);
    let half_pixel = (x + 0.5) / axis.scale - 0.5;
    Some(match mode {
        "half_pixel" => half_pixel,
        "half_pixel_symmetric" => {
            let adjustment = to / (axis.scale * from);
            from / 2.0 * (1.0 - adjustment) + half_pixel
        }
        "pytorch_half_pixel" if axis.to > 1 => half_pixel,
        "pytorch_half_pixel" => 0.0,
        "align_corners" if axis.to > 1 => x * (from - 1.0) / (to - 1.0),
        "align_corners" => 0.0,
        "asymmetric" => x / axis.scale,
        _ => return None,
    })
}

/// The entry nearest to a coordinate.
fn nearest(mode: &str, x: f32) -> Option<f32> {
    Some(match mode {
        "round_prefer_floor" if x.fract().abs() == 0.5 => x.floor(),
        "round_prefer_floor" => x.round(),
        "round_prefer_ceil" => (x + 0.5).floor(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        _ => return None,
    })
}

/// Weights of the four entries around a coordinate whose fraction is `t`, by Keys' cubic convolution ("Cubic convolution
/// interpolation for digital image processing", 1981) with parameter `a`.
fn cubic(t: f32, a: f32) -> [f32; 4] {
    let near = |d: f32| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f32| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

pub(super) fn resize(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let old = cx.op == "Upsample" || cx.opset() < 11;
    if cx.int("antialias", 0) != 0 {
        return Err(cx.unsupported("it smooths before it shrinks (antialias)"));
    }
    if let Some(policy) = cx.string("keep_aspect_ratio_policy").filter(|&policy| policy != "stretch") {
        return Err(cx.unsupported(format!("its keep_aspect_ratio_policy is {policy}")));
    }
    let mut slot = cx.slot(0)?;
    let sizes = dims(cx, &slot);
    let axes = match cx.ints("axes") {
        Some(given) => given.iter().map(|&axis| cx.counted(axis, sizes.len())).collect::<Result<Vec<_>>>()?,
        None => (0..sizes.len()).collect(),
    };
    let scales = match cx.floats("scales") {
        Some(given) => given.to_vec(),
        None => cx.tensor(if old { 1 } else { 2 })?.map_or_else(Vec::new, |tensor| tensor.data.to_vec()),
    };
    let wanted = match (old, cx.given(3)) {
        (false, true) => cx.constant(3)?,
        _ => None,
    };
    let wanted = match wanted {
        Some(Constant::Int { data, .. }) => data,
        _ => Vec::new(),
    };
    if scales.len() != axes.len() && wanted.len() != axes.len() {
        return Err(cx.damaged(format!("its scales or sizes do not fit {} axes", axes.len())));
    }
    for (at, &axis) in axes.iter().enumerate() {
        let given = wanted.get(at).copied();
        let same = match given {
            Some(size) => {
                size == sizes[axis] || (is_symbolic(sizes[axis]) && Some(size) == cx.declared(sizes[axis]))
            }
            None => scales[at] == 1.0,
        };
        if same {
            continue;
        }
        let from = known(cx, sizes[axis])?;
        let axis_of = match given {
            Some(size) => {
                let to = known(cx, size)?;
                Axis { from, to, scale: to as f32 / from as f32 }
            }
            None => Axis { from, to: (from as f32 * scales[at]).floor() as usize, scale: scales[at] },
        };
        cx.charge(&[axis_of.to])?;
        if axis_of.from == 0 || axis_of.to == 0 {
            return Err(cx.unsupported(format!("axis {axis} is empty")));
        }
        slot = along(cx, slot, axis, &axis_of, old)?;
    }
    cx.alias(slot);
    Ok(())
}

/// The slot with one axis resized.
fn along<'a>(
    cx: &mut NodeContext<'a, '_>,
    slot: Slot<'a>,
    axis: usize,
    sizes: &Axis,
    old: bool,
) -> Result<Slot<'a>> {
    let default = if old { "asymmetric" } else { "half_pixel" };
    let transformation = cx.string("coordinate_transformation_mode").unwrap_or(default);
    let mode = cx.string("mode").unwrap_or("nearest");
    let unknown =
        |cx: &NodeContext<'_, '_>, what: &str| cx.unsupported(format!("its {what} is not supported"));
    let positions: Option<Vec<f32>> = (0..sizes.to).map(|at| coordinate(transformation, sizes, at)).collect();
    let positions = positions
        .ok_or_else(|| unknown(cx, &format!("coordinate_transformation_mode {transformation:?}")))?;
    let last = sizes.from as f32 - 1.0;
    let clamped = |x: f32| index(x.clamp(0.0, last) as usize);
    let mut taps: Vec<(Vec<u32>, Vec<f32>)> = Vec::new();
    match mode {
        "nearest" => {
            let rule = cx.string("nearest_mode").unwrap_or(if old { "floor" } else { "round_prefer_floor" });
            if old && sizes.scale < 1.0 {
                return Err(unknown(cx, "shrinking to the nearest entry before opset 11"));
            }
            let places: Option<Vec<u32>> = positions.iter().map(|&x| nearest(rule, x).map(clamped)).collect();
            let places = places.ok_or_else(|| unknown(cx, &format!("nearest_mode {rule:?}")))?;
            return picked(cx, slot, axis, places, 0.0);
        }
        "linear" => {
            let inside: Vec<f32> = positions.iter().map(|x| x.clamp(0.0, last)).collect();
            for next in [0.0, 1.0] {
                let weight = |x: &f32| if next == 0.0 { 1.0 - x.fract() } else { x.fract() };
                let places = inside.iter().map(|x| clamped(x.floor() + next)).collect();
                taps.push((places, inside.iter().map(weight).collect()));
            }
        }
        "cubic" => {
            let a = cx.float("cubic_coeff_a", -0.75);
            let exclude = cx.int("exclude_outside", 0) != 0;
            let weights: Vec<[f32; 4]> = positions
                .iter()
                .map(|&x| {
                    let mut weights = cubic(x - x.floor(), a);
                    if exclude {
                        for (k, weight) in weights.iter_mut().enumerate() {
                            let at = x.floor() + k as f32 - 1.0;
                            *weight = if (0.0..=last).contains(&at) { *weight } else { 0.0 };
                        }
                        let sum: f32 = weights.iter().sum();
                        weights.iter_mut().for_each(|weight| *weight /= sum);
                    }
                    weights
                })
                .collect();
            for k in 0..4 {
                let places = positions.iter().map(|x| clamped(x.floor() + k as f32 - 1.0)).collect();
                taps.push((places, weights.iter().map(|all| all[k]).collect()));
            }
        }
        other => return Err(unknown(cx, &format!("mode {other:?}"))),
    }
    let Slot::Value { id: whole, batched } = slot else {
        return Err(cx.unsupported("it interpolates a constant"));
    };
    let (own, place) = (cx.axis(axis as i64, whole, batched)?, cx.batch_place(whole));
    let mut shape = cx.shape(whole);
    shape[own] = sizes.to;
    let mut along = vec![1; shape.len()];
    along[own] = sizes.to;
    let mut sum = None;
    for (places, weights) in taps {
        let select = Op::Select { axis: own, indices: places.into(), fill: 0.0 };
        let entries = cx.push(select, vec![whole], shape.clone())?;
        let constant = Tensor::new(&along, weights);
        let op = Op::BinaryConst { kind: BinaryKind::Mul, constant, constant_first: false };
        let part = cx.push(op, vec![entries], shape.clone())?;
        sum = Some(match sum {
            None => part,
            Some(sum) => cx.push(Op::Binary(BinaryKind::Add), vec![sum, part], shape.clone())?,
        });
    }
    let sum = sum.ok_or_else(|| cx.damaged("it has no entries"))?;
    cx.push_at(Op::Reshape, vec![sum], shape, batched, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubic_weights_add_up_to_one() {
        for t in [0.0, 0.1, 0.5, 0.9] {
            let sum: f32 = cubic(t, -0.75).iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
        assert_eq!(cubic(0.0, -0.75), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn ties_go_where_the_mode_says() {
        assert_eq!(
            [-0.5, 0.5, 1.5, 1.6].map(|x| nearest("round_prefer_floor", x)),
            [Some(-1.0), Some(0.0), Some(1.0), Some(2.0)]
        );
        assert_eq!([0.5, 1.5].map(|x| nearest("round_prefer_ceil", x)), [Some(1.0), Some(2.0)]);
    }
}
