//! A run on the processor allocates for its first chunk and then no more; nor do blocks of samples that share columns once
//! their tables are as large as the largest block asks for.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/pictures.rs"]
mod pictures;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pictures::{PIXELS, Picture, SIZE, coin, footprints, with_linear};
use plans::{Making, sliding, square, whole};
use whybox::device::cpu::{Cpu, CpuNetwork};
use whybox::device::{RunOptions, RunReport};
use whybox::model::{Activation, BinaryKind, Model, PoolKind, Window};
use whybox::perturb::Rows;
use whybox::plan::{Binary, Kernel, Operand, Plan, Pool, Sharing, View};
use whybox::{Device, builtin};

/// The system's allocator, counting the bytes that were ever asked for.
struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tests count one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// What a chunk may ask for: nothing for its activations, a little for the thread pool's queue.
const LEAST: usize = 4096;

/// Depthwise and pointwise convolutions, pooling and a classifier.
fn separable() -> Model {
    let weights = |len: usize| (0..len).map(|i| (i % 13) as f32 / 13.0 - 0.5).collect::<Vec<f32>>();
    let window = Window::square(3).pad(1);
    Model::builder("separable", &[3, 20, 20])
        .conv(&weights(24 * 3 * 9), None, 24, window, 1)
        .and_then(|builder| builder.conv(&weights(24 * 9), None, 24, window, 24))
        .and_then(|builder| builder.conv(&weights(40 * 24), None, 40, Window::square(1), 1))
        .and_then(|builder| builder.activation(Activation::Relu))
        .and_then(|builder| builder.max_pool(Window::square(2).stride(2)))
        .and_then(|builder| builder.global_average_pool())
        .and_then(|builder| builder.linear(&weights(40 * 5), &[0.0; 5], 5))
        .and_then(|builder| builder.build())
        .unwrap()
}

/// Bytes asked for from one chunk to the next; the sink itself asks for `extra`.
fn asked(model: &Model, rows: usize, extra: usize) -> Vec<usize> {
    let len: usize = model.input_shape().iter().product();
    let batch: Vec<f32> = (0..rows * len).map(|i| (i % 97) as f32 / 97.0).collect();
    let batch = Rows::new(&batch, len).unwrap();
    let network = Device::cpu().load(model).unwrap();
    let options = RunOptions { memory_bytes: Some(64 << 20), sharing: Sharing::Off, ..RunOptions::default() };
    let mut marks = Vec::with_capacity(rows);
    let mut sink = |_, _: &[f32]| {
        drop(std::hint::black_box(vec![0u8; extra]));
        marks.push(ASKED.load(Ordering::Relaxed));
        Ok(())
    };
    network.run(&batch, &options, &mut sink).unwrap();
    marks.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn only_the_first_chunk_allocates() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let networks = [
        (builtin::network().unwrap(), 6000),
        (separable(), 15_000),
        (builtin::table_network().unwrap(), 40_000),
    ];
    for (model, rows) in networks {
        let chunks = asked(&model, rows, 0);
        println!("{}: {chunks:?}", model.name());
        assert!(chunks.len() >= 2, "{}: {} chunks show nothing", model.name(), chunks.len() + 1);
        assert!(chunks[1..].iter().all(|&bytes| bytes < LEAST), "{}: {chunks:?}", model.name());
        // What is allocated for each chunk would be seen.
        assert!(asked(&model, rows, LEAST)[1..].iter().all(|&bytes| bytes >= LEAST));
    }
}

/// Every kind of step over columns: convolutions plain, depthwise and with a residual, two of them side by side, pooling, a
/// join for who reads both, an addition; then a dense rest.
fn all_kinds() -> Plan {
    let same = sliding(SIZE, square(3, 1, 1, 1));
    let mut making = Making::new(31, [3, SIZE[0], SIZE[1]]);
    let [a, b, c] = [0; 3].map(|_| making.buffer(PIXELS * 16));
    let first = making.conv(same, 3, 16, 1, Activation::Relu);
    making.step(Kernel::Conv(first), &[whole(0, 3)], whole(a, 16));
    let depthwise = making.conv(same, 16, 16, 16, Activation::Relu);
    making.step(Kernel::Conv(depthwise), &[whole(a, 16)], whole(b, 16));
    for offset in [0, 8] {
        let half = making.conv(same, 16, 8, 1, Activation::Relu);
        making.step(Kernel::Conv(half), &[whole(b, 16)], View { buffer: c, offset, stride: 16 });
    }
    let mut joined = making.conv(same, 16, 16, 1, Activation::Relu);
    joined.residual = true;
    making.step(Kernel::Conv(joined), &[whole(c, 16), whole(b, 16)], whole(a, 16));
    let pool = Pool { kind: PoolKind::Max, sliding: same, channels: 16 };
    making.step(Kernel::Pool(pool), &[whole(a, 16)], whole(c, 16));
    let rows = [0, 0, 16, 1];
    let sum = Binary {
        kind: BinaryKind::Add,
        shape: [1, 1, PIXELS, 16],
        a_strides: rows,
        b_strides: rows,
        out_strides: rows,
        b: Operand::Input,
        swapped: false,
        activation: Activation::Relu,
    };
    making.step(Kernel::Binary(sum), &[whole(c, 16), whole(a, 16)], whole(b, 16));
    with_linear(making, b, PIXELS * 16)
}

/// Bytes that a run asks for: before its first answers, and between its blocks; the sink itself asks for `extra`.
fn asked_by_blocks(
    network: &CpuNetwork,
    picture: &Picture,
    options: &RunOptions,
    extra: usize,
) -> (usize, Vec<usize>, RunReport) {
    let mut marks = Vec::with_capacity(1 + picture.rows());
    marks.push((0, ASKED.load(Ordering::Relaxed)));
    let mut sink = |rows: std::ops::Range<usize>, _: &[f32]| {
        drop(std::hint::black_box(vec![0u8; extra]));
        marks.push((rows.end, ASKED.load(Ordering::Relaxed)));
        Ok(())
    };
    let report = network.run(picture, picture.rows(), options, &mut sink).unwrap();
    let block = report.sharing.expect("early steps are shared").block_rows;
    // A block is many chunks; the last one of each tells.
    let ends = marks.iter().filter(|(end, _)| *end == picture.rows() || end.is_multiple_of(block));
    let ends: Vec<usize> = ends.map(|(_, asked)| *asked).collect();
    let between: Vec<usize> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
    (between[0], between[1..].to_vec(), report)
}

#[test]
fn blocks_that_share_columns_reuse_their_tables() {
    const ROWS: usize = 2400;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = all_kinds();
    let shared = plan.steps.len() - 1;
    let network = Cpu::new().load(Arc::new(plan)).unwrap();
    let options =
        RunOptions { memory_bytes: Some(6 << 20), sharing: Sharing::First(shared), ..RunOptions::default() };
    let picture = |seed: usize| Picture::new(3, ROWS, footprints, |row, player| coin(row + seed, player));
    let [masks, others] = [0, 7 * ROWS].map(picture);
    // With one thread it is no chance which of them meets the largest task.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let run = |picture: &Picture, extra: usize| {
        let (first, blocks, report) = pool.install(|| asked_by_blocks(&network, picture, &options, extra));
        let sharing = report.sharing.unwrap();
        println!("{sharing:?}: {first} bytes for the first block, then {blocks:?}");
        assert_eq!(sharing.steps, shared);
        assert!(
            sharing.macs < sharing.dense_macs && blocks.len() >= 3,
            "{sharing:?}, {} blocks",
            blocks.len()
        );
        (first, blocks)
    };
    let (first, _) = run(&masks, 0);
    assert!(first > 1 << 20, "columns and tables are made once: {first} bytes");
    let (again, blocks) = run(&masks, 0);
    assert!(again < LEAST, "{again} bytes");
    assert!(blocks.iter().all(|&bytes| bytes < LEAST), "{blocks:?}");
    // Other masks of the same number: tables have room for any, columns for some more.
    let (_, blocks) = run(&others, 0);
    assert!(blocks.iter().all(|&bytes| bytes < LEAST), "{blocks:?}");
    // What is allocated for each block would be seen.
    let (_, blocks) = run(&others, LEAST);
    assert!(blocks.iter().all(|&bytes| bytes >= LEAST), "{blocks:?}");
}
