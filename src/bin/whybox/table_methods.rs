//! `whybox table`: rows explained by LIME or by Shapley values.

use std::sync::Mutex;

use ndarray::{Array2, ArrayView2};
use whybox::device::RunOptions;
use whybox::explain::{
    Attribution, Estimator, ExplainMany, Explanation, Hierarchy, KernelShap, Labels, LimeTabular, Linkage,
    Stability,
};
use whybox::perturb::{Rows, TableMasker};
use whybox::report::Document;
use whybox::report::document::{Feature, Instance, Output, PrecisionError};
use whybox::table::{ColumnEncoding, Groups, Kind};
use whybox::{Network, Result};

use crate::interrupt::locked;
use crate::lime::WIDTHS;
use crate::method::{Method, Request};
use crate::precision::reference_network;
use crate::progress::Bar;
use crate::table::{Subject, TableArgs};

/// Network, explained outputs, names of all outputs, and whom to tell.
pub struct Asked<'a> {
    pub network: &'a Network,
    pub outputs: Vec<usize>,
    pub names: &'a [String],
    pub bar: &'a Bar,
    pub options: RunOptions,
}

impl Asked<'_> {
    fn output(&self, attribution: &Attribution, conditions: Option<Vec<String>>) -> Output {
        Output::of(attribution, self.names[attribution.output].clone(), conditions)
    }
}

impl Subject {
    /// The cell's own text; what stands for a missing one.
    fn text(&self, row: usize, feature: usize) -> String {
        let column = &self.encoding.columns()[feature];
        let cell = self.raw.find(&column.name).map(|place| self.raw.cell(row, place));
        let cell = cell.ok().filter(|cell| !whybox::table::is_missing(cell));
        cell.map_or_else(|| self.encoding.text(feature, self.codes[[row, feature]]), str::to_owned)
    }

    /// The cell as a number; NaN for a category.
    fn number(&self, row: usize, feature: usize) -> f64 {
        let number = self.encoding.columns()[feature].kind == Kind::Number;
        if number { self.codes[[row, feature]] } else { f64::NAN }
    }
}

impl TableArgs {
    pub fn lime(&self, subject: &Subject, asked: &Asked<'_>, growing: &Mutex<Document>) -> Result<()> {
        let Subject { encoding, codes, .. } = subject;
        locked(growing).features =
            encoding.columns().iter().map(|column| Feature::new(&column.name)).collect();
        let lime = LimeTabular {
            samples: self.lime.lime_samples(),
            distance: self.distance.into(),
            kernel_width: self.lime.kernel_width,
            selection: self.lime.selection.into(),
            num_features: self.lime.features,
            alpha: self.lime.alpha,
            labels: Labels::Given(asked.outputs.clone()),
            seed: self.lime.seed,
        };
        let neighbourhood = self.neighbourhood(subject)?;
        let mut ask = |codes: ArrayView2<f64>| {
            let cells: Vec<f32> = encoding.expand(codes).iter().map(|&x| x as f32).collect();
            let answers = asked.network.responses(&Rows::new(&cells, encoding.width())?, &asked.options)?;
            Ok(answers.mapv(f64::from))
        };
        let total = subject.rows.len() * lime.samples;
        for (at, &row) in subject.rows.iter().enumerate() {
            let instance = codes.row(row).to_vec();
            let told = at * lime.samples;
            let mut tell = |done| asked.bar.of(told + done, total);
            let explanation = lime.explain(&neighbourhood, &instance, &mut ask, &mut tell)?;
            let condition = |(feature, column): (usize, &ColumnEncoding)| {
                let text = encoding.text(feature, instance[feature]);
                neighbourhood.condition(feature, &column.name, instance[feature], &text)
            };
            let conditions: Vec<String> = encoding.columns().iter().enumerate().map(condition).collect();
            let (mut outputs, mut repeated) = (Vec::new(), 0);
            for attribution in &explanation.attributions {
                let mut output = asked.output(attribution, Some(conditions.clone()));
                if let Some(runs) = self.lime.stability {
                    let top = (runs, self.lime.features);
                    let row = (&neighbourhood, &instance[..]);
                    let found = Stability::of_row(&lime, row, output.index, &mut ask, top, &WIDTHS)?;
                    output.stability = Some((&found).into());
                    repeated += (runs * lime.samples) as u64;
                }
                outputs.push(output);
            }
            let features = 0..encoding.features();
            let mut document = locked(growing);
            self.account(&mut document, &explanation, None);
            document.evaluations += repeated;
            document.instances.push(Instance {
                row: Some(row),
                values: features.clone().map(|feature| subject.text(row, feature)).collect(),
                numbers: features.map(|feature| subject.number(row, feature)).collect(),
                outputs,
            });
        }
        Ok(())
    }

    pub fn shapley(&self, subject: &Subject, asked: &Asked<'_>, growing: &Mutex<Document>) -> Result<()> {
        let encoding = &subject.encoding;
        let groups = self.groups.as_ref().map(Groups::read).transpose()?.unwrap_or_default();
        let (names, columns) = groups.players(encoding)?;
        let mut player_of = vec![0; encoding.width()];
        for (player, columns) in columns.iter().enumerate() {
            columns.iter().for_each(|&column| player_of[column] = player);
        }
        let table = encoding.expand(subject.codes.view());
        let background = self.background().rows(table.view(), encoding, self.lime.seed)?;
        let rows = subject.cells();
        let masker = TableMasker::new(rows.view(), background.rows.mapv(|x| x as f32).view())?
            .weighted(&background.weights)?
            .grouped(&player_of)?;
        let request = Request {
            players: names.len(),
            rows: rows.nrows(),
            samples: self.lime.samples,
            seed: self.lime.seed,
            work: background.rows.nrows() * subject.model.parameters(),
        };
        let hierarchy = || hierarchy(background.rows.view(), &columns);
        let estimator = self.shapley.estimator(self.method, &request, Labels::All, &hierarchy)?;
        let many = ExplainMany {
            network: asked.network,
            masker,
            outputs: asked.outputs.clone(),
            link: self.shapley.link(),
            options: asked.options.clone(),
        };
        let mut tell = |told: whybox::explain::ManyProgress| asked.bar.of(told.evaluations, told.expected);
        let features = members(&columns, &encoding.groups());
        locked(growing).link = format!("{:?}", self.shapley.link).to_lowercase();
        locked(growing).features = (names.iter().zip(&features))
            .map(|(name, members)| Feature {
                name: name.clone(),
                columns: members.iter().map(|&feature| encoding.columns()[feature].name.clone()).collect(),
            })
            .collect();
        let instance = |explanation: &Explanation, row: usize| {
            let output = |(place, attribution): (usize, &Attribution)| {
                let output = asked.output(attribution, None);
                match &explanation.interactions {
                    Some(found) => output.with_interactions(found, place),
                    None => output,
                }
            };
            let value = |members: &Vec<usize>| {
                let texts: Vec<String> = members.iter().map(|&feature| subject.text(row, feature)).collect();
                texts.join(", ")
            };
            let number = |members: &Vec<usize>| match members[..] {
                [feature] => subject.number(row, feature),
                _ => f64::NAN,
            };
            Instance {
                row: Some(row),
                values: features.iter().map(value).collect(),
                numbers: features.iter().map(number).collect(),
                outputs: explanation.attributions.iter().enumerate().map(output).collect(),
            }
        };
        let regression = estimator.name() == KernelShap::default().name();
        let fitted = |explanation: &Explanation| {
            let work = asked.network.plan().macs() as f64 * explanation.evaluations as f64;
            regression.then(|| request.terms().fitted(work))
        };
        let mut explanations = Vec::new();
        let mut done: Vec<usize> = Vec::new();
        many.explain_each(rows.view(), estimator.as_ref(), &mut tell, &mut |places, block| {
            let mut document = locked(growing);
            for (explanation, &place) in block.iter().zip(places) {
                self.account(&mut document, explanation, fitted(explanation));
                // In the order that was asked for, whatever that of the blocks.
                let at = done.partition_point(|&before| before < place);
                done.insert(at, place);
                document.instances.insert(at, instance(explanation, subject.rows[place]));
            }
            explanations.extend(block);
            Ok(())
        })?;
        let mut document = locked(growing);
        document.warnings.extend(self.shapley.left(self.method, &explanations));
        document.warnings.extend(nothing_varies(&many.masker, background.rows.nrows(), &explanations));
        Ok(())
    }
}

impl TableArgs {
    /// How far the effects are from those of the same network in f32.
    pub fn precision_error(
        &self,
        subject: &Subject,
        asked: &Asked<'_>,
        players: usize,
    ) -> Result<PrecisionError> {
        let reference = reference_network(asked.network, &subject.model)?;
        let few = self.checked(players);
        let explain = |network: &Network| -> Result<(Vec<Vec<f64>>, u64)> {
            let growing = Mutex::new(Document::default());
            let (outputs, options) = (asked.outputs.clone(), asked.options.clone());
            let asked = Asked { network, outputs, names: asked.names, bar: asked.bar, options };
            match few.method {
                Method::Lime => few.lime(subject, &asked, &growing)?,
                _ => few.shapley(subject, &asked, &growing)?,
            }
            let document = locked(&growing);
            let outputs = document.instances.iter().flat_map(|instance| &instance.outputs);
            Ok((outputs.map(|output| output.values.clone()).collect(), document.evaluations))
        };
        let ((found, evaluations), (expected, _)) = (explain(asked.network)?, explain(&reference)?);
        Ok(PrecisionError::new(asked.network.device().precision(), &found, &expected, evaluations))
    }
}

/// The features of each player.
fn members(players: &[Vec<usize>], columns: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let of = |player: &Vec<usize>| {
        (0..columns.len()).filter(|&feature| columns[feature].iter().all(|c| player.contains(c))).collect()
    };
    players.iter().map(of).collect()
}

/// A background that is the instance leaves nothing to explain.
fn nothing_varies(masker: &TableMasker, background: usize, explanations: &[Explanation]) -> Option<String> {
    let still = |explanation: &Explanation| {
        explanation.attributions.iter().all(|a| a.values.iter().all(|v| *v == 0.0))
    };
    // Looking through a large background takes its time: only where it may tell something.
    let none = (explanations.iter().enumerate())
        .filter(|(row, explanation)| still(explanation) && masker.varying(*row).is_empty())
        .count();
    (none > 0).then(|| {
        let rows = format!("{none} of {} explained rows", explanations.len());
        format!("For {rows} no feature differs from the background ({background} rows), so that all effects are 0.")
    })
}

/// Players clustered by the correlation of their columns over the background: those of two players are as far apart as their
/// nearest columns.
pub fn hierarchy(background: ArrayView2<f64>, players: &[Vec<usize>]) -> Result<Hierarchy> {
    let distances = Hierarchy::correlation_distances(background);
    let between = |a: &Vec<usize>, b: &Vec<usize>| {
        let pairs = a.iter().flat_map(|&i| b.iter().map(move |&j| (i, j)));
        pairs.map(|(i, j)| distances[[i, j]]).fold(f64::INFINITY, f64::min)
    };
    let all = Array2::from_shape_fn((players.len(), players.len()), |(a, b)| {
        if a == b { 0.0 } else { between(&players[a], &players[b]) }
    });
    Hierarchy::from_distances(all.view(), Linkage::Complete)
}
