//! What instances add to the first layer, player by player.

use crate::plan::{Dense, Mixture};

/// The instances' parts of `W x + c`.
pub(super) struct First {
    /// Features of each player.
    pub features: Vec<Vec<usize>>,
    /// Bias and what is always present: `[instances, stride]`.
    pub always: Vec<f32>,
    /// What each present player adds: `[instances, players, stride]`.
    pub present: Vec<f32>,
}

impl First {
    /// Bytes of its tables.
    pub fn bytes(mixture: &Mixture, stride: usize) -> u64 {
        (mixture.instance_rows() * stride * (mixture.player_count + 1) * size_of::<f32>()) as u64
    }

    /// Takes a layer apart; `prepare` is what happens to a row before it. A sum takes `stride` numbers, those behind the
    /// layer's outputs being 0.
    pub fn new(layer: &Dense, prepare: impl Fn(&mut [f32]), mixture: &Mixture, stride: usize) -> Self {
        let mut features = vec![Vec::new(); mixture.player_count];
        let mut constant = Vec::new();
        for (feature, &player) in mixture.players.iter().enumerate() {
            features.get_mut(player as usize).unwrap_or(&mut constant).push(feature);
        }
        let instances = mixture.instance_rows();
        let mut always = Vec::with_capacity(instances * stride);
        let mut present = Vec::with_capacity(instances * stride * mixture.player_count);
        for instance in mixture.instances.chunks_exact(mixture.features) {
            let mut instance = instance.to_vec();
            prepare(&mut instance);
            always.extend(products(layer, &instance, &constant, Some(&layer.bias), stride));
            for features in &features {
                present.extend(products(layer, &instance, features, None, stride));
            }
        }
        First { features, always, present }
    }
}

/// Σ over `features` of W_j x_j (+ bias), in f64.
fn products(
    layer: &Dense,
    x: &[f32],
    features: &[usize],
    bias: Option<&[f32]>,
    stride: usize,
) -> impl Iterator<Item = f32> {
    let mut sums = vec![0.0; stride];
    if let Some(bias) = bias {
        sums.iter_mut().zip(bias).for_each(|(sum, &bias)| *sum = f64::from(bias));
    }
    for &feature in features {
        let row = &layer.weight[feature * layer.outputs..][..layer.outputs];
        let x = f64::from(x[feature]);
        sums.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += f64::from(weight) * x);
    }
    sums.into_iter().map(|sum| sum as f32)
}
