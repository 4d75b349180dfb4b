//! `explanation.svg` and `explanation.png`: one class explained in one picture, fit to print.
//!
//! The photo and its saliency map stand side by side, or one above the other if the photo is very
//! wide; below them what the network says, the colour scale and the strongest segments; then one
//! line with what a reader needs to judge and repeat the numbers.

use maud::{Markup, html};

use super::colour;
use super::fonts::{self, Weight, ellipsize, wrap};
use super::image_report::{ExplainedClass, ImageReport, Scale};
use super::number::{Rounding, count, counted, output, r_squared};
use super::overlay::{Drawing, badge, number};
use super::plot::theme::Theme;
use super::{FigureOptions, View};
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
///
/// # Errors
/// [`Error::Parameter`](crate::Error::Parameter) for a view that the explanation has nothing for;
/// [`Error::Limits`](crate::Error::Limits) if a layer cannot be encoded.
pub(super) fn figure(
    report: &ImageReport,
    class: &ExplainedClass,
    drawing: &Drawing,
    warnings: &[String],
    options: &FigureOptions,
) -> Result<String> {
    let layout = Layout::new(drawing);
    let (view, theme) = (options.view, options.theme.theme());
    let paper = theme.paper_rgb();
    let outside = if let View::Top(_) = view { [paper[0], paper[1], paper[2], 255] } else { [0; 4] };
    let layer = drawing.layer(&view.colours(class, view.largest(class)?, paper), outside)?;
    // Segments and cut-outs show the photo's own colours, a map lies on grey.
    let quiet = if let View::Top(_) | View::Segments = view { None } else { Some("url(#quiet)") };
    let (header, top) = header(report, class, &layout, theme);
    let (places, bottom) = layout.panels(top + 22.0);
    let [left, right] = layout.columns;
    let text = bottom + 40.0;
    let (prediction, low) = prediction(report, class, (left, text), layout.column, theme);
    let (scale, list) = colour_scale(class, view, (right, text), layout.column, theme);
    let (strongest, lower) = strongest(class, view, (right, list + 36.0), layout.column, theme);
    let (fit, low) = fit(report, class, (left, low + 24.0), layout.column, theme);
    let (footer, end) = footer(report, class, &layout, low.max(lower) + 22.0, warnings, theme);

    let (w, h) = (layout.content + 2.0 * MARGIN, end + 28.0);
    let (panel_w, panel_h) = layout.panel;
    // A point in drawing pixels: marks have the same size on every photo.
    let unit = f64::from(drawing.width) / panel_w;
    let size = (drawing.width, drawing.height);
    let title = format!("Why {}? {} of {}", class.name, report.method, report.network);
    let captions = [
        format!("Photo · {} × {} px", report.photo.width(), report.photo.height()),
        caption(report, class, view),
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
                (gradient(view))
            }
            rect width="100%" height="100%" fill=(theme.paper) {}
            (header)
            @for (caption, (x, y)) in captions.iter().zip(places) {
                text x=(number(x)) y=(number(y - 9.0)) font-size="12" fill=(theme.muted) { (caption) }
            }
            (panel(places[0], layout.panel, size, &html! { use href="#photo" {} }))
            (panel(places[1], layout.panel, size, &html! {
                use href="#photo" filter=[quiet] {}
                image width=(size.0) height=(size.1) href=(layer) preserveAspectRatio="none" {}
                @if view == View::Segments { (drawing.boundaries(unit)) }
                (drawing.marks(class, &view.segments(class), unit))
            }))
            @for (x, y) in places {
                rect x=(number(x)) y=(number(y)) width=(number(panel_w)) height=(number(panel_h))
                    fill="none" stroke=(theme.ink) stroke-opacity="0.18" {}
            }
            (prediction) (fit) (scale) (strongest) (footer)
        }
    };
    Ok(markup.into_string())
}

/// What the second panel shows.
fn caption(report: &ImageReport, class: &ExplainedClass, view: View) -> String {
    let segments = counted(report.segments.count as u64, "segment");
    match view {
        View::Overlay | View::Classes => format!("Saliency map · {segments}"),
        View::Segments => segments,
        View::Positive => "Saliency map · what speaks for it".into(),
        View::Negative => "Saliency map · what speaks against it".into(),
        View::Top(_) => match view.segments(class).len() {
            1 => "The segment that speaks most for it".into(),
            n => format!("The {n} segments that speak most for it"),
        },
        View::Errors => format!("Standard errors · {segments}"),
    }
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

/// The colours of a view's scale, from left to right.
pub(super) fn gradient(view: View) -> Markup {
    let stop = |offset: &str, colour: [u8; 3], t: f64| {
        html! {
            stop offset=(offset) stop-color=(colour::hex(colour)) stop-opacity=(number(colour::opacity(t))) {}
        }
    };
    let (against, for_) = (colour::end(false), colour::end(true));
    html! {
        linearGradient id="scale" {
            @if view == View::Errors {
                (stop("0", colour::amount_end(), 0.0)) (stop("1", colour::amount_end(), 1.0))
            } @else {
                (stop("0", against, -1.0)) (stop("0.5", against, 0.0))
                (stop("0.5", for_, 0.0)) (stop("1", for_, 1.0))
            }
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

fn header(report: &ImageReport, class: &ExplainedClass, layout: &Layout, theme: &Theme) -> (Markup, f64) {
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
        text x=(MARGIN) y=(MARGIN + 4.0) font-size="13" fill=(theme.muted) {
            (ellipsize(&above, 13.0, Weight::Regular, layout.content - 160.0))
        }
        text x=(number(right)) y=(MARGIN + 4.0) font-size="13" fill=(theme.muted) text-anchor="end" {
            (class.scale.name())
        }
        @for (i, line) in lines.iter().enumerate() {
            text x=(MARGIN) y=(number(baseline + 32.0 * i as f64)) font-size="26" font-weight="700"
                fill=(theme.ink) { (line) }
        }
        text x=(number(right)) y=(number(baseline)) font-size="26" font-weight="700" fill=(theme.ink)
            text-anchor="end" { (value) }
    };
    (markup, baseline + 32.0 * (lines.len() - 1) as f64 + 20.0)
}

pub(super) fn heading(text: &str, x: f64, y: f64, column: f64, theme: &Theme) -> Markup {
    html! {
        text x=(number(x)) y=(number(y)) font-size="13" font-weight="700" fill=(theme.ink) {
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

fn prediction(
    report: &ImageReport,
    class: &ExplainedClass,
    (x, y): (f64, f64),
    column: f64,
    theme: &Theme,
) -> (Markup, f64) {
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
        (heading("The network’s answer", x, y, column, theme))
        @for (i, (name, value)) in top.iter().enumerate() {
            @let y = y + 26.0 + ROW * i as f64;
            @let weight = if *name == class.name { Weight::Bold } else { Weight::Regular };
            @let css = if weight == Weight::Bold { "700" } else { "400" };
            text x=(number(x)) y=(number(y)) font-size="12" font-weight=(css) fill=(theme.ink) {
                (ellipsize(name, 12.0, weight, name_width))
            }
            @if whole.is_some() {
                (axis.bar(1.0, y - 9.5, 11.0, theme.rule))
            }
            (axis.bar(*value, y - 9.5, 11.0, if weight == Weight::Bold { theme.ink } else { theme.grey }))
            text x=(number(x + column)) y=(number(y)) font-size="12" font-weight=(css) fill=(theme.ink)
                text-anchor="end" { (values[i]) }
        }
    };
    (markup, y + 8.0 + ROW * top.len() as f64)
}

/// How the weights fit what the network says.
fn fit(
    report: &ImageReport,
    class: &ExplainedClass,
    (x, y): (f64, f64),
    column: f64,
    theme: &Theme,
) -> (Markup, f64) {
    let (base, sum) = (output(class.scale, class.intercept), output(class.scale, class.local_prediction));
    let mut facts = if report.surrogate {
        vec![
            ("Weighted R² (1 is a perfect fit)", r_squared(class.r_squared)),
            ("Intercept and weights add up to", sum),
        ]
    } else {
        vec![("Base value: no segment shown", base), ("Base value and effects add up to", sum)]
    };
    if let Some(stability) = &class.stability {
        let whole = Rounding::Decimals(0);
        let indices = [stability.variables, stability.coefficients].map(|x| whole.plain(x)).join(" / ");
        facts.push(("Stability of segments / effects, of 100", indices));
    }
    let title = if report.surrogate { "Fit of the weights" } else { "What the effects add up to" };
    let markup = html! {
        (heading(title, x, y, column, theme))
        @for (i, (name, value)) in facts.iter().enumerate() {
            @let y = number(y + 24.0 + 20.0 * i as f64);
            text x=(number(x)) y=(y) font-size="12" fill=(theme.muted) { (name) }
            text x=(number(x + column)) y=(y) font-size="12" fill=(theme.ink) text-anchor="end" { (value) }
        }
    };
    (markup, y + 10.0 + 20.0 * facts.len() as f64)
}

fn colour_scale(
    class: &ExplainedClass,
    view: View,
    (x, y): (f64, f64),
    column: f64,
    theme: &Theme,
) -> (Markup, f64) {
    // The view has been drawn with this scale already.
    let largest = view.largest(class).unwrap_or(0.0);
    let round = Rounding::for_largest(largest);
    let (before, tail) = match view {
        View::Errors => ("Standard error of the effect on", ""),
        _ => ("Effect on", " when the segment is shown"),
    };
    let around = format!("{before} {}{tail}", class.scale.of(""));
    let room = column - fonts::width(&around, 13.0, Weight::Bold);
    let name = ellipsize(class.short_name(), 13.0, Weight::Bold, room.max(30.0));
    let label = format!("{before} {}{tail}", class.scale.of(&name));
    let ends = match view {
        View::Errors => ["0".into(), round.plain(largest / 2.0), round.plain(largest)],
        _ => {
            let ends = [round.signed(-largest), round.signed(largest)];
            [format!("{} against", ends[0]), "0".into(), format!("for {}", ends[1])]
        }
    };
    let bar = y + 13.0;
    let empty = "0: no segment has an effect";
    let markup = html! {
        (heading(&label, x, y, column, theme))
        @if largest > 0.0 {
            (scale_bar((x, bar), column, &ends, theme))
        } @else {
            (scale_bar((x, bar), column, &[String::new(), empty.into(), String::new()], theme))
        }
    };
    (markup, bar + 28.0)
}

/// The colour bar with what its ends and its middle stand for. The map lies on light grey, so the bar does too, in the
/// dark as well.
pub(super) fn scale_bar((x, y): (f64, f64), length: f64, ticks: &[String; 3], theme: &Theme) -> Markup {
    let places = [(x, "start"), (x + length / 2.0, "middle"), (x + length, "end")];
    html! {
        rect x=(number(x)) y=(number(y)) width=(number(length)) height="13" fill="#ffffff" {}
        rect x=(number(x)) y=(number(y)) width=(number(length)) height="13" fill="url(#scale)"
            stroke=(theme.rule) stroke-width="0.8" {}
        @for (text, (x, anchor)) in ticks.iter().zip(places) {
            text x=(number(x)) y=(number(y + 28.0)) font-size="11.5" fill=(theme.muted) text-anchor=(anchor) {
                (text)
            }
        }
    }
}

fn strongest(
    class: &ExplainedClass,
    view: View,
    (x, y): (f64, f64),
    column: f64,
    theme: &Theme,
) -> (Markup, f64) {
    let top = match view {
        View::Errors | View::Classes => class.strongest(super::TOP),
        // As many as have room.
        _ => view.segments(class).into_iter().take(12).collect(),
    };
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
    let kind = match view {
        View::Positive | View::Top(_) => "strongest positive",
        View::Negative => "strongest negative",
        _ => "strongest",
    };
    let shown = match top.len() {
        1 => format!("The {kind} segment"),
        n => format!("The {n} {kind} segments"),
    };
    let end = y + 8.0 + ROW * top.len() as f64;
    let zero = axis.at(0.0);
    let markup = html! {
        (heading(&shown, x, y, column, theme))
        text x=(number(x + column)) y=(number(y)) font-size="11.5" fill=(theme.muted) text-anchor="end" {
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
                    stroke=(theme.ink) stroke-width="1.2" {}
                @for at in [a, b] {
                    path d=(format!("M{} {}v5", number(at), number(y - 6.5))) stroke=(theme.ink) stroke-width="1.2" {}
                }
            }
            text x=(number(x + column)) y=(number(y)) font-size="12" fill=(theme.ink) text-anchor="end" {
                (texts[i])
            }
        }
        path d=(format!("M{} {}V{}", number(zero), number(y + 12.0), number(end - 2.0)))
            stroke=(theme.ink) stroke-width="0.8" {}
    };
    (markup, end)
}

fn footer(
    report: &ImageReport,
    class: &ExplainedClass,
    layout: &Layout,
    y: f64,
    warnings: &[String],
    theme: &Theme,
) -> (Markup, f64) {
    let fit = match report.surrogate {
        true => format!("weighted R² {}", r_squared(class.r_squared)),
        false => format!("additivity gap {}", exact_gap(class)),
    };
    let line = format!(
        "{} · {} · {} · {fit} · seed {} · {}",
        report.method,
        counted(report.evaluations, "sample"),
        counted(report.segments.count as u64, "segment"),
        report.seed,
        report.device,
    );
    let noted = warnings.first().map(|first| match warnings.len() {
        1 => format!("⚠ {first}"),
        n => format!("⚠ {} warnings; the first: {first}", count(n as u64)),
    });
    let markup = html! {
        path d=(format!("M{MARGIN} {}h{}", number(y), number(layout.content))) stroke=(theme.rule) {}
        text x=(MARGIN) y=(number(y + 21.0)) font-size="11" fill=(theme.muted) {
            (ellipsize(&line, 11.0, Weight::Regular, layout.content))
        }
        @if let Some(noted) = &noted {
            text x=(MARGIN) y=(number(y + 38.0)) font-size="11" fill=(theme.warning()) {
                (ellipsize(noted, 11.0, Weight::Regular, layout.content))
            }
        }
    };
    (markup, y + if noted.is_some() { 38.0 } else { 21.0 })
}

/// What the effects leave unexplained, two digits: rounding, as a rule.
pub(super) fn exact_gap(class: &ExplainedClass) -> String {
    match class.additivity_gap() {
        0.0 => "0".into(),
        gap => format!("{gap:.1e}").replace('-', "−"),
    }
}
