//! The photo on the page of an explained photo, its maps, and the switch between what is shown.
//!
//! A map is stored once, as one layer for each sign: the overlay shows both, and side by side the layers stand again by
//! reference, paler by as much as a class's scale is shorter than the longest. Which view is seen is a matter of the style
//! sheet; the script only names it.

use maud::{Markup, html};

use super::View;
use super::figure::quiet_filter;
use super::html::reading;
use super::image_report::{ExplainedClass, ImageReport};
use super::number::{Rounding, counted, output};
use super::overlay::{Drawing, TOP, number};
use crate::Result;

/// The width, in CSS pixels, for which marks on the photo are sized.
const STAGE: f64 = 640.0;

/// The layers of a class's maps as data URIs.
struct Layers {
    positive: String,
    negative: String,
    errors: Option<String>,
}

impl Layers {
    fn new(class: &ExplainedClass, drawing: &Drawing) -> Result<Self> {
        let layer = |view: View, largest: f64| drawing.layer(&view.colours(class, largest, [255; 3]), [0; 4]);
        Ok(Layers {
            positive: layer(View::Positive, class.largest())?,
            negative: layer(View::Negative, class.largest())?,
            errors: known_errors(class).map(|largest| layer(View::Errors, largest)).transpose()?,
        })
    }
}

/// The largest standard error, where there are any.
fn known_errors(class: &ExplainedClass) -> Option<f64> {
    View::Errors.largest(class).ok()
}

/// The views that the report has something for: name, label, and what is seen.
fn views(report: &ImageReport) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut views = vec![
        (
            "overlay",
            "Map",
            "Orange speaks for the class, blue against it; the strongest segments are numbered.",
        ),
        ("segments", "Segments", "The segments that were shown and hidden; the strongest are numbered."),
        ("positive", "For", "Only what speaks for the class."),
        ("negative", "Against", "Only what speaks against the class."),
        ("top", "Cut-out", "The segments that speak most for the class, and nothing else."),
    ];
    if report.classes.iter().any(|class| known_errors(class).is_some()) {
        views.push((
            "errors",
            "Errors",
            "One standard error of each effect: where the map is least certain.",
        ));
    }
    if report.classes.len() > 1 {
        views.push((
            "classes",
            "All classes",
            "The explained classes on one scale; choose one to see it large.",
        ));
    }
    views
}

/// The photo with the maps of each class, and a shape over each segment to point at.
pub(super) fn stage(report: &ImageReport, drawing: &Drawing) -> Result<Markup> {
    let layers: Vec<Layers> =
        report.classes.iter().map(|class| Layers::new(class, drawing)).collect::<Result<_>>()?;
    let (w, h) = (drawing.width, drawing.height);
    let unit = f64::from(w.max(h)) / STAGE;
    let view_box = format!("0 0 {w} {h}");
    let marks = |class: &ExplainedClass, view: View| drawing.marks(class, &view.segments(class), unit);
    let views = views(report);
    Ok(html! {
        figure.stage #stage data-view="overlay" {
            div.switch.views role="group" aria-label="View" {
                @for (i, (name, label, says)) in views.iter().enumerate() {
                    button type="button" data-look=(name) data-says=(says) aria-pressed=(i == 0) { (label) }
                }
            }
            (definitions(report, drawing, &layers))
            svg.photo viewBox=(view_box) role="group" aria-label="Saliency map" aria-describedby="says"
                style={ "--unit:" (unit) "px;--aspect:" (f64::from(w) / f64::from(h)) } {
                use #photo href="#pixels" filter="url(#quiet)" {}
                g #map {
                    @for (i, layers) in layers.iter().enumerate() {
                        g.of-class data-class=(i) {
                            use.layer.for href={ "#for-" (i) } {}
                            use.layer.against href={ "#against-" (i) } {}
                            @if layers.errors.is_some() { use.layer.errors href={ "#errors-" (i) } {} }
                            g.layer.cut {
                                rect width=(w) height=(h) {}
                                use href="#pixels" clip-path={ "url(#cut-" (i) ")" } {}
                            }
                        }
                    }
                }
                g.layer.boundaries aria-hidden="true" { use.wide href="#segments" {} use.thin href="#segments" {} }
                @for (i, class) in report.classes.iter().enumerate() {
                    g.of-class data-class=(i) {
                        g.layer.strongest { (marks(class, View::Overlay)) }
                        g.layer.supporting { (marks(class, View::Positive)) }
                        g.layer.opposing { (marks(class, View::Negative)) }
                    }
                }
                g #segments role="listbox" aria-label="Segments; arrow keys go from strong to weak" {
                    @for segment in 0..report.segments.count {
                        @if !drawing.outlines[segment].is_empty() {
                            path #{ "s" (segment) } data-segment=(segment) role="option" tabindex="-1"
                                d=(drawing.path(segment)) {
                                title { (reading(&report.classes[0], segment)) }
                            }
                        }
                    }
                }
                path #halo {}
                path #ring {}
            }
            @if report.classes.len() > 1 { (panels(report, &view_box)) }
            figcaption {
                p #says aria-live="polite" { (views[0].2) }
                @for (i, class) in report.classes.iter().enumerate() {
                    div.of-class data-class=(i) { (scales(class)) }
                }
                @if report.classes.len() > 1 { (common_scale(report)) }
                output #reading { "Point at a segment, or use the arrow keys, to read its exact effect." }
                div.controls {
                    label { "Map " input #strength type="range" min="0" max="100" value="100"; }
                    label { input #grey type="checkbox" checked; " grey photo" }
                }
            }
        }
    })
}

/// What the views draw by reference. It has to be rendered, so it may not be hidden.
fn definitions(report: &ImageReport, drawing: &Drawing, layers: &[Layers]) -> Markup {
    let (w, h) = (drawing.width, drawing.height);
    let picture = |id: String, data: &str| {
        html! { image #(id) width=(w) height=(h) href=(data) preserveAspectRatio="none" {} }
    };
    let supporting = |class: &ExplainedClass| View::Top(TOP).segments(class);
    html! {
        svg.definitions width="0" height="0" aria-hidden="true" {
            defs {
                (quiet_filter())
                (picture("pixels".into(), &drawing.photo))
                @for (i, (layers, class)) in layers.iter().zip(&report.classes).enumerate() {
                    (picture(format!("for-{i}"), &layers.positive))
                    (picture(format!("against-{i}"), &layers.negative))
                    @if let Some(errors) = &layers.errors { (picture(format!("errors-{i}"), errors)) }
                    clipPath id={ "cut-" (i) } {
                        @for segment in supporting(class) {
                            path d=(drawing.path(segment)) clip-rule="evenodd" {}
                        }
                    }
                }
            }
        }
    }
}

/// The classes side by side on one scale.
fn panels(report: &ImageReport, view_box: &str) -> Markup {
    let largest = report.classes.iter().map(ExplainedClass::largest).fold(0.0, f64::max);
    let part = |class: &ExplainedClass| if largest > 0.0 { class.largest() / largest } else { 0.0 };
    html! {
        div.layer.panels {
            @for (i, class) in report.classes.iter().enumerate() {
                button type="button" data-choose=(i) {
                    svg viewBox=(view_box) role="img" aria-label={ "Saliency map of " (class.name) } {
                        use href="#pixels" filter="url(#quiet)" {}
                        g opacity=(number(part(class))) {
                            use href={ "#for-" (i) } {}
                            use href={ "#against-" (i) } {}
                        }
                    }
                    span.name { (class.name) } span.value { (output(class.scale, class.value)) }
                }
            }
        }
    }
}

/// The colour bars of a class: of its effects, and of their standard errors.
fn scales(class: &ExplainedClass) -> Markup {
    let what = class.scale.of(&class.name);
    html! {
        div.layer.signed {
            h2.clamp title=(what) { "Effect of showing a segment on " (what) }
            (signed_scale(class.largest()))
        }
        @if let Some(largest) = known_errors(class) {
            @let round = Rounding::for_largest(largest);
            div.layer.errors {
                h2.clamp title=(what) { "Standard error of the effect on " (what) }
                div.scale.amount role="img" aria-label={ "Colour scale from 0 to " (round.plain(largest)) ", purple" } {}
                div.ticks { span { "0" } span { (round.plain(largest / 2.0)) } span { (round.plain(largest)) } }
            }
        }
        p.layer.cut.quiet { (cut_out(class)) }
    }
}

/// What the cut-out holds, in words.
fn cut_out(class: &ExplainedClass) -> String {
    let shown = View::Top(TOP).segments(class);
    let sum: f64 = shown.iter().map(|&segment| class.weights[segment]).sum();
    match shown.len() {
        0 => "No segment speaks for it.".into(),
        n => format!(
            "{}, effects {} in all.",
            counted(n as u64, "segment"),
            Rounding::for_largest(sum).signed(sum)
        ),
    }
}

fn common_scale(report: &ImageReport) -> Markup {
    let largest = report.classes.iter().map(ExplainedClass::largest).fold(0.0, f64::max);
    // A report has at least one class.
    let scale = report.classes[0].scale.name();
    html! {
        div.layer.common {
            h2 { "Effect of showing a segment on a class’s " (scale) ", one scale for all" }
            (signed_scale(largest))
        }
    }
}

fn signed_scale(largest: f64) -> Markup {
    let round = Rounding::for_largest(largest);
    html! {
        div.scale role="img" aria-label={
            "Colour scale from " (round.signed(-largest)) ", blue, against, to "
            (round.signed(largest)) ", orange, for" } {}
        @if largest > 0.0 {
            div.ticks {
                span { (round.signed(-largest)) " against" } span { "0" } span { "for " (round.signed(largest)) }
            }
        } @else {
            p.quiet { "No segment has an effect." }
        }
    }
}
