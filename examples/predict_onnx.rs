//! Runs an ONNX network on a batch of random inputs, on every device at hand, and compares them.
//!
//! ```sh
//! cargo run --release --example predict_onnx                 # the built-in network
//! cargo run --release --example predict_onnx -- net.onnx 64
//! ```

use std::time::Instant;

use rand::{RngExt, SeedableRng};
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
    let rows: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(32);

    let len: usize = model.input_shape().iter().product();
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let batch: Vec<f32> = (0..rows * len).map(|_| random.random::<f32>()).collect();
    let batch = Rows::new(&batch, len)?;
    println!("{}: {rows} inputs of {:?}", model.name(), model.input_shape());

    let mut first = None;
    for device in [Some(Device::cpu()), Device::gpu().ok()].into_iter().flatten() {
        let network = device.load(&model)?;
        // The first run pays for memory and compiled shaders.
        network.responses(&batch, &RunOptions::default())?;
        let start = Instant::now();
        let outputs = network.responses(&batch, &RunOptions::default())?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{}: {:.0} inputs a second", device.name(), rows as f64 / seconds);
        match &first {
            None => first = Some(outputs),
            Some(reference) => {
                let largest = reference.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let worst = (&outputs - reference).iter().fold(0.0f32, |m, d| m.max(d.abs()));
                println!("largest difference {:.1e} of the largest output", worst / largest);
            }
        }
    }
    Ok(())
}
