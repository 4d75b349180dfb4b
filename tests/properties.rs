//! Operators of random shapes, strides, pads, groups and axes: both engines against plain loops.
//!
//! Cases come from proptest with a fixed seed, so every run tries the same; `PROPTEST_CASES=1000` tries more.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/compare.rs"]
mod compare;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;
#[path = "common/interpret.rs"]
mod interpret;
#[path = "common/one_operator.rs"]
mod one_operator;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/plans.rs"]
mod plans;
#[path = "common/reference.rs"]
mod reference;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/single_step.rs"]
mod single_step;

use one_operator::{Allowed, Engines, Making, check, each};
use plans::Draws;
use proptest::prelude::*;
use proptest::sample::select;
use single_step::respond;
use whybox::device::gpu::Overrides;
use whybox::model::{
    Activation, BinaryKind, Model, NOTHING, NormKind, Op, PoolKind, ReduceKind, Response, Window,
};
use whybox::plan::Plan;

/// Lengths at which blocks, vectors and workgroups end or nearly end.
const AWKWARD: [usize; 7] = [1, 41, 55, 63, 64, 65, 126];

/// Multiply-adds of a case: the plain loops are slow.
const MOST_MACS: usize = 60_000;

/// A window over one axis: kernel, stride, dilation, padding before and behind.
fn side() -> impl Strategy<Value = [usize; 5]> {
    (1usize..5, 1usize..4, 1usize..3, 0usize..4, 0usize..4).prop_map(|(k, s, d, a, b)| [k, s, d, a, b])
}

fn window(vertical: [usize; 5], horizontal: [usize; 5]) -> Window {
    let both = |at: usize| [vertical[at], horizontal[at]];
    Window {
        kernel: both(0),
        stride: both(1),
        dilation: both(2),
        pads: [vertical[3], horizontal[3], vertical[4], horizontal[4]],
    }
}

/// Shape `[C, H, W]`, or `[C, L]` where the height is 0, and the window that fits it.
fn picture(channels: usize, height: usize, width: usize, sides: [[usize; 5]; 2]) -> (Vec<usize>, Window) {
    match height {
        0 => (vec![channels, width], window([1, 1, 1, 0, 0], sides[1])),
        _ => (vec![channels, height, width], window(sides[0], sides[1])),
    }
}

/// Shape of what a window makes of `[C, H, W]` or `[C, L]`.
fn slid(input: &[usize], channels: usize, window: &Window, ceil: bool) -> Option<Vec<usize>> {
    let height = if input.len() == 2 { 1 } else { input[1] };
    let [h, w] = window.output([height, input[input.len() - 1]], ceil, "").ok()?;
    Some(if input.len() == 2 { vec![channels, w] } else { vec![channels, h, w] })
}

#[test]
fn convolutions() {
    let channels = (1usize..4, 1usize..9, 1usize..9, 0usize..4);
    let sizes = (0usize..9, prop_oneof![1usize..12, select(&[41usize, 63, 65][..])]);
    let strategy = (channels, sizes, [side(), side()], any::<bool>(), 1usize..4, any::<u64>());
    each(
        "Conv",
        120,
        &strategy,
        |&((groups, inputs, outputs, form), (height, width), sides, bias, rows, seed)| {
            // Depthwise, grouped, 3 × 3 of stride 1 (Winograd), anything.
            let (groups, inputs, outputs) = match form {
                0 => (inputs, 1, 1),
                1 => (groups, inputs, outputs),
                _ => (1, inputs, 2 * outputs),
            };
            let sides = if form == 2 { sides.map(|side| [3, 1, 1, side[3] % 3, side[4] % 3]) } else { sides };
            let (shape, window) = picture(groups * inputs, height, width, sides);
            let output = slid(&shape, groups * outputs, &window, false)?;
            let terms = inputs * window.kernel[0] * window.kernel[1];
            if output.iter().product::<usize>() * terms > MOST_MACS {
                return None;
            }
            let mut making = Making::new(seed, &shape);
            let weight = making.tensor(&[groups * outputs, inputs, window.kernel[0], window.kernel[1]]);
            let bias = bias.then(|| making.tensor(&[groups * outputs]));
            making.append(Op::Conv { weight, bias, window, groups }, &[0], &output);
            Some((making, rows, Allowed::Sum(terms + 1)))
        },
    );
}

#[test]
fn pools() {
    let strategy = (
        (1usize..20, 0usize..9, 1usize..14),
        [side(), side()],
        0usize..3,
        any::<bool>(),
        1usize..4,
        any::<u64>(),
    );
    each("Pool", 120, &strategy, |&((channels, height, width), sides, kind, ceil, rows, seed)| {
        let (shape, window) = picture(channels, height, width, sides);
        let output = slid(&shape, channels, &window, ceil)?;
        // A window that sees only padding has no largest element; the importer refuses it.
        let empty = (0..2).any(|axis| {
            let input = if shape.len() == 2 { [1, width][axis] } else { [height, width][axis] };
            let count = if shape.len() == 2 { [1, output[1]][axis] } else { output[axis + 1] };
            (0..count).any(|at| {
                let tap = |tap: usize| {
                    (at * window.stride[axis] + tap * window.dilation[axis]).wrapping_sub(window.pads[axis])
                };
                (0..window.kernel[axis]).all(|k| tap(k) >= input)
            })
        });
        if empty {
            return None;
        }
        let kind = [
            PoolKind::Max,
            PoolKind::Average { count_include_pad: false },
            PoolKind::Average { count_include_pad: true },
        ][kind];
        let mut making = Making::new(seed, &shape);
        making.append(Op::Pool { kind, window }, &[0], &output);
        Some((making, rows, Allowed::Sum(window.kernel[0] * window.kernel[1])))
    });
}

#[test]
fn linears_and_products() {
    let length = || prop_oneof![1usize..20, select(&AWKWARD[..])];
    let strategy = (length(), length(), length(), 0usize..4, any::<bool>(), 1usize..7, any::<u64>());
    each("Linear and MatMul", 80, &strategy, |&(m, k, n, form, flag, rows, seed)| {
        if m * k * n > MOST_MACS {
            return None;
        }
        let making = match form {
            // One row, or several.
            0 | 1 => {
                let lead: &[usize] = if form == 0 { &[] } else { &[m] };
                let mut making = Making::new(seed, &[lead, &[k]].concat());
                let (weight, bias) = (making.tensor(&[n, k]), flag.then(|| making.tensor(&[n])));
                making.append(Op::Linear { weight, bias }, &[0], &[lead, &[n]].concat());
                making
            }
            // x · xᵀ, or with heads, the matrices one after the other or side by side.
            2 => {
                let mut making = Making::new(seed, &[m, k]);
                let turned = making.append(Op::Transpose { perm: vec![1, 0] }, &[0], &[k, m]);
                making.append(Op::MatMul, &[0, turned], &[m, m]);
                making
            }
            _ => {
                let heads = 1 + n % 3;
                let (shape, perms) = if flag {
                    ([heads, m, k], [vec![0, 1, 2], vec![0, 2, 1]])
                } else {
                    ([m, heads, k], [vec![1, 0, 2], vec![1, 2, 0]])
                };
                let mut making = Making::new(seed, &shape);
                let [first, second] = perms;
                let first = making.append(Op::Transpose { perm: first }, &[0], &[heads, m, k]);
                let second = making.append(Op::Transpose { perm: second }, &[0], &[heads, k, m]);
                making.append(Op::MatMul, &[first, second], &[heads, m, m]);
                making
            }
        };
        (m * m * k * 3 <= 4 * MOST_MACS || form < 2).then_some((making, rows, Allowed::Sum(k + 1)))
    });
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    let length = || prop_oneof![4 => 1usize..7, 1 => select(&[41usize, 65][..])];
    proptest::collection::vec(length(), 1..5)
        .prop_filter("small", |shape| shape.iter().product::<usize>() < 3000)
}

#[test]
fn reductions() {
    let strategy = (shapes(), 1u32..16, 0usize..5, any::<bool>(), 1usize..4, any::<u64>());
    each("Reduce", 80, &strategy, |(shape, bits, kind, keep, rows, seed)| {
        let axes: Vec<usize> = (0..shape.len()).filter(|axis| bits >> axis & 1 == 1).collect();
        let terms: usize = axes.iter().map(|&axis| shape[axis]).product();
        let kind =
            [ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod][*kind];
        let kept: usize = shape.iter().product::<usize>() / terms;
        // Products of many numbers overflow; the plain loops look at all elements for each result.
        if axes.is_empty() || kind == ReduceKind::Prod && terms > 30 || kept * terms * kept > MOST_MACS * 10 {
            return None;
        }
        let length = |axis: usize| if axes.contains(&axis) { keep.then_some(1) } else { Some(shape[axis]) };
        let output: Vec<usize> = (0..shape.len()).filter_map(length).collect();
        let mut making = Making::new(*seed, shape);
        making.append(Op::Reduce { kind, axes: axes.clone() }, &[0], &output);
        Some((making, *rows, Allowed::Sum(terms)))
    });
}

const BINARIES: [BinaryKind; 15] = [
    BinaryKind::Add,
    BinaryKind::Sub,
    BinaryKind::Mul,
    BinaryKind::Div,
    BinaryKind::Max,
    BinaryKind::Min,
    BinaryKind::Pow,
    BinaryKind::PRelu,
    BinaryKind::Equal,
    BinaryKind::Greater,
    BinaryKind::GreaterOrEqual,
    BinaryKind::Less,
    BinaryKind::LessOrEqual,
    BinaryKind::Gate,
    BinaryKind::GateNot,
];

#[test]
fn broadcasting_binaries() {
    let strategy =
        (shapes(), [0u32..16, 0u32..16], select(&BINARIES[..]), 0usize..3, 1usize..4, any::<u64>());
    each("Binary", 150, &strategy, |(shape, narrow, kind, constant, rows, seed)| {
        let cut = |bits: u32| -> Vec<usize> {
            shape.iter().enumerate().map(|(axis, &n)| if bits >> axis & 1 == 1 { 1 } else { n }).collect()
        };
        let shapes = [cut(narrow[0]), cut(narrow[1])];
        let output: Vec<usize> = shapes[0].iter().zip(&shapes[1]).map(|(&a, &b)| a.max(b)).collect();
        let mut making = Making::new(*seed, &[&[2], &shape[..]].concat());
        let mut first = making.operand(0, &shapes[0]);
        // Quotients and powers of what is not too small and not negative.
        let guarded = matches!(kind, BinaryKind::Div | BinaryKind::Pow);
        if guarded {
            first = making.positive(first);
        }
        if *constant > 0 {
            let mut tensor = making.tensor(&shapes[1]);
            let data: Vec<f32> = tensor
                .data
                .iter()
                .map(|x| if guarded { x.abs() + 0.25 } else { (x * 8.0).round() / 8.0 })
                .collect();
            tensor.data = data.into();
            // Fewer axes are the same as leading axes of length 1.
            let lead = tensor.shape.iter().take_while(|&&n| n == 1).count();
            tensor.shape.drain(..lead);
            let op = Op::BinaryConst { kind: *kind, constant: tensor, constant_first: *constant == 2 };
            making.append(op, &[first], &output);
        } else {
            let mut second = making.operand(1, &shapes[1]);
            if guarded {
                second = making.positive(second);
            }
            making.append(Op::Binary(*kind), &[first, second], &output);
        }
        let allowed = if guarded { Allowed::Function } else { Allowed::Sum(1) };
        Some((making, *rows, allowed))
    });
}

#[test]
fn normalisations() {
    let strategy = (shapes(), 1u32..16, 0usize..5, [any::<bool>(); 2], 1usize..4, any::<u64>());
    each("Normalize", 80, &strategy, |(shape, bits, kind, with, rows, seed)| {
        let rank = shape.len();
        let kinds = [
            NormKind::Standard { epsilon: 1e-2 },
            NormKind::RootMeanSquare { epsilon: 1e-2 },
            NormKind::L1,
            NormKind::L2,
            NormKind::Standard { epsilon: 1e-2 },
        ];
        // LayerNorm, InstanceNorm and any axes; the last is GroupNorm.
        let groups = if *kind == 4 && shape[0].is_multiple_of(2) { 2 } else { 1 };
        let axes: Vec<usize> = match groups {
            1 => (0..rank).filter(|axis| bits >> axis & 1 == 1).collect(),
            _ => (0..rank).collect(),
        };
        let elements: usize = shape.iter().product();
        if axes.is_empty() || elements * elements > MOST_MACS * 10 {
            return None;
        }
        let mut making = Making::new(*seed, shape);
        let constant = |making: &mut Making| {
            let lengths: Vec<usize> =
                (0..rank).map(|axis| if axes.contains(&axis) { shape[axis] } else { 1 }).collect();
            let channels: Vec<usize> = (0..rank).map(|axis| if axis == 0 { shape[0] } else { 1 }).collect();
            making.tensor(if groups > 1 || axes[..] == (1..rank).collect::<Vec<_>>()[..] {
                &channels
            } else {
                &lengths
            })
        };
        let scale = with[0].then(|| constant(&mut making));
        let shift = with[1].then(|| constant(&mut making));
        let op = Op::Normalize { kind: kinds[*kind], axes: axes.clone(), groups, scale, shift };
        making.append(op, &[0], shape);
        Some((making, *rows, Allowed::Function))
    });
}

#[test]
fn responses_and_softmaxes() {
    let strategy = (shapes(), 0usize..4, 0usize..3, 1usize..8, 1usize..4, any::<u64>());
    each("Lrn and Softmax", 80, &strategy, |(shape, axis, kind, size, rows, seed)| {
        let mut making = Making::new(*seed, shape);
        let op = match kind {
            0 => Op::Lrn(Response { size: *size, alpha: 0.3, beta: 0.75, bias: 1.5 }),
            _ => Op::Softmax { axis: axis % shape.len(), log: *kind == 2 },
        };
        making.append(op, &[0], shape);
        Some((making, *rows, Allowed::Function))
    });
}

#[test]
fn selections() {
    let picks = proptest::collection::vec(proptest::option::weighted(0.8, 0usize..100), 1..20);
    let strategy = (shapes(), 0usize..4, picks, 1usize..4, any::<u64>());
    each("Select", 60, &strategy, |(shape, axis, picks, rows, seed)| {
        let axis = axis % shape.len();
        let index = |pick: &Option<usize>| pick.map_or(NOTHING, |at| (at % shape[axis]) as u32);
        let indices: Vec<u32> = picks.iter().map(index).collect();
        let mut output = shape.clone();
        output[axis] = indices.len();
        let mut making = Making::new(*seed, shape);
        making.append(Op::Select { axis, indices: indices.into(), fill: -0.5 }, &[0], &output);
        Some((making, *rows, Allowed::Sum(1)))
    });
}

/// A normalisation takes a workgroup for each set of numbers: here more than one axis of a grid may have.
#[test]
fn more_workgroups_than_an_axis_has() {
    let Some(gpu) = gpu::engine() else { return };
    let (rows, shape) = (30_000, [3, 4]);
    let mut making = Making::new(11, &shape);
    let kind = NormKind::RootMeanSquare { epsilon: 1e-2 };
    making.append(Op::Normalize { kind, axes: vec![1], groups: 1, scale: None, shift: None }, &[0], &shape);
    let plan = Plan::new(&Model::from_graph("wide", making.graph).expect("a network")).expect("a plan");
    let data = Draws::new(5).floats(rows * 12);
    let overrides = Overrides { chunk_rows: Some(rows), ..Overrides::default() };
    let found = respond(&gpu, &plan, &data, overrides).expect("it runs");
    assert_eq!(found.len(), data.len());
    for (at, (x, y)) in data.chunks(4).zip(found.chunks(4)).enumerate() {
        let root = (x.iter().map(|x| x * x).sum::<f32>() / 4.0 + 1e-2).sqrt();
        assert!(x.iter().zip(y).all(|(x, y)| (x / root - y).abs() <= 1e-5 * 2.0), "set {at}");
    }
}

/// The comparison can fail: on inputs a hundredth off, on both engines.
#[test]
fn other_inputs_are_found_out() {
    let engines = std::iter::once(Engines::Cpu).chain(gpu::engine().map(Engines::Gpu));
    for engines in engines {
        for (allowed, op, input, output) in [
            (Allowed::Sum(27), None, vec![3, 6, 6], vec![4, 6, 6]),
            (Allowed::Function, Some(Op::Softmax { axis: 0, log: true }), vec![9], vec![9]),
            (Allowed::Sum(1), Some(Op::Activation(Activation::Abs)), vec![9], vec![9]),
        ] {
            let make = || {
                let mut making = Making::new(3, &input);
                let weight = making.tensor(&[4, 3, 3, 3]);
                let conv = Op::Conv { weight, bias: None, window: Window::square(3).pad(1), groups: 1 };
                making.append(op.clone().unwrap_or(conv), &[0], &output);
                making
            };
            assert_eq!(check(&engines, make(), 2, allowed, 1.0), Ok(()));
            assert!(check(&engines, make(), 2, allowed, 1.01).is_err(), "{op:?}");
        }
    }
}
