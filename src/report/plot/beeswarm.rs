//! A dot an instance in each feature's row, coloured by the feature's value.

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Dot, Pen, n};
use super::frame::{self, MARGIN, Many, WIDTH};
use super::theme;

const ROW: f64 = 36.0;
pub(super) const RADIUS: f64 = 2.7;

pub(super) fn draw(many: &Many, options: &PlotOptions) -> String {
    let rows = many.rows(options.top);
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = many.title();
    let top = frame::header(&mut canvas, title.clone(), options);
    let room = frame::names_room(&rows);
    let left = MARGIN + room + 10.0;
    let right = WIDTH - MARGIN - 58.0;
    let bottom = top + ROW * rows.len() as f64;

    let count = many.outputs.len();
    let values: Vec<Vec<f64>> =
        rows.iter().map(|row| (0..count).map(|i| many.value(row, i)).collect()).collect();
    let axis = Axis::padded(values.iter().flatten().copied().chain([0.0]), 0.02, left + 4.0, right - 4.0);
    canvas.line((axis.at(0.0), top), (axis.at(0.0), bottom), theme.muted, 1.0);
    for (i, (row, values)) in rows.iter().zip(&values).enumerate() {
        let y = top + ROW * (i as f64 + 0.5);
        frame::name(&mut canvas, left - 10.0, y, row, room);
        let d = format!("M{} {}H{}", n(left), n(y), n(right));
        canvas.path(&d, theme.rule, 0.8, Some("1 3"), 1.0);
        let numbers = if row.is_other() { vec![f64::NAN; count] } else { many.numbers(row.features[0]) };
        let colours = Colours::of(&numbers);
        let x: Vec<f64> = values.iter().map(|v| axis.at(*v)).collect();
        let offsets = swarm(&x, ROW / 2.0 - RADIUS - 1.0);
        let mut dots: Vec<(bool, Dot)> = (0..count)
            .map(|k| {
                let instance = &many.document.instances[k];
                let known = !numbers[k].is_nan();
                let colour = if known { colours.at(numbers[k]) } else { theme.grey_rgb };
                let value = if row.is_other() { "" } else { instance.values[row.features[0]].as_str() };
                let which = instance.row.map_or(format!("instance {k}"), |row| format!("row {row}"));
                let note = format!("{} = {value}, {which}: {:+}", row.name, values[k]);
                (known, Dot { x: x[k], y: y + offsets[k], colour, note })
            })
            .collect();
        // Unknown values lie below the known ones.
        dots.sort_by_key(|(known, _)| *known);
        let dots: Vec<Dot> = dots.into_iter().map(|(_, dot)| dot).collect();
        canvas.dots(&dots, RADIUS, count * rows.len());
    }
    key(
        &mut canvas,
        (right + 14.0, top + 16.0, 9.0, (bottom - top - 32.0).clamp(40.0, 300.0)),
        ("High", "Low"),
        "Feature value",
    );
    let bottom = bottom.max(top + 72.0);
    canvas.height =
        axis.draw_below(&mut canvas, bottom + 4.0, &frame::effect(many.document, many.outputs[0]), None)
            + 12.0;
    canvas.finish(&format!("Beeswarm: {}. {}", title.0, title.1))
}

/// A vertical colour scale of feature values with its ends named.
pub(super) fn key(
    canvas: &mut Canvas,
    place: (f64, f64, f64, f64),
    (high, low): (&str, &str),
    caption: &str,
) {
    let (x, y, w, h) = place;
    let pen = Pen::new(11.0, canvas.theme.muted).middle();
    let fit = |text: &str| {
        let room = 2.0 * (canvas.width - 4.0 - x - w / 2.0);
        crate::report::fonts::ellipsize_middle(text, 11.0, pen.weight, room)
    };
    let (high, low) = (fit(high), fit(low));
    canvas.colour_bar(place, theme::sequential);
    canvas.text(x + w / 2.0, y - 5.0, &high, pen);
    canvas.text(x + w / 2.0, y + h + 14.0, &low, pen);
    let caption = crate::report::fonts::ellipsize_middle(caption, 11.5, pen.weight, h + 4.0);
    canvas.text_up(x + w + 16.0, y + h / 2.0, &caption, Pen::new(11.5, canvas.theme.ink));
}

/// The colour scale of one feature's numbers, from the 5th to the 95th percentile as in shap.
pub(super) struct Colours {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Colours {
    pub(super) fn of(numbers: &[f64]) -> Self {
        let mut sorted: Vec<f64> = numbers.iter().copied().filter(|x| x.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return Colours { low: 0.0, high: 0.0 };
        };
        let at = |part: f64| sorted[(part * last as f64).round() as usize];
        let (low, high) = (at(0.05), at(0.95));
        if low < high { Colours { low, high } } else { Colours { low: sorted[0], high: sorted[last] } }
    }

    pub(super) fn at(&self, number: f64) -> [u8; 3] {
        // Halves, so that the span of extremes does not overflow.
        let span = self.high / 2.0 - self.low / 2.0;
        theme::sequential(if span > 0.0 { (number / 2.0 - self.low / 2.0) / span } else { 0.5 })
    }
}

/// Offsets from the middle of the row, so that dots lie beside each other as long as `half` lets them: each takes the
/// nearest layer that is free, and the layers are squeezed if need be.
pub(super) fn swarm(x: &[f64], half: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    // The right end of each layer so far; layers go 0, 1, -1, 2, -2, …
    let mut ends: Vec<f64> = Vec::new();
    let mut layer = vec![0usize; x.len()];
    for &i in &order {
        let free = ends.iter().position(|end| *end <= x[i]);
        let at = free.unwrap_or_else(|| {
            ends.push(f64::NEG_INFINITY);
            ends.len() - 1
        });
        ends[at] = x[i] + RADIUS * 1.7;
        layer[i] = at;
    }
    let far = (ends.len() / 2).max(1) as f64;
    let step = (RADIUS * 1.7).min(half / far);
    let side = |at: usize| if at % 2 == 1 { -1.0 } else { 1.0 };
    layer.iter().map(|&at| side(at) * step * at.div_ceil(2) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_lie_apart_and_stay_in_their_row() {
        let x: Vec<f64> = (0..40).map(|i| f64::from(i % 7) * 3.0).collect();
        let y = swarm(&x, 1000.0);
        for a in 0..x.len() {
            for b in 0..a {
                let apart = (x[a] - x[b]).hypot(y[a] - y[b]);
                assert!(apart > RADIUS, "dots {a} and {b} lie {apart} apart");
            }
        }
        assert!(swarm(&[5.0; 1000], 15.0).iter().all(|y| y.abs() <= 15.0));
        assert!(swarm(&[], 15.0).is_empty());
    }
}
