//! Means over groups of rows on the GPU, against the processor and, where they are fused, against plain loops in f64.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/perceptron.rs"]
mod perceptron;

use std::sync::Arc;

use gpu::gpu;
use perceptron::{FUSED, Table, agree, distance};
use whybox::device::{Means, MeansForm, RunOptions};
use whybox::model::{Activation, Model};
use whybox::perturb::{Background, Rows, TableMasker};
use whybox::{Device, Error, Network};

const FEATURES: usize = 6;

/// Numbers without a pattern that a sum could miss.
fn number(at: usize) -> f32 {
    ((at * 7919 + 13) % 1009) as f32 / 504.0 - 1.0
}

/// A network whose hidden layer is too wide for the fused form.
fn model() -> Model {
    let numbers = |len: usize, scale: f32| (0..len).map(|at| scale * number(at)).collect::<Vec<f32>>();
    let builder = Model::builder("wide", &[FEATURES]);
    let builder = builder.linear(&numbers(90 * FEATURES, 0.7), &numbers(90, 0.1), 90).expect("shapes fit");
    let builder = builder.activation(Activation::Tanh).expect("a function");
    let builder = builder.linear(&numbers(4 * 90, 0.3), &numbers(4, 1.0), 4).expect("shapes fit");
    builder.build().expect("a sound network")
}

fn means(network: &Network, rows: &Rows, means: &Means<'_>, options: &RunOptions) -> Vec<f64> {
    let mut all = Vec::new();
    let report = network
        .means(rows, means, options, &mut |groups, values| {
            assert_eq!(groups.start * means.outputs.len(), all.len(), "groups come in order");
            assert_eq!(groups.len() * means.outputs.len(), values.len());
            all.extend_from_slice(values);
            Ok(())
        })
        .expect("a sound run");
    assert_eq!(report.form, MeansForm::Rows);
    all
}

/// Options under which chunks have so many rows.
fn chunks_of(network: &Network, rows: usize, wanted: usize) -> RunOptions {
    let options = |bytes| RunOptions {
        memory_bytes: Some(bytes),
        means: Some(MeansForm::Rows),
        ..RunOptions::default()
    };
    (1..4096)
        .map(|step| options(step * 64))
        .find(|options| network.chunk_rows(rows, options).is_ok_and(|rows| rows == wanted))
        .expect("some memory cap leads to this chunk")
}

#[test]
fn chunks_may_end_anywhere_in_a_group() {
    let Some(device) = gpu() else { return };
    let (gpu, cpu) = (device.load(&model()).expect("loads"), Device::cpu().load(&model()).expect("loads"));
    for (group_rows, groups) in [(1, 40), (5, 21), (64, 3), (130, 4), (700, 1)] {
        let rows = group_rows * groups;
        let data: Vec<f32> = (0..rows * FEATURES).map(number).collect();
        let data = Rows::new(&data, FEATURES).expect("whole rows");
        let weights: Vec<f64> = (0..group_rows).map(|at| 0.2 + (at % 7) as f64).collect();
        let sum: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
        for outputs in [&[2][..], &[3, 0], &[0, 1, 2, 3]] {
            let asked = Means { weights: &weights, outputs };
            let rows_form = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
            let expected = means(&cpu, &data, &asked, &rows_form);
            // Chunks within a group, across groups, and larger than all.
            for chunk in [1, 7, 33, 100].into_iter().filter(|&chunk| chunk < rows) {
                let found = means(&gpu, &data, &asked, &chunks_of(&gpu, rows, chunk));
                close(&expected, &found, &format!("groups of {group_rows}, chunks of {chunk}"));
            }
            close(&expected, &means(&gpu, &data, &asked, &rows_form), "one chunk");
        }
    }
}

fn close(expected: &[f64], found: &[f64], what: &str) {
    assert_eq!(expected.len(), found.len(), "{what}");
    let scale = expected.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
    for (at, (a, b)) in expected.iter().zip(found).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}: mean {at} is {b}, not {a}");
    }
}

#[test]
fn unequal_weights_count() {
    // Negative control: the plain mean is not the weighted one.
    let Some(device) = gpu() else { return };
    let network = device.load(&model()).expect("loads");
    let data: Vec<f32> = (0..20 * FEATURES).map(number).collect();
    let data = Rows::new(&data, FEATURES).expect("whole rows");
    let options = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
    let equal = means(&network, &data, &Means { weights: &[0.1; 10], outputs: &[1] }, &options);
    let mut weights = [0.05; 10];
    weights[3] = 0.55;
    let unequal = means(&network, &data, &Means { weights: &weights, outputs: &[1] }, &options);
    assert!(equal.iter().zip(&unequal).any(|(a, b)| (a - b).abs() > 1e-3), "{equal:?} {unequal:?}");
}

#[test]
fn what_cannot_be_averaged_is_an_error() {
    let Some(device) = gpu() else { return };
    let model = Model::builder("large", &[1]).linear(&[3e38], &[0.0], 1).expect("shapes fit").build();
    let network = device.load(&model.expect("a sound network")).expect("loads");
    let rows = Rows::new(&[1.0, 1.0, 1.0, 1e9], 1).expect("whole rows");
    let options = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
    let asked = Means { weights: &[0.5, 0.5], outputs: &[0] };
    let error = network.means(&rows, &asked, &options, &mut |_, _| Ok(())).map(|_| ());
    assert!(matches!(&error, Err(Error::Numeric(_))), "{error:?}");
}

#[test]
fn fused_means_are_those_of_the_definition() {
    let Some(device) = gpu() else { return };
    let tables = [
        // Four chunks of instances, the last one short; two blocks of background, the last one partial.
        Table { outputs: vec![1], ..Table::new(&[30, 64, 32, 2], 50, 300, 3) },
        // Widest layers, fewest rows in a tile; the background ends within a quad.
        Table { hidden: Activation::Tanh, ..Table::new(&[64, 64, 64, 64], 9, 30, 2) },
        // A quad of background rows for many instances: they are loaded in several turns.
        Table::new(&[5, 12, 7, 3], 37, 3, 6),
        // No layer behind the first; a block of a single row.
        Table::new(&[7, 5], 33, 513, 3),
        Table { softmax: Some(false), outputs: vec![2, 0], ..Table::new(&[9, 40, 3], 18, 70, 4) },
        Table { softmax: Some(true), ..Table::new(&[6, 4], 17, 41, 5) },
        Table { softmax: Some(true), outputs: vec![4], ..Table::new(&[6, 9, 20, 11, 5], 2, 261, 5) },
        // Groups of features, and players that are always present.
        Table {
            groups: vec![2, 0, 0, 1, 3, 2, 1],
            players: vec![3, 0, 2],
            ..Table::new(&[7, 16, 2], 20, 50, 8)
        },
        Table { players: vec![1, 36, 4, 33], ..Table::new(&[40, 24, 1], 5, 20, 9) },
        // All present: the background does not count.
        Table { players: vec![], ..Table::new(&[3, 10, 1], 17, 9, 2) },
        Table::new(&[1, 1], 1, 1, 2),
    ];
    agree(&device, &tables);
}

#[test]
fn fused_means_can_differ() {
    // Negative control: exchanged instances, a background row or a cell that is a little off, one set more of a player.
    let Some(device) = gpu() else { return };
    let table = Table::new(&[6, 20, 8, 2], 18, 270, 4);
    let (instances, background) = (table.instance_rows(), table.background_rows());
    let found = table.fused(&device, &instances, &background);
    assert!(distance(&found, &table.by_definition(&instances, &background)) < FUSED);
    let mut exchanged = instances.clone();
    exchanged.rotate_left(6);
    let mut longer = background.clone();
    *longer.last_mut().expect("a row") += 0.1;
    let fewer = Table { players: vec![0, 1, 2, 3, 5, 4], ..table.clone() };
    for wrong in [
        table.by_definition(&exchanged, &background),
        table.by_definition(&instances, &longer),
        fewer.by_definition(&instances, &background),
    ] {
        let error = distance(&found, &wrong);
        assert!(error > 10.0 * FUSED, "{error:e}");
    }
}

#[test]
fn an_instance_gets_alone_what_it_gets_among_others() {
    let Some(device) = gpu() else { return };
    let pairs = |table| Table { complements: vec![2, 4], ..table };
    for table in [
        Table::new(&[6, 30, 9, 2], 35, 300, 5),
        Table::new(&[6, 64, 64, 1], 17, 2, 5),
        pairs(Table::new(&[6, 30, 9, 2], 35, 300, 5)),
        pairs(Table::new(&[6, 64, 64, 20], 17, 2, 5)),
    ] {
        let (instances, background) = (table.instance_rows(), table.background_rows());
        let (together, outputs) = (table.fused(&device, &instances, &background), table.outputs.len());
        for number in [0, 1, 15, 16, table.instances - 1] {
            let alone = table.fused(&device, &instances[6 * number..][..6], &background);
            for (set, alone) in alone.chunks_exact(outputs).enumerate() {
                let at = (set * table.instances + number) * outputs;
                assert_eq!(alone, &together[at..][..outputs], "instance {number}, coalition {set}");
            }
        }
    }
}

#[test]
fn a_dispatch_may_end_between_the_instances_of_a_coalition() {
    // 220 coalitions × 5 chunks of 8 instances: more tasks than the 1,092 of a dispatch, which are no multiple of 5; and
    // 110 pairs and a coalition × 8 chunks of 5 instances: more than the 873 of a dispatch, which are no multiple of 8.
    let Some(device) = gpu() else { return };
    agree(
        &device,
        &[
            Table::new(&[13, 60], 40, 2, 220),
            Table { complements: (2..221).step_by(2).collect(), ..Table::new(&[13, 60], 40, 2, 221) },
        ],
    );
}

#[test]
fn other_groups_than_the_backgrounds_are_not_fused() {
    // A weight for each row of both instances: a group is a coalition.
    let Some(device) = gpu() else { return };
    let table = Table::new(&[4, 9, 2], 2, 5, 6);
    let (instances, background) = (table.instance_rows(), table.background_rows());
    let masker = TableMasker::new(table.view(&instances), table.view(&background)).expect("a sound table");
    let rows = Background::new(masker, Arc::new(table.sets())).expect("sets of the table's players");
    let run = |device: &Device, form| {
        let mut all = Vec::new();
        let asked = Means { weights: &[0.1; 10], outputs: &[0, 1] };
        let options = RunOptions { means: form, ..RunOptions::default() };
        let sink = &mut |_: std::ops::Range<usize>, values: &[f64]| {
            all.extend_from_slice(values);
            Ok(())
        };
        let network = device.load(&table.model()).expect("loads");
        network.means(&rows, &asked, &options, sink).map(|report| (report.form, all))
    };
    let (_, expected) = run(&Device::cpu(), Some(MeansForm::Rows)).expect("a sound run");
    assert_eq!(expected.len(), 6 * 2);
    for device in [Device::cpu(), device] {
        let (form, found) = run(&device, None).expect("a sound run");
        assert_eq!(form, MeansForm::Rows);
        close(&expected, &found, "groups of two instances");
        let error = run(&device, Some(MeansForm::Fused)).map(|_| ());
        assert!(matches!(&error, Err(Error::Parameter(_))), "{error:?}");
    }
}

#[test]
fn cells_that_are_not_read_may_be_no_numbers() {
    // The network takes square roots: −1 becomes NaN, where a background row hides behind a present player or an
    // instance's cell behind an absent one.
    let Some(device) = gpu() else { return };
    let table =
        Table { before: Activation::Sqrt, players: vec![0, 2, 3], ..Table::new(&[4, 18, 2], 17, 11, 1) };
    let (mut instances, mut background) = (table.instance_rows(), table.background_rows());
    let sets = table.sets();
    let absent = (0..3).find(|&player| !sets.contains(0, player)).expect("not all are present");
    instances.iter_mut().skip(table.players[absent]).step_by(4).for_each(|x| *x = -1.0);
    background.iter_mut().skip(1).step_by(4).for_each(|x| *x = -1.0);
    let found = table.fused(&device, &instances, &background);
    assert!(found.iter().all(|value| value.is_finite()));
    let error = distance(&found, &table.by_definition(&instances, &background));
    assert!(error < FUSED, "{error:e}");
}
