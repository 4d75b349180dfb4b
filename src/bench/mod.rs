//! How fast is this machine? The standard workloads of explaining, measured against the device's arithmetic peak.
//!
//! `whybox bench` prints what this module measures. Rates are of whole explanations, from the photo to the coefficients,
//! on networks with random weights ([`networks`]), because speed does not depend on what a network has learnt.

pub mod networks;
mod peak;
mod tables;
mod workload;

pub use peak::peak_gflops;
pub use workload::{Measurement, Workload};
