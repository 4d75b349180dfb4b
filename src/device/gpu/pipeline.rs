//! Pipelines, one for each permutation.

use super::source::{Permutation, Shader};
use crate::device::Precision;
use crate::{Error, Result};

/// Shaders that stay checked for good, since some of their data comes from outside the engine.
const CHECKED: [&str; 3] = ["perturb/", "table_", "group_sums"];

/// A compiled permutation with the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// What was compiled.
    pub permutation: Permutation,
    /// Layout of group 0.
    pub layout: wgpu::BindGroupLayout,
    /// The pipeline.
    pub pipeline: wgpu::ComputePipeline,
}

impl Pipeline {
    /// Compiles a permutation for numbers stored in `precision`. What the device says against it goes to the error scopes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is no such shader, [`Error::Device`] if its directives make no sense.
    pub(crate) fn new(device: &wgpu::Device, permutation: Permutation, precision: Precision) -> Result<Self> {
        let Permutation { shader: name, defines } = permutation;
        let shader = Shader::named(name).ok_or_else(|| {
            Error::unsupported(format!("there is no shader {name}"), "perturbation", "use --device cpu")
        })?;
        let wgsl = shader.wgsl(defines, precision).map_err(|error| {
            Error::device(
                error.to_string(),
                permutation.to_string(),
                "this is a defect of whybox: please report it",
            )
        })?;

        let buffer = |binding: usize, ty, dynamic, size| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: size },
            count: None,
        };
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let uniform_bytes = wgpu::BufferSize::new(shader.uniform.bytes as u64);
        let mut entries = vec![
            buffer(0, wgpu::BufferBindingType::Uniform, true, uniform_bytes),
            buffer(1, storage(false), false, None),
        ];
        let constants = shader.constants(defines).len();
        entries.extend((2..2 + constants).map(|binding| buffer(binding, storage(true), false, None)));

        let label = permutation.to_string();
        let label = Some(label.as_str());
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let description =
            wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        let module = if cfg!(debug_assertions) || CHECKED.iter().any(|kind| name.starts_with(kind)) {
            // Tests run here: an index out of range would show as a wrong number, not as a crash. Kernels that expand
            // rows stay checked for good, since their data comes from outside the engine.
            device.create_shader_module(description)
        } else {
            // Kernels over columns do read indices, from tables that the engine makes from a run's coalitions: their
            // reads and writes stay checked.
            let mut checks = wgpu::ShaderRuntimeChecks::unchecked();
            checks.bounds_checks = permutation.reads_tables();
            // SAFETY: but for those over columns the network's kernels compute no index from data, with one exception, and
            // from shapes only such as lie in range: `check` proves that every view of every step lies within its buffer and that
            // every constant has the size that its step says; `Arena` gives each buffer its room for all rows of a
            // chunk and a tail for quads that are read over the end; threads beyond the grid's last item return (in matrices: have only columns that are not live), and
            // padding and tile margins read element 0 in place of what they do not have. The exception is a masked
            // first layer's player, which `Opening` has checked against the width of the masks. Indices into
            // workgroup memory are made from the thread's number and constant loop bounds. Every loop counts up to a
            // uniform's number, and no uniform by which a kernel divides is 0, since `check` refuses empty
            // axes. `tests/gpu_kernels.rs` runs every permutation with the checks on, against plain loops.
            unsafe { device.create_shader_module_trusted(description, checks) }
        };
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // The tiled convolution writes all of its workgroup memory before it reads any.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Ok(Pipeline { permutation, layout, pipeline })
    }

    /// Binds a uniform buffer (with a dynamic offset), the output and the read-only buffers.
    pub(crate) fn bind<'a>(
        &self,
        device: &wgpu::Device,
        uniforms: &wgpu::Buffer,
        uniform_bytes: u64,
        output: wgpu::BindingResource<'a>,
        constants: impl Iterator<Item = &'a wgpu::Buffer>,
    ) -> wgpu::BindGroup {
        let uniform = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: uniforms,
            offset: 0,
            size: wgpu::BufferSize::new(uniform_bytes),
        });
        let resources =
            [uniform, output].into_iter().chain(constants.map(|buffer| buffer.as_entire_binding()));
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        })
    }
}
