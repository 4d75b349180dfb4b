//! The way of each instance from the base value to its output.

use std::fmt::Write as _;

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Pen, n};
use super::frame::{self, MARGIN, Many, One, ROW, WIDTH};
use super::theme;
use crate::report::number::Rounding;

pub(super) fn draw(many: &Many, one: &One, options: &PlotOptions) -> String {
    let mut rows = many.rows(options.top);
    let alone = many.outputs.len() == 1;
    if alone {
        rows = one.rows(options.top);
    }
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = if alone { one.title() } else { many.title() };
    let top = frame::header(&mut canvas, title.clone(), options) + 8.0;
    let room = frame::names_room(&rows);
    let left = MARGIN + room + 10.0;
    let bottom = top + ROW * rows.len() as f64;

    // From the base at the bottom, past each row, to the output at the top.
    let ways: Vec<Vec<f64>> = (0..many.outputs.len())
        .map(|i| {
            let mut at = many.outputs[i].base_value;
            let mut way = vec![at];
            for row in rows.iter().rev() {
                at += many.value(row, i);
                way.push(at);
            }
            way
        })
        .collect();
    let pad = 62.0;
    let axis = Axis::padded(
        ways.iter().flatten().copied(),
        0.03,
        left,
        WIDTH - MARGIN - if alone { pad } else { 0.0 },
    )
    .reaching(left, WIDTH - MARGIN);
    let ends: Vec<f64> = ways.iter().filter_map(|way| way.last().copied()).collect();
    let hue = Axis::over(ends.iter().copied(), 0.0, 1.0);

    for (i, row) in rows.iter().enumerate() {
        let y = top + ROW * (i as f64 + 0.5);
        canvas.line((left, y + ROW / 2.0), (WIDTH - MARGIN, y + ROW / 2.0), theme.rule, 0.5);
        frame::name(&mut canvas, left - 10.0, y, row, room);
    }
    let base = many.outputs.iter().map(|o| o.base_value / many.outputs.len() as f64).sum();
    canvas.line((axis.at(base), top), (axis.at(base), bottom), theme.grey, 1.0);
    let path = |way: &[f64]| {
        let mut d = String::new();
        for (k, value) in way.iter().enumerate() {
            let _ = write!(
                d,
                "{}{} {}",
                if k == 0 { 'M' } else { 'L' },
                n(axis.at(*value)),
                n(bottom - ROW * k as f64)
            );
        }
        d
    };
    let opacity = (100.0 / ways.len() as f64).clamp(0.15, 0.85);
    for (i, way) in ways.iter().enumerate() {
        if i != options.instance {
            let colour = theme::hex(theme::sequential(hue.at(ends[i])));
            canvas.path(&path(way), &colour, 1.0, None, opacity);
        }
    }
    if let Some(way) = ways.get(options.instance) {
        if !alone {
            canvas.path(&path(way), theme.paper, 5.0, None, 1.0);
            canvas.path(&path(way), theme.ink, 2.2, None, 1.0);
        } else {
            canvas.path(&path(way), &theme::sign(way[way.len() - 1] - way[0]), 2.4, None, 1.0);
            let largest = rows.iter().fold(0.0, |m: f64, r| m.max(many.value(r, 0).abs()));
            let round = Rounding::for_largest(largest);
            for (k, row) in rows.iter().rev().enumerate() {
                let x = axis.at(way[k]).max(axis.at(way[k + 1])) + 8.0;
                let y = bottom - ROW * (k as f64 + 0.5);
                canvas.text_over(x, y + 4.0, &round.signed(many.value(row, 0)), Pen::new(11.0, theme.muted));
            }
        }
    }
    let caption = frame::quantity(many.document, many.outputs[0]);
    let mut y = axis.draw_below(&mut canvas, bottom + 4.0, &caption, None);
    if !alone {
        let pen = Pen::new(11.5, theme.muted);
        let which =
            one.instance.row.map_or(format!("instance {}", options.instance), |row| format!("row {row}"));
        y += 12.0;
        canvas.line((MARGIN, y - 4.0), (MARGIN + 18.0, y - 4.0), theme.ink, 2.2);
        let x = canvas.text(MARGIN + 24.0, y, &which, pen).1 + 18.0;
        canvas.line((x, y - 10.0), (x, y + 2.0), theme.grey, 1.0);
        let x = canvas.text(x + 6.0, y, frame::base_name(many.document), pen).1 + 18.0;
        canvas.text(x, y, "colour: output, low (blue) to high (red)", pen);
    }
    canvas.height = y + 14.0;
    canvas.finish(&format!("Decision: {}. {}", title.0, title.1))
}
