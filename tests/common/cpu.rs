//! The CPU engine compared with the reference, on every instruction set of this machine.

use std::sync::Arc;

use whybox::device::RunOptions;
use whybox::device::cpu::{ConvKernel, Cpu, CpuNetwork};
use whybox::model::{Activation, BinaryKind, Window};
use whybox::plan::{Binary, Kernel, Operand, Plan, View};

use crate::plans::{Draws, Making, Stored, sliding, whole};
use crate::reference::run_reference;

/// Sums of `terms` products: 8 · 2⁻²³ · √terms · max|a| · max|b|.
pub fn reduction(terms: usize, a: f32, b: f32) -> f32 {
    8.0 * f32::EPSILON * (terms as f32).sqrt() * a * b
}

/// What Winograd's transformations may add to the error of a sum.
pub const WINOGRAD: f32 = 4.0;

/// Elementwise functions: 64 units in the last place of the largest value.
pub const ELEMENTWISE: f32 = 64.0 * f32::EPSILON;

/// One of each kind.
pub const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.125 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Clip { low: -0.25, high: 0.5 },
];

/// The largest absolute value.
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

/// Runs rows of stored inputs: `[rows, outputs]`.
pub fn responses(network: &CpuNetwork, stored: &Stored, rows: usize, options: &RunOptions) -> Vec<f32> {
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
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter().zip(b).fold(0.0, |max, (a, b)| {
        let d = (a - b).abs();
        if d.is_nan() { f32::INFINITY } else { max.max(d) }
    })
}

/// Runs a plan on each instruction set and gives what is wrong.
pub fn compare(
    name: &str,
    plan: &Plan,
    rows: usize,
    tolerance: f32,
    kernel: Option<ConvKernel>,
) -> Vec<String> {
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
pub struct Case {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Groups.
    pub groups: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// The window.
    pub window: Window,
    /// Whether something is added before the activation.
    pub residual: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied last.
    pub activation: Activation,
    /// Elements before and after the channels of input and output.
    pub margins: [usize; 2],
}

impl Case {
    /// Without groups, residual, activation and margins.
    pub fn new(cin: usize, cout: usize, input: [usize; 2], window: Window) -> Self {
        let activation = Activation::Identity;
        Case { cin, cout, groups: 1, input, window, residual: false, bias: true, activation, margins: [0, 0] }
    }

    /// Terms of a sum.
    pub fn terms(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.cin / self.groups
    }

    /// The convolution as the last step of a plan.
    pub fn plan(&self) -> Plan {
        let [before, after] = self.margins;
        let stride = before + self.cin + after;
        let pixels = self.input[0] * self.input[1];
        let mut making =
            Making::new(self.cin as u64 * 7 + self.cout as u64, [stride, self.input[0], self.input[1]]);
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
            let other = making.conv(
                crate::plans::sliding(self.input, window),
                self.cin,
                self.cout,
                self.groups,
                Activation::Identity,
            );
            let buffer = making.buffer(sliding.output_rows() * out_stride);
            making.step(Kernel::Conv(other), &inputs, view(buffer, out_stride));
            inputs.push(view(buffer, out_stride));
        }
        assert_eq!(sliding.input_rows(), pixels);
        making.step(Kernel::Conv(conv), &inputs, view(out, out_stride));
        making.finish(out, sliding.output_rows() * out_stride)
    }

    /// As [`compare`](compare()).
    pub fn compare(&self, name: &str, rows: usize, kernel: Option<ConvKernel>) -> Vec<String> {
        let plan = self.plan();
        let weights = plan.weights.iter().map(|weight| largest(&weight.data)).fold(0.0, f32::max);
        let extra = if kernel.is_none_or(|kernel| kernel == ConvKernel::Winograd) { WINOGRAD } else { 1.0 };
        // The inputs are at most 2; a residual is a sum of as many terms.
        let sums = if self.residual { 2.0 } else { 1.0 };
        compare(name, &plan, rows, sums * extra * reduction(self.terms() + 2, 2.0, weights), kernel)
    }
}

/// Fails with everything that is wrong.
pub fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
