//! LIME over games with known answers, and its promises.

use whybox::explain::{Control, FunctionGame, Labels, Lime};
use whybox::perturb::Sampling;
use whybox::solve::Selection;
use whybox::{Error, Result};

/// A linear game: the surrogate has to find its coefficients, whatever the weights.
fn linear() -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(7, 2, |present: &[bool], out: &mut [f64]| {
        let sum = |slope: f64| {
            present.iter().enumerate().map(|(i, &p)| if p { slope * i as f64 } else { 0.0 }).sum::<f64>()
        };
        out[0] = 1.0 + sum(0.5);
        out[1] = -2.0 + sum(-1.5);
    })
}

#[test]
fn a_linear_game_is_recovered() -> Result<()> {
    for sampling in [Sampling::Independent, Sampling::Paired] {
        for selection in [Selection::None, Selection::HighestWeights, Selection::Forward] {
            let lime = Lime {
                samples: 400,
                alpha: 0.0,
                sampling,
                selection,
                num_features: 7,
                labels: Labels::Given(vec![1, 0]),
                ..Lime::default()
            };
            let explanation = lime.explain(&linear(), &mut |_| {})?;
            assert_eq!(explanation.evaluations, 400);
            for (attribution, (output, intercept, slope)) in
                explanation.attributions.iter().zip([(1, -2.0, -1.5), (0, 1.0, 0.5)])
            {
                assert_eq!(attribution.output, output);
                assert!((attribution.base_value - intercept).abs() < 1e-9, "{selection:?}");
                for (player, value) in attribution.values.iter().enumerate() {
                    assert!(
                        (value - slope * player as f64).abs() < 1e-9,
                        "{selection:?}: {:?}",
                        attribution.values
                    );
                }
                assert!((attribution.score - 1.0).abs() < 1e-9);
                assert!((attribution.local_prediction - attribution.prediction).abs() < 1e-9);
            }
        }
    }
    Ok(())
}

#[test]
fn standard_errors_cover_the_noise_of_sampling() -> Result<()> {
    // An interaction that a linear surrogate cannot follow: coefficients vary over seeds by about their errors.
    let game = FunctionGame::new(6, 1, |present: &[bool], out: &mut [f64]| {
        let x = |i: usize| f64::from(u8::from(present[i]));
        out[0] = x(0) + 2.0 * x(1) * x(2) - x(3) * x(4) * x(5);
    });
    let runs: Vec<_> = (0..200)
        .map(|seed| {
            let lime = Lime {
                samples: 300,
                alpha: 1e-6,
                kernel_width: 100.0,
                sampling: Sampling::Independent,
                control: Control::None,
                seed,
                ..Lime::default()
            };
            lime.explain(&game, &mut |_| {}).map(|explanation| explanation.attributions[0].clone())
        })
        .collect::<Result<_>>()?;
    for player in 0..6 {
        let values: Vec<f64> = runs.iter().map(|run| run.values[player]).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let spread =
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt();
        let stated =
            runs.iter().filter_map(|run| run.standard_errors.as_ref()).map(|e| e[player]).sum::<f64>()
                / 200.0;
        assert!((0.75..1.35).contains(&(stated / spread)), "player {player}: stated {stated}, seen {spread}");
    }
    Ok(())
}

#[test]
fn top_labels_are_the_instance_s_highest_outputs() -> Result<()> {
    let lime = Lime { samples: 50, labels: Labels::Top(1), ..Lime::default() };
    let explanation = lime.explain(&linear(), &mut |_| {})?;
    assert_eq!(explanation.attributions[0].output, 0);
    let lime = Lime { labels: Labels::Top(9), ..lime };
    assert_eq!(lime.explain(&linear(), &mut |_| {})?.attributions.len(), 2);
    Ok(())
}

#[test]
fn progress_ends_at_the_number_of_samples() -> Result<()> {
    let mut seen = Vec::new();
    let lime = Lime { samples: 20_000, ..Lime::default() };
    lime.explain(&linear(), &mut |done| seen.push(done))?;
    assert!(seen.is_sorted() && seen.last() == Some(&20_000) && seen.len() > 1, "{seen:?}");
    Ok(())
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let refused = |lime: Lime| lime.explain(&linear(), &mut |_| {}).expect_err("it makes no sense");
    assert!(matches!(refused(Lime { samples: 0, ..Lime::default() }), Error::Parameter(_)));
    assert!(matches!(refused(Lime { samples: 1, ..Lime::default() }), Error::Parameter(_)));
    assert!(matches!(refused(Lime { labels: Labels::Top(0), ..Lime::default() }), Error::Parameter(_)));
    assert!(matches!(
        refused(Lime { labels: Labels::Given(vec![2]), ..Lime::default() }),
        Error::Parameter(_)
    ));
    assert!(matches!(refused(Lime { kernel_width: f64::NAN, ..Lime::default() }), Error::Parameter(_)));
    assert!(matches!(refused(Lime { alpha: -1.0, ..Lime::default() }), Error::Parameter(_)));
    let nan = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
        out[0] = if present[1] { f64::NAN } else { 0.0 };
    });
    assert!(matches!(Lime::default().explain(&nan, &mut |_| {}), Err(Error::Numeric(_))));
    let nobody = FunctionGame::new(0, 1, |_: &[bool], _: &mut [f64]| {});
    assert!(matches!(Lime::default().explain(&nobody, &mut |_| {}), Err(Error::Parameter(_))));
}
