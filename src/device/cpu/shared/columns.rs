//! Columns in memory, and which columns an output column reads.

use std::ops::Range;

use crate::device::cpu::memory::{Addresses, Workspace};
use crate::device::cpu::product::MR;
use crate::device::cpu::simd::Level;
use crate::plan::Sliding;
use crate::plan::sharing::{Columns, Restrictions, inside};

/// Columns of a value, from one of its channels on.
#[derive(Clone, Copy)]
pub(crate) struct ColumnRows<'a> {
    /// That channel of column 0.
    pub base: *mut f32,
    /// Floats from a column to the next.
    pub stride: usize,
    /// Which columns there are.
    pub columns: &'a Columns,
}

// SAFETY: a shape and an address; whoever reads or writes there vouches for it.
unsafe impl Sync for ColumnRows<'_> {}
// SAFETY: as above.
unsafe impl Send for ColumnRows<'_> {}

impl ColumnRows<'_> {
    /// Address of a column.
    ///
    /// # Safety
    /// The column exists.
    #[inline(always)]
    pub unsafe fn at(&self, column: usize) -> *mut f32 {
        // SAFETY: by the caller's promise.
        unsafe { self.base.add(column * self.stride) }
    }
}

/// Some columns to compute.
pub(crate) struct Task<'a> {
    /// Where to read.
    pub inputs: &'a [ColumnRows<'a>],
    /// Where to write.
    pub output: ColumnRows<'a>,
    /// What leads from an output's column to an input's.
    pub restrictions: &'a Restrictions,
    /// Columns of the output.
    pub range: Range<usize>,
}

/// A step that can be run on columns.
pub(crate) trait OverColumns: Send + Sync {
    /// Columns that go well together.
    fn block(&self) -> usize;

    /// Computes a task's columns.
    ///
    /// # Safety
    /// The task's values are those of the step, in memory that lives; no other thread writes them, and none touches
    /// the columns that are written.
    unsafe fn run(&self, level: Level, task: &Task<'_>, work: &mut Workspace);
}

/// Columns of one pixel.
pub(crate) struct Group<'a> {
    /// The pixel.
    pub pixel: usize,
    /// Number of its first column of these.
    pub column: usize,
    /// A row of the block for each column.
    pub rows: &'a [u16],
}

impl<'a> Task<'a> {
    /// The task's columns, pixel by pixel.
    pub fn groups(&self, range: Range<usize>) -> impl Iterator<Item = Group<'a>> {
        let Columns { sets, starts } = self.output.columns;
        let restrictions = self.restrictions;
        let first = starts.partition_point(|&start| start <= range.start).saturating_sub(1);
        (first..sets.len()).take_while(move |&pixel| starts[pixel] < range.end).map(move |pixel| {
            let (from, to) = (range.start.max(starts[pixel]), range.end.min(starts[pixel + 1]));
            let rows = &restrictions.of(sets[pixel]).rows;
            Group { pixel, column: from, rows: &rows[from - starts[pixel]..to - starts[pixel]] }
        })
    }

    /// Where the columns of one of an input's pixels are: that of the block's row `n` at `base + numbers[n] · stride`.
    #[inline(always)]
    pub fn source(&self, input: &ColumnRows<'a>, pixel: usize) -> Source<'a> {
        let numbers = &*self.restrictions.of(input.columns.sets[pixel]).numbers;
        // SAFETY: a pixel has at least one column, and this is its first.
        let base = unsafe { input.at(input.columns.starts[pixel]) };
        Source { base, stride: input.stride, numbers }
    }

    /// Writes `[tiles, taps, MR]` addresses of what each column of `range` reads through a window over the first
    /// input; `outside` stands for taps outside the picture.
    pub fn window_addresses(
        &self,
        sliding: &Sliding,
        range: Range<usize>,
        outside: *const f32,
        addresses: &mut Addresses,
    ) {
        let taps = sliding.window.kernel[0] * sliding.window.kernel[1];
        addresses.inputs.clear();
        addresses.inputs.resize(range.len().div_ceil(MR) * taps * MR, outside);
        for group in self.groups(range.clone()) {
            let first = group.column - range.start;
            inside(sliding, group.pixel, |tap, pixel| {
                let source = self.source(&self.inputs[0], pixel);
                for (i, &row) in (first..).zip(group.rows) {
                    addresses.inputs[((i / MR) * taps + tap) * MR + i % MR] = source.of(row);
                }
            });
        }
    }

    /// Writes the addresses of the columns of `range` and, if there is a residual, of what is added to them.
    pub fn row_addresses(&self, range: Range<usize>, residual: bool, addresses: &mut Addresses) {
        let Addresses { outputs, residuals, .. } = addresses;
        outputs.clear();
        residuals.clear();
        // SAFETY: the task's columns exist.
        outputs.extend(range.clone().map(|column| unsafe { self.output.at(column) }));
        if residual {
            for group in self.groups(range) {
                let source = self.source(&self.inputs[1], group.pixel);
                residuals.extend(group.rows.iter().map(|&row| source.of(row)));
            }
        }
    }
}

/// The columns of one pixel of an input.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    base: *mut f32,
    stride: usize,
    numbers: &'a [u16],
}

impl Source<'_> {
    /// The column of a row of the block.
    #[inline(always)]
    pub fn of(&self, row: u16) -> *const f32 {
        // SAFETY: a restriction's number is below the pixel's number of columns.
        unsafe { self.base.add(usize::from(self.numbers[usize::from(row)]) * self.stride).cast_const() }
    }
}
