//! The arithmetic bound: what the device reaches on nothing but large matrix products.

use std::time::Instant;

use crate::device::RunOptions;
use crate::model::Model;
use crate::perturb::Rows;
use crate::{Device, Result};

/// Layers of the network that is all products: enough that reading its input does not matter.
const LAYERS: usize = 8;

/// 10⁹ operations a second (two for each multiply-add) that the device reaches on large matrix products in float32,
/// the best of several runs within about `seconds`.
///
/// # Errors
/// Those of [`Device::load`] and [`Network::responses`](crate::Network::responses).
///
/// # Example
/// ```
/// let peak = whybox::bench::peak_gflops(&whybox::Device::cpu(), 0.01)?;
/// assert!(peak > 0.0);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn peak_gflops(device: &Device, seconds: f64) -> Result<f64> {
    let (width, rows) = if device.is_gpu() { (2048, 8192) } else { (512, 1024) };
    let mut net = Model::builder("products", &[width]);
    // Weights that keep numbers small: what they are does not matter, that they are normal numbers does.
    let weight: Vec<f32> =
        (0..width * width).map(|i| ((i * 7 % 13) as f32 - 6.0) / (6 * width) as f32).collect();
    for _ in 0..LAYERS {
        net = net.linear(&weight, &vec![0.01; width], width)?;
    }
    let network = device.load(&net.build()?)?;
    let input: Vec<f32> = (0..rows * width).map(|i| (i % 17) as f32 / 17.0).collect();
    let input = Rows::new(&input, width)?;
    let options = RunOptions::default();
    // The first run makes memory and pipelines ready.
    network.responses(&input, &options)?;
    let operations = 2.0 * network.plan().macs() as f64 * rows as f64;
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while best.is_infinite() || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        network.run(&input, &options, &mut |_, _| Ok(()))?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(1e-9 * operations / best)
}
