//! Accuracy per evaluation: relative RMSE against exact Shapley values on games whose coalition values are kept.
//!
//!     cargo bench --bench accuracy -- GAMES.npz [seeds]
//!
//! `GAMES.npz` holds `NAME_rK` arrays of 2^players values (bit i of the place: player i is present). Prints the mean over
//! instances and seeds, with its standard error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use ndarray::Array2;
use whybox::explain::{Budget, CoalitionValues, Estimator, ExactShapley, KernelShap, PermutationShap, Terms};
use whybox::perturb::SizeSampling;

fn games(path: &str) -> BTreeMap<String, Vec<CoalitionValues>> {
    let mut archive = zip::ZipArchive::new(File::open(path).expect("the games")).expect("an npz file");
    let mut games: BTreeMap<String, Vec<CoalitionValues>> = BTreeMap::new();
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place).expect("an entry");
        let name = entry.name().expect("a name").split('_').next().unwrap_or_default().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a stored array");
        let values: Vec<f64> =
            npyz::NpyFile::new(&bytes[..]).and_then(|npy| npy.into_vec()).expect("float64");
        let players = values.len().ilog2() as usize;
        let values = Array2::from_shape_vec((values.len(), 1), values).expect("one column");
        games.entry(name).or_default().push(CoalitionValues::new(players, values).expect("2^players values"));
    }
    games
}

fn values(method: &dyn Estimator, game: &CoalitionValues) -> Vec<f64> {
    method.explain(game, &mut |_| {}).expect("an explanation").attributions.remove(0).values
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let Some(path) = arguments.first() else {
        println!("skipped: give a file of games");
        return;
    };
    let seeds: u64 = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    let budgets = [128, 256, 512, 1024, 2048, 4096];
    for (name, instances) in games(path) {
        println!("{name}: evaluations {budgets:?}");
        let exact: Vec<Vec<f64>> =
            instances.iter().map(|game| values(&ExactShapley::default(), game)).collect();
        for method in
            ["single, kernel", "single, leverage", "triples, kernel", "triples, leverage", "permutation"]
        {
            let cells = budgets.map(|evaluations| {
                let mut errors = Vec::new();
                for (game, exact) in instances.iter().zip(&exact) {
                    for seed in 0..seeds {
                        let budget = Budget::of(evaluations);
                        let kernel = |terms, sampling| -> Box<dyn Estimator> {
                            Box::new(KernelShap { budget, terms, sampling, seed, ..KernelShap::default() })
                        };
                        let estimator = match method {
                            "single, kernel" => kernel(Terms::Single, SizeSampling::Kernel),
                            "single, leverage" => kernel(Terms::Single, SizeSampling::Leverage),
                            "triples, kernel" => kernel(Terms::Triples, SizeSampling::Kernel),
                            "triples, leverage" => kernel(Terms::Triples, SizeSampling::Leverage),
                            _ => Box::new(PermutationShap { budget, seed, ..PermutationShap::default() }),
                        };
                        let ours = values(estimator.as_ref(), game);
                        let square: f64 = ours.iter().zip(exact).map(|(a, b)| (a - b).powi(2)).sum();
                        errors.push((square / exact.iter().map(|v| v * v).sum::<f64>()).sqrt());
                    }
                }
                let mean = errors.iter().sum::<f64>() / errors.len() as f64;
                let spread = errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>();
                let error = (spread / (errors.len() * errors.len()) as f64).sqrt();
                format!("{mean:.2e} ±{error:.0e}")
            });
            println!("  {method:18} {}", cells.join("  "));
        }
    }
}
