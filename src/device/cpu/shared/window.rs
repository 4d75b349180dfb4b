//! Windows over columns, channel by channel: depthwise convolution and pooling.

use super::columns::{OverColumns, Task};
use crate::device::cpu::direct::bias;
use crate::device::cpu::memory::{Aligned, Taps, Workspace, emptied};
use crate::device::cpu::pool::divisor;
use crate::device::cpu::simd::{Job, Level, Simd};
use crate::model::PoolKind;
use crate::plan::sharing::inside;
use crate::plan::{Conv, Plan, Pool};

/// Columns that a thread takes at once.
const BLOCK: usize = 256;

/// A depthwise convolution.
pub(crate) struct Depthwise {
    conv: Conv,
    /// `[taps, channels]`
    weights: Aligned,
    bias: Vec<f32>,
}

impl Depthwise {
    /// Reorders the weights.
    pub fn new(plan: &Plan, conv: &Conv) -> Self {
        let weight = &plan.weights[conv.weight].data;
        let taps: usize = conv.sliding.window.kernel.iter().product();
        let mut weights = Aligned::zeros(taps * conv.cout);
        for (at, element) in weights.as_mut_slice()[..taps * conv.cout].iter_mut().enumerate() {
            *element = weight[(at % conv.cout) * taps + at / conv.cout];
        }
        Depthwise { conv: conv.clone(), weights, bias: bias(plan, conv) }
    }
}

impl OverColumns for Depthwise {
    fn block(&self) -> usize {
        BLOCK
    }

    unsafe fn run(&self, level: Level, task: &Task<'_>, work: &mut Workspace) {
        level.run(Filtering { step: self, task, taps: &mut work.taps });
    }
}

impl OverColumns for Pool {
    fn block(&self) -> usize {
        BLOCK
    }

    unsafe fn run(&self, level: Level, task: &Task<'_>, work: &mut Workspace) {
        level.run(Pooling { pool: self, task, taps: &mut work.taps });
    }
}

struct Filtering<'a> {
    step: &'a Depthwise,
    task: &'a Task<'a>,
    taps: &'a mut Taps,
}

impl Job for Filtering<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let conv = &self.step.conv;
        let weights = self.step.weights.as_slice().as_ptr();
        let mut sources = emptied(std::mem::take(&mut self.taps.sources));
        let taps = &mut self.taps.reads;
        for group in self.task.groups(self.task.range.clone()) {
            sources.clear();
            inside(&conv.sliding, group.pixel, |tap, pixel| {
                sources.push((tap * conv.cout, self.task.source(&self.task.inputs[0], pixel)));
            });
            let residual = conv.residual.then(|| self.task.source(&self.task.inputs[1], group.pixel));
            for (column, &row) in (group.column..).zip(group.rows) {
                taps.clear();
                // SAFETY: a tap's weights begin there.
                taps.extend(sources.iter().map(|(at, source)| (source.of(row), unsafe { weights.add(*at) })));
                let residual = residual.map(|residual| residual.of(row));
                // SAFETY (rest): every row has the convolution's channels, as have weights and bias.
                let out = unsafe { self.task.output.at(column) };
                for channel in (0..conv.cout).step_by(S::LANES) {
                    let left = conv.cout - channel;
                    unsafe {
                        let mut sum = match self.step.bias.is_empty() {
                            true => simd.splat(0.0),
                            false => simd.load_upto(self.step.bias.as_ptr().add(channel), left),
                        };
                        for &(from, weight) in taps.iter() {
                            let x = simd.load_upto(from.add(channel), left);
                            sum = simd.mul_add(x, simd.load_upto(weight.add(channel), left), sum);
                        }
                        if let Some(residual) = residual {
                            sum = simd.add(sum, simd.load_upto(residual.add(channel), left));
                        }
                        let out = out.add(channel);
                        simd.store_upto(out, simd.activate(conv.activation, sum), left);
                        simd.finish(conv.activation, out, left.min(S::LANES));
                    }
                }
            }
        }
        taps.clear();
        self.taps.sources = emptied(sources);
    }
}

struct Pooling<'a> {
    pool: &'a Pool,
    task: &'a Task<'a>,
    taps: &'a mut Taps,
}

impl Job for Pooling<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Pool { kind, sliding, channels } = self.pool;
        let max = *kind == PoolKind::Max;
        let mut sources = emptied(std::mem::take(&mut self.taps.sources));
        let taps = &mut self.taps.reads;
        for group in self.task.groups(self.task.range.clone()) {
            sources.clear();
            inside(sliding, group.pixel, |tap, pixel| {
                sources.push((tap, self.task.source(&self.task.inputs[0], pixel)));
            });
            let scale = simd.splat(1.0 / divisor(self.pool, group.pixel) as f32);
            for (column, &row) in (group.column..).zip(group.rows) {
                taps.clear();
                taps.extend(sources.iter().map(|(_, source)| (source.of(row), std::ptr::null())));
                // SAFETY (rest): every row has the pool's channels.
                let out = unsafe { self.task.output.at(column) };
                for channel in (0..*channels).step_by(S::LANES) {
                    let left = channels - channel;
                    unsafe {
                        let mut result = simd.splat(if max { f32::NEG_INFINITY } else { 0.0 });
                        for (from, _) in taps.iter() {
                            let tap = simd.load_upto(from.add(channel), left);
                            result = if max {
                                simd.keep_nan(result, simd.max(result, tap))
                            } else {
                                simd.add(result, tap)
                            };
                        }
                        if !max {
                            result = simd.mul(result, scale);
                        }
                        simd.store_upto(out.add(channel), result, left);
                    }
                }
            }
        }
        taps.clear();
        self.taps.sources = emptied(sources);
    }
}
