//! Pairwise interactions: a matrix and a network.

use std::f64::consts::TAU;

use super::PlotOptions;
use super::canvas::{Canvas, Pen, n};
use super::frame::{self, MARGIN, NAME, One, Row};
use super::theme;
use crate::report::fonts;
use crate::report::number::Rounding;
use crate::{Error, Result};

/// Cells hold their numbers up to this many features.
const NUMBERS: usize = 8;
const CELL: f64 = 52.0;
const SMALL: f64 = 24.0;
/// The room of names below the matrix.
const BELOW: f64 = 130.0;

/// The features in view, by falling sum of |interaction|, and the part of the matrix that is theirs.
struct View {
    rows: Vec<Row>,
    cells: Vec<Vec<f64>>,
    /// One standard error of each cell, where it is known.
    errors: Vec<Vec<Option<f64>>>,
    hidden: usize,
}

fn view(one: &One, options: &PlotOptions) -> Result<View> {
    let Some(matrix) = &one.output.interactions else {
        return Err(Error::parameter(
            "the explanation has no interactions",
            "interactions",
            "explain again with a method that estimates them",
        ));
    };
    let size = |f: &usize| matrix[*f].iter().map(|x| x.abs()).sum::<f64>();
    let mut order: Vec<usize> = (0..matrix.len()).collect();
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    order.truncate(options.top);
    let row = |&f: &usize| {
        let value = one.instance.values[f].trim();
        let tail = if value.is_empty() { String::new() } else { format!(" = {value}") };
        Row { name: one.document.features[f].name.clone(), tail, features: vec![f] }
    };
    let error = |a: usize, b: usize| {
        one.output.interaction_errors.as_ref().map(|errors| errors[a][b]).filter(|error| error.is_finite())
    };
    Ok(View {
        errors: order.iter().map(|&a| order.iter().map(|&b| error(a, b)).collect()).collect(),
        rows: order.iter().map(row).collect(),
        cells: order.iter().map(|&a| order.iter().map(|&b| matrix[a][b]).collect()).collect(),
        hidden: matrix.len() - order.len(),
    })
}

fn note(view: &View, a: usize, b: usize) -> String {
    let names = if a == b {
        format!("{} alone", view.rows[a].name)
    } else {
        format!("{} × {}", view.rows[a].name, view.rows[b].name)
    };
    let error = view.errors[a][b].map_or(String::new(), |error| format!(" (standard error {error})"));
    format!("{names}: {:+}{error}", view.cells[a][b])
}

/// What is shown, and of how many.
fn caption(one: &One, view: &View) -> String {
    let hidden = if view.hidden > 0 {
        format!(" · {} more features are not shown", view.hidden)
    } else {
        String::new()
    };
    format!("Interaction effects on {}{hidden}", frame::quantity(one.document, one.output))
}

/// Features × features; main effects on the diagonal.
pub(super) fn matrix(one: &One, options: &PlotOptions) -> Result<String> {
    let view = view(one, options)?;
    let count = view.rows.len();
    let said = count <= NUMBERS;
    let cell = if said { CELL } else { (560.0 / count as f64).clamp(6.0, SMALL.max(34.0)) };
    // Below the height of a line names cannot stand one under another.
    let named = cell >= 13.0;
    let room = if named { frame::names_room(&view.rows) } else { 0.0 };
    let left = MARGIN + room + 10.0;
    let side = cell * count as f64;
    let largest = view.cells.iter().flatten().fold(0.0, |m: f64, v| m.max(v.abs()));
    let round = Rounding::for_largest(largest);
    let high = if largest > 0.0 { round.signed(largest) } else { "0".into() };
    let low = if largest > 0.0 { round.signed(-largest) } else { String::new() };
    let scale = 40.0 + Pen::new(11.0, "").width(&high).max(Pen::new(11.0, "").width(&low));
    let width = (left + side + scale + MARGIN).max(420.0);
    let mut canvas = Canvas::new(width, options);
    let theme = canvas.theme;
    let title = one.title();
    let top = frame::header(&mut canvas, title.clone(), options) + 14.0;
    let colour = |v: f64| theme.diverging(if largest > 0.0 { v / largest } else { 0.0 });
    let size = NAME.min(cell * 0.7);
    for (a, row) in view.rows.iter().enumerate() {
        let y = top + cell * a as f64;
        if named {
            let label = row.label(room, size);
            canvas.text(left - 10.0, y + cell / 2.0 + size * 0.36, &label, Pen::new(size, theme.ink).end());
            let below = fonts::ellipsize_middle(&row.name, size, fonts::Weight::Regular, BELOW);
            let pen = Pen::new(size, theme.ink);
            let half = pen.width(&below) / 2.0;
            canvas.text_up(left + y - top + cell / 2.0 + size * 0.36, top + side + 8.0 + half, &below, pen);
        }
        for (b, &value) in view.cells[a].iter().enumerate() {
            let ground = colour(value);
            let x = left + cell * b as f64;
            canvas.rect(x, y, cell, cell, &theme::hex(ground), &note(&view, a, b));
            if said {
                let text = round.signed(value);
                let most = 11.5 * (cell - 6.0) / Pen::new(11.5, "").width(&text);
                let pen = Pen::new(most.min(11.5), theme::text_on(ground)).middle();
                canvas.text(x + cell / 2.0, y + cell / 2.0 + 4.0, &text, pen);
            }
        }
    }
    for i in 0..=count {
        let at = cell * i as f64;
        canvas.line((left, top + at), (left + side, top + at), theme.rule, 0.6);
        canvas.line((left + at, top), (left + at, top + side), theme.rule, 0.6);
    }
    let place = (left + side + 24.0, top + 10.0, 10.0, (side - 20.0).max(40.0));
    canvas.colour_bar(place, |t| colour((2.0 * t - 1.0) * largest));
    let pen = Pen::new(11.0, theme.muted);
    canvas.text(place.0 + 16.0, place.1 + 8.0, &high, pen);
    canvas.text(place.0 + 16.0, place.1 + place.3, &low, pen);
    let below = if named {
        view.rows.iter().map(|r| Pen::new(size, "").width(&r.name)).fold(0.0, f64::max).min(BELOW)
    } else {
        0.0
    };
    let y = top + side.max(60.0) + below + 34.0;
    let text = format!("{}, main effects on the diagonal", caption(one, &view));
    let text = fonts::ellipsize_middle(&text, 11.5, fonts::Weight::Regular, width - 2.0 * MARGIN);
    canvas.text(MARGIN, y, &text, Pen::new(11.5, theme.muted));
    canvas.height = y + 16.0;
    Ok(canvas.finish(&format!("Interactions: {}. {}", title.0, title.1)))
}

/// Features on a circle: discs for main effects, lines for interactions.
pub(super) fn network(one: &One, options: &PlotOptions) -> Result<String> {
    const RADIUS: f64 = 150.0;
    const WIDTH: f64 = 760.0;
    const APART: f64 = 17.0;
    let view = view(one, options)?;
    let count = view.rows.len();
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = one.title();
    // Names of one side stand below each other, so many need more height.
    let radius = RADIUS.max(count as f64 / 4.0 * APART);
    let top = frame::header(&mut canvas, title.clone(), options) + 20.0;
    let (x, y) = (WIDTH / 2.0, top + radius + 16.0);
    let place = |i: usize| {
        let turn = TAU * (i as f64 + 0.5) / count as f64;
        if count == 1 { (x, y) } else { (x + radius * turn.sin(), y - radius * turn.cos()) }
    };
    let pairs = || (0..count).flat_map(|a| (0..a).map(move |b| (a, b)));
    let between = |(a, b): (usize, usize)| view.cells[a][b];
    let strongest = pairs().fold(0.0, |m: f64, pair| m.max(between(pair).abs()));
    let mut order: Vec<(usize, usize)> =
        pairs().filter(|&pair| between(pair).abs() > strongest * 0.02).collect();
    order.sort_by(|&a, &b| between(a).abs().total_cmp(&between(b).abs()));
    for (a, b) in order {
        let part = view.cells[a][b].abs() / strongest;
        let (from, to) = (place(a), place(b));
        // Bent towards the middle, so that lines do not run along the circle.
        let bend = |p: f64, q: f64, c: f64| (p + q) / 2.0 * 0.6 + c * 0.4;
        let d = format!(
            "M{} {}Q{} {} {} {}",
            n(from.0),
            n(from.1),
            n(bend(from.0, to.0, x)),
            n(bend(from.1, to.1, y)),
            n(to.0),
            n(to.1)
        );
        canvas.curve(
            &d,
            &theme::sign(view.cells[a][b]),
            0.8 + 8.0 * part,
            0.35 + 0.5 * part,
            &note(&view, a, b),
        );
    }
    let main = (0..count).fold(0.0, |m: f64, a| m.max(view.cells[a][a].abs()));
    for a in 0..count {
        let (x, y) = place(a);
        let part = if main > 0.0 { view.cells[a][a].abs() / main } else { 0.0 };
        canvas.circle(x, y, 5.0 + 10.0 * part.sqrt(), theme.paper, "");
        canvas.circle(x, y, 3.5 + 10.0 * part.sqrt(), &theme::sign(view.cells[a][a]), &note(&view, a, a));
    }
    // Names in a column at each side, kept apart, with a leader to their disc.
    for right in [true, false] {
        let mut side: Vec<usize> = (0..count).filter(|&i| (place(i).0 >= x) == right).collect();
        side.sort_by(|&a, &b| place(a).1.total_cmp(&place(b).1));
        let mut spots: Vec<f64> = side.iter().map(|&i| place(i).1).collect();
        for i in 1..spots.len() {
            spots[i] = spots[i].max(spots[i - 1] + APART);
        }
        // Pushed too far down, they move up again together.
        let over = spots.last().map_or(0.0, |last| (last - (y + radius + 8.0)).max(0.0));
        if over > 0.0 {
            let last = spots.len() - 1;
            spots[last] -= over;
            for i in (0..last).rev() {
                spots[i] = spots[i].min(spots[i + 1] - APART);
            }
        }
        for (&i, &spot) in side.iter().zip(&spots) {
            let (px, py) = place(i);
            let edge = if right { x + radius + 30.0 } else { x - radius - 30.0 };
            let room = if right { WIDTH - MARGIN - edge } else { edge - MARGIN } - 4.0;
            let out = if right { 16.0 } else { -16.0 };
            canvas.line((px + out, py), (edge - out / 4.0, spot), theme.grey, 0.7);
            let label = view.rows[i].label(room, NAME);
            let pen = Pen::new(NAME, theme.ink);
            canvas.text(edge, spot + 4.5, &label, if right { pen } else { pen.end() });
        }
    }
    let bottom = y + radius + 40.0;
    let text = format!(
        "{} · discs: main effects, lines: interactions, red raises, blue lowers",
        caption(one, &view)
    );
    let text = fonts::ellipsize_middle(&text, 11.5, fonts::Weight::Regular, WIDTH - 2.0 * MARGIN);
    canvas.text(MARGIN, bottom, &text, Pen::new(11.5, theme.muted));
    canvas.height = bottom + 16.0;
    Ok(canvas.finish(&format!("Interaction network: {}. {}", title.0, title.1)))
}
