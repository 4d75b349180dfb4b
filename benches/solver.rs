//! From coalitions and responses to coefficients.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use whybox::perturb::{Sampling, lime_coalitions};
use whybox::solve::{Distance, Gram, Kernel, Selection, Surrogate, SurrogateOptions, distances};

fn solver(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("solver");
    for (rows, players) in [(1000, 70), (1000, 200), (10_000, 70)] {
        let coalitions = lime_coalitions(players, rows, 1, Sampling::Independent).expect("coalitions");
        let weights = Kernel::default().weights(&distances(&coalitions, Distance::Cosine));
        let responses = Array2::from_shape_fn((rows, 5), |(row, output)| {
            let present = |player| f64::from(u8::from(coalitions.contains(row, player)));
            (present(output) - 0.5 * present(output + 5)).tanh()
        });
        let moments = || {
            let mut gram = Gram::new(players, 5);
            gram.add(&coalitions, &weights, responses.view()).expect("finite responses");
            gram
        };
        let size = format!("{rows}x{players}");
        group.bench_function(BenchmarkId::new("moments", &size), |bencher| bencher.iter(moments));
        let gram = moments();
        for (name, selection, num_features) in [
            ("ridge", Selection::None, players),
            ("forward", Selection::Forward, 5),
            ("lasso", Selection::LassoPath, 10),
        ] {
            let options = SurrogateOptions { selection, num_features, ..SurrogateOptions::default() };
            group.bench_function(BenchmarkId::new(name, &size), |bencher| {
                bencher.iter(|| Surrogate::fit_all(&gram, &[0, 1, 2, 3, 4], &options).expect("a surrogate"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, solver);
criterion_main!(benches);
