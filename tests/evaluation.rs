//! Comparisons of explanations: the library against its own single metrics, `whybox evaluate` as a user runs it, and its page in a
//! browser.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use image::{Rgb, RgbImage, imageops};
use program::{bad, folder, good};
use serde_json::Value;
use whybox::evaluate::*;
use whybox::explain::{FunctionGame, Game, KernelShap, Labels, Lime};
use whybox::report::{EvaluatedInput, Evaluation};
use whybox::{Error, builtin};

/// A game with interactions: players matter less and less.
fn game(shift: f64) -> impl Game {
    FunctionGame::new(9, 2, move |present: &[bool], out: &mut [f64]| {
        let sum: f64 = present.iter().zip(1..).filter(|(p, _)| **p).map(|(_, i)| 1.0 / f64::from(i)).sum();
        out[0] = 0.5;
        out[1] = (sum + shift).sqrt() + if present[2] && present[5] { 0.3 } else { 0.0 };
    })
}

fn lime() -> Lime {
    Lime { samples: 300, labels: Labels::All, ..Lime::default() }
}

fn candidates() -> Vec<Box<dyn Candidate>> {
    vec![
        Box::new(Estimated::new(lime())),
        Box::new(Estimated::new(KernelShap { labels: Labels::All, ..KernelShap::default() })),
        Box::new(RandomExplanation::new(3, 0)),
    ]
}

const METHODS: [&str; 3] = ["LIME", "Kernel SHAP", "random"];

#[test]
fn a_comparison_gives_the_numbers_of_its_metrics() {
    let (here, near, forgetful) = (game(1.0), [game(1.1), game(0.8)], game(9.0));
    let case = Case {
        near: near.iter().map(|game| View::of(game, 1)).collect(),
        randomised: Some(View::of(&forgetful, 1)),
        object: Some(Object { inside: vec![1.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0] }),
        ..Case::of(&here, 1)
    };
    let comparison = Comparison::default();
    let judgements = comparison.judge(&case, &mut candidates()).unwrap();
    let attributions = |game: &dyn Game| {
        lime().explain(&View::of(game, 1), &mut |_| {}).unwrap().attributions[0].values.clone()
    };
    let values = attributions(&here);
    assert_eq!(judgements[0].attributions, values);
    let settings = comparison.faithfulness;
    let mut games = near.iter();
    let changes = Sensitivity { samples: 2, ..Sensitivity::default() };
    let mut first = true;
    let sensitivity = sensitivity_max(&[0.0], &changes, &mut |_| {
        Ok(if std::mem::take(&mut first) { values.clone() } else { attributions(games.next().unwrap()) })
    });
    let expected = [
        deletion(&here, &values, 1, 9).unwrap().area(),
        insertion(&here, &values, 1, 9).unwrap().area(),
        faithfulness_correlation(&here, &values, 1, &settings).unwrap(),
        infidelity(&here, &values, 1, &settings).unwrap(),
        sensitivity.unwrap(),
        sparseness(&values).unwrap(),
        complexity(&values).unwrap(),
        1.0,
        case.object.as_ref().unwrap().mass(&values).unwrap(),
        rank_correlation(&values, &attributions(&forgetful)).abs(),
    ];
    assert_eq!(judgements[0].values, expected);
    // What is not known is not a number, and not an error.
    let bare = comparison.judge(&Case::of(&here, 1), &mut candidates()).unwrap();
    let undefined = |at: usize| bare[0].values[at].is_nan();
    assert_eq!((0..10).filter(|&at| undefined(at)).collect::<Vec<_>>(), [4, 7, 8, 9]);
    // An output that nothing moves: no attribution, so nothing to judge but the curves.
    let flat = comparison.judge(&Case::of(&here, 0), &mut candidates()).unwrap();
    assert!((flat[1].values[0] - 0.5).abs() < 1e-12 && flat[1].values[2].is_nan());
    assert!(flat[2].values[5].is_nan(), "there is nothing to hand out at random");
}

#[test]
fn scores_are_means_over_inputs_and_the_control_loses() {
    let metrics = vec![Metric::Deletion, Metric::Faithfulness, Metric::Entropy];
    let comparison = Comparison { metrics: metrics.clone(), ..Comparison::default() };
    let mut scores = Scores::new(&metrics, &METHODS, Some("random"));
    for shift in [0.5, 1.0, 4.0] {
        let judgements = comparison.judge(&Case::of(&game(shift), 1), &mut candidates()).unwrap();
        scores.push(format!("shift {shift}"), &judgements).unwrap();
    }
    let values: Vec<f64> = scores.inputs.iter().map(|input| input.judgements[1].values[0]).collect();
    let mean = values.iter().sum::<f64>() / 3.0;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0;
    let summary = scores.summary(1, 0);
    assert!((summary.mean - mean).abs() < 1e-12 && summary.inputs == 3);
    assert!((summary.standard_error - (variance / 3.0).sqrt()).abs() < 1e-12);
    for metric in 0..2 {
        assert_eq!([0, 1, 2].map(|m| scores.beats_control(m, metric)), [Some(true), Some(true), None]);
        assert!(scores.best(metric).is_some_and(|best| best < 2));
    }
    assert_eq!(scores.beats_control(0, 2), None, "a random explanation need not lose in entropy");
    // The mean curve's area is the mean area, up to the steps of 0.01.
    let curve = scores.mean_curve(1, Metric::Deletion).unwrap();
    assert!((curve.area() - mean).abs() < 0.01 * curve.values[0]);
    assert_eq!(curve.values.len(), 101);
    // The control can win: then nobody beats it.
    scores.control = scores.best(0);
    assert_eq!(scores.beats_control(2, 0), Some(false));
    assert_eq!(scores.csv().unwrap().lines().count(), 1 + 3 * 3);
    assert_eq!(scores.inputs_csv().unwrap().lines().count(), 1 + 3 * 3 * 3);
    assert!(matches!(scores.push("short", &[]), Err(Error::Parameter(_))));
}

#[test]
fn what_does_not_fit_is_refused() {
    let here = game(1.0);
    let comparison = Comparison { metrics: vec![Metric::Gini], ..Comparison::default() };
    let refused = |case: &Case<'_>, candidate: Box<dyn Candidate>| {
        assert!(matches!(comparison.judge(case, &mut [candidate]), Err(Error::Parameter(_))));
    };
    refused(&Case::of(&here, 7), Box::new(Estimated::new(lime())));
    let both = Case { instance: View { game: &here, outputs: vec![0, 1] }, ..Case::of(&here, 0) };
    refused(&both, Box::new(Estimated::new(lime())));
    let near = Case { near: vec![View { game: &here, outputs: vec![0, 1] }], ..Case::of(&here, 1) };
    let comparison = Comparison { metrics: vec![Metric::Sensitivity], ..Comparison::default() };
    let one_only = Estimated::new(Lime { labels: Labels::Top(1), ..lime() });
    assert!(matches!(comparison.judge(&near, &mut [Box::new(one_only)]), Err(Error::Parameter(_))));
    assert!(matches!(Object::of(&[0, 1], 2, &[false, false]), Err(Error::Parameter(_))));
    assert!(matches!(Object::of(&[0, 1], 2, &[true]), Err(Error::Parameter(_))));
}

fn whybox(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whybox"))
        .arg("evaluate")
        .args(arguments)
        .args(["--device", "cpu"])
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts")
}

fn document(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&good(&whybox(folder, &[arguments, &["--json"]].concat()))).expect("a document")
}

/// A method's mean of a metric.
fn mean(document: &Value, method: &str, metric: &str) -> f64 {
    let methods = document["methods"].as_array().expect("methods");
    let found = methods.iter().find(|found| found["name"] == method).expect("the method");
    found["scores"][metric]["mean"].as_f64().unwrap_or(f64::NAN)
}

/// The built-in photo and parts of it.
fn photos(folder: &Path) {
    let photo = builtin::photo().expect("the photo");
    let (w, h) = photo.dimensions();
    fs::create_dir(folder.join("photos")).expect("a folder");
    fs::create_dir(folder.join("masks")).expect("a folder");
    let cut = |part: u32| {
        imageops::crop_imm(&photo, w / part, h / part, w - 2 * w / part, h - 2 * h / part).to_image()
    };
    for (name, picture) in [("a", photo.clone()), ("b", cut(16)), ("c", imageops::flip_horizontal(&photo))] {
        picture.save(folder.join(format!("photos/{name}.png"))).expect("a photo");
        let (w, h) = picture.dimensions();
        let mask = RgbImage::from_fn(w, h, |x, _| Rgb([if x < w / 2 { 255 } else { 0 }; 3]));
        mask.save(folder.join(format!("masks/{name}.png"))).expect("a mask");
    }
}

const SMALL: [&str; 4] = ["--segments", "grid:rows=5,cols=5", "--samples", "200"];

#[test]
fn a_random_explanation_is_worse_than_lime_on_photos() {
    let folder = folder();
    photos(folder.path());
    let all = [&["photos", "--masks", "masks", "--methods", "lime,random,shap"], &SMALL[..]].concat();
    let found = document(folder.path(), &all);
    assert_eq!(found["kind"], "evaluation");
    assert_eq!(found["control"], "random");
    assert_eq!(found["inputs"].as_array().map(Vec::len), Some(3));
    assert_eq!(found["inputs"][0]["output_name"], "cat");
    for method in ["lime", "shap"] {
        let pair = |metric| (mean(&found, method, metric), mean(&found, "random", metric));
        let (ours, random) = pair("deletion");
        assert!(ours < random, "{method}: deletion {ours}, random {random}");
        let (ours, random) = pair("insertion");
        assert!(ours > random, "{method}: insertion {ours}, random {random}");
        let (ours, random) = pair("faithfulness");
        assert!(ours > random + 0.2, "{method}: faithfulness {ours}, random {random}");
        let (ours, random) = pair("sensitivity");
        assert!(ours < random, "{method}: sensitivity {ours}, random {random}");
        for metric in ["infidelity", "gini", "entropy", "pointing", "mass", "randomised"] {
            assert!(mean(&found, method, metric).is_finite(), "{method}: {metric}");
        }
        assert!((0.0..=1.0).contains(&mean(&found, method, "mass")));
    }
    let first = &found["methods"][0]["scores"]["deletion"];
    assert!(first["standard_error"].as_f64().is_some_and(|error| error > 0.0) && first["inputs"] == 3);
    // The document's command finds the same numbers.
    let command = found["command"].as_str().expect("a command").replace("whybox evaluate ", "");
    let again: Vec<&str> = command.split(' ').filter(|word| !matches!(*word, "--device" | "cpu")).collect();
    let again = document(folder.path(), &again);
    assert_eq!(again["methods"][0]["scores"], found["methods"][0]["scores"]);
    assert_eq!(again["methods"][1]["scores"], found["methods"][1]["scores"]);
    // Another seed is another control.
    let other = document(folder.path(), &[&all[..], &["--seed", "5", "--metrics", "gini"]].concat());
    assert_ne!(mean(&other, "random", "gini"), mean(&found, "random", "gini"));
}

#[test]
fn rows_of_a_table_are_judged() {
    let folder = folder();
    // Probabilities near 1 hardly fall, whatever goes: of logits infidelity says more.
    let small = ["--rows", "0-2", "--background", "20", "--samples", "300", "--explain", "logits"];
    let text = good(&whybox(folder.path(), &[&small[..], &["--methods", "lime,shap,random"]].concat()));
    for word in ["3 inputs", "faithfulness↑", "sensitivity ↓", "random", "±", "wrote"] {
        assert!(text.contains(word), "{word:?} is missing in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let out = folder.path().join("whybox-out");
    for name in
        ["evaluation.html", "evaluation.json", "evaluation.csv", "evaluation-inputs.csv", "deletion.svg"]
    {
        assert!(out.join(name).exists(), "{name}");
    }
    let found: Value =
        serde_json::from_str(&fs::read_to_string(out.join("evaluation.json")).unwrap()).expect("a document");
    assert!(mean(&found, "shap", "faithfulness") > mean(&found, "random", "faithfulness") + 0.2);
    assert!(mean(&found, "shap", "infidelity") < mean(&found, "random", "infidelity"));
    assert!(mean(&found, "shap", "deletion") < mean(&found, "random", "deletion"));
    assert!(mean(&found, "lime", "sensitivity").is_finite());
    assert_eq!(found["inputs"][2]["name"], "row 2");
    assert_eq!(found["inputs"][0]["players"], 30);
    let lines = fs::read_to_string(out.join("evaluation-inputs.csv")).unwrap().lines().count();
    assert_eq!(lines, 1 + 3 * 3 * 8);
}

#[test]
fn what_fails_is_named_and_the_rest_is_judged() {
    let folder = folder();
    photos(folder.path());
    fs::write(folder.path().join("photos/broken.png"), "no picture").unwrap();
    fs::remove_file(folder.path().join("masks/b.png")).unwrap();
    let quick = ["--metrics", "mass,gini", "--methods", "lime,random"];
    let run = [&["photos", "--masks", "masks"], &SMALL[..], &quick].concat();
    let output = whybox(folder.path(), &run);
    bad(&output, &["2 inputs", "broken.png", "no mask called b"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 inputs"));
    let page = fs::read_to_string(folder.path().join("whybox-out/evaluation.html")).unwrap();
    assert!(page.contains("Could not be judged") && page.contains("broken.png"));

    let none = |arguments: &[&str], words: &[&str]| bad(&whybox(folder.path(), arguments), words);
    none(&["nowhere.png"], &["nowhere.png"]);
    none(&["photos/a.png", "--rows", "3"], &["--rows", "tables"]);
    none(&["--rows", "3", "--masks", "masks"], &["--masks", "photos"]);
    none(&["--metrics", "pointing"], &["--masks"]);
    none(&["--methods", "exact"], &["exact", "20 players"]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    none(&["empty"], &["no picture"]);
    fs::write(folder.path().join("x.csv"), "a,b\n1,2\n").unwrap();
    none(&["x.csv"], &["--model"]);
    let unknown = whybox(folder.path(), &["--metrics", "beauty"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn options_come_from_a_file() {
    let folder = folder();
    let options = "[evaluate]\nmethods = [\"lime\", \"random\"]\nmetrics = \"gini\"\nsamples = 150\nsegments = \"grid:rows=3,cols=3\"\n";
    fs::write(folder.path().join("run.toml"), options).unwrap();
    let found = document(folder.path(), &["--config", "run.toml"]);
    assert_eq!(found["settings"]["methods"], "lime, random");
    assert_eq!(found["settings"]["metrics"], "gini");
    assert_eq!(found["inputs"][0]["players"], 9);
}

/// A document of three inputs, with a name that wants to be code.
fn evaluation() -> Evaluation {
    let metrics = Metric::ALL.to_vec();
    let comparison = Comparison { metrics: metrics.clone(), ..Comparison::default() };
    let scores = Scores::new(&metrics, &METHODS, Some("random"));
    let mut evaluation = Evaluation {
        network: "<script>alert(1)</script>".into(),
        device: "a device".into(),
        seed: 7,
        settings: vec![("samples".into(), "300".into())],
        command: "whybox evaluate --seed 7".into(),
        evaluations: 1234,
        seconds: vec![("load".into(), 0.1), ("judge".into(), 2.5)],
        warnings: vec!["a warning".into()],
        scores,
        ..Evaluation::default()
    };
    let near = [game(1.2), game(0.9)];
    let forgetful = game(30.0);
    for shift in [0.5, 1.0, 2.0] {
        let here = game(shift);
        let case = Case {
            near: near.iter().map(|game| View::of(game, 1)).collect(),
            randomised: Some(View::of(&forgetful, 1)),
            ..Case::of(&here, 1)
        };
        let facts = EvaluatedInput { output: 1, output_name: "root".into(), prediction: 2.0, players: 9 };
        let judgements = comparison.judge(&case, &mut candidates()).unwrap();
        evaluation.push(format!("shift {shift}"), facts, &judgements).unwrap();
    }
    evaluation
}

#[test]
fn the_page_refers_to_nothing_outside_and_escapes_names() {
    let evaluation = evaluation();
    let html = evaluation.html().unwrap();
    assert_eq!(html.matches("<script").count(), 1, "only the page's own");
    assert!(html.contains("&lt;script&gt;") && html.contains("default-src 'none'"));
    for outside in ["https:", "//cdn", "@import", "url(http", " src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(!html.contains("NaN"), "what is not defined is a dash");
    for text in ["whybox evaluate --seed 7", "a warning", "no better than the random", "Σ max(φ, 0)"] {
        assert!(html.contains(text), "{text}");
    }
    let text = evaluation.terminal(false, 80);
    assert!(text.contains("faithfulness↑") && text.contains('–'), "{text}");
    let colour = evaluation.terminal(true, 80);
    assert!(colour.contains("\u{1b}[1;32m") && !text.contains('\u{1b}'));
    // Two inputs or none: everything is still written.
    let none = Evaluation::default();
    assert!(none.html().is_ok() && none.to_json().is_ok() && !none.terminal(false, 80).is_empty());
    assert!(none.curves(Metric::Deletion, &Default::default()).is_none());
}

/// A browser with the page and a script behind it: the read-out, the arrow keys, sorting.
#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
    else {
        println!("skipped: the_page_works_in_a_browser (no chromium)");
        return;
    };
    let folder = folder();
    let probe = r#"<script>
      const said = {}, cell = document.querySelector("td[data-reading]");
      cell.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      said.hover = document.getElementById("reading").textContent;
      cell.focus();
      cell.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
      said.below = document.activeElement.dataset.reading;
      document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
      said.right = document.activeElement.dataset.reading;
      document.querySelector('[data-sort="1"]').click();
      const column = () => [...document.querySelector(".scores tbody").rows].map((row) => Number(row.cells[2].dataset.value));
      said.best = column().every((v, i, a) => !i || a[i - 1] >= v);
      document.querySelector('[data-sort="1"]').click();
      said.worst = column().every((v, i, a) => !i || a[i - 1] <= v);
      const title = document.querySelector(".plot svg title");
      title.parentElement.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      said.curve = document.getElementById("reading").textContent;
      said.wide = document.documentElement.scrollWidth <= innerWidth;
      document.body.textContent = "SAID" + JSON.stringify(said) + "DIAS";
    </script></body>"#;
    let page = evaluation().html().unwrap();
    if let Some(keep) = std::env::var_os("KEEP_PAGE") {
        fs::write(keep, &page).unwrap();
    }
    let path = folder.path().join("page.html");
    fs::write(&path, page.replace("</body>", probe)).unwrap();
    for size in ["--window-size=1200,900", "--window-size=500,800"] {
        let out = Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                size,
                "--dump-dom",
            ])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("file://{}", path.display()))
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&out.stderr);
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let dom = String::from_utf8_lossy(&out.stdout);
        let said = dom.split("SAID").nth(1).and_then(|t| t.split("DIAS").next());
        let said = said.unwrap_or_else(|| panic!("{dom:.500}"));
        let said: Value = serde_json::from_str(said).unwrap();
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        assert!(
            text("hover").starts_with("LIME, deletion: ") && text("hover").contains("over 3 inputs"),
            "{said}"
        );
        assert!(text("below").starts_with("Kernel SHAP, deletion: "), "{said}");
        assert!(text("right").starts_with("Kernel SHAP, insertion: "), "{said}");
        assert!(text("curve").starts_with("LIME"), "{said}");
        assert_eq!((&said["best"], &said["worst"]), (&Value::Bool(true), &Value::Bool(true)), "{said}");
        assert_eq!(said["wide"], true, "the page scrolls sideways at {size}");
    }
}
