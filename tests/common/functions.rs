//! Every scalar function, with parameters that are not the defaults.

use whybox::model::Activation;

/// Functions that are finite over all numbers.
pub const FUNCTIONS: [Activation; 26] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Elu { alpha: 0.7 },
    Activation::Selu { alpha: 1.6732632, gamma: 1.050701 },
    Activation::Celu { alpha: 1.5 },
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
    Activation::HardSwish,
    Activation::Swish { alpha: 1.0 },
    Activation::Swish { alpha: 1.702 },
    Activation::Softplus,
    Activation::Softsign,
    Activation::Mish,
    Activation::ThresholdedRelu { alpha: 0.25 },
    Activation::Erf,
    Activation::Abs,
    Activation::Neg,
    Activation::Floor,
    Activation::Ceil,
    Activation::Round,
    Activation::Sign,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Identity,
    Activation::Clip { low: -0.3, high: 0.7 },
];

/// Functions that are not finite everywhere, and what they are tested on.
pub const PARTIAL: [(Activation, &[f32]); 9] = [
    (Activation::Exp, &[-120.0, -88.0, -20.5, -1.0, 0.0, 1e-3, 2.5, 40.0, 88.0]),
    (Activation::Log, &[1e-30, 1e-3, 0.5, 1.0, 1.001, 2.0, 1e6, 1e30]),
    (Activation::Sqrt, &[0.0, 1e-30, 0.5, 2.0, 1e6, 1e30]),
    (Activation::Reciprocal, &[-1e10, -3.0, -1e-10, 1e-10, 0.7, 1e10]),
    (Activation::Pow { exponent: 2.0 }, &[-1e4, -1.5, 0.0, 1e-3, 3.0]),
    (Activation::Pow { exponent: 3.0 }, &[-1e4, -1.5, 0.0, 1e-3, 3.0]),
    (Activation::Pow { exponent: 5.0 }, &[-20.0, -1.5, 0.0, 0.5, 3.0]),
    (Activation::Pow { exponent: -2.0 }, &[-20.0, -1.5, 0.5, 3.0]),
    (Activation::Pow { exponent: 0.25 }, &[1e-6, 0.5, 3.0, 1e6]),
];
