//! How few players carry an explanation.

use super::finite;
use crate::{Error, Result};

/// The Gini index of the absolute attributions, 0 (all equal) to 1 − 1/n (one player alone):
/// `Σ (2i − n − 1) a₍ᵢ₎ / (n Σ a)` with `a` ascending (Chalasani et al. 2020; as in quantus).
///
/// # Errors
/// [`Error::Numeric`] if an attribution is not finite, or all are zero.
///
/// # Example
/// ```
/// assert_eq!(whybox::evaluate::sparseness(&[0.0, 0.0, -3.0, 0.0])?, 0.75);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn sparseness(values: &[f64]) -> Result<f64> {
    let mut sizes = magnitudes(values)?;
    sizes.sort_by(f64::total_cmp);
    let n = sizes.len() as f64;
    let weighted = sizes.iter().zip(1..).map(|(size, i)| (f64::from(2 * i) - n - 1.0) * size);
    Ok(weighted.sum::<f64>() / (n * sizes.iter().sum::<f64>()))
}

/// The entropy of the shares of the absolute attributions, 0 (one player alone) to ln n (all equal):
/// `−Σ p ln p` with `p = |a| / Σ|a|` (Bhatt et al. 2020; as in quantus).
///
/// # Errors
/// As [`sparseness`].
///
/// # Example
/// ```
/// assert!((whybox::evaluate::complexity(&[2.0, -2.0])? - 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn complexity(values: &[f64]) -> Result<f64> {
    let sizes = magnitudes(values)?;
    let total: f64 = sizes.iter().sum();
    let shares = sizes.iter().map(|size| size / total).filter(|&share| share > 0.0);
    Ok(-shares.map(|share| share * share.ln()).sum::<f64>())
}

fn magnitudes(values: &[f64]) -> Result<Vec<f64>> {
    finite(values)?;
    let sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    if sizes.iter().all(|&size| size == 0.0) {
        return Err(Error::numeric(
            "all attributions are zero: none of them carries the explanation",
            "attributions",
            "explain an output that depends on its input",
        ));
    }
    Ok(sizes)
}
