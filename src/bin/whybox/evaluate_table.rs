//! `whybox evaluate` on rows of a table.

use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis};
use whybox::device::RunOptions;
use whybox::evaluate::{Candidate, Case, Metric, View, Which, randomised};
use whybox::explain::{Labels, LimeTabular, TableGame};
use whybox::model::Model;
use whybox::perturb::{Discretiser, Neighbourhood, Rows, TableMasker};
use whybox::report::EvaluatedInput;
use whybox::table::{Groups, RawTable};
use whybox::{Network, Result, builtin};

use crate::evaluate::{Counted, Found, Tally, Work};
use crate::evaluate_methods::Method;
use crate::lime::no_model;
use crate::table::Columns;
use crate::table_methods::hierarchy;

/// Rows that are judged if none are named.
const ROWS: usize = 10;

/// A table, its networks, and what stands for absent features.
struct Subject {
    network: Network,
    randomised: Option<Network>,
    names: Vec<String>,
    columns: Columns,
    /// The standard deviation of each column of numbers; 0 for categories.
    deviations: Vec<f64>,
    neighbourhood: Neighbourhood,
    /// `[B, width]`
    background: Array2<f64>,
    /// Of the background alone.
    masker: TableMasker,
    /// The network columns of each player.
    players: Vec<Vec<usize>>,
    options: RunOptions,
}

/// Judges the explanations of every row.
pub fn judge(work: &mut Work<'_>) -> Result<()> {
    let args = work.args;
    let start = Instant::now();
    let data = args.inputs.first();
    let whole = data.map_or_else(builtin::table, RawTable::read)?;
    let target = args.target.clone().or_else(|| data.is_none().then(|| builtin::TABLE_TARGET.into()));
    let model = match (&args.model, data) {
        (Some(path), _) => Model::from_onnx(path)?,
        (None, None) => builtin::table_network()?,
        (None, Some(_)) => return Err(no_model("evaluate")),
    };
    let (model, explained) = args.outputs().apply(model, false)?;
    let dropped: Vec<String> = args.drop.iter().chain(&target).cloned().collect();
    let width: usize = model.input_shape().iter().product();
    let columns = Columns::read(&whole, &dropped, args.encoding.as_deref(), args.missing, width)?;
    let rows = match &args.rows {
        Some(rows) => rows.rows(columns.raw.rows())?,
        None => (0..columns.raw.rows().min(ROWS)).collect(),
    };
    let device = args.run.device()?;
    let network = device.load(&model)?;
    let forgetful = work.wants(Metric::Randomised).then(|| randomised(&model, usize::MAX, args.seed));
    let known = data.is_none().then(builtin::table_classes);
    let mut options = args.run.options();
    options.cancel = work.interrupt.cancel.clone();

    let encoding = &columns.encoding;
    let categorical: Vec<bool> = encoding.columns().iter().map(|column| column.is_categorical()).collect();
    let (_, players) = Groups::default().players(encoding)?;
    let mut player_of = vec![0; encoding.width()];
    for (player, columns) in players.iter().enumerate() {
        columns.iter().for_each(|&column| player_of[column] = player);
    }
    let table = encoding.expand(columns.codes.view());
    let background = args.background().rows(table.view(), encoding, args.seed)?;
    let cells = background.rows.mapv(|x| x as f32);
    let masker = TableMasker::new(cells.slice(ndarray::s![..1, ..]), cells.view())?
        .weighted(&background.weights)?
        .grouped(&player_of)?;
    let deviation = |(column, categorical): (ndarray::ArrayView1<f64>, &bool)| {
        if *categorical { 0.0 } else { column.std(0.0) }
    };
    let subject = Subject {
        names: args.outputs().names(network.outputs(), known)?,
        randomised: forgetful.transpose()?.map(|model| device.load(&model)).transpose()?,
        network,
        deviations: columns.codes.columns().into_iter().zip(&categorical).map(deviation).collect(),
        neighbourhood: Neighbourhood::new(columns.codes.view(), &categorical, Discretiser::Quartile, None)?,
        columns,
        background: background.rows,
        masker,
        players,
        options,
    };
    let evaluation = &mut work.evaluation;
    evaluation.network = subject.network.name().to_owned();
    evaluation.device = device.name();
    evaluation.explained = explained;
    evaluation.seconds.push(("load".into(), start.elapsed().as_secs_f64()));
    work.expect(rows.len(), subject.masker.weights().len());
    for (number, &row) in rows.iter().enumerate() {
        let shown = format!("row {row}");
        let found = one(work, &subject, row, (number, &shown));
        work.take(&shown, found)?;
    }
    Ok(())
}

impl Subject {
    /// Rows as the network reads them, `[rows, width]`.
    fn cells(&self, codes: ArrayView2<f64>) -> Array2<f32> {
        self.columns.encoding.expand(codes).mapv(|x| x as f32)
    }

    /// The game of one output for rows that are played together: each is an output.
    fn game<'a>(
        &'a self,
        network: &'a Network,
        cells: &Array2<f32>,
        output: usize,
        tally: &'a Tally,
    ) -> Result<Counted<'a, TableGame<'a>>> {
        let masker = self.masker.with_instances(cells.view())?;
        let game = TableGame::new(network, masker)?.outputs_of(&[output])?.with_options(self.options.clone());
        Ok(Counted { each: game.evaluations_per_coalition(), game, tally })
    }
}

/// The explanations of one row.
fn one(work: &Work<'_>, subject: &Subject, row: usize, (number, shown): (usize, &str)) -> Result<Vec<Found>> {
    let (args, tally) = (work.args, &work.tally);
    let instance = subject.columns.codes.row(row).to_vec();
    let cells = subject.cells(subject.columns.codes.select(Axis(0), &[row]).view());
    let rows = Rows::new(cells.as_slice().unwrap_or_default(), cells.ncols())?;
    let prediction = subject.network.responses(&rows, &subject.options)?;
    let prediction: Vec<f64> = prediction.iter().map(|&x| f64::from(x)).collect();
    // Neighbours in units of the columns' standard deviations.
    let mut near = Vec::new();
    if work.wants(Metric::Sensitivity) {
        for noise in work.sensitivity.neighbours(&vec![0.0; instance.len()])? {
            let moved =
                instance.iter().zip(noise).zip(&subject.deviations).map(|((x, noise), s)| x + s * noise);
            near.push(moved.collect::<Vec<f64>>());
        }
    }
    let near_codes = Array2::from_shape_fn((near.len(), instance.len()), |(row, column)| near[row][column]);
    let near_cells = subject.cells(near_codes.view());
    let mut found = Vec::new();
    for output in args.chosen(&subject.names, &prediction)? {
        let game = subject.game(&subject.network, &cells, output, tally)?;
        let together = match near.len() {
            0 => None,
            _ => Some(subject.game(&subject.network, &near_cells, output, tally)?),
        };
        let forgetful = match &subject.randomised {
            Some(network) => Some(subject.game(network, &cells, output, tally)?),
            None => None,
        };
        let case = Case {
            instance: View::of(&game, 0),
            near: together.iter().map(|game| View { game, outputs: (0..near.len()).collect() }).collect(),
            randomised: forgetful.as_ref().map(|game| View::of(game, 0)),
            object: None,
        };
        let mut candidates: Vec<Box<dyn Candidate + '_>> = Vec::new();
        for &method in &args.methods {
            candidates.push(match method {
                Method::Lime => Box::new(LimeOfRows {
                    lime: LimeTabular {
                        samples: args.samples,
                        num_features: instance.len(),
                        labels: Labels::Given(vec![output]),
                        seed: args.seed,
                        ..LimeTabular::default()
                    },
                    subject,
                    instance: &instance,
                    near: &near,
                    tally,
                }),
                _ => method.candidate((subject.players.len(), number), (args.samples, args.seed), &|| {
                    hierarchy(subject.background.view(), &subject.players)
                })?,
            });
        }
        let judgements = work.comparison.judge(&case, &mut candidates)?;
        let facts = EvaluatedInput {
            output,
            output_name: subject.names[output].clone(),
            prediction: prediction[output],
            players: subject.players.len(),
        };
        found.push((shown.to_owned(), facts, judgements));
    }
    Ok(found)
}

/// LIME for tables under comparison: it draws neighbours of its own and asks no game. All features are in its surrogate.
struct LimeOfRows<'a> {
    lime: LimeTabular,
    subject: &'a Subject,
    instance: &'a [f64],
    near: &'a [Vec<f64>],
    tally: &'a Tally,
}

impl Candidate for LimeOfRows<'_> {
    fn name(&self) -> &str {
        "lime"
    }

    fn explain(&mut self, _view: &View<'_>, which: Which) -> Result<Vec<Vec<f64>>> {
        let Subject { network, randomised, columns, neighbourhood, options, .. } = self.subject;
        let (network, rows): (&Network, Vec<&[f64]>) = match which {
            Which::Instance => (network, vec![self.instance]),
            Which::Near(_) => (network, self.near.iter().map(Vec::as_slice).collect()),
            // A view of the randomised network exists where the network does.
            Which::Randomised => (randomised.as_ref().unwrap_or(network), vec![self.instance]),
        };
        let mut ask = |codes: ArrayView2<f64>| {
            let cells: Vec<f32> = columns.encoding.expand(codes).iter().map(|&x| x as f32).collect();
            let answers = network.responses(&Rows::new(&cells, columns.encoding.width())?, options)?;
            self.tally.add(codes.nrows());
            Ok(answers.mapv(f64::from))
        };
        let mut lists = Vec::new();
        for row in rows {
            let explanation = self.lime.explain(neighbourhood, row, &mut ask, &mut |_| {})?;
            lists.extend(explanation.attributions.into_iter().map(|attribution| attribution.values));
        }
        Ok(lists)
    }
}
