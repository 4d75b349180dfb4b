//! An explained table or text as text for a terminal.

use unicode_width::UnicodeWidthStr;

use super::document::{Document, Kind};
use super::number::{Rounding, count, r_squared, rate};
use super::plot::{self, PlotOptions, quantity};
use super::terminal::{clean, cut, fold, pad, pad_left};
use crate::Result;

/// Text does not spread over more columns than this, nor squeeze into fewer than [`NARROW`].
const BROAD: usize = 96;
const NARROW: usize = 48;

impl Document {
    /// One instance and output as lines of at most `width` columns (held to 48..=96): the prediction, a bar a feature (of a text its
    /// tokens before), and how far to trust it. ANSI colours only if `colour`; without them the numbers are the same.
    ///
    /// # Errors
    /// Those of [`plot::svg`] for these options.
    pub fn terminal(&self, options: &PlotOptions, colour: bool, width: usize) -> Result<String> {
        let width = width.clamp(NARROW, BROAD);
        let mut text = String::new();
        let paint = |code: &str, s: &str| {
            if colour && !s.is_empty() { format!("\x1b[{code}m{s}\x1b[0m") } else { s.to_owned() }
        };
        let bars = plot::bars(self, options)?;
        // Checked by `bars`.
        let instance = &self.instances[options.instance];
        let output = &instance.outputs[options.output];
        let largest = bars.iter().fold(0.0, |m: f64, b| m.max(b.value.abs()));
        let whole = Rounding::for_largest(output.prediction.abs().max(output.base_value.abs()));
        let row = instance.row.map_or(String::new(), |row| format!(", row {row}"));
        let title = format!("{} = {}{row}", quantity(self, output), whole.plain(output.prediction));
        text += &format!("{}\n", paint("1", &cut(&title, width)));
        let run = format!("{} · {}", self.method, self.network);
        text += &format!("{}\n\n", paint("2", &cut(&run, width)));
        if self.kind == Kind::Text {
            text += &plot::tokens_terminal(self, options, colour, width)?;
            text.push('\n');
        }
        let round = Rounding::for_largest(largest);
        let values: Vec<String> = bars
            .iter()
            .map(|bar| match bar.error {
                Some(e) => format!("{} ± {}", round.signed(bar.value), round.plain(e)),
                None => round.signed(bar.value),
            })
            .collect();
        let names: Vec<String> = bars.iter().map(|bar| clean(&bar.label)).collect();
        let name_room = names.iter().map(|n| n.width()).max().unwrap_or(0).min(width * 2 / 5);
        let value_room = values.iter().map(|v| v.width()).max().unwrap_or(0);
        // Six columns of bars at least.
        let name_room = name_room.min(width.saturating_sub(value_room + 13));
        let room = width.saturating_sub(name_room + value_room + 7).max(6);
        let (minus, plus) = (bars.iter().any(|b| b.value < 0.0), bars.iter().any(|b| b.value > 0.0));
        let side = if minus && plus { room / 2 } else { room };
        for ((bar, name), value) in bars.iter().zip(&names).zip(&values) {
            let part = if largest > 0.0 { bar.value.abs() / largest } else { 0.0 };
            let cells = (part * side as f64).round() as usize;
            let cells = if bar.value == 0.0 { 0 } else { cells.max(1) };
            let block = "█".repeat(cells);
            let (left, right) = if bar.value < 0.0 {
                (paint("38;5;33", &block), String::new())
            } else {
                (String::new(), paint("38;5;197", &block))
            };
            let gap = if minus { side - if bar.value < 0.0 { cells } else { 0 } } else { 0 };
            let line = format!(
                "  {}  {}  {}{left}│{right}",
                pad(&cut(name, name_room), name_room),
                pad_left(value, value_room),
                " ".repeat(gap),
            );
            text += &format!("{}\n", line.trim_end());
        }
        let fit = Some(output.weighted_r_squared).filter(|r| r.is_finite());
        let fit = fit.map_or(String::new(), |r| format!("weighted R² {} · ", r_squared(Some(r))));
        let sum = format!(
            "{fit}base {} and effects add up to {} for the network’s {}",
            whole.plain(output.base_value),
            whole.plain(output.local_prediction),
            whole.plain(output.prediction),
        );
        let spent = format!(
            "{} evaluations, {}, seed {}",
            count(self.evaluations),
            rate(self.evaluations_per_second),
            self.seed
        );
        text.push('\n');
        for fact in [sum, spent] {
            for part in fold(&fact, width - 2) {
                text += &format!("  {}\n", paint("2", &part));
            }
        }
        for warning in &self.warnings {
            for (i, part) in fold(warning, width - 4).iter().enumerate() {
                let mark = if i == 0 { paint("33", "!") } else { " ".into() };
                text += &format!("  {mark} {part}\n");
            }
        }
        Ok(text)
    }
}
