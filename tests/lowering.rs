//! Random graphs: what the plan computes is what the graph says, whatever was folded, fused, moved or shared.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;

use plans::Draws;
use reference::run_reference;
use whybox::Error;
use whybox::device::RunOptions;
use whybox::model::{
    Activation, BinaryKind, Graph, Model, NOTHING, Op, PoolKind, ReduceKind, Tensor, Value, ValueId, Window,
};
use whybox::perturb::Rows;
use whybox::plan::{Kernel, Plan};

/// Graphs that are tried; `WHYBOX_GRAPHS=300000` tries that many, for whoever has the time.
const GRAPHS: u64 = 6000;

/// All indices of a shape, the last axis fastest.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, &n| {
        all.into_iter().flat_map(|head| (0..n).map(move |i| [head.as_slice(), &[i]].concat())).collect()
    })
}

/// Row-major place of an index, aligned from the right; axes of length 1 repeat.
fn place(shape: &[usize], index: &[usize]) -> usize {
    let own = &index[index.len() - shape.len()..];
    shape.iter().zip(own).fold(0, |at, (&n, &i)| at * n + if n == 1 { 0 } else { i })
}

/// The graph by its definition, for one sample.
fn interpret(graph: &Graph, input: &[f32]) -> Vec<f64> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); graph.values.len()];
    values[graph.input] = input.iter().map(|&x| f64::from(x)).collect();
    for node in &graph.nodes {
        let shape = |id: ValueId| graph.values[id].shape.as_slice();
        let (first, out) = (node.inputs.first().copied().unwrap_or(graph.input), shape(node.output));
        let x = |index: &[usize]| values[first][place(shape(first), index)];
        let act = |f: Activation, x: f64| f64::from(f.apply(x as f32));
        let at = |index: &Vec<usize>| -> f64 {
            match &node.op {
                Op::Conv { weight, bias, window, groups } => {
                    conv(weight, bias.as_ref(), window, *groups, shape(first), &x, index)
                }
                Op::Linear { weight, bias } => {
                    let (o, head) = index.split_last().expect("an axis");
                    let sum: f64 = (0..weight.shape[1])
                        .map(|i| f64::from(weight.data[o * weight.shape[1] + i]) * x(&[head, &[i]].concat()))
                        .sum();
                    sum + bias.as_ref().map_or(0.0, |bias| f64::from(bias.data[*o]))
                }
                Op::Pool { kind, window } => {
                    let seen = taps(window, shape(first), index).into_iter().map(|(at, _)| x(&at));
                    match kind {
                        PoolKind::Max => seen.fold(f64::NEG_INFINITY, f64::max),
                        PoolKind::Average { .. } => seen.clone().sum::<f64>() / seen.count() as f64,
                    }
                }
                Op::Reduce { kind, axes } => {
                    let rank = shape(first).len();
                    let keeps = out.len() == rank;
                    let mut kept = index.iter();
                    // The reduced axes run, the others are those of the output.
                    let ranges: Vec<_> = (0..rank)
                        .map(|axis| match axes.contains(&axis) {
                            true => {
                                if keeps {
                                    kept.next();
                                }
                                0..shape(first)[axis]
                            }
                            false => kept.next().map(|&i| i..i + 1).expect("an axis that is kept"),
                        })
                        .collect();
                    let inside = |i: &Vec<usize>| i.iter().zip(&ranges).all(|(i, range)| range.contains(i));
                    let seen: Vec<f64> =
                        indices(shape(first)).iter().filter(|i| inside(i)).map(|i| x(i)).collect();
                    match kind {
                        ReduceKind::Mean => seen.iter().sum::<f64>() / seen.len() as f64,
                        ReduceKind::Sum => seen.iter().sum(),
                        ReduceKind::Prod => seen.iter().product(),
                        ReduceKind::Max => seen.into_iter().fold(f64::NEG_INFINITY, f64::max),
                        ReduceKind::Min => seen.into_iter().fold(f64::INFINITY, f64::min),
                    }
                }
                Op::Activation(f) => act(*f, x(index)),
                Op::Affine { scale, shift } => {
                    f64::from(scale.data[index[0]]) * x(index) + f64::from(shift.data[index[0]])
                }
                Op::Binary(kind) => {
                    apply(*kind, x(index), values[node.inputs[1]][place(shape(node.inputs[1]), index)])
                }
                Op::BinaryConst { kind, constant, constant_first } => {
                    let c = f64::from(constant.data[place(&constant.shape, index)]);
                    if *constant_first { apply(*kind, c, x(index)) } else { apply(*kind, x(index), c) }
                }
                Op::Concat { axis } => {
                    let (mut index, mut inputs) = (index.clone(), node.inputs.iter());
                    let mut id = *inputs.next().expect("an input");
                    while index[*axis] >= shape(id)[*axis] {
                        index[*axis] -= shape(id)[*axis];
                        id = *inputs.next().expect("an input that reaches this far");
                    }
                    values[id][place(shape(id), &index)]
                }
                Op::Transpose { perm } => {
                    let mut from = vec![0; perm.len()];
                    perm.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i);
                    x(&from)
                }
                Op::Reshape => values[first][place(out, index)],
                Op::Softmax { axis, .. } => {
                    let line = (0..out[*axis]).map(|i| {
                        let mut other = index.clone();
                        other[*axis] = i;
                        x(&other).exp()
                    });
                    x(index).exp() / line.sum::<f64>()
                }
                Op::Constant { value } => f64::from(value.data[place(out, index)]),
                Op::Select { axis, indices, fill } => {
                    let mut from = index.clone();
                    from[*axis] = indices[index[*axis]] as usize;
                    if indices[index[*axis]] == NOTHING { f64::from(*fill) } else { x(&from) }
                }
                Op::MatMul => {
                    let ((i, j), second) = ((index.len() - 2, index.len() - 1), node.inputs[1]);
                    let term = |k: usize| {
                        let (mut a, mut b) = (index.clone(), index.clone());
                        (a[j], b[i]) = (k, k);
                        x(&a) * values[second][place(shape(second), &b)]
                    };
                    (0..shape(first)[j]).map(term).sum()
                }
                other => unimplemented!("{other:?}"),
            }
        };
        let result = indices(out).iter().map(at).collect();
        values[node.output] = result;
    }
    values.swap_remove(graph.output)
}

fn apply(kind: BinaryKind, a: f64, b: f64) -> f64 {
    match kind {
        BinaryKind::Add => a + b,
        BinaryKind::Sub => a - b,
        BinaryKind::Mul => a * b,
        BinaryKind::Div => a / b,
        kind => f64::from(kind.apply(a as f32, b as f32)),
    }
}

/// The input indices that the window at `index` sees, each with its tap.
fn taps(window: &Window, input: &[usize], index: &[usize]) -> Vec<(Vec<usize>, usize)> {
    let mut seen = Vec::new();
    for tap in 0..window.kernel[0] * window.kernel[1] {
        let step = [tap / window.kernel[1], tap % window.kernel[1]];
        let mut at = [0; 2];
        let inside = (0..2).all(|axis| {
            let position = index[axis + 1] * window.stride[axis] + step[axis] * window.dilation[axis];
            at[axis] = position.wrapping_sub(window.pads[axis]);
            at[axis] < input[axis + 1]
        });
        if inside {
            seen.push((vec![index[0], at[0], at[1]], tap));
        }
    }
    seen
}

fn conv(
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    groups: usize,
    input: &[usize],
    x: &dyn Fn(&[usize]) -> f64,
    index: &[usize],
) -> f64 {
    let (outputs, depth, area) = (weight.shape[0], weight.shape[1], window.kernel[0] * window.kernel[1]);
    let group = index[0] / (outputs / groups);
    let mut sum = bias.map_or(0.0, |bias| f64::from(bias.data[index[0]]));
    for (mut at, tap) in taps(window, input, index) {
        for i in 0..depth {
            at[0] = group * depth + i;
            sum += f64::from(weight.data[(index[0] * depth + i) * area + tap]) * x(&at);
        }
    }
    sum
}

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
        match self.draws.pick(0..20) {
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
                let kind =
                    [PoolKind::Max, PoolKind::Average { count_include_pad: false }][self.draws.pick(0..2)];
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
                let f = [Activation::Relu, Activation::Tanh, Activation::LeakyRelu { slope: 0.3 }]
                    [self.draws.pick(0..3)];
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
                self.append(Op::Softmax { axis, log: false }, vec![id], shape);
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
    // The interpreter's Softmax overflows where products of products are large.
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
