//! Texts cut by a function of the user's, and distances, against `lime` and scikit-learn (tests/fixtures/lime_tabular).

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array2;
use serde::Deserialize;
use whybox::explain::{Lime, TextGame};
use whybox::perturb::Coalitions;
use whybox::solve::{Distance, Gram, Kernel, Selection, Surrogate, SurrogateOptions, distances};
use whybox::text::{Hide, IndexedText, Occurrences};
use whybox::{Error, Result};

#[derive(Deserialize)]
struct Record {
    text: String,
    tokens: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    bag: bool,
    answer: Answer,
    data: Vec<String>,
    responses: Vec<Vec<f64>>,
    words: Vec<String>,
    texts: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    label: usize,
    intercept: f64,
    features: Vec<usize>,
    coefficients: Vec<f64>,
    score: f64,
}

#[derive(Deserialize)]
struct Distances {
    rows: Vec<Vec<f64>>,
    coalitions: Vec<String>,
    metrics: BTreeMap<String, Metric>,
}

#[derive(Deserialize)]
struct Metric {
    rows: Vec<f64>,
    coalitions: Vec<f64>,
}

fn fixture<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lime_tabular").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("json")
}

/// Words with their apostrophes, and every mark, as the recording script cuts.
fn tokenise(text: &str) -> Vec<String> {
    let inside = |c: char| c.is_ascii_alphabetic() || c == '\'';
    let mut tokens: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.chars() {
        match (inside(c), open, tokens.last_mut()) {
            (true, true, Some(word)) => word.push(c),
            (true, ..) => tokens.push(c.to_string()),
            (false, ..) if !c.is_whitespace() => tokens.push(c.to_string()),
            _ => {}
        }
        open = inside(c);
    }
    tokens
}

fn coalitions(rows: &[String]) -> Coalitions {
    let mut all = Coalitions::new(rows[0].len());
    rows.iter().for_each(|row| all.push(|player| row.as_bytes()[player] == b'1'));
    all
}

fn close(ours: f64, theirs: f64, tolerance: f64) -> bool {
    (ours - theirs).abs() <= tolerance * theirs.abs().max(1e-3)
}

#[test]
fn a_text_cut_by_a_function_gives_limes_numbers() -> Result<()> {
    let record: Record = fixture("tokens.json");
    assert_eq!(tokenise(&record.text), record.tokens);
    for case in &record.cases {
        let occurrences = if case.bag { Occurrences::Together } else { Occurrences::Apart };
        let text = IndexedText::split_by(&record.text, tokenise, occurrences)?;
        assert_eq!(text.tokens(), case.words);
        let hide = if case.bag { Hide::Remove } else { Hide::Mask("_".into()) };
        for (row, hidden) in case.data.iter().zip(&case.texts) {
            assert_eq!(text.hide(&hide, |token| row.as_bytes()[token] == b'1'), *hidden);
        }
        let rows = coalitions(&case.data);
        let weights = Kernel::default().weights(&distances(&rows, Distance::Cosine));
        let responses = Array2::from_shape_fn((rows.rows(), 2), |(row, k)| case.responses[row][k]);
        let fit = |weights: &[f64]| -> Result<Surrogate> {
            let mut gram = Gram::new(rows.players(), 2);
            gram.add(&rows, weights, responses.view())?;
            let options = SurrogateOptions {
                selection: Selection::Auto,
                num_features: 6,
                ..SurrogateOptions::default()
            };
            Surrogate::fit(&gram, case.answer.label, &options)
        };
        let found = fit(&weights)?;
        let features: Vec<usize> = found.coefficients.iter().map(|&(feature, _)| feature).collect();
        assert_eq!(features, case.answer.features);
        for (&(_, ours), &theirs) in found.coefficients.iter().zip(&case.answer.coefficients) {
            assert!(close(ours, theirs, 1e-6), "{ours} {theirs}");
        }
        assert!(close(found.intercept, case.answer.intercept, 1e-6));
        assert!(close(found.score, case.answer.score, 1e-6));
        // Negative control: without weights, other numbers.
        let flat = fit(&vec![1.0; rows.rows()])?;
        assert!(!close(flat.intercept, case.answer.intercept, 1e-4));
    }
    Ok(())
}

#[test]
fn a_text_cut_by_a_function_is_a_game() -> Result<()> {
    let text = IndexedText::split_by("isn't it great - it isn't?", tokenise, Occurrences::Together)?;
    assert_eq!(text.tokens(), ["isn't", "it", "great", "-", "?"]);
    assert_eq!(text.positions(0).len(), 2);
    let count = |texts: &[String]| {
        Ok(Array2::from_shape_fn((texts.len(), 1), |(at, _)| texts[at].matches("isn't").count() as f64))
    };
    let game = TextGame::new(text, Hide::Remove, &count)?;
    let found = Lime { samples: 400, alpha: 1e-9, ..Lime::text() }.explain(&game, &mut |_| {})?;
    assert!((found.attributions[0].values[0] - 2.0).abs() < 1e-6, "{:?}", found.attributions[0].values);
    Ok(())
}

#[test]
fn tokens_that_are_not_in_the_text_are_errors() {
    let cut = |tokens: &[&str]| {
        let tokens: Vec<String> = tokens.iter().map(|&token| token.into()).collect();
        IndexedText::split_by("a good film", |_| tokens, Occurrences::Together)
    };
    assert!(cut(&["a", "good"]).is_ok());
    for wrong in [&["good", "a"][..], &["bad"], &["a", ""], &[]] {
        assert!(matches!(cut(wrong), Err(Error::Parameter(_))), "{wrong:?}");
    }
}

#[test]
fn distances_are_those_of_scikit_learn() {
    let record: Distances = fixture("distances.json");
    let named = |name: &str| match name {
        "cosine" => Distance::Cosine,
        "euclidean" => Distance::Euclidean,
        "manhattan" => Distance::Manhattan,
        "chebyshev" => Distance::Chebyshev,
        other => panic!("{other}"),
    };
    assert_eq!(record.metrics.len(), 4);
    let rows = coalitions(&record.coalitions);
    for (name, metric) in &record.metrics {
        let between = record.rows.iter().map(|row| named(name).between(row, &record.rows[0]));
        let near = |ours: f64, theirs: &f64| (ours - theirs).abs() < 1e-7;
        assert!(between.zip(&metric.rows).all(|(a, b)| near(a, b)), "{name}");
        let apart = distances(&rows, named(name));
        assert!(apart.into_iter().zip(&metric.coalitions).all(|(a, b)| near(a, b)), "{name}");
        // Negative control: another metric's numbers.
        let other = if name == "manhattan" { Distance::Euclidean } else { Distance::Manhattan };
        let between = record.rows.iter().map(|row| other.between(row, &record.rows[0]));
        assert!(!between.zip(&metric.rows).all(|(a, b)| near(a, b)), "{name}");
    }
}
