//! `whybox bench`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use whybox::bench::{Measurement, Workload, peak_gflops};
use whybox::model::Model;
use whybox::perturb::picture::{PictureShape, Preprocess};
use whybox::{Error, Result};

use crate::help;
use crate::input::RunArgs;
use crate::output::say;

const EXAMPLES: &str = "\
Examples:
  whybox bench
  whybox bench --device cpu --samples 200 --json
  whybox bench --only table
  whybox bench --model net.onnx --preprocess imagenet

The peak is what this device reaches on large matrix products. Work is counted as plain convolutions do it, so fast
algorithms may pass 100 %.";

#[derive(Debug, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
pub struct BenchArgs {
    /// Time this network alone, instead of the standard ones
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    /// Only the workloads with this in their names, such as table, LIME or resnet18
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How the network wants its pictures
    #[arg(long, value_name = "NAME[,…]", requires = "model")]
    preprocess: Option<Preprocess>,
    /// Evaluations of each explained photo
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,
    /// Seconds to spend on each workload, at least (three runs are made in any case)
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
    #[command(flatten)]
    run: RunArgs,
    /// Print a JSON document instead of the table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &BenchArgs) -> Result<()> {
    let device = args.run.device()?;
    let mut workloads = match &args.model {
        None => Workload::standard(args.samples, &args.run.options())?,
        Some(path) => args.own(Model::from_onnx(path)?)?,
    };
    if let Some(text) = &args.only {
        let wanted = text.to_lowercase();
        let names: Vec<String> = workloads.iter().map(|workload| workload.name.clone()).collect();
        workloads.retain(|workload| workload.name.to_lowercase().contains(&wanted));
        if workloads.is_empty() {
            return Err(Error::parameter(
                "no workload has this in its name",
                format!("--only {text}"),
                format!("choose from: {}", names.join("; ")),
            ));
        }
    }
    let peak = peak_gflops(&device, args.seconds.min(1.0))?;
    if !args.json {
        let text = format!("{}: {peak:.0} GFLOP/s on matrix products\n\n{}\n", device.name(), heading());
        say(&text)?;
    }
    let mut measured = Vec::new();
    for workload in &workloads {
        let result = workload.measure(&device, args.seconds)?;
        if !args.json {
            say(&format!("{}\n", line(&result, peak)))?;
        }
        measured.push(result);
    }
    if args.json {
        let document = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": device.name(),
            "peak_gflops": peak,
            "workloads": measured.iter().map(|m| json!({
                "name": m.workload,
                "seconds": m.seconds,
                "runs": m.runs,
                "evaluations": m.evaluations,
                "evaluations_per_second": m.rate(),
                "explanations_per_second": 1.0 / m.seconds,
                "mflop_per_evaluation": 2e-6 * m.macs as f64,
                "gflops": m.gflops(),
                "share_of_peak": m.gflops() / peak,
            })).collect::<Vec<_>>(),
        });
        say(&format!("{document:#}\n"))?;
    }
    Ok(())
}

impl BenchArgs {
    /// The workloads for a network of the user's.
    fn own(&self, model: Model) -> Result<Vec<Workload>> {
        let forward = Workload::forward(model.clone(), 64);
        let Ok(shape) = PictureShape::of(model.input_shape()) else { return Ok(vec![forward]) };
        let preprocess = match self.preprocess {
            Some(given) => given,
            None => if shape.channels == 3 { "imagenet" } else { "unit" }.parse()?,
        };
        if model.output_shape().iter().filter(|&&length| length > 1).count() > 1 {
            return Ok(vec![forward]);
        }
        let photo = Workload::lime_photo(model, preprocess, self.samples, self.run.options())?;
        Ok(vec![photo, forward])
    }
}

fn heading() -> String {
    format!(
        "{:<44} {:>10} {:>10} {:>12} {:>9} {:>7}",
        "workload", "seconds", "runs/s", "evals/s", "GFLOP/s", "of peak"
    )
}

fn line(result: &Measurement, peak: f64) -> String {
    format!(
        "{:<44} {:>10.5} {:>10.3} {:>12.0} {:>9.1} {:>6.0}%",
        result.workload,
        result.seconds,
        1.0 / result.seconds,
        result.rate(),
        result.gflops(),
        100.0 * result.gflops() / peak
    )
}
