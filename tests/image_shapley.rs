//! Shapley values and LIME's surrogate of photographs against exact ones recorded with ONNX Runtime.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1, Axis};
use serde_json::Value;
use whybox::explain::{Budget, Estimator, ExactShapley, Game, KernelShap, Labels};
use whybox::model::Model;
use whybox::perturb::picture::{Picture, PictureShape, Preprocess, open_photo};
use whybox::perturb::segment::{SegmentMap, Segmentation};
use whybox::perturb::{Coalitions, Segments};
use whybox::solve::{Distance, Gram, Kernel, Selection, Surrogate, SurrogateOptions, distances};
use whybox::{Device, Network, Result};

/// Absolute, of probabilities. The record allows 2e-4.
const TOLERANCE: f64 = 1e-4;

/// Of LIME's coefficients and intercept, over the largest.
const LIME_TOLERANCE: f64 = 1e-4;

/// A photo whose hidden segments are 0 in the network's input, which is no colour of 8 bits.
struct ZeroBaseline<'a> {
    network: &'a Network,
    instance: Vec<f32>,
    map: SegmentMap,
    shape: PictureShape,
}

impl Game for ZeroBaseline<'_> {
    fn players(&self) -> usize {
        self.map.count()
    }

    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let zeros = vec![0.0; self.instance.len()];
        let coalitions = Arc::new(coalitions.clone());
        let (instance, map) = (self.instance.clone(), self.map.clone());
        let segments = Segments::new(instance, zeros, map, self.shape.order, coalitions)?;
        Ok(self.network.responses(&segments, &Default::default())?.mapv(f64::from))
    }
}

fn worst(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// The intercept and the coefficients of LIME's surrogate over all masks, in the segments' order.
fn surrogate(masks: &Coalitions, values: ArrayView1<f64>, distance: Distance, width: f64) -> Vec<f64> {
    let weights = Kernel::new(width).expect("a width").weights(&distances(masks, distance));
    let mut gram = Gram::new(masks.players(), 1);
    gram.add(masks, &weights, values.insert_axis(Axis(1))).expect("rows");
    let options = SurrogateOptions { selection: Selection::None, alpha: 1.0, ..SurrogateOptions::default() };
    let fit = Surrogate::fit(&gram, 0, &options).expect("a surrogate");
    let mut found = vec![0.0; masks.players() + 1];
    found[0] = fit.intercept;
    fit.coefficients.iter().for_each(|&(segment, value)| found[segment + 1] = value);
    found
}

#[test]
fn squeezenet_s_explanations_agree_with_recorded_ones() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let record = shared.join("reference/explanations_squeezenet1_1_fp32.json");
    let Ok(text) = std::fs::read_to_string(&record) else {
        println!(
            "skipped: squeezenet_s_explanations_agree_with_recorded_ones, {} is absent",
            record.display()
        );
        return;
    };
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let path = |name: &Value| shared.join(name.as_str().expect("a path"));
    let model = Model::from_onnx(path(&record["model"])).and_then(Model::probabilities).expect("the network");
    let network = Device::cpu().load(&model).expect("it loads");
    let shape = PictureShape::of(&network.input().shape).expect("a picture");
    let preprocess: Preprocess = "caffe,fit=stretch".parse().expect("a preset");
    for case in record["cases"].as_array().expect("cases") {
        let picture =
            open_photo(&path(&case["photo"])).and_then(|photo| Picture::new(photo, &shape, &preprocess));
        let picture = picture.expect("the photo");
        let grid: Segmentation =
            format!("grid:rows={},cols={}", case["rows"], case["cols"]).parse().expect("a grid");
        let map = grid.segment(&picture.pixels(), 0).expect("segments");
        let instance = preprocess.apply(picture.pixels(), &shape);
        let game = ZeroBaseline { network: &network, instance, map, shape };
        let labels = Labels::Given(vec![case["target"].as_u64().expect("an output") as usize]);
        let exact = ExactShapley { labels: labels.clone(), ..ExactShapley::default() };
        let kept = exact.coalition_values(&game, &mut |_| {}).expect("all coalitions");
        let theirs = numbers(&case["shapley"]);
        let budget = Budget::of(kept.values().nrows());
        let shap = KernelShap { budget, labels, ..KernelShap::default() };
        for method in [&exact as &dyn Estimator, &shap] {
            let found = method.explain(&kept, &mut |_| {}).expect("an explanation");
            let ours = &found.attributions[0].values;
            let difference = worst(ours, &theirs);
            println!("{} of {}: {difference:.1e}", method.name(), case["photo"]);
            assert!(difference <= TOLERANCE, "{} of {}: {difference}", method.name(), case["photo"]);
            // Negative control: the same values on other segments.
            let turned: Vec<f64> = ours.iter().rev().copied().collect();
            assert!(worst(&turned, &theirs) > 10.0 * TOLERANCE);
        }
        // LIME's ridge over all masks, by the record's rule.
        let players = kept.players();
        let masks = Coalitions::from_words(players, (0..1 << players).collect()).expect("masks");
        let target = case["target"].as_u64().expect("an output") as usize;
        let values = kept.values().column(target);
        let theirs: Vec<f64> = std::iter::once(case["lime_intercept"].as_f64().expect("a number"))
            .chain(numbers(&case["lime_ridge_coefficients"]))
            .collect();
        let apart = |distance, width| {
            let largest = theirs.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
            worst(&surrogate(&masks, values, distance, width), &theirs) / largest
        };
        let difference = apart(Distance::Cosine, 0.25);
        println!("LIME of {}: {difference:.1e}", case["photo"]);
        assert!(difference <= LIME_TOLERANCE, "LIME of {}: {difference}", case["photo"]);
        // Negative controls: another width, another distance.
        assert!(apart(Distance::Cosine, 0.3) > 10.0 * LIME_TOLERANCE);
        assert!(apart(Distance::Manhattan, 0.25) > 10.0 * LIME_TOLERANCE);
        // And what one segment does alone, and what is left without it.
        let all = (1 << players) - 1;
        for (key, masks) in [
            ("values_of_single_cells", (0..players).map(|cell| 1 << cell).collect::<Vec<usize>>()),
            ("values_without_single_cell", (0..players).map(|cell| all ^ 1 << cell).collect()),
        ] {
            let ours: Vec<f64> = masks.into_iter().map(|mask| values[mask]).collect();
            assert!(worst(&ours, &numbers(&case[key])) <= TOLERANCE, "{key} of {}", case["photo"]);
        }
        assert!((values[all] - case["value_full"].as_f64().expect("a number")).abs() <= TOLERANCE);
        assert!((values[0] - case["value_empty"].as_f64().expect("a number")).abs() <= TOLERANCE);
    }
}
