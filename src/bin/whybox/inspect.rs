//! `whybox inspect`

use std::path::PathBuf;

use clap::Args;
use whybox::model::{Model, onnx};
use whybox::plan::{Kernel, Needs, Plan, Schedule, human_bytes};
use whybox::{Error, Result};

use crate::input::parse_size;
use crate::inspect_sharing::{self, SharingArgs};
use crate::output::say;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The network's ONNX file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Cap on the memory of activations, to show how many samples fit
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "1GiB")]
    memory: u64,
    #[command(flatten)]
    sharing: SharingArgs,
}

pub fn run(args: &InspectArgs) -> Result<()> {
    let model = match Model::from_onnx(&args.model) {
        Ok(model) => model,
        Err(error @ Error::Unsupported(_)) => {
            let missing = onnx::unsupported_nodes(&args.model)?;
            if !missing.is_empty() {
                say(&format!("not supported:\n  {}\n", missing.join("\n  ")))?;
            }
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let plan = Plan::new(&model)?;
    let needs = Needs { fixed_bytes: 0, sample_bytes: 4 * plan.activation_elements() as u64 };
    let schedule = Schedule::new(&plan, usize::MAX, None, needs, args.memory, usize::MAX);
    let samples = schedule.map_or(0, |schedule| schedule.chunk_rows);
    let text = describe(&model, &plan);
    let sharing = inspect_sharing::describe(&args.sharing, &model, plan, args.memory)?.unwrap_or_default();
    say(&format!("{text}samples per chunk    about {samples} within {}\n{sharing}", human_bytes(args.memory)))
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
                step.kernel
                    .weights()
                    .iter()
                    .map(|&id| plan.weights[id].data.len())
                    .sum::<usize>()
                    .to_string(),
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
    for row in std::iter::once(&heads).chain(&rows) {
        let [operator, output, parameters, flop, nodes] = row;
        let line = format!(
            "{operator:<0$}  {output:<1$}  {parameters:>2$}  {flop:>3$}  {nodes}",
            widths[0], widths[1], widths[2], widths[3]
        );
        text += &format!("{}\n", line.trim_end());
    }
    text += &format!(
        "\nparameters           {}\nMFLOP per sample     {:.3}\nactivations          {} per sample in {} shared buffers\nfirst layer          {}\n",
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
