//! `whybox inspect`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use whybox::model::{Model, onnx};
use whybox::plan::{Kernel, Plan, Step, human_bytes};
use whybox::{Error, Network, Result};

use crate::input::RunArgs;
use crate::inspect_sharing::{self, SharingArgs};
use crate::output::{say, width};

/// Rows of a run that is long enough for the chunk to be as large as it gets.
const LONG_RUN: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(after_long_help = COLUMNS)]
pub struct InspectArgs {
    /// The network's ONNX file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Write a JSON document instead of a table
    #[arg(long)]
    json: bool,
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
  nodes        the file's nodes that the step stands for; --explain takes these names";

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
    if args.json {
        // A cap that is too small is the caller's to know, a document has no place for it.
        let document = document(&model, &network, chunk_rows?);
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
    say(&format!("{}samples per chunk    {chunk}\n{sharing}", describe(&model, network.plan())))
}

/// Trained numbers that a step reads.
fn parameters(plan: &Plan, step: &Step) -> usize {
    step.kernel.weights().iter().map(|&id| plan.weights[id].data.len()).sum()
}

fn document(model: &Model, network: &Network, chunk_rows: usize) -> serde_json::Value {
    let plan = network.plan();
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "operator": operator(&step.kernel),
                "output": step.kernel.output_shape(),
                "parameters": parameters(plan, step),
                "mflop": 2e-6 * step.macs as f64,
                "nodes": step.name.split(" + ").collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
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
    })
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
fn describe(model: &Model, plan: &Plan) -> String {
    let mut text = format!(
        "{}: input {:?}{}, output {:?}\n\n",
        model.name(),
        model.input_shape(),
        if plan.input_layout.channels_last { " (stored channels last)" } else { "" },
        model.output_shape()
    );
    let rows: Vec<[String; 5]> = plan
        .steps
        .iter()
        .map(|step| {
            [
                operator(&step.kernel),
                step.kernel.output_shape().iter().map(usize::to_string).collect::<Vec<_>>().join("×"),
                parameters(plan, step).to_string(),
                format!("{:.3}", 2.0 * step.macs as f64 / 1e6),
                step.name.clone(),
            ]
        })
        .collect();
    let heads = ["operator", "output", "parameters", "MFLOP", "nodes (fused by +)"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // What the terminal leaves for the names, each column being followed by two spaces.
    let room = width().saturating_sub(widths[..4].iter().sum::<usize>() + 8).max(12);
    for row in std::iter::once(&heads).chain(&rows) {
        let [operator, output, parameters, flop, nodes] = row;
        let line = format!(
            "{operator:<0$}  {output:<1$}  {parameters:>2$}  {flop:>3$}  {nodes}",
            widths[0],
            widths[1],
            widths[2],
            widths[3],
            nodes = shortened(nodes, room)
        );
        text += &format!("{}\n", line.trim_end());
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
