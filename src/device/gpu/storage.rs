//! Numbers as a device stores them, and what f16 cannot hold. Peer: `shaders/shared/stored.wgsl`.

use std::borrow::Cow;
use std::ops::Range;

use bytemuck::cast_slice;
use half::f16;

use crate::device::Precision;
use crate::plan::{Kernel, Plan};
use crate::{Error, Result};

/// What to do where f16 does not serve.
pub(crate) const USE_F32: &str = "use --precision f32, the default";

/// Whole numbers up to this one are exact in f16.
const LARGEST_EXACT: usize = 2048;

/// A number in f16; NaN where it is beyond the range, as in the kernels.
fn half(x: f32) -> f16 {
    if x.is_finite() && x.abs() > f16::MAX.to_f32() { f16::NAN } else { f16::from_f32(x) }
}

/// Numbers as they are stored.
pub(crate) fn stored(values: &[f32], precision: Precision) -> Cow<'_, [u8]> {
    match precision {
        Precision::F32 => Cow::Borrowed(cast_slice(values)),
        Precision::F16 => {
            let halves: Vec<f16> = values.iter().map(|&x| half(x)).collect();
            Cow::Owned(cast_slice(&halves).to_vec())
        }
    }
}

/// The weights of a step, as they are stored.
///
/// # Errors
/// [`Error::Limits`] for a weight that is beyond the range.
pub(crate) fn stored_weights<'a>(
    values: &'a [f32],
    precision: Precision,
    step: &str,
) -> Result<Cow<'a, [u8]>> {
    let beyond = |x: &&f32| x.is_finite() && half(**x).is_nan();
    match values.iter().find(beyond).filter(|_| precision == Precision::F16) {
        Some(weight) => Err(Error::limits(
            format!("the weight {weight} is beyond f16, which ends at 65504"),
            step,
            USE_F32,
        )),
        None => Ok(stored(values, precision)),
    }
}

/// Refuses plans whose numbers f16 would change silently: token ids above 2,048 are not exact.
///
/// # Errors
/// [`Error::Unsupported`] naming the step.
pub(crate) fn check_storage(plan: &Plan, precision: Precision) -> Result<()> {
    if precision == Precision::F32 {
        return Ok(());
    }
    for step in &plan.steps {
        if let Kernel::Embedding(embedding) = &step.kernel
            && embedding.vocabulary > LARGEST_EXACT
        {
            let what = format!(
                "token ids up to {} are not exact in f16, which counts to {LARGEST_EXACT}",
                embedding.vocabulary - 1
            );
            return Err(Error::unsupported(what, &step.name, USE_F32));
        }
    }
    Ok(())
}

/// Refuses answers that f16 could not hold, or that came from numbers that it could not hold.
///
/// # Errors
/// [`Error::Numeric`] naming the samples.
pub(crate) fn check_answers(rows: &Range<usize>, answers: &[f32], precision: Precision) -> Result<()> {
    match answers.iter().find(|answer| !answer.is_finite()) {
        Some(answer) if precision == Precision::F16 => Err(Error::numeric(
            format!("the network answered {answer}: with f16 storage, numbers beyond 65504 are lost"),
            format!("among the samples {} to {}", rows.start, rows.end.saturating_sub(1)),
            format!("{USE_F32}; if it says the same, check the preprocessing and the network's weights"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_f16_are_no_numbers() {
        let halves = |values: &[f32]| -> Vec<f16> {
            stored(values, Precision::F16).chunks_exact(2).map(bytemuck::pod_read_unaligned).collect()
        };
        let found = halves(&[1.0, -65504.0, 65505.0, -1e9, f32::NEG_INFINITY, 1e-9]);
        assert_eq!(found[..2], [f16::ONE, f16::MIN]);
        assert!(found[2].is_nan() && found[3].is_nan());
        assert_eq!(found[4..], [f16::NEG_INFINITY, f16::ZERO]);
        assert_eq!(stored(&[1.5], Precision::F32).as_ref(), 1.5f32.to_le_bytes());
    }
}
