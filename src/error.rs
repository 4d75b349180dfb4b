//! The one error type of the crate.
//!
//! Each error says *what* went wrong, *where*, and *what to do about it*. The variant tells whose
//! turn it is: the caller's ([`Error::Parameter`]), the network file's ([`Error::Model`],
//! [`Error::Unsupported`]), the machine's ([`Error::Limits`], [`Error::Device`], [`Error::Io`]) or
//! the numbers' ([`Error::Numeric`]).

use std::fmt;

/// What went wrong, where, and what to do about it.
///
/// # Example
/// ```
/// let error = whybox::Error::parameter("zero samples", "--samples 0", "ask for at least 1");
/// let detail = error.detail();
/// assert_eq!((detail.at.as_str(), detail.remedy.as_str()), ("--samples 0", "ask for at least 1"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// What went wrong, in one sentence without a full stop.
    pub what: String,
    /// The node, file, option or value concerned.
    pub at: String,
    /// What the user can do about it.
    pub remedy: String,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.at.is_empty() {
            write!(f, "\n  at: {}", self.at)?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n  help: {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that can go wrong in whybox.
///
/// # Example
/// ```
/// let error = whybox::Error::parameter("zero samples", "--samples 0", "ask for at least 1");
/// assert!(matches!(error, whybox::Error::Parameter(_)));
/// assert!(error.to_string().contains("--samples 0"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network file is damaged or contradicts itself.
    #[error("{0}")]
    Model(Detail),
    /// An argument of the caller makes no sense.
    #[error("{0}")]
    Parameter(Detail),
    /// A limit of memory or of the device is too small.
    #[error("{0}")]
    Limits(Detail),
    /// The file is sound, but needs something that whybox does not have.
    #[error("{0}")]
    Unsupported(Detail),
    /// A device is missing, was lost or reported an error.
    #[error("{0}")]
    Device(Detail),
    /// A NaN, an infinity or a singular system.
    #[error("{0}")]
    Numeric(Detail),
    /// A file could not be read or written.
    #[error("{0}")]
    Io(Detail),
    /// Somebody asked to stop.
    #[error("{0}")]
    Interrupted(Detail),
}

/// A `Result` whose error is [`Error`].
///
/// # Example
/// ```
/// fn halves(samples: usize) -> whybox::Result<usize> {
///     match samples % 2 {
///         0 => Ok(samples / 2),
///         _ => Err(whybox::Error::parameter("an odd number of samples", "samples", "take one more")),
///     }
/// }
/// assert_eq!(halves(6), Ok(3));
/// assert!(halves(7).is_err());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! constructors {
    ($($name:ident => $variant:ident, $doc:literal;)*) => {
        impl Error {
            $(
                #[doc = $doc]
                pub fn $name(
                    what: impl Into<String>,
                    at: impl Into<String>,
                    remedy: impl Into<String>,
                ) -> Self {
                    Error::$variant(Detail { what: what.into(), at: at.into(), remedy: remedy.into() })
                }
            )*

            /// What, where and what to do.
            pub fn detail(&self) -> &Detail {
                match self {
                    $(Error::$variant(detail) => detail,)*
                }
            }
        }
    };
}

constructors! {
    model => Model, "Makes an [`Error::Model`]: what, where, what to do.";
    parameter => Parameter, "Makes an [`Error::Parameter`]: what, where, what to do.";
    limits => Limits, "Makes an [`Error::Limits`]: what, where, what to do.";
    unsupported => Unsupported, "Makes an [`Error::Unsupported`]: what, where, what to do.";
    device => Device, "Makes an [`Error::Device`]: what, where, what to do.";
    numeric => Numeric, "Makes an [`Error::Numeric`]: what, where, what to do.";
    io => Io, "Makes an [`Error::Io`]: what, where, what to do.";
    interrupted => Interrupted, "Makes an [`Error::Interrupted`]: what, where, what to do.";
}
