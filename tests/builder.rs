//! Networks written down in Rust: what each layer of the builder computes, by hand.

use whybox::device::RunOptions;
use whybox::model::{BinaryKind, Builder, Model, NOTHING, NormKind, Response, Tensor};
use whybox::perturb::Rows;
use whybox::{Device, Error, Result};

/// The answer of the network that `make` writes down.
fn answer(shape: &[usize], x: &[f32], make: impl FnOnce(Builder) -> Result<Builder>) -> Vec<f32> {
    let model = make(Model::builder("layers", shape)).and_then(Builder::build).expect("a network");
    let network = Device::cpu().load(&model).expect("it loads");
    let rows = Rows::new(x, x.len()).expect("a row");
    network.responses(&rows, &RunOptions::default()).expect("it runs").into_raw_vec_and_offset().0
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    let close = found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= 1e-5 * e.abs().max(1.0));
    assert!(close, "{found:?} instead of {expected:?}");
}

#[test]
fn constants_may_come_first() {
    let two = Tensor::new(&[], [2.0].as_slice());
    assert_close(&answer(&[2], &[0.5, 4.0], |net| net.const_binary(BinaryKind::Sub, &two)), &[1.5, -2.0]);
    assert_close(&answer(&[2], &[0.5, 4.0], |net| net.binary_const(BinaryKind::Sub, &two)), &[-1.5, 2.0]);
}

#[test]
fn normalisations_are_those_of_their_formulas() {
    // Mean 2, variance 2/3; mean 5, variance 6.
    let x = [1.0, 2.0, 3.0, 2.0, 5.0, 8.0];
    let found = answer(&[2, 3], &x, |net| net.layer_norm(&[1.0, 1.0, 2.0], &[0.0, 1.0, 0.0], 0.0));
    assert_close(
        &found,
        &[-1.5_f32.sqrt(), 1.0, 2.0 * 1.5_f32.sqrt(), -1.5_f32.sqrt(), 1.0, 2.0 * 1.5_f32.sqrt()],
    );
    let found = answer(&[2, 3], &x, |net| net.normalize(NormKind::L1, &[0], 1, None, None));
    assert_close(&found, &[1.0 / 3.0, 2.0 / 7.0, 3.0 / 11.0, 2.0 / 3.0, 5.0 / 7.0, 8.0 / 11.0]);
    let kind = NormKind::Standard { epsilon: 0.0 };
    let groups = answer(&[4], &[1.0, 3.0, 10.0, 30.0], |net| net.normalize(kind, &[0], 2, None, None));
    assert_close(&groups, &[-1.0, 1.0, -1.0, 1.0]);
    // Three channels: windows of one before and one after.
    let response = Response { size: 3, alpha: 3.0, beta: 1.0, bias: 1.0 };
    assert_close(
        &answer(&[3], &[1.0, 2.0, 3.0], |net| net.lrn(response)),
        &[1.0 / 6.0, 2.0 / 15.0, 3.0 / 14.0],
    );
}

#[test]
fn products_of_activations() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let found = answer(&[2, 3], &x, |net| {
        let whole = net.mark();
        let net = net.transpose(&[1, 0])?;
        let turned = net.mark();
        net.resume(whole)?.matmul(turned)
    });
    assert_close(&found, &[14.0, 32.0, 32.0, 77.0]);
}

#[test]
fn entries_are_picked_along_axes() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let gathered = answer(&[2, 3], &x, |net| net.select(1, [2, NOTHING, 0, 2], 9.0));
    assert_close(&gathered, &[3.0, 9.0, 1.0, 3.0, 6.0, 9.0, 4.0, 6.0]);
    assert_close(&answer(&[2, 3], &x, |net| net.slice(1, 1..3)), &[2.0, 3.0, 5.0, 6.0]);
    assert_close(&answer(&[2], &[1.0, 2.0], |net| net.pad(0, 1, 2, -1.0)), &[-1.0, 1.0, 2.0, -1.0, -1.0]);
    let table = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5];
    assert_close(&answer(&[2], &[2.0, 0.0], |net| net.embedding(&table, 2)), &[2.0, 2.5, 0.0, 0.5]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let net = || Model::builder("refused", &[4, 3]);
    let other = Tensor::new(&[2], [1.0, 2.0].as_slice());
    let kind = NormKind::Standard { epsilon: 1e-5 };
    let refused = [
        net().const_binary(BinaryKind::Div, &other),
        net().normalize(kind, &[2], 1, None, None),
        net().normalize(kind, &[1, 0], 1, None, None),
        net().normalize(kind, &[0, 1], 3, None, None),
        net().normalize(kind, &[0, 1], 0, None, None),
        net().normalize(kind, &[1], 2, None, None),
        net().normalize(kind, &[1], 1, Some(&other), None),
        net().layer_norm(&[1.0; 4], &[1.0; 4], 1e-5),
        net().lrn(Response { size: 0, alpha: 1.0, beta: 1.0, bias: 1.0 }),
        net().matmul(0),
        net().matmul(7),
        net().select(0, [4], 0.0),
        net().select(2, [0], 0.0),
        net().select(0, Vec::new(), 0.0),
        net().slice(1, 1..4),
        net().slice(1, 2..2),
        net().slice(0, 9..12),
        net().pad(2, 1, 1, 0.0),
        net().embedding(&[1.0; 5], 2),
    ];
    for (at, net) in refused.into_iter().enumerate() {
        assert!(matches!(net, Err(Error::Parameter(_))), "{at}: {net:?}");
    }
}
