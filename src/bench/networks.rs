//! Networks with random weights, in the shapes that people use: right for speed, no good as explanations.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::Result;
use crate::model::{Activation, Builder, Model, Window};

/// Weights of a size that keeps activations near one (He et al. 2015), from a fixed seed.
struct Weights(StdRng);

impl Weights {
    fn new() -> Self {
        Weights(StdRng::seed_from_u64(7))
    }

    fn draw(&mut self, count: usize, inputs: usize) -> Vec<f32> {
        let reach = (6.0 / inputs as f32).sqrt();
        (0..count).map(|_| self.0.random_range(-reach..reach)).collect()
    }

    fn conv(&mut self, net: Builder, outputs: usize, window: Window) -> Result<Builder> {
        let inputs = net.shape()[0];
        let taps = window.kernel[0] * window.kernel[1];
        let weight = self.draw(outputs * inputs * taps, inputs * taps);
        let bias = vec![0.01; outputs];
        net.conv(&weight, Some(&bias), outputs, window, 1)
    }

    fn depthwise(&mut self, net: Builder, window: Window) -> Result<Builder> {
        let channels = net.shape()[0];
        let taps = window.kernel[0] * window.kernel[1];
        let weight = self.draw(channels * taps, taps);
        net.conv(&weight, Some(&vec![0.01; channels]), channels, window, channels)
    }

    fn linear(&mut self, net: Builder, outputs: usize) -> Result<Builder> {
        let inputs: usize = net.shape().iter().product();
        let weight = self.draw(outputs * inputs, inputs);
        net.linear(&weight, &vec![0.01; outputs], outputs)
    }
}

/// ResNet-18 at 224 × 224, 1,000 classes: 1.81 GMAC.
///
/// # Errors
/// None but for a defect: the sizes are fixed.
pub fn resnet18() -> Result<Model> {
    let mut weights = Weights::new();
    let net = Model::builder("resnet18", &[3, 224, 224]);
    let net = weights.conv(net, 64, Window::square(7).stride(2).pad(3))?.activation(Activation::Relu)?;
    let mut net = net.max_pool(Window::square(3).stride(2).pad(1))?;
    for (channels, stride) in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)] {
        let entry = net.mark();
        let down = stride != 1 || net.shape()[0] != channels;
        net = weights
            .conv(net, channels, Window::square(3).stride(stride).pad(1))?
            .activation(Activation::Relu)?;
        net = weights.conv(net, channels, Window::square(3).pad(1))?;
        let body = net.mark();
        let shortcut = if down {
            net = weights.conv(net.resume(entry)?, channels, Window::square(1).stride(stride))?;
            net.mark()
        } else {
            entry
        };
        net = net.resume(body)?.add(shortcut)?.activation(Activation::Relu)?;
    }
    let net = net.global_average_pool()?;
    weights.linear(net, 1000)?.build()
}

/// VGG-11 at 224 × 224, 1,000 classes: 7.6 GMAC.
///
/// # Errors
/// None but for a defect: the sizes are fixed.
pub fn vgg11() -> Result<Model> {
    let mut weights = Weights::new();
    let mut net = Model::builder("vgg11", &[3, 224, 224]);
    for (channels, pool) in [
        (64, true),
        (128, true),
        (256, false),
        (256, true),
        (512, false),
        (512, true),
        (512, false),
        (512, true),
    ] {
        net = weights.conv(net, channels, Window::square(3).pad(1))?.activation(Activation::Relu)?;
        if pool {
            net = net.max_pool(Window::square(2).stride(2))?;
        }
    }
    for outputs in [4096, 4096] {
        net = weights.linear(net, outputs)?.activation(Activation::Relu)?;
    }
    weights.linear(net, 1000)?.build()
}

/// SqueezeNet 1.1 at 224 × 224, 1,000 classes: 0.35 GMAC.
///
/// # Errors
/// None but for a defect: the sizes are fixed.
pub fn squeezenet() -> Result<Model> {
    let mut weights = Weights::new();
    let net = Model::builder("squeezenet1_1", &[3, 224, 224]);
    let net = weights.conv(net, 64, Window::square(3).stride(2))?.activation(Activation::Relu)?;
    let mut net = net.max_pool(Window::square(3).stride(2))?;
    for (at, (squeeze, expand)) in
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
            .into_iter()
            .enumerate()
    {
        net = weights.conv(net, squeeze, Window::square(1))?.activation(Activation::Relu)?;
        let squeezed = net.mark();
        net = weights.conv(net, expand, Window::square(1))?.activation(Activation::Relu)?;
        let narrow = net.mark();
        net = weights
            .conv(net.resume(squeezed)?, expand, Window::square(3).pad(1))?
            .activation(Activation::Relu)?;
        net = net.concat(&[narrow])?;
        if at == 1 || at == 3 {
            net = net.max_pool(Window::square(3).stride(2))?;
        }
    }
    weights.conv(net, 1000, Window::square(1))?.activation(Activation::Relu)?.global_average_pool()?.build()
}

/// An MLP of a size that is usual for tables: 30-64-32-2.
///
/// # Errors
/// None but for a defect: the sizes are fixed.
pub fn mlp() -> Result<Model> {
    let mut weights = Weights::new();
    let mut net = Model::builder("mlp", &[30]);
    for outputs in [64, 32] {
        net = weights.linear(net, outputs)?.activation(Activation::Relu)?;
    }
    weights.linear(net, 2)?.build()
}

/// MobileNetV2 at 224 × 224, 1,000 classes: 0.30 GMAC, most of it in 1×1 convolutions.
///
/// # Errors
/// None but for a defect: the sizes are fixed.
pub fn mobilenet_v2() -> Result<Model> {
    let mut weights = Weights::new();
    let six = Activation::Clip { low: 0.0, high: 6.0 };
    let net = Model::builder("mobilenet_v2", &[3, 224, 224]);
    let mut net = weights.conv(net, 32, Window::square(3).stride(2).pad(1))?.activation(six)?;
    for (expansion, channels, repeats, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            let (entry, inputs) = (net.mark(), net.shape()[0]);
            let hidden = inputs * expansion;
            if expansion > 1 {
                net = weights.conv(net, hidden, Window::square(1))?.activation(six)?;
            }
            net = weights.depthwise(net, Window::square(3).stride(stride).pad(1))?.activation(six)?;
            net = weights.conv(net, channels, Window::square(1))?;
            if stride == 1 && inputs == channels {
                net = net.add(entry)?;
            }
        }
    }
    let net = weights.conv(net, 1280, Window::square(1))?.activation(six)?.global_average_pool()?;
    weights.linear(net, 1000)?.build()
}
