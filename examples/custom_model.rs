//! Explains a closure: any black box that answers for a set of present features.
//!
//! Here a credit score of six features with an interaction; an absent feature takes an average customer's
//! value.
//!
//! ```sh
//! cargo run --release --example custom_model
//! ```

use std::time::Instant;

use whybox::Result;
use whybox::explain::{FunctionGame, Lime};
use whybox::solve::Distance;

const NAMES: [&str; 6] = ["income", "debt", "age", "late payments", "years employed", "postcode"];
const CUSTOMER: [f64; 6] = [5.2, 3.1, 2.7, 4.0, 0.5, 1.0];
const AVERAGE: [f64; 6] = [4.0, 1.5, 4.1, 0.3, 6.0, 1.0];

/// The black box: whybox sees nothing of this but its answers.
fn score(x: &[f64]) -> f64 {
    let risk = 0.9 * x[1] - 0.5 * x[0] + 0.35 * x[1] * x[3] - 0.1 * x[4] - 0.05 * x[2];
    1.0 / (1.0 + (-risk).exp())
}

fn main() -> Result<()> {
    let game = FunctionGame::new(NAMES.len(), 1, |present: &[bool], out: &mut [f64]| {
        let x: Vec<f64> =
            (0..NAMES.len()).map(|i| if present[i] { CUSTOMER[i] } else { AVERAGE[i] }).collect();
        out[0] = score(&x);
    });
    let lime = Lime { samples: 5000, distance: Distance::Euclidean, kernel_width: 2.0, ..Lime::default() };
    let start = Instant::now();
    let explanation = lime.explain(&game, &mut |_| {})?;
    let seconds = start.elapsed().as_secs_f64();

    let attribution = &explanation.attributions[0];
    println!("risk {:.3}, weighted R² {:.3}", attribution.prediction, attribution.score);
    let mut order: Vec<usize> = (0..NAMES.len()).collect();
    order.sort_by(|&a, &b| attribution.values[b].abs().total_cmp(&attribution.values[a].abs()));
    for feature in order {
        let error = attribution.standard_errors.as_ref().map_or(f64::NAN, |errors| errors[feature]);
        println!("{:>16}  {:+.4} ± {:.4}", NAMES[feature], attribution.values[feature], error);
    }
    println!("{} evaluations in {:.1} ms", explanation.evaluations, 1e3 * seconds);
    Ok(())
}
