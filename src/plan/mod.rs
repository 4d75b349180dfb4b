//! Plans: what a network's graph becomes before any device is touched.
//!
//! [`Plan::new`] lowers a [`Graph`](crate::model::Graph) to a list of [`Step`]s over shared buffers: constants
//! folded, activations and residual additions fused into convolutions, everything with channels and space
//! stored channels last, Concat written in place. [`Schedule`] decides, per run, what depends on the run:
//! how many samples go through the network at once, and how the first layer gets its input.

pub(crate) mod access;
mod check;
mod chunk;
mod head;
mod locality;
mod lower;
mod memory;
mod mixture;
mod mlp;
mod movement;
pub mod sharing;
mod step;

pub(crate) use check::check;
pub use chunk::{FirstLayer, Needs, Schedule, human_bytes};
pub(crate) use head::{Dense, Head};
pub use locality::{Dependence, Locality};
pub use mixture::Mixture;
pub(crate) use mlp::Mlp;
pub use movement::*;
pub use sharing::{Sharing, SharingReport};
pub use step::*;

/// A network as steps, buffers and constants; the same for every engine.
///
/// # Example
/// ```
/// use whybox::{model::Model, plan::Plan};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let plan = Plan::new(&model)?;
/// assert_eq!((plan.steps.len(), plan.input_layout.len()), (1, 2));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    /// How a sample of the input is stored.
    pub input_layout: InputLayout,
    /// Where the input is expected (contiguous).
    pub input: View,
    /// Where the output is found (contiguous, in the graph's order).
    pub output: View,
    /// Elements of the output per sample.
    pub outputs: usize,
    /// Elements per sample of each activation buffer. Buffers are shared by values that do not live at the
    /// same time.
    pub buffers: Vec<usize>,
    /// Steps in executable order.
    pub steps: Vec<Step>,
    /// Constants.
    pub weights: Vec<Weight>,
}

impl Plan {
    /// Elements of all activation buffers per sample.
    pub fn activation_elements(&self) -> usize {
        self.buffers.iter().sum()
    }

    /// Multiply-adds per sample.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|step| step.macs).sum()
    }

    /// Whether the first step can take the masked input itself: a convolution without groups that is the
    /// only reader of the network's input, whose input is a picture stored channels last.
    pub fn masked_first_layer(&self) -> Option<&Conv> {
        let first = self.steps.first()?;
        let Kernel::Conv(conv) = &first.kernel else { return None };
        let reads = |step: &Step| step.inputs.iter().any(|view| view.buffer == self.input.buffer);
        let input_dies = first.inputs.len() == 1
            && first.inputs[0] == self.input
            && first.output.buffer != self.input.buffer
            && !self.input_read_after_first(&reads);
        (input_dies && conv.groups == 1).then_some(conv)
    }

    /// Whether the first step can select between the two states that `locality` describes: it reads pixels whose
    /// channels lie together, and there is a player for each of them. (A Linear over a flattened picture reads one
    /// long row.)
    pub fn can_mask(&self, locality: &Locality) -> bool {
        self.masked_first_layer().is_some_and(|conv| {
            let pixels = conv.sliding.input_rows();
            let len = pixels * conv.cin;
            self.input.stride == conv.cin
                && self.input_layout.len() == len
                && locality.players.len() == pixels
                && locality.instance.len() == len
                && locality.baseline.len() == len
        })
    }

    fn input_read_after_first(&self, reads: &dyn Fn(&Step) -> bool) -> bool {
        // The buffer may be used again by a later value: only reads before the next write count.
        for step in &self.steps[1..] {
            if reads(step) {
                return true;
            }
            if step.output.buffer == self.input.buffer {
                return false;
            }
        }
        false
    }
}
