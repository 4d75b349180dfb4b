//! Segments of the photo, masked before it is resized to the network's size.
//!
//! A network pixel then sees every segment under the resize filter's footprint. Resizing is linear, so its
//! value is `Σ_s z_s·a_s + (1 − z_s)·b_s` over those segments: the baseline plus, for each present segment,
//! a difference that is worked out once. Nothing is rounded or clipped in between.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::ArrayView3;

use super::picture::{Picture, PictureShape, PixelOrder, Preprocess};
use super::segment::SegmentMap;
use super::{Coalitions, Data, Expander, Perturbation, Program};
use crate::plan::{Dependence, InputLayout};
use crate::{Error, Result};

/// A photo whose segments, drawn at the photo's own resolution, are present or absent; one row for each
/// coalition.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::perturb::picture::{Picture, PictureShape, Preprocess};
/// use whybox::perturb::segment::SegmentMap;
/// use whybox::perturb::{Coalitions, Footprints, ResizedSegments};
/// use whybox::{Device, model::Model};
///
/// // A red photo, its left and its right half; the rows show all, and nothing.
/// let photo = image::RgbImage::from_pixel(4, 4, image::Rgb([255, 0, 0]));
/// let (shape, preprocess): (_, Preprocess) = (PictureShape::of(&[3, 2, 2])?, "unit".parse()?);
/// let picture = Picture::new(photo, &shape, &preprocess)?;
/// let halves = SegmentMap::new(4, 4, (0..16).map(|pixel| pixel % 4 / 2).collect())?;
/// let black = ndarray::Array3::zeros((4, 4, 3));
/// let footprints = Footprints::new(&picture, black.view(), &halves, &shape, &preprocess)?;
/// let coalitions = Arc::new(Coalitions::from_words(2, vec![0b11, 0b00])?);
/// let rows = ResizedSegments::new(Arc::new(footprints), shape, coalitions)?;
/// let model = Model::builder("mean colour", &[3, 2, 2]).global_average_pool()?.build()?;
/// let colours = Device::cpu().load(&model)?.responses(&rows, &Default::default())?;
/// assert!((colours[[0, 0]] - 1.0).abs() < 1e-5 && colours[[1, 0]].abs() < 1e-5);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ResizedSegments {
    footprints: Arc<Footprints>,
    shape: PictureShape,
    coalitions: Arc<Coalitions>,
}

/// For each network pixel, the segments that it sees and what each adds.
///
/// # Example
/// ```
/// use whybox::perturb::Footprints;
/// use whybox::perturb::picture::{Picture, PictureShape, Preprocess};
/// use whybox::perturb::segment::SegmentMap;
///
/// let photo = image::RgbImage::from_pixel(4, 4, image::Rgb([255, 0, 0]));
/// let (shape, preprocess): (_, Preprocess) = (PictureShape::of(&[3, 2, 2])?, "unit".parse()?);
/// let picture = Picture::new(photo, &shape, &preprocess)?;
/// let halves = SegmentMap::new(4, 4, (0..16).map(|pixel| pixel % 4 / 2).collect())?;
/// let black = ndarray::Array3::zeros((4, 4, 3));
/// let footprints = Footprints::new(&picture, black.view(), &halves, &shape, &preprocess)?;
/// assert_eq!(footprints.players(), 2);
/// assert_eq!(footprints.labels(), halves.labels()); // nothing was cropped away
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Footprints {
    /// The network's input with every segment absent, `[H, W, C]`, preprocessed.
    base: Vec<f32>,
    /// Pixel p has the entries `starts[p]..starts[p + 1]`.
    starts: Vec<u32>,
    /// Segment of each entry.
    players: Vec<u32>,
    /// What each entry adds when its segment is present, `[entries, C]`.
    differences: Vec<f32>,
    /// Players that some network pixel sees.
    count: usize,
    /// The photo's segments with those that were cropped away taken out (`u32::MAX`).
    labels: Vec<u32>,
}

impl Footprints {
    /// Works out the footprints of `map`, a segmentation of the whole photo. `baseline` is the photo's
    /// baseline `[H0, W0, 3]`, 0 to 1. Segments that were cropped away are no players: those that remain are
    /// numbered from 0 in their order.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the map has not the photo's size.
    pub fn new(
        picture: &Picture,
        baseline: ArrayView3<'_, f32>,
        map: &SegmentMap,
        shape: &PictureShape,
        preprocess: &Preprocess,
    ) -> Result<Self> {
        let photo = super::picture::photo_pixels(picture.photo());
        if (map.height(), map.width()) != (photo.dim().0, photo.dim().1) || baseline.dim() != photo.dim() {
            return Err(Error::parameter(
                format!("a map of {}×{} does not fit the photo", map.width(), map.height()),
                "segments at the photo's resolution",
                "make the segment map and the baseline at the photo's size",
            ));
        }
        let [rows, columns] = picture.axes();
        let small_base = super::picture::resample(baseline, rows, columns);
        let base = channels_last(preprocess, small_base.view(), shape);
        let mut renumbered = vec![u32::MAX; map.count()];
        let mut entries: Vec<Vec<(u32, [f32; 3])>> = Vec::with_capacity(shape.height * shape.width);
        for (y0, row_weights) in &rows.taps {
            for (x0, column_weights) in &columns.taps {
                let mut seen: Vec<(u32, [f32; 3])> = Vec::new();
                for (dy, wy) in row_weights.iter().enumerate() {
                    for (dx, wx) in column_weights.iter().enumerate() {
                        let (y, x) = (y0 + dy, x0 + dx);
                        // The map has the photo's size, and taps stay inside the photo.
                        let label = map.labels()[y * map.width() + x];
                        let add = [0, 1, 2].map(|c| wy * wx * (photo[[y, x, c]] - baseline[[y, x, c]]));
                        match seen.iter_mut().find(|(known, _)| *known == label) {
                            Some((_, sum)) => (0..3).for_each(|c| sum[c] += add[c]),
                            None => seen.push((label, add)),
                        }
                    }
                }
                seen.iter().for_each(|(label, _)| renumbered[*label as usize] = 0);
                entries.push(seen);
            }
        }
        let mut count = 0;
        for number in renumbered.iter_mut().filter(|number| **number == 0) {
            *number = count;
            count += 1;
        }
        let (mut starts, mut players, mut differences) = (vec![0], Vec::new(), Vec::new());
        for seen in entries {
            for (label, difference) in seen {
                players.push(renumbered[label as usize]);
                differences.extend(preprocess.difference(difference, shape.channels));
            }
            starts.push(players.len() as u32);
        }
        let labels = map.labels().iter().map(|&label| renumbered[label as usize]).collect();
        Ok(Footprints { base, starts, players, differences, count: count as usize, labels })
    }

    /// Number of players.
    pub fn players(&self) -> usize {
        self.count
    }

    /// The channels of a pixel under a packed coalition.
    fn pixel(&self, mask: &[u32], pixel: usize, channels: usize) -> [f32; 3] {
        let Footprints { base, starts, players, differences, .. } = self;
        let mut value = [0.0f32; 3];
        value[..channels].copy_from_slice(&base[pixel * channels..(pixel + 1) * channels]);
        for entry in starts[pixel] as usize..starts[pixel + 1] as usize {
            let player = players[entry];
            if mask[player as usize / 32] >> (player % 32) & 1 == 1 {
                for (c, value) in value[..channels].iter_mut().enumerate() {
                    *value += differences[entry * channels + c];
                }
            }
        }
        value
    }

    /// The player of each photo pixel, row by row; `u32::MAX` where the segment was cropped away.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }
}

/// The preprocessed picture as `[H, W, C]`, whatever the network's order.
fn channels_last(preprocess: &Preprocess, pixels: ArrayView3<'_, f32>, shape: &PictureShape) -> Vec<f32> {
    preprocess.apply(pixels, &PictureShape { order: PixelOrder::ChannelsLast, ..*shape })
}

impl ResizedSegments {
    /// One row for each coalition of the footprints' players.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the numbers of players differ.
    pub fn new(
        footprints: Arc<Footprints>,
        shape: PictureShape,
        coalitions: Arc<Coalitions>,
    ) -> Result<Self> {
        if footprints.count != coalitions.players() {
            return Err(Error::parameter(
                format!("{} segments, but coalitions of {} players", footprints.count, coalitions.players()),
                "segments at the photo's resolution",
                "make the coalitions for as many players as there are segments",
            ));
        }
        Ok(ResizedSegments { footprints, shape, coalitions })
    }
}

impl Perturbation for ResizedSegments {
    fn rows(&self) -> usize {
        self.coalitions.rows()
    }

    fn bind<'a>(&'a self, input: &InputLayout) -> Result<Box<dyn Expander + 'a>> {
        if self.footprints.base.len() != input.len() {
            return Err(Error::parameter(
                format!(
                    "a picture of {} elements does not fit an input {:?}",
                    self.footprints.base.len(),
                    input.shape
                ),
                "segments at the photo's resolution",
                "fit the picture to this network",
            ));
        }
        let last = input.channels_last || self.shape.order == PixelOrder::ChannelsLast;
        Ok(Box::new(Bound { segments: self, last, tables: OnceLock::new() }))
    }
}

struct Bound<'a> {
    segments: &'a ResizedSegments,
    /// Whether the stored input is `[H, W, C]`; else `[C, H, W]`.
    last: bool,
    /// What the kernel reads in every chunk, made when a GPU first asks.
    tables: OnceLock<[Arc<[u8]>; 2]>,
}

impl Expander for Bound<'_> {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        let footprints = &*self.segments.footprints;
        let channels = self.segments.shape.channels;
        let pixels = footprints.base.len() / channels;
        for (row, sample) in rows.zip(out.chunks_exact_mut(footprints.base.len())) {
            let mask = self.segments.coalitions.row_words(row);
            for pixel in 0..pixels {
                let value = footprints.pixel(mask, pixel, channels);
                for (c, &value) in value[..channels].iter().enumerate() {
                    sample[if self.last { pixel * channels + c } else { c * pixels + pixel }] = value;
                }
            }
        }
    }

    fn dependence(&self) -> Option<Dependence> {
        let Footprints { starts, players, .. } = &*self.segments.footprints;
        let coalitions = &self.segments.coalitions;
        (self.last || self.segments.shape.channels == 1).then(|| Dependence {
            starts: starts.as_slice().into(),
            players: players.as_slice().into(),
            masks: coalitions.words().into(),
            words_per_row: coalitions.words_per_row(),
        })
    }

    fn pixel(&self, row: usize, pixel: usize, out: &mut [f32]) {
        let mask = self.segments.coalitions.row_words(row);
        let channels = self.segments.shape.channels;
        out.copy_from_slice(&self.segments.footprints.pixel(mask, pixel, channels)[..channels]);
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let Footprints { base, starts, players, differences, .. } = &*self.segments.footprints;
        let coalitions = &self.segments.coalitions;
        let words_per_row = coalitions.words_per_row();
        let words = &coalitions.words()[rows.start * words_per_row..rows.end * words_per_row];
        let channels = self.segments.shape.channels;
        // One table of (first entry, players) as integers, one of (base, differences) as floats: adapters
        // promise few storage bindings.
        let [integers, floats] = self.tables.get_or_init(|| {
            let integers: Vec<u32> = starts.iter().chain(players).copied().collect();
            let floats: Vec<f32> = base.iter().chain(differences).copied().collect();
            [bytemuck::cast_slice(&integers).into(), bytemuck::cast_slice(&floats).into()]
        });
        Program {
            shader: "perturb/resized",
            buffers: vec![
                Data::Fixed(integers.clone()),
                Data::Fixed(floats.clone()),
                Data::Chunk(bytemuck::cast_slice(words).to_vec()),
            ],
            params: [
                channels as u32,
                (base.len() / channels) as u32,
                words_per_row as u32,
                u32::from(self.last),
            ],
        }
    }
}
