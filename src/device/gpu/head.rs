//! Rows that open where instance and background meet behind a first Linear layer, for networks that are not fused
//! as a whole (`table_mlp`).
//!
//! What the layer adds up falls apart by feature, so a chunk needs it only for *parts*: of each unit of coalitions
//! (`table_units`), what its coalition shows of each instance and hides of each background row; and, where there are pairs, of the
//! totals from which a complement's parts follow. One kernel writes the parts' features (`shaders/table_parts.wgsl`), the
//! layer runs over them as over any rows, and a last kernel adds instance, background and bias and writes the
//! layer's outputs of the chunk's rows (`shaders/table_meet.wgsl`). The rest of the plan runs as ever.
//!
//! A row's parts are those of its unit, whichever chunk it is in.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{bytes_of, cast_slice};

use super::encode::{Dispatch, Place, word};
use super::encode_conv::{ConvAt, Form, conv_at};
use super::failure::Failure;
use super::grid::grid_of_threads;
use super::network::GpuNetwork;
use super::pack::Packed;
use super::pipeline::Pipeline;
use super::session::{Recorded, Session, UNIFORM_PITCH};
use super::source::Permutation;
use super::table_units::Units;
use super::uniforms::{TableMeetParams, TablePartsParams};
use crate::model::Activation;
use crate::plan::{Conv, Head, Kernel, Mixture, Needs, Plan};

/// What reading or writing an element costs, in multiply-adds. No real GPU has been measured.
const ELEMENT: u64 = 8;

/// Elements behind the last part: kernels that read by quads may read over the end.
const TAIL: usize = 64;

/// A run's parts: pure arithmetic, and what is uploaded once.
pub(super) struct Parts<'a> {
    head: &'a Head,
    mixture: &'a Mixture,
    /// `[instances + background rows, features]`, as the layer takes them.
    rows: Vec<f32>,
    units: Units,
    /// Of each coalition: twice its unit, and 1 if it is the unit's second.
    sides: Vec<u32>,
}

/// Parts of a chunk.
struct ChunkParts {
    units: Range<usize>,
    /// All, totals included.
    len: usize,
}

impl<'a> Parts<'a> {
    /// For chunks of up to `chunk_rows` rows; `None` where the rows are not the head's or their numbers do not fit.
    pub fn new(head: &'a Head, mixture: &'a Mixture, chunk_rows: usize, binding_bytes: u64) -> Option<Self> {
        let len = mixture.instances.len() + mixture.background.len();
        let bytes = 4 * len.max(mixture.masks.len() + mixture.coalitions()) as u64;
        let groups = mixture.coalitions() as u64 * mixture.instance_rows() as u64;
        let fits = mixture.suits(head.layer.inputs)
            && bytes <= binding_bytes.min(u64::from(u32::MAX))
            && groups < u64::from(u32::MAX) / 2;
        if !fits || groups == 0 {
            return None;
        }
        let mut rows = [&mixture.instances[..], &mixture.background[..]].concat();
        rows.chunks_exact_mut(mixture.features).for_each(|row| head.prepare(row));
        let mut parts = Parts { head, mixture, rows, units: Units::single(mixture), sides: Vec::new() };
        parts.sides = sides(&parts.units);
        // A total of what is no number leaves no part of what is one.
        let paired = Units::paired(mixture);
        if paired.sides() > 1 && parts.all_finite() {
            let alone = parts.most(chunk_rows);
            let single = std::mem::replace(&mut parts.units, paired);
            parts.sides = sides(&parts.units);
            if parts.most(chunk_rows) >= alone {
                parts.sides = sides(&single);
                parts.units = single;
            }
        }
        Some(parts)
    }

    /// Whether every cell that is read is a number.
    fn all_finite(&self) -> bool {
        let Mixture { features, player_count, players, .. } = self.mixture;
        let instances = self.mixture.instance_rows();
        self.rows.chunks_exact(*features).enumerate().all(|(number, row)| {
            let counts = |player: u32| number < instances || (player as usize) < *player_count;
            row.iter().zip(&players[..]).all(|(x, &player)| x.is_finite() || !counts(player))
        })
    }

    /// Instances and background rows: parts of a unit.
    fn per_unit(&self) -> usize {
        self.mixture.instance_rows() + self.mixture.background_rows()
    }

    /// Rows of a coalition.
    fn coalition_rows(&self) -> usize {
        self.mixture.instance_rows() * self.mixture.background_rows()
    }

    fn unit_of(&self, coalition: usize) -> usize {
        self.sides[coalition] as usize / 2
    }

    fn parts_of(&self, units: usize) -> usize {
        (units + usize::from(self.units.sides() > 1)) * self.per_unit()
    }

    /// The parts that some rows are made of.
    fn of_chunk(&self, rows: &Range<usize>) -> ChunkParts {
        let all = self.coalition_rows();
        let units = self.unit_of(rows.start / all)..self.unit_of((rows.end - 1) / all) + 1;
        ChunkParts { len: self.parts_of(units.len()), units }
    }

    /// Parts of a chunk of so many rows, at most.
    pub fn most(&self, chunk_rows: usize) -> usize {
        let coalitions = self.mixture.coalitions();
        let touched = ((chunk_rows.max(1) - 1).div_ceil(self.coalition_rows()) + 1).min(coalitions);
        let units = (0..=coalitions - touched)
            .map(|first| self.unit_of(first + touched - 1) + 1 - self.unit_of(first));
        self.parts_of(units.max().unwrap_or(1))
    }

    /// Whether chunks of so many rows cost less than with whole rows: multiply-adds of the layer, and elements written
    /// and read.
    pub fn pays(&self, chunk_rows: usize) -> bool {
        let [inputs, outputs] = [self.head.layer.inputs, self.head.layer.outputs].map(|width| width as u64);
        let layer = inputs * outputs + ELEMENT * (2 * inputs + outputs);
        let meeting = ELEMENT * outputs * if self.units.sides() > 1 { 4 } else { 3 };
        self.most(chunk_rows) as u64 * layer + chunk_rows as u64 * meeting < chunk_rows as u64 * layer
    }

    /// What chunks need beside `needs`. A chunk touches no more than two coalitions beside those that it holds whole.
    pub fn needs(head: &Head, mixture: &Mixture, needs: Needs) -> Needs {
        let part = 4 * (pitch(head.layer.inputs) + pitch(head.layer.outputs)) as u64;
        let (instances, background) = (mixture.instance_rows() as u64, mixture.background_rows() as u64);
        Needs {
            fixed_bytes: needs.fixed_bytes + 3 * (instances + background) * part + 4 * TAIL as u64,
            sample_bytes: needs.sample_bytes
                + (part * (instances + background)).div_ceil((instances * background).max(1)),
        }
    }

    /// The same for these parts.
    pub fn chunk_needs(&self, needs: Needs) -> Needs {
        Parts::needs(self.head, self.mixture, needs)
    }
}

/// Of each coalition: twice its unit, and 1 if it is the unit's second.
fn sides(units: &Units) -> Vec<u32> {
    let of_unit = |unit| (0..units.sides_of(unit)).map(move |side| (2 * unit + side) as u32);
    (0..units.len()).flat_map(of_unit).collect()
}

/// Elements from a part to the next: quads begin at multiples of four.
fn pitch(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// The layer as the plan has it, but without what follows its sums.
fn layer(plan: &Plan, head: &Head) -> Option<Conv> {
    match &plan.steps[head.steps - 1].kernel {
        Kernel::Conv(conv) => Some(Conv { activation: Activation::Identity, ..conv.clone() }),
        _ => None,
    }
}

/// The kernels with which the chunks of a session begin.
pub(crate) struct Meeting<'a> {
    parts: &'a Parts<'a>,
    layer: Conv,
    most_parts: usize,
    uniforms: wgpu::Buffer,
    ready: Vec<Ready>,
}

struct Ready {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    grid: [u32; 2],
}

impl<'a> Meeting<'a> {
    /// Makes ready for the chunks of a session.
    pub(super) async fn new(
        network: &GpuNetwork,
        session: &Session,
        parts: &'a Parts<'a>,
    ) -> Result<Self, Failure> {
        const AT: &str = "parts of rows";
        let GpuNetwork { gpu, plan, .. } = network;
        let layer = layer(plan, parts.head).ok_or_else(|| {
            crate::Error::unsupported(
                "the first layer is not Linear",
                AT,
                "use --device cpu; please report it",
            )
        })?;
        let most_parts = parts.most(session.chunk_rows);
        let bytes = (4 * (most_parts * (pitch(layer.cin) + pitch(layer.cout)) + TAIL)) as u64;
        let (uniforms, values) = gpu
            .guarded(AT, || {
                let buffer = |size, usage| {
                    gpu.device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some(AT),
                        size,
                        usage,
                        mapped_at_creation: false,
                    })
                };
                let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
                let uniforms = buffer(3 * UNIFORM_PITCH as u64, uniform);
                (uniforms, buffer(bytes, wgpu::BufferUsages::STORAGE))
            })
            .await?;
        let Parts { mixture, rows, units, sides, .. } = parts;
        let rows = network.upload(AT, cast_slice(rows)).await?;
        let players = network.upload(AT, cast_slice(&mixture.players)).await?;
        let packed = network.upload(AT, cast_slice(&units.packed(mixture))).await?;
        let no_bias = network.upload(AT, cast_slice(&vec![0.0f32; pitch(layer.cout)])).await?;
        let sides = network.upload(AT, cast_slice(sides)).await?;

        let mut meeting = Meeting { parts, layer, most_parts, uniforms, ready: Vec::new() };
        let further = [vec![rows, players, packed], vec![no_bias], vec![values.clone(), sides]];
        let dispatches = meeting.dispatches(network, session, &(0..session.chunk_rows));
        for (number, (dispatch, further)) in dispatches.iter().zip(further).enumerate() {
            let pipeline = gpu.pipeline(dispatch.permutation).await?;
            let output = if number < 2 { &values } else { &session.activations };
            let output = output.as_entire_binding();
            let bind_group = network.bind(dispatch, &pipeline, &meeting.uniforms, output, &further).await?;
            meeting.ready.push(Ready { pipeline, bind_group, grid: dispatch.grid });
        }
        Ok(meeting)
    }

    /// The three kernels of a chunk: parts, layer, meeting.
    fn dispatches(&self, network: &GpuNetwork, session: &Session, rows: &Range<usize>) -> [Dispatch; 3] {
        let Parts { head, mixture, .. } = self.parts;
        let caps = &network.gpu.caps;
        let most_groups = caps.grid_groups;
        let (cin, cout) = (self.layer.cin, self.layer.cout);
        let chunk = self.parts.of_chunk(rows);
        let place = |base: usize, width: usize| {
            let pitch = word(pitch(width));
            Place { base: word(base), sample: pitch, stride: pitch }
        };
        let sums = place(self.most_parts * pitch(cin), cout);

        let total = word(chunk.len * cin);
        let grid = grid_of_threads(total, most_groups);
        let params = TablePartsParams {
            total,
            groups_x: grid[0],
            features: word(cin),
            stride: word(pitch(cin)),
            instances: word(mixture.instance_rows()),
            rows: word(self.parts.per_unit()),
            first_unit: word(chunk.units.start),
            units: word(chunk.units.len()),
            words: word(mixture.words_per_row),
            ..TablePartsParams::default()
        };
        let permutation = Permutation { shader: "table_parts", defines: &[] };
        let parts =
            Dispatch { permutation, constants: Vec::new(), uniform: bytes_of(&params).to_vec(), grid };

        let at = ConvAt {
            from: place(0, cin),
            to: sums,
            residual: None,
            whole: true,
            columns: chunk.len,
            most_columns: self.most_parts,
            form: Form::Dense,
        };
        let (permutation, uniform, grid) = conv_at(caps, network.overrides.tile, &self.layer, &at);
        let constants = vec![Packed::Conv { weight: self.layer.weight, groups: 1, k: cin, cout }];
        let product = Dispatch { permutation, constants, uniform, grid };

        let quads = cout.div_ceil(4);
        let total = word(rows.len() * quads);
        let grid = grid_of_threads(total, most_groups);
        let to = session.encoder(network, rows.len()).place(head.output);
        let (activation, low, high) = head.layer.activation.code();
        let background = mixture.background_rows();
        let params = TableMeetParams {
            total,
            groups_x: grid[0],
            quads: word(quads),
            channels: word(cout),
            first_group: word(rows.start / background),
            first_member: word(rows.start % background),
            instances: word(mixture.instance_rows()),
            background: word(background),
            first_unit: word(chunk.units.start),
            units: word(chunk.units.len()),
            parts_base: sums.base,
            parts_stride: sums.sample,
            out_base: to.base,
            out_sample: to.sample,
            activation,
            low,
            high,
            ..TableMeetParams::default()
        };
        let whole = cout.is_multiple_of(4) && head.output.offset.is_multiple_of(4);
        let defines: &'static [&'static str] = if whole { &["VEC4"] } else { &[] };
        let permutation = Permutation { shader: "table_meet", defines };
        let constants = vec![Packed::Vector { weight: self.layer.bias, groups: 1, len: cout }];
        let meet = Dispatch { permutation, constants, uniform: bytes_of(&params).to_vec(), grid };
        [parts, product, meet]
    }

    /// Writes the uniforms of a chunk.
    pub(super) fn write(&mut self, network: &GpuNetwork, session: &Session, rows: &Range<usize>) {
        let dispatches = self.dispatches(network, session, rows);
        let mut bytes = vec![0; 3 * UNIFORM_PITCH];
        for ((slot, ready), dispatch) in
            bytes.chunks_exact_mut(UNIFORM_PITCH).zip(&mut self.ready).zip(&dispatches)
        {
            slot[..dispatch.uniform.len()].copy_from_slice(&dispatch.uniform);
            ready.grid = dispatch.grid;
        }
        network.gpu.queue.write_buffer(&self.uniforms, 0, &bytes);
    }

    /// The dispatches of the chunk whose uniforms have been written.
    pub(super) fn recorded(&self) -> Vec<Recorded<'_>> {
        let ready = self.ready.iter().enumerate();
        ready
            .map(|(number, Ready { pipeline, bind_group, grid })| Recorded {
                pipeline,
                bind_group,
                offset: UNIFORM_PITCH * number,
                grid: *grid,
                step: None,
            })
            .collect()
    }

    /// How many of the plan's steps they stand for.
    pub(super) fn steps_done(&self) -> usize {
        self.parts.head.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    fn head(inputs: usize, outputs: usize) -> Head {
        let model = Model::builder("linear", &[inputs]);
        let model = model.linear(&vec![0.0; inputs * outputs], &vec![0.0; outputs], outputs);
        let model = model.and_then(|model| model.build()).expect("a sound network");
        Head::of(&Plan::new(&model).expect("a plan")).expect("a Linear layer")
    }

    /// One-word coalitions of 20 players, in pairs or not.
    fn mixture(features: usize, [instances, background, coalitions]: [usize; 3], paired: bool) -> Mixture {
        let mask = |number: u32| match (paired, number % 2) {
            (true, 1) => !(number - 1),
            _ => number,
        };
        Mixture {
            features,
            instances: vec![1.0; instances * features].into(),
            background: vec![0.5; background * features].into(),
            players: (0..features as u32).map(|feature| feature % 20).collect(),
            player_count: 20,
            masks: (0..coalitions as u32).map(mask).collect(),
            words_per_row: 1,
        }
    }

    #[test]
    fn parts_of_a_chunk() {
        let head = head(30, 64);
        // Instances, background rows, coalitions; pairs; rows of a chunk: parts at most, coalitions of a unit.
        let cases = [
            ([1, 10, 6], true, 60, 4 * 11, 2),
            ([1, 10, 6], false, 60, 6 * 11, 1),
            // Chunks of two coalitions may cut two pairs: with the totals that is more than each alone.
            ([1, 10, 6], true, 11, 2 * 11, 1),
            ([1, 10, 6], true, 12, 3 * 11, 1),
            ([1, 10, 6], true, 1, 11, 1),
            ([50, 100, 8], true, 5 * 5000, 5 * 150, 2),
            ([50, 100, 8], false, 5 * 5000, 6 * 150, 1),
            ([3, 7, 1], true, 21, 10, 1),
        ];
        for (sizes, paired, chunk_rows, most, sides) in cases {
            let mixture = mixture(30, sizes, paired);
            let parts = Parts::new(&head, &mixture, chunk_rows, 1 << 30).expect("it fits");
            assert_eq!(parts.most(chunk_rows), most, "{sizes:?}, {paired}, {chunk_rows}");
            assert_eq!(parts.units.sides(), sides, "{sizes:?}, {paired}, {chunk_rows}");
            let rows: usize = sizes.iter().product();
            for first in 0..rows {
                let chunk = parts.of_chunk(&(first..(first + chunk_rows).min(rows)));
                assert!(chunk.len <= most && chunk.len > 0);
            }
            let [inputs, outputs] = [32, 64];
            let needs = parts.chunk_needs(Needs { fixed_bytes: 0, sample_bytes: 0 });
            let bytes = needs.fixed_bytes + chunk_rows as u64 * needs.sample_bytes;
            assert!((4 * (most * (inputs + outputs) + TAIL)) as u64 <= bytes, "{sizes:?}");
        }
    }

    #[test]
    fn where_they_pay() {
        // Inputs and outputs of the layer; instances, background rows, coalitions; pairs.
        let cases = [
            ([30, 64], [50, 100, 20], false, true),
            ([30, 64], [50, 100, 20], true, true),
            ([30, 64], [4, 100, 200], false, true),
            ([30, 64], [1, 100, 200], false, false),
            // Half of a narrow layer is less than reading its parts.
            ([30, 64], [1, 100, 200], true, false),
            ([300, 256], [1, 100, 200], true, true),
            ([300, 256], [1, 100, 200], false, false),
            // A background row alone.
            ([300, 256], [1, 1, 2000], true, false),
        ];
        for (widths, sizes, paired, pays) in cases {
            let (head, mixture) = (head(widths[0], widths[1]), mixture(widths[0], sizes, paired));
            let chunk_rows = sizes.iter().product::<usize>().min(1 << 15);
            let parts = Parts::new(&head, &mixture, chunk_rows, 1 << 30).expect("it fits");
            assert_eq!(parts.pays(chunk_rows), pays, "{widths:?}, {sizes:?}, {paired}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let head = head(4, 8);
        let sound = mixture(4, [2, 3, 4], true);
        assert!(Parts::new(&head, &sound, 8, 1 << 20).is_some());
        let other = mixture(5, [2, 3, 4], true);
        let wide = Mixture { player_count: 33, ..sound.clone() };
        let empty = Mixture { masks: [].into(), ..sound.clone() };
        for mixture in [&other, &wide, &empty] {
            assert!(Parts::new(&head, mixture, 8, 1 << 20).is_none());
        }
        assert!(Parts::new(&head, &sound, 8, 79).is_none());
        // No pairs where a cell that counts is infinite.
        let rows = |at: usize| -> std::sync::Arc<[f32]> {
            (0..8).map(|cell| if cell == at { f32::INFINITY } else { 1.0 }).collect()
        };
        let sides =
            |mixture: &Mixture| Parts::new(&head, mixture, 24, 1 << 20).map(|parts| parts.units.sides());
        assert_eq!(sides(&sound), Some(2));
        assert_eq!(sides(&Mixture { instances: rows(5), ..sound.clone() }), Some(1));
    }
}
