//! Forward passes a second of an ONNX network on one device, as a number that scripts can read.
//!
//! ```sh
//! cargo run --release --example forward_rate -- net.onnx [seconds] [cpu|best|gpu]
//! ```

use std::time::Instant;

use whybox::device::RunOptions;
use whybox::model::Model;
use whybox::perturb::Rows;
use whybox::{Device, Result, builtin};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = match arguments.next() {
        Some(path) => Model::from_onnx(path)?,
        None => builtin::network()?,
    };
    let seconds: f64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let device = match arguments.next().as_deref() {
        Some("best") => Device::best(),
        Some("gpu") => Device::gpu()?,
        _ => Device::cpu(),
    };
    let network = device.load(&model)?;
    let len: usize = model.input_shape().iter().product();
    // About a second's work for a network of 2 GMAC; small networks get more rows.
    let rows = (200_000_000_000 / network.plan().macs().max(1)).clamp(16, 8192) as usize;
    let rows = rows.min((256 << 20) / (4 * len));
    let batch: Vec<f32> = (0..rows * len).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
    let batch = Rows::new(&batch, len)?;
    let options = RunOptions::default();
    network.responses(&batch, &options)?;
    let (start, mut passes) = (Instant::now(), 0);
    while start.elapsed().as_secs_f64() < seconds {
        network.responses(&batch, &options)?;
        passes += rows;
    }
    println!(
        "{:.2} passes/s  {}  {}",
        passes as f64 / start.elapsed().as_secs_f64(),
        model.name(),
        device.name()
    );
    Ok(())
}
