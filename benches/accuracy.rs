//! Accuracy per evaluation: relative RMSE of Kernel SHAP and permutation SHAP against exact Shapley values, or, for games of
//! many players, against a long run whose own error is stated. Writes tables as Markdown (docs/accuracy.md).
//!
//!     cargo bench --bench accuracy -- [FILES] [seeds=20] [reference=400000]
//!
//! A file `GAMES.npz` holds `NAME_rK` arrays of 2^players values (bit i of the place: player i is present). A file
//! `MODEL.onnx` with `MODEL.npz` beside it, which holds `background` and `inputs`, is a table's game: the last output, the
//! first three rows. Without files: the built-in image network on a grid of 49 segments.

#[path = "common/games.rs"]
mod games;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use games::{PhotoGame, Remembered};
use ndarray::Array2;
use whybox::explain::{
    Budget, CoalitionValues, Estimator, ExactShapley, Explanation, Game, KernelShap, PermutationShap,
    TableGame, Terms,
};
use whybox::model::Model;
use whybox::perturb::{SizeSampling, TableMasker};
use whybox::{Device, Result, builtin};

const BUDGETS: [usize; 6] = [128, 256, 512, 1024, 2048, 4096];

type Archive = BTreeMap<String, (Vec<u64>, Vec<f64>)>;

/// Every numeric array of an archive, with its shape.
fn arrays(path: &str) -> Archive {
    let mut archive = zip::ZipArchive::new(File::open(path).expect("a file")).expect("an npz file");
    let mut all = BTreeMap::new();
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place).expect("an entry");
        let name = entry.name().expect("a name").trim_end_matches(".npy").to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("an array");
        let open = || npyz::NpyFile::new(&bytes[..]).expect("an npy file");
        let shape = open().shape().to_vec();
        let wide = open().into_vec::<f64>();
        let values = wide
            .or_else(|_| open().into_vec::<f32>().map(|values| values.into_iter().map(f64::from).collect()));
        if let Ok(values) = values {
            all.insert(name, (shape, values));
        }
    }
    all
}

fn explain(method: &dyn Estimator, game: &dyn Game) -> Explanation {
    method.explain(game, &mut |_| {}).expect("an explanation")
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Values by a run of many evaluations, and their relative standard error.
fn long_run(game: &dyn Game, evaluations: usize) -> (Vec<f64>, f64) {
    let shap = KernelShap { budget: Budget::of(evaluations), seed: 1 << 32, ..KernelShap::default() };
    let found = explain(&shap, game).attributions.remove(0);
    let errors = found.standard_errors.expect("errors");
    let error = norm(errors.into_iter()) / norm(found.values.iter().copied());
    (found.values, error)
}

/// One table: `instances` are games with their reference.
fn table(name: &str, instances: &[(&dyn Game, &[f64])], seeds: u64, forget: &dyn Fn()) {
    let names = ["single, kernel", "single, leverage", "triples, kernel", "triples, leverage", "permutation"];
    let mut errors: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for (game, exact) in instances {
        for seed in 0..seeds {
            // A smaller budget's coalitions are the first of a larger one's.
            for (column, evaluations) in BUDGETS.into_iter().enumerate() {
                let budget = Budget::of(evaluations);
                let kernel =
                    |terms, sampling| KernelShap { budget, terms, sampling, seed, ..KernelShap::default() };
                let methods: [&dyn Estimator; 5] = [
                    &kernel(Terms::Single, SizeSampling::Kernel),
                    &kernel(Terms::Single, SizeSampling::Leverage),
                    &kernel(Terms::Triples, SizeSampling::Kernel),
                    &kernel(Terms::Triples, SizeSampling::Leverage),
                    &PermutationShap { budget, seed, ..PermutationShap::default() },
                ];
                for (row, method) in methods.into_iter().enumerate() {
                    let ours = explain(method, *game).attributions.remove(0).values;
                    let apart = norm(ours.iter().zip(*exact).map(|(a, b)| a - b));
                    errors.entry((row, column)).or_default().push(apart / norm(exact.iter().copied()));
                }
            }
            forget();
        }
    }
    println!("\n### {name}\n\n| method | {} |", BUDGETS.map(|b| b.to_string()).join(" | "));
    println!("|---|{}", "---|".repeat(BUDGETS.len()));
    for (row, method) in names.iter().enumerate() {
        let cells: Vec<String> = (0..BUDGETS.len())
            .map(|column| {
                let errors = &errors[&(row, column)];
                let count = errors.len() as f64;
                let mean = errors.iter().sum::<f64>() / count;
                let spread = norm(errors.iter().map(|e| e - mean)) / count;
                if mean < 1e-6 { format!("{mean:.0e}") } else { format!("{mean:.4} ± {spread:.4}") }
            })
            .collect();
        println!("| {method} | {} |", cells.join(" | "));
    }
}

/// Games whose values of all coalitions are in a file.
fn tabulated(path: &str, seeds: u64) {
    let mut games: BTreeMap<String, Vec<CoalitionValues>> = BTreeMap::new();
    for (name, (_, values)) in arrays(path) {
        let players = values.len().ilog2() as usize;
        let values = Array2::from_shape_vec((values.len(), 1), values).expect("one column");
        let name = name.split('_').next().unwrap_or_default().to_string();
        games.entry(name).or_default().push(CoalitionValues::new(players, values).expect("2^players values"));
    }
    for (name, games) in games {
        let exact: Vec<Vec<f64>> = games
            .iter()
            .map(|game| explain(&ExactShapley::default(), game).attributions.remove(0).values)
            .collect();
        let instances: Vec<(&dyn Game, &[f64])> =
            games.iter().zip(&exact).map(|(game, exact)| (game as &dyn Game, exact.as_slice())).collect();
        table(&format!("{name}, exact values"), &instances, seeds, &|| {});
    }
}

/// A network on a table: the last output for the first three rows.
fn network(path: &str, seeds: u64, reference: usize) -> Result<()> {
    let network = Device::cpu().load(&Model::from_onnx(path)?)?;
    let arrays = arrays(&path.replace(".ts.onnx", ".npz").replace(".onnx", ".npz"));
    let matrix = |name: &str, most: usize| {
        let (shape, values) = &arrays[name];
        let (rows, columns) = ((shape[0] as usize).min(most), shape[1] as usize);
        Array2::from_shape_fn((rows, columns), |(row, column)| values[row * columns + column] as f32)
    };
    let (background, rows) = (matrix("background", usize::MAX), matrix("inputs", 3));
    let mut games = Vec::new();
    for row in rows.outer_iter() {
        let masker = TableMasker::new(row.insert_axis(ndarray::Axis(0)), background.view())?;
        games.push(TableGame::new(&network, masker)?.outputs_of(&[network.outputs() - 1])?);
    }
    let known: Vec<(Vec<f64>, f64)> = games.iter().map(|game| long_run(game, reference)).collect();
    let error = known.iter().map(|(_, error)| *error).fold(0.0, f64::max);
    let instances: Vec<(&dyn Game, &[f64])> =
        games.iter().zip(&known).map(|(game, known)| (game as &dyn Game, known.0.as_slice())).collect();
    let name = format!(
        "{}, {} players, {} background rows; reference of {reference} evaluations, relative error {error:.1e}",
        network.name(),
        games[0].players(),
        background.nrows()
    );
    table(&name, &instances, seeds, &|| {});
    Ok(())
}

fn image(seeds: u64, reference: usize) -> Result<()> {
    let network = Device::cpu().load(&builtin::network()?.probabilities()?)?;
    let game =
        PhotoGame::new(network, builtin::photo()?, "grid:rows=7,cols=7".parse()?, &builtin::preprocess())?;
    let game = Remembered::new(game);
    let (values, error) = long_run(&game, reference);
    game.clear();
    let name = format!(
        "Built-in image network and photo, {} segments; reference of {reference} evaluations, relative error {error:.1e}",
        game.players()
    );
    table(&name, &[(&game, &values)], seeds, &|| game.clear());
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(name)?.parse::<usize>().ok());
    let (seeds, reference) = (number("seeds=").unwrap_or(20) as u64, number("reference=").unwrap_or(400_000));
    let files: Vec<&String> = arguments.iter().filter(|a| !a.contains('=')).collect();
    println!("Relative RMSE, mean over instances and {seeds} seeds ± its standard error.");
    for file in &files {
        if file.ends_with(".npz") { tabulated(file, seeds) } else { network(file, seeds, reference)? }
    }
    if files.is_empty() {
        image(seeds, reference)?;
    }
    Ok(())
}
