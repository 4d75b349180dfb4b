//! The proof that every step stays within buffers and constants.
//!
//! The engines' kernels compute addresses from shapes and do not look back: what [`check`] accepts is what makes
//! that sound.

use super::access::{Accesses, Extent, accesses, ends};
use super::{Kernel, Operand, Plan, Sliding, Step, WeightId};
use crate::{Error, Result};

/// A window's numbers above this make no sense, and below it no position overflows.
const LARGEST_WINDOW_NUMBER: usize = 1 << 20;

/// Nor does the side of a picture: its elements lie in a buffer of less than 2³¹ bytes.
const LARGEST_SIDE: usize = 1 << 29;

/// Checks every step of a plan, its input and its output.
///
/// # Errors
/// [`Error::Model`] naming the step.
pub(crate) fn check(plan: &Plan) -> Result<()> {
    for (extent, name) in ends(plan).iter().zip(["the input", "the output"]) {
        if !fits(plan, extent) {
            return Err(defect(format!("{extent:?} exceeds its buffer"), name));
        }
    }
    if plan.input.offset != 0 {
        return Err(defect("it does not begin its buffer", "the input"));
    }
    for step in &plan.steps {
        sizes(step)?;
        let Accesses { reads, write } = accesses(step)?;
        for extent in reads.iter().chain([&write]) {
            if !fits(plan, extent) {
                return Err(broken(step, format!("{extent:?} exceeds its buffer")));
            }
            if extent.stride < extent.channels {
                return Err(broken(step, format!("rows of {extent:?} overlap")));
            }
        }
        constants(plan, step)?;
    }
    Ok(())
}

fn fits(plan: &Plan, extent: &Extent) -> bool {
    plan.buffers.get(extent.buffer).is_some_and(|&len| extent.end <= len)
}

/// Checks that no axis is empty and no window leaves what addresses can count.
fn sizes(step: &Step) -> Result<()> {
    let axes: &[usize] = match &step.kernel {
        Kernel::Conv(conv) => {
            window(step, &conv.sliding)?;
            let divides = |channels: usize| conv.groups > 0 && channels.is_multiple_of(conv.groups);
            if !divides(conv.cin) || !divides(conv.cout) {
                return Err(broken(
                    step,
                    format!("{} groups of {} → {} channels", conv.groups, conv.cin, conv.cout),
                ));
            }
            &[conv.cin, conv.cout]
        }
        Kernel::Pool(pool) => {
            window(step, &pool.sliding)?;
            &[pool.channels]
        }
        Kernel::Reduce(reduce) => &[reduce.outer, reduce.len, reduce.inner],
        Kernel::Map(map) => &[map.rows, map.channels],
        Kernel::Affine(affine) => &[affine.rows, affine.channels],
        Kernel::Binary(binary) => &binary.shape,
        Kernel::Copy(copy) => &copy.shape,
        Kernel::Softmax(softmax) => &[softmax.outer, softmax.len, softmax.inner],
        Kernel::Fill(fill) => &[fill.rows, fill.channels],
        Kernel::Select(select) => &[select.outer, select.len, select.inner, select.count],
        Kernel::Embedding(embedding) => &[embedding.rows, embedding.vocabulary, embedding.width],
        Kernel::MatMul(product) => {
            if product.a_strides[3] != 1 || product.out_strides[3] != 1 {
                return Err(broken(step, "rows of a product are not contiguous"));
            }
            &[product.batch[0], product.batch[1], product.m, product.k, product.n]
        }
        Kernel::Normalize(normalize) => &[normalize.outer, normalize.len, normalize.groups, normalize.width],
        Kernel::Lrn(lrn) => &[lrn.rows, lrn.channels, lrn.response.size],
    };
    if axes.contains(&0) { Err(broken(step, format!("an axis of {axes:?} is empty"))) } else { Ok(()) }
}

fn window(step: &Step, sliding: &Sliding) -> Result<()> {
    let window = &sliding.window;
    let mut sides = [sliding.input, sliding.output].into_iter().flatten();
    let mut numbers = [window.kernel, window.stride, window.dilation].into_iter().flatten();
    let sound = sides.all(|side| (1..=LARGEST_SIDE).contains(&side))
        && numbers.all(|size| (1..=LARGEST_WINDOW_NUMBER).contains(&size))
        && window.pads.iter().all(|&pad| pad <= LARGEST_WINDOW_NUMBER);
    // The furthest tap: kept below 2³¹, where a position below zero would wrap around to.
    let furthest = |axis: usize| {
        (sliding.output[axis] - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis]
    };
    if sound && furthest(0).max(furthest(1)) < 1 << 31 {
        Ok(())
    } else {
        Err(broken(step, format!("{sliding:?}")))
    }
}

/// Checks the lengths of constants.
fn constants(plan: &Plan, step: &Step) -> Result<()> {
    let length = |id: WeightId| plan.weights.get(id).map_or(0, |weight| weight.data.len());
    let need = |id: WeightId, len: usize| match length(id) {
        found if found == len => Ok(()),
        found => Err(broken(step, format!("constant {id} has {found} elements, {len} are needed"))),
    };
    match &step.kernel {
        Kernel::Conv(conv) => {
            let taps: usize = conv.sliding.window.kernel.iter().product();
            need(conv.weight, taps * conv.cin * (conv.cout / conv.groups))?;
            conv.bias.map_or(Ok(()), |bias| need(bias, conv.cout))
        }
        Kernel::Affine(affine) => {
            need(affine.scale, affine.channels)?;
            need(affine.shift, affine.channels)
        }
        Kernel::Fill(fill) => need(fill.value, fill.rows.saturating_mul(fill.channels)),
        Kernel::Select(select) => {
            need(select.indices, select.count)?;
            let inside = |&at: &f32| at.fract() == 0.0 && at >= -1.0 && at < select.len as f32;
            match plan.weights[select.indices].data.iter().all(inside) {
                true => Ok(()),
                false => Err(broken(step, "an index is outside its axis")),
            }
        }
        Kernel::Embedding(embedding) => {
            need(embedding.table, embedding.vocabulary.saturating_mul(embedding.width))
        }
        Kernel::Normalize(normalize) => {
            let mut parts = normalize.scale.into_iter().chain(normalize.shift);
            parts.try_for_each(|id| need(id, normalize.channels()))
        }
        Kernel::Lrn(lrn) if lrn.response.size > LARGEST_WINDOW_NUMBER => {
            Err(broken(step, format!("a window of {} channels", lrn.response.size)))
        }
        Kernel::Binary(binary) => match binary.b {
            Operand::Input => Ok(()),
            Operand::Constant(id) => {
                let steps = binary
                    .shape
                    .iter()
                    .zip(binary.b_strides)
                    .map(|(n, stride)| (n - 1).saturating_mul(stride));
                let last = steps.fold(0usize, usize::saturating_add);
                if last < length(id) {
                    Ok(())
                } else {
                    Err(broken(step, format!("constant {id} has no element {last}")))
                }
            }
        },
        _ => Ok(()),
    }
}

pub(super) fn broken(step: &Step, what: impl Into<String>) -> Error {
    defect(what, &step.name)
}

fn defect(what: impl Into<String>, at: &str) -> Error {
    let what = format!("the plan is inconsistent: {}", what.into());
    Error::model(what, at, "this is a defect of whybox: please report it with the model")
}
