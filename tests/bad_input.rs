//! What a user may get wrong, on the Shapley path and on LIME's: a typed error, or the behaviour that is documented.

use ndarray::{Array2, ArrayView2, Axis, array};
use whybox::explain::{
    Budget, Estimator, Explanation, FunctionGame, KernelShap, Labels, Lime, LimeTabular, PermutationShap,
    TableGame,
};
use whybox::model::Model;
use whybox::perturb::{Discretiser, Neighbourhood, TableMasker};
use whybox::{Device, Error, Network, Result};

const COLUMNS: usize = 4;

/// Rows of a table; column 2 is constant.
fn table(rows: usize) -> Array2<f64> {
    Array2::from_shape_fn(
        (rows, COLUMNS),
        |(r, c)| if c == 2 { 5.0 } else { (1.3 * (r * 3 + c * 7) as f64).sin() },
    )
}

fn black_box(rows: ArrayView2<f64>) -> Result<Array2<f64>> {
    let line = rows.dot(&array![1.0, -2.0, 0.7, 0.5]);
    // The Softmax of a number and its negative.
    let chance = line.mapv(|x| 1.0 / (1.0 + f64::exp(-2.0 * x)));
    let mut both = Array2::zeros((rows.nrows(), 2));
    both.column_mut(0).assign(&chance);
    both.column_mut(1).assign(&chance.mapv(|p| 1.0 - p));
    Ok(both)
}

fn network() -> Result<Network> {
    let model = Model::builder("two classes", &[COLUMNS])
        .linear(&[1.0, -2.0, 0.7, 0.5, -1.0, 2.0, -0.7, -0.5], &[0.0, 0.0], 2)?
        .softmax()?
        .build()?;
    Device::cpu().load(&model)
}

fn shap(network: &Network, row: &[f64], background: &Array2<f64>, outputs: &[usize]) -> Result<Explanation> {
    let single = |table: &Array2<f64>| table.mapv(|x| x as f32);
    let row = Array2::from_shape_vec((1, row.len()), row.to_vec()).expect("one row");
    let masker = TableMasker::new(single(&row).view(), single(background).view())?;
    let game = TableGame::new(network, masker)?.outputs_of(outputs)?;
    KernelShap::default().explain(&game, &mut |_| {})
}

fn lime(
    lime: &LimeTabular,
    row: &[f64],
    training: &Array2<f64>,
    discretiser: Discretiser,
) -> Result<Explanation> {
    let neighbourhood = Neighbourhood::new(training.view(), &[false; COLUMNS], discretiser, None)?;
    lime.explain(&neighbourhood, row, &mut |rows| black_box(rows), &mut |_| {})
}

fn small() -> LimeTabular {
    LimeTabular { samples: 500, ..LimeTabular::default() }
}

fn parameter<T: std::fmt::Debug>(result: Result<T>, word: &str) {
    match result {
        Err(Error::Parameter(detail)) => {
            assert!(detail.to_string().contains(word), "{detail}: {word} is missing");
        }
        other => panic!("{word}: {other:?}"),
    }
}

#[test]
fn a_row_with_nan_or_of_another_width() -> Result<()> {
    let (network, table) = (network()?, table(40));
    let good = table.row(3).to_vec();
    for wrong in [f64::NAN, f64::INFINITY] {
        let mut row = good.clone();
        row[1] = wrong;
        parameter(shap(&network, &row, &table, &[0]), "row 0, column 1");
        parameter(lime(&small(), &row, &table, Discretiser::Quartile), "feature 1");
        let mut holed = table.clone();
        holed[[7, 3]] = wrong;
        parameter(shap(&network, &good, &holed, &[0]), "row 7, column 3");
        parameter(lime(&small(), &good, &holed, Discretiser::Quartile), "row 7");
    }
    parameter(shap(&network, &good[..3], &table, &[0]), "columns");
    parameter(lime(&small(), &good[..3], &table, Discretiser::Quartile), "3 features");
    Ok(())
}

#[test]
fn a_background_of_one_row_of_none_and_of_another_width() -> Result<()> {
    let (network, table) = (network()?, table(40));
    let row = table.row(3).to_vec();
    let one = table.select(Axis(0), &[5]);
    // One row is a baseline: the values add up to the difference of the two answers.
    let found = shap(&network, &row, &one, &[0])?.attributions.remove(0);
    let answers = black_box(table.select(Axis(0), &[3, 5]).view())?;
    let (sum, fall) = (found.values.iter().sum::<f64>(), answers[[0, 0]] - answers[[1, 0]]);
    assert!((sum - fall).abs() < 1e-5 * fall.abs().max(1.0), "{sum} {fall}");
    // Of one row LIME knows no spread: that row itself varies in nothing, and says so by zeros.
    let itself = lime(&small(), &one.row(0).to_vec(), &one, Discretiser::Quartile)?.attributions.remove(0);
    assert!(itself.values.iter().all(|value| value.abs() < 1e-12), "{:?}", itself.values);
    // Another row is the only one that is drawn in other bins than the one row's: what differs shares the effect equally.
    let found = lime(&small(), &row, &one, Discretiser::Quartile)?.attributions.remove(0).values;
    let differs = |column: usize| row[column] > one[[0, column]];
    let shared = (0..COLUMNS).filter(|&column| differs(column)).map(|column| found[column]);
    let shared: Vec<f64> = shared.collect();
    assert!(
        shared.len() == 2 && shared[0].abs() > 1e-3 && (shared[0] - shared[1]).abs() < 1e-12,
        "{found:?}"
    );
    assert!((0..COLUMNS).all(|column| differs(column) || found[column].abs() < 1e-12), "{found:?}");
    parameter(shap(&network, &row, &Array2::zeros((0, COLUMNS)), &[0]), "no rows");
    parameter(lime(&small(), &row, &Array2::zeros((0, COLUMNS)), Discretiser::Quartile), "row");
    parameter(shap(&network, &row, &Array2::zeros((5, 3)), &[0]), "columns");
    assert!(matches!(
        Neighbourhood::new(Array2::zeros((5, 3)).view(), &[false; COLUMNS], Discretiser::Quartile, None),
        Err(Error::Parameter(_))
    ));
    Ok(())
}

#[test]
fn constant_columns_and_duplicate_rows() -> Result<()> {
    let (network, table) = (network()?, table(40));
    let row = table.row(3).to_vec();
    let found = shap(&network, &row, &table, &[0])?.attributions.remove(0);
    assert_eq!(found.values[2], 0.0, "a constant column does nothing");
    assert!(found.values[1].abs() > 1e-3);
    for discretiser in [Discretiser::Quartile, Discretiser::Decile] {
        let found = lime(&small(), &row, &table, discretiser)?.attributions.remove(0);
        assert!(found.values[2].abs() < 1e-9 && found.values[1].abs() > 1e-3, "{:?}", found.values);
    }
    // Every row twice is the same background and the same neighbourhood.
    let twice = ndarray::concatenate(Axis(0), &[table.view(), table.view()]).expect("equal widths");
    let again = shap(&network, &row, &twice, &[0])?.attributions.remove(0);
    let near =
        |a: &[f64], b: &[f64], tolerance: f64| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance);
    assert!(near(&found.values, &again.values, 1e-6));
    let a = lime(&small(), &row, &table, Discretiser::None)?.attributions.remove(0);
    let b = lime(&small(), &row, &twice, Discretiser::None)?.attributions.remove(0);
    assert!(near(&a.values, &b.values, 1e-9), "{:?} {:?}", a.values, b.values);
    // All rows the same: nothing varies.
    let same = Array2::from_shape_fn((20, COLUMNS), |(_, c)| row[c]);
    assert_eq!(shap(&network, &row, &same, &[0])?.attributions[0].values, [0.0; COLUMNS]);
    let found = lime(&small(), &row, &same, Discretiser::Quartile)?.attributions.remove(0);
    assert!(found.values.iter().all(|value| value.abs() < 1e-12), "{:?}", found.values);
    Ok(())
}

#[test]
fn a_class_that_the_network_has_not() -> Result<()> {
    let (network, table) = (network()?, table(40));
    let row = table.row(3).to_vec();
    parameter(shap(&network, &row, &table, &[2]), "output 2");
    parameter(shap(&network, &row, &table, &[]), "no output");
    let of = |labels| LimeTabular { labels, ..small() };
    parameter(lime(&of(Labels::Given(vec![2])), &row, &table, Discretiser::Quartile), "output 2");
    parameter(lime(&of(Labels::Given(vec![])), &row, &table, Discretiser::Quartile), "no output");
    parameter(lime(&of(Labels::Top(0)), &row, &table, Discretiser::Quartile), "no output");
    Ok(())
}

/// A sum of ten players.
fn sum() -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(10, 1, |present: &[bool], out: &mut [f64]| {
        out[0] = present.iter().filter(|&&p| p).count() as f64 / 10.0;
    })
}

#[test]
fn budgets_below_what_the_players_need() -> Result<()> {
    let refused = |method: &dyn Estimator| method.explain(&sum(), &mut |_| {}).map(|_| ());
    for evaluations in [0, 2, 11] {
        let budget = Budget::of(evaluations);
        parameter(refused(&KernelShap { budget, ..KernelShap::default() }), "at least 12");
        parameter(refused(&PermutationShap { budget, ..PermutationShap::default() }), "too few");
    }
    assert!(refused(&KernelShap { budget: Budget::of(12), ..KernelShap::default() }).is_ok());
    for samples in [0, 1] {
        parameter(refused(&Lime { samples, ..Lime::default() }), "cannot be fitted");
        parameter(
            lime(&LimeTabular { samples, ..small() }, &[0.0; COLUMNS], &table(9), Discretiser::None),
            "--samples",
        );
    }
    // LIME's ridge has a solution for any number of rows, and without penalty the shortest one.
    for alpha in [1.0, 0.0] {
        let found = Lime { samples: 6, alpha, ..Lime::default() }.explain(&sum(), &mut |_| {})?;
        let values = &found.attributions[0].values;
        assert!(values.iter().all(|v| v.is_finite() && v.abs() < 1.0), "{values:?}");
        let few = LimeTabular { samples: 4, alpha, ..small() };
        let found = lime(&few, &table(9).row(0).to_vec(), &table(9), Discretiser::None)?;
        assert!(found.attributions[0].values.iter().all(|v| v.is_finite()));
    }
    Ok(())
}

#[test]
fn a_model_that_answers_nan_or_the_wrong_shape() -> Result<()> {
    let nan = FunctionGame::new(5, 1, |present: &[bool], out: &mut [f64]| {
        out[0] = if present[2] { 1.0 } else { f64::NAN };
    });
    let methods: [&dyn Estimator; 3] =
        [&KernelShap::default(), &PermutationShap::default(), &Lime::default()];
    for method in methods {
        assert!(matches!(method.explain(&nan, &mut |_| {}), Err(Error::Numeric(_))), "{}", method.name());
    }
    let training = table(30);
    let neighbourhood = Neighbourhood::new(training.view(), &[false; COLUMNS], Discretiser::Quartile, None)?;
    let row = training.row(2).to_vec();
    let mut nan = |rows: ArrayView2<f64>| -> Result<Array2<f64>> {
        let mut answers = black_box(rows)?;
        answers[[rows.nrows() / 2, 0]] = f64::NAN;
        Ok(answers)
    };
    let all = LimeTabular { labels: Labels::All, ..small() };
    assert!(matches!(all.explain(&neighbourhood, &row, &mut nan, &mut |_| {}), Err(Error::Numeric(_))));
    let mut short =
        |rows: ArrayView2<f64>| -> Result<Array2<f64>> { Ok(Array2::zeros((rows.nrows() - 1, 2))) };
    parameter(small().explain(&neighbourhood, &row, &mut short, &mut |_| {}), "500 rows");
    let mut none = |rows: ArrayView2<f64>| -> Result<Array2<f64>> { Ok(Array2::zeros((rows.nrows(), 0))) };
    parameter(small().explain(&neighbourhood, &row, &mut none, &mut |_| {}), "rows");
    Ok(())
}
