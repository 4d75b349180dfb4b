//! Published networks on real photographs: predictions as recorded, and maps that sit on the object.
//!
//! Networks, photographs and reference answers are not part of the repository: their folder is `$WHYBOX_SHARED`,
//! by default `../shared/data`.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gpu::gpu;
use serde_json::Value as Json;
use whybox::Device;
use whybox::device::{Network, RunOptions};
use whybox::explain::{ImageExplainer, ImageExplanation, Lime};
use whybox::model::{Model, OutputKind};
use whybox::perturb::Rows;
use whybox::perturb::picture::open_photo;

/// Largest difference of a probability from ONNX Runtime's fp32 answer, for the two files of SqueezeNet. Both hold
/// the same weights and both run in f32, but ONNX Runtime's own halves are up to 5e-4 away: the order is then open.
const FP32: f64 = 1e-4;
const FP16: f64 = 1e-3;

/// Largest difference of the two engines, in units of the largest number.
const ENGINES: f32 = 1e-4;

/// Enough coalitions for a map that holds still, few enough for a test.
const SAMPLES: usize = 300;

/// How much more of the weight than of the area lies in the box. Measured with four seeds each: 0.18 to 0.26
/// (cat), 0.18 to 0.24 (dragonfly), 0.40 to 0.44 (hot dog).
const MARGIN: f64 = 0.12;

/// How often the weights are shuffled, and in how many of these they may be on the object as much as the map.
const SHUFFLES: usize = 1000;
const BY_CHANCE: usize = 20;

/// A file of the shared folder, or `None` (printed) if it is not there.
fn shared(test: &str, file: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("WHYBOX_SHARED").map_or_else(default, PathBuf::from).join(file);
    if path.exists() {
        return Some(path);
    }
    // Not eprintln, which the test harness hides where the test passes.
    writeln!(std::io::stderr(), "skipped: {test}, {} is not there", path.display()).ok();
    None
}

fn squeezenet(path: &Path) -> Network {
    Device::cpu().load(&Model::from_onnx(path).unwrap().probabilities().unwrap()).unwrap()
}

/// How SqueezeNet wants its pictures. The crops have its size, so nothing is resized.
fn explainer() -> ImageExplainer {
    ImageExplainer { preprocess: "caffe".parse().unwrap(), ..ImageExplainer::default() }
}

/// Whether `found` agrees with the recorded ten best: with their order too, or with the best one alone.
fn compare(top: &[Json], found: &[f32], tolerance: f64, order: bool) -> Result<f64, String> {
    let mut best: Vec<usize> = (0..found.len()).collect();
    best.sort_by(|&a, &b| found[b].total_cmp(&found[a]));
    let compared = if order { top.len() } else { 1 };
    let mut worst = 0.0_f64;
    for (place, entry) in top.iter().enumerate() {
        let class = entry["index"].as_u64().unwrap() as usize;
        let expected = entry["probability"].as_f64().unwrap();
        if place < compared && best[place] != class {
            return Err(format!("place {place} is class {} instead of {class}", best[place]));
        }
        let difference = (f64::from(found[class]) - expected).abs();
        if difference.is_nan() || difference > tolerance {
            return Err(format!("class {class}: {} instead of {expected}", found[class]));
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

#[test]
fn squeezenet_predicts_what_is_recorded() {
    let file = |name| shared("squeezenet_predicts_what_is_recorded", name);
    let Some(reference) = file("reference/top10_squeezenet1_1_fp32.json") else { return };
    let Some(photos) = file("photos/crop224") else { return };
    let Some(models) = file("models") else { return };
    let recorded: Json = serde_json::from_slice(&std::fs::read(reference).unwrap()).unwrap();
    // Entries that are no list are remarks.
    let recorded: Vec<(&String, &Vec<Json>)> = recorded["top10"]
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(photo, top)| top.as_array().map(|top| (photo, top)))
        .collect();
    assert_eq!(recorded.len(), std::fs::read_dir(&photos).unwrap().count(), "every photo is recorded");
    assert!(recorded.iter().all(|(_, top)| top.len() == 10));
    let mut answers = Vec::new();
    for (network, tolerance, order) in
        [("squeezenet1_1_fp32.onnx", FP32, true), ("squeezenet1_1_fp16.onnx", FP16, false)]
    {
        let loaded = squeezenet(&models.join(network));
        for (photo, top) in &recorded {
            let picture = open_photo(&photos.join(photo).with_extension("png")).unwrap();
            let found = explainer().predict(&loaded, picture).unwrap();
            let sum: f32 = found.iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{network}, {photo}: the probabilities add up to {sum}");
            let worst = compare(top, &found, tolerance, order)
                .unwrap_or_else(|what| panic!("{network}, {photo}: {what}"));
            println!("{network}, {photo}: {worst:.1e}");
            answers.push(found);
        }
    }
    // The comparison sees a difference: no photo has the answers of the next.
    for (at, (photo, top)) in recorded.iter().enumerate() {
        let other = &answers[(at + 1) % recorded.len()];
        assert!(compare(top, other, FP16, false).is_err(), "{photo} is like the next");
    }
}

/// Numbers from `low` to `high` that are the same in every run.
fn seeded(len: usize, low: f32, high: f32) -> Vec<f32> {
    let mut state = 7_u64;
    let draw = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((state >> 40) as f32 / (1_u64 << 24) as f32)
    };
    (0..len).map(draw).collect()
}

fn numbers(list: &Json) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// The largest difference (infinite for a NaN) of the numbers that both have.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.map(|d| if d.is_nan() { f32::INFINITY } else { d }).fold(0.0, f32::max)
}

fn responses(device: &Device, model: &Model, data: &[f32]) -> Vec<f32> {
    let network = device.load(model).unwrap();
    let rows = Rows::new(data, network.input().len()).unwrap();
    network.responses(&rows, &RunOptions::default()).unwrap().into_raw_vec_and_offset().0
}

/// Each network on the CPU, and the same numbers on the GPU where there is one.
#[test]
fn engines_agree_on_published_networks() {
    let test = "engines_agree_on_published_networks";
    let Some(models) = shared(test, "models") else { return };
    let Some(stroke) = shared(test, "reference/stroke_mlp.json") else { return };
    let stroke: Json = serde_json::from_slice(&std::fs::read(stroke).unwrap()).unwrap();
    let patients: Vec<f32> = stroke["explained"].as_array().unwrap().iter().flat_map(numbers).collect();
    let risks = numbers(&stroke["predictions"]);
    let device = gpu();
    for (name, input, outputs, data) in [
        ("resnet8_cifar10", &[3, 32, 32][..], 10, seeded(3 * 3072, 0.0, 255.0)),
        ("mnist_cntk_opset8", &[1, 28, 28], 10, seeded(3 * 784, 0.0, 255.0)),
        ("stroke_mlp", &[10], 1, patients),
        // One row: a software adapter takes its time.
        ("squeezenet1_1_fp32", &[3, 224, 224], 1000, seeded(3 * 224 * 224, -120.0, 135.0)),
    ] {
        let model = Model::from_onnx(models.join(name).with_extension("onnx")).unwrap();
        assert_eq!((model.input_shape(), model.output_len()), (input, outputs), "{name}");
        let expected = responses(&Device::cpu(), &model, &data);
        let rows = data.len() / input.iter().product::<usize>();
        assert_eq!(expected.len(), rows * outputs, "{name}");
        if name == "stroke_mlp" {
            assert!(apart(&expected, &risks) < 1e-5, "{expected:?} instead of {risks:?}");
        }
        // Answers that do not depend on the input would agree as well.
        let differ = rows == 1 || apart(&expected[outputs..], &expected) > 0.01;
        assert!(differ, "{name}: {expected:?}");
        if model.output_kind() == OutputKind::Probabilities && outputs > 1 {
            let sums = expected.chunks_exact(outputs).map(|row| row.iter().sum::<f32>());
            assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-4), "{name}: {expected:?}");
        }
        let Some(device) = &device else { continue };
        let start = Instant::now();
        let found = responses(device, &model, &data);
        let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let apart = apart(&expected, &found) / largest;
        println!("{name}: {apart:.1e} of the largest, {:.1?}", start.elapsed());
        assert!(found.len() == expected.len() && apart <= ENGINES, "{name}: {apart} of the largest");
    }
}

/// A photograph, and a box drawn by hand around what the network recognises.
struct Case {
    photo: &'static str,
    /// The network's class, of those of `reference/top10_squeezenet1_1_fp32.json`.
    class: usize,
    /// Left, top, right and bottom, in pixels of 224; right and bottom are outside.
    object: [usize; 4],
}

/// The cat's head, the dragonfly's head and body, the bread with all that is on it.
const CASES: [Case; 3] = [
    Case { photo: "cat", class: 285, object: [45, 10, 200, 160] },
    Case { photo: "dragonfly", class: 319, object: [45, 45, 185, 155] },
    Case { photo: "hot_dog", class: 934, object: [5, 38, 224, 138] },
];

/// Squarer segments than by default: those of the cat's face would reach into the curtain behind it.
const SEGMENTS: &str = "slic:n=40,compactness=30";

/// Of each segment, the part that lies in the box.
fn overlaps(found: &ImageExplanation, [left, top, right, bottom]: [usize; 4]) -> Vec<f64> {
    let width = found.photo.width() as usize;
    let (mut inside, mut size) = (vec![0.0; found.segments], vec![0.0; found.segments]);
    for (at, &label) in found.labels.iter().enumerate() {
        size[label as usize] += 1.0;
        if (left..right).contains(&(at % width)) && (top..bottom).contains(&(at / width)) {
            inside[label as usize] += 1.0;
        }
    }
    inside.iter().zip(&size).map(|(inside, size)| inside / size).collect()
}

/// Of the positive weight, the part that lies in the box.
fn share(weights: &[f64], overlaps: &[f64]) -> f64 {
    let positive = || weights.iter().map(|weight| weight.max(0.0));
    positive().zip(overlaps).map(|(weight, overlap)| weight * overlap).sum::<f64>() / positive().sum::<f64>()
}

/// The weights in another order.
fn shuffled(weights: &[f64], draws: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| draws[a].total_cmp(&draws[b]));
    order.iter().map(|&at| weights[at]).collect()
}

#[test]
fn the_map_sits_on_the_object() {
    let file = |name| shared("the_map_sits_on_the_object", name);
    let Some(network) = file("models/squeezenet1_1_fp32.onnx") else { return };
    let Some(photos) = file("photos/crop224") else { return };
    let network = squeezenet(&network);
    for Case { photo, class, object } in CASES {
        let start = Instant::now();
        let picture = open_photo(&photos.join(photo).with_extension("png")).unwrap();
        let explainer = ImageExplainer { segmentation: SEGMENTS.parse().unwrap(), ..explainer() };
        let lime = Lime { samples: SAMPLES, ..Lime::default() };
        let found = explainer.explain(&network, picture, &lime, &mut |_| {}).unwrap();
        let attribution = &found.explanation.attributions[0];
        assert_eq!(attribution.output, class, "{photo}");
        let overlaps = overlaps(&found, object);
        let area = ((object[2] - object[0]) * (object[3] - object[1])) as f64 / (224.0 * 224.0);
        let inside = share(&attribution.values, &overlaps);
        // The measure tells a map from chance: the same weights on other segments.
        let draws = seeded(SHUFFLES * found.segments, 0.0, 1.0);
        let mut others: Vec<f64> = draws
            .chunks_exact(found.segments)
            .map(|draws| share(&shuffled(&attribution.values, draws), &overlaps))
            .collect();
        others.sort_by(f64::total_cmp);
        let (median, lucky) = (others[SHUFFLES / 2], others[SHUFFLES - BY_CHANCE]);
        println!(
            "{photo}: {area:.3} of the area, {inside:.3} of the weight; shuffled {median:.3}, at best {lucky:.3}; \
             {:.1?}",
            start.elapsed()
        );
        assert!(inside >= area + MARGIN, "{photo}: {inside:.3} of the weight on {area:.3} of the area");
        assert!(median < area + MARGIN, "{photo}: shuffled weights pass, with {median:.3} on {area:.3}");
        assert!(inside > lucky, "{photo}: {inside:.3} of the weight, shuffled {lucky:.3}");
    }
}
