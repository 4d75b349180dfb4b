//! What the test suites of `captum` and `shap` assert of LIME and Shapley values, from `../shared/data/reference`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use whybox::Result;
use whybox::explain::{
    Budget, Estimator, ExactShapley, Explanation, FunctionGame, Game, InteractionIndex, KernelShap, Lime,
    Link, Linked, PermutationShap, ShapleySampling,
};

fn cases(name: &str) -> Option<(Value, Vec<Value>)> {
    let path = Path::new("../shared/data/reference").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is absent", path.display());
        return None;
    };
    let document: Value = serde_json::from_str(&text).expect("the reference is JSON");
    let cases = document["cases"].as_array().expect("cases").clone();
    Some((document, cases))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn explain(method: &dyn Estimator, game: &dyn Game) -> Result<Explanation> {
    method.explain(game, &mut |_| {})
}

/// The captum suite's perceptron of 3 inputs: both outputs.
fn perceptron(x: [f64; 3]) -> [f64; 2] {
    let sum: f64 = x.iter().sum();
    let hidden = (sum - 10.0).max(0.0) + 3.0 * (sum + 1.0).max(0.0);
    [hidden - 1.0, hidden + 1.0]
}

/// The scalar that a case explains, of its elements one input after the other.
fn model(name: &str, target: Option<u64>, elements: &[f64]) -> f64 {
    let mut x = [0.0; 3];
    let scale = if name == "mlp_bool_x10" { 10.0 } else { 1.0 };
    elements.iter().enumerate().for_each(|(place, element)| x[place % 3] += scale * element);
    let outputs = perceptron(x);
    match target {
        Some(target) => outputs[target as usize],
        None => outputs.iter().sum(),
    }
}

/// Row `row` of every input, one after the other; a single row serves all, a number all elements.
fn elements(inputs: &Value, row: usize, like: &[f64]) -> Vec<f64> {
    match inputs.as_array() {
        None => vec![0.0; like.len()],
        Some(inputs) => {
            let each = like.len() / inputs.len();
            let one = |input: &Value| match input.as_array() {
                None => vec![input.as_f64().expect("a number"); each],
                Some(rows) => numbers(rows.get(row).unwrap_or(&rows[0])),
            };
            inputs.iter().flat_map(one).collect()
        }
    }
}

/// One row of a case: its game over groups of elements, the group of each element, and what is expected of each.
struct Row {
    name: String,
    x: Vec<f64>,
    baseline: Vec<f64>,
    groups: Vec<usize>,
    expected: Vec<f64>,
}

fn rows(case: &Value) -> Vec<Row> {
    let inputs = case["inputs"].as_array().expect("inputs");
    let count = inputs[0].as_array().expect("rows").len();
    let each = |row: usize| {
        let x: Vec<f64> = inputs.iter().flat_map(|input| numbers(&input[row])).collect();
        let mask: Vec<f64> = match &case["feature_mask"] {
            Value::Null => (0..x.len()).map(|element| element as f64).collect(),
            mask => elements(mask, row, &x),
        };
        // The groups that this row has, numbered from 0.
        let mut numbers: BTreeMap<usize, usize> = mask.iter().map(|group| (*group as usize, 0)).collect();
        numbers.values_mut().enumerate().for_each(|(number, to)| *to = number);
        Row {
            name: format!("{}, row {row}", case["id"].as_str().expect("an id")),
            baseline: elements(&case["baselines"], row, &x),
            groups: mask.iter().map(|group| numbers[&(*group as usize)]).collect(),
            expected: elements(&case["expected"], row, &x),
            x,
        }
    };
    (0..count).map(each).collect()
}

impl Row {
    fn game<'a>(&'a self, case: &'a Value) -> FunctionGame<impl Fn(&[bool], &mut [f64]) + 'a> {
        let (name, target) = (case["model"].as_str().expect("a model"), case["target"].as_u64());
        let players = self.groups.iter().max().map_or(0, |last| last + 1);
        FunctionGame::new(players, 1, move |present: &[bool], out: &mut [f64]| {
            let element = |i: usize| if present[self.groups[i]] { self.x[i] } else { self.baseline[i] };
            out[0] = model(name, target, &(0..self.x.len()).map(element).collect::<Vec<_>>());
        })
    }

    /// The largest difference from what is expected.
    fn apart(&self, values: &[f64]) -> f64 {
        let apart = |(group, expected): (&usize, &f64)| (values[*group] - expected).abs();
        self.groups.iter().zip(&self.expected).map(apart).fold(0.0, f64::max)
    }
}

#[test]
fn shapley_values_of_captum() -> Result<()> {
    let Some((_, cases)) = cases("captum_toy_models.json") else { return Ok(()) };
    let mut seen = 0;
    for case in &cases {
        let method = case["method"].as_str().expect("a method");
        if !["kernel_shap", "shapley_sampling"].contains(&method) {
            continue;
        }
        for row in rows(case) {
            let game = row.game(case);
            let budget = Budget::of(case["n_samples"].as_u64().expect("a count") as usize);
            let methods: [(Box<dyn Estimator>, f64); 4] = [
                (Box::new(ExactShapley::default()), 1e-3),
                (Box::new(KernelShap { budget: Budget::of(1 << 9), ..KernelShap::default() }), 1e-3),
                (Box::new(KernelShap { budget, ..KernelShap::default() }), 1.0),
                (Box::new(PermutationShap { budget, ..PermutationShap::default() }), 1.0),
            ];
            for (method, tolerance) in methods {
                let found = explain(method.as_ref(), &game)?;
                let apart = row.apart(&found.attributions[0].values);
                // Values run to a thousand: an estimate from few permutations may be off by a part of that.
                let most = if found.exact || tolerance < 1.0 { tolerance } else { 8.0 * tolerance };
                assert!(apart <= most, "{}, {}: {apart}", row.name, method.name());
            }
            seen += 1;
            // Negative control.
            let doubled: Vec<f64> = explain(&ExactShapley::default(), &game)?.attributions[0]
                .values
                .iter()
                .map(|v| 2.0 * v)
                .collect();
            assert!(row.apart(&doubled) > 1.0);
        }
    }
    assert!(seen >= 12, "{seen} rows");
    Ok(())
}

/// `captum` fits a lasso with weights of nearly 1. Over all coalitions the columns are orthogonal with variance ¼, so its coefficients are
/// the linear ones moved towards 0 by alpha / ¼.
#[test]
fn lime_of_captum() -> Result<()> {
    let Some((_, cases)) = cases("captum_toy_models.json") else { return Ok(()) };
    let mut seen = 0;
    for case in cases.iter().filter(|case| case["method"] == "lime") {
        let alpha = case["params"]["alpha"].as_f64().expect("a penalty");
        for row in rows(case) {
            let lime = Lime { samples: 5000, alpha: 0.0, kernel_width: 100.0, ..Lime::default() };
            let found = lime.explain(&row.game(case), &mut |_| {})?;
            let values = &found.attributions[0].values;
            let lasso: Vec<f64> =
                values.iter().map(|v| v.signum() * (v.abs() - 4.0 * alpha).max(0.0)).collect();
            let tolerance = case["tolerance_abs"].as_f64().expect("a tolerance");
            let largest = row.expected.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            let apart = row.apart(&lasso);
            assert!(apart <= tolerance.max(0.005 * largest), "{}: {lasso:?}, {apart}", row.name);
            assert!(row.apart(values) > tolerance || alpha == 0.0, "{}: the penalty matters", row.name);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} rows");
    Ok(())
}

/// The mean over a background of a formula of the columns.
fn marginal<'a>(
    x: &'a [f64],
    background: &'a [Vec<f64>],
    f: &'a dyn Fn(&[f64]) -> f64,
) -> FunctionGame<impl Fn(&[bool], &mut [f64]) + 'a> {
    FunctionGame::new(x.len(), 1, move |present: &[bool], out: &mut [f64]| {
        let mix = |row: &Vec<f64>| -> Vec<f64> {
            row.iter().zip(x).zip(present).map(|((b, x), &p)| if p { *x } else { *b }).collect()
        };
        out[0] = background.iter().map(|row| f(&mix(row))).sum::<f64>() / background.len() as f64;
    })
}

#[test]
fn cases_of_shap() -> Result<()> {
    let Some((_, cases)) = cases("shap_cases.json") else { return Ok(()) };
    for case in &cases {
        let id = case["id"].as_str().expect("an id");
        let background: Vec<Vec<f64>> =
            case["background"].as_array().map_or(Vec::new(), |rows| rows.iter().map(numbers).collect());
        let inputs: Vec<(Vec<f64>, Vec<f64>)> = match (&case["inputs"], &case["input"]) {
            (Value::Array(inputs), _) => inputs
                .iter()
                .map(numbers)
                .zip(case["expected"].as_array().expect("rows").iter().map(numbers))
                .collect(),
            (_, Value::Array(_)) => vec![(numbers(&case["input"]), numbers(&case["expected"]))],
            _ => Vec::new(),
        };
        let w = case["model"]["w"].as_array().map_or(Vec::new(), |_| numbers(&case["model"]["w"]));
        let b = case["model"]["b"].as_f64().unwrap_or(0.0);
        let formula = |x: &[f64]| match case["model"]["formula"].as_str().expect("a formula") {
            "0" => 0.0,
            "x0" => x[0],
            "x0 + 2*x1" => x[0] + 2.0 * x[1],
            _ => f64::from(u8::from(x.iter().zip(&w).map(|(x, w)| x * w).sum::<f64>() + b > 0.0)),
        };
        for (x, expected) in &inputs {
            let game = marginal(x, &background, &formula);
            let budget = Budget::of(2000);
            for method in [
                &ExactShapley::default() as &dyn Estimator,
                &KernelShap::default(),
                &KernelShap { budget: Budget::of(x.len() + 20), ..KernelShap::default() },
                &PermutationShap { budget, ..PermutationShap::default() },
                &ShapleySampling { budget, ..ShapleySampling::default() },
            ] {
                let found = explain(method, &game)?;
                // A step function is exact only where every coalition is asked.
                let tolerance = if found.exact || id != "kernel/serialization_baseline" { 1e-6 } else { 0.1 };
                for (ours, theirs) in found.attributions[0].values.iter().zip(expected) {
                    let apart = (ours - theirs).abs();
                    assert!(apart <= tolerance + 1e-4 * theirs.abs(), "{id}, {}: {apart}", method.name());
                }
                if let Some(base) = case["expected_base_value"].as_f64() {
                    assert!((found.attributions[0].base_value - base).abs() < 1e-6, "{id}");
                }
            }
        }
        match id {
            "additivity/link_logit" => link_logit()?,
            "interaction/two_players" => two_players(case)?,
            _ => assert!(!inputs.is_empty(), "{id}: not covered"),
        }
    }
    Ok(())
}

fn link_logit() -> Result<()> {
    let game = FunctionGame::new(9, 1, |present: &[bool], out: &mut [f64]| {
        let sum: f64 = (0..9).filter(|&i| present[i]).map(|i| (i as f64).sin()).sum();
        out[0] = 1.0 / (1.0 + (0.3 - sum * sum.abs()).exp());
    });
    let linked = Linked { game: &game, link: Link::Logit };
    for evaluations in [100, 1000] {
        let shap = KernelShap { budget: Budget::of(evaluations), ..KernelShap::default() };
        let found = explain(&shap, &linked)?.attributions.remove(0);
        let sum = found.base_value + found.values.iter().sum::<f64>();
        let mut probability = [0.0];
        let probabilities = game.values(&whybox::perturb::Coalitions::from_words(9, vec![511])?)?;
        probability[0] = probabilities[[0, 0]];
        assert!((1.0 / (1.0 + (-sum).exp()) / probability[0] - 1.0).abs() < 1e-7);
    }
    Ok(())
}

fn two_players(case: &Value) -> Result<()> {
    // Gray-code order: {}, {0}, {0, 1}, {1}.
    let values: Vec<Vec<f64>> = case["values"].as_array().expect("values").iter().map(numbers).collect();
    let game = FunctionGame::new(2, 2, move |present: &[bool], out: &mut [f64]| {
        let place = match (present[0], present[1]) {
            (false, false) => 0,
            (true, false) => 1,
            (true, true) => 2,
            (false, true) => 3,
        };
        out.copy_from_slice(&values[place]);
    });
    let exact = ExactShapley { interactions: Some(InteractionIndex::Shapley), ..ExactShapley::default() };
    let found = explain(&exact, &game)?.interactions.expect("interactions");
    for (output, theirs) in numbers(&case["expected_off_diagonal"]).into_iter().enumerate() {
        // `shap` gives each of two players half.
        assert!((found.pair(0, 1, output) / 2.0 - theirs).abs() < 1e-12);
    }
    Ok(())
}
