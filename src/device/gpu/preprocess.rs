//! `#import` and `#ifdef` for WGSL.
//!
//! ```text
//! #import name        the text of shaders/shared/name.wgsl, once
//! #ifdef NAME         the lines up to #else or #endif if NAME is defined
//! #ifndef NAME        if it is not
//! #else
//! #endif
//! ```
//!
//! A directive stands alone on its line and begins with `#`, which WGSL itself never uses.

use std::fmt;

/// A directive that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreprocessError {
    /// Name of the file.
    file: String,
    /// Line in that file, from 1.
    line: usize,
    /// What is wrong.
    what: String,
}

impl fmt::Display for PreprocessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Resolves the directives of `text`, the content of `file`; `library` gives the text of an import.
pub(crate) fn preprocess(
    file: &str,
    text: &str,
    defines: &[&str],
    library: impl Fn(&str) -> Option<&'static str>,
) -> Result<String, PreprocessError> {
    let mut run = Run { defines, library, imported: Vec::new(), out: String::new() };
    run.file(file, text)?;
    Ok(run.out)
}

struct Run<'a, L> {
    defines: &'a [&'a str],
    library: L,
    /// Files that are already in `out`.
    imported: Vec<String>,
    out: String,
}

/// An open `#ifdef`.
struct Branch {
    line: usize,
    /// Whether the lines are kept, as far as this branch decides.
    kept: bool,
    seen_else: bool,
}

impl<L: Fn(&str) -> Option<&'static str>> Run<'_, L> {
    fn file(&mut self, file: &str, text: &str) -> Result<(), PreprocessError> {
        let mut branches: Vec<Branch> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let error = |what: String| PreprocessError { file: file.to_owned(), line: number, what };
            let kept = branches.iter().all(|branch| branch.kept);
            let Some(directive) = line.trim().strip_prefix('#') else {
                if kept {
                    self.out.push_str(line);
                    self.out.push('\n');
                }
                continue;
            };
            let words: Vec<&str> = directive.split_whitespace().collect();
            match words[..] {
                ["ifdef", name] => {
                    branches.push(Branch {
                        line: number,
                        kept: self.defines.contains(&name),
                        seen_else: false,
                    });
                }
                ["ifndef", name] => {
                    branches.push(Branch {
                        line: number,
                        kept: !self.defines.contains(&name),
                        seen_else: false,
                    });
                }
                ["else"] => match branches.last_mut() {
                    Some(branch) if !branch.seen_else => {
                        branch.kept = !branch.kept;
                        branch.seen_else = true;
                    }
                    Some(branch) => return Err(error(format!("second #else of line {}", branch.line))),
                    None => return Err(error("#else without #ifdef".to_owned())),
                },
                ["endif"] => {
                    branches.pop().ok_or_else(|| error("#endif without #ifdef".to_owned()))?;
                }
                ["import", name] if kept => {
                    if !self.imported.iter().any(|seen| seen == name) {
                        let text = (self.library)(name)
                            .ok_or_else(|| error(format!("there is no shared/{name}.wgsl")))?;
                        self.imported.push(name.to_owned());
                        self.file(&format!("shared/{name}.wgsl"), text)?;
                    }
                }
                ["import", _] => {}
                _ => return Err(error(format!("unknown directive `{}`", line.trim()))),
            }
        }
        match branches.last() {
            None => Ok(()),
            Some(open) => Err(PreprocessError {
                file: file.to_owned(),
                line: open.line,
                what: "#ifdef without #endif".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str) -> Option<&'static str> {
        match name {
            "leaf" => Some("leaf"),
            "branch" => Some("#import leaf\nbranch"),
            "broken" => Some("fine\n#ifdef A"),
            _ => None,
        }
    }

    #[test]
    fn keeps_what_is_defined() {
        let text = "a\n#ifdef A\nb\n#ifndef B\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf";
        let lines = |defines: &[&str]| preprocess("t", text, defines, library).unwrap().replace('\n', "");
        assert_eq!(lines(&[]), "aef");
        assert_eq!(lines(&["A"]), "abcf");
        assert_eq!(lines(&["A", "B"]), "abdf");
        assert_eq!(lines(&["B"]), "aef");
    }

    #[test]
    fn imports_once() {
        let text = "#import leaf\n#import branch\n#import branch\nend";
        assert_eq!(preprocess("t", text, &[], library).unwrap(), "leaf\nbranch\nend\n");
        let skipped = "#ifdef A\n#import missing\n#endif";
        assert_eq!(preprocess("t", skipped, &[], library).unwrap(), "");
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let cases = [
            ("x\n#else", "t:2: #else without #ifdef"),
            ("#endif", "t:1: #endif without #ifdef"),
            ("x\n#ifdef A\n#else\n#else\n#endif", "t:4: second #else of line 2"),
            ("x\n\n#ifdef A\n", "t:3: #ifdef without #endif"),
            ("#import missing", "t:1: there is no shared/missing.wgsl"),
            ("#import broken", "shared/broken.wgsl:2: #ifdef without #endif"),
            ("#define A", "t:1: unknown directive `#define A`"),
            ("#ifdef", "t:1: unknown directive `#ifdef`"),
        ];
        for (text, expected) in cases {
            let error = preprocess("t", text, &[], library).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text:?}");
        }
    }
}
