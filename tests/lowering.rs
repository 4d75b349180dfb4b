//! Random graphs: what the plan computes is what the graph says, whatever was folded, fused, moved or shared.

#[path = "common/interpret.rs"]
mod interpret;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;

use interpret::interpret;
use plans::Draws;
use reference::run_reference;
use whybox::Error;
use whybox::device::RunOptions;
use whybox::model::{
    Activation, BinaryKind, Graph, Model, NOTHING, NormKind, Op, PoolKind, ReduceKind, Response, Tensor,
    Value, ValueId, Window,
};
use whybox::perturb::Rows;
use whybox::plan::{Kernel, Plan};

/// Graphs that are tried; `WHYBOX_GRAPHS=300000` tries that many, for whoever has the time.
const GRAPHS: u64 = 6000;

/// One of each kind of arithmetic: picked in registers, by an exponential, by a fit.
const ACTIVATIONS: [Activation; 11] = [
    Activation::Relu,
    Activation::Tanh,
    Activation::LeakyRelu { slope: 0.3 },
    Activation::Gelu,
    Activation::Swish { alpha: 1.0 },
    Activation::Elu { alpha: 0.7 },
    Activation::HardSwish,
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::Softplus,
    Activation::Mish,
    Activation::Abs,
];

/// A graph under construction.
struct Making {
    graph: Graph,
    draws: Draws,
}

impl Making {
    fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let rank = [1, 2, 3, 3, 3, 3][draws.pick(0..6)];
        let shape = (0..rank).map(|_| draws.pick(1..6)).collect();
        let values = vec![Value { name: "x".into(), shape }];
        Making { graph: Graph { values, nodes: Vec::new(), input: 0, output: 0 }, draws }
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let fan = shape.iter().skip(1).product::<usize>().max(1) as f32;
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| self.draws.float() / fan.sqrt()).collect();
        Tensor::new(shape, data)
    }

    fn append(&mut self, op: Op, inputs: Vec<ValueId>, shape: Vec<usize>) {
        let name = format!("{} {}", op.name(), self.graph.nodes.len());
        self.graph.append(name, op, inputs, shape);
    }

    /// A value, recent ones more often.
    fn value(&mut self) -> ValueId {
        let count = self.graph.values.len();
        if self.draws.pick(0..3) > 0 {
            self.draws.pick(count.saturating_sub(3)..count)
        } else {
            self.draws.pick(0..count)
        }
    }

    /// Adds a random operator, if one that was drawn fits.
    fn grow(&mut self) {
        let id = self.value();
        let shape = self.graph.values[id].shape.clone();
        let rank = shape.len();
        let others: Vec<ValueId> =
            (0..self.graph.values.len()).filter(|&o| self.graph.values[o].shape == shape).collect();
        match self.draws.pick(0..22) {
            0..=2 if rank == 3 => {
                let groups = if shape[0].is_multiple_of(2) && self.draws.pick(0..3) == 0 { 2 } else { 1 };
                // Often the same size, as residuals need it.
                let (same, outputs) = (self.draws.pick(0..2) == 0, groups * self.draws.pick(1..4));
                let outputs = if same { shape[0] } else { outputs };
                let window = match self.draws.pick(0..3) {
                    0 => Window::square(1),
                    1 => Window::square(3).pad(1),
                    _ => Window { stride: [2, 1], pads: [1, 0, 0, 1], ..Window::square(2) },
                };
                let Ok([h, w]) = window.output([shape[1], shape[2]], false, "") else { return };
                let weight = self.tensor(&[outputs, shape[0] / groups, window.kernel[0], window.kernel[1]]);
                let bias = (self.draws.pick(0..2) == 0).then(|| self.tensor(&[outputs]));
                self.append(Op::Conv { weight, bias, window, groups }, vec![id], vec![outputs, h, w]);
            }
            3 if rank == 3 => {
                let window = Window { stride: [2, 1], ..Window::square(2) };
                let average = |count_include_pad| PoolKind::Average { count_include_pad };
                let kind = [PoolKind::Max, average(false), average(true)][self.draws.pick(0..3)];
                let Ok([h, w]) = window.output([shape[1], shape[2]], false, "") else { return };
                self.append(Op::Pool { kind, window }, vec![id], vec![shape[0], h, w]);
            }
            4 if rank > 0 => {
                let outputs = self.draws.pick(1..6);
                let weight = self.tensor(&[outputs, shape[rank - 1]]);
                let output = [&shape[..rank - 1], &[outputs]].concat();
                self.append(Op::Linear { weight, bias: None }, vec![id], output);
            }
            5 | 6 => {
                let f = ACTIVATIONS[self.draws.pick(0..ACTIVATIONS.len())];
                self.append(Op::Activation(f), vec![id], shape);
            }
            7 if rank > 0 => {
                let (scale, shift) = (self.tensor(&[shape[0]]), self.tensor(&[shape[0]]));
                self.append(Op::Affine { scale, shift }, vec![id], shape);
            }
            8 | 9 => {
                // Now and then a shape that broadcasts.
                let other = if self.draws.pick(0..2) == 0 {
                    self.value()
                } else {
                    others[self.draws.pick(0..others.len())]
                };
                let theirs = self.graph.values[other].shape.clone();
                let fits = theirs.len() == rank
                    && shape.iter().zip(&theirs).all(|(&a, &b)| a == b || a == 1 || b == 1);
                if fits {
                    let kind = [BinaryKind::Add, BinaryKind::Add, BinaryKind::Sub, BinaryKind::Mul]
                        [self.draws.pick(0..4)];
                    let output = shape.iter().zip(&theirs).map(|(&a, &b)| a.max(b)).collect();
                    self.append(Op::Binary(kind), vec![id, other], output);
                }
            }
            10 => {
                let narrow: Vec<usize> =
                    shape.iter().map(|&n| if self.draws.pick(0..2) == 0 { 1 } else { n }).collect();
                let lead = self.draws.pick(0..rank + 1);
                let constant = self.tensor(&narrow[lead..]);
                let kind = [BinaryKind::Add, BinaryKind::Sub, BinaryKind::Mul][self.draws.pick(0..3)];
                let constant_first = self.draws.pick(0..2) == 0;
                self.append(Op::BinaryConst { kind, constant, constant_first }, vec![id], shape);
            }
            11 | 12 if rank > 0 => {
                let axis = if self.draws.pick(0..2) == 0 { 0 } else { self.draws.pick(0..rank) };
                let alike = |o: &ValueId| {
                    let theirs = &self.graph.values[*o].shape;
                    theirs.len() == rank && (0..rank).all(|k| k == axis || theirs[k] == shape[k])
                };
                let fitting: Vec<ValueId> = (0..self.graph.values.len()).filter(alike).collect();
                let count = self.draws.pick(1..4);
                let mut inputs: Vec<ValueId> =
                    (0..count).map(|_| fitting[self.draws.pick(0..fitting.len())]).collect();
                // Perhaps an earlier one grows, as in a dense block.
                let earlier = self.graph.nodes.iter().rev().find(|node| {
                    matches!(node.op, Op::Concat { axis: along } if along == axis) && alike(&node.output)
                });
                if let Some(node) = earlier
                    && self.draws.pick(0..2) == 0
                {
                    inputs.splice(0..0, node.inputs.clone());
                }
                let mut output = shape;
                output[axis] = inputs.iter().map(|&o| self.graph.values[o].shape[axis]).sum();
                if output[axis] < 40 {
                    self.append(Op::Concat { axis }, inputs, output);
                }
            }
            13 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                (1..rank).rev().for_each(|k| perm.swap(k, self.draws.pick(0..k + 1)));
                let output = perm.iter().map(|&axis| shape[axis]).collect();
                self.append(Op::Transpose { perm }, vec![id], output);
            }
            14 => {
                let len: usize = shape.iter().product();
                let divisors: Vec<usize> = (1..=len).filter(|n| len.is_multiple_of(*n)).collect();
                let a = divisors[self.draws.pick(0..divisors.len())];
                let output = match self.draws.pick(0..4) {
                    0 | 1 => vec![len],
                    2 => vec![a, len / a],
                    _ => [vec![a], vec![1], vec![len / a]].concat(),
                };
                self.append(Op::Reshape, vec![id], output);
            }
            15 if rank > 0 && self.draws.pick(0..2) == 0 => {
                let axis = self.draws.pick(0..rank);
                let log = self.draws.pick(0..2) == 0;
                self.append(Op::Softmax { axis, log }, vec![id], shape);
            }
            16 | 17 if rank > 0 => {
                let axis = self.draws.pick(0..rank);
                let n = shape[axis];
                let (first, count) = (self.draws.pick(0..n), self.draws.pick(1..5));
                let indices: Vec<u32> =
                    match self.draws.pick(0..4) {
                        0 => (first..n).map(|at| at as u32).collect(),
                        1 => (first..n).step_by(2).map(|at| at as u32).collect(),
                        2 => vec![first as u32; count],
                        _ => (0..count)
                            .map(|_| {
                                if self.draws.pick(0..3) == 0 {
                                    NOTHING
                                } else {
                                    self.draws.pick(0..n) as u32
                                }
                            })
                            .collect(),
                    };
                let mut output = shape;
                output[axis] = indices.len();
                self.append(Op::Select { axis, indices: indices.into(), fill: 0.5 }, vec![id], output);
            }
            18 if rank > 1 => {
                // A product with a value that fits, or with the same value transposed.
                let (k, other) = (shape[rank - 1], self.value());
                let fits = |theirs: &[usize]| {
                    theirs.len() == rank
                        && theirs[rank - 2] == k
                        && (0..rank - 2)
                            .all(|at| theirs[at] == shape[at] || theirs[at] == 1 || shape[at] == 1)
                };
                let mut second = other;
                if !fits(&self.graph.values[other].shape) {
                    let mut perm: Vec<usize> = (0..rank).collect();
                    perm.swap(rank - 2, rank - 1);
                    let turned = perm.iter().map(|&axis| shape[axis]).collect();
                    self.append(Op::Transpose { perm }, vec![id], turned);
                    second = self.graph.values.len() - 1;
                }
                let theirs = self.graph.values[second].shape.clone();
                let mut output: Vec<usize> = shape.iter().zip(&theirs).map(|(&a, &b)| a.max(b)).collect();
                (output[rank - 2], output[rank - 1]) = (shape[rank - 2], theirs[rank - 1]);
                self.append(Op::MatMul, vec![id, second], output);
            }
            19 if self.draws.pick(0..3) == 0 => {
                let value = self.tensor(&shape);
                self.append(Op::Constant { value }, vec![], shape);
            }
            20 if rank > 0 => {
                let kinds = [
                    NormKind::Standard { epsilon: 0.1 },
                    NormKind::RootMeanSquare { epsilon: 0.1 },
                    NormKind::L1,
                    NormKind::L2,
                ];
                let kind = kinds[self.draws.pick(0..kinds.len())];
                let groups = if shape[0].is_multiple_of(2) && self.draws.pick(0..3) == 0 { 2 } else { 1 };
                let chosen = |_: &usize| groups > 1 || self.draws.pick(0..2) == 0;
                let axes: Vec<usize> = (0..rank).filter(chosen).collect();
                if axes.is_empty() {
                    return;
                }
                // One number for each channel, or one for each of the last axis.
                let channels = self.draws.pick(0..2) == 0;
                let along = |axis: usize| if channels { axis == 0 } else { axis + 1 == rank };
                let lengths: Vec<usize> =
                    (0..rank).map(|axis| if along(axis) { shape[axis] } else { 1 }).collect();
                let scale = (self.draws.pick(0..2) == 0).then(|| self.tensor(&lengths));
                let shift = (self.draws.pick(0..2) == 0).then(|| self.tensor(&lengths));
                self.append(Op::Normalize { kind, axes, groups, scale, shift }, vec![id], shape);
            }
            21 if rank > 0 => {
                let response = Response { size: self.draws.pick(1..6), alpha: 0.4, beta: 0.75, bias: 1.0 };
                self.append(Op::Lrn(response), vec![id], shape);
            }
            15 => {
                let axes: Vec<usize> = (0..rank).filter(|_| self.draws.pick(0..2) == 0).collect();
                let keep = self.draws.pick(0..2) == 0;
                let kind = [ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min]
                    [self.draws.pick(0..4)];
                let axis = |k: usize| if axes.contains(&k) { keep.then_some(1) } else { Some(shape[k]) };
                let output = (0..rank).filter_map(axis).collect();
                self.append(Op::Reduce { kind, axes }, vec![id], output);
            }
            _ => {}
        }
    }

    /// The last value, or several values flattened side by side.
    fn finish(mut self) -> (Graph, Draws) {
        if self.draws.pick(0..2) == 0 {
            let (mut parts, mut total) = (Vec::new(), 0);
            for _ in 0..3 {
                let id = self.value();
                let len = self.graph.values[id].len();
                self.append(Op::Reshape, vec![id], vec![len]);
                parts.push(self.graph.values.len() - 1);
                total += len;
            }
            self.append(Op::Concat { axis: 0 }, parts, vec![total]);
        }
        self.graph.output = self.graph.values.len() - 1;
        (self.graph, self.draws)
    }
}

/// `None` where the numbers grow out of proportion or a broadcast has too many axes. The plan gets its input times
/// `factor`: anything but 1 has to show.
fn check(seed: u64, factor: f32) -> Option<Result<(), String>> {
    let mut making = Making::new(seed);
    for _ in 0..making.draws.pick(1..14) {
        making.grow();
    }
    let (graph, mut draws) = making.finish();
    let mut sample = draws.floats(graph.values[graph.input].len());
    let expected = interpret(&graph, &sample);
    sample.iter_mut().for_each(|x| *x *= factor);
    let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if !largest.is_finite() || largest > 1e4 || expected.iter().any(|x| x.is_nan()) {
        return None;
    }
    let model = Model::from_graph("random", graph).expect("no axis is empty");
    let plan = match Plan::new(&model) {
        Ok(plan) => plan,
        Err(Error::Unsupported(_)) => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    let mut stored = vec![0.0; sample.len()];
    plan.input_layout.store(&sample, &mut stored);
    let compare = |what: &str, found: &[f32]| {
        let apart = |(e, f): (&f64, &f32)| {
            let difference = (e - f64::from(*f)).abs();
            difference.is_nan() || difference > 1e-4 * largest.max(1.0)
        };
        if expected.len() != found.len() {
            return Err(format!("{what}: {} numbers instead of {}", found.len(), expected.len()));
        }
        expected.iter().zip(found).position(apart).map_or(Ok(()), |at| {
            Err(format!("{what}: element {at}: {} instead of {}", found[at], expected[at]))
        })
    };
    let planned = compare("plan", &run_reference(&plan, &stored, 1));
    let engine = || {
        let network = whybox::Device::cpu().load(&model).map_err(|error| error.to_string())?;
        let rows = Rows::new(&sample, sample.len()).map_err(|error| error.to_string())?;
        let found = network.responses(&rows, &RunOptions::default()).map_err(|error| error.to_string())?;
        compare("processor", found.as_slice().expect("row-major"))
    };
    Some(planned.and_then(|()| engine()).map_err(|what| {
        let steps: Vec<_> = plan.steps.iter().map(|step| format!("    {}", step.name)).collect();
        format!("seed {seed}: {what}\n{}", steps.join("\n"))
    }))
}

#[test]
fn random_graphs_keep_their_meaning() {
    let graphs = std::env::var("WHYBOX_GRAPHS").map_or(GRAPHS, |count| count.parse().expect("a number"));
    let outcomes: Vec<_> = (0..graphs).map(|seed| check(seed, 1.0)).collect();
    let skipped = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    let mut failures: Vec<String> = outcomes.into_iter().flatten().filter_map(Result::err).collect();
    let count = failures.len();
    failures.truncate(5);
    assert!(count == 0, "{count} of {graphs} graphs fail:\n{}", failures.join("\n"));
    assert!(skipped < graphs as usize / 4, "{skipped} of {graphs} graphs prove nothing");
}

/// The comparison can fail. (A Softmax or a Clip may hide the change, so not every graph shows it.)
#[test]
fn other_inputs_are_found_out() {
    let found_out = (0..200).filter(|&seed| check(seed, 1.5).is_some_and(|outcome| outcome.is_err())).count();
    assert!(found_out > 150, "only {found_out} of 200 graphs notice another input");
}

/// A dense block: each layer reads all that came before, side by side. Nothing is copied, and the parts lie in one buffer.
#[test]
fn dense_blocks_grow_in_place() {
    let mut making = Making::new(5);
    making.graph.values[0].shape = vec![6, 4, 5];
    let window = Window::square(1);
    let conv = |making: &mut Making, input: ValueId, channels: usize| {
        let inputs = making.graph.values[input].shape[0];
        let weight = making.tensor(&[channels, inputs, 1, 1]);
        let op = Op::Conv { weight, bias: None, window, groups: 1 };
        making.append(op, vec![input], vec![channels, 4, 5]);
        making.graph.values.len() - 1
    };
    let mut parts = vec![conv(&mut making, 0, 8)];
    let mut all = parts[0];
    for _ in 0..5 {
        let squeezed = conv(&mut making, all, 12);
        parts.push(conv(&mut making, squeezed, 4));
        let channels = 8 + 4 * (parts.len() - 1);
        making.append(Op::Concat { axis: 0 }, parts.clone(), vec![channels, 4, 5]);
        all = making.graph.values.len() - 1;
    }
    let last = conv(&mut making, all, 3);
    making.graph.output = last;
    let sample = making.draws.floats(6 * 20);
    let expected = interpret(&making.graph, &sample);
    let model = Model::from_graph("dense", making.graph).expect("sound");
    let plan = Plan::new(&model).expect("every operator is known");
    let convolutions = plan.steps.iter().filter(|step| matches!(step.kernel, Kernel::Conv(_))).count();
    // The output in the order of its axes is the only copy.
    assert_eq!((convolutions, plan.steps.len()), (12, 13));
    assert_eq!(plan.buffers.iter().filter(|&&len| len == 28 * 20).count(), 1);
    let mut stored = vec![0.0; sample.len()];
    plan.input_layout.store(&sample, &mut stored);
    let found = run_reference(&plan, &stored, 1);
    let scale = expected.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
    assert!(expected.iter().zip(&found).all(|(e, f)| (e - f64::from(*f)).abs() < 1e-5 * scale));
}
