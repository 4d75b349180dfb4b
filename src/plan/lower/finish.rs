//! From drafts to steps: lifetimes, buffers and views.

use super::layout::position;
use super::{Lowering, Stored};
use crate::plan::memory::{Lifetime, share};
use crate::plan::{InputLayout, Kernel, Plan, Step, View};

impl Lowering<'_> {
    pub(super) fn finish(&mut self, input_layout: InputLayout, input: usize, output: Stored) -> Plan {
        let roots: Vec<usize> = (0..self.matrices.len()).map(|matrix| self.root(matrix).0).collect();
        let mut lifetimes: Vec<Lifetime> = self
            .matrices
            .iter()
            .map(|matrix| Lifetime { first: None, last: 0, len: matrix.rows * matrix.channels })
            .collect();
        for (at, draft) in self.drafts.iter().enumerate() {
            let life = &mut lifetimes[roots[draft.output]];
            life.first = life.first.or(Some(at));
            life.last = life.last.max(at);
            for &matrix in &draft.inputs {
                lifetimes[roots[matrix]].last = lifetimes[roots[matrix]].last.max(at);
            }
        }
        lifetimes[roots[input]].first = None;
        lifetimes[roots[output.matrix]].last = self.drafts.len();
        // Only roots that something uses get memory.
        let mut used = vec![false; self.matrices.len()];
        used[roots[input]] = true;
        used[roots[output.matrix]] = true;
        self.drafts
            .iter()
            .flat_map(|d| d.inputs.iter().chain([&d.output]))
            .for_each(|&m| used[roots[m]] = true);
        let kept: Vec<usize> = (0..self.matrices.len()).filter(|&m| used[m] && roots[m] == m).collect();
        let lives: Vec<Lifetime> = kept.iter().map(|&matrix| lifetimes[matrix]).collect();
        let (assigned, buffers) = share(&lives);
        let buffer_of = |root: usize| assigned[position(&kept, root)];
        let view = |matrix: usize, channels: usize| {
            let (root, offset) = self.root(matrix);
            let stride = if root == matrix { channels } else { self.matrices[root].channels };
            View { buffer: buffer_of(root), offset, stride }
        };
        let steps = self
            .drafts
            .iter()
            .map(|draft| {
                let (channels_in, channels_out) = channels_of(&draft.kernel);
                let residual = matches!(&draft.kernel, Kernel::Conv(conv) if conv.residual);
                let inputs: Vec<View> = draft
                    .inputs
                    .iter()
                    .enumerate()
                    .map(|(at, &matrix)| {
                        let channels = if residual && at == 1 { channels_out } else { channels_in };
                        view(matrix, channels.unwrap_or(self.matrices[matrix].channels))
                    })
                    .collect();
                let output = view(draft.output, channels_out.unwrap_or(self.matrices[draft.output].channels));
                let mut kernel = draft.kernel.clone();
                if let Kernel::Binary(binary) = &mut kernel {
                    let [a, b, out] = draft.row_form;
                    if a {
                        binary.a_strides[2] = inputs[0].stride;
                    }
                    if b {
                        binary.b_strides[2] = inputs[1].stride;
                    }
                    if out {
                        binary.out_strides[2] = output.stride;
                    }
                }
                if let Kernel::MatMul(product) = &mut kernel {
                    // Operands may be parts of wider matrices: strides over their rows follow.
                    let operands = [&mut product.a_strides, &mut product.b_strides];
                    for ((strides, view), &matrix) in operands.into_iter().zip(&inputs).zip(&draft.inputs) {
                        let channels = self.matrices[matrix].channels;
                        if view.stride == channels {
                            continue;
                        }
                        for stride in strides.iter_mut().filter(|stride| **stride >= channels) {
                            *stride = *stride / channels * view.stride;
                        }
                    }
                }
                Step { name: draft.name.clone(), kernel, inputs, output, macs: draft.macs }
            })
            .collect();
        let input_channels = self.matrices[input].channels;
        Plan {
            input: view(input, input_channels),
            output: view(output.matrix, self.matrices[output.matrix].channels),
            outputs: output.shape.iter().product(),
            input_layout,
            buffers,
            steps,
            weights: std::mem::take(&mut self.weights),
        }
    }

    /// The matrix that `matrix` is finally a part of, and its first channel there.
    pub(super) fn root(&self, mut matrix: usize) -> (usize, usize) {
        let mut offset = 0;
        while let Some((parent, at)) = self.matrices[matrix].part_of {
            offset += at;
            matrix = parent;
        }
        (matrix, offset)
    }
}

/// Channels of a kernel's input and output rows, where the kernel fixes them.
fn channels_of(kernel: &Kernel) -> (Option<usize>, Option<usize>) {
    match kernel {
        Kernel::Conv(conv) => (Some(conv.cin), Some(conv.cout)),
        Kernel::Pool(pool) => (Some(pool.channels), Some(pool.channels)),
        Kernel::Reduce(reduce) => (Some(reduce.inner), Some(reduce.inner)),
        Kernel::Map(map) => (Some(map.channels), Some(map.channels)),
        Kernel::Affine(affine) => (Some(affine.channels), Some(affine.channels)),
        Kernel::Binary(binary) => (Some(binary.shape[3]), Some(binary.shape[3])),
        Kernel::Normalize(normalize) => (Some(normalize.channels()), Some(normalize.channels())),
        Kernel::Lrn(lrn) => (Some(lrn.channels), Some(lrn.channels)),
        Kernel::Copy(_) | Kernel::Softmax(_) => (None, None),
        Kernel::Fill(fill) => (None, Some(fill.channels)),
        Kernel::Embedding(embedding) => (None, Some(embedding.width)),
        Kernel::Select(_) | Kernel::MatMul(_) => (None, None),
    }
}
