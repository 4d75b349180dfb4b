//! Does an explanation change when the instance hardly does?

use rand::RngExt;

use super::finite;
use crate::perturb::philox::Philox;
use crate::{Error, Result};

/// Stream of the Philox generator for the neighbours.
const STREAM: u32 = 0x5345_4E53;

/// The neighbours of an instance that are explained again.
///
/// # Example
/// ```
/// use whybox::evaluate::Sensitivity;
///
/// let near = Sensitivity { samples: 3, radius: 0.1, seed: 1 }.neighbours(&[1.0, -2.0])?;
/// assert_eq!(near.len(), 3);
/// assert!(near.iter().all(|x| (x[0] - 1.0).abs() < 0.11 && (x[1] + 2.0).abs() < 0.11));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// Neighbours. Default: 10 (captum).
    pub samples: usize,
    /// Largest change of an element of the instance: neighbours are uniform in this ball of the maximum norm.
    /// Default: 0.02 (captum).
    pub radius: f64,
    /// Seed of the draws. Default: 0.
    pub seed: u64,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Sensitivity { samples: 10, radius: 0.02, seed: 0 }
    }
}

impl Sensitivity {
    /// The neighbours, `[samples][instance.len()]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no neighbours, or a radius that is not above 0.
    pub fn neighbours(&self, instance: &[f64]) -> Result<Vec<Vec<f64>>> {
        if self.samples == 0 || !(self.radius > 0.0 && self.radius.is_finite()) {
            return Err(Error::parameter(
                format!("{} neighbours within {}", self.samples, self.radius),
                "sensitivity",
                "ask for at least 1 neighbour within a radius above 0",
            ));
        }
        let mut draws = Philox::new(self.seed, STREAM);
        let mut near = |x: &f64| x + self.radius * (2.0 * draws.random::<f64>() - 1.0);
        Ok((0..self.samples).map(|_| instance.iter().map(&mut near).collect()).collect())
    }
}

/// The largest relative change of an explanation over near neighbours of the instance,
/// `max ‖φ(x′) − φ(x)‖ / ‖φ(x)‖` in the Euclidean norm (Yeh et al. 2019; captum's `sensitivity_max`).
/// `explain` gives the attributions of any instance.
///
/// # Errors
/// [`Error::Parameter`] for settings that make no sense; [`Error::Numeric`] if the instance's attributions are all zero
/// or not finite; whatever `explain` reports.
///
/// # Example
/// ```
/// use whybox::evaluate::{Sensitivity, sensitivity_max};
///
/// // The gradient of a linear function is the same everywhere.
/// let worst = sensitivity_max(&[1.0, 2.0], &Sensitivity::default(), &mut |_| Ok(vec![3.0, -1.0]))?;
/// assert_eq!(worst, 0.0);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn sensitivity_max(
    instance: &[f64],
    settings: &Sensitivity,
    explain: &mut dyn FnMut(&[f64]) -> Result<Vec<f64>>,
) -> Result<f64> {
    let neighbours = settings.neighbours(instance)?;
    let here = explain(instance)?;
    let mut worst = 0.0f64;
    for neighbour in &neighbours {
        worst = worst.max(relative_change(&here, &explain(neighbour)?)?);
    }
    Ok(worst)
}

/// `‖there − here‖ / ‖here‖` in the Euclidean norm.
pub(super) fn relative_change(here: &[f64], there: &[f64]) -> Result<f64> {
    finite(here)?;
    finite(there)?;
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let size = norm(&mut here.iter().copied());
    if size == 0.0 {
        return Err(Error::numeric(
            "all attributions are zero: a relative change is not defined",
            "attributions",
            "explain an output that depends on its input",
        ));
    }
    Ok(norm(&mut here.iter().zip(there).map(|(a, b)| b - a)) / size)
}
