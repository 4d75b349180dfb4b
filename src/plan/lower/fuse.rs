//! Activations and residual additions that a step before can apply.

use super::layout::same_order;
use super::{Lowering, Stored};
use crate::model::{self, Node, Op, ValueId};
use crate::plan::Kernel;

impl Lowering<'_> {
    /// Whether a value's memory has a single reader. A Reshape or a Transpose gives memory a second name, so the
    /// values before them count, too.
    pub(super) fn only_reader(&self, mut value: ValueId) -> bool {
        while self.uses[value] == 1 {
            match self.producers[value].map(|at| &self.graph.nodes[at]) {
                Some(Node { op: Op::Reshape | Op::Transpose { .. }, inputs, .. }) => value = inputs[0],
                _ => return true,
            }
        }
        false
    }

    /// Writes `act` into the step that makes `input`, if that step can apply it.
    pub(super) fn fuse_activation(&mut self, input: &Stored, act: model::Activation, name: &str) -> bool {
        let Some(writer) = self.matrices[input.matrix].writer else { return false };
        let draft = &mut self.drafts[writer];
        let slot = match &mut draft.kernel {
            Kernel::Conv(conv) => &mut conv.activation,
            Kernel::Affine(affine) => &mut affine.activation,
            Kernel::Binary(binary) => &mut binary.activation,
            Kernel::Normalize(normalize) => &mut normalize.activation,
            _ => return false,
        };
        if draft.output != input.matrix || *slot != model::Activation::Identity {
            return false;
        }
        *slot = act;
        draft.name = format!("{} + {name}", draft.name);
        true
    }

    /// Lets the convolution that makes one operand add the other.
    pub(super) fn fuse_residual(&mut self, node: &Node, a: &Stored, b: &Stored) -> Option<Stored> {
        let candidate = |conv: &Stored, other: &Stored, id: ValueId| {
            let writer = self.matrices[conv.matrix].writer?;
            let draft = &self.drafts[writer];
            let Kernel::Conv(kernel) = &draft.kernel else { return None };
            let earlier = self.matrices[other.matrix].writer.is_none_or(|w| w < writer);
            let free = !kernel.residual
                && kernel.activation == model::Activation::Identity
                && draft.output == conv.matrix
                && self.only_reader(id)
                && conv.flattened.is_none()
                && other.flattened.is_none();
            let same = conv.shape == other.shape
                && same_order(&conv.shape, &conv.order, &other.order)
                && self.matrices[conv.matrix].rows == self.matrices[other.matrix].rows;
            (earlier && free && same && conv.matrix != other.matrix).then_some(writer)
        };
        let first = candidate(a, b, node.inputs[0]).map(|writer| (writer, a.clone(), b.matrix));
        let second = candidate(b, a, node.inputs[1]).map(|writer| (writer, b.clone(), a.matrix));
        let (writer, stored, other) = first.or(second)?;
        let draft = &mut self.drafts[writer];
        if let Kernel::Conv(kernel) = &mut draft.kernel {
            kernel.residual = true;
        }
        draft.inputs.push(other);
        draft.name = format!("{} + {}", draft.name, node.name);
        Some(stored)
    }
}
