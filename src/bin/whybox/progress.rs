//! A progress bar for runs that take over a second.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

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
            "{spinner:.cyan} {msg:12} {wide_bar:.cyan/dim} {human_pos}/{human_len}  {rate}  {left}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            // Before the first evaluations there is no rate to tell. What cannot be written is left out.
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                if state.pos() > 0 {
                    let _ = write!(out, "{:.0}/s", state.per_sec());
                }
            };
            let left = |state: &ProgressState, out: &mut dyn Write| {
                if state.pos() > 0 {
                    let _ = write!(out, "{:#} left", HumanDuration(state.eta()));
                }
            };
            bar.set_style(style.with_key("rate", rate).with_key("left", left));
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

    /// A new input begins: nothing is evaluated of `total`.
    pub fn restart(&self, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(0);
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    /// So many evaluations are expected, as a forecast says.
    pub fn expect(&self, total: usize) {
        self.bar.set_length(total as u64);
    }

    /// Does something that writes to the terminal, with the bar out of the way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
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
