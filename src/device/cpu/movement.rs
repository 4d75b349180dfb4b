//! Constants, entries picked along an axis, rows of tables.

use std::ops::Range;
use std::sync::Arc;

use super::compiled::Executable;
use super::memory::{Operands, Workspace};
use super::simd::Level;
use crate::plan::{Embedding, Fill, Plan, Select};

/// A constant.
pub(crate) struct Filled {
    fill: Fill,
    value: Arc<[f32]>,
}

impl Filled {
    /// Finds the constant.
    pub fn new(plan: &Plan, fill: &Fill) -> Self {
        Filled { fill: *fill, value: plan.weights[fill.value].data.clone() }
    }
}

impl Executable for Filled {
    fn name(&self) -> &'static str {
        "fill"
    }

    unsafe fn run(&self, _level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        for sample in 0..operands.samples {
            for (row, from) in self.value.chunks_exact(self.fill.channels).enumerate() {
                // SAFETY: each row of the output has `channels` elements.
                unsafe {
                    let to = operands.output.row(sample, row);
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len());
                }
            }
        }
    }
}

/// Entries picked along an axis.
pub(crate) struct Selected {
    select: Select,
    /// Nothing is picked where there is none.
    indices: Vec<Option<usize>>,
}

impl Selected {
    /// Reads the table, whose numbers were checked with the plan.
    pub fn new(plan: &Plan, select: &Select) -> Self {
        let numbers = &plan.weights[select.indices].data;
        let indices = numbers.iter().map(|&at| (at >= 0.0).then_some(at as usize)).collect();
        Selected { select: *select, indices }
    }
}

impl Executable for Selected {
    fn name(&self) -> &'static str {
        "select"
    }

    unsafe fn run(&self, _level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        let Select { outer, len, inner, count, fill, .. } = self.select;
        for sample in 0..operands.samples {
            for o in 0..outer {
                for (i, index) in self.indices.iter().enumerate() {
                    // SAFETY: both operands are contiguous; o < outer, i < count, index < len.
                    unsafe {
                        let to = operands.output.row(sample, 0).add((o * count + i) * inner);
                        match index {
                            Some(index) => {
                                let from = operands.input.row(sample, 0).add((o * len + index) * inner);
                                std::ptr::copy_nonoverlapping(from, to, inner);
                            }
                            None => std::slice::from_raw_parts_mut(to, inner).fill(fill),
                        }
                    }
                }
            }
        }
    }
}

/// Rows of a table.
pub(crate) struct Looked {
    embedding: Embedding,
    table: Arc<[f32]>,
}

impl Looked {
    /// Finds the table.
    pub fn new(plan: &Plan, embedding: &Embedding) -> Self {
        Looked { embedding: *embedding, table: plan.weights[embedding.table].data.clone() }
    }
}

impl Executable for Looked {
    fn name(&self) -> &'static str {
        "embedding"
    }

    unsafe fn run(&self, _level: Level, operands: &Operands, _panels: Range<usize>, _work: &mut Workspace) {
        let Embedding { rows, vocabulary, width, .. } = self.embedding;
        for sample in 0..operands.samples {
            for row in 0..rows {
                // SAFETY: the input is contiguous and has `rows` elements, each row of the output `width`.
                unsafe {
                    // Ids are checked before a run; whatever comes here instead stays within the table.
                    let id = (*operands.input.row(sample, 0).add(row) as usize).min(vocabulary - 1);
                    let from = &self.table[id * width..(id + 1) * width];
                    let to = operands.output.row(sample, row);
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to, width);
                }
            }
        }
    }
}
