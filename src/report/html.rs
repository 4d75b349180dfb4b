//! `explanation.html`: all explained classes on one page that needs nothing but itself.
//!
//! The page reads well without its script; the script (`page.js`) adds the switch between classes,
//! the read-out under the pointer and the arrow keys. A content security policy forbids the page to
//! load anything.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::colour;
use super::figure::exact_gap;
use super::head::{POLICY, head};
use super::image_report::{ExplainedClass, ImageReport, Scale};
use super::number::{Rounding, count, counted, output, percent, r_squared, rate};
use super::overlay::Drawing;
use super::run_section::Run;
use super::stage::stage;
use crate::Result;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of a valid report.
pub(super) fn page(report: &ImageReport, drawing: &Drawing, warnings: &[String]) -> Result<String> {
    let pixels = report.segments.pixels();
    let title = format!("Why {}?", report.classes[0].name);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(POLICY, html! { (title) " · " (report.method) " · " (report.network) }, html! { (PreEscaped(STYLE)) (PreEscaped(palette())) }))
            body {
                header {
                    p.kicker { (report.method) " · " (report.network) }
                    @if report.classes.len() > 1 { (switch(&report.classes)) }
                }
                main {
                    @if !warnings.is_empty() { (notes(warnings)) }
                    div.top {
                        (stage(report, drawing)?)
                        div.side {
                            @for (i, class) in report.classes.iter().enumerate() {
                                section.of-class data-class=(i) { (summary(class)) }
                            }
                            (answer(report))
                        }
                    }
                    @for (i, class) in report.classes.iter().enumerate() {
                        section.of-class data-class=(i) {
                            (trust(report, class))
                            (table(class, &pixels))
                        }
                    }
                    (run(report))
                }
                footer { "whybox " (env!("CARGO_PKG_VERSION")) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(markup.into_string())
}

/// The diverging scale as style sheet variables.
fn palette() -> String {
    let [against, for_] = [false, true].map(|positive| colour::hex(colour::end(positive)));
    let amount = colour::hex(colour::amount_end());
    format!(":root{{--against:{against};--for:{for_};--amount:{amount};--opacity:{}}}", colour::opacity(1.0))
}

fn switch(classes: &[ExplainedClass]) -> Markup {
    html! {
        div.switch role="group" aria-label="Explained class" {
            @for (i, class) in classes.iter().enumerate() {
                button type="button" data-show=(i) aria-pressed=(i == 0) {
                    span.name { (class.name) } " " span.value { (output(class.scale, class.value)) }
                }
            }
        }
    }
}

fn notes(warnings: &[String]) -> Markup {
    html! {
        section.warnings role="note" aria-label="Warnings" {
            @for warning in warnings { p { (warning) } }
        }
    }
}

/// The exact weight of a segment as a sentence.
pub(super) fn reading(class: &ExplainedClass, segment: usize) -> String {
    let weight = class.weights[segment];
    let exact = format!("Segment {segment}: {}", exact(weight, true));
    match class.standard_error(segment).zip(class.interval(segment)) {
        Some((e, (low, high))) => format!(
            "{exact} ± {} (95 % interval {} to {})",
            self::exact(e, false),
            self::exact(low, true),
            self::exact(high, true)
        ),
        None => exact,
    }
}

/// Six significant digits: more than a reader needs, as many as a pointer may ask for.
fn exact(x: f64, signed: bool) -> String {
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    let round = match magnitude {
        -4..=5 => Rounding::Decimals((5 - magnitude).max(0) as usize),
        _ => Rounding::Scientific,
    };
    if signed { round.signed(x) } else { round.plain(x) }
}

fn summary(class: &ExplainedClass) -> Markup {
    html! {
        h1.clamp title=(class.name) { "Why " (class.name) "?" }
        p.value { (output(class.scale, class.value)) " " small { (class.scale.name()) } }
    }
}

fn answer(report: &ImageReport) -> Markup {
    let top: Vec<_> = report.prediction.iter().filter(|(_, v)| v.is_finite()).take(5).collect();
    let whole = match report.prediction_scale {
        Scale::Probability => 1.0,
        Scale::Logit | Scale::Score => top.iter().fold(0.0, |m: f64, (_, v)| m.max(*v)),
    };
    let part = |v: f64| {
        if whole > 0.0 { (v / whole * 100.0).clamp(0.0, 100.0) } else { 0.0 }
    };
    html! {
        section {
            h2 { "The network’s answer" }
            table.answer {
                @for (name, value) in top {
                    tr.explained[report.classes.iter().any(|c| c.name == *name)] {
                        th scope="row" title=(name) { span.clamp { (name) } }
                        td.bar { div { i style=(format!("width:{:.2}%", part(*value))) {} } }
                        td { (output(report.prediction_scale, *value)) }
                    }
                }
            }
        }
    }
}

fn trust(report: &ImageReport, class: &ExplainedClass) -> Markup {
    let gap = class.local_prediction - class.value;
    let round = Rounding::for_largest(class.value.abs().max(class.local_prediction.abs()));
    let intervals: Option<Vec<_>> = (0..class.weights.len()).map(|s| class.interval(s)).collect();
    let clear =
        intervals.map(|intervals| intervals.iter().filter(|(low, high)| *low > 0.0 || *high < 0.0).count());
    html! {
        h2 { "How far to trust it" }
        dl.facts {
            @if report.surrogate {
                div {
                    dt { "Weighted R²" }
                    dd { (r_squared(class.r_squared)) }
                    p { "The share of the network’s variation near this photo that the weights account for; 1 is all of it." }
                }
                div {
                    dt { "Local prediction" }
                    dd { (round.plain(class.local_prediction)) }
                    p { "What the weights add up to for the whole photo; the network says " (round.plain(class.value))
                        ", a gap of " (round.signed(gap)) "." }
                }
                div {
                    dt { "Intercept" }
                    dd { (round.plain(class.intercept)) }
                    p { "What remains when no segment is shown." }
                }
            } @else {
                div {
                    dt { "Additivity gap" }
                    dd { (exact_gap(class)) }
                    p { "Base value and effects add up to the network’s " (round.plain(class.value))
                        " but for rounding." }
                }
                div {
                    dt { "Base value" }
                    dd { (round.plain(class.intercept)) }
                    p { "What the network says when no segment is shown." }
                }
            }
            @if let Some(stability) = &class.stability {
                div {
                    dt { "Stability" }
                    dd { (Rounding::Decimals(0).plain(stability.variables)) " / "
                        (Rounding::Decimals(0).plain(stability.coefficients)) }
                    p { "Of 100: how far " (counted(stability.runs as u64, "repeated run"))
                        " name the same strongest segments, and how far their intervals overlap." }
                }
            }
            @if let Some(clear) = clear {
                div {
                    dt { "Clear of zero" }
                    dd { (count(clear as u64)) " of " (count(class.weights.len() as u64)) }
                    p { "Segments whose 95 % interval does not contain zero. More samples narrow the intervals." }
                }
            } @else {
                div {
                    dt { "Standard errors" }
                    dd { "unknown" }
                    p { "The method gives none. Run again with another seed to see how far the weights move." }
                }
            }
        }
    }
}

fn table(class: &ExplainedClass, pixels: &[u64]) -> Markup {
    let largest = class.largest();
    let round = Rounding::for_largest(largest);
    let total = pixels.iter().sum::<u64>().max(1);
    let errors = class.standard_errors.is_some();
    html! {
        h2 { "All " (counted(class.weights.len() as u64, "segment")) ", the strongest first" }
        div.scroll tabindex="-1" {
            table.segments {
                thead {
                    tr {
                        th scope="col" { "Rank" } th scope="col" { "Segment" }
                        th.bar scope="col" { "Effect" } th scope="col" { span.sr { "Value" } }
                        @if errors {
                            th scope="col" { "± std. error" } th.wide scope="col" { "95 % interval" }
                        }
                        th.wide scope="col" { "Area" }
                    }
                }
                tbody {
                    @for (rank, segment) in class.ranked().into_iter().enumerate() {
                        (row(class, rank, segment, round, largest, pixels[segment] as f64 / total as f64))
                    }
                }
            }
        }
        @if class.weights.len() > 30 {
            p.quiet.print-only { "The 30 strongest segments are printed; the JSON file holds them all." }
        }
    }
}

fn row(
    class: &ExplainedClass,
    rank: usize,
    segment: usize,
    round: Rounding,
    largest: f64,
    area: f64,
) -> Markup {
    let weight = class.weights[segment];
    let part = if largest > 0.0 { weight.abs() / largest * 50.0 } else { 0.0 };
    let (side, from) = if weight < 0.0 { ("against", 50.0 - part) } else { ("for", 50.0) };
    let error = class.standard_error(segment);
    html! {
        tr data-segment=(segment) data-reading=(reading(class, segment))
            tabindex=(if rank == 0 { "0" } else { "-1" }) {
            td { (rank + 1) }
            td { (segment) }
            td.bar { div.axis { i.(side) style=(format!("left:{from:.2}%;width:{part:.2}%")) {} } }
            td { (round.signed(weight)) }
            @if class.standard_errors.is_some() {
                td { (error.map_or("–".into(), |e| round.plain(e))) }
                td.wide {
                    @match error.and(class.interval(segment)) {
                        Some((low, high)) => { (round.signed(low)) " to " (round.signed(high)) }
                        None => { "–" }
                    }
                }
            }
            td.wide { (percent(area)) }
        }
    }
}

fn run(report: &ImageReport) -> Markup {
    let mut facts = vec![
        ("Method", report.method.clone()),
        ("Network", report.network.clone()),
        ("Device", report.device.clone()),
        ("Evaluations", count(report.evaluations)),
        ("Speed", rate(report.evaluations_per_second)),
        ("Seed", report.seed.to_string()),
    ];
    if let Some(precision) = &report.precision {
        facts.push(("Precision", precision.to_string()));
    }
    let ImageReport { settings, seconds, command, .. } = report;
    Run { facts, settings, seconds, command }.section()
}
