//! Writing to standard output.

use std::io::{ErrorKind, IsTerminal, Write};

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

/// Columns of the terminal; 80 where there is none.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into())).unwrap_or(80)
}
