//! An image explanation end to end against `lime` 0.2.0.1: same photo, network, segments and masks.
//!
//! `tests/fixtures/lime_image/README.md` says what was recorded, and how. Here the masked pictures, the
//! network's answers and the surrogate are all our own; only the masks are recorded, because the two sides draw
//! from different generators.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/lime_record.rs"]
mod lime_record;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lime_record::Answer;
use ndarray::{Array2, s};
use serde::Deserialize;
use whybox::Device;
use whybox::device::RunOptions;
use whybox::model::Model;
use whybox::perturb::picture::{Baseline, Picture, PictureShape, Preprocess, open_photo};
use whybox::perturb::segment::Segmentation;
use whybox::perturb::{Coalitions, Segments};
use whybox::solve::{Distance, Gram, Kernel, Surrogate, SurrogateOptions, distances};

/// Largest difference of coefficients: norm of the difference over the norm of lime's.
const COEFFICIENTS: f64 = 1e-4;
/// Largest difference of an R², an intercept or a local prediction.
const SCORES: f64 = 1e-4;
/// Largest difference of a probability: two engines that sum in f32 in different orders.
const RESPONSES: f64 = 1e-5;

#[derive(Deserialize)]
struct Record {
    players: usize,
    masks: Vec<String>,
    responses: Vec<Vec<f64>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    num_features: usize,
    answers: Vec<Answer>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lime_image").join(name)
}

impl Record {
    fn read() -> Self {
        let text = std::fs::read_to_string(fixture("answers.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn coalitions(&self) -> Coalitions {
        let digits = |mask: &str| mask.chars().map(|digit| digit.to_digit(16).unwrap()).collect::<Vec<_>>();
        let masks: Vec<Vec<u32>> = self.masks.iter().map(|mask| digits(mask)).collect();
        let bit = |(row, player): (usize, usize)| (masks[row][player / 4] >> (player % 4) & 1) as u8;
        Coalitions::from_dense(Array2::from_shape_fn((masks.len(), self.players), bit).view()).unwrap()
    }

    fn responses(&self) -> Array2<f64> {
        let shape = (self.responses.len(), self.responses[0].len());
        Array2::from_shape_fn(shape, |(row, output)| self.responses[row][output])
    }
}

/// The network's answers to the recorded masks, where hidden segments show `baseline`.
fn responses(record: &Record, baseline: &str, device: &Device) -> Array2<f64> {
    let network = device.load(&Model::from_onnx(fixture("network.onnx")).unwrap()).unwrap();
    let shape = PictureShape::of(&network.input().shape).unwrap();
    let preprocess: Preprocess = "unit".parse().unwrap();
    let picture = Picture::new(open_photo(&fixture("photo.png")).unwrap(), &shape, &preprocess).unwrap();
    let map = Segmentation::File(fixture("segments.png")).segment(&picture.pixels(), 0).unwrap();
    assert_eq!(map.count(), record.players);
    let hidden = baseline.parse::<Baseline>().unwrap().picture(picture.pixels(), &map).unwrap();
    let perturbation = Segments::new(
        preprocess.apply(picture.pixels(), &shape),
        preprocess.apply(hidden.view(), &shape),
        map,
        shape.order,
        Arc::new(record.coalitions()),
    );
    network.responses(&perturbation.unwrap(), &RunOptions::default()).unwrap().mapv(f64::from)
}

/// The surrogates of a case's labels, in their order.
fn explain(record: &Record, responses: &Array2<f64>, case: &Case) -> Vec<Surrogate> {
    let coalitions = record.coalitions();
    let weights = Kernel::new(0.25).unwrap().weights(&distances(&coalitions, Distance::Cosine));
    let mut gram = Gram::new(record.players, responses.ncols());
    gram.add(&coalitions, &weights, responses.view()).unwrap();
    let labels: Vec<usize> = case.answers.iter().map(|answer| answer.label).collect();
    let options = SurrogateOptions { num_features: case.num_features, ..SurrogateOptions::default() };
    Surrogate::fit_all(&gram, &labels, &options).unwrap()
}

/// How far the coefficients are apart, relative to the norm of lime's, or what else disagrees.
fn compare(ours: &Surrogate, lime: &Answer) -> Result<f64, String> {
    let mut chosen = ours.coefficients.clone();
    let mut expected: Vec<(usize, f64)> =
        lime.features.iter().copied().zip(lime.coefficients.clone()).collect();
    chosen.sort_by_key(|&(feature, _)| feature);
    expected.sort_by_key(|&(feature, _)| feature);
    let features = |of: &[(usize, f64)]| of.iter().map(|&(feature, _)| feature).collect::<Vec<_>>();
    if features(&chosen) != features(&expected) {
        return Err(format!("features {:?}, lime {:?}", features(&chosen), features(&expected)));
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut chosen.iter().zip(&expected).map(|(a, b)| a.1 - b.1))
        / norm(&mut expected.iter().map(|&(_, beta)| beta));
    if difference > COEFFICIENTS {
        return Err(format!("coefficients differ by {difference:e} of their norm"));
    }
    for (name, ours, lime) in [
        ("score", ours.score, lime.score),
        ("intercept", ours.intercept, lime.intercept),
        ("local prediction", ours.local_prediction, lime.local_prediction),
    ] {
        if (ours - lime).abs() > SCORES {
            return Err(format!("{name} {ours}, lime {lime}"));
        }
    }
    Ok(difference)
}

/// The largest difference over all cases and labels, or every disagreement.
fn compare_all(record: &Record, responses: &Array2<f64>) -> Result<f64, Vec<String>> {
    let (mut worst, mut failures) = (0.0f64, Vec::new());
    for case in &record.cases {
        for (fit, answer) in explain(record, responses, case).iter().zip(&case.answers) {
            match compare(fit, answer) {
                Ok(difference) => worst = worst.max(difference),
                Err(reason) => {
                    failures
                        .push(format!("{} features, label {}: {reason}", case.num_features, answer.label));
                }
            }
        }
    }
    if failures.is_empty() { Ok(worst) } else { Err(failures) }
}

#[test]
fn an_image_explanation_agrees_with_lime() {
    let record = Record::read();
    let ours = responses(&record, "mean8", &Device::cpu());
    let lime = record.responses();
    assert_eq!(ours.dim(), lime.dim());
    let difference = (&ours - &lime).iter().fold(0.0f64, |worst, d| worst.max(d.abs()));
    assert!(difference <= RESPONSES, "probabilities differ by {difference:e}");

    // Row 0 is the photo: the recorded labels are its top ones.
    let mut order: Vec<usize> = (0..ours.ncols()).collect();
    order.sort_by(|&a, &b| ours[[0, b]].total_cmp(&ours[[0, a]]));
    for case in &record.cases {
        let labels: Vec<usize> = case.answers.iter().map(|answer| answer.label).collect();
        assert_eq!(labels, order[..labels.len()]);
    }
    match compare_all(&record, &ours) {
        Ok(worst) => println!("probabilities within {difference:e}, coefficients within {worst:e}"),
        Err(failures) => panic!("{}", failures.join("\n")),
    }
}

/// Negative control: what hidden segments show matters to the comparison, down to the truncation to 8 bits.
#[test]
fn another_baseline_fails_the_comparison() {
    let record = Record::read();
    for baseline in ["mean", "average", "black", "blur:sigma=5"] {
        let failures = compare_all(&record, &responses(&record, baseline, &Device::cpu())).unwrap_err();
        let labels: usize = record.cases.iter().map(|case| case.answers.len()).sum();
        println!("{baseline}: {} of {labels} fail, for example: {}", failures.len(), failures[0]);
        let all = record.cases[0].num_features;
        let prefix = format!("{all} features");
        let whole = failures.iter().filter(|failure| failure.starts_with(&prefix)).count();
        assert_eq!(whole, record.cases[0].answers.len(), "{baseline}: every label has to disagree");
    }
}

/// Negative control: masks in another order answer other questions.
#[test]
fn shuffled_responses_fail_the_comparison() {
    let record = Record::read();
    let mut ours = responses(&record, "mean8", &Device::cpu());
    let reversed = ours.slice(s![1..;-1, ..]).to_owned();
    ours.slice_mut(s![1.., ..]).assign(&reversed);
    assert!(compare_all(&record, &ours).is_err());
}
