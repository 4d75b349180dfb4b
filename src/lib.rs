//! Ask a black box why: whybox explains the answers of CNNs and MLPs by perturbing their inputs in massive
//! batches, on any GPU (wgpu, WGSL) or on a native CPU engine.
//!
//! Data flows one way, a module for each verb:
//!
//! ```text
//! model.onnx ─► model ─► plan ─┐
//!                              ├─► device ──► responses ─► solve ─► explain ─► report
//! photo, masks ─► perturb ─────┘
//! ```
//!
//! # Example
//! Why does the built-in network call the built-in photo a cat?
//! ```
//! use whybox::explain::{ImageExplainer, Lime};
//! use whybox::{Device, builtin};
//!
//! let network = Device::cpu().load(&builtin::network()?.probabilities()?)?;
//! let explainer = ImageExplainer {
//!     segmentation: "slic:n=40".parse()?,
//!     preprocess: builtin::preprocess(),
//!     ..ImageExplainer::default()
//! };
//! let lime = Lime { samples: 200, ..Lime::default() };
//! let result = explainer.explain(&network, builtin::photo()?, &lime, &mut |_| {})?;
//! let top = &result.explanation.attributions[0];
//! assert_eq!(builtin::classes()[top.output], "cat");
//! assert_eq!(top.values.len(), result.segments);
//! # Ok::<(), whybox::Error>(())
//! ```

#![warn(missing_docs)]

pub mod bench;
pub mod builtin;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod explain;
pub mod model;
pub mod perturb;
pub mod plan;
pub mod report;
pub mod solve;
pub mod table;
pub mod text;

pub use device::{Device, Network};
pub use error::{Error, Result};

/// The Rust blocks of README and guide, run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;

    macro_rules! chapters {
        ($($name:ident $file:literal)*) => {
            $(#[doc = include_str!(concat!("../docs/guide/src/", $file))] struct $name;)*
        };
    }

    chapters! {
        Texts "texts.md"
        Plots "plots.md"
        Models "models.md"
        Embedding "embedding.md"
        Reading "reading.md"
        Evaluating "evaluating.md"
    }
}
