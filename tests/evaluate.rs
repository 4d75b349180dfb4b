//! Metrics of explanations against quantus and captum (recorded by tests/fixtures/evaluate/record.py).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use whybox::Error;
use whybox::evaluate::*;
use whybox::explain::FunctionGame;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluate")
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// tanh(w·x) + 0.3 x₀ x₁
fn function(weights: &[f64], x: &[f64]) -> f64 {
    weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>().tanh() + 0.3 * x[0] * x[1]
}

/// Its gradient times its input.
fn gradient_times_input(weights: &[f64], x: &[f64]) -> Vec<f64> {
    let inner: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
    let slope = 1.0 - inner.tanh().powi(2);
    let cross = |i: usize| match i {
        0 => 0.3 * x[1],
        1 => 0.3 * x[0],
        _ => 0.0,
    };
    weights.iter().enumerate().map(|(i, w)| (slope * w + cross(i)) * x[i]).collect()
}

const SETTINGS: Faithfulness = Faithfulness { runs: 25, subset: 0.4, seed: 3 };
const NEAR: Sensitivity = Sensitivity { samples: 12, radius: 0.1, seed: 5 };

/// The recorded answers are for these draws: other ones would compare with nothing.
#[test]
fn draws_are_the_recorded_ones() {
    let answers = read("answers.json");
    let masks = SETTINGS.coalitions(8).unwrap();
    let bits = |row| (0..8).map(|p| u8::from(masks.contains(row, p))).collect::<Vec<_>>();
    let drawn = json!({
        "masks": (0..masks.rows()).map(bits).collect::<Vec<_>>(),
        "neighbours": NEAR.neighbours(&numbers(&answers["instance"])).unwrap(),
    });
    if std::env::var_os("UPDATE_DRAWS").is_some() {
        std::fs::write(folder().join("draws.json"), drawn.to_string()).unwrap();
    }
    let recorded = std::fs::read_to_string(folder().join("draws.json")).unwrap();
    assert_eq!(drawn.to_string(), recorded.trim_end());
}

#[test]
fn the_peers_numbers() {
    let answers = read("answers.json");
    let (instance, weights) = (numbers(&answers["instance"]), numbers(&answers["weights"]));
    let values = numbers(&answers["values"]);
    let object: Vec<bool> = numbers(&answers["object"]).iter().map(|&v| v == 1.0).collect();
    let (x, w) = (instance.clone(), weights.clone());
    let game = FunctionGame::new(8, 1, move |present: &[bool], out: &mut [f64]| {
        let kept: Vec<f64> = x.iter().zip(present).map(|(&x, &p)| if p { x } else { 0.0 }).collect();
        out[0] = function(&w, &kept);
    });
    let close = |name: &str, found: f64, tolerance: f64| {
        let expected = answers[name].as_f64().expect("a recorded number");
        assert!((found - expected).abs() <= tolerance, "{name}: {found} instead of {expected}");
        // Negative control: the comparison can fail.
        assert!((found + 0.01 - expected).abs() > tolerance);
    };
    close("infidelity", infidelity(&game, &values, 0, &SETTINGS).unwrap(), 1e-12);
    let mut explain = |x: &[f64]| Ok(gradient_times_input(&weights, x));
    close("sensitivity_max", sensitivity_max(&instance, &NEAR, &mut explain).unwrap(), 1e-12);
    // quantus evaluates the network in float32.
    let found = faithfulness_correlation(&game, &values, 0, &SETTINGS).unwrap();
    close("faithfulness_correlation", found, 1e-6);
    // quantus adds 1e-7 to each magnitude.
    close("sparseness", sparseness(&values).unwrap(), 1e-6);
    close("complexity", complexity(&values).unwrap(), 1e-9);
    close("relevance_mass", relevance_mass(&values, &object).unwrap(), 1e-12);
    close("relevance_rank", relevance_rank(&values, &object).unwrap(), 1e-12);
    assert_eq!(pointing_game(&values, &object).unwrap(), answers["pointing_game"].as_bool().unwrap());
}

/// v(S) = Σ of the weights of S: curves are sums, in the order of the attributions.
#[test]
fn curves_of_a_linear_game() {
    let game = FunctionGame::new(4, 2, |present: &[bool], out: &mut [f64]| {
        out[0] = 7.0;
        out[1] = present.iter().zip([1.0, 8.0, 2.0, 4.0]).filter(|(p, _)| **p).map(|(_, w)| w).sum();
    });
    let right = [1.0, 8.0, 2.0, 4.0];
    let curve = deletion(&game, &right, 1, 4).unwrap();
    assert_eq!(curve.values, [15.0, 7.0, 3.0, 1.0, 0.0]);
    assert_eq!(curve.shares, [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert_eq!(curve.area(), (15.0 / 2.0 + 7.0 + 3.0 + 1.0) / 4.0);
    assert_eq!(insertion(&game, &right, 1, 4).unwrap().values, [0.0, 8.0, 12.0, 14.0, 15.0]);
    // Fewer steps pass whole groups; more steps than players do not exist.
    assert_eq!(insertion(&game, &right, 1, 2).unwrap().values, [0.0, 12.0, 15.0]);
    assert_eq!(insertion(&game, &right, 1, 99).unwrap().values.len(), 5);
    // A wrong explanation is worse in both.
    let wrong = right.map(|w| -w);
    assert!(deletion(&game, &wrong, 1, 4).unwrap().area() > curve.area());
    assert!(matches!(deletion(&game, &right[..3], 1, 4), Err(Error::Parameter(_))));
    assert!(matches!(deletion(&game, &right, 2, 4), Err(Error::Parameter(_))));
    assert!(matches!(deletion(&game, &right, 0, 0), Err(Error::Parameter(_))));
    assert!(matches!(insertion(&game, &[1.0, f64::NAN, 0.0, 0.0], 0, 4), Err(Error::Numeric(_))));
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(matches!(sparseness(&[0.0, 0.0]), Err(Error::Numeric(_))));
    assert!(matches!(complexity(&[1.0, f64::INFINITY]), Err(Error::Numeric(_))));
    assert!(matches!(pointing_game(&[1.0], &[false]), Err(Error::Parameter(_))));
    assert!(matches!(relevance_rank(&[1.0, 2.0], &[true]), Err(Error::Parameter(_))));
    assert!(matches!(relevance_mass(&[-1.0, -2.0], &[true, false]), Err(Error::Numeric(_))));
    for bad in [
        Faithfulness { runs: 1, ..SETTINGS },
        Faithfulness { subset: 0.0, ..SETTINGS },
        Faithfulness { subset: f64::NAN, ..SETTINGS },
    ] {
        assert!(matches!(bad.coalitions(3), Err(Error::Parameter(_))));
    }
    assert!(matches!(Sensitivity { radius: 0.0, ..NEAR }.neighbours(&[1.0]), Err(Error::Parameter(_))));
    assert!(correlation(&[1.0, 1.0], &[0.0, 2.0]).is_nan());
    // Ties share their rank: (0.5, 0.5, 2) against (0, 1, 2) gives 1.5 / √3.
    let tied = rank_correlation(&[4.0, 4.0, 9.0], &[1.0, 2.0, 3.0]);
    assert!((tied - 0.75f64.sqrt()).abs() < 1e-12);
}
