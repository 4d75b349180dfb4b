//! Curves over a share: one line a method, told apart by colour and dash.

use std::fmt::Write as _;

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Pen, n};
use super::frame::{self, MARGIN};
use crate::report::fonts;
use crate::report::number::Rounding;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
/// The legend's line, and the stroke beside a name.
const LINE: f64 = 20.0;
const STROKE: f64 = 26.0;

/// Okabe and Ito's colours, which all common kinds of colour blindness tell apart, without those that are too light for white
/// paper or too dark for a dark one; and dashes for those who print without colour.
const STYLES: [(&str, Option<&str>); 6] = [
    ("#0072b2", None),
    ("#d55e00", Some("9 3")),
    ("#009e73", Some("4 2")),
    ("#cc79a7", Some("10 3 2 3")),
    ("#c98a00", Some("6 2 2 2 2 2")),
    ("#3d9bd4", Some("2 2")),
];

/// A curve.
pub(in crate::report) struct Line {
    /// Its name in the legend.
    pub(in crate::report) name: String,
    /// What the legend says behind the name.
    pub(in crate::report) tail: String,
    /// Places along the axes.
    pub(in crate::report) points: Vec<(f64, f64)>,
    /// Whether it is what the others are compared with: grey and dotted.
    pub(in crate::report) control: bool,
}

/// What the picture and its axes are called.
pub(in crate::report) struct Captions<'a> {
    pub(in crate::report) title: &'a str,
    pub(in crate::report) subtitle: &'a str,
    pub(in crate::report) along: &'a str,
    pub(in crate::report) up: &'a str,
}

/// Colour and dash of the line with this place; the page's table wears the same colours.
pub(in crate::report) fn style(place: usize) -> (&'static str, Option<&'static str>) {
    STYLES[place % STYLES.len()]
}

pub(in crate::report) fn draw(lines: &[Line], captions: &Captions, options: &PlotOptions) -> String {
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = (captions.title.to_owned(), captions.subtitle.to_owned());
    let top = frame::header(&mut canvas, title, options) + 4.0;
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    // Zero is where most outputs end: it belongs to the picture.
    let up = Axis::padded(all().map(|(_, y)| y).chain([0.0]), 0.04, top + HEIGHT, top);
    let left = MARGIN + 24.0 + up.left_room();
    let along = Axis::over(all().map(|(x, _)| x), left, WIDTH - MARGIN);
    up.draw_left(&mut canvas, left, captions.up, WIDTH - MARGIN, MARGIN + 8.0);
    let bottom = along.draw_below(&mut canvas, top + HEIGHT, captions.along, None);

    let mut placed = 0;
    let looks: Vec<(&str, Option<&str>)> = (lines.iter())
        .map(|line| {
            if line.control {
                return (theme.grey, Some("1 3"));
            }
            placed += 1;
            style(placed - 1)
        })
        .collect();
    for (line, (colour, dash)) in lines.iter().zip(&looks) {
        let mut d = String::new();
        for (k, (x, y)) in line.points.iter().enumerate() {
            let _ = write!(d, "{}{} {}", if k == 0 { 'M' } else { 'L' }, n(along.at(*x)), n(up.at(*y)));
        }
        canvas.path(&d, colour, 2.0, *dash, 1.0);
        // A broad line that cannot be seen, to point at.
        canvas.curve(&d, colour, 11.0, 0.0, &format!("{}{}", line.name, line.tail));
    }
    let highest = all().fold(0.0, |m: f64, (_, y)| m.max(y.abs()));
    let round = Rounding::for_largest(highest);
    for (line, (colour, _)) in lines.iter().zip(&looks) {
        for part in [0.1, 0.25, 0.5, 0.75, 0.9] {
            let at = (part * (line.points.len().max(1) - 1) as f64).round() as usize;
            let Some((x, y)) = line.points.get(at) else { continue };
            let note = format!("{}: {} at {}", line.name, round.plain(*y), Rounding::Decimals(2).plain(*x));
            canvas.circle(along.at(*x), up.at(*y), 3.0, colour, &note);
        }
    }
    // The legend, as many names in a row as fit.
    let (mut x, mut y) = (left, bottom + 14.0);
    let pen = Pen::new(12.0, theme.ink);
    for (line, (colour, dash)) in lines.iter().zip(&looks) {
        let room = WIDTH - MARGIN - left - STROKE - 8.0;
        let name = fonts::ellipsize_middle(&format!("{}{}", line.name, line.tail), 12.0, pen.weight, room);
        let width = STROKE + 8.0 + pen.width(&name);
        if x > left && x + width > WIDTH - MARGIN {
            (x, y) = (left, y + LINE);
        }
        let d = format!("M{} {}H{}", n(x), n(y - 4.0), n(x + STROKE));
        canvas.path(&d, colour, 2.4, *dash, 1.0);
        canvas.text(x + STROKE + 8.0, y, &name, pen);
        x += width + 22.0;
    }
    canvas.height = y + 14.0;
    canvas.finish(&format!("{}. {}", captions.title, captions.subtitle))
}
