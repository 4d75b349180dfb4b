//! BatchNormalization at inference: a scale and a shift for each channel.

use super::NodeContext;
use crate::Result;
use crate::model::{Op, Tensor};

pub(super) fn batch(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched) = cx.sample(0)?;
    if cx.int("training_mode", 0) != 0 {
        return Err(cx.unsupported("it is in training mode"));
    }
    if cx.int("spatial", 1) == 0 {
        return Err(cx.unsupported("it has statistics for each pixel (spatial = 0)"));
    }
    let shape = cx.shape(id);
    let channels = shape.first().copied().unwrap_or(0);
    let mut parts = Vec::new();
    for at in 1..5 {
        let tensor = cx.needed_tensor(at)?;
        if tensor.len() != channels {
            return Err(cx.damaged(format!("input {at} has not {channels} elements")));
        }
        parts.push(tensor.data);
    }
    let epsilon = f64::from(cx.float("epsilon", 1e-5));
    let (gamma, beta, mean, variance) = (&parts[0], &parts[1], &parts[2], &parts[3]);
    let exact = |c: usize| f64::from(gamma[c]) / (f64::from(variance[c]) + epsilon).sqrt();
    let scale: Vec<f32> = (0..channels).map(|c| exact(c) as f32).collect();
    let shift: Vec<f32> =
        (0..channels).map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * exact(c)) as f32).collect();
    let op = Op::Affine { scale: Tensor::new(&[channels], scale), shift: Tensor::new(&[channels], shift) };
    cx.emit_sample(op, id, shape, batched)
}
