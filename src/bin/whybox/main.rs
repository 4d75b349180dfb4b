//! The command line: parse, call the library, report.

mod devices;
mod image;
mod input;
mod inspect;
mod inspect_sharing;
mod output;
mod predict;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Ask a black box why: explain what a CNN or MLP sees, on any GPU or on the CPU.
#[derive(Parser)]
#[command(name = "whybox", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  whybox image                                           the built-in photo and network
  whybox image cat.jpg --model net.onnx --labels names.txt --preprocess imagenet
  whybox predict --model net.onnx --input x.npy --out y.npy
  whybox inspect net.onnx
  whybox devices

Exit codes: 0 good, 2 wrong usage, 1 anything else.";

#[derive(Subcommand)]
enum Command {
    /// Explain what a network sees in a photo
    Image(Box<image::ImageArgs>),
    /// Write a network's raw outputs for a batch of inputs
    Predict(predict::PredictArgs),
    /// Show a network's graph after folding, and what is fused
    Inspect(inspect::InspectArgs),
    /// List the GPUs and the processor, and which one `best` takes
    Devices,
}

fn main() -> ExitCode {
    quiet_mesa();
    let result = match Cli::parse().command {
        Command::Image(args) => image::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Devices => devices::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
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
