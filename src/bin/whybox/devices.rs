//! `whybox devices`

use whybox::device::{cpu, gpu};
use whybox::{Device, Result};

pub fn run() -> Result<()> {
    let best = Device::best();
    let mark = |chosen: bool| if chosen { "  (best)" } else { "" };
    let adapters = gpu::Gpu::list();
    for adapter in &adapters {
        println!("{adapter}{}\n", mark(best.is_gpu() && adapter.is_best));
    }
    if adapters.is_empty() {
        println!("no GPU adapter: install a Vulkan, Metal or DirectX 12 driver to use one\n");
    }
    println!("{}{}", cpu::Cpu::new().name(), mark(!best.is_gpu()));
    Ok(())
}
