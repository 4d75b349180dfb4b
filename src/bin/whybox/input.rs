//! Arguments that several commands share, and what they stand for.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use whybox::device::{Precision, RunOptions};
use whybox::{Device, Error, Result};

use crate::interrupt::Interrupt;

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// The GPU if there is one, else the processor
    Best,
    /// A GPU, a software one if there is no other
    Gpu,
    /// The processor
    Cpu,
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    /// Four bytes a number
    F32,
    /// Two bytes a number (GPU only); an explanation says how far it is from f32's
    F16,
}

/// Where, how and within which memory to run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Where to run
    #[arg(long, value_enum, default_value = "best", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// How weights and activations are stored
    #[arg(long, value_enum, default_value = "f32", value_name = "PRECISION", hide_short_help = true)]
    pub precision: PrecisionChoice,
    /// Cap on the memory of activations, for example 512MiB or 2GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    pub memory: Option<u64>,
}

impl RunArgs {
    /// The device asked for.
    pub fn device(&self) -> Result<Device> {
        let device = match self.device {
            DeviceChoice::Best => Device::best(),
            DeviceChoice::Gpu => Device::gpu()?,
            DeviceChoice::Cpu => Device::cpu(),
        };
        match self.precision {
            PrecisionChoice::F32 => Ok(device),
            PrecisionChoice::F16 => device.with_precision(Precision::F16),
        }
    }

    /// The options of a run.
    pub fn options(&self) -> RunOptions {
        RunOptions { memory_bytes: self.memory, ..RunOptions::default() }
    }

    /// The options of a run that Ctrl-C ends.
    pub fn options_until(&self, interrupt: &Interrupt) -> RunOptions {
        RunOptions { cancel: interrupt.cancel.clone(), ..self.options() }
    }
}

/// `4096`, `512k`, `512MiB`, `2G`: units are powers of 1,024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        other => return Err(format!("unit {other:?} is not known; write for example 512MiB or 2GiB")),
    };
    let value: f64 = number.parse().map_err(|_| "write for example 512MiB or 2GiB".to_owned())?;
    let bytes = value * factor as f64;
    if bytes < 1.0 {
        return Err("the size has to be above zero".into());
    }
    Ok(bytes as u64)
}

/// Names of a network's outputs, one a line. `n02123045 tabby, tabby cat` loses its WordNet number.
pub fn read_labels(path: &Path, outputs: usize) -> Result<Vec<String>> {
    let at = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| Error::io(format!("the labels cannot be read: {error}"), &at, "check the path"))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::parameter("the labels are no UTF-8 text", &at, "give one label a line, in UTF-8")
    })?;
    let labels = parse_labels(&text);
    if let Some(line) = labels.iter().position(String::is_empty) {
        return Err(Error::parameter(
            format!("line {} is empty", line + 1),
            at,
            "give one label a line, in the order of the outputs",
        ));
    }
    if labels.len() != outputs {
        return Err(Error::parameter(
            format!("{} labels, but the network has {outputs} outputs", labels.len()),
            at,
            "give one label a line, in the order of the network's outputs (with --explain NODE leave --labels out)",
        ));
    }
    Ok(labels)
}

/// The lines of a label file; empty lines at the end do not count.
pub fn parse_labels(text: &str) -> Vec<String> {
    let is_synset = |word: &str| {
        word.len() == 9 && word.starts_with('n') && word[1..].bytes().all(|byte| byte.is_ascii_digit())
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end()
        .lines()
        .map(|line| match line.trim().split_once(char::is_whitespace) {
            Some((first, rest)) if is_synset(first) => rest.trim().to_owned(),
            _ => line.trim().to_owned(),
        })
        .collect()
}

/// The output that `wanted` names: its number, its label, or one of a label's comma-separated names.
pub fn find_class(wanted: &str, labels: Option<&[String]>, outputs: usize) -> Result<usize> {
    if let Ok(index) = wanted.parse::<usize>() {
        let called = labels.and_then(|labels| labels.iter().position(|label| label == wanted));
        if let Some(other) = called.filter(|&other| other != index) {
            return Err(Error::parameter(
                format!("{wanted} is the number of one output and the label of output {other}"),
                format!("--class {wanted}"),
                "leave --labels out to name outputs by number, or choose other labels",
            ));
        }
        if index < outputs {
            return Ok(index);
        }
        return Err(Error::parameter(
            format!("there is no output {index}"),
            format!("--class {wanted}"),
            format!("the network has the outputs 0 to {}", outputs.saturating_sub(1)),
        ));
    }
    let matches: Vec<usize> = (0..outputs)
        .filter(|&index| {
            labels.and_then(|labels| labels.get(index)).is_some_and(|label| {
                label.eq_ignore_ascii_case(wanted)
                    || label.split(',').any(|name| name.trim().eq_ignore_ascii_case(wanted))
            })
        })
        .collect();
    match matches[..] {
        [index] => Ok(index),
        [] => Err(Error::parameter(
            format!("no output is called {wanted:?}"),
            format!("--class {wanted}"),
            "give a label (--labels FILE names them) or an output's number",
        )),
        _ => Err(Error::parameter(
            format!("{} outputs are called {wanted:?}: {matches:?}", matches.len()),
            format!("--class {wanted}"),
            "give the output's number",
        )),
    }
}

/// A path as an argument of a shell command.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%#".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('#') {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The folder where results go if none is named.
pub fn default_out() -> PathBuf {
    PathBuf::from("whybox-out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("1.5g"), Ok(3 << 29));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert!(parse_size("0").is_err() && parse_size("12 parsecs").is_err() && parse_size("MiB").is_err());
    }

    #[test]
    fn classes_are_found_by_number_label_or_one_of_its_names() {
        let labels = parse_labels("n02123045 tabby, tabby cat\nlynx, catamount\ncrane\ncrane\n\n");
        assert_eq!(labels[0], "tabby, tabby cat");
        assert_eq!(labels.len(), 4);
        assert_eq!(find_class("Catamount", Some(&labels), 4).unwrap(), 1);
        assert_eq!(find_class("3", Some(&labels), 4).unwrap(), 3);
        assert!(find_class("crane", Some(&labels), 4).unwrap_err().to_string().contains("2 outputs"));
        assert!(find_class("4", Some(&labels), 4).is_err() && find_class("dog", None, 4).is_err());
    }
}
