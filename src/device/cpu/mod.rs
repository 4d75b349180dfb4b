//! The native engine for processors.
//!
//! A plan's steps are compiled once: weights are packed, kernels chosen (`select`). Then chunks of
//! samples run through them, in tiles that stay in a core's cache (`tiling`, `layout`), on kernels
//! that are written once for all instruction sets (`simd`).
//!
//! **Reproducibility.** For a machine (its instruction set) and a network, an output is the same bits
//! whatever the number of rows, the chunk size, the number of threads and the form of the first layer:
//! the order of additions for an element depends on the layer's shape only. (Means over a background may come from another form
//! under a narrow cap on memory: the same bits there for the same cap and number of threads.)

mod bands;
mod compiled;
mod depthwise;
mod direct;
mod elementwise;
mod fused;
mod layout;
mod matmul;
mod memory;
mod movement;
mod network;
mod normalize;
mod padded;
mod pool;
mod product;
mod reduce;
mod select;
mod shared;
mod simd;
mod tiling;
mod winograd;

use std::sync::Arc;

pub use network::CpuNetwork;
pub use select::ConvKernel;
pub use shared::StepSharing;
use simd::Level;

use crate::Result;
use crate::plan::Plan;

/// The processor, with the best instruction set that it has.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::device::{RunOptions, cpu::Cpu};
/// use whybox::perturb::{Perturbation, Rows};
/// use whybox::{model::Model, plan::Plan};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let plan = Arc::new(Plan::new(&model)?);
/// let rows = Rows::new(&[1.0, 2.0], 2)?;
/// let expander = rows.bind(&plan.input_layout)?;
/// let network = Cpu::new().load(plan.clone())?;
/// network.run(expander.as_ref(), 1, &RunOptions::default(), &mut |_, values| {
///     assert_eq!(values, [3.0]);
///     Ok(())
/// })?;
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Cpu {
    level: Level,
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Cpu {
    /// This machine's processor.
    pub fn new() -> Self {
        Cpu { level: Level::detect() }
    }

    /// The processor once for each instruction set that it has, best first: for tests and benchmarks.
    pub fn all() -> Vec<Self> {
        Level::all().into_iter().map(|level| Cpu { level }).collect()
    }

    /// Name for people: model, threads, instruction set.
    pub fn name(&self) -> String {
        let threads = rayon::current_num_threads();
        let plural = if threads == 1 { "thread" } else { "threads" };
        format!("CPU ({}, {threads} {plural}, {})", model_name(), self.level.name())
    }

    /// Makes a plan ready to run.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if the plan contradicts itself.
    pub fn load(&self, plan: Arc<Plan>) -> Result<CpuNetwork> {
        CpuNetwork::new(self.level, plan, None, bands::Limits::CACHE)
    }

    /// As [`load`](Cpu::load), with convolutions on a kernel of the caller's choice where it can run
    /// them: for tests and benchmarks.
    ///
    /// # Errors
    /// As [`load`](Cpu::load).
    pub fn load_with(&self, plan: Arc<Plan>, kernel: ConvKernel) -> Result<CpuNetwork> {
        CpuNetwork::new(self.level, plan, Some(kernel), bands::Limits::CACHE)
    }
}

/// The processor's name as the system tells it.
fn model_name() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.trim().replace("(R)", "").replace("(TM)", ""),
    )
}
