//! `whybox plot` as a user runs it.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/documents.rs"]
mod documents;

use std::process::Command;

use documents::{Names, Values, document};

#[test]
fn the_command_draws_files_and_bars() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("explanation.json");
    std::fs::write(&json, document(6, 4, Names::Short, Values::Ordinary).to_json().unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_whybox"))
            .arg("plot")
            .arg(&json)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    };
    for (file, more) in [
        ("a.svg", &["--kind", "waterfall"][..]),
        (
            "b/c.png",
            &["--kind", "dependence", "--feature", "feature 1", "--by", "feature 2", "--theme", "dark"],
        ),
        ("page.html", &[]),
    ] {
        let (good, out, err) = run(&[&["--out", file][..], more].concat());
        assert!(good && out.contains("wrote"), "{out}{err}");
        assert!(std::fs::metadata(folder.path().join(file)).unwrap().len() > 1000);
    }
    let (good, out, _) = run(&["--output", "class 1", "--instance", "2", "--top", "3"]);
    assert!(
        good && out.contains("P(class 1)")
            && out.contains("row 6")
            && out.contains("3 other features")
            && !out.contains('\x1b')
    );
    let cases: [(&[&str], &str); 6] = [
        (&["--out", "x.svg"], "waterfall"),
        (&["--out", "x.bmp", "--kind", "bar"], ".svg, .png or .html"),
        (&["--kind", "bar", "--out", "x.svg", "--output", "nobody"], "class 0, class 1"),
        (&["--kind", "bar", "--out", "x.svg", "--instance", "4"], "instance 4 of 4"),
        (&["--kind", "dependence", "--out", "x.svg", "--feature", "nothing"], "feature 0"),
        (&["--kind", "pie", "--out", "x.svg"], "beeswarm"),
    ];
    for (arguments, says) in cases {
        let (good, _, err) = run(arguments);
        assert!(!good && err.contains(says), "{arguments:?}: {err}");
    }
    std::fs::write(&json, "{}").unwrap();
    let (good, _, err) = run(&[]);
    assert!(!good && err.contains("no explanation") && err.contains("explanation.json"), "{err}");
}
