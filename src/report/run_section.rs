//! What every page says of its run: the facts, the settings, where the time went, and the command that repeats it.

use maud::{Markup, html};

use super::number::seconds;

/// A run as its page tells it.
pub(super) struct Run<'a> {
    /// Names and values that come first.
    pub(super) facts: Vec<(&'a str, String)>,
    /// Names and values of the settings.
    pub(super) settings: &'a [(String, String)],
    /// Seconds by stage.
    pub(super) seconds: &'a [(String, f64)],
    /// The command that repeats it; empty if there is none.
    pub(super) command: &'a str,
}

impl Run<'_> {
    pub(super) fn section(&self) -> Markup {
        let total: f64 = self.seconds.iter().map(|(_, s)| s).sum();
        let longest = self.seconds.iter().map(|(_, s)| *s).fold(0.0, f64::max);
        let part = |s: f64| {
            if longest > 0.0 { s / longest * 100.0 } else { 0.0 }
        };
        let fact = |name: &str, value: &str| html! { tr { th scope="row" { (name) } td { (value) } } };
        html! {
            div.pair {
                section {
                    h2 { "The run" }
                    table.plain {
                        @for (name, value) in &self.facts { (fact(name, value)) }
                        @for (name, value) in self.settings { (fact(name, value)) }
                    }
                }
                @if !self.seconds.is_empty() {
                    section {
                        h2 { "Time: " (seconds(total)) }
                        table.answer {
                            @for (stage, s) in self.seconds {
                                tr {
                                    th scope="row" { (stage) }
                                    td.bar { div { i style=(format!("width:{:.2}%", part(*s))) {} } }
                                    td { (seconds(*s)) }
                                }
                            }
                        }
                    }
                }
            }
            @if !self.command.is_empty() {
                h2 { "To repeat it" }
                pre.command tabindex="0" { code { (self.command) } }
            }
        }
    }
}
