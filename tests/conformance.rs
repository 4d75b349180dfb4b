//! The ONNX project's operator vectors: each runs with the right numbers, or is refused by name.
//!
//! The vectors are not part of the repository: their folder is `$WHYBOX_SHARED/onnx_node`, by default
//! `../shared/data/onnx_node`.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use rten_onnx::onnx::{DataType, ModelProto, TensorProto};
use rten_onnx::protobuf::{DecodeMessage, ValueReader};
use serde_json::Value as Json;
use whybox::device::RunOptions;
use whybox::model::{Model, OnnxOptions};
use whybox::perturb::Rows;
use whybox::{Device, Error};

/// Vectors in the folder, and how many of them are answered: neither may become fewer.
const VECTORS: usize = 200;
const ANSWERED: usize = 146;

/// Shape and numbers of a stored tensor.
struct Numbers {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// What became of a vector.
enum Outcome {
    Pass,
    Refused,
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

/// Runs one output of a vector: with every axis as it is written, or with axis 0 as the batch.
fn answer(
    path: &Path,
    output: &str,
    inputs: &[Numbers],
    names: &[String],
    fixed: bool,
) -> whybox::Result<Vec<f32>> {
    let further = names.iter().zip(inputs).skip(1);
    let options = OnnxOptions {
        input: names.first().cloned(),
        output: Some(output.to_owned()),
        bind: further
            .map(|(name, tensor)| (name.clone(), (tensor.shape.clone(), tensor.data.clone())))
            .collect(),
        static_shapes: fixed,
        ..OnnxOptions::default()
    };
    let model = Model::from_onnx_with(path, &options)?;
    let network = Device::cpu().load(&model)?;
    let rows = Rows::new(&inputs[0].data, network.input().len())?;
    let mut all = Vec::new();
    network.run(&rows, &RunOptions::default(), &mut |_, values| {
        all.extend_from_slice(values);
        Ok(())
    })?;
    Ok(all)
}

/// The rule that comes with the vectors.
fn compare(expected: &[f32], found: &[f32]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let apart = |(e, f): (&f32, &f32)| !((e - f).abs() <= 1e-7 + 1e-3 * e.abs() || e == f);
    match expected.iter().zip(found).position(apart) {
        None => Ok(()),
        Some(at) => Err(format!("element {at}: {} instead of {}", found[at], expected[at])),
    }
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

fn check(folder: &Path, operator: &str) -> Outcome {
    let path = folder.join("model.onnx");
    let graph = ModelProto::parse_buf(&std::fs::read(&path).expect("a model"))
        .expect("a model")
        .graph
        .expect("a graph");
    let name = |info: &rten_onnx::onnx::ValueInfoProto| info.name.clone().unwrap_or_default();
    let inputs = tensors(folder, "input");
    let names: Vec<String> = graph.input.iter().map(name).collect();
    let mut refused = false;
    for (info, expected) in graph.output.iter().zip(tensors(folder, "output")) {
        let output = name(info);
        // Operators with a batch axis of their own refuse more than one sample where every axis is fixed.
        let answers = [true, false].map(|fixed| answer(&path, &output, &inputs, &names, fixed));
        let mut answered = false;
        for answer in &answers {
            let verdict = match answer {
                Ok(found) => compare(&expected.data, found).map(|()| answered = true),
                Err(_) if answered => Ok(()),
                // An axis 0 that is no batch is the caller's mistake: what counts is what was said of the fixed form.
                Err(_) if std::ptr::eq(answer, &answers[1]) => {
                    names_the_node(answers[0].as_ref().unwrap_err(), operator)
                }
                Err(_) => Ok(()),
            };
            if let Err(what) = verdict {
                return Outcome::Wrong(format!("output {output:?}: {what}"));
            }
        }
        refused |= !answered;
    }
    if refused { Outcome::Refused } else { Outcome::Pass }
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
    let mut table: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases {
        let (name, operator) =
            (case["name"].as_str().expect("a name"), case["op"].as_str().expect("an operator"));
        let row = table.entry(operator).or_default();
        match check(&folder.join(name), operator) {
            Outcome::Pass => row.0 += 1,
            Outcome::Refused => row.1 += 1,
            Outcome::Wrong(what) => wrong.push(format!("{name}: {what}")),
        }
    }
    let passed: usize = table.values().map(|row| row.0).sum();
    let refused: usize = table.values().map(|row| row.1).sum();
    for (operator, (passed, refused)) in &table {
        println!("{operator:24} {passed:3} pass {refused:3} refused");
    }
    writeln!(std::io::stderr(), "operator_vectors: {passed} pass, {refused} refused, {} wrong", wrong.len())
        .ok();
    assert!(wrong.is_empty(), "{} vectors are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed >= ANSWERED, "{passed} vectors pass, {ANSWERED} did");
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
