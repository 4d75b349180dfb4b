//! Means of a perceptron's answers over a background, without writing a row.
//!
//! For rows that mix an instance x with background rows b, the first layer's sums fall apart by player:
//! `h(z, b) = c + Σ_{q ∈ z} W_q x_q + Σ_{q ∉ z} W_q b_q`. The instance's part is one vector for each coalition. Of the
//! background's part, players are cut into a few *parts*, and for a block of background rows the sums of all subsets
//! of a part are tabulated; a coalition then costs an addition for each part, shared by all instances. A coalition that
//! follows its complement costs one subtraction: both add up to the sum over all players.
//!
//! Background rows lie in the lanes of vectors, a *block* of [`Level::lanes`] of them at a time, so layers of any width
//! waste nothing, and the mean over the background is a sum over lanes. A *column* is a coalition and an instance with a
//! block of background rows; [`COLUMNS`] of them pass through the layers (`layers`) together.
//!
//! **Reproducibility.** A task is a fixed number of coalitions and a fixed span of the background; partial sums are
//! f64 and are added in the order of the spans. So the number of threads does not matter.

mod cut;
mod first;
mod head;
mod layers;
mod order;
mod tables;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

pub(super) use self::cut::Asked;
use self::first::First;
pub(super) use self::head::{HeadMemory, Opened, Opening};
use self::layers::Packed;
pub(super) use self::order::Order;
use self::tables::Parts;
use super::memory::{Aligned, LINE};
use super::simd::{Job, Level, Simd};
use crate::device::{MeanSink, Means, MeansForm, MeansReport, check_means};
use crate::model::Activation;
use crate::plan::{Dense, Mixture, Mlp, Plan, human_bytes};
use crate::{Error, Result};

/// Columns that pass through the layers together: weights are read once for several of them, and their activations
/// stay in the first cache.
const COLUMNS: usize = 8;

/// Most bytes of weights behind the first layer: a column reads all of them, so they should stay in the second cache.
const MOST_WEIGHT_BYTES: usize = 1 << 19;

/// Columns of a task for each block of background rows.
const TASK_COLUMNS: usize = 512;

/// Spans into which a large background is cut, at most, and background rows of a span, at least.
const MOST_SPANS: usize = 64;
const LEAST_SPAN_ROWS: usize = 1024;

/// Bytes of partial sums of the tasks between two answers.
const WAVE_BYTES: usize = 16 << 20;

/// Tasks between two answers, at most.
const MOST_WAVE_TASKS: usize = 256;

/// A perceptron, ready for rows that mix instances and background.
pub(super) struct Fused {
    mlp: Mlp,
    /// Memory of earlier tasks.
    scratch: Mutex<Vec<Scratch>>,
}

/// What a task works in.
#[derive(Default)]
struct Scratch {
    /// Background rows of a block, feature by feature: `[features, lanes]`.
    block: Aligned,
    /// What each absent player adds: `[players, width, lanes]`.
    singles: Aligned,
    /// Sums of the subsets of each part: `[subsets of all parts, width, lanes]`.
    tables: Aligned,
    /// Sums over all players, over the leading parts, and over the absent players of a coalition.
    total: Aligned,
    leading: Aligned,
    absent: Aligned,
    /// Activations of the columns, before and behind a layer.
    columns: [Aligned; 2],
    /// The instances' part of each column: `[coalitions, instances, width]`.
    instance: Vec<f32>,
    /// The subset of absent players in each part: `[coalitions, parts]`.
    subsets: Vec<u32>,
    /// Whether a coalition is the complement of the one before.
    mirrored: Vec<bool>,
}

impl Fused {
    /// For plans that are chains of Linear layers of moderate size.
    pub fn of(plan: &Plan) -> Option<Self> {
        let mlp = Mlp::of(plan)?;
        (mlp.later_macs() * size_of::<f32>() <= MOST_WEIGHT_BYTES)
            .then(|| Fused { mlp, scratch: Mutex::default() })
    }

    /// Whether the rows are the network's.
    pub fn fits(&self, mixture: &Mixture) -> bool {
        mixture.suits(self.mlp.layers[0].inputs)
    }

    /// Whether this is the best form: a block of background rows should not be nearly empty.
    pub fn pays(&self, level: Level, mixture: &Mixture) -> bool {
        mixture.background_rows() >= level.lanes() / 4
    }

    /// Computes the means of all groups; see [`Network::means`](crate::device::Network::means).
    ///
    /// # Errors
    /// [`Error::Limits`] if the threads' tables do not fit under the cap, [`Error::Numeric`] if an answer is NaN or
    /// infinite, and whatever `sink` returns.
    pub fn run(
        &self,
        level: Level,
        mixture: &Mixture,
        means: &Means<'_>,
        cap_bytes: u64,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        let run = Run::new(&self.mlp, level, mixture, means, cap_bytes)?;
        let (coalitions, instances) = (mixture.coalitions(), mixture.instance_rows());
        let spans = run.spans();
        let task_bytes = run.task_coalitions * instances * means.outputs.len() * size_of::<f64>();
        let wave = (WAVE_BYTES / (task_bytes * spans).max(1)).clamp(1, (MOST_WAVE_TASKS / spans).max(1));
        let wave = wave * run.task_coalitions;
        for first in (0..coalitions).step_by(wave.max(1)) {
            let end = (first + wave).min(coalitions);
            let blocks = (end - first).div_ceil(run.task_coalitions);
            let sums = (0..blocks * spans).into_par_iter().map(|task| {
                let start = first + task / spans * run.task_coalitions;
                let task = Task {
                    run: &run,
                    coalitions: start..(start + run.task_coalitions).min(end),
                    span: task % spans,
                };
                let mut scratch = self.take();
                let mut sums = vec![0.0; task.coalitions.len() * instances * means.outputs.len()];
                level.run(TaskJob { task: &task, scratch: &mut scratch, sums: &mut sums });
                self.give(scratch);
                sums
            });
            let sums: Vec<Vec<f64>> = sums.collect();
            let mut all = Vec::with_capacity((end - first) * instances * means.outputs.len());
            for spans in sums.chunks(spans) {
                let start = all.len();
                all.extend_from_slice(&spans[0]);
                for span in &spans[1..] {
                    all[start..].iter_mut().zip(span).for_each(|(sum, more)| *sum += more);
                }
            }
            check_means(first * instances, means.outputs, &all)?;
            sink(first * instances..end * instances, &all)?;
        }
        Ok(MeansReport { form: MeansForm::Fused })
    }

    fn take(&self) -> Scratch {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, scratch: Scratch) {
        let mut kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < rayon::current_num_threads() {
            kept.push(scratch);
        }
    }
}

/// A run's constants.
struct Run<'a> {
    mlp: Mlp,
    mixture: &'a Mixture,
    /// Of each coalition, whether it is the complement of the one before.
    mirrored: Vec<bool>,
    weights: &'a [f64],
    /// The asked outputs, as the cut network numbers them.
    outputs: Vec<usize>,
    /// Layers behind the first.
    layers: Vec<Packed>,
    parts: Parts,
    first: First,
    lanes: usize,
    task_coalitions: usize,
    span_rows: usize,
}

impl<'a> Run<'a> {
    fn new(mlp: &Mlp, level: Level, mixture: &'a Mixture, means: &Means<'a>, cap_bytes: u64) -> Result<Self> {
        let (mlp, outputs) = mlp.asked(means.outputs);
        let lanes = level.lanes();
        let task_coalitions = (TASK_COLUMNS / mixture.instance_rows().max(1)).clamp(32, TASK_COLUMNS);
        let width = mlp.layers[0].outputs;
        let first = First::new(&mlp.layers[0], |row| mlp.prepare(row), mixture, width);
        let rows = mixture.background_rows();
        let span_rows = rows.div_ceil(MOST_SPANS).max(LEAST_SPAN_ROWS).next_multiple_of(lanes);
        let rows_of_task = task_coalitions.min(mixture.coalitions());
        let parts = Parts::new(mixture.player_count, width * lanes * size_of::<f32>(), rows_of_task);
        let layers = mlp.layers[1..].iter().map(|layer| Packed::new(level, layer)).collect();
        let run = Run {
            mixture,
            mirrored: mixture.mirrored(),
            weights: means.weights,
            outputs,
            layers,
            parts,
            first,
            lanes,
            task_coalitions,
            span_rows,
            mlp,
        };
        let scratch = 4 * (run.scratch_floats() + (run.first.always.len() + run.first.present.len())) as u64;
        let needed = scratch * rayon::current_num_threads() as u64;
        if needed > cap_bytes {
            return Err(Error::limits(
                format!(
                    "the tables of this game need {}, {} are allowed",
                    human_bytes(needed),
                    human_bytes(cap_bytes)
                ),
                "memory cap",
                format!("allow at least {} with --memory", human_bytes(needed)),
            ));
        }
        Ok(run)
    }

    /// Outputs of the first layer.
    fn width(&self) -> usize {
        self.mlp.layers[0].outputs
    }

    fn widest(&self) -> usize {
        self.mlp.layers.iter().map(|layer| layer.outputs).max().unwrap_or(0)
    }

    fn spans(&self) -> usize {
        self.mixture.background_rows().div_ceil(self.span_rows).max(1)
    }

    fn scratch_floats(&self) -> usize {
        let (width, players) = (self.width(), self.mixture.player_count);
        let sums = self.parts.subsets() + players + 3;
        (sums * width + 2 * COLUMNS * self.widest() + self.mixture.features) * self.lanes
            + self.task_coalitions * (self.mixture.instance_rows() * width + self.parts.ranges.len())
    }
}

/// Some coalitions against a span of the background.
struct Task<'a> {
    run: &'a Run<'a>,
    coalitions: std::ops::Range<usize>,
    span: usize,
}

struct TaskJob<'a> {
    task: &'a Task<'a>,
    scratch: &'a mut Scratch,
    /// `[coalitions, instances, outputs]`
    sums: &'a mut [f64],
}

impl Task<'_> {
    /// What does not depend on the background.
    fn prepare(&self, scratch: &mut Scratch) {
        let Run { mixture, mirrored: mirrors, parts, first: First { always, present, .. }, .. } = self.run;
        let (width, players, instances) = (self.run.width(), mixture.player_count, mixture.instance_rows());
        let words =
            |coalition: usize| &mixture.masks[coalition * mixture.words_per_row..][..mixture.words_per_row];
        scratch.instance.clear();
        scratch.subsets.clear();
        scratch.mirrored.clear();
        for coalition in self.coalitions.clone() {
            for instance in 0..instances {
                let start = scratch.instance.len();
                scratch.instance.extend_from_slice(&always[instance * width..][..width]);
                let sum = &mut scratch.instance[start..];
                for player in 0..players {
                    if mixture.contains(coalition, player as u32) {
                        let more = &present[(instance * players + player) * width..][..width];
                        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                    }
                }
            }
            scratch.subsets.extend(parts.ranges.iter().map(|part| tables::absent(words(coalition), part)));
            // A single part's table has the complement itself; another task's sums are not at hand.
            let mirrored = parts.ranges.len() > 1 && coalition > self.coalitions.start;
            scratch.mirrored.push(mirrored && mirrors[coalition]);
        }
    }

    /// Background rows `first..` of a block, feature by feature; the last row stands in for those beyond the span.
    fn load_block(&self, first: usize, end: usize, row: &mut [f32], block: &mut [f32]) {
        let Run { mixture, mlp, lanes, .. } = self.run;
        for lane in 0..*lanes {
            let from = (first + lane).min(end - 1);
            row.copy_from_slice(&mixture.background[from * mixture.features..][..mixture.features]);
            mlp.prepare(row);
            for (feature, &value) in row.iter().enumerate() {
                block[feature * lanes + lane] = value;
            }
        }
    }
}

impl Job for TaskJob<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let TaskJob { task, scratch, sums } = self;
        let run = task.run;
        task.prepare(scratch);
        let lanes = S::LANES;
        let (width, players, instances) =
            (run.width(), run.mixture.player_count, run.mixture.instance_rows());
        let size = width * lanes;
        scratch.block.reserve(run.mixture.features * lanes);
        scratch.singles.reserve(players * size);
        scratch.tables.reserve(run.parts.subsets() * size);
        for sum in [&mut scratch.total, &mut scratch.leading, &mut scratch.absent] {
            sum.reserve(size);
        }
        for columns in &mut scratch.columns {
            columns.reserve(COLUMNS * run.widest() * lanes);
        }
        let rows = run.mixture.background_rows();
        let span = task.span * run.span_rows..((task.span + 1) * run.span_rows).min(rows);
        let mut row = vec![0.0; run.mixture.features];
        for first in span.clone().step_by(lanes) {
            let mut weights = [0.0f64; LINE];
            let live = lanes.min(span.end - first);
            weights[..live].copy_from_slice(&run.weights[first..first + live]);
            task.load_block(first, span.end, &mut row, scratch.block.as_mut_slice());
            tables::singles(
                simd,
                &run.mlp.layers[0],
                &run.first.features,
                &scratch.block,
                &mut scratch.singles,
            );
            tables::fill(simd, &run.parts, size, &scratch.singles, &mut scratch.tables, &mut scratch.total);
            // Of an infinite sum no complement is left.
            let finite = scratch.total.as_slice()[..size].iter().all(|sum| sum.is_finite());
            let mut walk = tables::Walk::new(&run.parts, size);
            let mut waiting = 0;
            for number in 0..task.coalitions.len() {
                walk.step(
                    simd,
                    number,
                    scratch.mirrored[number] && finite,
                    &scratch.subsets,
                    tables::Sums {
                        tables: scratch.tables.as_slice(),
                        total: scratch.total.as_slice(),
                        leading: scratch.leading.as_mut_slice(),
                        absent: scratch.absent.as_mut_slice(),
                    },
                );
                for instance in 0..instances {
                    let column = number * instances + instance;
                    open(
                        simd,
                        &run.mlp.layers[0],
                        &scratch.instance[column * width..][..width],
                        &scratch.absent.as_slice()[..size],
                        &mut scratch.columns[0].as_mut_slice()[waiting * size..][..size],
                    );
                    waiting += 1;
                    if waiting == COLUMNS || column + 1 == task.coalitions.len() * instances {
                        let first_column = column + 1 - waiting;
                        let outputs = run.outputs.len();
                        let sums = &mut sums[first_column * outputs..][..waiting * outputs];
                        close(simd, run, &mut scratch.columns, waiting, &weights[..lanes], sums);
                        waiting = 0;
                    }
                }
            }
        }
    }
}

/// Adds instance and background and applies the first layer's activation.
#[inline(always)]
fn open<S: Simd>(simd: S, layer: &Dense, instance: &[f32], absent: &[f32], column: &mut [f32]) {
    let activation = layer.activation;
    let sums = instance.iter().zip(absent.chunks_exact(S::LANES)).zip(column.chunks_exact_mut(S::LANES));
    // SAFETY (both loops): both chunks hold LANES floats.
    match activation {
        // The usual one, without asking for every vector which one it is.
        Activation::Relu => {
            for ((&instance, absent), to) in sums {
                unsafe {
                    let sum = simd.add(simd.load(absent.as_ptr()), simd.splat(instance));
                    simd.store(to.as_mut_ptr(), simd.activate(Activation::Relu, sum));
                }
            }
        }
        _ => {
            for ((&instance, absent), to) in sums {
                unsafe {
                    let sum = simd.add(simd.load(absent.as_ptr()), simd.splat(instance));
                    simd.store(to.as_mut_ptr(), simd.activate(activation, sum));
                }
            }
        }
    }
    // SAFETY: the column's own floats.
    unsafe { simd.finish(activation, column.as_mut_ptr(), column.len()) };
}

/// Σ x·w in f64, four sums beside each other (lanes are a multiple of four).
#[inline(always)]
fn weighted_sum(answers: &[f32], weights: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    for (x, w) in answers.chunks_exact(4).zip(weights.chunks_exact(4)) {
        for at in 0..4 {
            sums[at] += f64::from(x[at]) * w[at];
        }
    }
    sums[0] + sums[1] + (sums[2] + sums[3])
}

/// Takes `count` columns through the other layers and adds their weighted answers to `sums` `[count, outputs]`.
#[inline(always)]
fn close<S: Simd>(
    simd: S,
    run: &Run<'_>,
    columns: &mut [Aligned; 2],
    count: usize,
    weights: &[f64],
    sums: &mut [f64],
) {
    let [from, to] = columns;
    let (mut from, mut to) = (from, to);
    for layer in &run.layers {
        layer.run(simd, count, from.as_slice(), to.as_mut_slice());
        std::mem::swap(&mut from, &mut to);
    }
    let width = run.mlp.layers.last().map_or(0, |layer| layer.outputs);
    let size = width * S::LANES;
    for (column, sums) in
        from.as_mut_slice().chunks_exact_mut(size).take(count).zip(sums.chunks_exact_mut(run.outputs.len()))
    {
        if let Some(log) = run.mlp.softmax {
            layers::softmax(simd, column, log);
        }
        for (sum, &output) in sums.iter_mut().zip(&run.outputs) {
            *sum += weighted_sum(&column[output * S::LANES..][..S::LANES], weights);
        }
    }
}
