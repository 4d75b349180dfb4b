//! Normalisation over rows and groups of channels, and local response normalisation.

use std::ops::Range;
use std::sync::Arc;

use super::compiled::Executable;
use super::memory::{Operands, Rows, Workspace};
use super::simd::{Job, Level, Simd};
use crate::model::NormKind;
use crate::plan::{Lrn, Normalize, Plan, WeightId};

/// Rows that are summed before they join the total: sums of many small numbers lose less this way.
const RUN: usize = 64;

/// A [`Normalize`] with its constants.
pub(crate) struct Normalization {
    step: Normalize,
    /// `[channels]`
    scale: Option<Arc<[f32]>>,
    /// `[channels]`
    shift: Option<Arc<[f32]>>,
}

impl Normalization {
    /// Finds the constants.
    pub fn new(plan: &Plan, step: &Normalize) -> Self {
        let constant = |id: Option<WeightId>| id.map(|id| plan.weights[id].data.clone());
        Normalization { step: *step, scale: constant(step.scale), shift: constant(step.shift) }
    }
}

impl Executable for Normalization {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn scratch_floats(&self, _samples: usize) -> usize {
        PARTS * self.step.channels()
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, work: &mut Workspace) {
        work.scratch.reserve(self.scratch_floats(operands.samples));
        let scratch = &mut work.scratch.as_mut_slice()[..PARTS * self.step.channels()];
        level.run(Normalizing { norm: self, operands, scratch });
    }
}

/// Rows of scratch: sums, sums of a run of rows, and for each channel what is subtracted and the factor.
const PARTS: usize = 4;

struct Normalizing<'a> {
    norm: &'a Normalization,
    operands: &'a Operands,
    /// `[PARTS, channels]`
    scratch: &'a mut [f32],
}

impl Job for Normalizing<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Normalize { kind, outer, len, groups, width, activation, .. } = self.norm.step;
        let channels = groups * width;
        let (sums, rest) = self.scratch.split_at_mut(channels);
        let (run, rest) = rest.split_at_mut(channels);
        let (centres, factors) = rest.split_at_mut(channels);
        for sample in 0..self.operands.samples {
            for o in 0..outer {
                let set = Set { rows: self.operands.input, sample, first: o * len, len, groups, width };
                centres.fill(0.0);
                // SAFETY: rows first .. first + len of the sample have `channels` elements, as have the scratch's parts.
                unsafe {
                    if matches!(kind, NormKind::Standard { .. }) {
                        set.means(simd, centres, run, sums, |x| x);
                        spread(sums, centres, width, |mean| mean);
                    }
                    match kind {
                        NormKind::L1 => {
                            let zero = simd.splat(0.0);
                            set.means(simd, centres, run, sums, |x| simd.max(simd.sub(zero, x), x));
                        }
                        _ => set.means(simd, centres, run, sums, |x| simd.mul(x, x)),
                    }
                }
                spread(sums, factors, width, |mean| factor(kind, mean, len * width));
                if let Some(scale) = &self.norm.scale {
                    factors.iter_mut().zip(scale.iter()).for_each(|(factor, scale)| *factor *= scale);
                }
                for row in o * len..(o + 1) * len {
                    for c in (0..channels).step_by(S::LANES) {
                        let left = channels - c;
                        // SAFETY: as above; so have the output's rows and the constants.
                        unsafe {
                            let x = simd.load_upto(self.operands.input.row(sample, row).add(c), left);
                            let x = simd.sub(x, simd.load_upto(centres.as_ptr().add(c), left));
                            let shift = match &self.norm.shift {
                                Some(shift) => simd.load_upto(shift.as_ptr().add(c), left),
                                None => simd.splat(0.0),
                            };
                            let y = simd.mul_add(x, simd.load_upto(factors.as_ptr().add(c), left), shift);
                            let out = self.operands.output.row(sample, row).add(c);
                            simd.store_upto(out, simd.activate(activation, y), left);
                        }
                    }
                    // SAFETY: the row has this many elements.
                    unsafe { simd.finish(activation, self.operands.output.row(sample, row), channels) };
                }
            }
        }
    }
}

/// What a centred element is multiplied by, given the mean of the squares (of the absolute values for L1).
fn factor(kind: NormKind, mean: f32, count: usize) -> f32 {
    let mean = f64::from(mean);
    let norm = match kind {
        NormKind::Standard { epsilon } | NormKind::RootMeanSquare { epsilon } => {
            (mean + f64::from(epsilon)).sqrt()
        }
        NormKind::L1 => mean * count as f64,
        NormKind::L2 => (mean * count as f64).sqrt(),
    };
    if norm == 0.0 && matches!(kind, NormKind::L1 | NormKind::L2) { 0.0 } else { (1.0 / norm) as f32 }
}

/// Gives each channel its group's number.
fn spread(groups: &[f32], channels: &mut [f32], width: usize, f: impl Fn(f32) -> f32) {
    for (channels, &group) in channels.chunks_exact_mut(width).zip(groups) {
        channels.fill(f(group));
    }
}

/// Elements that are normalised together: rows × channels, for each group of channels.
struct Set {
    rows: Rows,
    sample: usize,
    first: usize,
    len: usize,
    groups: usize,
    width: usize,
}

impl Set {
    /// Writes the mean of f(x − centre) of each group into the first `groups` elements of `means`.
    ///
    /// # Safety
    /// The rows, `centres`, `run` and `means` have `groups` · `width` elements.
    #[inline(always)]
    unsafe fn means<S: Simd>(
        &self,
        simd: S,
        centres: &[f32],
        run: &mut [f32],
        means: &mut [f32],
        f: impl Fn(S::Vector) -> S::Vector,
    ) {
        let channels = self.groups * self.width;
        let count = (self.len * self.width) as f64;
        // SAFETY: row < len and c < channels.
        let term = |row: usize, c: usize| unsafe {
            let x = simd.load_upto(self.rows.row(self.sample, self.first + row).add(c), channels - c);
            // Lanes beyond the last channel are 0 − 0.
            f(simd.sub(x, simd.load_upto(centres.as_ptr().add(c), channels - c)))
        };
        if self.groups == 1 {
            let mut lanes = [0.0; 16];
            let mut total = 0.0f64;
            for row in 0..self.len {
                for first in (0..channels).step_by(RUN * S::LANES) {
                    let mut part = simd.splat(0.0);
                    for c in (first..channels.min(first + RUN * S::LANES)).step_by(S::LANES) {
                        part = simd.add(part, term(row, c));
                    }
                    // SAFETY: no vector has more than 16 lanes.
                    unsafe { simd.store(lanes.as_mut_ptr(), part) };
                    total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
                }
            }
            means[0] = (total / count) as f32;
            return;
        }
        means.fill(0.0);
        for first in (0..self.len).step_by(RUN) {
            for c in (0..channels).step_by(S::LANES) {
                let mut part = simd.splat(0.0);
                for row in first..self.len.min(first + RUN) {
                    part = simd.add(part, term(row, c));
                }
                // SAFETY: `run` has `channels` elements.
                unsafe { simd.store_upto(run.as_mut_ptr().add(c), part, channels - c) };
            }
            means.iter_mut().zip(run.iter()).for_each(|(total, part)| *total += part);
        }
        for group in 0..self.groups {
            let total: f64 = means[group * self.width..][..self.width].iter().map(|&x| f64::from(x)).sum();
            // This group's and later sums lie at or behind its place.
            means[group] = (total / count) as f32;
        }
    }
}

impl Executable for Lrn {
    fn name(&self) -> &'static str {
        "lrn"
    }

    fn scratch_floats(&self, _samples: usize) -> usize {
        self.channels + self.response.size
    }

    unsafe fn run(&self, level: Level, operands: &Operands, _panels: Range<usize>, work: &mut Workspace) {
        work.scratch.reserve(self.scratch_floats(operands.samples));
        let squares = &mut work.scratch.as_mut_slice()[..self.channels + self.response.size];
        level.run(Responding { lrn: self, operands, squares });
    }
}

struct Responding<'a> {
    lrn: &'a Lrn,
    operands: &'a Operands,
    /// Squares of a row with zeros around them.
    squares: &'a mut [f32],
}

impl Job for Responding<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Lrn { rows, channels, response } = *self.lrn;
        let before = (response.size - 1) / 2;
        self.squares.fill(0.0);
        let one = simd.splat(1.0);
        for (sample, row) in (0..self.operands.samples).flat_map(|n| (0..rows).map(move |row| (n, row))) {
            // SAFETY (whole loop): the rows have `channels` elements and the squares `size` more.
            unsafe {
                let from = self.operands.input.row(sample, row);
                let to = self.operands.output.row(sample, row);
                for c in (0..channels).step_by(S::LANES) {
                    let x = simd.load_upto(from.add(c), channels - c);
                    let square = simd.mul(x, x);
                    simd.store_upto(self.squares.as_mut_ptr().add(before + c), square, channels - c);
                }
                for c in (0..channels).step_by(S::LANES) {
                    let left = channels - c;
                    let mut sum = simd.splat(0.0);
                    for k in 0..response.size {
                        sum = simd.add(sum, simd.load_upto(self.squares.as_ptr().add(c + k), left));
                    }
                    let alpha = simd.splat(response.alpha / response.size as f32);
                    let base = simd.mul_add(sum, alpha, simd.splat(response.bias));
                    if response.beta == 0.75 {
                        let root = simd.sqrt(base);
                        let power = simd.mul(root, simd.sqrt(root));
                        let x = simd.load_upto(from.add(c), left);
                        simd.store_upto(to.add(c), simd.mul(x, simd.div(one, power)), left);
                    } else {
                        simd.store_upto(to.add(c), base, left);
                        for at in c..channels.min(c + S::LANES) {
                            *to.add(at) = *from.add(at) * (*to.add(at)).powf(-response.beta);
                        }
                    }
                }
            }
        }
    }
}
