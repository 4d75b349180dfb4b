//! Constants as the kernels want them: vec4, in the order in which they are read.

use crate::device::Precision;
use crate::plan::{Conv, Plan, WeightId};

/// Rows of packed convolution weights are a multiple of this, the deepest tile along K.
pub(crate) const K_MULTIPLE: usize = 16;

/// What is added to hide something from a Softmax, such as −1e9 or −1e30: nothing that a network computes shows behind it.
const HIDDEN: f32 = -1e9;

/// A constant in a kernel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Packed {
    /// `[groups, K, cout]` as vec4 `[groups, K rounded up, quads of cout]`, filled up with 0.
    Conv { weight: WeightId, groups: usize, k: usize, cout: usize },
    /// `[channels, taps]` as vec4 `[taps, quads of channels]`, filled up with 0.
    Depthwise { weight: WeightId, channels: usize, taps: usize },
    /// `[groups, len]` (zeros if there is none) as vec4 `[groups, quads of len]`, filled up with 0.
    Vector { weight: Option<WeightId>, groups: usize, len: usize },
    /// As it is.
    Plain { weight: WeightId },
    /// The same, a large one.
    Table { weight: WeightId },
    /// The same, added to activations.
    Added { weight: WeightId },
}

/// Output channels of a group and input channels of a group.
pub(crate) fn group_channels(conv: &Conv) -> [usize; 2] {
    [conv.cout / conv.groups, conv.cin / conv.groups]
}

impl Packed {
    /// How it is stored on a device of this precision: what is large as everything else, the rest always in f32.
    pub(crate) fn precision(self, precision: Precision) -> Precision {
        match self {
            Packed::Conv { .. } | Packed::Depthwise { .. } | Packed::Table { .. } => precision,
            Packed::Vector { .. } | Packed::Plain { .. } | Packed::Added { .. } => Precision::F32,
        }
    }

    /// The elements to upload to a device of this precision: [`elements`](Packed::elements), but where activations are f16, an
    /// attention mask's −1e30 is the infinity that it stands for, since a sum with it has to be stored.
    pub(crate) fn elements_in(self, plan: &Plan, precision: Precision) -> Vec<f32> {
        let mut elements = self.elements(plan);
        if let (Packed::Added { .. }, Precision::F16) = (self, precision) {
            elements.iter_mut().filter(|x| **x <= HIDDEN).for_each(|x| *x = f32::NEG_INFINITY);
        }
        elements
    }

    /// The elements, in the kernel's order. The plan has been checked: its constants have the lengths that the
    /// steps need.
    pub(crate) fn elements(self, plan: &Plan) -> Vec<f32> {
        match self {
            Packed::Conv { weight, groups, k, cout } => {
                let (pitch, rows) = (cout.next_multiple_of(4), k.next_multiple_of(K_MULTIPLE));
                let mut packed = vec![0.0; groups * rows * pitch];
                let from = &plan.weights[weight].data;
                for (number, row) in from.chunks_exact(cout).enumerate() {
                    let to = (number / k * rows + number % k) * pitch;
                    packed[to..to + cout].copy_from_slice(row);
                }
                packed
            }
            Packed::Depthwise { weight, channels, taps } => {
                let pitch = channels.next_multiple_of(4);
                let mut packed = vec![0.0; taps * pitch];
                for (channel, filter) in plan.weights[weight].data.chunks_exact(taps).enumerate() {
                    for (tap, &value) in filter.iter().enumerate() {
                        packed[tap * pitch + channel] = value;
                    }
                }
                packed
            }
            Packed::Vector { weight, groups, len } => {
                let pitch = len.next_multiple_of(4);
                let mut packed = vec![0.0; groups * pitch];
                if let Some(weight) = weight {
                    let from = plan.weights[weight].data.chunks_exact(len);
                    for (to, from) in packed.chunks_exact_mut(pitch).zip(from) {
                        to[..len].copy_from_slice(from);
                    }
                }
                packed
            }
            Packed::Plain { weight } | Packed::Table { weight } | Packed::Added { weight } => {
                plan.weights[weight].data.to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{InputLayout, View, Weight};

    #[test]
    fn packs_by_quads() {
        let view = View { buffer: 0, offset: 0, stride: 1 };
        let plan = Plan {
            input_layout: InputLayout { shape: vec![1], channels_last: false, vocabulary: None },
            input: view,
            output: view,
            outputs: 1,
            buffers: vec![1],
            steps: Vec::new(),
            weights: vec![Weight { data: (1..=12).map(|n| n as f32).collect() }],
        };
        // Two groups of K = 3 and two outputs.
        let conv = Packed::Conv { weight: 0, groups: 2, k: 3, cout: 2 }.elements(&plan);
        assert_eq!(conv.len(), 2 * 16 * 4);
        assert_eq!(conv[..12], [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
        assert_eq!(conv[12..64], [0.0; 52]);
        assert_eq!(conv[64..68], [7.0, 8.0, 0.0, 0.0]);

        let depthwise = Packed::Depthwise { weight: 0, channels: 6, taps: 2 }.elements(&plan);
        assert_eq!(
            depthwise,
            [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 0.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 0.0, 0.0]
        );

        let vector = Packed::Vector { weight: Some(0), groups: 2, len: 6 }.elements(&plan);
        assert_eq!(vector[..8], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
        assert_eq!(vector[8..10], [7.0, 8.0]);
        let none = Packed::Vector { weight: None, groups: 2, len: 3 }.elements(&plan);
        assert_eq!(none, [0.0; 8]);
    }
}
