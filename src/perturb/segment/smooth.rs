//! Gaussian smoothing ahead of a segmentation.

use rayon::prelude::*;

use super::planes::Planes;

/// Standard deviations after which the kernel is cut off, scikit-image's `truncate`.
const TRUNCATE: f64 = 4.0;

/// Smooths every channel with a Gaussian of standard deviation `sigma` pixels; 0 changes nothing.
///
/// Separable: columns first, then rows. The kernel is exp(-x²/(2 sigma²)) at whole x up to
/// 4 sigma, normalised to sum 1; beyond the border the image is mirrored, the border pixel
/// included (`scipy.ndimage.gaussian_filter`, mode `reflect`).
pub(super) fn gaussian(planes: &mut Planes, sigma: f64) {
    if sigma == 0.0 {
        return;
    }
    let kernel = half_kernel(sigma);
    let (height, width) = (planes.height, planes.width);
    for plane in &mut planes.channels {
        let mut columns = vec![0.0; plane.len()];
        columns.par_chunks_mut(width).enumerate().for_each(|(y, out)| {
            let row = |offset: isize| &plane[mirrored(y, offset, height) * width..][..width];
            out.iter_mut().zip(row(0)).for_each(|(sum, value)| *sum = value * kernel[0]);
            for (distance, weight) in pairs(&kernel) {
                let (above, below) = (row(-distance), row(distance));
                for ((sum, a), b) in out.iter_mut().zip(above).zip(below) {
                    *sum += (a + b) * weight;
                }
            }
        });
        plane.par_chunks_mut(width).zip(columns.par_chunks(width)).for_each(|(out, row)| {
            for (x, value) in out.iter_mut().enumerate() {
                let at = |offset: isize| row[mirrored(x, offset, width)];
                *value = at(0) * kernel[0];
                for (distance, weight) in pairs(&kernel) {
                    *value += (at(-distance) + at(distance)) * weight;
                }
            }
        });
    }
}

/// Weights at distance 0, 1, 2, …
fn half_kernel(sigma: f64) -> Vec<f64> {
    let radius = (TRUNCATE * sigma + 0.5) as usize;
    let weights: Vec<f64> = (0..=radius).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Distance and weight of the kernel's pairs, the far ones first, as SciPy adds them.
fn pairs(kernel: &[f64]) -> impl Iterator<Item = (isize, f64)> {
    let pairs = kernel.iter().enumerate().skip(1).rev();
    pairs.map(|(distance, &weight)| (distance as isize, weight))
}

/// The index `at + offset` in a line of `len` values, mirrored at both ends as often as needed.
fn mirrored(at: usize, offset: isize, len: usize) -> usize {
    let period = 2 * len as isize;
    let index = (at as isize + offset).rem_euclid(period) as usize;
    index.min(2 * len - 1 - index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_with_the_border_pixel_repeated() {
        let line: Vec<usize> = (-7..10).map(|index| mirrored(0, index, 3)).collect();
        assert_eq!(line, [0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2]);
    }

    /// Values of `skimage.filters.gaussian(sigma=0.9, mode="reflect")` 0.26.
    #[test]
    fn agrees_with_scikit_image() {
        let plane: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7)).collect();
        let mut planes = Planes { height: 3, width: 4, channels: [plane, vec![1.0; 12], vec![0.0; 12]] };
        gaussian(&mut planes, 0.9);
        let expected: [f64; 12] = [
            1.069465797749117,
            1.8286750990697387,
            2.2646944749506916,
            1.9191172927092586,
            1.759941729230446,
            2.2814983129078037,
            2.0475466967948663,
            1.4643167969101691,
            1.9890853297301978,
            2.555556472469685,
            2.179208669150297,
            1.6408933283277292,
        ];
        for (value, expected) in planes.channels[0].iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        }
        assert!(planes.channels[1].iter().all(|value| (value - 1.0).abs() < 1e-12));
    }
}
