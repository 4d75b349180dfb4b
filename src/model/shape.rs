//! Sizes of what a sliding window makes.

use crate::{Error, Result};

/// No number of a window is larger: positions in a picture stay far from overflow.
const LARGEST: usize = 1 << 20;

/// A sliding window over two axes; over one axis (`[C, L]`) the first entries are those of a height of 1.
///
/// # Example
/// ```
/// use whybox::model::Window;
///
/// // ResNet's first convolution.
/// let window = Window::square(7).stride(2).pad(3);
/// assert_eq!(window.output([224, 224], false, "conv1")?, [112, 112]);
/// assert!(Window::square(7).output([4, 4], false, "too small").is_err());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride down and right.
    pub stride: [usize; 2],
    /// Dilation down and right.
    pub dilation: [usize; 2],
    /// Padding above, left, below, right.
    pub pads: [usize; 4],
}

impl Window {
    /// A square kernel with stride 1 and no padding.
    pub fn square(kernel: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] }
    }

    /// The same window with another stride.
    pub fn stride(self, stride: usize) -> Self {
        Window { stride: [stride; 2], ..self }
    }

    /// The same window with the same padding on every side.
    pub fn pad(self, pad: usize) -> Self {
        Window { pads: [pad; 4], ..self }
    }

    /// Output height and width for an input of the given size:
    /// `⌊(size + pads − dilation·(kernel − 1) − 1) / stride⌋ + 1`, or the ceiling with `ceil`, where a window that
    /// would begin in the padding below or right is dropped (as ONNX and PyTorch do).
    ///
    /// # Errors
    /// [`Error::Model`] if the window is larger than the padded input, or a size is zero; [`Error::Limits`] if a
    /// number is above 2²⁰.
    pub fn output(&self, input: [usize; 2], ceil: bool, at: &str) -> Result<[usize; 2]> {
        let mut output = [0; 2];
        for axis in 0..2 {
            let (kernel, stride, dilation) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
            let misfit = || {
                Error::model(
                    format!("a window of {kernel} does not fit an input of {} with its padding", input[axis]),
                    at,
                    "check the input size that the network was exported with",
                )
            };
            if [kernel, stride, dilation, self.pads[axis], self.pads[axis + 2]].iter().any(|&n| n > LARGEST) {
                return Err(Error::limits(format!("{self:?} is too large"), at, "use a smaller window"));
            }
            if kernel == 0 || stride == 0 || dilation == 0 {
                return Err(Error::model(
                    "kernel, stride and dilation have to be above zero",
                    at,
                    "export it again",
                ));
            }
            let before = self.pads[axis];
            let padded = input[axis]
                .checked_add(before)
                .and_then(|size| size.checked_add(self.pads[axis + 2]))
                .ok_or_else(misfit)?;
            let reach =
                (kernel - 1).checked_mul(dilation).and_then(|r| r.checked_add(1)).ok_or_else(misfit)?;
            let room = padded.checked_sub(reach).ok_or_else(misfit)?;
            let mut count = room / stride + 1;
            if ceil && room % stride != 0 && count * stride < input[axis] + before {
                count += 1;
            }
            output[axis] = count;
        }
        Ok(output)
    }

    /// Whether each of the `output` windows sees at least one element of the input, not only padding.
    pub(crate) fn sees_input(&self, input: [usize; 2], output: [usize; 2]) -> bool {
        (0..2).all(|axis| {
            let (stride, dilation, pad) = (self.stride[axis], self.dilation[axis], self.pads[axis]);
            (0..output[axis]).all(|at| {
                // The first tap that does not lie in the padding before.
                let tap = pad.saturating_sub(at * stride).div_ceil(dilation);
                tap < self.kernel[axis] && at * stride + tap * dilation < pad + input[axis]
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_onnx() {
        let pool = Window::square(3).stride(2);
        assert_eq!(pool.output([112, 113], false, "").unwrap(), [55, 56]);
        assert_eq!(pool.output([112, 113], true, "").unwrap(), [56, 56]);
        // The last window would begin in the padding, so it is dropped.
        let padded = Window { pads: [1; 4], ..Window::square(2).stride(2) };
        assert_eq!(padded.output([3, 3], true, "").unwrap(), [2, 2]);
        assert!(Window::square(5).output([4, 9], false, "").is_err());
        let large = Window::square(1 << 40).pad(1 << 40);
        assert!(matches!(large.output([4, 4], false, ""), Err(Error::Limits(_))));
    }

    #[test]
    fn windows_of_padding_only_are_seen() {
        let inside = Window::square(3).pad(2);
        assert!(inside.sees_input([4, 4], [6, 6]));
        assert!(!Window::square(2).pad(2).sees_input([4, 4], [7, 7]));
        // Both taps of the middle window lie beside the two elements.
        let wide = Window { dilation: [4; 2], ..Window::square(2).pad(2) };
        assert!(!wide.sees_input([2, 2], [2, 2]));
    }
}
