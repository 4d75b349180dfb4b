//! A sheet to draw on: marks and measured text, given as SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, html};

use super::theme::{self, Theme};
use super::{Lettering, PlotOptions};
use crate::report::fonts::{self, Weight};

/// How a line of text is set.
#[derive(Clone, Copy)]
pub(super) struct Pen<'a> {
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) fill: &'a str,
    pub(super) anchor: Anchor,
}

/// Which point of a line of text its place names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl<'a> Pen<'a> {
    pub(super) fn new(size: f64, fill: &'a str) -> Self {
        Pen { size, weight: Weight::Regular, fill, anchor: Anchor::Start }
    }

    pub(super) fn bold(self) -> Self {
        Pen { weight: Weight::Bold, ..self }
    }

    pub(super) fn middle(self) -> Self {
        Pen { anchor: Anchor::Middle, ..self }
    }

    pub(super) fn end(self) -> Self {
        Pen { anchor: Anchor::End, ..self }
    }

    pub(super) fn fill(self, fill: &'a str) -> Self {
        Pen { fill, ..self }
    }

    /// The width of a text as it will be drawn.
    pub(super) fn width(&self, text: &str) -> f64 {
        fonts::width(&fonts::drawable(text), self.size, self.weight)
    }
}

/// A dot of a scatter.
pub(super) struct Dot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) colour: [u8; 3],
    pub(super) note: String,
}

/// Above this many dots each has no note of its own, and dots of one colour are one path.
const MANY_DOTS: usize = 3000;

/// A picture in the making. Sizes are points, y grows downwards.
pub(super) struct Canvas {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) theme: &'static Theme,
    pub(super) lettering: Lettering,
    body: String,
    /// The outlines in use, by their name.
    glyphs: BTreeMap<String, String>,
}

impl Canvas {
    pub(super) fn new(width: f64, options: &PlotOptions) -> Self {
        Canvas {
            width,
            height: 0.0,
            theme: options.theme.theme(),
            lettering: options.lettering,
            body: String::new(),
            glyphs: BTreeMap::new(),
        }
    }

    fn push(&mut self, markup: Markup) {
        self.body.push_str(&markup.into_string());
        self.body.push('\n');
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, fill: &str, note: &str) {
        let (w, h) = (n(w.max(0.0)), n(h.max(0.0)));
        self.push(html! { rect x=(n(x)) y=(n(y)) width=(w) height=(h) fill=(fill) { (tip(note)) } });
    }

    /// A rectangle with round corners.
    pub(super) fn pill(&mut self, (x, y, w, h): (f64, f64, f64, f64), radius: f64, fill: &str, note: &str) {
        let (w, h) = (n(w.max(0.0)), n(h.max(0.0)));
        self.push(html! {
            rect x=(n(x)) y=(n(y)) width=(w) height=(h) rx=(n(radius)) fill=(fill) { (tip(note)) }
        });
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        self.path(&format!("M{} {}L{} {}", n(from.0), n(from.1), n(to.0), n(to.1)), stroke, width, None, 1.0);
    }

    pub(super) fn dashed(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str) {
        let d = format!("M{} {}L{} {}", n(from.0), n(from.1), n(to.0), n(to.1));
        self.path(&d, stroke, 1.0, Some("2 3"), 1.0);
    }

    pub(super) fn path(&mut self, d: &str, stroke: &str, width: f64, dash: Option<&str>, opacity: f64) {
        self.push(html! {
            path d=(d) fill="none" stroke=(stroke) stroke-width=(n(width)) stroke-dasharray=[dash]
                stroke-opacity=[(opacity < 1.0).then(|| n(opacity))] {}
        });
    }

    /// A line with a note.
    pub(super) fn curve(&mut self, d: &str, stroke: &str, width: f64, opacity: f64, note: &str) {
        self.push(html! {
            path d=(d) fill="none" stroke=(stroke) stroke-width=(n(width)) stroke-opacity=(n(opacity))
                stroke-linecap="round" { (tip(note)) }
        });
    }

    /// A raster picture whose pixels stay crisp.
    pub(super) fn picture(&mut self, (x, y, w, h): (f64, f64, f64, f64), uri: &str) {
        self.push(html! {
            image x=(n(x)) y=(n(y)) width=(n(w)) height=(n(h)) href=(uri) preserveAspectRatio="none"
                image-rendering="optimizeSpeed" style="image-rendering:pixelated" {}
        });
    }

    /// A thin border.
    pub(super) fn frame(&mut self, (x, y, w, h): (f64, f64, f64, f64)) {
        let rule = self.theme.rule;
        self.push(html! {
            rect x=(n(x)) y=(n(y)) width=(n(w)) height=(n(h)) fill="none" stroke=(rule) {}
        });
    }

    pub(super) fn shape(&mut self, points: &[(f64, f64)], fill: &str, note: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", n(*x), n(*y))).collect();
        self.push(html! { polygon points=(points.join(" ")) fill=(fill) { (tip(note)) } });
    }

    pub(super) fn circle(&mut self, x: f64, y: f64, r: f64, fill: &str, note: &str) {
        self.push(html! { circle cx=(n(x)) cy=(n(y)) r=(n(r)) fill=(fill) { (tip(note)) } });
    }

    /// Dots of one radius, the first at the bottom. Few dots carry their notes; many are paths by colour.
    pub(super) fn dots(&mut self, dots: &[Dot], r: f64, noted: usize) {
        if noted <= MANY_DOTS {
            for dot in dots {
                self.circle(dot.x, dot.y, r, &theme::hex(dot.colour), &dot.note);
            }
            return;
        }
        let mut paths: BTreeMap<[u8; 3], String> = BTreeMap::new();
        for dot in dots {
            // A line of almost no length with round ends; not every renderer draws one of none.
            let path = paths.entry(dot.colour).or_default();
            let _ = write!(path, "M{} {}h.01", n(dot.x), n(dot.y));
        }
        for (colour, d) in paths {
            self.push(html! {
                path d=(d) stroke=(theme::hex(colour)) stroke-width=(n(2.0 * r)) stroke-linecap="round" fill="none" {}
            });
        }
    }

    /// A vertical colour scale of `steps` colours, the last on top.
    pub(super) fn colour_bar(&mut self, (x, y, w, h): (f64, f64, f64, f64), colour: impl Fn(f64) -> [u8; 3]) {
        const STEPS: usize = 64;
        let step = h / STEPS as f64;
        for i in 0..STEPS {
            let t = 1.0 - (i as f64 + 0.5) / STEPS as f64;
            // A little overlap, or hairlines show between the steps.
            let overlap = if i + 1 < STEPS { 0.6 } else { 0.0 };
            self.rect(x, y + step * i as f64, w, step + overlap, &theme::hex(colour(t)), "");
        }
    }

    /// One line of text with its baseline at `y`; gives where it begins and ends.
    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, pen: Pen) -> (f64, f64) {
        let width = pen.width(text);
        let start = match pen.anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        self.letters(&format!("translate({} {})", n(start), n(y)), text, width, pen);
        (start, start + width)
    }

    /// Text that reads upwards, its middle at (x, y), its baseline at `x`.
    /// As [`Canvas::text`], on a patch of paper that covers lines below it.
    pub(super) fn text_over(&mut self, x: f64, y: f64, text: &str, pen: Pen) -> (f64, f64) {
        let (width, size) = (pen.width(text), pen.size);
        let start = match pen.anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let paper = self.theme.paper;
        self.rect(start - 2.0, y - size * 0.85, width + 4.0, size * 1.1, paper, "");
        self.text(x, y, text, pen)
    }

    pub(super) fn text_up(&mut self, x: f64, y: f64, text: &str, pen: Pen) {
        let width = pen.width(text);
        let place = format!("translate({} {})rotate(-90)", n(x), n(y + width / 2.0));
        self.letters(&place, text, width, pen);
    }

    fn letters(&mut self, place: &str, text: &str, width: f64, pen: Pen) {
        let text = fonts::drawable(text);
        if text.trim().is_empty() {
            return;
        }
        let bold = pen.weight == Weight::Bold;
        if self.lettering == Lettering::Text {
            // A machine without the font fits what it has into the measured width.
            self.push(html! {
                text transform=(place) font-size=(n(pen.size)) font-weight=[bold.then_some("700")] fill=(pen.fill)
                    textLength=(n(width)) lengthAdjust="spacingAndGlyphs" { (text) }
            });
            return;
        }
        let mut uses = String::new();
        for glyph in fonts::set(&text, pen.weight) {
            let id = format!("{}{}", if glyph.weight == Weight::Bold { "b" } else { "r" }, glyph.id);
            if !glyph.outline.is_empty() {
                let _ = write!(uses, r##"<use href="#{id}" x="{}"/>"##, glyph.x);
                self.glyphs.entry(id).or_insert(glyph.outline);
            }
        }
        let scale = pen.size / fonts::EM;
        let place = format!("{place}scale({scale:.6} {:.6})", -scale);
        self.push(html! {
            g transform=(place) fill=(pen.fill) role="img" aria-label=(text) { (maud::PreEscaped(uses)) }
        });
    }

    /// The picture as an SVG document.
    pub(super) fn finish(self, title: &str) -> String {
        let (w, h) = (n(self.width), n(self.height));
        let outlined = self.lettering == Lettering::Outlines;
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(w) height=(h) viewBox={ "0 0 " (w) " " (h) }
                font-family=[(!outlined).then(|| format!("'{}', Verdana, sans-serif", fonts::FAMILY))]
                font-kerning=[(!outlined).then_some("none")] xml:space=[(!outlined).then_some("preserve")] role="img" aria-label=(fonts::drawable(title)) {
                @if !self.glyphs.is_empty() {
                    defs {
                        @for (id, outline) in &self.glyphs { path id=(id) d=(outline) {} }
                    }
                }
                rect class="paper" width=(w) height=(h) fill=(self.theme.paper) {}
                "\n" (maud::PreEscaped(self.body))
            }
        };
        markup.into_string()
    }
}

/// What hovering a mark tells. The reader's machine shows it, in fonts that may have what ours lacks; only what XML forbids must
/// go.
fn tip(note: &str) -> Markup {
    let legal = |c: char| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c };
    html! { @if !note.is_empty() { title { (note.chars().map(legal).collect::<String>()) } } }
}

/// A coordinate with at most two decimals.
pub(super) fn n(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}
