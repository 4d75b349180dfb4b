//! `whybox image` as a user runs it: every method, several photos, interruption.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/program.rs"]
mod program;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use program::{folder, good};
use serde_json::Value;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whybox"));
    command.arg("image").args(arguments).current_dir(folder).env("NO_COLOR", "1").env("NODEVICE_SELECT", "1");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the program starts")
}

fn document(folder: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    serde_json::from_str(&good(&run(folder, &all))).expect("the document alone")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

const GRID: [&str; 4] = ["--device", "cpu", "--segments", "grid:rows=3,cols=3"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    GRID.iter().copied().chain(more.iter().copied()).collect()
}

/// Largest difference over the largest value of `expected`.
fn apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

#[test]
fn shapley_methods_agree_with_the_exact_values_and_add_up() {
    let folder = folder();
    let exact = document(folder.path(), &with(&["--method", "exact"]));
    let values = |document: &Value| numbers(&document["outputs"][0]["weights"]);
    let truth = values(&exact);
    assert_eq!(exact["evaluations"], 512);
    assert_eq!(exact["outputs"][0]["explained"], "logit");
    // Nine segments: Kernel SHAP enumerates them all, permutations and samples come near.
    for (method, samples, tolerance) in
        [("shap", "512", 1e-6), ("permutation", "4000", 0.03), ("sampling", "8000", 0.08)]
    {
        let found = document(folder.path(), &with(&["--method", method, "--samples", samples]));
        let output = &found["outputs"][0];
        let difference = apart(&values(&found), &truth);
        assert!(difference <= tolerance, "{method}: {difference}");
        let gap = output["additivity_gap"].as_f64().expect("a number");
        assert!(gap.abs() < 1e-9, "{method}: {gap}");
        assert_eq!(output["intervals"].as_array().map(Vec::len), Some(9), "{method}");
    }
    // Negative control: another class has other values.
    let other = document(folder.path(), &with(&["--method", "exact", "--class", "dog"]));
    assert!(apart(&values(&other), &truth) > 0.1);
    // Owen values over the tree of segments add up too.
    let owen = document(folder.path(), &with(&["--method", "partition"]));
    let sum: f64 = values(&owen).iter().sum();
    let (full, base) = (&owen["outputs"][0]["prediction"], &owen["outputs"][0]["base_value"]);
    let rise = full.as_f64().expect("a number") - base.as_f64().expect("a number");
    assert!((sum - rise).abs() < 1e-6 * rise.abs().max(1.0), "{sum} of {rise}");
}

/// A network cut to the explained logits answers as the whole one does.
#[test]
fn explaining_all_classes_or_one_gives_the_same_logits() {
    let folder = folder();
    let all = document(folder.path(), &with(&["--method", "shap", "--samples", "512", "--top", "10"]));
    let one = document(folder.path(), &with(&["--method", "shap", "--samples", "512", "--class", "deer"]));
    let outputs = all["outputs"].as_array().expect("outputs");
    let deer = outputs.iter().find(|output| output["name"] == "deer").expect("a class of this name");
    assert_eq!(one["outputs"][0]["index"], deer["index"]);
    assert!(apart(&numbers(&one["outputs"][0]["weights"]), &numbers(&deer["weights"])) < 1e-5);
    assert_eq!(one["prediction"]["top"][0]["name"], "cat", "the prediction names all classes");
}

#[test]
fn a_logit_link_explains_log_odds() {
    let folder = folder();
    let found = document(folder.path(), &with(&["--method", "shap", "--samples", "512", "--link", "logit"]));
    let output = &found["outputs"][0];
    let p = found["prediction"]["top"][0]["value"].as_f64().expect("a number");
    assert_eq!(found["prediction"]["scale"], "probability");
    assert_eq!(output["explained"], "logit");
    let logit = output["prediction"].as_f64().expect("a number");
    assert!((logit - (p / (1.0 - p)).ln()).abs() < 1e-3 * logit.abs(), "{logit} for {p}");
    assert_eq!(found["settings"]["link"], "logit");
}

#[test]
fn what_a_method_cannot_do_is_said() {
    let folder = folder();
    for (arguments, words) in [
        (vec!["--method", "exact"], vec!["coalitions", "grid:rows=3,cols=4"]),
        (vec!["--method", "lime", "--tolerance", "0.1"], vec!["tolerance", "lime"]),
        (vec!["--method", "exact", "--seconds", "1"], vec!["seconds", "exact"]),
        (vec!["--method", "shap", "--stability", "3"], vec!["stability", "shap"]),
        (vec!["--method", "shap", "--samples", "10"], vec!["10 evaluations", "at least"]),
        (vec!["--method", "shap", "--tolerance", "0"], vec!["--tolerance", "above 0"]),
        (
            vec!["--method", "partition", "--samples", "100", "--show", "errors"],
            vec!["standard errors", "--show"],
        ),
        (vec!["--explain", "logits", "--link", "logit"], vec!["probability", "identity"]),
    ] {
        let output = run(folder.path(), &[&["--device", "cpu"], &arguments[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{arguments:?}: {message}");
        assert!(!folder.path().join("whybox-out").exists(), "{arguments:?} writes nothing");
    }
    let output = run(folder.path(), &["--show", "upside-down"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_tolerance_that_is_not_met_is_a_warning() {
    let folder = folder();
    let arguments =
        ["--device", "cpu", "--method", "permutation", "--samples", "300", "--tolerance", "0.0001"];
    let found = document(folder.path(), &arguments);
    let warnings = found["warnings"].to_string();
    assert!(warnings.contains("tolerance of 0.0001 was not met"), "{warnings}");
    assert_eq!(found["settings"]["tolerance"], "0.0001");
}

#[test]
fn stability_is_in_document_page_and_terminal() {
    let folder = folder();
    let arguments = with(&["--samples", "100", "--stability", "3", "--top", "2", "--out", "out"]);
    let text = good(&run(folder.path(), &arguments));
    // Long lines are folded.
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("stability over 3 runs"), "{text}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).expect("a file");
    assert!(read("explanation.html").contains("<dt>Stability</dt>"));
    let json: Value = serde_json::from_str(&read("explanation.json")).expect("JSON");
    for output in json["outputs"].as_array().expect("outputs") {
        assert_eq!(output["stability"]["runs"], 3);
        let variables = output["stability"]["variables"].as_f64().expect("a number");
        assert!((0.0..=100.0).contains(&variables));
        assert_eq!(numbers(&output["stability"]["spread"]).len(), 9);
        let fits = output["stability"]["fits"].as_array().expect("fits");
        let of =
            |name: &str| fits.iter().map(|fit| fit[name].as_f64().expect("a number")).collect::<Vec<_>>();
        assert_eq!(of("kernel_width"), [0.125, 0.25, 0.5]);
        let scores = of("weighted_r_squared");
        assert!(scores[0] != scores[1] && scores[1] != scores[2], "{scores:?}");
    }
    assert!(words.join(" ").contains("at width 0.125"), "{text}");
}

#[test]
fn every_view_is_drawn_on_both_grounds() {
    let folder = folder();
    for theme in ["light", "dark"] {
        let views = "overlay,segments,positive,negative,top:3,errors,classes";
        let arguments = ["--samples", "100", "--top", "2", "--show", views, "--theme", theme, "--out", theme];
        good(&run(folder.path(), &with(&arguments)));
    }
    let pixels = |theme: &str, view: &str| {
        let path = folder.path().join(theme).join(format!("explanation{view}.png"));
        image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
    };
    let views = ["", "-segments", "-positive", "-negative", "-top", "-errors", "-classes"];
    for view in views {
        let (light, dark) = (pixels("light", view), pixels("dark", view));
        assert_eq!(light.dimensions(), dark.dimensions());
        assert_eq!(light.get_pixel(2, 2).0, [255; 3]);
        assert!(dark.get_pixel(2, 2).0.iter().all(|&c| c < 50), "{view}");
    }
    for (i, a) in views.iter().enumerate() {
        for b in &views[..i] {
            assert!(pixels("light", a) != pixels("light", b), "{a} and {b} differ");
        }
    }
    assert!(folder.path().join("light/explanation-positive-2.svg").exists());
    assert!(!folder.path().join("light/explanation-classes-2.svg").exists());
    // A later run with fewer pictures leaves none of these behind.
    good(&run(folder.path(), &with(&["--samples", "50", "--out", "light"])));
    let left = names(&folder.path().join("light"));
    assert_eq!(left, ["explanation.html", "explanation.json", "explanation.png", "explanation.svg"]);
}

/// The names in a folder, sorted; empty where there is none.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn save_photo(folder: &Path, name: &str, blue: u8) {
    let photo = RgbImage::from_fn(48, 40, |x, y| {
        let inside = (f64::from(x) - 24.0).hypot(f64::from(y) - 20.0) < 12.0;
        if inside { Rgb([200, 40, blue]) } else { Rgb([(x * 4) as u8, (y * 5) as u8, 120]) }
    });
    photo.save(folder.join(name)).expect("a picture is saved");
}

#[test]
fn several_photos_get_a_folder_each_and_an_index() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("more")).expect("a folder");
    save_photo(folder.path(), "a b.png", 10);
    save_photo(folder.path(), "more/a b.png", 250);
    std::fs::write(folder.path().join("broken.png"), "no picture").expect("a file");
    let arguments =
        ["a b.png", "broken.png", "missing.png", "more/a b.png", "--samples", "60", "--out", "out"];
    let output = run(folder.path(), &with(&arguments));
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for word in ["2 of 4 photos", "broken.png: this is no picture", "missing.png: the photo cannot be read"] {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    assert_eq!(names(&folder.path().join("out")), ["a b", "a b-2", "index.html"]);
    for name in ["a b", "a b-2"] {
        let files = names(&folder.path().join("out").join(name));
        assert_eq!(files, ["explanation.html", "explanation.json", "explanation.png", "explanation.svg"]);
    }
    let page = std::fs::read_to_string(folder.path().join("out/index.html")).expect("a page");
    for word in ["a%20b/explanation.html", "a%20b-2/explanation.html", "broken.png", "2 of 4", "2 failed"] {
        assert!(page.contains(word), "{word:?} is missing");
    }
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 2);
    // All good: exit code 0, and one document a photo with --json.
    let output = run(folder.path(), &with(&["a b.png", "more/a b.png", "--samples", "60", "--json"]));
    let text = good(&output);
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().expect("JSON");
    assert_eq!(documents.len(), 2);
    assert!(documents[1]["command"].as_str().is_some_and(|command| command.contains("'more/a b.png'")));
}

#[test]
fn the_documents_command_repeats_the_run() {
    let folder = folder();
    let few = ["--samples", "400", "--device", "cpu"];
    let weights = |arguments: &[&str]| {
        let found = document(folder.path(), arguments);
        (numbers(&found["outputs"][0]["weights"]), found["command"].as_str().expect("a command").to_owned())
    };
    let mut all = Vec::new();
    for control in ["none", "logistic", "gaussian-process"] {
        let (first, command) = weights(&[&few[..], &["--control", control]].concat());
        let words: Vec<&str> = command.split(' ').skip(2).collect();
        assert_eq!(weights(&words).0, first, "{command}");
        all.push(first);
    }
    let (usual, command) = weights(&few);
    assert!(usual == all[2] && !command.contains("--control"), "{command}");
    assert!(all[0] != all[1] && all[1] != all[2], "the controls differ");
}

/// Ctrl-C while the second of three photos is evaluated: the first stays whole, nothing else does, the index knows.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_within_a_second_and_keeps_what_is_whole() {
    let folder = folder();
    for (name, blue) in [("a.png", 10), ("b.png", 100), ("c.png", 200)] {
        save_photo(folder.path(), name, blue);
    }
    // So many evaluations that no machine gets through them.
    let arguments = ["a.png", "b.png", "c.png", "--device", "cpu", "--method", "permutation", "--out", "out"];
    let budget = ["--tolerance", "1e-9", "--samples", "2000000000"];
    let mut child = command(folder.path(), &[&arguments[..], &budget].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_secs(3));
    assert!(child.try_wait().expect("a child").is_none(), "it is still at work");
    let interrupted = Instant::now();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    println!("ended after {:.2} s", interrupted.elapsed().as_secs_f64());
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    assert!(names(&folder.path().join("out")).is_empty(), "nothing was whole");

    // After the first photo is done, it and the index stay.
    let fast = ["--device", "cpu", "--samples", "60", "--out", "out"];
    let many: Vec<String> = (0..60).map(|i| format!("p{i:02}.png")).collect();
    for (i, name) in many.iter().enumerate() {
        save_photo(folder.path(), name, i as u8);
    }
    let photos: Vec<&str> = many.iter().map(String::as_str).collect();
    let child = command(folder.path(), &[&photos[..], &fast].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let out = folder.path().join("out");
    let patience = Instant::now();
    while !out.join("p02").exists() && patience.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let left = names(&out);
    let done: Vec<&String> = left.iter().filter(|name| name.starts_with('p')).collect();
    assert!((2..60).contains(&done.len()), "{left:?}");
    assert!(left.iter().all(|name| name.starts_with('p') || name == "index.html"), "{left:?}");
    for name in done {
        let files = names(&out.join(name));
        assert_eq!(files, ["explanation.html", "explanation.json", "explanation.png", "explanation.svg"]);
    }
    let page = std::fs::read_to_string(out.join("index.html")).expect("an index");
    assert!(page.trim_end().ends_with("</html>") && page.contains("p01/explanation.html"));
}

/// The software rasteriser answers as the processor does.
#[test]
fn a_gpu_gives_the_same_map() {
    if let Err(error) = whybox::Device::gpu() {
        assert!(std::env::var_os("WHYBOX_REQUIRE_GPU").is_none(), "a GPU is required: {error}");
        println!("skipped: a_gpu_gives_the_same_map, no GPU adapter");
        return;
    }
    let folder = folder();
    let map = |device: &str| {
        let arguments =
            ["--segments", "grid:rows=3,cols=3", "--method", "shap", "--samples", "80", "--device", device];
        numbers(&document(folder.path(), &arguments)["outputs"][0]["weights"])
    };
    let difference = apart(&map("gpu"), &map("cpu"));
    println!("GPU and CPU differ by {difference:.1e} of the largest effect");
    assert!(difference < 1e-4, "{difference}");
}
