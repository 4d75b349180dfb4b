//! How a network wants its pictures.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayView3;

use super::resample::{Axis, Filter};
use super::{PictureShape, PixelOrder};
use crate::{Error, Result};

/// How a photo is brought to the network's size. A photo that has the network's size is taken as it is.
///
/// # Example
/// ```
/// use whybox::perturb::picture::{Fit, Preprocess};
///
/// let own: Preprocess = "unit,fit=stretch".parse()?;
/// assert_eq!(own.fit, Fit::Stretch);
/// assert_eq!("unit".parse::<Preprocess>()?.fit, Fit::Crop { ratio: 1.0 });
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// The shorter side is resized to `ratio` times the network's, then the centre is cut out.
    Crop {
        /// 1 keeps as much of the photo as fits; ImageNet networks are trained with 256/224.
        ratio: f64,
    },
    /// Both sides are resized to the network's, whatever the photo's proportions.
    Stretch,
}

/// Order of the colours within a pixel.
///
/// # Example
/// ```
/// use whybox::perturb::picture::{ChannelOrder, Preprocess};
///
/// assert_eq!("imagenet,order=bgr".parse::<Preprocess>()?.order, ChannelOrder::Bgr);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Preprocessing as a value: `x[c] = (pixel[c] · scale − mean[c]) / std[c]`, with pixels from 0 to 255.
///
/// As text: a preset's name (`imagenet`, `unit`, `raw`, `cifar10`, `caffe`, `tf`), then parts that
/// differ, all separated by commas: `fit=crop|stretch`, `ratio=1.143`, `filter=nearest|bilinear|bicubic|lanczos`,
/// `order=rgb|bgr`, `scale=0.00392`, `mean=0.5/0.5/0.5`, `std=0.5/0.5/0.5`. Mean and standard deviation stand in the
/// network's channel order.
///
/// | preset | fit | order | scale | mean | std |
/// |---|---|---|---|---|---|
/// | `imagenet` | crop, 256/224 | RGB | 1/255 | 0.485 0.456 0.406 | 0.229 0.224 0.225 |
/// | `unit` | crop, 1 | RGB | 1/255 | 0 | 1 |
/// | `raw` | crop, 1 | RGB | 1 | 0 | 1 |
/// | `cifar10` | crop, 1 | RGB | 1/255 | 0.4914 0.4822 0.4465 | 0.2470 0.2435 0.2616 |
/// | `caffe` | crop, 256/224 | BGR | 1 | 103.939 116.779 123.68 | 1 |
/// | `tf` | crop, 1 | RGB | 1/127.5 | 1 | 1 |
///
/// # Example
/// ```
/// use whybox::perturb::picture::{ChannelOrder, Preprocess};
///
/// let caffe: Preprocess = "caffe".parse()?;
/// assert_eq!(caffe.order, ChannelOrder::Bgr);
/// let own: Preprocess = "imagenet,fit=stretch,mean=0.5,std=0.5".parse()?;
/// assert_eq!(own.mean, [0.5; 3]);
/// assert_eq!(own.to_string().parse::<Preprocess>()?, own);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// How a photo is brought to the network's size.
    pub fit: Fit,
    /// The filter of the resize.
    pub filter: Filter,
    /// Order of the colours.
    pub order: ChannelOrder,
    /// Factor on pixels from 0 to 255.
    pub scale: f64,
    /// Subtracted from the scaled pixel, for each channel in the network's order.
    pub mean: [f64; 3],
    /// The difference is divided by it, for each channel in the network's order.
    pub std: [f64; 3],
}

/// Names of the presets.
const PRESETS: [&str; 6] = ["imagenet", "unit", "raw", "cifar10", "caffe", "tf"];

impl Preprocess {
    /// The names of the presets.
    pub fn presets() -> &'static [&'static str] {
        &PRESETS
    }

    /// A preset by its name.
    pub fn preset(name: &str) -> Option<Self> {
        let unit = Preprocess {
            fit: Fit::Crop { ratio: 1.0 },
            filter: Filter::Bilinear,
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let centre = Fit::Crop { ratio: 256.0 / 224.0 };
        Some(match name {
            "imagenet" => {
                Preprocess { fit: centre, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], ..unit }
            }
            "unit" => unit,
            "raw" => Preprocess { scale: 1.0, ..unit },
            "cifar10" => Preprocess { mean: [0.4914, 0.4822, 0.4465], std: [0.2470, 0.2435, 0.2616], ..unit },
            "caffe" => Preprocess {
                fit: centre,
                order: ChannelOrder::Bgr,
                scale: 1.0,
                mean: [103.939, 116.779, 123.68],
                ..unit
            },
            "tf" => Preprocess { scale: 1.0 / 127.5, mean: [1.0; 3], ..unit },
            _ => return None,
        })
    }

    /// Rows and columns of the fit, from a photo of `[height, width]` to a picture of `[height, width]`.
    pub(super) fn axes(&self, photo: [usize; 2], target: [usize; 2]) -> [Axis; 2] {
        let resized = if photo == target {
            target
        } else {
            match self.fit {
                Fit::Stretch => target,
                Fit::Crop { ratio } => {
                    // The side that is shorter in proportion to the target fills it `ratio` times.
                    let grow = (0..2).map(|k| target[k] as f64 / photo[k] as f64).fold(0.0, f64::max);
                    let size = |k: usize| ((photo[k] as f64 * grow * ratio).round() as usize).max(target[k]);
                    [size(0), size(1)]
                }
            }
        };
        // As torchvision's CenterCrop: half the surplus, rounded.
        let axis = |k: usize| {
            let crop = ((resized[k] - target[k]) as f64 / 2.0).round_ties_even();
            Axis::new(photo[k], resized[k], crop, target[k], self.filter)
        };
        [axis(0), axis(1)]
    }

    /// A picture `[H, W, 3]` (RGB, 0 to 1) as the network's input, in its order. A grey network gets the
    /// luminance (ITU-R BT.601, as Pillow's `L`).
    pub fn apply(&self, pixels: ArrayView3<'_, f32>, shape: &PictureShape) -> Vec<f32> {
        let mut out = vec![0.0; shape.len()];
        for y in 0..shape.height {
            for x in 0..shape.width {
                for c in 0..shape.channels {
                    let value = if shape.channels == 1 {
                        let [r, g, b] = [0, 1, 2].map(|k| f64::from(pixels[[y, x, k]]));
                        0.299 * r + 0.587 * g + 0.114 * b
                    } else {
                        let colour = if self.order == ChannelOrder::Bgr { 2 - c } else { c };
                        f64::from(pixels[[y, x, colour]])
                    };
                    let at = match shape.order {
                        PixelOrder::ChannelsFirst => (c * shape.height + y) * shape.width + x,
                        PixelOrder::ChannelsLast => (y * shape.width + x) * shape.channels + c,
                    };
                    out[at] = ((value * 255.0 * self.scale - self.mean[c]) / self.std[c]) as f32;
                }
            }
        }
        out
    }

    /// What a difference of colour (RGB, 0 to 1) becomes: the linear part of [`apply`](Self::apply).
    pub(crate) fn difference(&self, colour: [f32; 3], channels: usize) -> impl Iterator<Item = f32> + '_ {
        (0..channels).map(move |c| {
            let value = if channels == 1 {
                let [r, g, b] = colour.map(f64::from);
                0.299 * r + 0.587 * g + 0.114 * b
            } else {
                f64::from(colour[if self.order == ChannelOrder::Bgr { 2 - c } else { c }])
            };
            (value * 255.0 * self.scale / self.std[c]) as f32
        })
    }
}

impl FromStr for Preprocess {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::parameter(
                what,
                format!("--preprocess {text}"),
                format!(
                    "presets: {}; parts: fit, ratio, filter, order, scale, mean, std (imagenet,fit=stretch,mean=0.5/0.5/0.5)",
                    PRESETS.join(", ")
                ),
            )
        };
        let mut parts = text.split(',').map(str::trim).filter(|part| !part.is_empty()).peekable();
        let mut preprocess = match parts.next_if(|part| !part.contains('=')) {
            Some(name) => {
                Preprocess::preset(name).ok_or_else(|| wrong(format!("there is no preset {name:?}")))?
            }
            // Parts alone differ from the plainest preset.
            None => Preprocess::preset("unit").ok_or_else(|| wrong("there is no preset".into()))?,
        };
        let mut ratio = None;
        for part in parts {
            let (key, value) =
                part.split_once('=').ok_or_else(|| wrong(format!("{part:?} is no key=value")))?;
            let number = |value: &str| {
                let parsed: Result<f64, _> = value.parse();
                parsed.ok().filter(|v| v.is_finite()).ok_or_else(|| wrong(format!("{value:?} is no number")))
            };
            let three = |value: &str| -> Result<[f64; 3]> {
                let numbers = value.split('/').map(number).collect::<Result<Vec<_>>>()?;
                match numbers[..] {
                    [one] => Ok([one; 3]),
                    [a, b, c] => Ok([a, b, c]),
                    _ => Err(wrong(format!("{key} takes one number or three, separated by /"))),
                }
            };
            match (key, value) {
                // A preset's ratio stays.
                ("fit", "crop") if matches!(preprocess.fit, Fit::Crop { .. }) => {}
                ("fit", "crop") => preprocess.fit = Fit::Crop { ratio: 1.0 },
                ("fit", "stretch") => preprocess.fit = Fit::Stretch,
                ("ratio", value) => ratio = Some(number(value)?),
                ("filter", "nearest") => preprocess.filter = Filter::Nearest,
                ("filter", "bilinear") => preprocess.filter = Filter::Bilinear,
                ("filter", "bicubic") => preprocess.filter = Filter::Bicubic,
                ("filter", "lanczos") => preprocess.filter = Filter::Lanczos,
                ("order", "rgb") => preprocess.order = ChannelOrder::Rgb,
                ("order", "bgr") => preprocess.order = ChannelOrder::Bgr,
                ("scale", value) => preprocess.scale = number(value)?,
                ("mean", value) => preprocess.mean = three(value)?,
                ("std", value) => preprocess.std = three(value)?,
                _ => return Err(wrong(format!("{part:?} is not known"))),
            }
        }
        if let Some(given) = ratio {
            match &mut preprocess.fit {
                Fit::Crop { ratio } if (1.0..=8.0).contains(&given) => *ratio = given,
                _ => return Err(wrong("ratio goes with fit=crop and lies between 1 and 8".into())),
            }
        }
        if preprocess.std.contains(&0.0) || preprocess.scale == 0.0 {
            return Err(wrong("std and scale must not be 0".into()));
        }
        Ok(preprocess)
    }
}

impl fmt::Display for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in PRESETS {
            if Preprocess::preset(name) == Some(*self) {
                return f.write_str(name);
            }
        }
        let fit = match self.fit {
            Fit::Crop { ratio } => format!("fit=crop,ratio={ratio}"),
            Fit::Stretch => "fit=stretch".into(),
        };
        let filter = match self.filter {
            Filter::Nearest => "nearest",
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
            Filter::Lanczos => "lanczos",
        };
        let order = if self.order == ChannelOrder::Rgb { "rgb" } else { "bgr" };
        let [a, b, c] = self.mean;
        let [d, e, g] = self.std;
        write!(f, "{fit},filter={filter},order={order},scale={},mean={a}/{b}/{c},std={d}/{e}/{g}", self.scale)
    }
}
