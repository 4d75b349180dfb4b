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
        let most = if level.registers() >= 32 { 8 } else { 4 };
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
            let together =
                if count == 8 { 2 } else { (if S::REGISTERS >= 32 { 16 } else { 8 } / count).min(8) };
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
pub(super) fn softmax<S: Simd>(simd: S, column: &mut [f32], log: bool) {
    let lanes = S::LANES;
    assert!(column.len().is_multiple_of(lanes));
    // SAFETY (all blocks): steps of LANES within the column, by the assertion.
    let mut most = simd.splat(f32::NEG_INFINITY);
    for at in (0..column.len()).step_by(lanes) {
        // A NaN may hide behind another number here: exp(NaN − max) brings it back.
        most = unsafe { simd.max(simd.load(column.as_ptr().add(at)), most) };
    }
    let mut sum = simd.splat(0.0);
    for at in (0..column.len()).step_by(lanes) {
        unsafe {
            let place = column.as_mut_ptr().add(at);
            let less = simd.sub(simd.load(place), most);
            let power = simd.keep_nan(less, simd.exp(less));
            sum = simd.add(sum, power);
            simd.store(place, if log { less } else { power });
        }
    }
    if !log {
        let share = simd.div(simd.splat(1.0), sum);
        for at in (0..column.len()).step_by(lanes) {
            unsafe {
                let place = column.as_mut_ptr().add(at);
                simd.store(place, simd.mul(simd.load(place), share));
            }
        }
        return;
    }
    let mut sums = [0.0f32; super::LINE];
    unsafe { simd.store(sums.as_mut_ptr(), sum) };
    sums.iter_mut().for_each(|sum| *sum = sum.ln());
    for output in column.chunks_exact_mut(lanes) {
        output.iter_mut().zip(&sums).for_each(|(x, sum)| *x -= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::simd::Job;
    use super::*;

    struct Softmax<'a>(&'a mut [f32], bool);

    impl Job for Softmax<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            softmax(simd, self.0, self.1);
        }
    }

    #[test]
    fn softmax_by_lane() {
        for level in Level::all() {
            let lanes = level.lanes();
            let logits = |lane: usize| match lane % 4 {
                0 => [0.0, 1.0, -1.0],
                1 => [1.0, 1.0, 1.0],
                2 => [2.0, -200.0, 0.5],
                _ => [f32::NAN, 0.0, 1.0],
            };
            let column: Vec<f32> = (0..3 * lanes).map(|at| logits(at % lanes)[at / lanes]).collect();
            for log in [false, true] {
                let mut found = column.clone();
                level.run(Softmax(&mut found, log));
                for lane in 0..lanes {
                    let logits = logits(lane).map(f64::from);
                    let most = logits.iter().copied().fold(f64::MIN, f64::max);
                    let sum: f64 = logits.iter().map(|x| (x - most).exp()).sum();
                    for (output, logit) in logits.iter().enumerate() {
                        let exact = if log { logit - most - sum.ln() } else { (logit - most).exp() / sum };
                        let found = f64::from(found[output * lanes + lane]);
                        assert!(found.is_nan() == exact.is_nan(), "{} {lane}", level.name());
                        let near = (found - exact).abs() <= 2e-6 * exact.abs().max(1e-3);
                        assert!(near || exact.is_nan(), "{found} {exact}");
                    }
                }
            }
        }
    }
}
