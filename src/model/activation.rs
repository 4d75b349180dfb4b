//! Scalar functions applied to each element.

/// A scalar function of one element, with its parameters.
///
/// Formulas are those of the ONNX operators of the same name.
///
/// # Example
/// ```
/// use whybox::model::Activation;
/// assert_eq!(Activation::Relu.apply(-2.0), 0.0);
/// assert_eq!(Activation::Clip { low: 0.0, high: 6.0 }.apply(7.5), 6.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x for x ≥ 0, else `slope`·x
    LeakyRelu {
        /// Slope below zero (ONNX default 0.01).
        slope: f32,
    },
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
    /// min(max(x, low), high)
    Clip {
        /// Lower bound; −∞ where there is none.
        low: f32,
        /// Upper bound; +∞ where there is none.
        high: f32,
    },
}

impl Activation {
    /// The function's value at `x`.
    #[inline]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Activation::Identity => x,
            // Not f32::max, which would turn a NaN into 0 and hide it.
            Activation::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Activation::LeakyRelu { slope } => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::Clip { low, high } => {
                if x < low {
                    low
                } else if x > high {
                    high
                } else {
                    x
                }
            }
        }
    }

    /// The function's number and two parameters, as the shaders know it (`shaders/shared/activation.wgsl`).
    pub fn code(self) -> (u32, f32, f32) {
        match self {
            Activation::Identity => (0, 0.0, 0.0),
            Activation::Relu => (1, 0.0, 0.0),
            Activation::LeakyRelu { slope } => (2, slope, 0.0),
            Activation::Sigmoid => (3, 0.0, 0.0),
            Activation::Tanh => (4, 0.0, 0.0),
            Activation::Clip { low, high } => (5, low, high),
        }
    }

    /// The name as it is shown by `whybox inspect`.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "Identity",
            Activation::Relu => "Relu",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::Clip { .. } => "Clip",
        }
    }
}
