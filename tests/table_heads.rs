//! Means of networks whose first layer is Linear and that are no chains: instance and background meet behind that layer.

#[path = "common/table.rs"]
mod tables;

use std::sync::Arc;

use ndarray::{Array2, array};
use proptest::prelude::*;
use tables::{by_definition, coalitions, difference, noise, numbers, table};
use whybox::device::cpu::Cpu;
use whybox::device::{Means, MeansForm, RunOptions};
use whybox::model::{Activation, BinaryKind, Builder, Model, Tensor};
use whybox::perturb::{Background, Coalitions, Perturbation, TableMasker};
use whybox::plan::Plan;
use whybox::{Device, Error, Network, Result};

/// A Linear layer of numbers that look random, large enough to matter.
fn linear(builder: Builder, outputs: usize, seed: usize) -> Result<Builder> {
    let inputs = *builder.shape().last().expect("an axis");
    let scale = 1.5 / (inputs as f32).sqrt();
    let weight: Vec<f32> = numbers(inputs * outputs, 31 + seed).iter().map(|w| w * scale).collect();
    builder.linear(&weight, &numbers(outputs, 77 + seed), outputs)
}

/// Two layers with a way around the second.
fn residual(features: usize, width: usize, outputs: usize) -> Result<Model> {
    let net = linear(Model::builder("residual", &[features]), width, 0)?.activation(Activation::Relu)?;
    let around = net.mark();
    let net = linear(net, width, 1)?.activation(Activation::Relu)?.add(around)?;
    let around = net.mark();
    let net = linear(net, width, 2)?.add(around)?.activation(Activation::Tanh)?;
    linear(net, outputs, 3)?.build()
}

/// A normalisation between the first layer and its function.
fn normalised(features: usize, width: usize, outputs: usize) -> Result<Model> {
    let net = linear(Model::builder("normalised", &[features]), width, 0)?;
    let net = net.layer_norm(&numbers(width, 5), &numbers(width, 6), 1e-5)?.activation(Activation::Gelu)?;
    linear(net, outputs, 1)?.softmax()?.build()
}

/// Two branches behind the first layer, side by side before the last.
fn branches(features: usize, width: usize, outputs: usize) -> Result<Model> {
    let net = linear(Model::builder("branches", &[features]), width, 0)?.activation(Activation::Sigmoid)?;
    let both = net.mark();
    let net = linear(net, 7, 1)?.activation(Activation::Relu)?;
    let left = net.mark();
    let net = linear(net.resume(both)?, 5, 2)?.activation(Activation::Tanh)?.concat(&[left, both])?;
    linear(net, outputs, 3)?.build()
}

/// Scaled features, a norm that no layer takes in, and the first layer's sums read twice.
fn scaled(features: usize, width: usize, outputs: usize) -> Result<Model> {
    let net = Model::builder("scaled", &[features])
        .affine(&numbers(features, 8), &numbers(features, 9))?
        .activation(Activation::LeakyRelu { slope: 0.3 })?;
    let net = net.binary_const(BinaryKind::Mul, &Tensor::new(&[features], numbers(features, 10)))?;
    let net = linear(net, width, 0)?;
    let sums = net.mark();
    let net = net.activation(Activation::Relu)?.affine(&numbers(width, 11), &numbers(width, 12))?;
    linear(net.add(sums)?, outputs, 1)?.build()
}

/// A chain whose second layer does not stay in cache; from 1,500 units on it runs over all rows of a chunk at once.
fn large(features: usize, width: usize, outputs: usize) -> Result<Model> {
    let net = linear(Model::builder("large", &[features]), width, 0)?.activation(Activation::Relu)?;
    let net = linear(net, 1500, 1)?.activation(Activation::Relu)?;
    linear(net, outputs, 2)?.build()
}

struct Case {
    network: fn(usize, usize, usize) -> Result<Model>,
    features: usize,
    width: usize,
    instances: usize,
    background: usize,
    coalitions: usize,
    /// Player of each feature.
    groups: Vec<usize>,
    /// Players of the game; the others always show the instance.
    players: Vec<usize>,
}

fn case(network: fn(usize, usize, usize) -> Result<Model>, features: usize, width: usize) -> Case {
    Case {
        network,
        features,
        width,
        instances: 2,
        background: 7,
        coalitions: 23,
        groups: (0..features).collect(),
        players: (0..features).collect(),
    }
}

/// A run's form and its means: `[coalitions, instances · outputs]`.
fn means(
    network: &Network,
    masker: &TableMasker,
    sets: &Coalitions,
    outputs: &[usize],
    options: &RunOptions,
) -> Result<(MeansForm, Array2<f64>)> {
    let rows = Background::new(masker.clone(), Arc::new(sets.clone()))?;
    let asked = Means { weights: masker.weights(), outputs };
    let mut all = Vec::new();
    let report = network.means(&rows, &asked, options, &mut |groups, values| {
        assert_eq!(groups.start * outputs.len(), all.len(), "groups come in order");
        assert_eq!(groups.len() * outputs.len(), values.len());
        all.extend_from_slice(values);
        Ok(())
    })?;
    let shape = (sets.rows(), masker.instances() * outputs.len());
    Ok((report.form, Array2::from_shape_vec(shape, all).expect("a mean for each group")))
}

fn form(means: MeansForm) -> RunOptions {
    RunOptions { means: Some(means), ..RunOptions::default() }
}

/// The same sets where all players are named: those that do not play are present.
fn whole(sets: &Coalitions, all: usize, playing: &[usize]) -> Coalitions {
    let mut whole = Coalitions::new(all);
    for row in 0..sets.rows() {
        let plays = |player: usize| playing.iter().position(|&playing| playing == player);
        whole.push(|player| plays(player).is_none_or(|at| sets.contains(row, at)));
    }
    whole
}

impl Case {
    fn masker(&self) -> TableMasker {
        let (instances, background) = self.tables();
        let weights: Vec<f64> = numbers(self.background, 7).iter().map(|w| f64::from(w + 1.01)).collect();
        TableMasker::new(instances.view(), background.view())
            .and_then(|masker| masker.weighted(&weights))
            .and_then(|masker| masker.grouped(&self.groups))
            .and_then(|masker| masker.restricted(&self.players))
            .expect("a sound table")
    }

    fn tables(&self) -> (Array2<f32>, Array2<f32>) {
        (table(self.instances, self.features, 5), table(self.background, self.features, 6))
    }

    fn check(&self) {
        let model = (self.network)(self.features, self.width, 3).expect("a model");
        let network = Device::cpu().load(&model).expect("a network");
        let masker = self.masker();
        let sets = coalitions(masker.players(), self.coalitions, 8);
        let (instances, background) = self.tables();
        let all = self.groups.iter().max().map_or(0, |most| most + 1);
        let outputs = [2, 0];
        let expected = by_definition(
            &network,
            [&instances, &background],
            masker.weights(),
            &self.groups,
            &whole(&sets, all, &self.players),
            &outputs,
        );
        let name = format!("{}, {} → {}, {} rows", model.name(), self.features, self.width, self.background);
        let (found, values) =
            means(&network, &masker, &sets, &outputs, &form(MeansForm::Fused)).expect("means");
        assert_eq!(found, MeansForm::Fused, "{name}");
        let error = difference(&values, &expected);
        println!("{name}: {error:.1e}");
        assert!(error < 1e-5, "{name}: {error}");
        let (_, values) = means(&network, &masker, &sets, &outputs, &RunOptions::default()).expect("means");
        assert!(difference(&values, &expected) < 1e-5, "{name}");
    }
}

#[test]
fn values_are_those_of_the_definition() {
    let cases = [
        case(residual, 6, 16),
        case(normalised, 6, 17),
        case(branches, 9, 33),
        case(scaled, 5, 8),
        case(residual, 1, 1),
        // Blocks of many rows, of one row, and of more rows than there are.
        Case { background: 1000, coalitions: 12, ..case(residual, 7, 5) },
        Case { background: 5, coalitions: 9, instances: 1, ..case(normalised, 8, 1100) },
        Case { background: 1, ..case(branches, 4, 20) },
        Case { background: 100, instances: 9, coalitions: 31, ..case(scaled, 11, 64) },
        // Large later layers, in tiles and over all rows of a chunk at once.
        Case { background: 17, ..case(large, 8, 100) },
        Case { background: 9, coalitions: 7, ..case(large, 8, 1500) },
        // Players of many features, as one-hot columns are, across words, and players that always show.
        Case {
            groups: (0..200).map(|feature| feature * 12 / 200).collect(),
            players: (0..12).collect(),
            coalitions: 600,
            ..case(residual, 200, 24)
        },
        Case { players: vec![3, 0, 2], groups: vec![2, 0, 0, 1, 3, 2, 1], ..case(branches, 7, 12) },
        Case { players: (1..70).rev().collect(), coalitions: 40, ..case(residual, 70, 12) },
        Case { players: vec![], ..case(normalised, 3, 10) },
    ];
    cases.iter().for_each(Case::check);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_size_agrees_with_the_definition(
        network in prop::sample::select(vec![residual as fn(_, _, _) -> _, normalised, branches, scaled]),
        features in 1usize..40,
        width in 1usize..70,
        instances in 1usize..4,
        background in 1usize..40,
        coalitions in 1usize..30,
        group in 1usize..4,
    ) {
        let groups: Vec<usize> = (0..features).map(|feature| feature / group).collect();
        let players = (0..features.div_ceil(group)).collect();
        Case { instances, background, coalitions, groups, players, ..case(network, features, width) }.check();
    }
}

/// Random coalitions, each followed by its complement.
fn paired(players: usize, pairs: usize) -> Coalitions {
    let mut next = noise(4);
    let mut sets = Coalitions::new(players);
    for _ in 0..pairs {
        let drawn: Vec<bool> = (0..players).map(|_| next() > 0.0).collect();
        for present in [true, false] {
            sets.push(|player| drawn[player] == present);
        }
    }
    sets
}

#[test]
fn a_part_without_end_does_not_spoil_complements() {
    // log 0 = −∞, which the layer and ReLU make 0. The sum over all players is infinite, so no complement follows from it.
    let (features, width) = (9, 16);
    let weights: Vec<f32> = numbers(features * width, 3).iter().map(|w| w + 1.1).collect();
    for chain in [true, false] {
        let net = Model::builder("logarithms", &[features]).activation(Activation::Log).expect("a function");
        let net = net.linear(&weights, &numbers(width, 4), width).expect("a layer");
        let net = net.activation(Activation::Relu).expect("a function");
        let around = net.mark();
        let net =
            if chain { net } else { linear(net, width, 5).and_then(|net| net.add(around)).expect("a layer") };
        let model = linear(net, 2, 6).expect("a layer").build().expect("a model");
        let instances = table(2, features, 5).mapv(|x| x + 1.5);
        let mut background = table(20, features, 6).mapv(|x| x + 1.5);
        background[[7, 4]] = 0.0;
        let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
        let network = Device::cpu().load(&model).expect("a network");
        let sets = paired(features, 300);
        let by = |options: &RunOptions| means(&network, &masker, &sets, &[0, 1], options).expect("numbers");
        let (found, values) = by(&form(MeansForm::Fused));
        assert_eq!(found, MeansForm::Fused);
        assert!(difference(&values, &by(&form(MeansForm::Rows)).1) < 1e-5, "chain: {chain}");
    }
}

#[test]
fn means_of_linear_parts_are_known() {
    // Around a layer without a function: v(z) is the network's answer to the mean of the mixed rows, here in f64.
    let (features, width, rows) = (8, 6, 1000);
    let net = linear(Model::builder("line", &[features]), width, 0).expect("a layer");
    let around = net.mark();
    let net = linear(net, width, 1).and_then(|net| net.add(around)).expect("a layer");
    let network = Device::cpu().load(&net.build().expect("a model")).expect("a network");
    let (instances, background) = (table(3, features, 1), table(rows, features, 2));
    let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
    let sets = paired(features, 40);
    let outputs: Vec<usize> = (0..width).collect();
    let (found, values) = means(&network, &masker, &sets, &outputs, &RunOptions::default()).expect("means");
    assert_eq!(found, MeansForm::Fused);

    let layer = |x: &[f64], seed: usize, bias: f64| -> Vec<f64> {
        let scale = 1.5 / (x.len() as f32).sqrt();
        let weights: Vec<f64> =
            numbers(x.len() * width, 31 + seed).iter().map(|&w| f64::from(w * scale)).collect();
        let sums = weights.chunks_exact(x.len()).zip(numbers(width, 77 + seed));
        sums.map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias * f64::from(b)).collect()
    };
    let mean = background.mapv(f64::from).mean_axis(ndarray::Axis(0)).expect("rows");
    let expected = |bias: f64, flipped: Option<usize>| {
        let mut all = Vec::new();
        for set in 0..sets.rows() {
            for instance in instances.outer_iter() {
                let present = |j: usize| sets.contains(set, j) != (flipped == Some(set));
                let x: Vec<f64> = (0..features)
                    .map(|j| if present(j) { f64::from(instance[j]) } else { mean[j] })
                    .collect();
                let first = layer(&x, 0, 1.0);
                let second = layer(&first, 1, bias);
                all.extend(first.iter().zip(second).map(|(a, b)| a + b));
            }
        }
        Array2::from_shape_vec((sets.rows(), 3 * width), all).expect("a mean for each group")
    };
    let error = difference(&values, &expected(1.0, None));
    assert!(error < 1e-6, "{error}");
    // Negative controls: a bias that is a thousandth off, and one set taken for its complement.
    assert!(difference(&values, &expected(1.001, None)) > 1e-5);
    assert!(difference(&values, &expected(1.0, Some(77))) > 1e-2);
}

#[test]
fn threads_and_memory_do_not_change_a_bit() {
    for (model, background) in
        [(residual(12, 20, 2), 333), (branches(12, 70, 2), 50), (large(12, 150, 2), 20)]
    {
        let model = model.expect("a model");
        let network = Device::cpu().load(&model).expect("a network");
        let masker =
            TableMasker::new(table(3, 12, 1).view(), table(background, 12, 2).view()).expect("a table");
        let sets = paired(12, 101);
        let run = |threads: usize, memory_bytes: Option<u64>| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let options = RunOptions { memory_bytes, ..form(MeansForm::Fused) };
            pool.install(|| means(&network, &masker, &sets, &[0, 1], &options))
        };
        let (_, alone) = run(1, None).expect("means");
        for threads in [1, 2, 3] {
            for memory_bytes in [None, Some(64 << 20), Some(6 << 20), Some(3 << 20)] {
                let (_, found) = run(threads, memory_bytes).expect("means");
                let apart = found.outer_iter().zip(alone.outer_iter()).position(|(a, b)| a != b);
                assert_eq!(apart, None, "{}: {threads} threads, {memory_bytes:?}", model.name());
            }
        }
        // Too little for sums: the rows may still fit, unless this form is asked for.
        let little = RunOptions { memory_bytes: Some(200 << 10), ..form(MeansForm::Fused) };
        let refused = means(&network, &masker, &sets, &[0, 1], &little).map(drop);
        assert!(matches!(refused, Err(Error::Limits(_))), "{refused:?}");
    }
    let network = Device::cpu().load(&residual(12, 20, 2).expect("a model")).expect("a network");
    let masker = TableMasker::new(table(3, 12, 1).view(), table(50, 12, 2).view()).expect("a table");
    let little = RunOptions { memory_bytes: Some(200 << 10), ..RunOptions::default() };
    let (found, _) = means(&network, &masker, &paired(12, 9), &[0], &little).expect("means");
    assert_eq!(found, MeansForm::Rows);
}

#[test]
fn an_instance_gets_alone_what_it_gets_among_others() {
    let network = Device::cpu().load(&residual(9, 30, 2).expect("a model")).expect("a network");
    let (instances, background) = (table(20, 9, 1), table(37, 9, 2));
    let sets = coalitions(9, 90, 3);
    let values = |instances: &Array2<f32>| {
        let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
        means(&network, &masker, &sets, &[0, 1], &form(MeansForm::Fused)).expect("means").1
    };
    let together = values(&instances);
    for number in [0, 1, 19] {
        let alone = values(&instances.slice(ndarray::s![number..=number, ..]).to_owned());
        assert_eq!(alone, together.slice(ndarray::s![.., 2 * number..2 * number + 2]), "instance {number}");
    }
}

#[test]
fn every_instruction_set_agrees() {
    let model = normalised(9, 21, 3).expect("a model");
    let plan = Arc::new(Plan::new(&model).expect("a plan"));
    let masker = TableMasker::new(table(2, 9, 1).view(), table(37, 9, 2).view()).expect("a table");
    let rows = Background::new(masker.clone(), Arc::new(coalitions(9, 50, 3))).expect("rows");
    let expander = rows.bind(&plan.input_layout).expect("the network's width");
    let asked = Means { weights: masker.weights(), outputs: &[0, 2] };
    let run = |cpu: &Cpu, means| {
        let network = cpu.load(plan.clone()).expect("a network");
        let mut all = Vec::new();
        let sink = &mut |_: std::ops::Range<usize>, values: &[f64]| {
            all.extend_from_slice(values);
            Ok(())
        };
        network.means(expander.as_ref(), rows.rows(), &asked, &form(means), sink).expect("means");
        Array2::from_shape_vec((100, 2), all).expect("100 groups")
    };
    let expected = run(&Cpu::new(), MeansForm::Rows);
    for cpu in Cpu::all() {
        assert!(difference(&run(&cpu, MeansForm::Fused), &expected) < 1e-5, "{}", cpu.name());
    }
}

#[test]
fn an_input_that_is_read_again_keeps_its_rows() {
    // Once as it is, once behind the features' own functions.
    let again = |before: bool| -> Result<Model> {
        let net = Model::builder("again", &[6]);
        let input = net.mark();
        let net = net.affine(&numbers(6, 1), &numbers(6, 2))?;
        let inside = net.mark();
        let net = linear(linear(net, 6, 0)?.activation(Activation::Relu)?, 6, 1)?;
        linear(net.add(if before { input } else { inside })?, 2, 2)?.build()
    };
    for before in [true, false] {
        let network = Device::cpu().load(&again(before).expect("a model")).expect("a network");
        let (instances, background) = (table(2, 6, 5), table(9, 6, 6));
        let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
        let (sets, players) = (coalitions(6, 30, 8), [0, 1, 2, 3, 4, 5]);
        let expected =
            by_definition(&network, [&instances, &background], &[1.0; 9], &players, &sets, &[0, 1]);
        let (found, values) =
            means(&network, &masker, &sets, &[0, 1], &RunOptions::default()).expect("means");
        assert_eq!(found, MeansForm::Rows);
        assert!(difference(&values, &expected) < 1e-5);
        let refused = means(&network, &masker, &sets, &[0, 1], &form(MeansForm::Fused)).map(drop);
        assert!(matches!(refused, Err(Error::Parameter(_))), "{refused:?}");
    }
}

#[test]
fn an_answer_that_is_no_number_is_named() {
    // The way around doubles what overflows: one background row, where its first feature shows.
    let net = Model::builder("overflow", &[2]).linear(&[1.0, 0.0, 0.0, 1.0], &[0.0; 2], 2).expect("a layer");
    let around = net.mark();
    let net =
        net.linear(&[3.0, 0.0, 0.0, 1.0], &[0.0; 2], 2).and_then(|net| net.add(around)).expect("a layer");
    let network = Device::cpu().load(&net.build().expect("a model")).expect("a network");
    let mut background = table(40, 2, 1);
    background[[29, 0]] = 2e38;
    let masker = TableMasker::new(array![[1.0, 2.0], [3.0, 4.0]].view(), background.view()).expect("a table");
    let sets = Coalitions::from_words(2, vec![0b01, 0b11, 0b10, 0b00]).expect("words");
    let told = |means_form, memory_bytes, outputs: &[usize]| {
        let options = RunOptions { memory_bytes, ..form(means_form) };
        match means(&network, &masker, &sets, outputs, &options).map(drop) {
            Err(Error::Numeric(detail)) => detail.to_string(),
            other => panic!("{means_form:?}: {other:?}"),
        }
    };
    // Row 29 of the third coalition's first instance; output 0 counts though it is not asked for.
    let expected = told(MeansForm::Rows, None, &[1]);
    assert!(expected.contains(&format!("sample {}, output 0", 4 * 40 + 29)), "{expected}");
    for memory_bytes in [None, Some(1 << 20)] {
        for outputs in [&[0][..], &[1], &[1, 0]] {
            assert_eq!(told(MeansForm::Fused, memory_bytes, outputs), expected);
        }
    }
}
