//! Full-size networks against ONNX Runtime.
//!
//! `WHYBOX_FAMILIES` names a folder that `scripts/families.py FOLDER` or `tests/fixtures/families/record.py --all FOLDER` has
//! filled: gigabytes, so nothing of it is committed. The GPU's part is for real GPUs (`scripts/gpu-check.sh`): a software
//! adapter would need hours.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/families.rs"]
mod families;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use std::io::Write;
use std::path::PathBuf;

use families::{Case, PLAIN, check_on, networks};
use gpu::gpu;
use whybox::Device;

fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WHYBOX_FAMILIES").map(PathBuf::from);
    if folder.is_none() {
        // Not eprintln, which the test harness hides where the test passes.
        writeln!(std::io::stderr(), "skipped: {test}, WHYBOX_FAMILIES names no folder").ok();
    }
    folder
}

/// Checks every network of the folder, one at a time in memory, and reports all that fail.
fn each(folder: &std::path::Path, device: &Device, tolerance: impl Fn(&Case) -> f32) {
    let paths = networks(folder);
    assert!(!paths.is_empty(), "{} holds no network", folder.display());
    let failures: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
            let verdict = Case::load(path).and_then(|case| check_on(device, &case, tolerance(&case)));
            println!("{name}: {}", verdict.as_ref().map_or_else(String::clone, |d| format!("{d:.1e}")));
            verdict.err().map(|what| format!("{name}: {}", what.replace('\n', " ")))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), paths.len(), failures.join("\n"));
}

#[test]
fn full_networks_agree_on_the_processor() {
    let Some(folder) = folder("full_networks_agree_on_the_processor") else { return };
    each(&folder, &Device::cpu(), Case::tolerance);
}

#[test]
#[ignore = "for real GPUs: scripts/gpu-check.sh runs it"]
fn full_networks_agree_on_the_gpu() {
    let Some(folder) = folder("full_networks_agree_on_the_gpu") else { return };
    let Some(device) = gpu() else { return };
    each(&folder, &device, |_| PLAIN);
}
