//! f16 storage on the GPU: what it changes, what it refuses, and that an explanation says what it costs.
//!
//! `tests/gpu_kernels.rs`, `gpu_functions.rs` and `movement_kernels.rs` run every kernel in both precisions, `tests/onnx.rs` every small
//! network.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/pictures.rs"]
mod pictures;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/program.rs"]
mod program;
#[path = "common/reference.rs"]
mod reference;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/single_step.rs"]
mod single_step;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use compare::relative;
use ndarray::array;
use pictures::{Picture, coin, network, patches, run_on};
use plans::Draws;
use program::{bad, folder, good};
use reference::run_reference;
use serde_json::Value;
use single_step::{Tolerance, compare, compare_stored, halved, halved_plan, in_half, respond};
use whybox::device::gpu::{Gpu, Overrides, Tile};
use whybox::device::{Means, MeansForm, Precision, RunOptions};
use whybox::explain::{ExplainMany, ImageExplainer, KernelShap, Lime, Link, relative_distance};
use whybox::model::{Activation, BinaryKind, Builder, Model, Tensor};
use whybox::perturb::{Rows, TableMasker};
use whybox::plan::{FirstLayer, Sharing};
use whybox::{Device, Error, builtin};

/// A network of a few layers: numbers are stored some five times, each time moved by 2⁻¹⁰ of themselves at most.
const NETWORK: f32 = 5e-3;

fn half() -> Option<Device> {
    unless_without(gpu::gpu()?.with_precision(Precision::F16))
}

fn half_engine() -> Option<Arc<Gpu>> {
    half()?;
    in_half(&gpu::engine()?)
}

/// `None` on an adapter that has no f16, with a line that says so.
fn unless_without<T>(found: whybox::Result<T>) -> Option<T> {
    match found {
        Err(Error::Unsupported(detail)) => {
            println!("skipped: {detail}");
            None
        }
        found => Some(found.expect("a device in f16")),
    }
}

fn linear(width: usize, weight: &[f32], bias: &[f32]) -> Builder {
    Model::builder("linear", &[width]).linear(weight, bias, bias.len()).expect("shapes fit")
}

#[test]
fn numbers_are_stored_in_half() {
    let (Some(full), Some(gpu)) = (gpu::engine(), half_engine()) else { return };
    assert_eq!((full.precision(), gpu.precision()), (Precision::F32, Precision::F16));
    assert!(gpu.name().contains("f16 storage") && !full.name().contains("f16"), "{}", gpu.name());
    let plan = network();
    let data = Draws::new(4).floats(3 * plan.input_layout.len());
    let expected = run_reference(&plan, &data, 3);
    let answer = |gpu: &Arc<Gpu>| respond(gpu, &plan, &data, Overrides::default()).expect("a sound plan");
    assert_eq!(relative(&expected, &answer(&full), 1e-5).map(|_| ()), Ok(()));
    let found = answer(&gpu);
    assert_eq!(relative(&expected, &found, NETWORK).map(|_| ()), Ok(()));
    // Every answer is one that f16 holds, and they are not the ones of f32.
    assert_eq!(halved(&found), found);
    assert!(relative(&expected, &found, 1e-5).is_err());
}

#[test]
fn the_comparison_can_fail() {
    let Some(gpu) = half_engine() else { return };
    let plan = halved_plan(&network());
    let data = halved(&Draws::new(4).floats(2 * plan.input_layout.len()));
    let found = respond(&gpu, &plan, &data, Overrides::default()).expect("a sound plan");
    assert_eq!(relative(&run_reference(&plan, &data, 2), &found, NETWORK).map(|_| ()), Ok(()));
    // A fiftieth of one layer's weights is missing.
    let mut other = plan.clone();
    let mut weights = other.weights[2].data.to_vec();
    let part = weights.len() / 50;
    weights[..part].fill(0.0);
    other.weights[2].data = weights.into();
    assert!(relative(&run_reference(&other, &data, 2), &found, NETWORK).is_err());
    // The tolerance of a single kernel: one rounding passes, two hundredths of a number do not.
    let rounded = halved(&[0.1, 1.0003, -3.001]);
    let exact = [0.1, 1.0003, -3.001];
    assert!(compare(&exact, &rounded, Tolerance::Exact).is_err());
    assert_eq!(compare_stored(&exact, &rounded, Tolerance::Exact, Precision::F16), Ok(()));
    let off = rounded.map_off(1.002);
    assert!(compare_stored(&exact, &off, Tolerance::Exact, Precision::F16).is_err());
}

trait Off {
    fn map_off(&self, factor: f32) -> Vec<f32>;
}

impl Off for Vec<f32> {
    fn map_off(&self, factor: f32) -> Vec<f32> {
        self.iter().map(|x| x * factor).collect()
    }
}

#[test]
fn early_layers_are_shared_in_half() {
    let Some(gpu) = half_engine() else { return };
    let plan = network();
    let picture = Picture::new(3, 50, patches, coin);
    let expected = run_reference(&plan, &picture.data, 50);
    for tile in Tile::ALL.into_iter().chain([Tile::Cooperative]) {
        let overrides = Overrides { tile: Some(tile), chunk_rows: Some(7), ..Overrides::default() };
        let network = Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("the plan is sound");
        for steps in 1..=3 {
            let options = RunOptions { sharing: Sharing::First(steps), ..RunOptions::default() };
            let (shared, report) = run_on(&network, &picture, &options);
            assert_eq!(report.sharing.map(|shared| shared.steps), Some(steps));
            let apart = relative(&expected, &shared, NETWORK);
            assert_eq!(apart.map(|_| ()), Ok(()), "{tile:?}, {steps} steps");
        }
    }
}

#[test]
fn memory_holds_twice_as_many_samples() {
    let (Some(full), Some(half)) = (gpu::gpu(), half()) else { return };
    let model = builtin::network().expect("it is built in");
    let options = RunOptions { memory_bytes: Some(4 << 20), ..RunOptions::default() };
    let rows = |device: &Device| {
        device.load(&model).expect("loads").chunk_rows(1 << 20, &options).expect("a sample fits")
    };
    let (full, half) = (rows(&full), rows(&half));
    assert!((2 * full..=2 * full + 2).contains(&half), "{half} samples, and {full} in f32");
}

/// LIME end to end: the picture masked inside the first layer, by a kernel of its own, and with shared layers.
#[test]
fn lime_attributes_nearly_the_same() {
    let Some(device) = half() else { return };
    let model = builtin::network().and_then(Model::probabilities).expect("it is built in");
    let explain = |device: &Device, first_layer, sharing| {
        let network = device.load(&model).expect("loads");
        let explainer = ImageExplainer {
            segmentation: "grid:rows=3,cols=4".parse().expect("a segmentation"),
            preprocess: builtin::preprocess(),
            run: RunOptions { first_layer, sharing, ..RunOptions::default() },
            ..ImageExplainer::default()
        };
        let lime = Lime { samples: 80, ..Lime::default() };
        let photo = builtin::photo().expect("it is built in");
        let found = explainer.explain(&network, photo, &lime, &mut |_| {}).expect("an explanation");
        found.explanation.attributions[0].values.clone()
    };
    let expected = explain(&Device::cpu(), None, Sharing::Auto);
    for (first_layer, sharing) in [
        (Some(FirstLayer::Masked), Sharing::Off),
        (Some(FirstLayer::Expanded), Sharing::Off),
        (None, Sharing::First(2)),
    ] {
        let found = explain(&device, first_layer, sharing);
        let error = relative_distance(&found, &expected);
        // Two thousandths were seen: a hundredth is wrong. In f32 it is 1e-6.
        assert!((1e-5..1e-2).contains(&error), "{first_layer:?}, {sharing:?}: {error:e}");
    }
}

#[test]
fn means_over_a_background_in_half() {
    let Some(device) = half() else { return };
    let numbers = |len: usize, scale: f32| -> Vec<f32> {
        Draws::new(len as u64).floats(len).iter().map(|x| x * scale).collect()
    };
    // Too wide for the fused form: rows and answers are stored, their sums are f32.
    for (width, form) in [(90, MeansForm::Rows), (20, MeansForm::Fused)] {
        let model = linear(6, &numbers(6 * width, 0.4), &numbers(width, 0.1))
            .activation(Activation::Tanh)
            .and_then(|builder| builder.linear(&numbers(3 * width, 0.2), &[0.1, 0.2, 0.3], 3))
            .and_then(Builder::build)
            .expect("shapes fit");
        let explain = |device: &Device| {
            let network = device.load(&model).expect("loads");
            let draws = Draws::new(3).floats(6 * 42);
            let table = ndarray::Array2::from_shape_vec((42, 6), draws).expect("whole rows");
            let (rows, background) = table.view().split_at(ndarray::Axis(0), 2);
            let many = ExplainMany {
                network: &network,
                masker: TableMasker::new(rows, background).expect("a masker"),
                outputs: vec![2, 0],
                link: Link::Identity,
                options: RunOptions { means: Some(form), ..RunOptions::default() },
            };
            let found = many.explain(rows, &KernelShap::default(), &mut |_| {}).expect("explanations");
            let values = found.iter().flat_map(|e| e.attributions.iter().flat_map(|a| a.values.clone()));
            values.collect::<Vec<f64>>()
        };
        let error = relative_distance(&explain(&device), &explain(&Device::cpu()));
        // The fused form stores nothing between its layers.
        let expected = if form == MeansForm::Fused { 0.0..1e-5 } else { 1e-6..NETWORK.into() };
        assert!(expected.contains(&error), "{form:?}: {error:e}");
    }
}

#[test]
fn what_f16_cannot_hold_is_refused() {
    let (Some(full), Some(device)) = (gpu::gpu(), half()) else { return };
    let tells = |error: Error| assert!(error.detail().remedy.contains("--precision f32"), "{error}");
    // A weight.
    let model = linear(2, &[1.0, 7e4], &[0.0]).build().expect("a network");
    match device.load(&model) {
        Err(error @ Error::Limits(_)) => tells(error),
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(full.load(&model).is_ok());

    let answer = |device: &Device, model: &Model, row: &[f32]| {
        let rows = Rows::new(row, row.len()).expect("a row");
        let answers = device.load(model)?.responses(&rows, &RunOptions::default())?;
        Ok(answers.into_raw_vec_and_offset().0)
    };
    // An answer; an activation whose infinity would vanish behind a ReLU; an input of which the same is true.
    let large = linear(1, &[300.0], &[0.0]).build().expect("a network");
    let hidden = linear(1, &[-300.0], &[0.0])
        .linear(&[1e-3], &[400.0], 1)
        .and_then(|builder| builder.activation(Activation::Relu))
        .and_then(Builder::build)
        .expect("a network");
    let input = linear(1, &[-1e-3], &[200.0]).activation(Activation::Relu).and_then(Builder::build);
    let input = input.expect("a network");
    for (model, x, expected) in [(&large, 300.0, 9e4), (&hidden, 1000.0, 100.0), (&input, 1e5, 100.0)] {
        let exact: Result<Vec<f32>, Error> = answer(&full, model, &[x]);
        assert!((exact.expect("an answer")[0] - expected).abs() <= 1e-3 * expected);
        match answer(&device, model, &[x]) {
            Err(error @ Error::Numeric(_)) => tells(error),
            other => panic!("{other:?}"),
        }
        // What f16 holds is answered.
        let small = answer(&device, model, &[0.5]).expect("an answer");
        let exact = answer(&full, model, &[0.5]).expect("an answer");
        assert!((small[0] - exact[0]).abs() <= 2e-3 * exact[0].abs(), "{small:?} {exact:?}");
    }
    // A comparison, whose answer would be a plain 0 or 1.
    let threshold = Tensor::new(&[1], [1000.0].as_slice());
    let compared = linear(1, &[1.0], &[0.0]).binary_const(BinaryKind::Greater, &threshold);
    let compared = compared.and_then(Builder::build).expect("a network");
    assert_eq!(answer(&full, &compared, &[1e5]).expect("an answer"), [1.0]);
    match answer(&device, &compared, &[1e5]) {
        Err(error @ Error::Numeric(_)) => tells(error),
        other => panic!("{other:?}"),
    }
    for (x, expected) in [(999.0, 0.0), (2000.0, 1.0)] {
        assert_eq!(answer(&device, &compared, &[x]).expect("an answer"), [expected]);
    }
    // The same where only sums come back.
    let network = device.load(&large).expect("loads");
    let rows = Rows::new(&[1.0, 300.0], 1).expect("rows");
    let options = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
    let means = Means { weights: &[0.5, 0.5], outputs: &[0] };
    match network.means(&rows, &means, &options, &mut |_, _| Ok(())) {
        Err(error @ Error::Numeric(_)) => tells(error),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn token_numbers_that_f16_does_not_count_are_refused() {
    let Some(device) = half() else { return };
    let model = |vocabulary: usize| {
        let table: Vec<f32> = (0..vocabulary).map(|id| (id % 7) as f32 - 2.0).collect();
        let builder = Model::builder("ids", &[3]).embedding(&table, 1).expect("a table");
        builder.flatten().linear(&[1.0, 0.5, 0.25], &[0.0], 1).and_then(Builder::build).expect("a network")
    };
    let network = device.load(&model(2048)).expect("2,047 is exact");
    let rows = Rows::new(&[2047.0, 2046.0, 1025.0], 3).expect("a row");
    let answer = network.responses(&rows, &RunOptions::default()).expect("an answer");
    // 2047 % 7 = 3, 2046 % 7 = 2, 1025 % 7 = 3.
    assert_eq!(answer, array![[1.0 + 0.0 + 0.25]]);
    match device.load(&model(2049)) {
        Err(error @ Error::Unsupported(_)) => assert!(error.detail().remedy.contains("--precision f32")),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn the_processor_refuses() {
    assert_eq!(Device::cpu().precision(), Precision::F32);
    assert!(Device::cpu().with_precision(Precision::F32).is_ok());
    let refused = Device::cpu().with_precision(Precision::F16).map(|_| ());
    assert!(matches!(&refused, Err(Error::Unsupported(_))), "{refused:?}");
    let folder = folder();
    let output = whybox(folder.path(), &["table", "--device", "cpu", "--precision", "f16"]);
    bad(&output, &["f16", "--precision f32", "--device gpu"]);
}

fn whybox(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whybox"));
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").env("NODEVICE_SELECT", "1");
    command.output().expect("the program starts")
}

/// Every explanation in f16 says how far it is from one in f32; in f32 there is nothing to say.
#[test]
fn an_explanation_tells_its_error() {
    if gpu::gpu().is_none() {
        return;
    }
    let folder = folder();
    let image = ["image", "--segments", "grid:rows=2,cols=3", "--samples", "40"];
    let shap = ["image", "--segments", "grid:rows=2,cols=2", "--method", "exact", "--top", "2"];
    let lime = ["table", "--method", "lime", "--samples", "300", "--rows", "0-5"];
    let table = ["table", "--samples", "70", "--rows", "0-1"];
    for (command, evaluations, least) in
        // The table's Shapley values come from the fused kernel, which stores nothing between its layers.
        [
            (&image[..], 40, 1e-6),
            (&shap, 16, 1e-6),
            (&lime, 4 * 256, 1e-6),
            (&table, 2 * 70 * 100, 0.0),
        ]
    {
        let run = |more: &[&str]| -> Value {
            let output = whybox(folder.path(), &[command, &["--device", "gpu", "--json"], more].concat());
            serde_json::from_str(&good(&output)).expect("the document alone")
        };
        let document = run(&["--precision", "f16"]);
        let told = &document["precision"];
        assert_eq!(
            (&told["storage"], &told["evaluations"]),
            (&"f16".into(), &evaluations.into()),
            "{command:?}"
        );
        let error = told["attribution_error"].as_f64().expect("a number");
        assert!((least..1e-2).contains(&error), "{command:?}: {error:e}");
        let (device, repeat) = (document["device"].as_str(), document["command"].as_str());
        assert!(device.is_some_and(|name| name.contains("f16 storage")), "{device:?}");
        assert!(repeat.is_some_and(|words| words.contains("--precision f16")), "{repeat:?}");
        if command == image {
            // It is the distance from the weights in f32, at these very samples.
            let plain = run(&[]);
            assert!(plain.get("precision").is_none());
            let weights = |document: &Value| -> Vec<f64> {
                let weights = document["outputs"][0]["weights"].as_array().expect("weights");
                weights.iter().map(|x| x.as_f64().expect("a number")).collect()
            };
            let distance = relative_distance(&weights(&document), &weights(&plain));
            assert!((distance - error).abs() <= 1e-9 + 1e-3 * error, "{distance:e}, told {error:e}");
        }
    }
    let text =
        good(&whybox(folder.path(), &[&image[..], &["--device", "gpu", "--precision", "f16"]].concat()));
    assert!(text.contains("precision") && text.contains("% from f32’s"), "{text}");
    let page = std::fs::read_to_string(folder.path().join("whybox-out/explanation.html")).expect("the page");
    assert!(page.contains("% from f32’s"));
    let text =
        good(&whybox(folder.path(), &[&lime[..], &["--device", "gpu", "--precision", "f16"]].concat()));
    assert!(text.contains("precision") && text.contains("% from f32’s"), "{text}");
}

#[test]
fn texts_and_comparisons_run_in_half() {
    if gpu::gpu().is_none() {
        return;
    }
    let folder = folder();
    let words: Vec<String> = (0..28).map(|i| format!("word{i}")).collect();
    let vocabulary = format!("good\nbad\n{}\n", words.join("\n"));
    std::fs::write(folder.path().join("v.txt"), vocabulary).expect("a folder to write to");
    let asset = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
    let model = asset("table/breast_cancer_mlp.onnx").display().to_string();
    let half = ["--device", "gpu", "--precision", "f16"];
    for input in ["counts", "ids"] {
        let text = ["text", "a good bad good film", "--model", &model, "--vocabulary", "v.txt", "--json"];
        let output =
            whybox(folder.path(), &[&text[..], &["--explain", "logits", "--input", input], &half].concat());
        let document = whybox::report::Document::from_json(&good(&output)).expect("a document");
        let told = document.precision.clone().expect("the error in f16");
        assert_eq!((&told.storage[..], told.evaluations), ("f16", 256), "{input}");
        // Two hundredths were seen: counts are small beside what this network was trained on, so are their effects beside the logit.
        assert!((1e-7..0.1).contains(&told.attribution_error), "{input}: {told:?}");
        // What is read is written again.
        assert!(document.to_json().expect("JSON").contains("attribution_error"));
    }
    let evaluate = ["evaluate", "--segments", "grid:rows=2,cols=2", "--methods", "lime", "--samples", "20"];
    let output = whybox(folder.path(), &[&evaluate[..], &["--json"], &half].concat());
    let document: Value = serde_json::from_str(&good(&output)).expect("the document alone");
    let device = document["device"].as_str();
    assert!(device.is_some_and(|name| name.contains("f16 storage")), "{device:?}");
}
