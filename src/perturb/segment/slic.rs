//! SLIC: compact superpixels of similar size, by k-means in colour and place.

use std::ops::Range;

use rayon::prelude::*;

use super::planes::Planes;
use super::syntax::within;
use super::{SegmentMap, lab, smooth};
use crate::error::Result;

/// Simple linear iterative clustering.
///
/// k-means over L\*a\*b\* colour and place, each centre looking only at pixels within two steps of
/// the starting grid, with distance
///
/// D² = |ΔLab|²/compactness² + (Δy² + Δx²)/step²,
///
/// then a pass that makes every segment 4-connected. Source: Achanta et al., "SLIC superpixels
/// compared to state-of-the-art superpixel methods", TPAMI 34(11), 2012, in the form of
/// `skimage.segmentation.slic` 0.26: the image is first stretched to 0..=1, and the centres start
/// without a colour.
///
/// # Example
/// ```
/// use whybox::perturb::segment::{Segmentation, Slic};
///
/// let segmentation = Segmentation::Slic(Slic { segments: 25, ..Slic::default() });
/// assert_eq!("slic:n=25".parse(), Ok(segmentation.clone()));
/// let image = ndarray::Array3::from_shape_fn((20, 20, 3), |(_, x, _)| if x < 10 { 0.1 } else { 0.9 });
/// assert!(segmentation.segment(&image.view(), 0)?.count() >= 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slic {
    /// Segments aimed at, 1 to 10⁹; default 70. A regular grid of centres decides how many there
    /// are; small ones are merged. More than the pixels means as many as the pixels.
    pub segments: usize,
    /// Weight of place against colour, in units of L\*a\*b\* (0.001 to 10⁶); higher is squarer.
    /// Default 10.
    pub compactness: f64,
    /// Standard deviation in pixels of a Gaussian smoothing ahead, 0 to 100; default 0: none.
    pub sigma: f64,
    /// Rounds of k-means, 1 to 1,000; default 10.
    pub iterations: usize,
}

impl Default for Slic {
    fn default() -> Self {
        Slic { segments: 70, compactness: 10.0, sigma: 0.0, iterations: 10 }
    }
}

/// A segment is dissolved below this part of the mean size …
const MIN_SIZE: f64 = 0.5;
/// … and cut off at this multiple of it.
const MAX_SIZE: f64 = 3.0;

/// Image rows that one task assigns; any number gives the same labels.
const BAND_ROWS: usize = 16;

impl Slic {
    pub(super) fn check(&self) -> Result<()> {
        within("slic:n", self.segments as f64, 1.0, 1e9)?;
        within("slic:compactness", self.compactness, 1e-3, 1e6)?;
        within("slic:sigma", self.sigma, 0.0, 100.0)?;
        within("slic:iterations", self.iterations as f64, 1.0, 1000.0)
    }

    pub(super) fn segment(&self, mut image: Planes) -> Result<SegmentMap> {
        self.check()?;
        let (low, high) = image.range();
        let span = if high > low { high - low } else { 1.0 };
        image.map(|value| (value - low) / span);
        lab::from_srgb(&mut image);
        smooth::gaussian(&mut image, self.sigma);
        let ratio = 1.0 / self.compactness;
        image.map(|value| value * ratio);

        let grid = StartGrid::new(image.height, image.width, self.segments);
        let mut centres = grid.centres(&image);
        // The search window comes from the number of centres made, which may call for another step.
        let reach = StartGrid::new(image.height, image.width, centres.len());
        let search = Search { reach: (reach.y.step, reach.x.step), step: grid.largest_step() };
        let mut labels = vec![0; image.len()];
        for round in 0..self.iterations {
            let before = labels.clone();
            search.assign(&image, &centres, &mut labels);
            if round > 0 && labels == before {
                break; // the centres would stay where they are
            }
            move_centres(&image, &labels, &mut centres);
        }

        let mean_size = image.len() as f64 / centres.len() as f64;
        let sizes = (MIN_SIZE * mean_size) as usize..(MAX_SIZE * mean_size) as usize;
        connect(image.height, image.width, &labels, sizes)
    }
}

/// Regularly spaced places along one axis: `start`, `start + step`, …
#[derive(Clone, Copy)]
struct Spacing {
    start: usize,
    step: usize,
}

impl Spacing {
    fn new(step: f64) -> Self {
        Spacing { start: (step / 2.0) as usize, step: step.round_ties_even() as usize }
    }
}

/// Where the centres start: about `points` places on a square lattice.
struct StartGrid {
    y: Spacing,
    x: Spacing,
}

impl StartGrid {
    /// The rule of `skimage.util.regular_grid`: steps are the square root of the pixels for each
    /// point; an axis shorter than that has one place, and the other axis shares the points.
    fn new(height: usize, width: usize, points: usize) -> Self {
        let (short, long) = (height.min(width), height.max(width));
        let (pixels, points) = ((short * long) as f64, points as f64);
        let square = (pixels / points).sqrt();
        let (along_short, along_long) = if pixels <= points {
            let every = Spacing { start: 0, step: 1 };
            (every, every)
        } else if (short as f64) < square {
            (Spacing::new(short as f64), Spacing::new(long as f64 / points))
        } else {
            (Spacing::new(square), Spacing::new(square))
        };
        if height <= width {
            StartGrid { y: along_short, x: along_long }
        } else {
            StartGrid { y: along_long, x: along_short }
        }
    }

    fn largest_step(&self) -> f64 {
        self.y.step.max(self.x.step) as f64
    }

    fn centres(&self, image: &Planes) -> Vec<Option<Centre>> {
        let ys = (self.y.start..image.height).step_by(self.y.step);
        let xs = (self.x.start..image.width).step_by(self.x.step);
        let centre = |y, x| Some(Centre { y: y as f64, x: x as f64, colour: [0.0; 3] });
        ys.flat_map(|y| xs.clone().map(move |x| centre(y, x))).collect()
    }
}

/// The mean of a cluster; a cluster that has lost all its pixels has none and stays empty.
struct Centre {
    y: f64,
    x: f64,
    colour: [f64; 3],
}

/// How far a centre looks and how it weighs place.
struct Search {
    /// Grid steps along y and x in pixels.
    reach: (usize, usize),
    /// The larger step, which scales distances.
    step: f64,
}

impl Search {
    /// Gives each pixel the nearest centre whose window covers it; others keep their label.
    fn assign(&self, image: &Planes, centres: &[Option<Centre>], labels: &mut [u32]) {
        let bands = labels.par_chunks_mut(BAND_ROWS * image.width).enumerate();
        bands.for_each(|(band, labels)| self.assign_band(image, centres, band, labels));
    }

    fn assign_band(&self, image: &Planes, centres: &[Option<Centre>], band: usize, labels: &mut [u32]) {
        let width = image.width;
        let weight = 1.0 / (self.step * self.step);
        let first_row = band * BAND_ROWS;
        let last_row = (first_row + BAND_ROWS).min(image.height);
        let mut nearest = vec![f64::MAX; labels.len()];
        let mut dx_sq = Vec::new();
        for (k, centre) in centres.iter().enumerate() {
            let Some(centre) = centre else { continue };
            let rows = window(centre.y, self.reach.0, image.height);
            let rows = rows.start.max(first_row)..rows.end.min(last_row);
            if rows.is_empty() {
                continue;
            }
            let cols = window(centre.x, self.reach.1, width);
            dx_sq.clear();
            dx_sq.extend(cols.clone().map(|x| (centre.x - x as f64).powi(2)));
            for y in rows {
                let dy_sq = (centre.y - y as f64).powi(2);
                let pixels = |row: usize| row * width + cols.start..row * width + cols.end;
                let (here, local) = (pixels(y), pixels(y - first_row));
                let [l, a, b] = image.channels.each_ref().map(|plane| &plane[here.clone()]);
                let best = nearest[local.clone()].iter_mut().zip(&mut labels[local]);
                let colours = l.iter().zip(a).zip(b);
                for (((nearest, label), dx_sq), ((l, a), b)) in best.zip(&dx_sq).zip(colours) {
                    let colour = (l - centre.colour[0]).powi(2)
                        + (a - centre.colour[1]).powi(2)
                        + (b - centre.colour[2]).powi(2);
                    let distance = (dy_sq + dx_sq) * weight + colour;
                    // Written without a branch, so that the compiler can use vectors.
                    let nearer = distance < *nearest;
                    *nearest = if nearer { distance } else { *nearest };
                    *label = if nearer { k as u32 } else { *label };
                }
            }
        }
    }
}

/// The pixels within two steps of a centre along one axis of `len` pixels.
fn window(centre: f64, step: usize, len: usize) -> Range<usize> {
    let reach = 2.0 * step as f64;
    (centre - reach).max(0.0) as usize..(centre + reach + 1.0).min(len as f64) as usize
}

/// Moves every centre to the mean of its pixels.
fn move_centres(image: &Planes, labels: &[u32], centres: &mut [Option<Centre>]) {
    let mut sums = vec![([0.0; 5], 0.0); centres.len()];
    let [l, a, b] = &image.channels;
    for (index, &label) in labels.iter().enumerate() {
        let (y, x) = (index / image.width, index % image.width);
        let (sum, pixels) = &mut sums[label as usize];
        let features = [y as f64, x as f64, l[index], a[index], b[index]];
        sum.iter_mut().zip(features).for_each(|(sum, feature)| *sum += feature);
        *pixels += 1.0;
    }
    for (centre, (sum, pixels)) in centres.iter_mut().zip(sums) {
        let [y, x, l, a, b] = sum.map(|sum| sum / pixels);
        *centre = (pixels > 0.0).then_some(Centre { y, x, colour: [l, a, b] });
    }
}

/// Cuts clusters into their 4-connected parts and merges small parts into a neighbour.
///
/// Parts are found in raster order by breadth-first search and cut off at `sizes.end` pixels; one
/// below `sizes.start` takes the label of a part found earlier that it touches. (The first part of
/// all touches none; the next one then shares its label.)
fn connect(height: usize, width: usize, clusters: &[u32], sizes: Range<usize>) -> Result<SegmentMap> {
    const UNSEEN: u32 = u32::MAX; // there are fewer pixels, hence fewer labels
    let mut labels = vec![UNSEEN; clusters.len()];
    let mut next_label = 0;
    let mut part = Vec::new();
    for seed in 0..clusters.len() {
        if labels[seed] != UNSEEN {
            continue;
        }
        let mut adjacent = next_label;
        labels[seed] = next_label;
        part.clear();
        part.push(seed);
        let mut visited = 0;
        while visited < part.len() && part.len() < sizes.end {
            let (y, x) = (part[visited] / width, part[visited] % width);
            visited += 1;
            let neighbours = [
                (x + 1 < width).then(|| y * width + x + 1),
                (x > 0).then(|| y * width + x - 1),
                (y + 1 < height).then(|| (y + 1) * width + x),
                (y > 0).then(|| (y - 1) * width + x),
            ];
            for pixel in neighbours.into_iter().flatten() {
                if labels[pixel] == UNSEEN && clusters[pixel] == clusters[seed] {
                    labels[pixel] = next_label;
                    part.push(pixel);
                    if part.len() >= sizes.end {
                        break;
                    }
                } else if labels[pixel] != UNSEEN && labels[pixel] != next_label {
                    adjacent = labels[pixel];
                }
            }
        }
        if part.len() < sizes.start {
            part.iter().for_each(|&pixel| labels[pixel] = adjacent);
        } else {
            next_label += 1;
        }
    }
    SegmentMap::new(height, width, labels)
}
