//! How far attributions are from those of another precision.

/// The relative L2 distance of attributions from a reference, `‖found − reference‖ / ‖reference‖`, both `[players]`: 0 where they
/// are the same, infinite where only the reference is 0 throughout.
///
/// # Example
/// ```
/// use whybox::explain::relative_distance;
///
/// assert_eq!(relative_distance(&[3.0, 4.5], &[3.0, 4.0]), 0.1);
/// assert_eq!(relative_distance(&[0.0], &[0.0]), 0.0);
/// ```
pub fn relative_distance(found: &[f64], reference: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut found.iter().zip(reference).map(|(a, b)| a - b));
    if distance == 0.0 { 0.0 } else { distance / norm(&mut reference.iter().copied()) }
}
