//! The whybox side of `benches/peers`, tables: the built-in table with a network for it, of which the probability of output 1 is
//! explained. The background is the table's first 100 rows, the instances are those that follow.
//!
//! ```sh
//! cargo run --release --example peer_table -- net.onnx   # answers commands with a line of JSON each
//! ```
//!
//! | command | answer |
//! |---|---|
//! | `shap INSTANCES SEED` | seconds of Kernel SHAP with 2,048 coalitions, and values `[instances, players]` |
//! | `triples INSTANCES SEED` | the same with the library's default estimator, which fits triples of players, too |
//! | `lime SAMPLES SEED` | seconds of LIME on the first instance, quartiles, 10 features, and coefficients |
//! | `check COALITIONS SEED` | values of the game for coalitions |
//! | `neighbours ROWS SEED` | LIME's rows as the network sees them and as the surrogate sees them, and coefficients of all features |
//! | `many EVALUATIONS SEED` | seconds of that many evaluations of the network |

use std::io::BufRead;
use std::time::Instant;

use ndarray::{Array2, ArrayView2, s};
use serde_json::{Value, json};
use whybox::device::RunOptions;
use whybox::explain::{Budget, Estimator, Game, KernelShap, Labels, LimeTabular, TableGame, Terms};
use whybox::model::Model;
use whybox::perturb::{
    Discretiser, Neighbourhood, Rows, Sampling, SizeSampling, TableMasker, lime_coalitions,
};
use whybox::solve::Selection;
use whybox::table::{Encoding, Missing};
use whybox::{Device, Error, Network, Result, builtin};

/// Coalitions of Kernel SHAP.
const COALITIONS: usize = 2048;

/// Rows of the table that are the background.
const BACKGROUND: usize = 100;

fn main() -> Result<()> {
    // Within the threads' pool: from outside, every parallel stretch of a millisecond would first wake it and then wait for it.
    let mut result = Ok(());
    rayon::scope(|_| result = serve());
    result
}

fn serve() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or_else(|| Error::parameter("no network", "peer_table", "NET.onnx"))?;
    let network = Device::cpu().load(&Model::from_onnx(path)?.probabilities()?)?;
    let bench = Bench { network, rows: rows()? };
    let neighbourhood = Neighbourhood::new(bench.rows.view(), &[false; 30], Discretiser::Quartile, None)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::io(error.to_string(), "standard input", "send commands"))?;
        let mut words = line.split_whitespace();
        let Some(command) = words.next() else { continue };
        let mut number = || -> Result<usize> {
            let parsed = words.next().and_then(|word| word.parse().ok());
            parsed.ok_or_else(|| Error::parameter("a number is missing", command, "send two numbers"))
        };
        let (count, seed) = (number()?, number()? as u64);
        let answer = match command {
            "shap" => bench.shap(count, seed, Terms::Single)?,
            "triples" => bench.shap(count, seed, Terms::Triples)?,
            "lime" => bench.lime(&neighbourhood, count, seed, &LimeTabular::default())?,
            "check" => bench.check(count, seed)?,
            "neighbours" => bench.neighbours(&neighbourhood, count, seed)?,
            "many" => bench.many(count, seed)?,
            _ => return Err(Error::parameter("an unknown command", command, "see this file's first lines")),
        };
        println!("{answer}");
    }
    Ok(())
}

/// The built-in table, `[569, 30]`.
fn rows() -> Result<Array2<f64>> {
    let table = builtin::table()?.without(&[builtin::TABLE_TARGET.to_owned()])?;
    let encoding = Encoding::infer(&table, Missing::Error, Some(30))?;
    Ok(encoding.expand(encoding.codes(&table)?.view()))
}

struct Bench {
    network: Network,
    rows: Array2<f64>,
}

impl Bench {
    fn game(&self, instances: usize) -> Result<TableGame<'_>> {
        let cells = self.rows.mapv(|x| x as f32);
        let background = cells.slice(s![..BACKGROUND, ..]);
        let explained = cells.slice(s![BACKGROUND..BACKGROUND + instances, ..]);
        TableGame::new(&self.network, TableMasker::new(explained, background)?)?.outputs_of(&[1])
    }

    fn shap(&self, instances: usize, seed: u64, terms: Terms) -> Result<Value> {
        let sampling = if terms == Terms::Single { SizeSampling::Kernel } else { SizeSampling::Leverage };
        let shap =
            KernelShap { budget: Budget::of(COALITIONS), terms, sampling, seed, ..KernelShap::default() };
        let start = Instant::now();
        let explanation = shap.explain(&self.game(instances)?, &mut |_| {})?;
        let seconds = start.elapsed().as_secs_f64();
        let values: Vec<&[f64]> = explanation.attributions.iter().map(|a| &a.values[..]).collect();
        Ok(json!({ "seconds": seconds, "parts": explanation.seconds, "values": values }))
    }

    fn lime(
        &self,
        neighbourhood: &Neighbourhood,
        samples: usize,
        seed: u64,
        lime: &LimeTabular,
    ) -> Result<Value> {
        let lime = LimeTabular { samples, seed, labels: Labels::Given(vec![1]), ..lime.clone() };
        let start = Instant::now();
        let mut cells = Vec::new();
        let mut ask = |codes: ArrayView2<f64>| {
            cells.clear();
            cells.extend(codes.iter().map(|&x| x as f32));
            let rows = Rows::new(&cells, 30)?;
            let answers = self.network.responses(&rows, &RunOptions::default())?;
            Ok(answers.mapv(f64::from))
        };
        let instance = self.rows.row(BACKGROUND).to_vec();
        let explanation = lime.explain(neighbourhood, &instance, &mut ask, &mut |_| {})?;
        let seconds = start.elapsed().as_secs_f64();
        let values = &explanation.attributions[0].values;
        Ok(json!({ "seconds": seconds, "parts": explanation.seconds, "values": values }))
    }

    fn check(&self, coalitions: usize, seed: u64) -> Result<Value> {
        let coalitions = lime_coalitions(30, coalitions, seed, Sampling::Independent)?;
        let values = self.game(1)?.values(&coalitions)?;
        let mask = |row| (0..30).map(|at| if coalitions.contains(row, at) { '1' } else { '0' }).collect();
        let masks: Vec<String> = (0..coalitions.rows()).map(mask).collect();
        Ok(json!({ "masks": masks, "values": values.into_raw_vec_and_offset().0 }))
    }

    fn neighbours(&self, neighbourhood: &Neighbourhood, rows: usize, seed: u64) -> Result<Value> {
        let all = LimeTabular { selection: Selection::None, num_features: 30, ..LimeTabular::default() };
        let mut answer = self.lime(neighbourhood, rows, seed, &all)?;
        let instance = self.rows.row(BACKGROUND).to_vec();
        let drawn = neighbourhood.draw(&instance, 0..rows, rows, seed);
        let lines = |of: &Array2<f64>| of.outer_iter().map(|row| row.to_vec()).collect::<Vec<Vec<f64>>>();
        answer["codes"] = json!(lines(&drawn.codes));
        answer["data"] = json!(lines(&drawn.data));
        Ok(answer)
    }

    fn many(&self, evaluations: usize, seed: u64) -> Result<Value> {
        let rows = evaluations.div_ceil(BACKGROUND);
        let coalitions = lime_coalitions(30, rows, seed, Sampling::Independent)?;
        let start = Instant::now();
        let values = self.game(1)?.values(&coalitions)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({ "seconds": seconds, "evaluations": values.nrows() * BACKGROUND }))
    }
}
