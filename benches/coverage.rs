//! How often 95 % intervals hold the exact Shapley value, over 200 seeds and several games: pooled, and for the worst player.
//! Writes a table as Markdown (docs/accuracy.md).
//!
//!     cargo bench --bench coverage [-- SEEDS]

use whybox::explain::{
    Budget, Estimator, ExactShapley, FunctionGame, Game, KernelShap, PermutationShap, ShapleySampling, Terms,
};

const PLAYERS: usize = 12;

/// A smooth game, one with steps, one of products, one of probabilities.
fn games() -> [(&'static str, Box<dyn Game>); 4] {
    fn game(f: impl Fn(&[f64; PLAYERS]) -> f64 + 'static) -> Box<dyn Game> {
        Box::new(FunctionGame::new(PLAYERS, 1, move |present: &[bool], out: &mut [f64]| {
            out[0] = f(&std::array::from_fn(|i| f64::from(u8::from(present[i]))));
        }))
    }
    let line = |x: &[f64; PLAYERS], a: f64, b: f64| -> f64 {
        x.iter().enumerate().map(|(i, x)| x * (a * i as f64 + b).sin()).sum()
    };
    [
        ("smooth", game(move |x| line(x, 1.7, 0.3).tanh() + 0.5 * (1.5 * line(x, 2.9, 1.0)).sin())),
        ("steps", game(move |x| f64::from(u8::from(line(x, 1.7, 0.3) > 0.4)) + line(x, 0.9, 0.0).max(0.0))),
        (
            "products",
            game(|x| {
                x.windows(3).enumerate().map(|(i, w)| (1.1 * i as f64).cos() * w[0] * w[1] * w[2]).sum()
            }),
        ),
        ("probability", game(move |x| 1.0 / (1.0 + (0.5 - 3.0 * line(x, 1.3, 0.7)).exp()))),
    ]
}

fn main() {
    let seeds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(200u64);
    println!("| game | evaluations | method | pooled | worst player |\n|---|---|---|---|---|");
    for (name, game) in games() {
        let explain = |method: &dyn Estimator| {
            method.explain(game.as_ref(), &mut |_| {}).expect("an explanation").attributions.remove(0)
        };
        let exact = explain(&ExactShapley::default());
        for evaluations in [200, 400, 1000, 2000] {
            for method in ["single", "triples", "permutation", "sampling"] {
                let mut held = [0.0; PLAYERS];
                for seed in 0..seeds {
                    let budget = Budget::of(evaluations);
                    let kernel = |terms| KernelShap { budget, terms, seed, ..KernelShap::default() };
                    let found = match method {
                        "single" => explain(&kernel(Terms::Single)),
                        "triples" => explain(&kernel(Terms::Triples)),
                        "permutation" => {
                            explain(&PermutationShap { budget, seed, ..PermutationShap::default() })
                        }
                        _ => explain(&ShapleySampling { budget, seed, ..ShapleySampling::default() }),
                    };
                    let intervals = found.intervals(0.95).expect("intervals");
                    for ((held, (low, high)), value) in held.iter_mut().zip(intervals).zip(&exact.values) {
                        // Where a model fits the game, interval and value agree to rounding.
                        let rounding = 1e-12;
                        *held += f64::from(u8::from(low - rounding <= *value && *value <= high + rounding));
                    }
                }
                let pooled = held.iter().sum::<f64>() / (held.len() as u64 * seeds) as f64;
                let worst = held.into_iter().fold(f64::INFINITY, f64::min) / seeds as f64;
                println!("| {name} | {evaluations} | {method} | {pooled:.3} | {worst:.3} |");
            }
        }
    }
}
