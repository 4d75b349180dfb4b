//! A plan executed by plain loops in f64: slow, and meant to be obviously correct. The engines are
//! compared with it.

use whybox::model::{BinaryKind, NormKind, PoolKind, ReduceKind};
use whybox::plan::{
    Binary, Conv, Copy, Kernel, Normalize, Operand, Plan, Pool, Reduce, Select, Softmax, Step, View,
};

/// Runs `rows` samples, given in the stored order of the plan's input; gives `[rows, outputs]`.
pub fn run_reference(plan: &Plan, input: &[f32], rows: usize) -> Vec<f32> {
    let len = plan.input_layout.len();
    assert_eq!(input.len(), rows * len);
    let mut responses = Vec::new();
    for sample in input.chunks_exact(len) {
        // Everything starts as NaN: a step that reads what nobody wrote is found out.
        let mut buffers: Vec<Vec<f32>> = plan.buffers.iter().map(|&len| vec![f32::NAN; len]).collect();
        buffers[plan.input.buffer][plan.input.offset..][..len].copy_from_slice(sample);
        for step in &plan.steps {
            run_step(plan, step, &mut buffers);
        }
        responses.extend_from_slice(&buffers[plan.output.buffer][plan.output.offset..][..plan.outputs]);
    }
    responses
}

/// An operand: its buffer, as it was before the step.
struct Source {
    data: Vec<f32>,
    view: View,
}

impl Source {
    fn at(&self, row: usize, channel: usize) -> f64 {
        f64::from(self.data[self.view.offset + row * self.view.stride + channel])
    }

    fn flat(&self, index: usize) -> f64 {
        f64::from(self.data[self.view.offset + index])
    }
}

fn run_step(plan: &Plan, step: &Step, buffers: &mut [Vec<f32>]) {
    let inputs: Vec<Source> =
        step.inputs.iter().map(|&view| Source { data: buffers[view.buffer].clone(), view }).collect();
    let weight = |id: usize, index: usize| f64::from(plan.weights[id].data[index]);
    let out = step.output;
    let buffer = &mut buffers[out.buffer];
    let mut put =
        |row: usize, channel: usize, x: f64| buffer[out.offset + row * out.stride + channel] = x as f32;
    let act = |activation: whybox::model::Activation, x: f64| f64::from(activation.apply(x as f32));
    match &step.kernel {
        Kernel::Conv(conv) => {
            for p in 0..conv.sliding.output_rows() {
                for o in 0..conv.cout {
                    let mut sum = conv_sum(conv, &inputs[0], &weight, p, o);
                    if let Some(bias) = conv.bias {
                        sum += weight(bias, o);
                    }
                    if conv.residual {
                        sum += inputs[1].at(p, o);
                    }
                    put(p, o, act(conv.activation, sum));
                }
            }
        }
        Kernel::Pool(pool) => {
            for p in 0..pool.sliding.output_rows() {
                for c in 0..pool.channels {
                    put(p, c, pool_value(pool, &inputs[0], p, c));
                }
            }
        }
        Kernel::Reduce(reduce) => {
            for o in 0..reduce.outer {
                for i in 0..reduce.inner {
                    put(o, i, reduce_value(reduce, &inputs[0], o, i));
                }
            }
        }
        Kernel::Map(map) => {
            for r in 0..map.rows {
                for c in 0..map.channels {
                    put(r, c, act(map.activation, inputs[0].at(r, c)));
                }
            }
        }
        Kernel::Affine(affine) => {
            for r in 0..affine.rows {
                for c in 0..affine.channels {
                    let x = weight(affine.scale, c) * inputs[0].at(r, c) + weight(affine.shift, c);
                    put(r, c, act(affine.activation, x));
                }
            }
        }
        Kernel::Binary(binary) => {
            for index in indices(&binary.shape) {
                let x = binary_value(binary, &inputs, &weight, &index);
                put(0, dot(&index, &binary.out_strides), act(binary.activation, x));
            }
        }
        Kernel::Copy(Copy { shape, in_strides, out_strides }) => {
            for index in indices(shape) {
                put(0, dot(&index, out_strides), inputs[0].flat(dot(&index, in_strides)));
            }
        }
        Kernel::Fill(fill) => {
            for r in 0..fill.rows {
                (0..fill.channels).for_each(|c| put(r, c, weight(fill.value, r * fill.channels + c)));
            }
        }
        Kernel::Select(Select { outer, len, inner, count, indices: table, fill }) => {
            for index in indices(&[*outer, *count, *inner]) {
                let [o, i, c] = index[..] else { unreachable!("three axes") };
                let from = weight(*table, i);
                let at = |from: f64| inputs[0].flat((o * len + from as usize) * inner + c);
                put(0, (o * count + i) * inner + c, if from < 0.0 { f64::from(*fill) } else { at(from) });
            }
        }
        Kernel::Embedding(embedding) => {
            for r in 0..embedding.rows {
                let id = inputs[0].flat(r) as usize;
                (0..embedding.width)
                    .for_each(|c| put(r, c, weight(embedding.table, id * embedding.width + c)));
            }
        }
        Kernel::MatMul(product) => {
            for index in indices(&product.shapes()[2]) {
                let [p, q, i, j] = index[..] else { unreachable!("four axes") };
                let term = |k: usize| {
                    inputs[0].flat(dot(&[p, q, i, k], &product.a_strides))
                        * inputs[1].flat(dot(&[p, q, k, j], &product.b_strides))
                };
                put(0, dot(&index, &product.out_strides), (0..product.k).map(term).sum());
            }
        }
        Kernel::Normalize(normalize) => {
            let channels = normalize.channels();
            for r in 0..normalize.rows() {
                for c in 0..channels {
                    let mut x = normalized_value(normalize, &inputs[0], r, c);
                    x *= normalize.scale.map_or(1.0, |id| weight(id, c));
                    x += normalize.shift.map_or(0.0, |id| weight(id, c));
                    put(r, c, act(normalize.activation, x));
                }
            }
        }
        Kernel::Lrn(lrn) => {
            let size = lrn.response.size;
            for r in 0..lrn.rows {
                for c in 0..lrn.channels {
                    let window = (0..size).filter_map(|k| (c + k).checked_sub((size - 1) / 2));
                    let squares = window.filter(|&k| k < lrn.channels).map(|k| inputs[0].at(r, k).powi(2));
                    let mean = squares.sum::<f64>() / size as f64;
                    let base = f64::from(lrn.response.bias) + f64::from(lrn.response.alpha) * mean;
                    put(r, c, inputs[0].at(r, c) / base.powf(f64::from(lrn.response.beta)));
                }
            }
        }
        Kernel::Softmax(softmax) => {
            let Softmax { outer, len, inner, log } = *softmax;
            for o in 0..outer {
                for i in 0..inner {
                    let at = |l: usize| (o * len + l) * inner + i;
                    let max = (0..len).map(|l| inputs[0].flat(at(l))).fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = (0..len).map(|l| (inputs[0].flat(at(l)) - max).exp()).sum();
                    for l in 0..len {
                        let x = inputs[0].flat(at(l)) - max;
                        put(0, at(l), if log { x - sum.ln() } else { x.exp() / sum });
                    }
                }
            }
        }
    }
}

/// Input row of tap (ky, kx) for output row `p`, if it lies within the picture.
fn tap(sliding: &whybox::plan::Sliding, p: usize, ky: usize, kx: usize) -> Option<usize> {
    let window = &sliding.window;
    let (y, x) = (p / sliding.output[1], p % sliding.output[1]);
    let iy = (y * window.stride[0] + ky * window.dilation[0]).checked_sub(window.pads[0])?;
    let ix = (x * window.stride[1] + kx * window.dilation[1]).checked_sub(window.pads[1])?;
    (iy < sliding.input[0] && ix < sliding.input[1]).then_some(iy * sliding.input[1] + ix)
}

fn conv_sum(conv: &Conv, input: &Source, weight: &dyn Fn(usize, usize) -> f64, p: usize, o: usize) -> f64 {
    let [kh, kw] = conv.sliding.window.kernel;
    let (cin, cout) = (conv.cin / conv.groups, conv.cout / conv.groups);
    let group = o / cout;
    let mut sum = 0.0;
    for ky in 0..kh {
        for kx in 0..kw {
            let Some(row) = tap(&conv.sliding, p, ky, kx) else { continue };
            for i in 0..cin {
                // [groups, taps, cin / groups, cout / groups]
                let index = ((group * kh * kw + ky * kw + kx) * cin + i) * cout + o % cout;
                sum += input.at(row, group * cin + i) * weight(conv.weight, index);
            }
        }
    }
    sum
}

fn pool_value(pool: &Pool, input: &Source, p: usize, c: usize) -> f64 {
    let sliding = &pool.sliding;
    let window = &sliding.window;
    let [kh, kw] = window.kernel;
    let (y, x) = (p / sliding.output[1], p % sliding.output[1]);
    let mut values = Vec::new();
    let mut padded = 0;
    for ky in 0..kh {
        for kx in 0..kw {
            values.extend(tap(sliding, p, ky, kx).map(|row| input.at(row, c)));
            let py = y * window.stride[0] + ky * window.dilation[0];
            let px = x * window.stride[1] + kx * window.dilation[1];
            let inside = py < sliding.input[0] + window.pads[0] + window.pads[2]
                && px < sliding.input[1] + window.pads[1] + window.pads[3];
            padded += usize::from(inside);
        }
    }
    match pool.kind {
        PoolKind::Max => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
        PoolKind::Average { count_include_pad: true } => values.iter().sum::<f64>() / padded as f64,
        PoolKind::Average { count_include_pad: false } => values.iter().sum::<f64>() / values.len() as f64,
    }
}

fn reduce_value(reduce: &Reduce, input: &Source, o: usize, i: usize) -> f64 {
    let values = (0..reduce.len).map(|l| input.at(o * reduce.len + l, i));
    match reduce.kind {
        ReduceKind::Mean => values.sum::<f64>() / reduce.len as f64,
        ReduceKind::Sum => values.sum(),
        ReduceKind::Prod => values.product(),
        ReduceKind::Max => values.fold(f64::NEG_INFINITY, f64::max),
        ReduceKind::Min => values.fold(f64::INFINITY, f64::min),
    }
}

fn normalized_value(normalize: &Normalize, input: &Source, row: usize, channel: usize) -> f64 {
    let first_row = row / normalize.len * normalize.len;
    let first = channel / normalize.width * normalize.width;
    let set = || {
        (first_row..first_row + normalize.len)
            .flat_map(move |r| (first..first + normalize.width).map(move |c| input.at(r, c)))
    };
    let count = (normalize.len * normalize.width) as f64;
    let x = input.at(row, channel);
    let quotient = |norm: f64| if norm == 0.0 { 0.0 } else { x / norm };
    match normalize.kind {
        NormKind::Standard { epsilon } => {
            let mean = set().sum::<f64>() / count;
            let variance = set().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            (x - mean) / (variance + f64::from(epsilon)).sqrt()
        }
        NormKind::RootMeanSquare { epsilon } => {
            x / (set().map(|x| x * x).sum::<f64>() / count + f64::from(epsilon)).sqrt()
        }
        NormKind::L1 => quotient(set().map(f64::abs).sum()),
        NormKind::L2 => quotient(set().map(|x| x * x).sum::<f64>().sqrt()),
    }
}

fn binary_value(
    binary: &Binary,
    inputs: &[Source],
    weight: &dyn Fn(usize, usize) -> f64,
    index: &[usize],
) -> f64 {
    let a = inputs[0].flat(dot(index, &binary.a_strides));
    let b = match binary.b {
        Operand::Input => inputs[1].flat(dot(index, &binary.b_strides)),
        Operand::Constant(id) => weight(id, dot(index, &binary.b_strides)),
    };
    let (a, b) = if binary.swapped { (b, a) } else { (a, b) };
    match binary.kind {
        BinaryKind::Add => a + b,
        BinaryKind::Sub => a - b,
        BinaryKind::Mul => a * b,
        BinaryKind::Div => a / b,
        BinaryKind::Max => a.max(b),
        BinaryKind::Min => a.min(b),
        BinaryKind::Pow => a.powf(b),
        BinaryKind::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        kind => f64::from(kind.apply(a as f32, b as f32)),
    }
}

fn dot(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}

/// All indices of a shape, the last axis fastest.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, &n| {
        all.into_iter().flat_map(|head| (0..n).map(move |i| [head.as_slice(), &[i]].concat())).collect()
    })
}
