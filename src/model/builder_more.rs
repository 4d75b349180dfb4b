//! The builder's normalisations, products and selections.

use std::sync::Arc;

use super::builder::{broadcast, expect_len, fits, wrong};
use super::{Builder, NOTHING, NormKind, Op, Response, Tensor, ValueId};
use crate::Result;

impl Builder {
    /// Divides elements by a measure of all that lie along ascending `axes` together with them (see [`NormKind`]), then
    /// applies `scale` and `shift`, which broadcast to the value. With `groups` above 1, axis 0 falls into so many parts of equal
    /// length first, and `axes` has to be all axes (GroupNormalization).
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if axes, groups or constants do not fit the value.
    ///
    /// # Example
    /// ```
    /// use whybox::model::{Model, NormKind};
    ///
    /// let kind = NormKind::Standard { epsilon: 1e-5 };
    /// let model = Model::builder("instance norm", &[3, 8, 8]).normalize(kind, &[1, 2], 1, None, None)?.build()?;
    /// assert_eq!(model.output_shape(), [3, 8, 8]);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn normalize(
        self,
        kind: NormKind,
        axes: &[usize],
        groups: usize,
        scale: Option<&Tensor>,
        shift: Option<&Tensor>,
    ) -> Result<Self> {
        let name = self.next_name("normalize");
        let shape = self.shape().to_vec();
        let ascending = axes.windows(2).all(|pair| pair[0] < pair[1]);
        if axes.is_empty() || !ascending || axes.iter().any(|&axis| axis >= shape.len()) {
            return Err(wrong(&name, format!("axes {axes:?} are not ascending axes of {shape:?}")));
        }
        let whole = axes.len() == shape.len() && shape[0].checked_rem(groups) == Some(0);
        if groups != 1 && !whole {
            return Err(wrong(&name, format!("{groups} groups along axes {axes:?} do not fit {shape:?}")));
        }
        for constant in [scale, shift].into_iter().flatten() {
            if !fits(&constant.shape, &shape) {
                return Err(wrong(
                    &name,
                    format!("a constant of {:?} does not fit {shape:?}", constant.shape),
                ));
            }
        }
        let (scale, shift) = (scale.cloned(), shift.cloned());
        let op = Op::Normalize { kind, axes: axes.to_vec(), groups, scale, shift };
        Ok(self.push(name, op, shape))
    }

    /// Layer normalisation over the last axis: `weight · (x − mean) / √(variance + epsilon) + bias`, both constants of that
    /// axis' length.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the sizes do not agree.
    pub fn layer_norm(self, weight: &[f32], bias: &[f32], epsilon: f32) -> Result<Self> {
        let name = self.next_name("layer_norm");
        let Some(&length) = self.shape().last() else {
            return Err(wrong(&name, "the input has no axis".into()));
        };
        expect_len(&name, "weight", weight.len(), length)?;
        expect_len(&name, "shift", bias.len(), length)?;
        let axis = self.shape().len() - 1;
        let (weight, bias) = (Tensor::new(&[length], weight), Tensor::new(&[length], bias));
        self.normalize(NormKind::Standard { epsilon }, &[axis], 1, Some(&weight), Some(&bias))
    }

    /// Local response normalisation over the first axis; see [`Response`].
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the value has no axis or the window no channel.
    pub fn lrn(self, response: Response) -> Result<Self> {
        let name = self.next_name("lrn");
        let shape = self.shape().to_vec();
        if shape.is_empty() || response.size == 0 {
            return Err(wrong(&name, format!("a window of {} does not fit {shape:?}", response.size)));
        }
        Ok(self.push(name, Op::Lrn(response), shape))
    }

    /// The matrices `[…, M, K]` of the current value times those `[…, K, N]` of one kept before, of the same rank; the axes
    /// before broadcast.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the shapes do not fit.
    pub fn matmul(mut self, other: ValueId) -> Result<Self> {
        self.check(other)?;
        let name = self.next_name("matmul");
        let (a, b) = (self.shape().to_vec(), self.graph.values[other].shape.clone());
        let misfit = || wrong(&name, format!("{a:?} and {b:?} cannot be multiplied"));
        let ([lead @ .., m, k], [others @ .., depth, n]) = (&a[..], &b[..]) else { return Err(misfit()) };
        if k != depth {
            return Err(misfit());
        }
        let mut shape = broadcast(lead, others).ok_or_else(misfit)?;
        shape.extend([*m, *n]);
        self.current = self.graph.append(name, Op::MatMul, vec![self.current, other], shape);
        Ok(self)
    }

    /// Entries `indices` along `axis`; where one is [`NOTHING`] stands `fill`.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if there is no such axis or entry, or nothing is picked.
    pub fn select(self, axis: usize, indices: impl Into<Arc<[u32]>>, fill: f32) -> Result<Self> {
        let name = self.next_name("select");
        let indices = indices.into();
        let mut shape = self.shape().to_vec();
        let Some(length) = shape.get_mut(axis) else {
            return Err(wrong(&name, format!("{shape:?} has no axis {axis}")));
        };
        let missing = indices.iter().find(|&&at| at != NOTHING && at as usize >= *length);
        if indices.is_empty() || missing.is_some() {
            return Err(wrong(
                &name,
                format!("entries {missing:?} of {} are not along {length}", indices.len()),
            ));
        }
        *length = indices.len();
        Ok(self.push(name, Op::Select { axis, indices, fill }, shape))
    }

    /// Entries `range` along `axis`.
    ///
    /// # Errors
    /// Those of [`select`](Builder::select).
    pub fn slice(self, axis: usize, range: std::ops::Range<usize>) -> Result<Self> {
        let length = self.shape().get(axis).copied().unwrap_or(0);
        // What is too long is an entry that does not exist.
        let end = range.end.min(length + 1);
        let indices: Vec<u32> = (range.start.min(end)..end).map(|at| at as u32).collect();
        self.select(axis, indices, 0.0)
    }

    /// `before` and `after` entries of `fill` around those along `axis`.
    ///
    /// # Errors
    /// Those of [`select`](Builder::select).
    pub fn pad(self, axis: usize, before: usize, after: usize, fill: f32) -> Result<Self> {
        let length = self.shape().get(axis).copied().unwrap_or(0);
        let nothing = |count| std::iter::repeat_n(NOTHING, count);
        let indices: Vec<u32> =
            nothing(before).chain((0..length).map(|at| at as u32)).chain(nothing(after)).collect();
        self.select(axis, indices, fill)
    }

    /// Row `id` of `table` `[vocabulary, width]` (row-major) for each element of the value, along a new last axis. The value has to
    /// be the network's input, or entries of it: token ids.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the table holds no whole rows.
    pub fn embedding(self, table: &[f32], width: usize) -> Result<Self> {
        let name = self.next_name("embedding");
        if width == 0 || table.is_empty() || !table.len().is_multiple_of(width) {
            return Err(wrong(&name, format!("{} numbers are no rows of {width}", table.len())));
        }
        let table = Tensor::new(&[table.len() / width, width], table);
        let mut shape = self.shape().to_vec();
        shape.push(width);
        Ok(self.push(name, Op::Embedding { table }, shape))
    }
}
