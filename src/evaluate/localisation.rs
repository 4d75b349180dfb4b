//! Does an explanation point at the object, where its place is known?

use super::finite;
use crate::{Error, Result};

/// Whether the highest attribution lies inside the object (Zhang et al. 2016). `values` are attributions of pixels,
/// `inside` says which pixels are the object's, in the same order; of equal highest values the first counts.
///
/// # Errors
/// [`Error::Parameter`] if the lengths differ, or the object is empty; [`Error::Numeric`] for a value that is not finite.
///
/// # Example
/// ```
/// use whybox::evaluate::{pointing_game, relevance_mass, relevance_rank};
///
/// let (values, object) = ([0.1, 0.7, 0.2, -0.4], [false, true, true, false]);
/// assert!(pointing_game(&values, &object)?);
/// assert!((relevance_mass(&values, &object)? - 0.9).abs() < 1e-12);
/// assert_eq!(relevance_rank(&values, &object)?, 1.0);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn pointing_game(values: &[f64], inside: &[bool]) -> Result<bool> {
    Ok(inside[ranked(values, inside)?[0]])
}

/// Share of the positive attribution that lies inside the object, 0 to 1 (Arras et al. 2022, relevance mass accuracy).
///
/// # Errors
/// As [`pointing_game`]; [`Error::Numeric`] if no attribution is positive.
pub fn relevance_mass(values: &[f64], inside: &[bool]) -> Result<f64> {
    ranked(values, inside)?;
    let positive = |value: &f64| value.max(0.0);
    let all: f64 = values.iter().map(positive).sum();
    if all == 0.0 {
        return Err(Error::numeric(
            "no attribution is positive: there is no mass to place",
            "attributions",
            "explain a class that the network favours",
        ));
    }
    let object = values.iter().zip(inside).filter(|(_, inside)| **inside).map(|(value, _)| positive(value));
    Ok(object.sum::<f64>() / all)
}

/// Share of the object among the K highest attributions, K being the object's size (Arras et al. 2022, relevance rank
/// accuracy).
///
/// # Errors
/// As [`pointing_game`].
pub fn relevance_rank(values: &[f64], inside: &[bool]) -> Result<f64> {
    let order = ranked(values, inside)?;
    let size = inside.iter().filter(|inside| **inside).count();
    Ok(order[..size].iter().filter(|&&at| inside[at]).count() as f64 / size as f64)
}

/// Places by falling attribution, after the checks.
fn ranked(values: &[f64], inside: &[bool]) -> Result<Vec<usize>> {
    if values.len() != inside.len() || !inside.contains(&true) {
        return Err(Error::parameter(
            format!("{} attributions for a mask of {} elements", values.len(), inside.len()),
            "ground truth",
            "give a mask of the same size that marks at least one element",
        ));
    }
    finite(values)?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    Ok(order)
}
