//! The colours of a report, and the diverging scale of its saliency maps.
//!
//! The scale is one hue for each sign, blue against and orange for, which all common kinds of colour
//! blindness tell apart. Both hues have the same OKLab lightness and their opacity grows linearly
//! with |weight|: equal steps of weight look equal, and the photo shows through where nothing matters.

use std::sync::OnceLock;

use palette::{FromColor, Oklch, Srgb};

/// Lines on a photo.
pub(super) const INK: &str = "#1c2128";

/// OKLab lightness of both ends of the scale.
const LIGHTNESS: f32 = 0.585;
/// OKLCh chroma and hue (degrees) of the two ends, just inside sRGB.
const NEGATIVE: (f32, f32) = (0.165, 256.0);
const POSITIVE: (f32, f32) = (0.165, 47.0);
/// The opacity of the largest |weight|: the photo's edges must stay visible below it.
const OPACITY: f64 = 0.86;

/// The colour of a negative or a positive weight at full strength.
pub(super) fn end(positive: bool) -> [u8; 3] {
    static ENDS: OnceLock<[[u8; 3]; 2]> = OnceLock::new();
    let ends = ENDS.get_or_init(|| {
        [NEGATIVE, POSITIVE].map(|(chroma, hue)| {
            let colour = Srgb::from_color(Oklch::new(LIGHTNESS, chroma, hue));
            colour.into_format::<u8>().into()
        })
    });
    ends[usize::from(positive)]
}

/// Red, green, blue and opacity, 0..=255, of `t` = weight / largest |weight|, clamped to -1..=1.
pub(super) fn diverging(t: f64) -> [u8; 4] {
    let [r, g, b] = end(t > 0.0);
    [r, g, b, (opacity(t) * 255.0).round() as u8]
}

/// The hue of an amount without a sign, as lightness, chroma and degrees.
const AMOUNT: [f32; 3] = [0.45, 0.19, 305.0];

/// The colour of an amount at full strength.
pub(super) fn amount_end() -> [u8; 3] {
    let [lightness, chroma, hue] = AMOUNT;
    let colour = Srgb::from_color(Oklch::new(lightness, chroma, hue));
    colour.into_format::<u8>().into()
}

/// Red, green, blue and opacity, 0..=255, of `t` = amount / largest amount.
pub(super) fn amount(t: f64) -> [u8; 4] {
    let [r, g, b] = amount_end();
    [r, g, b, (opacity(t) * 255.0).round() as u8]
}

/// The opacity, 0..=1, of `t` = weight / largest |weight|.
pub(super) fn opacity(t: f64) -> f64 {
    if t.is_nan() { 0.0 } else { t.abs().min(1.0) * OPACITY }
}

/// `#rrggbb`.
pub(super) fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use palette::{IntoColor, Oklab};

    use super::*;

    /// The OKLab colour of `t` over white paper.
    fn on_white(t: f64) -> Oklab {
        let [r, g, b] = end(t > 0.0);
        let a = opacity(t);
        let over = |c: u8| (f64::from(c) / 255.0 * a + 1.0 - a) as f32;
        Srgb::new(over(r), over(g), over(b)).into_color()
    }

    fn distance(a: Oklab, b: Oklab) -> f32 {
        ((a.l - b.l).powi(2) + (a.a - b.a).powi(2) + (a.b - b.b).powi(2)).sqrt()
    }

    #[test]
    fn nothing_is_transparent_and_the_sign_is_the_hue() {
        assert_eq!(diverging(0.0)[3], 0);
        assert_eq!(diverging(f64::NAN)[3], 0);
        let ([r, _, b, _], [r2, _, b2, _]) = (diverging(1.0), diverging(-1.0));
        assert!(r > b && b2 > r2);
        assert_eq!(diverging(3.0), diverging(1.0));
    }

    #[test]
    fn equal_steps_look_equal() {
        for sign in [-1.0, 1.0] {
            let steps: Vec<f32> = (0..10)
                .map(|i| {
                    let (a, b) = (f64::from(i) / 10.0, f64::from(i + 1) / 10.0);
                    distance(on_white(sign * a), on_white(sign * b))
                })
                .collect();
            let (min, max) = steps.iter().fold((f32::MAX, 0f32), |(l, h), &s| (l.min(s), h.max(s)));
            assert!(max / min < 1.35, "steps {steps:?}");
        }
    }

    #[test]
    fn both_signs_weigh_the_same() {
        for i in 0..=10 {
            let t = f64::from(i) / 10.0;
            let (l, h) = (on_white(-t).l, on_white(t).l);
            assert!((l - h).abs() < 0.03, "lightness {l} and {h} at ±{t}");
        }
    }
}
