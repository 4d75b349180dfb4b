//! The GPU of the tests: opened once per process, a software adapter if there is no other.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use whybox::Device;
use whybox::device::gpu::Gpu;

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Whether a missing adapter is a failure.
fn required() -> bool {
    std::env::var_os("WHYBOX_REQUIRE_GPU").is_some_and(|value| value != "0")
}

/// Gives what was opened, or says that the test is skipped.
fn or_skip<T: Clone>(opened: &Result<T, whybox::Error>) -> Option<T> {
    match opened {
        Ok(opened) => Some(opened.clone()),
        Err(error) => {
            assert!(!required(), "WHYBOX_REQUIRE_GPU is set, but: {error}");
            let skipped = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
            let thread = std::thread::current();
            let test = thread.name().unwrap_or("a test").to_owned();
            // Not eprintln, which the test harness hides where the test passes.
            writeln!(std::io::stderr(), "skipped: no adapter ({test}; {skipped} so far)").ok();
            None
        }
    }
}

/// The device, or `None` (printed and counted) if there is no adapter.
pub fn gpu() -> Option<Device> {
    static DEVICE: OnceLock<Result<Device, whybox::Error>> = OnceLock::new();
    or_skip(DEVICE.get_or_init(Device::gpu))
}

/// The engine itself, for plans made by hand; `None` (printed and counted) if there is no adapter.
pub fn engine() -> Option<Arc<Gpu>> {
    static ENGINE: OnceLock<Result<Arc<Gpu>, whybox::Error>> = OnceLock::new();
    or_skip(ENGINE.get_or_init(|| Gpu::any().map(Arc::new)))
}
