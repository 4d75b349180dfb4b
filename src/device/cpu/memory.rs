//! Aligned memory, addresses of rows, and what a thread keeps between steps.

use bytemuck::{Pod, Zeroable};

use super::shared::ColumnSource;

/// A cache line of floats: the alignment of everything that vectors touch.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([f32; LINE]);

/// Floats in a cache line.
pub(crate) const LINE: usize = 16;

/// Floats that start on a cache line; they grow, and never shrink.
#[derive(Default, Clone)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Aligned { lines: vec![Line::zeroed(); len.div_ceil(LINE)] }
    }

    /// Makes room for `len` floats. What was there may be lost; what is new is 0.
    pub fn reserve(&mut self, len: usize) {
        if self.lines.len() < len.div_ceil(LINE) {
            // A fresh allocation comes zeroed from the system and is not copied.
            self.lines = Vec::new();
            self.lines = vec![Line::zeroed(); len.div_ceil(LINE)];
        }
    }

    /// All floats.
    pub fn as_slice(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }

    /// All floats.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// Floats that fit.
    pub fn len(&self) -> usize {
        self.lines.len() * LINE
    }
}

/// Where the rows of a view lie, for the samples of a tile: row `r` of sample `n` starts at
/// `base + n · sample + r · stride`.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// Row 0 of sample 0.
    pub base: *mut f32,
    /// Elements from a sample to the next.
    pub sample: usize,
    /// Elements from a row to the next.
    pub stride: usize,
}

impl Rows {
    /// Address of a row.
    ///
    /// # Safety
    /// The row lies within the view that was checked when the plan was compiled, and the sample within
    /// the tile.
    #[inline(always)]
    pub unsafe fn row(&self, sample: usize, row: usize) -> *mut f32 {
        // SAFETY: within the buffer, by the caller's promise.
        unsafe { self.base.add(sample * self.sample + row * self.stride) }
    }

    /// The same rows from channel `channel` on.
    ///
    /// # Safety
    /// `channel` is at most the number of channels of the view.
    pub unsafe fn at_channel(self, channel: usize) -> Self {
        // SAFETY: within row 0, by the caller's promise.
        Rows { base: unsafe { self.base.add(channel) }, ..self }
    }
}

/// What a step is run on: a tile of consecutive samples.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    /// Samples in the tile.
    pub samples: usize,
    /// The first input.
    pub input: Rows,
    /// The second input: residual or second operand.
    pub second: Option<Rows>,
    /// The output.
    pub output: Rows,
}

/// What a thread keeps between steps, so that none of them allocates.
#[derive(Default)]
pub(crate) struct Workspace {
    /// Stands for rows outside the picture; always 0.
    pub zeros: Aligned,
    /// Sums of a product whose depth is done in several passes.
    pub partial: Aligned,
    /// Transformed tiles, padded pictures.
    pub scratch: Aligned,
    /// What lies between steps that run in bands.
    pub between: Aligned,
    /// Addresses of a block of rows.
    pub addresses: Addresses,
    /// What the columns of one pixel read through a window.
    pub taps: Taps,
}

/// Lists of a window's taps inside the picture. They are empty between two tasks, and only their memory is kept.
#[derive(Default)]
pub(crate) struct Taps {
    /// Where the columns of each tap's pixel are, and which weights belong to it.
    pub sources: Vec<(usize, ColumnSource<'static>)>,
    /// What one column reads there, and the weights.
    pub reads: Vec<(*const f32, *const f32)>,
}

// SAFETY: both lists are empty while no task runs (`sources` holds none of its type at all, see `emptied`), and a task
// writes them before it reads them, on the thread that runs it.
unsafe impl Send for Taps {}

/// The memory of a list for elements that differ in their lifetimes: the standard library collects what came from a
/// vector in place where sizes agree (`tests/steady_state.rs` would tell).
pub(crate) fn emptied<T, U>(mut list: Vec<T>) -> Vec<U> {
    list.clear();
    list.into_iter().map(|_| unreachable!("the list is empty")).collect()
}

/// Addresses of the rows of a block.
#[derive(Default)]
pub(crate) struct Addresses {
    /// `[tiles, taps, MR]`
    pub inputs: Vec<*const f32>,
    /// `[rows]`
    pub outputs: Vec<*mut f32>,
    /// `[rows]`, or empty.
    pub residuals: Vec<*const f32>,
}

// SAFETY: the addresses are scratch of the step that is running; they are never read before that step has
// written them, on the thread that runs it.
unsafe impl Send for Addresses {}

impl Addresses {
    /// Forgets all addresses, keeps the memory.
    pub fn clear(&mut self) {
        self.inputs.clear();
        self.outputs.clear();
        self.residuals.clear();
    }
}
