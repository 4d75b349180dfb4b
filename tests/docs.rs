//! README and guide: every command runs, every link leads somewhere, every chapter's Rust is compiled.
//!
//! Commands are the lines of `sh` blocks that begin with `whybox`. A comment `<!-- not run: why -->` before a block takes it
//! out. What is not run is printed by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{DynamicImage, GrayImage, Luma};
use npyz::WriterBuilder;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chapters() -> Vec<PathBuf> {
    let folder = root().join("docs/guide/src");
    let mut pages: Vec<PathBuf> =
        fs::read_dir(folder).expect("the guide").map(|entry| entry.expect("a page").path()).collect();
    pages.sort();
    pages
}

/// README and guide.
fn pages() -> Vec<PathBuf> {
    [vec![root().join("README.md")], chapters()].concat()
}

fn name(page: &Path) -> String {
    page.strip_prefix(root()).expect("inside the repository").display().to_string()
}

/// A fenced block.
struct Block {
    language: String,
    lines: Vec<String>,
    /// Why it is not run, if its comment says so.
    not_run: Option<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut not_run = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.trim().to_owned(),
                    lines: Vec::new(),
                    not_run: not_run.take(),
                });
            }
            (None, None) => {
                if let Some(why) =
                    line.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"))
                {
                    not_run = Some(why.to_owned());
                } else if !line.is_empty() {
                    not_run = None;
                }
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Words of a command as a shell sees them: quotes, and comments after ` #`.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "a quote is not closed: {line}");
    words.extend(word);
    words
}

/// The files that the commands name.
fn furnish(folder: &Path) {
    let asset = |name: &str| root().join("assets").join(name);
    for (from, to) in [
        ("network/cifar10_resnet.onnx", "net.onnx"),
        ("network/cifar10_classes.txt", "names.txt"),
        ("table/breast_cancer.csv", "cells.csv"),
        ("table/breast_cancer_mlp.onnx", "cells.onnx"),
        ("table/breast_cancer_classes.txt", "classes.txt"),
        ("table/breast_cancer_groups20.toml", "groups.toml"),
        // It reads thirty numbers, for instance counts of thirty words.
        ("table/breast_cancer_mlp.onnx", "words.onnx"),
    ] {
        fs::copy(asset(from), folder.join(to)).expect("an asset");
    }
    let photo = image::open(asset("photos/cat.png")).expect("the photo").to_rgb8();
    for to in ["cat.jpg", "dog.jpg"] {
        DynamicImage::from(photo.clone()).save(folder.join(to)).expect("a photo");
    }
    let (width, height) = photo.dimensions();
    let segments =
        GrayImage::from_fn(width, height, |x, y| Luma([(4 * (4 * y / height) + 4 * x / width) as u8]));
    segments.save(folder.join("segments.png")).expect("segments");
    let more: Vec<String> = (0..26).map(|i| format!("word{i}")).collect();
    fs::write(folder.join("words.txt"), format!("good\nbad\nfilm\nnot\n{}\n", more.join("\n")))
        .expect("a vocabulary");
    fs::write(folder.join("review.txt"), "Not a good film; a bad one.").expect("a text");
    fs::write(folder.join("run.toml"), "seed = 7\n[image]\nsamples = 200\nsegments = \"slic:n=100\"\n")
        .expect("options");
    let mut file = fs::File::create(folder.join("x.npy")).expect("a file");
    let options = npyz::WriteOptions::<f32>::new().default_dtype().shape(&[4, 3, 32, 32]);
    let mut writer = options.writer(&mut file).begin_nd().expect("a header");
    writer.extend((0..4 * 3 * 32 * 32).map(|i| (i % 17) as f32 / 17.0)).expect("numbers");
    writer.finish().expect("an end");
}

/// What a page's commands did: failures and those that were not run.
fn run_page(page: &Path) -> (Vec<String>, BTreeSet<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    furnish(folder.path());
    let (mut failures, mut left) = (Vec::new(), BTreeSet::new());
    let text = fs::read_to_string(page).expect("a page");
    for block in blocks(&text) {
        let commands = block.lines.iter().filter(|line| line.starts_with("whybox "));
        match block.language.as_str() {
            "sh" => {}
            "text" => {
                assert_eq!(commands.count(), 0, "{}: commands belong into sh blocks", name(page));
                continue;
            }
            "rust" | "toml" => continue,
            "python" => {
                let why = block.not_run.as_deref();
                let why = why.unwrap_or_else(|| panic!("{}: a block of Python is not marked", name(page)));
                left.insert(format!("Python: {} ({why})", block.lines.first().map_or("", |line| line)));
                continue;
            }
            other => panic!("{}: blocks of language {other:?} are neither run nor listed", name(page)),
        }
        for command in commands {
            if let Some(why) = block.not_run.as_deref() {
                left.insert(format!("{command} ({why})"));
                continue;
            }
            let output = Command::new(env!("CARGO_BIN_EXE_whybox"))
                .args(&words(command)[1..])
                .current_dir(folder.path())
                .env("NO_COLOR", "1")
                .output()
                .expect("the program starts");
            if !output.status.success() {
                failures.push(format!("{command}\n{}", String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    (failures, left)
}

#[test]
fn every_command_of_readme_and_guide_runs() {
    let mut failures = Vec::new();
    for page in pages() {
        let (failed, left) = run_page(&page);
        failures.extend(failed.into_iter().map(|failure| format!("{}: {failure}", name(&page))));
        for command in left {
            println!("not run: {}: {command}", name(&page));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_wrong_command_is_found() {
    let page = tempfile::NamedTempFile::new().expect("a page");
    fs::write(page.path(), "```sh\nwhybox image --no-such-option\nwhybox devices # a comment\n```\n")
        .expect("it can be written");
    let (failures, left) = run_page(page.path());
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].contains("--no-such-option") && left.is_empty());
    assert_eq!(words("whybox text 'a b' --x '#1' # c"), ["whybox", "text", "a b", "--x", "#1"]);
}

/// Targets of Markdown links outside code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push(rest[..end].to_owned());
            }
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn broken(page: &Path, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for link in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let target = match path {
            "" => page.to_owned(),
            path => page.parent().expect("a folder").join(path),
        };
        let sound = target.exists()
            && (anchor.is_empty()
                || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).iter().any(|a| a == anchor)));
        if !sound {
            broken.push(format!("{}: {link}", page.display()));
        }
    }
    broken
}

#[test]
fn every_link_leads_somewhere() {
    let mut all = pages();
    for folder in ["docs", "benches", "."] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "md") {
                all.push(path);
            }
        }
    }
    let found: Vec<String> =
        all.iter().flat_map(|page| broken(page, &fs::read_to_string(page).expect("a page"))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let control = root().join("README.md");
    let text = "# A title\n[a](nowhere.md) [b](#a-title) [c](#no-title) [d](https://x.org) [e](docs/json.md#nowhere)";
    assert_eq!(broken(&control, text).len(), 4, "README has no such headings either");
}

#[test]
fn every_chapter_is_in_the_summary_and_its_rust_is_compiled() {
    let summary = fs::read_to_string(root().join("docs/guide/src/SUMMARY.md")).expect("the summary");
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("the library");
    for page in chapters() {
        let file = page.file_name().expect("a name").to_string_lossy().into_owned();
        if file == "SUMMARY.md" {
            continue;
        }
        assert!(summary.contains(&format!("({file})")), "{file} is not in the summary");
        let rust = blocks(&fs::read_to_string(&page).expect("a page"))
            .iter()
            .any(|block| block.language.starts_with("rust"));
        let compiled = library.contains(&format!("\"{}\"", file));
        assert!(compiled || !rust, "{file} has Rust blocks, but src/lib.rs does not run them");
    }
}

/// Messages of the troubleshooting page exist: each part of a heading between ellipses is in the sources.
#[test]
fn every_message_of_the_troubleshooting_page_exists() {
    let mut sources = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                sources += &fs::read_to_string(path).expect("a source");
            }
        }
    }
    let page = fs::read_to_string(root().join("docs/guide/src/troubleshooting.md")).expect("the page");
    let mut messages = 0;
    for line in page.lines().filter(|line| line.starts_with("**`")) {
        let heading = line.split(" — ").next().unwrap_or_default();
        for message in heading.split("**`").skip(1).filter_map(|rest| rest.split_once('`')) {
            messages += 1;
            for part in message.0.split('…').map(str::trim).filter(|part| part.len() > 2) {
                assert!(sources.contains(part), "no source says {part:?} ({})", message.0);
            }
        }
    }
    assert!(messages > 20, "{messages}");
}
