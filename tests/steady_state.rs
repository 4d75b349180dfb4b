//! A run on the processor allocates for its first chunk and then no more.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use whybox::device::RunOptions;
use whybox::model::{Activation, Model, Window};
use whybox::perturb::Rows;
use whybox::plan::Sharing;
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
