//! A perceptron as plain numbers, asked about tables whose rows mix instances and background.

use std::sync::Arc;

use ndarray::ArrayView2;
use whybox::device::{Means, MeansForm, RunOptions};
use whybox::model::{Activation, Model};
use whybox::perturb::{Background, Coalitions, TableMasker};
use whybox::{Device, Error};

/// A perceptron as plain numbers, and the table that it is asked about.
#[derive(Clone)]
pub struct Table {
    pub widths: Vec<usize>,
    pub hidden: Activation,
    /// `true`: its logarithm.
    pub softmax: Option<bool>,
    /// What the network does to each feature first.
    pub before: Activation,
    pub instances: usize,
    pub background: usize,
    pub coalitions: usize,
    /// Coalitions that are the complement of the one before.
    pub complements: Vec<usize>,
    /// Player of each feature.
    pub groups: Vec<usize>,
    /// Players of the game; the others always show the instance.
    pub players: Vec<usize>,
    pub outputs: Vec<usize>,
}

impl Table {
    pub fn new(widths: &[usize], instances: usize, background: usize, coalitions: usize) -> Self {
        Table {
            widths: widths.to_vec(),
            hidden: Activation::Relu,
            softmax: None,
            before: Activation::Identity,
            instances,
            background,
            coalitions,
            complements: Vec::new(),
            groups: (0..widths[0]).collect(),
            players: (0..widths[0]).collect(),
            outputs: (0..widths[widths.len() - 1]).collect(),
        }
    }

    /// Weights `[outputs, inputs]` and biases of each layer.
    pub fn layers(&self) -> Vec<[Vec<f32>; 2]> {
        let layer = |(number, pair): (usize, &[usize])| {
            let scale = 1.5 / (pair[0] as f32).sqrt();
            let weight = (0..pair[0] * pair[1]).map(|at| scale * number_at(1000 * number + at)).collect();
            [weight, (0..pair[1]).map(|at| 0.5 * number_at(77 + number + at)).collect()]
        };
        self.widths.windows(2).enumerate().map(layer).collect()
    }

    pub fn model(&self) -> Model {
        let mut builder = Model::builder("perceptron", &self.widths[..1]);
        if self.before != Activation::Identity {
            builder = builder.activation(self.before).expect("a function");
        }
        let layers = self.layers();
        for (layer, [weight, bias]) in layers.iter().enumerate() {
            builder = builder.linear(weight, bias, bias.len()).expect("shapes fit");
            if layer + 1 < layers.len() {
                builder = builder.activation(self.hidden).expect("a function");
            }
        }
        if let Some(log) = self.softmax {
            builder = builder.softmax_along(0, log).expect("an axis");
        }
        builder.build().expect("a sound network")
    }

    pub fn rows(&self, rows: usize, seed: usize) -> Vec<f32> {
        let numbers = (0..rows * self.widths[0]).map(|at| 2.0 * number_at(seed + at));
        numbers.map(|x| if self.before == Activation::Identity { x } else { x.abs() }).collect()
    }

    pub fn instance_rows(&self) -> Vec<f32> {
        self.rows(self.instances, 5)
    }

    pub fn background_rows(&self) -> Vec<f32> {
        self.rows(self.background, 600)
    }

    pub fn weights(&self) -> Vec<f64> {
        let weights: Vec<f64> = (0..self.background).map(|at| 0.2 + (at % 7) as f64).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    pub fn sets(&self) -> Coalitions {
        let mut sets = Coalitions::new(self.players.len());
        let mut before: Vec<bool> = Vec::new();
        for row in 0..self.coalitions {
            let drawn = |player| number_at(31 * row + 7 * player) > 0.0;
            let opposite = self.complements.contains(&row);
            let set: Vec<bool> = (0..self.players.len())
                .map(|player| if opposite { !before[player] } else { drawn(player) })
                .collect();
            sets.push(|player| set[player]);
            before = set;
        }
        sets
    }

    pub fn view<'a>(&self, rows: &'a [f32]) -> ArrayView2<'a, f32> {
        let features = self.widths[0];
        ArrayView2::from_shape((rows.len() / features, features), rows).expect("whole rows")
    }

    /// The fused means on a device: `[coalitions, instances, outputs]`.
    pub fn fused(&self, device: &Device, instances: &[f32], background: &[f32]) -> Vec<f64> {
        self.try_fused(device, instances, background).expect("a sound run")
    }

    pub fn try_fused(
        &self,
        device: &Device,
        instances: &[f32],
        background: &[f32],
    ) -> Result<Vec<f64>, Error> {
        let options = RunOptions { means: Some(MeansForm::Fused), ..RunOptions::default() };
        let (form, means) = self.means(device, &self.model(), &options, [instances, background])?;
        assert_eq!(form, MeansForm::Fused);
        Ok(means)
    }

    /// The means of any network on this table, whose rows are instances and background.
    pub fn means(
        &self,
        device: &Device,
        model: &Model,
        options: &RunOptions,
        [instances, background]: [&[f32]; 2],
    ) -> Result<(MeansForm, Vec<f64>), Error> {
        let masker = TableMasker::new(self.view(instances), self.view(background))
            .and_then(|masker| masker.grouped(&self.groups))
            .and_then(|masker| masker.restricted(&self.players))
            .expect("a sound table");
        let rows = Background::new(masker, Arc::new(self.sets())).expect("sets of the table's players");
        let asked = Means { weights: &self.weights(), outputs: &self.outputs };
        let mut all = Vec::new();
        let sink = &mut |groups: std::ops::Range<usize>, values: &[f64]| {
            assert_eq!(groups.start * self.outputs.len(), all.len(), "groups come in order");
            assert_eq!(groups.len() * self.outputs.len(), values.len());
            all.extend_from_slice(values);
            Ok(())
        };
        let report = device.load(model).and_then(|net| net.means(&rows, &asked, options, sink))?;
        Ok((report.form, all))
    }

    /// The same by the definition: every row by itself, in f64.
    pub fn by_definition(&self, instances: &[f32], background: &[f32]) -> Vec<f64> {
        let (layers, sets, weights) = (self.layers(), self.sets(), self.weights());
        let features = self.widths[0];
        let mut means = Vec::new();
        for set in 0..self.coalitions {
            let present = |feature: usize| {
                let player = self.players.iter().position(|&player| player == self.groups[feature]);
                player.is_none_or(|player| sets.contains(set, player))
            };
            for instance in instances.chunks_exact(features) {
                let mut sums = vec![0.0; self.outputs.len()];
                for (other, weight) in background.chunks_exact(features).zip(&weights) {
                    let row = (0..features).map(|j| if present(j) { instance[j] } else { other[j] });
                    let answers = self.answers(&layers, row.map(f64::from).collect());
                    for (sum, &output) in sums.iter_mut().zip(&self.outputs) {
                        *sum += weight * answers[output];
                    }
                }
                means.extend(sums);
            }
        }
        means
    }

    pub fn answers(&self, layers: &[[Vec<f32>; 2]], mut row: Vec<f64>) -> Vec<f64> {
        row.iter_mut().for_each(|x| match self.before {
            Activation::Identity => {}
            Activation::Sqrt => *x = x.sqrt(),
            Activation::Log => *x = x.ln(),
            other => panic!("{other:?} has no reference here"),
        });
        for (number, [weight, bias]) in layers.iter().enumerate() {
            let neuron = |(weight, &bias): (&[f32], &f32)| {
                let sum: f64 = weight.iter().zip(&row).map(|(&w, &x)| f64::from(w) * x).sum();
                let sum = sum + f64::from(bias);
                match self.hidden {
                    _ if number + 1 == layers.len() => sum,
                    Activation::Relu => sum.max(0.0),
                    Activation::Tanh => sum.tanh(),
                    other => panic!("{other:?} has no reference here"),
                }
            };
            row = weight.chunks_exact(row.len()).zip(bias).map(neuron).collect();
        }
        if let Some(log) = self.softmax {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter_mut().for_each(|x| *x = if log { *x - sum.ln() } else { x.exp() / sum });
        }
        row
    }
}

/// The like without a period, for larger tables.
pub fn number_at(at: usize) -> f32 {
    let mixed = (at as u32 ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0xc2b2_ae35);
    (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// Largest difference over the largest value.
pub fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// f32 against f64: 2e-7 was seen.
pub const FUSED: f64 = 1e-6;

/// The fused means of tables are those of the definition.
pub fn agree(device: &Device, tables: &[Table]) {
    for table in tables {
        let (instances, background) = (table.instance_rows(), table.background_rows());
        let found = table.fused(device, &instances, &background);
        let error = distance(&found, &table.by_definition(&instances, &background));
        println!("{:?}: {error:.1e}", table.widths);
        assert!(error < FUSED, "{:?} on {} instances: {error:e}", table.widths, table.instances);
    }
}
