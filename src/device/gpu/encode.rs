//! A step as data for the GPU: which pipeline, which constants, which uniform, which grid.
//!
//! Pure functions of plan, arena and sizes; nothing here touches a device.

use super::arena::{Arena, Region};
use super::grid::grid_of_threads;
use super::pack::{Packed, group_channels};
use super::select::{Caps, Tile};
use super::source::Permutation;
use crate::model::BinaryKind;
use crate::plan::{Binary, Conv, Copy, Kernel, Operand, Plan, Step, View};

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dispatch {
    /// Its pipeline.
    pub permutation: Permutation,
    /// Read-only buffers from binding 2 on. (A masked convolution's further ones are the perturbation's.)
    pub constants: Vec<Packed>,
    /// Its uniform.
    pub uniform: Vec<u8>,
    /// Workgroups.
    pub grid: [u32; 2],
}

/// Pipeline, uniform and grid.
pub(super) type Encoded = (Permutation, Vec<u8>, [u32; 2]);

/// Where a view's element (sample 0, row 0, channel 0) lies, and the way to the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) base: u32,
    pub(super) sample: u32,
    pub(super) stride: u32,
}

/// Makes dispatches for chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder<'a> {
    /// What is executed; `check` has accepted it.
    pub plan: &'a Plan,
    /// Where activations lie.
    pub arena: &'a Arena,
    /// What the adapter can do.
    pub caps: &'a Caps,
    /// Samples in the run's chunks: kernels are chosen for these.
    pub chunk_rows: usize,
    /// Forces a convolution kernel, for tests and benchmarks.
    pub tile: Option<Tile>,
    /// Samples in the chunk at hand, at most `chunk_rows`.
    pub rows: usize,
}

/// Sizes have been checked against buffers of less than 2³¹ bytes, so they fit.
pub(super) fn word(n: usize) -> u32 {
    debug_assert!(n <= u32::MAX as usize);
    n as u32
}

pub(super) fn words<const N: usize>(numbers: [usize; N]) -> [u32; N] {
    numbers.map(word)
}

/// Whether rows of a view begin at multiples of four.
pub(super) fn aligned(view: View, rows: usize) -> bool {
    view.offset.is_multiple_of(4) && (rows == 1 || view.stride.is_multiple_of(4))
}

/// Whether quads along the last axis of strided axes are contiguous and begin at multiples of four.
pub(super) fn aligned_axes(view: View, shape: &[usize], strides: &[usize]) -> bool {
    let (Some((last, outer)), Some((1, strides))) = (shape.split_last(), strides.split_last()) else {
        return false;
    };
    let steps = outer.iter().zip(strides).all(|(&len, stride)| len == 1 || stride.is_multiple_of(4));
    last.is_multiple_of(4) && view.offset.is_multiple_of(4) && steps
}

pub(super) fn permutation(shader: &'static str, vec4: bool) -> Permutation {
    Permutation { shader, defines: if vec4 { &["VEC4"] } else { &[] } }
}

/// The same over columns of a block.
pub(super) fn shared_permutation(shader: &'static str, vec4: bool) -> Permutation {
    Permutation { shader, defines: if vec4 { &["SHARED", "VEC4"] } else { &["SHARED"] } }
}

pub(super) fn is_depthwise(conv: &Conv) -> bool {
    conv.groups > 1 && conv.groups == conv.cin && conv.groups == conv.cout
}

/// The constants of a step, in the order of their bindings.
pub(crate) fn constants(step: &Step) -> Vec<Packed> {
    match &step.kernel {
        Kernel::Conv(conv) => {
            let taps: usize = conv.sliding.window.kernel.iter().product();
            if is_depthwise(conv) {
                return vec![
                    Packed::Depthwise { weight: conv.weight, channels: conv.cout, taps },
                    Packed::Vector { weight: conv.bias, groups: 1, len: conv.cout },
                ];
            }
            let [cout, cin] = group_channels(conv);
            vec![
                Packed::Conv { weight: conv.weight, groups: conv.groups, k: taps * cin, cout },
                Packed::Vector { weight: conv.bias, groups: conv.groups, len: cout },
            ]
        }
        Kernel::Affine(affine) => [affine.scale, affine.shift]
            .map(|weight| Packed::Vector { weight: Some(weight), groups: 1, len: affine.channels })
            .to_vec(),
        Kernel::Binary(Binary { kind: BinaryKind::Add, b: Operand::Constant(weight), .. }) => {
            vec![Packed::Added { weight: *weight }]
        }
        Kernel::Binary(Binary { b: Operand::Constant(weight), .. }) => {
            vec![Packed::Plain { weight: *weight }]
        }
        Kernel::Fill(fill) => vec![Packed::Plain { weight: fill.value }],
        Kernel::Select(select) => vec![Packed::Plain { weight: select.indices }],
        Kernel::Embedding(embedding) => vec![Packed::Table { weight: embedding.table }],
        Kernel::Normalize(normalize) => normalize
            .scale
            .into_iter()
            .chain(normalize.shift)
            .map(|weight| Packed::Plain { weight })
            .collect(),
        _ => Vec::new(),
    }
}

impl Encoder<'_> {
    /// A step; the first convolution with the masked input if `masked_words` (words of a row of masks) is given.
    pub(crate) fn step(&self, step: &Step, masked_words: Option<usize>) -> Dispatch {
        let (permutation, uniform, grid) = match &step.kernel {
            Kernel::Conv(conv) => self.conv(step, conv, masked_words),
            Kernel::Pool(pool) => self.pool(step, pool),
            Kernel::Reduce(reduce) => self.reduce(step, reduce),
            Kernel::Map(map) => self.channels("map", step, map.rows, map.channels, map.activation),
            Kernel::Affine(affine) => {
                self.channels("affine", step, affine.rows, affine.channels, affine.activation)
            }
            Kernel::Binary(binary) => self.binary(step, binary),
            Kernel::Copy(copy) => self.copy(self.place(step.inputs[0]), self.place(step.output), copy, {
                aligned_axes(step.inputs[0], &copy.shape, &copy.in_strides)
                    && aligned_axes(step.output, &copy.shape, &copy.out_strides)
            }),
            Kernel::Softmax(softmax) => self.softmax(step, softmax),
            Kernel::Fill(fill) => self.fill(step, fill),
            Kernel::Select(select) => self.select(step, select),
            Kernel::Embedding(embedding) => self.embedding(step, embedding),
            Kernel::MatMul(product) => self.matmul(step, product),
            Kernel::Normalize(normalize) => self.normalize(step, normalize),
            Kernel::Lrn(lrn) => self.lrn(step, lrn),
        };
        Dispatch { permutation, constants: constants(step), uniform, grid }
    }

    /// Gathers the outputs into `[rows, outputs]` without gaps.
    pub(crate) fn responses(&self) -> Dispatch {
        let outputs = self.plan.outputs;
        let strides = [outputs, outputs, outputs, outputs, outputs, 1];
        let copy = Copy { shape: [1, 1, 1, 1, 1, outputs], in_strides: strides, out_strides: strides };
        let Region { base, sample } = self.arena.responses;
        let to = Place { base, sample, stride: sample };
        let vec4 = outputs.is_multiple_of(4) && self.plan.output.offset.is_multiple_of(4);
        let (permutation, uniform, grid) = self.copy(self.place(self.plan.output), to, &copy, vec4);
        Dispatch { permutation, constants: Vec::new(), uniform, grid }
    }

    pub(super) fn place(&self, view: View) -> Place {
        let Region { base, sample } = self.arena.buffers[view.buffer];
        Place { base: base + word(view.offset), sample, stride: word(view.stride) }
    }

    pub(super) fn flat(&self, threads: usize) -> (u32, [u32; 2]) {
        let threads = word(threads);
        (threads, grid_of_threads(threads, self.caps.grid_groups))
    }
}
