//! Where values live while a chunk goes through the network.
//!
//! Steps are grouped in *segments*; within a segment, a thread takes a *tile* of samples through all
//! steps, so that what one step writes is still in the cache when the next reads it. Values that are
//! made and used within one segment live in the thread's own memory, which all tiles use again; values
//! that cross segments have a place for each sample of the chunk.
//!
//! Values are found by following reads back to the writes that they may see: buffers of a plan are
//! shared by values that do not live at the same time.

use std::ops::Range;

use super::memory::LINE;
use crate::Result;
use crate::plan::access::{Accesses, Extent, accesses, ends};
use crate::plan::{BufferId, Plan};

/// Steps that a tile of samples passes without waiting for other tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its steps.
    pub steps: Range<usize>,
    /// Samples in a tile; `None` = one step over all samples, whose panels are shared out instead.
    pub tile: Option<usize>,
}

/// Where a view's buffer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whether it lies in the chunk's memory (else in the thread's).
    pub shared: bool,
    /// The buffer.
    pub buffer: BufferId,
}

/// Places of all views.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The plan's input,
    pub input: Place,
    /// and output.
    pub output: Place,
    /// Of each step, its inputs.
    pub reads: Vec<Vec<Place>>,
    /// Of each step, its output.
    pub writes: Vec<Place>,
    /// Floats per sample of each buffer in the chunk's memory.
    pub shared: Vec<usize>,
    /// Of each segment, floats per sample of each buffer in the thread's memory.
    pub own: Vec<Vec<usize>>,
    /// Of each step, whether what it writes is read by the next step alone, as its first input.
    pub passed_on: Vec<bool>,
}

impl Layout {
    /// Lays out a plan for some segments.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if a step has too few inputs.
    pub fn new(plan: &Plan, segments: &[Segment]) -> Result<Self> {
        let steps = plan.steps.iter().map(accesses).collect::<Result<Vec<_>>>()?;
        let [input, output] = ends(plan);
        let values = Values::new(&input, &steps, &output);

        // The input is written in the first segment; the output is read after the last.
        let segment_of = |step: usize| segments.iter().position(|s| s.steps.contains(&step)).unwrap_or(0);
        let mut crosses = vec![None::<(usize, bool)>; values.count()];
        let mut visit = |value: usize, segment: usize| {
            let entry = crosses[value].get_or_insert((segment, false));
            entry.1 |= entry.0 != segment;
        };
        visit(values.input, 0);
        visit(values.output, segments.len().max(1));
        for (step, _) in steps.iter().enumerate() {
            for &value in values.reads[step].iter().chain([&values.writes[step]]) {
                visit(value, segment_of(step));
            }
        }
        for (segment, _) in segments.iter().enumerate().filter(|(_, segment)| segment.tile.is_none()) {
            // A step over all samples at once finds and leaves everything in the chunk's memory.
            for step in segments[segment].steps.clone() {
                for &value in values.reads[step].iter().chain([&values.writes[step]]) {
                    crosses[value] = Some((segment, true));
                }
            }
        }

        let place =
            |value: usize, buffer: BufferId| Place { shared: crosses[value].is_some_and(|c| c.1), buffer };
        let mut layout = Layout {
            input: place(values.input, input.buffer),
            output: place(values.output, output.buffer),
            reads: Vec::new(),
            writes: Vec::new(),
            shared: vec![0; plan.buffers.len()],
            own: vec![vec![0; plan.buffers.len()]; segments.len()],
            passed_on: (0..steps.len()).map(|step| values.is_passed_on(step)).collect(),
        };
        let grow = |place: Place, extent: &Extent, segment: usize, layout: &mut Layout| {
            let lens = if place.shared { &mut layout.shared } else { &mut layout.own[segment] };
            lens[extent.buffer] = lens[extent.buffer].max(extent.end.next_multiple_of(LINE));
        };
        grow(layout.input, &input, 0, &mut layout);
        grow(layout.output, &output, segments.len().saturating_sub(1), &mut layout);
        for (step, Accesses { reads, write }) in steps.iter().enumerate() {
            let places: Vec<_> = values.reads[step]
                .iter()
                .zip(reads)
                .map(|(&value, extent)| place(value, extent.buffer))
                .collect();
            for (place, extent) in places.iter().zip(reads) {
                grow(*place, extent, segment_of(step), &mut layout);
            }
            let written = place(values.writes[step], write.buffer);
            grow(written, write, segment_of(step), &mut layout);
            layout.reads.push(places);
            layout.writes.push(written);
        }
        Ok(layout)
    }

    /// Floats per sample of the chunk's memory.
    pub fn shared_floats(&self) -> usize {
        self.shared.iter().sum()
    }

    /// Floats of a thread's memory for a segment's tile of `samples`.
    pub fn own_floats(&self, segment: usize, samples: usize) -> usize {
        self.own[segment].iter().sum::<usize>() * samples
    }
}

/// Which accesses belong to the same value: sets of writes and the reads that may see them.
struct Values {
    /// Union-find over accesses.
    parents: Vec<usize>,
    input: usize,
    output: usize,
    reads: Vec<Vec<usize>>,
    writes: Vec<usize>,
}

impl Values {
    fn new(input: &Extent, steps: &[Accesses], output: &Extent) -> Self {
        let mut values =
            Values { parents: Vec::new(), input: 0, output: 0, reads: Vec::new(), writes: Vec::new() };
        // Writes that a later read may still see, oldest first.
        let mut visible: Vec<(usize, Extent)> = Vec::new();
        values.input = values.fresh();
        visible.push((values.input, *input));
        for Accesses { reads, write } in steps {
            let seen = reads.iter().map(|read| values.read(read, &visible)).collect();
            values.reads.push(seen);
            let written = values.fresh();
            values.writes.push(written);
            visible.retain(|(_, older)| !write.covers(older));
            visible.push((written, *write));
        }
        values.output = values.read(output, &visible);
        // Later unions may have moved the roots.
        let roots: Vec<usize> = (0..values.parents.len()).map(|access| values.root(access)).collect();
        values.input = roots[values.input];
        values.output = roots[values.output];
        values
            .reads
            .iter_mut()
            .flatten()
            .chain(&mut values.writes)
            .for_each(|access| *access = roots[*access]);
        values
    }

    fn count(&self) -> usize {
        self.parents.len()
    }

    /// Whether the value that a step writes is read by the next step alone, as its first input.
    fn is_passed_on(&self, step: usize) -> bool {
        let value = self.writes[step];
        let times = |values: &[usize]| values.iter().filter(|&&other| other == value).count();
        let reads: usize = self.reads.iter().map(|reads| times(reads)).sum();
        self.reads.get(step + 1).and_then(|reads| reads.first()) == Some(&value)
            && (reads, times(&self.writes), times(&[self.input, self.output])) == (1, 1, 0)
    }

    fn fresh(&mut self) -> usize {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    fn root(&self, mut access: usize) -> usize {
        while self.parents[access] != access {
            access = self.parents[access];
        }
        access
    }

    /// A read: joined with every write that it may see, newest first, until one covers it, or several
    /// side by side do.
    fn read(&mut self, extent: &Extent, visible: &[(usize, Extent)]) -> usize {
        let access = self.fresh();
        let mut columns = vec![false; extent.channels];
        for (write, written) in visible.iter().rev().filter(|(_, written)| written.overlaps(extent)) {
            let (a, b) = (self.root(access), self.root(*write));
            self.parents[a] = b;
            if written.covers(extent) {
                break;
            }
            mark(&mut columns, extent, written);
            if !columns.is_empty() && columns.iter().all(|&seen| seen) {
                break;
            }
        }
        access
    }
}

/// Marks the columns of `read` that `written` has made, if it has made them in all rows.
fn mark(columns: &mut [bool], read: &Extent, written: &Extent) {
    let stride = read.stride;
    if stride == 0 || written.stride != stride {
        return;
    }
    let same_rows = written.start / stride == read.start / stride
        && written.end.div_ceil(stride) == read.end.div_ceil(stride);
    if same_rows {
        for (column, seen) in columns.iter_mut().enumerate() {
            let column = read.start % stride + column;
            let first = written.start % stride;
            *seen |= (first..first + written.channels).contains(&column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Activation;
    use crate::plan::{InputLayout, Kernel, Map, Step, View};

    fn map(input: View, output: View, rows: usize, channels: usize) -> Step {
        let kernel = Kernel::Map(Map { rows, channels, activation: Activation::Relu });
        Step { name: "map".into(), kernel, inputs: vec![input], output, macs: 0 }
    }

    fn view(buffer: usize, offset: usize, stride: usize) -> View {
        View { buffer, offset, stride }
    }

    fn plan(steps: Vec<Step>, output: View) -> Plan {
        Plan {
            input_layout: InputLayout { shape: vec![4, 8], channels_last: true, vocabulary: None },
            input: view(0, 0, 4),
            output,
            outputs: 32,
            buffers: vec![64, 64],
            steps,
            weights: Vec::new(),
        }
    }

    fn segments(ends: &[usize]) -> Vec<Segment> {
        let starts = [0].iter().chain(ends);
        starts.zip(ends).map(|(&start, &end)| Segment { steps: start..end, tile: Some(1) }).collect()
    }

    #[test]
    fn values_within_a_segment_are_the_threads_own() {
        let steps = vec![
            map(view(0, 0, 4), view(1, 0, 4), 8, 4),
            map(view(1, 0, 4), view(0, 0, 4), 8, 4),
            map(view(0, 0, 4), view(1, 0, 4), 8, 4),
        ];
        let layout = Layout::new(&plan(steps, view(1, 0, 4)), &segments(&[2, 3])).unwrap();
        assert!(!layout.input.shared);
        assert!(!layout.writes[0].shared);
        assert!(layout.writes[1].shared && layout.reads[2][0].shared);
        assert!(layout.writes[2].shared && layout.output.shared);
    }

    #[test]
    fn pieces_side_by_side_are_one_value() {
        let steps = vec![
            map(view(0, 0, 4), view(1, 0, 8), 8, 4),
            map(view(0, 0, 4), view(1, 4, 8), 8, 4),
            map(view(1, 0, 8), view(0, 0, 8), 8, 8),
            map(view(0, 0, 8), view(1, 0, 8), 4, 8),
        ];
        let layout = Layout::new(&plan(steps, view(1, 0, 8)), &segments(&[1, 3, 4])).unwrap();
        // The first piece crosses into the second segment, so the second piece lies beside it.
        assert!(layout.writes[0].shared && layout.writes[1].shared);
        assert_eq!(layout.shared[1], 64);
        // The input is read in both.
        assert!(layout.input.shared);
    }
}
