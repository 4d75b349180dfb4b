//! What steps cost on this engine, dense and over columns.

use crate::device::cpu::compiled::Executable;
use crate::device::cpu::winograd;
use crate::plan::sharing::{Costs, StepCost};
use crate::plan::{Conv, Kernel, Plan};

// In units of a multiply-add of the direct product, as measured (docs/performance.md has the figures).

/// A multiply-add of the plain convolution that Winograd replaces.
const WINOGRAD: f64 = 0.45;

/// A multiply-add of a depthwise convolution, dense,
const DEPTHWISE: f64 = 4.0;

/// and over columns.
const GATHERED_DEPTHWISE: f64 = 6.0;

/// A multiply-add of a product over columns.
const GATHERED: f64 = 1.1;

/// Finding where one tap of a column is.
const TAP: f64 = 60.0;

/// An element that is read or written.
const ELEMENT: f64 = 6.0;

/// Columns save at least this share of a run's cost, or are not worth their tables.
const LEAST_GAIN: f64 = 0.02;

/// Costs of a plan whose steps are compiled.
pub(crate) fn costs(plan: &Plan, steps: &[Box<dyn Executable>]) -> Costs {
    let steps = plan.steps.iter().zip(steps);
    let steps = steps.map(|(step, compiled)| cost(&step.kernel, step.macs as f64, compiled.name())).collect();
    let (join, expand) = (ELEMENT, ELEMENT);
    Costs { steps, join, expand, least_gain: LEAST_GAIN, channel_multiple: 1, column_bytes: 0 }
}

fn cost(kernel: &Kernel, macs: f64, name: &str) -> StepCost {
    match kernel {
        Kernel::Conv(conv) => {
            let pixels = conv.sliding.output_rows() as f64;
            let taps = conv.sliding.window.kernel.iter().product::<usize>() as f64;
            let per_pixel = macs / pixels;
            let depthwise = is_depthwise(conv);
            let dense = match name {
                winograd::NAME => WINOGRAD * macs,
                _ if depthwise => DEPTHWISE * macs,
                _ => macs,
            };
            let gathered = if depthwise { GATHERED_DEPTHWISE } else { GATHERED };
            StepCost { dense, column: gathered * per_pixel + TAP * taps }
        }
        Kernel::Pool(pool) => {
            let taps = pool.sliding.window.kernel.iter().product::<usize>() as f64;
            let per_pixel = (taps + 1.0) * pool.channels as f64;
            StepCost {
                dense: per_pixel * pool.sliding.output_rows() as f64,
                column: per_pixel * 2.0 + TAP * taps,
            }
        }
        Kernel::Map(map) => elementwise(map.rows, 2 * map.channels),
        Kernel::Affine(affine) => elementwise(affine.rows, 2 * affine.channels),
        Kernel::Binary(binary) => {
            let elements = 3 * binary.shape.iter().product::<usize>();
            let rows: usize = binary.shape[..3].iter().product();
            elementwise(rows, elements / rows.max(1))
        }
        _ => StepCost { dense: macs, column: macs },
    }
}

fn elementwise(rows: usize, elements: usize) -> StepCost {
    let column = ELEMENT / 2.0 * elements as f64;
    StepCost { dense: rows as f64 * column, column: column + TAP }
}

/// Whether a convolution has one filter for each channel.
pub(crate) fn is_depthwise(conv: &Conv) -> bool {
    conv.groups > 1 && conv.groups == conv.cin && conv.groups == conv.cout
}
