//! Stopping a run from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// A switch that ends runs between two chunks of samples. Clones share one switch. All are equal, since none
/// changes what is computed.
///
/// # Example
/// ```
/// use whybox::device::{Cancel, RunOptions};
/// use whybox::{Device, Error, model::Model, perturb::Rows};
///
/// let model = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let cancel = Cancel::default();
/// let options = RunOptions { cancel: cancel.clone(), ..RunOptions::default() };
/// cancel.cancel(); // As a rule from another thread.
/// let stopped = network.responses(&Rows::new(&[1.0, 2.0], 2)?, &options);
/// assert!(matches!(stopped, Err(Error::Interrupted(_))));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the runs that have this switch, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether runs are ended.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Nothing, unless runs are ended.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after [`Cancel::cancel`].
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::interrupted("the run was interrupted", "", "start it again"));
        }
        Ok(())
    }
}

impl PartialEq for Cancel {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Cancel {}
