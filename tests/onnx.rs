//! Small ONNX networks against what ONNX Runtime answered to them: `tests/fixtures/onnx/record.py` makes both.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[path = "common/networks.rs"]
mod networks;
#[path = "common/reference.rs"]
mod reference;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use compare::{relative, wrong_answers_fail};
use gpu::gpu;
use networks::{NETWORK, compare, each_network};
use reference::run_reference;
use rten_onnx::onnx::{
    AttributeProto, DataType, ModelProto, NodeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use whybox::device::{Precision, RunOptions};
use whybox::model::onnx::OPSETS;
use whybox::model::{Model, OnnxOptions};
use whybox::perturb::Rows;
use whybox::{Device, Error, Network};

/// Networks in the folder: fewer would mean that some were lost.
const NETWORKS: usize = 394;

/// Samples that ONNX Runtime answered to.
const ROWS: usize = 5;

/// One network and its answers.
struct Case {
    name: String,
    model: Model,
    input: Vec<f32>,
    expected: Vec<f32>,
}

impl Case {
    fn load(path: &Path) -> Result<Self, String> {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        // Of classifiers, which have their labels as first output, the scores are taken.
        let model = Model::from_onnx(path).map_err(|error| format!("{name}: {error}"))?;
        let file = std::fs::File::open(path.with_extension("npy")).expect("every network has answers");
        let expected: Vec<f32> = npyz::NpyFile::new(file).and_then(npyz::NpyFile::into_vec).expect("float32");
        let len: usize = model.input_shape().iter().product();
        if expected.len() != ROWS * model.output_len() {
            return Err(format!("{name}: {} outputs, not {}", model.output_len(), expected.len() / ROWS));
        }
        // The formula of `inputs` in net.py.
        let input = (0..ROWS * len).map(|k| ((k * 7919 + 13) % 1009) as f32 / 504.5 - 0.75).collect();
        Ok(Case { name, model, input, expected })
    }

    /// The first `rows` samples, over and over.
    fn samples(&self, rows: usize) -> (Vec<f32>, Vec<f32>) {
        let repeat = |data: &[f32]| -> Vec<f32> {
            let len = data.len() / ROWS * rows;
            data.iter().copied().cycle().take(len).collect()
        };
        (repeat(&self.input), repeat(&self.expected))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx")
}

/// Runs `check` on every network and reports all that fail.
fn each(check: impl Fn(&Case) -> Result<(), String>) {
    each_network(&folder(), NETWORKS, |path| {
        Case::load(path).and_then(|case| check(&case).map_err(|e| format!("{}: {e}", case.name)))
    });
}

/// The responses to `rows`, and the samples in a chunk.
fn respond(network: &Network, data: &[f32], memory_bytes: Option<u64>) -> whybox::Result<(Vec<f32>, usize)> {
    let options = RunOptions { memory_bytes, ..RunOptions::default() };
    let mut all = Vec::new();
    let rows = Rows::new(data, network.input().len())?;
    let report = network.run(&rows, &options, &mut |_, values| {
        all.extend_from_slice(values);
        Ok(())
    })?;
    Ok((all, report.chunk_rows))
}

/// A network on a device: one sample, a few, and many in several chunks.
fn check_on(device: &Device, case: &Case) -> Result<(), String> {
    let network = device.load(&case.model).map_err(|error| format!("it does not load: {error}"))?;
    for rows in [1, 3, ROWS] {
        let (data, expected) = case.samples(rows);
        let (found, _) = respond(&network, &data, None).map_err(|error| format!("{rows} rows: {error}"))?;
        compare(&expected, &found).map_err(|what| format!("{rows} rows: {what}"))?;
    }
    const MANY: usize = 41;
    let (data, expected) = case.samples(MANY);
    // The least memory that holds a sample.
    let mut cap = 256;
    let (found, chunk) = loop {
        match respond(&network, &data, Some(cap)) {
            Err(Error::Limits(_)) if cap < 1 << 30 => cap += cap.div_ceil(16),
            other => break other.map_err(|error| format!("{MANY} rows in {cap} bytes: {error}"))?,
        }
    };
    if chunk >= MANY {
        return Err(format!("{MANY} rows went through in one chunk of {chunk}, with {cap} bytes"));
    }
    compare(&expected, &found).map_err(|what| format!("{MANY} rows, {chunk} in a chunk: {what}"))
}

/// Stored in f16, a network answers nearly the same, or not at all. Two hundredths of the largest answer: a store moves a number
/// by 2⁻¹⁰ of itself at most, and a network of these has up to ten of them behind each other, some of differences.
#[test]
fn networks_are_near_in_f16_or_refused() {
    let Some(Ok(device)) = gpu().map(|device| device.with_precision(Precision::F16)) else { return };
    let refused = std::sync::Mutex::new(Vec::new());
    each(|case| {
        let answers = device.load(&case.model).and_then(|network| respond(&network, &case.input, None));
        match answers {
            Ok((found, _)) => relative(&case.expected, &found, 0.02).map(|_| ()),
            Err(Error::Numeric(_) | Error::Limits(_) | Error::Unsupported(_)) => {
                refused.lock().expect("no panic").push(case.name.clone());
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    });
    let refused = refused.into_inner().expect("no panic");
    assert_eq!(refused, [""; 0]);
}

#[test]
fn plans_mean_what_onnx_runtime_computes() {
    each(|case| {
        let plan = whybox::plan::Plan::new(&case.model).map_err(|error| error.to_string())?;
        let mut stored = vec![0.0; case.input.len()];
        let len = plan.input_layout.len();
        for (sample, stored) in case.input.chunks_exact(len).zip(stored.chunks_exact_mut(len)) {
            plan.input_layout.store(sample, stored);
        }
        compare(&case.expected, &run_reference(&plan, &stored, ROWS))
    });
}

#[test]
fn cpu_agrees_with_onnx_runtime() {
    let device = Device::cpu();
    each(|case| check_on(&device, case));
}

#[test]
fn gpu_agrees_with_onnx_runtime() {
    let Some(device) = gpu() else { return };
    each(|case| check_on(&device, case));
}

/// The comparison can fail.
#[test]
fn wrong_answers_are_found_out() {
    each(|case| {
        let outputs = case.model.output_len();
        wrong_answers_fail(&case.expected, outputs, |wrong| relative(&case.expected, wrong, NETWORK))
    });
}

#[test]
fn external_weights_stay_in_their_folder() {
    let bytes = std::fs::read(folder().join("external_data.onnx")).expect("the fixture is there");
    let error = Model::from_onnx_bytes("external", &bytes).expect_err("there is no folder to look in");
    assert!(error.to_string().contains("external_data.onnx.data"), "{error}");
}

/// A fixture's document.
fn document(name: &str) -> ModelProto {
    let bytes = std::fs::read(folder().join(name).with_extension("onnx")).expect("the fixture is there");
    ModelProto::parse_buf(&bytes).expect("a document")
}

/// Writes a document as `name` beside nothing else.
fn written(document: &ModelProto, name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name).with_extension("onnx");
    std::fs::write(&path, document.write_buf().expect("it can be written")).expect("a file");
    (folder, path)
}

/// What a model answers to a fixture's samples, which has to be what was recorded for it.
fn answers_as(model: Model, fixture: &str) {
    let recorded = Case::load(&folder().join(fixture).with_extension("onnx")).expect("a fixture");
    let network = Device::cpu().load(&model).expect("it runs");
    let (found, _) = respond(&network, &recorded.input, None).expect("it answers");
    compare(&recorded.expected, &found).expect("the same answers");
}

/// Convolution and Gemm mean the same in all of them.
#[test]
fn opsets_7_to_25_are_read() {
    for fixture in ["conv_plain", "gemm_plain"] {
        let mut document = document(fixture);
        for opset in 6..=26 {
            document.opset_import[0].version = Some(opset);
            let (_folder, path) = written(&document, fixture);
            match Model::from_onnx(path) {
                Ok(model) if OPSETS.contains(&opset) => answers_as(model, fixture),
                Err(Error::Unsupported(detail)) if !OPSETS.contains(&opset) => {
                    assert!(detail.what.contains(&format!("opset {opset} ")), "{detail:?}");
                }
                other => panic!("opset {opset}: {other:?}"),
            }
        }
    }
    assert_eq!(OPSETS, 7..=25);
}

/// A network of two inputs, the second of which is bound to what was a constant.
#[test]
fn several_inputs_are_bound_by_name() {
    let fixture = "const_add_square";
    let mut document = document(fixture);
    let graph = document.graph.as_mut().expect("a graph");
    let at = graph.initializer.iter().position(|tensor| tensor.name.as_deref() == Some("c2")).expect("c2");
    let constant = graph.initializer.remove(at);
    graph.input.push(ValueInfoProto { name: constant.name.clone(), ..graph.input[0].clone() });
    let (_folder, path) = written(&document, fixture);
    let error = Model::from_onnx(&path).expect_err("nothing says what c2 is");
    assert!(error.to_string().contains("2 inputs: x, c2"), "{error}");

    let bytes = constant.raw_data.as_ref().expect("numbers").borrow().clone();
    let data = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let bind = HashMap::from([("c2".to_owned(), (vec![4, 1], data))]);
    let options = OnnxOptions { bind, ..OnnxOptions::default() };
    answers_as(Model::from_onnx_with(&path, &options).expect("it is bound"), fixture);
    // The numbers have to fill the shape.
    let bind = HashMap::from([("c2".to_owned(), (vec![4, 1], vec![0.0; 3]))]);
    let short = OnnxOptions { bind, ..OnnxOptions::default() };
    let error = Model::from_onnx_with(&path, &short).expect_err("a number is missing");
    assert!(matches!(error, Error::Parameter(_)) && error.to_string().contains("c2"), "{error}");

    let bind = HashMap::from([("c3".to_owned(), (vec![], vec![1.0]))]);
    let unknown = OnnxOptions { bind, ..OnnxOptions::default() };
    let error = Model::from_onnx_with(&path, &unknown).expect_err("there is no such input");
    assert!(matches!(error, Error::Parameter(_)) && error.to_string().contains("\"c3\""), "{error}");

    let options = OnnxOptions { input: Some("y".into()), ..OnnxOptions::default() };
    let error = Model::from_onnx_with(path, &options).expect_err("there is no such input");
    assert!(matches!(error, Error::Parameter(_)), "{error}");
    assert!(error.to_string().contains("\"y\""), "{error}");
}

/// Of a network that has nothing but the number of the best class, that is an output only by its name.
#[test]
fn labels_are_outputs_by_name_alone() {
    let mut document = document("gemm_plain");
    let graph = document.graph.as_mut().expect("a graph");
    let scores = graph.output[0].name.clone().expect("a name");
    graph.node.push(NodeProto {
        op_type: Some("ArgMax".into()),
        input: vec![scores],
        output: vec!["label".into()],
        attribute: vec![AttributeProto {
            name: Some("axis".into()),
            i: Some(1),
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    });
    let label = TypeProtoTensor { elem_type: Some(DataType::INT64), ..TypeProtoTensor::default() };
    let r#type = Some(TypeProto { tensor_type: Some(label), ..TypeProto::default() });
    graph.output = vec![ValueInfoProto { name: Some("label".into()), r#type }];
    let (_folder, path) = written(&document, "label");
    let error = Model::from_onnx(&path).expect_err("there is no score");
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("\"label\" (ArgMax, opset 7)"), "{error}");

    let options = OnnxOptions { output: Some("label".into()), ..OnnxOptions::default() };
    let model = Model::from_onnx_with(path, &options).expect("it is named");
    let mut recorded = Case::load(&folder().join("gemm_plain.onnx")).expect("a fixture");
    // As recorded, all samples have the same label.
    let width = recorded.input.len() / ROWS;
    recorded.input[..2 * width].iter_mut().for_each(|x| *x *= -20.0);
    let plain = Device::cpu().load(&recorded.model).expect("it loads");
    let scores = respond(&plain, &recorded.input, None).expect("it answers").0;
    let best =
        |scores: &[f32]| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("scores");
    let expected: Vec<f32> = scores.chunks(scores.len() / ROWS).map(|scores| best(scores) as f32).collect();
    assert!(expected.iter().any(|&label| label != expected[0]), "{expected:?}");
    for device in std::iter::once(Device::cpu()).chain(gpu()) {
        let network = device.load(&model).expect("it runs");
        assert_eq!(respond(&network, &recorded.input, None).expect("it answers").0, expected);
    }
}

/// A classifier's label is no number: whoever asks for it is told which node makes it.
#[test]
fn labels_are_refused() {
    let path = folder().join("learned_classifier_softmax.onnx");
    let options = OnnxOptions { output: Some("label".into()), ..OnnxOptions::default() };
    let error = Model::from_onnx_with(path, &options).expect_err("labels are not computed");
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("node \"node\" (ai.onnx.ml.LinearClassifier"), "{error}");
}
