//! Rectangles: the segmentation that looks at nothing.

use super::SegmentMap;
use super::syntax::within;
use crate::error::Result;

/// A grid of `rows * cols` rectangles of nearly equal size.
///
/// Pixel (y, x) belongs to rectangle (floor(y·rows/height), floor(x·cols/width)); rectangles are
/// numbered row by row. An image with fewer pixels than rectangles along an axis has one segment
/// for each pixel there.
///
/// # Example
/// ```
/// use whybox::perturb::segment::{Segmentation, Grid};
///
/// let segmentation = Segmentation::Grid(Grid { rows: 2, cols: 3 });
/// assert_eq!("grid:rows=2,cols=3".parse(), Ok(segmentation.clone()));
/// let image = ndarray::Array3::from_shape_fn((20, 20, 3), |(_, x, _)| if x < 10 { 0.1 } else { 0.9 });
/// assert!(segmentation.segment(&image.view(), 0)?.count() >= 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rectangles from top to bottom, 1 to 65,535; default 7.
    pub rows: usize,
    /// Rectangles from left to right, 1 to 65,535; default 7.
    pub cols: usize,
}

impl Default for Grid {
    fn default() -> Self {
        Grid { rows: 7, cols: 7 }
    }
}

impl Grid {
    pub(super) fn check(&self) -> Result<()> {
        within("grid:rows", self.rows as f64, 1.0, 65_535.0)?;
        within("grid:cols", self.cols as f64, 1.0, 65_535.0)
    }

    pub(super) fn segment(&self, height: usize, width: usize) -> Result<SegmentMap> {
        self.check()?;
        // In u64: at most 2^32 rows or columns of pixels times 2^16 fit.
        let cell = |at: usize, cells: usize, len: usize| at as u64 * cells as u64 / len as u64;
        let ids: Vec<u64> = (0..height)
            .map(|y| cell(y, self.rows, height) * self.cols as u64)
            .flat_map(|row| (0..width).map(move |x| row + cell(x, self.cols, width)))
            .collect();
        SegmentMap::from_ids(height, width, &ids)
    }
}
