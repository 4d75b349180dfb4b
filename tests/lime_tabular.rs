//! LIME on tables and texts against `lime` 0.2.0.1: `tests/fixtures/lime_tabular/README.md` says what was recorded.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/lime_record.rs"]
mod lime_record;

use std::io::Write;
use std::path::Path;

use lime_record::{Answer, difference, selection};
use ndarray::{Array2, Axis};
use serde::Deserialize;
use whybox::Device;
use whybox::explain::{Labels, LimeTabular};
use whybox::model::Model;
use whybox::perturb::{Bins, Discretiser, Neighbourhood, Rows};
use whybox::solve::{Distance, Gram, Kernel, Selection, Surrogate, SurrogateOptions};
use whybox::table::{RawTable, kmeans};
use whybox::text::{Hide, IndexedText, Occurrences, Tokenizer};

/// Largest difference from lime, over the largest number of the same kind.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Tabular {
    names: Vec<String>,
    rows: Vec<Vec<f64>>,
    labels: Vec<usize>,
    instance: Vec<f64>,
    cases: Vec<Case>,
    kmeans: Centres,
}

#[derive(Deserialize)]
struct Centres {
    centres: Vec<Vec<f64>>,
    weights: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    discretiser: String,
    mode: String,
    distance: String,
    selection: String,
    num_features: usize,
    answer: Answer,
    data: Option<Vec<Vec<f64>>>,
    responses: Option<Vec<Vec<f64>>>,
    distances: Option<Vec<f64>>,
    bins: Option<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    discretiser: String,
    means: Vec<Vec<f64>>,
    stds: Vec<Vec<f64>>,
    mins: Vec<Vec<f64>>,
    names: Vec<Vec<String>>,
    frequencies: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    cases: Vec<TextCase>,
}

#[derive(Deserialize)]
struct TextCase {
    bag: bool,
    selection: String,
    num_features: usize,
    answer: Answer,
    data: Option<Vec<String>>,
    responses: Option<Vec<Vec<f64>>>,
    distances: Option<Vec<f64>>,
    words: Option<Vec<String>>,
    texts: Option<Vec<String>>,
}

fn fixture<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lime_tabular").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

fn discretiser(name: &str) -> Discretiser {
    match name {
        "quartile" => Discretiser::Quartile,
        "decile" => Discretiser::Decile,
        "entropy" => Discretiser::Entropy,
        _ => Discretiser::None,
    }
}

/// Checks a surrogate of the recorded rows, weights and responses; the largest difference from lime's.
fn against(
    data: &Array2<f64>,
    weights: &[f64],
    responses: &Array2<f64>,
    column: usize,
    options: &SurrogateOptions,
    answer: &Answer,
) -> f64 {
    let mut gram = Gram::about(data.row(0).to_vec(), responses.ncols());
    gram.add_rows(data.view(), weights, responses.view()).unwrap();
    let surrogate = Surrogate::fit(&gram, column, options).unwrap();
    let features: Vec<usize> = surrogate.coefficients.iter().map(|&(feature, _)| feature).collect();
    assert_eq!(features, answer.features);
    let coefficients: Vec<f64> = surrogate.coefficients.iter().map(|&(_, value)| value).collect();
    let largest = difference(&coefficients, &answer.coefficients);
    let rest = [
        (surrogate.intercept, answer.intercept),
        (surrogate.score, answer.score),
        (surrogate.local_prediction, answer.local_prediction),
    ];
    rest.iter().fold(largest, |max, &(got, expected)| max.max(difference(&[got], &[expected])))
}

#[test]
fn the_same_rows_and_responses_give_limes_numbers() {
    let record: Tabular = fixture("tabular.json");
    let mut current = None;
    let mut largest: f64 = 0.0;
    for case in &record.cases {
        if let (Some(data), Some(responses)) = (&case.data, &case.responses) {
            let data = matrix(data);
            let distance = if case.distance == "cosine" { Distance::Cosine } else { Distance::Euclidean };
            let row = |at: usize| data.row(at).to_vec();
            let distances: Vec<f64> =
                (0..data.nrows()).map(|at| distance.between(&row(at), &row(0))).collect();
            assert!(difference(&distances, case.distances.as_ref().unwrap()) < 1e-7, "distances");
            current = Some((data, distances, matrix(responses)));
        }
        let (data, distances, responses) = current.as_ref().unwrap();
        let kernel = Kernel::new(0.75 * (data.ncols() as f64).sqrt()).unwrap();
        let options = SurrogateOptions {
            selection: selection(&case.selection),
            num_features: case.num_features,
            ..SurrogateOptions::default()
        };
        let column = if case.mode == "regression" { 0 } else { case.answer.label };
        let weights = kernel.weights(distances);
        largest = largest.max(against(data, &weights, responses, column, &options, &case.answer));
    }
    assert_eq!(record.cases.len(), 40);
    assert!(largest <= TOLERANCE, "{largest}");
}

#[test]
fn the_comparison_notices_another_kernel_width() {
    let record: Tabular = fixture("tabular.json");
    let case = &record.cases[2];
    assert_eq!(case.selection, "none");
    let data = matrix(record.cases[0].data.as_ref().unwrap());
    let responses = matrix(record.cases[0].responses.as_ref().unwrap());
    let weights =
        Kernel::new(1.5 * 5f64.sqrt()).unwrap().weights(record.cases[0].distances.as_ref().unwrap());
    let options =
        SurrogateOptions { selection: Selection::None, num_features: 10, ..SurrogateOptions::default() };
    let mut gram = Gram::about(data.row(0).to_vec(), 3);
    gram.add_rows(data.view(), &weights, responses.view()).unwrap();
    let surrogate = Surrogate::fit(&gram, case.answer.label, &options).unwrap();
    assert!(
        (surrogate.intercept - case.answer.intercept).abs() > 100.0 * TOLERANCE * case.answer.intercept.abs()
    );
}

#[test]
fn bins_and_conditions_are_limes() {
    let record: Tabular = fixture("tabular.json");
    let rows = matrix(&record.rows);
    let mut seen = 0;
    for case in &record.cases {
        let kind = discretiser(&case.discretiser);
        let categorical = [false, false, false, true, true];
        let neighbourhood =
            Neighbourhood::new(rows.view(), &categorical, kind, Some(&record.labels)).unwrap();
        let condition = |feature: usize| {
            let value = record.instance[feature];
            let text = match feature {
                3 => ["red", "green", "blue"][value as usize],
                4 => ["no", "yes"][value as usize],
                _ => "",
            };
            neighbourhood.condition(feature, &record.names[feature], value, text)
        };
        let conditions: Vec<String> =
            case.answer.features.iter().map(|&feature| condition(feature)).collect();
        assert_eq!(conditions, case.answer.conditions);
        let Some(recorded) = &case.bins else { continue };
        assert_eq!(recorded.discretiser, case.discretiser);
        seen += 1;
        for feature in 0..3 {
            let bins = neighbourhood.bins(feature).unwrap();
            assert!(difference(&bins.means, &recorded.means[feature]) < 1e-12);
            assert!(difference(&bins.stds, &recorded.stds[feature]) < 1e-12);
            // numpy interpolates one percentile and several of them differently, by the last bit.
            assert!(difference(&bins.lows, &recorded.mins[feature]) < 1e-15);
            let names: Vec<String> =
                (0..bins.means.len()).map(|bin| bins.condition(&record.names[feature], bin)).collect();
            assert_eq!(names, recorded.names[feature]);
            // lime leaves empty bins out.
            let shares: Vec<f64> = bins.shares.iter().copied().filter(|share| *share > 0.0).collect();
            assert!(difference(&shares, &recorded.frequencies[feature]) < 1e-12);
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn texts_give_limes_numbers() {
    let record: Text = fixture("text.json");
    let mut current = None;
    let mut largest: f64 = 0.0;
    for case in &record.cases {
        let occurrences = if case.bag { Occurrences::Together } else { Occurrences::Apart };
        let indexed = IndexedText::new(&record.text, Tokenizer::Words, occurrences).unwrap();
        if let (Some(rows), Some(responses)) = (&case.data, &case.responses) {
            assert_eq!(indexed.tokens(), case.words.as_ref().unwrap());
            let hide = if case.bag { Hide::Remove } else { Hide::Mask("UNKWORDZ".into()) };
            for (row, text) in rows.iter().zip(case.texts.as_ref().unwrap()) {
                assert_eq!(indexed.hide(&hide, |token| row.as_bytes()[token] == b'1'), *text);
            }
            let cells: Vec<Vec<f64>> =
                rows.iter().map(|row| row.bytes().map(|bit| f64::from(bit - b'0')).collect()).collect();
            let data = matrix(&cells);
            let present = |row: &Vec<f64>| row.iter().sum::<f64>() as usize;
            // The distances of whole texts that Lime uses, a hundredth of lime's.
            let distances: Vec<f64> =
                cells.iter().map(|row| Distance::Cosine.of(present(row), row.len())).collect();
            let recorded: Vec<f64> = case.distances.as_ref().unwrap().iter().map(|d| d / 100.0).collect();
            assert!(difference(&distances, &recorded) < 1e-7);
            current = Some((data, Kernel::default().weights(&distances), matrix(responses)));
        }
        let (data, weights, responses) = current.as_ref().unwrap();
        let options = SurrogateOptions {
            selection: selection(&case.selection),
            num_features: case.num_features,
            ..SurrogateOptions::default()
        };
        largest = largest.max(against(data, weights, responses, 1, &options, &case.answer));
    }
    assert_eq!(record.cases.len(), 6);
    assert!(largest <= TOLERANCE, "{largest}");
}

#[test]
fn centres_are_as_good_as_shaps() {
    let record: Tabular = fixture("tabular.json");
    let rows = matrix(&record.rows).select(Axis(1), &[0, 1, 2]);
    let inertia = |centres: &Array2<f64>| -> f64 {
        let nearest = |row: ndarray::ArrayView1<f64>| {
            let all = centres.outer_iter().map(|centre| (&row - &centre).mapv(|d| d * d).sum());
            all.fold(f64::INFINITY, f64::min)
        };
        rows.outer_iter().map(nearest).sum()
    };
    let (centres, shares) = kmeans(rows.view(), 6, 0).unwrap();
    assert_eq!(centres.dim(), (6, 3));
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    for column in 0..3 {
        assert!(centres.column(column).iter().all(|value| rows.column(column).iter().any(|x| x == value)));
    }
    let theirs = inertia(&matrix(&record.kmeans.centres));
    assert!(inertia(&centres) <= 1.03 * theirs, "{} against {theirs}", inertia(&centres));
    assert_eq!(record.kmeans.weights.len(), 6);
    assert_eq!(kmeans(rows.view(), 6, 0).unwrap().0, centres);
    assert!(kmeans(rows.view(), 0, 0).is_err() && kmeans(rows.view(), 91, 0).is_err());
}

fn shared(path: &str, test: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    writeln!(std::io::stderr(), "skipped: {test}, {} is not there", path.display()).ok();
    None
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_bins_of_iris_are_those_that_limes_tests_assert() {
    let Some(cases) = shared("reference/lime_cases.json", "iris bins") else { return };
    let iris = RawTable::read(shared("tabular/iris.csv", "iris bins").unwrap()).unwrap();
    let species: Vec<&str> = iris.column(iris.find("species").unwrap()).collect();
    let names = ["setosa", "versicolor", "virginica"];
    let labels: Vec<usize> =
        species.iter().map(|name| names.iter().position(|known| known == name).unwrap()).collect();
    let mut seen = 0;
    for case in json(&cases)["cases"].as_array().unwrap() {
        let Some(edges) = case["edges"].as_object() else { continue };
        let kind =
            case["id"].as_str().unwrap().trim_start_matches("tabular/iris_").trim_end_matches("_edges");
        for (column, expected) in edges {
            let values: Vec<f64> =
                iris.column(iris.find(column).unwrap()).map(|cell| cell.parse().unwrap()).collect();
            let bins = Bins::new(&values, discretiser(kind), Some(&labels)).unwrap().unwrap();
            let shown: Vec<String> = bins.edges.iter().map(|edge| format!("{edge:.2}")).collect();
            let expected: Vec<String> = expected
                .as_array()
                .unwrap()
                .iter()
                .map(|edge| format!("{:.2}", edge.as_f64().unwrap()))
                .collect();
            assert_eq!(shown, expected, "{kind} {column}");
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
}

#[test]
fn texts_are_cut_as_limes_tests_assert() {
    let Some(cases) = shared("reference/lime_cases.json", "tokenisation") else { return };
    let mut seen = 0;
    for case in json(&cases)["cases"].as_array().unwrap() {
        let strings = |name: &str| -> Vec<String> {
            let list = case[name].as_array();
            list.map_or(Vec::new(), |list| list.iter().map(|s| s.as_str().unwrap().to_owned()).collect())
        };
        // Tokens of two characters, as lime's test cuts.
        let two = |text: &str| -> Vec<String> {
            text.as_bytes().chunks(2).map(|two| String::from_utf8(two.to_vec()).unwrap()).collect()
        };
        let cut = |tokenizer, occurrences| {
            IndexedText::new(case["text"].as_str().unwrap(), tokenizer, occurrences).unwrap()
        };
        let id = case["id"].as_str().unwrap();
        let indexed = match id {
            "text/words" => cut(Tokenizer::Words, Occurrences::Together),
            "text/words_callable" => {
                let text = case["text"].as_str().unwrap();
                IndexedText::split_by(text, two, Occurrences::Together).unwrap()
            }
            "text/characters_bag" => cut(Tokenizer::Characters, Occurrences::Together),
            "text/characters_positions" => cut(Tokenizer::Characters, Occurrences::Apart),
            "text/remove_nothing" => {
                for text in strings("texts") {
                    let indexed = IndexedText::new(&text, Tokenizer::Words, Occurrences::Together).unwrap();
                    assert_eq!(indexed.hide(&Hide::Remove, |_| true), text);
                }
                seen += 1;
                continue;
            }
            _ => {
                assert!(id.starts_with("tabular/"), "{id} is not tested");
                continue;
            }
        };
        seen += 1;
        if let Some(count) = case["n_features"].as_u64() {
            assert_eq!(indexed.tokens().len() as u64, count);
            continue;
        }
        assert_eq!(indexed.tokens(), strings("vocabulary"));
        if case["pieces"].is_array() {
            assert_eq!(indexed.pieces(), strings("pieces"));
            let starts = indexed.pieces().iter().scan(0, |at, piece| {
                *at += piece.len() as u64;
                Some(*at - piece.len() as u64)
            });
            let expected = case["piece_starts"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap());
            assert!(starts.eq(expected), "{id}");
        }
        for (token, places) in case["piece_positions"].as_array().unwrap().iter().enumerate() {
            let places: Vec<usize> =
                places.as_array().unwrap().iter().map(|place| place.as_u64().unwrap() as usize).collect();
            assert_eq!(indexed.positions(token), places);
        }
    }
    assert_eq!(seen, 5);
}

/// The stroke table as its network reads it.
fn stroke_table(raw: &RawTable) -> Array2<f64> {
    let column = |name: &str| raw.column(raw.find(name).unwrap()).map(str::to_owned).collect::<Vec<_>>();
    let number = |cell: &str, missing: f64| cell.parse().unwrap_or(missing);
    let is = |name: &str, wanted: &[&str]| -> Vec<f64> {
        column(name).iter().map(|cell| f64::from(u8::from(wanted.contains(&cell.as_str())))).collect()
    };
    let numbers = |name: &str| -> Vec<f64> { column(name).iter().map(|cell| number(cell, 28.1)).collect() };
    let columns = [
        is("gender", &["Male"]),
        numbers("age"),
        numbers("hypertension"),
        numbers("heart_disease"),
        is("ever_married", &["Yes"]),
        is("Residence_type", &["Urban"]),
        numbers("avg_glucose_level"),
        numbers("bmi"),
        is("smoking_status", &["smokes", "formerly smoked"]),
        is("work_type", &["Self-employed"]),
    ];
    Array2::from_shape_fn((raw.rows(), 10), |(row, feature)| columns[feature][row])
}

/// Our means over 30 seeds differ from lime's by less than four standard errors of the difference.
#[test]
fn a_network_on_the_stroke_table_has_limes_means() {
    let Some(path) = shared("reference/stroke_mlp.json", "stroke network") else { return };
    let record = json(&path);
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let raw = RawTable::read(shared("tabular/healthcare-dataset-stroke-data.csv", "stroke network").unwrap())
        .unwrap();
    let table = stroke_table(&raw);
    let model = Model::from_onnx(shared("models/stroke_mlp.onnx", "stroke network").unwrap()).unwrap();
    let network = Device::cpu().load(&model).unwrap();
    let mut ask = |rows: ndarray::ArrayView2<f64>| {
        let cells: Vec<f32> = rows.iter().map(|&x| x as f32).collect();
        Ok(network.responses(&Rows::new(&cells, 10)?, &Default::default())?.mapv(f64::from))
    };
    let instance = numbers(&record["explained"][0]);
    let lime = &record["lime_tabular_first_row"];
    for (kind, part) in [(Discretiser::None, "continuous"), (Discretiser::Quartile, "quartile_bins")] {
        let expected = numbers(&lime[part]["mean"]);
        let deviations = numbers(&lime[part]["std"]);
        let neighbourhood = Neighbourhood::new(table.view(), &[false; 10], kind, None).unwrap();
        let mut mean = [0.0; 10];
        for seed in 0..30 {
            let lime = LimeTabular {
                selection: Selection::None,
                labels: Labels::Given(vec![0]),
                seed,
                ..LimeTabular::default()
            };
            let explanation = lime.explain(&neighbourhood, &instance, &mut ask, &mut |_| {}).unwrap();
            mean.iter_mut().zip(&explanation.attributions[0].values).for_each(|(m, v)| *m += v / 30.0);
        }
        for feature in 0..10 {
            let error = deviations[feature] * (2.0f64 / 30.0).sqrt();
            let difference = mean[feature] - expected[feature];
            assert!(difference.abs() < 4.0 * error, "{part} {feature}: {difference} against {error}");
        }
        // And the comparison is sharp enough to tell features apart.
        assert!((mean[1] - expected[0]).abs() > 40.0 * deviations[0] * (2.0f64 / 30.0).sqrt());
    }
}
