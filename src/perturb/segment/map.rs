//! The result of a segmentation: a label for every pixel.

use std::sync::Arc;

use crate::error::{Error, Result};

/// Which segment each pixel of an image belongs to.
///
/// Labels run from 0 to `count() - 1` and each occurs at least once.
///
/// # Example
/// ```
/// use whybox::perturb::segment::SegmentMap;
///
/// let map = SegmentMap::new(2, 2, vec![7, 7, 3, 900])?;
/// assert_eq!(map.labels(), [1, 1, 0, 2]);
/// assert_eq!(map.sizes(), [1, 2, 1]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMap {
    height: usize,
    width: usize,
    labels: Arc<[u32]>,
    count: usize,
}

impl SegmentMap {
    /// A map of `height * width` pixels from any ids, row-major.
    ///
    /// The ids are replaced by 0, 1, 2, … in ascending order of id.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a map without pixels or a number of ids
    /// that is not `height * width`; [`Error::Limits`] for 2³² pixels or more.
    pub fn new(height: usize, width: usize, labels: Vec<u32>) -> Result<Self> {
        Self::from_ids(height, width, &labels)
    }

    /// [`SegmentMap::new`] for ids of any ordered type.
    pub(super) fn from_ids<T: Copy + Ord>(height: usize, width: usize, ids: &[T]) -> Result<Self> {
        check_pixel_count(height, width)?;
        if height * width != ids.len() {
            return Err(Error::parameter(
                "a segment map needs one label for each pixel",
                format!("{} labels for {height} x {width} pixels", ids.len()),
                format!("give {} labels, row by row", height * width),
            ));
        }
        if ids.is_empty() {
            return Err(Error::parameter(
                "a segment map without pixels",
                format!("{height} x {width} pixels"),
                "give a map of at least one pixel",
            ));
        }
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        // The position of an id among the ids below it is its label; every id is in `distinct`, and
        // there are fewer than 2^32 pixels, so the cast keeps the value.
        let labels = ids.iter().map(|id| distinct.partition_point(|other| other < id) as u32);
        Ok(SegmentMap { height, width, labels: labels.collect(), count: distinct.len() })
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of segments, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The label of every pixel, row-major: `height * width` values below [`count`](Self::count).
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The labels, to be kept without a copy.
    pub(in crate::perturb) fn shared_labels(&self) -> Arc<[u32]> {
        self.labels.clone()
    }

    /// The label of the pixel in row `y` and column `x`; `None` outside the map.
    pub fn label(&self, y: usize, x: usize) -> Option<u32> {
        (y < self.height && x < self.width).then(|| self.labels[y * self.width + x])
    }

    /// Pixels in each segment, by label; every size is at least 1.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.count];
        for &label in self.labels() {
            sizes[label as usize] += 1;
        }
        sizes
    }

    /// Whether each pixel, row-major, differs from its right or its lower neighbour.
    pub fn boundaries(&self) -> Vec<bool> {
        let differs = |index: usize, x: usize| {
            let label = self.labels[index];
            let right = (x + 1 < self.width).then(|| self.labels[index + 1]);
            let below = self.labels.get(index + self.width);
            right.is_some_and(|other| other != label) || below.is_some_and(|&other| other != label)
        };
        (0..self.labels.len()).map(|index| differs(index, index % self.width)).collect()
    }

    /// The map at another size, each pixel taking the label under its centre.
    ///
    /// A segment that no centre falls into is gone and the labels after it move up: when shrinking,
    /// [`count`](Self::count) may fall.
    ///
    /// # Errors
    /// As [`SegmentMap::new`], for a `height` or `width` of 0 or too many pixels.
    pub fn resized(&self, height: usize, width: usize) -> Result<Self> {
        check_pixel_count(height, width)?;
        // floor((at + 1/2) * from / to), below `from`; the product may need more than 64 bits.
        let source = |at: usize, to: usize, from: usize| {
            ((2 * at + 1) as u128 * from as u128 / (2 * to) as u128) as usize
        };
        let columns: Vec<usize> = (0..width).map(|x| source(x, width, self.width)).collect();
        let ids: Vec<u32> = (0..height)
            .map(|y| source(y, height, self.height) * self.width)
            .flat_map(|row| columns.iter().map(move |x| self.labels[row + x]))
            .collect();
        Self::from_ids(height, width, &ids)
    }
}

/// Refuses sizes whose pixels cannot be numbered in 32 bits.
pub(super) fn check_pixel_count(height: usize, width: usize) -> Result<()> {
    let pixels = height.checked_mul(width).and_then(|pixels| u32::try_from(pixels).ok());
    match pixels {
        Some(_) => Ok(()),
        None => Err(Error::limits(
            "an image of 2^32 pixels or more cannot be segmented",
            format!("{height} x {width} pixels"),
            "make the image smaller",
        )),
    }
}
