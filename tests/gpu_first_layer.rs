//! The first layer of a table's game on the GPU: complements from their pair, and parts that meet behind the layer.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/perceptron.rs"]
mod perceptron;

use gpu::gpu;
use perceptron::{FUSED, Table, agree, distance, number_at};
use whybox::device::{MeansForm, RunOptions};
use whybox::model::{Activation, Builder, Model};
use whybox::{Device, Error};

/// Too wide for the fused perceptron, so that parts meet behind the first layer.
const WIDE: usize = 70;

fn pairs(coalitions: usize) -> Vec<usize> {
    (1..coalitions).step_by(2).collect()
}

#[test]
fn complements_are_what_their_pair_leaves() {
    let Some(device) = gpu() else { return };
    agree(
        &device,
        &[
            // Pairs; a last one without its complement; one instance and several chunks of them; two blocks of background.
            Table { complements: pairs(6), ..Table::new(&[30, 64, 32, 2], 1, 100, 6) },
            Table { complements: pairs(5), outputs: vec![1], ..Table::new(&[30, 64, 32, 2], 33, 300, 5) },
            Table {
                complements: pairs(4),
                hidden: Activation::Tanh,
                ..Table::new(&[64, 64, 64, 64], 9, 30, 4)
            },
            // Single coalitions before, between and behind pairs.
            Table { complements: vec![2, 4, 8], ..Table::new(&[9, 21, 3], 4, 41, 10) },
            // z, z̄, z; and z, z̄, z, z̄, z.
            Table { complements: vec![1, 2], ..Table::new(&[6, 10, 2], 3, 7, 3) },
            Table { complements: vec![1, 2, 3, 4], ..Table::new(&[6, 10, 2], 1, 7, 5) },
            // No layer behind the first; Softmax.
            Table { complements: pairs(4), ..Table::new(&[7, 5], 33, 513, 4) },
            Table { complements: pairs(5), softmax: Some(true), ..Table::new(&[6, 9, 20, 11, 5], 2, 261, 5) },
            // Groups of features, players that are always present, more players than a word has bits.
            Table {
                complements: pairs(8),
                groups: vec![2, 0, 0, 1, 3, 2, 1],
                players: vec![3, 0, 2],
                ..Table::new(&[7, 16, 2], 20, 50, 8)
            },
            Table {
                complements: pairs(9),
                players: vec![1, 36, 4, 33],
                ..Table::new(&[40, 24, 1], 5, 20, 9)
            },
            Table { complements: pairs(4), ..Table::new(&[50, 24, 2], 2, 20, 4) },
            Table { complements: pairs(4), before: Activation::Sqrt, ..Table::new(&[5, 18, 2], 7, 11, 4) },
            // Nobody varies.
            Table { complements: pairs(4), players: vec![], ..Table::new(&[3, 10, 1], 17, 9, 4) },
            Table { complements: pairs(2), ..Table::new(&[1, 1], 1, 1, 2) },
        ],
    );
}

#[test]
fn complements_can_differ() {
    // Negative control: a complement's mean tells instances, background rows and constant features apart.
    let Some(device) = gpu() else { return };
    for width in [20, WIDE] {
        complements_of_width_can_differ(&device, width);
    }
}

fn complements_of_width_can_differ(device: &Device, width: usize) {
    let table =
        Table { complements: vec![1], players: vec![0, 1, 3], ..Table::new(&[4, width, 2], 3, 40, 2) };
    let (instances, background) = (table.instance_rows(), table.background_rows());
    let found = table.fused(device, &instances, &background);
    let complement = |means: &[f64]| means[means.len() / 2..].to_vec();
    let error = |wrong: &Table, instances: &[f32], background: &[f32]| {
        distance(&complement(&found), &complement(&wrong.by_definition(instances, background)))
    };
    assert!(error(&table, &instances, &background) < FUSED);
    let changed = |rows: &[f32], cell: usize| {
        let mut rows = rows.to_vec();
        rows[cell] += 0.1;
        rows
    };
    let sets = table.sets();
    let present = (0..3).find(|&player| sets.contains(1, player)).expect("somebody is present");
    let absent = (0..3).find(|&player| !sets.contains(1, player)).expect("somebody is absent");
    for cell in [2, table.players[present]] {
        assert!(error(&table, &changed(&instances, cell), &background) > 10.0 * FUSED);
    }
    assert!(error(&table, &instances, &changed(&background, table.players[absent])) > 10.0 * FUSED);
    // A feature that is always present hides the background's.
    assert!(error(&table, &instances, &changed(&background, 2)) < FUSED);
    let same = Table { complements: vec![], coalitions: 1, ..table.clone() };
    assert!(distance(&complement(&found), &same.by_definition(&instances, &background)) > 10.0 * FUSED);
}

#[test]
fn infinite_cells_are_not_paired() {
    // The network takes logarithms: 0 becomes −∞, which Tanh takes to ±1, so both sides have means; what −∞ leaves of
    // a total of −∞ would be none.
    let Some(device) = gpu() else { return };
    for width in [18, WIDE] {
        infinite_cells_of_width_are_not_paired(&device, width);
    }
}

fn infinite_cells_of_width_are_not_paired(device: &Device, width: usize) {
    let table = Table::new(&[4, width, 2], 2, 11, 2);
    let table = Table { before: Activation::Log, hidden: Activation::Tanh, complements: vec![1], ..table };
    let (mut instances, mut background) = (table.instance_rows(), table.background_rows());
    for side in 0..2 {
        [&mut instances, &mut background][side][5] = 0.0;
        let expected = table.by_definition(&instances, &background);
        assert!(expected.iter().all(|value| value.is_finite()));
        let error = distance(&table.fused(device, &instances, &background), &expected);
        assert!(error < FUSED, "{error:e}");
    }
}

#[test]
fn a_mean_that_is_no_number_is_an_error_in_pairs() {
    let Some(device) = gpu() else { return };
    for width in [18, WIDE] {
        let table =
            Table { before: Activation::Sqrt, complements: vec![1], ..Table::new(&[4, width, 2], 2, 11, 2) };
        let (mut instances, background) = (table.instance_rows(), table.background_rows());
        // The second instance's first feature.
        instances[4] = -1.0;
        let group = if table.sets().contains(0, 0) { 1 } else { 3 };
        let error = table.try_fused(&device, &instances, &background).expect_err("a root of −1");
        assert!(matches!(&error, Error::Numeric(_)), "{error:?}");
        assert!(error.to_string().contains(&format!("group {group}, ")), "{error}");
    }
}

#[test]
fn parts_meet_behind_a_wide_layer() {
    let Some(device) = gpu() else { return };
    agree(
        &device,
        &[
            // No pairs, one instance and many; widths that are no multiples of four.
            Table::new(&[30, WIDE, 2], 1, 20, 3),
            Table { outputs: vec![1], ..Table::new(&[9, 71, 3], 7, 13, 4) },
            // Pairs; a last one without its complement; single ones between them; z, z̄, z.
            Table { complements: pairs(6), ..Table::new(&[6, WIDE, 2], 1, 9, 6) },
            Table { complements: pairs(5), ..Table::new(&[5, 130, 33, 1], 5, 8, 5) },
            Table {
                complements: vec![2, 4, 8],
                hidden: Activation::Tanh,
                ..Table::new(&[8, 72, 66, 3], 2, 5, 10)
            },
            Table { complements: vec![1, 2], ..Table::new(&[66, 6, 2], 3, 7, 3) },
            // Groups of features, players that are always present, more of them than a word has bits.
            Table {
                complements: pairs(8),
                groups: vec![2, 0, 0, 1, 3, 2, 1],
                players: vec![3, 0, 2],
                ..Table::new(&[7, WIDE, 2], 4, 6, 8)
            },
            Table {
                complements: pairs(4),
                players: (4..40).collect(),
                ..Table::new(&[45, WIDE, 1], 2, 20, 4)
            },
            Table { complements: pairs(4), players: vec![], ..Table::new(&[3, WIDE, 1], 2, 4, 4) },
            Table { before: Activation::Sqrt, softmax: Some(true), ..Table::new(&[5, WIDE, 3], 3, 4, 5) },
            // The layer is the whole network.
            Table { complements: pairs(2), ..Table::new(&[4, 67], 2, 3, 2) },
            Table { complements: pairs(2), ..Table::new(&[1, WIDE, 1], 1, 1, 2) },
        ],
    );
}

/// Linear, LayerNorm, Relu, and a residual block around two more Linear layers.
fn residual(table: &Table) -> Model {
    let width = table.widths[1];
    let numbers = |len: usize, scale: f32, seed: usize| -> Vec<f32> {
        (0..len).map(|at| scale * number_at(seed + at)).collect()
    };
    let linear = |builder: Builder, inputs: usize, outputs: usize, seed: usize| {
        let weight = numbers(inputs * outputs, 1.5 / (inputs as f32).sqrt(), seed);
        builder.linear(&weight, &numbers(outputs, 0.5, seed + 7), outputs).expect("shapes fit")
    };
    let builder = linear(Model::builder("residual", &table.widths[..1]), table.widths[0], width, 1);
    let builder = builder.layer_norm(&numbers(width, 1.0, 3), &numbers(width, 0.2, 4), 1e-5).expect("a norm");
    let builder = builder.activation(Activation::Relu).expect("a function");
    let start = builder.mark();
    let builder = linear(builder, width, 20, 5000).activation(Activation::Tanh).expect("a function");
    let builder = linear(builder, 20, width, 6000).add(start).expect("equal shapes");
    linear(builder, width, 2, 7000).build().expect("a sound network")
}

fn forced(form: MeansForm, memory_bytes: Option<u64>) -> RunOptions {
    RunOptions { means: Some(form), memory_bytes, ..RunOptions::default() }
}

#[test]
fn residual_networks_have_a_head() {
    let Some(device) = gpu() else { return };
    for table in [
        Table { complements: vec![1, 3], ..Table::new(&[9, 24, 2], 3, 11, 5) },
        Table { players: vec![0, 2, 3, 8], ..Table::new(&[9, 25, 2], 6, 7, 4) },
    ] {
        let (model, rows) = (residual(&table), [table.instance_rows(), table.background_rows()]);
        let rows = [&rows[0][..], &rows[1]];
        let (form, expected) =
            table.means(&Device::cpu(), &model, &forced(MeansForm::Rows, None), rows).expect("a sound run");
        assert_eq!(form, MeansForm::Rows);
        let run = |form| table.means(&device, &model, &forced(form, None), rows).expect("a sound run");
        let (form, dense) = run(MeansForm::Rows);
        assert_eq!(form, MeansForm::Rows);
        let (form, found) = run(MeansForm::Fused);
        assert_eq!(form, MeansForm::Fused);
        for found in [dense, found] {
            let error = distance(&found, &expected);
            assert!(error < 1e-5, "{:?}: {error:e}", table.widths);
        }
    }
}

#[test]
fn chunks_of_any_size_give_the_same_means() {
    // Chunks within a group, across groups, coalitions and pairs.
    let Some(device) = gpu() else { return };
    let table = Table { complements: vec![2, 4, 6], ..Table::new(&[5, WIDE, 2], 3, 7, 8) };
    let (instances, background) = (table.instance_rows(), table.background_rows());
    let expected = table.by_definition(&instances, &background);
    let mut runs = 0;
    let mut cap = 16 << 10;
    while cap < 400 << 10 {
        let options = forced(MeansForm::Fused, Some(cap));
        match table.means(&device, &table.model(), &options, [&instances, &background]) {
            Ok((form, found)) => {
                let error = distance(&found, &expected);
                assert!(form == MeansForm::Fused && error < FUSED, "{cap} bytes: {error:e}");
                runs += 1;
            }
            Err(error) => assert!(matches!(&error, Error::Limits(_)) && runs == 0, "{error:?}"),
        }
        cap += cap / 20;
    }
    assert!(runs > 20, "{runs} runs");
}

#[test]
fn an_instance_gets_alone_what_it_gets_among_others_behind_parts() {
    let Some(device) = gpu() else { return };
    let table = Table { complements: vec![2, 4], ..Table::new(&[6, WIDE, 2], 9, 8, 5) };
    let (instances, background) = (table.instance_rows(), table.background_rows());
    let (together, outputs) = (table.fused(&device, &instances, &background), table.outputs.len());
    for number in [0, 4, 8] {
        let alone = table.fused(&device, &instances[6 * number..][..6], &background);
        for (set, alone) in alone.chunks_exact(outputs).enumerate() {
            let at = (set * table.instances + number) * outputs;
            assert!(
                distance(alone, &together[at..][..outputs]) < FUSED,
                "instance {number}, coalition {set}"
            );
        }
    }
}

#[test]
fn parts_are_chosen_where_they_save() {
    let Some(device) = gpu() else { return };
    let form = |table: &Table| {
        let rows = [table.instance_rows(), table.background_rows()];
        let run = table.means(&device, &table.model(), &RunOptions::default(), [&rows[0], &rows[1]]);
        run.expect("a sound run").0
    };
    // Many instances share the background's part; one alone shares nothing, unless a wide layer has pairs.
    assert_eq!(form(&Table::new(&[20, WIDE, 2], 20, 10, 3)), MeansForm::Fused);
    assert_eq!(form(&Table::new(&[20, WIDE, 2], 1, 30, 3)), MeansForm::Rows);
    let wide = Table::new(&[200, 200, 1], 1, 30, 12);
    assert_eq!(form(&Table { complements: pairs(12), ..wide.clone() }), MeansForm::Fused);
    assert_eq!(form(&wide), MeansForm::Rows);
}

#[test]
fn what_has_no_head_is_not_fused() {
    // The input is read again behind the first layer; and something else than a Linear layer comes first.
    let Some(device) = gpu() else { return };
    let table = Table::new(&[4, 4, 4], 3, 5, 2);
    let identity: Vec<f32> = (0..16).map(|at| if at % 5 == 0 { 1.0 } else { 0.25 }).collect();
    let builder = Model::builder("skip", &[4]);
    let input = builder.mark();
    let skip = builder.linear(&identity, &[0.1; 4], 4).and_then(|builder| builder.add(input));
    let norm = Model::builder("norm", &[4]).layer_norm(&[1.0; 4], &[0.0; 4], 1e-5);
    let norm = norm.and_then(|builder| builder.linear(&identity, &[0.1; 4], 4));
    for builder in [skip, norm] {
        let model = builder.and_then(|builder| builder.build()).expect("a sound network");
        let rows = [table.instance_rows(), table.background_rows()];
        let run = |device: &Device, options| table.means(device, &model, &options, [&rows[0], &rows[1]]);
        let error = run(&device, forced(MeansForm::Fused, None)).map(|_| ());
        assert!(matches!(&error, Err(Error::Parameter(_))), "{error:?}");
        let (form, found) = run(&device, RunOptions::default()).expect("a sound run");
        let (_, expected) = run(&Device::cpu(), forced(MeansForm::Rows, None)).expect("a sound run");
        assert_eq!(form, MeansForm::Rows);
        assert!(distance(&found, &expected) < 1e-5);
    }
}
