//! One set of vector operations over several instruction sets.
//!
//! Kernels are written once, as a [`Job`] generic over [`Simd`]. [`Level::run`] compiles a job for each
//! instruction set inside a function with that set's `#[target_feature]`, so that every operation
//! inlines to one instruction. A token ([`Avx512`](x86::Avx512), …) exists only where its instructions
//! were detected: holding one is the proof that they may be executed.

mod finish;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use portable::Portable;

use crate::model::Activation;

/// Vectors of `LANES` floats and what can be done with them.
///
/// A value of the type proves that the machine has the instructions.
pub(crate) trait Simd: Copy {
    /// A vector.
    type Vector: Copy;
    /// Floats in a vector.
    const LANES: usize;
    /// Vectors that the machine has registers for.
    const REGISTERS: usize;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::Vector;
    /// a + b
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a − b
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b + c
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger; `b` or NaN where either is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller; `b` or NaN where either is NaN.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `b`, but NaN where `a` is.
    fn keep_nan(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` floats.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Reads the first `count` floats; the other lanes are 0.
    ///
    /// # Safety
    /// `from` is valid for reads of `count ≤ LANES` floats.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector;
    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// `to` is valid for writes of `LANES` floats.
    unsafe fn store(self, to: *mut f32, vector: Self::Vector);
    /// Writes the first `count` lanes.
    ///
    /// # Safety
    /// `to` is valid for writes of `count ≤ LANES` floats.
    unsafe fn store_first(self, to: *mut f32, vector: Self::Vector, count: usize);

    /// [`load`](Simd::load) or [`load_first`](Simd::load_first).
    ///
    /// # Safety
    /// `from` is valid for reads of `min(count, LANES)` floats.
    #[inline(always)]
    unsafe fn load_upto(self, from: *const f32, count: usize) -> Self::Vector {
        // SAFETY: the caller vouches for min(count, LANES) floats.
        unsafe { if count >= Self::LANES { self.load(from) } else { self.load_first(from, count) } }
    }

    /// [`store`](Simd::store) or [`store_first`](Simd::store_first).
    ///
    /// # Safety
    /// `to` is valid for writes of `min(count, LANES)` floats.
    #[inline(always)]
    unsafe fn store_upto(self, to: *mut f32, vector: Self::Vector, count: usize) {
        // SAFETY: the caller vouches for min(count, LANES) floats.
        unsafe {
            if count >= Self::LANES { self.store(to, vector) } else { self.store_first(to, vector, count) }
        }
    }

    /// a / b
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// √a
    fn sqrt(self, a: Self::Vector) -> Self::Vector;
    /// The nearest integer, the even one of two.
    fn round(self, a: Self::Vector) -> Self::Vector;
    /// The largest integer that is not larger.
    fn floor(self, a: Self::Vector) -> Self::Vector;
    /// a · 2ⁿ for integers −250 ≤ n ≤ 250.
    fn scale(self, a: Self::Vector, n: Self::Vector) -> Self::Vector;
    /// `x` where a < b, else `y`; also where either is NaN.
    fn select_less(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector;
    /// The instruction set of the token.
    fn level(self) -> Level;

    /// eˣ, to two units in the last place.
    #[inline(always)]
    fn exp(self, x: Self::Vector) -> Self::Vector {
        math::exp(self, x)
    }

    /// The activation of each lane; those that take more than a few instructions ([`is_deferred`]) are left for
    /// [`finish`](Simd::finish).
    #[inline(always)]
    fn activate(self, activation: Activation, x: Self::Vector) -> Self::Vector {
        match activation {
            Activation::Relu => self.max(self.splat(0.0), x),
            Activation::LeakyRelu { slope } => {
                let zero = self.splat(0.0);
                self.mul_add(self.splat(slope), self.min(zero, x), self.max(zero, x))
            }
            Activation::Clip { low, high } => self.min(self.splat(high), self.max(self.splat(low), x)),
            Activation::HardSwish => {
                let line = self.mul_add(x, self.splat(1.0 / 6.0), self.splat(0.5));
                self.mul(x, self.min(self.splat(1.0), self.max(self.splat(0.0), line)))
            }
            _ => x,
        }
    }

    /// Applies what [`activate`](Simd::activate) has left to `count` stored elements.
    ///
    /// # Safety
    /// `at` is valid for reads and writes of `count` floats.
    #[inline(always)]
    unsafe fn finish(self, activation: Activation, at: *mut f32, count: usize) {
        if is_deferred(activation) {
            // A function of its own for each instruction set: its many branches would swell every kernel.
            self.level().run(finish::Finish { activation, at, count });
        }
    }

    /// Applies any activation to `count` stored elements.
    ///
    /// # Safety
    /// `at` is valid for reads and writes of `count` floats.
    #[inline(always)]
    unsafe fn apply(self, activation: Activation, at: *mut f32, count: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            if is_deferred(activation) {
                return self.finish(activation, at, count);
            }
            for i in (0..count).step_by(Self::LANES) {
                let x = self.load_upto(at.add(i), count - i);
                self.store_upto(at.add(i), self.activate(activation, x), count - i);
            }
        }
    }
}

/// Whether an activation is applied after the vectors are stored.
#[inline(always)]
pub(crate) fn is_deferred(activation: Activation) -> bool {
    !matches!(
        activation,
        Activation::Identity
            | Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Clip { .. }
            | Activation::HardSwish
    )
}

/// A computation written over any [`Simd`]. Its `run` has to be `#[inline(always)]`, so that it is
/// compiled with the instruction set of its caller.
pub(crate) trait Job {
    /// Does it.
    fn run<S: Simd>(self, simd: S);
}

/// An instruction set that this machine has.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    /// 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
    /// 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    /// 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    /// Whatever the compiler makes of plain loops.
    Portable(Portable),
}

impl Level {
    /// The best instruction set of this machine.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(token) = x86::Avx512::detect() {
                return Level::Avx512(token);
            }
            if let Some(token) = x86::Avx2::detect() {
                return Level::Avx2(token);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(token) = neon::Neon::detect() {
            return Level::Neon(token);
        }
        Level::Portable(Portable)
    }

    /// All instruction sets of this machine, best first.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(x86::Avx512::detect().map(Level::Avx512));
            all.extend(x86::Avx2::detect().map(Level::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::Neon::detect().map(Level::Neon));
        all.push(Level::Portable(Portable));
        all
    }

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "NEON",
            Level::Portable(_) => "portable",
        }
    }

    /// Floats in a vector.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => x86::Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => x86::Avx2::LANES,
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => neon::Neon::LANES,
            Level::Portable(_) => Portable::LANES,
        }
    }

    /// Vectors that the machine has registers for.
    pub fn registers(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => x86::Avx512::REGISTERS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => x86::Avx2::REGISTERS,
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => neon::Neon::REGISTERS,
            Level::Portable(_) => Portable::REGISTERS,
        }
    }

    /// Runs a job with this instruction set.
    #[inline]
    pub fn run<J: Job>(self, job: J) {
        match self {
            // SAFETY: the token proves that the instructions exist.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => unsafe { x86::run_avx512(token, job) },
            // SAFETY: the token proves that the instructions exist.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => unsafe { x86::run_avx2(token, job) },
            // SAFETY: the token proves that the instructions exist.
            #[cfg(target_arch = "aarch64")]
            Level::Neon(token) => unsafe { neon::run_neon(token, job) },
            Level::Portable(token) => job.run(token),
        }
    }
}
