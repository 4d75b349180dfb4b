//! Standard errors of Shapley estimates: intervals hold the truth as often as they say, and a tolerance is met.

#[path = "common/games.rs"]
mod games;

use games::{smooth, steps};
use ndarray::Array2;
use statrs::distribution::{ContinuousCDF, StudentsT};
use whybox::Result;
use whybox::explain::{
    Budget, Estimator, ExactShapley, Explanation, Game, InteractionIndex, KernelShap, PermutationShap,
    ShapleySampling, Terms,
};
use whybox::perturb::Coalitions;
use whybox::solve::L1Reg;

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

/// How far estimates over many seeds were from the truth, and what they said of it.
#[derive(Default)]
struct Honesty {
    squares: f64,
    stated: f64,
    held: usize,
    count: usize,
}

impl Honesty {
    /// With 95 % intervals made `times` as wide.
    fn add(
        &mut self,
        found: &Array2<f64>,
        errors: &Array2<f64>,
        freedom: f64,
        exact: &Array2<f64>,
        times: f64,
    ) {
        let quantile = StudentsT::new(0.0, 1.0, freedom).expect("a distribution").inverse_cdf(0.975) * times;
        for ((found, error), exact) in found.iter().zip(errors).zip(exact) {
            let apart = (found - exact).abs();
            self.squares += apart * apart;
            self.stated += error * error;
            self.held += usize::from(apart <= quantile * error);
            self.count += 1;
        }
    }

    /// The stated error over the seen one, and how often intervals held.
    fn found(&self) -> (f64, f64) {
        ((self.stated / self.squares).sqrt(), self.held as f64 / self.count as f64)
    }
}

#[test]
fn interactions_state_their_errors() -> Result<()> {
    let index = Some(InteractionIndex::Faithful);
    let (smooth, steps) = (smooth(11, 2), steps(11));
    for (name, game) in [("smooth", &smooth as &dyn Game), ("steps", &steps)] {
        let exact = ExactShapley { interactions: index, ..ExactShapley::default() };
        let exact = explain(&exact, game)?.interactions.expect("interactions");
        assert_eq!(exact.standard_errors, None);
        let mut cases = Vec::new();
        for (terms, evaluations) in [(Terms::Single, 400), (Terms::Triples, 400), (Terms::Single, 900)] {
            let (mut pairs, mut singles, mut narrow) = <(Honesty, Honesty, Honesty)>::default();
            for seed in 0..200 {
                let budget = Budget::of(evaluations);
                let shap = KernelShap { interactions: true, budget, terms, seed, ..KernelShap::default() };
                let found = explain(&shap, game)?.interactions.expect("interactions");
                let errors = found.standard_errors.expect("sampled");
                let freedom = errors.degrees_of_freedom;
                pairs.add(&found.pairs, &errors.pairs, freedom, &exact.pairs, 1.0);
                singles.add(&found.singles, &errors.singles, freedom, &exact.singles, 1.0);
                narrow.add(&found.pairs, &errors.pairs, freedom, &exact.pairs, 0.67);
            }
            cases.push((format!("{name}, {terms:?}, {evaluations}, pairs"), pairs.found()));
            cases.push((format!("{name}, {terms:?}, {evaluations}, singles"), singles.found()));
            // Negative control: intervals of two thirds the width do not hold.
            assert!(narrow.found().1 < 0.87, "{name}: {}", narrow.found().1);
        }
        for (name, (ratio, held)) in cases {
            println!("{name}: stated over seen {ratio:.2}, intervals hold {held:.3}");
            assert!((0.8..=1.3).contains(&ratio) && (0.90..=0.98).contains(&held), "{name}: {ratio} {held}");
        }
    }
    Ok(())
}

#[test]
fn interactions_without_errors_say_so() -> Result<()> {
    let game = smooth(10, 1);
    let shap = |evaluations| KernelShap {
        interactions: true,
        budget: Budget::of(evaluations),
        ..KernelShap::default()
    };
    let errors = |shap: &KernelShap| -> Result<_> {
        Ok(explain(shap, &game)?.interactions.expect("interactions").standard_errors)
    };
    // All coalitions: exact. Hardly more pairs of coalitions than of players: nothing is left to judge by.
    assert_eq!(errors(&shap(1024))?, None);
    let all_nan = |table: &Array2<f64>| table.iter().all(|error| error.is_nan());
    let barely = errors(&shap(2 + 2 * 46))?.expect("sampled");
    assert!(all_nan(&barely.pairs) && all_nan(&barely.singles) && barely.degrees_of_freedom == 1.0);
    // Selected players have values without errors, but the pairs are as ever.
    let selected = KernelShap { l1_reg: L1Reg::NumFeatures(3), ..shap(400) };
    let selected = errors(&selected)?.expect("sampled");
    assert!(all_nan(&selected.singles) && selected.pairs.iter().all(|error| *error > 0.0));
    // A player that does not vary interacts with nobody, certainly.
    let one_fixed = OneFixed(&game);
    let found = explain(&shap(400), &one_fixed)?.interactions.expect("interactions");
    let errors = found.standard_errors.expect("sampled");
    let mut row = 0;
    for i in 0..10 {
        assert_eq!(errors.singles[[i, 0]] == 0.0, i == 4);
        for j in i + 1..10 {
            assert_eq!(errors.pairs[[row, 0]] == 0.0, i == 4 || j == 4, "{i} {j}");
            row += 1;
        }
    }
    Ok(())
}

/// A game of which player 4 is said not to vary.
struct OneFixed<'a>(&'a dyn Game);

impl Game for OneFixed<'_> {
    fn players(&self) -> usize {
        self.0.players()
    }

    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    fn varying(&self) -> Vec<bool> {
        (0..self.0.players()).map(|player| player != 4).collect()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        self.0.values(coalitions)
    }
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
