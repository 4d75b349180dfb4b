//! Many rows of a table explained together.

use std::collections::BTreeMap;
use std::time::Instant;

use ndarray::{ArrayView2, Axis, s};

use super::{Attribution, Estimator, Explanation, Forecast, Link, Linked, TableGame};
use crate::device::RunOptions;
use crate::perturb::TableMasker;
use crate::{Network, Result};

/// Responses that an estimator may hold for a block of rows: 128 MiB.
const BLOCK_VALUES: usize = 1 << 24;
/// Rows of a block at most.
const BLOCK_ROWS: usize = 1024;

/// How far a run over many rows has got.
///
/// # Example
/// ```
/// use whybox::explain::ManyProgress;
///
/// let told = ManyProgress { rows: 100, all_rows: 400, evaluations: 50_000, expected: 200_000 };
/// assert_eq!(told.evaluations as f64 / told.expected as f64, 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManyProgress {
    /// Rows that are done.
    pub rows: usize,
    /// Rows in all.
    pub all_rows: usize,
    /// Evaluations of the network done, over all rows.
    pub evaluations: usize,
    /// Evaluations that are expected in all, from what the rows so far took; those of the cap at most.
    pub expected: usize,
}

/// What takes a block of explanations: the numbers of its rows, and one explanation for each.
pub type EachBlock<'a> = dyn FnMut(&[usize], Vec<Explanation>) -> Result<()> + 'a;

/// Explains rows of a table by a Shapley estimator: the rows of a block share masks, factorisation, and what the background
/// adds to the network's first layer ([`TableGame`]).
///
/// A row gets the values that it gets alone: rows are played together with those of which the same players vary, and nothing is
/// chosen for one by the others, but how long a run to a tolerance goes on: until the last row of a block has met it.
///
/// The blocks depend on the rows, the estimator's cap on evaluations and on the number of outputs alone, never on device or memory cap, so that
/// neither changes a number. Seconds of its budget ([`Budget`](super::Budget)) are for all rows together: a block has what is left of
/// them times its share of the rows that are left, but at least a first round. Memory beyond that of the explanations does not grow with the number of rows.
///
/// # Example
/// ```
/// use ndarray::{Array2, array};
/// use whybox::explain::{ExplainMany, KernelShap, Link};
/// use whybox::perturb::TableMasker;
/// use whybox::{Device, model::Model};
///
/// let model = Model::builder("line", &[2]).linear(&[2.0, -1.0], &[0.5], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let rows = Array2::from_shape_fn((50, 2), |(row, column)| (row + column) as f32);
/// let many = ExplainMany {
///     network: &network,
///     masker: TableMasker::new(rows.slice(ndarray::s![..1, ..]), array![[0.0, 2.0], [0.0, 4.0]].view())?,
///     outputs: vec![0],
///     link: Link::Identity,
///     options: Default::default(),
/// };
/// let explanations = many.explain(rows.view(), &KernelShap::default(), &mut |_| {})?;
/// // w · (x − mean b)
/// assert!(explanations.iter().zip(0..).all(|(e, row)| (e.attributions[0].values[0] - 2.0 * f64::from(row)).abs() < 1e-5));
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct ExplainMany<'a> {
    /// The network.
    pub network: &'a Network,
    /// Background and players; its own instances do not count.
    pub masker: TableMasker,
    /// The network's outputs that are explained, in this order.
    pub outputs: Vec<usize>,
    /// What the mean answers are passed through.
    pub link: Link,
    /// Memory cap and form of averaging.
    pub options: RunOptions,
}

impl ExplainMany<'_> {
    /// One explanation for each of `instances` `[R, columns]`, in their order. The estimator explains all outputs that it is given, so
    /// its labels have to be the default ones. `evaluations` counts those of the network: coalitions × background rows, for each
    /// row.
    ///
    /// # Errors
    /// Those of [`TableMasker::new`], [`TableGame::new`] and [`Estimator::explain`].
    pub fn explain(
        &self,
        instances: ArrayView2<'_, f32>,
        estimator: &dyn Estimator,
        progress: &mut dyn FnMut(ManyProgress),
    ) -> Result<Vec<Explanation>> {
        let mut explanations = vec![None; instances.nrows()];
        self.explain_each(instances, estimator, progress, &mut |rows, block| {
            rows.iter().zip(block).for_each(|(&row, explanation)| explanations[row] = Some(explanation));
            Ok(())
        })?;
        // Each row is in one block.
        Ok(explanations.into_iter().flatten().collect())
    }

    /// As [`ExplainMany::explain`], but hands over each block of rows as soon as it is done: the rows' numbers (blocks need not follow the
    /// order of the rows), and one explanation for each.
    /// A run that is interrupted has handed over the blocks before.
    ///
    /// # Errors
    /// Those of [`ExplainMany::explain`], and whatever `each` returns.
    pub fn explain_each(
        &self,
        instances: ArrayView2<'_, f32>,
        estimator: &dyn Estimator,
        progress: &mut dyn FnMut(ManyProgress),
        each: &mut EachBlock<'_>,
    ) -> Result<()> {
        let (rows, start) = (instances.nrows(), Instant::now());
        let cap = estimator.most_evaluations(self.masker.players()).max(1);
        let block = (BLOCK_VALUES / cap / self.outputs.len().max(1)).clamp(1, BLOCK_ROWS);
        let background = self.masker.weights().len();
        let (mut done_rows, mut evaluations) = (0, 0);
        let alike = self.alike(instances)?;
        for block in alike.iter().flat_map(|rows| rows.chunks(block)) {
            let last = done_rows + block.len();
            let masker = self.masker.with_instances(instances.select(Axis(0), block).view())?;
            let game = TableGame::new(self.network, masker)?
                .outputs_of(&self.outputs)?
                .with_options(self.options.clone());
            let per_coalition = background * (last - done_rows);
            let share = block.len() as f64 / (rows - done_rows) as f64;
            let timed = estimator.with_time_left(start.elapsed().as_secs_f64(), share);
            let estimator = match &timed {
                Some(timed) => timed.as_ref(),
                None => estimator,
            };
            let linked = Linked { game: &game, link: self.link };
            // Told by one closure, corrected by another.
            let expected = std::cell::Cell::new(cap);
            let tell = std::cell::RefCell::new(&mut *progress);
            let mut at = |coalitions: usize| {
                let here = expected.get().max(coalitions);
                // Blocks to come are expected to take what this one does.
                let to_come = here * background * (rows - last);
                (tell.borrow_mut())(ManyProgress {
                    rows: done_rows,
                    all_rows: rows,
                    evaluations: evaluations + coalitions * per_coalition,
                    expected: evaluations + here * per_coalition + to_come,
                });
            };
            let mut forecast = |forecast: Forecast| expected.set(forecast.expected);
            let whole = estimator.explain_forecasting(&linked, &mut at, &mut forecast)?;
            evaluations += whole.evaluations * per_coalition;
            let parts = (0..block.len()).map(|place| self.part(&whole, place, block.len()));
            each(block, parts.collect())?;
            done_rows = last;
        }
        progress(ManyProgress { rows, all_rows: rows, evaluations, expected: evaluations });
        Ok(())
    }

    /// The rows of which the same players vary, in their order.
    fn alike(&self, instances: ArrayView2<'_, f32>) -> Result<Vec<Vec<usize>>> {
        let mut alike: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for first in (0..instances.nrows()).step_by(BLOCK_ROWS) {
            let rows = first..instances.nrows().min(first + BLOCK_ROWS);
            let masker = self.masker.with_instances(instances.slice(s![rows.clone(), ..]))?;
            for row in rows {
                alike.entry(masker.varying(row - first)).or_default().push(row);
            }
        }
        Ok(alike.into_values().collect())
    }

    /// One row's part of a block's explanation.
    fn part(&self, whole: &Explanation, row: usize, rows: usize) -> Explanation {
        let outputs = self.outputs.len();
        let places = row * outputs..(row + 1) * outputs;
        let attributions = whole.attributions[places.clone()].iter().zip(&self.outputs);
        let interactions = whole.interactions.as_ref().map(|found| found.outputs(places.clone()));
        Explanation {
            attributions: (attributions)
                .map(|(attribution, &output)| Attribution { output, ..attribution.clone() })
                .collect(),
            interactions,
            prediction: whole.prediction[places].to_vec(),
            evaluations: whole.evaluations * self.masker.weights().len(),
            seconds: whole.seconds.iter().map(|(stage, s)| (stage.clone(), s / rows as f64)).collect(),
            method: whole.method,
            players: whole.players,
            exact: whole.exact,
            seed: whole.seed,
        }
    }
}
