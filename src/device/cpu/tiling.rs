//! How many samples a thread takes through which steps.
//!
//! Two wishes pull in opposite directions: activations of a tile should stay in the second cache (few
//! samples), and weights that do not stay there should be read for many samples at once. Early layers
//! of a network have large activations and small weights, late layers the opposite, so a plan falls
//! into segments of growing tiles.

use super::compiled::Executable;
use super::layout::Segment;
use super::winograd;
use crate::plan::Kernel;
use crate::plan::{Plan, Step};

/// Input and output of a step, of all samples of a tile, should take at most so many bytes.
const ACTIVATION_BYTES: usize = 1 << 20;

/// Weights of at most so many bytes stay in the second cache from tile to tile.
const RESIDENT_BYTES: usize = 1 << 19;

/// Multiply-adds that a core does while it reads a byte of weights from beyond its caches, with a margin.
const MACS_PER_BYTE: u64 = 32;

/// Sizes of tiles, ascending.
pub(crate) const TILES: [usize; 5] = [1, 4, 16, 64, 256];

/// A tile of more samples than this does not read weights noticeably less often.
const AMORTISED: usize = 64;

/// Weights from so many bytes on are worth a step over all samples of the chunk at once.
const SHARED_OUT_BYTES: usize = 8 << 20;

/// Splits the steps of a plan into segments.
pub(crate) fn segments(plan: &Plan, steps: &[Box<dyn Executable>]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (number, (step, compiled)) in plan.steps.iter().zip(steps).enumerate() {
        let tile = wish(step, compiled.as_ref());
        let joins = |previous: &Segment| match (previous.tile, tile) {
            // A somewhat larger tile than wished for costs less than another segment.
            (Some(current), Some(wish)) => wish <= current && current <= 4 * wish,
            _ => false,
        };
        match segments.last_mut().filter(|previous| joins(previous)) {
            Some(previous) => previous.steps.end = number + 1,
            None => segments.push(Segment { steps: number..number + 1, tile }),
        }
    }
    segments
}

/// The tile that suits one step: a power of 4, or `None` for a step that should run over all samples at
/// once.
fn wish(step: &Step, compiled: &dyn Executable) -> Option<usize> {
    let bytes = compiled.weight_bytes();
    let fits = ACTIVATION_BYTES / (size_of::<f32>() * elements(step)).max(1);
    let macs = if compiled.name() == winograd::NAME { step.macs / 3 } else { step.macs };
    let amortised =
        if bytes > RESIDENT_BYTES { (MACS_PER_BYTE * bytes as u64).div_ceil(macs.max(1)) } else { 1 };
    if bytes >= SHARED_OUT_BYTES && amortised > AMORTISED as u64 && compiled.panels() > 1 {
        return None;
    }
    let needed = usize::try_from(amortised).unwrap_or(AMORTISED).min(AMORTISED);
    // As many as the weights ask for, rounded up; as fit, rounded down.
    let tile = |size: &&usize| **size >= needed && **size * 4 > fits;
    Some(TILES.iter().find(tile).copied().unwrap_or(TILES[TILES.len() - 1]))
}

/// Elements that a step reads and writes per sample, weights aside.
fn elements(step: &Step) -> usize {
    match &step.kernel {
        Kernel::Conv(conv) => {
            let residual = if conv.residual { 2 } else { 1 };
            conv.sliding.input_rows() * conv.cin + residual * conv.sliding.output_rows() * conv.cout
        }
        Kernel::Pool(pool) => (pool.sliding.input_rows() + pool.sliding.output_rows()) * pool.channels,
        Kernel::Reduce(reduce) => reduce.outer * (reduce.len + 1) * reduce.inner,
        Kernel::Map(map) => 2 * map.rows * map.channels,
        Kernel::Affine(affine) => 2 * affine.rows * affine.channels,
        Kernel::Binary(binary) => 3 * binary.shape.iter().product::<usize>(),
        Kernel::Copy(copy) => 2 * copy.shape.iter().product::<usize>(),
        Kernel::Normalize(normalize) => 2 * normalize.rows() * normalize.channels(),
        Kernel::Lrn(lrn) => 2 * lrn.rows * lrn.channels,
        Kernel::Softmax(softmax) => 2 * softmax.outer * softmax.len * softmax.inner,
        Kernel::Fill(fill) => fill.rows * fill.channels,
        Kernel::Select(select) => select.outer * (select.len + select.count) * select.inner,
        Kernel::Embedding(embedding) => embedding.rows * (embedding.width + 1),
        Kernel::MatMul(product) => product.shapes().iter().map(|shape| shape.iter().product::<usize>()).sum(),
    }
}
