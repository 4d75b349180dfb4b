//! From sRGB to CIE L\*a\*b\*, the space in which colours are compared.

use rayon::prelude::*;

use super::planes::Planes;

/// Linear sRGB to XYZ, in the rounding that scikit-image uses (six digits, ITU-R BT.709 primaries).
const XYZ_FROM_RGB: [[f64; 3]; 3] =
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]];

/// XYZ of the white point D65 for the 2° observer.
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];

/// Replaces sRGB (0 to 1) by L\* (0 to 100), a\* and b\*.
///
/// Transfer function of IEC 61966-2-1, then CIE 1976 L\*a\*b\* with its constants in the rounded
/// form 0.008856, 7.787, as in scikit-image's `rgb2lab`, with which it agrees to about 1e-13.
pub(super) fn from_srgb(planes: &mut Planes) {
    let [red, green, blue] = &mut planes.channels;
    (red, green, blue).into_par_iter().for_each(|(red, green, blue)| {
        let linear = [*red, *green, *blue].map(linear);
        let [x, y, z] = std::array::from_fn(|i| {
            let row = XYZ_FROM_RGB[i];
            compress((row[0] * linear[0] + row[1] * linear[1] + row[2] * linear[2]) / WHITE[i])
        });
        *red = 116.0 * y - 16.0;
        *green = 500.0 * (x - y);
        *blue = 200.0 * (y - z);
    });
}

/// Undoes the sRGB transfer function.
fn linear(value: f64) -> f64 {
    if value > 0.04045 { ((value + 0.055) / 1.055).powf(2.4) } else { value / 12.92 }
}

/// The cube root of CIE 1976, linear near 0.
fn compress(value: f64) -> f64 {
    if value > 0.008856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `skimage.color.rgb2lab` 0.26.
    #[test]
    fn agrees_with_scikit_image() {
        let cases: [([f64; 3], [f64; 3]); 4] = [
            ([1.0, 1.0, 1.0], [100.0, -0.0024549378620508655, 0.004653421154054982]),
            ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            ([0.02, 0.5, 0.9], [52.974617217566646, 9.337993905697173, -59.55399192810178]),
            ([0.75, 0.25, 0.01], [45.29894713748453, 49.08596635191847, 55.796811554371594]),
        ];
        for (rgb, lab) in cases {
            let mut planes = Planes { height: 1, width: 1, channels: rgb.map(|value| vec![value]) };
            from_srgb(&mut planes);
            for (channel, expected) in planes.channels.iter().zip(lab) {
                assert!((channel[0] - expected).abs() < 1e-11, "{rgb:?}: {channel:?}, {expected}");
            }
        }
    }
}
