//! Ctrl-C: stops within a second and keeps what is whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use whybox::device::Cancel;
use whybox::{Error, Result};

/// How long a run may take to stop between two chunks by itself.
const PATIENCE: Duration = Duration::from_millis(600);
/// What shells expect of a program that Ctrl-C ended: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

/// Keeps what is whole of a run that was interrupted.
type Rescue = Box<dyn FnOnce() -> Result<()> + Send>;

/// The switch that Ctrl-C throws. A run that does not stop in time (one chunk may take long) is ended with the process,
/// but never while files are written, and not before what is whole is kept.
#[derive(Clone)]
pub struct Interrupt {
    /// For the options of runs.
    pub cancel: Cancel,
    /// Held while files are written.
    writing: Arc<Mutex<()>>,
    rescue: Arc<Mutex<Option<Rescue>>>,
}

impl Interrupt {
    /// Listens to Ctrl-C from now on; once in a process.
    pub fn listen() -> Result<Self> {
        let interrupt =
            Interrupt { cancel: Cancel::default(), writing: Arc::default(), rescue: Arc::default() };
        let heard = interrupt.clone();
        let listening = ctrlc::set_handler(move || {
            heard.cancel.cancel();
            std::thread::sleep(PATIENCE);
            heard.keep();
            // The main thread may be at it: files come first.
            let _whole = locked(&heard.writing);
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
        let guard = locked(&self.writing);
        self.cancel.check()?;
        Ok(guard)
    }

    /// What [`Interrupt::keep`] does from now on, until [`Interrupt::finish`].
    pub fn on_interruption(&self, rescue: impl FnOnce() -> Result<()> + Send + 'static) {
        *locked(&self.rescue) = Some(Box::new(rescue));
    }

    /// Keeps what is whole, once: called by the run that Ctrl-C stopped, or for it if it does not stop in time.
    pub fn keep(&self) {
        let _whole = locked(&self.writing);
        let rescue = locked(&self.rescue).take();
        if let Some(Err(error)) = rescue.map(|rescue| rescue()) {
            eprintln!("error: {error}");
        }
    }

    /// Writes the results of a run that came to its end, unless Ctrl-C was pressed: nothing is left to be kept then.
    pub fn finish(&self, write: impl FnOnce() -> Result<()>) -> Result<()> {
        let _whole = self.whole()?;
        write()?;
        locked(&self.rescue).take();
        Ok(())
    }
}

/// What is guarded stays sound when a thread panics: it is replaced as a whole or grows by whole parts.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
