//! A lasso as LIME's surrogate, against `captum` (tests/fixtures/lime/record_captum.py).

use std::path::Path;

use ndarray::Array2;
use serde::Deserialize;
use whybox::Result;
use whybox::explain::{FunctionGame, Lime};
use whybox::perturb::Coalitions;
use whybox::solve::{Gram, Regression, Selection, Surrogate, SurrogateOptions};

#[derive(Deserialize)]
struct Record {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    alpha: f64,
    coefficients: Vec<f64>,
    rows: Vec<String>,
    responses: Vec<f64>,
    weights: Vec<f64>,
}

impl Case {
    fn fit(&self, alpha: f64) -> Result<Surrogate> {
        let mut rows = Coalitions::new(9);
        self.rows.iter().for_each(|row| rows.push(|player| row.as_bytes()[player] == b'1'));
        let responses = Array2::from_shape_fn((self.rows.len(), 1), |(row, _)| self.responses[row]);
        let mut gram = Gram::new(9, 1);
        gram.add(&rows, &self.weights, responses.view())?;
        let options = SurrogateOptions {
            selection: Selection::None,
            alpha,
            regression: Regression::Lasso,
            ..SurrogateOptions::default()
        };
        Surrogate::fit(&gram, 0, &options)
    }

    fn apart(&self, surrogate: &Surrogate) -> f64 {
        let distances = surrogate.coefficients.iter().map(|&(f, value)| (value - self.coefficients[f]).abs());
        distances.fold(0.0, f64::max) / self.coefficients.iter().fold(0.0, |max: f64, v| max.max(v.abs()))
    }
}

#[test]
fn the_same_rows_and_responses_give_captums_numbers() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lime/captum_lasso.json");
    let record: Record =
        serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("json");
    assert_eq!(record.cases.len(), 3);
    for case in &record.cases {
        let found = case.fit(case.alpha)?;
        // captum's regression is in f32.
        let apart = case.apart(&found);
        assert!(apart <= 1e-5, "alpha {}: {apart}", case.alpha);
        let zeros = |values: &mut dyn Iterator<Item = f64>| values.filter(|&v| v == 0.0).count();
        assert_eq!(
            zeros(&mut found.coefficients.iter().map(|&(_, value)| value)),
            zeros(&mut case.coefficients.iter().copied())
        );
        assert!(found.standard_errors.is_none() && found.score > 0.0 && found.score <= 1.0);
        // Negative control.
        assert!(case.apart(&case.fit(1.1 * case.alpha)?) > 1e-4);
    }
    assert!(record.cases[0].fit(-1.0).is_err());
    Ok(())
}

#[test]
fn a_lasso_keeps_what_matters() -> Result<()> {
    let game = FunctionGame::new(20, 1, |present: &[bool], out: &mut [f64]| {
        let x = |i: usize| f64::from(u8::from(present[i]));
        out[0] = 1.0 / (1.0 + f64::exp(1.0 - 2.0 * x(3) - 1.0 * x(11) - 0.01 * x(5)));
    });
    let lime = Lime { regression: Regression::Lasso, alpha: 0.01, kernel_width: 1.0, ..Lime::default() };
    let found = lime.explain(&game, &mut |_| {})?.attributions.remove(0);
    let kept: Vec<usize> = (0..20).filter(|&player| found.values[player] != 0.0).collect();
    assert_eq!(kept, [3, 11]);
    assert!(found.values[3] > found.values[11] && found.standard_errors.is_none());
    assert!((found.local_prediction - found.base_value - found.values.iter().sum::<f64>()).abs() < 1e-12);
    Ok(())
}
