//! `explanation.html` of a table or text: what each feature did, on one page that needs nothing but itself.
//!
//! The page reads well without its script; the script (`document_page.js`) adds the switches between outputs, instances
//! and plots, the read-out under the pointer, sorting and filtering. A content security policy forbids the page to load
//! anything.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::{Document, Explained, Instance, Kind, Output};
use super::head::{POLICY, head};
use super::number::{Rounding, count, counted, percent, r_squared, rate};
use super::plot::{self, Lettering, PlotKind, PlotOptions, ThemeName, quantity, theme};
use super::run_section::Run;
use crate::Result;

const STYLE: &str = concat!(include_str!("page.css"), include_str!("document_page.css"));
const SCRIPT: &str = include_str!("document_page.js");

/// Instances × outputs that have a section of their own; the JSON file holds all others.
const SECTIONS: usize = 40;
/// Outputs on the page.
const OUTPUTS: usize = 8;

impl Document {
    /// The page of all outputs and instances as HTML text; of very many, the first.
    ///
    /// # Errors
    /// Those of [`Document::validate`].
    pub fn html(&self) -> Result<String> {
        self.validate()?;
        Page::new(self).html()
    }
}

struct Page<'a> {
    document: &'a Document,
    /// The outputs and instances that are shown, by number.
    outputs: usize,
    instances: usize,
}

impl<'a> Page<'a> {
    fn new(document: &'a Document) -> Self {
        // A valid document has at least one of each.
        let outputs = document.instances[0].outputs.len().min(OUTPUTS);
        let instances = document.instances.len().min((SECTIONS / outputs).max(1));
        Page { document, outputs, instances }
    }

    fn html(&self) -> Result<String> {
        let document = self.document;
        let first = &document.instances[0].outputs[0];
        let warnings = self.warnings();
        let mut cases = Vec::new();
        let mut overviews = Vec::new();
        for output in 0..self.outputs {
            for instance in 0..self.instances {
                cases.push(self.case(instance, output)?);
            }
            overviews.push(self.overview(output)?);
        }
        let title = format!("Why {}?", first.name);
        let style = html! {
            (PreEscaped(STYLE))
            ":root{--against:" (theme::sign(-1.0)) ";--for:" (theme::sign(1.0)) ";--opacity:1}"
        };
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                (head(POLICY, html! { (title) " · " (document.method) " · " (document.network) }, style))
                body {
                    header {
                        p.kicker { (document.method) " · " (document.network) }
                        (self.switches())
                    }
                    main {
                        @if !warnings.is_empty() {
                            section.warnings role="note" aria-label="Warnings" {
                                @for warning in &warnings { p { (warning) } }
                            }
                        }
                        @for case in &cases { (case) }
                        @for overview in &overviews { (overview) }
                        (run(document))
                    }
                    footer { "whybox " (env!("CARGO_PKG_VERSION")) }
                    output #reading role="status" {}
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        Ok(markup.into_string())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.document.warnings.clone();
        let (all, outputs) = (self.document.instances.len(), self.document.instances[0].outputs.len());
        if self.instances < all {
            warnings.push(format!(
                "The page details the first {} of {}; the plots of all instances and the JSON file hold them all.",
                self.instances,
                counted(all as u64, "instance")
            ));
        }
        if self.outputs < outputs {
            warnings
                .push(format!("The page shows the first {} of {outputs} explained outputs.", self.outputs));
        }
        warnings
    }

    fn switches(&self) -> Markup {
        let instances = &self.document.instances[..self.instances];
        html! {
            @if self.outputs > 1 {
                div.switch role="group" aria-label="Explained output" {
                    @for (i, output) in instances[0].outputs[..self.outputs].iter().enumerate() {
                        button type="button" data-output=(i) aria-pressed=(i == 0) {
                            span.name { (output.name) } " "
                            span.value { (said(self.document, output.prediction)) }
                        }
                    }
                }
            }
            @if self.instances > 1 {
                label.pick {
                    "Instance "
                    select #instance {
                        @for (i, instance) in instances.iter().enumerate() {
                            option value=(i) {
                                (which(instance, i)) ": " (said(self.document, instance.outputs[0].prediction))
                            }
                        }
                    }
                }
            }
        }
    }

    /// One instance and one output.
    fn case(&self, number: usize, position: usize) -> Result<Markup> {
        let instance = &self.document.instances[number];
        let output = &instance.outputs[position];
        let kinds = [
            PlotKind::Tokens,
            PlotKind::Waterfall,
            PlotKind::Force,
            PlotKind::Conditions,
            PlotKind::Bar,
            PlotKind::Matrix,
            PlotKind::Network,
        ];
        let has = plot::kinds_for(self.document);
        let shown = |kind: &&PlotKind| match kind {
            // The conditions stand in for the values.
            PlotKind::Bar => output.conditions.is_none(),
            PlotKind::Conditions => output.conditions.is_some(),
            PlotKind::Matrix | PlotKind::Network => output.interactions.is_some(),
            kind => has.contains(kind),
        };
        let kinds: Vec<PlotKind> = kinds.iter().filter(shown).copied().collect();
        Ok(html! {
            section.case data-instance=(number) data-output=(position) {
                h1.clamp title=(output.name) { "Why " (output.name) "?" }
                p.value {
                    (said(self.document, output.prediction)) " "
                    small { (self.document.explained.name()) ", " (which(instance, number)) }
                }
                (self.plots(&kinds, number, position)?)
                (trust(self.document, output))
                (table(self.document, instance, output))
            }
        })
    }

    /// All instances and one output.
    fn overview(&self, position: usize) -> Result<Markup> {
        let kinds = [
            PlotKind::Beeswarm,
            PlotKind::Summary,
            PlotKind::Heatmap,
            PlotKind::Dependence,
            PlotKind::Groups,
            PlotKind::Decision,
            PlotKind::Fidelity,
        ];
        let has = plot::kinds_for(self.document);
        let several = self.document.instances.len() > 1;
        let kinds: Vec<PlotKind> = kinds.into_iter().filter(|kind| has.contains(kind)).collect();
        let heading = if several {
            format!("All {}", counted(self.document.instances.len() as u64, "instance"))
        } else {
            "Fit".into()
        };
        Ok(html! {
            section.overview data-output=(position) {
                h2 { (heading) }
                (self.plots(&kinds, 0, position)?)
            }
        })
    }

    fn plots(&self, kinds: &[PlotKind], instance: usize, output: usize) -> Result<Markup> {
        let draw = |kind: PlotKind, theme: ThemeName| {
            let lettering = Lettering::Text;
            let options =
                PlotOptions { instance, output, theme, lettering, header: false, ..PlotOptions::default() };
            plot::svg(self.document, kind, &options)
        };
        let mut figures = Vec::new();
        for &kind in kinds {
            // Cells are mixed with the ground, so each ground needs its own.
            let both = matches!(kind, PlotKind::Heatmap | PlotKind::Matrix | PlotKind::Tokens);
            let themes: &[(ThemeName, &str)] = if both {
                &[(ThemeName::Light, "by-day"), (ThemeName::Dark, "by-night")]
            } else {
                &[(ThemeName::Page, "")]
            };
            for &(theme, class) in themes {
                figures.push((kind, class, draw(kind, theme)?));
            }
        }
        Ok(html! {
            div.plots {
                @if kinds.len() > 1 {
                    div.tabs role="group" aria-label="Plot" {
                        @for (i, kind) in kinds.iter().enumerate() {
                            button type="button" data-plot=(kind) aria-pressed=(i == 0) { (kind) }
                        }
                    }
                }
                @for (kind, class, svg) in &figures {
                    figure.plot.(class) data-plot=(kind) tabindex="-1" {
                        (PreEscaped(svg))
                        figcaption.sr { (kind.about()) }
                    }
                }
            }
        })
    }
}

/// An output as a reader wants it.
fn said(document: &Document, value: f64) -> String {
    match document.explained {
        Explained::Probability if document.link != "logit" => percent(value),
        _ => Rounding::for_largest(value.abs()).plain(value),
    }
}

fn which(instance: &Instance, number: usize) -> String {
    instance.row.map_or(format!("instance {number}"), |row| format!("row {row}"))
}

/// Six significant digits: more than a reader needs, as many as a pointer may ask for.
fn exact(x: f64) -> String {
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    let round = match magnitude {
        -4..=5 => Rounding::Decimals((5 - magnitude).max(0) as usize),
        _ => Rounding::Scientific,
    };
    round.signed(x)
}

fn trust(document: &Document, output: &Output) -> Markup {
    let round = Rounding::for_largest(output.prediction.abs().max(output.local_prediction.abs()));
    let features = output.values.len();
    let intervals: Vec<[f64; 2]> = (0..features).filter_map(|f| output.interval(f)).collect();
    let clear = intervals.iter().filter(|[low, high]| *low > 0.0 || *high < 0.0).count();
    let gap = output.prediction - output.local_prediction;
    let r = Some(output.weighted_r_squared).filter(|r| r.is_finite());
    html! {
        h2 { "How far to trust it" }
        dl.facts {
            @if r.is_some() {
                div {
                    dt { "Weighted R²" }
                    dd { (r_squared(r)) }
                    p { "The share of the network’s variation near this instance that the explanation accounts for; 1 is all of it." }
                }
            }
            div {
                dt { "Additivity gap" }
                dd { (round.signed(gap)) }
                p { "Base value and effects add up to " (round.plain(output.local_prediction))
                    "; the network says " (round.plain(output.prediction)) "." }
            }
            div {
                dt { "Base value" }
                dd { (round.plain(output.base_value)) }
                p { "The " (quantity(document, output)) " with no feature known." }
            }
            @if let Some(stability) = &output.stability {
                div {
                    dt { "Stability" }
                    dd { (Rounding::Decimals(0).plain(stability.variables)) " / "
                        (Rounding::Decimals(0).plain(stability.coefficients)) }
                    p { "Of 100: how far " (counted(stability.runs as u64, "repeated run"))
                        " agree on which features matter, and on how much." }
                }
            }
            @if intervals.is_empty() {
                div {
                    dt { "Standard errors" }
                    dd { "unknown" }
                    p { "The method gives none. Run again with another seed to see how far the effects move." }
                }
            } @else {
                div {
                    dt { "Clear of zero" }
                    dd { (count(clear as u64)) " of " (count(features as u64)) }
                    p { "Features whose 95 % interval does not contain zero. More samples narrow the intervals." }
                }
            }
        }
    }
}

fn table(document: &Document, instance: &Instance, output: &Output) -> Markup {
    let largest = output.values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let round = Rounding::for_largest(largest);
    let errors = (0..output.values.len()).any(|f| output.interval(f).is_some());
    let text = document.kind == Kind::Text;
    let noun = if text { "token" } else { "feature" };
    let column = |key: &str, text: &str| {
        html! { button type="button" data-sort=(key) { (text) } }
    };
    html! {
        div.bar-of-table {
            h2 { "All " (counted(output.values.len() as u64, noun)) }
            label.filter { "Filter " input type="search" placeholder=(format!("name of a {noun}")); }
        }
        div.scroll tabindex="-1" {
            table.features {
                thead {
                    tr {
                        th scope="col" { (column("name", if text { "Token" } else { "Feature" })) }
                        @if !text { th scope="col" { (column("number", "Value")) } }
                        th.bar scope="col" { (column("strength", "Effect")) }
                        th scope="col" { (column("effect", "Signed")) }
                        @if errors {
                            th.wide scope="col" { (column("error", "± std. error")) }
                            th.wide scope="col" { "95 % interval" }
                        }
                        @if output.conditions.is_some() { th.wide scope="col" { "Condition" } }
                    }
                }
                tbody {
                    @for feature in output.ranked() {
                        (row(document, instance, output, feature, (round, largest, errors)))
                    }
                }
            }
        }
    }
}

fn row(
    document: &Document,
    instance: &Instance,
    output: &Output,
    feature: usize,
    (round, largest, errors): (Rounding, f64, bool),
) -> Markup {
    let name = &document.features[feature].name;
    let (value, effect) = (&instance.values[feature], output.values[feature]);
    let part = if largest > 0.0 { effect.abs() / largest * 50.0 } else { 0.0 };
    let (side, from) = if effect < 0.0 { ("against", 50.0 - part) } else { ("for", 50.0) };
    let interval = output.interval(feature);
    let within =
        interval.map_or(String::new(), |[a, b]| format!(" (95 % interval {} to {})", exact(a), exact(b)));
    let error = output.standard_error(feature);
    let columns = &document.features[feature].columns;
    let group = (columns.len() > 1).then(|| columns.join(", "));
    html! {
        tr data-reading=(format!("{name} = {value}: {}{within}", exact(effect))) data-name=(name)
            data-number=(number(instance.numbers[feature])) data-effect=(number(effect))
            data-strength=(number(effect.abs())) data-error=(number(error.unwrap_or(f64::NAN))) {
            th scope="row" title=[group] { (name) }
            @if document.kind != Kind::Text { td.raw { (value) } }
            td.bar { div.axis { i.(side) style=(format!("left:{from:.2}%;width:{part:.2}%")) {} } }
            td title=(exact(effect)) { (round.signed(effect)) }
            @if errors {
                td.wide { (error.map_or("–".into(), |e| round.plain(e))) }
                td.wide {
                    @match interval {
                        Some([a, b]) => { (round.signed(a)) " to " (round.signed(b)) }
                        None => { "–" }
                    }
                }
            }
            @if let Some(conditions) = &output.conditions { td.wide.condition { (conditions[feature]) } }
        }
    }
}

/// A number for the script; empty where there is none.
fn number(x: f64) -> String {
    if x.is_finite() { format!("{x}") } else { String::new() }
}

fn run(document: &Document) -> Markup {
    let speed = document.evaluations_per_second;
    let facts = [
        ("Method", Some(document.method.clone())),
        ("Network", Some(document.network.clone())),
        ("Device", Some(document.device.clone())),
        ("Evaluations", Some(count(document.evaluations))),
        ("Speed", speed.is_finite().then(|| rate(speed))),
        ("Precision", document.precision.as_ref().map(ToString::to_string)),
        ("Seed", Some(document.seed.to_string())),
        ("Link", Some(document.link.clone()).filter(|link| !link.is_empty())),
    ];
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let Document { settings, seconds, command, .. } = document;
    Run { facts, settings, seconds, command }.section()
}
