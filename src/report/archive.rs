//! `explanation.npz`: the effects of all instances as arrays for numpy.

use std::io::{Cursor, Write};

use npyz::WriterBuilder;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::document::{Document, Instance, Output};
use crate::{Error, Result};

/// The archive's bytes: `values` `[instances, features, outputs]`, `standard_errors` of the same shape, `base_values`, `predictions` and
/// `local_predictions` `[instances, outputs]`, all float64; `rows` `[instances]` and `outputs` `[instances, outputs]` int64. Outputs stand
/// in the instance's own order; an instance with fewer outputs than another is filled up with NaN and −1.
pub(super) fn npz(report: &Document) -> Result<Vec<u8>> {
    let (instances, features) = (report.instances.len(), report.features.len());
    let outputs = report.instances.iter().map(|instance| instance.outputs.len()).max().unwrap_or(0);
    let output = |at: usize, k: usize| report.instances[at].outputs.get(k);
    let cells = |read: &dyn Fn(&Output, usize) -> f64| -> Vec<f64> {
        let all = (0..instances)
            .flat_map(|at| (0..features).flat_map(move |f| (0..outputs).map(move |k| (at, f, k))));
        all.map(|(at, f, k)| output(at, k).map_or(f64::NAN, |output| read(output, f))).collect()
    };
    let each = |read: fn(&Output) -> f64| -> Vec<f64> {
        let all = (0..instances).flat_map(|at| (0..outputs).map(move |k| (at, k)));
        all.map(|(at, k)| output(at, k).map_or(f64::NAN, read)).collect()
    };
    let whole = [instances as u64, features as u64, outputs as u64];
    let each_shape = [instances as u64, outputs as u64];
    let error =
        |output: &Output, f: usize| output.standard_errors.as_ref().map_or(f64::NAN, |errors| errors[f]);
    let row = |(at, instance): (usize, &Instance)| instance.row.unwrap_or(at) as i64;
    let rows: Vec<i64> = report.instances.iter().enumerate().map(row).collect();
    let indices: Vec<i64> = (0..instances)
        .flat_map(|at| (0..outputs).map(move |k| output(at, k).map_or(-1, |output| output.index as i64)))
        .collect();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: std::io::Result<Vec<u8>>| {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let written = archive.start_file(format!("{name}.npy"), options);
        written.map_err(|error| failed(&error)).and_then(|()| {
            let bytes = bytes.map_err(|error| failed(&error))?;
            archive.write_all(&bytes).map_err(|error| failed(&error))
        })
    };
    add("values", npy(&cells(&|output, f| output.values[f]), &whole))?;
    add("standard_errors", npy(&cells(&error), &whole))?;
    add("base_values", npy(&each(|output| output.base_value), &each_shape))?;
    add("predictions", npy(&each(|output| output.prediction), &each_shape))?;
    add("local_predictions", npy(&each(|output| output.local_prediction), &each_shape))?;
    add("rows", npy(&rows, &[instances as u64]))?;
    add("outputs", npy(&indices, &each_shape))?;
    archive.finish().map(Cursor::into_inner).map_err(|error| failed(&error))
}

fn npy<T: npyz::AutoSerialize + Copy>(values: &[T], shape: &[u64]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(bytes)
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::limits(format!("cannot write the arrays: {error}"), "explanation.npz", "report this as a bug")
}
