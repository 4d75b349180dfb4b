//! Early layers over columns: the first steps of a block of samples, once for each distinct local coalition (see
//! [`plan::sharing`](crate::plan::sharing)).

mod columns;
mod costs;
mod product;
mod rowwise;
mod window;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

pub(super) use columns::{ColumnRows, Source as ColumnSource};
use columns::{OverColumns, Task};
pub(super) use costs::costs;
use costs::is_depthwise;
use product::Gathered;
pub(super) use rowwise::expand;
use rowwise::{Input, Join, OnePixel};
use window::Depthwise;

use super::memory::Aligned;
use super::network::{Thread, lock};
use super::simd::Level;
pub use crate::device::sharer::StepSharing;
pub(super) use crate::device::sharer::{FEWEST_ROWS, Sharer};
use crate::perturb::Expander;
use crate::plan::sharing::{Op, Prefix, Program, Source, ValueId};
use crate::plan::{Kernel, Plan};

/// Tasks for each thread, at least: the last one to finish keeps the others waiting.
const TASKS: usize = 8;

/// One part in so many of a block's columns is room for the blocks after it: what [`Sharer`] leaves of its budget.
const SPARE: usize = 50;

/// Blocks of columns in a task, at most.
const BLOCKS: usize = 16;

/// Steps of a plan over columns, each made ready when it is first needed.
pub(super) struct Shared {
    steps: Vec<OnceLock<Option<Box<dyn OverColumns>>>>,
}

impl Shared {
    /// Nothing is ready yet.
    pub fn new(plan: &Plan) -> Self {
        Shared { steps: plan.steps.iter().map(|_| OnceLock::new()).collect() }
    }

    fn step(&self, level: Level, plan: &Plan, step: usize) -> &dyn OverColumns {
        let compiled = self.steps[step].get_or_init(|| over_columns(level, plan, &plan.steps[step].kernel));
        // `Program` has only steps that can be read pixel by pixel, which are those that compile.
        compiled.as_deref().unwrap_or_else(|| unreachable!("step {step} runs over columns"))
    }
}

/// A block of samples that shares its first steps.
pub(super) struct Block<'a> {
    /// The network's plan,
    pub plan: &'a Plan,
    /// its values,
    pub program: &'a Program,
    /// and which of their columns this block has.
    pub prefix: &'a Prefix,
    /// The prefix's buffers, one after the other.
    memory: *mut f32,
}

// SAFETY: an address; values are written by one operation at a time, each column by one thread, and read by later ones.
unsafe impl Sync for Block<'_> {}

impl<'a> Block<'a> {
    /// Places a block's values in `memory`.
    pub fn new(plan: &'a Plan, program: &'a Program, prefix: &'a Prefix, memory: &'a mut Aligned) -> Self {
        let floats: usize = prefix.buffers().iter().sum();
        if memory.len() < floats {
            // Another block may have a few columns more; pages that no column touches cost nothing.
            memory.reserve(floats + floats / SPARE);
        }
        Block { plan, program, prefix, memory: memory.as_mut_slice().as_mut_ptr() }
    }

    /// The columns of a value from a channel on.
    pub fn columns(&self, value: ValueId, channel: usize) -> ColumnRows<'_> {
        let skip: usize = self.prefix.buffers()[..self.prefix.places()[value]].iter().sum();
        ColumnRows {
            // SAFETY: `new` has made room for all buffers; a value's place is one of them.
            base: unsafe { self.memory.add(skip + channel) },
            stride: self.program.values[value].channels,
            columns: &self.prefix.columns[value],
        }
    }

    /// Computes every value of the shared steps.
    pub fn run(&self, level: Level, shared: &Shared, expander: &dyn Expander, threads: &[Mutex<Thread>]) {
        let input = Input { expander, first_row: self.prefix.rows.start };
        self.run_op(level, &input, &[], 0, None, threads);
        for (step, op) in self.program.ops_of(self.prefix.steps) {
            match op {
                Op::Step { inputs, output } => {
                    let columns = |source: &Source| self.columns(source.value, source.channel);
                    // One, or two if there is a residual or a second operand.
                    let both = [&inputs[0], inputs.get(1).unwrap_or(&inputs[0])].map(columns);
                    let kernel = shared.step(level, self.plan, *step);
                    self.run_op(level, kernel, &both[..inputs.len()], *output, Some(*step), threads);
                }
                Op::Join { pieces, output } => {
                    let join = Join { block: self, pieces };
                    self.run_op(level, &join, &[], *output, Some(*step), threads);
                }
            }
        }
    }

    /// One operation on all columns of its output, shared out among threads.
    fn run_op(
        &self,
        level: Level,
        kernel: &dyn OverColumns,
        inputs: &[ColumnRows<'_>],
        output: ValueId,
        step: Option<usize>,
        threads: &[Mutex<Thread>],
    ) {
        let output = self.columns(output, 0);
        let total = output.columns.len();
        let even = total.div_ceil(TASKS * threads.len().max(1)).div_ceil(kernel.block());
        let size = kernel.block() * even.clamp(1, BLOCKS);
        let next = AtomicUsize::new(0);
        rayon::broadcast(|context| {
            // Called from a larger pool, spare threads have no memory and leave the work to the others.
            let Some(thread) = threads.get(context.index()) else { return };
            let mut thread = lock(thread);
            let Thread { work, seconds, .. } = &mut *thread;
            seconds.resize(self.plan.steps.len(), 0.0);
            let start = Instant::now();
            loop {
                let first = next.fetch_add(size, Ordering::Relaxed);
                if first >= total {
                    break;
                }
                let range = first..(first + size).min(total);
                let task = Task { inputs, output, restrictions: &self.prefix.restrictions, range };
                // SAFETY: every value has its place (`Analysis::storage`), apart from those that are read at the same
                // time; tasks write different columns.
                unsafe { kernel.run(level, &task, work) };
            }
            if let Some(step) = step {
                seconds[step] += start.elapsed().as_secs_f64();
            }
        });
    }
}

/// A step's kernel over columns, if it can be read pixel by pixel.
fn over_columns(level: Level, plan: &Plan, kernel: &Kernel) -> Option<Box<dyn OverColumns>> {
    Some(match kernel {
        Kernel::Conv(conv) if is_depthwise(conv) => Box::new(Depthwise::new(plan, conv)),
        Kernel::Conv(conv) => Box::new(Gathered::new(level, plan, conv)),
        Kernel::Pool(pool) => Box::new(*pool),
        kernel => Box::new(OnePixel::new(level, plan, kernel)?),
    })
}
