//! The proof that every step stays within buffers and constants.
//!
//! The kernels compute addresses from shapes alone and, in release builds, nothing looks over their shoulder: what
//! [`check`] accepts is what makes that sound.

use super::encode::constants;
use crate::plan::{Kernel, Operand, Plan, Sliding, Step, View};
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
    reach(plan, plan.input, 1, plan.input_layout.len()).map_err(|what| broken("the input", what))?;
    reach(plan, plan.output, 1, plan.outputs).map_err(|what| broken("the output", what))?;
    if plan.input.offset != 0 {
        return Err(broken("the input", "it does not begin its buffer".to_owned()));
    }
    plan.steps.iter().try_for_each(|step| check_step(plan, step).map_err(|what| broken(&step.name, what)))
}

fn broken(at: &str, what: String) -> Error {
    Error::model(
        format!("the plan is inconsistent: {what}"),
        at,
        "this is a defect of whybox: please report it",
    )
}

fn check_step(plan: &Plan, step: &Step) -> Result<(), String> {
    let input =
        |index: usize| step.inputs.get(index).copied().ok_or_else(|| format!("input {index} is missing"));
    let out = step.output;
    match &step.kernel {
        Kernel::Conv(conv) => {
            let divides = |channels: usize| conv.groups > 0 && channels.is_multiple_of(conv.groups);
            if !divides(conv.cin) || !divides(conv.cout) {
                return Err(format!("{} groups of {} → {} channels", conv.groups, conv.cin, conv.cout));
            }
            window(&conv.sliding)?;
            reach(plan, input(0)?, conv.sliding.input_rows(), conv.cin)?;
            reach(plan, out, conv.sliding.output_rows(), conv.cout)?;
            if conv.residual {
                reach(plan, input(1)?, conv.sliding.output_rows(), conv.cout)?;
            }
        }
        Kernel::Pool(pool) => {
            window(&pool.sliding)?;
            reach(plan, input(0)?, pool.sliding.input_rows(), pool.channels)?;
            reach(plan, out, pool.sliding.output_rows(), pool.channels)?;
        }
        Kernel::Reduce(reduce) => {
            reach(plan, input(0)?, reduce.outer * reduce.len, reduce.inner)?;
            reach(plan, out, reduce.outer, reduce.inner)?;
        }
        Kernel::Map(map) => {
            reach(plan, input(0)?, map.rows, map.channels)?;
            reach(plan, out, map.rows, map.channels)?;
        }
        Kernel::Affine(affine) => {
            reach(plan, input(0)?, affine.rows, affine.channels)?;
            reach(plan, out, affine.rows, affine.channels)?;
        }
        Kernel::Binary(binary) => {
            reach_strided(plan, input(0)?, &binary.shape, &binary.a_strides)?;
            reach_strided(plan, out, &binary.shape, &binary.out_strides)?;
            match binary.b {
                Operand::Input => reach_strided(plan, input(1)?, &binary.shape, &binary.b_strides)?,
                Operand::Constant(weight) => {
                    let end = strided_end(&binary.shape, &binary.b_strides)?;
                    let len = plan.weights.get(weight).map_or(0, |weight| weight.data.len());
                    within(end, len)?;
                }
            }
        }
        Kernel::Copy(copy) => {
            reach_strided(plan, input(0)?, &copy.shape, &copy.in_strides)?;
            reach_strided(plan, out, &copy.shape, &copy.out_strides)?;
        }
        Kernel::Softmax(softmax) => {
            let len = softmax.outer * softmax.len * softmax.inner;
            reach(plan, input(0)?, 1, len)?;
            reach(plan, out, 1, len)?;
        }
    }
    for (id, needed) in constants(step).into_iter().filter_map(|packed| packed.source()) {
        let found = plan.weights.get(id).map(|weight| weight.data.len());
        if found.is_none() || needed.is_some_and(|needed| found != Some(needed)) {
            return Err(format!("constant {id} has {found:?} elements, {needed:?} are needed"));
        }
    }
    Ok(())
}

/// Whether `rows` rows of `channels` channels lie within the view's buffer and, but for a single one, apart.
fn reach(plan: &Plan, view: View, rows: usize, channels: usize) -> Result<(), String> {
    if rows > 1 && view.stride < channels {
        return Err(format!("rows of {channels} elements every {}", view.stride));
    }
    reach_strided(plan, view, &[rows, channels], &[view.stride, 1])
}

fn reach_strided(plan: &Plan, view: View, shape: &[usize], strides: &[usize]) -> Result<(), String> {
    let end = view.offset.saturating_add(strided_end(shape, strides)?);
    within(end, plan.buffers.get(view.buffer).copied().unwrap_or(0))
}

/// One more than the last element.
fn strided_end(shape: &[usize], strides: &[usize]) -> Result<usize, String> {
    if shape.contains(&0) {
        return Err(format!("an axis of {shape:?} is empty"));
    }
    let steps = shape.iter().zip(strides).map(|(len, stride)| (len - 1).saturating_mul(*stride));
    Ok(steps.fold(1, usize::saturating_add))
}

fn within(end: usize, len: usize) -> Result<(), String> {
    if end <= len { Ok(()) } else { Err(format!("element {} of {len}", end - 1)) }
}

fn window(sliding: &Sliding) -> Result<(), String> {
    let window = &sliding.window;
    let mut sides = [sliding.input, sliding.output].into_iter().flatten();
    let mut sizes = [window.kernel, window.stride, window.dilation].into_iter().flatten();
    let sound = sides.all(|side| (1..=LARGEST_SIDE).contains(&side))
        && sizes.all(|size| (1..=LARGEST_WINDOW_NUMBER).contains(&size))
        && window.pads.iter().all(|&pad| pad <= LARGEST_WINDOW_NUMBER);
    if !sound {
        return Err(format!("{sliding:?}"));
    }
    // The furthest tap: kept below 2³¹, where a position below zero would wrap around to.
    let furthest = |axis: usize| {
        (sliding.output[axis] - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis]
    };
    if furthest(0).max(furthest(1)) >= 1 << 31 { Err(format!("{sliding:?}")) } else { Ok(()) }
}
