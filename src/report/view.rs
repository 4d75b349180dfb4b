//! What the picture of an explained photo shows beside the photo.

use std::fmt;
use std::str::FromStr;

use super::colour;
use super::image_report::ExplainedClass;
use crate::{Error, Result};

/// What a picture shows beside the photo.
///
/// # Example
/// ```
/// use whybox::report::View;
///
/// assert_eq!("top:5".parse(), Ok(View::Top(5)));
/// assert_eq!(View::Errors.to_string(), "errors");
/// assert!("bottom".parse::<View>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Both signs over the photo.
    #[default]
    Overlay,
    /// The photo with the boundaries of all segments.
    Segments,
    /// What speaks for the class alone, on the overlay's scale.
    Positive,
    /// What speaks against the class alone, on the overlay's scale.
    Negative,
    /// The segments that speak most for the class, cut out: at most this many.
    Top(usize),
    /// One standard error of each weight.
    Errors,
    /// All explained classes side by side, on one scale.
    Classes,
}

impl View {
    /// Its file's name after `explanation`.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            View::Overlay => "",
            View::Segments => "-segments",
            View::Positive => "-positive",
            View::Negative => "-negative",
            View::Top(_) => "-top",
            View::Errors => "-errors",
            View::Classes => "-classes",
        }
    }

    /// One of each kind.
    pub(super) const KINDS: [View; 7] = [
        View::Overlay,
        View::Segments,
        View::Positive,
        View::Negative,
        View::Top(5),
        View::Errors,
        View::Classes,
    ];

    /// Red, green, blue and opacity of each segment, `[segments]`, over the photo; `largest` is the end of the scale, and
    /// `paper` what hides a segment.
    pub(super) fn colours(self, class: &ExplainedClass, largest: f64, paper: [u8; 3]) -> Vec<[u8; 4]> {
        let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        let shown = self.segments(class);
        let colour = |segment: usize| {
            let weight = class.weights[segment];
            match self {
                View::Segments => [0; 4],
                View::Overlay | View::Classes => colour::diverging(weight * scale),
                View::Positive => colour::diverging(weight.max(0.0) * scale),
                View::Negative => colour::diverging(weight.min(0.0) * scale),
                View::Top(_) if shown.contains(&segment) => [0; 4],
                View::Top(_) => [paper[0], paper[1], paper[2], 255],
                View::Errors => colour::amount(class.standard_error(segment).unwrap_or(0.0) * scale),
            }
        };
        (0..class.weights.len()).map(colour).collect()
    }

    /// The segments that are outlined and numbered.
    pub(super) fn segments(self, class: &ExplainedClass) -> Vec<usize> {
        let signed = |sign: f64, most: usize| {
            let mut order = class.ranked();
            order.retain(|&s| class.weights[s] * sign > 0.0);
            order.truncate(most);
            order
        };
        match self {
            View::Overlay | View::Segments => class.strongest(super::TOP),
            View::Positive => signed(1.0, super::TOP),
            View::Negative => signed(-1.0, super::TOP),
            View::Top(most) => signed(1.0, most),
            View::Errors | View::Classes => Vec::new(),
        }
    }

    /// The end of the scale: the largest |weight|, or the largest standard error.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the errors of a method that gives none.
    pub(super) fn largest(self, class: &ExplainedClass) -> Result<f64> {
        if self != View::Errors {
            return Ok(class.largest());
        }
        let known = (0..class.weights.len()).filter_map(|segment| class.standard_error(segment));
        known.reduce(f64::max).ok_or_else(|| {
            Error::parameter(
                "there are no standard errors to draw",
                "--show errors",
                "choose another view, or a method that gives standard errors, such as shap or permutation",
            )
        })
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            View::Overlay => f.write_str("overlay"),
            View::Top(most) => write!(f, "top:{most}"),
            other => f.write_str(&other.suffix()[1..]),
        }
    }
}

impl FromStr for View {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("top:").map(str::parse)) {
            ("overlay", _) => Ok(View::Overlay),
            ("segments", _) => Ok(View::Segments),
            ("positive", _) => Ok(View::Positive),
            ("negative", _) => Ok(View::Negative),
            ("top", _) => Ok(View::Top(super::TOP)),
            (_, Some(Ok(most))) if most > 0 => Ok(View::Top(most)),
            ("errors", _) => Ok(View::Errors),
            ("classes", _) => Ok(View::Classes),
            _ => Err(Error::parameter(
                format!("there is no view {text:?}"),
                "--show",
                "choose overlay, segments, positive, negative, top:5, errors or classes",
            )),
        }
    }
}
