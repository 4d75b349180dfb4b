//! Explained tables and texts of any size, with names and numbers as awkward as users have them.

use whybox::report::document::{Document, Explained, Feature, Instance, Kind, Output, Stability};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Names {
    Short,
    Long,
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    Ordinary,
    Zero,
    Tiny,
    Huge,
    Mixed,
    FarFromZero,
}

/// Numbers that look random and are not.
fn noise(i: usize) -> f64 {
    let x = (i as f64 + 1.0) * 12.989_8;
    (x.sin() * 43_758.545_3).fract()
}

pub fn name(style: Names, i: usize) -> String {
    match style {
        Names::Short => format!("feature {i}"),
        Names::Long => format!(
            "the number of Donaudampfschifffahrtsgesellschaftskapitäne whom the person has met since {i}"
        ),
        Names::Foreign => {
            ["возраст пассажира", "年齢と性別の組み合わせ", "عمر الراكب", "ηλικία", "a\u{202e}b\tc"][i % 5]
                .to_owned()
                + &i.to_string()
        }
    }
}

pub fn document(features: usize, instances: usize, names: Names, values: Values) -> Document {
    let effect = |i: usize, f: usize| {
        let x = noise(i * 613 + f * 7) / (1.0 + f as f64 * 0.2);
        match values {
            Values::Ordinary | Values::FarFromZero => x,
            Values::Zero => 0.0,
            Values::Tiny => x * 1e-12,
            Values::Huge => x * 1e12,
            Values::Mixed => x * [1e-12, 1.0, 1e12][f % 3],
        }
    };
    let instance = |i: usize| {
        let number = |f: usize| if f % 4 == 3 { f64::NAN } else { (noise(i + 31 * f) * 100.0).round() };
        let text = |f: usize| match (number(f).is_nan(), names) {
            (true, Names::Short) => ["red", "green", "blue"][(i + f) % 3].to_owned(),
            (true, _) => name(names, (i + f) % 3),
            (false, _) => format!("{}", number(f)),
        };
        let output = |index: usize| {
            let sign = if index == 0 { 1.0 } else { -1.0 };
            let effects: Vec<f64> = (0..features).map(|f| sign * effect(i, f)).collect();
            let base = match values {
                Values::Zero => 0.0,
                Values::FarFromZero => 1e12,
                _ => 0.25,
            };
            let sum = base + effects.iter().sum::<f64>();
            let label = if names == Names::Short { format!("class {index}") } else { name(names, index) };
            // Every other instance has a surrogate that misses the output.
            let missed = if i.is_multiple_of(2) { 0.05 * sum } else { 0.0 };
            let mut output = Output::new(index, label, sum + missed, base, effects);
            output.weighted_r_squared = 0.9 - 0.5 * noise(i).abs();
            output.standard_errors = Some((0..features).map(|f| effect(i, f).abs() * 0.3).collect());
            output.conditions =
                Some((0..features).map(|f| format!("{} ≤ {}", name(names, f), text(f))).collect());
            output.stability =
                Some(Stability { runs: 10, variables: 91.0, coefficients: 84.0, ..Default::default() });
            // Quadratic in the features, so for the instance that is plotted only.
            let row = |a: usize| {
                (0..features).map(|b| effect(a.min(b), a.max(b)) * if a == b { 1.0 } else { 0.3 }).collect()
            };
            output.interactions = (i == 0).then(|| (0..features).map(row).collect());
            output
        };
        Instance {
            row: Some(i * 3),
            values: (0..features).map(text).collect(),
            numbers: (0..features).map(number).collect(),
            outputs: vec![output(0), output(1)],
        }
    };
    Document {
        kind: Kind::Table,
        method: if names == Names::Long {
            "Kernel SHAP with a long name ".repeat(8)
        } else {
            "Kernel SHAP".into()
        },
        network: "net.onnx".into(),
        device: "CPU".into(),
        seed: 7,
        settings: vec![("samples".into(), "2048".into()), ("background".into(), "100 rows".into())],
        command: "whybox table rows.csv --model net.onnx --rows all".into(),
        link: "identity".into(),
        explained: Explained::Probability,
        evaluations: 123_456,
        evaluations_per_second: 1e6,
        seconds: vec![("import".into(), 0.01), ("evaluate".into(), 0.2)],
        warnings: vec!["Mind the gap.".into()],
        features: (0..features).map(|f| Feature::new(name(names, f))).collect(),
        instances: (0..instances).map(instance).collect(),
        ..Document::default()
    }
}
