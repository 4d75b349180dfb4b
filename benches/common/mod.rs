//! The networks of `whybox bench`, and the devices at hand.
#![allow(unused_imports, dead_code, reason = "each benchmark uses a part")]

pub use whybox::bench::networks::*;

use whybox::Device;

/// The processor, and a GPU if there is a real one.
pub fn devices() -> Vec<Device> {
    let best = Device::best();
    let gpu = best.is_gpu().then_some(best);
    std::iter::once(Device::cpu()).chain(gpu).collect()
}
