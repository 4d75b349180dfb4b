//! `evaluation.html`: methods × metrics on one page that needs nothing but itself.
//!
//! The page reads well without its script; the script (`evaluation_page.js`) adds the read-out under the pointer, arrow keys and
//! sorting. A content security policy forbids the page to load anything.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::Explained;
use super::evaluation::{Evaluation, Mark};
use super::head::{POLICY, head};
use super::number::{Rounding, count, counted, percent, seconds};
use super::plot::{Lettering, PlotOptions, ThemeName, lines};
use super::run_section::Run;
use crate::Result;
use crate::evaluate::Metric;

const STYLE: &str = concat!(include_str!("page.css"), include_str!("evaluation_page.css"));
const SCRIPT: &str = include_str!("evaluation_page.js");
/// Inputs that the page lists; the files hold all others.
const LISTED: usize = 100;

impl Evaluation {
    /// The page as HTML text.
    ///
    /// # Errors
    /// None so far.
    pub fn html(&self) -> Result<String> {
        let scores = &self.scores;
        let (methods, metrics) = (scores.methods.len() as u64, scores.metrics.len() as u64);
        let title = format!("{} compared", counted(methods, "explanation method"));
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                (head(POLICY, html! { (title) " · " (self.network) }, html! { (PreEscaped(STYLE)) }))
                body {
                    header {
                        p.kicker { "Evaluation · " (self.network) " · " (self.counted_inputs()) }
                        h1 { (title) }
                        p.quiet { "By " (counted(metrics, "metric")) ", over " (self.counted_inputs())
                            ", explaining a " (self.explained.name()) "." }
                    }
                    main {
                        @if !self.warnings.is_empty() {
                            section.warnings role="note" aria-label="Warnings" {
                                @for warning in &self.warnings { p { (warning) } }
                            }
                        }
                        (self.table())
                        (self.plots())
                        (self.trust())
                        (self.meaning())
                        (self.every_input())
                        (self.run())
                    }
                    footer { "whybox " (env!("CARGO_PKG_VERSION")) }
                    output #reading role="status" {}
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        Ok(markup.into_string())
    }

    fn table(&self) -> Markup {
        let scores = &self.scores;
        html! {
            h2 { "Methods × metrics" }
            div.scroll.wide tabindex="-1" {
                table.scores {
                    thead {
                        tr {
                            th scope="col" { "Method" }
                            @for (at, metric) in scores.metrics.iter().enumerate() {
                                th scope="col" title=(explained(*metric)) {
                                    button type="button" data-sort=(at) data-better=(metric.better().name()) {
                                        (metric.name()) " "
                                        span.arrow { (metric.better().arrow()) span.sr { " " (metric.better().name()) " is better" } }
                                    }
                                }
                            }
                            th scope="col" title="Mean wall-clock seconds an explanation took" {
                                button type="button" data-sort=(scores.metrics.len()) data-better="lower" { "time" }
                            }
                        }
                    }
                    tbody {
                        @for method in 0..scores.methods.len() { (self.row(method)) }
                    }
                }
            }
            p.quiet.key {
                span.best { "bold" } " is the best of a column"
                @if scores.control.is_some() {
                    ", the random explanation aside; " span.lost { "struck" } " is no better than the random explanation"
                }
                ". ↑ more is better, ↓ less"
                @if scores.inputs.len() > 1 { "; ± is one standard error over the inputs" }
                "."
            }
        }
    }

    fn row(&self, method: usize) -> Markup {
        let scores = &self.scores;
        let control = scores.control == Some(method);
        // The places of the curves' colours, the control not counted.
        let place = (0..method).filter(|before| Some(*before) != scores.control).count();
        let (colour, _) = lines::style(place);
        let took = scores.seconds(method);
        html! {
            tr.control[control] {
                th scope="row" {
                    @if control { span.swatch.none {} } @else { span.swatch style={ "background:" (colour) } {} }
                    (scores.methods[method])
                }
                @for metric in 0..scores.metrics.len() { (self.cell(method, metric)) }
                td data-value=(value(took.mean)) data-reading={ (scores.methods[method]) ", time of an explanation: " (seconds(took.mean)) }
                    tabindex="-1" { (seconds(took.mean)) }
            }
        }
    }

    fn cell(&self, method: usize, metric: usize) -> Markup {
        let (summary, round) = (self.scores.summary(method, metric), self.rounding(metric));
        let mark = self.mark(method, metric);
        let name = self.scores.metrics[metric];
        let reading = match summary.inputs {
            0 => format!("{}, {name}: not defined for any input", self.scores.methods[method]),
            n => {
                let error = match summary.standard_error {
                    e if e.is_finite() => format!(" ± {}", exact(e)),
                    _ => String::new(),
                };
                let said = match mark {
                    Mark::Best => ", the best",
                    Mark::Lost => ", no better than the random explanation",
                    Mark::Plain => "",
                };
                let over = counted(n as u64, "input");
                format!(
                    "{}, {name}: {}{error} over {over}{said}",
                    self.scores.methods[method],
                    exact(summary.mean)
                )
            }
        };
        let first = method == 0 && metric == 0;
        html! {
            td.best[mark == Mark::Best].lost[mark == Mark::Lost] data-value=(value(summary.mean)) data-reading=(reading)
                title=(reading) tabindex=(if first { "0" } else { "-1" }) {
                @if summary.inputs == 0 { "–" } @else {
                    span.mean { (round.plain(summary.mean)) }
                    @if summary.standard_error.is_finite() { small { "± " (round.plain(summary.standard_error)) } }
                }
            }
        }
    }

    fn plots(&self) -> Markup {
        let options = PlotOptions {
            theme: ThemeName::Page,
            lettering: Lettering::Text,
            header: false,
            ..PlotOptions::default()
        };
        let drawn: Vec<(Metric, String)> = [Metric::Deletion, Metric::Insertion]
            .into_iter()
            .filter_map(|metric| Some((metric, self.curves(metric, &options)?)))
            .collect();
        html! {
            @if !drawn.is_empty() {
                div.curves {
                    @for (metric, svg) in &drawn {
                        section {
                            h2 { (if *metric == Metric::Deletion { "Deletion" } else { "Insertion" }) " "
                                span.quiet { (metric.better().arrow()) " area, " (metric.better().name()) " is better" } }
                            figure.plot { (PreEscaped(svg)) figcaption.sr { (metric.about()) } }
                        }
                    }
                }
            }
        }
    }

    fn trust(&self) -> Markup {
        let scores = &self.scores;
        let inputs = scores.inputs.len();
        let cells = (0..scores.methods.len()).flat_map(|m| (0..scores.metrics.len()).map(move |k| (m, k)));
        let beaten: Vec<bool> =
            cells.filter_map(|(method, metric)| scores.beats_control(method, metric)).collect();
        let won = beaten.iter().filter(|won| **won).count();
        html! {
            h2 { "How far to trust it" }
            dl.facts {
                div {
                    dt { "Inputs" }
                    dd { (count(inputs as u64)) }
                    p {
                        @if inputs < 2 { "One input says nothing of others: there are no standard errors. Give many." }
                        @else { "Standard errors are over these; differences of about one standard error mean nothing." }
                    }
                }
                @if !beaten.is_empty() {
                    div {
                        dt { "Better than random" }
                        dd { (count(won as u64)) " of " (count(beaten.len() as u64)) }
                        p { "Cells of the metrics that ask the network, or the object’s place. A method that does not beat a random explanation there explains nothing." }
                    }
                }
                div {
                    dt { "Baseline" }
                    dd { "shared" }
                    p { "Players are removed for judging as they were for explaining: another baseline may rank the methods otherwise." }
                }
            }
        }
    }

    fn meaning(&self) -> Markup {
        html! {
            h2 { "What the metrics say" }
            dl.metrics {
                @for metric in &self.scores.metrics {
                    div {
                        dt { (metric.name()) " " span.arrow { (metric.better().arrow()) } }
                        dd { (metric.about()) br; code { (metric.formula()) } br; span.quiet { (metric.source()) } }
                    }
                }
            }
        }
    }

    fn every_input(&self) -> Markup {
        let scores = &self.scores;
        let said = |prediction: f64| match self.explained {
            Explained::Probability => percent(prediction),
            _ => Rounding::for_largest(prediction.abs()).plain(prediction),
        };
        html! {
            h2 { "Every input" }
            @for (at, metric) in scores.metrics.iter().enumerate() {
                @let round = self.rounding(at);
                details {
                    summary { (metric.name()) " " span.arrow { (metric.better().arrow()) } }
                    div.scroll.wide tabindex="-1" {
                        table.scores {
                            thead {
                                tr {
                                    th scope="col" { "Input" }
                                    th scope="col" { "explained" }
                                    @for method in &scores.methods { th scope="col" { (method) } }
                                }
                            }
                            tbody {
                                @for (input, facts) in scores.inputs.iter().zip(&self.inputs).take(LISTED) {
                                    tr {
                                        th scope="row" { (input.name) }
                                        td { (facts.output_name) " " small { (said(facts.prediction)) } }
                                        @for judgement in &input.judgements {
                                            @let value = judgement.values[at];
                                            td { @if value.is_nan() { "–" } @else { (round.plain(value)) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if scores.inputs.len() > LISTED {
                p.quiet { "The first " (LISTED) " inputs; evaluation-inputs.csv and evaluation.json hold them all." }
            }
        }
    }

    fn run(&self) -> Markup {
        let facts = vec![
            ("Network", self.network.clone()),
            ("Device", self.device.clone()),
            ("Evaluations", count(self.evaluations)),
            ("Seed", self.seed.to_string()),
        ];
        let Evaluation { settings, seconds, command, .. } = self;
        Run { facts, settings, seconds, command }.section()
    }
}

/// What a metric asks, its formula and its source.
fn explained(metric: Metric) -> String {
    format!("{} {} ({})", metric.about(), metric.formula(), metric.source())
}

/// Six significant digits.
fn exact(x: f64) -> String {
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    match magnitude {
        -4..=5 => Rounding::Decimals((5 - magnitude).max(0) as usize),
        _ => Rounding::Scientific,
    }
    .plain(x)
}

/// A number for the script; empty where there is none.
fn value(x: f64) -> String {
    if x.is_finite() { format!("{x}") } else { String::new() }
}
