//! Ctrl-C: stops within a second and keeps what is whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use whybox::device::Cancel;
use whybox::{Error, Result};

/// How long a run may take to stop between two chunks by itself.
const PATIENCE: Duration = Duration::from_millis(600);
/// What shells expect of a program that Ctrl-C ended: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

/// The switch that Ctrl-C throws. A run that does not stop in time (one chunk may take long) is ended with the process,
/// but never while files are written.
#[derive(Clone)]
pub struct Interrupt {
    /// For the options of runs.
    pub cancel: Cancel,
    writing: Arc<Mutex<()>>,
}

impl Interrupt {
    /// Listens to Ctrl-C from now on; once in a process.
    pub fn listen() -> Result<Self> {
        let interrupt = Interrupt { cancel: Cancel::default(), writing: Arc::default() };
        let heard = interrupt.clone();
        let listening = ctrlc::set_handler(move || {
            heard.cancel.cancel();
            std::thread::sleep(PATIENCE);
            let _whole = heard.writing();
            eprintln!("error: interrupted");
            std::process::exit(EXIT_CODE.into());
        });
        listening.map_err(|error| {
            Error::device(format!("cannot listen to Ctrl-C: {error}"), "signals", "report this as a bug")
        })?;
        Ok(interrupt)
    }

    /// Files that belong together are written while this is held; nothing is, once Ctrl-C was pressed.
    pub fn whole(&self) -> Result<MutexGuard<'_, ()>> {
        let guard = self.writing();
        self.cancel.check()?;
        Ok(guard)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // Nothing is guarded but time: a panic elsewhere spoils nothing.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
