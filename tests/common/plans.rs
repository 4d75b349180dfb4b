//! Plans by hand: single steps of any shape, with random weights.

use std::ops::Range;

use whybox::model::{Activation, Window};
use whybox::perturb::{Expander, Program};
use whybox::plan::{Conv, InputLayout, Kernel, Locality, Plan, Sliding, Step, View, Weight};

/// A small generator of test data: the same numbers everywhere.
pub struct Draws(u64);

impl Draws {
    /// Starts a sequence.
    pub fn new(seed: u64) -> Self {
        Draws(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    fn word(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number in −1 … 2: lopsided, so that errors do not cancel.
    pub fn float(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u64 << 24) as f32 * 3.0 - 1.0
    }

    /// Many of them.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// A number in `range`.
    pub fn pick(&mut self, range: Range<usize>) -> usize {
        range.start + (self.word() >> 33) as usize % (range.end - range.start)
    }
}

/// Inputs as they are, in the stored order.
pub struct Stored<'a> {
    /// `[rows, len]`
    pub data: &'a [f32],
    /// Elements per row.
    pub len: usize,
    /// What the first layer may select from.
    pub locality: Option<Locality>,
}

impl Expander for Stored<'_> {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.data[rows.start * self.len..rows.end * self.len]);
    }

    fn program(&self, _rows: Range<usize>) -> Program {
        unimplemented!("these tests run on the processor")
    }

    fn locality(&self) -> Option<&Locality> {
        self.locality.as_ref()
    }
}

/// A window whose output has the size that follows.
pub fn sliding(input: [usize; 2], window: Window) -> Sliding {
    let size = |axis: usize| {
        let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
        (input[axis] + window.pads[axis] + window.pads[axis + 2] - reach) / window.stride[axis] + 1
    };
    Sliding { input, output: [size(0), size(1)], window }
}

/// A square window.
pub fn square(kernel: usize, stride: usize, dilation: usize, pad: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], pads: [pad; 4] }
}

/// A contiguous view from the start of a buffer.
pub fn whole(buffer: usize, stride: usize) -> View {
    View { buffer, offset: 0, stride }
}

/// A plan under construction: buffer 0 holds the input.
pub struct Making {
    /// What has been made so far.
    pub plan: Plan,
    /// The source of weights.
    pub draws: Draws,
}

impl Making {
    /// A plan whose input is a picture `[C, H, W]`, stored channels last.
    pub fn new(seed: u64, [channels, height, width]: [usize; 3]) -> Self {
        let plan = Plan {
            input_layout: InputLayout {
                shape: vec![channels, height, width],
                channels_last: true,
                vocabulary: None,
            },
            input: whole(0, channels),
            output: whole(0, channels),
            outputs: 0,
            buffers: vec![channels * height * width],
            steps: Vec::new(),
            weights: Vec::new(),
        };
        Making { plan, draws: Draws::new(seed) }
    }

    /// A new buffer.
    pub fn buffer(&mut self, len: usize) -> usize {
        self.plan.buffers.push(len);
        self.plan.buffers.len() - 1
    }

    /// A constant of random numbers times `scale`.
    pub fn weight(&mut self, len: usize, scale: f32) -> usize {
        let data: Vec<f32> = self.draws.floats(len).iter().map(|x| x * scale).collect();
        self.plan.weights.push(Weight { data: data.into() });
        self.plan.weights.len() - 1
    }

    /// A convolution with random weights, of a size that keeps activations in hand.
    pub fn conv(
        &mut self,
        sliding: Sliding,
        cin: usize,
        cout: usize,
        groups: usize,
        activation: Activation,
    ) -> Conv {
        let taps: usize = sliding.window.kernel.iter().product();
        let depth = taps * cin / groups;
        let weight = self.weight(depth * cout, 1.0 / (depth as f32).sqrt());
        let bias = Some(self.weight(cout, 0.5));
        Conv { sliding, cin, cout, groups, weight, bias, residual: false, activation }
    }

    /// Adds a step.
    pub fn step(&mut self, kernel: Kernel, inputs: &[View], output: View) {
        let macs = match &kernel {
            Kernel::Conv(conv) => {
                let taps: usize = conv.sliding.window.kernel.iter().product();
                (conv.sliding.output_rows() * taps * conv.cin / conv.groups * conv.cout) as u64
            }
            _ => 0,
        };
        let name = format!("step {}", self.plan.steps.len());
        self.plan.steps.push(Step { name, kernel, inputs: inputs.to_vec(), output, macs });
    }

    /// Ends with `outputs` contiguous numbers of a buffer.
    pub fn finish(mut self, buffer: usize, outputs: usize) -> Plan {
        self.plan.output = whole(buffer, outputs);
        self.plan.outputs = outputs;
        self.plan
    }
}
