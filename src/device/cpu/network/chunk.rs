//! A chunk's way through the plan: segments, tiles and steps.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use super::super::fused::Opened;
use super::super::layout::{Place, Segment};
use super::super::memory::{Aligned, Operands, Rows, Workspace};
use super::super::padded::select;
use super::super::shared::{Block, expand};
use super::{CpuNetwork, Thread, lock};
use crate::perturb::Expander;
use crate::plan::{BufferId, Locality, View};

/// Rows that are opened at a time where no tile follows.
const ROWS: usize = 64;

/// One run over one chunk.
pub(super) struct Chunk<'a> {
    pub rows: Range<usize>,
    pub expander: &'a dyn Expander,
    /// What the first layer selects from, if it is masked.
    pub locality: Option<&'a Locality>,
    /// The first steps, if they ran over columns.
    pub block: Option<&'a Block<'a>>,
    /// The rows behind the first layer, if instance and background meet there.
    pub head: Option<&'a Opened<'a>>,
    /// Samples in the largest tile.
    pub largest_tile: usize,
    /// The chunk's memory.
    pub shared: Shared,
    pub threads: &'a [Mutex<Thread>],
}

/// The chunk's memory, of which each thread writes its samples' part.
#[derive(Clone, Copy)]
pub(super) struct Shared(pub *mut f32);

// SAFETY: tasks of a segment touch disjoint samples, or, in a step over all samples, write disjoint
// channels and read what no task writes; segments follow each other.
unsafe impl Sync for Shared {}
// SAFETY: as above; the memory outlives the chunk.
unsafe impl Send for Shared {}

/// What a thread needs to find rows: the memory of its tile.
#[derive(Clone, Copy)]
struct Tile {
    /// Samples of the chunk that came before.
    first: usize,
    samples: usize,
    segment: usize,
    own: *mut f32,
}

impl CpuNetwork {
    /// Takes a chunk through all segments.
    pub(super) fn run_chunk(&self, chunk: &Chunk<'_>) {
        let tile = Tile { first: 0, samples: chunk.rows.len(), segment: 0, own: std::ptr::null_mut() };
        let cut = match chunk.head {
            Some(opened) => opened.head().steps,
            None => chunk.block.map_or(0, |block| block.prefix.steps),
        };
        let first = self.segments.iter().position(|segment| segment.steps.end > cut);
        if first.is_none_or(|first| self.segments[first].tile.is_none()) {
            // No tile will write what the first step reads; it lies in the chunk's memory (see `Layout`).
            match (chunk.block, chunk.head) {
                (_, Some(opened)) => {
                    let tiles = (0..tile.samples).into_par_iter().step_by(ROWS);
                    tiles.for_each_init(Aligned::default, |scratch, first| {
                        let own = std::ptr::null_mut();
                        let (samples, segment) = (ROWS.min(tile.samples - first), self.segments.len());
                        self.open(chunk, opened, Tile { first, samples, segment, own }, scratch);
                    });
                }
                (None, None) => self.fill(chunk, tile),
                (Some(block), None) => (0..tile.samples).into_par_iter().for_each(|first| {
                    let own = std::ptr::null_mut();
                    let segment = self.segments.len();
                    self.expand(chunk, block, Tile { first, samples: 1, segment, own });
                }),
            }
        }
        for (number, segment) in self.segments.iter().enumerate().skip(first.unwrap_or(usize::MAX)) {
            self.run_segment(chunk, number, segment, cut);
        }
    }

    /// Writes what the steps behind the head read of it for a tile's samples.
    fn open(&self, chunk: &Chunk<'_>, opened: &Opened<'_>, tile: Tile, scratch: &mut Aligned) {
        let head = opened.head();
        let to = self.rows(chunk, tile, self.layout.writes[head.steps - 1], head.output);
        // SAFETY: the head's last step would write these rows; no other task touches the tile's samples. Where they do not lie
        // in the chunk's memory, the segment of that step is the tile's: none but its own steps read them.
        let first = chunk.rows.start + tile.first;
        unsafe { opened.write(first..first + tile.samples, to, scratch) };
    }

    /// Writes what dense steps read of a block's columns for a tile's samples.
    fn expand(&self, chunk: &Chunk<'_>, block: &Block<'_>, tile: Tile) {
        let program = block.program;
        for live in &program.live[block.prefix.steps] {
            let (place, segment) = match live.step {
                Some(step) => {
                    (self.layout.writes[step], self.segments.iter().position(|s| s.steps.contains(&step)))
                }
                None => (self.layout.input, Some(0)),
            };
            if !place.shared && segment != Some(tile.segment) {
                // It lives and dies within a segment that is over.
                continue;
            }
            let to = self.rows(chunk, tile, place, live.view);
            let from = block.columns(live.value, 0);
            let first = chunk.rows.start + tile.first - block.prefix.rows.start;
            let channels = program.values[live.value].channels;
            // SAFETY: the plan would have the value in these rows, of which the tile has these samples.
            unsafe { expand(&from, &block.prefix.restrictions, first, tile.samples, channels, to) };
        }
    }

    /// Runs the steps of a segment from `cut` on.
    fn run_segment(&self, chunk: &Chunk<'_>, number: usize, segment: &Segment, cut: usize) {
        let rows = chunk.rows.len();
        let next = AtomicUsize::new(0);
        let (tile, tasks, panels) = match segment.tile {
            Some(tile) => {
                // Every thread should have something to do.
                let even = rows.div_ceil(chunk.threads.len().max(1));
                let tile = tile.min(even).min(chunk.largest_tile).max(1);
                (tile, rows.div_ceil(tile), 0)
            }
            None => {
                let panels = self.steps[segment.steps.start].panels();
                (rows, panels, panels)
            }
        };
        rayon::broadcast(|context| {
            // Called from a larger pool, spare threads have no memory and leave the work to the others.
            let Some(thread) = chunk.threads.get(context.index()) else { return };
            let mut thread = lock(thread);
            let Thread { own, work, seconds } = &mut *thread;
            own.reserve(self.layout.own_floats(number, tile));
            seconds.resize(self.steps.len(), 0.0);
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                let own = own.as_mut_slice().as_mut_ptr();
                if panels > 0 {
                    let tile = Tile { first: 0, samples: rows, segment: number, own };
                    self.run_step(chunk, tile, segment.steps.start, task..task + 1, work, seconds);
                    continue;
                }
                let first = task * tile;
                let tile = Tile { first, samples: tile.min(rows - first), segment: number, own };
                let mut steps = segment.steps.start.max(cut)..segment.steps.end;
                let opens = segment.steps.start <= cut;
                match (chunk.head.filter(|_| opens), chunk.block.filter(|_| opens)) {
                    (Some(opened), _) => self.open(chunk, opened, tile, &mut work.scratch),
                    (None, Some(block)) => self.expand(chunk, block, tile),
                    (None, None) if number > 0 => {}
                    (None, None) if self.run_masked(chunk, tile, work, seconds) => steps.start += 1,
                    (None, None) => self.fill(chunk, tile),
                }
                while let Some(step) = steps.next() {
                    if let Some(group) = self.groups.iter().find(|group| group.steps.start == step) {
                        let operands = |step| self.operands(chunk, tile, step);
                        // SAFETY: as in `run_step`.
                        unsafe { group.run(self.level, operands, work, seconds) };
                        steps.start = group.steps.end;
                    } else {
                        self.run_step(chunk, tile, step, 0..self.steps[step].panels(), work, seconds);
                    }
                }
            }
        });
    }

    fn run_step(
        &self,
        chunk: &Chunk<'_>,
        tile: Tile,
        step: usize,
        panels: Range<usize>,
        work: &mut Workspace,
        seconds: &mut [f64],
    ) {
        let start = Instant::now();
        let operands = self.operands(chunk, tile, step);
        // SAFETY: `check` has compared the step's views with its buffers; `operands` places these in
        // memory that is as large (`Layout`) and that other tasks do not touch (see `Shared`).
        unsafe { self.steps[step].run(self.level, &operands, panels, work) };
        seconds[step] += start.elapsed().as_secs_f64();
    }

    /// Runs the first step masked, if the run asks for it and its kernel can.
    fn run_masked(&self, chunk: &Chunk<'_>, tile: Tile, work: &mut Workspace, seconds: &mut [f64]) -> bool {
        let Some(locality) = chunk.locality else { return false };
        let Some(padded) = self.steps.first().and_then(|step| step.as_padded()) else { return false };
        let start = Instant::now();
        let operands = self.operands(chunk, tile, 0);
        // SAFETY: as in `run_step`; `can_mask` has compared the locality with the input.
        unsafe { padded.run_masked(self.level, &operands, locality, chunk.rows.start + tile.first, work) };
        seconds[0] += start.elapsed().as_secs_f64();
        true
    }

    /// Writes the inputs of a tile.
    fn fill(&self, chunk: &Chunk<'_>, tile: Tile) {
        let len = self.plan.input_layout.len();
        let rows = self.rows(chunk, tile, self.layout.input, self.plan.input);
        for sample in 0..tile.samples {
            // SAFETY: `check` has found the input within its buffer; no other task touches the tile's
            // samples.
            let input = unsafe { std::slice::from_raw_parts_mut(rows.row(sample, 0), len) };
            let row = chunk.rows.start + tile.first + sample;
            match chunk.locality {
                Some(locality) => select(locality, row, self.plan.input.stride, 0, input),
                None => chunk.expander.expand(row..row + 1, input),
            }
        }
    }

    /// Where the chunk's responses are.
    pub(super) fn responses(&self, chunk: &Chunk<'_>) -> Rows {
        let tile = Tile { first: 0, samples: chunk.rows.len(), segment: 0, own: std::ptr::null_mut() };
        self.rows(chunk, tile, self.layout.output, self.plan.output)
    }

    /// Gathers the chunk's responses.
    pub(super) fn collect(&self, chunk: &Chunk<'_>, responses: &mut Vec<f32>) {
        let rows = self.responses(chunk);
        responses.clear();
        for sample in 0..chunk.rows.len() {
            // SAFETY: the output lies in the chunk's memory (it is read after the last segment), which
            // no task touches now.
            responses.extend_from_slice(unsafe {
                std::slice::from_raw_parts(rows.row(sample, 0), self.plan.outputs)
            });
        }
    }

    fn operands(&self, chunk: &Chunk<'_>, tile: Tile, step: usize) -> Operands {
        let views = &self.plan.steps[step];
        let places = &self.layout.reads[step];
        let input =
            |index: usize| Some(self.rows(chunk, tile, *places.get(index)?, *views.inputs.get(index)?));
        let output = self.rows(chunk, tile, self.layout.writes[step], views.output);
        // Every step has a first input: checked when the plan was compiled.
        Operands { samples: tile.samples, input: input(0).unwrap_or(output), second: input(1), output }
    }

    /// Addresses of a view's rows for a tile.
    fn rows(&self, chunk: &Chunk<'_>, tile: Tile, place: Place, view: View) -> Rows {
        let offset = |lens: &[usize], buffer: BufferId| lens[..buffer].iter().sum::<usize>();
        let (memory, sample, skip) = if place.shared {
            let lens = &self.layout.shared;
            let sample = lens[place.buffer];
            // Each buffer has its own stretch of the chunk's memory.
            (chunk.shared.0, sample, offset(lens, place.buffer) * chunk.rows.len() + sample * tile.first)
        } else {
            let lens = &self.layout.own[tile.segment];
            (tile.own, lens[place.buffer], offset(lens, place.buffer) * tile.samples)
        };
        // SAFETY: the memory has room for all buffers of all samples, and the view starts within its
        // buffer.
        let base = unsafe { memory.add(skip + view.offset) };
        Rows { base, sample, stride: view.stride }
    }
}
