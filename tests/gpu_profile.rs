//! Seconds by step on the GPU.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use gpu::gpu;
use whybox::device::RunOptions;
use whybox::perturb::Rows;
use whybox::{Error, builtin};

#[test]
fn every_step_has_its_kernel_and_seconds() {
    let Some(device) = gpu() else { return };
    let network = device.load(&builtin::network().expect("a built-in network")).expect("loads");
    let len = network.input().len();
    let data: Vec<f32> = (0..3 * len).map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let rows = Rows::new(&data, len).expect("whole rows");
    let profile = match network.profile(&rows, &RunOptions::default()) {
        Ok(profile) => profile,
        Err(Error::Unsupported(what)) => {
            println!("skipped: {what:?}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(profile.len(), network.plan().steps.len());
    for (cost, step) in profile.iter().zip(&network.plan().steps) {
        assert_eq!((&cost.step, cost.macs), (&step.name, 3 * step.macs));
        assert_ne!(cost.kernel, "–", "{} ran", cost.step);
    }
    // A clock may be too coarse for a single step, not for all.
    let seconds: f64 = profile.iter().map(|cost| cost.seconds).sum();
    assert!(seconds > 0.0 && seconds < 600.0, "{seconds}");
    assert!(profile.iter().any(|cost| cost.gflops() > 0.0));
}
