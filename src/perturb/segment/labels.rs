//! A segment map from a label image.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::{DynamicImage, ImageError, ImageFormat, ImageReader};

use super::SegmentMap;
use crate::error::{Error, Result};

/// Reads a PNG in which each distinct value (grey of 8 or 16 bits) or colour (palette, RGB, with or
/// without alpha) is a segment, numbered in ascending order of value or (red, green, blue, alpha).
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read;
/// [`Error::Parameter`] for one that is not a sound PNG;
/// [`Error::Limits`] for one too large to decode.
pub(super) fn read(path: &Path) -> Result<SegmentMap> {
    let at = || path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let reader = ImageReader::new(BufReader::new(file)).with_guessed_format();
    let reader = reader.map_err(|error| unreadable(path, &error))?;
    // Lossy formats blur the labels into thousands of segments, so only PNG is taken.
    if reader.format() != Some(ImageFormat::Png) {
        return Err(Error::parameter("the label image is not a PNG", at(), "save the labels as PNG"));
    }
    let image = reader.decode().map_err(|error| match error {
        ImageError::IoError(error) => unreadable(path, &error),
        ImageError::Limits(error) => Error::limits(error.to_string(), at(), "make the label image smaller"),
        error => Error::parameter(error.to_string(), at(), "save the labels as PNG again"),
    })?;
    from_image(&image)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let at = path.display().to_string();
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return Error::parameter("the label image ends too early", at, "save the labels as PNG again");
    }
    Error::io(format!("the label image cannot be read: {error}"), at, "check the path and its permissions")
}

fn from_image(image: &DynamicImage) -> Result<SegmentMap> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let ids: Vec<u64> = match image {
        DynamicImage::ImageLuma8(grey) => grey.iter().map(|&value| value.into()).collect(),
        DynamicImage::ImageLuma16(grey) => grey.iter().map(|&value| value.into()).collect(),
        // Four channels of 16 bits hold every other kind of PNG without loss.
        other => {
            let pack = |id: u64, &channel: &u16| id << 16 | u64::from(channel);
            other.to_rgba16().pixels().map(|pixel| pixel.0.iter().fold(0, pack)).collect()
        }
    };
    SegmentMap::from_ids(height, width, &ids)
}
