//! The saliency map over the photo, ready to be placed in an SVG picture.
//!
//! A [`Drawing`] is the photo and its segments at a comfortable size, prepared once and shared by
//! the figure and the page. Colours are a raster layer, because neighbouring vector shapes would
//! show hairlines between them; outlines and numbers are vectors and stay crisp at any size.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage, Rgba, RgbaImage};
use maud::{Markup, html};

use super::View;
use super::blocks::over;
use super::colour;
use super::image_report::{ExplainedClass, ImageReport};
use super::outline::{Labels, Outline, Pole, exact_path, smooth_path};
use crate::{Error, Result};

/// Longer sides are scaled down to this many pixels.
const LONGEST: u32 = 1200;
/// Raster layers of smaller drawings are enlarged, by whole numbers, to at least this many pixels.
const ENOUGH: u32 = 800;
/// Photos up to this many pixels a side are shown as what they are: pixels.
const PIXELATED: u32 = 96;
/// Photos up to this many pixels a side are stored without loss.
const LOSSLESS: u32 = 512;
const JPEG_QUALITY: u8 = 92;

/// How many segments are outlined and numbered unless asked otherwise.
pub const TOP: usize = 5;

/// x and y in drawing pixels.
type Point = (f64, f64);

/// The photo and its segments at drawing size.
pub(super) struct Drawing {
    /// Pixels.
    pub(super) width: u32,
    /// Pixels.
    pub(super) height: u32,
    /// The photo as a data URI.
    pub(super) photo: String,
    /// The outline of each segment, `[segments]`, in drawing pixels.
    pub(super) outlines: Vec<Outline>,
    /// The middle of each segment, `[segments]`; `None` where it vanished at drawing size.
    pub(super) poles: Vec<Option<Pole>>,
    labels: Vec<u32>,
}

impl Drawing {
    /// Scales a valid report's photo and segments to drawing size.
    ///
    /// # Errors
    /// [`Error::Limits`] if the photo cannot be encoded.
    pub(super) fn new(report: &ImageReport) -> Result<Self> {
        let (w0, h0) = report.photo.dimensions();
        let scale = (f64::from(LONGEST) / f64::from(w0.max(h0))).min(1.0);
        let size = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
        let (width, height) = (size(w0), size(h0));
        let labels = resample(&report.segments.labels, (w0, h0), (width, height));
        let map = Labels { labels: &labels, width: width as usize, height: height as usize };
        let count = report.segments.count;
        Ok(Drawing {
            width,
            height,
            photo: photo_uri(report, width, height)?,
            outlines: map.outlines(count),
            poles: map.poles(count),
            labels,
        })
    }

    /// A layer of one colour and opacity for each segment, `[segments]`, and one for pixels outside, as a data URI.
    ///
    /// # Errors
    /// [`Error::Limits`] if it cannot be encoded.
    pub(super) fn layer(&self, colours: &[[u8; 4]], outside: [u8; 4]) -> Result<String> {
        let factor = ENOUGH.div_ceil(self.width.max(self.height));
        let layer = RgbaImage::from_fn(self.width * factor, self.height * factor, |x, y| {
            let label = self.labels[(y / factor * self.width + x / factor) as usize];
            Rgba(colours.get(label as usize).copied().unwrap_or(outside))
        });
        encode(|out| layer.write_to(out, ImageFormat::Png), "png")
    }

    /// The SVG path of a segment; even-odd. Stairs are smoothed where they are small.
    pub(super) fn path(&self, segment: usize) -> String {
        if self.width.max(self.height) <= PIXELATED {
            exact_path(&self.outlines[segment])
        } else {
            smooth_path(&self.outlines[segment])
        }
    }

    /// The boundaries of all segments; `unit` as in [`Drawing::marks`].
    pub(super) fn boundaries(&self, unit: f64) -> Markup {
        let path: String = (0..self.outlines.len()).map(|segment| self.path(segment)).collect();
        html! {
            g fill="none" stroke-linejoin="round" {
                path d=(path) stroke="#ffffff" stroke-width=(number(2.4 * unit)) {}
                path d=(path) stroke=(colour::INK) stroke-width=(number(unit)) {}
            }
        }
    }

    /// The outlines and numbers 1, 2, … of the `strongest` segments, in drawing pixels.
    ///
    /// `unit` is the length of a point of the final picture in drawing pixels.
    pub(super) fn marks(&self, class: &ExplainedClass, strongest: &[usize], unit: f64) -> Markup {
        let paths: Vec<String> = strongest.iter().map(|&s| self.path(s)).collect();
        let places = self.places(strongest, 9.5 * unit);
        html! {
            g fill="none" stroke-linejoin="round" {
                @for path in &paths {
                    path d=(path) stroke="#ffffff" stroke-width=(number(4.2 * unit)) {}
                }
                @for path in &paths {
                    path d=(path) stroke=(colour::INK) stroke-width=(number(1.8 * unit)) {}
                }
            }
            @for (rank, &segment) in strongest.iter().enumerate() {
                @if let Some((home, place)) = places[rank] {
                    @if (home.0 - place.0).hypot(home.1 - place.1) > 6.0 * unit {
                        line x1=(number(home.0)) y1=(number(home.1)) x2=(number(place.0))
                            y2=(number(place.1)) stroke=(colour::INK) stroke-width=(number(1.2 * unit)) {}
                    }
                    (badge(rank + 1, class.weights[segment] > 0.0, place, unit))
                }
            }
        }
    }

    /// The pole of each of the `segments` and a place near it where badges of `radius` do not touch.
    fn places(&self, segments: &[usize], radius: f64) -> Vec<Option<(Point, Point)>> {
        let home = |&s: &usize| self.poles.get(s).copied().flatten().map(|p| (p.x, p.y));
        let mut places: Vec<_> = segments.iter().map(|s| home(s).map(|p| (p, p))).collect();
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        let within = |v: f64, size: f64| {
            if size > 2.0 * radius { v.clamp(radius, size - radius) } else { v }
        };
        for _ in 0..24 {
            for i in 0..places.len() {
                for j in 0..i {
                    let (Some((_, a)), Some((_, b))) = (places[i], places[j]) else {
                        continue;
                    };
                    let (dx, dy) = (a.0 - b.0, a.1 - b.1);
                    let gap = dx.hypot(dy);
                    // Two badges on one spot part along the main diagonal.
                    let (ux, uy) = if gap > 0.0 { (dx / gap, dy / gap) } else { (0.7, 0.7) };
                    let push = ((2.2 * radius - gap) / 2.0).max(0.0);
                    for (k, sign) in [(i, 1.0), (j, -1.0)] {
                        if let Some((_, p)) = &mut places[k] {
                            *p = (
                                within(p.0 + sign * push * ux, width),
                                within(p.1 + sign * push * uy, height),
                            );
                        }
                    }
                }
            }
        }
        places
    }
}

/// A numbered disc in the colour of the weight's sign.
pub(super) fn badge(number_: usize, positive: bool, (x, y): (f64, f64), unit: f64) -> Markup {
    html! {
        circle cx=(number(x)) cy=(number(y)) r=(number(8.5 * unit)) fill=(colour::hex(colour::end(positive)))
            stroke="#ffffff" stroke-width=(number(1.4 * unit)) {}
        text x=(number(x)) y=(number(y + 3.7 * unit)) font-size=(number(10.2 * unit)) font-weight="700"
            fill="#ffffff" text-anchor="middle" { (number_) }
    }
}

/// A coordinate with at most four decimals: a point is 0.002 drawing pixels on a photo of one pixel.
pub(super) fn number(x: f64) -> String {
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The map of a class over the grey, lightened photo, at the photo's size.
pub(super) fn quiet_map(report: &ImageReport, class: &ExplainedClass) -> RgbImage {
    let colours = View::Overlay.colours(class, class.largest(), [255; 3]);
    let mut photo = report.photo.clone();
    for (pixel, &label) in photo.pixels_mut().zip(&report.segments.labels) {
        let [r, g, b] = pixel.0.map(f64::from);
        let grey = ((0.21 * r + 0.71 * g + 0.08 * b) * 0.66 + 0.32 * 255.0).round() as u8;
        pixel.0 = over(colours.get(label as usize).copied().unwrap_or([0; 4]), [grey; 3]);
    }
    photo
}

/// The label at the centre of each target pixel.
fn resample(labels: &[u32], (w0, h0): (u32, u32), (w, h): (u32, u32)) -> Vec<u32> {
    let source = |i: u32, n: u32, n0: u32| {
        let at = (u64::from(i) * 2 + 1) * u64::from(n0) / (u64::from(n) * 2);
        at as usize
    };
    let columns: Vec<usize> = (0..w).map(|x| source(x, w, w0)).collect();
    (0..h)
        .flat_map(|y| {
            let row = &labels[source(y, h, h0) * w0 as usize..][..w0 as usize];
            columns.iter().map(move |&x| row[x])
        })
        .collect()
}

/// Large photos are reduced smoothly; tiny ones grow by whole pixels, which no viewer then smooths.
fn photo_uri(report: &ImageReport, width: u32, height: u32) -> Result<String> {
    let tiny = width.max(height) <= PIXELATED;
    let factor = if tiny { ENOUGH.div_ceil(width.max(height)) } else { 1 };
    let filter = if tiny { FilterType::Nearest } else { FilterType::CatmullRom };
    let size = (width * factor, height * factor);
    let scaled;
    let photo = if report.photo.dimensions() == size {
        &report.photo
    } else {
        scaled = imageops::resize(&report.photo, size.0, size.1, filter);
        &scaled
    };
    if width.max(height) <= LOSSLESS {
        encode(|out| photo.write_to(out, ImageFormat::Png), "png")
    } else {
        let quality = JPEG_QUALITY;
        encode(|out| photo.write_with_encoder(JpegEncoder::new_with_quality(out, quality)), "jpeg")
    }
}

fn encode(
    write: impl FnOnce(&mut Cursor<Vec<u8>>) -> image::ImageResult<()>,
    format: &str,
) -> Result<String> {
    let mut bytes = Cursor::new(Vec::new());
    write(&mut bytes).map_err(|e| {
        Error::limits(format!("cannot encode a picture: {e}"), format, "report this as a bug")
    })?;
    Ok(format!("data:image/{format};base64,{}", BASE64.encode(bytes.into_inner())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_resampled_at_pixel_centres() {
        assert_eq!(resample(&[0, 1, 2, 3], (4, 1), (2, 1)), [1, 3]);
        assert_eq!(resample(&[0, 1, 2], (3, 1), (3, 1)), [0, 1, 2]);
        assert_eq!(resample(&[7], (1, 1), (1, 1)), [7]);
        assert_eq!(resample(&[0, 1, 2, 3, 4, 5], (2, 3), (1, 1)), [3]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            (number(2.0), number(0.12346), number(-3.5)),
            ("2".into(), "0.1235".into(), "-3.5".into())
        );
    }
}
