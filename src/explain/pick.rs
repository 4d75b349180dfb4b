//! Which instances to look at, so that their explanations together show what the black box uses.

use ndarray::ArrayView2;

use crate::{Error, Result};

/// SP-LIME's submodular pick: rows of `values` (`[instances, features]`, attributions of one output) that greedily
/// cover the features which matter globally, at most `count` of them, the most telling first.
///
/// A feature's importance is `√Σᵢ |Wᵢⱼ|`, and a set of instances covers the features for which one of them has an
/// attribution other than zero (Ribeiro, Singh and Guestrin 2016, section 4; `lime.submodular_pick`). As in lime, five are
/// usual. Equal gains go to the first instance; picking stops when all instances are picked.
///
/// # Errors
/// [`Error::Parameter`] if there is nothing to pick, or from; [`Error::Numeric`] for a value that is not finite.
///
/// # Example
/// ```
/// use ndarray::array;
///
/// // The first instance shows feature 0, the third shows features 1 and 2.
/// let values = array![[4.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 1.0, -2.0]];
/// assert_eq!(whybox::explain::submodular_pick(values.view(), 2)?, [0, 2]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn submodular_pick(values: ArrayView2<f64>, count: usize) -> Result<Vec<usize>> {
    if count == 0 || values.is_empty() {
        return Err(Error::parameter(
            format!("{count} instances to pick from {:?} attributions", values.dim()),
            "submodular pick",
            "explain at least one instance, and pick at least one",
        ));
    }
    if let Some(((row, feature), value)) = values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::numeric(
            format!("an attribution is {value}"),
            format!("instance {row}, feature {feature}"),
            "explain that instance again",
        ));
    }
    let importance: Vec<f64> = values
        .columns()
        .into_iter()
        .map(|column| column.iter().map(|v| v.abs()).sum::<f64>().sqrt())
        .collect();
    let mut covered = vec![false; importance.len()];
    let mut picked = Vec::new();
    let mut left: Vec<usize> = (0..values.nrows()).collect();
    while picked.len() < count && !left.is_empty() {
        let gain = |row: usize| -> f64 {
            let new = values.row(row).into_iter().zip(&covered).zip(&importance);
            new.filter(|((value, covered), _)| **value != 0.0 && !**covered).map(|(_, gain)| gain).sum()
        };
        // The first of the best: `max_by` would give the last.
        let best = (0..left.len()).rev().max_by(|&a, &b| gain(left[a]).total_cmp(&gain(left[b])));
        let Some(best) = best else { break };
        let row = left.remove(best);
        values.row(row).iter().zip(&mut covered).for_each(|(value, covered)| *covered |= *value != 0.0);
        picked.push(row);
    }
    Ok(picked)
}
