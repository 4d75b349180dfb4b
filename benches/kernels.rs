//! Kernels one by one: a network of a single layer, and a mean over its pixels so that few numbers come back, on each
//! engine. Throughput is in multiply-adds a second (pooling: elements read a second).
//!
//! ```sh
//! cargo bench --bench kernels -- conv3x3
//! ```

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whybox::device::RunOptions;
use whybox::model::{Builder, Model, Window};
use whybox::perturb::Rows;
use whybox::plan::Plan;
use whybox::{Device, Result};

/// Work of a run, about,
const RUN_MACS: u64 = 1 << 30;

/// and numbers of its rows at most.
const RUN_NUMBERS: usize = 1 << 23;

fn weights(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect()
}

fn conv([cin, cout, groups, side]: [usize; 4], window: Window) -> Result<Builder> {
    let [height, width] = window.kernel;
    let weight = weights(cout * cin / groups * height * width);
    Model::builder("conv", &[cin, side, side])
        .conv(&weight, None, cout, window, groups)?
        .global_average_pool()
}

fn pool([channels, side]: [usize; 2], window: Window) -> Result<Builder> {
    Model::builder("pool", &[channels, side, side]).max_pool(window)?.global_average_pool()
}

fn linear(inputs: usize, outputs: usize) -> Result<Builder> {
    Model::builder("linear", &[inputs]).linear(&weights(inputs * outputs), &vec![0.0; outputs], outputs)
}

fn kernels(criterion: &mut Criterion) {
    let square = |kernel: usize| Window::square(kernel).pad(kernel / 2);
    let layers: [(&str, Result<Builder>); 9] = [
        ("conv7x7, first layer", conv([3, 64, 1, 224], square(7).stride(2))),
        ("conv3x3, 64 channels, 56", conv([64, 64, 1, 56], square(3))),
        ("conv3x3, 512 channels, 7", conv([512, 512, 1, 7], square(3))),
        ("conv3x3, stride 2", conv([64, 128, 1, 56], square(3).stride(2))),
        ("conv1x1", conv([64, 256, 1, 56], square(1))),
        ("depthwise 3x3", conv([144, 144, 144, 56], square(3))),
        ("grouped 3x3", conv([128, 128, 32, 56], square(3))),
        ("linear, 2048 to 1000", linear(2048, 1000)),
        ("max pool 3x3", pool([64, 112], square(3).stride(2))),
    ];
    let devices: Vec<Device> = common::devices();
    let mut group = criterion.benchmark_group("kernels");
    group.sample_size(10);
    for (name, layer) in layers {
        let model = layer.and_then(Builder::build).expect("the benchmark's own layer");
        let len: usize = model.input_shape().iter().product();
        let macs = Plan::new(&model).expect("one layer").macs();
        let work = if macs == 0 { len as u64 } else { macs };
        let rows = ((RUN_MACS / work) as usize).min(RUN_NUMBERS / len).clamp(1, 512);
        let batch = weights(rows * len);
        let batch = Rows::new(&batch, len).expect("whole rows");
        group.throughput(Throughput::Elements(work * rows as u64));
        for device in &devices {
            let network = device.load(&model).expect("the layer loads");
            let engine = if device.is_gpu() { "gpu" } else { "cpu" };
            group.bench_function(format!("{name}/{engine}"), |bencher| {
                bencher.iter(|| network.responses(&batch, &RunOptions::default()).expect("the layer runs"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
