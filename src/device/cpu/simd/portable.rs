//! Plain Rust over small arrays, for machines without AVX2 and NEON, and as the plain twin of both in tests.

use super::{Level, Simd};

/// Four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const LANES: usize = 4;

#[inline(always)]
fn each(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for i in 0..LANES {
        out[i] = f(a[i], b[i]);
    }
    out
}

impl Simd for Portable {
    type Vector = [f32; LANES];
    const LANES: usize = LANES;
    /// Those of SSE and of NEON.
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };

    #[inline(always)]
    fn splat(self, x: f32) -> Self::Vector {
        [x; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            // Where there is no such instruction, `mul_add` would call a slow function.
            out[i] = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        out
    }

    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn keep_nan(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| if a.is_nan() { a } else { b })
    }

    #[inline(always)]
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn sqrt(self, a: Self::Vector) -> Self::Vector {
        a.map(f32::sqrt)
    }

    #[inline(always)]
    fn round(self, a: Self::Vector) -> Self::Vector {
        if cfg!(target_arch = "aarch64") {
            return a.map(f32::round_ties_even);
        }
        // Without an instruction for it, that would call a slow function: adding 1.5 · 2²³ rounds as well.
        const MAGIC: f32 = 12_582_912.0;
        a.map(|x| if x.abs() < 4_194_304.0 { ((x + MAGIC) - MAGIC).copysign(x) } else { x })
    }

    #[inline(always)]
    fn floor(self, a: Self::Vector) -> Self::Vector {
        a.map(f32::floor)
    }

    #[inline(always)]
    fn scale(self, a: Self::Vector, n: Self::Vector) -> Self::Vector {
        // Two factors, since one may be beyond what a float's exponent holds.
        let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
        each(a, n, |a, n| {
            let n = n as i32;
            a * power(n >> 1) * power(n - (n >> 1))
        })
    }

    #[inline(always)]
    fn select_less(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector {
        let mut out = y;
        for i in 0..LANES {
            out[i] = if a[i] < b[i] { x[i] } else { y[i] };
        }
        out
    }

    #[inline(always)]
    fn level(self) -> Level {
        Level::Portable(self)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::Vector {
        // SAFETY: the caller vouches for LANES floats; an unaligned read needs no alignment.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector {
        let mut out = [0.0; LANES];
        for (i, lane) in out.iter_mut().enumerate().take(count) {
            // SAFETY: i < count, for which the caller vouches.
            *lane = unsafe { *from.add(i) };
        }
        out
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, vector: Self::Vector) {
        // SAFETY: the caller vouches for LANES floats; an unaligned write needs no alignment.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, vector: Self::Vector, count: usize) {
        for (i, lane) in vector.iter().enumerate().take(count) {
            // SAFETY: i < count, for which the caller vouches.
            unsafe { *to.add(i) = *lane };
        }
    }
}
