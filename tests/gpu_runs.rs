//! Runs on the GPU: chunks, the two forms of the first layer, draws, and what goes wrong.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/single_step.rs"]
mod single_step;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use gpu::engine;
use plans::{Draws, Making, sliding, square, whole};
use reference::run_reference;
use single_step::{Given, Tolerance, compare, in_half, respond};
use whybox::Error;
use whybox::device::RunOptions;
use whybox::device::gpu::{Gpu, GpuNetwork, Overrides, Tile};
use whybox::model::{Activation, ReduceKind, Window};
use whybox::perturb::{Data, Expander, Program, Sampling, lime_coalition_rows};
use whybox::plan::{FirstLayer, Kernel, Locality, Plan, Reduce, View};

/// A small network: convolution, depthwise convolution, pointwise convolution in place of a Concat, mean, Linear.
fn network(channels: usize) -> Plan {
    let mut making = Making::new(11, [channels, 9, 7]);
    let first = sliding([9, 7], square(3, 2, 1, 1));
    let pixels = first.output_rows();
    // Both halves of a Concat: the second reads the first from the same buffer.
    let joined = making.buffer(pixels * 12);
    let between = making.buffer(pixels * 8);
    let features = making.buffer(12);
    let scores = making.buffer(5);
    let left = View { buffer: joined, offset: 0, stride: 12 };
    let right = View { buffer: joined, offset: 8, stride: 12 };

    let conv = making.conv(first, channels, 8, 1, Activation::Relu);
    making.step(Kernel::Conv(conv), &[whole(0, channels)], left);
    let depthwise = making.conv(sliding(first.output, square(3, 1, 1, 1)), 8, 8, 8, Activation::Tanh);
    making.step(Kernel::Conv(depthwise), &[left], whole(between, 8));
    let pointwise = making.conv(sliding(first.output, Window::square(1)), 8, 4, 1, Activation::Identity);
    making.step(Kernel::Conv(pointwise), &[left], right);
    let mean = Reduce { kind: ReduceKind::Mean, outer: 1, len: pixels, inner: 12 };
    making.step(Kernel::Reduce(mean), &[whole(joined, 12)], whole(features, 12));
    let linear = making.conv(sliding([1, 1], Window::square(1)), 12, 5, 1, Activation::Identity);
    making.step(Kernel::Conv(linear), &[whole(features, 12)], whole(scores, 5));
    making.finish(scores, 5)
}

/// An input varied by segments.
struct Segmented {
    locality: Locality,
    channels: usize,
}

impl Segmented {
    /// 40 players in blocks over the pixels, some pixels always shown; `rows` random coalitions.
    fn new(plan: &Plan, rows: usize) -> Self {
        let (channels, pixels) = plan.input_layout.channels_pixels();
        let mut draws = Draws::new(5);
        let players = (0..pixels as u32).map(|p| if p % 11 == 3 { u32::MAX } else { p * 7 % 40 }).collect();
        let masks = (0..rows * 2).map(|_| draws.pick(0..1 << 32) as u32).collect::<Vec<u32>>();
        let locality = Locality {
            players,
            instance: draws.floats(pixels * channels).into(),
            baseline: draws.floats(pixels * channels).into(),
            masks: masks.into(),
            words_per_row: 2,
        };
        Segmented { locality, channels }
    }
}

impl Expander for Segmented {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        let Locality { players, instance, baseline, masks, words_per_row } = &self.locality;
        for (row, sample) in rows.zip(out.chunks_exact_mut(instance.len())) {
            for (at, element) in sample.iter_mut().enumerate() {
                let player = players[at / self.channels];
                let present = player == u32::MAX
                    || masks[row * words_per_row + player as usize / 32] >> (player % 32) & 1 == 1;
                *element = if present { instance[at] } else { baseline[at] };
            }
        }
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let Locality { players, instance, baseline, masks, words_per_row } = &self.locality;
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let floats = |floats: &[f32]| floats.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let chunk = &masks[rows.start * words_per_row..rows.end * words_per_row];
        Program {
            shader: "perturb/segments",
            buffers: vec![
                Data::Fixed(words(players).into()),
                Data::Fixed(floats(instance).into()),
                Data::Fixed(floats(baseline).into()),
                Data::Chunk(words(chunk)),
            ],
            params: [self.channels as u32, players.len() as u32, *words_per_row as u32, 0],
        }
    }

    fn locality(&self) -> Option<&Locality> {
        Some(&self.locality)
    }
}

/// All responses, the form of the first layer and the samples in a chunk.
fn run(
    network: &GpuNetwork,
    input: &dyn Expander,
    rows: usize,
    options: &RunOptions,
) -> (Vec<f32>, FirstLayer, usize) {
    let mut responses = Vec::new();
    let mut next = 0;
    let report = network
        .evaluate(input, rows, options, &mut |chunk, values| {
            assert_eq!(chunk.start, next, "chunks come in order");
            next = chunk.end;
            responses.extend_from_slice(values);
            Ok(())
        })
        .expect("a sound run");
    assert_eq!(next, rows);
    (responses, report.first_layer, report.chunk_rows)
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

fn forced(first_layer: FirstLayer) -> RunOptions {
    RunOptions { first_layer: Some(first_layer), ..RunOptions::default() }
}

#[test]
fn masked_and_expanded_first_layers_agree() {
    let Some(gpu) = engine() else { return };
    let rows = 37;
    for channels in [3, 4, 1] {
        let plan = network(channels);
        let input = Segmented::new(&plan, rows);
        let mut data = vec![0.0; rows * plan.input_layout.len()];
        input.expand(0..rows, &mut data);
        let expected = run_reference(&plan, &data, rows);
        for tile in Tile::ALL {
            let overrides = Overrides { tile: Some(tile), chunk_rows: Some(10), ..Overrides::default() };
            let network = Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("a sound plan");
            let (masked, form, _) = run(&network, &input, rows, &RunOptions::default());
            assert_eq!(form, FirstLayer::Masked);
            let (expanded, form, _) = run(&network, &input, rows, &forced(FirstLayer::Expanded));
            assert_eq!(form, FirstLayer::Expanded);
            let (again, ..) = run(&network, &input, rows, &forced(FirstLayer::Masked));
            compare(&expected, &masked, Tolerance::Sum { terms: 48 }).expect("masked");
            compare(&expected, &expanded, Tolerance::Sum { terms: 48 }).expect("expanded");
            // The same products in the same order.
            assert_eq!(bits(&masked), bits(&expanded), "{tile:?}, {channels} channels");
            assert_eq!(bits(&masked), bits(&again));
        }
        let Some(gpu) = in_half(&gpu) else { continue };
        for tile in Tile::ALL.into_iter().chain([Tile::Cooperative]) {
            let overrides = Overrides { tile: Some(tile), chunk_rows: Some(10), ..Overrides::default() };
            let network = Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("a sound plan");
            for form in [FirstLayer::Masked, FirstLayer::Expanded] {
                let (found, taken, _) = run(&network, &input, rows, &forced(form));
                assert_eq!(taken, form);
                // Numbers are stored a handful of times, each time moved by 2⁻¹⁰ of themselves at most.
                compare::relative(&expected, &found, 5e-3).expect("near in f16");
            }
        }
    }
}

#[test]
fn chunks_and_tiles_change_no_bit() {
    let Some(gpu) = engine() else { return };
    let rows = 23;
    let plan = network(3);
    let data = Draws::new(3).floats(rows * plan.input_layout.len());
    let all = respond(&gpu, &plan, &data, Overrides::default()).expect("a sound plan");
    compare(&run_reference(&plan, &data, rows), &all, Tolerance::Sum { terms: 48 }).expect("the network");
    for chunk_rows in [1, 3, 22, 23, 1000] {
        for tile in Tile::ALL {
            let overrides =
                Overrides { tile: Some(tile), chunk_rows: Some(chunk_rows), ..Overrides::default() };
            let found = respond(&gpu, &plan, &data, overrides).expect("a sound plan");
            assert_eq!(bits(&all), bits(&found), "{tile:?}, chunks of {chunk_rows}");
        }
    }
}

#[test]
fn a_network_is_run_again_with_other_sizes() {
    let Some(gpu) = engine() else { return };
    let plan = network(3);
    let network = Gpu::load(&gpu, Arc::new(plan.clone())).expect("a sound plan");
    for rows in [5, 5, 2, 9, 0, 1] {
        let data = Draws::new(rows as u64).floats(rows * plan.input_layout.len());
        let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
        let (found, ..) = run(&network, &given, rows, &RunOptions::default());
        compare(&run_reference(&plan, &data, rows), &found, Tolerance::Sum { terms: 48 }).expect("every run");
    }
}

#[test]
fn memory_bounds_the_chunk() {
    let Some(gpu) = engine() else { return };
    let rows = 40;
    let plan = network(3);
    let data = Draws::new(1).floats(rows * plan.input_layout.len());
    let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
    let network = Gpu::load(&gpu, Arc::new(plan.clone())).expect("a sound plan");
    let (all, _, most) = run(&network, &given, rows, &RunOptions::default());
    assert_eq!(most, rows);
    let options = RunOptions { memory_bytes: Some(40_000), ..RunOptions::default() };
    let (few, _, chunk_rows) = run(&network, &given, rows, &options);
    assert!((1..20).contains(&chunk_rows), "{chunk_rows} rows in 40,000 bytes");
    assert_eq!(bits(&all), bits(&few));
    let options = RunOptions { memory_bytes: Some(1000), ..RunOptions::default() };
    let error = network.evaluate(&given, rows, &options, &mut |_, _| Ok(()));
    assert!(matches!(error, Err(Error::Limits(_))), "{error:?}");
}

#[test]
fn out_of_memory_halves_the_chunk() {
    let Some(gpu) = engine() else { return };
    let rows = 21;
    let plan = network(3);
    let data = Draws::new(1).floats(rows * plan.input_layout.len());
    let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
    let load = |refuse_rows_above| {
        let overrides = Overrides { refuse_rows_above, ..Overrides::default() };
        Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("a sound plan")
    };
    let (all, ..) = run(&load(None), &given, rows, &RunOptions::default());
    let (halved, _, chunk_rows) = run(&load(Some(6)), &given, rows, &RunOptions::default());
    assert_eq!(chunk_rows, 5); // 21, 10, 5
    assert_eq!(bits(&all), bits(&halved));
    let error = load(Some(0)).evaluate(&given, rows, &RunOptions::default(), &mut |_, _| Ok(()));
    assert!(matches!(error, Err(Error::Limits(_))), "{error:?}");
}

#[test]
fn requests_that_make_no_sense_are_errors() {
    let Some(gpu) = engine() else { return };
    let rows = 4;
    let plan = network(3);
    let network = Gpu::load(&gpu, Arc::new(plan.clone())).expect("a sound plan");
    let data = Draws::new(1).floats(rows * plan.input_layout.len());
    let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
    let mut ignore = |_: Range<usize>, _: &[f32]| Ok(());
    let error = network.evaluate(&given, rows, &forced(FirstLayer::Masked), &mut ignore);
    assert!(matches!(error, Err(Error::Parameter(_))), "no locality: {error:?}");

    let mut far = Segmented::new(&plan, rows);
    let mut players = far.locality.players.to_vec();
    players[0] = 64;
    far.locality.players = players.into();
    let error = network.evaluate(&far, rows, &RunOptions::default(), &mut ignore);
    assert!(matches!(error, Err(Error::Parameter(_))), "player 64 of 64: {error:?}");
    let error = network.evaluate(&Segmented::new(&plan, rows), rows + 1, &RunOptions::default(), &mut ignore);
    assert!(matches!(error, Err(Error::Parameter(_))), "more rows than masks: {error:?}");

    let error = network.evaluate(&given, rows, &RunOptions::default(), &mut |_, _| {
        Err(Error::numeric("enough", "sink", ""))
    });
    assert!(matches!(error, Err(Error::Numeric(_))), "the sink's error: {error:?}");
    let (fine, ..) = run(&network, &given, rows, &RunOptions::default());
    compare(&run_reference(&plan, &data, rows), &fine, Tolerance::Sum { terms: 48 })
        .expect("usable after errors");

    let mut broken = plan.clone();
    broken.steps[2].output.offset = 9;
    let error = Gpu::load(&gpu, Arc::new(broken)).map(|_| ());
    assert!(matches!(error, Err(Error::Model(_))), "a step beyond its buffer: {error:?}");
    let mut broken = plan.clone();
    broken.weights[0].data = vec![0.0; 3].into();
    let error = Gpu::load(&gpu, Arc::new(broken)).map(|_| ());
    assert!(matches!(error, Err(Error::Model(_))), "missing weights: {error:?}");
}

#[test]
fn a_lost_device_is_an_error() {
    // A device of its own: losing the shared one would fail the other tests.
    if engine().is_none() {
        return;
    }
    let gpu = Arc::new(Gpu::any().expect("opened a moment ago"));
    let plan = network(3);
    let network = Gpu::load(&gpu, Arc::new(plan.clone())).expect("a sound plan");
    let data = Draws::new(1).floats(6 * plan.input_layout.len());
    let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
    let (all, ..) = run(&network, &given, 6, &RunOptions::default());
    assert_eq!(all.len(), 30);
    gpu.lose();
    let error = network.evaluate(&given, 6, &RunOptions::default(), &mut |_, _| Ok(()));
    assert!(matches!(error, Err(Error::Device(_))), "{error:?}");
    assert!(Gpu::load(&gpu, Arc::new(plan)).is_err());
}

#[test]
fn a_device_lost_in_mid_run_is_an_error() {
    if engine().is_none() {
        return;
    }
    let gpu = Arc::new(Gpu::any().expect("opened a moment ago"));
    let plan = network(3);
    let overrides = Overrides { chunk_rows: Some(2), ..Overrides::default() };
    let network = Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("a sound plan");
    let data = Draws::new(1).floats(20 * plan.input_layout.len());
    let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
    let mut chunks = 0;
    let error = network.evaluate(&given, 20, &RunOptions::default(), &mut |_, _| {
        chunks += 1;
        if chunks == 2 {
            gpu.lose();
        }
        Ok(())
    });
    assert!(matches!(error, Err(Error::Device(_))), "{error:?}");
    assert!(chunks < 5, "{chunks} chunks after the loss");
}

/// Networks share pipelines: one is compiled for each permutation, the first time.
#[test]
fn pipelines_are_compiled_once() {
    if engine().is_none() {
        return;
    }
    // A device of its own: other tests' pipelines do not count.
    let gpu = Arc::new(Gpu::any().expect("opened a moment ago"));
    let plan = network(3);
    let compiled = |seed: u64| {
        let data = Draws::new(seed).floats(2 * plan.input_layout.len());
        respond(&gpu, &plan, &data, Overrides::default()).expect("it runs");
        gpu.compiled()
    };
    let first = compiled(1);
    // One a step at most, and one that writes the rows.
    assert!(first > 0 && first <= plan.steps.len() + 1, "{first} for {} steps", plan.steps.len());
    assert_eq!(compiled(2), first, "the network loaded again");
}

#[test]
fn draws_are_those_of_the_host() {
    let Some(gpu) = engine() else { return };
    for players in [1, 31, 32, 33, 127, 128, 129, 300] {
        for (paired, sampling) in [(false, Sampling::Independent), (true, Sampling::Paired)] {
            for (first, last, seed) in [(0, 70, 42), (999, 1007, 0xdead_beef_0123_4567)] {
                let expected =
                    lime_coalition_rows(players, last, first..last, seed, sampling).expect("players");
                let found = gpu
                    .lime_coalitions(players as u32, first as u32..last as u32, seed, paired)
                    .expect("a sound kernel");
                assert_eq!(expected.words(), found, "{players} players, {sampling:?}, rows {first}..{last}");
            }
        }
    }
}

/// Notes when a chunk's data is asked for.
struct Noted<'a> {
    given: Given<'a>,
    events: &'a Mutex<Vec<String>>,
}

impl Expander for Noted<'_> {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        self.given.expand(rows, out);
    }

    fn program(&self, rows: Range<usize>) -> Program {
        self.events.lock().expect("one thread").push(format!("prepare {}", rows.start));
        self.given.program(rows)
    }
}

#[test]
fn the_next_chunk_is_prepared_before_the_last_is_read() {
    let Some(gpu) = engine() else { return };
    let plan = network(3);
    let overrides = Overrides { chunk_rows: Some(2), ..Overrides::default() };
    let network = Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("a sound plan");
    let data = Draws::new(1).floats(8 * plan.input_layout.len());
    let given = Given { data: &data, len: plan.input_layout.len(), locality: None };
    let events = Mutex::default();
    let noted = Noted { given, events: &events };
    let report = network.evaluate(&noted, 8, &RunOptions::default(), &mut |rows, _| {
        events.lock().expect("one thread").push(format!("read {}", rows.start));
        Ok(())
    });
    assert_eq!(report.expect("a sound run").chunk_rows, 2);
    let order = ["prepare 0", "prepare 2", "read 0", "prepare 4", "read 2", "prepare 6", "read 4", "read 6"];
    assert_eq!(*events.lock().expect("one thread"), order);
}

#[test]
fn adapters_are_listed() {
    let Some(gpu) = engine() else { return };
    let listed = Gpu::list();
    assert!(listed.contains(gpu.adapter()), "{listed:?}");
    assert!(gpu.name().starts_with("GPU "), "{}", gpu.name());
    for adapter in listed {
        println!("{adapter:?}");
        assert!(adapter.binding_bytes >= 128 << 20, "{adapter}");
    }
}
