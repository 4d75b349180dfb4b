//! Same masks and responses, same numbers: Shapley regressions and Owen values against recorded answers of `shap`
//! (`tests/fixtures/shapley/record.py`) and `shapiq` (`record_shapiq.py`).

use ndarray::Array2;
use serde_json::Value;
use whybox::Result;
use whybox::explain::{CoalitionValues, Estimator, Hierarchy, Link, OwenValues};
use whybox::perturb::Coalitions;
use whybox::solve::{L1Reg, shapley_regression};

fn fixture() -> Value {
    let text = include_str!("fixtures/shapley/shap.json");
    serde_json::from_str(text).expect("the fixture is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().expect("rows").iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

/// The largest difference over the largest value.
fn difference(ours: &Array2<f64>, theirs: &Array2<f64>) -> f64 {
    assert_eq!(ours.dim(), theirs.dim());
    let largest = theirs.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    (ours - theirs).iter().fold(0.0, |max: f64, v| max.max(v.abs())) / largest
}

fn ours(case: &Value, weights: &[f64]) -> Result<Array2<f64>> {
    let players = case["players"].as_u64().expect("a count") as usize;
    let masks = case["masks"].as_array().expect("masks").iter();
    let words =
        masks.map(|mask| u32::from_str_radix(mask.as_str().expect("hex"), 16).expect("hex")).collect();
    let link = if case["link"] == "logit" { Link::Logit } else { Link::Identity };
    let linked = |value: &Value| numbers(value).into_iter().map(|v| link.apply(v)).collect::<Vec<_>>();
    let responses = matrix(&case["responses"]).mapv(|v| link.apply(v));
    let l1 = match case["l1"].as_str().expect("a name") {
        "False" => L1Reg::None,
        "num_features(10)" => L1Reg::NumFeatures(10),
        "aic" => L1Reg::Aic,
        "bic" => L1Reg::Bic,
        alpha => L1Reg::Alpha(alpha.parse().expect("a penalty")),
    };
    let coalitions = Coalitions::from_words(players, words)?;
    shapley_regression(
        &coalitions,
        weights,
        responses.view(),
        &linked(&case["empty"]),
        &linked(&case["full"]),
        l1,
    )
}

#[test]
fn regressions_agree_with_shap() -> Result<()> {
    for case in fixture()["kernel"].as_array().expect("cases") {
        let name = format!("{} players, {}, {}", case["players"], case["link"], case["l1"]);
        let theirs = matrix(&case["values"]);
        let ours = ours(case, &numbers(&case["weights"]))?;
        let apart = difference(&ours, &theirs);
        println!("{name}: {apart:.1e}");
        assert!(apart < 1e-6, "{name}: {apart}");
        let chosen = |values: &Array2<f64>| values.mapv(|v| v != 0.0);
        assert_eq!(chosen(&ours), chosen(&theirs), "{name}: players selected");
    }
    Ok(())
}

#[test]
fn regressions_agree_with_shapiq() -> Result<()> {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/shapley/shapiq.json")).expect("JSON");
    let cases = fixture["kernel"].as_array().expect("cases");
    for case in cases {
        let theirs = matrix(&case["values"]);
        let mut weights = numbers(&case["weights"]);
        let apart = difference(&ours(case, &weights)?, &theirs);
        println!("{} players, {} coalitions: {apart:.1e}", case["players"], weights.len());
        // shapiq's constraints have finite weights: 3e-7.
        assert!(apart < 1e-6, "{} players: {apart}", case["players"]);
        weights[20] *= 1.5;
        assert!(difference(&ours(case, &weights)?, &theirs) > 1e-6, "the comparison can fail");
    }
    assert_eq!(cases.len(), 8);
    Ok(())
}

#[test]
fn the_comparison_can_fail() -> Result<()> {
    let fixture = fixture();
    let case = &fixture["kernel"][2];
    let mut weights = numbers(&case["weights"]);
    weights[40] *= 1.5;
    assert!(difference(&ours(case, &weights)?, &matrix(&case["values"])) > 1e-6);
    Ok(())
}

#[test]
fn owen_values_agree_with_shap() -> Result<()> {
    for case in fixture()["partition"].as_array().expect("cases") {
        let players = case["players"].as_u64().expect("a count") as usize;
        let merges = case["merges"].as_array().expect("merges").iter();
        let merges = merges.map(|m| [m[0].as_u64(), m[1].as_u64()].map(|id| id.expect("a cluster") as usize));
        let game = CoalitionValues::new(players, matrix(&case["table"]))?;
        let owen = OwenValues::new(Hierarchy::new(players, merges.collect())?);
        let explanation = owen.explain(&game, &mut |_| {})?;
        let theirs = matrix(&case["values"]);
        let ours =
            Array2::from_shape_fn(theirs.dim(), |(player, k)| explanation.attributions[k].values[player]);
        assert!(explanation.exact);
        assert!(difference(&ours, &theirs) < 1e-9, "{ours} {theirs}");
        let balanced = OwenValues::new(Hierarchy::balanced(players)?).explain(&game, &mut |_| {})?;
        let other =
            Array2::from_shape_fn(theirs.dim(), |(player, k)| balanced.attributions[k].values[player]);
        assert!(difference(&other, &theirs) > 1e-6, "another hierarchy gives other values");
    }
    Ok(())
}
