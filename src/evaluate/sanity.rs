//! The sanity check by randomisation: an explanation that stays the same when the network forgets what it has learnt
//! does not explain the network.

use rand::seq::SliceRandom;

use crate::Result;
use crate::model::{Model, Op, Tensor};
use crate::perturb::philox::Philox;

/// Stream of the Philox generator for the weights.
const STREAM: u32 = 0x5341_4E45;

/// The same network with the weights of its last `layers` Linears and convolutions shuffled, each tensor in itself, so
/// that their distribution stays as it was (cascading randomisation of Adebayo et al. 2018, *Sanity checks for
/// saliency maps*). `usize::MAX` randomises all of them. Explain both, and compare the attributions by
/// [`rank_correlation`](super::rank_correlation): a trustworthy method gives about 0.
///
/// # Errors
/// None for a valid model.
///
/// # Example
/// ```
/// use whybox::{builtin, evaluate::randomised};
///
/// let network = builtin::network()?;
/// let forgetful = randomised(&network, usize::MAX, 7)?;
/// assert_eq!(forgetful.parameters(), network.parameters());
/// assert_ne!(forgetful, network);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn randomised(model: &Model, layers: usize, seed: u64) -> Result<Model> {
    let mut graph = model.graph().clone();
    let mut draws = Philox::new(seed, STREAM);
    let mut left = layers;
    for node in graph.nodes.iter_mut().rev() {
        if left == 0 {
            break;
        }
        if let Op::Conv { weight, .. } | Op::Linear { weight, .. } = &mut node.op {
            let mut data = weight.data.to_vec();
            data.shuffle(&mut draws);
            *weight = Tensor::new(&weight.shape.clone(), data);
            left -= 1;
        }
    }
    Model::from_graph(format!("{} with {} layers randomised", model.name(), layers - left), graph)
}
