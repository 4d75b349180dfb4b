//! Random graphs of one operator on both engines, against their definition.
//!
//! Cases come from proptest with a fixed seed, so every run tries the same; `PROPTEST_CASES=1000` tries more.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use whybox::device::RunOptions;
use whybox::device::cpu::Cpu;
use whybox::device::gpu::Gpu;
use whybox::model::{Activation, BinaryKind, Graph, Model, Op, Tensor, Value, ValueId};
use whybox::plan::Plan;

use crate::compare::{largest, within};
use crate::gpu;
use crate::interpret::interpret;
use crate::plans::{Draws, Stored};
use crate::single_step::respond;

/// A graph with the draws of its constants.
pub struct Making {
    /// What has been made so far.
    pub graph: Graph,
    draws: Draws,
}

impl Making {
    /// A graph with an input of this shape and nothing else.
    pub fn new(seed: u64, shape: &[usize]) -> Self {
        let values = vec![Value { name: "x".into(), shape: shape.to_vec() }];
        Making { graph: Graph { values, nodes: Vec::new(), input: 0, output: 0 }, draws: Draws::new(seed) }
    }

    /// A constant of random numbers.
    pub fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let data = self.draws.floats(shape.iter().product());
        Tensor::new(shape, data)
    }

    /// Adds a node; its value is the output until another comes.
    pub fn append(&mut self, op: Op, inputs: &[ValueId], shape: &[usize]) -> ValueId {
        let name = format!("{} {}", op.name(), self.graph.nodes.len());
        self.graph.output = self.graph.append(name, op, inputs.to_vec(), shape.to_vec());
        self.graph.output
    }

    /// Part `at` of the input's first axis, cut to `shape` (axes of length 1 where the others are longer).
    pub fn operand(&mut self, at: u32, shape: &[usize]) -> ValueId {
        let mut whole = self.graph.values[0].shape.clone();
        let pick = |axis: usize, indices: Vec<u32>| Op::Select { axis, indices: indices.into(), fill: 0.0 };
        whole[0] = 1;
        let mut id = self.append(pick(0, vec![at]), &[0], &whole);
        for (axis, &length) in shape.iter().enumerate() {
            if whole[axis + 1] != length {
                whole[axis + 1] = length;
                id = self.append(pick(axis + 1, (0..length as u32).collect()), &[id], &whole);
            }
        }
        self.append(Op::Reshape, &[id], shape)
    }

    /// The value times `outer` with 0.25 added after taking the absolute value: nothing that a quotient or a power minds.
    pub fn positive(&mut self, id: ValueId) -> ValueId {
        let shape = self.graph.values[id].shape.clone();
        let id = self.append(Op::Activation(Activation::Abs), &[id], &shape);
        let constant = Tensor::new(&[], [0.25].as_slice());
        let op = Op::BinaryConst { kind: BinaryKind::Add, constant, constant_first: false };
        self.append(op, &[id], &shape)
    }
}

/// How far results may be from the definition's.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// 64 · 2⁻²³ · √terms · the largest number (4 if that is more): Winograd's transforms included.
    Sum(usize),
    /// For functions: 2e-5 of the largest number, on a GPU, whose own functions are coarser, 3e-4.
    Function,
}

impl Allowed {
    fn distance(self, largest: f64, gpu: bool) -> f64 {
        match self {
            Allowed::Sum(terms) => 64.0 * f64::from(f32::EPSILON) * (terms as f64).sqrt() * largest.max(4.0),
            Allowed::Function => (if gpu { 3e-4 } else { 2e-5 }) * largest.max(1.0),
        }
    }
}

/// Where the graphs run.
pub enum Engines {
    /// The processor's, with each of its instruction sets.
    Cpu,
    /// The GPU's.
    Gpu(Arc<Gpu>),
}

/// Runs a graph on every instruction set, or on the GPU, against its definition. The engines get the inputs times `factor`:
/// anything but 1 has to show.
pub fn check(
    engines: &Engines,
    making: Making,
    rows: usize,
    allowed: Allowed,
    factor: f32,
) -> Result<(), String> {
    let Making { graph, mut draws } = making;
    let len = graph.values[graph.input].len();
    // Eighths: comparisons find equals.
    let samples: Vec<f32> = (0..rows * len).map(|_| (draws.float() * 8.0).round() / 8.0).collect();
    let expected: Vec<f64> = samples.chunks(len).flat_map(|sample| interpret(&graph, sample)).collect();
    let largest = largest(&expected);
    if !largest.is_finite() || expected.iter().any(|x| x.is_nan()) {
        return Err("the definition's numbers are not finite".into());
    }
    let model = Model::from_graph("one operator", graph).map_err(|error| error.to_string())?;
    let plan = Arc::new(Plan::new(&model).map_err(|error| error.to_string())?);
    let mut stored = vec![0.0; samples.len()];
    for (sample, stored) in samples.chunks(len).zip(stored.chunks_mut(len)) {
        let sample: Vec<f32> = sample.iter().map(|x| x * factor).collect();
        plan.input_layout.store(&sample, stored);
    }
    let compare = |name: &str, found: &[f32], gpu: bool| {
        let distance = allowed.distance(largest, gpu);
        let verdict = within(&expected, found, |_| distance);
        verdict.map(|_| ()).map_err(|what| format!("{name}: {what}"))
    };
    match engines {
        Engines::Gpu(gpu) => {
            let found =
                respond(gpu, &plan, &stored, Default::default()).map_err(|error| error.to_string())?;
            compare("GPU", &found, true)
        }
        Engines::Cpu => Cpu::all().into_iter().try_for_each(|cpu| {
            let network = cpu.load(plan.clone()).map_err(|error| error.to_string())?;
            let given = Stored { data: &stored, len, locality: None };
            let mut found = Vec::new();
            network
                .run(&given, rows, &RunOptions::default(), &mut |_, values| {
                    found.extend_from_slice(values);
                    Ok(())
                })
                .map_err(|error| error.to_string())?;
            compare(&cpu.name(), &found, false)
        }),
    }
}

/// Runs a family's cases on both engines; `make` gives `None` where the parameters do not fit together.
pub fn each<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: &S,
    make: impl Fn(&S::Value) -> Option<(Making, usize, Allowed)>,
) where
    S::Value: Clone,
{
    let more = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok());
    let run = |engines: &Engines, cases: u32| {
        // Counter-examples are not stored: the seed is fixed.
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let outcome = TestRunner::new_with_rng(config, rng).run(strategy, |parameters| {
            let Some((making, rows, allowed)) = make(&parameters) else {
                return Err(TestCaseError::reject("sizes do not fit"));
            };
            check(engines, making, rows, allowed, 1.0).map_err(TestCaseError::fail)
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, parameters)) => panic!("{name}: {parameters:?}: {reason}"),
            Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
        }
    };
    run(&Engines::Cpu, more.unwrap_or(cases));
    if let Some(gpu) = gpu::engine() {
        run(&Engines::Gpu(gpu), (more.unwrap_or(cases) / 4).max(4));
    }
}
