//! A progress bar for stages that take over a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error that appears once its stage has run for a second, if that is a terminal.
pub struct Bar {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
}

impl Bar {
    /// A bar for `total` evaluations.
    pub fn new(total: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        // The template is a constant that indicatif accepts; without it the default style serves.
        if let Ok(style) = ProgressStyle::with_template(
            "evaluating {wide_bar:.cyan/dim} {human_pos}/{human_len}  {per_sec}  {eta} left",
        ) {
            bar.set_style(style);
        }
        Bar { bar, start: Instant::now(), shown: false }
    }

    /// `done` evaluations are done.
    pub fn at(&mut self, done: usize) {
        if !self.shown && self.start.elapsed() > Duration::from_secs(1) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
        self.bar.set_position(done as u64);
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
