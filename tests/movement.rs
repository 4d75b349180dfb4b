//! Networks whose batch axis moves, merges and comes back, or whose input is token ids, as PyTorch's two exporters write
//! them, against ONNX Runtime: `tests/fixtures/movement/record.py` makes networks and answers.

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

use std::path::{Path, PathBuf};

use compare::{relative, wrong_answers_fail};
use gpu::gpu;
use networks::{NETWORK, compare, each_network};
use reference::run_reference;
use whybox::device::RunOptions;
use whybox::model::Model;
use whybox::perturb::Rows;
use whybox::{Device, Error};

/// Networks in the folder: fewer would mean that some were lost.
const NETWORKS: usize = 55;

struct Case {
    name: String,
    model: Model,
    x: Vec<f32>,
    y: Vec<f32>,
    rows: usize,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/movement")
}

/// Shape and numbers of an array in an .npz file.
fn array(path: &Path, name: &str) -> (Vec<u64>, Vec<f32>) {
    let file = std::fs::File::open(path).expect("every network has answers");
    let mut archive = zip::ZipArchive::new(file).expect("an archive");
    let entry = archive.by_name(&format!("{name}.npy")).expect("an array");
    let array = npyz::NpyFile::new(entry).expect("an array");
    (array.shape().to_vec(), array.into_vec().expect("float32"))
}

impl Case {
    fn load(path: &Path) -> Result<Self, String> {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let model = Model::from_onnx(path).map_err(|error| format!("{name}: {error}"))?;
        let network = name.split('.').next().unwrap_or(&name);
        let answers = path.with_file_name(format!("{network}.npz"));
        let ((shape, x), (_, y)) = (array(&answers, "x"), array(&answers, "y"));
        Ok(Case { name, model, x, y, rows: shape[0] as usize })
    }
}

/// Runs `check` on every network and reports all that fail.
fn each(check: impl Fn(&Case) -> Result<(), String>) {
    each_network(&folder(), NETWORKS, |path| {
        Case::load(path).and_then(|case| check(&case).map_err(|e| format!("{}: {e}", case.name)))
    });
}

#[test]
fn plans_mean_what_onnx_runtime_computes() {
    each(|case| {
        let plan = whybox::plan::Plan::new(&case.model).map_err(|error| error.to_string())?;
        let mut stored = vec![0.0; case.x.len()];
        let len = plan.input_layout.len();
        for (sample, stored) in case.x.chunks_exact(len).zip(stored.chunks_exact_mut(len)) {
            plan.input_layout.store(sample, stored);
        }
        compare(&case.y, &run_reference(&plan, &stored, case.rows))
    });
}

fn check_on(device: &Device, case: &Case) -> Result<(), String> {
    let network = device.load(&case.model).map_err(|error| format!("it does not load: {error}"))?;
    let rows = Rows::new(&case.x, network.input().len()).map_err(|error| error.to_string())?;
    let found = network.responses(&rows, &RunOptions::default()).map_err(|error| error.to_string())?;
    compare(&case.y, found.as_slice().expect("a fresh array"))
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
        wrong_answers_fail(&case.y, outputs, |wrong| relative(&case.y, wrong, NETWORK))
    });
}

#[test]
fn ids_outside_the_table_are_refused() {
    let model = Model::from_onnx(folder().join("text_cnn.dynamo20.onnx")).expect("a text network");
    let network = Device::cpu().load(&model).expect("it runs");
    assert_eq!(network.input().vocabulary, Some(11));
    for wrong in [11.0, -1.0, 0.5, f32::NAN, 1e30] {
        let mut ids = vec![1.0; 2 * network.input().len()];
        ids[9] = wrong;
        let rows = Rows::new(&ids, network.input().len()).expect("whole rows");
        let error = network.responses(&rows, &RunOptions::default()).expect_err("no such id");
        assert!(matches!(error, Error::Parameter(_)), "{error}");
        assert!(error.to_string().contains("row 1, element 2"), "{error}");
    }
}
