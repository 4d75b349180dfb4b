//! Whole plans on the CPU engine: segments, chunks, memory, masks and damaged plans.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;

use std::sync::Arc;

use cpu::{assert_none, compare, largest, responses};
use plans::{Draws, Making, Stored, sliding, square, whole};
use reference::run_reference;
use whybox::device::RunOptions;
use whybox::device::cpu::Cpu;
use whybox::model::{Activation, PoolKind};
use whybox::plan::*;

/// A network with large and small layers, concatenation, a shared buffer and a residual: several segments.
fn network() -> Plan {
    let mut making = Making::new(10, [3, 21, 21]);
    let (a, b, c) = (making.buffer(11 * 11 * 64), making.buffer(11 * 11 * 64), making.buffer(11 * 11 * 64));
    let first = sliding([21, 21], square(3, 2, 1, 1));
    let conv = making.conv(first, 3, 16, 1, Activation::Relu);
    making.step(Kernel::Conv(conv), &[whole(0, 3)], whole(a, 16));
    let wide = sliding([11, 11], square(3, 1, 1, 1));
    let point = sliding([11, 11], square(1, 1, 1, 0));
    for (offset, sliding) in [(0, wide), (32, point)] {
        let conv = making.conv(sliding, 16, 32, 1, Activation::Relu);
        making.step(Kernel::Conv(conv), &[whole(a, 16)], View { buffer: b, offset, stride: 64 });
    }
    let mut conv = making.conv(wide, 64, 64, 1, Activation::Relu);
    conv.residual = true;
    making.step(Kernel::Conv(conv), &[whole(b, 64), whole(b, 64)], whole(c, 64));
    let pool = sliding([11, 11], square(3, 2, 1, 1));
    making.step(
        Kernel::Pool(Pool { kind: PoolKind::Max, sliding: pool, channels: 64 }),
        &[whole(c, 64)],
        whole(a, 64),
    );
    let conv = making.conv(sliding([1, 1], square(1, 1, 1, 0)), 36 * 64, 1300, 1, Activation::Relu);
    making.step(Kernel::Conv(conv), &[whole(a, 36 * 64)], whole(b, 1300));
    let conv = making.conv(sliding([1, 1], square(1, 1, 1, 0)), 1300, 10, 1, Activation::Identity);
    making.step(Kernel::Conv(conv), &[whole(b, 1300)], whole(c, 10));
    making.finish(c, 10)
}

#[test]
fn a_network_in_segments() {
    let plan = network();
    let data = Draws::new(11).floats(2 * 3 * 21 * 21);
    let scale = largest(&run_reference(&plan, &data, 2));
    assert_none(compare("network", &plan, 9, 3e-5 * scale, None));
}

#[test]
fn a_large_linear_first() {
    let mut making = Making::new(19, [1500, 1, 1]);
    let (a, b) = (making.buffer(1400), making.buffer(7));
    for (input, cin, output, cout) in [(0, 1500, a, 1400), (a, 1400, b, 7)] {
        let conv = making.conv(sliding([1, 1], square(1, 1, 1, 0)), cin, cout, 1, Activation::Tanh);
        making.step(Kernel::Conv(conv), &[whole(input, cin)], whole(output, cout));
    }
    assert_none(compare("large linear", &making.finish(b, 7), 5, 3e-5, None));
}

#[test]
fn a_plan_without_steps_gives_its_input() {
    assert_none(compare("no steps", &Making::new(20, [3, 2, 2]).finish(0, 12), 5, 0.0, None));
}

#[test]
fn chunks_and_memory_change_no_bit() {
    let plan = Arc::new(network());
    let len = plan.input_layout.len();
    let rows = 150;
    let data = Draws::new(12).floats(rows * len);
    let stored = Stored { data: &data, len, locality: None };
    for cpu in Cpu::all() {
        let network = cpu.load(plan.clone()).unwrap();
        let whole = responses(&network, &stored, rows, &RunOptions::default());
        for memory_bytes in [3 << 20, 20 << 20] {
            let options = RunOptions { memory_bytes: Some(memory_bytes), ..RunOptions::default() };
            let parts = responses(&network, &stored, rows, &options);
            assert!(
                whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{memory_bytes} bytes"
            );
        }
        let alone = responses(&network, &stored, 1, &RunOptions::default());
        assert_eq!(whole[..alone.len()], alone);
    }
}

#[test]
fn too_little_memory_is_an_error() {
    let plan = Arc::new(network());
    let data = vec![0.0; plan.input_layout.len()];
    let stored = Stored { data: &data, len: data.len(), locality: None };
    let network = Cpu::new().load(plan).unwrap();
    let options = RunOptions { memory_bytes: Some(1000), ..RunOptions::default() };
    let error = network.run(&stored, 1, &options, &mut |_, _| Ok(())).unwrap_err();
    assert!(matches!(error, whybox::Error::Limits(_)), "{error}");
}

/// Instance, baseline, players in stripes and random coalitions for a picture.
fn locality(pixels: usize, channels: usize, rows: usize) -> Locality {
    let mut draws = Draws::new(13);
    let players: Vec<u32> =
        (0..pixels as u32).map(|p| if p % 11 == 0 { u32::MAX } else { p / 5 % 40 }).collect();
    Locality {
        players: players.into(),
        instance: draws.floats(pixels * channels).into(),
        baseline: draws.floats(pixels * channels).into(),
        masks: (0..2 * rows).map(|_| draws.pick(0..1 << 30) as u32 * 3).collect(),
        words_per_row: 2,
    }
}

/// The expanded inputs of a locality.
fn expand(locality: &Locality, channels: usize, rows: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for row in 0..rows {
        for (pixel, &player) in locality.players.iter().enumerate() {
            let bit = |player: u32| {
                locality.masks[row * locality.words_per_row + player as usize / 32] >> (player % 32) & 1
            };
            let present = player == u32::MAX || bit(player) == 1;
            let from = if present { &locality.instance } else { &locality.baseline };
            all.extend_from_slice(&from[pixel * channels..(pixel + 1) * channels]);
        }
    }
    all
}

#[test]
fn a_masked_first_layer_gives_the_same_bits() {
    let rows = 23;
    let mut plans = vec![(3, 21, network())];
    // A first layer that is not a padded one.
    for (cin, window) in [(20, square(3, 1, 1, 1)), (16, square(1, 1, 1, 0))] {
        let mut making = Making::new(14, [cin, 9, 9]);
        let conv = making.conv(sliding([9, 9], window), cin, 18, 1, Activation::Relu);
        let out = making.buffer(81 * 18);
        making.step(Kernel::Conv(conv), &[whole(0, cin)], whole(out, 18));
        plans.push((cin, 9, making.finish(out, 81 * 18)));
    }
    for (channels, size, plan) in plans {
        let locality = locality(size * size, channels, rows);
        let data = expand(&locality, channels, rows);
        let stored = Stored { data: &data, len: size * size * channels, locality: Some(locality) };
        for cpu in Cpu::all() {
            let network = cpu.load(Arc::new(plan.clone())).unwrap();
            let form = |form| RunOptions { first_layer: Some(form), ..RunOptions::default() };
            let masked = responses(&network, &stored, rows, &form(FirstLayer::Masked));
            let expanded = responses(&network, &stored, rows, &form(FirstLayer::Expanded));
            assert!(masked.iter().zip(&expanded).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

#[test]
fn masks_that_cannot_be_used_are_an_error() {
    let plan = Arc::new(network());
    let data = vec![0.0; plan.input_layout.len()];
    let network = Cpu::new().load(plan).unwrap();
    let options = RunOptions { first_layer: Some(FirstLayer::Masked), ..RunOptions::default() };
    let mut wrong = locality(21 * 21, 3, 1);
    wrong.words_per_row = 1;
    for locality in [None, Some(wrong)] {
        let stored = Stored { data: &data, len: data.len(), locality };
        let error = network.run(&stored, 1, &options, &mut |_, _| Ok(())).unwrap_err();
        assert!(matches!(error, whybox::Error::Parameter(_)), "{error}");
    }
}

#[test]
fn a_plan_beyond_its_buffers_is_an_error() {
    for damage in 0..4 {
        let mut plan = network();
        match damage {
            0 => plan.buffers[2] -= 1,
            1 => plan.steps[0].inputs.clear(),
            2 => plan.weights.truncate(3),
            _ => plan.steps[2].output.offset += 1000,
        }
        let Err(error) = Cpu::new().load(Arc::new(plan)) else { panic!("damage {damage} was not noticed") };
        assert!(matches!(error, whybox::Error::Model(_)), "{error}");
    }
}
