//! `explanation.svg` and `explanation.png`: one class explained in one picture, fit to print.
//!
//! The photo and its saliency map stand side by side, or one above the other if the photo is very
//! wide; below them what the network says, the colour scale and the strongest segments; then one
//! line with what a reader needs to judge and repeat the numbers.

use maud::{Markup, html};

use super::colour::{self, INK, MUTED, RULE};
use super::fonts::{self, Weight, ellipsize, wrap};
use super::image_report::{ExplainedClass, ImageReport, Scale};
use super::number::{Rounding, count, counted, output, r_squared};
use super::overlay::{Drawing, TOP, badge, number};
use crate::Result;

const MARGIN: f64 = 40.0;
const GUTTER: f64 = 28.0;
/// The width of the content, in points; photos decide within these bounds.
const NARROWEST: f64 = 760.0;
const WIDEST: f64 = 1000.0;
/// The tallest a panel may get.
const TALLEST: f64 = 620.0;
/// Photos wider than this many times their height are stacked.
const WIDE: f64 = 2.4;
const ROW: f64 = 24.0;

/// Where the panels lie.
struct Layout {
    content: f64,
    panel: (f64, f64),
    columns: [f64; 2],
    column: f64,
    stacked: bool,
}

impl Layout {
    fn new(drawing: &Drawing) -> Self {
        let aspect = f64::from(drawing.width) / f64::from(drawing.height);
        let stacked = aspect > WIDE;
        let widest = if stacked { WIDEST } else { (WIDEST - GUTTER) / 2.0 };
        let width = widest.min(TALLEST * aspect);
        let panels = if stacked { width } else { 2.0 * width + GUTTER };
        let content = panels.clamp(NARROWEST, WIDEST);
        let column = (content - GUTTER) / 2.0;
        Layout {
            content,
            // A photo of one row or column of pixels still shows as a line.
            panel: (width.max(4.0), (width / aspect).max(4.0)),
            columns: [MARGIN, MARGIN + column + GUTTER],
            column,
            stacked,
        }
    }

    /// The top left corners of the two panels, and where they end.
    fn panels(&self, top: f64) -> ([(f64, f64); 2], f64) {
        let (width, height) = self.panel;
        if self.stacked {
            let below = top + height + 34.0;
            ([(MARGIN, top), (MARGIN, below)], below + height)
        } else {
            let inset = (self.column - width) / 2.0;
            (self.columns.map(|x| (x + inset, top)), top + height)
        }
    }
}

/// Draws the explanation of `class`, one of the report's, as SVG text.
pub(super) fn figure(
    report: &ImageReport,
    class: &ExplainedClass,
    drawing: &Drawing,
    warnings: &[String],
) -> Result<String> {
    let layout = Layout::new(drawing);
    let saliency = drawing.saliency(class)?;
    let (header, top) = header(report, class, &layout);
    let (places, bottom) = layout.panels(top + 22.0);
    let [left, right] = layout.columns;
    let text = bottom + 40.0;
    let (prediction, low) = prediction(report, class, left, text, layout.column);
    let (scale, list) = colour_scale(class, right, text, layout.column);
    let (strongest, lower) = strongest(class, right, list + 36.0, layout.column);
    let (fit, low) = fit(class, left, low + 24.0, layout.column);
    let (footer, end) = footer(report, class, &layout, low.max(lower) + 22.0, warnings);

    let (w, h) = (layout.content + 2.0 * MARGIN, end + 28.0);
    let (panel_w, panel_h) = layout.panel;
    // A point in drawing pixels: marks have the same size on every photo.
    let unit = f64::from(drawing.width) / panel_w;
    let size = (drawing.width, drawing.height);
    let title = format!("Why {}? {} of {}", class.name, report.method, report.network);
    let captions = [
        format!("Photo · {} × {} px", report.photo.width(), report.photo.height()),
        format!("Saliency map · {}", counted(report.segments.count as u64, "segment")),
    ];
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(number(w)) height=(number(h))
            viewBox={ "0 0 " (number(w)) " " (number(h)) }
            font-family={ "'" (fonts::FAMILY) "', Verdana, sans-serif" } role="img" {
            title { (fonts::drawable(&title)) }
            defs {
                image id="photo" width=(size.0) height=(size.1) href=(drawing.photo)
                    preserveAspectRatio="none" {}
                (quiet_filter())
                (gradient())
            }
            rect width="100%" height="100%" fill="#ffffff" {}
            (header)
            @for (caption, (x, y)) in captions.iter().zip(places) {
                text x=(number(x)) y=(number(y - 9.0)) font-size="12" fill=(MUTED) { (caption) }
            }
            (panel(places[0], layout.panel, size, &html! { use href="#photo" {} }))
            (panel(places[1], layout.panel, size, &html! {
                use href="#photo" filter="url(#quiet)" {}
                image width=(size.0) height=(size.1) href=(saliency) preserveAspectRatio="none" {}
                (drawing.marks(class, &class.strongest(TOP), unit))
            }))
            @for (x, y) in places {
                rect x=(number(x)) y=(number(y)) width=(number(panel_w)) height=(number(panel_h))
                    fill="none" stroke="#000000" stroke-opacity="0.18" {}
            }
            (prediction) (fit) (scale) (strongest) (footer)
        }
    };
    Ok(markup.into_string())
}

/// A grey, lightened photo, on which only the map has colour.
pub(super) fn quiet_filter() -> Markup {
    html! {
        filter id="quiet" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1" {
            feColorMatrix type="matrix"
                values="0.14 0.47 0.05 0 0.32 0.14 0.47 0.05 0 0.32 0.14 0.47 0.05 0 0.32 0 0 0 1 0" {}
        }
    }
}

fn gradient() -> Markup {
    let stop = |offset: &str, positive: bool, t: f64| {
        html! {
            stop offset=(offset) stop-color=(colour::hex(colour::end(positive)))
                stop-opacity=(number(colour::opacity(t))) {}
        }
    };
    html! {
        linearGradient id="scale" {
            (stop("0", false, -1.0)) (stop("0.5", false, 0.0))
            (stop("0.5", true, 0.0)) (stop("1", true, 1.0))
        }
    }
}

/// A window of drawing pixels at a place of the figure.
fn panel((x, y): (f64, f64), (w, h): (f64, f64), size: (u32, u32), content: &Markup) -> Markup {
    html! {
        svg x=(number(x)) y=(number(y)) width=(number(w)) height=(number(h))
            viewBox={ "0 0 " (size.0) " " (size.1) } preserveAspectRatio="none" { (content) }
    }
}

fn header(report: &ImageReport, class: &ExplainedClass, layout: &Layout) -> (Markup, f64) {
    let value = output(class.scale, class.value);
    let value_width = fonts::width(&value, 26.0, Weight::Bold);
    let room = layout.content - value_width - 40.0;
    // Of a long list of names the first says enough.
    let whole = fonts::width(&class.name, 26.0, Weight::Bold) <= room;
    let name = if whole { &class.name } else { class.short_name() };
    let lines = wrap(name, 26.0, Weight::Bold, room, 2);
    let above = format!("{} · {}", report.method, report.network);
    let right = MARGIN + layout.content;
    let baseline = MARGIN + 36.0;
    let markup = html! {
        text x=(MARGIN) y=(MARGIN + 4.0) font-size="13" fill=(MUTED) {
            (ellipsize(&above, 13.0, Weight::Regular, layout.content - 160.0))
        }
        text x=(number(right)) y=(MARGIN + 4.0) font-size="13" fill=(MUTED) text-anchor="end" {
            (class.scale.name())
        }
        @for (i, line) in lines.iter().enumerate() {
            text x=(MARGIN) y=(number(baseline + 32.0 * i as f64)) font-size="26" font-weight="700"
                fill=(INK) { (line) }
        }
        text x=(number(right)) y=(number(baseline)) font-size="26" font-weight="700" fill=(INK)
            text-anchor="end" { (value) }
    };
    (markup, baseline + 32.0 * (lines.len() - 1) as f64 + 20.0)
}

fn heading(text: &str, x: f64, y: f64, column: f64) -> Markup {
    html! {
        text x=(number(x)) y=(number(y)) font-size="13" font-weight="700" fill=(INK) {
            (ellipsize(text, 13.0, Weight::Bold, column))
        }
    }
}

/// Maps values onto a stretch of the figure that contains zero.
struct Axis {
    low: f64,
    high: f64,
    x: f64,
    length: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, x: f64, length: f64) -> Self {
        let (low, high) = values.fold((0f64, 0f64), |(l, h), v| (l.min(v), h.max(v)));
        Axis { low, high, x, length }
    }

    fn at(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        if span > 0.0 { self.x + self.length * ((value - self.low) / span) } else { self.x }
    }

    fn bar(&self, value: f64, y: f64, height: f64, fill: &str) -> Markup {
        let (a, b) = (self.at(value.min(0.0)), self.at(value.max(0.0)));
        html! {
            rect x=(number(a)) y=(number(y)) width=(number((b - a).max(1.0))) height=(number(height))
                rx="1.5" fill=(fill) {}
        }
    }
}

fn prediction(report: &ImageReport, class: &ExplainedClass, x: f64, y: f64, column: f64) -> (Markup, f64) {
    let top: Vec<_> = report.prediction.iter().filter(|(_, v)| v.is_finite()).take(5).collect();
    let values: Vec<String> = top.iter().map(|(_, v)| output(report.prediction_scale, *v)).collect();
    let value_width = values.iter().map(|v| fonts::width(v, 12.0, Weight::Bold)).fold(56.0, f64::max);
    let name_width = column * 0.46;
    let start = x + name_width + 12.0;
    // Probabilities are drawn against certainty, so that a hesitant network looks hesitant.
    let whole = (report.prediction_scale == Scale::Probability).then_some(1.0);
    let ends = top.iter().map(|(_, v)| *v).chain(whole);
    let axis = Axis::new(ends, start, column - name_width - 24.0 - value_width);
    let markup = html! {
        (heading("The network’s answer", x, y, column))
        @for (i, (name, value)) in top.iter().enumerate() {
            @let y = y + 26.0 + ROW * i as f64;
            @let weight = if *name == class.name { Weight::Bold } else { Weight::Regular };
            @let css = if weight == Weight::Bold { "700" } else { "400" };
            text x=(number(x)) y=(number(y)) font-size="12" font-weight=(css) fill=(INK) {
                (ellipsize(name, 12.0, weight, name_width))
            }
            @if whole.is_some() {
                (axis.bar(1.0, y - 9.5, 11.0, "#eef1f4"))
            }
            (axis.bar(*value, y - 9.5, 11.0, if weight == Weight::Bold { INK } else { colour::BAR }))
            text x=(number(x + column)) y=(number(y)) font-size="12" font-weight=(css) fill=(INK)
                text-anchor="end" { (values[i]) }
        }
    };
    (markup, y + 8.0 + ROW * top.len() as f64)
}

/// What the surrogate makes of the photo, beside what the network says.
fn fit(class: &ExplainedClass, x: f64, y: f64, column: f64) -> (Markup, f64) {
    let facts = [
        ("Weighted R² (1 is a perfect fit)", r_squared(class.r_squared)),
        ("Intercept and weights add up to", output(class.scale, class.local_prediction)),
    ];
    let markup = html! {
        (heading("Fit of the weights", x, y, column))
        @for (i, (name, value)) in facts.iter().enumerate() {
            @let y = number(y + 24.0 + 20.0 * i as f64);
            text x=(number(x)) y=(y) font-size="12" fill=(MUTED) { (name) }
            text x=(number(x + column)) y=(y) font-size="12" fill=(INK) text-anchor="end" { (value) }
        }
    };
    (markup, y + 24.0 + 26.0)
}

fn colour_scale(class: &ExplainedClass, x: f64, y: f64, column: f64) -> (Markup, f64) {
    let largest = class.largest();
    let round = Rounding::for_largest(largest);
    let tail = " when the segment is shown";
    let around = format!("Effect on {}{tail}", class.scale.of(""));
    let room = column - fonts::width(&around, 13.0, Weight::Bold);
    let name = ellipsize(class.short_name(), 13.0, Weight::Bold, room.max(30.0));
    let label = format!("Effect on {}{tail}", class.scale.of(&name));
    let bar = y + 13.0;
    let tick = |x: f64, anchor: &str, text: String| {
        html! {
            text x=(number(x)) y=(number(bar + 28.0)) font-size="11.5" fill=(MUTED) text-anchor=(anchor) {
                (text)
            }
        }
    };
    let markup = html! {
        (heading(&label, x, y, column))
        rect x=(number(x)) y=(number(bar)) width=(number(column)) height="13" fill="url(#scale)"
            stroke=(RULE) stroke-width="0.8" {}
        @if largest > 0.0 {
            (tick(x, "start", format!("{} against", round.signed(-largest))))
            (tick(x + column / 2.0, "middle", "0".into()))
            (tick(x + column, "end", format!("for {}", round.signed(largest))))
        } @else {
            (tick(x + column / 2.0, "middle", "0: no segment has an effect".into()))
        }
    };
    (markup, bar + 28.0)
}

fn strongest(class: &ExplainedClass, x: f64, y: f64, column: f64) -> (Markup, f64) {
    let top = class.strongest(TOP);
    if top.is_empty() {
        return (html! {}, y - 30.0);
    }
    let round = Rounding::for_largest(class.largest());
    let error = |s: usize| class.standard_error(s);
    let text = |s: usize| match error(s) {
        Some(e) => format!("{} ± {}", round.signed(class.weights[s]), round.plain(e)),
        None => round.signed(class.weights[s]),
    };
    let texts: Vec<String> = top.iter().map(|&s| text(s)).collect();
    let text_width = texts.iter().map(|t| fonts::width(t, 12.0, Weight::Regular)).fold(0.0, f64::max);
    let ends = top.iter().flat_map(|&s| {
        let (w, e) = (class.weights[s], error(s).unwrap_or(0.0));
        [w - e, w + e]
    });
    let axis = Axis::new(ends, x + 30.0, column - 30.0 - 18.0 - text_width);
    let errors = if class.standard_errors.is_some() { " ± standard error" } else { "" };
    let shown = if top.len() == 1 {
        "The strongest segment".into()
    } else {
        format!("The {} strongest segments", top.len())
    };
    let end = y + 8.0 + ROW * top.len() as f64;
    let zero = axis.at(0.0);
    let markup = html! {
        (heading(&shown, x, y, column))
        text x=(number(x + column)) y=(number(y)) font-size="11.5" fill=(MUTED) text-anchor="end" {
            "effect" (errors)
        }
        @for (i, &segment) in top.iter().enumerate() {
            @let y = y + 26.0 + ROW * i as f64;
            @let weight = class.weights[segment];
            (badge(i + 1, weight > 0.0, (x + 9.5, y - 4.0), 1.0))
            (axis.bar(weight, y - 9.5, 11.0, &colour::hex(colour::end(weight > 0.0))))
            @if let Some(e) = error(segment) {
                @let (a, b) = (axis.at(weight - e), axis.at(weight + e));
                path d=(format!("M{} {}H{}", number(a), number(y - 4.0), number(b)))
                    stroke=(INK) stroke-width="1.2" {}
                @for at in [a, b] {
                    path d=(format!("M{} {}v5", number(at), number(y - 6.5))) stroke=(INK) stroke-width="1.2" {}
                }
            }
            text x=(number(x + column)) y=(number(y)) font-size="12" fill=(INK) text-anchor="end" {
                (texts[i])
            }
        }
        path d=(format!("M{} {}V{}", number(zero), number(y + 12.0), number(end - 2.0)))
            stroke=(INK) stroke-width="0.8" {}
    };
    (markup, end)
}

fn footer(
    report: &ImageReport,
    class: &ExplainedClass,
    layout: &Layout,
    y: f64,
    warnings: &[String],
) -> (Markup, f64) {
    let line = format!(
        "{} · {} · {} · weighted R² {} · seed {} · {}",
        report.method,
        counted(report.evaluations, "sample"),
        counted(report.segments.count as u64, "segment"),
        r_squared(class.r_squared),
        report.seed,
        report.device,
    );
    let noted = warnings.first().map(|first| match warnings.len() {
        1 => format!("⚠ {first}"),
        n => format!("⚠ {} warnings; the first: {first}", count(n as u64)),
    });
    let markup = html! {
        path d=(format!("M{MARGIN} {}h{}", number(y), number(layout.content))) stroke=(RULE) {}
        text x=(MARGIN) y=(number(y + 21.0)) font-size="11" fill=(MUTED) {
            (ellipsize(&line, 11.0, Weight::Regular, layout.content))
        }
        @if let Some(noted) = &noted {
            text x=(MARGIN) y=(number(y + 38.0)) font-size="11" fill=(colour::WARNING) {
                (ellipsize(noted, 11.0, Weight::Regular, layout.content))
            }
        }
    };
    (markup, y + if noted.is_some() { 38.0 } else { 21.0 })
}
