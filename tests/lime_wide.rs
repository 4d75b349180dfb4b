//! LIME of 8, 11, 12 and 30 features, three outputs, on tables and texts against `lime` 0.2.0.1 (tests/fixtures/lime_tabular).

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/lime_record.rs"]
mod lime_record;

use std::path::Path;

use lime_record::{Fit, difference};
use ndarray::{Array2, ArrayView2};
use serde::Deserialize;
use whybox::Result;
use whybox::perturb::Coalitions;
use whybox::solve::{Distance, Gram, Kernel, Surrogate, distances};

/// Largest difference from lime, over the largest number of the same kind.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Record {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    features: usize,
    data: Rows,
    responses: Vec<Vec<f64>>,
    fits: Vec<Fit>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rows {
    Bits(Vec<String>),
    Numbers(Vec<Vec<f64>>),
}

fn dense(rows: &Rows) -> Array2<f64> {
    match rows {
        Rows::Bits(rows) => Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, feature)| {
            f64::from(rows[row].as_bytes()[feature] - b'0')
        }),
        Rows::Numbers(rows) => {
            Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, feature)| rows[row][feature])
        }
    }
}

/// The moments that LIME would collect, with a kernel `times` as wide as lime's.
fn moments(case: &Case, responses: ArrayView2<f64>, times: f64) -> Result<Gram> {
    let data = dense(&case.data);
    let text = case.kind == "text";
    let width = if text { 0.25 } else { 0.75 * (case.features as f64).sqrt() };
    let kernel = Kernel::new(times * width)?;
    if text {
        let coalitions = Coalitions::from_dense(data.mapv(|bit| bit as u8).view())?;
        let mut gram = Gram::new(case.features, responses.ncols());
        gram.add(&coalitions, &kernel.weights(&distances(&coalitions, Distance::Cosine)), responses)?;
        return Ok(gram);
    }
    let instance = data.row(0).to_vec();
    let apart: Vec<f64> =
        data.outer_iter().map(|row| Distance::Euclidean.between(&row.to_vec(), &instance)).collect();
    let mut gram = Gram::about(instance, responses.ncols());
    gram.add_rows(data.view(), &kernel.weights(&apart), responses)?;
    Ok(gram)
}

#[test]
fn few_and_many_features_give_limes_numbers() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lime_tabular/wide.json");
    let record: Record =
        serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON");
    let seen: Vec<(&str, usize)> = record.cases.iter().map(|case| (&*case.kind, case.features)).collect();
    let expected =
        [8, 11, 12, 30].into_iter().flat_map(|m| ["none", "quartile", "text"].map(|kind| (kind, m)));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    let mut worst: f64 = 0.0;
    for case in &record.cases {
        let at = format!("{} of {}", case.kind, case.features);
        let responses = Array2::from_shape_fn((case.responses.len(), 3), |(row, k)| case.responses[row][k]);
        let gram = moments(case, responses.view(), 1.0)?;
        let wider = moments(case, responses.view(), 1.5)?;
        assert_eq!(case.fits.len(), 4);
        for fit in &case.fits {
            let labels: Vec<usize> = fit.answers.iter().map(|answer| answer.label).collect();
            assert_eq!(labels, [0, 1, 2]);
            let found = Surrogate::fit_all(&gram, &labels, &fit.options())?;
            for (ours, theirs) in found.iter().zip(&fit.answers) {
                let (features, coefficients): (Vec<usize>, Vec<f64>) =
                    ours.coefficients.iter().copied().unzip();
                assert_eq!(features, theirs.features, "{at}, {}, output {}", fit.selection, theirs.label);
                let apart = [
                    difference(&coefficients, &theirs.coefficients),
                    difference(&[ours.intercept], &[theirs.intercept]),
                    difference(&[ours.score], &[theirs.score]),
                    difference(&[ours.local_prediction], &[theirs.local_prediction]),
                ];
                worst = apart.into_iter().fold(worst, f64::max);
            }
            // Negative control: a wider kernel answers otherwise.
            let other = Surrogate::fit(&wider, 0, &fit.options())?;
            assert!(difference(&[other.intercept], &[fit.answers[0].intercept]) > 100.0 * TOLERANCE, "{at}");
        }
    }
    println!("largest difference: {worst:.1e}");
    assert!(worst <= TOLERANCE, "{worst}");
    Ok(())
}
