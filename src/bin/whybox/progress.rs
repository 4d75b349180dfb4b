//! A progress bar for runs that take over a second.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar on standard error that appears once a second has passed, if that is a terminal.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar for `total` evaluations.
    pub fn new(total: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        // The template is a constant that indicatif accepts; without it the default style serves.
        let template =
            "{spinner:.cyan} {msg:12} {wide_bar:.cyan/dim} {human_pos}/{human_len}  {rate}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                // A rate that cannot be written is left out.
                let _ = write!(out, "{:.0}/s", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate));
        }
        let late = bar.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            if !late.is_finished() {
                late.set_draw_target(ProgressDrawTarget::stderr());
                late.enable_steady_tick(Duration::from_millis(100));
            }
        });
        Bar { bar }
    }

    /// A stage begins.
    pub fn stage(&self, name: &'static str) {
        self.bar.set_message(name);
        // The rate is that of the evaluations: stages before them do not count.
        self.bar.reset_eta();
    }

    /// `done` of `total` evaluations are done, as far as is known.
    pub fn of(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.at(done);
    }

    /// `done` evaluations are done.
    pub fn at(&self, done: usize) {
        self.bar.set_message("evaluating");
        self.bar.set_position(done as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
