//! Explains a photo with LIME and writes the report.
//!
//! ```sh
//! cargo run --release --example lime_image                       # the built-in photo and network
//! cargo run --release --example lime_image -- cat.jpg net.onnx   # yours (imagenet preprocessing)
//! ```

use std::time::Instant;

use whybox::explain::{ImageExplainer, Labels, Lime};
use whybox::model::Model;
use whybox::perturb::picture::open_photo;
use whybox::report::{ImageReport, Scale};
use whybox::{Device, Result, builtin};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (photo, model, names, preprocess) = match (arguments.next(), arguments.next()) {
        (Some(photo), Some(model)) => {
            (open_photo(photo.as_ref())?, Model::from_onnx(model)?, Vec::new(), "imagenet".parse()?)
        }
        _ => (builtin::photo()?, builtin::network()?, builtin::classes(), builtin::preprocess()),
    };

    let start = Instant::now();
    let device = Device::best();
    let network = device.load(&model.probabilities()?)?;
    println!("{} on {}: loaded in {:.3} s", network.name(), device.name(), start.elapsed().as_secs_f64());

    let explainer =
        ImageExplainer { segmentation: "slic:n=60".parse()?, preprocess, ..ImageExplainer::default() };
    let lime = Lime { samples: 2000, labels: Labels::Top(2), ..Lime::default() };
    let result = explainer.explain(&network, photo, &lime, &mut |_| {})?;
    for (stage, seconds) in &result.explanation.seconds {
        println!("{stage:>10}  {seconds:.3} s");
    }

    let name = |output: usize| names.get(output).cloned().unwrap_or(format!("output {output}"));
    for attribution in &result.explanation.attributions {
        let strongest = (0..result.segments)
            .max_by(|&a, &b| attribution.values[a].abs().total_cmp(&attribution.values[b].abs()));
        println!(
            "{}: probability {:.3}, weighted R² {:.3}, strongest segment {}",
            name(attribution.output),
            attribution.prediction,
            attribution.score,
            strongest.unwrap_or_default()
        );
    }

    let start = Instant::now();
    let report = ImageReport::new(&result, network.name(), device.name(), Scale::Probability, &name);
    for file in report.write("whybox-out")? {
        println!("wrote {}", file.display());
    }
    println!("report in {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
