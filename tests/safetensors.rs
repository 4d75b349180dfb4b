//! Networks written down in Rust with weights from Python: `tests/fixtures/safetensors/record.py` makes them.

use std::path::Path;

use whybox::Device;
use whybox::device::RunOptions;
use whybox::model::{Activation, Model, SafeTensors, Window};
use whybox::perturb::Rows;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/safetensors").join(name)
}

fn numbers(key: &str) -> Vec<f32> {
    let text = std::fs::read(fixture("digits.json")).expect("the answers");
    let answers: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    answers[key].as_array().expect(key).iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

/// The module of record.py; `first` names the convolution that comes after the normalisation.
fn digits(weights: &SafeTensors, first: &str) -> whybox::Result<Model> {
    let get = |name: &str, shape: &[usize]| weights.tensor(name, shape);
    let same = Window::square(3).pad(1);
    let net = Model::builder("digits", &[1, 8, 8])
        .conv(&get("conv1.weight", &[6, 1, 3, 3])?.data, None, 6, same, 1)?
        .batch_norm(
            &get("bn1.weight", &[6])?.data,
            &get("bn1.bias", &[6])?.data,
            &get("bn1.running_mean", &[6])?.data,
            &get("bn1.running_var", &[6])?.data,
            1e-5,
        )?
        .activation(Activation::Relu)?;
    let shortcut = net.mark();
    net.conv(
        &get(&format!("{first}.weight"), &[6, 6, 3, 3])?.data,
        Some(&get("conv2.bias", &[6])?.data),
        6,
        same,
        1,
    )?
    .add(shortcut)?
    .activation(Activation::Relu)?
    .conv(
        &get("conv3.weight", &[8, 6, 3, 3])?.data,
        Some(&get("conv3.bias", &[8])?.data),
        8,
        same.stride(2),
        1,
    )?
    .activation(Activation::Relu)?
    .global_average_pool()?
    .linear(&get("fc.weight", &[10, 8])?.data, &get("fc.bias", &[10])?.data, 10)?
    .build()
}

/// Largest distance from the recorded answers, in units of the largest of them.
fn distance(model: &Model, key: &str) -> f32 {
    let network = Device::cpu().load(model).expect("it loads");
    let inputs = numbers("inputs");
    let found =
        network.responses(&Rows::new(&inputs, 64).expect("rows"), &RunOptions::default()).expect("it runs");
    let expected = numbers(key);
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn written_networks_answer_as_torch() {
    for kind in ["", "_half", "_bfloat"] {
        let weights = SafeTensors::open(fixture(&format!("digits{kind}.safetensors"))).expect("the weights");
        let model = digits(&weights, "conv2").expect("the sizes agree");
        let distance_here = distance(&model, &format!("outputs{kind}"));
        assert!(distance_here < 1e-5, "{kind}: {distance_here}");
        // The measure tells rounded weights from whole ones.
        if kind == "_bfloat" {
            let other = distance(&model, "outputs");
            assert!(other > 1e-4, "rounding the weights makes no difference: {other}");
        }
    }
}

#[test]
fn a_wrong_name_or_shape_is_named() {
    let weights = SafeTensors::open(fixture("digits.safetensors")).expect("the weights");
    let error = digits(&weights, "conv9").expect_err("there is no such layer").to_string();
    assert!(error.contains("conv9.weight") && error.contains("digits.safetensors"), "{error}");
    let error = digits(&weights, "conv1").expect_err("another shape").to_string();
    assert!(error.contains("[6, 1, 3, 3], not [6, 6, 3, 3]"), "{error}");
}
