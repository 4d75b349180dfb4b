//! Games over a table with a small perceptron (30-64-32-2, as in a breast cancer table): evaluations a second against
//! what the processor's multiply-adds allow. `cargo bench --bench table`.
//!
//! The bound is the rate of the engine's own matrix product on large layers, over the multiply-adds behind the first
//! layer; the first layer costs additions only.
//!
//! Networks that are no chains share the first layer alone: a residual perceptron, of 30 features and of 12 one-hot columns.

use std::time::Instant;

use ndarray::Array2;
use whybox::device::{MeansForm, RunOptions};
use whybox::explain::{Game, TableGame};
use whybox::model::{Activation, Builder, Model};
use whybox::perturb::{Coalitions, Rows, TableMasker};
use whybox::{Device, Network, Result};

/// Numbers that look random, in [−1, 1).
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn table(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    Array2::from_shape_vec((rows, columns), numbers(rows * columns, seed)).expect("rows × columns numbers")
}

fn perceptron(device: &Device, widths: &[usize]) -> Result<Network> {
    let mut builder = Model::builder("perceptron", &widths[..1]);
    for (layer, pair) in widths.windows(2).enumerate() {
        let scale = (2.0 / pair[0] as f32).sqrt();
        let weight: Vec<f32> = numbers(pair[0] * pair[1], layer as u64).iter().map(|w| w * scale).collect();
        builder = builder.linear(&weight, &numbers(pair[1], 9), pair[1])?;
        if layer + 2 < widths.len() {
            builder = builder.activation(Activation::Relu)?;
        }
    }
    device.load(&builder.build()?)
}

/// Linear layers of 64 units with ways around the second and the third.
fn residual(device: &Device, features: usize) -> Result<Network> {
    let linear = |builder: Builder, outputs: usize, seed: u64| {
        let inputs = builder.shape()[0];
        let scale = (2.0 / inputs as f32).sqrt();
        let weight: Vec<f32> = numbers(inputs * outputs, seed).iter().map(|w| w * scale).collect();
        builder.linear(&weight, &numbers(outputs, 9), outputs)
    };
    let mut net = linear(Model::builder("residual", &[features]), 64, 0)?.activation(Activation::Relu)?;
    for layer in 1..3 {
        let around = net.mark();
        net = linear(net, 64, layer)?.activation(Activation::Relu)?.add(around)?;
    }
    device.load(&linear(net, 2, 3)?.build()?)
}

/// Random coalitions, each followed by its complement.
fn paired(players: usize, rows: usize) -> Coalitions {
    let draws = numbers(players * rows, 4);
    let mut coalitions = Coalitions::with_capacity(players, rows);
    for row in 0..rows {
        let draw = &draws[row / 2 * players..][..players];
        coalitions.push(|player| (draw[player] > 0.0) == (row % 2 == 0));
    }
    coalitions
}

/// Median of a few runs.
fn seconds(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut all = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    Ok(all[runs / 2])
}

/// Largest resident set of this process so far, where the system tells it.
fn peak_mib() -> f64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<()> {
    let start = Instant::now();
    let device = Device::cpu();
    let network = perceptron(&device, &[30, 64, 32, 2])?;
    println!("{}; loaded in {:.2} ms", device.name(), 1e3 * start.elapsed().as_secs_f64());

    let wide = perceptron(&device, &[512, 512, 512, 512, 512])?;
    let rows = numbers(512 * 4096, 3);
    let rows = Rows::new(&rows, 512)?;
    let answer = |network: &Network| network.responses(&rows, &RunOptions::default()).map(drop);
    let rate = 4.0 * 512.0 * 512.0 * 4096.0 / seconds(5, || answer(&wide))?;
    let bound = rate / (64 * 32 + 32 * 2) as f64;
    println!("{:.1} 10^9 multiply-adds a second: at most {:.1} 10^6 evaluations", rate * 1e-9, bound * 1e-6);

    let grouped: Vec<usize> = (0..30).map(|column| column * 20 / 30).collect();
    let each: Vec<usize> = (0..30).collect();
    let enumerated = Coalitions::from_words(20, (0..1 << 20).collect())?;
    let sampled = paired(30, 2048);
    let cases = [
        ("Kernel SHAP, 2,048 coalitions × 100 rows", 1, 100, &each, &sampled, 9),
        ("the same, 50 instances", 50, 100, &each, &sampled, 3),
        ("exact, 20 groups × 100 rows", 1, 100, &grouped, &enumerated, 1),
        ("2,048 coalitions × 100,000 rows", 1, 100_000, &each, &sampled, 1),
        ("2,048 coalitions × 1,000,000 rows", 1, 1_000_000, &each, &sampled, 1),
    ];
    for (name, instances, background, groups, coalitions, runs) in cases {
        if background == 1_000_000 && !std::env::args().any(|argument| argument == "long") {
            println!("{name}: give `long` to run it");
            continue;
        }
        let masker = TableMasker::new(table(instances, 30, 5).view(), table(background, 30, 6).view())?;
        let game = TableGame::new(&network, masker.grouped(groups)?)?;
        let evaluations = (coalitions.rows() * game.evaluations_per_coalition()) as f64;
        let time = seconds(runs, || game.values(coalitions).map(drop))?;
        let rate = evaluations / time;
        println!(
            "{name}: {:.2} ms, {:.1} 10^6 evaluations a second, {:.0} % of the bound, peak {:.0} MiB",
            1e3 * time,
            rate * 1e-6,
            100.0 * rate / bound,
            peak_mib()
        );
        if evaluations < 2e6 {
            let options = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
            let game = game.with_options(options);
            let rows = seconds(runs, || game.values(coalitions).map(drop))?;
            println!("  row by row: {:.2} ms, {:.1} times as long", 1e3 * rows, rows / time);
        }
    }
    for (features, players) in [(30, 30), (200, 12)] {
        let network = residual(&device, features)?;
        let groups: Vec<usize> = (0..features).map(|feature| feature * players / features).collect();
        let coalitions = paired(players, 2048);
        for instances in [1, 50] {
            let masker =
                TableMasker::new(table(instances, features, 5).view(), table(100, features, 6).view())?;
            let game = TableGame::new(&network, masker.grouped(&groups)?)?;
            let runs = if instances == 1 { 9 } else { 1 };
            let time = seconds(runs, || game.values(&coalitions).map(drop))?;
            let options = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
            let game = game.with_options(options);
            let rows = seconds(runs, || game.values(&coalitions).map(drop))?;
            println!(
                "residual network, {features} features, {players} players, {instances} instances: {:.2} ms, row by row {:.1} \
                 times as long",
                1e3 * time,
                rows / time
            );
        }
    }
    Ok(())
}
