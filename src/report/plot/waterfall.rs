//! From the base value to the output, a step a feature.

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Pen};
use super::frame::{self, MARGIN, NAME, One, ROW, WIDTH};
use super::theme;
use crate::report::fonts::{self, Weight};
use crate::report::number::Rounding;

/// A gap smaller than this part of the picture is no step of its own.
const VISIBLE: f64 = 0.004;

pub(super) fn draw(one: &One, options: &PlotOptions) -> String {
    let rows = one.rows(options.top);
    let output = one.output;
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = one.title();
    let top = frame::header(&mut canvas, title.clone(), options) + 22.0;
    let room = frame::names_room(&rows);
    let left = MARGIN + room + 10.0;

    // From the bottom up: the weakest first, so that the strongest step ends at the output.
    let mut at = output.base_value;
    let mut steps: Vec<(f64, f64)> = rows
        .iter()
        .rev()
        .map(|row| {
            let from = at;
            at += one.value(row);
            (from, at)
        })
        .collect();
    steps.reverse();
    let sum = at;
    let ends = steps.iter().flat_map(|s| [s.0, s.1]).chain([output.base_value, output.prediction]);
    // Room for numbers beside the bars.
    let axis = Axis::padded(ends, 0.02, left + 58.0, WIDTH - MARGIN - 58.0).reaching(left, WIDTH - MARGIN);
    let missed = (axis.at(sum) - axis.at(output.prediction)).abs() > VISIBLE * (WIDTH - left);
    let top = if missed { top + ROW } else { top };

    let bottom = top + ROW * rows.len() as f64;
    let round = Rounding::for_largest(rows.iter().fold(0.0, |m: f64, r| m.max(one.value(r).abs())));
    canvas.dashed(
        (axis.at(output.base_value), top - 4.0),
        (axis.at(output.base_value), bottom + 8.0),
        theme.grey,
    );
    for (i, (row, &(from, to))) in rows.iter().zip(&steps).enumerate() {
        let y = top + ROW * (i as f64 + 0.5);
        canvas.line((left, y + ROW / 2.0), (WIDTH - MARGIN, y + ROW / 2.0), theme.rule, 0.5);
        frame::name(&mut canvas, left - 10.0, y, row, room);
        let value = to - from;
        let said = round.signed(one.value(row));
        let exact = one.value(row);
        let interval = (!row.is_other()).then(|| output.interval(row.features[0])).flatten();
        let note = match interval {
            Some([low, high]) => format!("{}: {exact:+} (95 % interval {low} to {high})", row.full()),
            None => format!("{}: {exact:+}", row.full()),
        };
        step(&mut canvas, &axis, y, (from, to), &theme::sign(value), &note);
        let (a, b) = (axis.at(from.min(to)), axis.at(from.max(to)));
        let pen = Pen::new(11.5, theme.ink);
        let bold = pen.bold();
        if bold.width(&said) + 16.0 <= b - a {
            let on = theme::text_on(theme::end(value >= 0.0));
            canvas.text((a + b) / 2.0, y + 4.0, &said, bold.fill(on).middle());
        } else if (value >= 0.0) == (b + pen.width(&said) + 6.0 <= WIDTH - MARGIN) {
            canvas.text_over(b + 5.0, y + 4.0, &said, pen);
        } else {
            canvas.text_over(a - 5.0, y + 4.0, &said, pen.end());
        }
        // To the step above.
        if i > 0 || missed {
            canvas.dashed((axis.at(to), y - ROW / 2.0 - 10.0), (axis.at(to), y + 10.0), theme.grey);
        }
    }
    let mut crown = top;
    if missed {
        // What the explanation does not account for, from its sum to what the network says.
        let y = top - ROW / 2.0;
        crown = top - ROW;
        let gap = output.prediction - sum;
        canvas.text(left - 10.0, y + 4.5, "not explained", Pen::new(NAME, theme.muted).end());
        let note = format!("not explained: {gap:+}");
        step(&mut canvas, &axis, y, (sum, output.prediction), theme.grey, &note);
        let (a, b) = (axis.at(sum.min(output.prediction)), axis.at(sum.max(output.prediction)));
        let said = Rounding::for_largest(gap.abs()).signed(gap);
        let pen = Pen::new(11.5, theme.muted);
        if gap >= 0.0 && b + pen.width(&said) + 6.0 <= WIDTH - MARGIN {
            canvas.text_over(b + 5.0, y + 4.0, &said, pen);
        } else {
            canvas.text_over(a - 5.0, y + 4.0, &said, pen.end());
        }
    }
    // Both ends by name: the output above, the base below.
    let whole = Rounding::for_largest(output.prediction.abs().max(output.base_value.abs()));
    let end = |canvas: &mut Canvas, value: f64, y: f64, name: &str| {
        let text = format!("{name} = {}", whole.plain(value));
        let pen = Pen::new(12.0, theme.ink).bold();
        let half = pen.width(&text) / 2.0;
        let x = axis.at(value).clamp(left + half, WIDTH - MARGIN - half);
        canvas.text(x, y, &text, pen.middle());
    };
    let x = axis.at(output.prediction);
    canvas.line((x, crown - 8.0), (x, crown + ROW / 2.0), theme.muted, 1.0);
    end(&mut canvas, output.prediction, crown - 12.0, "f(x)");
    end(&mut canvas, output.base_value, bottom + 22.0, frame::base_name(one.document));
    let caption = frame::quantity(one.document, output);
    let caption = fonts::ellipsize_middle(&caption, 12.0, Weight::Regular, WIDTH - left - 80.0);
    canvas.height = axis.draw_below(&mut canvas, bottom + 32.0, &caption, None) + 12.0;
    canvas.finish(&format!("Waterfall: {}. {}", title.0, title.1))
}

/// A bar that points where it goes.
pub(super) fn step(canvas: &mut Canvas, axis: &Axis, y: f64, (from, to): (f64, f64), fill: &str, note: &str) {
    const HALF: f64 = 10.0;
    let (a, b) = (axis.at(from), axis.at(to));
    let head = (b - a).signum() * (b - a).abs().min(6.0);
    if (b - a).abs() < 1.0 {
        // Nothing to see is still a step.
        canvas.rect(a - 0.5, y - HALF, 1.0, 2.0 * HALF, fill, note);
        return;
    }
    let points = [(a, y - HALF), (b - head, y - HALF), (b, y), (b - head, y + HALF), (a, y + HALF)];
    canvas.shape(&points, fill, note);
}
