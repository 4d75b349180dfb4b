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
        return Err(no_mass());
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

/// Where the object is, as the share of each player (segment) that lies inside it: what a comparison judges places by. A player's
/// attribution is taken to be spread evenly over its pixels.
///
/// # Example
/// ```
/// use whybox::evaluate::{Object, relevance_mass};
///
/// // Two segments of two pixels; the object covers the first and half of the second.
/// let object = Object::of(&[0, 0, 1, 1], 2, &[true, true, true, false])?;
/// assert_eq!(object.inside, [1.0, 0.5]);
/// assert_eq!((object.pointing(&[0.4, 0.6])?, object.mass(&[0.4, 0.6])?), (1.0, 0.7));
/// assert!((relevance_mass(&[0.2, 0.2, 0.3, 0.3], &[true, true, true, false])? - 0.7).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `[players]`, 0 to 1.
    pub inside: Vec<f64>,
}

impl Object {
    /// From the player of each pixel (pixels of no player have larger numbers) and whether it is the object's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the lengths differ, or no pixel of a player is the object's.
    pub fn of(labels: &[u32], players: usize, object: &[bool]) -> Result<Self> {
        let mut counts = vec![(0u64, 0u64); players];
        for (&label, &inside) in labels.iter().zip(object) {
            if let Some((all, within)) = counts.get_mut(label as usize) {
                *all += 1;
                *within += u64::from(inside);
            }
        }
        if labels.len() != object.len() || counts.iter().all(|&(_, within)| within == 0) {
            return Err(Error::parameter(
                format!("{} pixels for a mask of {} pixels", labels.len(), object.len()),
                "ground truth",
                "give a mask of the same size that marks at least one pixel within the explained part",
            ));
        }
        let share = |(all, within): (u64, u64)| within as f64 / all.max(1) as f64;
        Ok(Object { inside: counts.into_iter().map(share).collect() })
    }

    /// 1 if at least half of the player with the highest attribution lies inside, else 0 (Zhang et al. 2016).
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is not one attribution for each player; [`Error::Numeric`] for one that is not finite.
    pub fn pointing(&self, values: &[f64]) -> Result<f64> {
        super::check(values, self.inside.len())?;
        let highest = (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b]));
        // There is at least one player: its values were checked.
        Ok(f64::from(u8::from(highest.is_some_and(|player| self.inside[player] >= 0.5))))
    }

    /// Share of the positive attribution that lies inside (Arras et al. 2022): [`relevance_mass`] of the pixels.
    ///
    /// # Errors
    /// As [`Object::pointing`]; [`Error::Numeric`] if no attribution is positive.
    pub fn mass(&self, values: &[f64]) -> Result<f64> {
        super::check(values, self.inside.len())?;
        let all: f64 = values.iter().map(|value| value.max(0.0)).sum();
        if all == 0.0 {
            return Err(no_mass());
        }
        let within = values.iter().zip(&self.inside).map(|(value, inside)| value.max(0.0) * inside);
        Ok(within.sum::<f64>() / all)
    }
}

fn no_mass() -> Error {
    Error::numeric(
        "no attribution is positive: there is no mass to place",
        "attributions",
        "explain a class that the network favours",
    )
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
