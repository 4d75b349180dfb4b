//! How often 95 % intervals hold the exact Shapley value, over 200 seeds: pooled, and for the worst player.
//!
//!     cargo bench --bench coverage [-- SEEDS]

use whybox::explain::{
    Budget, Estimator, ExactShapley, FunctionGame, KernelShap, PermutationShap, ShapleySampling, Terms,
};

fn main() {
    let seeds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(200u64);
    let players = 12;
    let game = FunctionGame::new(players, 3, |present: &[bool], out: &mut [f64]| {
        for (k, out) in out.iter_mut().enumerate() {
            let sum = |a: f64, b: f64| -> f64 {
                (0..players).filter(|&i| present[i]).map(|i| (a * (i + 3 * k) as f64 + b).sin()).sum()
            };
            *out = sum(1.7, 0.3).tanh() + 0.5 * (sum(2.9, 1.0) * 1.5).sin();
        }
    });
    let explain = |method: &dyn Estimator| method.explain(&game, &mut |_| {}).expect("an explanation");
    let exact = explain(&ExactShapley::default());
    for evaluations in [200, 400, 1000, 2000] {
        for method in ["single", "triples", "permutation", "sampling"] {
            let mut held = vec![0.0; 3 * players];
            for seed in 0..seeds {
                let budget = Budget::of(evaluations);
                let kernel = |terms| KernelShap { budget, terms, seed, ..KernelShap::default() };
                let found = match method {
                    "single" => explain(&kernel(Terms::Single)),
                    "triples" => explain(&kernel(Terms::Triples)),
                    "permutation" => explain(&PermutationShap { budget, seed, ..PermutationShap::default() }),
                    _ => explain(&ShapleySampling { budget, seed, ..ShapleySampling::default() }),
                };
                for (k, (ours, exact)) in found.attributions.iter().zip(&exact.attributions).enumerate() {
                    let intervals = ours.intervals(0.95).expect("intervals");
                    for (player, ((low, high), value)) in intervals.iter().zip(&exact.values).enumerate() {
                        held[k * players + player] += f64::from(u8::from(low <= value && value <= high));
                    }
                }
            }
            let pooled = held.iter().sum::<f64>() / (held.len() as u64 * seeds) as f64;
            let worst = held.iter().copied().fold(f64::INFINITY, f64::min) / seeds as f64;
            println!("{evaluations:5} evaluations, {method:12} pooled {pooled:.3}, worst player {worst:.3}");
        }
    }
}
