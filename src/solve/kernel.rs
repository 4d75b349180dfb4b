//! LIME's distances of coalitions from the instance, and its exponential kernel.

use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Distance of a coalition from the full one.
///
/// On rows of zeros and ones the definitions of scikit-learn's `pairwise_distances`, which `lime`
/// calls, depend only on `k`, the present of `d` players.
///
/// # Example
/// ```
/// use whybox::solve::Distance;
///
/// // Of four players three are present.
/// assert!((Distance::Cosine.of(3, 4) - (1.0 - 0.75f64.sqrt())).abs() < 1e-12);
/// assert_eq!(Distance::Euclidean.of(3, 4), 1.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distance {
    /// `1 - sqrt(k / d)`, in `[0, 1]`; the empty coalition is at distance 1. Default of LIME on
    /// images and (times 100) on text.
    #[default]
    Cosine,
    /// `sqrt(d - k)`, in `[0, sqrt(d)]`. Default of LIME on tables.
    Euclidean,
    /// The sum of absolute differences: `d - k`.
    Manhattan,
    /// The largest absolute difference: 0 for the instance, 1 for every other coalition.
    Chebyshev,
}

impl Distance {
    /// Distance of a coalition of `present` among `players` players; `present <= players`.
    ///
    /// # Example
    /// ```
    /// use whybox::solve::Distance;
    ///
    /// assert_eq!(Distance::Cosine.of(2, 8), 0.5);
    /// assert_eq!(Distance::Cosine.of(0, 8), 1.0);
    /// assert_eq!(Distance::Euclidean.of(4, 8), 2.0);
    /// ```
    pub fn of(self, present: usize, players: usize) -> f64 {
        match self {
            Distance::Cosine if present == players => 0.0,
            Distance::Cosine => 1.0 - (present as f64 / players as f64).sqrt(),
            Distance::Euclidean => (players.saturating_sub(present) as f64).sqrt(),
            Distance::Manhattan => players.saturating_sub(present) as f64,
            Distance::Chebyshev => f64::from(u8::from(present < players)),
        }
    }

    /// Distance of two rows of any numbers; a row of zeros is at cosine distance 1 from every other.
    ///
    /// # Example
    /// ```
    /// use whybox::solve::Distance;
    ///
    /// assert_eq!(Distance::Euclidean.between(&[0.0, 3.0], &[4.0, 0.0]), 5.0);
    /// assert_eq!(Distance::Cosine.between(&[0.0, 3.0], &[4.0, 0.0]), 1.0);
    /// assert_eq!(Distance::Manhattan.between(&[0.0, 3.0], &[4.0, 0.0]), 7.0);
    /// ```
    pub fn between(self, a: &[f64], b: &[f64]) -> f64 {
        let sum = |term: fn(f64, f64) -> f64| a.iter().zip(b).map(|(&a, &b)| term(a, b)).sum::<f64>();
        match self {
            Distance::Euclidean => sum(|a, b| (a - b) * (a - b)).sqrt(),
            Distance::Manhattan => sum(|a, b| (a - b).abs()),
            Distance::Chebyshev => a.iter().zip(b).fold(0.0, |max, (a, b)| f64::max(max, (a - b).abs())),
            Distance::Cosine if a == b => 0.0,
            Distance::Cosine => {
                let lengths = sum(|a, _| a * a).sqrt() * sum(|_, b| b * b).sqrt();
                if lengths > 0.0 { (1.0 - sum(|a, b| a * b) / lengths).max(0.0) } else { 1.0 }
            }
        }
    }
}

/// The distance of every row of `coalitions` from the full coalition, `[rows]`.
///
/// # Example
/// ```
/// use whybox::perturb::Coalitions;
/// use whybox::solve::{Distance, distances};
///
/// let coalitions = Coalitions::from_words(4, vec![0b1111, 0b0001])?;
/// assert_eq!(distances(&coalitions, Distance::Cosine), [0.0, 0.5]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn distances(coalitions: &Coalitions, distance: Distance) -> Vec<f64> {
    let players = coalitions.players();
    (0..coalitions.rows()).map(|row| distance.of(coalitions.count(row), players)).collect()
}

/// LIME's exponential kernel, `w(d) = sqrt(exp(-d² / width²))`.
///
/// Source: `lime_image.LimeImageExplainer`, `lime_tabular.LimeTabularExplainer` and
/// `lime_text.LimeTextExplainer` of `lime` 0.2.0.1, which differ in the width only: 0.25 on images,
/// `0.75 sqrt(columns)` on tables, 25 on text.
///
/// # Example
/// ```
/// use whybox::solve::{Distance, Kernel};
///
/// let weights = Kernel::new(0.25)?.weights(&[Distance::Cosine.of(8, 8), Distance::Cosine.of(2, 8)]);
/// assert!(weights[0] == 1.0 && weights[1] < 0.2);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernel {
    width: f64,
}

impl Kernel {
    /// A kernel of the given width, in units of distance.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the width is finite, above 0, and so is its square.
    pub fn new(width: f64) -> Result<Self> {
        if width > 0.0 && (width * width).is_normal() {
            return Ok(Self { width });
        }
        Err(Error::parameter(
            "a kernel width must be finite and above 0",
            format!("kernel width {width}"),
            "LIME takes 0.25 for images; wider kernels weigh far samples more",
        ))
    }

    /// The weight at a distance, in `[0, 1]`.
    ///
    /// # Example
    /// ```
    /// use whybox::solve::Kernel;
    ///
    /// let kernel = Kernel::new(0.25)?;
    /// assert_eq!(kernel.weight(0.0), 1.0);
    /// assert!((kernel.weight(0.25) - (-0.5f64).exp()).abs() < 1e-15);
    /// assert!(Kernel::new(0.0).is_err());
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn weight(self, distance: f64) -> f64 {
        // Not exp(-d²/2w²): the root of the exponential underflows where LIME's does.
        (-distance.powi(2) / self.width.powi(2)).exp().sqrt()
    }

    /// The weight at each distance.
    pub fn weights(self, distances: &[f64]) -> Vec<f64> {
        distances.iter().map(|&d| self.weight(d)).collect()
    }
}

impl Default for Kernel {
    /// LIME's width on images, 0.25.
    fn default() -> Self {
        Self { width: 0.25 }
    }
}
