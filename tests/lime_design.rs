//! LIME's designs and its control variates: less scatter over seeds, the same means, honest errors.

use ndarray::Array2;
use whybox::explain::{Attribution, Control, FunctionGame, Game, Labels, Lime};
use whybox::perturb::{Coalitions, Sampling, lime_coalitions};
use whybox::solve::{Distance, Gram, Kernel, Surrogate, SurrogateOptions, distances};
use whybox::{Error, Result};

fn lime(sampling: Sampling, control: Control) -> Lime {
    Lime { samples: 400, sampling, control, ..Lime::default() }
}

/// A logistic function of a line and of pairs, as probabilities of a classifier are.
fn saturating(players: usize) -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(players, 1, move |present: &[bool], out: &mut [f64]| {
        let x = |i: usize| f64::from(u8::from(present[i % players]));
        let line: f64 = (0..players).map(|i| (1.0 + 2.0 * (1.3 * i as f64).sin()) * x(i)).sum();
        let pairs: f64 = (0..players).map(|i| (0.7 * i as f64).cos() * x(i) * x(i + 1)).sum();
        out[0] = 1.0 / (1.0 + (0.45 * players as f64 - line - pairs).exp());
    })
}

/// A game that no logistic model follows: parities beside a line.
fn parities(players: usize) -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(players, 1, move |present: &[bool], out: &mut [f64]| {
        let sign = |i: usize| if present[i] { 1.0 } else { -1.0 };
        let line: f64 = (0..players).map(|i| 0.02 * i as f64 * sign(i)).sum::<f64>() / players as f64;
        out[0] = 0.5 + line + 0.2 * sign(0) * sign(3) + 0.15 * sign(1) * sign(2) * sign(4);
    })
}

/// Of each player over the seeds: mean, standard deviation, root mean square of the stated errors.
fn scatter(lime: &Lime, game: &dyn Game, seeds: u64) -> Result<Vec<(f64, f64, f64)>> {
    let runs: Vec<Attribution> = (0..seeds)
        .map(|seed| Ok(Lime { seed, ..lime.clone() }.explain(game, &mut |_| {})?.attributions.remove(0)))
        .collect::<Result<_>>()?;
    let count = seeds as f64;
    Ok((0..game.players())
        .map(|p| {
            let mean = runs.iter().map(|run| run.values[p]).sum::<f64>() / count;
            let variance = runs.iter().map(|run| (run.values[p] - mean).powi(2)).sum::<f64>() / (count - 1.0);
            let stated = runs.iter().map(|run| run.standard_errors.as_ref().expect("errors")[p].powi(2));
            (mean, variance.sqrt(), (stated.sum::<f64>() / count).sqrt())
        })
        .collect())
}

fn total(scatter: &[(f64, f64, f64)], of: impl Fn(&(f64, f64, f64)) -> f64) -> f64 {
    scatter.iter().map(|player| of(player).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn without_control_independent_draws_are_lime_s() -> Result<()> {
    let game = saturating(11);
    let found = lime(Sampling::Independent, Control::None).explain(&game, &mut |_| {})?;
    let coalitions = lime_coalitions(11, 400, 0, Sampling::Independent)?;
    let weights = Kernel::default().weights(&distances(&coalitions, Distance::Cosine));
    let mut gram = Gram::new(11, 1);
    gram.add(&coalitions, &weights, game.values(&coalitions)?.view())?;
    let surrogate = Surrogate::fit(&gram, 0, &SurrogateOptions::default())?;
    let attribution = &found.attributions[0];
    for &(player, value) in &surrogate.coefficients {
        assert_eq!(attribution.values[player], value);
    }
    assert_eq!((attribution.base_value, attribution.score), (surrogate.intercept, surrogate.score));
    // Negative control.
    let other = lime(Sampling::Paired, Control::None).explain(&game, &mut |_| {})?;
    assert_ne!(other.attributions[0].values, attribution.values);
    Ok(())
}

#[test]
fn designs_scatter_less_about_the_same_means() -> Result<()> {
    let seeds = 60;
    for players in [14, 31] {
        let game = saturating(players);
        let theirs = scatter(&lime(Sampling::Independent, Control::None), &game, seeds)?;
        for (sampling, control, most) in [
            (Sampling::Paired, Control::None, 1.1),
            (Sampling::Orthogonal, Control::None, 0.95),
            (Sampling::Independent, Control::Logistic, 0.8),
            (Sampling::Orthogonal, Control::Logistic, 0.65),
            (Sampling::Independent, Control::GaussianProcess, 0.7),
            (Sampling::Orthogonal, Control::GaussianProcess, 0.5),
            (Sampling::Paired, Control::GaussianProcess, 0.5),
        ] {
            let ours = scatter(&lime(sampling, control), &game, seeds)?;
            let ratio = total(&ours, |p| p.1) / total(&theirs, |p| p.1);
            let calibration = total(&ours, |p| p.2) / total(&ours, |p| p.1);
            let z: Vec<f64> = (ours.iter().zip(&theirs))
                .map(|(a, b)| (a.0 - b.0) / ((a.1 * a.1 + b.1 * b.1) / seeds as f64).sqrt())
                .collect();
            let largest = z.iter().fold(0.0_f64, |max, z| max.max(z.abs()));
            let square = (z.iter().map(|z| z * z).sum::<f64>() / players as f64).sqrt();
            println!(
                "{players} {sampling:?} {control:?}: {ratio:.2}, stated/seen {calibration:.2}, z {square:.2} {largest:.1}"
            );
            assert!(ratio <= most, "{players} players, {sampling:?}, {control:?}: {ratio}");
            assert!(largest <= 3.5 && square <= 1.4, "{players} players, {sampling:?}, {control:?}: {z:?}");
            // Residuals that a process is not fitted to are too large rather than too small.
            let most = if control == Control::GaussianProcess { 1.3 } else { 1.2 };
            assert!((0.85..=most).contains(&calibration), "{sampling:?}, {control:?}: {calibration}");
        }
        let calibration = total(&theirs, |p| p.2) / total(&theirs, |p| p.1);
        assert!((0.85..=1.2).contains(&calibration), "{calibration}");
    }
    Ok(())
}

#[test]
fn a_game_that_no_logistic_model_follows_is_not_biased() -> Result<()> {
    let (game, seeds) = (parities(9), 60);
    let theirs = scatter(&lime(Sampling::Independent, Control::None), &game, seeds)?;
    for control in [Control::Logistic, Control::GaussianProcess] {
        let ours = scatter(&lime(Sampling::Orthogonal, control), &game, seeds)?;
        for (a, b) in ours.iter().zip(&theirs) {
            let error = ((a.1 * a.1 + b.1 * b.1) / seeds as f64).sqrt();
            assert!((a.0 - b.0).abs() <= 3.5 * error, "{} {} ± {error}", a.0, b.0);
        }
        println!("{control:?} {:.2}", total(&ours, |p| p.1) / total(&theirs, |p| p.1));
        assert!(total(&ours, |p| p.1) <= 1.05 * total(&theirs, |p| p.1), "never worse");
    }
    Ok(())
}

#[test]
fn odd_outputs_fall_back_or_stay_finite() -> Result<()> {
    let game = FunctionGame::new(10, 5, |present: &[bool], out: &mut [f64]| {
        let count = present.iter().filter(|&&p| p).count() as f64;
        out[0] = 100.0 * count - 300.0; // no probability
        out[1] = 0.25; // constant
        out[2] = f64::from(u8::from(present[3])); // separable
        out[3] = f64::from(u8::from(count > 5.0)); // a step
        out[4] = 0.0; // constant, at the edge
    });
    let both = [Control::None, Control::Logistic, Control::GaussianProcess].map(|control| {
        Lime { labels: Labels::All, ..lime(Sampling::Orthogonal, control) }
            .explain(&game, &mut |_| {})
            .map(|found| found.attributions)
    });
    let [plain, logistic, process] = both;
    let (plain, logistic, process) = (plain?, logistic?, process?);
    for controlled in [&logistic, &process] {
        assert_eq!(plain[0], controlled[0], "no probability: without control");
        for attribution in controlled {
            assert!(attribution.values.iter().all(|v| v.is_finite()), "{attribution:?}");
            let errors = attribution.standard_errors.as_ref().expect("errors");
            assert!(errors.iter().all(|e| e.is_finite()), "{attribution:?}");
        }
        for constant in [1, 4] {
            let values = &controlled[constant].values;
            assert!(values.iter().all(|v| v.abs() < 1e-9), "{values:?}");
        }
        for (player, (a, b)) in plain[2].values.iter().zip(&controlled[2].values).enumerate() {
            assert!((a - b).abs() < 0.02, "separable, player {player}: {a} {b}");
        }
    }
    Ok(())
}

#[test]
fn few_players_and_few_samples() -> Result<()> {
    for players in [1, 2, 300] {
        for samples in [2, 3, 5, 60] {
            let found = Lime { samples, ..Lime::default() }.explain(&saturating(players), &mut |_| {})?;
            assert!(found.attributions[0].values.iter().all(|v| v.is_finite()), "{players} {samples}");
            assert_eq!(found.evaluations, samples);
        }
    }
    Ok(())
}

#[test]
fn what_a_game_answers_is_checked() {
    struct Nan;
    impl Game for Nan {
        fn players(&self) -> usize {
            3
        }

        fn outputs(&self) -> usize {
            1
        }

        fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
            Ok(Array2::from_elem((coalitions.rows(), 1), f64::NAN))
        }
    }
    assert!(matches!(Lime::default().explain(&Nan, &mut |_| {}), Err(Error::Numeric(_))));
}
