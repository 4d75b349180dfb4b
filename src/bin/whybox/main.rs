//! The command line: parse, call the library, report.

mod bench;
mod config;
mod devices;
mod evaluate;
mod evaluate_methods;
mod evaluate_photos;
mod evaluate_table;
mod help;
mod image;
mod image_method;
mod image_subject;
mod input;
mod inspect;
mod inspect_sharing;
mod interrupt;
mod lime;
mod manual;
mod method;
mod output;
mod plot;
mod precision;
mod predict;
mod progress;
mod table;
mod table_methods;
mod text;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Ask a black box why: explain what a CNN or MLP sees, on any GPU or on the CPU.
#[derive(Parser)]
#[command(name = "whybox", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Options from a TOML file; what the command line says wins
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<std::path::PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  whybox image                                           the built-in photo and network
  whybox image cat.jpg --model net.onnx --labels names.txt --preprocess imagenet
  whybox table                                           the built-in table and network
  whybox table people.csv --model net.onnx --target income --rows 3,10-20
  whybox text 'a good film' --model net.onnx --vocabulary words.txt
  whybox evaluate photos --model net.onnx --preprocess imagenet
  whybox predict --model net.onnx --input x.npy --out y.npy
  whybox inspect net.onnx
  whybox plot whybox-out/explanation.json --kind waterfall --out why.svg
  whybox devices

Exit codes: 0 good, 2 wrong usage, 130 interrupted, 1 anything else.";

#[derive(Subcommand)]
enum Command {
    /// Explain what a network sees in a photo
    Image(Box<image::ImageArgs>),
    /// Explain what a network makes of rows of a table
    Table(Box<table::TableArgs>),
    /// Explain what a network makes of a text
    Text(Box<text::TextArgs>),
    /// Compare explanation methods by how faithful, stable and concise they are
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Write a network's raw outputs for a batch of inputs
    Predict(predict::PredictArgs),
    /// Show a network's graph after folding, and what is fused
    Inspect(inspect::InspectArgs),
    /// Measure explanations a second on this machine
    Bench(bench::BenchArgs),
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  whybox completions bash > ~/.local/share/bash-completion/completions/whybox
  whybox completions zsh > _whybox")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one a command into a folder
    #[command(after_help = "\
Examples:
  whybox man | man -l -
  whybox man --out ~/.local/share/man/man1")]
    Man {
        /// Folder for whybox.1, whybox-image.1, …
        #[arg(long, value_name = "DIR")]
        out: Option<std::path::PathBuf>,
    },
    /// Draw an explanation as SVG or PNG
    Plot(plot::PlotArgs),
    /// List the GPUs and the processor, and which one `best` takes
    #[command(after_help = "Example:\n  whybox devices")]
    Devices,
}

fn main() -> ExitCode {
    quiet_mesa();
    let command_line = config::arguments(&Cli::command(), std::env::args_os().collect());
    let parsed = command_line.map(Cli::parse_from);
    let result = parsed.and_then(|cli| match cli.command {
        Command::Image(args) => image::run(&args),
        Command::Table(args) => table::run(&args),
        Command::Text(args) => text::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions { shell } => manual::completions(Cli::command(), shell),
        Command::Man { out } => manual::man(Cli::command(), out.as_deref()),
        Command::Plot(args) => plot::run(&args),
        Command::Devices => devices::run(),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(whybox::Error::Interrupted(_)) => {
            eprintln!("error: interrupted");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Mesa's device-selection layer asks the window system which GPU it prefers, and on a machine without one
/// complains on standard error. whybox chooses by itself and draws in no window.
fn quiet_mesa() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread runs yet, so nothing reads the environment at the same time.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
