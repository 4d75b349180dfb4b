//! `whybox table` and `whybox text` by Shapley values: against shap, and what bad input is told.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{bad, folder, good, whybox};
use serde_json::Value;
use whybox::report::Document;

fn document(folder: &Path, arguments: &[&str]) -> Document {
    Document::from_json(&good(&whybox(folder, &[arguments, &["--json"]].concat()))).expect("a document")
}

fn asset(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/table").join(name).display().to_string()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn fixture() -> Value {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/table/builtin.json"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A CSV file of the rows of a JSON matrix.
fn write_csv(path: &Path, columns: &Value, rows: &Value) {
    let columns: Vec<&str> = columns.as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    let line = |row: &Value| numbers(row).iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = rows.as_array().unwrap().iter().map(line).collect();
    fs::write(path, format!("{}\n{}\n", columns.join(","), rows.join("\n"))).unwrap();
}

fn apart(ours: &[f64], theirs: &[f64]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = square(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
    (difference / square(&mut theirs.iter().copied())).sqrt()
}

#[test]
fn values_of_the_built_in_network_are_shaps() {
    let folder = folder();
    let recorded = fixture();
    write_csv(&folder.path().join("rows.csv"), &recorded["columns"], &recorded["rows"]);
    write_csv(&folder.path().join("back.csv"), &recorded["columns"], &recorded["background"]);
    let model = asset("breast_cancer_mlp.onnx");
    for case in recorded["cases"].as_array().unwrap() {
        let (explain, link) = (case["explain"].as_str().unwrap(), case["link"].as_str().unwrap());
        let explain = ["--explain", explain, "--link", link, "--class", "1", "--class", "0"];
        let table = ["table", "rows.csv", "--model", &model, "--background", "back.csv", "--rows", "all"];
        let all = [&table[..], &explain, &["--samples", "1024"]].concat();
        let ours = document(folder.path(), &all);
        assert_eq!(ours.link, link);
        for (row, instance) in ours.instances.iter().enumerate() {
            for output in &instance.outputs {
                let theirs: Vec<f64> = case["values"][row]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| v[output.index].as_f64().unwrap())
                    .collect();
                let distance = apart(&output.values, &theirs);
                assert!(distance <= 1e-4, "{explain:?} row {row}: {distance}");
                let base = case["base_values"][output.index].as_f64().unwrap();
                assert!((output.base_value - base).abs() < 1e-4);
                assert!(output.additivity_gap.abs() < 1e-9);
                // What does not vary has no effect at all.
                assert!(output.values.iter().filter(|&&value| value == 0.0).count() >= 20);
                // The control: another row's values are far away.
                let other = numbers_of(&case["values"][1 - row], output.index);
                assert!(apart(&output.values, &other) > 0.05);
            }
            assert_eq!(instance.outputs.iter().map(|o| o.index).collect::<Vec<_>>(), [1, 0]);
        }
    }
}

fn numbers_of(row: &Value, output: usize) -> Vec<f64> {
    row.as_array().unwrap().iter().map(|value| value[output].as_f64().unwrap()).collect()
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: stroke network: {} is absent", path.display());
    None
}

#[test]
fn values_of_the_stroke_network_are_shaps() {
    let Some(reference) = shared("reference/stroke_mlp.json") else { return };
    let recorded = read(&reference);
    let model = shared("models/stroke_mlp.onnx").unwrap().display().to_string();
    let folder = folder();
    write_csv(&folder.path().join("rows.csv"), &recorded["features"], &recorded["explained"]);
    write_csv(&folder.path().join("back.csv"), &recorded["features"], &recorded["background"]);
    for (case, link) in [("kernel_shap", "identity"), ("kernel_shap_logit_link", "logit")] {
        for method in ["shap", "exact"] {
            let ours = document(
                folder.path(),
                &[
                    "table",
                    "rows.csv",
                    "--model",
                    &model,
                    "--background",
                    "back.csv",
                    "--rows",
                    "all",
                    "--link",
                    link,
                    "--explain",
                    "probabilities",
                    "--method",
                    method,
                ],
            );
            let rows = recorded[case]["values"].as_array().unwrap();
            for (row, (theirs, instance)) in rows.iter().zip(&ours.instances).enumerate() {
                let distance = apart(&instance.outputs[0].values, &numbers(theirs));
                assert!(distance <= 1e-4, "{case} {method} row {row}: {distance}");
            }
            let base = recorded[case]["base_value"].as_f64().unwrap();
            assert!((ours.instances[0].outputs[0].base_value - base).abs() < 1e-4);
        }
    }
}

#[test]
fn methods_agree_and_rows_together_are_rows_alone() {
    let folder = folder();
    let run =
        |arguments: &[&str]| document(folder.path(), &[&["table", "--background", "20"], arguments].concat());
    let groups = asset("breast_cancer_groups20.toml");
    let together = run(&["--rows", "0-3", "--samples", "600", "--groups", &groups]);
    assert_eq!((together.features.len(), together.instances.len()), (20, 4));
    assert!(together.features.iter().any(|feature| feature.columns.len() == 2));
    let alone = run(&["--rows", "2", "--samples", "600", "--groups", &groups, "--class", "0"]);
    let values = |document: &Document, at: usize| document.instances[at].outputs[0].values.clone();
    let (a, b) = (&together.instances[2].outputs[0], &alone.instances[0].outputs[0]);
    assert_eq!(a.index, b.index, "four malignant rows");
    assert!(apart(&a.values, &b.values) < 1e-5);
    for method in ["permutation", "sampling"] {
        let other = run(&["--rows", "2", "--method", method, "--samples", "6000", "--groups", &groups]);
        let distance = apart(&values(&other, 0), &b.values);
        assert!(distance < 0.15, "{method}: {distance}");
    }
    let owen = run(&["--rows", "2", "--method", "partition", "--samples", "2000", "--groups", &groups]);
    assert!(owen.instances[0].outputs[0].additivity_gap.abs() < 1e-9);
    // An interaction belongs to both features; its row and the main effect add up to the prediction.
    let pairs = run(&["--rows", "2", "--samples", "3000", "--groups", &groups, "--interactions"]);
    let output = &pairs.instances[0].outputs[0];
    let matrix = output.interactions.as_ref().expect("interactions");
    let sum: f64 = (0..20).map(|i| (i..20).map(|j| matrix[i][j]).sum::<f64>()).sum();
    assert!((output.base_value + sum - output.prediction).abs() < 1e-6 * output.prediction.abs());
    assert_eq!(matrix[3][7], matrix[7][3]);
    let errors = output.interaction_errors.as_ref().expect("sampled interactions have errors");
    assert!(errors[3][7] > 0.0 && errors[3][7] == errors[7][3] && errors[4][4] > 0.0);
}

#[test]
fn stability_and_pick_are_in_the_document() {
    let folder = folder();
    let run =
        ["table", "--method", "lime", "--samples", "300", "--rows", "0-5", "--pick", "2", "--stability", "3"];
    let found = document(folder.path(), &run);
    assert_eq!(found.picked.len(), 2);
    assert!(found.picked.iter().all(|&at| at < 6) && found.picked[0] != found.picked[1]);
    let stability = found.instances[0].outputs[0].stability.as_ref().expect("stability");
    assert_eq!((stability.runs, stability.spread.len(), stability.fits.len()), (3, 30, 3));
    assert!(
        (0.0..=100.0).contains(&stability.variables) && stability.spread.iter().any(|&spread| spread > 0.0)
    );
    let text = good(&whybox(folder.path(), &run));
    assert!(text.contains("stability over 3 runs") && text.contains("SP-LIME"), "{text}");
}

#[test]
fn bad_input_is_a_typed_error_or_says_what_it_means() {
    let folder = folder();
    let model = asset("breast_cancer_mlp.onnx");
    let run = |arguments: &[&str]| whybox(folder.path(), &[&["table"], arguments].concat());
    bad(&run(&["--samples", "20"]), &["20 evaluations are too few", "30 players", "at least 32"]);
    bad(&run(&["--method", "exact"]), &["2^30", "group the players"]);
    bad(&run(&["--background", "0"]), &["--background 0"]);
    bad(&run(&["--background", "nowhere.csv"]), &["nowhere.csv"]);
    bad(&run(&["--tolerance", "0"]), &["--tolerance", "above 0"]);
    bad(&run(&["--class", "7"]), &["no output 7"]);
    bad(&run(&["--link", "logit", "--explain", "logits"]), &["no probability"]);
    bad(&run(&["--method", "lime", "--link", "logit"]), &["LIME", "--explain logits"]);
    bad(&run(&["--method", "lime", "--background", "10"]), &["--background"]);
    bad(&run(&["--method", "permutation", "--interactions"]), &["interactions"]);
    bad(&run(&["--stability", "3"]), &["--stability", "lime"]);
    for method in ["exact", "partition"] {
        bad(&run(&["--method", method, "--tolerance", "0.1"]), &["no tolerance", "--method shap"]);
    }
    bad(&run(&["--method", "exact", "--seconds", "1"]), &["--seconds", "all coalitions"]);
    bad(&run(&["--rows", "0-1", "--seconds", "0"]), &["--seconds", "above 0"]);
    let narrow = folder.path().join("narrow.csv");
    fs::write(&narrow, "mean radius\n1\n").unwrap();
    bad(&run(&["--background", "narrow.csv"]), &["no column \"mean texture\""]);
    // NaN in the row names row and column.
    let table = fs::read_to_string(asset("breast_cancer.csv")).unwrap();
    let mut lines: Vec<&str> = table.lines().take(3).collect();
    let holed = lines[1].replacen(lines[1].split(',').next().unwrap(), "NaN", 1);
    lines[1] = &holed;
    fs::write(folder.path().join("holed.csv"), lines.join("\n")).unwrap();
    let holed = ["holed.csv", "--model", &model, "--target", "diagnosis"];
    bad(&run(&holed), &["missing", "row 0", "--missing"]);
    bad(&run(&[&holed[..], &["--method", "lime"]].concat()), &["missing", "row 0", "--missing"]);
    bad(&run(&["--method", "lime", "--class", "7"]), &["no output 7"]);
    // What no run could take is refused with the arguments.
    let few = run(&["--method", "lime", "--samples", "1"]);
    assert_eq!(few.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&few.stderr).contains("at least 2"));
    // A background of one row that is the instance: nothing varies, which is said.
    let one = [table.lines().next().unwrap(), table.lines().nth(1).unwrap()].join("\n");
    fs::write(folder.path().join("one.csv"), one).unwrap();
    let alone = document(folder.path(), &["table", "one.csv", "--model", &model, "--drop", "diagnosis"]);
    assert!(alone.instances[0].outputs[0].values.iter().all(|&value| value == 0.0));
    assert!(
        alone.warnings.iter().any(|warning| warning.contains("no feature differs")),
        "{:?}",
        alone.warnings
    );
}

fn setting(document: &Document, name: &str) -> Option<String> {
    document.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[test]
fn settings_say_what_kernel_shap_drew_and_fitted() {
    let folder = folder();
    for (arguments, terms) in [
        (&["--samples", "600"][..], Some("triples")),
        // So little work that a model of triples would take longer.
        (&["--samples", "600", "--background", "1"], Some("single")),
        (&["--samples", "600", "--method", "permutation"], None),
        (&["--samples", "600", "--method", "lime"], None),
    ] {
        let found = document(folder.path(), &[&["table"], arguments].concat());
        assert_eq!(setting(&found, "terms").as_deref(), terms, "{arguments:?}: {:?}", found.settings);
        let drawn = setting(&found, "sampling");
        assert_eq!(drawn.as_deref() == Some("leverage"), terms.is_some(), "{:?}", found.settings);
    }
}

#[test]
fn seconds_alone_lift_the_cap_on_coalitions() {
    let folder = folder();
    // Seventeen players: all of their coalitions are more than the cap without a clock.
    let table = fs::read_to_string(asset("breast_cancer.csv")).unwrap();
    let names: Vec<String> =
        table.lines().next().unwrap().split(',').take(14).map(|name| format!("{name:?}")).collect();
    let group = format!("[[group]]\nname = \"many\"\nfeatures = [{}]\n", names.join(", "));
    fs::write(folder.path().join("groups.toml"), group).unwrap();
    let run = ["table", "--rows", "0-1", "--background", "1", "--groups", "groups.toml"];
    let found = document(folder.path(), &[&run[..], &["--seconds", "1000000"]].concat());
    assert_eq!((found.features.len(), found.evaluations), (17, 2 << 17));
    for instance in &found.instances {
        let errors = instance.outputs[0].standard_errors.as_ref().expect("errors");
        assert!(errors.iter().all(|&error| error == 0.0), "all coalitions are exact");
    }
    // A clock that has run out leaves every row its first round.
    let found = document(folder.path(), &[&run[..], &["--seconds", "1e-9"]].concat());
    assert_eq!(found.instances.len(), 2);
    assert!(found.evaluations < 1000, "{}", found.evaluations);
}

#[test]
fn groups_that_the_budget_did_not_split_are_a_warning() {
    let folder = folder();
    let said = |found: &Document| found.warnings.iter().any(|w| w.contains("share its effect equally"));
    let rows = ["table", "--rows", "0-2", "--method", "partition", "--samples", "100"];
    let found = document(folder.path(), &rows);
    assert!(said(&found) && found.warnings.iter().any(|w| w.contains("3 of 3 rows")), "{:?}", found.warnings);
    assert_eq!(setting(&found, "tolerance"), None);
    let words: Vec<String> = (0..29).map(|i| format!("word{i}")).collect();
    fs::write(folder.path().join("v.txt"), format!("good\n{}\n", words.join("\n"))).unwrap();
    let model = asset("breast_cancer_mlp.onnx");
    let text = ["text", "a good word1 word2 word3", "--model", &model, "--vocabulary", "v.txt"];
    let text = [&text[..], &["--method", "partition"]].concat();
    assert!(!said(&document(folder.path(), &text)), "all are split");
    assert!(said(&document(folder.path(), &[&text[..], &["--samples", "6"]].concat())));
    bad(&whybox(folder.path(), &[&text[..], &["--tolerance", "0.1"]].concat()), &["no tolerance"]);
}

#[test]
fn texts_have_shapley_values() {
    let folder = folder();
    let words: Vec<String> = (0..28).map(|i| format!("word{i}")).collect();
    fs::write(folder.path().join("v.txt"), format!("good\nbad\n{}\n", words.join("\n"))).unwrap();
    let model = asset("breast_cancer_mlp.onnx");
    let run = |arguments: &[&str]| {
        let all =
            ["text", "a good bad good film", "--model", &model, "--vocabulary", "v.txt", "--method", "shap"];
        document(folder.path(), &[&all, arguments].concat())
    };
    for input in ["counts", "ids"] {
        let found = run(&["--input", input]);
        let output = &found.instances[0].outputs[0];
        assert_eq!(found.features.len(), 4);
        // Few words are explained exactly, unless a budget is given.
        assert_eq!(setting(&found, "terms"), None);
        assert!(setting(&run(&["--input", input, "--samples", "10"]), "terms").is_some());
        assert!(output.additivity_gap.abs() < 1e-6 * output.prediction.abs().max(1.0));
        // Words that the vocabulary has not do nothing.
        assert!(
            output.values[0].abs() < 1e-9 && output.values[3].abs() < 1e-9,
            "{input}: {:?}",
            output.values
        );
        assert!(output.values[1].abs() > 1e-6, "{input}: {:?}", output.values);
    }
    let out = folder.path().join("whybox-out");
    good(&whybox(
        folder.path(),
        &["text", "good bad", "--model", &model, "--vocabulary", "v.txt", "--samples", "200"],
    ));
    assert!(fs::read_to_string(out.join("explanation.html")).unwrap().contains("good"));
}
