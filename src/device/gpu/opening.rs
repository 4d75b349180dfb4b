//! How a chunk begins: the kernel that writes the inputs, or the first convolution that reads the masked input itself.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{bytes_of, cast_slice};

use super::encode::Dispatch;
use super::failure::Failure;
use super::grid::grid_of_threads;
use super::network::GpuNetwork;
use super::pipeline::Pipeline;
use super::session::{Recorded, Session};
use super::source::{Permutation, Shader};
use crate::perturb::{Data, ExpandParams, Expander, Program};
use crate::plan::{Locality, Plan};
use crate::{Error, Result};

/// A two-state input that the first convolution can read itself: of the right shapes, and safe to index.
#[derive(Clone)]
pub(crate) struct Masked<'a> {
    locality: &'a Locality,
    fixed: [Arc<[u8]>; 3],
}

impl<'a> Masked<'a> {
    /// Fits a locality to a plan's first layer; `None` if that is no convolution over the pixels that the locality
    /// describes.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a player or a row has no bit in the masks.
    pub(crate) fn new(plan: &Plan, locality: &'a Locality, rows: usize) -> Result<Option<Self>> {
        let Some(conv) = plan.masked_first_layer() else { return Ok(None) };
        let Locality { players, instance, baseline, masks, words_per_row } = locality;
        // Stored [pixels, cin], so that a pixel's channels share its player.
        let by_pixel = plan.input_layout.channels_last || conv.cin == 1;
        if !by_pixel || !plan.can_mask(locality) {
            return Ok(None);
        }
        let mismatch = |what: String| {
            Err(Error::parameter(what, "coalitions", "give as many players and rows as the perturbation has"))
        };
        if let Some(&player) = players.iter().find(|&&p| p != u32::MAX && p as usize / 32 >= *words_per_row) {
            return mismatch(format!("player {player} has no bit in {words_per_row} words"));
        }
        if *words_per_row == 0 || masks.len() / words_per_row < rows {
            return mismatch(format!("masks of {} words for {rows} rows of {words_per_row}", masks.len()));
        }
        let fixed = [cast_slice(players).into(), cast_slice(instance).into(), cast_slice(baseline).into()];
        Ok(Some(Masked { locality, fixed }))
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let words = self.locality.words_per_row;
        let masks = &self.locality.masks[rows.start * words..rows.end * words];
        let fixed = self.fixed.iter().cloned().map(Data::Fixed);
        let buffers = fixed.chain([Data::Chunk(cast_slice(masks).to_vec())]).collect();
        Program { shader: "", buffers, params: [0; 4] }
    }
}

enum Kind<'a> {
    Expanded(&'a dyn Expander),
    Masked(Masked<'a>),
}

/// The opening of a run's chunks.
pub(crate) struct Opening<'a> {
    kind: Kind<'a>,
    /// What the perturbation's kernel reads.
    buffers: Vec<wgpu::Buffer>,
    ready: Option<Ready>,
}

struct Ready {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    grid: [u32; 2],
}

impl<'a> Opening<'a> {
    /// An opening whose first convolution reads the masked input, if that is given, or else the expanding kernel's.
    pub(crate) fn new(expander: &'a dyn Expander, masked: Option<Masked<'a>>) -> Self {
        let kind = masked.map_or(Kind::Expanded(expander), Kind::Masked);
        Opening { kind, buffers: Vec::new(), ready: None }
    }

    /// How many of the plan's steps the opening itself does.
    pub(crate) fn steps_done(&self) -> usize {
        usize::from(matches!(self.kind, Kind::Masked(_)))
    }

    /// Uploads what a chunk needs.
    pub(crate) async fn prepare(
        &mut self,
        network: &GpuNetwork,
        session: &Session,
        rows: Range<usize>,
    ) -> Result<(), Failure> {
        let GpuNetwork { gpu, plan, .. } = network;
        let (program, dispatch) = match &self.kind {
            Kind::Masked(masked) => {
                let words = masked.locality.words_per_row;
                let dispatch = session.encoder(network, rows.len()).step(&plan.steps[0], Some(words));
                (masked.program(rows), dispatch)
            }
            Kind::Expanded(expander) => {
                let program = expander.program(rows.clone());
                let dispatch = expansion(network, session, &program, rows.len())?;
                (program, dispatch)
            }
        };
        gpu.guarded("uniforms", || gpu.queue.write_buffer(&session.uniforms, 0, &dispatch.uniform)).await?;
        let renewed = self.upload(network, &program).await?;
        if let Some(ready) = self.ready.as_mut().filter(|_| !renewed) {
            ready.grid = dispatch.grid;
            return Ok(());
        }
        let pipeline = gpu.pipeline(dispatch.permutation).await?;
        let output = match self.kind {
            Kind::Masked(_) => session.activations.as_entire_binding(),
            Kind::Expanded(_) => {
                let region = session.arena.buffers[plan.input.buffer];
                let bytes = session.arena.bytes_of(session.chunk_rows * region.sample as usize);
                wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &session.activations,
                    offset: session.arena.offset(region.base),
                    size: wgpu::BufferSize::new(bytes),
                })
            }
        };
        let bind_group = network.bind(&dispatch, &pipeline, &session.uniforms, output, &self.buffers).await?;
        self.ready = Some(Ready { pipeline, bind_group, grid: dispatch.grid });
        Ok(())
    }

    /// The opening's dispatch, as it was prepared.
    pub(crate) fn recorded(&self) -> Vec<Recorded<'_>> {
        // A masked first layer is the plan's first step.
        let step = matches!(self.kind, Kind::Masked(_)).then_some(0);
        let ready = self.ready.iter();
        ready
            .map(|Ready { pipeline, bind_group, grid }| Recorded {
                pipeline,
                bind_group,
                offset: 0,
                grid: *grid,
                step,
            })
            .collect()
    }

    /// Brings a program's data into buffers; says whether any buffer is new.
    async fn upload(&mut self, network: &GpuNetwork, program: &Program) -> Result<bool, Failure> {
        const AT: &str = "the perturbation's data";
        let gpu = &network.gpu;
        let first = self.buffers.is_empty();
        let mut renewed = first;
        for (number, data) in program.buffers.iter().enumerate() {
            let bytes: &[u8] = match data {
                Data::Fixed(_) if !first => continue,
                Data::Fixed(bytes) => bytes,
                Data::Chunk(bytes) => bytes,
            };
            // The queue keeps its order: a chunk in flight still reads what it was given.
            match self.buffers.get(number) {
                Some(buffer) if bytes.len() as u64 <= buffer.size() => {
                    gpu.guarded(AT, || gpu.queue.write_buffer(buffer, 0, &whole_words(bytes))).await?;
                }
                old => {
                    let known = old.is_some();
                    let buffer = network.upload(AT, &whole_words(bytes)).await?;
                    if known {
                        self.buffers[number] = buffer;
                    } else {
                        self.buffers.push(buffer);
                    }
                    renewed = true;
                }
            }
        }
        Ok(renewed || self.ready.is_none())
    }
}

/// Copies go by words of four bytes.
pub(super) fn whole_words(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if bytes.len().is_multiple_of(4) {
        return bytes.into();
    }
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded.into()
}

/// The expanding kernel of a chunk of `rows` samples.
fn expansion(network: &GpuNetwork, session: &Session, program: &Program, rows: usize) -> Result<Dispatch> {
    let unknown = |what: String| {
        Error::unsupported(
            what,
            format!("perturbation {}", program.shader),
            "use --device cpu; please report it",
        )
    };
    let shader = Shader::named(program.shader)
        .filter(|shader| shader.name.starts_with("perturb/"))
        .ok_or_else(|| unknown("the GPU has no kernel for this perturbation".to_owned()))?;
    let expected = shader.constants(&[]).len();
    if program.buffers.len() != expected {
        return Err(unknown(format!(
            "the kernel reads {expected} buffers, {} are given",
            program.buffers.len()
        )));
    }
    let len = network.plan.input_layout.len();
    // The chunk's input is a part of the arena, whose elements are counted in 32 bits.
    let total = (rows * len) as u32;
    let grid = grid_of_threads(total, network.gpu.caps.grid_groups);
    let params = ExpandParams {
        total,
        len: len as u32,
        groups_x: grid[0],
        stride: session.arena.buffers[network.plan.input.buffer].sample,
        params: program.params,
    };
    let permutation = Permutation { shader: shader.name, defines: &[] };
    Ok(Dispatch { permutation, constants: Vec::new(), uniform: bytes_of(&params).to_vec(), grid })
}
