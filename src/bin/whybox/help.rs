//! What helps share: the short form (`-h`) fits a screen and says where the rest is.

/// The end of a command's short help, after which come no further options.
pub fn short(examples: &str) -> String {
    format!("{examples}\n\nThese are the common options: --help shows all of them.")
}
