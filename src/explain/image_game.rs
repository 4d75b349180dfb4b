//! A network and a masked photograph as a game.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use ndarray::Array2;

use super::{
    Estimator, Forecast, Game, Hierarchy, ImageExplainer, ImageExplanation, Link, Linkage, Linked,
    MaskResolution, Progress,
};
use crate::device::{Network, RunOptions};
use crate::perturb::picture::{Picture, PictureShape, PixelOrder, Preprocess, photo_pixels};
use crate::perturb::segment::SegmentMap;
use crate::perturb::{Coalitions, Footprints, Perturbation, ResizedSegments, Segments};
use crate::plan::SharingReport;
use crate::{Error, Result};

/// Which part of a segment tree's distance between segments that do not touch is added for it, of the photo's diagonal.
const APART: f64 = 0.25;

/// The picture cut into players.
#[derive(Clone)]
enum Masker {
    Network { instance: Arc<[f32]>, baseline: Arc<[f32]>, map: SegmentMap },
    Photo { footprints: Arc<Footprints> },
}

/// A network asked about a photo of which some segments are hidden: made by [`ImageExplainer::game`].
///
/// # Example
/// ```
/// use whybox::explain::{ImageExplainer, Labels, OwenValues};
/// use whybox::{Device, builtin};
///
/// let network = Device::cpu().load(&builtin::network()?.scores())?;
/// let explainer = ImageExplainer {
///     segmentation: "grid:rows=3,cols=3".parse()?,
///     preprocess: builtin::preprocess(),
///     ..ImageExplainer::default()
/// };
/// let game = explainer.game(&network, builtin::photo()?)?;
/// // Owen values over a tree of neighbouring segments.
/// let owen = OwenValues { labels: Labels::Top(1), ..OwenValues::new(game.hierarchy()?) };
/// let result = game.explain(&owen, &mut |_| {}, &mut |_| {})?;
/// assert!(result.explanation.exact);
/// assert!(result.explanation.attributions[0].additivity_gap().abs() < 1e-9);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct ImageGame<'a> {
    network: &'a Network,
    photo: RgbImage,
    labels: Vec<u32>,
    masker: Masker,
    shape: PictureShape,
    preprocess: Preprocess,
    players: usize,
    link: Link,
    run: RunOptions,
    segmenting: f64,
    /// Of the runs so far: the steps of the first that shared, the multiply-adds of all.
    sharing: Cell<Option<SharingReport>>,
}

impl<'a> ImageGame<'a> {
    pub(super) fn new(explainer: &ImageExplainer, network: &'a Network, photo: RgbImage) -> Result<Self> {
        let start = Instant::now();
        let shape = PictureShape::of(&network.input().shape)?;
        let picture = Picture::new(photo, &shape, &explainer.preprocess)?;
        let (masker, labels, players) = mask(explainer, &picture, &shape)?;
        if players == 0 {
            return Err(Error::parameter(
                "the picture has no segment",
                "--segments",
                "choose other parameters",
            ));
        }
        Ok(ImageGame {
            network,
            photo: picture.photo().clone(),
            labels,
            masker,
            shape,
            preprocess: explainer.preprocess,
            players,
            link: explainer.link,
            run: explainer.run.clone(),
            segmenting: start.elapsed().as_secs_f64(),
            sharing: Cell::new(None),
        })
    }

    /// Segment of each photo pixel, row by row; `u32::MAX` where the photo was cropped away.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The same photo, segments and baseline, asked of another network with the same input.
    ///
    /// # Errors
    /// [`Error::Parameter`] if its input has another shape.
    pub fn on<'b>(&self, network: &'b Network) -> Result<ImageGame<'b>> {
        if network.input().shape != self.network.input().shape {
            return Err(Error::parameter(
                format!("the network takes {:?}", network.input().shape),
                network.name(),
                format!("give one that takes {:?}", self.network.input().shape),
            ));
        }
        Ok(self.with(network, self.masker.clone()))
    }

    fn with<'b>(&self, network: &'b Network, masker: Masker) -> ImageGame<'b> {
        ImageGame {
            network,
            photo: self.photo.clone(),
            labels: self.labels.clone(),
            masker,
            shape: self.shape,
            preprocess: self.preprocess,
            players: self.players,
            link: self.link,
            run: self.run.clone(),
            segmenting: self.segmenting,
            sharing: Cell::new(None),
        }
    }

    /// The same segments and baseline with a noisy picture: `noise` is added to the picture that the network reads, in its order, 1
    /// being the whole range of a pixel (0 to 255).
    ///
    /// # Errors
    /// [`Error::Parameter`] for noise of another size; [`Error::Unsupported`] if segments are masked at the photo's resolution.
    ///
    /// # Example
    /// ```
    /// use whybox::explain::{Game, ImageExplainer};
    /// use whybox::{Device, builtin, perturb::Coalitions};
    ///
    /// let network = Device::cpu().load(&builtin::network()?)?;
    /// let explainer = ImageExplainer { preprocess: builtin::preprocess(), ..ImageExplainer::default() };
    /// let game = explainer.game(&network, builtin::photo()?)?;
    /// let noisy = game.noisy(&vec![0.01; 3 * 32 * 32])?;
    /// let mut all = Coalitions::new(game.players());
    /// all.push(|_| true);
    /// assert_eq!(noisy.players(), game.players());
    /// assert_ne!(noisy.values(&all)?, game.values(&all)?);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn noisy(&self, noise: &[f64]) -> Result<ImageGame<'a>> {
        let Masker::Network { instance, baseline, map } = &self.masker else {
            return Err(Error::unsupported(
                "noise is added to the picture that the network reads, but segments are masked on the photo",
                "--mask-resolution photo",
                "mask at the network's resolution",
            ));
        };
        if noise.len() != instance.len() {
            return Err(Error::parameter(
                format!("noise of {} elements", noise.len()),
                "ImageGame::noisy",
                format!("the picture has {}", instance.len()),
            ));
        }
        let PictureShape { height, width, channels, order } = self.shape;
        let channel = |at: usize| match order {
            PixelOrder::ChannelsFirst => at / (height * width),
            PixelOrder::ChannelsLast => at % channels,
        };
        let range: Vec<f32> = self.preprocess.difference([1.0; 3], channels).collect();
        let instance = (instance.iter().zip(noise).enumerate())
            .map(|(at, (x, noise))| x + range[channel(at)] * *noise as f32)
            .collect();
        let masker = Masker::Network { instance, baseline: baseline.clone(), map: map.clone() };
        Ok(self.with(self.network, masker))
    }

    /// A tree of the segments for Owen values: near ones are joined first, neighbours before others (complete linkage of
    /// the distances of their centres; a quarter of the photo's diagonal is added for segments that do not touch).
    ///
    /// # Errors
    /// None for a game that could be made.
    pub fn hierarchy(&self) -> Result<Hierarchy> {
        let (width, players) = (self.photo.width() as usize, self.players);
        let mut sums = vec![[0.0f64; 3]; players];
        let mut touch = Array2::from_elem((players, players), false);
        for (at, &label) in self.labels.iter().enumerate() {
            let label = label as usize;
            if label >= players {
                continue;
            }
            let sum = &mut sums[label];
            *sum = [sum[0] + (at % width) as f64, sum[1] + (at / width) as f64, sum[2] + 1.0];
            let right = if at % width + 1 < width { self.labels.get(at + 1) } else { None };
            for &other in right.into_iter().chain(self.labels.get(at + width)) {
                if (other as usize) < players {
                    touch[[label, other as usize]] = true;
                    touch[[other as usize, label]] = true;
                }
            }
        }
        let diagonal = f64::from(self.photo.width()).hypot(f64::from(self.photo.height()));
        // A segment too small to be seen on the photo lies at the corner.
        let centre = |s: usize| [sums[s][0] / sums[s][2].max(1.0), sums[s][1] / sums[s][2].max(1.0)];
        let distances = Array2::from_shape_fn((players, players), |(a, b)| {
            let (p, q) = (centre(a), centre(b));
            let apart = if a == b || touch[[a, b]] { 0.0 } else { APART * diagonal };
            (p[0] - q[0]).hypot(p[1] - q[1]) + apart
        });
        Hierarchy::from_distances(distances.view(), Linkage::Complete)
    }

    /// Explains the photo; `progress` is called with the number of evaluations done so far, chunk by chunk, `forecast`
    /// after each round of a method that runs to a tolerance.
    ///
    /// # Errors
    /// Those of [`Estimator::explain`] and [`Network::run`].
    pub fn explain(
        &self,
        method: &dyn Estimator,
        progress: &mut Progress<'_>,
        forecast: &mut dyn FnMut(Forecast),
    ) -> Result<ImageExplanation> {
        self.sharing.set(None);
        let watched = Watched { game: self, progress: RefCell::new((0, progress)) };
        let linked = Linked { game: &watched, link: self.link };
        let game: &dyn Game = if self.link == Link::Identity { &watched } else { &linked };
        let mut explanation = method.explain_forecasting(game, &mut |_| {}, forecast)?;
        explanation.seconds.insert(0, ("segment".into(), self.segmenting));
        Ok(ImageExplanation {
            explanation,
            photo: self.photo.clone(),
            labels: self.labels.clone(),
            segments: self.players,
            sharing: self.sharing.get(),
        })
    }

    fn answers(&self, coalitions: &Coalitions, told: &mut Progress<'_>) -> Result<Array2<f64>> {
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
        let report = self.network.run(perturbation.as_ref(), &self.run, &mut |rows, answers| {
            crate::device::check_finite(rows.start, outputs, answers)?;
            told(rows.end);
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

fn mask(
    explainer: &ImageExplainer,
    picture: &Picture,
    shape: &PictureShape,
) -> Result<(Masker, Vec<u32>, usize)> {
    let ImageExplainer { segmentation, baseline, preprocess, seed, .. } = explainer;
    match explainer.masks {
        MaskResolution::Network => {
            let pixels = picture.pixels();
            let map = segmentation.segment(&pixels, *seed)?;
            let hidden = baseline.picture(pixels, &map)?;
            let instance = preprocess.apply(pixels, shape).into();
            let baseline = preprocess.apply(hidden.view(), shape).into();
            let (labels, players) = (picture.on_photo(&map), map.count());
            Ok((Masker::Network { instance, baseline, map }, labels, players))
        }
        MaskResolution::Photo => {
            let pixels = photo_pixels(picture.photo());
            let map = segmentation.segment(&pixels.view(), *seed)?;
            let hidden = baseline.picture(pixels.view(), &map)?;
            let footprints = Footprints::new(picture, hidden.view(), &map, shape, preprocess)?;
            let (labels, players) = (footprints.labels().to_vec(), footprints.players());
            Ok((Masker::Photo { footprints: Arc::new(footprints) }, labels, players))
        }
    }
}

/// As the network answers; the explainer's link is not applied.
impl Game for ImageGame<'_> {
    fn players(&self) -> usize {
        self.players
    }

    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    fn work(&self) -> f64 {
        self.network.plan().macs() as f64
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        self.answers(coalitions, &mut |_| {})
    }
}

/// The game, and whom to tell how many evaluations are done.
struct Watched<'g, 'a, 'p, 'f> {
    game: &'g ImageGame<'a>,
    progress: RefCell<(usize, &'p mut Progress<'f>)>,
}

impl Game for Watched<'_, '_, '_, '_> {
    fn players(&self) -> usize {
        self.game.players
    }

    fn outputs(&self) -> usize {
        self.game.outputs()
    }

    fn work(&self) -> f64 {
        self.game.work()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let (before, progress) = &mut *self.progress.borrow_mut();
        let first = *before;
        *before += coalitions.rows();
        self.game.answers(coalitions, &mut |done| progress(first + done))
    }
}
