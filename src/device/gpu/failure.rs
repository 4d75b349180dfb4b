//! What can go wrong on a device, made into errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Gpu;
use crate::{Error, Result};

/// How long a submission may take. Nothing that is well takes minutes: a chunk is sized for a second or less.
const PATIENCE: Duration = Duration::from_secs(300);

/// A failure that may be mended by asking for less, or one that may not.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The device has not enough memory.
    OutOfMemory(String),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error(error) => error,
            Failure::OutOfMemory(at) => Error::limits(
                "the GPU is out of memory",
                at,
                "close other programs that use the GPU, lower --memory, or use --device cpu",
            ),
        }
    }
}

/// What the driver reported on its own account.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Why the device is gone, if it is.
    lost: Mutex<Option<String>>,
    /// The last error outside any scope.
    stray: Mutex<Option<String>>,
}

fn set(place: &Mutex<Option<String>>, what: String) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
}

fn get(place: &Mutex<Option<String>>) -> Option<String> {
    place.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Health {
    /// Listens to a device. Without this wgpu panics on an error outside any scope.
    pub(crate) fn watch(device: &wgpu::Device) -> Arc<Self> {
        let health = Arc::new(Health::default());
        let listener = health.clone();
        device.set_device_lost_callback(move |reason, message| {
            set(&listener.lost, format!("{reason:?}: {message}"));
        });
        let listener = health.clone();
        device
            .on_uncaptured_error(Arc::new(move |error: wgpu::Error| set(&listener.stray, error.to_string())));
        health
    }
}

fn lost(gpu: &Gpu, why: &str) -> Error {
    Error::device(
        format!("the GPU was lost ({why})"),
        gpu.name(),
        "run again; if it happens again, update the driver or use --device cpu",
    )
}

fn refused(gpu: &Gpu, at: &str, what: &str) -> Error {
    Error::device(
        format!("the GPU refused a command: {what}"),
        format!("{at} on {}", gpu.name()),
        "update the driver, or use --device cpu; please report it",
    )
}

impl Gpu {
    /// Does something to the device and catches what the device says against it.
    pub(crate) async fn guarded<T>(&self, at: &str, work: impl FnOnce() -> T) -> Result<T, Failure> {
        self.check_alive()?;
        let filters =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let value = work();
        let mut failure = None;
        // Scopes are popped in the reverse of the order in which they were pushed.
        for scope in scopes.into_iter().rev() {
            match scope.pop().await {
                None => {}
                Some(wgpu::Error::OutOfMemory { .. }) => failure = Some(Failure::OutOfMemory(at.to_owned())),
                Some(error) => {
                    failure = failure.or_else(|| Some(refused(self, at, &error.to_string()).into()))
                }
            }
        }
        self.check_alive()?;
        failure.map_or(Ok(value), Err)
    }

    /// # Errors
    /// [`Error::Device`] if the device is lost or an error came at a time when nobody asked.
    pub(crate) fn check_alive(&self) -> Result<()> {
        if let Some(why) = get(&self.health.lost) {
            return Err(lost(self, &why));
        }
        match get(&self.health.stray) {
            None => Ok(()),
            Some(what) => Err(refused(self, "an earlier command", &what)),
        }
    }

    /// Waits for a submission and runs the callbacks that are due.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        // wgpu panics where the device is lost while it waits; that is an error of the device, not a defect here.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        self.check_alive()?;
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) => Err(Error::device(
                format!("the GPU gave no answer for {} s", PATIENCE.as_secs()),
                self.name(),
                "close other programs that use the GPU, update the driver, or use --device cpu",
            )),
            Ok(Err(error)) => Err(lost(self, &error.to_string())),
            Err(_) => Err(lost(self, "while waiting for it")),
        }
    }
}
