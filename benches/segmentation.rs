//! Cutting a 224 × 224 picture into segments.

use criterion::{Criterion, criterion_group, criterion_main};
use whybox::builtin;
use whybox::perturb::picture::{Picture, PictureShape, Preprocess};
use whybox::perturb::segment::Segmentation;

fn segmentation(criterion: &mut Criterion) {
    let shape = PictureShape::of(&[3, 224, 224]).expect("a picture's shape");
    let preprocess: Preprocess = "unit".parse().expect("a preset");
    let picture = Picture::new(builtin::photo().expect("built in"), &shape, &preprocess).expect("a photo");
    let mut group = criterion.benchmark_group("segmentation");
    group.sample_size(20);
    for text in ["slic:n=70", "quickshift", "felzenszwalb", "grid"] {
        let algorithm: Segmentation = text.parse().expect("a segmentation");
        group.bench_function(text, |bencher| {
            bencher.iter(|| algorithm.segment(&picture.pixels(), 0).expect("segments"));
        });
    }
    group.finish();
}

criterion_group!(benches, segmentation);
criterion_main!(benches);
