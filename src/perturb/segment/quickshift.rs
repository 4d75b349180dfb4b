//! Quickshift: each pixel climbs to the nearest denser one; a hill is a segment.

use rayon::prelude::*;

use super::super::philox::philox4x32_10;
use super::planes::Planes;
use super::syntax::within;
use super::{SegmentMap, lab};
use crate::error::Result;

/// Quickshift mode seeking in L\*a\*b\* colour and place.
///
/// With d² = ratio²·|ΔLab|² + Δy² + Δx², the density of a pixel is Σ exp(-d²/(2 kernel²)) over the
/// window of ±⌈3 kernel⌉ pixels, plus noise of standard deviation 1e-5 that breaks ties; each pixel
/// is linked to the nearest denser pixel of its window, links longer than `max_dist` are cut, and
/// each tree is a segment. Source: Vedaldi and Soatto, "Quick shift and kernel methods for mode
/// seeking", ECCV 2008, in the form of `skimage.segmentation.quickshift` 0.26. The defaults are
/// those of LIME's image explainer.
///
/// # Example
/// ```
/// use whybox::perturb::segment::{Segmentation, Quickshift};
///
/// let segmentation = Segmentation::Quickshift(Quickshift { kernel: 3.0, ..Quickshift::default() });
/// assert_eq!("quickshift:kernel=3".parse(), Ok(segmentation.clone()));
/// let image = ndarray::Array3::from_shape_fn((20, 20, 3), |(_, x, _)| if x < 10 { 0.1 } else { 0.9 });
/// assert!(segmentation.segment(&image.view(), 0)?.count() >= 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quickshift {
    /// Standard deviation of the density kernel, 1 to 100; larger gives fewer segments.
    /// Default 4. Time grows with its square.
    pub kernel: f64,
    /// Longest link between pixels, 0 to 10⁹, in the units of d; larger gives fewer segments.
    /// Default 200, which never cuts at LIME's other defaults.
    pub max_dist: f64,
    /// Weight of colour against place, 0 to 1; default 0.2.
    pub ratio: f64,
}

impl Default for Quickshift {
    fn default() -> Self {
        Quickshift { kernel: 4.0, max_dist: 200.0, ratio: 0.2 }
    }
}

/// Standard deviation of the noise that breaks ties between densities.
const TIE_NOISE: f64 = 1e-5;

/// The stream of Philox that no other purpose draws from.
const NOISE_STREAM: u32 = u32::from_be_bytes(*b"shft");

impl Quickshift {
    pub(super) fn check(&self) -> Result<()> {
        within("quickshift:kernel", self.kernel, 1.0, 100.0)?;
        within("quickshift:max_dist", self.max_dist, 0.0, 1e9)?;
        within("quickshift:ratio", self.ratio, 0.0, 1.0)
    }

    pub(super) fn segment(&self, mut image: Planes, seed: u64) -> Result<SegmentMap> {
        self.check()?;
        lab::from_srgb(&mut image);
        image.map(|value| value * self.ratio);
        let mut density = self.densities(&image);
        for (index, value) in density.iter_mut().enumerate() {
            *value += TIE_NOISE * noise(seed, index as u64);
        }
        let mut parents = self.parents(&image, &density);
        for pixel in 0..parents.len() {
            // Parents are denser than their children, so the climb ends.
            let mut root = pixel;
            while parents[root] as usize != root {
                let next = parents[root] as usize;
                parents[root] = parents[next];
                root = next;
            }
            parents[pixel] = root as u32;
        }
        SegmentMap::new(image.height, image.width, parents)
    }

    /// Half the width of the window in pixels, no more than the image has.
    fn reach(&self, image: &Planes) -> usize {
        ((3.0 * self.kernel).ceil() as usize).min(image.height.max(image.width) - 1)
    }

    /// Σ exp(-d²/(2 kernel²)) over the window of each pixel, itself included.
    ///
    /// Summands are f32, in which they take a third of the time: their error, 1e-7, is far below
    /// the noise that is added next. They are summed row by row of the window, then in f64.
    fn densities(&self, image: &Planes) -> Vec<f64> {
        let (height, width) = (image.height, image.width);
        let reach = self.reach(image);
        let scale = (-0.5 / (self.kernel * self.kernel)) as f32;
        let colour = image
            .channels
            .each_ref()
            .map(|plane| -> Vec<f32> { plane.iter().map(|&value| value as f32).collect() });
        let mut density = vec![0.0; image.len()];
        density.par_chunks_mut(width).enumerate().for_each_init(
            || vec![0.0; width],
            |sums: &mut Vec<f32>, (y, density)| {
                for other_y in y.saturating_sub(reach)..(y + reach + 1).min(height) {
                    sums.fill(0.0);
                    let dy = y.abs_diff(other_y);
                    let reach = reach.min(width - 1);
                    for dx in -(reach as isize)..=reach as isize {
                        // `count` columns from `here` on have a partner dx to their right.
                        let here = dx.min(0).unsigned_abs();
                        let there = dx.max(0) as usize;
                        let count = width - dx.unsigned_abs();
                        let place = (dy * dy) as f32 + (dx * dx) as f32;
                        let centre = colour.each_ref().map(|c| &c[y * width + here..][..count]);
                        let other = colour.each_ref().map(|c| &c[other_y * width + there..][..count]);
                        let sums = &mut sums[here..][..count];
                        for i in 0..count {
                            let l = centre[0][i] - other[0][i];
                            let a = centre[1][i] - other[1][i];
                            let b = centre[2][i] - other[2][i];
                            sums[i] += exp((l * l + a * a + b * b + place) * scale);
                        }
                    }
                    for (density, &sum) in density.iter_mut().zip(&*sums) {
                        *density += f64::from(sum);
                    }
                }
            },
        );
        density
    }

    /// The nearest denser pixel in the window of each pixel, or itself if there is none within
    /// `max_dist`. Of equally near ones, the first in raster order.
    fn parents(&self, image: &Planes, density: &[f64]) -> Vec<u32> {
        let (height, width) = (image.height as isize, image.width as isize);
        let reach = self.reach(image) as isize;
        // Outwards, so that the search can stop once place alone is farther than the best found.
        let window = -reach..=reach;
        let mut offsets: Vec<(isize, isize, isize)> =
            window.clone().flat_map(|dy| window.clone().map(move |dx| (dy * dy + dx * dx, dy, dx))).collect();
        offsets.sort_unstable();

        let parent = |pixel: usize| {
            let (y, x) = (pixel as isize / width, pixel as isize % width);
            let mut best = (f64::INFINITY, pixel);
            for &(place, dy, dx) in &offsets {
                if place as f64 > best.0 {
                    break;
                }
                let (other_y, other_x) = (y + dy, x + dx);
                if !(0..height).contains(&other_y) || !(0..width).contains(&other_x) {
                    continue;
                }
                let other = (other_y * width + other_x) as usize;
                if density[other] > density[pixel] {
                    let colour = image.colour_distance_sq(pixel, other);
                    let distance = colour + (dy * dy) as f64 + (dx * dx) as f64;
                    if distance < best.0 || distance == best.0 && other < best.1 {
                        best = (distance, other);
                    }
                }
            }
            let linked = best.0.sqrt() <= self.max_dist;
            // Pixels are numbered in 32 bits.
            (if linked { best.1 } else { pixel }) as u32
        };
        (0..image.len()).into_par_iter().with_min_len(image.width).map(parent).collect()
    }
}

/// e^x for x ≤ 0, to about 1e-7 of its value; below e^-87 it stays there.
///
/// e^x = 2^n·e^r with whole n and |r| ≤ ln(2)/2, and e^r by its Taylor series to r⁷ (Horner's rule). Branchless, so
/// that a loop over it compiles to vector instructions, which a call of `f32::exp` does not.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and subtracting 1.5·2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; the high one has few digits, so that its products with n are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut sum = 1.0;
    for reciprocal in [1.0 / 7.0, 1.0 / 6.0, 0.2, 0.25, 1.0 / 3.0, 0.5, 1.0] {
        sum = 1.0 + sum * r * reciprocal;
    }
    // n is from -126 to 0: a sound exponent, and in range for the conversion.
    sum * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// Draw `index` of seed `seed` from a standard normal distribution: one evaluation of Philox through
/// the Box–Muller transform.
fn noise(seed: u64, index: u64) -> f64 {
    let words = |value: u64| [value as u32, (value >> 32) as u32];
    let [low, high] = words(index);
    let [a, b, c, d] = philox4x32_10([low, high, 0, NOISE_STREAM], words(seed));
    // The upper 53 of 64 bits, as a number in (0, 1].
    let uniform = |low: u32, high: u32| {
        let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    };
    (-2.0 * uniform(a, b).ln()).sqrt() * (std::f64::consts::TAU * uniform(c, d)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_precise() {
        for step in 0..87_000 {
            let x = step as f32 * -1e-3;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e6) < 1e-37);
    }

    #[test]
    fn noise_is_standard_normal() {
        let draws: Vec<f64> = (0..100_000).map(|index| noise(3, index)).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / 1e5;
        let within_one = draws.iter().filter(|draw| draw.abs() < 1.0).count() as f64 / 1e5;
        assert!(mean.abs() < 0.015, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        assert!((within_one - 0.6827).abs() < 0.007, "{within_one}");
    }
}
