//! Seconds of an ONNX network under segment masks with and without local coalition sharing, alternating.
//!
//! ```sh
//! cargo run --release --example sharing_rate -- net.onnx photo.png [segments] [samples] [rounds] [memory in MiB] [steps]
//! ```

use std::sync::Arc;
use std::time::Instant;

use whybox::device::RunOptions;
use whybox::model::Model;
use whybox::perturb::picture::{Picture, PictureShape, Preprocess, open_photo};
use whybox::perturb::segment::Segmentation;
use whybox::perturb::{Coalitions, Sampling, Segments, lime_coalitions};
use whybox::plan::{Sharing, SharingReport};
use whybox::{Device, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let model = Model::from_onnx(&arguments[0])?;
    let photo = open_photo(arguments[1].as_ref())?;
    let (segments, samples, rounds, memory) = (number(2, 70), number(3, 1000), number(4, 2), number(5, 1024));
    let network = Device::cpu().load(&model)?;
    let shape = PictureShape::of(&network.input().shape)?;
    let preprocess = Preprocess::preset("imagenet").expect("a preset");
    let picture = Picture::new(photo, &shape, &preprocess)?;
    let segmentation: Segmentation = format!("slic:n={segments}").parse()?;
    let map = segmentation.segment(&picture.pixels(), 0)?;
    let instance = preprocess.apply(picture.pixels(), &shape);
    let baseline = vec![0.0; instance.len()];
    let coalitions: Arc<Coalitions> =
        Arc::new(lime_coalitions(map.count(), samples, 0, Sampling::default())?);
    let perturbation = Segments::new(instance, baseline, map, shape.order, coalitions.clone())?;
    let run = |sharing: Sharing| -> Result<(Vec<f32>, [f64; 2], Option<SharingReport>)> {
        let memory_bytes = Some((memory as u64) << 20);
        let options = RunOptions { sharing, memory_bytes, ..RunOptions::default() };
        let mut found = Vec::new();
        let (start, before) = (Instant::now(), processor_seconds());
        let report = network.run(&perturbation, &options, &mut |_, values| {
            found.extend_from_slice(values);
            Ok(())
        })?;
        Ok((found, [start.elapsed().as_secs_f64(), processor_seconds() - before], report.sharing))
    };
    let mut best = [[f64::INFINITY; 2]; 2];
    let mut apart = 0.0f64;
    for _ in 0..rounds {
        let mut answers = Vec::new();
        for (best, sharing) in best.iter_mut().zip([Sharing::Off, Sharing::Auto]) {
            let (found, seconds, report) = run(sharing)?;
            (0..2).for_each(|i| best[i] = best[i].min(seconds[i]));
            if let Some(shared) = report {
                println!(
                    "{} of {} steps over columns, blocks of {}, {:.3} of the multiply-adds",
                    shared.steps,
                    network.plan().steps.len(),
                    shared.block_rows,
                    shared.macs as f64 / shared.dense_macs as f64
                );
            }
            answers.push(found);
        }
        apart = apart.max(relative(&answers[0], &answers[1]));
    }
    let [dense, shared] = best;
    println!(
        "{}: {} segments, {samples} samples: {:.3} s dense, {:.3} s shared, {:.2}×; of processors {:.2} and {:.2} s, {:.2}×; relative difference {apart:.1e}",
        model.name(),
        coalitions.players(),
        dense[0],
        shared[0],
        dense[0] / shared[0],
        dense[1],
        shared[1],
        dense[1] / shared[1]
    );
    // What each further step over columns gains or loses.
    for steps in 1..=number(6, 0) {
        let (_, seconds, report) = run(Sharing::First(steps))?;
        let Some(shared) = report.filter(|shared| shared.steps == steps) else { break };
        println!(
            "{steps:3} steps: {:.2} s of processors, {:.3} of the multiply-adds  {}",
            seconds[1],
            shared.macs as f64 / shared.dense_macs as f64,
            network.plan().steps[steps - 1].name
        );
    }
    Ok(())
}

/// Seconds that this process has had of all processors, where the system tells (Linux), else NaN.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    // Linux counts in hundredths of a second.
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / 100.0 } else { f64::NAN }
}

/// ‖a − b‖ / ‖a‖
fn relative(a: &[f32], b: &[f32]) -> f64 {
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied())
}
