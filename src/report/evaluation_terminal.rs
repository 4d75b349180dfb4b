//! A comparison of explanations as text for a terminal: metrics below each other, a column a method.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::evaluation::{Evaluation, Mark};
use super::number::{count, seconds};
use super::terminal::{cut, fold, pad, pad_left};

/// Text does not spread over more columns than this, nor squeeze into fewer than [`NARROW`].
const BROAD: usize = 140;
const NARROW: usize = 60;
/// The column of names, and the gap between columns.
const NAMES: usize = 14;
const GAP: usize = 2;

impl Evaluation {
    /// The comparison as lines of at most `width` columns (held to 60..=140); methods that do not fit beside each other follow below.
    /// ANSI colours only if `colour`; without them the text is the same.
    pub fn terminal(&self, colour: bool, width: usize) -> String {
        let width = width.clamp(NARROW, BROAD);
        let paint = |code: &str, text: &str| {
            if colour && !text.trim().is_empty() {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let title = format!("Comparison of explanations · {} · {}", self.network, self.counted_inputs());
        let mut text = format!("{}\n", paint("1", &cut(&title, width)));
        let stages: Vec<String> =
            self.seconds.iter().map(|(stage, s)| format!("{stage} {}", seconds(*s))).collect();
        for (name, value) in [
            ("device", self.device.clone()),
            ("explains", self.explained.name().to_owned()),
            ("evaluations", count(self.evaluations)),
            ("time", stages.join(" · ")),
            ("seed", self.seed.to_string()),
        ] {
            let _ = writeln!(text, "{}", cut(&format!("  {name:<12} {value}"), width).trim_end());
        }
        if !self.scores.inputs.is_empty() {
            self.tables(&mut text, width, &paint);
        }
        for warning in &self.warnings {
            let lines = fold(&format!("warning: {warning}"), width);
            let _ = writeln!(text, "\n{}", paint("33", &lines.join("\n")));
        }
        text
    }

    fn tables(&self, text: &mut String, width: usize, paint: &dyn Fn(&str, &str) -> String) {
        let columns: Vec<Vec<String>> =
            (0..self.scores.methods.len()).map(|method| self.column(method)).collect();
        let room = |column: &Vec<String>| column.iter().map(|cell| cell.width()).max().unwrap_or(0) + GAP;
        let mut first = 0;
        while first < columns.len() {
            let mut used = NAMES + 2;
            let mut last = first;
            while last < columns.len() && (last == first || used + room(&columns[last]) <= width) {
                used += room(&columns[last]);
                last += 1;
            }
            text.push('\n');
            let rows = self.scores.metrics.len() + 2;
            for row in 0..rows {
                let name = match row.checked_sub(1) {
                    None => String::new(),
                    Some(at) if at == self.scores.metrics.len() => "seconds".into(),
                    Some(at) => {
                        let metric = self.scores.metrics[at];
                        format!("{:<12}{}", metric.name(), metric.better().arrow())
                    }
                };
                let mut line = format!("  {}", pad(&name, NAMES));
                for (method, column) in columns.iter().enumerate().take(last).skip(first) {
                    let cell = pad_left(&column[row], room(column));
                    let metric = row.checked_sub(1).filter(|at| *at < self.scores.metrics.len());
                    line += &match metric.map(|metric| self.mark(method, metric)) {
                        Some(Mark::Best) => paint("1;32", &cell),
                        Some(Mark::Lost) => paint("33", &cell),
                        Some(Mark::Plain) => cell,
                        None if row == 0 => paint("1", &cell),
                        None => cell,
                    };
                }
                text.push_str(line.trim_end());
                text.push('\n');
            }
            first = last;
        }
        let several =
            if self.scores.inputs.len() > 1 { "Means ± one standard error over the inputs. " } else { "" };
        let control = match self.scores.control {
            Some(_) => "; ! no better than the random explanation",
            None => "",
        };
        let legend = format!("{several}↑ more is better, ↓ less; * the best{control}.");
        let _ = writeln!(text, "\n{}", paint("2", &fold(&legend, width).join("\n")));
    }

    /// A method's name and numbers, the marks behind them.
    fn column(&self, method: usize) -> Vec<String> {
        let several = self.scores.inputs.len() > 1;
        let mut cells = vec![format!("{} ", self.scores.methods[method])];
        for metric in 0..self.scores.metrics.len() {
            let (summary, round) = (self.scores.summary(method, metric), self.rounding(metric));
            let mark = match self.mark(method, metric) {
                Mark::Best => '*',
                Mark::Lost => '!',
                Mark::Plain => ' ',
            };
            let error = match summary.standard_error {
                e if e.is_finite() => format!(" ± {}", round.plain(e)),
                _ => String::new(),
            };
            cells.push(match summary.inputs {
                0 => "– ".into(),
                _ if several => format!("{}{error}{mark}", round.plain(summary.mean)),
                _ => format!("{}{mark}", round.plain(summary.mean)),
            });
        }
        cells.push(format!("{} ", seconds(self.scores.seconds(method).mean)));
        cells
    }
}
