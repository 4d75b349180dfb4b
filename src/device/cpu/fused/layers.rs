//! Linear layers over columns whose samples lie in the lanes of vectors.

use super::super::memory::Aligned;
use super::super::simd::{Level, Simd};
use crate::model::Activation;
use crate::plan::Dense;

/// A layer with its weights in the order in which they are read: blocks of 8, 4, 2 or 1 outputs, `[inputs, outputs of
/// the block]` each.
pub(super) struct Packed {
    weights: Aligned,
    /// First output, number of outputs, and start of the weights.
    blocks: Vec<[usize; 3]>,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
}

impl Packed {
    pub fn new(level: Level, layer: &Dense) -> Self {
        // 32 registers hold 8 · 2 sums, 16 registers 4 · 2.
        let most = if level.lanes() >= 16 { 8 } else { 4 };
        let mut weights = Aligned::zeros(layer.inputs * layer.outputs);
        let all = weights.as_mut_slice();
        let mut blocks = Vec::new();
        let (mut first, mut start) = (0, 0);
        while first < layer.outputs {
            let count = [8, 4, 2].into_iter().find(|&n| n <= most && n <= layer.outputs - first).unwrap_or(1);
            for input in 0..layer.inputs {
                let row = &layer.weight[input * layer.outputs + first..][..count];
                all[start + input * count..][..count].copy_from_slice(row);
            }
            blocks.push([first, count, start]);
            first += count;
            start += count * layer.inputs;
        }
        Packed {
            weights,
            blocks,
            bias: layer.bias.clone(),
            inputs: layer.inputs,
            outputs: layer.outputs,
            activation: layer.activation,
        }
    }

    /// `to[column, o] = act(Σ_k from[column, k] · w[k, o] + bias[o])` for `columns` columns of `[inputs, lanes]`.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, columns: usize, from: &[f32], to: &mut [f32]) {
        assert!(from.len() >= columns * self.inputs * S::LANES);
        assert!(to.len() >= columns * self.outputs * S::LANES);
        assert!(self.weights.len() >= self.inputs * self.outputs && self.bias.len() == self.outputs);
        for &[first, count, start] in &self.blocks {
            // About as many sums for each number of outputs: enough to hide the latency of their additions.
            let together = if count == 8 { 2 } else { (if S::LANES >= 16 { 16 } else { 8 } / count).min(8) };
            let mut column = 0;
            while column < columns {
                let whole = column + together <= columns;
                // SAFETY: the lengths above; `blocks` covers the outputs and weights once.
                unsafe {
                    let from = from.as_ptr().add(column * self.inputs * S::LANES);
                    let to = to.as_mut_ptr().add((column * self.outputs + first) * S::LANES);
                    let weights = self.weights.as_slice().as_ptr().add(start);
                    match (count, if whole { together } else { 1 }) {
                        (8, 2) => self.block::<S, 8, 2>(simd, first, weights, from, to),
                        (8, _) => self.block::<S, 8, 1>(simd, first, weights, from, to),
                        (4, 4) => self.block::<S, 4, 4>(simd, first, weights, from, to),
                        (4, 2) => self.block::<S, 4, 2>(simd, first, weights, from, to),
                        (4, _) => self.block::<S, 4, 1>(simd, first, weights, from, to),
                        (2, 8) => self.block::<S, 2, 8>(simd, first, weights, from, to),
                        (2, 4) => self.block::<S, 2, 4>(simd, first, weights, from, to),
                        (2, _) => self.block::<S, 2, 1>(simd, first, weights, from, to),
                        (_, 8) => self.block::<S, 1, 8>(simd, first, weights, from, to),
                        (_, _) => self.block::<S, 1, 1>(simd, first, weights, from, to),
                    }
                }
                column += if whole { together } else { 1 };
            }
        }
    }

    /// `N` outputs of `C` columns.
    ///
    /// # Safety
    /// `weights` holds `[inputs, N]`, `from` `C` columns, `to` the same columns from output `first` on, N of them.
    #[inline(always)]
    unsafe fn block<S: Simd, const N: usize, const C: usize>(
        &self,
        simd: S,
        first: usize,
        weights: *const f32,
        from: *const f32,
        to: *mut f32,
    ) {
        let lanes = S::LANES;
        let mut sums = [[simd.splat(0.0); C]; N];
        for (o, sums) in sums.iter_mut().enumerate() {
            *sums = [simd.splat(self.bias[first + o]); C];
        }
        // SAFETY (whole body): by the caller's promise.
        unsafe {
            for k in 0..self.inputs {
                let mut x = [simd.splat(0.0); C];
                for (c, x) in x.iter_mut().enumerate() {
                    *x = simd.load(from.add((c * self.inputs + k) * lanes));
                }
                for (o, sums) in sums.iter_mut().enumerate() {
                    let weight = simd.splat(*weights.add(k * N + o));
                    for c in 0..C {
                        sums[c] = simd.mul_add(x[c], weight, sums[c]);
                    }
                }
            }
            for (o, sums) in sums.iter().enumerate() {
                for (c, &sum) in sums.iter().enumerate() {
                    let to = to.add((c * self.outputs + o) * lanes);
                    simd.store(to, simd.activate(self.activation, sum));
                    simd.finish(self.activation, to, lanes);
                }
            }
        }
    }
}

/// Softmax over the outputs of a column `[outputs, lanes]`, or its logarithm.
#[inline(always)]
pub(super) fn softmax(column: &mut [f32], lanes: usize, log: bool) {
    const MOST: usize = super::LINE;
    let mut most = [f32::NEG_INFINITY; MOST];
    for output in column.chunks_exact(lanes) {
        // Not f32::max alone, which would hide a NaN: exp(NaN − max) brings it back.
        most.iter_mut().zip(output).for_each(|(most, &x)| *most = most.max(x));
    }
    let mut sums = [0.0f32; MOST];
    for output in column.chunks_exact_mut(lanes) {
        for ((x, &most), sum) in output.iter_mut().zip(&most).zip(&mut sums) {
            *x -= most;
            let power = exp(*x);
            *sum += power;
            if !log {
                *x = power;
            }
        }
    }
    for output in column.chunks_exact_mut(lanes) {
        for (x, &sum) in output.iter_mut().zip(&sums) {
            if log { *x -= sum.ln() } else { *x /= sum }
        }
    }
}

/// eˣ for x ≤ 0, within 2 ulp; without branches, so that a loop over lanes becomes vectors.
///
/// x = n ln 2 + r with |r| ≤ ln 2 / 2, ln 2 in two parts (Cody and Waite), and the series of eʳ to the seventh power.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // Below −87 the power of two would leave the normal numbers; a NaN stays.
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LOW, n.mul_add(-HIGH, x));
    let mut series = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = r.mul_add(series, factor);
    }
    let power = f32::from_bits((rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_library() {
        for step in 0..=86_000 {
            let x = -(step as f32) * 1e-3;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "{x}: {} {exact}", exp(x));
        }
        assert!(exp(f32::NAN).is_nan() && exp(-1e9) < 1e-37);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn softmax_by_lane() {
        let mut column = vec![0.0, 1.0, 2.0, f32::NAN, 1.0, 1.0, -200.0, 0.0];
        softmax(&mut column, 4, false);
        assert_eq!(column[1], 0.5);
        assert!((column[0] + column[4] - 1.0).abs() < 1e-6 && column[6] < 1e-30);
        assert!(column[3].is_nan() && column[7].is_nan());
    }
}
