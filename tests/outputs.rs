//! What a network's output means, and the networks made of it: scores, probabilities, a node on the way.

use std::path::Path;

use whybox::device::RunOptions;
use whybox::model::{Activation, Builder, Model, Op, OutputKind, Window};
use whybox::perturb::Rows;
use whybox::{Device, Error};

use OutputKind::{LogProbabilities, Probabilities, Scores};

/// A few roundings of numbers around 1.
const CLOSE: f32 = 1e-6;

const INPUT: [f32; 2] = [1.0, -2.0];

/// Two numbers to as many scores as there are biases: the weights of output i are 1 and i.
fn scores(bias: &[f32]) -> Builder {
    let weight: Vec<f32> = (0..bias.len()).flat_map(|output| [1.0, output as f32]).collect();
    Model::builder("small", &[2]).linear(&weight, bias, bias.len()).unwrap()
}

/// The biases of three scores, and what they are of `INPUT`.
const BIAS: [f32; 3] = [0.5, 0.0, 5.0];
const LOGITS: [f32; 3] = [1.5, -1.0, 2.0];

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let sum: f32 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| score.exp() / sum).collect()
}

/// The network with a Softmax or a LogSoftmax after it (the builder has no LogSoftmax), then a reshape to `shape`.
fn with_softmax(model: &Model, axis: usize, log: bool, shape: &[usize]) -> Model {
    let mut graph = model.graph().clone();
    let before = model.output_shape().to_vec();
    let op = Op::Softmax { axis, log };
    graph.output = graph.append("normalised", op, vec![graph.output], before);
    graph.output = graph.append("shaped", Op::Reshape, vec![graph.output], shape.to_vec());
    Model::from_graph("with softmax", graph).unwrap()
}

fn run(model: &Model, input: &[f32]) -> Vec<f32> {
    let network = Device::cpu().load(model).unwrap();
    let rows = Rows::new(input, input.len()).unwrap();
    network.responses(&rows, &RunOptions::default()).unwrap().into_raw_vec_and_offset().0
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    let near = |(f, e): (&f32, &f32)| (f - e).abs() <= CLOSE;
    let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(same, "{found:?} instead of {expected:?}");
}

fn fixture(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    Model::from_onnx(folder.join(name).with_extension("onnx")).unwrap()
}

/// Every way to end: what the output is called, and the numbers of the scores and of the probabilities of it.
#[test]
fn every_ending() {
    let build = |builder: Builder| builder.build().unwrap();
    let sigmoids = |bias: &[f32]| build(scores(bias).activation(Activation::Sigmoid).unwrap());
    let three = build(scores(&BIAS));
    let each = LOGITS.map(sigmoid);
    let all = softmax(&LOGITS);
    for (name, model, kind, scores, probabilities) in [
        ("scores", three.clone(), Scores, &LOGITS[..], &all[..]),
        ("softmax", build(scores(&BIAS).softmax().unwrap()), Probabilities, &LOGITS, &all),
        ("softmax, reshaped", with_softmax(&three, 0, false, &[3, 1, 1]), Probabilities, &LOGITS, &all),
        ("log-softmax", with_softmax(&three, 0, true, &[3]), LogProbabilities, &LOGITS, &all),
        ("log-softmax, reshaped", with_softmax(&three, 0, true, &[1, 3]), LogProbabilities, &LOGITS, &all),
        ("one score", build(scores(&BIAS[..1])), Scores, &LOGITS[..1], &each[..1]),
        ("one sigmoid", sigmoids(&BIAS[..1]), Probabilities, &LOGITS[..1], &each[..1]),
        // Labels that do not exclude each other: each is a probability, and they need not add up to 1.
        ("three sigmoids", sigmoids(&BIAS), Probabilities, &LOGITS, &each),
    ] {
        // Shown where a comparison of numbers fails.
        println!("{name}");
        assert_eq!(model.output_kind(), kind, "{name}");
        let plain = model.clone().scores();
        assert_eq!(plain.output_kind(), Scores, "{name}");
        assert_close(&run(&plain, &INPUT), scores);
        let made = model.clone().probabilities().unwrap();
        assert_eq!(made.output_kind(), Probabilities, "{name}");
        assert_close(&run(&made, &INPUT), probabilities);
        // One undoes the other, and neither does anything twice.
        assert_close(&run(&made.clone().scores(), &INPUT), scores);
        assert_close(&run(&plain.clone().probabilities().unwrap().scores(), &INPUT), scores);
        assert_eq!(made.clone().probabilities().unwrap(), made, "{name}");
        assert_eq!(plain.clone().scores(), plain, "{name}");
        if kind == Probabilities {
            assert_eq!(made, model, "{name}: nothing is added to probabilities");
        }
    }
}

/// The numbers of a log-softmax are logarithms: checks the network that the table relies on.
#[test]
fn log_probabilities_are_logarithms() {
    let model = with_softmax(&scores(&BIAS).build().unwrap(), 0, true, &[3]);
    let logarithms: Vec<f32> = softmax(&LOGITS).iter().map(|p| p.ln()).collect();
    assert_close(&run(&model, &INPUT), &logarithms);
}

/// Only the end counts: a Softmax or a Sigmoid inside is part of the network.
#[test]
fn an_inner_function_is_no_ending() {
    let weight = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let hidden = |builder: Builder| builder.linear(&weight, &[0.0, 3.0], 2).unwrap();
    let inside = [
        hidden(scores(&BIAS).softmax().unwrap()).build().unwrap(),
        hidden(scores(&BIAS).activation(Activation::Sigmoid).unwrap()).build().unwrap(),
        scores(&BIAS).softmax().unwrap().activation(Activation::Relu).unwrap().build().unwrap(),
        scores(&BIAS).activation(Activation::Tanh).unwrap().build().unwrap(),
    ];
    for model in inside {
        assert_eq!(model.output_kind(), Scores);
        assert_eq!(model.clone().scores(), model);
        let expected = softmax(&run(&model, &INPUT));
        assert_close(&run(&model.probabilities().unwrap(), &INPUT), &expected);
    }
}

/// Files say it as the builder does.
#[test]
fn files_know_their_ending() {
    for (name, kind) in [
        ("softmax_default", Probabilities),
        ("softmax_13_3_1", Probabilities),
        ("flatten_softmax", Probabilities),
        ("logsoftmax_13_3_1", LogProbabilities),
        ("logsoftmax_9_1_1", LogProbabilities),
        ("function_sigmoid", Probabilities),
        ("function_tanh", Scores),
        ("gemm_plain", Scores),
    ] {
        assert_eq!(fixture(name).output_kind(), kind, "{name}");
    }
}

/// A picture of numbers to a map of them: one channel 3x3 to two channels 2x2, all weights known.
fn map() -> Builder {
    let weight = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0];
    let bias = [0.5, 6.0];
    Model::builder("map", &[1, 3, 3]).conv(&weight, Some(&bias), 2, Window::square(2), 1).unwrap()
}

const PICTURE: [f32; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// The first channel is the upper left of each window, plus 0.5; the second 6 minus the lower right.
const MAP: [f32; 8] = [1.5, 2.5, 4.5, 5.5, 1.0, 0.0, -2.0, -3.0];

/// Which scores of a map compete with each other is not known: an error instead of a Softmax over all of it.
#[test]
fn a_map_of_scores_has_no_probabilities() {
    let two_axes = Model::builder("rows", &[4, 2]).linear(&[1.0; 6], &[0.0; 3], 3).unwrap().build().unwrap();
    for (model, shape) in [(map().build().unwrap(), vec![2, 2, 2]), (two_axes, vec![4, 3])] {
        assert_eq!(model.output_shape(), shape);
        assert_eq!(model.output_kind(), Scores);
        let error = model.clone().probabilities().expect_err("a map");
        assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
        assert!(error.to_string().contains(&format!("{shape:?}")), "it says which shape: {error}");
        assert_eq!(model.clone().scores(), model, "the scores themselves can be explained");
    }
}

/// One axis longer than 1 is a list of classes, wherever it stands; a map that ends in probabilities has them.
#[test]
fn lists_and_finished_maps_have_probabilities() {
    let list = map().pool(whybox::model::PoolKind::Max, Window::square(2), false).unwrap().build().unwrap();
    assert_eq!(list.output_shape(), [2, 1, 1]);
    let found = list.probabilities().unwrap();
    assert_eq!(found.output_shape(), [2]);
    assert_close(&run(&found, &PICTURE), &softmax(&[5.5, 1.0]));

    let last = Model::builder("row", &[1, 2]).linear(&[1.0, 0.0, 1.0, 1.0], &[0.0; 2], 2).unwrap();
    assert_close(&run(&last.build().unwrap().probabilities().unwrap(), &INPUT), &softmax(&[1.0, -1.0]));

    let finished = with_softmax(&map().build().unwrap(), 0, false, &[2, 2, 2]);
    assert_eq!(finished.clone().probabilities().unwrap(), finished);
    let gates = map().activation(Activation::Sigmoid).unwrap().build().unwrap();
    assert_eq!(gates.clone().probabilities().unwrap(), gates);
    assert_close(&run(&gates, &PICTURE), &MAP.map(sigmoid));
    assert_close(&run(&gates.scores(), &PICTURE), &MAP);
}

/// A network with a value worth looking at after each of its nodes.
fn deep() -> Model {
    let pooled = map().activation(Activation::Relu).unwrap().global_average_pool().unwrap();
    pooled.linear(&[1.0, -1.0, 0.5, 2.0], &[0.0, 1.0], 2).unwrap().softmax().unwrap().build().unwrap()
}

#[test]
fn up_to_a_node() {
    let relu = MAP.map(|x| x.max(0.0));
    let means = [3.5, 0.25];
    let linear = [3.25, 3.25];
    for (name, shape, expected) in [
        ("input", vec![1, 3, 3], &PICTURE[..]),
        ("conv_0", vec![2, 2, 2], &MAP),
        ("relu_1", vec![2, 2, 2], &relu),
        ("global_average_pool_2", vec![2], &means),
        ("linear_3", vec![2], &linear),
        ("softmax_4", vec![2], &[0.5, 0.5]),
    ] {
        let model = deep().up_to(name).unwrap();
        assert_eq!(model.output_shape(), shape, "{name}");
        assert_eq!(model.input_shape(), [1, 3, 3], "{name}");
        assert_close(&run(&model, &PICTURE), expected);
        let kind = if name == "softmax_4" { Probabilities } else { Scores };
        assert_eq!(model.output_kind(), kind, "{name}");
    }
    // What the output does not need is not kept.
    assert_eq!(deep().up_to("conv_0").unwrap().graph().nodes.len(), 1);
    assert_eq!(deep().up_to("softmax_4").unwrap(), deep());
}

/// A norm that was folded into the convolution before it has the convolution's place, and its own numbers.
#[test]
fn up_to_a_folded_node() {
    let model = map().affine(&[2.0, 1.0], &[0.0, 1.0]).unwrap().activation(Activation::Relu).unwrap();
    let model = model.build().unwrap();
    assert_eq!(model.graph().nodes.len(), 2, "the norm is folded");
    let expected = [3.0, 5.0, 9.0, 11.0, 2.0, 1.0, -1.0, -2.0];
    assert_close(&run(&model.clone().up_to("affine_1").unwrap(), &PICTURE), &expected);
    // The numbers before the norm are not there any more: better refused than taken for the ones after it.
    assert!(matches!(model.up_to("conv_0"), Err(Error::Parameter(_))));
}

#[test]
fn up_to_nowhere() {
    for name in ["", "conv", "conv_1", "Softmax_4"] {
        let error = deep().up_to(name).expect_err("no such node");
        assert!(matches!(error, Error::Parameter(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("{name:?}")) && text.contains("linear_3"), "{text}");
    }
}

/// Fewer outputs give the numbers that they had among all, in the order asked for.
#[test]
fn some_outputs() {
    let logits: Vec<f32> = vec![LOGITS[2], LOGITS[0]];
    let model = scores(&BIAS).build().unwrap().select(&[2, 0]).unwrap();
    assert_eq!(model.parameters(), 2 * 3, "the layer is cut, not its answers");
    assert_close(&run(&model, &INPUT), &logits);

    // A convolution, a norm that cannot fold over the Relu, and a mean over space.
    let pooled = map().activation(Activation::Relu).unwrap().affine(&[2.0, -1.0], &[0.5, 0.0]).unwrap();
    let pooled = pooled.global_average_pool().unwrap().build().unwrap();
    let all = run(&pooled, &PICTURE);
    assert_close(&all, &[7.5, -0.25]);
    let second = pooled.clone().select(&[1]).unwrap();
    assert!(second.parameters() < pooled.parameters());
    assert_close(&run(&second, &PICTURE), &all[1..]);

    // Probabilities compete: all of them are computed.
    let model = scores(&BIAS).softmax().unwrap().build().unwrap();
    assert_close(&run(&model.select(&[1]).unwrap(), &INPUT), &softmax(&LOGITS)[1..2]);
    // A map is no list of outputs, but its numbers are.
    let model = map().build().unwrap();
    let last = model.output_len() - 1;
    assert_close(&run(&model.clone().select(&[last, 0]).unwrap(), &PICTURE), &[MAP[last], MAP[0]]);
    // A layer that is read twice keeps all of its outputs.
    let layer = scores(&BIAS);
    let start = layer.mark();
    let model = layer.activation(Activation::Relu).unwrap().add(start).unwrap().build().unwrap();
    assert_close(&run(&model.select(&[0]).unwrap(), &INPUT), &[2.0 * LOGITS[0]]);
}

#[test]
fn outputs_that_are_not_there() {
    for kept in [&[][..], &[3], &[0, 7]] {
        let error = scores(&BIAS).build().unwrap().select(kept).expect_err("no such output");
        assert!(matches!(error, Error::Parameter(_)), "{error:?}");
    }
}
