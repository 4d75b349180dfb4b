//! Kernels that move data, and the product of two activations.

use super::WeightId;

/// A constant, the same for every sample: `out[r, c] = value[r, c]`. It reads no activation.
///
/// # Example
/// ```
/// use whybox::plan::{Fill, Kernel};
///
/// let kernel = Kernel::Fill(Fill { rows: 1, channels: 4, value: 7 });
/// assert_eq!((kernel.output_shape(), kernel.weights()), (vec![4], vec![7]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Rows per sample.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// `[rows, channels]`
    pub value: WeightId,
}

/// Entries of the middle axis of a contiguous sample `[outer, len, inner]`, picked by a table:
/// `out[o, i, c] = in[o, indices[i], c]`, or `fill` where the index is −1. The output `[outer, count, inner]` is
/// contiguous, too.
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("pick", &[3]).select(0, vec![2, 0], 0.0)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Select(select) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((select.outer, select.len, select.inner, select.count), (1, 3, 1, 2));
/// assert_eq!(plan.weights[select.indices].data[..], [2.0, 0.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Select {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the axis in the input.
    pub len: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Length of the axis in the output.
    pub count: usize,
    /// `[count]`: whole numbers from −1 to below `len`.
    pub indices: WeightId,
    /// What stands where nothing is picked.
    pub fill: f32,
}

/// Rows of a table by number: `out[r, c] = table[in[r], c]`. The input is contiguous; numbers outside the table are
/// refused before a run ([`InputLayout::check_ids`](super::InputLayout::check_ids)), and never read outside it.
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let model = Model::builder("words", &[4]).embedding(&[0.5; 20], 2)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::Embedding(embedding) = &plan.steps[0].kernel else { panic!("another kernel") };
/// assert_eq!((embedding.rows, embedding.vocabulary, embedding.width), (4, 10, 2));
/// assert_eq!(plan.input_layout.vocabulary, Some(10));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedding {
    /// Numbers per sample.
    pub rows: usize,
    /// Rows of the table.
    pub vocabulary: usize,
    /// Columns of the table.
    pub width: usize,
    /// `[vocabulary, width]`
    pub table: WeightId,
}

/// Products of two activations: `out[p, q, i, j] = Σ_k a[p, q, i, k] · b[p, q, k, j]`.
///
/// Element (p, q, i, j) of an operand lies at `offset + p · s₀ + q · s₁ + i · s₂ + j · s₃`; a stride of 0 repeats. The last
/// stride of `a` and of the output is 1.
///
/// # Example
/// ```
/// use whybox::model::{Model};
/// use whybox::plan::{Kernel, Plan};
///
/// let net = Model::builder("mixing", &[2, 3]);
/// let input = net.mark();
/// let model = net.linear(&[1.0; 6], &[], 2)?.matmul(input)?.build()?;
/// let plan = Plan::new(&model)?;
/// let Kernel::MatMul(product) = &plan.steps[1].kernel else { panic!("another kernel") };
/// assert_eq!((product.m, product.k, product.n), (2, 2, 3));
/// assert_eq!(product.shapes()[2], [1, 1, 2, 3]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatMul {
    /// Number of products: p and q.
    pub batch: [usize; 2],
    /// Rows of `a` and of the output.
    pub m: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Columns of `b` and of the output.
    pub n: usize,
    /// Strides of the step's first input (p, q, i, k).
    pub a_strides: [usize; 4],
    /// Strides of the step's second input (p, q, k, j).
    pub b_strides: [usize; 4],
    /// Strides of the output (p, q, i, j).
    pub out_strides: [usize; 4],
}

impl MatMul {
    /// Lengths of the axes of `a`, `b` and the output.
    pub fn shapes(&self) -> [[usize; 4]; 3] {
        let [p, q] = self.batch;
        [[p, q, self.m, self.k], [p, q, self.k, self.n], [p, q, self.m, self.n]]
    }
}
