//! Early layers over distinct local coalitions on the GPU: tiles, chunks, blocks, and when it pays. `tests/sharing.rs` has the layers.

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
use whybox::device::gpu::{Gpu, Overrides, Tile};
use whybox::model::Activation;
use whybox::plan::*;

/// Residuals, branches side by side and windows in every form of the GPU's product, in chunks and blocks that do not
/// divide one another.
#[test]
fn the_gpu_shares_in_every_tile_and_chunk() {
    let Some(gpu) = gpu::engine() else { return };
    let plan = network();
    let picture = Picture::new(3, 50, patches, coin);
    let expected = run_reference(&plan, &picture.data, 50);
    for tile in Tile::ALL {
        for chunk_rows in [7, 50] {
            let overrides =
                Overrides { tile: Some(tile), chunk_rows: Some(chunk_rows), ..Overrides::default() };
            let network = Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("the plan is sound");
            let (dense, none) = run_on(&network, &picture, &off());
            assert_eq!(none.sharing, None);
            for steps in 1..=3 {
                let options = RunOptions { sharing: Sharing::First(steps), ..RunOptions::default() };
                let (shared, report) = run_on(&network, &picture, &options);
                assert_eq!(report.sharing.map(|shared| shared.steps), Some(steps));
                for answer in [&expected, &dense] {
                    let apart = difference(&shared, answer) / largest(&expected);
                    assert!(apart <= 1e-5, "{tile:?}, chunks of {chunk_rows}, {steps} steps: {apart:e}");
                }
            }
        }
    }
}

#[test]
fn a_wrong_table_is_noticed_on_the_gpu() {
    let Some(gpu) = gpu::engine() else { return };
    let plan = network();
    let network = Gpu::load(&gpu, Arc::new(plan.clone())).expect("the plan is sound");
    let sound = Picture::new(3, 40, patches, coin);
    let expected = run_reference(&plan, &sound.data, 40);
    // All pixels of the patch of player 0 hide that they depend on it.
    let footprints = |pixel: usize| patches(pixel).into_iter().filter(|&player| player != 0).collect();
    let wrong = Picture { dependence: Picture::new(3, 40, footprints, coin).dependence, ..sound };
    let (answer, report) = run_on(&network, &wrong, &most());
    assert!(report.sharing.is_some());
    assert!(difference(&answer, &expected) / largest(&expected) > 1e-3);
}

#[test]
fn memory_cuts_the_gpus_blocks() {
    let Some(gpu) = gpu::engine() else { return };
    let plan = network();
    let picture = Picture::new(3, 200, own_players, coin);
    let load =
        |overrides| Gpu::load_with(&gpu, Arc::new(plan.clone()), overrides).expect("the plan is sound");
    let (whole, report) = run_on(&load(Overrides::default()), &picture, &most());
    assert_eq!(report.sharing.map(|shared| shared.block_rows), Some(200));
    let mut smallest = 200;
    for kib in [6144, 3072] {
        let tight = RunOptions { memory_bytes: Some(kib << 10), ..most() };
        let (parts, report) = run_on(&load(Overrides::default()), &picture, &tight);
        smallest = smallest.min(report.sharing.map_or(200, |shared| shared.block_rows));
        assert!(difference(&whole, &parts) <= 1e-5 * largest(&whole), "{kib} KiB");
    }
    assert!((16..200).contains(&smallest), "{smallest}");
    // Out of memory in mid-run: the rest goes on in smaller chunks, and in smaller blocks.
    let overrides = Overrides { refuse_rows_above: Some(40), ..Overrides::default() };
    let (halved, report) = run_on(&load(overrides), &picture, &most());
    assert!(report.chunk_rows <= 40 && report.sharing.is_some(), "{report:?}");
    assert!(difference(&whole, &halved) <= 1e-5 * largest(&whole));
}

#[test]
fn the_gpu_shares_of_itself_only_where_most_is_saved() {
    let Some(gpu) = gpu::engine() else { return };
    let load = |plan: Plan| Gpu::load(&gpu, Arc::new(plan)).expect("the plan is sound");
    let few = Picture::new(3, 500, |pixel| vec![pixel as u32 / 60], coin);
    // Nearly everything can be shared.
    let same = sliding(SIZE, square(3, 1, 1, 1));
    let mut making = Making::new(31, [3, SIZE[0], SIZE[1]]);
    let [a, b] = [0; 2].map(|_| making.buffer(PIXELS * 16));
    let first = making.conv(same, 3, 16, 1, Activation::Relu);
    making.step(Kernel::Conv(first), &[whole(0, 3)], whole(a, 16));
    let second = making.conv(same, 16, 16, 1, Activation::Relu);
    making.step(Kernel::Conv(second), &[whole(a, 16)], whole(b, 16));
    let all = load(with_linear(making, b, PIXELS * 16));
    let (answers, report) = run_on(&all, &few, &RunOptions::default());
    let shared = report.sharing.expect("it pays");
    assert!(shared.macs < shared.dense_macs / 2, "{shared:?}");
    let (dense, report) = run_on(&all, &few, &off());
    assert_eq!(report.sharing, None);
    assert!(difference(&answers, &dense) <= 1e-5 * largest(&dense));
    // About half can: a processor takes it, a GPU is given the dense form.
    assert_eq!(run_on(&load(network()), &few, &RunOptions::default()).1.sharing, None);
}
