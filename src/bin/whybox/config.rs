//! Options from a TOML file: what the command line says wins.
//!
//! Keys are the long options' names. Keys at the top of the file hold for every command that has the option, those of a
//! table `[image]` for `whybox image`. A list repeats an option, `true` sets a flag, `false` leaves it out.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, Command};
use whybox::{Error, Result};

/// The command line with the file's options put before it, if `--config FILE` is among the arguments.
pub fn arguments(cli: &Command, given: Vec<OsString>) -> Result<Vec<OsString>> {
    let Some(path) = config_path(&given) else { return Ok(given) };
    let Some((at, command)) = given
        .iter()
        .enumerate()
        .skip(1)
        .find_map(|(at, word)| cli.find_subcommand(word.to_str()?).map(|command| (at, command)))
    else {
        return Ok(given);
    };
    let mut all = given[..=at].to_vec();
    all.extend(options(cli, command, Path::new(&path), &given[at + 1..])?);
    all.extend_from_slice(&given[at + 1..]);
    Ok(all)
}

fn config_path(given: &[OsString]) -> Option<OsString> {
    let at = given.iter().position(|word| word.to_str().is_some_and(|word| word.starts_with("--config")))?;
    match given[at].to_str()?.strip_prefix("--config") {
        Some("") => given.get(at + 1).cloned(),
        Some(rest) => rest.strip_prefix('=').map(OsString::from),
        None => None,
    }
}

/// The file's options for `command` that the command line does not give itself.
fn options(cli: &Command, command: &Command, path: &Path, given: &[OsString]) -> Result<Vec<OsString>> {
    let at = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::io(format!("the configuration cannot be read: {error}"), &at, "check the path")
    })?;
    let table: toml::Table = text.parse().map_err(|error| {
        Error::parameter(format!("the configuration is no TOML: {error}"), &at, "correct that line")
    })?;
    let mut words = Vec::new();
    for (key, value) in &table {
        if let toml::Value::Table(section) = value {
            if cli.find_subcommand(key).is_none() {
                return Err(unknown(&at, &format!("[{key}]"), "there is no command of this name"));
            }
            if key == command.get_name() {
                for (key, value) in section {
                    let spelling = format!("{key} in [{}]", command.get_name());
                    words.extend(option(command, &at, &spelling, key, value, given)?);
                }
            }
        } else if long(command, key).is_some() {
            // A command's own table says it more precisely.
            let own = table.get(command.get_name()).and_then(|own| own.get(key));
            if own.is_none() {
                words.extend(option(command, &at, key, key, value, given)?);
            }
        } else if !cli.get_subcommands().any(|other| long(other, key).is_some()) {
            return Err(unknown(&at, key, "no command has an option of this name"));
        }
    }
    Ok(words)
}

fn long<'a>(command: &'a Command, name: &str) -> Option<&'a clap::Arg> {
    command.get_arguments().find(|argument| argument.get_long() == Some(name) && name != "config")
}

fn unknown(file: &str, key: &str, why: &str) -> Error {
    Error::parameter(format!("{key}: {why}"), file, "`whybox COMMAND --help` lists the options")
}

/// One option as words of a command line.
fn option(
    command: &Command,
    file: &str,
    spelling: &str,
    key: &str,
    value: &toml::Value,
    given: &[OsString],
) -> Result<Vec<OsString>> {
    let Some(argument) = long(command, key) else {
        let why = format!("`whybox {}` has no option of this name", command.get_name());
        return Err(unknown(file, spelling, &why));
    };
    let flag = format!("--{key}");
    let said = |word: &OsString| {
        let word = word.to_string_lossy();
        word == flag.as_str() || word.starts_with(&format!("{flag}="))
    };
    if given.iter().any(said) {
        return Ok(Vec::new());
    }
    let bad = |what: &str| Error::parameter(format!("{spelling}: {what}"), file, "correct that line");
    let word = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(OsString::from(format!("{flag}={text}"))),
        toml::Value::Integer(number) => Ok(OsString::from(format!("{flag}={number}"))),
        toml::Value::Float(number) => Ok(OsString::from(format!("{flag}={number}"))),
        other => Err(bad(&format!("a {} is no value of an option", other.type_str()))),
    };
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    match (value, takes_value) {
        (toml::Value::Boolean(true), false) => Ok(vec![flag.into()]),
        (toml::Value::Boolean(false), false) => Ok(Vec::new()),
        (_, false) => Err(bad("this is a flag: write true or false")),
        (toml::Value::Array(values), true) if matches!(argument.get_action(), ArgAction::Append) => {
            values.iter().map(word).collect()
        }
        (value, true) => Ok(vec![word(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    fn cli() -> Command {
        let value = |name: &'static str| Arg::new(name).long(name);
        let image = Command::new("image")
            .arg(value("seed"))
            .arg(value("class").action(ArgAction::Append))
            .arg(value("json").action(ArgAction::SetTrue));
        Command::new("whybox").subcommand(image).subcommand(Command::new("table").arg(value("rows")))
    }

    fn read(text: &str, command_line: &[&str]) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("it can be written");
        let mut given: Vec<OsString> = command_line.iter().map(OsString::from).collect();
        given.push(format!("--config={}", file.path().display()).into());
        let all = arguments(&cli(), given)?;
        Ok(all[..all.len() - 1].iter().map(|word| word.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn the_file_comes_first_and_the_command_line_wins() {
        let text = "seed = 3\nrows = 'all'\n[image]\njson = true\nclass = ['a', 'b']\n";
        let found = read(text, &["whybox", "image", "x.png"]).expect("a good file");
        assert_eq!(found, ["whybox", "image", "--class=a", "--class=b", "--json", "--seed=3", "x.png"]);
        let found = read(text, &["whybox", "image", "--seed", "7", "--class=c"]).expect("a good file");
        assert_eq!(found, ["whybox", "image", "--json", "--seed", "7", "--class=c"]);
        let found = read(text, &["whybox", "table"]).expect("a good file");
        assert_eq!(found, ["whybox", "table", "--rows=all"]);
        let own = read("seed = 3\n[image]\nseed = 4\n", &["whybox", "image"]).expect("a good file");
        assert_eq!(own, ["whybox", "image", "--seed=4"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("sed = 3", "sed"),
            ("[imag]\nseed = 3", "[imag]"),
            ("[image]\nrows = 3", "rows in [image]"),
            ("[image]\njson = 3", "json in [image]"),
            ("[image]\nseed = [1]", "seed in [image]"),
            ("seed = ", "TOML"),
        ] {
            let error = read(text, &["whybox", "image"]).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let given = ["whybox", "image", "--config", "/nowhere.toml"].map(OsString::from).to_vec();
        assert!(matches!(arguments(&cli(), given), Err(Error::Io(_))));
    }
}
