//! Activations that take more than a few instructions, in place after a kernel has stored its vectors.

use super::math;
use super::{Job, Simd};
use crate::model::Activation;

/// An activation of `count` floats at `at`, which are valid for reads and writes.
pub(super) struct Finish {
    pub(super) activation: Activation,
    pub(super) at: *mut f32,
    pub(super) count: usize,
}

impl Finish {
    #[inline(always)]
    fn each<S: Simd>(&self, simd: S, f: impl Fn(S::Vector) -> S::Vector) {
        for i in (0..self.count).step_by(S::LANES) {
            // SAFETY: count − i floats are left, for which the maker vouches.
            unsafe {
                let at = self.at.add(i);
                let x = simd.load_upto(at, self.count - i);
                simd.store_upto(at, f(x), self.count - i);
            }
        }
    }
}

impl Job for Finish {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let one = simd.splat(1.0);
        match self.activation {
            Activation::Sigmoid => self.each(simd, |x| math::sigmoid(simd, x)),
            Activation::Tanh => self.each(simd, |x| math::tanh(simd, x)),
            Activation::Swish { alpha } => self.each(simd, |x| math::swish(simd, x, alpha)),
            Activation::Gelu => self.each(simd, |x| math::gelu(simd, x)),
            Activation::GeluTanh => self.each(simd, |x| math::gelu_tanh(simd, x)),
            Activation::Mish => self.each(simd, |x| math::mish(simd, x)),
            Activation::Softplus => self.each(simd, |x| math::softplus(simd, x)),
            Activation::Elu { alpha } => self.each(simd, |x| math::exponential(simd, x, 1.0, alpha, 1.0)),
            Activation::Selu { alpha, gamma } => {
                self.each(simd, |x| math::exponential(simd, x, 1.0, gamma * alpha, gamma))
            }
            Activation::Celu { alpha } => {
                self.each(simd, |x| math::exponential(simd, x, 1.0 / alpha, alpha, 1.0))
            }
            Activation::Erf => self.each(simd, |x| math::erf(simd, x)),
            Activation::Exp => self.each(simd, |x| math::exp(simd, x)),
            Activation::HardSigmoid { alpha, beta } => self.each(simd, |x| {
                let line = simd.mul_add(x, simd.splat(alpha), simd.splat(beta));
                simd.min(one, simd.max(simd.splat(0.0), line))
            }),
            Activation::Softsign => self.each(simd, |x| simd.div(x, simd.add(one, math::abs(simd, x)))),
            Activation::ThresholdedRelu { alpha } => {
                self.each(simd, |x| {
                    let above = simd.select_less(simd.splat(alpha), x, x, simd.splat(0.0));
                    simd.keep_nan(x, above)
                });
            }
            Activation::Sqrt => self.each(simd, |x| simd.sqrt(x)),
            Activation::Abs => self.each(simd, |x| math::abs(simd, x)),
            Activation::Neg => self.each(simd, |x| simd.sub(simd.splat(0.0), x)),
            Activation::Reciprocal => self.each(simd, |x| simd.div(one, x)),
            Activation::Floor => self.each(simd, |x| simd.floor(x)),
            Activation::Ceil => {
                let zero = simd.splat(0.0);
                self.each(simd, |x| simd.sub(zero, simd.floor(simd.sub(zero, x))));
            }
            Activation::Round => self.each(simd, |x| simd.round(x)),
            Activation::Sign => self.each(simd, |x| math::sign(simd, x)),
            Activation::Pow { exponent: 2.0 } => self.each(simd, |x| simd.mul(x, x)),
            Activation::Pow { exponent: 3.0 } => self.each(simd, |x| simd.mul(x, simd.mul(x, x))),
            // Kernels apply these themselves, or (the last two) they are rare.
            Activation::Identity
            | Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Clip { .. }
            | Activation::HardSwish
            | Activation::Log
            | Activation::Pow { .. } => {
                for i in 0..self.count {
                    // SAFETY: i < count, for which the maker vouches.
                    unsafe { *self.at.add(i) = self.activation.apply(*self.at.add(i)) };
                }
            }
        }
    }
}
