//! Early layers over columns: the first steps of a block of samples, once for each distinct local coalition (see
//! [`plan::sharing`](crate::plan::sharing)).
//!
//! A block's columns lie in one buffer of their own. Kernels find what a column reads through tables
//! (`shaders/shared/columns.wgsl`), which are made from the block's restrictions; behind the last shared step, a chunk
//! begins by copying the columns of its samples into the arena (`shaders/gather.wgsl`), where the rest of the plan runs as
//! ever. Which steps are shared is decided by the run's schedule from all of a block's coalitions.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{bytes_of, cast_slice};

use super::column_tables::Tables;
use super::encode::{Dispatch, Encoded, Place, constants, is_depthwise, permutation, word};
use super::encode_conv::{ConvAt, Form, conv_at};
use super::encode_rows::{RowsAt, binary_at, channels_at, pool_at};
use super::failure::Failure;
use super::grid::grid_of_threads;
use super::network::GpuNetwork;
use super::pipeline::Pipeline;
use super::select::{Caps, Tile};
use super::session::{Recorded, Session, UNIFORM_PITCH, record_all};
use super::source::Permutation;
use super::storage::stored;
use super::timing::Timer;
use super::uniforms::GatherParams;
use crate::device::sharer::Sharer;
use crate::perturb::Expander;
use crate::plan::sharing::{
    Analysis, Costs, Live, Op, Prefix, Program, Source, StepCost, ValueId, binary_rows,
};
use crate::plan::{Binary, Conv, Kernel, Operand, Plan, Sharing, SharingReport, Sliding};

/// Floats from a column to the next are a multiple of this, so that quads of channels are aligned.
const CHANNEL_MULTIPLE: usize = 4;

/// Elements behind the last column: kernels that read by quads may read over the end.
const TAIL: usize = 64;

// In units of a dense multiply-add. No real GPU has been measured: these are guesses on the safe side.

/// A multiply-add of a product over columns,
const GATHERED: f64 = 1.5;

/// of a depthwise convolution, dense and over columns.
const DEPTHWISE: [f64; 2] = [4.0, 8.0];

/// Finding where one tap of a column is.
const TAP: f64 = 60.0;

/// An element that is read or written.
const ELEMENT: f64 = 8.0;

/// Columns have to save at least this share of a run's cost, since the tables are made on the host while a fast
/// device waits.
const LEAST_GAIN: f64 = 0.5;

/// What steps cost on a GPU, dense and over columns.
fn costs(plan: &Plan) -> Costs {
    let cost = |kernel: &Kernel, macs: f64| match kernel {
        Kernel::Conv(conv) => {
            let taps = conv.sliding.window.kernel.iter().product::<usize>() as f64;
            let per_pixel = macs / conv.sliding.output_rows() as f64;
            let [dense, gathered] = if is_depthwise(conv) { DEPTHWISE } else { [1.0, GATHERED] };
            StepCost { dense: dense * macs, column: gathered * per_pixel + TAP * taps }
        }
        Kernel::Pool(pool) => {
            let taps = pool.sliding.window.kernel.iter().product::<usize>() as f64;
            let per_pixel = ELEMENT / 2.0 * (taps + 1.0) * pool.channels as f64;
            StepCost { dense: per_pixel * pool.sliding.output_rows() as f64, column: per_pixel + TAP * taps }
        }
        Kernel::Map(map) => elementwise(map.rows, 2 * map.channels),
        Kernel::Affine(affine) => elementwise(affine.rows, 2 * affine.channels),
        Kernel::Binary(binary) => {
            let rows: usize = binary.shape[..3].iter().product();
            elementwise(rows, 3 * binary.shape[3])
        }
        _ => StepCost { dense: macs, column: macs },
    };
    Costs {
        steps: plan.steps.iter().map(|step| cost(&step.kernel, step.macs as f64)).collect(),
        join: ELEMENT,
        expand: ELEMENT,
        least_gain: LEAST_GAIN,
        channel_multiple: CHANNEL_MULTIPLE,
        // An origin: two words.
        column_bytes: 8,
    }
}

fn elementwise(rows: usize, elements: usize) -> StepCost {
    let column = ELEMENT / 2.0 * elements as f64;
    StepCost { dense: rows as f64 * column, column: column + TAP }
}

/// The blocks of a run whose first steps run over columns.
pub(crate) struct Columns<'a> {
    sharer: Sharer,
    expander: &'a dyn Expander,
    /// Values of the shared steps, kept from block to block.
    values: Option<wgpu::Buffer>,
    block: Option<Block>,
}

/// A block whose columns have been computed, or will be by what is in the queue.
struct Block {
    rows: Range<usize>,
    /// Steps that ran over columns.
    steps: usize,
    /// Offset of each buffer of the prefix, in elements.
    starts: Vec<usize>,
    /// What is copied into the arena: its pixels' table.
    live: Vec<(Live, u32)>,
    uniforms: wgpu::Buffer,
    ready: Vec<Ready>,
}

/// A dispatch with its objects.
struct Ready {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    offset: usize,
    grid: [u32; 2],
    step: Option<usize>,
}

impl Ready {
    fn recorded(&self) -> Recorded<'_> {
        let Ready { pipeline, bind_group, offset, grid, step } = self;
        Recorded { pipeline, bind_group, offset: *offset, grid: *grid, step: *step }
    }
}

impl<'a> Columns<'a> {
    /// Prepares to share a run's early steps; `budget` caps the bytes of columns and tables.
    pub(super) fn new(
        plan: &Plan,
        analysis: Analysis,
        expander: &'a dyn Expander,
        mode: Sharing,
        budget: u64,
    ) -> Self {
        let sharer = Sharer::new(analysis, costs(plan), mode, budget);
        Columns { sharer, expander, values: None, block: None }
    }

    /// What has been shared so far.
    pub(super) fn report(&self) -> Option<SharingReport> {
        self.sharer.report
    }

    /// Gives the memory back and makes do with half of it from now on.
    pub(super) fn shrink(&mut self) {
        (self.values, self.block) = (None, None);
        self.sharer.halve();
    }

    /// How many of the plan's steps need not run in the chunks of the present block.
    pub(super) fn steps_done(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.steps)
    }

    /// Submits the shared steps of the next block of `rows` and gives its end; `None` if the rest of the run is dense.
    pub(super) async fn next(
        &mut self,
        network: &GpuNetwork,
        session: &Session,
        rows: Range<usize>,
        mut timer: Option<&mut Timer>,
    ) -> Result<Option<usize>, Failure> {
        self.block = None;
        let GpuNetwork { gpu, plan, .. } = network;
        if !self.sharer.next(plan, rows) {
            return Ok(None);
        }
        let (program, prefix) = (&*self.sharer.program, self.sharer.prefix());
        let starts = starts(prefix.buffers());
        let layout = Layout { plan, program, prefix, starts: &starts };
        let mut tables = Tables::new(prefix);
        let dispatches = layout.dispatches(&gpu.caps, network.overrides.tile, &mut tables);
        let live = program.live[prefix.steps].iter();
        let live: Vec<(Live, u32)> = live.map(|live| (*live, tables.pixels(live.value))).collect();
        let tables = network.upload("tables of columns", cast_slice(&tables.into_words())).await?;
        let values = reserve(&mut self.values, network, prefix.buffers().iter().sum()).await?;

        let input = layout.input(self.expander);
        let mut uniform_bytes = vec![0; UNIFORM_PITCH * (dispatches.len() + live.len()).max(1)];
        for (slot, (_, dispatch)) in uniform_bytes.chunks_exact_mut(UNIFORM_PITCH).zip(&dispatches) {
            slot[..dispatch.uniform.len()].copy_from_slice(&dispatch.uniform);
        }
        let uniforms = gpu
            .guarded("columns", || {
                let uniforms = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("columns"),
                    size: uniform_bytes.len() as u64,
                    usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                gpu.queue.write_buffer(&uniforms, 0, &uniform_bytes);
                // The queue keeps its order: chunks of the block before have read their columns by then.
                let offset = gpu.precision.bytes() * starts[prefix.places()[0]] as u64;
                gpu.queue.write_buffer(&values, offset, &stored(&input, gpu.precision));
                uniforms
            })
            .await?;

        let mut shared = Vec::with_capacity(dispatches.len());
        let further = [tables.clone()];
        for (number, (step, dispatch)) in dispatches.iter().enumerate() {
            let pipeline = gpu.pipeline(dispatch.permutation).await?;
            let further = if dispatch.permutation.reads_tables() { &further[..] } else { &[] };
            let output = values.as_entire_binding();
            let bind_group = network.bind(dispatch, &pipeline, &uniforms, output, further).await?;
            let offset = UNIFORM_PITCH * number;
            shared.push(Ready { pipeline, bind_group, offset, grid: dispatch.grid, step: Some(*step) });
        }
        let submission = gpu
            .guarded("columns", || {
                let mut encoder =
                    gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                let recorded: Vec<_> = shared.iter().map(Ready::recorded).collect();
                record_all(network, &mut encoder, &recorded, timer.as_deref_mut());
                gpu.queue.submit([encoder.finish()])
            })
            .await?;
        if let Some(timer) = timer {
            timer.collect(gpu, submission).await?;
        }

        let mut ready = Vec::with_capacity(live.len());
        for (number, (live, _)) in live.iter().enumerate() {
            let channels = program.values[live.value].channels;
            let whole = channels.is_multiple_of(4)
                && live.view.offset.is_multiple_of(4)
                && live.view.stride.is_multiple_of(4);
            let defines: &'static [&'static str] = if whole { &["EXPAND", "VEC4"] } else { &["EXPAND"] };
            let permutation = Permutation { shader: "gather", defines };
            let dispatch = Dispatch { permutation, constants: Vec::new(), uniform: Vec::new(), grid: [1, 1] };
            let pipeline = gpu.pipeline(permutation).await?;
            let output = session.activations.as_entire_binding();
            let further = [tables.clone(), values.clone()];
            let bind_group = network.bind(&dispatch, &pipeline, &uniforms, output, &further).await?;
            let offset = UNIFORM_PITCH * (dispatches.len() + number);
            ready.push(Ready { pipeline, bind_group, offset, grid: [1, 1], step: None });
        }
        let (rows, steps) = (prefix.rows.clone(), prefix.steps);
        let end = rows.end;
        self.block = Some(Block { rows, steps, starts, live, uniforms, ready });
        Ok(Some(end))
    }

    /// Writes the uniforms that copy the columns of a chunk's samples into the arena.
    pub(super) fn write(&mut self, network: &GpuNetwork, session: &Session, rows: &Range<usize>) {
        let Some(block) = &mut self.block else { return };
        let (program, places) = (&self.sharer.program, self.sharer.prefix().places());
        for ((live, pixels), ready) in block.live.iter().zip(&mut block.ready) {
            let value = &program.values[live.value];
            let quads = value.channels.div_ceil(4);
            let total = word(rows.len() * value.pixels * quads);
            ready.grid = grid_of_threads(total, network.gpu.caps.grid_groups);
            let to = session.encoder(network, rows.len()).place(live.view);
            let params = GatherParams {
                total,
                groups_x: ready.grid[0],
                quads: word(quads),
                channels: word(value.channels),
                out_pixels: word(value.pixels),
                first_row: word(rows.start - block.rows.start),
                origins: 0,
                pixels: *pixels,
                in_base: word(block.starts[places[live.value]]),
                in_stride: word(value.channels.next_multiple_of(CHANNEL_MULTIPLE)),
                out_base: to.base,
                out_sample: to.sample,
                out_stride: to.stride,
                pad_0: 0,
                pad_1: 0,
                pad_2: 0,
            };
            network.gpu.queue.write_buffer(&block.uniforms, ready.offset as u64, bytes_of(&params));
        }
    }

    /// The dispatches with which a chunk of the present block begins.
    pub(super) fn recorded(&self) -> Vec<Recorded<'_>> {
        self.block.iter().flat_map(|block| block.ready.iter().map(Ready::recorded)).collect()
    }
}

/// A buffer for so many elements: that of the block before, if it is large enough.
async fn reserve(
    values: &mut Option<wgpu::Buffer>,
    network: &GpuNetwork,
    elements: usize,
) -> Result<wgpu::Buffer, Failure> {
    let size = network.gpu.precision.bytes() * (elements + TAIL) as u64;
    if let Some(buffer) = values.as_ref().filter(|buffer| buffer.size() >= size) {
        return Ok(buffer.clone());
    }
    *values = None;
    let buffer = network
        .gpu
        .guarded("columns", || {
            network.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("columns"),
                size,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
        .await?;
    *values = Some(buffer.clone());
    Ok(buffer)
}

/// Offsets of buffers that lie one after the other.
fn starts(lens: &[usize]) -> Vec<usize> {
    let ends = lens.iter().scan(0, |end, len| {
        *end += len;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Where a block's values lie, and the dispatches that make them.
struct Layout<'a> {
    plan: &'a Plan,
    program: &'a Program,
    prefix: &'a Prefix,
    starts: &'a [usize],
}

impl Layout<'_> {
    /// A value's columns as samples of one row each, from a channel on.
    fn place(&self, value: ValueId, channel: usize) -> Place {
        let stride = word(self.program.values[value].channels.next_multiple_of(CHANNEL_MULTIPLE));
        Place { base: word(self.starts[self.prefix.places()[value]] + channel), sample: stride, stride }
    }

    fn columns(&self, value: ValueId) -> usize {
        self.prefix.columns[value].len()
    }

    /// Whether two values have the same columns, in the same order.
    fn alike(&self, a: ValueId, b: ValueId) -> bool {
        self.prefix.columns[a].sets == self.prefix.columns[b].sets
    }

    /// The input's columns.
    fn input(&self, expander: &dyn Expander) -> Vec<f32> {
        let channels = self.program.values[0].channels;
        let stride = channels.next_multiple_of(CHANNEL_MULTIPLE);
        let mut data = vec![0.0; self.columns(0) * stride];
        let columns = &self.prefix.columns[0];
        let rows = |pixel: usize| self.prefix.restrictions.of(columns.sets[pixel]).rows.iter();
        let origins = (0..columns.sets.len()).flat_map(|pixel| rows(pixel).map(move |&row| (pixel, row)));
        for (to, (pixel, row)) in data.chunks_exact_mut(stride).zip(origins) {
            expander.pixel(self.prefix.rows.start + usize::from(row), pixel, &mut to[..channels]);
        }
        data
    }

    /// The dispatches of the shared steps, in order, with the step that each is for.
    fn dispatches(&self, caps: &Caps, tile: Option<Tile>, tables: &mut Tables<'_>) -> Vec<(usize, Dispatch)> {
        let mut all = Vec::new();
        for (number, op) in self.program.ops_of(self.prefix.steps) {
            match op {
                Op::Step { inputs, output } => {
                    let step = &self.plan.steps[*number];
                    let (permutation, uniform, grid) =
                        self.step(caps, tile, &step.kernel, inputs, *output, tables);
                    let constants = constants(step);
                    all.push((*number, Dispatch { permutation, constants, uniform, grid }));
                }
                Op::Join { pieces, output } => {
                    for piece in pieces {
                        let to = self.place(*output, piece.to);
                        let encoded = self.gather(caps, piece.from, piece.channels, *output, to, tables);
                        let (permutation, uniform, grid) = encoded;
                        let constants = Vec::new();
                        all.push((*number, Dispatch { permutation, constants, uniform, grid }));
                    }
                }
            }
        }
        all
    }

    /// A step over the columns of its output.
    fn step(
        &self,
        caps: &Caps,
        tile: Option<Tile>,
        kernel: &Kernel,
        inputs: &[Source],
        output: ValueId,
        tables: &mut Tables<'_>,
    ) -> Encoded {
        let places: Vec<Place> =
            inputs.iter().map(|source| self.place(source.value, source.channel)).collect();
        let aligned = inputs.iter().all(|source| source.channel.is_multiple_of(4));
        let at = RowsAt {
            from: places[0],
            to: self.place(output, 0),
            count: self.columns(output),
            whole: aligned,
        };
        let alike = inputs.iter().all(|source| self.alike(source.value, output));
        match kernel {
            Kernel::Conv(conv) => {
                let pointwise = conv.sliding.is_pointwise() && !is_depthwise(conv) && alike;
                let form = if pointwise {
                    Form::Dense
                } else {
                    let residual = inputs.get(1).map_or(0, |source| tables.pixels(source.value));
                    Form::Shared([tables.origins(output), tables.pixels(inputs[0].value), residual])
                };
                let at = ConvAt {
                    from: at.from,
                    to: at.to,
                    residual: places.get(1).copied(),
                    whole: aligned,
                    columns: at.count,
                    most_columns: at.count,
                    form,
                };
                if pointwise {
                    // Columns as samples of one pixel.
                    let sliding = Sliding { input: [1, 1], output: [1, 1], window: conv.sliding.window };
                    return conv_at(caps, tile, &Conv { sliding, ..conv.clone() }, &at);
                }
                conv_at(caps, tile, conv, &at)
            }
            Kernel::Pool(pool) => {
                let both = [tables.origins(output), tables.pixels(inputs[0].value)];
                pool_at(caps, pool, &at, Some(both))
            }
            Kernel::Map(map) => channels_at(caps, "map", &at, [1, map.channels], map.activation),
            Kernel::Affine(affine) => {
                channels_at(caps, "affine", &at, [1, affine.channels], affine.activation)
            }
            Kernel::Binary(binary) => {
                // `Program` has taken only such as treat every pixel by itself.
                let channels = binary_rows(binary).map_or(0, |(_, channels, _)| channels);
                let b_strides = match binary.b {
                    Operand::Constant(_) => [0, 0, 0, binary.b_strides[3]],
                    Operand::Input => [0, 0, 0, 1],
                };
                let (a_strides, out_strides) = ([0, 0, 0, 1], [0, 0, 0, 1]);
                let binary =
                    Binary { shape: [1, 1, 1, channels], a_strides, b_strides, out_strides, ..*binary };
                let tables = (places.len() > 1 && !alike).then(|| {
                    let pixels = [0, 1].map(|at: usize| tables.pixels(inputs[at].value));
                    [tables.origins(output), pixels[0], pixels[1]]
                });
                let at = RowsAt { whole: aligned && channels.is_multiple_of(4), ..at };
                binary_at(caps, &binary, &at, places.get(1).copied(), tables)
            }
            // `Program` has only the steps above.
            other => unreachable!("{other:?} does not run over columns"),
        }
    }

    /// Copies a value's channels to the columns of another.
    fn gather(
        &self,
        caps: &Caps,
        from: Source,
        channels: usize,
        output: ValueId,
        to: Place,
        tables: &mut Tables<'_>,
    ) -> Encoded {
        let source = self.place(from.value, from.channel);
        let quads = channels.div_ceil(4);
        let total = word(self.columns(output) * quads);
        let grid = grid_of_threads(total, caps.grid_groups);
        let whole = channels.is_multiple_of(4) && source.base.is_multiple_of(4) && to.base.is_multiple_of(4);
        let params = GatherParams {
            total,
            groups_x: grid[0],
            quads: word(quads),
            channels: word(channels),
            out_pixels: 1,
            first_row: 0,
            origins: tables.origins(output),
            pixels: tables.pixels(from.value),
            in_base: source.base,
            in_stride: source.stride,
            out_base: to.base,
            out_sample: 0,
            out_stride: to.stride,
            pad_0: 0,
            pad_1: 0,
            pad_2: 0,
        };
        (permutation("gather", whole), bytes_of(&params).to_vec(), grid)
    }
}
