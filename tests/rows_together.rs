//! Rows explained together get the values that they get alone.

use std::cell::RefCell;

use ndarray::{Array2, Axis, s};
use whybox::device::RunOptions;
use whybox::explain::{
    Budget, Estimator, ExplainMany, Explanation, Forecast, Game, KernelShap, Lime, Link, PermutationShap,
    Progress,
};
use whybox::model::{Activation, Model};
use whybox::perturb::{Coalitions, TableMasker};
use whybox::{Device, Network, Result};

const PLAYERS: usize = 13;

/// Smooth, stepped, nearly linear and rough instances of two outputs each.
struct Several {
    instances: Vec<usize>,
    /// Whether it says how many instances it has.
    told: bool,
}

impl Game for Several {
    fn players(&self) -> usize {
        PLAYERS
    }

    fn outputs(&self) -> usize {
        2 * self.instances.len()
    }

    fn instances(&self) -> usize {
        if self.told { self.instances.len() } else { 1 }
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut values = Array2::zeros((coalitions.rows(), self.outputs()));
        for (row, mut values) in values.outer_iter_mut().enumerate() {
            let line = |a: f64| -> f64 {
                (0..PLAYERS)
                    .filter(|&p| coalitions.contains(row, p))
                    .map(|p| (a * (p + 1) as f64).sin())
                    .sum()
            };
            for (&instance, values) in self.instances.iter().zip(values.exact_chunks_mut(2)) {
                let a = 1.1 + instance as f64;
                let value = match instance % 4 {
                    0 => (line(a) / 2.0).tanh(),
                    1 => f64::from(u8::from(line(a) > 0.3)),
                    2 => line(a) + 0.01 * (line(2.0 * a)).sin(),
                    _ => (7.0 * line(a)).sin(),
                };
                values.into_iter().zip([value, value * value - 0.5 * line(0.7)]).for_each(|(to, v)| *to = v);
            }
        }
        Ok(values)
    }
}

fn explain(estimator: &dyn Estimator, instances: &[usize], told: bool) -> Result<Explanation> {
    estimator.explain(&Several { instances: instances.to_vec(), told }, &mut |_| {})
}

/// The largest difference of values and of errors, over the largest value.
fn apart(a: &[whybox::explain::Attribution], b: &[whybox::explain::Attribution]) -> f64 {
    assert_eq!(a.len(), b.len());
    let numbers = |all: &[whybox::explain::Attribution]| -> Vec<f64> {
        all.iter()
            .flat_map(|a| [a.values.clone(), a.standard_errors.clone().unwrap_or_default()])
            .flatten()
            .collect()
    };
    let (a, b) = (numbers(a), numbers(b));
    let largest = a.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
    a.iter().zip(&b).fold(0.0_f64, |max, (a, b)| max.max((a - b).abs())) / largest
}

#[test]
fn instances_of_one_game_choose_nothing_for_each_other() -> Result<()> {
    let budget = Budget::of(700);
    let methods: [Box<dyn Estimator>; 2] = [
        Box::new(KernelShap { budget, ..KernelShap::default() }),
        Box::new(PermutationShap { budget, ..PermutationShap::default() }),
    ];
    for method in &methods {
        let together = explain(method.as_ref(), &[0, 1, 2, 3, 4, 5], true)?;
        for instance in 0..6 {
            let alone = explain(method.as_ref(), &[instance], true)?;
            let both = &together.attributions[2 * instance..2 * instance + 2];
            let distance = apart(&alone.attributions, both);
            assert!(distance <= 1e-9, "{}, instance {instance}: {distance}", method.name());
        }
    }
    // Negative control: one choice for all of them is another one for some.
    let pooled = explain(methods[0].as_ref(), &[0, 1, 2, 3, 4, 5], false)?;
    let worst = (0..6).map(|instance| {
        let alone = explain(methods[0].as_ref(), &[instance], true).expect("values");
        apart(&alone.attributions, &pooled.attributions[2 * instance..2 * instance + 2])
    });
    assert!(worst.fold(0.0, f64::max) > 1e-6);
    Ok(())
}

/// Notes what it is given of its time, and explains only with that.
#[derive(Default)]
struct Timed {
    given: RefCell<Vec<(f64, f64)>>,
}

impl Estimator for Timed {
    fn name(&self) -> &'static str {
        "timed"
    }

    fn most_evaluations(&self, _players: usize) -> usize {
        100
    }

    fn with_time_left(&self, elapsed: f64, share: f64) -> Option<Box<dyn Estimator>> {
        self.given.borrow_mut().push((elapsed, share));
        Some(Box::new(KernelShap { budget: Budget::of(100), ..KernelShap::default() }))
    }

    fn explain_forecasting(
        &self,
        _game: &dyn Game,
        _progress: &mut Progress<'_>,
        _forecast: &mut dyn FnMut(Forecast),
    ) -> Result<Explanation> {
        panic!("a block was explained without a share of the time");
    }
}

#[test]
fn blocks_of_rows_share_the_seconds() -> Result<()> {
    let (network, background, rows) = table()?;
    let many = together(&network, &background, &rows)?;
    let timed = Timed::default();
    assert_eq!(many.explain(rows.view(), &timed, &mut |_| {})?.len(), 9);
    let given = timed.given.into_inner();
    // Rows of which the same players vary are a block: 2, 1, 3 and 3 rows, in some order.
    let mut left = 9.0;
    let mut blocks: Vec<usize> = Vec::new();
    for (_, share) in &given {
        blocks.push((share * left).round() as usize);
        assert!((share * left).fract() < 1e-9 || (share * left).fract() > 1.0 - 1e-9, "{given:?}");
        left -= share * left;
    }
    blocks.sort_unstable();
    assert_eq!(blocks, [1, 2, 3, 3], "{given:?}");
    assert!(left < 1e-9 && given.is_sorted_by(|a, b| a.0 < b.0), "{given:?}");
    // No time at all: every row has its first round.
    let budget = Budget { evaluations: 8000, tolerance: None, seconds: Some(1e-9) };
    let found = many.explain(rows.view(), &KernelShap { budget, ..KernelShap::default() }, &mut |_| {})?;
    assert!(found.iter().all(|row| row.evaluations < 1000 * background.nrows()));
    let budget = Budget { seconds: Some(-1.0), ..budget };
    assert!(many.explain(rows.view(), &KernelShap { budget, ..KernelShap::default() }, &mut |_| {}).is_err());
    Ok(())
}

/// Rows of that table, explained together.
fn together<'a>(
    network: &'a Network,
    background: &Array2<f32>,
    rows: &Array2<f32>,
) -> Result<ExplainMany<'a>> {
    Ok(ExplainMany {
        network,
        masker: TableMasker::new(rows.slice(s![..1, ..]), background.view())?,
        outputs: vec![0, 1],
        link: Link::Identity,
        options: RunOptions::default(),
    })
}

/// A network, a background in which columns 0 and 1 are constant, and nine rows.
fn table() -> Result<(Network, Array2<f32>, Array2<f32>)> {
    let weights: Vec<f32> = (0..16 * PLAYERS).map(|i| (0.9 * i as f32).sin()).collect();
    let last: Vec<f32> = (0..32).map(|i| (1.3 * i as f32).cos()).collect();
    let model = Model::builder("rows", &[PLAYERS])
        .linear(&weights, &[0.1; 16], 16)?
        .activation(Activation::Tanh)?
        .linear(&last, &[0.0, 0.3], 2)?
        .softmax()?
        .build()?;
    let network = Device::cpu().load(&model)?;
    let background =
        Array2::from_shape_fn((20, PLAYERS), |(r, c)| if c < 2 { 0.0 } else { ((r * c) as f32).sin() });
    let rows = Array2::from_shape_fn((9, PLAYERS), |(r, c)| match c {
        0 => (r % 2) as f32,
        1 => (r % 3) as f32,
        _ => (1.7 * (r + 3 * c) as f32).cos(),
    });
    Ok((network, background, rows))
}

#[test]
fn rows_of_a_table_are_those_alone_also_where_players_do_not_vary() -> Result<()> {
    let (network, background, rows) = table()?;
    let many = together(&network, &background, &rows)?;
    let shap = KernelShap { budget: Budget::of(600), ..KernelShap::default() };
    let lime = Lime { samples: 300, labels: whybox::explain::Labels::All, ..Lime::default() };
    for method in [&shap as &dyn Estimator, &lime] {
        let together = many.explain(rows.view(), method, &mut |_| {})?;
        assert_eq!(together.len(), 9);
        for (row, together) in together.iter().enumerate() {
            let alone = many.explain(rows.row(row).insert_axis(Axis(0)), method, &mut |_| {})?.remove(0);
            // A network answers in f32.
            let distance = apart(&alone.attributions, &together.attributions);
            assert!(distance <= 1e-5, "{}, row {row}: {distance}", method.name());
            assert_eq!(alone.evaluations, together.evaluations);
            assert!((alone.prediction[0] - together.prediction[0]).abs() < 1e-6);
        }
    }
    Ok(())
}
