//! Steps made ready for the processor: weights packed, kernels chosen.

use std::ops::Range;

use super::depthwise::Depthwise;
use super::direct::Direct;
use super::elementwise::{Pairwise, Scaled};
use super::matmul::Multiplied;
use super::memory::{Operands, Workspace};
use super::movement::{Filled, Looked, Selected};
use super::normalize::Normalization;
use super::padded::Padded;
use super::select::{ConvKernel, choose};
use super::simd::Level;
use super::winograd::Winograd;
use crate::plan::{Kernel, Plan};

/// A step that can be run on a tile of samples.
pub(crate) trait Executable: Send + Sync {
    /// Name of the kernel, for people.
    fn name(&self) -> &'static str;

    /// Bytes of weights that a tile reads.
    fn weight_bytes(&self) -> usize {
        0
    }

    /// Floats of scratch for a tile of `samples`.
    fn scratch_floats(&self, samples: usize) -> usize {
        let _ = samples;
        0
    }

    /// Floats of partial sums.
    fn partial_floats(&self, level: Level) -> usize {
        let _ = level;
        0
    }

    /// Groups of output channels that can be computed apart from each other.
    fn panels(&self) -> usize {
        1
    }

    /// The kernel that can take its input masked, if this is it.
    fn as_padded(&self) -> Option<&Padded> {
        None
    }

    /// Computes some panels of the step on a tile of samples.
    ///
    /// # Safety
    /// The operands are those of the step: their rows lie where the plan's views say, within memory
    /// that lives and that no other thread writes, or reads where this step writes.
    /// (The plan has been checked: views lie within their buffers.)
    unsafe fn run(&self, level: Level, operands: &Operands, panels: Range<usize>, work: &mut Workspace);
}

/// Compiles a step; `forced` overrides the choice of a convolution's kernel where that is possible.
pub(crate) fn compile(
    level: Level,
    plan: &Plan,
    kernel: &Kernel,
    forced: Option<ConvKernel>,
) -> Box<dyn Executable> {
    match kernel {
        Kernel::Conv(conv) => match choose(conv, forced) {
            ConvKernel::Depthwise => Box::new(Depthwise::new(plan, conv)),
            ConvKernel::Padded => Box::new(Padded::new(level, plan, conv)),
            ConvKernel::Direct => Box::new(Direct::new(level, plan, conv)),
            ConvKernel::Winograd => Box::new(Winograd::new(level, plan, conv)),
        },
        Kernel::Pool(pool) => Box::new(*pool),
        Kernel::Reduce(reduce) => Box::new(*reduce),
        Kernel::Map(map) => Box::new(Scaled::map(map)),
        Kernel::Affine(affine) => Box::new(Scaled::affine(plan, affine)),
        Kernel::Binary(binary) => Box::new(Pairwise::new(plan, binary)),
        Kernel::Copy(copy) => Box::new(*copy),
        Kernel::Softmax(softmax) => Box::new(*softmax),
        Kernel::Fill(fill) => Box::new(Filled::new(plan, fill)),
        Kernel::Select(select) => Box::new(Selected::new(plan, select)),
        Kernel::Embedding(embedding) => Box::new(Looked::new(plan, embedding)),
        Kernel::MatMul(product) => Box::new(Multiplied::new(product)),
        Kernel::Normalize(normalize) => Box::new(Normalization::new(plan, normalize)),
        Kernel::Lrn(lrn) => Box::new(*lrn),
    }
}
