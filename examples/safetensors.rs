//! Writes a network down in Rust, with weights that PyTorch saved.
//!
//! ```sh
//! cargo run --release --example safetensors
//! cargo run --release --example safetensors -- weights.safetensors
//! ```

use whybox::device::RunOptions;
use whybox::model::{Activation, Model, SafeTensors, Window};
use whybox::perturb::Rows;
use whybox::{Device, Result};

/// The module of `tests/fixtures/safetensors/record.py`: a residual CNN for digits of 8 × 8.
fn digits(weights: &SafeTensors) -> Result<Model> {
    let get = |name: &str, shape: &[usize]| weights.tensor(name, shape);
    let (conv2, bias2) = (get("conv2.weight", &[6, 6, 3, 3])?, get("conv2.bias", &[6])?);
    let (conv3, bias3) = (get("conv3.weight", &[8, 6, 3, 3])?, get("conv3.bias", &[8])?);
    let (fc, fc_bias) = (get("fc.weight", &[10, 8])?, get("fc.bias", &[10])?);
    let same = Window::square(3).pad(1);
    let net = Model::builder("digits", &[1, 8, 8])
        .conv(&get("conv1.weight", &[6, 1, 3, 3])?.data, None, 6, same, 1)?
        .batch_norm(
            &get("bn1.weight", &[6])?.data,
            &get("bn1.bias", &[6])?.data,
            &get("bn1.running_mean", &[6])?.data,
            &get("bn1.running_var", &[6])?.data,
            1e-5,
        )?
        .activation(Activation::Relu)?;
    let shortcut = net.mark();
    net.conv(&conv2.data, Some(&bias2.data), 6, same, 1)?
        .add(shortcut)?
        .activation(Activation::Relu)?
        .conv(&conv3.data, Some(&bias3.data), 8, same.stride(2), 1)?
        .activation(Activation::Relu)?
        .global_average_pool()?
        .linear(&fc.data, &fc_bias.data, 10)?
        .softmax()?
        .build()
}

fn main() -> Result<()> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/safetensors/digits.safetensors");
    let path = std::env::args().nth(1).unwrap_or_else(|| default.into());
    let weights = SafeTensors::open(path)?;
    for (name, shape) in weights.shapes() {
        println!("{name:20} {shape:?}");
    }
    let model = digits(&weights)?;
    let network = Device::cpu().load(&model)?;
    let picture: Vec<f32> = (0..64).map(|i| if i % 8 == 3 || i % 8 == 4 { 1.0 } else { 0.0 }).collect();
    let found = network.responses(&Rows::new(&picture, 64)?, &RunOptions::default())?;
    println!("{} parameters; probabilities {found:.3}", model.parameters());
    Ok(())
}
