//! Segments: each segment of a picture is kept or replaced by a baseline.

use std::ops::Range;
use std::sync::Arc;

use super::picture::PixelOrder;
use super::segment::SegmentMap;
use super::{Coalitions, Data, Expander, Perturbation, Program};
use crate::plan::{Dependence, InputLayout, Locality};
use crate::{Error, Result};

/// A picture whose segments are present (the instance's pixels) or absent (the baseline's), one row for each
/// coalition of segments.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::perturb::picture::PixelOrder;
/// use whybox::perturb::segment::SegmentMap;
/// use whybox::perturb::{Coalitions, Segments};
/// use whybox::{Device, model::Model};
///
/// // Two pixels, each a segment; the rows show both, and the second alone.
/// let map = SegmentMap::new(1, 2, vec![0, 1])?;
/// let coalitions = Arc::new(Coalitions::from_words(2, vec![0b11, 0b10])?);
/// let rows = Segments::new(vec![5.0, 7.0], vec![1.0, 1.0], map, PixelOrder::ChannelsFirst, coalitions)?;
/// let model = Model::builder("sum", &[1, 1, 2]).flatten().linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let sums = Device::cpu().load(&model)?.responses(&rows, &Default::default())?;
/// assert_eq!(sums, ndarray::array![[12.0], [8.0]]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Segments {
    instance: Arc<[f32]>,
    baseline: Arc<[f32]>,
    map: SegmentMap,
    order: PixelOrder,
    coalitions: Arc<Coalitions>,
}

impl Segments {
    /// `instance` and `baseline` are one sample of the network's input in the graph's order (as a rule
    /// `[C, H, W]`, preprocessed), whose channels stand as `order` says; `map` has the picture's size; each
    /// segment is a player of `coalitions`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes do not agree.
    pub fn new(
        instance: impl Into<Arc<[f32]>>,
        baseline: impl Into<Arc<[f32]>>,
        map: SegmentMap,
        order: PixelOrder,
        coalitions: Arc<Coalitions>,
    ) -> Result<Self> {
        let (instance, baseline): (Arc<[f32]>, Arc<[f32]>) = (instance.into(), baseline.into());
        let wrong = |what: String| Err(Error::parameter(what, "segments", "use one picture size throughout"));
        if instance.len() != baseline.len() {
            return wrong(format!(
                "the instance has {} elements, the baseline {}",
                instance.len(),
                baseline.len()
            ));
        }
        if map.count() != coalitions.players() {
            return wrong(format!(
                "{} segments, but coalitions of {} players",
                map.count(),
                coalitions.players()
            ));
        }
        Ok(Segments { instance, baseline, map, order, coalitions })
    }

    /// The coalitions, one for each row.
    pub fn coalitions(&self) -> &Coalitions {
        &self.coalitions
    }
}

impl Perturbation for Segments {
    fn rows(&self) -> usize {
        self.coalitions.rows()
    }

    fn bind<'a>(&'a self, input: &InputLayout) -> Result<Box<dyn Expander + 'a>> {
        let pixels = self.map.labels().len();
        if self.instance.len() != input.len() || pixels == 0 || !input.len().is_multiple_of(pixels) {
            return Err(Error::parameter(
                format!(
                    "a picture of {} elements with {} mask pixels does not fit an input {:?}",
                    self.instance.len(),
                    self.map.labels().len(),
                    input.shape
                ),
                "segments",
                "make the picture and its segment map at the network's size",
            ));
        }
        let stored = |sample: &[f32]| -> Arc<[f32]> {
            let mut out = vec![0.0; sample.len()];
            input.store(sample, &mut out);
            out.into()
        };
        let locality = Locality {
            players: self.map.shared_labels(),
            instance: stored(&self.instance),
            baseline: stored(&self.baseline),
            masks: self.coalitions.words().into(),
            words_per_row: self.coalitions.words_per_row(),
        };
        let last = input.channels_last || self.order == PixelOrder::ChannelsLast;
        let inner = if last { input.len() / pixels } else { 1 };
        Ok(Box::new(Bound { locality, inner }))
    }
}

struct Bound {
    locality: Locality,
    /// Elements that follow one another and belong to one pixel.
    inner: usize,
}

impl Expander for Bound {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        let Locality { players, instance, baseline, masks, words_per_row } = &self.locality;
        let inner = self.inner;
        for (row, sample) in rows.zip(out.chunks_exact_mut(instance.len())) {
            let mask = &masks[row * words_per_row..(row + 1) * words_per_row];
            let present =
                |player: u32| player == u32::MAX || mask[player as usize / 32] >> (player % 32) & 1 == 1;
            // Planes of `players.len()` pixels of `inner` elements each.
            for (plane, elements) in sample.chunks_exact_mut(players.len() * inner).enumerate() {
                let base = plane * players.len() * inner;
                for (pixel, (element, &player)) in
                    elements.chunks_exact_mut(inner).zip(&players[..]).enumerate()
                {
                    let at = base + pixel * inner;
                    let source = if present(player) { instance } else { baseline };
                    element.copy_from_slice(&source[at..at + inner]);
                }
            }
        }
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let Locality { players, instance, baseline, masks, words_per_row } = &self.locality;
        let words = &masks[rows.start * words_per_row..rows.end * words_per_row];
        let fixed_words = |data: &[u32]| Data::Fixed(bytemuck::cast_slice(data).into());
        let fixed_floats = |data: &[f32]| Data::Fixed(bytemuck::cast_slice(data).into());
        // Sizes below 2³² are asserted when a network is loaded on the GPU.
        Program {
            shader: "perturb/segments",
            buffers: vec![
                fixed_words(players),
                fixed_floats(instance),
                fixed_floats(baseline),
                Data::Chunk(bytemuck::cast_slice(words).to_vec()),
            ],
            params: [self.inner as u32, players.len() as u32, *words_per_row as u32, 0],
        }
    }

    fn locality(&self) -> Option<&Locality> {
        Some(&self.locality)
    }

    fn dependence(&self) -> Option<Dependence> {
        let together = self.inner * self.locality.players.len() == self.locality.instance.len();
        together.then(|| Dependence::from(&self.locality))
    }

    fn pixel(&self, row: usize, pixel: usize, out: &mut [f32]) {
        let Locality { players, instance, baseline, masks, words_per_row } = &self.locality;
        let player = players[pixel];
        let present =
            player == u32::MAX || masks[row * words_per_row + player as usize / 32] >> (player % 32) & 1 == 1;
        let source = if present { instance } else { baseline };
        out.copy_from_slice(&source[pixel * self.inner..(pixel + 1) * self.inner]);
    }
}
