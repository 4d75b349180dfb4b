//! A folder of recorded networks, all of which have to pass a check.

use std::path::Path;

use crate::compare::relative;

/// How far a network's numbers may be from ONNX Runtime's, in units of the largest.
pub const NETWORK: f32 = 1e-4;

/// Whether a network's numbers are ONNX Runtime's.
pub fn compare(expected: &[f32], found: &[f32]) -> Result<(), String> {
    relative(expected, found, NETWORK).map(|_| ())
}

/// Runs `check` on every network of a folder, in the order of their names, and reports all that fail. There are at least
/// `least` of them: fewer would mean that some were lost.
pub fn each_network(folder: &Path, least: usize, check: impl Fn(&Path) -> Result<(), String>) {
    let entries =
        std::fs::read_dir(folder).expect("the fixtures are there").map(|entry| entry.expect("a file").path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
    paths.sort();
    assert!(paths.len() >= least, "{} networks are there, {least} were recorded", paths.len());
    let failures: Vec<String> = paths.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), paths.len(), failures.join("\n"));
}
