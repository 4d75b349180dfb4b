//! Shapley values of photographs against exact ones recorded with ONNX Runtime.

use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use serde_json::Value;
use whybox::explain::{Budget, Estimator, ExactShapley, Game, KernelShap, Labels};
use whybox::model::Model;
use whybox::perturb::picture::{Picture, PictureShape, Preprocess, open_photo};
use whybox::perturb::segment::{SegmentMap, Segmentation};
use whybox::perturb::{Coalitions, Segments};
use whybox::{Device, Network, Result};

/// Absolute, of probabilities. The record allows 2e-4.
const TOLERANCE: f64 = 1e-4;

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

#[test]
fn squeezenet_s_shapley_values_agree_with_recorded_ones() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let record = shared.join("reference/explanations_squeezenet1_1_fp32.json");
    let Ok(text) = std::fs::read_to_string(&record) else {
        println!(
            "skipped: squeezenet_s_shapley_values_agree_with_recorded_ones, {} is absent",
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
        let theirs: Vec<f64> =
            case["shapley"].as_array().expect("values").iter().filter_map(Value::as_f64).collect();
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
    }
}
