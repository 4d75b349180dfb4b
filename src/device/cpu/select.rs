//! Which kernel a convolution runs on: a function of its shape only, so that results do not depend on
//! the run.

use crate::plan::Conv;

/// The kernels of a convolution.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::device::RunOptions;
/// use whybox::device::cpu::{ConvKernel, Cpu};
/// use whybox::model::{Model, Window};
/// use whybox::perturb::{Perturbation, Rows};
/// use whybox::plan::Plan;
///
/// // Every kernel adds up the nine neighbours.
/// let window = Window::square(3).pad(1);
/// let model = Model::builder("sums", &[1, 4, 4]).conv(&[1.0; 9], None, 1, window, 1)?.build()?;
/// let plan = Arc::new(Plan::new(&model)?);
/// let ones = Rows::new(&[1.0; 16], 16)?;
/// let expander = ones.bind(&plan.input_layout)?;
/// for kernel in [ConvKernel::Padded, ConvKernel::Direct, ConvKernel::Winograd] {
///     let network = Cpu::new().load_with(plan.clone(), kernel)?;
///     network.run(expander.as_ref(), 1, &RunOptions::default(), &mut |_, sums| {
///         assert!((sums[5] - 9.0).abs() < 1e-3, "{kernel:?}");
///         Ok(())
///     })?;
/// }
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvKernel {
    /// One filter for each channel.
    Depthwise,
    /// A product over a padded copy of the picture, for few input channels.
    Padded,
    /// A product over addresses.
    Direct,
    /// F(4×4, 3×3).
    Winograd,
}

/// Up to so many input channels, a tap is too short a pass: rows of taps of a padded picture are longer.
const FEW_CHANNELS: usize = 16;

/// Winograd pays from so many input and output channels on: below, its transformations cost more than
/// the products that they save.
const WINOGRAD_CHANNELS: [usize; 2] = [16, 8];

/// Winograd pays where it leaves at most one of so many products; 4 at best, fewer where tiles hang
/// over the edge.
const WINOGRAD_SAVING: usize = 2;

/// The kernel that a caller forces where it can run a convolution, else the fastest one.
pub(super) fn choose(conv: &Conv, forced: Option<ConvKernel>) -> ConvKernel {
    forced.filter(|&kernel| is_possible(conv, kernel)).unwrap_or_else(|| select(conv))
}

/// Picks the fastest kernel, as measured over 3×3 windows of 4 … 56 pixels and 8 … 256 channels.
pub fn select(conv: &Conv) -> ConvKernel {
    let fits = |kernel| is_possible(conv, kernel);
    if fits(ConvKernel::Depthwise) {
        return ConvKernel::Depthwise;
    }
    let [height, width] = conv.sliding.output;
    // A tile has 4 × 4 outputs and 36 products; each output of it would have 9.
    let saves = height * width * 9 >= WINOGRAD_SAVING * 36 * height.div_ceil(4) * width.div_ceil(4);
    let wide = conv.cin >= WINOGRAD_CHANNELS[0] && conv.cout >= WINOGRAD_CHANNELS[1];
    if fits(ConvKernel::Winograd) && wide && saves {
        return ConvKernel::Winograd;
    }
    if fits(ConvKernel::Padded) && conv.cin <= FEW_CHANNELS && conv.sliding.window.kernel[1] > 1 {
        return ConvKernel::Padded;
    }
    ConvKernel::Direct
}

/// Whether a kernel can run a convolution at all.
pub fn is_possible(conv: &Conv, kernel: ConvKernel) -> bool {
    let window = &conv.sliding.window;
    match kernel {
        ConvKernel::Depthwise => conv.groups > 1 && conv.groups == conv.cin && conv.groups == conv.cout,
        ConvKernel::Padded => conv.groups == 1 && window.dilation[1] == 1,
        ConvKernel::Direct => true,
        ConvKernel::Winograd => {
            conv.groups == 1
                && window.kernel == [3, 3]
                && window.stride == [1, 1]
                && window.dilation == [1, 1]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Window};
    use crate::plan::Sliding;

    fn conv(
        cin: usize,
        cout: usize,
        groups: usize,
        size: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
    ) -> Conv {
        let pad = dilation * (kernel / 2);
        let output = (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
        Conv {
            sliding: Sliding {
                input: [size, size],
                output: [output, output],
                window: Window {
                    kernel: [kernel, kernel],
                    stride: [stride, stride],
                    dilation: [dilation, dilation],
                    pads: [pad; 4],
                },
            },
            cin,
            cout,
            groups,
            weight: 0,
            bias: None,
            residual: false,
            activation: Activation::Identity,
        }
    }

    #[test]
    fn choices() {
        use ConvKernel::*;
        let table = [
            ("ResNet's first", conv(3, 64, 1, 224, 7, 2, 1), Padded),
            ("VGG's first", conv(3, 64, 1, 224, 3, 1, 1), Padded),
            ("grey picture", conv(1, 32, 1, 28, 3, 1, 1), Padded),
            ("ResNet's stage 1", conv(64, 64, 1, 56, 3, 1, 1), Winograd),
            ("ResNet's stage 4", conv(512, 512, 1, 7, 3, 1, 1), Winograd),
            ("with stride", conv(64, 128, 1, 56, 3, 2, 1), Direct),
            ("dilated", conv(64, 64, 1, 56, 3, 1, 2), Direct),
            ("grouped", conv(64, 64, 4, 56, 3, 1, 1), Direct),
            ("1×1", conv(64, 256, 1, 56, 1, 1, 1), Direct),
            ("1×1 over few channels", conv(3, 8, 1, 56, 1, 1, 1), Direct),
            ("2 × 2 pixels", conv(64, 64, 1, 2, 3, 1, 1), Direct),
            ("5 × 5 pixels", conv(64, 64, 1, 5, 3, 1, 1), Direct),
            ("6 × 6 pixels", conv(64, 64, 1, 6, 3, 1, 1), Winograd),
            ("few outputs", conv(64, 4, 1, 56, 3, 1, 1), Direct),
            ("few inputs with stride", conv(16, 32, 1, 56, 3, 2, 1), Padded),
            ("few inputs", conv(8, 32, 1, 56, 3, 1, 1), Padded),
            ("MobileNet's depthwise", conv(96, 96, 96, 112, 3, 2, 1), Depthwise),
        ];
        let wrong: Vec<_> = table
            .iter()
            .filter(|(_, conv, expected)| select(conv) != *expected)
            .map(|(name, conv, expected)| format!("{name}: {:?}, not {expected:?}", select(conv)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
