//! LIME on a photo, from the photo to the coefficients. Throughput is in evaluations a second.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whybox::builtin;
use whybox::explain::{ImageExplainer, Lime};
use whybox::model::Model;
use whybox::perturb::picture::Preprocess;

fn lime(criterion: &mut Criterion) {
    let imagenet: Preprocess = "imagenet".parse().expect("a preset");
    let subjects: [(Model, Preprocess, usize); 3] = [
        (builtin::network().expect("built in"), builtin::preprocess(), 1000),
        (common::squeezenet().expect("the benchmark's own network"), imagenet, 200),
        (common::resnet18().expect("the benchmark's own network"), imagenet, 100),
    ];
    for (model, preprocess, samples) in subjects {
        let mut group = criterion.benchmark_group(format!("lime/{}", model.name()));
        group.throughput(Throughput::Elements(samples as u64)).sample_size(10);
        let explainer = ImageExplainer {
            segmentation: "slic:n=70".parse().expect("a segmentation"),
            preprocess,
            ..ImageExplainer::default()
        };
        let lime = Lime { samples, ..Lime::default() };
        for device in common::devices() {
            let model = model.clone().probabilities().expect("one number a class");
            let network = device.load(&model).expect("the network loads");
            group.bench_function(if device.is_gpu() { "gpu" } else { "cpu" }, |bencher| {
                bencher.iter(|| {
                    let photo = builtin::photo().expect("built in");
                    explainer.explain(&network, photo, &lime, &mut |_| {}).expect("the photo is explained")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, lime);
criterion_main!(benches);
