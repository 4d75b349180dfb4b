//! Ctrl-C in `whybox table` and `whybox text` (`tests/image_cli.rs` has the one of photos).
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use whybox::report::Document;

/// So many evaluations that no machine gets through them.
const ENDLESS: [&str; 6] = ["--method", "permutation", "--tolerance", "1e-9", "--samples", "2000000000"];
/// What shells expect: 128 + SIGINT.
const INTERRUPTED: Option<i32> = Some(130);

/// Runs whybox in `folder` and presses Ctrl-C after so many seconds of work.
fn interrupted_after(seconds: u64, folder: &Path, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_whybox"))
        .args(arguments)
        .args(["--device", "cpu", "--out", "out"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_secs(seconds));
    assert!(child.try_wait().expect("a child").is_none(), "it is still at work");
    let pressed = Instant::now();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    println!("ended after {:.2} s", pressed.elapsed().as_secs_f64());
    output
}

fn nothing_was_whole(folder: &Path, output: &Output) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), INTERRUPTED, "{message}");
    assert!(message.contains("interrupted"), "{message}");
    assert!(!folder.join("out").exists(), "nothing was whole");
}

#[test]
fn a_row_or_a_text_that_is_not_whole_is_not_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = interrupted_after(3, folder.path(), &[&["table"], &ENDLESS[..]].concat());
    nothing_was_whole(folder.path(), &table);

    let words: Vec<String> = (0..30).map(|i| format!("word{i}")).collect();
    std::fs::write(folder.path().join("words.txt"), words.join("\n")).expect("a vocabulary");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/table/breast_cancer_mlp.onnx");
    let model = model.display().to_string();
    let text = words.join(" ");
    let network = ["text", &text, "--model", &model, "--vocabulary", "words.txt"];
    let text = interrupted_after(3, folder.path(), &[&network, &ENDLESS[..]].concat());
    nothing_was_whole(folder.path(), &text);
}

#[test]
fn rows_that_are_whole_are_written() {
    // Hundreds of rows: minutes. How long the first takes depends on the machine.
    let many = ["table", "--rows", "all", "--method", "lime", "--samples", "200000"];
    let kept = [4, 12, 40, 120].into_iter().find_map(|seconds| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = interrupted_after(seconds, folder.path(), &many);
        assert_eq!(output.status.code(), INTERRUPTED, "{}", String::from_utf8_lossy(&output.stderr));
        folder.path().join("out").exists().then_some((folder, output))
    });
    let (folder, output) = kept.expect("a row is explained within two minutes");
    let out = folder.path().join("out");
    let document = Document::read(out.join("explanation.json")).expect("a document");
    let rows = document.instances.len();
    assert!((1..569).contains(&rows), "{rows} rows");
    let said = format!("The run was interrupted: {rows} of 569 rows are explained.");
    assert!(document.warnings.contains(&said), "{:?}", document.warnings);
    assert!(document.command.contains("--rows all") && !document.settings.is_empty());
    assert_eq!(document.instances[rows - 1].row, Some(rows - 1));
    for name in ["explanation.html", "explanation.csv", "explanation.npz", "explanation.png", "encoding.toml"]
    {
        assert!(out.join(name).exists(), "{name}");
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("wrote"), "what was kept is told");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
}
