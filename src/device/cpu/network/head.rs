//! Means where instance and background meet behind the first layer and the plan's other steps run as they are.

use std::ops::Range;

use rayon::prelude::*;

use super::super::fused::{Opening, Order};
use super::super::memory::Rows;
use super::chunk::{Chunk, Shared};
use super::{CpuNetwork, DEFAULT_CAP_BYTES, Memory, lock};
use crate::device::{MeanSink, Means, MeansForm, MeansReport, RunOptions, check_finite};
use crate::perturb::Expander;
use crate::plan::human_bytes;
use crate::{Error, Result};

/// Groups whose answers a thread adds up at a time.
const GROUPS: usize = 32;

/// How a run with a head goes.
pub(super) struct HeadRun {
    /// Coalitions and background rows of a stretch,
    coalitions: usize,
    background: usize,
    /// rows of a chunk, and of the largest tile.
    chunk_rows: usize,
    largest_tile: usize,
}

impl CpuNetwork {
    /// Decides how a run goes under the cap on memory.
    ///
    /// # Errors
    /// [`Error::Limits`] if it cannot.
    pub(super) fn head_run(&self, opening: &Opening<'_>, options: &RunOptions) -> Result<HeadRun> {
        let cap = options.memory_bytes.unwrap_or(DEFAULT_CAP_BYTES);
        let threads = rayon::current_num_threads();
        // This form may have half of the cap, three quarters of that for what grows with a stretch; the steps have the rest.
        let (coalitions, background) = (opening.coalitions(cap / 4), opening.background_rows(cap / 8));
        let needed = opening.bytes(coalitions, background, threads);
        let rest = RunOptions { memory_bytes: Some(cap.saturating_sub(needed)), ..options.clone() };
        let rows = coalitions * opening.asked.mixture.instance_rows() * background;
        match self.schedule(rows, None, &rest) {
            Ok((schedule, largest_tile)) if needed <= cap / 2 => {
                Ok(HeadRun { coalitions, background, chunk_rows: schedule.chunk_rows, largest_tile })
            }
            _ => {
                let least = opening.bytes(1, 1, threads) + self.thread_bytes(1) + self.sample_bytes();
                Err(Error::limits(
                    format!("the tables of this game do not fit under {}", human_bytes(cap)),
                    "memory cap",
                    format!("allow at least {} with --memory", human_bytes(least.saturating_mul(2))),
                ))
            }
        }
    }

    /// Computes the means of all groups.
    ///
    /// # Errors
    /// [`Error::Numeric`] if an answer is NaN or infinite, and whatever `sink` returns.
    pub(super) fn means_by_head(
        &self,
        expander: &dyn Expander,
        opening: &Opening<'_>,
        run: &HeadRun,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<MeansReport> {
        let mut memory = self.take_memory();
        memory.prepare(options);
        let done = self.head_in(&mut memory, expander, opening, run, means, options, sink);
        *lock(&self.memory) = memory;
        done.map(|()| MeansReport { form: MeansForm::Fused })
    }

    #[allow(clippy::too_many_arguments, reason = "those of a run")]
    fn head_in(
        &self,
        memory: &mut Memory,
        expander: &dyn Expander,
        opening: &Opening<'_>,
        run: &HeadRun,
        means: &Means<'_>,
        options: &RunOptions,
        sink: &mut MeanSink<'_>,
    ) -> Result<()> {
        let (all, instances) = (opening.asked.mixture.coalitions(), opening.asked.mixture.instance_rows());
        for first in (0..all).step_by(run.coalitions) {
            let coalitions = first..(first + run.coalitions).min(all);
            let groups = first * instances..coalitions.end * instances;
            opening.meet(coalitions.clone(), &mut memory.head);
            let mut sums = std::mem::take(&mut memory.head.sums);
            sums.clear();
            sums.resize(groups.len() * means.outputs.len(), 0.0);
            // The first row, as the caller counts them, whose answer is no number, and the answer.
            let mut strange: Option<(usize, Vec<f32>)> = None;
            for start in (0..means.weights.len()).step_by(run.background) {
                let background = start..(start + run.background).min(means.weights.len());
                let opened = opening.tabulate(coalitions.clone(), background.clone(), &mut memory.head);
                let order = opened.order;
                let chunk_rows = run.chunk_rows.min(order.len());
                memory.shared.reserve(self.layout.shared_floats() * chunk_rows);
                for start in (0..order.len()).step_by(chunk_rows) {
                    options.cancel.check()?;
                    let chunk = Chunk {
                        rows: start..(start + chunk_rows).min(order.len()),
                        expander,
                        locality: None,
                        block: None,
                        head: Some(&opened),
                        largest_tile: run.largest_tile,
                        shared: Shared(memory.shared.as_mut_slice().as_mut_ptr()),
                        threads: &memory.threads,
                    };
                    self.run_chunk(&chunk);
                    let answers = Answers {
                        first: self.responses(&chunk),
                        len: self.plan.outputs,
                        order,
                        rows: chunk.rows.clone(),
                    };
                    let weights = &means.weights[background.clone()];
                    if let Some(found) = answers.add_up(weights, means.outputs, &mut sums) {
                        let number = (groups.start + found.group) * means.weights.len()
                            + background.start
                            + found.background;
                        if strange.as_ref().is_none_or(|(known, _)| number < *known) {
                            strange = Some((number, answers.of(found.row).to_vec()));
                        }
                    }
                }
            }
            if let Some((row, answer)) = strange {
                check_finite(row, self.plan.outputs, &answer)?;
            }
            sink(groups, &sums)?;
            memory.head.sums = sums;
        }
        Ok(())
    }
}

/// The answers of a chunk.
struct Answers {
    /// Where they are, from the chunk's first row on,
    first: Rows,
    /// and how long one is.
    len: usize,
    order: Order,
    /// The chunk's rows.
    rows: Range<usize>,
}

/// A row whose answer is no number; the first one is the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Strange {
    /// Its group and background row,
    group: usize,
    background: usize,
    /// and where it is in the stretch.
    row: usize,
}

// SAFETY: addresses of what nobody writes while they are read.
unsafe impl Sync for Answers {}

impl Answers {
    /// The answer of a row of the chunk.
    fn of(&self, row: usize) -> &[f32] {
        assert!(self.rows.contains(&row));
        // SAFETY: the output lies in the chunk's memory (it is read after the last segment), which has room for every row.
        unsafe { std::slice::from_raw_parts(self.first.row(row - self.rows.start, 0), self.len) }
    }

    /// Adds each group's weighted answers to its sums, in the order of the background. Gives the first row that has an answer
    /// that is no number, if one has.
    fn add_up(&self, weights: &[f64], outputs: &[usize], sums: &mut [f64]) -> Option<Strange> {
        let wanted = outputs.len();
        let touched = self.order.groups_of(self.rows.clone());
        let sums = &mut sums[touched.start * wanted..touched.end * wanted];
        let strange = sums.par_chunks_mut(GROUPS * wanted).enumerate().filter_map(|(number, sums)| {
            let first = touched.start + number * GROUPS;
            let groups = first..first + sums.len() / wanted;
            let mut strange: Option<Strange> = None;
            for piece in self.order.pieces(self.rows.clone()) {
                let each = piece.background.len();
                let first = groups.start.max(piece.rows.start / each);
                let end = groups.end.min(piece.rows.end.div_ceil(each));
                for group in first..end {
                    let sums = &mut sums[(group - groups.start) * wanted..][..wanted];
                    let rows = group * each..(group + 1) * each;
                    for at in rows.start.max(piece.rows.start)..rows.end.min(piece.rows.end) {
                        let background = piece.background.start + (at - rows.start);
                        let row = piece.first + at;
                        let answer = self.of(row);
                        for (sum, &output) in sums.iter_mut().zip(outputs) {
                            *sum += weights[background] * f64::from(answer[output]);
                        }
                        // Without a branch for each number.
                        let largest =
                            answer.iter().fold(0, |most: u32, x| most.max(x.to_bits() & 0x7fff_ffff));
                        if largest >= f32::INFINITY.to_bits() {
                            let found = Strange { group, background, row };
                            strange = Some(strange.map_or(found, |known| known.min(found)));
                        }
                    }
                }
            }
            strange
        });
        strange.min()
    }
}
