//! docs/operators.md says what the importer knows.

use std::path::Path;

use whybox::model::onnx::{OPSETS, supported_operators};

const UPDATE: &str = "UPDATE_DOCS=1 cargo test --test operators";

fn page() -> String {
    let mut page = format!(
        "# Operators\n\n\
         The ONNX operators that whybox imports, opsets {} to {}. Both engines run every one of them. Anything else is\n\
         an error that names node, operator and opset; parts of a graph that its output does not need may hold\n\
         anything.\n\n\
         Written by `{UPDATE}`.\n\n\
         | operator | supported form |\n|---|---|\n",
        OPSETS.start(),
        OPSETS.end(),
    );
    for (domain, name, form) in supported_operators() {
        let domain = if domain.is_empty() { String::new() } else { format!("{domain}.") };
        page += &format!("| {domain}{name} | {form} |\n");
    }
    page
}

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    // What follows is tests/conformance.rs's.
    let (written, rest) = written.split_at(written.find("\n## Conformance").unwrap_or(written.len()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page() + rest).expect("the page can be written");
        return;
    }
    assert!(written == page(), "docs/operators.md is out of date: {UPDATE}");
}

#[test]
fn operators_are_in_alphabetical_order() {
    let names: Vec<_> = supported_operators().map(|(domain, name, _)| (domain, name)).collect();
    assert!(names.is_sorted(), "{names:?}");
}
