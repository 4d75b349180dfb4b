//! A graph by its definition: plain loops in f64 that know nothing of plans.

use whybox::model::{
    Activation, BinaryKind, Graph, NOTHING, NormKind, Op, PoolKind, ReduceKind, Tensor, ValueId, Window,
};

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
pub fn interpret(graph: &Graph, input: &[f32]) -> Vec<f64> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); graph.values.len()];
    values[graph.input] = input.iter().map(|&x| f64::from(x)).collect();
    for node in &graph.nodes {
        let shape = |id: ValueId| graph.values[id].shape.as_slice();
        let (first, out) = (node.inputs.first().copied().unwrap_or(graph.input), shape(node.output));
        let x = |index: &[usize]| values[first][place(shape(first), index)];
        // `[C, L]` is a picture of height 1.
        let (line, picture) = (shape(first).len() == 2, picture(shape(first)));
        let pixel = |at: &[usize]| if line { x(&[at[0], at[2]]) } else { x(at) };
        let spread = |index: &[usize]| if line { vec![index[0], 0, index[1]] } else { index.to_vec() };
        let act = |f: Activation, x: f64| f64::from(f.apply(x as f32));
        let at = |index: &Vec<usize>| -> f64 {
            match &node.op {
                Op::Conv { weight, bias, window, groups } => {
                    conv(weight, bias.as_ref(), window, *groups, &picture, &pixel, &spread(index))
                }
                Op::Linear { weight, bias } => {
                    let (o, head) = index.split_last().expect("an axis");
                    let sum: f64 = (0..weight.shape[1])
                        .map(|i| f64::from(weight.data[o * weight.shape[1] + i]) * x(&[head, &[i]].concat()))
                        .sum();
                    sum + bias.as_ref().map_or(0.0, |bias| f64::from(bias.data[*o]))
                }
                Op::Pool { kind, window } => {
                    let index = spread(index);
                    let seen = taps(window, &picture, &index).into_iter().map(|(at, _)| pixel(&at));
                    match kind {
                        PoolKind::Max => seen.fold(f64::NEG_INFINITY, f64::max),
                        PoolKind::Average { count_include_pad: false } => {
                            seen.clone().sum::<f64>() / seen.count() as f64
                        }
                        PoolKind::Average { .. } => {
                            seen.sum::<f64>() / padded_taps(window, &picture, &index) as f64
                        }
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
                Op::Softmax { axis, log } => {
                    let along = |i: usize| {
                        let mut other = index.clone();
                        other[*axis] = i;
                        x(&other)
                    };
                    let largest = (0..out[*axis]).map(along).fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = (0..out[*axis]).map(|i| (along(i) - largest).exp()).sum();
                    let own = x(index) - largest;
                    if *log { own - sum.ln() } else { own.exp() / sum }
                }
                Op::Normalize { kind, axes, groups, scale, shift } => {
                    let part = |i: usize| i / (out[0] / groups);
                    let beside = |other: &&Vec<usize>| {
                        (0..out.len()).all(|axis| axes.contains(&axis) || other[axis] == index[axis])
                            && (*groups == 1 || part(other[0]) == part(index[0]))
                    };
                    let seen: Vec<f64> = indices(out).iter().filter(beside).map(|i| x(i)).collect();
                    let at = |tensor: &Option<Tensor>, other: f64| {
                        tensor.as_ref().map_or(other, |t| f64::from(t.data[place(&t.shape, index)]))
                    };
                    normalised(*kind, x(index), &seen) * at(scale, 1.0) + at(shift, 0.0)
                }
                Op::Lrn(response) => {
                    let (before, after) = ((response.size - 1) / 2, response.size / 2);
                    let window = index[0].saturating_sub(before)..(index[0] + after + 1).min(out[0]);
                    let channel = |c: usize| x(&[&[c], &index[1..]].concat());
                    let sum: f64 = window.map(|c| channel(c).powi(2)).sum();
                    let base =
                        f64::from(response.bias) + f64::from(response.alpha) / response.size as f64 * sum;
                    x(index) / base.powf(response.beta.into())
                }
                Op::Embedding { table } => {
                    let (column, from) = index.split_last().expect("an axis");
                    f64::from(table.data[x(from) as usize * table.shape[1] + column])
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

fn normalised(kind: NormKind, x: f64, seen: &[f64]) -> f64 {
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / seen.len() as f64;
    match kind {
        NormKind::Standard { epsilon } => {
            let centre = mean(&mut seen.iter().copied());
            let variance = mean(&mut seen.iter().map(|v| (v - centre).powi(2)));
            (x - centre) / (variance + f64::from(epsilon)).sqrt()
        }
        NormKind::RootMeanSquare { epsilon } => {
            x / (mean(&mut seen.iter().map(|v| v * v)) + f64::from(epsilon)).sqrt()
        }
        NormKind::L1 => quotient(x, seen.iter().map(|v| v.abs()).sum()),
        NormKind::L2 => quotient(x, seen.iter().map(|v| v * v).sum::<f64>().sqrt()),
    }
}

fn quotient(x: f64, norm: f64) -> f64 {
    if norm == 0.0 { 0.0 } else { x / norm }
}

/// `[C, H, W]` as it is, `[C, L]` as a picture of height 1.
fn picture(shape: &[usize]) -> Vec<usize> {
    match shape {
        &[channels, length] => vec![channels, 1, length],
        _ => shape.to_vec(),
    }
}

/// Taps of the window at `index` that lie within the padded picture.
fn padded_taps(window: &Window, input: &[usize], index: &[usize]) -> usize {
    (0..2)
        .map(|axis| {
            let end = input[axis + 1] + window.pads[axis] + window.pads[axis + 2];
            let at = |tap: usize| index[axis + 1] * window.stride[axis] + tap * window.dilation[axis];
            (0..window.kernel[axis]).filter(|&tap| at(tap) < end).count()
        })
        .product()
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
