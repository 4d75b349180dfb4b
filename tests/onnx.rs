//! Small ONNX networks against what ONNX Runtime answered to them: `tests/fixtures/onnx/record.py` makes both.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[path = "common/networks.rs"]
mod networks;
#[path = "common/reference.rs"]
mod reference;

use std::path::{Path, PathBuf};

use gpu::gpu;
use networks::each_network;
use reference::run_reference;
use whybox::device::RunOptions;
use whybox::model::{Model, OnnxOptions};
use whybox::perturb::Rows;
use whybox::{Device, Error, Network};

/// Networks in the folder: fewer would mean that some were lost.
const NETWORKS: usize = 394;

/// Samples that ONNX Runtime answered to.
const ROWS: usize = 5;

/// How far a network's numbers may be from ONNX Runtime's, in units of the largest.
const NETWORK: f32 = 1e-4;

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

/// Says where two answers are furthest apart, if that is too far.
fn compare(expected: &[f32], found: &[f32]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    // A NaN counts as infinitely far.
    let distance = |at: usize| match (expected[at] - found[at]).abs() {
        nan if nan.is_nan() => f32::INFINITY,
        distance => distance,
    };
    let worst = (0..expected.len())
        .max_by(|&a, &b| distance(a).total_cmp(&distance(b)))
        .ok_or("nothing to compare")?;
    if distance(worst) <= NETWORK * largest {
        return Ok(());
    }
    Err(format!("element {worst}: {} instead of {} (largest {largest})", found[worst], expected[worst]))
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

/// The comparison can fail: answers a thousandth off, two samples swapped, one number short.
#[test]
fn wrong_answers_are_found_out() {
    each(|case| {
        let outputs = case.model.output_len();
        let off: Vec<f32> = case.expected.iter().map(|x| x * 1.001).collect();
        let mut swapped = case.expected.clone();
        swapped.rotate_left(outputs);
        let mut not_a_number = case.expected.clone();
        not_a_number[0] = f32::NAN;
        let short = &case.expected[1..];
        for (what, wrong) in
            [("off", &off[..]), ("swapped", &swapped), ("NaN", &not_a_number), ("short", short)]
        {
            if compare(&case.expected, wrong).is_ok() {
                return Err(format!("answers that are {what} pass"));
            }
        }
        Ok(())
    });
}

#[test]
fn external_weights_stay_in_their_folder() {
    let bytes = std::fs::read(folder().join("external_data.onnx")).expect("the fixture is there");
    let error = Model::from_onnx_bytes("external", &bytes).expect_err("there is no folder to look in");
    assert!(error.to_string().contains("external_data.onnx.data"), "{error}");
}

#[test]
fn several_inputs_are_bound_by_name() {
    let path = folder().join("gemm_plain.onnx");
    let options = OnnxOptions { input: Some("y".into()), ..OnnxOptions::default() };
    let error = Model::from_onnx_with(path, &options).expect_err("there is no such input");
    assert!(matches!(error, Error::Parameter(_)), "{error}");
    assert!(error.to_string().contains("\"y\""), "{error}");
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
