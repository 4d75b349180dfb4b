//! The ONNX project's operator vectors: each runs on both engines with the right numbers, or is refused by name;
//! docs/operators.md says which.
//!
//! The vectors are not part of the repository: their folder is `$WHYBOX_SHARED/onnx_node`, by default
//! `../shared/data/onnx_node`.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use compare::within;
use gpu::gpu;
use rten_onnx::onnx::{DataType, ModelProto, TensorProto};
use rten_onnx::protobuf::{DecodeMessage, ValueReader};
use serde_json::Value as Json;
use whybox::device::RunOptions;
use whybox::model::{Model, OnnxOptions};
use whybox::perturb::Rows;
use whybox::{Device, Error};

/// Vectors in the folder: they may not become fewer.
const VECTORS: usize = 200;

/// Where the page's part that this test writes begins; tests/operators.rs writes what is before it.
const HEADING: &str = "## Conformance";
const UPDATE: &str = "UPDATE_DOCS=1 cargo test --test conformance";

/// Shape and numbers of a stored tensor.
struct Numbers {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// What became of a vector.
enum Outcome {
    Pass,
    Refused(String),
    Wrong(String),
}

fn folder() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    std::env::var_os("WHYBOX_SHARED").map_or_else(default, PathBuf::from).join("onnx_node")
}

fn numbers(path: &Path) -> Numbers {
    let bytes = std::fs::read(path).expect("a readable tensor");
    let tensor = TensorProto::decode(ValueReader::from_buf(&bytes)).expect("a tensor");
    let shape = tensor.dims.iter().map(|&length| length as usize).collect();
    let raw = tensor.raw_data.as_ref().map(|raw| raw.borrow().clone()).unwrap_or_default();
    fn each<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        raw.as_chunks::<N>().0.iter().map(|bytes| read(*bytes)).collect()
    }
    let data = match tensor.data_type {
        Some(DataType::FLOAT) if raw.is_empty() => tensor.float_data,
        Some(DataType::FLOAT) => each(&raw, f32::from_le_bytes),
        Some(DataType::DOUBLE) => each(&raw, |b| f64::from_le_bytes(b) as f32),
        Some(DataType::INT64) if raw.is_empty() => tensor.int64_data.iter().map(|&v| v as f32).collect(),
        Some(DataType::INT64) => each(&raw, |b| i64::from_le_bytes(b) as f32),
        Some(DataType::INT32) => each(&raw, |b| i32::from_le_bytes(b) as f32),
        Some(DataType::BOOL | DataType::UINT8) => raw.iter().map(|&b| f32::from(b)).collect(),
        other => panic!("{}: {other:?} is new", path.display()),
    };
    Numbers { shape, data }
}

/// The tensors `input_0.pb`, `input_1.pb`, … of a vector.
fn tensors(folder: &Path, kind: &str) -> Vec<Numbers> {
    let paths = (0..).map(|at| folder.join(format!("test_data_set_0/{kind}_{at}.pb")));
    paths.take_while(|path| path.exists()).map(|path| numbers(&path)).collect()
}

/// Reads a vector's network with one input free and the others bound: every axis as it is written, or axis 0 as the
/// batch.
fn read(
    path: &Path,
    output: &str,
    inputs: &[Numbers],
    names: &[String],
    free: usize,
    fixed: bool,
) -> whybox::Result<Model> {
    let further = names.iter().zip(inputs).enumerate().filter(|&(at, _)| at != free);
    let options = OnnxOptions {
        input: names.get(free).cloned(),
        output: Some(output.to_owned()),
        bind: further
            .map(|(_, (name, tensor))| (name.clone(), (tensor.shape.clone(), tensor.data.clone())))
            .collect(),
        static_shapes: fixed,
        ..OnnxOptions::default()
    };
    Model::from_onnx_with(path, &options)
}

/// What an engine answers to the free input.
fn answer(device: &Device, model: &Model, input: &Numbers) -> whybox::Result<Vec<f32>> {
    let network = device.load(model)?;
    let rows = Rows::new(&input.data, network.input().len())?;
    let mut all = Vec::new();
    network.run(&rows, &RunOptions::default(), &mut |_, values| {
        all.extend_from_slice(values);
        Ok(())
    })?;
    Ok(all)
}

/// The rule that comes with the vectors.
fn compare(expected: &[f32], found: &[f32]) -> Result<(), String> {
    within(expected, found, |expected| 1e-7 + 1e-3 * expected.abs()).map(|_| ())
}

/// A refusal has to say which node of which operator is meant.
fn names_the_node(error: &Error, operator: &str) -> Result<(), String> {
    let text = error.to_string();
    match error {
        Error::Unsupported(_) if text.contains("node \"") && text.contains(&format!("{operator}, opset")) => {
            Ok(())
        }
        _ => Err(format!("refused as {error:?}")),
    }
}

/// One output of a vector: each input in turn is the free one, in both forms. What is answered has to be right on
/// every engine; the output passes if any of these is answered, else what was said of the first counts.
fn check_output(
    devices: &[Device],
    path: &Path,
    (output, expected): (&str, &Numbers),
    inputs: &[Numbers],
    names: &[String],
) -> Result<Option<Error>, String> {
    let mut refusal = None;
    let mut answered = false;
    for (free, input) in inputs.iter().enumerate() {
        for fixed in [true, false] {
            let model = match read(path, output, inputs, names, free, fixed) {
                Ok(model) => model,
                Err(error) => {
                    refusal.get_or_insert(error);
                    continue;
                }
            };
            for device in devices {
                let wrong = |what: String| {
                    format!("output {output:?} of {:?} ({}): {what}", names[free], device.name())
                };
                let found = match answer(device, &model, input) {
                    Ok(found) => found,
                    // The rows of this input are not what the network takes: axis 0 is no batch.
                    Err(Error::Parameter(_)) if !fixed => continue,
                    Err(error) => return Err(wrong(format!("it was read, but: {error}"))),
                };
                compare(&expected.data, &found).map_err(wrong)?;
                answered = true;
            }
        }
    }
    Ok(refusal.filter(|_| !answered))
}

fn check(devices: &[Device], folder: &Path, operator: &str) -> Outcome {
    let path = folder.join("model.onnx");
    let graph = ModelProto::parse_buf(&std::fs::read(&path).expect("a model"))
        .expect("a model")
        .graph
        .expect("a graph");
    let name = |info: &rten_onnx::onnx::ValueInfoProto| info.name.clone().unwrap_or_default();
    let inputs = tensors(folder, "input");
    let names: Vec<String> = graph.input.iter().map(name).collect();
    let mut outcome = Outcome::Pass;
    for (info, expected) in graph.output.iter().zip(tensors(folder, "output")) {
        match check_output(devices, &path, (&name(info), &expected), &inputs, &names) {
            Err(what) => return Outcome::Wrong(what),
            Ok(None) => {}
            Ok(Some(error)) => match names_the_node(&error, operator) {
                Ok(()) => outcome = Outcome::Refused(error.detail().what.clone()),
                Err(what) => return Outcome::Wrong(what),
            },
        }
    }
    outcome
}

/// The page's part that this test writes.
fn section(rows: &[[String; 4]], passed: usize) -> String {
    let mut text = format!(
        "{HEADING}\n\n\
         The operator vectors of the ONNX project ({} of them), with their own tolerance. *passes* means that every answer of both\n\
         engines is right, with each input in turn as the free one and the others bound to constants, with and without a batch\n\
         axis; what is refused is refused with the node's name. {passed} pass.\n\n\
         Written by `{UPDATE}`.\n\n\
         | vector | operator | opset | result |\n|---|---|---|---|\n",
        rows.len(),
    );
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

#[test]
fn operator_vectors() {
    let folder = folder();
    let Ok(index) = std::fs::read(folder.join("index.json")) else {
        // Not eprintln, which the test harness hides where the test passes.
        writeln!(std::io::stderr(), "skipped: operator_vectors, {} is not there", folder.display()).ok();
        return;
    };
    let index: Json = serde_json::from_slice(&index).expect("an index");
    let cases = index["cases"].as_array().expect("a list of vectors");
    assert!(cases.len() >= VECTORS, "{} vectors are there", cases.len());
    let devices: Vec<Device> = std::iter::once(Device::cpu()).chain(gpu()).collect();
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    let mut passed = 0;
    for case in cases {
        let (name, operator) =
            (case["name"].as_str().expect("a name"), case["op"].as_str().expect("an operator"));
        let result = match check(&devices, &folder.join(name), operator) {
            Outcome::Pass => {
                passed += 1;
                "passes".to_owned()
            }
            Outcome::Refused(what) => format!("refused: {}", what.replace('|', "\\|")),
            Outcome::Wrong(what) => {
                wrong.push(format!("{name}: {what}"));
                continue;
            }
        };
        let opset = case["opset"].as_i64().map_or_else(String::new, |opset| opset.to_string());
        rows.push([name.trim_start_matches("test_").to_owned(), operator.to_owned(), opset, result]);
    }
    let refused = rows.len() - passed;
    writeln!(std::io::stderr(), "operator_vectors: {passed} pass, {refused} refused, {} wrong", wrong.len())
        .ok();
    assert!(wrong.is_empty(), "{} vectors are wrong:\n{}", wrong.len(), wrong.join("\n"));
    rows.sort();
    let section = section(&rows, passed);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, written) = page.split_at(page.find(HEADING).unwrap_or(page.len()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{}\n\n{section}", before.trim_end()))
            .expect("the page can be written");
        return;
    }
    let differs = section.lines().zip(written.lines().chain(std::iter::repeat(""))).find(|(a, b)| a != b);
    assert!(
        section == written,
        "docs/operators.md is out of date ({UPDATE}); the first line that differs: {differs:?}"
    );
}

/// The rule tells right from wrong, and an answer from a refusal.
#[test]
fn wrong_answers_are_found_out() {
    assert!(compare(&[1.0, -2.0, f32::INFINITY], &[1.0005, -2.0, f32::INFINITY]).is_ok());
    for wrong in [&[1.01, -2.0][..], &[1.0, 2.0], &[1.0], &[1.0, f32::NAN]] {
        assert!(compare(&[1.0, -2.0], wrong).is_err(), "{wrong:?}");
    }
    let elsewhere = Error::unsupported("it is new", "graph", "");
    assert!(names_the_node(&elsewhere, "Relu").is_err());
}

/// Bound integers stay integers, and a missing binding is named.
#[test]
fn several_inputs_need_binding() {
    let path = folder().join("test_reshape_reduced_dims/model.onnx");
    if !path.exists() {
        writeln!(std::io::stderr(), "skipped: several_inputs_need_binding, {} is not there", path.display())
            .ok();
        return;
    }
    let error = Model::from_onnx(&path).expect_err("nothing says what the shape is");
    assert!(error.to_string().contains("data, shape"), "{error}");
    let bind = HashMap::from([("shape".to_owned(), (vec![2], vec![2.0, 12.0]))]);
    let options = OnnxOptions { bind, static_shapes: true, ..OnnxOptions::default() };
    let model = Model::from_onnx_with(&path, &options).expect("it is bound");
    assert_eq!(model.output_shape(), [2, 12]);
}
