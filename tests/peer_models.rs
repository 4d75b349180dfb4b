//! `whybox predict` and `whybox inspect` on the files of a folder of exported models: `WHYBOX_PEER_MODELS` names it.
//!
//! `NAME.npz` holds `inputs` and `outputs`; `NAME.ts.onnx`, `NAME.dynamo.onnx`, `NAME.skl.onnx` and `NAME.skl_zipmap.onnx` are
//! exports of the same model. Tree ensembles and support vector machines have to be refused by the operator's name.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use compare::relative;
use npyz::NpyFile;

/// How far numbers may be from the recorded ones, in units of the largest: these were computed by PyTorch and
/// scikit-learn, not from the file.
const TOLERANCE: f32 = 3e-4;

/// Samples that are predicted.
const ROWS: usize = 8;

fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WHYBOX_PEER_MODELS").map(PathBuf::from);
    if folder.is_none() {
        // Not eprintln, which the test harness hides where the test passes.
        writeln!(std::io::stderr(), "skipped: {test}, WHYBOX_PEER_MODELS names no folder").ok();
    }
    folder
}

fn whybox(arguments: &[&std::ffi::OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whybox")).args(arguments).output().expect("the program starts")
}

/// Operators that no engine has yet, of which models are refused.
fn refused_operator(name: &str) -> Option<&'static str> {
    let kind = |part: &str| name.contains(part);
    match () {
        () if kind("_rf_") || kind("_gb_") || kind("_hgb_") => Some("TreeEnsemble"),
        () if kind("_svc_") => Some("SVMClassifier"),
        () => None,
    }
}

/// An array of an archive: shape and numbers.
fn array(path: &Path, name: &str) -> Result<(Vec<u64>, Vec<f32>), String> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|error| error.to_string())?;
    entry.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let array = NpyFile::new(&bytes[..]).map_err(|error| error.to_string())?;
    let shape = array.shape().to_vec();
    let double = array.dtype().descr().contains("f8");
    let columns_first = array.order() == npyz::Order::Fortran;
    let numbers = if double {
        array.into_vec::<f64>().map(|all| all.into_iter().map(|x| x as f32).collect())
    } else {
        array.into_vec::<f32>()
    };
    let numbers: Vec<f32> = numbers.map_err(|error| error.to_string())?;
    let numbers = match (columns_first, &shape[..]) {
        (false, _) => numbers,
        (true, &[rows, _]) => {
            let rows = usize::try_from(rows).map_err(|error| error.to_string())?;
            let row = |at: usize| numbers.iter().skip(at).step_by(rows).copied();
            (0..rows).flat_map(row).collect()
        }
        (true, _) => return Err(format!("{name} of shape {shape:?} is stored columns first")),
    };
    Ok((shape, numbers))
}

/// The folder's exports: each with its archive of inputs and outputs.
fn exports(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut found: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.split('.').next()?;
            let archive = folder.join(format!("{name}.npz"));
            archive.exists().then_some((path, archive))
        })
        .collect();
    found.sort();
    found
}

/// The first rows of an array as a file.
fn write_rows(path: &Path, shape: &[u64], numbers: &[f32]) {
    use npyz::WriterBuilder;
    let file = std::fs::File::create(path).expect("a file");
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd().expect("a header");
    writer.extend(numbers.iter().copied()).expect("numbers");
    writer.finish().expect("a file");
}

/// The program's outputs for the first inputs, against the recorded ones.
fn predict(model: &Path, archive: &Path, work: &Path) -> Result<(), String> {
    let (mut shape, inputs) = array(archive, "inputs")?;
    let (_, outputs) = array(archive, "outputs")?;
    let rows = usize::try_from(shape[0]).expect("a length");
    let taken = rows.min(ROWS);
    shape[0] = taken as u64;
    let [x, y] = ["x.npy", "y.npy"].map(|name| work.join(name));
    write_rows(&x, &shape, &inputs[..inputs.len() / rows * taken]);
    let arguments =
        ["predict".as_ref(), "--device".as_ref(), "cpu".as_ref(), "--model".as_ref(), model.as_os_str()];
    let files = ["--input".as_ref(), x.as_os_str(), "--out".as_ref(), y.as_os_str()];
    let output = whybox(&[&arguments[..], &files].concat());
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "));
    }
    let found = std::fs::File::open(&y).map_err(|error| error.to_string())?;
    let found: Vec<f32> =
        NpyFile::new(found).and_then(NpyFile::into_vec).map_err(|error| error.to_string())?;
    let expected = &outputs[..outputs.len() / rows * taken];
    let apart = relative(expected, &found, TOLERANCE)?;
    println!("{}: {apart:.1e}", model.file_name().unwrap_or_default().display());
    Ok(())
}

#[test]
fn the_program_takes_every_export() {
    let Some(folder) = folder("the_program_takes_every_export") else { return };
    let work = tempfile::tempdir().expect("a temporary folder");
    let exports = exports(&folder);
    assert!(!exports.is_empty(), "{} holds no export", folder.display());
    let mut failures = Vec::new();
    for (model, archive) in &exports {
        let name = model.file_name().expect("a file").to_string_lossy().into_owned();
        let inspect = whybox(&["inspect".as_ref(), model.as_os_str()]);
        let verdict = match refused_operator(&name) {
            Some(operator) => {
                let said = String::from_utf8_lossy(&inspect.stderr).into_owned();
                match inspect.status.code() {
                    Some(1) if said.contains(operator) => Ok(()),
                    _ => Err(format!("{operator} is not what the refusal names: {said}")),
                }
            }
            None if !inspect.status.success() => Err(String::from_utf8_lossy(&inspect.stderr).into_owned()),
            None => predict(model, archive, work.path()),
        };
        failures.extend(verdict.err().map(|what| format!("{name}: {}", what.trim().replace('\n', " "))));
    }
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), exports.len(), failures.join("\n"));
}
