//! Scalar functions and normalisations of the CPU engine, on every instruction set of this machine.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/cpu.rs"]
mod cpu;
#[path = "common/functions.rs"]
mod functions;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;

use std::sync::Arc;

use cpu::{Case, ELEMENTWISE, assert_none, compare, responses};
use functions::{FUNCTIONS, PARTIAL};
use plans::{Making, Stored, square, whole};
use whybox::device::RunOptions;
use whybox::device::cpu::Cpu;
use whybox::model::{Activation, BinaryKind, NormKind, ReduceKind, Response};
use whybox::plan::{Binary, Kernel, Lrn, Map, Normalize, Operand, Plan, Reduce};

/// A plan that maps `len` numbers.
fn mapping(activation: Activation, len: usize) -> Plan {
    let mut making = Making::new(3, [len, 1, 1]);
    let out = making.buffer(len);
    let map = Kernel::Map(Map { rows: 1, channels: len, activation });
    making.step(map, &[whole(0, len)], whole(out, len));
    making.finish(out, len)
}

/// What each instruction set makes of some numbers.
fn mapped(activation: Activation, data: &[f32]) -> Vec<(String, Vec<f32>)> {
    let stored = Stored { data, len: data.len(), locality: None };
    let plan = Arc::new(mapping(activation, data.len()));
    let run = |cpu: Cpu| {
        let network = cpu.load(plan.clone()).expect("the plan is sound");
        (cpu.name().to_owned(), responses(&network, &stored, 1, &RunOptions::default()))
    };
    Cpu::all().into_iter().map(run).collect()
}

/// Numbers of every size and both signs, densely around 0.
fn numbers() -> Vec<f32> {
    let fine = (-4000..=4000).map(|k| k as f32 * 0.005);
    let powers = (-60..=60).flat_map(|k| [2.0f32.powi(k) * 1.3, -1.7 * 2.0f32.powi(k)]);
    fine.chain(powers).chain([0.0, -0.0, 1e30, -1e30]).collect()
}

#[test]
fn functions_have_small_errors_everywhere() {
    let data = numbers();
    let mut wrong = Vec::new();
    let mut check = |activation: Activation, data: &[f32]| {
        for (level, found) in mapped(activation, data) {
            for (&x, &found) in data.iter().zip(&found) {
                let expected = activation.apply(x);
                // Four units in the last place, and 1e-6 where a difference of large terms remains.
                let allowed = 4.0 * f32::EPSILON * expected.abs() + 1e-6 * x.abs().clamp(1.0, 4.0);
                if (found - expected).abs() > allowed && found != expected || found.is_nan() {
                    wrong.push(format!("{activation:?}({x}) = {found} instead of {expected} on {level}"));
                }
            }
        }
    };
    FUNCTIONS.iter().for_each(|&activation| check(activation, &data));
    PARTIAL.iter().for_each(|&(activation, data)| check(activation, data));
    wrong.truncate(40);
    assert_none(wrong);
}

/// e^x to two units in the last place; near 0, functions that begin as x keep their digits.
#[test]
fn exponentials_are_accurate() {
    let data: Vec<f32> = (-8700..=8800).map(|k| k as f32 * 0.01 + 0.003).collect();
    for (level, found) in mapped(Activation::Exp, &data) {
        for (&x, &found) in data.iter().zip(&found) {
            let exact = f64::from(x).exp();
            let error = (f64::from(found) / exact - 1.0).abs();
            assert!(error <= 2.0 * f64::from(f32::EPSILON), "exp({x}) = {found}, {error:e} off on {level}");
        }
    }
    let small: Vec<f32> = (1..200).map(|k| k as f32 * 1e-6).flat_map(|x| [x, -x]).collect();
    for activation in [Activation::Tanh, Activation::Erf, Activation::Elu { alpha: 1.0 }] {
        for (level, found) in mapped(activation, &small) {
            for (&x, &found) in small.iter().zip(&found) {
                let error = (found / activation.apply(x) - 1.0).abs();
                assert!(error <= 1e-6, "{activation:?}({x}) = {found}, {error:e} off on {level}");
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    let data = [f32::NAN, 1.0];
    for activation in FUNCTIONS.into_iter().chain(PARTIAL.map(|(activation, _)| activation)) {
        for (level, found) in mapped(activation, &data) {
            assert!(found[0].is_nan() && !found[1].is_nan(), "{activation:?}: {found:?} on {level}");
        }
    }
}

#[test]
fn functions_fused_into_every_kernel() {
    let mut wrong = Vec::new();
    for activation in FUNCTIONS {
        let steps = matches!(
            activation,
            Activation::Floor
                | Activation::Ceil
                | Activation::Round
                | Activation::Sign
                | Activation::ThresholdedRelu { .. }
        );
        // A rounding error may take a sum to another step.
        if steps {
            continue;
        }
        let pointwise = Case { activation, ..Case::new(9, 21, [1, 13], square(1, 1, 1, 0)) };
        wrong.extend(pointwise.compare(&format!("product {activation:?}"), 3, None));
        let winograd = Case { activation, margins: [1, 2], ..Case::new(33, 35, [7, 9], square(3, 1, 1, 1)) };
        wrong.extend(winograd.compare(&format!("winograd {activation:?}"), 2, None));
        let depthwise = Case { groups: 21, activation, ..Case::new(21, 21, [7, 6], square(3, 1, 1, 1)) };
        wrong.extend(depthwise.compare(&format!("depthwise {activation:?}"), 2, None));
    }
    assert_none(wrong);
}

/// `[outer, len, groups, width]`
const SETS: [[usize; 4]; 9] = [
    [1, 1, 1, 1],
    [5, 1, 1, 41],
    [3, 1, 1, 130],
    [1, 63, 1, 7],
    [1, 65, 41, 1],
    [1, 55, 3, 5],
    [2, 9, 4, 16],
    [2, 130, 2, 3],
    [1, 1, 5, 1],
];

#[test]
fn normalisations() {
    let mut wrong = Vec::new();
    for [outer, len, groups, width] in SETS {
        let channels = groups * width;
        for (number, kind) in [
            NormKind::Standard { epsilon: 1e-3 },
            NormKind::RootMeanSquare { epsilon: 1e-5 },
            NormKind::L1,
            NormKind::L2,
        ]
        .into_iter()
        .enumerate()
        {
            let mut making = Making::new(9, [channels, outer, len]);
            let scale = (number % 2 == 0).then(|| making.weight(channels, 1.0));
            let shift = (number < 2).then(|| making.weight(channels, 1.0));
            let activation = if number == 1 { Activation::Gelu } else { Activation::Identity };
            // Within wider rows.
            let stride = channels + 3;
            let out = making.buffer(outer * len * channels);
            let wide = making.buffer(outer * len * stride);
            let spread = Kernel::Map(Map { rows: outer * len, channels, activation: Activation::Identity });
            let view = whybox::plan::View { buffer: wide, offset: 2, stride };
            making.step(spread, &[whole(0, channels)], view);
            let norm = Normalize { kind, outer, len, groups, width, scale, shift, activation };
            making.step(Kernel::Normalize(norm), &[view], whole(out, channels));
            let name = format!("{kind:?} [{outer}, {len}, {groups}, {width}]");
            let plan = making.finish(out, outer * len * channels);
            wrong.extend(compare(&name, &plan, 3, 4.0 * ELEMENTWISE, None));
        }
    }
    assert_none(wrong);
}

#[test]
fn local_responses() {
    let mut wrong = Vec::new();
    for (rows, channels, size, beta) in [(1, 1, 5, 0.75), (7, 41, 5, 0.75), (3, 65, 4, 0.6), (9, 16, 40, 2.0)]
    {
        let mut making = Making::new(11, [channels, rows, 1]);
        let out = making.buffer(rows * channels);
        let response = Response { size, alpha: 0.9, beta, bias: 1.5 };
        let lrn = Kernel::Lrn(Lrn { rows, channels, response });
        making.step(lrn, &[whole(0, channels)], whole(out, channels));
        let name = format!("{rows}×{channels} {response:?}");
        wrong.extend(compare(&name, &making.finish(out, rows * channels), 3, ELEMENTWISE, None));
    }
    assert_none(wrong);
}

#[test]
fn products_and_rarer_pairs() {
    let mut wrong = Vec::new();
    for [outer, len, inner] in [[1, 7, 37], [3, 1, 5], [5, 9, 1]] {
        let mut making = Making::new(6, [outer, len, inner]);
        let out = making.buffer(outer * inner);
        let reduce = Kernel::Reduce(Reduce { kind: ReduceKind::Prod, outer, len, inner });
        making.step(reduce, &[whole(0, inner)], whole(out, inner));
        // Factors of at most 2.
        let tolerance = 2.0f32.powi(len as i32) * ELEMENTWISE;
        wrong.extend(compare("product", &making.finish(out, outer * inner), 2, tolerance, None));
    }
    for kind in [BinaryKind::Max, BinaryKind::Min, BinaryKind::PRelu, BinaryKind::Pow] {
        for swapped in [false, true] {
            for b_strides in [[0, 0, 0, 1], [0, 0, 0, 0], [1, 2, 6, 30]] {
                let mut making = Making::new(8, [210, 1, 1]);
                let mut input = 0;
                if kind == BinaryKind::Pow {
                    // A base above 0.
                    input = making.buffer(210);
                    let map = Kernel::Map(Map { rows: 1, channels: 210, activation: Activation::Sigmoid });
                    making.step(map, &[whole(0, 210)], whole(input, 210));
                }
                let constant = making.weight(210, 1.0);
                if kind == BinaryKind::Pow {
                    let shifted: Vec<f32> =
                        making.plan.weights[constant].data.iter().map(|x| x.abs() + 0.1).collect();
                    making.plan.weights[constant].data = shifted.into();
                }
                let out = making.buffer(210);
                let binary = Binary {
                    kind,
                    shape: [2, 3, 5, 7],
                    a_strides: [105, 35, 7, 1],
                    b_strides,
                    out_strides: [1, 2, 42, 6],
                    b: Operand::Constant(constant),
                    swapped,
                    activation: Activation::Softsign,
                };
                making.step(Kernel::Binary(binary), &[whole(input, 210)], whole(out, 210));
                let name = format!("{kind:?} {b_strides:?} swapped {swapped}");
                wrong.extend(compare(&name, &making.finish(out, 210), 2, ELEMENTWISE, None));
            }
        }
    }
    assert_none(wrong);
}

/// The comparison finds a wrong epsilon, a wrong group and a wrong window.
#[test]
fn the_comparison_can_fail() {
    let plan = |epsilon: f32, groups: usize| {
        let mut making = Making::new(9, [12, 5, 1]);
        let out = making.buffer(60);
        let norm = Normalize {
            kind: NormKind::Standard { epsilon },
            outer: 1,
            len: 5,
            groups,
            width: 12 / groups,
            scale: None,
            shift: None,
            activation: Activation::Identity,
        };
        making.step(Kernel::Normalize(norm), &[whole(0, 12)], whole(out, 12));
        making.finish(out, 60)
    };
    let data = plans::Draws::new(1).floats(60);
    let answer = |plan: Plan| reference::run_reference(&plan, &data, 1);
    let right = answer(plan(1e-3, 3));
    assert!(cpu::difference(&right, &answer(plan(2e-3, 3))) > 4.0 * ELEMENTWISE);
    assert!(cpu::difference(&right, &answer(plan(1e-3, 4))) > 4.0 * ELEMENTWISE);
}
