//! Perturbations: what the network is asked.
//!
//! A perturbation batch is described, never stored: a [`Perturbation`] is a small value from which an
//! engine expands any range of its rows, on the GPU by a WGSL kernel of `shaders/perturb/`, on the CPU
//! by the twin of the same name.

mod background;
mod bins;
pub mod coalitions;
mod column;
mod neighbourhood;
mod orthogonal;
pub(crate) mod pairs;
pub mod philox;
pub mod picture;
mod quantile;
mod removal;
mod resized;
mod rows;
mod sampler;
pub mod segment;
mod segments;
mod tokens;

use std::ops::Range;
use std::sync::Arc;

pub use background::{Background, TableMasker};
pub use bins::{Bins, Discretiser};
pub use coalitions::Coalitions;
pub use neighbourhood::{Around, CellSampling, Neighbourhood, Neighbours};
pub use pairs::{PairSampler, SizeSampling};
pub use quantile::normal_quantile;
pub use resized::{Footprints, ResizedSegments};
pub use rows::Rows;
pub use sampler::{LIME_STREAM, Sampling, lime_coalition_rows, lime_coalitions};
pub use segments::Segments;
pub use tokens::{Absent, Tokens};

use crate::Result;
use crate::plan::{Dependence, InputLayout, Locality, Mixture};

/// N variations of an input, described by little data.
pub trait Perturbation: Send + Sync {
    /// Number of variations, N.
    fn rows(&self) -> usize;

    /// Fits the description to a network's input.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the instance has not the input's shape.
    fn bind<'a>(&'a self, input: &InputLayout) -> Result<Box<dyn Expander + 'a>>;
}

/// A perturbation fitted to a network's input: it writes rows, in the stored order of the input.
pub trait Expander: Send + Sync {
    /// Writes rows `rows` into `out` (`rows.len() · input_len` elements). The CPU twin of
    /// [`program`](Expander::program).
    fn expand(&self, rows: Range<usize>, out: &mut [f32]);

    /// The WGSL kernel that writes a range of rows, and the data that it reads.
    fn program(&self, rows: Range<usize>) -> Program;

    /// For two-state inputs: which players each pixel depends on.
    fn locality(&self) -> Option<&Locality> {
        None
    }

    /// For rows that mix instances with background rows: what is mixed.
    fn mixture(&self) -> Option<&Mixture> {
        None
    }

    /// Which players each pixel of the stored input depends on, if the stored input is pixels whose channels lie
    /// together and [`pixel`](Expander::pixel) can write any of them: what early layers are shared by.
    fn dependence(&self) -> Option<Dependence> {
        None
    }

    /// Writes one pixel's channels of a row: the numbers that [`expand`](Expander::expand) writes there. Called only
    /// where there is a [`dependence`](Expander::dependence).
    fn pixel(&self, row: usize, pixel: usize, out: &mut [f32]) {
        let _ = (row, pixel);
        out.fill(f32::NAN);
    }
}

/// A kernel of `shaders/perturb/` with its data.
///
/// Bindings of group 0: 0 = uniform [`ExpandParams`], 1 = output (read-write `array<f32>`), 2… = `buffers`
/// in order (read-only storage). A thread writes one element of the chunk; the grid is two-dimensional.
pub struct Program {
    /// Name of the shader, for example `perturb/segments`.
    pub shader: &'static str,
    /// What the kernel reads.
    pub buffers: Vec<Data>,
    /// Four numbers of the kernel's own, given in its uniform.
    pub params: [u32; 4],
}

/// Bytes for a storage buffer.
pub enum Data {
    /// The same for the whole run: uploaded once.
    Fixed(Arc<[u8]>),
    /// For this range of rows only: uploaded for each chunk.
    Chunk(Vec<u8>),
}

/// Uniform of every expanding kernel (`shaders/shared/expand_params.wgsl`).
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub struct ExpandParams {
    /// Elements to write: rows of the chunk × elements per row.
    pub total: u32,
    /// Elements per row.
    pub len: u32,
    /// Workgroups along x, to make a flat index of a two-dimensional grid.
    pub groups_x: u32,
    /// Elements from one row of the output to the next.
    pub stride: u32,
    /// [`Program::params`]
    pub params: [u32; 4],
}
