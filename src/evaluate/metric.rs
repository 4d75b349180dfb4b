//! What explanations are judged by, and which direction is better.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Which direction of a metric is better.
///
/// # Example
/// ```
/// use whybox::evaluate::{Better, Metric};
///
/// assert!(Metric::Insertion.better().prefers(2.0, 1.0));
/// assert!(Better::Lower.prefers(1.0, 2.0) && !Better::Lower.prefers(f64::NAN, 2.0));
/// assert_eq!((Better::Lower.name(), Better::Lower.arrow()), ("lower", '↓'));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Better {
    /// `higher` or `lower`.
    pub fn name(self) -> &'static str {
        match self {
            Better::Higher => "higher",
            Better::Lower => "lower",
        }
    }

    /// `↑` or `↓`.
    pub fn arrow(self) -> char {
        match self {
            Better::Higher => '↑',
            Better::Lower => '↓',
        }
    }

    /// Whether `a` is better than `b`; never for NaN.
    pub fn prefers(self, a: f64, b: f64) -> bool {
        match self {
            Better::Higher => a > b,
            Better::Lower => a < b,
        }
    }
}

/// A number that judges the explanation of one instance.
///
/// # Example
/// ```
/// use whybox::evaluate::{Better, Metric};
///
/// assert_eq!("gini".parse(), Ok(Metric::Gini));
/// assert_eq!(Metric::Deletion.better(), Better::Lower);
/// assert!("beauty".parse::<Metric>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Area under the [`deletion`](super::deletion) curve.
    Deletion,
    /// Area under the [`insertion`](super::insertion) curve.
    Insertion,
    /// [`faithfulness_correlation`](super::faithfulness_correlation).
    Faithfulness,
    /// [`infidelity`](super::infidelity).
    Infidelity,
    /// [`sensitivity_max`](super::sensitivity_max).
    Sensitivity,
    /// [`sparseness`](super::sparseness).
    Gini,
    /// [`complexity`](super::complexity).
    Entropy,
    /// [`Object::pointing`](super::Object::pointing), 0 or 1.
    Pointing,
    /// [`Object::mass`](super::Object::mass).
    Mass,
    /// |[`rank_correlation`](super::rank_correlation)| with the explanation of the [`randomised`](super::randomised) network.
    Randomised,
}

impl Metric {
    /// All metrics, in the order of the documentation.
    pub const ALL: [Metric; 10] = [
        Metric::Deletion,
        Metric::Insertion,
        Metric::Faithfulness,
        Metric::Infidelity,
        Metric::Sensitivity,
        Metric::Gini,
        Metric::Entropy,
        Metric::Pointing,
        Metric::Mass,
        Metric::Randomised,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Deletion => "deletion",
            Metric::Insertion => "insertion",
            Metric::Faithfulness => "faithfulness",
            Metric::Infidelity => "infidelity",
            Metric::Sensitivity => "sensitivity",
            Metric::Gini => "gini",
            Metric::Entropy => "entropy",
            Metric::Pointing => "pointing",
            Metric::Mass => "mass",
            Metric::Randomised => "randomised",
        }
    }

    /// Which direction is better.
    pub fn better(self) -> Better {
        match self {
            Metric::Insertion | Metric::Faithfulness | Metric::Gini | Metric::Pointing | Metric::Mass => {
                Better::Higher
            }
            Metric::Deletion
            | Metric::Infidelity
            | Metric::Sensitivity
            | Metric::Entropy
            | Metric::Randomised => Better::Lower,
        }
    }

    /// What it asks, in one sentence.
    pub fn about(self) -> &'static str {
        match self {
            Metric::Deletion => "Area under the output while players leave, the highest attribution first.",
            Metric::Insertion => {
                "Area under the output while players join nothing, the highest attribution first."
            }
            Metric::Faithfulness => {
                "Do the attributions of random absent players add up to the fall of the output?"
            }
            Metric::Infidelity => {
                "How far are they off, squared? Counts the attributions' scale, not only their order."
            }
            Metric::Sensitivity => "How far does the explanation move when the instance hardly does?",
            Metric::Gini => "Do a few players carry the explanation?",
            Metric::Entropy => "Over how many players is the explanation spread?",
            Metric::Pointing => "Does the highest attribution lie on the object?",
            Metric::Mass => "How much of the positive attribution lies on the object?",
            Metric::Randomised => {
                "Does the explanation stay the same when the network forgets what it learnt? It must not."
            }
        }
    }

    /// Its formula.
    pub fn formula(self) -> &'static str {
        match self {
            Metric::Deletion => "∫ v(all but the first k) d(k/n), trapezoids",
            Metric::Insertion => "∫ v(the first k) d(k/n), trapezoids",
            Metric::Faithfulness => "Pearson correlation of Σφ(absent) and v(all) − v(present)",
            Metric::Infidelity => "mean of (Σφ(absent) − (v(all) − v(present)))²",
            Metric::Sensitivity => "max over neighbours x′ of ‖φ(x′) − φ(x)‖ / ‖φ(x)‖",
            Metric::Gini => "Σ(2i − n − 1)|φ|₍ᵢ₎ / (n Σ|φ|), |φ| ascending",
            Metric::Entropy => "−Σ p ln p, p = |φ| / Σ|φ|",
            Metric::Pointing => "1 if at least half of the highest player lies inside, else 0",
            Metric::Mass => "Σ max(φ, 0) · (share of the player inside) / Σ max(φ, 0)",
            Metric::Randomised => "|Spearman correlation of φ and φ of the randomised network|",
        }
    }

    /// Where it comes from.
    pub fn source(self) -> &'static str {
        match self {
            Metric::Deletion | Metric::Insertion => "Petsiuk, Das and Saenko, RISE, 2018",
            Metric::Faithfulness | Metric::Entropy => "Bhatt, Weller and Moura, 2020",
            Metric::Infidelity | Metric::Sensitivity => "Yeh and others, 2019",
            Metric::Gini => "Chalasani and others, 2020",
            Metric::Pointing => "Zhang and others, 2016",
            Metric::Mass => "Arras and others, 2022",
            Metric::Randomised => "Adebayo and others, 2018",
        }
    }

    /// Whether a random explanation has to lose. It need not where nothing is asked of the network: a random explanation is
    /// as spread as its draws, and forgets nothing.
    pub fn is_controlled(self) -> bool {
        !matches!(self, Metric::Gini | Metric::Entropy | Metric::Randomised)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Metric::ALL.into_iter().find(|metric| metric.name() == text).ok_or_else(|| {
            let names = Metric::ALL.map(Metric::name).join(", ");
            Error::parameter("there is no such metric", text, format!("choose of: {names}"))
        })
    }
}
