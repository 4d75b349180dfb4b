//! Rows of a table, or a text, as text for a terminal: a line with a bar for each of the strongest players.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::document::{Document, Explained, Instance, Kind, Output};
use super::number::{Rounding, count, percent, r_squared, rate, seconds};
use super::terminal::cut;

/// Instances and players that are shown; the files hold all.
const INSTANCES: usize = 5;
const PLAYERS: usize = 10;
const BAR: usize = 20;
const BROAD: usize = 110;
const NARROW: usize = 60;

/// The report as lines of at most `width` columns (held to 60..=110).
///
/// ANSI colours only if `colour`; without them the text is the same.
pub fn rows_terminal(report: &Document, colour: bool, width: usize) -> String {
    let width = width.clamp(NARROW, BROAD);
    let paint =
        |text: &str, code: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut text = String::new();
    let mut line = |content: &str| {
        text.push_str(content.trim_end());
        text.push('\n');
    };
    line(&paint(&cut(&format!("{} · {}", report.method, report.network), width), "1"));
    let mut fact = |name: &str, value: &str| line(&cut(&format!("  {name:<12} {value}"), width));
    fact("device", &report.device);
    let link = if report.link == "logit" { ", as log-odds (link logit)" } else { "" };
    fact("explains", &format!("{}{link}", report.explained.name()));
    fact("evaluations", &format!("{}, {}", count(report.evaluations), rate(report.evaluations_per_second)));
    let stages: Vec<String> =
        report.seconds.iter().map(|(stage, s)| format!("{stage} {}", seconds(*s))).collect();
    fact("time", &stages.join(" · "));
    if let Some(precision) = &report.precision {
        fact("precision", &precision.to_string());
    }
    fact("seed", &report.seed.to_string());
    for instance in report.instances.iter().take(INSTANCES) {
        for output in &instance.outputs {
            block(&mut text, report, instance, output, width, &paint);
        }
    }
    if !report.picked.is_empty() {
        let row = |&at: &usize| report.instances[at].row.unwrap_or(at).to_string();
        let rows: Vec<String> = report.picked.iter().map(row).collect();
        let said = format!("picked       rows {} show most together (SP-LIME)", rows.join(", "));
        let _ = writeln!(text, "\n  {}", cut(&said, width - 2));
    }
    let more = report.instances.len().saturating_sub(INSTANCES);
    if more > 0 {
        let _ = writeln!(text, "\n  … and {} more instances: the files hold all.", count(more as u64));
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "\n{} {warning}", paint("warning:", "33"));
    }
    text
}

fn block(
    text: &mut String,
    report: &Document,
    instance: &Instance,
    output: &Output,
    width: usize,
    paint: &dyn Fn(&str, &str) -> String,
) {
    let number = |x: f64| Rounding::for_largest(x.abs()).plain(x);
    let subject = instance.row.map_or(String::new(), |row| format!("Row {row} · "));
    let said = match (report.explained, report.link.as_str()) {
        (_, "logit") => format!("log-odds {}", number(output.prediction)),
        (Explained::Probability, _) => format!("probability {}", percent(output.prediction)),
        (explained, _) => format!("{} {}", explained.name(), number(output.prediction)),
    };
    let head = format!("{subject}{} · {said}", output.name);
    let _ = writeln!(text, "\n{}", paint(&cut(&head, width), "1"));
    let mut facts = format!(
        "  base value {}, local prediction {}",
        number(output.base_value),
        number(output.local_prediction)
    );
    if output.weighted_r_squared.is_finite() {
        let _ = write!(facts, ", weighted R² {}", r_squared(Some(output.weighted_r_squared)));
    }
    let _ = writeln!(text, "{}", cut(&facts, width));
    let ranked: Vec<usize> =
        output.ranked().into_iter().filter(|&p| output.values[p] != 0.0).take(PLAYERS).collect();
    let largest = ranked.first().map_or(0.0, |&player| output.values[player].abs());
    let rounding = Rounding::for_largest(largest);
    let label = |player: usize| match (&output.conditions, report.kind) {
        (Some(conditions), _) => conditions[player].clone(),
        (None, Kind::Table) => format!("{} = {}", report.features[player].name, instance.values[player]),
        (None, _) => report.features[player].name.clone(),
    };
    let labels: Vec<String> = ranked.iter().map(|&player| label(player)).collect();
    let room = width - BAR - 28;
    let column = labels.iter().map(|label| label.width()).max().unwrap_or(0).min(room);
    for (label, &player) in labels.iter().zip(&ranked) {
        let value = output.values[player];
        let error = output.standard_error(player).filter(|error| *error > 0.0);
        let error = error.map_or(String::new(), |error| format!(" ± {}", rounding.plain(error)));
        let length = ((value.abs() / largest) * BAR as f64).round() as usize;
        let bar = paint(&"█".repeat(length), if value > 0.0 { "34" } else { "31" });
        let label = cut(label, column);
        let padding = " ".repeat(column - label.width());
        let figures = format!("{}{error}", rounding.signed(value));
        let _ = writeln!(text, "  {label}{padding}  {figures:<20} {bar}");
    }
    let rest = output.values.iter().filter(|value| **value != 0.0).count().saturating_sub(PLAYERS);
    if rest > 0 {
        let _ = writeln!(text, "  … and {rest} weaker ones");
    }
    if let Some(stability) = &output.stability {
        let index = |x: f64| if x.is_finite() { Rounding::Decimals(0).plain(x) } else { "unknown".into() };
        let said = format!(
            "  stability over {} runs: variables {} of 100, coefficients {} of 100",
            stability.runs,
            index(stability.variables),
            index(stability.coefficients)
        );
        let _ = writeln!(text, "{}", cut(&said, width));
        let fits: Vec<String> = (stability.fits.iter())
            .map(|fit| {
                format!("{} at width {}", r_squared(Some(fit.weighted_r_squared)), number(fit.kernel_width))
            })
            .collect();
        if !fits.is_empty() {
            let _ = writeln!(text, "{}", cut(&format!("  weighted R² {}", fits.join(" · ")), width));
        }
    }
}
