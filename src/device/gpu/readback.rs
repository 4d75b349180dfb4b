//! Numbers back from the device.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Gpu;
use crate::{Error, Result};

/// Reads the first `bytes` of a buffer once `submission` is done.
///
/// # Errors
/// [`Error::Device`] if the device is lost, gives no answer or does not let the buffer be read.
pub(crate) async fn read<T: bytemuck::AnyBitPattern>(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    bytes: u64,
    submission: wgpu::SubmissionIndex,
) -> Result<Vec<T>> {
    let unreadable = |what: String| {
        gpu.check_alive().err().unwrap_or_else(|| {
            Error::device(
                format!("the responses could not be read: {what}"),
                gpu.name(),
                "run again, or use --device cpu",
            )
        })
    };
    let (sender, mapped) = promise();
    buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |result| sender.fulfil(result));
    // In a browser this returns at once and the browser itself fulfils the promise.
    gpu.wait(submission)?;
    match mapped.await {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(unreadable(error.to_string())),
        None => return Err(unreadable("the request was dropped".to_owned())),
    }
    let view = buffer.get_mapped_range(0..bytes).map_err(|error| unreadable(error.to_string()))?;
    let values = view.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect();
    drop(view);
    buffer.unmap();
    Ok(values)
}

/// What a promise and its sender share.
struct Shared<T> {
    value: Option<T>,
    sender_gone: bool,
    waker: Option<Waker>,
}

type Cell<T> = Arc<Mutex<Shared<T>>>;

/// Fulfils a [`Promise`]; if it is dropped first, the promise gives `None`, so that nobody waits for ever.
struct Sender<T>(Cell<T>);

/// A value that a callback will bring.
struct Promise<T>(Cell<T>);

fn promise<T>() -> (Sender<T>, Promise<T>) {
    let cell = Arc::new(Mutex::new(Shared { value: None, sender_gone: false, waker: None }));
    (Sender(cell.clone()), Promise(cell))
}

impl<T> Sender<T> {
    fn fulfil(self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).value = Some(value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.sender_gone = true;
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.sender_gone {
            return Poll::Ready(shared.value.take());
        }
        shared.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_kept_or_given_up() {
        let (sender, kept) = promise();
        sender.fulfil(3);
        assert_eq!(pollster::block_on(kept), Some(3));
        let (sender, broken) = promise::<u32>();
        let thread = std::thread::spawn(move || drop(sender));
        assert_eq!(pollster::block_on(broken), None);
        assert!(thread.join().is_ok());
    }
}
