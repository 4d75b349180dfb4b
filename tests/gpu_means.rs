//! Means over groups of rows on the GPU, against the processor.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use gpu::gpu;
use whybox::device::{Means, MeansForm, RunOptions};
use whybox::model::{Activation, Model};
use whybox::perturb::Rows;
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
