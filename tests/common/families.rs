//! Exported networks with ONNX Runtime's answers: `tests/fixtures/families/record.py` and `scripts/families.py` make
//! both.

use std::path::{Path, PathBuf};

use whybox::device::RunOptions;
use whybox::model::{Model, Op};
use whybox::perturb::Rows;
use whybox::{Device, Network, Result};

use crate::compare::{largest, relative};

/// Samples that ONNX Runtime answered to.
pub const ROWS: usize = 8;

/// How far a network's numbers may be from ONNX Runtime's, in units of the largest.
pub const PLAIN: f32 = 1e-4;

/// The same where Winograd's transforms run.
pub const WINOGRAD: f32 = 3e-4;

/// Words in the vocabulary of the networks that read tokens.
const VOCABULARY: f32 = 50.0;

/// One network and its answers.
pub struct Case {
    pub name: String,
    pub model: Model,
    pub input: Vec<f32>,
    /// `[ROWS, outputs]`
    pub expected: Vec<f32>,
}

impl Case {
    pub fn load(path: &Path) -> Result<Self, String> {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let model = Model::from_onnx(path).map_err(|error| error.to_string())?;
        let file = std::fs::File::open(path.with_extension("npy")).expect("every network has answers");
        let expected: Vec<f32> = npyz::NpyFile::new(file).and_then(npyz::NpyFile::into_vec).expect("float32");
        if expected.len() != ROWS * model.output_len() {
            return Err(format!("{} outputs, not {}", model.output_len(), expected.len() / ROWS));
        }
        let input = inputs(model.input_shape(), name.starts_with("text"));
        Ok(Case { name, model, input, expected })
    }

    /// The first `rows` samples, over and over.
    pub fn samples(&self, rows: usize) -> (Vec<f32>, Vec<f32>) {
        let repeat = |data: &[f32]| -> Vec<f32> {
            data.iter().copied().cycle().take(data.len() / ROWS * rows).collect()
        };
        (repeat(&self.input), repeat(&self.expected))
    }

    /// Whether the processor's engine may take Winograd's transforms: a 3×3 convolution of stride 1.
    pub fn tolerance(&self) -> f32 {
        let winograd = |op: &Op| match op {
            Op::Conv { window, groups, .. } => {
                window.kernel == [3; 2]
                    && window.stride == [1; 2]
                    && window.dilation == [1; 2]
                    && *groups == 1
            }
            _ => false,
        };
        if self.model.graph().nodes.iter().any(|node| winograd(&node.op)) { WINOGRAD } else { PLAIN }
    }
}

/// The networks in a folder, sorted by name.
pub fn networks(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a file").path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
    paths.sort();
    paths
}

/// Runs `check` on each network of a list and gives what fails.
pub fn failures(paths: &[PathBuf], check: impl Fn(&Case) -> Result<(), String>) -> Vec<String> {
    let fails = |path: &PathBuf| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let verdict = Case::load(path).and_then(|case| check(&case));
        verdict.err().map(|what| format!("{name}: {}", what.replace('\n', " ")))
    };
    paths.iter().filter_map(fails).collect()
}

/// Uniform in [-1, 1), exact in float32: splitmix64 of a number (`noise` in record.py).
fn noise(number: u64) -> f32 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `inputs` of record.py: noise around a colour of each sample's own, or token ids.
pub fn inputs(shape: &[usize], tokens: bool) -> Vec<f32> {
    let len: usize = shape.iter().product();
    let axis = len / shape[0];
    let sample = |k: usize| {
        let x = noise(k as u64);
        if tokens {
            return ((x + 1.0) * (VOCABULARY / 2.0)).floor();
        }
        x + noise((1 << 32) + (k / axis) as u64)
    };
    (0..ROWS * len).map(sample).collect()
}

/// A network's responses to whole inputs.
pub fn respond(network: &Network, data: &[f32]) -> Result<Vec<f32>> {
    let rows = Rows::new(data, network.input().len())?;
    Ok(network.responses(&rows, &RunOptions::default())?.into_raw_vec_and_offset().0)
}

/// Compares two answers `[rows, outputs]`; the distance in units of the largest number, or what is wrong.
pub fn compare(expected: &[f32], found: &[f32], outputs: usize, tolerance: f32) -> Result<f32, String> {
    let distance = relative(expected, found, tolerance)?;
    let gap = 2.0 * f64::from(tolerance) * largest(expected);
    for (row, (e, f)) in expected.chunks_exact(outputs).zip(found.chunks_exact(outputs)).enumerate() {
        same_order(e, f, gap as f32).map_err(|what| format!("row {row}: {what}"))?;
    }
    Ok(distance)
}

/// The five largest are the same in the same order, except for those that lie within `gap` of each other.
fn same_order(expected: &[f32], found: &[f32], gap: f32) -> Result<(), String> {
    let top = |values: &[f32]| -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        order.truncate(5);
        order
    };
    for (rank, (e, f)) in top(expected).into_iter().zip(top(found)).enumerate() {
        if e != f && (expected[e] - expected[f]).abs() > gap {
            return Err(format!("output {f} has rank {rank}, not output {e}"));
        }
    }
    Ok(())
}

/// A network on a device: all samples, and one alone.
pub fn check_on(device: &Device, case: &Case, tolerance: f32) -> Result<f32, String> {
    let network = device.load(&case.model).map_err(|error| format!("it does not load: {error}"))?;
    let mut worst = 0.0_f32;
    for rows in [1, ROWS] {
        let (data, expected) = case.samples(rows);
        let found = respond(&network, &data).map_err(|error| format!("{rows} rows: {error}"))?;
        let distance = compare(&expected, &found, case.model.output_len(), tolerance)
            .map_err(|what| format!("{rows} rows: {what}"))?;
        worst = worst.max(distance);
    }
    Ok(worst)
}
