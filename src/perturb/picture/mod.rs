//! Pictures: from a photo to the network's input.
//!
//! [`Preprocess`] says how a network wants its pictures; [`Picture`] is a photo fitted to a network's size,
//! with the way back, so that a map over the network's pixels can be drawn on the photo.

mod baseline;
mod preprocess;
mod resample;

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};
use ndarray::{Array3, ArrayView3};

pub use baseline::Baseline;
pub use preprocess::{ChannelOrder, Fit, Preprocess};
pub use resample::Filter;
pub(crate) use resample::{Axis, resample};

use super::segment::SegmentMap;
use crate::{Error, Result};

/// Where the channels stand in a network's input.
///
/// # Example
/// ```
/// use whybox::perturb::picture::{PictureShape, PixelOrder};
///
/// assert_eq!(PictureShape::of(&[3, 224, 224])?.order, PixelOrder::ChannelsFirst);
/// assert_eq!(PictureShape::of(&[224, 224, 3])?.order, PixelOrder::ChannelsLast);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelOrder {
    /// `[C, H, W]`
    ChannelsFirst,
    /// `[H, W, C]`
    ChannelsLast,
}

/// Size, channels and order of a network's picture input.
///
/// # Example
/// ```
/// use whybox::perturb::picture::PictureShape;
///
/// let shape = PictureShape::of(&[1, 28, 20])?;
/// assert_eq!((shape.height, shape.width, shape.channels, shape.len()), (28, 20, 1, 560));
/// assert!(PictureShape::of(&[30]).is_err());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureShape {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// 1 (grey) or 3.
    pub channels: usize,
    /// Where the channels stand.
    pub order: PixelOrder,
}

impl PictureShape {
    /// Reads a per-sample input shape.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is no picture of one or three channels.
    pub fn of(shape: &[usize]) -> Result<Self> {
        match *shape {
            [channels @ (1 | 3), height, width] => {
                Ok(PictureShape { height, width, channels, order: PixelOrder::ChannelsFirst })
            }
            [height, width, channels @ (1 | 3)] => {
                Ok(PictureShape { height, width, channels, order: PixelOrder::ChannelsLast })
            }
            _ => Err(Error::unsupported(
                format!("the network takes {shape:?}, which is no picture of one or three channels"),
                "network input",
                "explain it with the library (perturb::Segments) on data of your own",
            )),
        }
    }

    /// Elements of a sample.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether a sample has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads a photo of any common format and colour type as RGB.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Parameter`] if it is no picture.
pub fn open_photo(path: &Path) -> Result<RgbImage> {
    let at = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| Error::io(format!("the photo cannot be read: {error}"), &at, "check the path"))?;
    if bytes.is_empty() {
        return Err(Error::parameter(
            "the photo is an empty file",
            at,
            "give a PNG, JPEG, BMP, GIF, TIFF or WebP file",
        ));
    }
    decode_photo(&bytes, &at)
}

/// Decodes a photo from memory; `at` names it in errors.
///
/// # Errors
/// [`Error::Parameter`] if it is no picture.
pub fn decode_photo(bytes: &[u8], at: &str) -> Result<RgbImage> {
    let picture = upright(bytes).map_err(|error| {
        Error::parameter(
            format!("this is no picture: {error}"),
            at,
            "give a PNG, JPEG, BMP, GIF, TIFF or WebP file",
        )
    })?;
    // A transparent picture is shown on white, as viewers do.
    if !picture.color().has_alpha() {
        return Ok(picture.to_rgb8());
    }
    let rgba = picture.to_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, a] = from.0.map(u32::from);
        let over = |c: u32| ((c * a + 255 * (255 - a) + 127) / 255) as u8;
        to.0 = [over(r), over(g), over(b)];
    }
    Ok(rgb)
}

/// The picture as viewers show it: turned as its camera noted (EXIF).
fn upright(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// A photo fitted to a network's size, and the way back.
///
/// # Example
/// ```
/// use whybox::perturb::picture::{Picture, PictureShape};
///
/// let photo = image::RgbImage::from_pixel(60, 40, image::Rgb([255, 0, 0]));
/// let picture = Picture::new(photo, &PictureShape::of(&[3, 20, 20])?, &"unit".parse()?)?;
/// assert_eq!(picture.pixels().dim(), (20, 20, 3));
/// assert!((picture.pixels()[[5, 5, 0]] - 1.0).abs() < 1e-6);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Picture {
    photo: RgbImage,
    /// `[H, W, 3]`, 0 to 1.
    pixels: Array3<f32>,
    rows: Axis,
    columns: Axis,
}

impl Picture {
    /// Fits a photo to the network's height and width.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the photo has no pixel.
    pub fn new(photo: RgbImage, shape: &PictureShape, preprocess: &Preprocess) -> Result<Self> {
        let (width, height) = (photo.width() as usize, photo.height() as usize);
        if width == 0 || height == 0 {
            return Err(Error::parameter("the photo has no pixel", "photo", "give a photo of at least 1×1"));
        }
        let [rows, columns] = preprocess.axes([height, width], [shape.height, shape.width]);
        let full = photo_pixels(&photo);
        let pixels = resample(full.view(), &rows, &columns);
        Ok(Picture { photo, pixels, rows, columns })
    }

    /// The photo as the user knows it.
    pub fn photo(&self) -> &RgbImage {
        &self.photo
    }

    /// The photo at the network's size: `[H, W, 3]`, sRGB, 0 to 1.
    pub fn pixels(&self) -> ArrayView3<'_, f32> {
        self.pixels.view()
    }

    /// How photo rows and columns become the network's.
    pub(crate) fn axes(&self) -> [&Axis; 2] {
        [&self.rows, &self.columns]
    }

    /// A map over the network's pixels, drawn on the photo: the segment of each photo pixel, row by row, and
    /// `u32::MAX` where the photo was cropped away.
    pub fn on_photo(&self, map: &SegmentMap) -> Vec<u32> {
        let (width, height) = (self.photo.width() as usize, self.photo.height() as usize);
        let columns: Vec<Option<usize>> = (0..width).map(|x| self.columns.target_of(x)).collect();
        let mut labels = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = self.rows.target_of(y);
            labels.extend(columns.iter().map(|column| {
                let place = row.zip(*column);
                place.and_then(|(y, x)| map.label(y, x)).unwrap_or(u32::MAX)
            }));
        }
        labels
    }
}

/// A photo as `[H, W, 3]`, 0 to 1.
pub(crate) fn photo_pixels(photo: &RgbImage) -> Array3<f32> {
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    Array3::from_shape_fn((height, width, 3), |(y, x, c)| {
        f32::from(photo.get_pixel(x as u32, y as u32).0[c]) / 255.0
    })
}
