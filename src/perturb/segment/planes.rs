//! Three planes of numbers over one image, on which the segmenters compute.

use super::RgbImageView;

/// A three-channel image by channel: `height * width` values each, row-major.
///
/// The values are f64, as in scikit-image: in f32 near-ties would fall differently.
pub(super) struct Planes {
    pub height: usize,
    pub width: usize,
    pub channels: [Vec<f64>; 3],
}

impl Planes {
    /// The channels of a `[height, width, 3]` image.
    pub fn from_image(image: &RgbImageView) -> Self {
        let (height, width, _) = image.dim();
        let channels = [0, 1, 2].map(|channel| {
            let plane = image.index_axis(ndarray::Axis(2), channel);
            plane.iter().map(|&value| f64::from(value)).collect()
        });
        Planes { height, width, channels }
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.height * self.width
    }

    /// Replaces every value by what `change` makes of it.
    pub fn map(&mut self, change: impl Fn(f64) -> f64) {
        for value in self.channels.iter_mut().flatten() {
            *value = change(*value);
        }
    }

    /// The smallest and the largest value of all channels.
    pub fn range(&self) -> (f64, f64) {
        let fold = |(low, high): (f64, f64), &value: &f64| (low.min(value), high.max(value));
        self.channels.iter().flatten().fold((f64::INFINITY, f64::NEG_INFINITY), fold)
    }

    /// Squared Euclidean distance between the colours of two pixels.
    pub fn colour_distance_sq(&self, a: usize, b: usize) -> f64 {
        self.channels.iter().map(|plane| (plane[a] - plane[b]).powi(2)).sum()
    }
}
