//! Standard errors of Shapley estimates: intervals hold the truth as often as they say, and a tolerance is met.

#[path = "common/games.rs"]
mod games;

use games::{smooth, steps};
use whybox::Result;
use whybox::explain::{
    Budget, Estimator, ExactShapley, Explanation, Game, KernelShap, PermutationShap, ShapleySampling, Terms,
};

fn explain(method: &dyn Estimator, game: &dyn Game) -> Result<Explanation> {
    method.explain(game, &mut |_| {})
}

/// How often 95 % intervals, made `times` as wide, hold the exact value, pooled and for the worst player.
fn coverage(
    method: &dyn Fn(u64) -> Box<dyn Estimator>,
    game: &dyn Game,
    seeds: u64,
    times: f64,
) -> Result<(f64, f64)> {
    let exact = explain(&ExactShapley::default(), game)?;
    let mut held = vec![0.0; game.players() * game.outputs()];
    for seed in 0..seeds {
        let explanation = explain(method(seed).as_ref(), game)?;
        for (k, (ours, exact)) in explanation.attributions.iter().zip(&exact.attributions).enumerate() {
            let intervals = ours.intervals(0.95).expect("intervals");
            for (player, ((low, high), value)) in intervals.iter().zip(&exact.values).enumerate() {
                let inside = (value - (low + high) / 2.0).abs() <= times * (high - low) / 2.0;
                held[k * game.players() + player] += f64::from(u8::from(inside));
            }
        }
    }
    let worst = held.iter().copied().fold(f64::INFINITY, f64::min) / seeds as f64;
    Ok((held.iter().sum::<f64>() / (held.len() as u64 * seeds) as f64, worst))
}

#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() -> Result<()> {
    let kernel = |evaluations, terms| {
        move |seed| -> Box<dyn Estimator> {
            Box::new(KernelShap { budget: Budget::of(evaluations), terms, seed, ..KernelShap::default() })
        }
    };
    let permutation = |evaluations| {
        move |seed| -> Box<dyn Estimator> {
            Box::new(PermutationShap { budget: Budget::of(evaluations), seed, ..PermutationShap::default() })
        }
    };
    let sampling = |seed| -> Box<dyn Estimator> {
        Box::new(ShapleySampling { budget: Budget::of(400), seed, ..ShapleySampling::default() })
    };
    let (smooth, steps) = (smooth(12, 3), steps(12));
    type Method<'a> = &'a dyn Fn(u64) -> Box<dyn Estimator>;
    let cases: [(&str, Method<'_>, &dyn Game); 6] = [
        ("single", &kernel(400, Terms::Single), &smooth),
        ("triples", &kernel(400, Terms::Triples), &smooth),
        ("permutation", &permutation(700), &smooth),
        ("permutation, steps", &permutation(200), &steps),
        ("permutation, steps, longer", &permutation(400), &steps),
        ("sampling, steps", &sampling, &steps),
    ];
    for (name, method, game) in cases {
        let (pooled, worst) = coverage(method, game, 200, 1.0)?;
        println!("{name}: {pooled:.3}, worst {worst:.3}");
        assert!((0.92..=0.98).contains(&pooled) && worst >= 0.88, "{name}: {pooled} {worst}");
    }
    // Negative control: intervals of two thirds the width do not.
    let (pooled, worst) = coverage(&permutation(400), &steps, 100, 0.67)?;
    assert!(pooled < 0.9 && worst < 0.84, "{pooled} {worst}");
    Ok(())
}

#[test]
fn a_tolerance_is_met_or_the_cap_is_reached() -> Result<()> {
    let game = smooth(14, 1);
    let exact = explain(&ExactShapley::default(), &game)?;
    for tolerance in [0.05, 0.01] {
        let budget = Budget { evaluations: 10_000, tolerance: Some(tolerance), seconds: None };
        let shap = KernelShap { budget, ..KernelShap::default() };
        let mut forecasts = Vec::new();
        let found = shap.explain_forecasting(&game, &mut |_| {}, &mut |at| forecasts.push(at))?;
        let error = found.relative_error().expect("an error");
        assert!(error <= tolerance || found.evaluations >= 9_999, "{error} after {}", found.evaluations);
        assert!(forecasts.iter().all(|at| at.expected >= at.evaluations && at.expected <= 10_000));
        assert_eq!(forecasts.last().map(|at| at.evaluations), Some(found.evaluations));
        let (ours, theirs) = (&found.attributions[0].values, &exact.attributions[0].values);
        let range = theirs.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 6.0 * tolerance * range));
        // The number of evaluations alone reproduces the result.
        let again = explain(&KernelShap { budget: Budget::of(found.evaluations), ..shap }, &game)?;
        assert_eq!(again.attributions, found.attributions);
    }
    Ok(())
}
