//! Steps that treat every pixel by itself, and what moves columns: joins, the input, samples from columns.

use super::Block;
use super::columns::{ColumnRows, OverColumns, Task};
use crate::device::cpu::compiled::{Executable, compile};
use crate::device::cpu::memory::{Operands, Rows, Workspace};
use crate::device::cpu::simd::Level;
use crate::perturb::Expander;
use crate::plan::sharing::{Piece, Restrictions, binary_rows};
use crate::plan::{Affine, Binary, Kernel, Map, Operand, Plan};

/// Columns that a thread takes at once.
const BLOCK: usize = 1024;

/// A step on one pixel, over all columns as if they were samples.
pub(crate) struct OnePixel {
    step: Box<dyn Executable>,
    /// Whether there is a second input, whose columns have to be found.
    second: bool,
}

impl OnePixel {
    /// The step for one pixel, if it treats every pixel by itself.
    pub fn new(level: Level, plan: &Plan, kernel: &Kernel) -> Option<Self> {
        let (kernel, second) = match kernel {
            Kernel::Map(map) => (Kernel::Map(Map { rows: 1, ..*map }), false),
            Kernel::Affine(affine) => (Kernel::Affine(Affine { rows: 1, ..*affine }), false),
            Kernel::Binary(binary) => {
                let (_, channels, _) = binary_rows(binary)?;
                let binary = Binary { shape: [1, 1, 1, channels], ..*binary };
                (Kernel::Binary(binary), binary.b == Operand::Input)
            }
            _ => return None,
        };
        Some(OnePixel { step: compile(level, plan, &kernel, None), second })
    }
}

impl OverColumns for OnePixel {
    fn block(&self) -> usize {
        BLOCK
    }

    unsafe fn run(&self, level: Level, task: &Task<'_>, work: &mut Workspace) {
        let rows = |base: *mut f32, stride: usize| Rows { base, sample: stride, stride };
        let input = &task.inputs[0];
        if !self.second {
            // The sets, and so the columns, are the input's.
            debug_assert_eq!(input.columns.len(), task.output.columns.len());
            // SAFETY: the columns exist; the rest is the caller's promise.
            unsafe {
                let operands = Operands {
                    samples: task.range.len(),
                    input: rows(input.at(task.range.start), input.stride),
                    second: None,
                    output: rows(task.output.at(task.range.start), task.output.stride),
                };
                self.step.run(level, &operands, 0..1, work);
            }
            return;
        }
        for group in task.groups(task.range.clone()) {
            let sources = [0, 1].map(|at| task.source(&task.inputs[at], group.pixel));
            for (column, &row) in (group.column..).zip(group.rows) {
                let [a, b] = sources.map(|source| rows(source.of(row).cast_mut(), 0));
                // SAFETY: as above; inputs are only read.
                unsafe {
                    let output = rows(task.output.at(column), 0);
                    let operands = Operands { samples: 1, input: a, second: Some(b), output };
                    self.step.run(level, &operands, 0..1, work);
                }
            }
        }
    }
}

/// Copies of values side by side.
pub(crate) struct Join<'a> {
    /// Where the values are.
    pub block: &'a Block<'a>,
    /// Which channels go where.
    pub pieces: &'a [Piece],
}

impl OverColumns for Join<'_> {
    fn block(&self) -> usize {
        BLOCK
    }

    unsafe fn run(&self, _level: Level, task: &Task<'_>, _work: &mut Workspace) {
        for group in task.groups(task.range.clone()) {
            for piece in self.pieces {
                let source =
                    task.source(&self.block.columns(piece.from.value, piece.from.channel), group.pixel);
                for (column, &row) in (group.column..).zip(group.rows) {
                    // SAFETY: both rows have the piece's channels.
                    unsafe {
                        let to = task.output.at(column).add(piece.to);
                        std::ptr::copy_nonoverlapping(source.of(row), to, piece.channels);
                    }
                }
            }
        }
    }
}

/// The input's columns: each pixel as one of the samples that share it shows it.
pub(crate) struct Input<'a> {
    /// What writes a pixel.
    pub expander: &'a dyn Expander,
    /// The run's row that is the block's first.
    pub first_row: usize,
}

impl OverColumns for Input<'_> {
    fn block(&self) -> usize {
        BLOCK
    }

    unsafe fn run(&self, _level: Level, task: &Task<'_>, _work: &mut Workspace) {
        for group in task.groups(task.range.clone()) {
            for (column, &row) in (group.column..).zip(group.rows) {
                // SAFETY: the column exists and is this task's alone.
                let to =
                    unsafe { std::slice::from_raw_parts_mut(task.output.at(column), task.output.stride) };
                self.expander.pixel(self.first_row + usize::from(row), group.pixel, to);
            }
        }
    }
}

/// Writes the pixels of samples `first_row..` of a block from a value's columns.
///
/// # Safety
/// `to` has room for the samples' rows of as many channels, which no other thread touches; nobody writes the columns.
pub(crate) unsafe fn expand(
    from: &ColumnRows<'_>,
    restrictions: &Restrictions,
    first_row: usize,
    samples: usize,
    channels: usize,
    to: Rows,
) {
    for (pixel, (&set, &start)) in from.columns.sets.iter().zip(&from.columns.starts).enumerate() {
        let numbers = &restrictions.of(set).numbers[first_row..first_row + samples];
        for (sample, &number) in numbers.iter().enumerate() {
            // SAFETY: a restriction's number is below the pixel's number of columns; the caller vouches for the rest.
            unsafe {
                let column = from.at(start + usize::from(number));
                std::ptr::copy_nonoverlapping(column.cast_const(), to.row(sample, pixel), channels);
            }
        }
    }
}
