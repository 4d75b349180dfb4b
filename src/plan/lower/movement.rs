//! Constants, entries picked along an axis, rows of tables.

use super::layout::position;
use super::{COPY_AXES, Lowering, Matrix, Stored};
use crate::model::{NOTHING, Node, Op, Tensor};
use crate::plan::{Copy, Embedding, Fill, Kernel, Select};
use crate::{Error, Result};

/// Entries of an axis that a [`Select`] numbers: as many whole numbers as f32 holds without a gap.
const MOST_ENTRIES: usize = 1 << 24;

/// The first index and the step of indices that are evenly spaced.
fn progression(indices: &[u32]) -> Option<(usize, usize)> {
    let first = *indices.first()?;
    let step = indices.get(1).map_or(Some(0), |second| second.checked_sub(first))?;
    let even =
        indices.windows(2).all(|pair| pair[0] != NOTHING && pair[0].checked_add(step) == Some(pair[1]));
    (first != NOTHING && !indices.contains(&NOTHING) && even).then_some((first as usize, step as usize))
}

impl Lowering<'_> {
    pub(super) fn fill(&mut self, node: &Node, value: &Tensor) -> Stored {
        let output = self.store(&value.shape, (0..value.shape.len()).collect());
        let Matrix { rows, channels, .. } = self.matrices[output.matrix];
        let kernel = Kernel::Fill(Fill { rows, channels, value: self.weight(value.data.clone()) });
        self.step(&node.name, kernel, &[], output.matrix, 0);
        output
    }

    pub(super) fn select(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        axis: usize,
        indices: &[u32],
        fill: f32,
    ) -> Result<Stored> {
        let input = self.unflattened(input);
        let at = position(&input.order, axis);
        let length = |axes: &[usize]| -> usize { axes.iter().map(|&axis| input.shape[axis]).product() };
        let (outer, inner) = (length(&input.order[..at]), length(&input.order[at + 1..]));
        let len = input.shape[axis];
        let spaced = progression(indices);
        if let Some((first, step)) = spaced
            && (step == 1 || indices.len() == 1)
            && let Some(matrix) = self.part(&input, outer, len * inner, first * inner, indices.len() * inner)
        {
            return Ok(Stored { matrix, shape, order: input.order, flattened: None });
        }
        let source = self.contiguous_if(true, input.matrix);
        let output = self.store(&shape, input.order.clone());
        self.matrices[output.matrix].pinned = true;
        let (name, count) = (&node.name, indices.len());
        if let Some((first, step)) = spaced {
            // A copy from the first entry on, in steps.
            let tail = self.matrices.len();
            let rest = outer * len * inner - first * inner;
            self.matrices.push(Matrix {
                rows: 1,
                channels: rest,
                part_of: Some((source, first * inner)),
                pinned: true,
                writer: self.matrices[source].writer,
            });
            let mut copy =
                Copy { shape: [1; COPY_AXES], in_strides: [0; COPY_AXES], out_strides: [0; COPY_AXES] };
            copy.shape[3..].copy_from_slice(&[outer, count, inner]);
            copy.in_strides[3..].copy_from_slice(&[len * inner, step * inner, 1]);
            copy.out_strides[3..].copy_from_slice(&[count * inner, inner, 1]);
            self.step(name, Kernel::Copy(copy), &[tail], output.matrix, 0);
            return Ok(output);
        }
        if len > MOST_ENTRIES {
            return Err(Error::unsupported(
                format!("it picks from an axis of {len} entries"),
                format!("node {name:?} ({})", node.op.name()),
                "export the network with shorter axes",
            ));
        }
        let numbers: Vec<f32> =
            indices.iter().map(|&index| if index == NOTHING { -1.0 } else { index as f32 }).collect();
        let indices = self.weight(numbers.into());
        let kernel = Kernel::Select(Select { outer, len, inner, count, indices, fill });
        self.step(name, kernel, &[source], output.matrix, 0);
        Ok(output)
    }

    /// `channels` channels from `offset` on of a matrix seen as `rows` × `width`: no copy, where rows stay what they
    /// are, or there is but one.
    fn part(
        &mut self,
        input: &Stored,
        rows: usize,
        width: usize,
        offset: usize,
        channels: usize,
    ) -> Option<usize> {
        let whole = &mut self.matrices[input.matrix];
        let same = (whole.rows, whole.channels) == (rows, width);
        if !same && (rows > 1 || whole.part_of.is_some()) {
            return None;
        }
        whole.pinned |= !same;
        let writer = whole.writer;
        self.matrices.push(Matrix {
            rows,
            channels,
            part_of: Some((input.matrix, offset)),
            pinned: false,
            writer,
        });
        Some(self.matrices.len() - 1)
    }

    pub(super) fn embedding(
        &mut self,
        node: &Node,
        input: &Stored,
        shape: Vec<usize>,
        table: &Tensor,
    ) -> Stored {
        let input = self.unflattened(input);
        let plain: Vec<usize> = (0..input.shape.len()).collect();
        let input = self.in_order(&input, &plain);
        let source = self.contiguous_if(true, input.matrix);
        let output = self.store(&shape, (0..shape.len()).collect());
        let kernel = Kernel::Embedding(Embedding {
            rows: input.shape.iter().product(),
            vocabulary: table.shape[0],
            width: table.shape[1],
            table: self.weight(table.data.clone()),
        });
        self.step(&node.name, kernel, &[source], output.matrix, 0);
        output
    }

    /// How many token ids there are, if the network looks its input up in tables.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it looks up computed numbers: whether they are in the table would not be known.
    pub(super) fn vocabulary(&self) -> Result<Option<usize>> {
        // Values that hold nothing but elements of the input.
        let mut given = vec![false; self.graph.values.len()];
        given[self.graph.input] = true;
        let mut vocabulary: Option<usize> = None;
        for node in &self.graph.nodes {
            match &node.op {
                Op::Embedding { table } if given[node.inputs[0]] => {
                    let rows = table.shape[0].min(MOST_ENTRIES);
                    vocabulary = Some(vocabulary.map_or(rows, |least| least.min(rows)));
                }
                Op::Embedding { .. } => {
                    return Err(Error::unsupported(
                        "it looks up numbers that the network computes",
                        format!("node {:?} ({})", node.name, node.op.name()),
                        "export a network that looks up its input's token ids",
                    ));
                }
                Op::Reshape | Op::Transpose { .. } | Op::Concat { .. } => {
                    given[node.output] = node.inputs.iter().all(|&input| given[input]);
                }
                Op::Select { indices, .. } => {
                    given[node.output] = given[node.inputs[0]] && !indices.contains(&NOTHING);
                }
                _ => {}
            }
        }
        Ok(vocabulary)
    }
}
