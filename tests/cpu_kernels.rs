//! Every kernel of the CPU engine, on every instruction set of this machine, against plain loops in f64.

mod common;

use std::sync::Arc;

use common::plans::{Draws, Making, Stored, sliding, square, whole};
use common::reference::run_reference;
use whybox::device::RunOptions;
use whybox::device::cpu::{ConvKernel, Cpu, CpuNetwork};
use whybox::model::{Activation, BinaryKind, PoolKind, ReduceKind, Window};
use whybox::plan::*;

/// Sums of `terms` products: 8 · 2⁻²³ · √terms · max|a| · max|b|.
fn reduction(terms: usize, a: f32, b: f32) -> f32 {
    8.0 * f32::EPSILON * (terms as f32).sqrt() * a * b
}

/// What Winograd's transformations may add to the error of a sum.
const WINOGRAD: f32 = 4.0;

/// Elementwise functions: 64 units in the last place of the largest value.
const ELEMENTWISE: f32 = 64.0 * f32::EPSILON;

const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.125 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Clip { low: -0.25, high: 0.5 },
];

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

fn responses(network: &CpuNetwork, stored: &Stored, rows: usize, options: &RunOptions) -> Vec<f32> {
    let mut all = Vec::new();
    network
        .run(stored, rows, options, &mut |range, values| {
            assert_eq!(range.start * values.len() / range.len(), all.len(), "chunks in order");
            all.extend_from_slice(values);
            Ok(())
        })
        .expect("the plan runs");
    all
}

/// Largest difference; infinite where a NaN or a missing number hides.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter().zip(b).fold(0.0, |max, (a, b)| {
        let d = (a - b).abs();
        if d.is_nan() { f32::INFINITY } else { max.max(d) }
    })
}

/// Runs a plan on each instruction set and gives what is wrong.
fn compare(name: &str, plan: &Plan, rows: usize, tolerance: f32, kernel: Option<ConvKernel>) -> Vec<String> {
    let len = plan.input_layout.len();
    let data = Draws::new(len as u64 + 3).floats(rows * len);
    let expected = run_reference(plan, &data, rows);
    let stored = Stored { data: &data, len, locality: None };
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        let plan = Arc::new(plan.clone());
        let network = match kernel {
            None => cpu.load(plan),
            Some(kernel) => cpu.load_with(plan, kernel),
        }
        .expect("the plan is sound");
        let got = responses(&network, &stored, rows, &RunOptions::default());
        let difference = difference(&got, &expected);
        if difference > tolerance {
            wrong.push(format!("{name}: {difference:e} > {tolerance:e} on {}", cpu.name()));
        }
    }
    wrong
}

/// A convolution as a plan, its input and output within wider rows.
struct Case {
    cin: usize,
    cout: usize,
    groups: usize,
    input: [usize; 2],
    window: Window,
    residual: bool,
    bias: bool,
    activation: Activation,
    /// Elements before and after the channels of input and output.
    margins: [usize; 2],
}

impl Case {
    fn new(cin: usize, cout: usize, input: [usize; 2], window: Window) -> Self {
        let activation = Activation::Identity;
        Case { cin, cout, groups: 1, input, window, residual: false, bias: true, activation, margins: [0, 0] }
    }

    /// Terms of a sum.
    fn terms(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.cin / self.groups
    }

    fn plan(&self) -> Plan {
        let [before, after] = self.margins;
        let stride = before + self.cin + after;
        let pixels = self.input[0] * self.input[1];
        let mut making = Making::new(self.cin as u64 * 7 + self.cout as u64, [stride, self.input[0], self.input[1]]);
        let sliding = sliding(self.input, self.window);
        let mut conv = making.conv(sliding, self.cin, self.cout, self.groups, self.activation);
        conv.residual = self.residual;
        if !self.bias {
            conv.bias = None;
        }
        let out_stride = before + self.cout + after;
        let out = making.buffer(sliding.output_rows() * out_stride);
        let view = |buffer: usize, stride: usize| View { buffer, offset: before, stride };
        // Everything around the output is 0 before, so that a write beside the channels shows.
        let zero = making.weight(1, 0.0);
        let fill = Kernel::Binary(Binary {
            kind: BinaryKind::Mul,
            shape: [1, 1, 1, sliding.output_rows() * out_stride],
            a_strides: [0; 4],
            b_strides: [0; 4],
            out_strides: [0, 0, 0, 1],
            b: Operand::Constant(zero),
            swapped: false,
            activation: Activation::Identity,
        });
        making.step(fill, &[whole(0, stride)], whole(out, out_stride));
        let mut inputs = vec![view(0, stride)];
        if self.residual {
            // The residual is made from the input by another convolution.
            let window = Window { kernel: self.window.kernel, ..self.window };
            let other = making.conv(common::plans::sliding(self.input, window), self.cin, self.cout, self.groups, Activation::Identity);
            let buffer = making.buffer(sliding.output_rows() * out_stride);
            making.step(Kernel::Conv(other), &inputs, view(buffer, out_stride));
            inputs.push(view(buffer, out_stride));
        }
        assert_eq!(sliding.input_rows(), pixels);
        making.step(Kernel::Conv(conv), &inputs, view(out, out_stride));
        making.finish(out, sliding.output_rows() * out_stride)
    }

    fn compare(&self, name: &str, rows: usize, kernel: Option<ConvKernel>) -> Vec<String> {
        let plan = self.plan();
        let weights = plan.weights.iter().map(|weight| largest(&weight.data)).fold(0.0, f32::max);
        let extra = if kernel.is_none_or(|kernel| kernel == ConvKernel::Winograd) { WINOGRAD } else { 1.0 };
        // The inputs are at most 2; a residual is a sum of as many terms.
        let sums = if self.residual { 2.0 } else { 1.0 };
        compare(name, &plan, rows, sums * extra * reduction(self.terms() + 2, 2.0, weights), kernel)
    }
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn products_of_awkward_sizes() {
    let mut wrong = Vec::new();
    for cin in [1, 3, 41, 126] {
        for cout in [1, 7, 48, 63, 65, 130] {
            for pixels in [1, 5, 55] {
                let case = Case { margins: [pixels % 3, 2], ..Case::new(cin, cout, [1, pixels], square(1, 1, 1, 0)) };
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
                for kernel in [None, Some(ConvKernel::Direct), Some(ConvKernel::Padded), Some(ConvKernel::Winograd)] {
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
        wrong.extend(compare(&format!("map {activation:?}"), &making.finish(out, 9 * 37), 2, 2.0 * ELEMENTWISE, None));
        let mut making = Making::new(4, [37, 3, 3]);
        let out = making.buffer(9 * 37);
        let (scale, shift) = (making.weight(37, 1.0), making.weight(37, 1.0));
        let kernel = Kernel::Affine(Affine { rows: 9, channels: 37, scale, shift, activation });
        making.step(kernel, &[whole(0, 37)], whole(out, 37));
        wrong.extend(compare(&format!("affine {activation:?}"), &making.finish(out, 9 * 37), 2, 4.0 * ELEMENTWISE, None));
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
                making.step(Kernel::Pool(Pool { kind, sliding, channels }), &[whole(0, channels)], whole(out, channels));
                let tolerance = if kind == PoolKind::Max { 0.0 } else { reduction(25, 2.0, 1.0) };
                wrong.extend(compare(&format!("{kind:?} {channels} {window:?}"), &making.finish(out, len), 2, tolerance, None));
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
            making.step(Kernel::Softmax(Softmax { outer, len, inner, log }), &[whole(0, inner)], whole(out, inner));
            let tolerance = if log { 10.0 * ELEMENTWISE } else { ELEMENTWISE };
            wrong.extend(compare(&format!("softmax [{outer}, {len}, {inner}]"), &making.finish(out, outer * len * inner), 2, tolerance, None));
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
    for kind in [BinaryKind::Add, BinaryKind::Sub, BinaryKind::Mul, BinaryKind::Div] {
        for (number, &b_strides) in strides.iter().enumerate() {
            for swapped in [false, true] {
                for constant in [false, true] {
                    let mut making = Making::new(8, [210, 1, 1]);
                    let sigmoid = making.buffer(210);
                    // Values of 0.26 … 0.9, by which one can divide.
                    let map = Kernel::Map(Map { rows: 1, channels: 210, activation: Activation::Sigmoid });
                    making.step(map, &[whole(0, 210)], whole(sigmoid, 210));
                    let id = making.weight(210, 1.0);
                    making.plan.weights[id].data = making.plan.weights[id].data.iter().map(|x| x + 1.5).collect();
                    let out = making.buffer(210);
                    let b = if constant { Operand::Constant(id) } else { Operand::Input };
                    let activation = ACTIVATIONS[number];
                    let (a_strides, out_strides) = (dense, [1, 2, 42, 6]);
                    let binary = Binary { kind, shape, a_strides, b_strides, out_strides, b, swapped, activation };
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
    let copy = Copy {
        shape: [1, 1, 1, 3, 4, 5],
        in_strides: [0, 0, 0, 20, 5, 1],
        out_strides: [0, 0, 0, 1, 15, 3],
    };
    making.step(Kernel::Copy(copy), &[whole(0, 60)], whole(out, 60));
    assert_none(compare("transpose", &making.finish(out, 60), 3, 0.0, None));
}

/// A network with large and small layers, concatenation, a shared buffer and a residual: several segments.
fn network() -> Plan {
    let mut making = Making::new(10, [3, 21, 21]);
    let (a, b, c) = (making.buffer(11 * 11 * 64), making.buffer(11 * 11 * 64), making.buffer(11 * 11 * 64));
    let first = sliding([21, 21], square(3, 2, 1, 1));
    let conv = making.conv(first, 3, 16, 1, Activation::Relu);
    making.step(Kernel::Conv(conv), &[whole(0, 3)], whole(a, 16));
    let wide = sliding([11, 11], square(3, 1, 1, 1));
    let point = sliding([11, 11], square(1, 1, 1, 0));
    for (offset, sliding) in [(0, wide), (32, point)] {
        let conv = making.conv(sliding, 16, 32, 1, Activation::Relu);
        making.step(Kernel::Conv(conv), &[whole(a, 16)], View { buffer: b, offset, stride: 64 });
    }
    let mut conv = making.conv(wide, 64, 64, 1, Activation::Relu);
    conv.residual = true;
    making.step(Kernel::Conv(conv), &[whole(b, 64), whole(b, 64)], whole(c, 64));
    let pool = sliding([11, 11], square(3, 2, 1, 1));
    making.step(Kernel::Pool(Pool { kind: PoolKind::Max, sliding: pool, channels: 64 }), &[whole(c, 64)], whole(a, 64));
    let conv = making.conv(sliding([1, 1], square(1, 1, 1, 0)), 36 * 64, 1300, 1, Activation::Relu);
    making.step(Kernel::Conv(conv), &[whole(a, 36 * 64)], whole(b, 1300));
    let conv = making.conv(sliding([1, 1], square(1, 1, 1, 0)), 1300, 10, 1, Activation::Identity);
    making.step(Kernel::Conv(conv), &[whole(b, 1300)], whole(c, 10));
    making.finish(c, 10)
}

#[test]
fn a_network_in_segments() {
    let plan = network();
    let data = Draws::new(11).floats(2 * 3 * 21 * 21);
    let scale = largest(&run_reference(&plan, &data, 2));
    assert_none(compare("network", &plan, 9, 3e-5 * scale, None));
}

#[test]
fn chunks_and_memory_change_no_bit() {
    let plan = Arc::new(network());
    let len = plan.input_layout.len();
    let rows = 150;
    let data = Draws::new(12).floats(rows * len);
    let stored = Stored { data: &data, len, locality: None };
    for cpu in Cpu::all() {
        let network = cpu.load(plan.clone()).unwrap();
        let whole = responses(&network, &stored, rows, &RunOptions::default());
        for memory_bytes in [3 << 20, 20 << 20] {
            let options = RunOptions { memory_bytes: Some(memory_bytes), ..RunOptions::default() };
            let parts = responses(&network, &stored, rows, &options);
            assert!(whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()), "{memory_bytes} bytes");
        }
        let alone = responses(&network, &stored, 1, &RunOptions::default());
        assert_eq!(whole[..alone.len()], alone);
    }
}

#[test]
fn too_little_memory_is_an_error() {
    let plan = Arc::new(network());
    let data = vec![0.0; plan.input_layout.len()];
    let stored = Stored { data: &data, len: data.len(), locality: None };
    let network = Cpu::new().load(plan).unwrap();
    let options = RunOptions { memory_bytes: Some(1000), ..RunOptions::default() };
    let error = network.run(&stored, 1, &options, &mut |_, _| Ok(())).unwrap_err();
    assert!(matches!(error, whybox::Error::Limits(_)), "{error}");
}

/// Instance, baseline, players in stripes and random coalitions for a picture.
fn locality(pixels: usize, channels: usize, rows: usize) -> Locality {
    let mut draws = Draws::new(13);
    let players: Vec<u32> = (0..pixels as u32).map(|p| if p % 11 == 0 { u32::MAX } else { p / 5 % 40 }).collect();
    Locality {
        players: players.into(),
        instance: draws.floats(pixels * channels).into(),
        baseline: draws.floats(pixels * channels).into(),
        masks: (0..2 * rows).map(|_| draws.pick(0..1 << 30) as u32 * 3).collect(),
        words_per_row: 2,
    }
}

/// The expanded inputs of a locality.
fn expand(locality: &Locality, channels: usize, rows: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for row in 0..rows {
        for (pixel, &player) in locality.players.iter().enumerate() {
            let bit = |player: u32| locality.masks[row * locality.words_per_row + player as usize / 32] >> (player % 32) & 1;
            let present = player == u32::MAX || bit(player) == 1;
            let from = if present { &locality.instance } else { &locality.baseline };
            all.extend_from_slice(&from[pixel * channels..(pixel + 1) * channels]);
        }
    }
    all
}

#[test]
fn a_masked_first_layer_gives_the_same_bits() {
    let rows = 23;
    let mut plans = vec![(3, 21, network())];
    // A first layer that is not a padded one.
    for (cin, window) in [(20, square(3, 1, 1, 1)), (16, square(1, 1, 1, 0))] {
        let mut making = Making::new(14, [cin, 9, 9]);
        let conv = making.conv(sliding([9, 9], window), cin, 18, 1, Activation::Relu);
        let out = making.buffer(81 * 18);
        making.step(Kernel::Conv(conv), &[whole(0, cin)], whole(out, 18));
        plans.push((cin, 9, making.finish(out, 81 * 18)));
    }
    for (channels, size, plan) in plans {
        let locality = locality(size * size, channels, rows);
        let data = expand(&locality, channels, rows);
        let stored = Stored { data: &data, len: size * size * channels, locality: Some(locality) };
        for cpu in Cpu::all() {
            let network = cpu.load(Arc::new(plan.clone())).unwrap();
            let form = |form| RunOptions { first_layer: Some(form), ..RunOptions::default() };
            let masked = responses(&network, &stored, rows, &form(FirstLayer::Masked));
            let expanded = responses(&network, &stored, rows, &form(FirstLayer::Expanded));
            assert!(masked.iter().zip(&expanded).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

#[test]
fn masks_that_cannot_be_used_are_an_error() {
    let plan = Arc::new(network());
    let data = vec![0.0; plan.input_layout.len()];
    let network = Cpu::new().load(plan).unwrap();
    let options = RunOptions { first_layer: Some(FirstLayer::Masked), ..RunOptions::default() };
    let mut wrong = locality(21 * 21, 3, 1);
    wrong.words_per_row = 1;
    for locality in [None, Some(wrong)] {
        let stored = Stored { data: &data, len: data.len(), locality };
        let error = network.run(&stored, 1, &options, &mut |_, _| Ok(())).unwrap_err();
        assert!(matches!(error, whybox::Error::Parameter(_)), "{error}");
    }
}

#[test]
fn a_plan_beyond_its_buffers_is_an_error() {
    for damage in 0..4 {
        let mut plan = network();
        match damage {
            0 => plan.buffers[2] -= 1,
            1 => plan.steps[0].inputs.clear(),
            2 => plan.weights.truncate(3),
            _ => plan.steps[2].output.offset += 1000,
        }
        let Err(error) = Cpu::new().load(Arc::new(plan)) else { panic!("damage {damage} was not noticed") };
        assert!(matches!(error, whybox::Error::Model(_)), "{error}");
    }
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
