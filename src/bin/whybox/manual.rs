//! `whybox completions` and `whybox man`

use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use whybox::{Error, Result};

use crate::output::say;

/// Prints the completions of a shell.
pub fn completions(mut cli: Command, shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli, "whybox", &mut script);
    say(&String::from_utf8_lossy(&script))
}

/// Prints the manual page of the program, or writes it and those of its commands into a folder.
pub fn man(cli: Command, folder: Option<&Path>) -> Result<()> {
    let cli = cli.disable_help_subcommand(true);
    let failed = |error: std::io::Error| {
        Error::io(format!("the manual cannot be written: {error}"), "whybox man", "choose another folder")
    };
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(cli).render(&mut page).map_err(failed)?;
        return say(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(cli, folder).map_err(failed)?;
    say(&format!("wrote whybox.1 and a page for each command into {}\n", folder.display()))
}
