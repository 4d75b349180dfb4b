//! Every kernel of the CPU engine, on every instruction set of this machine, against plain loops in f64.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;

use std::sync::Arc;

use cpu::{ACTIVATIONS, Case, ELEMENTWISE, WINOGRAD, assert_none, compare, difference, reduction, responses};
use plans::{Draws, Making, Stored, sliding, square, whole};
use reference::run_reference;
use whybox::device::RunOptions;
use whybox::device::cpu::{ConvKernel, Cpu};
use whybox::model::{Activation, BinaryKind, PoolKind, ReduceKind, Window};
use whybox::plan::*;

/// Functions of two operands.
const KINDS: [BinaryKind; 9] = [
    BinaryKind::Add,
    BinaryKind::Sub,
    BinaryKind::Mul,
    BinaryKind::Div,
    BinaryKind::Equal,
    BinaryKind::Greater,
    BinaryKind::LessOrEqual,
    BinaryKind::Gate,
    BinaryKind::GateNot,
];

#[test]
fn products_of_awkward_sizes() {
    let mut wrong = Vec::new();
    for cin in [1, 3, 41, 126] {
        for cout in [1, 7, 48, 63, 65, 130] {
            for pixels in [1, 5, 55] {
                let case = Case {
                    margins: [pixels % 3, 2],
                    ..Case::new(cin, cout, [1, pixels], square(1, 1, 1, 0))
                };
                wrong.extend(case.compare(&format!("{pixels}×{cin} · {cin}×{cout}"), 3, None));
            }
        }
    }
    // Several passes over the depth.
    let case = Case { activation: Activation::Relu, ..Case::new(1300, 40, [1, 2], square(1, 1, 1, 0)) };
    wrong.extend(case.compare("deep", 5, None));
    assert_none(wrong);
}

#[test]
fn convolutions_on_every_kernel() {
    let mut wrong = Vec::new();
    let asymmetric = Window { kernel: [3, 2], stride: [1, 2], dilation: [2, 1], pads: [1, 0, 2, 1] };
    let windows = [
        square(3, 1, 1, 1),
        square(3, 2, 1, 1),
        square(3, 1, 2, 2),
        square(3, 1, 1, 0),
        square(7, 2, 1, 3),
        square(1, 2, 1, 0),
        Window { pads: [2, 0, 1, 2], ..square(3, 1, 1, 0) },
        asymmetric,
    ];
    for (cin, cout) in [(3, 7), (5, 48), (16, 16), (33, 17), (40, 70)] {
        for (number, &window) in windows.iter().enumerate() {
            for input in [[7, 9], [13, 8]] {
                let case = Case {
                    residual: number % 2 == 1,
                    bias: number % 3 != 1,
                    activation: ACTIVATIONS[(number + cin) % ACTIVATIONS.len()],
                    margins: [number % 2, number % 3],
                    ..Case::new(cin, cout, input, window)
                };
                for kernel in
                    [None, Some(ConvKernel::Direct), Some(ConvKernel::Padded), Some(ConvKernel::Winograd)]
                {
                    let name = format!("{input:?} {cin}→{cout} {window:?} {kernel:?}");
                    wrong.extend(case.compare(&name, 2, kernel));
                }
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn convolutions_with_groups() {
    let mut wrong = Vec::new();
    for (cin, cout, groups) in [(6, 4, 2), (32, 48, 4), (5, 5, 5), (33, 33, 33), (70, 70, 70), (4, 12, 4)] {
        for window in [square(3, 1, 1, 1), square(3, 2, 1, 1), square(5, 1, 1, 2), square(3, 1, 2, 2)] {
            for activation in [Activation::Clip { low: 0.0, high: 6.0 }, Activation::Sigmoid] {
                let residual = window.stride[0] == 2;
                let case = Case {
                    groups,
                    activation,
                    residual,
                    margins: [1, 2],
                    ..Case::new(cin, cout, [9, 11], window)
                };
                wrong.extend(case.compare(&format!("{cin}→{cout} in {groups} {window:?}"), 2, None));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn activations() {
    let mut wrong = Vec::new();
    for activation in ACTIVATIONS {
        let case = Case { activation, ..Case::new(9, 21, [1, 13], square(1, 1, 1, 0)) };
        wrong.extend(case.compare(&format!("product {activation:?}"), 3, None));
        let mut making = Making::new(3, [37, 3, 3]);
        let out = making.buffer(9 * 37);
        let kernel = Kernel::Map(Map { rows: 9, channels: 37, activation });
        making.step(kernel, &[whole(0, 37)], whole(out, 37));
        wrong.extend(compare(
            &format!("map {activation:?}"),
            &making.finish(out, 9 * 37),
            2,
            2.0 * ELEMENTWISE,
            None,
        ));
        let mut making = Making::new(4, [37, 3, 3]);
        let out = making.buffer(9 * 37);
        let (scale, shift) = (making.weight(37, 1.0), making.weight(37, 1.0));
        let kernel = Kernel::Affine(Affine { rows: 9, channels: 37, scale, shift, activation });
        making.step(kernel, &[whole(0, 37)], whole(out, 37));
        wrong.extend(compare(
            &format!("affine {activation:?}"),
            &making.finish(out, 9 * 37),
            2,
            4.0 * ELEMENTWISE,
            None,
        ));
    }
    assert_none(wrong);
}

#[test]
fn pools() {
    let mut wrong = Vec::new();
    let kinds = [
        PoolKind::Max,
        PoolKind::Average { count_include_pad: false },
        PoolKind::Average { count_include_pad: true },
    ];
    for kind in kinds {
        for channels in [1, 7, 16, 50] {
            for window in [square(3, 2, 1, 1), square(2, 2, 1, 0), square(3, 1, 2, 2), square(5, 3, 1, 2)] {
                let mut making = Making::new(5, [channels, 11, 9]);
                let mut sliding = sliding([11, 9], window);
                // As with ceil_mode: one window more, which hangs over the edge.
                if window.stride[0] == 2 && window.kernel[0] == 2 {
                    sliding.output[0] += 1;
                }
                let len = sliding.output_rows() * channels;
                let out = making.buffer(len);
                making.step(
                    Kernel::Pool(Pool { kind, sliding, channels }),
                    &[whole(0, channels)],
                    whole(out, channels),
                );
                let tolerance = if kind == PoolKind::Max { 0.0 } else { reduction(25, 2.0, 1.0) };
                wrong.extend(compare(
                    &format!("{kind:?} {channels} {window:?}"),
                    &making.finish(out, len),
                    2,
                    tolerance,
                    None,
                ));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn reductions_and_softmax() {
    let mut wrong = Vec::new();
    for [outer, len, inner] in [[1, 49, 37], [3, 1, 5], [5, 130, 1], [2, 65, 17]] {
        for kind in [ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            let mut making = Making::new(6, [outer, len, inner]);
            let out = making.buffer(outer * inner);
            let kernel = Kernel::Reduce(Reduce { kind, outer, len, inner });
            making.step(kernel, &[whole(0, inner)], whole(out, inner));
            let sum = matches!(kind, ReduceKind::Mean | ReduceKind::Sum);
            let tolerance = if sum { reduction(len, 2.0, 1.0) } else { 0.0 };
            let name = format!("{kind:?} [{outer}, {len}, {inner}]");
            wrong.extend(compare(&name, &making.finish(out, outer * inner), 2, tolerance, None));
        }
        for log in [false, true] {
            let mut making = Making::new(7, [outer, len, inner]);
            let out = making.buffer(outer * len * inner);
            making.step(
                Kernel::Softmax(Softmax { outer, len, inner, log }),
                &[whole(0, inner)],
                whole(out, inner),
            );
            let tolerance = if log { 10.0 * ELEMENTWISE } else { ELEMENTWISE };
            wrong.extend(compare(
                &format!("softmax [{outer}, {len}, {inner}]"),
                &making.finish(out, outer * len * inner),
                2,
                tolerance,
                None,
            ));
        }
    }
    assert_none(wrong);
}

#[test]
fn binaries_broadcast() {
    let mut wrong = Vec::new();
    let shape = [2, 3, 5, 7];
    let dense = [105, 35, 7, 1];
    let strides = [dense, [0, 0, 0, 1], [0, 35, 0, 0], [3, 1, 0, 0], [0; 4]];
    for kind in KINDS {
        for (number, &b_strides) in strides.iter().enumerate() {
            for swapped in [false, true] {
                for constant in [false, true] {
                    let mut making = Making::new(8, [210, 1, 1]);
                    let sigmoid = making.buffer(210);
                    // Values of 0.26 … 0.9, by which one can divide.
                    let map = Kernel::Map(Map { rows: 1, channels: 210, activation: Activation::Sigmoid });
                    making.step(map, &[whole(0, 210)], whole(sigmoid, 210));
                    let id = making.weight(210, 1.0);
                    making.plan.weights[id].data =
                        making.plan.weights[id].data.iter().map(|x| x + 1.5).collect();
                    let out = making.buffer(210);
                    let b = if constant { Operand::Constant(id) } else { Operand::Input };
                    let activation = ACTIVATIONS[number];
                    let (a_strides, out_strides) = (dense, [1, 2, 42, 6]);
                    let binary =
                        Binary { kind, shape, a_strides, b_strides, out_strides, b, swapped, activation };
                    let inputs = [whole(sigmoid, 210), whole(sigmoid, 210)];
                    making.step(Kernel::Binary(binary), &inputs, whole(out, 210));
                    let name = format!("{kind:?} {b_strides:?} swapped {swapped} constant {constant}");
                    wrong.extend(compare(&name, &making.finish(out, 210), 2, 4.0 * ELEMENTWISE, None));
                }
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn copies() {
    let mut making = Making::new(9, [60, 1, 1]);
    let out = making.buffer(60);
    let copy =
        Copy { shape: [1, 1, 1, 3, 4, 5], in_strides: [0, 0, 0, 20, 5, 1], out_strides: [0, 0, 0, 1, 15, 3] };
    making.step(Kernel::Copy(copy), &[whole(0, 60)], whole(out, 60));
    assert_none(compare("transpose", &making.finish(out, 60), 3, 0.0, None));
}

#[test]
fn nan_reaches_the_output() {
    for activation in ACTIVATIONS {
        for (kernel, input) in [(ConvKernel::Direct, [1, 4]), (ConvKernel::Winograd, [4, 4])] {
            let window = if kernel == ConvKernel::Winograd { square(3, 1, 1, 1) } else { square(1, 1, 1, 0) };
            let plan = Arc::new(Case { activation, ..Case::new(20, 20, input, window) }.plan());
            let mut data = Draws::new(15).floats(plan.input_layout.len());
            data[7] = f32::NAN;
            let stored = Stored { data: &data, len: data.len(), locality: None };
            for cpu in Cpu::all() {
                let network = cpu.load_with(plan.clone(), kernel).unwrap();
                let got = responses(&network, &stored, 1, &RunOptions::default());
                assert!(got[..20].iter().all(|x| x.is_nan()), "{activation:?} {kernel:?}");
            }
        }
    }
}

/// Winograd's interpolation points keep it as accurate as a sum of products.
#[test]
fn nan_wins_a_max_pool() {
    let mut making = Making::new(21, [5, 2, 2]);
    let out = making.buffer(5);
    let pool = Pool { kind: PoolKind::Max, sliding: sliding([2, 2], square(2, 1, 1, 0)), channels: 5 };
    making.step(Kernel::Pool(pool), &[whole(0, 5)], whole(out, 5));
    let plan = Arc::new(making.finish(out, 5));
    for place in 0..4 {
        let mut data = vec![1.0; 20];
        data[place * 5 + 3] = f32::NAN;
        let stored = Stored { data: &data, len: 20, locality: None };
        for cpu in Cpu::all() {
            let got = responses(&cpu.load(plan.clone()).unwrap(), &stored, 1, &RunOptions::default());
            assert!(got[3].is_nan() && got[..3] == [1.0; 3], "{got:?}");
        }
    }
}

#[test]
fn winograd_is_as_accurate_as_a_plain_sum() {
    let plan = Case::new(64, 64, [12, 12], square(3, 1, 1, 1)).plan();
    let data = Draws::new(18).floats(plan.input_layout.len());
    let expected = run_reference(&plan, &data, 1);
    let stored = Stored { data: &data, len: data.len(), locality: None };
    for cpu in Cpu::all() {
        let error = |kernel| {
            let network = cpu.load_with(Arc::new(plan.clone()), kernel).unwrap();
            difference(&responses(&network, &stored, 1, &RunOptions::default()), &expected)
        };
        let (winograd, direct) = (error(ConvKernel::Winograd), error(ConvKernel::Direct));
        assert!(winograd <= 2.0 * direct, "{winograd:e} against {direct:e} on {}", cpu.name());
    }
}

#[test]
fn the_comparison_can_fail() {
    let case = Case::new(16, 16, [9, 9], square(3, 1, 1, 1));
    let mut plan = case.plan();
    let data = Draws::new(17).floats(plan.input_layout.len());
    let expected = run_reference(&plan, &data, 1);
    // One weight of 2,304 is off by 1 %.
    let Kernel::Conv(conv) = &plan.steps[1].kernel else { panic!("the second step is a convolution") };
    let mut weights = plan.weights[conv.weight].data.to_vec();
    weights[777] *= 1.01;
    let id = conv.weight;
    plan.weights[id].data = weights.into();
    let stored = Stored { data: &data, len: data.len(), locality: None };
    let got = responses(&Cpu::new().load(Arc::new(plan)).unwrap(), &stored, 1, &RunOptions::default());
    assert!(difference(&got, &expected) > WINOGRAD * reduction(case.terms() + 2, 2.0, 1.0));
}
