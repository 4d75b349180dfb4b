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
///
/// # Example
/// ```
/// use whybox::perturb::{Perturbation, Rows};
/// use whybox::{Device, model::Model};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?;
/// assert_eq!(rows.rows(), 2);
/// let mut second = [0.0; 2];
/// rows.bind(network.input())?.expand(1..2, &mut second);
/// assert_eq!(second, [3.0, 4.0]);
/// assert!(Rows::new(&[1.0; 3], 3)?.bind(network.input()).is_err());
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::perturb::picture::PixelOrder;
/// use whybox::perturb::segment::SegmentMap;
/// use whybox::perturb::{Coalitions, Perturbation, Segments};
/// use whybox::plan::InputLayout;
///
/// // Two pixels, each a segment; the rows show both, and the second alone.
/// let map = SegmentMap::new(1, 2, vec![0, 1])?;
/// let coalitions = Arc::new(Coalitions::from_words(2, vec![0b11, 0b10])?);
/// let segments = Segments::new(vec![5.0, 7.0], vec![1.0, 1.0], map, PixelOrder::ChannelsFirst, coalitions)?;
/// let layout = InputLayout { shape: vec![1, 1, 2], channels_last: false, vocabulary: None };
/// let expander = segments.bind(&layout)?;
/// let mut row = [0.0; 2];
/// expander.expand(1..2, &mut row);
/// assert_eq!(row, [1.0, 7.0]);
/// assert_eq!(expander.locality().map(|locality| locality.players.to_vec()), Some(vec![0, 1]));
/// assert!(expander.mixture().is_none());
/// # Ok::<(), whybox::Error>(())
/// ```
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
///
/// # Example
/// ```
/// use whybox::perturb::{Perturbation, Rows};
/// use whybox::plan::InputLayout;
///
/// let layout = InputLayout { shape: vec![2], channels_last: false, vocabulary: None };
/// let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?;
/// let program = rows.bind(&layout)?.program(1..2);
/// assert_eq!((program.shader, program.buffers.len(), program.params), ("perturb/rows", 1, [0; 4]));
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Program {
    /// Name of the shader, for example `perturb/segments`.
    pub shader: &'static str,
    /// What the kernel reads.
    pub buffers: Vec<Data>,
    /// Four numbers of the kernel's own, given in its uniform.
    pub params: [u32; 4],
}

/// Bytes for a storage buffer.
///
/// # Example
/// ```
/// use whybox::perturb::{Data, Perturbation, Rows};
/// use whybox::plan::InputLayout;
///
/// let layout = InputLayout { shape: vec![2], channels_last: false, vocabulary: None };
/// let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?;
/// let program = rows.bind(&layout)?.program(1..2);
/// let [Data::Chunk(bytes)] = &program.buffers[..] else { panic!("rows are uploaded chunk by chunk") };
/// assert_eq!(bytes, bytemuck::cast_slice::<f32, u8>(&[3.0, 4.0]));
/// # Ok::<(), whybox::Error>(())
/// ```
pub enum Data {
    /// The same for the whole run: uploaded once.
    Fixed(Arc<[u8]>),
    /// For this range of rows only: uploaded for each chunk.
    Chunk(Vec<u8>),
}

/// Uniform of every expanding kernel (`shaders/shared/expand_params.wgsl`).
///
/// # Example
/// ```
/// use whybox::perturb::ExpandParams;
///
/// // Two rows of three elements, one after the other.
/// let params = ExpandParams { total: 6, len: 3, groups_x: 1, stride: 3, params: [0; 4] };
/// assert_eq!(bytemuck::bytes_of(&params).len(), 32);
/// ```
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
