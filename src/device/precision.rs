//! How numbers are stored on a device.

use std::fmt;

/// How a GPU stores weights and activations; kernels compute in f32, whatever is stored.
///
/// f16 halves memory and traffic. It holds 11 binary digits (a relative error of at most 2⁻¹¹ ≈ 0.0005 at each store, or of 2⁻¹⁰ where a
/// driver rounds towards zero) and numbers up to 65,504: what goes beyond is an error, never an answer. Below 6.1e-5 it loses digits,
/// and numbers below 6e-8 (on some devices, below 6.1e-5) become 0: explain logits instead of the probabilities of unlikely classes. Biases, the sums of means over a background and everything on the
/// host keep their precision, and so does the fused kernel of small perceptrons, which stores nothing between its layers.
/// Default: f32.
///
/// # Example
/// ```
/// use whybox::device::Precision;
/// use whybox::{Device, Error};
///
/// assert_eq!(Precision::default(), Precision::F32);
/// assert_eq!(Precision::F16.to_string(), "f16");
/// // The processor has no f16 engine, and says so.
/// let refused = Device::cpu().with_precision(Precision::F16);
/// assert!(matches!(refused, Err(Error::Unsupported(_))));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Four bytes a number.
    #[default]
    F32,
    /// Two bytes a number (IEEE 754 binary16).
    F16,
}

impl Precision {
    /// Bytes of a number.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Precision::F32 => 4,
            Precision::F16 => 2,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        })
    }
}
