//! The solver against `lime` 0.2.0.1 and scikit-learn, given the same masks and responses.
//!
//! `tests/fixtures/lime/README.md` says what was recorded, and how.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/lime_record.rs"]
mod lime_record;

use std::path::Path;

use lime_record::{Answer, Fit};
use ndarray::{Array1, Array2};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use whybox::perturb::philox::philox4x32_10;
use whybox::perturb::{Coalitions, Sampling, lime_coalitions};
use whybox::solve::{
    Distance, Gram, Kernel, LarsMethod, LarsOptions, Ridge, Surrogate, SurrogateOptions, distances, lars_path,
};

/// Largest difference allowed, of the largest coefficient.
const COEFFICIENTS: f64 = 1e-6;
/// Largest difference allowed of an R², an intercept or a prediction.
const SCORES: f64 = 1e-6;

#[derive(Deserialize)]
struct Neighbourhood {
    players: usize,
    masks: Vec<String>,
    responses: Vec<Vec<f64>>,
    kernels: Vec<RecordedKernel>,
}

#[derive(Deserialize)]
struct RecordedKernel {
    metric: String,
    width: f64,
    present: Vec<usize>,
    distances: Vec<f64>,
    weights: Vec<f64>,
    cases: Vec<Fit>,
}

#[derive(Deserialize)]
struct Solver {
    empty_row: EmptyRow,
    lars: Vec<Lars>,
    lasso: Lasso,
    ridge: Vec<RidgeCase>,
}

#[derive(Deserialize)]
struct EmptyRow {
    cosine: f64,
    euclidean: f64,
}

#[derive(Deserialize)]
struct Lars {
    name: String,
    method: String,
    max_steps: usize,
    rows: usize,
    gram: Vec<Vec<f64>>,
    correlations: Vec<f64>,
    alphas: Vec<f64>,
    active: Vec<usize>,
    coefficients: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Lasso {
    rows: usize,
    gram: Vec<Vec<f64>>,
    correlations: Vec<f64>,
    alphas: Vec<f64>,
    coefficients: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct RidgeCase {
    name: String,
    alpha: f64,
    rows: Vec<Vec<f64>>,
    responses: Vec<Vec<f64>>,
    weights: Option<Vec<f64>>,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    scores: Vec<f64>,
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lime").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |max, value| max.max(value.abs()))
}

impl Neighbourhood {
    fn all() -> Vec<Self> {
        [8, 12, 40, 70].map(|players| read(&format!("image_{players}.json"))).into()
    }

    fn coalitions(&self) -> Coalitions {
        let mut coalitions = Coalitions::new(self.players);
        for mask in &self.masks {
            let digits: Vec<u32> = mask.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
            coalitions.push(|player| digits[player / 4] >> (player % 4) & 1 == 1);
        }
        coalitions
    }

    fn gram(&self, kernel: &RecordedKernel, chunk: usize) -> Gram {
        let (coalitions, responses) = (self.coalitions(), matrix(&self.responses));
        let weights = kernel.kernel().weights(&distances(&coalitions, kernel.distance()));
        let mut gram = Gram::new(self.players, responses.ncols());
        for first in (0..coalitions.rows()).step_by(chunk) {
            let rows = first..coalitions.rows().min(first + chunk);
            let responses = responses.slice(ndarray::s![rows.clone(), ..]);
            gram.add(&coalitions.slice(rows.clone()), &weights[rows], responses).unwrap();
        }
        gram
    }
}

impl RecordedKernel {
    fn distance(&self) -> Distance {
        match self.metric.as_str() {
            "cosine" => Distance::Cosine,
            "euclidean" => Distance::Euclidean,
            other => panic!("{other}"),
        }
    }

    fn kernel(&self) -> Kernel {
        Kernel::new(self.width).unwrap()
    }
}

/// The largest difference of coefficients in units of the largest one, or what else disagrees.
fn compare(ours: &Surrogate, theirs: &Answer) -> Result<f64, String> {
    let mut chosen: Vec<usize> = ours.coefficients.iter().map(|&(feature, _)| feature).collect();
    let mut expected = theirs.features.clone();
    chosen.sort();
    expected.sort();
    if chosen != expected {
        return Err(format!("features {chosen:?}, lime {expected:?}"));
    }
    let scale = largest(theirs.coefficients.iter().copied());
    let difference = largest(ours.coefficients.iter().map(|&(feature, beta)| {
        let place = theirs.features.iter().position(|&theirs| theirs == feature);
        beta - theirs.coefficients[place.expect("the sets are equal")]
    })) / scale;
    if difference > COEFFICIENTS {
        return Err(format!("coefficients differ by {difference:e} of the largest"));
    }
    for (name, ours, theirs) in [
        ("score", ours.score, theirs.score),
        ("intercept", ours.intercept, theirs.intercept),
        ("local prediction", ours.local_prediction, theirs.local_prediction),
    ] {
        if (ours - theirs).abs() > SCORES {
            return Err(format!("{name} {ours}, lime {theirs}"));
        }
    }
    let sizes: Vec<f64> = ours.coefficients.iter().map(|(_, beta)| beta.abs()).collect();
    if !sizes.is_sorted_by(|a, b| a >= b) {
        return Err("coefficients are not sorted".into());
    }
    Ok(difference)
}

#[test]
fn distances_and_weights_agree_with_lime() {
    for neighbourhood in Neighbourhood::all() {
        for kernel in &neighbourhood.kernels {
            for (i, &present) in kernel.present.iter().enumerate() {
                let distance = kernel.distance().of(present, neighbourhood.players);
                assert!((distance - kernel.distances[i]).abs() < 1e-14);
                let weight = kernel.kernel().weight(distance);
                assert!((weight - kernel.weights[i]).abs() < 1e-12);
            }
        }
    }
    let recorded = read::<Solver>("solver.json").empty_row;
    assert_eq!(Distance::Cosine.of(0, 4), recorded.cosine);
    assert_eq!(Distance::Euclidean.of(0, 4), recorded.euclidean);
}

#[test]
fn surrogates_agree_with_lime() {
    let mut failures = Vec::new();
    let (mut worst, mut compared) = (0.0f64, 0);
    for neighbourhood in Neighbourhood::all() {
        for kernel in &neighbourhood.kernels {
            let gram = neighbourhood.gram(kernel, 64);
            for case in &kernel.cases {
                let labels: Vec<usize> = case.answers.iter().map(|answer| answer.label).collect();
                let fits = Surrogate::fit_all(&gram, &labels, &case.options()).unwrap();
                for (fit, answer) in fits.iter().zip(&case.answers) {
                    assert_eq!(fit.output, answer.label);
                    compared += 1;
                    match compare(fit, answer) {
                        Ok(difference) => worst = worst.max(difference),
                        Err(reason) => failures.push(format!(
                            "{} players, {} {}, {} {}, label {}: {reason}",
                            neighbourhood.players,
                            kernel.metric,
                            kernel.width,
                            case.selection,
                            case.num_features,
                            answer.label,
                        )),
                    }
                }
            }
        }
    }
    println!("{compared} surrogates, coefficients within {worst:e} of the largest");
    assert!(failures.is_empty(), "{} of {compared}:\n{}", failures.len(), failures.join("\n"));
}

/// Negative control: the comparison can fail.
#[test]
fn a_wrong_surrogate_fails_the_comparison() {
    let neighbourhood: Neighbourhood = read("image_12.json");
    let kernel = &neighbourhood.kernels[0];
    let gram = neighbourhood.gram(kernel, 64);
    let all = kernel.cases.iter().find(|case| case.num_features == 100_000).unwrap();
    let right = Surrogate::fit(&gram, 0, &all.options()).unwrap();
    assert!(compare(&right, &all.answers[0]).is_ok());

    assert!(compare(&right, &all.answers[1]).is_err(), "another label");
    let mut wrong = right.clone();
    let nudge = 1e-5 * wrong.coefficients[0].1;
    wrong.coefficients[11].1 += nudge;
    assert!(compare(&wrong, &all.answers[0]).is_err(), "a nudged coefficient");
    let mut wrong = right.clone();
    wrong.coefficients.pop();
    assert!(compare(&wrong, &all.answers[0]).is_err(), "a missing feature");
    let wrong = Surrogate { score: right.score + 1e-5, ..right };
    assert!(compare(&wrong, &all.answers[0]).is_err(), "another score");

    let unweighted = RecordedKernel { width: 1e6, cases: vec![], metric: "cosine".into(), ..empty() };
    let wrong = Surrogate::fit(&neighbourhood.gram(&unweighted, 64), 0, &all.options()).unwrap();
    assert!(compare(&wrong, &all.answers[0]).is_err(), "other weights");
}

fn empty() -> RecordedKernel {
    RecordedKernel {
        metric: String::new(),
        width: 1.0,
        present: vec![],
        distances: vec![],
        weights: vec![],
        cases: vec![],
    }
}

#[test]
fn moments_do_not_depend_on_chunks() {
    for neighbourhood in Neighbourhood::all() {
        let kernel = &neighbourhood.kernels[0];
        let whole = neighbourhood.gram(kernel, usize::MAX / 2);
        for chunk in [1, 3, 32, 33, 100] {
            assert_eq!(neighbourhood.gram(kernel, chunk), whole, "chunks of {chunk}");
        }
    }
}

#[test]
fn paths_agree_with_scikit_learn() {
    let mut worst = 0.0f64;
    for case in read::<Solver>("solver.json").lars {
        let method = match case.method.as_str() {
            "lasso" => LarsMethod::Lasso,
            _ => LarsMethod::Lar,
        };
        let name = format!("{} ({method:?})", case.name);
        let options = LarsOptions { method, max_steps: case.max_steps };
        let correlations = Array1::from(case.correlations);
        let path = lars_path(matrix(&case.gram).view(), correlations.view(), case.rows, &options).unwrap();
        assert_eq!(path.active, case.active, "{name}");
        assert_eq!(path.alphas.len(), case.alphas.len(), "{name}");
        let scale = largest(case.coefficients.iter().flatten().copied());
        let difference = largest((path.coefficients - matrix(&case.coefficients)).iter().copied());
        worst = worst.max(difference / scale);
        assert!(difference <= COEFFICIENTS * scale, "{name}: {difference:e}");
        let alphas = path.alphas.iter().zip(&case.alphas).map(|(a, b)| a - b);
        assert!(largest(alphas) <= 1e-9 * case.alphas[0], "{name}");
    }
    println!("path coefficients within {worst:e} of the largest");
}

#[test]
fn coefficients_between_knots_are_the_lasso() {
    let case = read::<Solver>("solver.json").lasso;
    let correlations = Array1::from(case.correlations);
    let options = LarsOptions::default();
    let path = lars_path(matrix(&case.gram).view(), correlations.view(), case.rows, &options).unwrap();
    for (&alpha, expected) in case.alphas.iter().zip(&case.coefficients) {
        let differences = path.at(alpha).into_iter().zip(expected).map(|(a, b)| a - b);
        assert!(largest(differences) < 1e-9, "alpha {alpha}");
    }
    assert_eq!(path.at(1e9), vec![0.0; 7]);
    assert_eq!(path.at(0.0), path.coefficients.row(path.alphas.len() - 1).to_vec());
}

#[test]
fn ridge_agrees_with_scikit_learn() {
    let mut worst = 0.0f64;
    for case in read::<Solver>("solver.json").ridge {
        let (rows, responses) = (matrix(&case.rows), matrix(&case.responses));
        let weighted = case.weights.is_some();
        let weights = case.weights.unwrap_or_else(|| vec![1.0; rows.nrows()]);
        let mut gram = Gram::about(case.rows[0].clone(), 2);
        gram.add_rows(rows.view(), &weights, responses.view()).unwrap();
        let features: Vec<usize> = (0..rows.ncols()).collect();
        let fit = Ridge::fit(&gram, &features, &[0, 1], case.alpha).unwrap();
        for k in 0..2 {
            let name = format!("{}, alpha {}, weights {weighted}", case.name, case.alpha);
            let scale = largest(case.coefficients[k].iter().copied());
            let pairs = fit.coefficients.column(k).into_iter().zip(&case.coefficients[k]);
            let difference = largest(pairs.map(|(a, b)| a - b)) / scale;
            worst = worst.max(difference);
            assert!(difference <= COEFFICIENTS, "{name}: {difference:e}");
            assert!((fit.scores[k] - case.scores[k]).abs() <= SCORES, "{name}");
            let intercept = (fit.intercepts[k] - case.intercepts[k]).abs();
            assert!(intercept <= SCORES * case.intercepts[k].abs().max(1.0), "{name}");
        }
    }
    println!("ridge coefficients within {worst:e} of the largest");
}

/// Weighted least squares on one column has a closed form.
#[test]
fn standard_errors_of_a_single_column() {
    let x = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
    let y = [2.0, 0.5, 1.5, 0.75, 0.25, 3.0];
    let w = [1.0, 0.5, 0.25, 0.75, 1.0, 0.5];
    let mut gram = Gram::new(1, 1);
    let rows = Array2::from_shape_fn((6, 1), |(row, _)| x[row]);
    let responses = Array2::from_shape_fn((6, 1), |(row, _)| y[row]);
    gram.add_rows(rows.view(), &w, responses.view()).unwrap();
    let fit = Ridge::fit(&gram, &[0], &[0], 0.0).unwrap();

    let mean = |v: &[f64; 6]| v.iter().zip(w).map(|(v, w)| v * w).sum::<f64>() / w.iter().sum::<f64>();
    let spread: f64 = (0..6).map(|n| w[n] * (x[n] - mean(&x)).powi(2)).sum();
    let joint: f64 = (0..6).map(|n| w[n] * (x[n] - mean(&x)) * (y[n] - mean(&y))).sum();
    let slope = joint / spread;
    let rest = |n: usize| y[n] - mean(&y) - slope * (x[n] - mean(&x));
    let rss: f64 = (0..6).map(|n| w[n] * rest(n).powi(2)).sum();
    let expected = (rss / 4.0 / spread).sqrt();
    assert!((fit.coefficients[[0, 0]] - slope).abs() < 1e-13);
    assert!((fit.standard_errors.unwrap()[[0, 0]] - expected).abs() < 1e-13);
}

/// The spread of coefficients over seeds is what their standard errors say.
#[test]
fn standard_errors_are_the_spread_over_seeds() {
    let (players, samples, seeds) = (6, 400, 300);
    let mut estimates = Vec::new();
    let mut claimed = 0.0;
    for seed in 0..seeds {
        let coalitions = lime_coalitions(players, samples, seed, Sampling::Independent).unwrap();
        let responses = Array2::from_shape_fn((samples, 1), |(row, _)| {
            let noise = philox4x32_10([row as u32, 0, 0, 99], [seed as u32, 0]);
            let centred = noise.map(|word| f64::from(word) / f64::from(u32::MAX) - 0.5);
            coalitions.count(row) as f64 + centred.iter().sum::<f64>()
        });
        let mut gram = Gram::new(players, 1);
        gram.add(&coalitions, &vec![1.0; samples], responses.view()).unwrap();
        let fit = Ridge::fit(&gram, &[0, 1, 2, 3, 4, 5], &[0], 1.0).unwrap();
        estimates.push(fit.coefficients[[3, 0]]);
        claimed += fit.standard_errors.unwrap()[[3, 0]] / seeds as f64;
    }
    let mean = estimates.iter().sum::<f64>() / seeds as f64;
    let variance = estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (seeds - 1) as f64;
    let ratio = variance.sqrt() / claimed;
    // Four standard errors of a standard deviation over 300 seeds: 4 / sqrt(2 * 299).
    assert!((ratio - 1.0).abs() < 0.164, "spread over claim: {ratio}");
}

/// Where the instance has nearly all the weight, sums about zero lose the neighbourhood.
#[test]
fn a_narrow_kernel_keeps_its_digits() {
    let coalitions = lime_coalitions(5, 200, 1, Sampling::Independent).unwrap();
    let responses = Array2::from_shape_fn((200, 1), |(row, _)| {
        1e3 + (0..5).filter(|&p| coalitions.contains(row, p)).map(|p| p as f64).sum::<f64>()
    });
    let weights: Vec<f64> = (0..200).map(|row| if row == 0 { 1.0 } else { 1e-13 }).collect();
    let mut gram = Gram::new(5, 1);
    gram.add(&coalitions, &weights, responses.view()).unwrap();
    let fit = Ridge::fit(&gram, &[0, 1, 2, 3, 4], &[0], 0.0).unwrap();
    for p in 0..5 {
        assert!((fit.coefficients[[p, 0]] - p as f64).abs() < 1e-9);
    }
    assert!(gram.effective_rows() < 1.0001);
}

#[test]
fn bad_input_is_a_typed_error() {
    use whybox::Error::{Numeric, Parameter};
    let coalitions = lime_coalitions(4, 3, 0, Sampling::Independent).unwrap();
    let responses = Array2::<f64>::zeros((3, 2));
    let mut gram = Gram::new(4, 2);
    let mut add = |weights: &[f64], responses: &Array2<f64>| {
        gram.add(&coalitions, weights, responses.view()).unwrap_err()
    };
    assert!(matches!(add(&[1.0; 2], &responses), Parameter(_)));
    assert!(matches!(add(&[1.0, -1.0, 1.0], &responses), Parameter(_)));
    assert!(matches!(add(&[1.0, f64::NAN, 1.0], &responses), Numeric(_)));
    assert!(matches!(add(&[1.0; 3], &Array2::zeros((3, 1))), Parameter(_)));
    let error = add(&[1.0; 3], &Array2::from_elem((3, 2), f64::INFINITY));
    assert!(matches!(&error, Numeric(detail) if detail.at == "row 0, output 0"), "{error}");
    let narrow = SurrogateOptions::default();
    assert_eq!(gram, Gram::new(4, 2), "a failed chunk leaves no trace");
    assert!(matches!(Surrogate::fit(&gram, 0, &narrow).unwrap_err(), Numeric(_)));

    gram.add(&coalitions, &[1.0, 0.0, 0.0], responses.view()).unwrap();
    assert!(matches!(Surrogate::fit(&gram, 0, &narrow).unwrap_err(), Numeric(_)));
    gram.add(&coalitions, &[1.0; 3], responses.view()).unwrap();
    assert!(Surrogate::fit(&gram, 0, &narrow).is_ok());
    assert!(matches!(Surrogate::fit(&gram, 2, &narrow).unwrap_err(), Parameter(_)));
    assert!(matches!(Surrogate::fit_all(&gram, &[], &narrow).unwrap_err(), Parameter(_)));
    for options in [
        SurrogateOptions { num_features: 0, ..narrow },
        SurrogateOptions { alpha: -1.0, ..narrow },
        SurrogateOptions { alpha: f64::NAN, ..narrow },
    ] {
        assert!(matches!(Surrogate::fit(&gram, 0, &options).unwrap_err(), Parameter(_)));
    }
    for features in [&[][..], &[4], &[1, 1]] {
        assert!(matches!(Ridge::fit(&gram, features, &[0], 1.0).unwrap_err(), Parameter(_)));
    }
    for width in [f64::NAN, 0.0, -1.0, 1e-200, f64::INFINITY] {
        assert!(matches!(Kernel::new(width).unwrap_err(), Parameter(_)));
    }
    let huge = Array2::from_shape_fn((3, 2), |(row, _)| 1e200 * row as f64);
    gram.add(&coalitions, &[1.0; 3], huge.view()).unwrap();
    assert!(matches!(Surrogate::fit(&gram, 0, &narrow).unwrap_err(), Numeric(_)));
}
