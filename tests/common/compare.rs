//! The comparison of all tests that have numbers to expect.

/// The furthest that a found number is from the expected one, or what is wrong: another count, or a number further off than
/// `allowed` says for what was expected. A NaN is infinitely far, equal infinities are not apart.
pub fn within<E: Copy + Into<f64>>(
    expected: &[E],
    found: &[f32],
    allowed: impl Fn(f64) -> f64,
) -> Result<f64, String> {
    if expected.len() != found.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let mut furthest = 0.0_f64;
    for (at, (&expected, &found)) in expected.iter().zip(found).enumerate() {
        let (expected, found): (f64, f64) = (expected.into(), found.into());
        let distance = (expected - found).abs();
        if expected == found {
            continue;
        }
        // A NaN, found or allowed, is not close.
        let limit = allowed(expected);
        let close = distance <= limit;
        if !close {
            return Err(format!("element {at}: {found} instead of {expected} (± {limit:.1e})"));
        }
        furthest = furthest.max(distance);
    }
    Ok(furthest)
}

/// The largest absolute value.
pub fn largest<E: Copy + Into<f64>>(values: &[E]) -> f64 {
    values.iter().fold(0.0, |largest, &x| largest.max(x.into().abs()))
}

/// [`within`] `tolerance` of the largest expected number; the furthest, in units of that.
pub fn relative(expected: &[f32], found: &[f32], tolerance: f32) -> Result<f32, String> {
    let largest = largest(expected);
    let furthest = within(expected, found, |_| f64::from(tolerance) * largest)?;
    Ok((furthest / largest.max(f64::MIN_POSITIVE)) as f32)
}

/// That answers `[rows, outputs]` which are a thousandth off, another sample's, no numbers or too few do not pass `compare`.
pub fn wrong_answers_fail(
    expected: &[f32],
    outputs: usize,
    compare: impl Fn(&[f32]) -> Result<f32, String>,
) -> Result<(), String> {
    let off: Vec<f32> = expected.iter().map(|x| x * 1.001).collect();
    let mut swapped = expected.to_vec();
    swapped.rotate_left(outputs);
    let mut not_a_number = expected.to_vec();
    not_a_number[expected.len() / 2] = f32::NAN;
    let wrong = [("off", &off[..]), ("swapped", &swapped), ("NaN", &not_a_number), ("short", &expected[1..])];
    match wrong.iter().find(|(_, wrong)| compare(wrong).is_ok()) {
        Some((what, _)) => Err(format!("answers that are {what} pass")),
        None => Ok(()),
    }
}
