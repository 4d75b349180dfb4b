//! Whether the CPU engine picks the right convolution kernel: every kernel that can run a layer is timed in turn with the
//! engine's own choice, which has to be within [`SLACK`] of the best. Ends with status 1 where it is not.
//!
//! ```sh
//! cargo bench --bench selector
//! ```
//!
//! (The GPU engine's twin is `tests/gpu_selector.rs`.)

#[allow(dead_code, reason = "shared with tests")]
#[path = "../tests/common/plans.rs"]
mod plans;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use plans::{Draws, Making, Stored, sliding, square, whole};
use whybox::Result;
use whybox::device::RunOptions;
use whybox::device::cpu::{ConvKernel, Cpu, CpuNetwork};
use whybox::model::Activation;
use whybox::plan::{Kernel, Plan};

/// The choice may take this many times the best kernel's time.
const SLACK: f64 = 1.1;

/// Rounds in which the contenders take turns; the best of each counts.
const ROUNDS: usize = 9;

/// Multiply-adds of a run, about.
const RUN_MACS: u64 = 1 << 31;

const KERNELS: [ConvKernel; 4] =
    [ConvKernel::Depthwise, ConvKernel::Padded, ConvKernel::Direct, ConvKernel::Winograd];

/// Input channels, output channels, groups, side of the picture, side of the window, stride: layers of ResNet, VGG,
/// SqueezeNet, MobileNet, ResNeXt and of small networks.
const LAYERS: [[usize; 6]; 22] = [
    [3, 64, 1, 224, 7, 2],
    [3, 64, 1, 224, 3, 2],
    [3, 64, 1, 224, 3, 1],
    [3, 16, 1, 32, 3, 1],
    [64, 64, 1, 56, 3, 1],
    [64, 128, 1, 56, 3, 2],
    [128, 128, 1, 28, 3, 1],
    [256, 256, 1, 14, 3, 1],
    [512, 512, 1, 7, 3, 1],
    [64, 128, 1, 112, 3, 1],
    [16, 64, 1, 55, 3, 1],
    [48, 192, 1, 13, 3, 1],
    [16, 32, 1, 16, 3, 1],
    [32, 32, 1, 8, 3, 1],
    [8, 8, 1, 28, 3, 1],
    [64, 64, 1, 5, 3, 1],
    [64, 256, 1, 56, 1, 1],
    [512, 1000, 1, 13, 1, 1],
    [32, 32, 32, 112, 3, 1],
    [144, 144, 144, 56, 3, 2],
    [128, 128, 32, 56, 3, 1],
    [16, 16, 1, 28, 5, 1],
];

/// One convolution with its bias and ReLU.
fn layer([cin, cout, groups, side, kernel, stride]: [usize; 6]) -> Plan {
    let mut making = Making::new(1, [cin, side, side]);
    let window = sliding([side, side], square(kernel, stride, 1, kernel / 2));
    let rows = window.output[0] * window.output[1];
    let conv = making.conv(window, cin, cout, groups, Activation::Relu);
    let buffer = making.buffer(rows * cout);
    making.step(Kernel::Conv(conv), &[whole(0, cin)], whole(buffer, cout));
    making.finish(buffer, rows * cout)
}

fn main() -> Result<ExitCode> {
    let cpu = Cpu::new();
    println!("{}", cpu.name());
    println!("{:>34}  {:<10} {:>7}  microseconds a sample by kernel", "layer", "chosen", "to best");
    let mut slow = Vec::new();
    for shape in LAYERS {
        let plan = Arc::new(layer(shape));
        let rows = (RUN_MACS / plan.macs()).clamp(2, 512) as usize;
        let len = plan.input_layout.len();
        let data = Draws::new(2).floats(rows * len);
        let input = Stored { data: &data, len, locality: None };
        let chosen = cpu.load(plan.clone())?;
        let name = kernel_of(&chosen, &input, rows)?;
        // A kernel that cannot run a layer gives way to another: only those that ran count.
        let mut contenders = vec![(name, chosen)];
        for kernel in KERNELS {
            let network = cpu.load_with(plan.clone(), kernel)?;
            let name = kernel_of(&network, &input, rows)?;
            if contenders.iter().all(|(known, _)| *known != name) {
                contenders.push((name, network));
            }
        }
        let mut best = vec![f64::INFINITY; contenders.len()];
        for _ in 0..ROUNDS {
            for (best, (_, network)) in best.iter_mut().zip(&contenders) {
                let start = Instant::now();
                network.run(&input, rows, &RunOptions::default(), &mut |_, _| Ok(()))?;
                *best = best.min(start.elapsed().as_secs_f64() / rows as f64);
            }
        }
        let ratio = best[0] / best.iter().copied().fold(f64::INFINITY, f64::min);
        let [cin, cout, groups, side, kernel, stride] = shape;
        let what = format!("{cin}→{cout} /{groups}, {side}², {kernel}×{kernel} stride {stride}");
        let times: Vec<String> = contenders
            .iter()
            .zip(&best)
            .map(|((name, _), seconds)| format!("{name} {:.1}", 1e6 * seconds))
            .collect();
        println!("{what:>34}  {:<10} {ratio:>7.2}  {}", contenders[0].0, times.join(", "));
        if ratio > SLACK {
            slow.push(what);
        }
    }
    if slow.is_empty() {
        println!("every choice is within {:.0} % of the best", 100.0 * (SLACK - 1.0));
        return Ok(ExitCode::SUCCESS);
    }
    println!("not the best choice: {}", slow.join("; "));
    Ok(ExitCode::FAILURE)
}

/// Name of the kernel that the one step runs on.
fn kernel_of(network: &CpuNetwork, input: &Stored<'_>, rows: usize) -> Result<&'static str> {
    Ok(network.profile(input, rows.min(2), &RunOptions::default())?[0].kernel)
}
