//! One image explanation as text for a terminal.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::figure::exact_gap;
use super::image_report::{ExplainedClass, ImageReport, Scale};
use super::number::{Rounding, count, output, r_squared, rate, seconds};
use super::overlay::TOP;

/// Text does not spread over more columns than this, nor squeeze into fewer than [`NARROW`].
const BROAD: usize = 96;
const NARROW: usize = 48;

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Dim,
    Against,
    For,
    Warning,
}

/// The report as lines of at most `width` columns (held to 48..=96; free text is wrapped or cut).
///
/// ANSI colours only if `colour`; without them the text is the same.
pub fn terminal(report: &ImageReport, colour: bool, width: usize) -> String {
    let mut page = Page { text: String::new(), colour, width: width.clamp(NARROW, BROAD) };
    page.heading(&format!("{} · {}", report.method, report.network));
    page.fact("device", &report.device);
    if let Some((_, what)) = report.settings.iter().find(|(name, _)| name == "explain") {
        page.fact("explains", what);
    }
    page.fact(
        "evaluations",
        &format!("{}, {}", count(report.evaluations), rate(report.evaluations_per_second)),
    );
    if !report.seconds.is_empty() {
        let stages = report.seconds.iter().map(|(stage, s)| format!("{} {}", clean(stage), seconds(*s)));
        page.fact("time", &stages.collect::<Vec<_>>().join(" · "));
    }
    if let Some(precision) = &report.precision {
        page.fact("precision", &precision.to_string());
    }
    page.fact("seed", &report.seed.to_string());
    page.prediction(report);
    for class in &report.classes {
        page.class(report, class);
    }
    page.warnings(&report.all_warnings());
    page.text
}

struct Page {
    text: String,
    colour: bool,
    width: usize,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_string();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Against => "38;5;33",
            Style::For => "38;5;208",
            Style::Warning => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.line("");
        }
        let line = self.paint(Style::Bold, &cut(text, self.width));
        self.line(&line);
    }

    /// A named value; long values go on below themselves.
    fn fact(&mut self, name: &str, value: &str) {
        const INDENT: usize = 15;
        for (i, part) in fold(value, self.width - INDENT).iter().enumerate() {
            let name = pad(if i == 0 { name } else { "" }, INDENT - 2);
            let line = format!("  {}{part}", self.paint(Style::Dim, &name));
            self.line(&line);
        }
    }

    fn prediction(&mut self, report: &ImageReport) {
        let top: Vec<_> = report.prediction.iter().filter(|(_, v)| v.is_finite()).take(5).collect();
        if top.is_empty() {
            return;
        }
        self.heading("Prediction");
        let values: Vec<String> = top.iter().map(|(_, v)| output(report.prediction_scale, *v)).collect();
        let name_room = widest(top.iter().map(|(name, _)| clean(name))).min(self.width * 2 / 5);
        let value_room = widest(values.iter().cloned());
        let bar_room = (self.width - name_room - value_room - 6).min(30);
        // Probabilities are measured against certainty, other outputs against the largest.
        let whole = match report.prediction_scale {
            Scale::Probability => 1.0,
            _ => top.iter().fold(0.0, |m: f64, (_, v)| m.max(*v)),
        };
        for ((name, value), text) in top.iter().zip(&values) {
            let part = if whole > 0.0 { (value / whole).clamp(0.0, 1.0) } else { 0.0 };
            let explained = report.classes.iter().any(|c| c.name == *name);
            let name = pad(&cut(name, name_room), name_room);
            let name = if explained { self.paint(Style::Bold, &name) } else { name };
            let line = format!("  {name}  {}  {}", pad_left(text, value_room), bar(part, bar_room));
            self.line(&line);
        }
    }

    fn class(&mut self, report: &ImageReport, class: &ExplainedClass) {
        self.heading(&format!("Why {}?", class.name));
        let top = class.strongest(TOP);
        if top.is_empty() {
            self.line("  no segment has an effect");
        } else {
            self.strongest(class, &top);
        }
        let sum = output(class.scale, class.local_prediction);
        let value = output(class.scale, class.value);
        let mut fit = if report.surrogate {
            format!("weighted R² {} · surrogate {sum} for the network’s {value}", r_squared(class.r_squared))
        } else {
            let base = output(class.scale, class.intercept);
            format!("base value {base}, effects add up to {sum} · additivity gap {}", exact_gap(class))
        };
        if let Some(stability) = &class.stability {
            let whole = Rounding::Decimals(0);
            fit += &format!(
                " · stability over {} runs: segments {}, effects {} of 100",
                stability.runs,
                whole.plain(stability.variables),
                whole.plain(stability.coefficients)
            );
            for at in &stability.fits {
                let score = r_squared(Some(at.weighted_r_squared));
                fit += &format!(" · weighted R² {score} at width {}", at.kernel_width);
            }
        }
        for part in fold(&fit, self.width - 2) {
            let line = format!("  {}", self.paint(Style::Dim, &part));
            self.line(&line);
        }
    }

    /// A bar for each segment: negative weights grow to the left of the axis, positive to the right.
    fn strongest(&mut self, class: &ExplainedClass, top: &[usize]) {
        let note = format!("effect on its {} when the segment is shown", class.scale.name());
        let note = self.paint(Style::Dim, &cut(&note, self.width - 2));
        self.line(&format!("  {note}"));
        let round = Rounding::for_largest(class.largest());
        let names: Vec<String> = top.iter().map(|s| format!("segment {s}")).collect();
        let values: Vec<String> = top
            .iter()
            .map(|&s| match class.standard_error(s) {
                Some(e) => format!("{} ± {}", round.signed(class.weights[s]), round.plain(e)),
                None => round.signed(class.weights[s]),
            })
            .collect();
        let (name_room, value_room) = (widest(names.iter().cloned()), widest(values.iter().cloned()));
        let room = self.width.saturating_sub(name_room + value_room + 10).clamp(8, 40);
        let largest = class.largest();
        let (any_negative, any_positive) = top
            .iter()
            .fold((false, false), |(n, p), &s| (n || class.weights[s] < 0.0, p || class.weights[s] > 0.0));
        let side = if any_negative && any_positive { room / 2 } else { room };
        for (rank, &s) in top.iter().enumerate() {
            let weight = class.weights[s];
            let cells = ((weight.abs() / largest * side as f64).round() as usize).max(1);
            let block = "█".repeat(cells);
            let (left, right) = if weight < 0.0 {
                (self.paint(Style::Against, &block), String::new())
            } else {
                (String::new(), self.paint(Style::For, &block))
            };
            let gap = if any_negative { side - if weight < 0.0 { cells } else { 0 } } else { 0 };
            let line = format!(
                "  {} {}  {}  {}{left}│{right}",
                rank + 1,
                pad(&names[rank], name_room),
                pad_left(&values[rank], value_room),
                " ".repeat(gap),
            );
            self.line(&line);
        }
    }

    fn warnings(&mut self, warnings: &[String]) {
        if warnings.is_empty() {
            return;
        }
        self.heading(if warnings.len() == 1 { "Warning" } else { "Warnings" });
        for warning in warnings {
            for (i, part) in fold(warning, self.width - 4).iter().enumerate() {
                let mark = if i == 0 { self.paint(Style::Warning, "!") } else { " ".into() };
                self.line(&format!("  {mark} {part}"));
            }
        }
    }
}

/// A bar of `part` (0..=1) of `room` columns, in eighths.
fn bar(part: f64, room: usize) -> String {
    let eighths = (part * room as f64 * 8.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if let Some(rest) = ["▏", "▎", "▍", "▌", "▋", "▊", "▉"].get((eighths % 8).wrapping_sub(1)) {
        text.push_str(rest);
    }
    if text.is_empty() && part > 0.0 { "▏".into() } else { text }
}

/// One line without control characters, so that a name cannot steer the terminal.
pub(super) fn clean(text: &str) -> String {
    let safe = |c: char| match c {
        c if c.is_whitespace() => ' ',
        // Direction marks could make a line read backwards.
        c if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            '�'
        }
        c => c,
    };
    text.chars().map(safe).collect()
}

/// A clean line, cut with an ellipsis after `room` columns.
pub(super) fn cut(text: &str, room: usize) -> String {
    let text = clean(text);
    if text.width() <= room {
        return text;
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < room
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// Clean lines of at most `room` columns, broken at spaces where there are any.
pub(super) fn fold(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in clean(text).split(' ') {
        // There is always a last line.
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last] = cut(word, room);
        } else if lines[last].width() + 1 + word.width() <= room {
            let _ = write!(lines[last], " {word}");
        } else {
            lines.push(cut(word, room));
        }
    }
    lines
}

fn widest(texts: impl Iterator<Item = String>) -> usize {
    texts.map(|t| t.width()).max().unwrap_or(0)
}

pub(super) fn pad(text: &str, room: usize) -> String {
    format!("{text}{}", " ".repeat(room.saturating_sub(text.width())))
}

pub(super) fn pad_left(text: &str, room: usize) -> String {
    format!("{}{text}", " ".repeat(room.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(1e-9, 4), "▏");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.53125, 4), "██▏");
        assert_eq!(bar(1.0, 4), "████");
    }

    #[test]
    fn text_keeps_to_its_columns_and_steers_nothing() {
        assert_eq!(cut("tabby cat", 6), "tabby…");
        assert_eq!(cut("猫猫猫猫", 5), "猫猫…");
        assert_eq!(clean("a\x1b[2J\nb\u{202e}"), "a�[2J b�");
        assert_eq!(fold("one two three", 7), ["one two", "three"]);
    }
}
