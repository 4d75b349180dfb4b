//! A game seen through a link function.

use ndarray::Array2;

use super::super::Game;
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// Probabilities are clipped to this far from 0 and 1 before their logit is taken, as in `shap`.
const CLIP: f64 = 1e-15;

/// In which units a game is explained.
///
/// # Example
/// ```
/// use whybox::explain::Link;
///
/// assert_eq!(Link::Identity.apply(0.75), 0.75);
/// assert!((Link::Logit.apply(0.75) - 3f64.ln()).abs() < 1e-12);
/// assert!(Link::Logit.apply(1.5).is_nan());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// As the game answers.
    #[default]
    Identity,
    /// Log-odds of the game's probabilities, `ln(p / (1 - p))`, clipped to 1e-15 from 0 and 1.
    Logit,
}

impl Link {
    /// Applies the link to a number; NaN for the logit of what is no probability.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Link::Identity => value,
            Link::Logit if (0.0..=1.0).contains(&value) => {
                let p = value.clamp(CLIP, 1.0 - CLIP);
                (p / (1.0 - p)).ln()
            }
            Link::Logit => f64::NAN,
        }
    }
}

/// A game whose values are passed through a link.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, ExactShapley, FunctionGame, Link, Linked};
///
/// let game = FunctionGame::new(2, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = 1.0 / (1.0 + f64::exp(-3.0 * f64::from(u8::from(present[1]))));
/// });
/// let linked = Linked { game: &game, link: Link::Logit };
/// let values = &ExactShapley::default().explain(&linked, &mut |_| {})?.attributions[0].values;
/// assert!(values[0].abs() < 1e-12 && (values[1] - 3.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct Linked<'a> {
    /// The game.
    pub game: &'a dyn Game,
    /// What its values are passed through.
    pub link: Link,
}

impl Game for Linked<'_> {
    fn players(&self) -> usize {
        self.game.players()
    }

    fn outputs(&self) -> usize {
        self.game.outputs()
    }

    fn varying(&self) -> Vec<bool> {
        self.game.varying()
    }

    fn instances(&self) -> usize {
        self.game.instances()
    }

    fn work(&self) -> f64 {
        self.game.work()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut values = self.game.values(coalitions)?;
        for ((row, output), value) in values.indexed_iter_mut() {
            let linked = self.link.apply(*value);
            if !linked.is_finite() {
                return Err(Error::numeric(
                    format!("{value} is no probability, so it has no logit"),
                    format!("coalition {row}, output {output}"),
                    "explain probabilities, or choose the identity link",
                ));
            }
            *value = linked;
        }
        Ok(values)
    }
}
