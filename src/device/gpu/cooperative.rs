//! Cooperative matrices: where they are, and whether they can be trusted.
//!
//! wgpu calls them experimental, and drivers were seen to give wrong sums. So they are used for f16 alone, on a device of their
//! own, and only after that device has answered a small network as the plain kernels do.

use std::sync::{Arc, Mutex};

use super::network::Overrides;
use super::select::Tile;
use super::{Gpu, adapter, failure::Health};
use crate::Result;
use crate::device::{Precision, RunOptions};
use crate::model::{Activation, Model, Window};
use crate::perturb::{Perturbation, Rows};
use crate::plan::Plan;

/// Threads of the kernel's workgroup, which has to be one subgroup.
const SUBGROUP: u32 = 32;

/// How far answers may be apart, of the largest: f16 stores differ by 2⁻¹¹ of a number where sums are added in another order, and three
/// layers follow each other.
const NEAR: f32 = 5e-3;

/// Samples that are tried: more columns than a tile, and a last tile that is not full.
const ROWS: usize = 70;

/// Whether an adapter says that it multiplies f16 matrices of 16 × 16 × 16 into f32, in subgroups of 32.
fn offered(adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    let scalar = wgpu::CooperativeScalarType::F16;
    adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
        && [info.subgroup_min_size, info.subgroup_max_size] == [SUBGROUP; 2]
        && adapter.cooperative_matrix_properties().iter().any(|known| {
            [known.m_size, known.n_size, known.k_size] == [16; 3]
                && known.ab_type == scalar
                && known.cr_type == wgpu::CooperativeScalarType::F32
                && !known.saturating_accumulation
        })
}

impl Gpu {
    /// The same adapter in f16 with products in cooperative matrices; `None` where it has none, or where they answer anything but
    /// what the plain kernels answer.
    pub(super) async fn cooperative(&self) -> Option<Gpu> {
        if !offered(&self.raw) {
            return None;
        }
        let candidate = Arc::new(self.with_matrices().await.ok()?);
        let reference = Arc::new(self.sharing_device(Precision::F16));
        match agree(&candidate, &reference, Tile::Cooperative).await {
            Ok(true) => Arc::into_inner(candidate),
            _ => None,
        }
    }

    async fn with_matrices(&self) -> Result<Gpu> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("whybox"),
            required_features: self.raw.features() & adapter::USED
                | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            required_limits: self.raw.limits(),
            // SAFETY: asks to acknowledge that the feature may be unsound in wgpu. One kernel uses it (`conv_cooperative`), on
            // a type that the adapter lists, within workgroup arrays whose sizes bound every load and store (offsets are constants:
            // 1152 + 15 · 24 + 15 < 1536, 16 + 15 · 40 + 15 < 640, 1744 + 15 · 36 + 15 < 2304), in uniform control flow, which
            // naga checks; and a device on which it gives other numbers than the plain kernels is not used.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        };
        let opened = self.raw.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| adapter::cannot_open(&self.info, &error))?;
        let health = Health::watch(&device);
        let mut caps = self.caps;
        caps.cooperative = true;
        Ok(Gpu {
            raw: self.raw.clone(),
            device,
            queue,
            info: self.info.clone(),
            caps,
            health,
            precision: Precision::F16,
            pipelines: Mutex::default(),
        })
    }
}

/// A network of two convolutions and a Linear, whose sizes fit no tile.
fn problem() -> Result<Model> {
    let numbers = |len: usize, terms: usize| -> Vec<f32> {
        let scale = 1.0 / (terms as f32).sqrt();
        (0..len).map(|at| (((at * 7919 + 13) % 1009) as f32 / 504.5 - 0.9) * scale).collect()
    };
    let window = Window { pads: [1; 4], ..Window::square(3) };
    let model = Model::builder("check of the matrix units", &[5, 4, 5])
        .conv(&numbers(40 * 45, 45), Some(&numbers(40, 1)), 40, window, 1)?
        .activation(Activation::Relu)?
        .conv(&numbers(52 * 360, 360), None, 52, window, 1)?
        .linear(&numbers(21 * 1040, 1040), &numbers(21, 1), 21)?;
    model.build()
}

/// Whether the `candidate`, with a `tile` forced, answers as the `reference` does, and the same twice.
async fn agree(candidate: &Arc<Gpu>, reference: &Arc<Gpu>, tile: Tile) -> Result<bool> {
    let plan = Arc::new(Plan::new(&problem()?)?);
    let expected = answers(reference, &plan, None).await?;
    let found = answers(candidate, &plan, Some(tile)).await?;
    let again = answers(candidate, &plan, Some(tile)).await?;
    Ok(near(&found, &expected) && found == again)
}

/// What the network answers to [`ROWS`] samples.
async fn answers(gpu: &Arc<Gpu>, plan: &Arc<Plan>, tile: Option<Tile>) -> Result<Vec<f32>> {
    let len = plan.input_layout.len();
    let data: Vec<f32> = (0..ROWS * len).map(|at| ((at * 6101 + 7) % 997) as f32 / 498.5 - 0.7).collect();
    let rows = Rows::new(&data, len)?;
    let expander = rows.bind(&plan.input_layout)?;
    let overrides = Overrides { tile, ..Overrides::default() };
    let network = Gpu::load_with_async(gpu, plan.clone(), overrides).await?;
    let mut all = Vec::new();
    let mut sink = |_, values: &[f32]| {
        all.extend_from_slice(values);
        Ok(())
    };
    network.evaluate_async(expander.as_ref(), ROWS, &RunOptions::default(), &mut sink).await?;
    Ok(all)
}

fn near(found: &[f32], expected: &[f32]) -> bool {
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let mut pairs = found.iter().zip(expected);
    largest > 0.0
        && found.len() == expected.len()
        && pairs.all(|(found, expected)| (found - expected).abs() <= NEAR * largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but the three built-in functions, which software adapters lack: the same kernel with plain loops in their place passes the
    /// check, and answers of which a few are wrong do not.
    #[test]
    fn the_check_tells_right_from_wrong() {
        let Ok(gpu) = Gpu::any() else { return };
        let Ok(half) = gpu.with_precision(Precision::F16).map(Arc::new) else { return };
        let matrices = |reference| pollster::block_on(agree(&half, reference, Tile::Cooperative));
        assert!(matrices(&half).expect("both answer"));
        assert!(matrices(&Arc::new(gpu)).expect("both answer"));

        let plan = Arc::new(Plan::new(&problem().expect("a network")).expect("a plan"));
        let sound = pollster::block_on(answers(&half, &plan, None)).expect("answers");
        assert!(near(&sound, &sound) && !near(&sound[1..], &sound) && !near(&[], &[]));
        for wrong in [2.0, 0.0, f32::NAN] {
            let mut broken = sound.clone();
            // An answer that is large enough to tell.
            let at = broken.iter().position(|x| x.abs() > 0.1).expect("such an answer");
            broken[at] *= wrong;
            assert!(!near(&broken, &sound), "{wrong}");
        }
    }
}
