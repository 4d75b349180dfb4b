//! Early layers over distinct local coalitions, on both engines, against the plan executed sample by sample in f64.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/pictures.rs"]
mod pictures;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;

use std::sync::Arc;

use cpu::{difference, largest};
use pictures::*;
use plans::{Making, sliding, square, whole};
use reference::run_reference;
use whybox::device::RunOptions;
use whybox::device::gpu::Gpu;
use whybox::model::{Activation, BinaryKind, PoolKind, Window};
use whybox::plan::*;

/// Compares shared, dense and reference on all pictures; `steps` should run over columns.
fn compare(name: &str, plan: &Plan, steps: usize) {
    let channels = plan.input.stride;
    let mut wrong = Vec::new();
    let gpu = gpu::engine().map(|gpu| Gpu::load(&gpu, Arc::new(plan.clone())).expect("the plan is sound"));
    for (kind, picture) in pictures(channels) {
        let expected = run_reference(plan, &picture.data, picture.rows());
        let scale = largest(&expected);
        let (shared, report) = run(plan, &picture, &most());
        let (dense, none) = run(plan, &picture, &off());
        assert_eq!(none.sharing, None);
        assert_eq!(report.sharing.map(|shared| shared.steps), Some(steps), "{name}, {kind}");
        for (form, answer) in [("shared and reference", &expected), ("shared and dense", &dense)] {
            let apart = difference(&shared, answer) / scale;
            if apart.is_nan() || apart > 1e-5 {
                wrong.push(format!("{name}, {kind}: {form} differ by {apart:e}"));
            }
        }
        if let Some(gpu) = &gpu {
            let (shared, report) = run_on(gpu, &picture, &most());
            assert_eq!(report.sharing.map(|shared| shared.steps), Some(steps), "{name}, {kind} on the GPU");
            let apart = difference(&shared, &expected) / scale;
            if apart.is_nan() || apart > 1e-5 {
                wrong.push(format!(
                    "{name}, {kind}: the GPU's shared form and the reference differ by {apart:e}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One window after a 1×1 convolution, with and without a dense rest.
fn compare_window(
    name: &str,
    channels: usize,
    kernel: impl Fn(&mut Making) -> Kernel,
    out: Sliding,
    cout: usize,
) {
    for dense_rest in [false, true] {
        let mut making = Making::new(channels as u64, [3, SIZE[0], SIZE[1]]);
        let a = making.buffer(PIXELS * channels);
        let len = out.output_rows() * cout;
        let b = making.buffer(len);
        let first = making.conv(sliding(SIZE, square(1, 1, 1, 0)), 3, channels, 1, Activation::Identity);
        making.step(Kernel::Conv(first), &[whole(0, 3)], whole(a, channels));
        let kernel = kernel(&mut making);
        making.step(kernel, &[whole(a, channels)], whole(b, cout));
        let plan = if dense_rest { with_linear(making, b, len) } else { making.finish(b, len) };
        compare(name, &plan, 2);
    }
}

fn compare_conv(name: &str, window: Window, channels: [usize; 2], groups: usize) {
    let sliding = sliding(SIZE, window);
    let kernel = |making: &mut Making| {
        Kernel::Conv(making.conv(sliding, channels[0], channels[1], groups, Activation::Relu))
    };
    compare_window(name, channels[0], kernel, sliding, channels[1]);
}

#[test]
fn padding_strides_and_dilations() {
    compare_conv("same padding", square(3, 1, 1, 1), [5, 18], 1);
    compare_conv("no padding", square(3, 1, 1, 0), [4, 7], 1);
    compare_conv("wide padding", square(5, 1, 1, 4), [4, 7], 1);
    compare_conv("stride", square(3, 2, 1, 1), [8, 33], 1);
    compare_conv("pointwise with stride", square(1, 2, 1, 0), [8, 9], 1);
    compare_conv("dilation", square(3, 1, 3, 2), [6, 8], 1);
    let window = Window { kernel: [3, 2], stride: [1, 2], dilation: [2, 1], pads: [2, 0, 1, 1] };
    compare_conv("everything uneven", window, [6, 8], 1);
}

#[test]
fn groups_and_depthwise() {
    compare_conv("two groups", square(3, 1, 1, 1), [6, 10], 2);
    compare_conv("depthwise", square(3, 1, 1, 1), [21, 21], 21);
    compare_conv("depthwise with stride", square(5, 2, 1, 2), [19, 19], 19);
    compare_conv("a multiplier", square(3, 1, 1, 1), [4, 12], 4);
}

#[test]
fn pooling() {
    for (name, kind) in [
        ("max", PoolKind::Max),
        ("average", PoolKind::Average { count_include_pad: false }),
        ("average with padding", PoolKind::Average { count_include_pad: true }),
    ] {
        for window in [square(3, 2, 1, 1), square(2, 2, 1, 0), square(3, 1, 2, 2)] {
            let sliding = sliding(SIZE, window);
            let kernel = |_: &mut Making| Kernel::Pool(Pool { kind, sliding, channels: 7 });
            compare_window(name, 7, kernel, sliding, 7);
        }
    }
}

#[test]
fn a_maximum_beside_the_picture_is_no_zero() {
    // All values below 0: a zero in the padding would win.
    let mut making = Making::new(3, [1, SIZE[0], SIZE[1]]);
    let (a, sliding) = (making.buffer(PIXELS), sliding(SIZE, square(3, 1, 1, 1)));
    let b = making.buffer(PIXELS);
    let shift = making.weight(1, 0.0);
    making.plan.weights[shift].data = vec![-10.0].into();
    let scale = making.weight(1, 1.0);
    let affine = Affine { rows: PIXELS, channels: 1, scale, shift, activation: Activation::Identity };
    making.step(Kernel::Affine(affine), &[whole(0, 1)], whole(a, 1));
    let pool = Pool { kind: PoolKind::Max, sliding, channels: 1 };
    making.step(Kernel::Pool(pool), &[whole(a, 1)], whole(b, 1));
    compare("negative maximum", &making.finish(b, PIXELS), 2);
}

#[test]
fn a_shift_before_a_padded_convolution_is_not_in_the_padding() {
    // BatchNorm that was not folded: its shift makes zeros something else, but not those of the padding.
    let mut making = Making::new(5, [3, SIZE[0], SIZE[1]]);
    let [a, b] = [0; 2].map(|_| making.buffer(PIXELS * 4));
    let c = making.buffer(PIXELS * 6);
    let (point, wide) = (sliding(SIZE, square(1, 1, 1, 0)), sliding(SIZE, square(3, 1, 1, 1)));
    let first = making.conv(point, 3, 4, 1, Activation::Relu);
    making.step(Kernel::Conv(first), &[whole(0, 3)], whole(a, 4));
    let (scale, shift) = (making.weight(4, 1.0), making.weight(4, 5.0));
    let affine = Affine { rows: PIXELS, channels: 4, scale, shift, activation: Activation::Identity };
    making.step(Kernel::Affine(affine), &[whole(a, 4)], whole(b, 4));
    let second = making.conv(wide, 4, 6, 1, Activation::Identity);
    making.step(Kernel::Conv(second), &[whole(b, 4)], whole(c, 6));
    compare("shifted zeros", &making.finish(c, PIXELS * 6), 3);
}

/// Branches of different reach, added: within a convolution, after a depthwise one, and as a step of its own.
#[test]
fn residual_additions() {
    let same = sliding(SIZE, square(3, 1, 1, 1));
    let len = PIXELS * 8;
    let mut making = Making::new(21, [3, SIZE[0], SIZE[1]]);
    let [a, b, c] = [0; 3].map(|_| making.buffer(len));
    let first = making.conv(same, 3, 8, 1, Activation::Relu);
    making.step(Kernel::Conv(first), &[whole(0, 3)], whole(a, 8));
    let second = making.conv(same, 8, 8, 1, Activation::Relu);
    making.step(Kernel::Conv(second), &[whole(a, 8)], whole(b, 8));
    let mut third = making.conv(same, 8, 8, 1, Activation::Relu);
    third.residual = true;
    making.step(Kernel::Conv(third), &[whole(b, 8), whole(a, 8)], whole(c, 8));
    // The residual reaches further than the convolution, and the buffer is used again.
    let mut fourth = making.conv(sliding(SIZE, square(1, 1, 1, 0)), 8, 8, 1, Activation::Identity);
    fourth.residual = true;
    making.step(Kernel::Conv(fourth), &[whole(b, 8), whole(c, 8)], whole(a, 8));
    let mut fifth = making.conv(same, 8, 8, 8, Activation::Identity);
    fifth.residual = true;
    making.step(Kernel::Conv(fifth), &[whole(a, 8), whole(b, 8)], whole(c, 8));
    let rows = [0, 0, 8, 1];
    let sum = Binary {
        kind: BinaryKind::Sub,
        shape: [1, 1, PIXELS, 8],
        a_strides: rows,
        b_strides: rows,
        out_strides: rows,
        b: Operand::Input,
        swapped: true,
        activation: Activation::Relu,
    };
    making.step(Kernel::Binary(sum), &[whole(a, 8), whole(c, 8)], whole(b, 8));
    let factor = making.weight(8, 1.0);
    let product = Binary {
        kind: BinaryKind::Mul,
        b_strides: [0, 0, 0, 1],
        b: Operand::Constant(factor),
        swapped: false,
        ..sum
    };
    making.step(Kernel::Binary(product), &[whole(b, 8)], whole(a, 8));
    compare("residuals", &with_linear(making, a, len), 7);
}

/// Branches of different reach side by side in one buffer, read together, in part, and after the buffer is cut.
#[test]
fn concatenated_branches() {
    let same = sliding(SIZE, square(3, 1, 1, 1));
    let point = sliding(SIZE, square(1, 1, 1, 0));
    let mut making = Making::new(22, [3, SIZE[0], SIZE[1]]);
    let (a, b, c) = (making.buffer(PIXELS * 6), making.buffer(PIXELS * 20), making.buffer(PIXELS * 20));
    let piece = |offset: usize| View { buffer: b, offset, stride: 20 };
    let squeeze = making.conv(point, 3, 6, 1, Activation::Relu);
    making.step(Kernel::Conv(squeeze), &[whole(0, 3)], whole(a, 6));
    let small = making.conv(point, 6, 5, 1, Activation::Relu);
    making.step(Kernel::Conv(small), &[whole(a, 6)], piece(0));
    let large = making.conv(same, 6, 9, 1, Activation::Relu);
    making.step(Kernel::Conv(large), &[whole(a, 6)], piece(5));
    let pool = Pool { kind: PoolKind::Max, sliding: same, channels: 6 };
    making.step(Kernel::Pool(pool), &[whole(a, 6)], piece(14));
    // Everything,
    let all = making.conv(same, 20, 4, 1, Activation::Relu);
    making.step(Kernel::Conv(all), &[piece(0)], View { buffer: c, offset: 0, stride: 20 });
    // the end of one piece and the start of the next, with a residual that is part of a piece,
    let mut part = making.conv(point, 7, 3, 1, Activation::Relu);
    part.residual = true;
    making.step(Kernel::Conv(part), &[piece(3), piece(15)], View { buffer: c, offset: 4, stride: 20 });
    // and a part by part.
    let map = Map { rows: PIXELS, channels: 13, activation: Activation::LeakyRelu { slope: 0.1 } };
    making.step(Kernel::Map(map), &[piece(6)], View { buffer: c, offset: 7, stride: 20 });
    compare("concatenation", &with_linear(making, c, PIXELS * 20), 7);
}

#[test]
fn what_is_over_space_ends_sharing() {
    compare("a mean over space", &network(), 3);
}

#[test]
fn a_wrong_table_is_noticed() {
    // Pixel 40 hides that it depends on a player: rows that differ there count as the same.
    let plan = network();
    let sound = Picture::new(3, 40, patches, coin);
    let expected = run_reference(&plan, &sound.data, 40);
    let mut starts = sound.dependence.starts.to_vec();
    starts[41..].iter_mut().for_each(|start| *start -= 1);
    let mut players = sound.dependence.players.to_vec();
    players.remove(starts[40] as usize);
    let dependence =
        Dependence { starts: starts.into(), players: players.into(), ..sound.dependence.clone() };
    let wrong = Picture { dependence, ..sound };
    let (answer, report) = run(&plan, &wrong, &most());
    assert!(report.sharing.is_some());
    assert!(difference(&answer, &expected) / largest(&expected) > 1e-3);
}

#[test]
fn memory_and_threads_change_little() {
    let plan = network();
    let picture = Picture::new(3, 200, own_players, coin);
    let (whole, report) = run(&plan, &picture, &most());
    assert_eq!(report.sharing.map(|shared| shared.block_rows), Some(200));
    let mut smallest = 200;
    for kib in [4096, 3072] {
        let tight = RunOptions { memory_bytes: Some(kib << 10), ..most() };
        let (parts, report) = run(&plan, &picture, &tight);
        smallest = smallest.min(report.sharing.map_or(200, |shared| shared.block_rows));
        assert!(difference(&whole, &parts) <= 1e-5 * largest(&whole), "{kib} KiB");
    }
    assert!((16..200).contains(&smallest), "{smallest}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
    let (threads, _) = pool.install(|| run(&plan, &picture, &most()));
    assert_eq!(whole, threads);
}

#[test]
fn unsound_dependences_share_nothing() {
    let plan = network();
    let mut picture = Picture::new(3, 20, patches, coin);
    let expected = run_reference(&plan, &picture.data, 20);
    picture.dependence.players = vec![4000; picture.dependence.players.len()].into();
    let (answer, report) = run(&plan, &picture, &most());
    assert_eq!(report.sharing, None);
    assert!(difference(&answer, &expected) <= 1e-5 * largest(&expected));
}

#[test]
fn the_schedule_shares_where_it_pays() {
    // Three players and a thousand samples: eight distinct pictures at most.
    let plan = network();
    let few = Picture::new(3, 500, |pixel| vec![pixel as u32 / 60], coin);
    let (_, report) = run(&plan, &few, &RunOptions::default());
    let shared = report.sharing.expect("it pays");
    assert!(shared.macs < shared.dense_macs / 2, "{shared:?}");
    // Every sample differs everywhere: nothing to share.
    let many = Picture::new(3, 64, |_| (0..20).collect(), coin);
    let (_, report) = run(&plan, &many, &RunOptions::default());
    assert_eq!(report.sharing, None);
}

/// Both resolutions of masks on a photo, on every device: a network pixel belongs to one segment, or mixes those under the resize
/// filter.
#[test]
fn photographs_share_at_both_resolutions() {
    use whybox::explain::{ImageExplainer, Lime, MaskResolution};
    use whybox::{Device, builtin};

    let model = builtin::network().unwrap();
    let networks: Vec<_> = [Some(Device::cpu()), gpu::gpu()]
        .iter()
        .flatten()
        .map(|device| device.load(&model).unwrap())
        .collect();
    let masks = [MaskResolution::Network, MaskResolution::Photo];
    for (network, masks) in networks.iter().flat_map(|network| masks.map(|masks| (network, masks))) {
        let explain = |sharing| {
            let explainer = ImageExplainer {
                segmentation: "slic:n=30".parse().unwrap(),
                preprocess: builtin::preprocess(),
                masks,
                run: RunOptions { sharing, ..RunOptions::default() },
                ..ImageExplainer::default()
            };
            let lime = Lime { samples: 120, ..Lime::default() };
            explainer.explain(network, builtin::photo().unwrap(), &lime, &mut |_| {}).unwrap()
        };
        let (shared, dense) = (explain(Sharing::First(4)), explain(Sharing::Off));
        assert_eq!(shared.sharing.map(|report| report.steps), Some(4), "{masks:?}");
        assert_eq!(dense.sharing, None);
        for (a, b) in shared.explanation.attributions.iter().zip(&dense.explanation.attributions) {
            let scale = b.values.iter().fold(0.0f64, |max, x| max.max(x.abs()));
            let apart = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart <= 1e-4 * scale, "{masks:?}: {apart} of {scale}");
        }
    }
}
