//! `whybox inspect`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use whybox::device::{RunOptions, StepProfile};
use whybox::model::{Model, onnx};
use whybox::perturb::Rows;
use whybox::plan::{Kernel, Plan, Step, human_bytes};
use whybox::{Error, Network, Result};

use crate::help;
use crate::input::RunArgs;
use crate::inspect_sharing::{self, SharingArgs};
use crate::output::{say, width};

/// Rows of a run that is long enough for the chunk to be as large as it gets.
const LONG_RUN: usize = 1 << 20;

/// Columns that the nodes' names take at least; a profile goes without them where the terminal is narrower.
const LEAST_ROOM: usize = 18;

const EXAMPLES: &str = "\
Examples:
  whybox inspect net.onnx
  whybox inspect net.onnx --profile
  whybox inspect net.onnx --sharing cat.jpg --segments slic:n=100";

#[derive(Debug, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = format!("{EXAMPLES}\n\n{COLUMNS}"))]
pub struct InspectArgs {
    /// The network's ONNX file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Write a JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// Run ROWS samples and show the kernel, the time and the speed of each step
    #[arg(long, value_name = "ROWS", num_args = 0..=1, require_equals = true, default_missing_value = "32",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    profile: Option<u32>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    sharing: SharingArgs,
}

const COLUMNS: &str = "\
Each line is one step as the engines run it, after constants are folded and neighbours fused:
  operator     what runs, with what is fused into it (+Add, +Relu, ...)
  output       shape of one sample
  parameters   trained numbers of this step
  MFLOP        millions of operations for one sample; a multiply-add counts as two
  nodes        the file's nodes that the step stands for; --explain takes these names

With --profile, instead of parameters and MFLOP:
  kernel       what the engine runs the step on
  µs           processor time for one sample, or the GPU's
  GFLOP/s      of one thread, or of the GPU, as a plain convolution counts operations
  share        of the time of all steps";

pub fn run(args: &InspectArgs) -> Result<()> {
    let model = match Model::from_onnx(&args.model) {
        Ok(model) => model,
        Err(error @ Error::Unsupported(_)) => {
            let missing = onnx::unsupported_nodes(&args.model)?;
            if !missing.is_empty() && !args.json {
                say(&format!("not supported:\n  {}\n", missing.join("\n  ")))?;
            }
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let network = args.run.device()?.load(&model)?;
    let chunk_rows = network.chunk_rows(LONG_RUN, &args.run.options());
    let profile = args.profile.map(|rows| Profile::of(&network, rows as usize, &args.run.options()));
    let profile = profile.transpose()?;
    if args.json {
        // A cap that is too small is the caller's to know, a document has no place for it.
        let document = document(&model, &network, chunk_rows?, profile.as_ref());
        let text = serde_json::to_string_pretty(&document).map_err(|error| {
            Error::numeric(format!("the document cannot be written: {error}"), "--json", "leave out --json")
        })?;
        return say(&format!("{text}\n"));
    }
    let memory = args.run.memory.map_or("the default memory cap".to_owned(), human_bytes);
    let chunk = match &chunk_rows {
        Ok(rows) => format!("{rows} within {memory} on {}", network.device().name()),
        Err(error) => format!("none within {memory}: {}", error.detail().what),
    };
    let sharing = inspect_sharing::describe(&args.sharing, &model, args.run.memory)?.unwrap_or_default();
    let text = describe(&model, network.plan(), profile.as_ref());
    say(&format!("{text}samples per chunk    {chunk}\n{sharing}"))
}

/// What each step of a run cost.
struct Profile {
    steps: Vec<StepProfile>,
    rows: usize,
    /// Whether a GPU ran it.
    on_gpu: bool,
}

impl Profile {
    /// Runs `rows` rows of made-up numbers, once before to warm up.
    fn of(network: &Network, rows: usize, options: &RunOptions) -> Result<Self> {
        let layout = network.input();
        let number = |at: usize| match layout.vocabulary {
            Some(vocabulary) => (at % vocabulary) as f32,
            None => (at * 37 % 101) as f32 / 50.0 - 1.0,
        };
        let data: Vec<f32> = (0..rows * layout.len()).map(number).collect();
        let rows_of = Rows::new(&data, layout.len())?;
        network.profile(&rows_of, options)?;
        let steps = network.profile(&rows_of, options)?;
        Ok(Profile { steps, rows, on_gpu: network.device().is_gpu() })
    }

    fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }

    /// A step's part of the time of all.
    fn share(&self, step: &StepProfile) -> f64 {
        step.seconds / self.seconds().max(f64::MIN_POSITIVE)
    }

    fn gflops(&self) -> f64 {
        2e-9 * self.steps.iter().map(|step| step.macs as f64).sum::<f64>()
            / self.seconds().max(f64::MIN_POSITIVE)
    }
}

/// Trained numbers that a step reads.
fn parameters(plan: &Plan, step: &Step) -> usize {
    step.kernel.weights().iter().map(|&id| plan.weights[id].data.len()).sum()
}

fn document(
    model: &Model,
    network: &Network,
    chunk_rows: usize,
    profile: Option<&Profile>,
) -> serde_json::Value {
    let plan = network.plan();
    let steps: Vec<_> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let mut entry = json!({
                "operator": operator(&step.kernel),
                "output": step.kernel.output_shape(),
                "parameters": parameters(plan, step),
                "mflop": 2e-6 * step.macs as f64,
                "nodes": step.name.split(" + ").collect::<Vec<_>>(),
            });
            if let Some((profile, cost)) = profile.and_then(|all| Some((all, all.steps.get(at)?))) {
                entry["profile"] = json!({
                    "kernel": cost.kernel,
                    "seconds_per_sample": cost.seconds / profile.rows as f64,
                    "gflops": cost.gflops(),
                    "share": profile.share(cost),
                });
            }
            entry
        })
        .collect();
    let mut document = json!({
        "name": model.name(),
        "input": model.input_shape(),
        "output": model.output_shape(),
        "steps": steps,
        "parameters": model.parameters(),
        "mflop_per_sample": 2e-6 * plan.macs() as f64,
        "activation_bytes_per_sample": 4 * plan.activation_elements(),
        "first_layer_can_be_masked": plan.masked_first_layer().is_some(),
        "device": network.device().name(),
        "samples_per_chunk": chunk_rows,
    });
    if let Some(profile) = profile {
        document["profile"] = json!({
            "samples": profile.rows,
            "seconds_per_sample": profile.seconds() / profile.rows as f64,
            "gflops": profile.gflops(),
        });
    }
    document
}

/// `text` in at most `room` columns: its end is what tells nodes apart.
fn shortened(text: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length + 1 - room).collect();
    format!("…{end}")
}

/// The steps as a table, and the totals.
fn describe(model: &Model, plan: &Plan, profile: Option<&Profile>) -> String {
    let mut text = format!(
        "{}: input {:?}{}, output {:?}\n\n",
        model.name(),
        model.input_shape(),
        if plan.input_layout.channels_last { " (stored channels last)" } else { "" },
        model.output_shape()
    );
    let shape = |step: &Step| -> String {
        step.kernel.output_shape().iter().map(usize::to_string).collect::<Vec<_>>().join("×")
    };
    let count = |number: f64, step: &Step| if step.macs == 0 { "–".into() } else { format!("{number:.1}") };
    let (heads, rows): (Vec<&str>, Vec<Vec<String>>) = match profile {
        None => (
            vec!["operator", "output", "parameters", "MFLOP"],
            plan.steps
                .iter()
                .map(|step| {
                    let flop = format!("{:.3}", 2.0 * step.macs as f64 / 1e6);
                    vec![operator(&step.kernel), shape(step), parameters(plan, step).to_string(), flop]
                })
                .collect(),
        ),
        Some(profile) => (
            vec!["operator", "output", "kernel", "µs", "GFLOP/s", "share"],
            plan.steps
                .iter()
                .zip(&profile.steps)
                .map(|(step, cost)| {
                    vec![
                        operator(&step.kernel),
                        shape(step),
                        cost.kernel.to_owned(),
                        format!("{:.1}", 1e6 * cost.seconds / profile.rows as f64),
                        count(cost.gflops(), step),
                        format!("{:.1}%", 100.0 * profile.share(cost)),
                    ]
                })
                .collect(),
        ),
    };
    // Text to the left, numbers to the right; the names take what the terminal leaves, if that is worth it.
    let left = if profile.is_some() { 3 } else { 2 };
    let heads: Vec<String> = heads.into_iter().map(str::to_owned).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    let room = width().saturating_sub(widths.iter().map(|width| width + 2).sum());
    let room = if profile.is_some() { room } else { room.max(LEAST_ROOM) };
    let names = std::iter::once("nodes (fused by +)").chain(plan.steps.iter().map(|step| &*step.name));
    for (row, names) in std::iter::once(&heads).chain(&rows).zip(names) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line += &if column < left { format!("{cell:<width$}  ") } else { format!("{cell:>width$}  ") };
        }
        if room >= LEAST_ROOM {
            line += &shortened(names, room);
        }
        text += &format!("{}\n", line.trim_end());
    }
    if let Some(profile) = profile {
        let (clock, speed) =
            if profile.on_gpu { ("GPU time      ", "") } else { ("processor time", " for each thread") };
        text += &format!(
            "\n{clock}       {:.3} ms per sample, over {} samples\nspeed                {:.1} GFLOP/s{speed}\n",
            1e3 * profile.seconds() / profile.rows as f64,
            profile.rows,
            profile.gflops()
        );
    }
    text += &format!(
        "\nparameters           {}\nMFLOP per sample     {:.3} (a multiply-add counts as two)\nactivations          {} per sample in {} shared buffers\nfirst layer          {}\n",
        model.parameters(),
        2.0 * plan.macs() as f64 / 1e6,
        human_bytes(4 * plan.activation_elements() as u64),
        plan.buffers.len(),
        if plan.masked_first_layer().is_some() {
            "can read masked pictures itself"
        } else {
            "reads expanded inputs"
        },
    );
    text
}

/// Name of a step's kernel with what is fused into it.
fn operator(kernel: &Kernel) -> String {
    let mut name = match kernel {
        Kernel::Conv(conv) if conv.sliding.is_pointwise() && conv.sliding.output[0] == 1 => {
            "Linear".to_owned()
        }
        Kernel::Conv(conv) => {
            let [height, width] = conv.sliding.window.kernel;
            let stride = conv.sliding.window.stride[1];
            let groups = if conv.groups > 1 { format!(" g{}", conv.groups) } else { String::new() };
            format!("Conv {height}×{width}/{stride}{groups}")
        }
        Kernel::Pool(pool) => {
            let [height, width] = pool.sliding.window.kernel;
            let kind = if pool.kind == whybox::model::PoolKind::Max { "MaxPool" } else { "AveragePool" };
            format!("{kind} {height}×{width}/{}", pool.sliding.window.stride[1])
        }
        Kernel::Reduce(reduce) => format!("Reduce {:?}", reduce.kind),
        Kernel::Map(map) => {
            return if map.activation == whybox::model::Activation::Identity {
                "Copy".into()
            } else {
                map.activation.name().into()
            };
        }
        Kernel::Affine(_) => "Affine".into(),
        Kernel::Binary(binary) => binary.kind.name().into(),
        Kernel::Copy(_) => "Transpose".into(),
        Kernel::Fill(_) => "Constant".into(),
        Kernel::Select(_) => "Gather".into(),
        Kernel::Embedding(_) => "Embedding".into(),
        Kernel::MatMul(product) => format!("MatMul {}×{}×{}", product.m, product.k, product.n),
        Kernel::Normalize(normalize) => match (normalize.len, normalize.width) {
            (1, _) => "LayerNorm",
            (_, 1) => "InstanceNorm",
            _ => "GroupNorm",
        }
        .into(),
        Kernel::Lrn(_) => "LRN".into(),
        Kernel::Softmax(softmax) => if softmax.log { "LogSoftmax" } else { "Softmax" }.into(),
    };
    if matches!(kernel, Kernel::Conv(conv) if conv.residual) {
        name += "+Add";
    }
    match kernel.activation() {
        whybox::model::Activation::Identity => name,
        activation => format!("{name}+{}", activation.name()),
    }
}
