//! Rows: nothing is varied, the network is asked about the rows as given.

use std::ops::Range;

use super::{Data, Expander, Perturbation, Program};
use crate::plan::InputLayout;
use crate::{Error, Result};

/// The rows as given, each of the input's shape in the graph's order (row-major).
///
/// # Example
/// ```
/// use whybox::{Device, model::Model, perturb::Rows};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?;
/// assert_eq!(network.responses(&rows, &Default::default())?.into_raw_vec_and_offset().0, [3.0, 7.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    data: &'a [f32],
    len: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `len` elements each, one after the other.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `data` does not hold whole rows.
    pub fn new(data: &'a [f32], len: usize) -> Result<Self> {
        if len == 0 || !data.len().is_multiple_of(len) {
            return Err(Error::parameter(
                format!("{} numbers are no whole rows of {len}", data.len()),
                "rows",
                "give whole rows",
            ));
        }
        Ok(Rows { data, len })
    }
}

impl Perturbation for Rows<'_> {
    fn rows(&self) -> usize {
        self.data.len() / self.len
    }

    fn bind<'b>(&'b self, input: &InputLayout) -> Result<Box<dyn Expander + 'b>> {
        if self.len != input.len() {
            return Err(Error::parameter(
                format!("rows have {} elements, the network takes {}", self.len, input.len()),
                "rows",
                format!("give rows of shape {:?}", input.shape),
            ));
        }
        input.check_ids(self.data)?;
        Ok(Box::new(Bound { rows: *self, layout: input.clone() }))
    }
}

struct Bound<'a> {
    rows: Rows<'a>,
    layout: InputLayout,
}

impl Expander for Bound<'_> {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        let len = self.rows.len;
        let data = &self.rows.data[rows.start * len..rows.end * len];
        for (row, stored) in data.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
            self.layout.store(row, stored);
        }
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let mut stored = vec![0.0; rows.len() * self.rows.len];
        self.expand(rows, &mut stored);
        Program {
            shader: "perturb/rows",
            buffers: vec![Data::Chunk(bytemuck::cast_slice(&stored).to_vec())],
            params: [0; 4],
        }
    }
}
