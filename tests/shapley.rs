//! Shapley estimators over games with known answers, and their promises.

#[path = "common/games.rs"]
mod games;

use std::path::Path;

use games::smooth;
use ndarray::Array2;
use serde_json::Value;
use whybox::explain::{
    Budget, CoalitionValues, Estimator, ExactShapley, Explanation, FunctionGame, Game, Hierarchy,
    InteractionIndex, KernelShap, Labels, Linkage, OwenValues, PermutationShap, ShapleySampling, Terms,
};
use whybox::perturb::{Coalitions, SizeSampling};
use whybox::solve::L1Reg;
use whybox::{Error, Result};

fn explain(method: &dyn Estimator, game: &dyn Game) -> Result<Explanation> {
    method.explain(game, &mut |_| {})
}

fn close(explanation: &Explanation, output: usize, expected: &[f64], tolerance: f64) {
    let values = &explanation.attributions[output].values;
    let largest = expected.iter().fold(1.0, |max: f64, v| max.max(v.abs()));
    for (player, (ours, theirs)) in values.iter().zip(expected).enumerate() {
        let apart = (ours - theirs).abs();
        assert!(apart <= tolerance * largest, "{}, player {player}: {ours} {theirs}", explanation.method);
    }
    assert!(explanation.attributions[output].additivity_gap().abs() <= 1e-9 * largest);
}

fn methods(evaluations: usize) -> Vec<Box<dyn Estimator>> {
    let budget = Budget::of(evaluations);
    let kernel = |terms, sampling| KernelShap { budget, terms, sampling, ..KernelShap::default() };
    vec![
        Box::new(kernel(Terms::Single, SizeSampling::Kernel)),
        Box::new(kernel(Terms::Single, SizeSampling::Leverage)),
        Box::new(kernel(Terms::Triples, SizeSampling::Leverage)),
        Box::new(PermutationShap { budget, ..PermutationShap::default() }),
        Box::new(ShapleySampling { budget, ..ShapleySampling::default() }),
    ]
}

/// Two linear outputs.
fn linear(players: usize) -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(players, 2, move |present: &[bool], out: &mut [f64]| {
        let sum = |f: fn(usize) -> f64| -> f64 { (0..players).filter(|&i| present[i]).map(f).sum() };
        out[0] = 3.0 + sum(|i| i as f64 - 2.5);
        out[1] = -1.0 + sum(|i| (i as f64).sin());
    })
}

#[test]
fn every_method_is_exact_on_linear_games() -> Result<()> {
    // Also with hardly more pairs than players.
    for (players, evaluations) in
        [(1, 400), (2, 400), (3, 400), (7, 400), (33, 400), (40, 400), (30, 128), (57, 256)]
    {
        let game = linear(players);
        let mut methods = methods(evaluations);
        methods.push(Box::new(OwenValues::new(Hierarchy::balanced(players)?)));
        if players < 10 {
            methods.push(Box::new(ExactShapley::default()));
        }
        for method in methods {
            let explanation = explain(method.as_ref(), &game)?;
            close(&explanation, 0, &(0..players).map(|i| i as f64 - 2.5).collect::<Vec<_>>(), 1e-10);
            close(&explanation, 1, &(0..players).map(|i| (i as f64).sin()).collect::<Vec<_>>(), 1e-10);
            assert!((explanation.attributions[0].base_value - 3.0).abs() < 1e-12);
        }
    }
    Ok(())
}

/// Unanimity of three players, majority, and an airport game (Littlechild and Owen 1973).
fn classics(players: usize) -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(players, 3, move |present: &[bool], out: &mut [f64]| {
        let count = present.iter().filter(|&&p| p).count();
        out[0] = f64::from(u8::from(present[0] && present[2] && present[3]));
        out[1] = f64::from(u8::from(2 * count > players));
        out[2] = (0..players).rev().find(|&i| present[i]).map_or(0.0, |i| (i + 1) as f64);
    })
}

fn classic_values(players: usize) -> [Vec<f64>; 3] {
    let airport = (0..players).map(|i| (0..=i).map(|step| 1.0 / (players - step) as f64).sum());
    [
        (0..players).map(|i| if [0, 2, 3].contains(&i) { 1.0 / 3.0 } else { 0.0 }).collect(),
        vec![1.0 / players as f64; players],
        airport.collect(),
    ]
}

#[test]
fn enumeration_agrees_with_closed_forms() -> Result<()> {
    for players in [4, 5, 9, 12] {
        let game = classics(players);
        let all = Budget::of(1 << players);
        for method in [
            Box::new(ExactShapley::default()) as Box<dyn Estimator>,
            Box::new(KernelShap { budget: all, ..KernelShap::default() }),
            Box::new(KernelShap { budget: all, terms: Terms::Single, ..KernelShap::default() }),
        ] {
            let explanation = explain(method.as_ref(), &game)?;
            assert!(explanation.exact);
            assert_eq!(explanation.relative_error(), Some(0.0));
            assert_eq!(explanation.evaluations, 1 << players);
            for (output, expected) in classic_values(players).iter().enumerate() {
                close(&explanation, output, expected, 1e-12);
            }
        }
    }
    Ok(())
}

#[test]
fn samples_approach_closed_forms() -> Result<()> {
    let game = classics(12);
    for method in methods(2000) {
        let explanation = explain(method.as_ref(), &game)?;
        assert!(explanation.evaluations <= 2000 && !explanation.exact);
        for (output, expected) in classic_values(12).iter().enumerate() {
            let attribution = &explanation.attributions[output];
            let errors = attribution.standard_errors.as_ref().expect("errors");
            for player in 0..12 {
                let apart = (attribution.values[player] - expected[player]).abs();
                assert!(
                    apart <= 5.0 * errors[player] + 1e-9,
                    "{}: {apart} {}",
                    method.name(),
                    errors[player]
                );
            }
        }
    }
    Ok(())
}

#[test]
fn pairwise_interactions_of_unanimity() -> Result<()> {
    // v = 2 [0 and 1] - [2 and 3]: of order two, so both indices are its own coefficients.
    let game = FunctionGame::new(6, 1, |present: &[bool], out: &mut [f64]| {
        let both = |i: usize, j: usize| f64::from(u8::from(present[i] && present[j]));
        out[0] = 1.0 + 2.0 * both(0, 1) - both(2, 3);
    });
    let sampled = KernelShap { budget: Budget::of(50), interactions: true, ..KernelShap::default() };
    for method in [
        Box::new(ExactShapley { interactions: Some(InteractionIndex::Shapley), ..ExactShapley::default() })
            as Box<dyn Estimator>,
        Box::new(ExactShapley { interactions: Some(InteractionIndex::Faithful), ..ExactShapley::default() }),
        Box::new(sampled),
    ] {
        let found = explain(method.as_ref(), &game)?.interactions.expect("interactions");
        for i in 0..6 {
            assert!(found.singles[[i, 0]].abs() < 1e-9);
            for j in 0..6 {
                let expected = match (i.min(j), i.max(j)) {
                    (0, 1) => 2.0,
                    (2, 3) => -1.0,
                    _ => 0.0,
                };
                assert!((found.pair(i, j, 0) - expected).abs() < 1e-9, "{} {i} {j}", method.name());
            }
        }
    }
    Ok(())
}

fn reference(name: &str) -> Option<Value> {
    let path = Path::new("../shared/data/reference").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the reference is JSON")),
        Err(_) => {
            println!("skipped: {} is absent", path.display());
            None
        }
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[test]
fn the_california_game_of_shapiq() -> Result<()> {
    let Some(document) = reference("game_california_imputer.json") else { return Ok(()) };
    let values = numbers(&document["values"]);
    let game = CoalitionValues::new(8, Array2::from_shape_vec((256, 1), values).expect("256 values"))?;
    let expected = &document["expected"];
    let shapley = numbers(&expected["shapley"]);
    close(&explain(&ExactShapley::default(), &game)?, 0, &shapley, 1e-8);
    let kernel = KernelShap { interactions: true, ..KernelShap::default() };
    close(&explain(&kernel, &game)?, 0, &shapley, 1e-8);
    let index = |index| ExactShapley { interactions: Some(index), ..ExactShapley::default() };
    for (method, key, singles) in [
        (&index(InteractionIndex::Shapley) as &dyn Estimator, "shapley_interaction_index_order_2", false),
        (&index(InteractionIndex::Shapley), "k_sii_order_2", true),
        (&index(InteractionIndex::Faithful), "faithful_shapley_order_2", true),
        (&kernel, "faithful_shapley_order_2", true),
    ] {
        let found = explain(method, &game)?.interactions.expect("interactions");
        let mut pairs = 0;
        for (names, value) in expected[key].as_object().expect("values by player") {
            let players: Vec<usize> = names.split(',').map(|p| p.parse().expect("a player")).collect();
            let ours = match players[..] {
                [i, j] => found.pair(i, j, 0),
                [i] if singles => found.singles[[i, 0]],
                _ => continue,
            };
            pairs += usize::from(players.len() == 2);
            let theirs = value.as_f64().expect("a number");
            assert!((ours - theirs).abs() < 1e-6, "{key} {names}: {ours} {theirs}");
        }
        assert_eq!(pairs, 28, "{key}");
    }
    Ok(())
}

#[test]
fn coalition_values_survive_a_file() -> Result<()> {
    let values = ExactShapley::default().coalition_values(&linear(5), &mut |_| {})?;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("values.npy");
    values.save(&path)?;
    assert_eq!(CoalitionValues::load(&path)?, values);
    assert!(matches!(CoalitionValues::load(&folder.path().join("none.npy")), Err(Error::Io(_))));
    Ok(())
}

/// A game that answers in its own blocks and says that player 2 does not vary.
struct Odd<G>(G);

impl<G: Game> Game for Odd<G> {
    fn players(&self) -> usize {
        self.0.players()
    }

    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    fn varying(&self) -> Vec<bool> {
        (0..self.players()).map(|player| player != 2).collect()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        self.0.values(coalitions)
    }
}

#[test]
fn a_player_that_does_not_vary_gets_nothing() -> Result<()> {
    let game = Odd(FunctionGame::new(5, 1, |present: &[bool], out: &mut [f64]| {
        let x = |i: usize| f64::from(u8::from(present[i]));
        out[0] = x(0) * x(1) * x(3) + x(4);
    }));
    let mut all = methods(100);
    all.push(Box::new(ExactShapley {
        interactions: Some(InteractionIndex::Shapley),
        ..ExactShapley::default()
    }));
    for method in all {
        let explanation = explain(method.as_ref(), &game)?;
        assert_eq!(explanation.attributions[0].values[2], 0.0);
        assert!((explanation.attributions[0].values[4] - 1.0).abs() < 1e-9);
    }
    let found = explain(&ExactShapley::default(), &game)?;
    assert_eq!(found.evaluations, 16);
    close(&found, 0, &[1.0 / 3.0, 1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0], 1e-12);
    Ok(())
}

#[test]
fn selection_keeps_few_players_and_the_sum() -> Result<()> {
    let game = smooth(12, 2);
    for l1_reg in [L1Reg::NumFeatures(4), L1Reg::Aic, L1Reg::Bic, L1Reg::Alpha(1e-5)] {
        let shap = KernelShap { budget: Budget::of(600), l1_reg, ..KernelShap::default() };
        let explanation = explain(&shap, &game)?;
        for attribution in &explanation.attributions {
            assert!(attribution.additivity_gap().abs() < 1e-9);
            let chosen = attribution.values.iter().filter(|v| **v != 0.0).count();
            assert!(chosen > 0 && (l1_reg != L1Reg::NumFeatures(4) || chosen == 4), "{l1_reg:?}: {chosen}");
        }
    }
    Ok(())
}

#[test]
fn bad_games_and_budgets_are_typed_errors() {
    let refused = |method: &dyn Estimator, game: &dyn Game| explain(method, game).expect_err("an error");
    for method in methods(8).iter().take(3) {
        assert!(matches!(refused(method.as_ref(), &linear(7)), Error::Parameter(_)), "below players + 2");
        assert!(explain(method.as_ref(), &linear(6)).is_ok(), "players + 2");
    }
    let nan = FunctionGame::new(4, 1, |_: &[bool], out: &mut [f64]| out[0] = f64::NAN);
    for method in methods(100) {
        assert!(matches!(refused(method.as_ref(), &nan), Error::Numeric(_)));
        let nobody = FunctionGame::new(0, 1, |_: &[bool], out: &mut [f64]| out[0] = 1.0);
        assert!(matches!(refused(method.as_ref(), &nobody), Error::Parameter(_)));
        let flat = FunctionGame::new(6, 1, |_: &[bool], out: &mut [f64]| out[0] = 1.0);
        let explanation = explain(method.as_ref(), &flat).expect("a constant game");
        assert!(explanation.attributions[0].values.iter().all(|v| v.abs() < 1e-12));
    }
    let wrong = KernelShap { labels: Labels::Given(vec![5]), ..KernelShap::default() };
    assert!(matches!(refused(&wrong, &linear(4)), Error::Parameter(_)));
    let senseless =
        KernelShap { budget: Budget { tolerance: Some(0.0), ..Budget::default() }, ..KernelShap::default() };
    assert!(matches!(refused(&senseless, &linear(4)), Error::Parameter(_)));
    assert!(matches!(refused(&ExactShapley::default(), &linear(40)), Error::Limits(_)));
    let few = KernelShap { budget: Budget::of(30), interactions: true, ..KernelShap::default() };
    assert!(matches!(refused(&few, &linear(10)), Error::Numeric(_)), "a singular design");
    let other = OwenValues::new(Hierarchy::balanced(3).expect("a tree"));
    assert!(matches!(refused(&other, &linear(4)), Error::Parameter(_)));
}

#[test]
fn clusters_follow_correlations() -> Result<()> {
    let rows = Array2::from_shape_fn((50, 4), |(row, column)| {
        let noise = ((row * 7 + column * 13) % 11) as f64;
        match column {
            0 | 2 => row as f64 + 0.1 * noise,
            _ => (row as f64).sin() * 5.0 + 0.3 * noise,
        }
    });
    let tree = Hierarchy::from_correlations(rows.view(), Linkage::Complete)?;
    assert_eq!((tree.members(4), tree.members(5)), (vec![0, 2], vec![1, 3]));
    Ok(())
}

#[test]
fn small_games_and_bare_budgets() -> Result<()> {
    for players in [1, 2] {
        // A product: half each for two players.
        let game = FunctionGame::new(players, 1, |present: &[bool], out: &mut [f64]| {
            out[0] = if present.iter().all(|&p| p) { 3.0 } else { 1.0 };
        });
        // All but the last, whose orders are not paired.
        for method in methods(100).iter().take(4) {
            close(&explain(method.as_ref(), &game)?, 0, &vec![2.0 / players as f64; players], 1e-12);
        }
        let all = KernelShap { budget: Budget::of(1 << players), ..KernelShap::default() };
        close(&explain(&all, &game)?, 0, &vec![2.0 / players as f64; players], 1e-12);
    }
    // Players + 2 evaluations do not determine 10 values: nearest to equal ones, no errors, but they add up.
    let found = explain(&KernelShap { budget: Budget::of(12), ..KernelShap::default() }, &smooth(10, 1))?;
    let attribution = &found.attributions[0];
    assert!(attribution.standard_errors.is_none() && attribution.additivity_gap().abs() < 1e-12);
    assert!(attribution.values.iter().all(|v| v.is_finite()) && found.relative_error().is_none());
    Ok(())
}

/// A game that answers at most `most` coalitions at a time, as a network under a memory cap does.
struct Chunked<G>(G, usize);

impl<G: Game> Game for Chunked<G> {
    fn players(&self) -> usize {
        self.0.players()
    }

    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut all = Array2::zeros((coalitions.rows(), self.outputs()));
        for first in (0..coalitions.rows()).step_by(self.1) {
            let rows = first..coalitions.rows().min(first + self.1);
            let part = self.0.values(&coalitions.slice(rows.clone()))?;
            all.slice_mut(ndarray::s![rows, ..]).assign(&part);
        }
        Ok(all)
    }
}

#[test]
fn results_do_not_depend_on_blocks() -> Result<()> {
    // 3,000 outputs shrink a session's blocks to 1,398 coalitions; alone, an output comes in blocks of 4,096.
    let wide = FunctionGame::new(12, 3000, |present: &[bool], out: &mut [f64]| {
        let sum: f64 = (0..12).filter(|&i| present[i]).map(|i| (1.7 * i as f64).sin()).sum();
        out.fill(0.0);
        out[0] = sum.tanh() + (3.0 * sum).cos();
    });
    let narrow = FunctionGame::new(12, 1, |present: &[bool], out: &mut [f64]| {
        let sum: f64 = (0..12).filter(|&i| present[i]).map(|i| (1.7 * i as f64).sin()).sum();
        out[0] = sum.tanh() + (3.0 * sum).cos();
    });
    let found = |method: &dyn Estimator, game: &dyn Game| -> Result<_> {
        let attribution = explain(method, game)?.attributions.remove(0);
        Ok((attribution.values, attribution.standard_errors))
    };
    let budget = Budget::of(1600);
    let shap = KernelShap { budget, labels: Labels::Given(vec![0]), ..KernelShap::default() };
    let permutation =
        PermutationShap { budget, labels: Labels::Given(vec![0]), ..PermutationShap::default() };
    for method in [&shap as &dyn Estimator, &permutation] {
        let values = found(method, &narrow)?;
        assert_eq!(found(method, &wide)?, values);
        for most in [1, 7, 500] {
            let chunked = FunctionGame::new(12, 1, |present: &[bool], out: &mut [f64]| {
                let sum: f64 = (0..12).filter(|&i| present[i]).map(|i| (1.7 * i as f64).sin()).sum();
                out[0] = sum.tanh() + (3.0 * sum).cos();
            });
            assert_eq!(found(method, &Chunked(chunked, most))?, values);
        }
    }
    let again = found(&shap, &narrow)?;
    assert_ne!(found(&KernelShap { seed: 1, ..shap }, &narrow)?, again, "other draws, other values");
    Ok(())
}

#[test]
fn very_many_outputs() -> Result<()> {
    let outputs = 20_000;
    let game = FunctionGame::new(9, outputs, |present: &[bool], out: &mut [f64]| {
        let count = present.iter().filter(|&&p| p).count() as f64;
        let first = f64::from(u8::from(present[0]));
        out.iter_mut().enumerate().for_each(|(k, out)| *out = count * first + k as f64 * first);
    });
    let shap = KernelShap { budget: Budget::of(60), terms: Terms::Single, ..KernelShap::default() };
    let found = explain(&shap, &game)?;
    assert_eq!(found.attributions.len(), outputs);
    // count · first: player 0 has 1 and half of each of 8 pairs; of even order, so exact from any pairs.
    for k in [0, 1, 19_999] {
        let mut expected = vec![0.5; 9];
        expected[0] = 5.0 + k as f64;
        close(&found, k, &expected, 1e-9);
    }
    Ok(())
}

#[test]
fn duplicate_rows_and_singular_designs_have_the_nearest_solution() -> Result<()> {
    use whybox::solve::shapley_regression;
    // One coalition, five times: it tells the sum of two players only.
    let rows = Coalitions::from_words(4, vec![0b0011; 5])?;
    let responses = Array2::from_elem((5, 1), 3.0);
    let values = shapley_regression(&rows, &[1.0; 5], responses.view(), &[0.0], &[4.0], L1Reg::None)?;
    for (player, expected) in [1.5, 1.5, 0.5, 0.5].into_iter().enumerate() {
        assert!((values[[player, 0]] - expected).abs() < 1e-9, "{values}");
    }
    Ok(())
}
