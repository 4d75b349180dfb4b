//! Bars: one instance with intervals, the mean |attribution| of many, LIME's conditions.

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Pen};
use super::frame::{self, MARGIN, Many, One, ROW, Row, WIDTH};
use super::theme;
use crate::report::number::Rounding;
use crate::{Error, Result};

/// A bar of a row.
pub(super) struct Bar {
    pub(super) value: f64,
    pub(super) interval: Option<[f64; 2]>,
    pub(super) fill: String,
    pub(super) note: String,
}

/// A signed bar a feature, with its 95 % interval.
pub(super) fn one(one: &One, options: &PlotOptions) -> String {
    let rows = one.rows(options.top);
    signed(one, rows, "Bars", options)
}

/// LIME's bars: the condition of each feature in place of its value.
pub(super) fn conditions(one: &One, options: &PlotOptions) -> Result<String> {
    let Some(conditions) = &one.output.conditions else {
        return Err(Error::parameter(
            "the explanation has no conditions",
            "conditions",
            "LIME of tables gives them unless --no-discretize; plot the kind bar instead",
        ));
    };
    let mut rows = one.rows(options.top);
    for row in rows.iter_mut().filter(|row| !row.is_other()) {
        let condition = &conditions[row.features[0]];
        if !condition.is_empty() {
            row.name.clone_from(condition);
            row.tail.clear();
        }
    }
    Ok(signed(one, rows, "Conditions", options))
}

fn signed(one: &One, rows: Vec<Row>, what: &str, options: &PlotOptions) -> String {
    let mut canvas = Canvas::new(WIDTH, options);
    let title = one.title();
    let mut top = frame::header(&mut canvas, title.clone(), options);
    let mut errors = false;
    let bars = rows.iter().map(|row| {
        let value = one.value(row);
        let interval = (!row.is_other()).then(|| one.output.interval(row.features[0])).flatten();
        errors |= interval.is_some();
        let within = interval.map_or(String::new(), |[a, b]| format!(" (95 % interval {a} to {b})"));
        vec![Bar {
            value,
            interval,
            fill: theme::sign(value),
            note: format!("{}: {value:+}{within}", row.full()),
        }]
    });
    let bars: Vec<Vec<Bar>> = bars.collect();
    let words = if what == "Conditions" { ["supports", "contradicts"] } else { ["raises", "lowers"] };
    let keys = [(words[0], theme::hex(theme::end(true))), (words[1], theme::hex(theme::end(false)))];
    top = legend(&mut canvas, top, &keys.map(|(name, fill)| (name.to_owned(), fill)), errors);
    let caption = frame::effect(one.document, one.output);
    canvas.height = draw(&mut canvas, top, &rows, &bars, &caption, true) + 12.0;
    canvas.finish(&format!("{what}: {}. {}", title.0, title.1))
}

/// The mean |attribution| of each feature.
pub(super) fn summary(many: &Many, options: &PlotOptions) -> String {
    let rows = many.rows(options.top);
    let mut canvas = Canvas::new(WIDTH, options);
    let title = many.title();
    let top = frame::header(&mut canvas, title.clone(), options);
    let fill = canvas.theme.grey.to_owned();
    let bars: Vec<Vec<Bar>> = rows
        .iter()
        .map(|row| {
            let value = row.features.iter().map(|&f| many.importance[f]).sum();
            vec![Bar { value, interval: None, fill: fill.clone(), note: format!("{}: {value}", row.full()) }]
        })
        .collect();
    let caption = format!("Mean |{}|", frame::effect(many.document, many.outputs[0]));
    canvas.height = draw(&mut canvas, top, &rows, &bars, &caption, false) + 12.0;
    canvas.finish(&format!("Mean effects: {}. {}", title.0, title.1))
}

/// What the colours mean, at the right; gives where the plot may begin.
pub(super) fn legend(canvas: &mut Canvas, y: f64, keys: &[(String, String)], errors: bool) -> f64 {
    let theme = canvas.theme;
    let pen = Pen::new(11.5, theme.muted);
    let (mut x, mut y) = (MARGIN, y + 4.0);
    let room = (WIDTH - 2.0 * MARGIN) / 2.0 - 24.0;
    for (name, fill) in keys {
        let name = crate::report::fonts::ellipsize_middle(name, pen.size, pen.weight, room);
        if x + 14.0 + pen.width(&name) > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 18.0);
        }
        canvas.pill((x, y - 9.0, 10.0, 10.0), 2.0, fill, "");
        x = canvas.text(x + 14.0, y, &name, pen).1 + 18.0;
    }
    if errors {
        let text = "95 % interval";
        if x + 24.0 + pen.width(text) > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 18.0);
        }
        whisker(canvas, (x, x + 18.0), y - 4.0);
        canvas.text(x + 24.0, y, text, pen);
    }
    y + 16.0
}

fn whisker(canvas: &mut Canvas, (a, b): (f64, f64), y: f64) {
    let ink = canvas.theme.ink;
    canvas.line((a, y), (b, y), ink, 1.2);
    for x in [a, b] {
        canvas.line((x, y - 3.5), (x, y + 3.5), ink, 1.2);
    }
}

/// Draws rows of bars with their numbers and the axis below; gives where it ends.
pub(super) fn draw(
    canvas: &mut Canvas,
    top: f64,
    rows: &[Row],
    bars: &[Vec<Bar>],
    caption: &str,
    signed: bool,
) -> f64 {
    let theme = canvas.theme;
    let room = frame::names_room(rows);
    let left = MARGIN + room + 10.0;
    let all = || bars.iter().flatten();
    let round = Rounding::for_largest(all().fold(0.0, |m: f64, bar| m.max(bar.value.abs())));
    let text = |bar: &Bar| if signed { round.signed(bar.value) } else { round.plain(bar.value) };
    let pen = Pen::new(11.5, theme.ink);
    let side = |positive: bool| {
        let texts = all().filter(|bar| (bar.value >= 0.0) == positive).map(|bar| pen.width(&text(bar)) + 8.0);
        texts.fold(6.0, f64::max)
    };
    let ends = all().flat_map(|bar| {
        let [low, high] = bar.interval.unwrap_or([bar.value; 2]);
        [0.0, bar.value, low, high]
    });
    // An axis of nothing but zeros begins at its left.
    let nothing = all().all(|bar| bar.value == 0.0 && bar.interval.is_none_or(|i| i == [0.0; 2]));
    let ends: Vec<f64> = if nothing { vec![0.0, 1.0] } else { ends.collect() };
    let axis =
        Axis::over(ends, left + side(false), WIDTH - MARGIN - side(true)).reaching(left, WIDTH - MARGIN);
    let most = bars.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let thick = if most == 1 { 17.0 } else { 12.0 };
    let high = if most == 1 { ROW } else { thick * most as f64 + 14.0 };
    let bottom = top + high * rows.len() as f64;
    let zero = axis.at(0.0);
    for (i, (row, bars)) in rows.iter().zip(bars).enumerate() {
        let middle = top + high * (i as f64 + 0.5);
        if i > 0 {
            canvas.line((left, middle - high / 2.0), (WIDTH - MARGIN, middle - high / 2.0), theme.rule, 0.5);
        }
        frame::name(canvas, left - 10.0, middle, row, room);
        let first = middle - thick * bars.len() as f64 / 2.0;
        for (j, bar) in bars.iter().enumerate() {
            let y = first + thick * j as f64;
            let (a, b) = (axis.at(bar.value.min(0.0)), axis.at(bar.value.max(0.0)));
            let inset = if most == 1 { 0.0 } else { 0.75 };
            canvas.pill((a, y + inset, (b - a).max(1.0), thick - 2.0 * inset), 2.0, &bar.fill, &bar.note);
            let (mut low, mut up) = (a, b);
            if let Some([from, to]) = bar.interval {
                let (from, to) = (axis.at(from), axis.at(to));
                whisker(canvas, (from, to), y + thick / 2.0);
                (low, up) = (low.min(from), up.max(to));
            }
            let size = if most == 1 { 11.5 } else { 10.5 };
            let pen = Pen { size, ..pen };
            if bar.value >= 0.0 {
                canvas.text(up + 6.0, y + thick / 2.0 + 4.0, &text(bar), pen);
            } else {
                canvas.text(low - 6.0, y + thick / 2.0 + 4.0, &text(bar), pen.end());
            }
        }
    }
    canvas.line((zero, top), (zero, bottom), theme.muted, 1.0);
    axis.draw_below(canvas, bottom + 4.0, caption, None)
}
