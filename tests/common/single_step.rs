//! One step at a time on the GPU, compared with plain loops.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use half::f16;
use whybox::device::gpu::{Gpu, Overrides};
use whybox::device::{Precision, RunOptions};
use whybox::model::Activation;
use whybox::perturb::{Data, Expander, Program};
use whybox::plan::{InputLayout, Kernel, Locality, Map, Plan, Step, View, Weight, WeightId};

use crate::compare::{largest, within};
use crate::plans::Draws;
use crate::reference::run_reference;

/// How far numbers may be apart.
#[derive(Debug, Clone, Copy)]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// Sums of `terms` products: 8 · 2⁻²³ · √terms · the largest result (or 4, if that is more).
    Sum { terms: usize },
    /// Scalar functions, for drivers whose exp, tanh and log are a few hundred units in the last place off.
    Elementwise,
}

/// Says where two results first differ by more than the tolerance.
pub fn compare(expected: &[f32], found: &[f32], tolerance: Tolerance) -> Result<(), String> {
    compare_stored(expected, found, tolerance, Precision::F32)
}

/// The same where the found numbers have been stored in `precision` once. In f16 that moves a number by 2⁻¹⁰ of itself at most (to
/// the nearest by half of that; a driver may also round towards zero), and by 2⁻²⁴ near zero.
pub fn compare_stored(
    expected: &[f32],
    found: &[f32],
    tolerance: Tolerance,
    precision: Precision,
) -> Result<(), String> {
    let largest = largest(expected).max(4.0);
    let allowed = |expected: f64| match tolerance {
        Tolerance::Exact => 0.0,
        Tolerance::Sum { terms } => 8.0 * f64::from(f32::EPSILON) * (terms as f64).sqrt() * largest,
        Tolerance::Elementwise => 2e-6 + 2e-4 * expected.abs(),
    };
    let rounding = |expected: f64| match precision {
        Precision::F32 => 0.0,
        Precision::F16 => 2f64.powi(-10) * expected.abs() + 2f64.powi(-24),
    };
    within(expected, found, |expected| allowed(expected) + rounding(expected)).map(|_| ())
}

/// Rows as they are, and what a masked first layer may read.
pub struct Given<'a> {
    /// `[rows, len]`
    pub data: &'a [f32],
    /// Elements per row.
    pub len: usize,
    /// The same rows as a selection.
    pub locality: Option<Locality>,
}

impl Expander for Given<'_> {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.data[rows.start * self.len..rows.end * self.len]);
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let rows = &self.data[rows.start * self.len..rows.end * self.len];
        let bytes = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
        Program { shader: "perturb/rows", buffers: vec![Data::Chunk(bytes)], params: [0; 4] }
    }

    fn locality(&self) -> Option<&Locality> {
        self.locality.as_ref()
    }
}

/// The responses of a plan's `rows` inputs, `data`.
pub fn respond(gpu: &Arc<Gpu>, plan: &Plan, data: &[f32], overrides: Overrides) -> whybox::Result<Vec<f32>> {
    let len = plan.input_layout.len();
    let network = Gpu::load_with(gpu, Arc::new(plan.clone()), overrides)?;
    let mut responses = Vec::new();
    let given = Given { data, len, locality: None };
    network.evaluate(&given, data.len() / len, &RunOptions::default(), &mut |rows, values| {
        assert_eq!(rows.start * plan.outputs, responses.len(), "rows come in order");
        responses.extend_from_slice(values);
        Ok(())
    })?;
    Ok(responses)
}

/// A plan of one step. Its operands are regions of the input; its output buffer is full of other numbers beforehand, so
/// that a write beside the output shows.
pub struct SingleStep {
    /// The source of weights.
    pub draws: Draws,
    input_len: usize,
    weights: Vec<Weight>,
}

impl SingleStep {
    /// A plan with no step yet.
    pub fn new(seed: u64) -> Self {
        SingleStep { draws: Draws::new(seed), input_len: 0, weights: Vec::new() }
    }

    /// An operand: `rows` rows of `channels`, `gap` elements between the rows and before the first.
    pub fn operand(&mut self, rows: usize, channels: usize, gap: usize) -> View {
        let view = View { buffer: 0, offset: self.input_len + gap, stride: channels + gap };
        self.input_len += gap + rows * (channels + gap);
        self.input_len = self.input_len.next_multiple_of(4);
        view
    }

    /// A constant.
    pub fn weight(&mut self, len: usize) -> WeightId {
        self.weights.push(Weight { data: self.draws.floats(len).into() });
        self.weights.len() - 1
    }

    /// Ends with the step; the output has `rows` rows of `channels`, `gap` elements apart.
    pub fn finish(
        mut self,
        kernel: Kernel,
        inputs: &[View],
        rows: usize,
        channels: usize,
        gap: usize,
    ) -> Plan {
        let output = View { buffer: 1, offset: gap, stride: channels + gap };
        let len = gap + rows * (channels + gap);
        let background = self.operand(1, len, 0);
        let whole = View { buffer: 1, offset: 0, stride: len };
        let fill = Kernel::Map(Map { rows: 1, channels: len, activation: Activation::Identity });
        let step = |name: &str, kernel, inputs: &[View], output| Step {
            name: name.to_owned(),
            kernel,
            inputs: inputs.to_vec(),
            output,
            macs: 0,
        };
        Plan {
            input_layout: InputLayout { shape: vec![self.input_len], channels_last: false, vocabulary: None },
            input: View { buffer: 0, offset: 0, stride: self.input_len },
            output: whole,
            outputs: len,
            buffers: vec![self.input_len, len],
            steps: vec![
                step("background", fill, &[background], whole),
                step("under test", kernel, inputs, output),
            ],
            weights: self.weights,
        }
    }
}

/// The same GPU with f16 storage, if it has that.
pub fn in_half(gpu: &Arc<Gpu>) -> Option<Arc<Gpu>> {
    static HALF: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    HALF.get_or_init(|| gpu.with_precision(Precision::F16).map(Arc::new).ok()).clone()
}

/// Numbers that f16 holds exactly.
pub fn halved(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().map(|&x| f16::from_f32(x).to_f32()).collect()
}

/// A plan whose constants f16 holds exactly.
pub fn halved_plan(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.weights.iter_mut().for_each(|weight| weight.data = halved(&weight.data).into());
    plan
}

/// Failures of a table of cases, told together.
#[derive(Default)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Runs a plan on the GPU and by plain loops; then again in f16, from inputs and constants that f16 holds exactly, so that only
    /// the last store rounds.
    pub fn check(&mut self, gpu: &Arc<Gpu>, name: &str, plan: &Plan, rows: usize, tolerance: Tolerance) {
        self.check_with(gpu, name, plan, rows, tolerance, Overrides::default());
    }

    /// [`check`](Failures::check) with choices forced.
    pub fn check_with(
        &mut self,
        gpu: &Arc<Gpu>,
        name: &str,
        plan: &Plan,
        rows: usize,
        tolerance: Tolerance,
        overrides: Overrides,
    ) {
        let data = Draws::new(rows as u64 + 7).floats(rows * plan.input_layout.len());
        let expected = run_reference(plan, &data, rows);
        let result = respond(gpu, plan, &data, overrides)
            .map_err(|error| error.to_string())
            .and_then(|found| compare(&expected, &found, tolerance));
        self.expect(name, result);
        self.check_half(gpu, name, plan, rows, tolerance, overrides);
    }

    /// The second of these.
    pub fn check_half(
        &mut self,
        gpu: &Arc<Gpu>,
        name: &str,
        plan: &Plan,
        rows: usize,
        tolerance: Tolerance,
        overrides: Overrides,
    ) {
        let Some(gpu) = in_half(gpu) else { return };
        let data = Draws::new(rows as u64 + 7).floats(rows * plan.input_layout.len());
        let (plan, data) = (halved_plan(plan), halved(&data));
        let expected = run_reference(&plan, &data, rows);
        let result = respond(&gpu, &plan, &data, overrides)
            .map_err(|error| error.to_string())
            .and_then(|found| compare_stored(&expected, &found, tolerance, Precision::F16));
        self.expect(&format!("f16: {name}"), result);
    }

    /// Notes a failure.
    pub fn expect(&mut self, name: &str, result: Result<(), String>) {
        if let Err(what) = result {
            self.0.push(format!("{name}: {what}"));
        }
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} cases failed:\n{}", self.0.len(), self.0.join("\n"));
        }
    }
}
