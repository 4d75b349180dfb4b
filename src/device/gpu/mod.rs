//! The GPU engine: plans as WGSL kernels through wgpu (Vulkan, Metal, DX12).
//!
//! A plan's step becomes a dispatch (`encode`): a pipeline (a shader of `shaders/` with its defines), the
//! constants and the uniform that it reads, and a grid. A chunk of samples is one compute pass; all of its
//! activations lie in one buffer (`arena`). Two chunks are in flight, so that one is computed while
//! the one before is read. Early layers may run over columns first (`columns`), and answers may be summed by group
//! (`mean_sums`) before they come back. No wgpu instance is created before a function here is called.

mod adapter;
mod arena;
mod coins;
mod column_tables;
mod columns;
mod cooperative;
mod encode;
mod encode_conv;
mod encode_movement;
mod encode_rows;
mod failure;
mod grid;
mod head;
mod mean_sums;
mod network;
mod opening;
mod pack;
mod pipeline;
mod preprocess;
mod readback;
mod reflect;
mod select;
mod session;
mod source;
mod storage;
mod table_mlp;
mod table_units;
mod timing;
mod uniforms;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use adapter::{AdapterInfo, AdapterKind};
pub use network::{GpuNetwork, Overrides};
#[doc(hidden)]
pub use reflect::{Reflection, check_shaders};
#[doc(hidden)]
pub use select::Tile;

use crate::device::Precision;
use crate::plan::Plan;
use crate::{Error, Result};
use adapter::Adapter;
use failure::{Failure, Health};
use pipeline::Pipeline;
use select::Caps;
use source::Permutation;

/// A GPU, opened.
///
/// # Example
/// ```
/// use whybox::Error;
/// use whybox::device::gpu::Gpu;
///
/// match Gpu::hardware() {
///     Ok(_gpu) => assert!(!Gpu::list().is_empty()),
///     // A machine without a GPU: the processor serves.
///     Err(error) => assert!(matches!(error, Error::Device(_))),
/// }
/// ```
pub struct Gpu {
    raw: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: AdapterInfo,
    caps: Caps,
    health: Arc<Health>,
    precision: Precision,
    pipelines: Mutex<HashMap<Permutation, Arc<Pipeline>>>,
}

impl Gpu {
    /// Opens the best real GPU: discrete before integrated; a software rasteriser is none.
    ///
    /// # Errors
    /// [`Error::Device`] if there is none or it cannot be opened.
    pub fn hardware() -> Result<Self> {
        pollster::block_on(Self::hardware_async())
    }

    /// [`hardware`](Gpu::hardware) without blocking.
    ///
    /// # Errors
    /// Those of [`hardware`](Gpu::hardware).
    pub async fn hardware_async() -> Result<Self> {
        Self::open(adapter::choose(false).await?).await
    }

    /// Opens the best adapter, a software one if there is no other.
    ///
    /// # Errors
    /// [`Error::Device`] if there is none or it cannot be opened.
    pub fn any() -> Result<Self> {
        pollster::block_on(Self::any_async())
    }

    /// [`any`](Gpu::any) without blocking.
    ///
    /// # Errors
    /// Those of [`any`](Gpu::any).
    pub async fn any_async() -> Result<Self> {
        Self::open(adapter::choose(true).await?).await
    }

    /// Every adapter that could be opened, the preferred ones first.
    pub fn list() -> Vec<AdapterInfo> {
        let adapters = pollster::block_on(adapter::adapters());
        adapters.into_iter().map(|adapter| adapter.info).collect()
    }

    async fn open(adapter: Adapter) -> Result<Self> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("whybox"),
            required_features: adapter.raw.features() & adapter::USED,
            required_limits: adapter.raw.limits(),
            ..Default::default()
        };
        let opened = adapter.raw.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| adapter::cannot_open(&adapter.info, &error))?;
        let health = Health::watch(&device);
        let caps = adapter.caps();
        let (raw, info, precision) = (adapter.raw, adapter.info, Precision::default());
        Ok(Gpu { raw, device, queue, info, caps, health, precision, pipelines: Mutex::default() })
    }

    /// The same GPU with numbers stored in another precision; both can be used at the same time.
    ///
    /// In f16, products run in cooperative matrices (tensor cores) where the adapter has them and they answer a small network as the other
    /// kernels do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the GPU has no f16.
    pub fn with_precision(&self, precision: Precision) -> Result<Self> {
        pollster::block_on(self.with_precision_async(precision))
    }

    /// [`with_precision`](Gpu::with_precision) without blocking.
    ///
    /// # Errors
    /// Those of [`with_precision`](Gpu::with_precision).
    pub async fn with_precision_async(&self, precision: Precision) -> Result<Self> {
        if precision == Precision::F32 {
            return Ok(self.sharing_device(precision));
        }
        if !self.device.features().contains(wgpu::Features::SHADER_F16) {
            return Err(Error::unsupported(
                "this GPU, or its driver, has no f16",
                self.name(),
                storage::USE_F32,
            ));
        }
        let cooperative = self.cooperative().await;
        Ok(cooperative.unwrap_or_else(|| self.sharing_device(precision)))
    }

    /// The same device in another precision, without cooperative matrices.
    fn sharing_device(&self, precision: Precision) -> Self {
        Gpu {
            raw: self.raw.clone(),
            device: self.device.clone(),
            queue: self.queue.clone(),
            info: self.info.clone(),
            caps: Caps { cooperative: false, ..self.caps },
            health: self.health.clone(),
            precision,
            pipelines: Mutex::default(),
        }
    }

    /// How numbers are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The device's name, for people: `GPU NVIDIA H200 (Vulkan)`, with `, f16 storage` where that was asked for,
    /// and `, matrix units` where products run in those.
    pub fn name(&self) -> String {
        let storage = match (self.precision, self.caps.cooperative) {
            (Precision::F32, _) => "",
            (Precision::F16, false) => ", f16 storage",
            (Precision::F16, true) => ", f16 storage, matrix units",
        };
        format!("GPU {}{storage}", self.info)
    }

    /// The adapter behind it.
    pub fn adapter(&self) -> &AdapterInfo {
        &self.info
    }

    /// Checks a plan and uploads its weights.
    ///
    /// # Errors
    /// [`Error::Model`] if the plan contradicts itself, [`Error::Limits`] if the weights do not fit,
    /// [`Error::Device`] if the device fails.
    pub fn load(gpu: &Arc<Gpu>, plan: Arc<Plan>) -> Result<GpuNetwork> {
        Self::load_with(gpu, plan, Overrides::default())
    }

    /// [`load`](Gpu::load) without blocking.
    ///
    /// # Errors
    /// Those of [`load`](Gpu::load).
    pub async fn load_async(gpu: &Arc<Gpu>, plan: Arc<Plan>) -> Result<GpuNetwork> {
        GpuNetwork::new(gpu.clone(), plan, Overrides::default()).await
    }

    /// [`load`](Gpu::load) with choices forced.
    ///
    /// # Errors
    /// Those of [`load`](Gpu::load).
    #[doc(hidden)]
    pub fn load_with(gpu: &Arc<Gpu>, plan: Arc<Plan>, overrides: Overrides) -> Result<GpuNetwork> {
        pollster::block_on(Self::load_with_async(gpu, plan, overrides))
    }

    async fn load_with_async(gpu: &Arc<Gpu>, plan: Arc<Plan>, overrides: Overrides) -> Result<GpuNetwork> {
        GpuNetwork::new(gpu.clone(), plan, overrides).await
    }

    /// Gives the device up, as a driver's crash would.
    #[doc(hidden)]
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// Number of pipelines that were compiled: one for each permutation, whatever the number of networks that use it.
    #[doc(hidden)]
    pub fn compiled(&self) -> usize {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The pipeline of a permutation, compiled when it is first asked for.
    async fn pipeline(&self, permutation: Permutation) -> Result<Arc<Pipeline>, Failure> {
        let known = || self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = known().get(&permutation) {
            return Ok(pipeline.clone());
        }
        let at = format!("shader {permutation}");
        let made = self.guarded(&at, || Pipeline::new(&self.device, permutation, self.precision)).await??;
        let made = Arc::new(made);
        known().insert(permutation, made.clone());
        Ok(made)
    }
}
