//! whybox
pub mod builtin;
pub mod device;
pub mod error;
pub mod explain;
pub mod model;
pub mod perturb;
pub mod plan;
pub mod report;
pub mod solve;
pub use device::{Device, Network};
pub use error::{Error, Result};
