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
    /// x for x ≥ 0, else `alpha`·(eˣ − 1)
    Elu {
        /// Scale below zero (ONNX default 1).
        alpha: f32,
    },
    /// `gamma`·x for x ≥ 0, else `gamma`·`alpha`·(eˣ − 1)
    Selu {
        /// Scale below zero (ONNX default 1.67326).
        alpha: f32,
        /// Scale everywhere (ONNX default 1.0507).
        gamma: f32,
    },
    /// x for x ≥ 0, else `alpha`·(e^(x / `alpha`) − 1)
    Celu {
        /// Scale of both axes below zero, not 0 (ONNX default 1).
        alpha: f32,
    },
    /// ½·x·(1 + erf(x / √2))
    Gelu,
    /// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
    GeluTanh,
    /// min(max(`alpha`·x + `beta`, 0), 1)
    HardSigmoid {
        /// Slope (ONNX default 0.2).
        alpha: f32,
        /// Value at 0 (ONNX default 0.5).
        beta: f32,
    },
    /// x·min(max(x/6 + ½, 0), 1)
    HardSwish,
    /// x / (1 + e^(−`alpha`·x)); SiLU where `alpha` is 1
    Swish {
        /// Steepness (ONNX default 1).
        alpha: f32,
    },
    /// ln(1 + eˣ)
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// x·tanh(ln(1 + eˣ))
    Mish,
    /// x for x > `alpha`, else 0
    ThresholdedRelu {
        /// Threshold (ONNX default 1).
        alpha: f32,
    },
    /// erf x
    Erf,
    /// eˣ
    Exp,
    /// ln x
    Log,
    /// √x
    Sqrt,
    /// |x|
    Abs,
    /// −x
    Neg,
    /// 1 / x
    Reciprocal,
    /// ⌊x⌋
    Floor,
    /// ⌈x⌉
    Ceil,
    /// The nearest integer, the even one of two
    Round,
    /// −1, 0 or 1
    Sign,
    /// x to the power of a constant
    Pow {
        /// The constant.
        exponent: f32,
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
            Activation::Elu { alpha } => exponential(x, x, alpha),
            Activation::Selu { alpha, gamma } => gamma * exponential(x, x, alpha),
            Activation::Celu { alpha } => exponential(x, x / alpha, alpha),
            Activation::Gelu => 0.5 * x * (1.0 + erf(std::f32::consts::FRAC_1_SQRT_2 * x)),
            Activation::GeluTanh => 0.5 * x * (1.0 + (GELU_SLOPE * x * (1.0 + GELU_CUBIC * x * x)).tanh()),
            Activation::HardSigmoid { alpha, beta } => {
                Activation::Clip { low: 0.0, high: 1.0 }.apply(alpha * x + beta)
            }
            Activation::HardSwish => x * Activation::Clip { low: 0.0, high: 1.0 }.apply(x / 6.0 + 0.5),
            Activation::Swish { alpha } => x / (1.0 + (-alpha * x).exp()),
            Activation::Softplus => Activation::Relu.apply(x) + (-x.abs()).exp().ln_1p(),
            Activation::Softsign => x / (1.0 + x.abs()),
            Activation::Mish => x * Activation::Softplus.apply(x).tanh(),
            Activation::ThresholdedRelu { alpha } => {
                if x <= alpha {
                    0.0
                } else {
                    x
                }
            }
            Activation::Erf => erf(x),
            Activation::Exp => x.exp(),
            Activation::Log => x.ln(),
            Activation::Sqrt => x.sqrt(),
            Activation::Abs => x.abs(),
            Activation::Neg => -x,
            Activation::Reciprocal => 1.0 / x,
            Activation::Floor => x.floor(),
            Activation::Ceil => x.ceil(),
            Activation::Round => x.round_ties_even(),
            Activation::Sign => {
                if x == 0.0 || x.is_nan() {
                    x
                } else {
                    x.signum()
                }
            }
            Activation::Pow { exponent } => x.powf(exponent),
        }
    }

    /// x to the power of `exponent`, as the simplest function that it is.
    pub fn power(exponent: f32) -> Self {
        match exponent {
            1.0 => Activation::Identity,
            0.5 => Activation::Sqrt,
            -1.0 => Activation::Reciprocal,
            exponent => Activation::Pow { exponent },
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
            Activation::Elu { alpha } => (6, alpha, 0.0),
            Activation::Selu { alpha, gamma } => (7, alpha, gamma),
            Activation::Celu { alpha } => (8, alpha, 0.0),
            Activation::Gelu => (9, 0.0, 0.0),
            Activation::GeluTanh => (10, 0.0, 0.0),
            Activation::HardSigmoid { alpha, beta } => (11, alpha, beta),
            Activation::HardSwish => (12, 0.0, 0.0),
            Activation::Swish { alpha } => (13, alpha, 0.0),
            Activation::Softplus => (14, 0.0, 0.0),
            Activation::Softsign => (15, 0.0, 0.0),
            Activation::Mish => (16, 0.0, 0.0),
            Activation::ThresholdedRelu { alpha } => (17, alpha, 0.0),
            Activation::Erf => (18, 0.0, 0.0),
            Activation::Exp => (19, 0.0, 0.0),
            Activation::Log => (20, 0.0, 0.0),
            Activation::Sqrt => (21, 0.0, 0.0),
            Activation::Abs => (22, 0.0, 0.0),
            Activation::Neg => (23, 0.0, 0.0),
            Activation::Reciprocal => (24, 0.0, 0.0),
            Activation::Floor => (25, 0.0, 0.0),
            Activation::Ceil => (26, 0.0, 0.0),
            Activation::Round => (27, 0.0, 0.0),
            Activation::Sign => (28, 0.0, 0.0),
            // Second: what becomes of a negative base.
            Activation::Pow { exponent } => {
                let parity = if exponent.fract() != 0.0 { 0.0 } else { 1.0 + (exponent % 2.0).abs() };
                (29, exponent, parity)
            }
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
            Activation::Elu { .. } => "Elu",
            Activation::Selu { .. } => "Selu",
            Activation::Celu { .. } => "Celu",
            Activation::Gelu => "Gelu",
            Activation::GeluTanh => "GeluTanh",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::HardSwish => "HardSwish",
            Activation::Swish { .. } => "Swish",
            Activation::Softplus => "Softplus",
            Activation::Softsign => "Softsign",
            Activation::Mish => "Mish",
            Activation::ThresholdedRelu { .. } => "ThresholdedRelu",
            Activation::Erf => "Erf",
            Activation::Exp => "Exp",
            Activation::Log => "Log",
            Activation::Sqrt => "Sqrt",
            Activation::Abs => "Abs",
            Activation::Neg => "Neg",
            Activation::Reciprocal => "Reciprocal",
            Activation::Floor => "Floor",
            Activation::Ceil => "Ceil",
            Activation::Round => "Round",
            Activation::Sign => "Sign",
            Activation::Pow { .. } => "Pow",
        }
    }
}

/// √(2/π), of [`Activation::GeluTanh`].
pub(crate) const GELU_SLOPE: f32 = 0.797_884_6;

/// The cubic term of [`Activation::GeluTanh`].
pub(crate) const GELU_CUBIC: f32 = 0.044_715;

fn exponential(x: f32, scaled: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * scaled.exp_m1() } else { x }
}

fn erf(x: f32) -> f32 {
    statrs::function::erf::erf(f64::from(x)) as f32
}
