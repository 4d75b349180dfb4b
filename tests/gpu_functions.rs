//! Scalar functions and normalisations of the GPU engine against plain loops.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/functions.rs"]
mod functions;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/single_step.rs"]
mod single_step;

use functions::{FUNCTIONS, PARTIAL};
use gpu::engine;
use plans::sliding;
use single_step::{Failures, SingleStep, Tolerance, respond};
use whybox::device::gpu::Overrides;
use whybox::model::{Activation, BinaryKind, NormKind, ReduceKind, Response, Window};
use whybox::plan::{Binary, Conv, Kernel, Lrn, Map, Normalize, Operand, Reduce};

#[test]
fn functions_far_from_zero_and_near() {
    let Some(gpu) = engine() else { return };
    let fine = (-300..=300).map(|k| k as f32 * 0.03);
    let far = [-1e4, -90.0, -45.0, -15.5, -1e-6, 0.0, 1e-6, 14.5, 45.0, 90.0, 1e4];
    let everywhere: Vec<f32> = fine.chain(far).collect();
    let all = FUNCTIONS.iter().map(|&function| (function, &everywhere[..])).chain(PARTIAL);
    let mut wrong = Vec::new();
    for (activation, data) in all {
        let mut making = SingleStep::new(0);
        let input = making.operand(1, data.len(), 0);
        let map = Kernel::Map(Map { rows: 1, channels: data.len(), activation });
        let plan = making.finish(map, &[input], 1, data.len(), 0);
        let mut both = vec![0.5; plan.input_layout.len()];
        both[..data.len()].copy_from_slice(data);
        let found = respond(&gpu, &plan, &both, Overrides::default()).expect("a sound plan");
        for (&x, &found) in data.iter().zip(&found) {
            let expected = activation.apply(x);
            let close = (expected - found).abs() <= 2e-6 * x.abs().clamp(1.0, 4.0) + 1e-5 * expected.abs();
            if !close && expected != found {
                wrong.push(format!("{activation:?}({x}) = {found} instead of {expected}"));
            }
        }
    }
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_fused_into_products() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for activation in FUNCTIONS {
        if matches!(activation, Activation::Floor | Activation::Ceil | Activation::Round | Activation::Sign) {
            continue; // A rounding error may take a sum to another step.
        }
        let mut making = SingleStep::new(1);
        let input = making.operand(5, 8, 0);
        let (weight, bias) = (making.weight(64), Some(making.weight(8)));
        let sliding = sliding([1, 5], Window::square(1));
        let conv = Conv { sliding, cin: 8, cout: 8, groups: 1, weight, bias, residual: false, activation };
        let plan = making.finish(Kernel::Conv(conv), &[input], 5, 8, 0);
        failures.check(&gpu, &format!("{activation:?}"), &plan, 3, Tolerance::Elementwise);
    }
}

#[test]
fn normalisations() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    let kinds = [
        NormKind::Standard { epsilon: 1e-3 },
        NormKind::RootMeanSquare { epsilon: 1e-5 },
        NormKind::L1,
        NormKind::L2,
    ];
    for [outer, len, groups, width] in [
        [1, 1, 1, 1],
        [5, 1, 1, 41],
        [3, 1, 1, 130],
        [1, 63, 1, 7],
        [1, 65, 41, 1],
        [1, 55, 3, 5],
        [2, 9, 4, 16],
    ] {
        for (number, kind) in kinds.into_iter().enumerate() {
            for gap in [0, 3] {
                let channels = groups * width;
                let mut making = SingleStep::new(8);
                let input = making.operand(outer * len, channels, gap);
                let scale = (number % 2 == 0).then(|| making.weight(channels));
                let shift = (number < 2).then(|| making.weight(channels));
                let activation = if number == 1 { Activation::Gelu } else { Activation::Identity };
                let norm = Normalize { kind, outer, len, groups, width, scale, shift, activation };
                let plan = making.finish(Kernel::Normalize(norm), &[input], outer * len, channels, gap);
                let name = format!("{kind:?} of [{outer}, {len}, {groups}, {width}], gap {gap}");
                failures.check(&gpu, &name, &plan, 3, Tolerance::Elementwise);
            }
        }
    }
}

#[test]
fn local_responses() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for (rows, channels, size, beta) in [(1, 1, 5, 0.75), (7, 41, 5, 0.75), (3, 65, 4, 0.6), (9, 16, 40, 2.0)]
    {
        for gap in [0, 3] {
            let mut making = SingleStep::new(9);
            let input = making.operand(rows, channels, gap);
            let response = Response { size, alpha: 0.9, beta, bias: 1.5 };
            let lrn = Kernel::Lrn(Lrn { rows, channels, response });
            let plan = making.finish(lrn, &[input], rows, channels, gap);
            let name = format!("{rows}×{channels} {response:?}, gap {gap}");
            failures.check(&gpu, &name, &plan, 3, Tolerance::Elementwise);
        }
    }
}

#[test]
fn products_and_rarer_pairs() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for (outer, len, inner) in [(1, 7, 12), (3, 1, 4), (5, 2, 1), (2, 6, 7)] {
        let mut making = SingleStep::new(4);
        let input = making.operand(outer * len, inner, 0);
        let reduce = Kernel::Reduce(Reduce { kind: ReduceKind::Prod, outer, len, inner });
        let plan = making.finish(reduce, &[input], outer, inner, 0);
        failures.check(&gpu, &format!("[{outer}, {len}, {inner}]"), &plan, 3, Tolerance::Elementwise);
    }
    for kind in [BinaryKind::Max, BinaryKind::Min, BinaryKind::PRelu, BinaryKind::Pow] {
        for swapped in [false, true] {
            for channels in [8, 5] {
                let mut making = SingleStep::new(5);
                let input = making.operand(7, channels, 0);
                let b = making.weight(channels);
                let mut plan = making.finish(
                    Kernel::Binary(Binary {
                        kind,
                        shape: [1, 1, 7, channels],
                        a_strides: [0, 0, channels, 1],
                        b_strides: [0, 0, 0, 1],
                        out_strides: [0, 0, channels, 1],
                        b: Operand::Constant(b),
                        swapped,
                        activation: Activation::Identity,
                    }),
                    &[input],
                    7,
                    channels,
                    0,
                );
                if kind == BinaryKind::Pow {
                    if swapped {
                        // A base above 0 for exponents of both signs.
                        plan.weights[b].data = plan.weights[b].data.iter().map(|x| x.abs() + 0.1).collect();
                    } else {
                        // Integer exponents for bases of both signs.
                        plan.weights[b].data = (0..channels).map(|k| (k % 4) as f32).collect();
                    }
                }
                let name = format!("{kind:?} swapped {swapped} × {channels}");
                failures.check(&gpu, &name, &plan, 3, Tolerance::Elementwise);
            }
        }
    }
}
