//! What pushes the output up against what pushes it down, on one line.

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Pen};
use super::frame::{self, MARGIN, One, Row};
use super::theme;
use crate::report::number::Rounding;

const WIDTH: f64 = 980.0;
/// Room for names beyond both ends of the bar.
const SIDE: f64 = 210.0;
const HIGH: f64 = 26.0;
const LINE: f64 = 19.0;
/// Narrower parts have no name.
const NARROW: f64 = 5.0;

pub(super) fn draw(one: &One, options: &PlotOptions) -> String {
    let rows = one.rows(options.top);
    let output = one.output;
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = one.title();
    let top = frame::header(&mut canvas, title.clone(), options);

    // The strongest part of each side touches the sum; others follow outwards.
    let parts = |positive: bool| -> Vec<(&Row, f64)> {
        let all = rows.iter().map(|row| (row, one.value(row)));
        all.filter(|(_, v)| if positive { *v > 0.0 } else { *v < 0.0 }).collect()
    };
    let (up, down) = (parts(true), parts(false));
    let sum = output.local_prediction;
    let total = |parts: &[(&Row, f64)]| parts.iter().map(|(_, v)| v.abs()).sum::<f64>();
    let (low, high) = (sum - total(&up), sum + total(&down));
    let axis = Axis::padded([low, high, sum, output.base_value], 0.0, SIDE, WIDTH - SIDE);

    let bar = top + 66.0;
    let whole = Rounding::for_largest(sum.abs().max(output.base_value.abs()));
    // The sum above the bar; the base beside it, one line higher where they would touch.
    let name = if output.additivity_gap.abs() > (high - low).abs() * 0.01 { "sum" } else { "f(x)" };
    let bold = Pen::new(13.0, theme.ink).bold().middle();
    let at = axis.at(sum);
    let said = format!("{name} = {}", whole.plain(sum));
    canvas.line((at, bar - 8.0), (at, bar + HIGH), theme.ink, 1.4);
    let (from, to) = canvas.text(at, bar - 13.0, &said, bold);
    let pen = Pen::new(11.5, theme.muted).middle();
    let base = format!("{} = {}", frame::base_name(one.document), whole.plain(output.base_value));
    let (x, half) = (axis.at(output.base_value), pen.width(&base) / 2.0);
    let touches = x + half + 12.0 > from && x - half - 12.0 < to;
    let y = if touches { bar - 33.0 } else { bar - 13.0 };
    canvas.dashed((x, y + 4.0), (x, bar), theme.muted);
    canvas.text(x, y, &base, pen);
    let side = Pen::new(11.5, theme.muted);
    let (red, blue) = (theme::hex(theme::end(true)), theme::hex(theme::end(false)));
    canvas.text(MARGIN, bar + HIGH / 2.0 + 4.0, "raises →", side.fill(&red));
    canvas.text(WIDTH - MARGIN, bar + HIGH / 2.0 + 4.0, "← lowers", side.fill(&blue).end());

    let mut lines = 0;
    for (parts, positive) in [(&up, true), (&down, false)] {
        let mut at = sum;
        let mut named = Vec::new();
        for (row, value) in parts {
            let (inner, outer) = (axis.at(at), axis.at(at - value));
            at -= value;
            let wide = (outer - inner).abs();
            chevron(
                &mut canvas,
                inner,
                outer,
                bar,
                &theme::sign(*value),
                &format!("{}: {value:+}", row.full()),
            );
            if wide >= NARROW {
                named.push((row, *value, (inner + outer) / 2.0, wide));
            }
        }
        // Outer names on upper lines: a leader passes beside the names above its own, never through them.
        let round = Rounding::for_largest(rows.iter().fold(0.0, |m: f64, r| m.max(one.value(r).abs())));
        lines = lines.max(named.len());
        for (line, (row, value, x, _)) in named.iter().rev().enumerate() {
            let y = bar + HIGH + 22.0 + LINE * line as f64;
            let said = round.signed(*value);
            let pen = Pen::new(12.0, if row.is_other() { theme.muted } else { theme.ink });
            let number = Pen::new(12.0, if positive { &red } else { &blue }).bold();
            let room = if positive { x - MARGIN } else { WIDTH - MARGIN - x } - 14.0 - number.width(&said);
            let label = row.label(room.max(20.0), 12.0);
            canvas.line((*x, bar + HIGH + 1.0), (*x, y), theme.grey, 0.8);
            if positive {
                let (from, _) = canvas.text(x - 6.0, y, &said, number.end());
                canvas.text(from - 6.0, y, &label, pen.end());
            } else {
                let (_, to) = canvas.text(x + 6.0, y, &label, pen);
                canvas.text(to + 6.0, y, &said, number);
            }
        }
    }
    let bottom = bar + HIGH + 22.0 + LINE * lines as f64;
    let caption = frame::quantity(one.document, output);
    canvas.height = axis.draw_below(&mut canvas, bottom, &caption, None) + 12.0;
    canvas.finish(&format!("Force: {}. {}", title.0, title.1))
}

/// A part of the bar that points towards the sum, a hair apart from its neighbour.
fn chevron(canvas: &mut Canvas, inner: f64, outer: f64, y: f64, fill: &str, note: &str) {
    let along = (outer - inner).signum();
    let wide = (outer - inner).abs();
    let outer = outer - along * 0.7_f64.min(wide * 0.3);
    let notch = along * (wide * 0.45).min(7.0);
    let middle = y + HIGH / 2.0;
    let points = [
        (inner + notch, y),
        (inner, middle),
        (inner + notch, y + HIGH),
        (outer + notch, y + HIGH),
        (outer, middle),
        (outer + notch, y),
    ];
    canvas.shape(&points, fill, note);
}
