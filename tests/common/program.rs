//! The program as its users call it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// An empty folder to call it in.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// `whybox ARGUMENTS --device cpu`, without colours, in a folder.
pub fn whybox(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whybox"))
        .args(arguments)
        .args(["--device", "cpu"])
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

/// What a run that went well printed.
pub fn good(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A run has to have ended with an error that has these words.
pub fn bad(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error:") && !message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}
