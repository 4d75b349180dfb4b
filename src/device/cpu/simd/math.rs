//! Elementary functions on vectors.
//!
//! All go back to one reduction: x = n·ln 2 + r with |r| ≤ ½·ln 2, eˣ − 1 = 2ⁿ·(eʳ − 1) + (2ⁿ − 1), and a polynomial for
//! eʳ − 1 whose error is below 1e-8 of its value. A NaN stays one.

use super::Simd;
use crate::model::activation::{GELU_CUBIC, GELU_SLOPE};

/// ln 2 in two parts: nine bits, whose product with any exponent is exact, and the rest (Cody and Waite).
const LN2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];

/// Numbers between which eˣ is neither 0 nor infinite.
const RANGE: [f32; 2] = [-104.0, 89.0];

/// (eʳ − 1, n).
#[inline(always)]
fn reduced<S: Simd>(simd: S, x: S::Vector) -> (S::Vector, S::Vector) {
    let x = simd.min(simd.splat(RANGE[1]), simd.max(simd.splat(RANGE[0]), x));
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.mul_add(n, simd.splat(-LN2[0]), x);
    let r = simd.mul_add(n, simd.splat(-LN2[1]), r);
    // Taylor's series: the next term is below 1e-8 of the sum.
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    (simd.mul_add(polynomial(simd, r, &series), simd.mul(r, r), r), n)
}

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::Vector, terms: &[f32]) -> S::Vector {
    let mut sum = simd.splat(terms[0]);
    for &term in &terms[1..] {
        sum = simd.mul_add(sum, x, simd.splat(term));
    }
    sum
}

/// eˣ
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (fraction, n) = reduced(simd, x);
    simd.scale(simd.add(fraction, simd.splat(1.0)), n)
}

/// eˣ − 1, with small errors near 0, too.
#[inline(always)]
pub(super) fn exp_m1<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (fraction, n) = reduced(simd, x);
    let one = simd.splat(1.0);
    simd.add(simd.scale(fraction, n), simd.sub(simd.scale(one, n), one))
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    simd.div(one, simd.add(one, exp(simd, simd.sub(simd.splat(0.0), x))))
}

/// x / (1 + e^(−αx))
#[inline(always)]
pub(super) fn swish<S: Simd>(simd: S, x: S::Vector, alpha: f32) -> S::Vector {
    simd.div(x, simd.add(simd.splat(1.0), exp(simd, simd.mul(x, simd.splat(-alpha)))))
}

/// tanh x = t / (t + 2) with t = e²ˣ − 1.
#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    // Beyond ±20 the result has long been ±1.
    let bounded = simd.min(simd.splat(20.0), simd.max(simd.splat(-20.0), x));
    let t = exp_m1(simd, simd.add(bounded, bounded));
    simd.div(t, simd.add(t, simd.splat(2.0)))
}

/// |x|
#[inline(always)]
pub(super) fn abs<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    simd.max(simd.sub(simd.splat(0.0), x), x)
}

/// −1, 0 or 1.
#[inline(always)]
pub(super) fn sign<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let zero = simd.splat(0.0);
    simd.select_less(x, zero, simd.splat(-1.0), simd.select_less(zero, x, simd.splat(1.0), x))
}

/// erf x = x·P(x²) / Q(x²), a fit by weighted least squares over |x| < [`ERF_ONE`]: below 4e-7 off.
const ERF_P: [f32; 7] = [
    1.992_417e-8,
    -1.957_837_9e-6,
    1.418_517_2e-4,
    3.701_665_7e-3,
    5.057_351e-2,
    0.199_925_85,
    std::f32::consts::FRAC_2_SQRT_PI,
];
const ERF_Q: [f32; 5] = [9.560_524e-4, 1.435_331_9e-2, 0.114_998_97, 0.510_511_34, 1.0];

/// From here on erf x rounds to 1.
const ERF_ONE: f32 = 3.92;

/// erf x
#[inline(always)]
pub(super) fn erf<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let square = simd.mul(x, x);
    let ratio = simd.div(polynomial(simd, square, &ERF_P), polynomial(simd, square, &ERF_Q));
    let bound = simd.splat(ERF_ONE);
    simd.select_less(bound, abs(simd, x), sign(simd, x), simd.mul(x, ratio))
}

/// ½·x·(1 + erf(x / √2))
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let half = simd.mul(simd.splat(0.5), x);
    simd.mul_add(half, erf(simd, simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
}

/// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
#[inline(always)]
pub(super) fn gelu_tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let cubic = simd.mul_add(simd.mul(x, x), simd.splat(GELU_SLOPE * GELU_CUBIC), simd.splat(GELU_SLOPE));
    let half = simd.mul(simd.splat(0.5), x);
    simd.mul_add(half, tanh(simd, simd.mul(x, cubic)), half)
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + u), u = e^−|x|.
#[inline(always)]
pub(super) fn softplus<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let u = exp(simd, simd.sub(simd.splat(0.0), abs(simd, x)));
    // ln(1 + u) = 2·artanh s with s = u / (2 + u) ≤ 1/3: the first term left out is below 1e-8 of the sum.
    let s = simd.div(u, simd.add(u, simd.splat(2.0)));
    let square = simd.mul(s, s);
    let series = [2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0];
    simd.mul_add(polynomial(simd, square, &series), s, simd.max(simd.splat(0.0), x))
}

/// x·tanh(ln(1 + eˣ)) = x·n / (n + 2) with n = eˣ·(eˣ + 2).
#[inline(always)]
pub(super) fn mish<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    // Beyond 20 the quotient has long been 1.
    let e = exp(simd, simd.min(simd.splat(20.0), x));
    let n = simd.mul(e, simd.add(e, simd.splat(2.0)));
    simd.mul(x, simd.div(n, simd.add(n, simd.splat(2.0))))
}

/// `gain`·x for x ≥ 0, else `low`·(e^(x·`steep`) − 1).
#[inline(always)]
pub(super) fn exponential<S: Simd>(simd: S, x: S::Vector, steep: f32, low: f32, gain: f32) -> S::Vector {
    let below = simd.mul(simd.splat(low), exp_m1(simd, simd.mul(x, simd.splat(steep))));
    simd.select_less(x, simd.splat(0.0), below, simd.mul(x, simd.splat(gain)))
}
