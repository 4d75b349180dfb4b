//! What an absent segment shows.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use image::Rgb;
use ndarray::{Array3, ArrayView3, Axis as NdAxis};

use super::resample::{Axis, Filter};
use super::{open_photo, photo_pixels, resample};
use crate::perturb::segment::SegmentMap;
use crate::{Error, Result};

/// What an absent segment shows. As text: `mean`, `mean8`, `average`, `black`, `grey`, `white`, `#RRGGBB`,
/// `blur:sigma=S`, `image:FILE`.
///
/// # Example
/// ```
/// use whybox::perturb::picture::Baseline;
///
/// for text in ["average", "mean", "black", "#808080", "blur:sigma=5"] {
///     let baseline: Baseline = text.parse()?;
///     assert_eq!(baseline.to_string().parse::<Baseline>()?, baseline);
/// }
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Baseline {
    /// Each segment's own mean colour (`mean`). LIME's default, truncated to 8 bits there: `mean8`.
    SegmentMean {
        /// Whether the mean is truncated to 8 bits, as the Python package does.
        truncate: bool,
    },
    /// The mean colour of the whole picture (`average`).
    Average,
    /// One colour, 0 to 255 (`black`, `grey`, `white`, `#RRGGBB`).
    Colour([u8; 3]),
    /// The picture blurred by a Gaussian (`blur:sigma=S`), `sigma` in percent of the shorter side.
    Blur {
        /// Standard deviation in percent of the shorter side.
        sigma: f64,
    },
    /// Another picture, stretched to the network's size (`image:FILE`).
    Image(PathBuf),
}

impl Baseline {
    /// The baseline picture `[H, W, 3]`, 0 to 1, for a picture of the same shape.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Parameter`] if a baseline picture cannot be read.
    pub fn picture(&self, pixels: ArrayView3<'_, f32>, map: &SegmentMap) -> Result<Array3<f32>> {
        let (height, width, channels) = pixels.dim();
        match self {
            Baseline::SegmentMean { truncate } => {
                let mut sums = vec![[0.0f64; 3]; map.count()];
                let labels = map.labels();
                for (at, pixel) in pixels.lanes(NdAxis(2)).into_iter().enumerate() {
                    for c in 0..channels {
                        sums[labels[at] as usize][c] += f64::from(pixel[c]);
                    }
                }
                let sizes = map.sizes();
                let mean = |y: usize, x: usize, c: usize| {
                    let label = labels[y * width + x] as usize;
                    let mean = sums[label][c] / sizes[label] as f64;
                    // The mean of 8-bit colours, cut off; the margin keeps whole numbers whole.
                    if *truncate { ((mean * 255.0 + 1e-4).floor() / 255.0) as f32 } else { mean as f32 }
                };
                Ok(Array3::from_shape_fn((height, width, channels), |(y, x, c)| mean(y, x, c)))
            }
            Baseline::Average => {
                let count = (height * width) as f64;
                let mut sums = [0.0f64; 3];
                for pixel in pixels.lanes(NdAxis(2)) {
                    for c in 0..channels {
                        sums[c] += f64::from(pixel[c]);
                    }
                }
                Ok(Array3::from_shape_fn((height, width, channels), |(_, _, c)| (sums[c] / count) as f32))
            }
            Baseline::Colour(colour) => {
                Ok(Array3::from_shape_fn((height, width, channels), |(_, _, c)| f32::from(colour[c]) / 255.0))
            }
            Baseline::Blur { sigma } => Ok(blur(pixels, *sigma)),
            Baseline::Image(path) => {
                let photo = photo_pixels(&open_photo(path)?);
                let axis = |from: usize, to: usize| Axis::new(from, to, 0.0, to, Filter::Bilinear);
                Ok(resample(photo.view(), &axis(photo.dim().0, height), &axis(photo.dim().1, width)))
            }
        }
    }
}

fn blur(pixels: ArrayView3<'_, f32>, percent: f64) -> Array3<f32> {
    let (height, width, _) = pixels.dim();
    let sigma = (percent / 100.0 * height.min(width) as f64).max(1e-3) as f32;
    let mut buffer = image::Rgb32FImage::new(width as u32, height as u32);
    for (x, y, pixel) in buffer.enumerate_pixels_mut() {
        *pixel = Rgb([0, 1, 2].map(|c| pixels[[y as usize, x as usize, c]]));
    }
    let blurred = image::imageops::blur(&buffer, sigma);
    Array3::from_shape_fn(pixels.dim(), |(y, x, c)| blurred.get_pixel(x as u32, y as u32).0[c])
}

impl FromStr for Baseline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::parameter(
                what,
                format!("--baseline {text}"),
                "baselines: mean, mean8, average, black, grey, white, #RRGGBB, blur:sigma=5, image:FILE",
            )
        };
        if let Some(path) = text.strip_prefix("image:") {
            return Ok(Baseline::Image(path.into()));
        }
        if let Some(hex) = text.strip_prefix('#') {
            let value = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 6);
            let value =
                value.ok_or_else(|| wrong(format!("{text:?} is no colour of six hexadecimal digits")))?;
            let [_, r, g, b] = value.to_be_bytes();
            return Ok(Baseline::Colour([r, g, b]));
        }
        if let Some(parameters) = text.strip_prefix("blur") {
            let sigma = match parameters.strip_prefix(":sigma=") {
                None if parameters.is_empty() => Some(5.0),
                None => None,
                Some(number) => {
                    number.parse().ok().filter(|s: &f64| s.is_finite() && *s > 0.0 && *s <= 100.0)
                }
            };
            return sigma.map(|sigma| Baseline::Blur { sigma }).ok_or_else(|| {
                wrong("blur takes sigma, in percent of the shorter side, above 0 and at most 100".into())
            });
        }
        Ok(match text {
            "mean" => Baseline::SegmentMean { truncate: false },
            "mean8" => Baseline::SegmentMean { truncate: true },
            "average" => Baseline::Average,
            "black" => Baseline::Colour([0; 3]),
            "grey" | "gray" => Baseline::Colour([128; 3]),
            "white" => Baseline::Colour([255; 3]),
            _ => return Err(wrong(format!("there is no baseline {text:?}"))),
        })
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Baseline::SegmentMean { truncate: false } => f.write_str("mean"),
            Baseline::SegmentMean { truncate: true } => f.write_str("mean8"),
            Baseline::Average => f.write_str("average"),
            Baseline::Colour([0, 0, 0]) => f.write_str("black"),
            Baseline::Colour([128, 128, 128]) => f.write_str("grey"),
            Baseline::Colour([255, 255, 255]) => f.write_str("white"),
            Baseline::Colour([r, g, b]) => write!(f, "#{r:02x}{g:02x}{b:02x}"),
            Baseline::Blur { sigma } => write!(f, "blur:sigma={sigma}"),
            Baseline::Image(path) => write!(f, "image:{}", path.display()),
        }
    }
}
