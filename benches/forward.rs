//! Raw forward passes: each network on each engine. Throughput is in samples a second.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whybox::device::RunOptions;
use whybox::model::Model;
use whybox::perturb::Rows;
use whybox::{Result, builtin};

fn forward(criterion: &mut Criterion) {
    let networks: [(Result<Model>, usize); 5] = [
        (builtin::network(), 256),
        (common::mlp(), 4096),
        (common::squeezenet(), 32),
        (common::resnet18(), 32),
        (common::vgg11(), 16),
    ];
    for (model, rows) in networks {
        let model = model.expect("the benchmark's own network");
        let len: usize = model.input_shape().iter().product();
        let batch: Vec<f32> = (0..rows * len).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
        let batch = Rows::new(&batch, len).expect("whole rows");
        let mut group = criterion.benchmark_group(format!("forward/{}", model.name()));
        group.throughput(Throughput::Elements(rows as u64)).sample_size(10);
        for device in common::devices() {
            let network = device.load(&model).expect("the network loads");
            let options = RunOptions::default();
            group.bench_function(if device.is_gpu() { "gpu" } else { "cpu" }, |bencher| {
                bencher.iter(|| network.responses(&batch, &options).expect("the network runs"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
