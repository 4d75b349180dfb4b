//! Explaining a photograph: segments are the players.

use image::RgbImage;

use super::image_game::ImageGame;
use super::{Estimator, Explanation, Link, Progress};
use crate::Result;
use crate::device::{Network, RunOptions};
use crate::perturb::picture::{Baseline, Picture, PictureShape, Preprocess};
use crate::perturb::segment::Segmentation;
use crate::plan::SharingReport;

/// At which resolution segments are cut and masked.
///
/// # Example
/// ```
/// use whybox::explain::{ImageExplainer, MaskResolution};
///
/// let fine = ImageExplainer { masks: MaskResolution::Photo, ..ImageExplainer::default() };
/// assert_eq!(ImageExplainer::default().masks, MaskResolution::Network);
/// assert_ne!(fine.masks, MaskResolution::Network);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskResolution {
    /// The network's: segments come from the resized picture, each network pixel belongs to one.
    #[default]
    Network,
    /// The photo's: the photo is masked, then resized; a network pixel mixes the segments under the filter.
    Photo,
}

/// How a photograph becomes a game over its segments, which any [`Estimator`] then explains.
///
/// # Example
/// ```no_run
/// use whybox::explain::{ImageExplainer, KernelShap, Labels};
/// use whybox::{Device, model::Model, perturb::picture::open_photo};
///
/// let model = Model::from_onnx("squeezenet.onnx")?.scores();
/// let network = Device::best().load(&model)?;
/// let explainer = ImageExplainer { preprocess: "imagenet".parse()?, ..ImageExplainer::default() };
/// let shap = KernelShap { labels: Labels::Top(1), ..KernelShap::default() };
/// let result = explainer.explain(&network, open_photo("cat.jpg".as_ref())?, &shap, &mut |_| {})?;
/// println!("{:?}", result.explanation.attributions[0].values);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImageExplainer {
    /// How the picture is cut into segments. Default: SLIC, about 70 segments.
    pub segmentation: Segmentation,
    /// What an absent segment shows. Default: the picture's mean colour; docs/performance.md has the
    /// measurement behind this choice.
    pub baseline: Baseline,
    /// How the network wants its pictures. Default: `imagenet`.
    pub preprocess: Preprocess,
    /// At which resolution segments are cut and masked. Default: the network's.
    pub masks: MaskResolution,
    /// In which units the outputs are explained. Default: as the network gives them.
    pub link: Link,
    /// Seed of the segmentation's draws. Default: 0.
    pub seed: u64,
    /// Cap on the bytes of activations, and the switch that ends a run.
    pub run: RunOptions,
}

impl Default for ImageExplainer {
    fn default() -> Self {
        ImageExplainer {
            segmentation: Segmentation::default(),
            baseline: Baseline::Average,
            // "imagenet" is one of the presets.
            preprocess: Preprocess::preset("imagenet")
                .unwrap_or_else(|| unreachable!("a preset of this name exists")),
            masks: MaskResolution::default(),
            link: Link::Identity,
            seed: 0,
            run: RunOptions::default(),
        }
    }
}

/// An explanation of a photograph, with what is needed to draw it.
///
/// # Example
/// ```
/// use whybox::explain::{ImageExplainer, KernelShap};
/// use whybox::{Device, model::Model};
///
/// // A network that sums the red channel of 4 × 4 pixels.
/// let weights: Vec<f32> = (0..48).map(|i| if i < 16 { 1.0 } else { 0.0 }).collect();
/// let model = Model::builder("red", &[3, 4, 4]).flatten().linear(&weights, &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let explainer = ImageExplainer {
///     segmentation: "grid:rows=1,cols=2".parse()?,
///     baseline: "black".parse()?,
///     preprocess: "unit".parse()?,
///     ..ImageExplainer::default()
/// };
/// let photo = image::RgbImage::from_fn(4, 4, |x, _| image::Rgb([if x < 2 { 255 } else { 0 }, 0, 0]));
/// let result = explainer.explain(&network, photo, &KernelShap::default(), &mut |_| {})?;
/// assert_eq!((result.segments, result.labels.len()), (2, 16));
/// let values = &result.explanation.attributions[0].values;
/// assert!((values[0] - 8.0).abs() < 1e-6 && values[1].abs() < 1e-6);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageExplanation {
    /// The attributions, one value for each segment.
    pub explanation: Explanation,
    /// The photo as the user knows it.
    pub photo: RgbImage,
    /// Segment of each photo pixel, row by row; `u32::MAX` where the photo was cropped away.
    pub labels: Vec<u32>,
    /// Number of segments.
    pub segments: usize,
    /// What early layers shared between samples, if they did.
    pub sharing: Option<SharingReport>,
}

impl ImageExplainer {
    /// The game of `photo`: segments are its players, the network's outputs its outputs.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the network takes no picture;
    /// [`Error::Parameter`](crate::Error::Parameter) for settings that do not fit, or a picture without segments.
    pub fn game<'a>(&self, network: &'a Network, photo: RgbImage) -> Result<ImageGame<'a>> {
        ImageGame::new(self, network, photo)
    }

    /// Explains `photo`; `progress` is called with the number of evaluations done so far.
    ///
    /// # Errors
    /// Those of [`ImageExplainer::game`], [`Estimator::explain`] and [`Network::run`].
    pub fn explain(
        &self,
        network: &Network,
        photo: RgbImage,
        method: &dyn Estimator,
        progress: &mut Progress<'_>,
    ) -> Result<ImageExplanation> {
        self.game(network, photo)?.explain(method, progress, &mut |_| {})
    }

    /// Every output of the network for `photo`, with nothing masked.
    ///
    /// # Errors
    /// Those of [`ImageExplainer::game`] and [`Network::run`].
    pub fn predict(&self, network: &Network, photo: RgbImage) -> Result<Vec<f32>> {
        let shape = PictureShape::of(&network.input().shape)?;
        let picture = Picture::new(photo, &shape, &self.preprocess)?;
        let instance = self.preprocess.apply(picture.pixels(), &shape);
        let rows = crate::perturb::Rows::new(&instance, instance.len())?;
        Ok(network.responses(&rows, &self.run)?.into_raw_vec_and_offset().0)
    }
}
