//! What `whybox COMMAND -h` and `--help` say: the first fits a screen, the second leaves nothing out.

use std::process::Command;

/// Lines and columns of a screen.
const LINES: usize = 50;
const COLUMNS: usize = 100;

const COMMANDS: [&str; 11] =
    ["", "image", "table", "text", "evaluate", "predict", "inspect", "bench", "plot", "completions", "man"];

fn help(command: &str, flag: &str) -> String {
    let mut whybox = Command::new(env!("CARGO_BIN_EXE_whybox"));
    let words = [command, flag].into_iter().filter(|word| !word.is_empty());
    let output = whybox.args(words).env("COLUMNS", COLUMNS.to_string()).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{command} {flag}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Long options that a help lists, in its order.
fn options(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start);
    let entries = lines.filter(|line| ["--", "-h,", "-V,"].iter().any(|start| line.starts_with(start)));
    let names = entries.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    names.map(|name| name.split(['=', '[', ',']).next().unwrap_or(name)).collect()
}

#[test]
fn short_help_fits_a_screen_and_has_examples() {
    for command in COMMANDS {
        let text = help(command, "-h");
        let lines = text.lines().count();
        println!("whybox {command} -h: {lines} lines, --help {}", help(command, "--help").lines().count());
        assert!(lines <= LINES, "whybox {command} -h has {lines} lines:\n{text}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(COLUMNS), "whybox {command} -h has a line of {widest:?} columns:\n{text}");
        assert!(
            text.contains("Example") && text.contains(&format!("  whybox {command}")),
            "{command}:\n{text}"
        );
    }
    let bare = help("", "--help");
    assert!(bare.lines().count() <= LINES, "{bare}");
}

#[test]
fn long_help_has_every_option_and_short_help_says_so() {
    for command in COMMANDS {
        let (short, long) = (help(command, "-h"), help(command, "--help"));
        let (few, all) = (options(&short), options(&long));
        assert!(few.contains(&"--help"), "{command}: {few:?}");
        assert!(few.iter().all(|option| all.contains(option)), "{command}: {few:?} of {all:?}");
        assert_eq!(all.len() > few.len(), short.contains("--help shows all"), "{command}");
    }
    let hidden = |command: &str, option: &str| {
        let (short, long) = (help(command, "-h"), help(command, "--help"));
        !options(&short).contains(&option) && options(&long).contains(&option)
    };
    assert!(
        hidden("image", "--kernel-width") && hidden("table", "--discretizer") && hidden("text", "--mask")
    );
    assert!(!hidden("image", "--method"));
}
