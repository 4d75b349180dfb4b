//! Explaining a photograph: segments are the players.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use ndarray::Array2;

use super::{Explanation, Game, Lime, Progress};
use crate::device::{Network, RunOptions};
use crate::perturb::picture::{Baseline, Picture, PictureShape, Preprocess, photo_pixels};
use crate::perturb::segment::{SegmentMap, Segmentation};
use crate::perturb::{Coalitions, Footprints, Perturbation, ResizedSegments, Segments};
use crate::plan::SharingReport;
use crate::{Error, Result};

/// At which resolution segments are cut and masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskResolution {
    /// The network's: segments come from the resized picture, each network pixel belongs to one.
    #[default]
    Network,
    /// The photo's: the photo is masked, then resized; a network pixel mixes the segments under the filter.
    Photo,
}

/// Explains photographs with LIME over segments.
///
/// # Example
/// ```no_run
/// use whybox::{Device, explain::ImageExplainer, model::Model, perturb::picture::open_photo};
///
/// let model = Model::from_onnx("squeezenet.onnx")?.probabilities()?;
/// let network = Device::best().load(&model)?;
/// let explainer = ImageExplainer { preprocess: "imagenet".parse()?, ..ImageExplainer::default() };
/// let result = explainer.explain(&network, open_photo("cat.jpg".as_ref())?, &mut |_| {})?;
/// println!("{:?}", result.explanation.attributions[0].values);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImageExplainer {
    /// The estimator.
    pub lime: Lime,
    /// How the picture is cut into segments. Default: SLIC, about 70 segments.
    pub segmentation: Segmentation,
    /// What an absent segment shows. Default: the picture's mean colour; docs/performance.md has the
    /// measurement behind this choice.
    pub baseline: Baseline,
    /// How the network wants its pictures. Default: `imagenet`.
    pub preprocess: Preprocess,
    /// At which resolution segments are cut and masked. Default: the network's.
    pub masks: MaskResolution,
    /// Cap on the bytes of activations.
    pub run: RunOptions,
}

impl Default for ImageExplainer {
    fn default() -> Self {
        ImageExplainer {
            lime: Lime::default(),
            segmentation: Segmentation::default(),
            baseline: Baseline::Average,
            // "imagenet" is one of the presets.
            preprocess: Preprocess::preset("imagenet")
                .unwrap_or_else(|| unreachable!("a preset of this name exists")),
            masks: MaskResolution::default(),
            run: RunOptions::default(),
        }
    }
}

/// An explanation of a photograph, with what is needed to draw it.
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

/// The picture cut into players.
enum Masker {
    Network { instance: Vec<f32>, baseline: Vec<f32>, map: SegmentMap },
    Photo { footprints: Arc<Footprints> },
}

impl ImageExplainer {
    /// Explains `photo`; `progress` is called with the number of evaluations done so far.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the network takes no picture; [`Error::Parameter`] for settings that do not
    /// fit; those of [`Lime::explain`] and [`Network::run`].
    pub fn explain(
        &self,
        network: &Network,
        photo: RgbImage,
        progress: &mut Progress<'_>,
    ) -> Result<ImageExplanation> {
        let start = Instant::now();
        let shape = PictureShape::of(&network.input().shape)?;
        let picture = Picture::new(photo, &shape, &self.preprocess)?;
        let (masker, labels, players) = self.mask(&picture, &shape)?;
        let segmenting = start.elapsed().as_secs_f64();
        if players == 0 {
            return Err(Error::parameter(
                "the picture has no segment",
                "--segments",
                "choose other parameters",
            ));
        }
        let game = ImageGame {
            network,
            masker,
            shape,
            players,
            run: &self.run,
            progress: RefCell::new((0, progress)),
            sharing: Cell::new(None),
        };
        let mut explanation = self.lime.explain(&game, &mut |_| {})?;
        explanation.seconds.insert(0, ("segment".into(), segmenting));
        let (photo, sharing) = (picture.photo().clone(), game.sharing.get());
        Ok(ImageExplanation { explanation, photo, labels, segments: players, sharing })
    }

    fn mask(&self, picture: &Picture, shape: &PictureShape) -> Result<(Masker, Vec<u32>, usize)> {
        match self.masks {
            MaskResolution::Network => {
                let pixels = picture.pixels();
                let map = self.segmentation.segment(&pixels, self.lime.seed)?;
                let baseline = self.baseline.picture(pixels, &map)?;
                let instance = self.preprocess.apply(pixels, shape);
                let baseline = self.preprocess.apply(baseline.view(), shape);
                let (labels, players) = (picture.on_photo(&map), map.count());
                Ok((Masker::Network { instance, baseline, map }, labels, players))
            }
            MaskResolution::Photo => {
                let pixels = photo_pixels(picture.photo());
                let map = self.segmentation.segment(&pixels.view(), self.lime.seed)?;
                let baseline = self.baseline.picture(pixels.view(), &map)?;
                let footprints = Footprints::new(picture, baseline.view(), &map, shape, &self.preprocess)?;
                let (labels, players) = (footprints.labels().to_vec(), footprints.players());
                Ok((Masker::Photo { footprints: Arc::new(footprints) }, labels, players))
            }
        }
    }

    /// Every output of the network for `photo`, with nothing masked.
    ///
    /// # Errors
    /// As [`explain`](ImageExplainer::explain).
    pub fn predict(&self, network: &Network, photo: RgbImage) -> Result<Vec<f32>> {
        let shape = PictureShape::of(&network.input().shape)?;
        let picture = Picture::new(photo, &shape, &self.preprocess)?;
        let instance = self.preprocess.apply(picture.pixels(), &shape);
        let rows = crate::perturb::Rows::new(&instance, instance.len())?;
        Ok(network.responses(&rows, &self.run)?.into_raw_vec_and_offset().0)
    }
}

/// A network with a masked picture.
struct ImageGame<'a, 'p> {
    network: &'a Network,
    masker: Masker,
    shape: PictureShape,
    players: usize,
    run: &'a RunOptions,
    /// Evaluations done, and whom to tell.
    progress: RefCell<(usize, &'a mut Progress<'p>)>,
    /// Of the runs so far: the steps of the first that shared, the multiply-adds of all.
    sharing: Cell<Option<SharingReport>>,
}

impl Game for ImageGame<'_, '_> {
    fn players(&self) -> usize {
        self.players
    }

    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let coalitions = Arc::new(coalitions.clone());
        let perturbation: Box<dyn Perturbation> = match &self.masker {
            Masker::Network { instance, baseline, map } => Box::new(Segments::new(
                instance.clone(),
                baseline.clone(),
                map.clone(),
                self.shape.order,
                coalitions.clone(),
            )?),
            Masker::Photo { footprints } => {
                Box::new(ResizedSegments::new(footprints.clone(), self.shape, coalitions.clone())?)
            }
        };
        let outputs = self.network.outputs();
        let mut values = Array2::zeros((coalitions.rows(), outputs));
        let before = self.progress.borrow().0;
        let report = self.network.run(perturbation.as_ref(), self.run, &mut |rows, answers| {
            crate::device::check_finite(rows.start, outputs, answers)?;
            let told = &mut *self.progress.borrow_mut();
            told.0 = before + rows.end;
            (told.1)(told.0);
            let targets = values.slice_mut(ndarray::s![rows, ..]);
            targets.into_iter().zip(answers).for_each(|(to, &from)| *to = f64::from(from));
            Ok(())
        })?;
        let add = |a: SharingReport, b: SharingReport| SharingReport {
            macs: a.macs + b.macs,
            dense_macs: a.dense_macs + b.dense_macs,
            ..a
        };
        self.sharing.set(match (self.sharing.get(), report.sharing) {
            (Some(a), Some(b)) => Some(add(a, b)),
            (before, now) => before.or(now),
        });
        Ok(values)
    }
}
