//! Maps values onto a stretch of the picture, and finds round numbers along it.

use super::canvas::{Canvas, Pen};
use crate::report::number::Rounding;

/// A linear scale from values to points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// Round numbers along an axis, their labels, and what to say of all of them (`× 10⁻¹²`).
pub(super) struct Ticks {
    pub(super) at: Vec<f64>,
    pub(super) labels: Vec<String>,
    pub(super) note: String,
}

impl Axis {
    /// The axis that holds all finite `values`, from `from` to `to` (points, either direction).
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
        let size = low.abs().max(high.abs());
        // Values that do not differ in what a float can hold still need a stretch.
        let (low, high) = if high - low > size * 1e-12 {
            (low, high)
        } else {
            let half = if size > 0.0 { size * 0.5 } else { 0.5 };
            (low - half, high + half)
        };
        Axis { low, high, from, to }
    }

    /// As [`Axis::over`], with room of `part` of the span at both ends.
    pub(super) fn padded(values: impl IntoIterator<Item = f64>, part: f64, from: f64, to: f64) -> Self {
        let mut axis = Axis::over(values, from, to);
        let pad = (axis.high - axis.low) * part;
        (axis.low, axis.high) = (axis.low - pad, axis.high + pad);
        axis
    }

    /// The same scale, drawn from `from` to `to`: it reaches farther, values stay where they were.
    pub(super) fn reaching(self, from: f64, to: f64) -> Self {
        let per_point = (self.high - self.low) / (self.to - self.from);
        Axis {
            low: self.low - (self.from - from) * per_point,
            high: self.high + (to - self.to) * per_point,
            from,
            to,
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// At most about `most` round numbers within the axis.
    pub(super) fn ticks(&self, most: usize) -> Ticks {
        let span = self.high - self.low;
        let raw = span / most.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let first = (self.low / step - 1e-9).ceil() * step;
        let count = ((self.high - first) / step + 1e-9).floor().max(0.0).min(most as f64 + 2.0) as usize + 1;
        let at: Vec<f64> = (0..count).map(|i| snap(first + step * i as f64, step)).collect();
        let (labels, note) = labels(&at, first, step);
        Ticks { at, labels, note }
    }

    /// As many ticks as fit beside each other along a horizontal axis.
    fn fitting(&self, pen: Pen) -> Ticks {
        let room = (self.to - self.from).abs();
        for most in (2..=8).rev() {
            let ticks = self.ticks(most);
            let widest = ticks.labels.iter().map(|l| pen.width(l)).fold(0.0, f64::max);
            let gap = ticks.at.windows(2).map(|w| (self.at(w[1]) - self.at(w[0])).abs()).fold(room, f64::min);
            if widest + 12.0 <= gap {
                return ticks;
            }
        }
        // One label always fits.
        let mut ticks = self.ticks(2);
        ticks.at.truncate(1);
        ticks.labels.truncate(1);
        ticks
    }

    /// Draws the axis along `y` with its caption below, and grid lines from `grid_from` if given. Gives where it ends.
    pub(super) fn draw_below(
        &self,
        canvas: &mut Canvas,
        y: f64,
        caption: &str,
        grid_from: Option<f64>,
    ) -> f64 {
        let theme = canvas.theme;
        let pen = Pen::new(11.0, theme.muted).middle();
        let ticks = self.fitting(pen);
        for (value, label) in ticks.at.iter().zip(&ticks.labels) {
            let x = self.at(*value);
            if let Some(top) = grid_from {
                canvas.line((x, top), (x, y), theme.rule, 0.6);
            }
            canvas.line((x, y), (x, y + 4.0), theme.muted, 1.0);
            canvas.text(x, y + 16.0, label, pen);
        }
        canvas.line((self.from, y), (self.to, y), theme.muted, 1.0);
        let caption = format!("{caption}{}", ticks.note);
        let room = (canvas.width - 24.0).min(
            2.0 * ((self.from + self.to) / 2.0 - 12.0).min(canvas.width - 12.0 - (self.from + self.to) / 2.0),
        );
        let caption = crate::report::fonts::ellipsize_middle(&caption, 12.0, pen.weight, room);
        canvas.text((self.from + self.to) / 2.0, y + 35.0, &caption, Pen::new(12.0, theme.ink).middle());
        y + 42.0
    }

    /// Draws the axis along `x` with labels at its left and the caption reading upwards beyond them.
    pub(super) fn draw_left(&self, canvas: &mut Canvas, x: f64, caption: &str, grid_to: f64, left: f64) {
        let theme = canvas.theme;
        let pen = Pen::new(11.0, theme.muted).end();
        let ticks = self.ticks(8);
        for (value, label) in ticks.at.iter().zip(&ticks.labels) {
            let y = self.at(*value);
            canvas.line((x, y), (grid_to, y), theme.rule, 0.6);
            canvas.text(x - 7.0, y + 4.0, label, pen);
        }
        canvas.line((x, self.from), (x, self.to), theme.muted, 1.0);
        let caption = format!("{caption}{}", ticks.note);
        let room = (self.from - self.to).abs() + 20.0;
        let caption = crate::report::fonts::ellipsize_middle(&caption, 12.0, pen.weight, room);
        canvas.text_up(left, (self.from + self.to) / 2.0, &caption, Pen::new(12.0, theme.ink));
    }

    /// The widest label that [`Axis::draw_left`] will draw.
    pub(super) fn left_room(&self) -> f64 {
        let pen = Pen::new(11.0, "");
        self.ticks(8).labels.iter().map(|l| pen.width(l)).fold(0.0, f64::max) + 7.0
    }
}

/// Nothing but rounding errors is zero.
fn snap(value: f64, step: f64) -> f64 {
    if value.abs() < step * 1e-6 { 0.0 } else { value }
}

/// Labels with as many decimals as the step needs. Numbers far from 1 share a power of ten, and numbers that differ late
/// in their digits are told as differences from the first; the note says so.
fn labels(at: &[f64], first: f64, step: f64) -> (Vec<String>, String) {
    let largest = at.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let (offset, mut note) = if largest > step * 1e5 {
        (first, format!(" {} {}", if first < 0.0 { "−" } else { "+" }, whole(first.abs())))
    } else {
        (0.0, String::new())
    };
    let shown: Vec<f64> =
        at.iter().enumerate().map(|(i, v)| if offset == 0.0 { *v } else { step * i as f64 }).collect();
    let largest = shown.iter().fold(step, |m: f64, v| m.max(v.abs()));
    let exponent = (largest.log10() + 1e-9).floor() as i32;
    let shared = if (-4..=5).contains(&exponent) { 0 } else { exponent };
    if shared != 0 {
        note = format!(" (× 10{}{note})", superscript(shared));
    } else if !note.is_empty() {
        note = format!(" ({})", note.trim_start());
    }
    let decimals = (shared - (step.log10() + 1e-9).floor() as i32).clamp(0, 12) as usize;
    let factor = 10f64.powi(-shared);
    let label = |v: &f64| {
        let text = Rounding::Decimals(decimals).plain(v * factor);
        if decimals == 0 { grouped(&text) } else { text }
    };
    (
        shown.iter().map(label).collect(),
        if note.is_empty() { note } else { format!(" {}", note.trim_start()) },
    )
}

/// Up to 15 significant digits.
fn whole(x: f64) -> String {
    if (1e-3..1e15).contains(&x) {
        let text = format!("{x:.6}");
        grouped(text.trim_end_matches('0').trim_end_matches('.'))
    } else {
        let text = format!("{x:.14e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let power = power.parse().unwrap_or(0);
        format!("{} × 10{}", digits.trim_end_matches('0').trim_end_matches('.'), superscript(power))
    }
}

/// Thousands separated, decimals left alone.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('−').map_or(("", text), |rest| ("−", rest));
    let (digits, rest) = digits.find('.').map_or((digits, ""), |at| digits.split_at(at));
    match digits.parse() {
        Ok(number) if digits.len() > 4 => format!("{sign}{}{rest}", crate::report::number::count(number)),
        _ => text.to_owned(),
    }
}

fn superscript(power: i32) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        // Digits only, so the index is within the list.
        c => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][c.to_digit(10).unwrap_or(0) as usize],
    };
    power.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(low: f64, high: f64) -> (Vec<String>, String) {
        let ticks = Axis::over([low, high], 0.0, 500.0).ticks(5);
        (ticks.labels, ticks.note)
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 1.0).0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks(-0.13, 0.21).0, ["−0.1", "0.0", "0.1", "0.2"]);
        assert_eq!(ticks(-3.0, 98_765.0).0, ["0", "20,000", "40,000", "60,000", "80,000"]);
        assert_eq!(
            ticks(0.0, 3e-12),
            (vec!["0".into(), "1".into(), "2".into(), "3".into()], " (× 10⁻¹²)".into())
        );
        assert_eq!(ticks(-1e12, 1e12).1, " (× 10¹²)");
        let (labels, note) = ticks(1e12, 1e12 + 4.0);
        assert_eq!(
            (labels[0].as_str(), labels[1].as_str(), note.as_str()),
            ("0", "1", " (+ 1,000,000,000,000)")
        );
    }

    #[test]
    fn any_values_make_an_axis() {
        let cases = [
            vec![],
            vec![0.0],
            vec![0.5, 0.5],
            vec![1e300, -1e300],
            vec![1e-300],
            vec![f64::NAN, 1.0],
            vec![1e12, 1e12],
        ];
        for values in cases {
            let axis = Axis::padded(values.clone(), 0.05, 10.0, 20.0);
            let ticks = axis.ticks(6);
            assert!(!ticks.at.is_empty() && ticks.at.len() < 10, "{values:?}: {:?}", ticks.at);
            for value in values.iter().chain(&ticks.at) {
                let x = axis.at(*value);
                assert!(value.is_nan() || (10.0..=20.0).contains(&x), "{value} at {x}");
            }
        }
    }
}
