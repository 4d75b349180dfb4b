//! Whether the engine picks the right convolution kernel: a measurement, so not part of an ordinary run.
//!
//! `cargo test --release --test gpu_selector -- --ignored --nocapture`
//!
//! Prints the time of every tile for the shapes of common networks. On a real GPU the engine's own choice must be within
//! [`SLACK`] of the best; a software adapter shares its processor with others, and is only reported.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use gpu::engine;
use plans::{Making, sliding, square, whole};
use whybox::device::RunOptions;
use whybox::device::gpu::{AdapterKind, Gpu, GpuNetwork, Overrides, Tile};
use whybox::model::Activation;
use whybox::perturb::{Data, Expander, Program};
use whybox::plan::{Kernel, Plan, View};

/// The choice may take this many times the best kernel's time.
const SLACK: f64 = 1.1;

/// Larger chains take a software adapter minutes.
const SOFTWARE_MACS: u64 = 1 << 27;

/// Layers in a chain, so that arithmetic outweighs everything else.
const LAYERS: usize = 8;

/// Zeros, with next to nothing to upload.
struct Blank {
    len: u32,
}

impl Expander for Blank {
    fn expand(&self, _: Range<usize>, out: &mut [f32]) {
        out.fill(0.0);
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let zeros = |words: usize| Data::Fixed(vec![0; 4 * words].into());
        let buffers = vec![zeros(1), zeros(self.len as usize), zeros(self.len as usize), zeros(rows.len())];
        Program { shader: "perturb/segments", buffers, params: [self.len, 1, 1, 0] }
    }
}

/// `LAYERS` convolutions of the same shape, back and forth between two buffers.
fn chain(channels: usize, side: usize, kernel: usize) -> Plan {
    let mut making = Making::new(1, [channels, side, side]);
    let len = side * side * channels;
    let buffers = [making.buffer(len), making.buffer(len)];
    let window = sliding([side, side], square(kernel, 1, 1, kernel / 2));
    for layer in 0..LAYERS {
        let conv = making.conv(window, channels, channels, 1, Activation::Relu);
        let from = if layer == 0 { 0 } else { buffers[(layer + 1) % 2] };
        making.step(Kernel::Conv(conv), &[whole(from, channels)], whole(buffers[layer % 2], channels));
    }
    let mut plan = making.finish(buffers[(LAYERS + 1) % 2], 1);
    plan.output = View { stride: 1, ..plan.output };
    plan
}

/// Best of some runs, in seconds; the first, which compiles and allocates, does not count.
fn seconds(network: &GpuNetwork, input: &Blank, rows: usize, runs: usize) -> f64 {
    let run = || {
        let start = Instant::now();
        network.evaluate(input, rows, &RunOptions::default(), &mut |_, _| Ok(())).expect("a sound run");
        start.elapsed().as_secs_f64()
    };
    run();
    (0..runs).map(|_| run()).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement of minutes: run it by hand, or by scripts/gpu-check.sh"]
fn the_choice_is_near_the_best() {
    let Some(gpu) = engine() else { return };
    let software = gpu.adapter().kind == AdapterKind::Software;
    println!("{}", gpu.name());
    println!("{:>28}  {:>10} {:>10}   TFLOP/s by kernel", "layer × samples", "chosen", "best");
    let mut slow = Vec::new();
    // Channels, side of the picture, side of the kernel, samples of a discrete GPU.
    for (channels, side, kernel, samples) in [
        (64, 56, 3, 128),
        (128, 28, 3, 128),
        (256, 14, 3, 128),
        (512, 7, 3, 128),
        (512, 7, 3, 16),
        (256, 56, 1, 64),
        (1024, 14, 1, 128),
        (2048, 7, 1, 128),
        (24, 56, 1, 128),
        (96, 28, 1, 128),
        (63, 28, 3, 64),
        (4096, 1, 1, 128),
        (512, 1, 1, 4096_usize),
    ] {
        let (rows, runs) = if software { (samples.div_ceil(64), 1) } else { (samples, 5) };
        let plan = Arc::new(chain(channels, side, kernel));
        if software && plan.macs() * rows as u64 > SOFTWARE_MACS {
            continue;
        }
        let input = Blank { len: plan.input_layout.len() as u32 };
        let time = |tile| {
            let overrides = Overrides { tile, ..Overrides::default() };
            let network = Gpu::load_with(&gpu, plan.clone(), overrides).expect("a sound plan");
            seconds(&network, &input, rows, runs)
        };
        let times = Tile::ALL.map(|tile| time(Some(tile)));
        let (chosen, best) = (time(None), times.into_iter().fold(f64::INFINITY, f64::min));
        let rate = |seconds: f64| 2e-12 * plan.macs() as f64 * rows as f64 / seconds;
        let name = format!("{channels} × {side}², {kernel}×{kernel}, {rows}");
        let rates = Tile::ALL.map(|tile| format!("{tile:?} {:.3}", rate(times[tile as usize]))).join(", ");
        println!("{name:>28}  {:7.3} ms {:7.3} ms   {rates}", 1e3 * chosen, 1e3 * best);
        if chosen > SLACK * best {
            slow.push(format!("{name}: {:.2} times the best", chosen / best));
        }
    }
    if software {
        println!("a software adapter: not judged; {} shapes beyond the slack", slow.len());
    } else {
        assert!(slow.is_empty(), "the choice is slow for {} shapes:\n{}", slow.len(), slow.join("\n"));
    }
}
