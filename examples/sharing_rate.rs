//! Seconds of an ONNX network under segment masks with and without local coalition sharing, alternating, as a table.
//!
//! ```sh
//! cargo run --release --example sharing_rate -- net.onnx photo.png [segments] [samples] [rounds] [memory in MiB] [steps]
//! ```
//!
//! `segments` may be several numbers, `30,70,200`. The least of all rounds counts.

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
    let counts = arguments.get(2).map_or("70", String::as_str);
    let (samples, rounds, memory) = (number(3, 1000), number(4, 2), number(5, 1024));
    let model = Model::from_onnx(&arguments[0])?;
    let photo = open_photo(arguments[1].as_ref())?;
    let network = Device::cpu().load(&model)?;
    let shape = PictureShape::of(&network.input().shape)?;
    let preprocess = Preprocess::preset("imagenet").expect("a preset");
    let picture = Picture::new(photo, &shape, &preprocess)?;
    let instance = preprocess.apply(picture.pixels(), &shape);
    let (mut perturbations, mut players) = (Vec::new(), Vec::new());
    for count in counts.split(',') {
        let segmentation: Segmentation = format!("slic:n={count}").parse()?;
        let map = segmentation.segment(&picture.pixels(), 0)?;
        let coalitions: Arc<Coalitions> =
            Arc::new(lime_coalitions(map.count(), samples, 0, Sampling::default())?);
        let baseline = vec![0.0; instance.len()];
        players.push(map.count());
        perturbations.push(Segments::new(instance.clone(), baseline, map, shape.order, coalitions)?);
    }
    let run = |perturbation: &Segments, sharing: Sharing| -> Result<Run> {
        let memory_bytes = Some((memory as u64) << 20);
        let options = RunOptions { sharing, memory_bytes, ..RunOptions::default() };
        let mut answers = Vec::new();
        let (start, before) = (Instant::now(), processor_seconds());
        let report = network.run(perturbation, &options, &mut |_, values| {
            answers.extend_from_slice(values);
            Ok(())
        })?;
        let seconds = [start.elapsed().as_secs_f64(), processor_seconds() - before];
        Ok(Run { answers, seconds, sharing: report.sharing })
    };
    // Dense runs are the same work whatever the segments are, so those of the first serve all.
    let mut dense = [f64::INFINITY; 2];
    let mut shared = vec![[f64::INFINITY; 2]; perturbations.len()];
    let mut reports = vec![None; perturbations.len()];
    let mut apart = 0.0f64;
    for _ in 0..rounds {
        let alone = run(&perturbations[0], Sharing::Off)?;
        least(&mut dense, alone.seconds);
        for (at, perturbation) in perturbations.iter().enumerate() {
            let found = run(perturbation, Sharing::Auto)?;
            least(&mut shared[at], found.seconds);
            reports[at] = found.sharing;
            if at == 0 {
                apart = apart.max(relative(&alone.answers, &found.answers));
            }
        }
    }
    let steps = network.plan().steps.len();
    println!(
        "| network | segments | samples | steps over columns | samples at a time | multiply-adds saved | dense | shared | ratio | of processors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for ((players, shared), report) in players.iter().zip(&shared).zip(&reports) {
        let (over, rows, saved) = report.map_or((0, samples, 0.0), |report: SharingReport| {
            (report.steps, report.block_rows, 1.0 - report.macs as f64 / report.dense_macs as f64)
        });
        println!(
            "| {} | {players} | {samples} | {over} of {steps} | {rows} | {:.1} % | {:.2} s | {:.2} s | {:.2} | {:.2} |",
            model.name(),
            100.0 * saved,
            dense[0],
            shared[0],
            dense[0] / shared[0],
            dense[1] / shared[1],
        );
    }
    println!("\nRelative difference, dense against shared, first row: {apart:.1e}\n");
    // What each further step over columns gains or loses.
    for steps in 1..=number(6, 0) {
        let found = run(&perturbations[0], Sharing::First(steps))?;
        let Some(shared) = found.sharing.filter(|shared| shared.steps == steps) else { break };
        println!(
            "{steps:3} steps: {:.2} s of processors, {:.3} of the multiply-adds  {}",
            found.seconds[1],
            shared.macs as f64 / shared.dense_macs as f64,
            network.plan().steps[steps - 1].name
        );
    }
    Ok(())
}

/// A run's answers, its seconds on the clock and of processors, and what it shared.
struct Run {
    answers: Vec<f32>,
    seconds: [f64; 2],
    sharing: Option<SharingReport>,
}

fn least(best: &mut [f64; 2], seconds: [f64; 2]) {
    best.iter_mut().zip(seconds).for_each(|(best, seconds)| *best = best.min(seconds));
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
