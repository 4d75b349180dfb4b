//! SVG to PNG with the embedded font and nothing of the system's.

use std::sync::LazyLock;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use resvg::{tiny_skia, usvg};

use super::fonts;
use crate::{Error, Result};

/// Pixels of the PNG per point of the SVG.
pub(super) const PIXELS_PER_POINT: f32 = 2.0;

/// Draws an SVG document at [`PIXELS_PER_POINT`] and gives the bytes of a PNG file.
///
/// # Errors
/// [`Error::Limits`] if the picture cannot be drawn or held in memory.
pub(super) fn png(svg: &str) -> Result<Vec<u8>> {
    let fail = |what: String| Error::limits(what, "explanation.png", "report this as a bug");
    let tree =
        usvg::Tree::from_str(svg, &OPTIONS).map_err(|e| fail(format!("cannot read the figure: {e}")))?;
    let pixels = |points: f32| (points * PIXELS_PER_POINT).round() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let mut canvas = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| fail(format!("cannot hold a picture of {width} × {height} pixels")))?;
    let scale = tiny_skia::Transform::from_scale(PIXELS_PER_POINT, PIXELS_PER_POINT);
    resvg::render(&tree, scale, &mut canvas.as_mut());
    // The figure has a white ground, so nothing is translucent and the opacity can go.
    let rgb: Vec<u8> = canvas.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(&rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(|e| fail(format!("cannot encode the figure: {e}")))?;
    Ok(bytes)
}

static OPTIONS: LazyLock<usvg::Options<'static>> = LazyLock::new(|| usvg::Options {
    fontdb: fonts::database(),
    font_family: fonts::FAMILY.into(),
    ..usvg::Options::default()
});
