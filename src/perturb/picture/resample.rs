//! Resizing as a linear map, so that masks at the photo's resolution can pass through it exactly.

use ndarray::{Array3, ArrayView3};

/// The filter of a resize. Filters widen when shrinking (antialiasing), as Pillow's and torchvision's do.
///
/// # Example
/// ```
/// use whybox::perturb::picture::{Filter, Preprocess};
///
/// assert_eq!("imagenet,filter=lanczos".parse::<Preprocess>()?.filter, Filter::Lanczos);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Triangle (Pillow's `BILINEAR`).
    Bilinear,
    /// Keys' cubic with a = −0.5 (Pillow's `BICUBIC`).
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Filter::Nearest => 0.5,
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Filter::Nearest => f64::from(u8::from(x <= 0.5)),
            Filter::Bilinear => (1.0 - x).max(0.0),
            Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Filter::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Filter::Bicubic => 0.0,
            Filter::Lanczos if x < 1e-12 => 1.0,
            Filter::Lanczos if x < 3.0 => {
                let t = std::f64::consts::PI * x;
                3.0 * t.sin() * (t / 3.0).sin() / (t * t)
            }
            Filter::Lanczos => 0.0,
        }
    }
}

/// How one axis of the photo becomes one axis of the network's picture: each target pixel is a weighted sum
/// of neighbouring source pixels.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// For each target pixel: first source pixel, and weights that add up to 1.
    pub(crate) taps: Vec<(usize, Vec<f32>)>,
    /// Source pixels per target pixel.
    scale: f64,
    /// Target pixels cropped away before the first.
    crop: f64,
}

impl Axis {
    /// `source` pixels are resized to `resized`, of which `target` remain, beginning at `crop` (which may be
    /// negative only if `target > resized`; the edge pixel repeats there).
    pub(crate) fn new(source: usize, resized: usize, crop: f64, target: usize, filter: Filter) -> Self {
        let scale = source as f64 / resized.max(1) as f64;
        let widen = if filter == Filter::Nearest { 1.0 } else { scale.max(1.0) };
        let last = source.saturating_sub(1);
        let taps = (0..target)
            .map(|at| {
                let centre = (at as f64 + crop + 0.5) * scale;
                if filter == Filter::Nearest {
                    return ((centre.floor().max(0.0) as usize).min(last), vec![1.0]);
                }
                let reach = filter.support() * widen;
                let first = ((centre - reach + 0.5).floor().max(0.0) as usize).min(last);
                let end = ((centre + reach + 0.5).floor().max(0.0) as usize).clamp(first + 1, last + 1);
                let weights: Vec<f64> =
                    (first..end).map(|i| filter.at((i as f64 + 0.5 - centre) / widen)).collect();
                let sum: f64 = weights.iter().sum();
                if sum.abs() < 1e-12 {
                    return ((centre.floor().max(0.0) as usize).min(last), vec![1.0]);
                }
                (first, weights.iter().map(|w| (w / sum) as f32).collect())
            })
            .collect();
        Axis { taps, scale, crop }
    }

    /// The target pixel that shows source pixel `at`, if it was not cropped away.
    pub(crate) fn target_of(&self, at: usize) -> Option<usize> {
        let place = ((at as f64 + 0.5) / self.scale - self.crop).floor();
        (place >= 0.0 && (place as usize) < self.taps.len()).then_some(place as usize)
    }
}

/// Resizes `[H, W, C]`.
pub(crate) fn resample(source: ArrayView3<'_, f32>, rows: &Axis, columns: &Axis) -> Array3<f32> {
    let (height, _, channels) = source.dim();
    let mut wide = Array3::<f32>::zeros((height, columns.taps.len(), channels));
    for y in 0..height {
        for (x, (first, weights)) in columns.taps.iter().enumerate() {
            for (k, weight) in weights.iter().enumerate() {
                for c in 0..channels {
                    wide[[y, x, c]] += weight * source[[y, first + k, c]];
                }
            }
        }
    }
    let mut out = Array3::<f32>::zeros((rows.taps.len(), columns.taps.len(), channels));
    for (y, (first, weights)) in rows.taps.iter().enumerate() {
        for (k, weight) in weights.iter().enumerate() {
            let line = wide.index_axis(ndarray::Axis(0), first + k);
            out.index_axis_mut(ndarray::Axis(0), y).scaled_add(*weight, &line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_is_the_same_picture() {
        let source = Array3::from_shape_fn((5, 7, 3), |(y, x, c)| (y * 31 + x * 7 + c) as f32);
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            let same =
                resample(source.view(), &Axis::new(5, 5, 0.0, 5, filter), &Axis::new(7, 7, 0.0, 7, filter));
            let worst = (&same - &source).iter().fold(0.0f32, |m, d| m.max(d.abs()));
            assert!(worst < 1e-4, "{filter:?}: {worst}");
        }
    }

    /// Pillow: `Image.fromarray(a, "F").resize((3, 1), BILINEAR)` of 0, 1, 4, 9, 16, 25, 36.
    #[test]
    fn shrinking_averages_as_pillow_does() {
        let axis = Axis::new(7, 3, 0.0, 3, Filter::Bilinear);
        let source = [0.0f32, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0];
        let shrunk: Vec<f32> = axis
            .taps
            .iter()
            .map(|(first, weights)| weights.iter().enumerate().map(|(k, w)| w * source[first + k]).sum())
            .collect();
        for (found, expected) in shrunk.iter().zip([1.2857143, 9.941176, 27.0]) {
            assert!((found - expected).abs() < 1e-4, "{shrunk:?}");
        }
    }
}
