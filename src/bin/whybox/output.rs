//! Writing to standard output.

use std::io::{ErrorKind, IsTerminal, Write};

use whybox::report::BlockColours;
use whybox::{Error, Result};

/// Writes text to standard output. A reader that has gone away (`| head`) ends the program quietly.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Error::io(
            format!("standard output cannot be written: {error}"),
            "standard output",
            "free some space, or write elsewhere",
        )),
    }
}

/// Whether standard output wants colours.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How a picture can be shown on standard output, if it can: a terminal that says so.
pub fn picture_colours() -> Option<BlockColours> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    colour().then(|| colours_of(&variable("COLORTERM"), &variable("TERM"))).flatten()
}

fn colours_of(colorterm: &str, term: &str) -> Option<BlockColours> {
    if term == "dumb" {
        None
    } else if matches!(colorterm, "truecolor" | "24bit") || term.ends_with("-direct") {
        Some(BlockColours::True)
    } else {
        term.contains("256color").then_some(BlockColours::Palette)
    }
}

/// Lines of the terminal; 24 where there is none.
pub fn height() -> usize {
    terminal_size::terminal_size().map_or(24, |(_, height)| height.0.into())
}

/// Columns of the terminal; 80 where there is none.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into())).unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_says_what_it_can_show() {
        for (colorterm, term, expected) in [
            ("truecolor", "xterm-256color", Some(BlockColours::True)),
            ("24bit", "tmux", Some(BlockColours::True)),
            ("", "xterm-direct", Some(BlockColours::True)),
            ("", "screen-256color", Some(BlockColours::Palette)),
            ("", "xterm", None),
            ("", "", None),
            ("truecolor", "dumb", None),
        ] {
            assert_eq!(colours_of(colorterm, term), expected, "{colorterm} {term}");
        }
    }
}
