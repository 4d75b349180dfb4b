//! Tiny networks of every family, from both of PyTorch's exporters, scikit-learn's and in TensorFlow's form, against
//! ONNX Runtime: `tests/fixtures/families/record.py` makes them.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/families.rs"]
mod families;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use std::path::{Path, PathBuf};

use compare::wrong_answers_fail;
use families::{Case, PLAIN, check_on, compare, failures, networks, respond};
use gpu::gpu;
use whybox::Device;

/// Networks in the folder: fewer would mean that some were lost.
const NETWORKS: usize = 82;

/// Families that have to be there, each by both exporters.
const TORCH: [&str; 31] = [
    "vgg",
    "vgg_bn",
    "resnet",
    "resnet_bottleneck",
    "resnext",
    "wide_resnet",
    "squeezenet",
    "densenet",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3",
    "shufflenet_v2",
    "mnasnet",
    "efficientnet",
    "regnet_x",
    "regnet_y",
    "convnext",
    "vit",
    "lenet",
    "one_axis",
    "text_cnn",
    "text_max",
    "mlp_batch_norm",
    "mlp_layer_norm",
    "mlp_gelu",
    "mlp_silu",
    "mlp_elu",
    "mlp_hard",
    "mlp_soft",
    "mlp_leaky",
];

fn paths() -> Vec<PathBuf> {
    networks(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families"))
}

/// Runs `check` on every network and reports all that fail.
fn each(check: impl Fn(&Case) -> Result<(), String>) {
    let paths = paths();
    let failures = failures(&paths, check);
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), paths.len(), failures.join("\n"));
}

#[test]
fn every_family_is_there() {
    let names: Vec<String> =
        paths().iter().map(|path| path.file_stem().expect("a file").to_string_lossy().into_owned()).collect();
    assert!(names.len() >= NETWORKS, "{} networks are there, {NETWORKS} were recorded", names.len());
    for family in TORCH {
        for exporter in ["script", "dynamo"] {
            let start = format!("{family}_{exporter}_");
            assert!(names.iter().any(|name| name.starts_with(&start)), "{start}… is missing");
        }
    }
}

#[test]
fn cpu_agrees_with_onnx_runtime() {
    let device = Device::cpu();
    each(|case| {
        let distance = check_on(&device, case, case.tolerance())?;
        println!("{}: {distance:.1e}", case.name);
        Ok(())
    });
}

#[test]
fn gpu_agrees_with_onnx_runtime() {
    let Some(device) = gpu() else { return };
    each(|case| check_on(&device, case, PLAIN).map(|_| ()));
}

/// The comparison can fail: on answers a thousandth off, on another sample's answers, on a missing number, and on a
/// network whose input is a little off.
#[test]
fn wrong_answers_are_found_out() {
    let device = Device::cpu();
    each(|case| {
        let outputs = case.model.output_len();
        let tolerance = case.tolerance();
        wrong_answers_fail(&case.expected, outputs, |wrong| {
            compare(&case.expected, wrong, outputs, tolerance)
        })?;
        let network = device.load(&case.model).map_err(|error| error.to_string())?;
        let mut data = case.input.clone();
        data.rotate_left(network.input().len());
        let found = respond(&network, &data).map_err(|error| error.to_string())?;
        match compare(&case.expected, &found, outputs, tolerance) {
            Ok(_) => Err("answers to other samples pass".into()),
            Err(_) => Ok(()),
        }
    });
}
