//! Cutting an image into segments (superpixels), the players of an image game.
//!
//! Five ways, each in its own file: [`Slic`], [`Quickshift`] and [`Felzenszwalb`] follow
//! scikit-image 0.26 step by step, so that an explanation can be compared with one made in Python;
//! [`Grid`] cuts rectangles; a label image supplies a map made elsewhere.
//!
//! # Example
//! ```
//! use whybox::perturb::segment::Segmentation;
//!
//! let image = ndarray::Array3::from_shape_fn((24, 32, 3), |(_, x, _)| if x < 16 { 0.1 } else { 0.9 });
//! let segmentation: Segmentation = "grid:rows=2,cols=4".parse()?;
//! let map = segmentation.segment(&image.view(), 0)?;
//! assert_eq!(map.count(), 8);
//! assert_eq!(segmentation.to_string(), "grid:rows=2,cols=4");
//! # Ok::<(), whybox::Error>(())
//! ```

mod felzenszwalb;
mod grid;
mod lab;
mod labels;
mod map;
mod planes;
mod quickshift;
mod slic;
mod smooth;
mod syntax;

use std::path::PathBuf;

use ndarray::ArrayView3;

use crate::error::{Error, Result};

pub use felzenszwalb::Felzenszwalb;
pub use grid::Grid;
pub use map::SegmentMap;
pub use quickshift::Quickshift;
pub use slic::Slic;

use planes::Planes;

/// An image as the segmenters see it: `[height, width, 3]`, sRGB, values from 0 to 1.
///
/// A grey image is given with its one channel repeated three times.
pub type RgbImageView<'a> = ArrayView3<'a, f32>;

/// By how much a pixel may leave 0..=1, so that one that was normalised and restored still passes.
const RANGE_SLACK: f32 = 1e-3;

/// How to cut an image into segments.
///
/// [`Default`] is SLIC with about 70 segments. A text such as `slic:n=70,compactness=10` is
/// parsed by [`FromStr`](std::str::FromStr); every key may be left out, and
/// [`Display`](std::fmt::Display) writes all of them:
///
/// | text | keys, with their defaults |
/// |---|---|
/// | `slic` | `n=70,compactness=10,sigma=0,iterations=10` |
/// | `quickshift` | `kernel=4,max_dist=200,ratio=0.2` |
/// | `felzenszwalb` | `scale=100,sigma=0.5,min=50` |
/// | `grid` | `rows=7,cols=7` |
/// | `file:labels.png` | none: the rest of the text is the path |
///
/// # Example
/// ```
/// use whybox::perturb::segment::Segmentation;
///
/// let segmentation: Segmentation = "slic:n=100".parse()?;
/// assert_eq!(segmentation.to_string().parse::<Segmentation>()?, segmentation);
/// assert!("slic:m=3".parse::<Segmentation>().is_err());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Compact superpixels by local k-means.
    Slic(Slic),
    /// Mode seeking in colour and place.
    Quickshift(Quickshift),
    /// Greedy merging over the pixel graph.
    Felzenszwalb(Felzenszwalb),
    /// Rectangles.
    Grid(Grid),
    /// A PNG in which each grey value or colour is a segment.
    File(PathBuf),
}

impl Default for Segmentation {
    fn default() -> Self {
        Segmentation::Slic(Slic::default())
    }
}

impl Segmentation {
    /// Cuts `image` (`[height, width, 3]`, sRGB, 0 to 1) into segments.
    ///
    /// `seed` matters to quickshift alone, which breaks ties by noise. The same image, parameters
    /// and seed give the same map for any number of threads.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a parameter out of range, an empty image,
    /// one that has not three channels, a value that is not finite or outside 0 to 1, or a label
    /// image that cannot be decoded or has another size than `image`;
    /// [`Error::Io`] for a label image that cannot be read;
    /// [`Error::Limits`] for an image of 2³² pixels or more.
    pub fn segment(&self, image: &RgbImageView, seed: u64) -> Result<SegmentMap> {
        check_image(image)?;
        match self {
            Segmentation::Slic(slic) => slic.segment(Planes::from_image(image)),
            Segmentation::Quickshift(shift) => shift.segment(Planes::from_image(image), seed),
            Segmentation::Felzenszwalb(graph) => graph.segment(Planes::from_image(image)),
            Segmentation::Grid(grid) => grid.segment(image.shape()[0], image.shape()[1]),
            Segmentation::File(path) => {
                let map = labels::read(path)?;
                let (height, width, _) = image.dim();
                if (map.height(), map.width()) == (height, width) {
                    return Ok(map);
                }
                let (rows, cols) = (map.height(), map.width());
                Err(Error::parameter(
                    format!("the label image has {rows} x {cols} pixels, the image {height} x {width}"),
                    path.display().to_string(),
                    format!("give a label image of height {height} and width {width}"),
                ))
            }
        }
    }
}

/// Refuses what no segmenter can work with.
fn check_image(image: &RgbImageView) -> Result<()> {
    let (height, width, channels) = image.dim();
    let shape = format!("image of shape [{height}, {width}, {channels}]");
    if height == 0 || width == 0 {
        return Err(Error::parameter("the image is empty", shape, "give an image of at least one pixel"));
    }
    if channels != 3 {
        return Err(Error::parameter(
            "the image has not three channels",
            shape,
            "repeat a grey channel three times and drop alpha",
        ));
    }
    map::check_pixel_count(height, width)?;
    let sound = -RANGE_SLACK..=1.0 + RANGE_SLACK;
    match image.indexed_iter().find(|(_, value)| !sound.contains(value)) {
        None => Ok(()),
        Some(((y, x, channel), value)) => Err(Error::parameter(
            "a pixel is not a number from 0 to 1",
            format!("row {y}, column {x}, channel {channel}: {value}"),
            "scale the image to 0..=1 (divide 8-bit values by 255)",
        )),
    }
}
