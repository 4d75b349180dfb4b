//! Products of two activations, constants and picked entries on both engines against plain loops, over awkward sizes.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/cpu.rs"]
mod cpu;
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

use cpu::{assert_none, reduction};
use gpu::engine;
use reference::run_reference;
use single_step::{Failures, SingleStep, Tolerance};
use whybox::device::gpu::{Overrides, Tile};
use whybox::plan::{Fill, Kernel, MatMul, Plan, Select, Weight};

/// A name, a plan of one step, and the number of terms of each sum.
type Case = (String, Plan, usize);

/// Strides of rows of `row` elements with a gap of 3 behind each, for `[p, q, i, j]`.
fn strides([_, q, i, j]: [usize; 4]) -> [usize; 4] {
    let row = j + 3;
    [q * i * row, i * row, row, 1]
}

fn products() -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, k, n] in [[1, 1, 1], [1, 5, 7], [6, 41, 16], [41, 7, 65], [55, 63, 33], [7, 600, 5]] {
        for batch in [[1, 1], [2, 3]] {
            for form in ["plain", "transposed", "repeated"] {
                let [p, q] = batch;
                let (a, out) = (strides([p, q, m, k]), strides([p, q, m, n]));
                let mut b = strides([p, q, k, n]);
                let mut len = p * q * k * (n + 3);
                match form {
                    "transposed" => {
                        let turned = strides([p, q, n, k]);
                        b = [turned[0], turned[1], turned[3], turned[2]];
                        len = p * q * n * (k + 3);
                    }
                    "repeated" => b[0] = 0,
                    _ => {}
                }
                let mut making = SingleStep::new(11);
                let first = making.operand(1, p * q * m * (k + 3), 2);
                let second = making.operand(1, len, 1);
                let kernel =
                    Kernel::MatMul(MatMul { batch, m, k, n, a_strides: a, b_strides: b, out_strides: out });
                let plan = making.finish(kernel, &[first, second], p * q * m, n, 3);
                // The output's first element lies behind the first gap.
                cases.push((format!("{batch:?} {m}×{k}×{n} {form}"), plan, k));
            }
        }
    }
    cases
}

fn movements() -> Vec<Case> {
    let mut cases = Vec::new();
    for (outer, inner) in [(1, 1), (3, 1), (1, 7), (5, 65)] {
        let picks = [2.0, -1.0, 0.0, 0.0, 3.0, -1.0, 1.0];
        let (len, count) = (4, picks.len());
        let mut making = SingleStep::new(12);
        let input = making.operand(1, outer * len * inner, 1);
        let indices = making.weight(count);
        let kernel = Kernel::Select(Select { outer, len, inner, count, indices, fill: 0.25 });
        let mut plan = making.finish(kernel, &[input], 1, outer * count * inner, 2);
        plan.weights[indices] = Weight { data: picks.into() };
        cases.push((format!("select [{outer}, {len}, {inner}]"), plan, 1));
    }
    for (rows, channels, gap) in [(1, 1, 0), (3, 5, 2), (41, 8, 3)] {
        let mut making = SingleStep::new(13);
        // A plan has an input, whether or not the step reads it.
        making.operand(1, 4, 0);
        let value = making.weight(rows * channels);
        let plan = making.finish(Kernel::Fill(Fill { rows, channels, value }), &[], rows, channels, gap);
        cases.push((format!("fill {rows}×{channels}"), plan, 1));
    }
    cases
}

#[test]
fn on_the_processor() {
    let mut wrong = Vec::new();
    for (name, plan, terms) in products().into_iter().chain(movements()) {
        let tolerance = if terms == 1 { 0.0 } else { 4.0 * reduction(terms, 2.0, 2.0) };
        wrong.extend(cpu::compare(&name, &plan, 3, tolerance, None));
    }
    assert_none(wrong);
}

#[test]
fn on_the_gpu() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for (name, plan, terms) in products() {
        for tile in [Tile::Small, Tile::Registers] {
            let overrides = Overrides { tile: Some(tile), ..Overrides::default() };
            let name = format!("{name} {tile:?}");
            failures.check_with(&gpu, &name, &plan, 3, Tolerance::Sum { terms }, overrides);
        }
    }
    for (name, plan, _) in movements() {
        failures.check(&gpu, &name, &plan, 3, Tolerance::Exact);
    }
}

/// The comparison can fail: a product of other operands is found out.
#[test]
fn other_strides_are_found_out() {
    let (_, plan, terms) = products().swap_remove(9);
    let mut other = plan.clone();
    if let Some(Kernel::MatMul(product)) = other.steps.last_mut().map(|step| &mut step.kernel) {
        product.b_strides.swap(2, 3);
        product.b_strides[2] = product.b_strides[2].min(1);
        product.b_strides[3] = product.b_strides[3].min(1);
    }
    let data = plans::Draws::new(5).floats(plan.input_layout.len());
    let (expected, found) = (run_reference(&plan, &data, 1), run_reference(&other, &data, 1));
    single_step::compare(&expected, &found, Tolerance::Sum { terms }).expect_err("another product");
}
