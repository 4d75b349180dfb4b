//! `whybox inspect --sharing`: what early layers have in common under segment masks.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use whybox::Result;
use whybox::device::RunOptions;
use whybox::device::cpu::{Cpu, StepSharing};
use whybox::model::Model;
use whybox::perturb::picture::{Picture, PictureShape, Preprocess, open_photo};
use whybox::perturb::segment::Segmentation;
use whybox::perturb::{Perturbation, Sampling, Segments, lime_coalitions};
use whybox::plan::{Plan, human_bytes};

/// Memory that the engine takes if none is asked for.
const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;

/// What to share between.
#[derive(Debug, Args)]
pub struct SharingArgs {
    /// Show what early layers save on this photo, by layer: samples whose segments agree locally share their columns
    #[arg(long, value_name = "PHOTO")]
    sharing: Option<PathBuf>,
    /// How --sharing cuts the photo
    #[arg(long, default_value_t, requires = "sharing", value_name = "METHOD")]
    segments: Segmentation,
    /// How many of LIME's samples --sharing draws
    #[arg(long, default_value_t = 1000, requires = "sharing", value_name = "N")]
    samples: usize,
}

/// The table, if it is asked for.
pub fn describe(args: &SharingArgs, model: &Model, memory: Option<u64>) -> Result<Option<String>> {
    let Some(photo) = &args.sharing else { return Ok(None) };
    let shape = PictureShape::of(model.input_shape())?;
    // Which columns are distinct does not depend on the pixels' values, only on where the picture is cut to.
    let preprocess =
        Preprocess::preset("imagenet").unwrap_or_else(|| unreachable!("a preset of this name exists"));
    let picture = Picture::new(open_photo(photo)?, &shape, &preprocess)?;
    let map = args.segments.segment(&picture.pixels(), 0)?;
    let instance = preprocess.apply(picture.pixels(), &shape);
    let coalitions = Arc::new(lime_coalitions(map.count(), args.samples, 0, Sampling::default())?);
    let players = map.count();
    let perturbation = Segments::new(instance.clone(), instance, map, shape.order, coalitions)?;
    let plan = Arc::new(Plan::new(model)?);
    let memory = memory.unwrap_or(DEFAULT_MEMORY_BYTES);
    let network = Cpu::new().load(plan.clone())?;
    let expander = perturbation.bind(&plan.input_layout)?;
    let options = RunOptions { memory_bytes: Some(memory), ..RunOptions::default() };
    let found = network.sharing(expander.as_ref(), args.samples, &options)?;
    Ok(Some(match found {
        None => {
            "sharing              not possible: the first layer cannot be followed pixel by pixel\n".into()
        }
        Some((block, steps)) => table(&plan, players, args.samples, block, &steps, memory),
    }))
}

fn table(
    plan: &Plan,
    players: usize,
    samples: usize,
    block: usize,
    steps: &[StepSharing],
    memory: u64,
) -> String {
    let mut text = format!(
        "\nsharing between {samples} samples of {players} segments\n\n{:>12}  {:>9}  {:>12}  {:<6}  nodes\n",
        "columns", "of dense", "MFLOP kept", "form"
    );
    for step in steps {
        let form = if step.shared { "shared" } else { "dense" };
        let kept = if step.shared { step.kept() } else { 1.0 };
        text += &format!(
            "{:>12}  {:>9.4}  {:>12.1}  {form:<6}  {}\n",
            step.columns,
            step.kept(),
            2e-6 * kept * step.macs as f64,
            step.step
        );
    }
    let all = plan.macs() as f64 * block as f64;
    let saved: f64 =
        steps.iter().filter(|step| step.shared).map(|step| (1.0 - step.kept()) * step.macs as f64).sum();
    let count = steps.iter().filter(|step| step.shared).count();
    text += &format!(
        "\nsteps over columns   {count} of {}\nmultiply-adds saved  {:.1} %\n",
        plan.steps.len(),
        100.0 * saved / all.max(1.0)
    );
    if block < samples {
        text += &format!(
            "samples that share   {block} at a time: more do not fit within {}\n",
            human_bytes(memory)
        );
    }
    text
}
