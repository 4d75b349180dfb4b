//! The whybox side of `benches/peers`, photographs: loads a network once and answers commands with a line of JSON each.
//!
//! ```sh
//! cargo run --release --example peer_image -- net.onnx photo.png labels.png CLASS
//! ```
//!
//! | command | answer |
//! |---|---|
//! | `lime SAMPLES SEED` | seconds of a LIME explanation of one class's logit, and its coefficients |
//! | `check SAMPLES SEED` | coefficients of plain LIME, and the coalitions that they are from |
//! | `forward SECONDS` | forward passes a second of the whole network, without masks |
//! | `memory MIB` | the cap on memory of what follows |

use std::io::BufRead;
use std::time::Instant;

use serde_json::{Value, json};
use whybox::device::RunOptions;
use whybox::explain::{Control, ImageExplainer, Labels, Lime};
use whybox::model::Model;
use whybox::perturb::picture::{Baseline, open_photo};
use whybox::perturb::segment::Segmentation;
use whybox::perturb::{Rows, Sampling, lime_coalitions};
use whybox::{Device, Error, Network, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, photo, labels, class] = &arguments[..] else {
        return Err(Error::parameter("four arguments are needed", "peer_image", "NET PHOTO LABELS CLASS"));
    };
    let model = Model::from_onnx(network)?;
    // One row of the last layer is all that is asked for.
    let asked = Device::cpu().load(&model.clone().select(&[number(Some(class))? as usize])?)?;
    let photo = open_photo(photo.as_ref())?;
    let mut explainer = ImageExplainer {
        segmentation: Segmentation::File(labels.into()),
        baseline: Baseline::Colour([128; 3]),
        ..ImageExplainer::default()
    };
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::io(error.to_string(), "standard input", "send commands"))?;
        let mut words = line.split_whitespace();
        let command = words.next();
        let first = number(words.next())?;
        let answer = match command {
            Some("forward") => forward(&model, first)?,
            Some("memory") => {
                explainer.run.memory_bytes = Some((first as u64) << 20);
                json!({ "memory_mib": first })
            }
            Some(kind) => {
                let (samples, seed) = (first as usize, number(words.next())? as u64);
                let lime = Lime { samples, seed, labels: Labels::All, ..Lime::default() };
                match kind {
                    "check" => check(&explainer, lime, &asked, &photo)?,
                    _ => explain(&explainer, &lime, &asked, &photo)?,
                }
            }
            None => continue,
        };
        println!("{answer}");
    }
    Ok(())
}

fn number(word: Option<&str>) -> Result<f64> {
    let parsed = word.and_then(|word| word.parse().ok());
    parsed.ok_or_else(|| Error::parameter(format!("{word:?} is no number"), "command", "send a number"))
}

fn explain(
    explainer: &ImageExplainer,
    lime: &Lime,
    network: &Network,
    photo: &image::RgbImage,
) -> Result<Value> {
    let photo = photo.clone();
    let start = Instant::now();
    let result = explainer.explain(network, photo, lime, &mut |_| {})?;
    let seconds = start.elapsed().as_secs_f64();
    let attribution = &result.explanation.attributions[0];
    Ok(json!({
        "seconds": seconds,
        "parts": result.explanation.seconds,
        "shared_steps": result.sharing.map(|shared| shared.steps),
        "macs_kept": result.sharing.map(|shared| shared.macs as f64 / shared.dense_macs as f64),
        "values": attribution.values,
        "score": attribution.score,
    }))
}

/// As the packages draw and fit: independent coins, no control variate.
fn check(
    explainer: &ImageExplainer,
    lime: Lime,
    network: &Network,
    photo: &image::RgbImage,
) -> Result<Value> {
    let lime = Lime { sampling: Sampling::Independent, control: Control::None, ..lime };
    let mut answer = explain(explainer, &lime, network, photo)?;
    let players = answer["values"].as_array().map_or(0, Vec::len);
    let coalitions = lime_coalitions(players, lime.samples, lime.seed, lime.sampling)?;
    let mask = |row| (0..players).map(|at| if coalitions.contains(row, at) { '1' } else { '0' }).collect();
    answer["masks"] = (0..coalitions.rows()).map(mask).collect::<Vec<String>>().into();
    Ok(answer)
}

fn forward(model: &Model, seconds: f64) -> Result<Value> {
    let network = Device::cpu().load(model)?;
    let len: usize = model.input_shape().iter().product();
    // About a second's work for a network of 2 GMAC.
    let rows = (200_000_000_000 / network.plan().macs().max(1)).clamp(16, 1024) as usize;
    let rows = rows.min((256 << 20) / (4 * len));
    let batch: Vec<f32> = (0..rows * len).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
    let (batch, options) = (Rows::new(&batch, len)?, RunOptions::default());
    network.responses(&batch, &options)?;
    let (start, mut passes) = (Instant::now(), 0);
    while start.elapsed().as_secs_f64() < seconds {
        network.responses(&batch, &options)?;
        passes += rows;
    }
    Ok(json!({ "rate": passes as f64 / start.elapsed().as_secs_f64(), "rows": rows }))
}
