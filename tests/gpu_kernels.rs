//! Every kernel of the GPU engine against plain loops, over awkward sizes, aligned and not.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
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

use gpu::engine;
use plans::{Draws, sliding, square};
use reference::run_reference;
use single_step::{Failures, SingleStep, Tolerance, compare, respond};
use whybox::device::gpu::{Overrides, Tile};
use whybox::model::{Activation, BinaryKind, PoolKind, ReduceKind, Window};
use whybox::plan::{
    Affine, Binary, Conv, Copy, Kernel, Map, Operand, Plan, Pool, Reduce, Sliding, Softmax, View,
};

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

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Clip { low: -0.3, high: 0.7 },
    Activation::Clip { low: f32::NEG_INFINITY, high: 0.5 },
];

/// A convolution to be tested.
#[derive(Clone, Copy)]
struct ConvCase {
    sliding: Sliding,
    cin: usize,
    cout: usize,
    groups: usize,
    /// Elements between the rows of the views.
    gap: usize,
    residual: bool,
    bias: bool,
    activation: Activation,
}

impl ConvCase {
    fn new(sliding: Sliding, cin: usize, cout: usize) -> Self {
        let activation = Activation::Identity;
        ConvCase { sliding, cin, cout, groups: 1, gap: 0, residual: false, bias: true, activation }
    }

    /// A Linear over `tokens` rows per sample.
    fn linear(tokens: usize, cin: usize, cout: usize) -> Self {
        ConvCase::new(sliding([1, tokens], Window::square(1)), cin, cout)
    }

    fn plan(&self) -> Plan {
        let ConvCase { sliding, cin, cout, groups, gap, residual, bias, activation } = *self;
        let mut making = SingleStep::new((cin * 100 + cout) as u64);
        let mut inputs = vec![making.operand(sliding.input_rows(), cin, gap)];
        if residual {
            inputs.push(making.operand(sliding.output_rows(), cout, gap));
        }
        let weight = making.weight(self.terms() * cout);
        let bias = bias.then(|| making.weight(cout));
        let conv = Conv { sliding, cin, cout, groups, weight, bias, residual, activation };
        making.finish(Kernel::Conv(conv), &inputs, sliding.output_rows(), cout, gap)
    }

    fn terms(&self) -> usize {
        self.sliding.window.kernel.iter().product::<usize>() * self.cin / self.groups
    }

    fn name(&self) -> String {
        let ConvCase { sliding, cin, cout, groups, gap, residual, activation, .. } = self;
        format!(
            "{:?} × {cin} → {:?} × {cout}, groups {groups}, gap {gap}, residual {residual}, {}",
            sliding.input,
            sliding.output,
            activation.name()
        )
    }
}

#[test]
fn products_of_awkward_sizes() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    let sizes = [
        // samples, tokens, K, outputs
        (1, 1, 1, 1),
        (1, 1, 126, 10),
        (41, 1, 126, 63),
        (55, 1, 41, 65),
        (63, 1, 3, 1),
        (65, 1, 64, 64),
        (65, 1, 20, 132),
        (1, 130, 12, 68),
        (3, 43, 7, 33),
    ];
    for tile in Tile::ALL {
        for (rows, tokens, k, outputs) in sizes {
            let case = ConvCase::linear(tokens, k, outputs);
            let name = format!("{tile:?}, {rows} samples, {}", case.name());
            let overrides = Overrides { tile: Some(tile), ..Overrides::default() };
            let tolerance = Tolerance::Sum { terms: k };
            failures.check_with(&gpu, &name, &case.plan(), rows, tolerance, overrides);
        }
    }
    // In f16 alone, and here with plain loops in place of the matrix units.
    let overrides = Overrides { tile: Some(Tile::Cooperative), ..Overrides::default() };
    for (rows, tokens, k, outputs) in sizes {
        let case = ConvCase::linear(tokens, k, outputs);
        let name = format!("matrices, {rows} samples, {}", case.name());
        failures.check_half(&gpu, &name, &case.plan(), rows, Tolerance::Sum { terms: k }, overrides);
    }
}

#[test]
fn convolutions_of_every_geometry() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    let lopsided = Window { kernel: [2, 3], stride: [2, 1], dilation: [1, 2], pads: [1, 0, 0, 3] };
    let tall = Window { kernel: [5, 1], stride: [1, 1], dilation: [1, 1], pads: [2, 0, 2, 0] };
    let wide = Window { kernel: [1, 7], stride: [1, 3], dilation: [1, 1], pads: [0, 3, 0, 3] };
    let cases = [
        ConvCase::new(sliding([7, 9], square(3, 1, 1, 1)), 3, 8),
        ConvCase::new(sliding([5, 6], square(3, 2, 1, 1)), 4, 8),
        ConvCase::new(sliding([9, 8], square(3, 1, 2, 2)), 20, 12),
        ConvCase::new(sliding([6, 7], lopsided), 5, 7),
        ConvCase::new(sliding([6, 7], lopsided), 8, 4),
        ConvCase::new(sliding([11, 3], tall), 1, 9),
        ConvCase::new(sliding([11, 3], tall), 2, 36),
        ConvCase::new(sliding([1, 41], wide), 1, 3),
        ConvCase::new(sliding([1, 41], wide), 16, 4),
        ConvCase { gap: 4, ..ConvCase::new(sliding([4, 5], square(1, 1, 1, 0)), 12, 20) },
        ConvCase { gap: 3, bias: false, ..ConvCase::new(sliding([4, 5], square(3, 1, 1, 1)), 8, 8) },
        ConvCase { gap: 4, residual: true, ..ConvCase::new(sliding([5, 5], square(3, 1, 1, 1)), 8, 12) },
        ConvCase { gap: 1, residual: true, ..ConvCase::new(sliding([5, 5], square(2, 2, 1, 0)), 6, 5) },
    ];
    for tile in Tile::ALL {
        for case in &cases {
            let overrides = Overrides { tile: Some(tile), ..Overrides::default() };
            let name = format!("{tile:?}, {}", case.name());
            failures.check_with(
                &gpu,
                &name,
                &case.plan(),
                3,
                Tolerance::Sum { terms: case.terms() },
                overrides,
            );
        }
    }
    let overrides = Overrides { tile: Some(Tile::Cooperative), ..Overrides::default() };
    for case in &cases {
        let (name, tolerance) =
            (format!("matrices, {}", case.name()), Tolerance::Sum { terms: case.terms() });
        failures.check_half(&gpu, &name, &case.plan(), 3, tolerance, overrides);
    }
}

#[test]
fn groups_and_depthwise() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    let window = sliding([6, 7], square(3, 1, 1, 1));
    let strided = sliding([9, 11], square(5, 2, 1, 2));
    let dilated =
        sliding([8, 6], Window { kernel: [3, 2], stride: [1, 1], dilation: [2, 1], pads: [1, 0, 2, 1] });
    for (sliding, cin, cout, groups) in [
        (window, 6, 4, 2),
        (window, 8, 16, 2),
        (window, 9, 15, 3),
        (window, 3, 6, 3), // a depth multiplier
        (strided, 16, 32, 4),
        (dilated, 10, 5, 5),
        (window, 4, 4, 4), // depthwise from here on
        (window, 5, 5, 5),
        (strided, 8, 8, 8),
        (dilated, 12, 12, 12),
        (dilated, 7, 7, 7),
    ] {
        for (gap, residual) in [(0, false), (4, true), (3, true)] {
            let case = ConvCase { groups, gap, residual, ..ConvCase::new(sliding, cin, cout) };
            failures.check(&gpu, &case.name(), &case.plan(), 2, Tolerance::Sum { terms: case.terms() });
        }
    }
}

#[test]
fn activations_fused_and_alone() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for activation in ACTIVATIONS {
        for channels in [8, 5] {
            let window = sliding([4, 5], square(2, 1, 1, 0));
            let case = ConvCase { activation, residual: true, ..ConvCase::new(window, channels, channels) };
            failures.check(&gpu, &case.name(), &case.plan(), 2, Tolerance::Elementwise);
            for gap in [0, 4, 3] {
                let name = format!("{} of {channels} channels, gap {gap}", activation.name());
                let mut making = SingleStep::new(1);
                let input = making.operand(7, channels, gap);
                let map = Kernel::Map(Map { rows: 7, channels, activation });
                let plan = making.finish(map, &[input], 7, channels, gap);
                failures.check(&gpu, &format!("map: {name}"), &plan, 41, Tolerance::Elementwise);

                let mut making = SingleStep::new(2);
                let input = making.operand(7, channels, gap);
                let (scale, shift) = (making.weight(channels), making.weight(channels));
                let affine = Kernel::Affine(Affine { rows: 7, channels, scale, shift, activation });
                let plan = making.finish(affine, &[input], 7, channels, gap);
                failures.check(&gpu, &format!("affine: {name}"), &plan, 3, Tolerance::Elementwise);
            }
        }
    }
}

#[test]
fn activations_far_from_zero() {
    // exp(−x) overflows for x < −88 and e^2x for x > 44: neither may become NaN.
    let Some(gpu) = engine() else { return };
    let data: Vec<f32> =
        [-1e4, -90.0, -45.0, -15.5, -1e-6, 0.0, 1e-6, 14.5, 45.0, 90.0, 1e4, 3.4e38].to_vec();
    for activation in ACTIVATIONS {
        let mut making = SingleStep::new(0);
        let input = making.operand(1, data.len(), 0);
        let map = Kernel::Map(Map { rows: 1, channels: data.len(), activation });
        let plan = making.finish(map, &[input], 1, data.len(), 0);
        let both = [&data[..], &data].concat();
        let found = respond(&gpu, &plan, &both, Overrides::default()).expect("a sound plan");
        let expected: Vec<f32> = data.iter().map(|&x| activation.apply(x)).collect();
        for (x, (expected, found)) in data.iter().zip(expected.iter().zip(&found)) {
            let close = (expected - found).abs() <= 2e-6 + 1e-5 * expected.abs();
            assert!(close, "{}({x}) = {found} instead of {expected}", activation.name());
        }
    }
}

#[test]
fn pools() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    let mut ceil = sliding([7, 8], square(3, 2, 1, 0));
    ceil.output = [3, 4]; // ceil_mode: the last window reads over the edge
    let windows = [
        ceil,
        sliding([6, 5], square(2, 2, 1, 0)),
        sliding([6, 5], square(3, 1, 1, 1)),
        sliding([9, 7], Window { kernel: [2, 3], stride: [1, 2], dilation: [3, 2], pads: [1, 0, 0, 2] }),
        sliding([1, 41], Window { kernel: [1, 5], stride: [1, 4], dilation: [1, 1], pads: [0, 2, 0, 2] }),
    ];
    let average = |count_include_pad| PoolKind::Average { count_include_pad };
    for (kind, tolerance) in [
        (PoolKind::Max, Tolerance::Exact),
        (average(false), Tolerance::Sum { terms: 9 }),
        (average(true), Tolerance::Sum { terms: 9 }),
    ] {
        for sliding in windows {
            for (channels, gap) in [(8, 0), (8, 4), (8, 1), (5, 0), (1, 2)] {
                let mut making = SingleStep::new(3);
                let input = making.operand(sliding.input_rows(), channels, gap);
                let pool = Kernel::Pool(Pool { kind, sliding, channels });
                let plan = making.finish(pool, &[input], sliding.output_rows(), channels, gap);
                let name = format!("{kind:?} {sliding:?} × {channels}, gap {gap}");
                failures.check(&gpu, &name, &plan, 3, tolerance);
            }
        }
    }
}

#[test]
fn reductions() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for kind in [ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
        for (outer, len, inner) in
            [(1, 49, 12), (1, 63, 5), (3, 1, 4), (5, 2, 1), (2, 3, 8), (7, 126, 1), (1, 4, 65)]
        {
            for gap in [0, 4] {
                // A channel view is possible with a single outer entry only.
                if gap > 0 && outer > 1 {
                    continue;
                }
                let mut making = SingleStep::new(4);
                let input = making.operand(outer * len, inner, gap);
                let reduce = Kernel::Reduce(Reduce { kind, outer, len, inner });
                let plan = making.finish(reduce, &[input], outer, inner, gap);
                let name = format!("{kind:?} of [{outer}, {len}, {inner}], gap {gap}");
                failures.check(&gpu, &name, &plan, 3, Tolerance::Sum { terms: len });
            }
        }
    }
}

#[test]
fn binaries_with_broadcasting() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    let shape = [2, 3, 5, 8];
    let whole = [120, 40, 8, 1];
    let cases = [
        ("same shape", shape, whole, whole),
        ("a number a channel", shape, whole, [0, 0, 0, 1]),
        ("a number a row", shape, whole, [0, 0, 1, 0]),
        ("one number", shape, whole, [0, 0, 0, 0]),
        ("a transposed", shape, [120, 40, 1, 5], [8, 0, 0, 1]),
        ("odd channels", [1, 1, 11, 7], [0, 0, 7, 1], [0, 0, 0, 1]),
        ("odd, a repeated", [1, 2, 3, 5], [0, 0, 0, 0], [0, 15, 5, 1]),
        ("many axes of 1", [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]),
    ];
    for kind in KINDS {
        for (name, shape, a_strides, b_strides) in cases {
            for (constant, swapped, gap) in
                [(false, false, 0), (true, true, 0), (false, true, 3), (true, false, 4)]
            {
                let extent =
                    |strides: [usize; 4]| 1 + (0..4).map(|k| (shape[k] - 1) * strides[k]).sum::<usize>();
                let mut making = SingleStep::new(5);
                let mut inputs = vec![making.operand(1, extent(a_strides), gap)];
                let b = if constant {
                    Operand::Constant(making.weight(extent(b_strides)))
                } else {
                    inputs.push(making.operand(1, extent(b_strides), gap));
                    Operand::Input
                };
                let row = shape[3] + gap;
                let out_strides = [shape[1] * shape[2] * row, shape[2] * row, row, 1];
                let activation = Activation::Clip { low: -1e3, high: 1e3 };
                let binary =
                    Binary { kind, shape, a_strides, b_strides, out_strides, b, swapped, activation };
                let rows = shape[0] * shape[1] * shape[2];
                let plan = making.finish(Kernel::Binary(binary), &inputs, rows, shape[3], gap);
                let name = format!("{kind:?}, {name}, constant {constant}, swapped {swapped}, gap {gap}");
                failures.check(&gpu, &name, &plan, 3, Tolerance::Elementwise);
            }
        }
    }
}

#[test]
fn copies() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for (shape, in_strides) in [
        ([1, 1, 1, 1, 5, 8], [0, 0, 0, 0, 8, 1]),
        ([1, 1, 1, 1, 5, 7], [0, 0, 0, 0, 7, 1]),
        ([1, 1, 1, 7, 5, 3], [0, 0, 0, 1, 7, 35]), // [H, W, C] from [C, W, H]
        ([2, 3, 2, 2, 3, 4], [4, 8, 72, 144, 24, 1]), // a transposition of six axes
        ([2, 3, 1, 5, 1, 1], [15, 1, 0, 3, 0, 0]),
        ([1, 1, 1, 1, 3, 4], [0, 0, 0, 0, 0, 1]), // one row again and again
    ] {
        for gap in [0, 1, 4] {
            let extent = 1 + (0..6).map(|k| (shape[k] - 1) * in_strides[k]).sum::<usize>();
            let mut making = SingleStep::new(6);
            let input = making.operand(1, extent, gap);
            let mut out_strides = [0; 6];
            let mut step = shape[5] + gap;
            out_strides[5] = 1;
            for axis in (0..5).rev() {
                out_strides[axis] = step;
                step *= shape[axis];
            }
            let rows = shape[..5].iter().product();
            let copy = Kernel::Copy(Copy { shape, in_strides, out_strides });
            let plan = making.finish(copy, &[input], rows, shape[5], gap);
            failures.check(&gpu, &format!("{shape:?} gap {gap}"), &plan, 3, Tolerance::Exact);
        }
    }
}

#[test]
fn softmaxes() {
    let Some(gpu) = engine() else { return };
    let mut failures = Failures::default();
    for log in [false, true] {
        for (outer, len, inner) in [(1, 1, 1), (1, 10, 1), (3, 41, 1), (2, 5, 7), (1, 1000, 1)] {
            let mut making = SingleStep::new(7);
            let elements = outer * len * inner;
            let input = making.operand(1, elements, 0);
            let softmax = Kernel::Softmax(Softmax { outer, len, inner, log });
            let plan = making.finish(softmax, &[input], 1, elements, 0);
            let name = format!("[{outer}, {len}, {inner}], log {log}");
            failures.check(&gpu, &name, &plan, 5, Tolerance::Elementwise);
        }
    }
}

#[test]
fn more_workgroups_than_a_line_of_the_grid_holds() {
    let Some(gpu) = engine() else { return };
    // A thread an element, 64 in a workgroup: 65,540 groups. A tile 32 columns: 65,563 groups.
    let elements = 64 * 65_540 + 3;
    let view = |buffer| View { buffer, offset: 0, stride: 1 };
    let mut plan = SingleStep::new(0).finish(
        Kernel::Map(Map { rows: elements, channels: 1, activation: Activation::LeakyRelu { slope: 0.5 } }),
        &[view(0)],
        1,
        1,
        0,
    );
    plan.input_layout.shape = vec![elements];
    plan.buffers = vec![elements, elements];
    plan.outputs = elements;
    plan.steps.remove(0);
    plan.steps[0].output = view(1);
    let data = Draws::new(1).floats(elements);
    let expected = run_reference(&plan, &data, 1);
    let found = respond(&gpu, &plan, &data, Overrides::default()).expect("a sound plan");
    compare(&expected, &found, Tolerance::Exact).expect("every element is mapped");

    let columns = 32 * 65_563 - 5;
    let window = Sliding { input: [1, columns], output: [1, columns], window: Window::square(1) };
    plan.weights = SingleStep::new(2)
        .draws
        .floats(1)
        .into_iter()
        .map(|w| whybox::plan::Weight { data: [w].into() })
        .collect();
    plan.steps[0].kernel = Kernel::Conv(Conv {
        sliding: window,
        cin: 1,
        cout: 1,
        groups: 1,
        weight: 0,
        bias: None,
        residual: false,
        activation: Activation::Relu,
    });
    plan.input_layout.shape = vec![columns];
    plan.buffers = vec![columns, columns];
    plan.outputs = columns;
    let data = &data[..columns];
    let expected = run_reference(&plan, data, 1);
    let overrides = Overrides { tile: Some(Tile::Small), ..Overrides::default() };
    let found = respond(&gpu, &plan, data, overrides).expect("a sound plan");
    compare(&expected, &found, Tolerance::Exact).expect("every tile is computed");
}

#[test]
fn the_comparison_can_fail() {
    let Some(gpu) = engine() else { return };
    let case = ConvCase { residual: true, ..ConvCase::new(sliding([5, 6], square(3, 1, 1, 1)), 4, 8) };
    let plan = case.plan();
    let rows = 3;
    let data = Draws::new(9).floats(rows * plan.input_layout.len());
    let found = respond(&gpu, &plan, &data, Overrides::default()).expect("a sound plan");
    let tolerance = Tolerance::Sum { terms: case.terms() };
    assert_eq!(compare(&run_reference(&plan, &data, rows), &found, tolerance), Ok(()));

    // One weight of 288 off by a thousandth.
    let mut other = plan.clone();
    let mut weights = other.weights[0].data.to_vec();
    weights[100] += 1e-3;
    other.weights[0].data = weights.into();
    assert!(compare(&run_reference(&other, &data, rows), &found, tolerance).is_err());
    // Two neighbours exchanged, one number missing, one not a number.
    let mut swapped = found.clone();
    swapped.swap(10, 11);
    assert!(compare(&found, &swapped, tolerance).is_err());
    assert!(compare(&found, &found[1..], tolerance).is_err());
    let mut broken = found.clone();
    broken[7] = f32::NAN;
    assert!(compare(&found, &broken, tolerance).is_err());
}
