//! Games over table rows: background perturbation, averaging, and the fused perceptron, against plain loops.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[path = "common/table.rs"]
mod tables;

use std::sync::Arc;

use ndarray::{Array2, array};
use proptest::prelude::*;
use tables::{by_definition, coalitions, difference, numbers, table};
use whybox::device::cpu::Cpu;
use whybox::device::{Means, MeansForm, RunOptions};
use whybox::explain::{Game, TableGame};
use whybox::model::{Activation, Model};
use whybox::perturb::{Background, Coalitions, Perturbation, TableMasker};
use whybox::plan::Plan;
use whybox::{Device, Error, Result};

/// A perceptron of these widths, perhaps with functions of the features before it and a Softmax behind it.
fn perceptron(widths: &[usize], activation: Activation, softmax: bool, scaled: bool) -> Result<Model> {
    let mut builder = Model::builder("perceptron", &widths[..1]);
    if scaled {
        builder = builder.activation(Activation::LeakyRelu { slope: 0.3 })?;
    }
    for (layer, pair) in widths.windows(2).enumerate() {
        let scale = 1.5 / (pair[0] as f32).sqrt();
        let weight: Vec<f32> = numbers(pair[0] * pair[1], 31 + layer).iter().map(|w| w * scale).collect();
        builder = builder.linear(&weight, &numbers(pair[1], 77 + layer), pair[1])?;
        if layer + 2 < widths.len() {
            builder = builder.activation(activation)?;
        }
    }
    if softmax {
        builder = builder.softmax()?;
    }
    builder.build()
}

struct Case {
    widths: Vec<usize>,
    activation: Activation,
    softmax: bool,
    scaled: bool,
    instances: usize,
    background: usize,
    coalitions: usize,
    groups: Vec<usize>,
    outputs: Vec<usize>,
    memory_bytes: Option<u64>,
}

impl Case {
    fn check(&self, device: &Device) {
        let features = self.widths[0];
        let model = perceptron(&self.widths, self.activation, self.softmax, self.scaled).expect("a model");
        let network = device.load(&model).expect("a network");
        let instances = table(self.instances, features, 5);
        let background = table(self.background, features, 6);
        let weights: Vec<f64> = numbers(self.background, 7).iter().map(|w| f64::from(w + 1.01)).collect();
        let masker = TableMasker::new(instances.view(), background.view())
            .and_then(|masker| masker.weighted(&weights))
            .and_then(|masker| masker.grouped(&self.groups))
            .expect("a sound table");
        let coalitions = coalitions(masker.players(), self.coalitions, 8);
        let expected = by_definition(
            &network,
            [&instances, &background],
            &weights,
            &self.groups,
            &coalitions,
            &self.outputs,
        );
        for means in [None, Some(MeansForm::Rows), Some(MeansForm::Fused)] {
            let options = RunOptions { memory_bytes: self.memory_bytes, means, ..RunOptions::default() };
            let game = TableGame::new(&network, masker.clone())
                .and_then(|game| game.outputs_of(&self.outputs))
                .expect("a sound game")
                .with_options(options);
            let values = game.values(&coalitions).expect("values");
            assert!(difference(&values, &expected) < 1e-5, "{means:?}: {}", difference(&values, &expected));
            // Repeated, not a bit differs.
            assert_eq!(values, game.values(&coalitions).expect("values"));
        }
    }
}

fn cases() -> Vec<Case> {
    let case = |widths: &[usize], instances, background, coalitions| Case {
        widths: widths.to_vec(),
        activation: Activation::Relu,
        softmax: false,
        scaled: false,
        instances,
        background,
        coalitions,
        groups: (0..widths[0]).collect(),
        outputs: (0..*widths.last().expect("a width")).collect(),
        memory_bytes: None,
    };
    vec![
        case(&[1, 1], 1, 1, 2),
        case(&[3, 2], 2, 5, 7),
        case(&[6, 17, 9, 3], 1, 16, 41),
        Case {
            activation: Activation::Tanh,
            softmax: true,
            outputs: vec![2, 0],
            ..case(&[6, 7, 3], 3, 33, 13)
        },
        Case { scaled: true, outputs: vec![1], ..case(&[5, 63, 33, 2], 2, 17, 11) },
        Case { groups: vec![2, 0, 0, 1, 2, 2, 1], ..case(&[7, 8, 1], 1, 100, 20) },
        Case { softmax: true, ..case(&[40, 12, 4], 2, 7, 30) },
        Case { memory_bytes: Some(8 << 20), ..case(&[9, 5, 2], 1, 63, 600) },
    ]
}

#[test]
fn values_are_those_of_the_definition() {
    let device = Device::cpu();
    cases().iter().for_each(|case| case.check(&device));
}

#[test]
fn values_are_those_of_the_definition_on_the_gpu() {
    let Some(device) = gpu::gpu() else { return };
    for case in cases().iter().take(7) {
        case.check(&device);
    }
}

#[test]
fn the_comparison_can_fail() {
    // A weight that is a hundredth off is seen.
    let model = perceptron(&[6, 17, 3], Activation::Relu, false, false).expect("a model");
    let network = Device::cpu().load(&model).expect("a network");
    let (instances, background) = (table(1, 6, 5), table(4, 6, 6));
    let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
    let coalitions = coalitions(6, 9, 8);
    let values = TableGame::new(&network, masker).and_then(|game| game.values(&coalitions)).expect("values");
    let expected = |weights: &[f64]| {
        by_definition(
            &network,
            [&instances, &background],
            weights,
            &[0, 1, 2, 3, 4, 5],
            &coalitions,
            &[0, 1, 2],
        )
    };
    assert!(difference(&values, &expected(&[1.0; 4])) < 1e-5);
    assert!(difference(&values, &expected(&[1.01, 1.0, 1.0, 1.0])) > 1e-5);
}

#[test]
fn every_instruction_set_agrees() {
    let model = perceptron(&[9, 21, 13, 3], Activation::Sigmoid, true, false).expect("a model");
    let plan = Arc::new(Plan::new(&model).expect("a plan"));
    let masker = TableMasker::new(table(2, 9, 1).view(), table(37, 9, 2).view()).expect("a table");
    let rows = Background::new(masker.clone(), Arc::new(coalitions(9, 50, 3))).expect("rows");
    let expander = rows.bind(&plan.input_layout).expect("the network's width");
    let means = Means { weights: masker.weights(), outputs: &[0, 2] };
    let run = |cpu: &Cpu, form| {
        let network = cpu.load(plan.clone()).expect("a network");
        let options = RunOptions { means: Some(form), ..RunOptions::default() };
        let mut all = Vec::new();
        let sink = &mut |groups: std::ops::Range<usize>, values: &[f64]| {
            assert_eq!(groups.start * 2, all.len());
            all.extend_from_slice(values);
            Ok(())
        };
        network.means(expander.as_ref(), rows.rows(), &means, &options, sink).expect("means");
        Array2::from_shape_vec((100, 2), all).expect("100 groups")
    };
    let expected = run(&Cpu::new(), MeansForm::Rows);
    for cpu in Cpu::all() {
        assert!(difference(&run(&cpu, MeansForm::Fused), &expected) < 1e-5, "{}", cpu.name());
    }
}

#[test]
fn long_backgrounds_are_averaged_in_spans() {
    // More rows than one span holds; the mean of a linear network is known.
    let model = perceptron(&[4, 1], Activation::Identity, false, false).expect("a model");
    let network = Device::cpu().load(&model).expect("a network");
    let (instances, background) = (table(1, 4, 5), table(70_001, 4, 6));
    let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
    let game = TableGame::new(&network, masker).expect("a game");
    let values = game.values(&Coalitions::from_words(4, (0..16).collect()).expect("words")).expect("values");
    let weight: Vec<f64> = numbers(4, 31).iter().map(|&w| f64::from(w * 1.5 / 2.0)).collect();
    let mean = background.mapv(f64::from).mean_axis(ndarray::Axis(0)).expect("rows");
    for (coalition, value) in values.iter().enumerate() {
        let x = |j: usize| if coalition >> j & 1 == 1 { f64::from(instances[[0, j]]) } else { mean[j] };
        let expected: f64 = f64::from(numbers(1, 77)[0]) + (0..4).map(|j| weight[j] * x(j)).sum::<f64>();
        assert!((value - expected).abs() < 1e-6, "{coalition}: {value} {expected}");
    }
}

#[test]
fn shapley_values_of_a_linear_network_are_known() {
    // φ_g = Σ_{j in g} w_j (x_j − mean b_j), by enumeration.
    let model = perceptron(&[7, 2], Activation::Identity, false, false).expect("a model");
    let network = Device::cpu().load(&model).expect("a network");
    let (instances, background) = (table(3, 7, 15), table(21, 7, 16));
    let groups = [0, 1, 2, 2, 3, 4, 0];
    let masker = TableMasker::new(instances.view(), background.view()).and_then(|m| m.grouped(&groups));
    let game = masker.and_then(|masker| TableGame::new(&network, masker)).expect("a game");
    let players = game.players();
    let values = game.values(&Coalitions::from_words(players, (0..1 << players).collect()).expect("words"));
    let values = values.expect("values");
    let weight = numbers(14, 31);
    for instance in 0..3 {
        for output in 0..2 {
            for player in 0..players {
                let mut shapley = 0.0;
                for without in (0..1usize << players).filter(|set| set >> player & 1 == 0) {
                    let size = without.count_ones() as usize;
                    let choices = (0..size).fold(1.0, |n, i| n * (players - 1 - i) as f64 / (i + 1) as f64);
                    let v = |set: usize| values[[set, instance * 2 + output]];
                    shapley += (v(without | 1 << player) - v(without)) / (players as f64 * choices);
                }
                let known: f64 = (0..7)
                    .filter(|&j| groups[j] == player)
                    .map(|j| {
                        let mean: f64 =
                            background.column(j).iter().map(|&b| f64::from(b)).sum::<f64>() / 21.0;
                        let w = f64::from(weight[output * 7 + j] * (1.5 / 7f32.sqrt()));
                        w * (f64::from(instances[[instance, j]]) - mean)
                    })
                    .sum();
                assert!((shapley - known).abs() < 1e-6, "{instance} {output} {player}: {shapley} {known}");
            }
        }
    }
}

#[test]
fn masked_means_are_those_of_shap() {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("fixtures/table/shap.json")).expect("recorded by record.py");
    let list = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let floats = |value: &serde_json::Value| list(value).iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let whole = |value: &serde_json::Value| list(value).iter().map(|&x| x as usize).collect::<Vec<usize>>();
    let rows = |value: &serde_json::Value| value.as_array().expect("rows").clone();

    let mut builder = Model::builder("recorded", &[9]);
    let layers = rows(&recorded["layers"]);
    for (number, layer) in layers.iter().enumerate() {
        let outputs = layer["outputs"].as_u64().expect("a count") as usize;
        builder =
            builder.linear(&floats(&layer["weight"]), &floats(&layer["bias"]), outputs).expect("a layer");
        if number + 1 < layers.len() {
            builder = builder.activation(Activation::Relu).expect("a layer");
        }
    }
    let model = builder.softmax().and_then(|builder| builder.build()).expect("a model");
    let network = Device::cpu().load(&model).expect("a network");
    let background: Vec<f32> = rows(&recorded["background"]).iter().flat_map(&floats).collect();
    let masker = TableMasker::new(
        Array2::from_shape_vec((1, 9), floats(&recorded["instance"])).expect("a row").view(),
        Array2::from_shape_vec((11, 9), background).expect("11 rows").view(),
    )
    .and_then(|masker| masker.weighted(&list(&recorded["weights"])))
    .and_then(|masker| masker.grouped(&whole(&recorded["groups"])))
    .expect("a table");
    let varying = masker.varying(0);
    assert_eq!(varying, whole(&recorded["varying"]));

    let mut coalitions = Coalitions::new(varying.len());
    let masks: Vec<Vec<usize>> = rows(&recorded["masks"]).iter().map(&whole).collect();
    masks.iter().for_each(|mask| coalitions.push(|player| mask[player] == 1));
    coalitions.push(|_| false);
    let mut expected: Vec<f64> = rows(&recorded["means"]).iter().flat_map(&list).collect();
    expected.extend(list(&recorded["base"]));
    let expected = Array2::from_shape_vec((masks.len() + 1, 3), expected).expect("a row for each mask");
    for means in [MeansForm::Rows, MeansForm::Fused] {
        let options = RunOptions { means: Some(means), ..RunOptions::default() };
        let game = masker.restricted(&varying).and_then(|masker| TableGame::new(&network, masker));
        let values = game.and_then(|game| game.with_options(options).values(&coalitions)).expect("values");
        // shap leaves the column that differs by 3e-6 at the background.
        assert!(difference(&values, &expected) < 3e-6, "{means:?}: {}", difference(&values, &expected));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let model = perceptron(&[12, 20, 2], Activation::Relu, false, false).expect("a model");
    let network = Device::cpu().load(&model).expect("a network");
    let masker = TableMasker::new(table(2, 12, 1).view(), table(2100, 12, 2).view()).expect("a table");
    // Coalitions that share nothing, and pairs of complements whose halves are an odd number.
    let alone = coalitions(12, 700, 4);
    let mut pairs = Coalitions::new(12);
    for row in 0..1023 {
        for present in [true, false] {
            pairs.push(|player| ((row * 37 + player * row / 5 + player) % 7 < 3) == present);
        }
    }
    for coalitions in [alone, pairs] {
        let values = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                TableGame::new(&network, masker.clone()).and_then(|game| game.values(&coalitions))
            })
            .expect("values")
        };
        let alone = values(1);
        for threads in [2, 3] {
            let found = values(threads);
            let apart = found.outer_iter().zip(alone.outer_iter()).position(|(a, b)| a != b);
            assert_eq!(apart, None, "{threads} threads, {} coalitions", coalitions.rows());
        }
    }
}

#[test]
fn other_networks_are_averaged_row_by_row() {
    // A network that adds its input to a layer's output is no chain.
    let model = Model::builder("pooled", &[1, 4, 4])
        .conv(&numbers(18, 3), None, 2, whybox::model::Window::square(3).pad(1), 1)
        .and_then(|builder| builder.activation(Activation::Relu))
        .and_then(|builder| builder.flatten().linear(&numbers(64, 4), &[0.1, 0.2], 2))
        .and_then(|builder| builder.build())
        .expect("a model");
    let network = Device::cpu().load(&model).expect("a network");
    let (instances, background) = (table(2, 16, 5), table(5, 16, 6));
    let masker = TableMasker::new(instances.view(), background.view()).expect("a table");
    let coalitions = coalitions(16, 12, 8);
    let game = TableGame::new(&network, masker).expect("a game");
    let players: Vec<usize> = (0..16).collect();
    let expected =
        by_definition(&network, [&instances, &background], &[1.0; 5], &players, &coalitions, &[0, 1]);
    assert!(difference(&game.values(&coalitions).expect("values"), &expected) < 1e-5);
    let forced = RunOptions { means: Some(MeansForm::Fused), ..RunOptions::default() };
    assert!(matches!(game.with_options(forced).values(&coalitions), Err(Error::Parameter(_))));
}

#[test]
fn bad_tables_are_parameter_errors() {
    let one = array![[1.0f32, 2.0]];
    let parameter = |result: Result<TableMasker>, word: &str| match result {
        Err(Error::Parameter(detail)) => {
            assert!(format!("{detail}").contains(word), "{detail}: {word} is missing");
        }
        other => panic!("{word}: {other:?}"),
    };
    parameter(TableMasker::new(one.view(), Array2::zeros((0, 2)).view()), "no rows");
    parameter(TableMasker::new(Array2::zeros((0, 2)).view(), one.view()), "no row to explain");
    parameter(TableMasker::new(one.view(), Array2::zeros((3, 3)).view()), "3 columns");
    parameter(TableMasker::new(array![[1.0, f32::NAN]].view(), one.view()), "instances: row 0, column 1");
    parameter(
        TableMasker::new(one.view(), array![[f32::INFINITY, 0.0]].view()),
        "background: row 0, column 0",
    );
    let masker = || TableMasker::new(one.view(), one.view());
    parameter(masker().and_then(|m| m.weighted(&[1.0, 2.0])), "2 weights");
    parameter(masker().and_then(|m| m.weighted(&[-1.0])), "weight is -1");
    parameter(masker().and_then(|m| m.weighted(&[0.0])), "add up to 0");
    parameter(masker().and_then(|m| m.grouped(&[0])), "1 groups");
    parameter(masker().and_then(|m| m.grouped(&[0, 2])), "group 1");
    parameter(masker().and_then(|m| m.grouped(&[0, usize::MAX])), "group 1");
    parameter(masker().and_then(|m| m.restricted(&[0, 0])), "named twice");
    parameter(masker().and_then(|m| m.with_instances(array![[1.0]].view())), "columns");

    let network = Device::cpu().load(&perceptron(&[3, 1], Activation::Relu, false, false).expect("a model"));
    let network = network.expect("a network");
    assert!(matches!(masker().and_then(|m| TableGame::new(&network, m)), Err(Error::Parameter(_))));
    let game = || {
        TableMasker::new(table(1, 3, 1).view(), table(9, 3, 1).view())
            .and_then(|m| TableGame::new(&network, m))
    };
    assert!(matches!(game().and_then(|g| g.outputs_of(&[1])), Err(Error::Parameter(_))));
    assert!(matches!(game().and_then(|g| g.outputs_of(&[])), Err(Error::Parameter(_))));
    assert!(matches!(game().and_then(|g| g.values(&Coalitions::new(4))), Err(Error::Parameter(_))));
    let small = RunOptions { memory_bytes: Some(100), ..RunOptions::default() };
    let limited = game().and_then(|g| g.with_options(small).values(&coalitions(3, 4, 1)));
    assert!(matches!(limited, Err(Error::Limits(_))));
}

#[test]
fn a_network_that_answers_nan_is_reported() {
    let model = Model::builder("overflow", &[2]).linear(&[3e38, 3e38], &[0.0], 1).and_then(|b| b.build());
    let network = Device::cpu().load(&model.expect("a model")).expect("a network");
    let masker = TableMasker::new(array![[3.0, 3.0]].view(), Array2::zeros((8, 2)).view()).expect("a table");
    for means in [MeansForm::Rows, MeansForm::Fused] {
        let options = RunOptions { means: Some(means), ..RunOptions::default() };
        let game = TableGame::new(&network, masker.clone()).expect("a game").with_options(options);
        assert!(matches!(game.values(&coalitions(2, 9, 1)), Err(Error::Numeric(_))), "{means:?}");
    }
}

#[test]
fn restricted_players_leave_the_others_present() {
    let network =
        Device::cpu().load(&perceptron(&[4, 5, 1], Activation::Tanh, false, false).expect("a model"));
    let network = network.expect("a network");
    let masker = TableMasker::new(table(1, 4, 1).view(), table(9, 4, 2).view()).expect("a table");
    let whole = TableGame::new(&network, masker.clone()).expect("a game");
    let part = masker.restricted(&[3, 1]).and_then(|m| TableGame::new(&network, m)).expect("a game");
    let part = part.values(&Coalitions::from_words(2, vec![0b00, 0b01, 0b10, 0b11]).expect("words"));
    let whole =
        whole.values(&Coalitions::from_words(4, vec![0b0101, 0b1101, 0b0111, 0b1111]).expect("words"));
    assert!(difference(&part.expect("values"), &whole.expect("values")) < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_size_agrees_with_the_definition(
        features in 1usize..40,
        hidden in proptest::collection::vec(1usize..40, 0..3),
        outputs in 1usize..6,
        instances in 1usize..4,
        background in 1usize..50,
        rows in 1usize..20,
        softmax: bool,
        scaled: bool,
    ) {
        let mut widths = vec![features];
        widths.extend(&hidden);
        widths.push(outputs);
        let case = Case {
            widths,
            activation: Activation::Relu,
            softmax,
            scaled,
            instances,
            background,
            coalitions: rows,
            groups: (0..features).map(|feature| feature / 2).collect(),
            outputs: (0..outputs).rev().collect(),
            memory_bytes: None,
        };
        case.check(&Device::cpu());
    }
}
