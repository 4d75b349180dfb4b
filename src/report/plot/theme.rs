//! The colours of plots, light and dark.
//!
//! Red is for (positive, high) and blue against (negative, low), as readers of shap's plots expect. The two ends have the same
//! OKLab lightness, and both scales are linear in OKLab or OKLCh: equal steps of value look equal. Red and blue lie on
//! the axis that protanopia, deuteranopia and tritanopia all keep, which a test simulates.

use palette::{FromColor, IntoColor, Oklab, Oklch, Srgb};

use super::ThemeName;

/// OKLab lightness of both ends, and their chroma and hue (degrees), just inside sRGB.
const LIGHTNESS: f32 = 0.63;
const NEGATIVE: (f32, f32) = (0.17, 252.0);
const POSITIVE: (f32, f32) = (0.225, 15.0);

/// The colours of one theme.
pub(in crate::report) struct Theme {
    /// The ground, opaque.
    pub(in crate::report) paper: &'static str,
    /// Text, and lines that matter.
    pub(in crate::report) ink: &'static str,
    /// Text of second rank.
    pub(in crate::report) muted: &'static str,
    /// Grid lines and axes.
    pub(in crate::report) rule: &'static str,
    /// Marks without a sign, and unknown values.
    pub(in crate::report) grey: &'static str,
    /// The same for dots.
    pub(in crate::report) grey_rgb: [u8; 3],
    /// The middle of the diverging scale.
    neutral: [u8; 3],
}

static LIGHT: Theme = Theme {
    paper: "#ffffff",
    ink: "#1c2128",
    muted: "#5d6875",
    rule: "#d9dfe5",
    grey: "#8996a5",
    grey_rgb: [137, 150, 165],
    neutral: [255, 255, 255],
};

static DARK: Theme = Theme {
    paper: "#14181d",
    ink: "#e8ecf0",
    muted: "#9ba7b4",
    rule: "#323a43",
    grey: "#718091",
    grey_rgb: [113, 128, 145],
    neutral: [30, 36, 43],
};

/// The style sheet of the page around the picture decides.
static PAGE: Theme = Theme {
    paper: "var(--paper)",
    ink: "var(--ink)",
    muted: "var(--muted)",
    rule: "var(--rule)",
    grey: "var(--bar)",
    grey_rgb: [137, 150, 165],
    neutral: [255, 255, 255],
};

impl Theme {
    /// The ground as red, green and blue; white for a page's, which decides by itself.
    pub(in crate::report) fn paper_rgb(&self) -> [u8; 3] {
        let digits = self.paper.strip_prefix('#').and_then(|hex| u32::from_str_radix(hex, 16).ok());
        digits.map_or([255; 3], |rgb| [(rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8])
    }

    /// Warnings, legible on the ground.
    pub(in crate::report) fn warning(&self) -> &'static str {
        if self.paper_rgb()[0] < 128 { "#f4d58a" } else { "#8a5a00" }
    }
}

impl ThemeName {
    pub(in crate::report) fn theme(self) -> &'static Theme {
        match self {
            ThemeName::Light => &LIGHT,
            ThemeName::Dark => &DARK,
            ThemeName::Page => &PAGE,
        }
    }
}

/// The colour of a sign at full strength.
pub(in crate::report) fn end(positive: bool) -> [u8; 3] {
    let (chroma, hue) = if positive { POSITIVE } else { NEGATIVE };
    bytes(Srgb::from_color(Oklch::new(LIGHTNESS, chroma, hue)))
}

/// The colour of a sign as `#rrggbb`.
pub(in crate::report) fn sign(value: f64) -> String {
    hex(end(value >= 0.0))
}

/// Lightness, chroma and hue of feature values from low to high. They darken on the way: without, red-blind and green-blind
/// readers could not tell blue from purple.
const LOW: [f32; 3] = [0.72, 0.13, 252.0];
const HIGH: [f32; 3] = [0.54, 0.21, 375.0];

/// Low (0) to high (1), light blue over purple to dark red.
pub(in crate::report) fn sequential(t: f64) -> [u8; 3] {
    let t = t.clamp(0.0, 1.0) as f32;
    let [lightness, chroma, hue] = [0, 1, 2].map(|i| LOW[i] + (HIGH[i] - LOW[i]) * t);
    bytes(Srgb::from_color(Oklch::new(lightness, chroma, hue)))
}

impl Theme {
    /// `t` = value / largest |value|, clamped to -1..=1: blue, the ground, red.
    pub(in crate::report) fn diverging(&self, t: f64) -> [u8; 3] {
        let t = if t.is_nan() { 0.0 } else { t.clamp(-1.0, 1.0) };
        let lab = |[r, g, b]: [u8; 3]| -> Oklab { Srgb::new(r, g, b).into_format::<f32>().into_color() };
        let (from, to) = (lab(self.neutral), lab(end(t > 0.0)));
        let mix = |a: f32, b: f32| a + (b - a) * t.abs() as f32;
        bytes(Srgb::from_color(Oklab::new(mix(from.l, to.l), mix(from.a, to.a), mix(from.b, to.b))))
    }
}

/// Black or white text, whichever reads better on a colour (the larger contrast ratio of WCAG 2).
pub(in crate::report) fn text_on([r, g, b]: [u8; 3]) -> &'static str {
    let lin = Srgb::new(r, g, b).into_format::<f32>().into_linear();
    let luminance = 0.2126 * lin.red + 0.7152 * lin.green + 0.0722 * lin.blue;
    // White on a coloured bar is what readers know, so it wins where both read well.
    if luminance > 0.3 { "#14181d" } else { "#ffffff" }
}

pub(in crate::report) fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn bytes(colour: Srgb) -> [u8; 3] {
    colour.into_format::<u8>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab([r, g, b]: [u8; 3]) -> [f32; 3] {
        let lab: Oklab = Srgb::new(r, g, b).into_format::<f32>().into_color();
        [lab.l, lab.a, lab.b]
    }

    fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    }

    /// Full protanopia, deuteranopia and tritanopia in linear sRGB (Machado, Oliveira and Fernandes, 2009).
    const BLINDNESS: [[[f32; 3]; 3]; 3] = [
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];

    fn seen(colour: [u8; 3], matrix: &[[f32; 3]; 3]) -> [f32; 3] {
        let [r, g, b] = colour;
        let lin = Srgb::new(r, g, b).into_format::<f32>().into_linear();
        let lin = [lin.red, lin.green, lin.blue];
        let [r, g, b] =
            matrix.map(|row| row.iter().zip(lin).map(|(m, c)| m * c).sum::<f32>().clamp(0.0, 1.0));
        lab(bytes(Srgb::from_linear(palette::LinSrgb::new(r, g, b))))
    }

    #[test]
    fn both_ends_weigh_the_same() {
        assert!((lab(end(true))[0] - lab(end(false))[0]).abs() < 0.01);
    }

    #[test]
    fn equal_steps_look_equal() {
        for name in [ThemeName::Light, ThemeName::Dark] {
            for range in [-10..0, 0..10] {
                let at = |i: i32| lab(name.theme().diverging(f64::from(i) / 10.0));
                let steps: Vec<f32> = range.map(|i| distance(at(i), at(i + 1))).collect();
                let (min, max) = steps.iter().fold((f32::MAX, 0f32), |(l, h), &s| (l.min(s), h.max(s)));
                assert!(max / min < 1.25, "{steps:?}");
            }
        }
        let at = |i: i32| lab(sequential(f64::from(i) / 10.0));
        let steps: Vec<f32> = (0..10).map(|i| distance(at(i), at(i + 1))).collect();
        let (min, max) = steps.iter().fold((f32::MAX, 0f32), |(l, h), &s| (l.min(s), h.max(s)));
        assert!(max / min < 1.5, "{steps:?}");
    }

    #[test]
    fn colour_blind_readers_tell_the_signs_apart() {
        for matrix in &BLINDNESS {
            assert!(distance(seen(end(true), matrix), seen(end(false), matrix)) > 0.15, "{matrix:?}");
            // Along the scale from low to high, each colour is farther from the first than the one before.
            let first = seen(sequential(0.0), matrix);
            let way: Vec<f32> =
                (0..=5).map(|i| distance(first, seen(sequential(f64::from(i) / 5.0), matrix))).collect();
            assert!(way.windows(2).all(|w| w[1] > w[0]), "{way:?}");
        }
    }

    #[test]
    fn text_on_every_colour_reads() {
        let luminance = |[r, g, b]: [u8; 3]| {
            let lin = Srgb::new(r, g, b).into_format::<f32>().into_linear();
            0.2126 * lin.red + 0.7152 * lin.green + 0.0722 * lin.blue
        };
        for name in [ThemeName::Light, ThemeName::Dark] {
            for i in -20..=20 {
                let ground = name.theme().diverging(f64::from(i) / 20.0);
                let text = if text_on(ground) == "#ffffff" { 1.0 } else { luminance([0x14, 0x18, 0x1d]) };
                let (a, b) = (luminance(ground) + 0.05, text + 0.05);
                assert!((a / b).max(b / a) > 3.0, "{i}: {ground:?}");
            }
        }
    }
}
