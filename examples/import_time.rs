//! Seconds to read an ONNX network and to plan it.
//!
//! ```sh
//! cargo run --release --example import_time -- net.onnx [repeats]
//! ```

use std::time::Instant;

use whybox::Result;
use whybox::model::Model;
use whybox::plan::Plan;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "assets/network/cifar10_resnet.onnx".into());
    let repeats = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    for _ in 0..repeats {
        let start = Instant::now();
        let model = Model::from_onnx(&path)?;
        let imported = start.elapsed().as_secs_f64();
        let plan = Plan::new(&model)?;
        let planned = start.elapsed().as_secs_f64() - imported;
        println!("import {imported:.3} s, plan {planned:.3} s, {} steps", plan.steps.len());
    }
    Ok(())
}
