//! The plain data behind the report of one image explanation.
//!
//! The explain layer fills an [`ImageReport`]; the report layer draws it and computes no attribution.

use image::RgbImage;

use super::document;
use crate::{Error, Result};

/// The label of a pixel that belongs to no segment, because it was cropped away before the network.
pub const OUTSIDE: u32 = u32::MAX;

/// Everything that the files and the terminal text of one image explanation show.
///
/// All fields are public and hold values as computed; rounding happens where they are shown.
/// [`ImageReport::validate`] states what they must satisfy.
///
/// # Example
/// ```
/// use whybox::report::{ExplainedClass, ImageReport, PhotoSegments, Scale, terminal};
///
/// let cat = ExplainedClass {
///     name: "cat".into(),
///     value: 0.9,
///     scale: Scale::Probability,
///     weights: vec![0.5, -0.1],
///     ..ExplainedClass::default()
/// };
/// let report = ImageReport {
///     photo: image::RgbImage::new(8, 4),
///     segments: PhotoSegments { labels: (0..32).map(|pixel| pixel / 16).collect(), count: 2 },
///     classes: vec![cat],
///     method: "LIME".into(),
///     ..ImageReport::default()
/// };
/// report.validate()?;
/// assert!(terminal(&report, false, 80).contains("Why cat?"));
/// assert!(report.svg(0)?.starts_with("<svg") && report.html()?.contains("Why cat?"));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ImageReport {
    /// The photo as the user knows it, RGB8, `[H0, W0]`, before any crop or resize.
    pub photo: RgbImage,
    /// The segments, at the photo's resolution.
    pub segments: PhotoSegments,
    /// The explained classes, the most interesting first; at least one.
    pub classes: Vec<ExplainedClass>,
    /// Names and values of the network's highest outputs for this photo, best first (as a rule five).
    pub prediction: Vec<(String, f64)>,
    /// What the values of `prediction` are.
    pub prediction_scale: Scale,
    /// The method, for example `LIME`.
    pub method: String,
    /// Whether the weights are a fitted surrogate's (LIME); else they are Shapley or Owen values, which add up.
    pub surrogate: bool,
    /// The network's name, for example its file's.
    pub network: String,
    /// The device that ran the network.
    pub device: String,
    /// Evaluations of the network (perturbed images), the photo itself included.
    pub evaluations: u64,
    /// Evaluations per second of running the network.
    pub evaluations_per_second: f64,
    /// Wall-clock seconds by stage, in order.
    pub seconds: Vec<(String, f64)>,
    /// How far the weights are from those in f32, where the network is stored in another precision.
    pub precision: Option<document::PrecisionError>,
    /// The seed of all random draws.
    pub seed: u64,
    /// Names and values of the method's settings, in the order in which to show them.
    pub settings: Vec<(String, String)>,
    /// The command line that repeats the run; empty if there is none.
    pub command: String,
    /// What the reader must know before trusting the numbers, a sentence each.
    pub warnings: Vec<String>,
}

/// Which segment each pixel of the photo belongs to.
///
/// # Example
/// ```
/// use whybox::report::{OUTSIDE, PhotoSegments};
///
/// // Two rows of three pixels; the last was cropped away.
/// let segments = PhotoSegments { labels: vec![0, 0, 1, 0, 1, OUTSIDE], count: 2 };
/// assert_eq!(segments.pixels(), [3, 2]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhotoSegments {
    /// `[H0, W0]` row by row: a segment in `0..count`, or [`OUTSIDE`].
    pub labels: Vec<u32>,
    /// The number of segments.
    pub count: usize,
}

/// What a number that a network gives means.
///
/// # Example
/// ```
/// use whybox::report::Scale;
///
/// assert_eq!(Scale::Probability.of("cat"), "P(cat)");
/// assert_eq!(Scale::Logit.name(), "logit");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// In 0..=1, after a softmax or sigmoid.
    Probability,
    /// Before the softmax or sigmoid.
    Logit,
    /// Anything else.
    #[default]
    Score,
}

/// One class and what each segment did for it.
///
/// # Example
/// ```
/// use whybox::report::ExplainedClass;
///
/// let class = ExplainedClass {
///     name: "tabby, tabby cat".into(),
///     value: 0.9,
///     local_prediction: 0.8,
///     weights: vec![0.1, -0.4, 0.0],
///     ..ExplainedClass::default()
/// };
/// assert_eq!((class.short_name(), class.largest()), ("tabby", 0.4));
/// assert_eq!((class.ranked(), class.strongest(5)), (vec![1, 0, 2], vec![1, 0]));
/// assert!((class.additivity_gap() - 0.1).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ExplainedClass {
    /// The class's name, or its number as text if it has none.
    pub name: String,
    /// The class's index among the network's outputs.
    pub index: usize,
    /// The network's output for the photo.
    pub value: f64,
    /// What `value` and the weights are measured in.
    pub scale: Scale,
    /// The effect of showing each segment, `[segments]`, in units of `value`.
    pub weights: Vec<f64>,
    /// One standard error of each weight, `[segments]`; NaN where unknown.
    pub standard_errors: Option<Vec<f64>>,
    /// 95 % intervals of the weights, `[segments]`; `None` where there are no standard errors.
    pub intervals: Option<Vec<(f64, f64)>>,
    /// The surrogate's output when no segment is shown; for Shapley values the network's, the base value.
    pub intercept: f64,
    /// The intercept and all weights together.
    pub local_prediction: f64,
    /// The surrogate's weighted R² (1 is a perfect fit); `None` where it is undefined.
    pub r_squared: Option<f64>,
    /// How repeated runs agree, where that was asked for.
    pub stability: Option<document::Stability>,
}

impl Scale {
    /// `probability`, `logit` or `score`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Probability => "probability",
            Scale::Logit => "logit",
            Scale::Score => "score",
        }
    }

    /// The quantity of a class as a reader would write it: `P(cat)`, `logit of cat`, `score of cat`.
    pub fn of(self, class: &str) -> String {
        match self {
            Scale::Probability => format!("P({class})"),
            Scale::Logit => format!("logit of {class}"),
            Scale::Score => format!("score of {class}"),
        }
    }
}

impl PhotoSegments {
    /// The number of pixels of each segment, `[count]`.
    pub fn pixels(&self) -> Vec<u64> {
        let mut pixels = vec![0; self.count];
        for &label in &self.labels {
            if let Some(n) = pixels.get_mut(label as usize) {
                *n += 1;
            }
        }
        pixels
    }
}

impl ExplainedClass {
    /// The first of several names that commas separate, as ImageNet's labels have them.
    pub fn short_name(&self) -> &str {
        self.name.split(',').next().unwrap_or(&self.name).trim()
    }

    /// All segments, the largest |weight| first; equal ones in order of their number.
    pub fn ranked(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.weights.len()).collect();
        order.sort_by(|&a, &b| self.weights[b].abs().total_cmp(&self.weights[a].abs()));
        order
    }

    /// At most `k` segments of the largest |weight|, none of weight zero.
    pub fn strongest(&self, k: usize) -> Vec<usize> {
        let mut order = self.ranked();
        order.truncate(k);
        order.retain(|&s| self.weights[s] != 0.0);
        order
    }

    /// The largest |weight|; 0 without segments.
    pub fn largest(&self) -> f64 {
        self.weights.iter().fold(0.0, |m, w| w.abs().max(m))
    }

    /// The prediction less what intercept and weights add up to.
    pub fn additivity_gap(&self) -> f64 {
        self.value - self.local_prediction
    }

    /// The 95 % interval of a segment's weight, if it is known.
    pub fn interval(&self, segment: usize) -> Option<(f64, f64)> {
        let (low, high) = *self.intervals.as_ref()?.get(segment)?;
        (low.is_finite() && high.is_finite()).then_some((low, high))
    }

    /// One standard error of a segment's weight, if it is known.
    pub fn standard_error(&self, segment: usize) -> Option<f64> {
        let error = *self.standard_errors.as_ref()?.get(segment)?;
        error.is_finite().then_some(error)
    }
}

impl ImageReport {
    /// Checks that shapes agree and numbers are finite.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an empty photo, a segment map of another size than the photo, a label
    /// outside `0..count`, no class, or weights or standard errors of another length than `count`;
    /// [`Error::Numeric`] for a value, weight, intercept or local prediction that is NaN or infinite.
    pub fn validate(&self) -> Result<()> {
        let (width, height) = self.photo.dimensions();
        let parameter = |what: String, at: String| {
            Err(Error::parameter(what, at, "hand the report an explanation of this very photo"))
        };
        if width == 0 || height == 0 {
            return parameter("the photo has no pixels".into(), format!("photo {width} × {height}"));
        }
        let pixels = width as usize * height as usize;
        if self.segments.labels.len() != pixels {
            return parameter(
                "the segment map and the photo differ in size".into(),
                format!("{} labels, {pixels} pixels", self.segments.labels.len()),
            );
        }
        let count = self.segments.count;
        let stray = |&&label: &&u32| label != OUTSIDE && label as usize >= count;
        if let Some(label) = self.segments.labels.iter().find(stray) {
            return parameter(
                "the segment map holds a label that is no segment".into(),
                format!("label {label} of {count} segments"),
            );
        }
        if self.classes.is_empty() {
            return parameter("there is no class to report".into(), String::new());
        }
        for class in &self.classes {
            class.validate(count)?;
        }
        Ok(())
    }
}

impl ExplainedClass {
    fn validate(&self, segments: usize) -> Result<()> {
        let at = format!("class {} ({})", self.index, self.name);
        let errors = self.standard_errors.as_ref().map_or(segments, Vec::len);
        let intervals = self.intervals.as_ref().map_or(segments, Vec::len);
        if self.weights.len() != segments || errors != segments || intervals != segments {
            return Err(Error::parameter(
                format!(
                    "{} weights and {errors} standard errors for {segments} segments",
                    self.weights.len()
                ),
                at,
                "give one weight, and one standard error or none, for each segment",
            ));
        }
        let numbers = [self.value, self.intercept, self.local_prediction];
        if numbers.iter().chain(&self.weights).any(|x| !x.is_finite()) {
            return Err(Error::numeric(
                "the explanation holds a NaN or an infinity",
                at,
                "check the network's outputs for this photo",
            ));
        }
        Ok(())
    }
}
