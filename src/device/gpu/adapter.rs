//! Adapters: what there is, what it can do, which one is taken.

use std::fmt;

use super::select::Caps;
use crate::{Error, Result};

/// Largest binding and largest buffer that are ever asked for: addresses count in 32 bits, and Vulkan's own
/// cap is the same.
const LARGEST_BYTES: u64 = i32::MAX as u64;

/// Optional features that are asked for where an adapter has them: timestamps for profiles, and f16, which changes numbers
/// only where it is asked for.
pub(crate) const USED: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SHADER_F16);

/// What kind of machine is behind an adapter.
///
/// # Example
/// ```
/// use whybox::device::gpu::AdapterKind;
///
/// assert_eq!(AdapterKind::Software.to_string(), "software");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU passed through to a virtual machine, or one that does not say what it is.
    Other,
    /// The processor pretending to be a GPU.
    Software,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Other => "other",
            AdapterKind::Software => "software",
        })
    }
}

/// An adapter as `whybox devices` shows it.
///
/// # Example
/// ```
/// use whybox::device::gpu::Gpu;
///
/// // As many as the machine has; none is no error.
/// for adapter in Gpu::list() {
///     assert!(adapter.to_string().starts_with(&adapter.name));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterInfo {
    /// Name as the driver gives it.
    pub name: String,
    /// Vulkan, Metal or DX12.
    pub backend: String,
    /// Discrete, integrated, software, …
    pub kind: AdapterKind,
    /// Name and version of the driver.
    pub driver: String,
    /// Most bytes that a shader can be given in one binding.
    pub binding_bytes: u64,
    /// Most bytes of a buffer.
    pub buffer_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Most threads of a workgroup.
    pub workgroup_threads: u32,
    /// Optional features that are used: `timestamps` (profiles), `f16` (only for [`Precision::F16`](crate::device::Precision)).
    pub features: Vec<String>,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.backend)?;
        if self.kind == AdapterKind::Software {
            write!(f, ", software")?;
        }
        write!(f, ")")
    }
}

/// An adapter with its description.
pub(crate) struct Adapter {
    /// The adapter.
    pub raw: wgpu::Adapter,
    /// Its description.
    pub info: AdapterInfo,
}

impl Adapter {
    fn new(raw: wgpu::Adapter) -> Self {
        let (info, limits) = (raw.get_info(), raw.limits());
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::Cpu => AdapterKind::Software,
            wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => AdapterKind::Other,
        };
        let backend = match info.backend {
            wgpu::Backend::Dx12 => "DX12".to_owned(),
            backend => format!("{backend:?}"),
        };
        let info = AdapterInfo {
            name: info.name,
            backend,
            kind,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_threads: limits.max_compute_invocations_per_workgroup,
            features: features(raw.features()),
        };
        Adapter { raw, info }
    }

    /// What the choice of kernels and chunks depends on.
    pub(crate) fn caps(&self) -> Caps {
        Caps {
            software: self.info.kind == AdapterKind::Software,
            cooperative: false,
            workgroup_bytes: self.info.workgroup_bytes,
            workgroup_threads: self.info.workgroup_threads,
            grid_groups: self.raw.limits().max_compute_workgroups_per_dimension,
            binding_bytes: self.info.binding_bytes.min(self.info.buffer_bytes).min(LARGEST_BYTES),
            // A submission has to end within some two seconds where a display hangs on the same GPU.
            chunk_macs: match self.info.kind {
                AdapterKind::Discrete => 1 << 39,
                AdapterKind::Integrated | AdapterKind::Other => 1 << 36,
                AdapterKind::Software => 1 << 31,
            },
        }
    }
}

/// What to say of an adapter that cannot be opened.
pub(crate) fn cannot_open(info: &AdapterInfo, error: &wgpu::RequestDeviceError) -> Error {
    Error::device(error.to_string(), info.to_string(), "update the driver, or use --device cpu")
}

/// Names of the optional features that are used.
fn features(all: wgpu::Features) -> Vec<String> {
    let names = [(wgpu::Features::TIMESTAMP_QUERY, "timestamps"), (wgpu::Features::SHADER_F16, "f16")];
    names.iter().filter(|(feature, _)| all.contains(*feature)).map(|(_, name)| (*name).to_owned()).collect()
}

/// All adapters with compute shaders, the preferred ones first.
pub(crate) async fn adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let computes = |adapter: &wgpu::Adapter| {
        adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    };
    let found = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let mut adapters: Vec<Adapter> = found.into_iter().filter(computes).map(Adapter::new).collect();
    // A stable sort: the driver's own order decides between equals.
    adapters.sort_by_key(|adapter| match adapter.info.kind {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Other => 2,
        AdapterKind::Software => 3,
    });
    adapters
}

/// The preferred adapter.
///
/// # Errors
/// [`Error::Device`] if there is none, or none but software ones and those are not wanted.
pub(crate) async fn choose(software_too: bool) -> Result<Adapter> {
    let found = adapters().await;
    let none = found.is_empty();
    found.into_iter().find(|adapter| software_too || adapter.info.kind != AdapterKind::Software).ok_or_else(
        || {
            let what =
                if none { "there is no GPU adapter" } else { "there is no GPU, only a software adapter" };
            Error::device(
                what,
                "Vulkan, Metal and DX12",
                "install the GPU's driver (on Linux its Vulkan part), or use --device cpu",
            )
        },
    )
}
