//! `whybox devices`

use whybox::device::cpu::Cpu;
use whybox::device::gpu::{AdapterInfo, AdapterKind, Gpu};
use whybox::plan::human_bytes;
use whybox::{Device, Result};

use crate::output::say;

pub fn run() -> Result<()> {
    let adapters = Gpu::list();
    let best = Device::best();
    let mut text = String::new();
    for (at, adapter) in adapters.iter().enumerate() {
        // The list's order is that of preference.
        let chosen = at == 0 && best.is_gpu();
        text += &format!("{}\n", describe(adapter, chosen));
    }
    if adapters.is_empty() {
        text += "no GPU adapter: install a Vulkan, Metal or DirectX 12 driver to use one\n\n";
    }
    text += &format!("{}{}\n", Cpu::new().name(), mark(!best.is_gpu()));
    say(&text)
}

fn mark(chosen: bool) -> &'static str {
    if chosen { "  (best)" } else { "" }
}

fn describe(adapter: &AdapterInfo, chosen: bool) -> String {
    let features = if adapter.features.is_empty() {
        "none beyond the core".to_owned()
    } else {
        adapter.features.join(", ")
    };
    let hint =
        if adapter.kind == AdapterKind::Software { ": only taken with --device gpu, it is slow" } else { "" };
    format!(
        "GPU {}{}\n  kind      {}{hint}\n  driver    {}\n  limits    binding {}, buffer {}, workgroup memory {}, {} threads a workgroup\n  features  {features}\n",
        adapter.name,
        mark(chosen),
        adapter.kind,
        adapter.driver,
        human_bytes(adapter.binding_bytes),
        human_bytes(adapter.buffer_bytes),
        human_bytes(adapter.workgroup_bytes.into()),
        adapter.workgroup_threads,
    )
}
