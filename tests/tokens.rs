//! Texts with absent tokens, on both engines, against a plain loop.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/gpu.rs"]
mod gpu;

use std::sync::Arc;

use whybox::device::RunOptions;
use whybox::model::Model;
use whybox::perturb::{Absent, Coalitions, Tokens};
use whybox::{Device, Error};

/// A network that answers its input.
fn echo(length: usize) -> Model {
    let weight: Vec<f32> = (0..length * length).map(|at| f32::from(at / length == at % length)).collect();
    let builder = Model::builder("echo", &[length]).linear(&weight, &vec![0.0; length], length);
    builder.and_then(|builder| builder.build()).expect("a model")
}

fn check(device: &Device) {
    for (length, players) in [(1, 1), (5, 3), (41, 40), (65, 7)] {
        let network = device.load(&echo(length)).expect("a network");
        let ids: Vec<u32> = (0..length as u32).map(|at| 100 + at * at % 900).collect();
        let owner = |at: u32| if at % 11 == 10 { u32::MAX } else { at % players };
        let owners: Vec<u32> = (0..length as u32).map(owner).collect();
        let mut coalitions = Coalitions::new(players as usize);
        for row in 0..33usize {
            coalitions.push(|player| (row * 7 + player * player * 3) % 5 < row % 4);
        }
        let coalitions = Arc::new(coalitions);
        for absent in [Absent::Masked(9), Absent::Removed { pad: 0 }] {
            let tokens = Tokens::new(&ids, &owners, absent, coalitions.clone()).expect("a text");
            let answers = network.responses(&tokens, &RunOptions::default()).expect("answers");
            for (row, answer) in answers.outer_iter().enumerate() {
                let kept =
                    |at: usize| owners[at] == u32::MAX || coalitions.contains(row, owners[at] as usize);
                let mut expected: Vec<f32> = Vec::new();
                for (at, &id) in ids.iter().enumerate() {
                    match absent {
                        _ if kept(at) => expected.push(id as f32),
                        Absent::Masked(id) => expected.push(id as f32),
                        Absent::Removed { .. } => {}
                    }
                }
                expected.resize(length, 0.0);
                assert_eq!(answer.to_vec(), expected, "{length} {absent:?} {row}");
            }
        }
    }
}

#[test]
fn tokens_are_masked_and_removed() {
    check(&Device::cpu());
}

#[test]
fn tokens_are_masked_and_removed_on_the_gpu() {
    if let Some(device) = gpu::gpu() {
        check(&device);
    }
}

#[test]
fn bad_texts_are_parameter_errors() {
    let coalitions = Arc::new(Coalitions::new(2));
    let text = |ids: &[u32], players: &[u32], absent| Tokens::new(ids, players, absent, coalitions.clone());
    for bad in [
        text(&[], &[], Absent::Masked(0)),
        text(&[1], &[0, 1], Absent::Masked(0)),
        text(&[1], &[2], Absent::Masked(0)),
        text(&[1 << 24], &[0], Absent::Masked(0)),
        text(&[1], &[0], Absent::Removed { pad: u32::MAX }),
    ] {
        assert!(matches!(bad, Err(Error::Parameter(_))), "{bad:?}");
    }
    let network = Device::cpu().load(&echo(3)).expect("a network");
    let short = text(&[1, 2], &[0, 1], Absent::Masked(0)).expect("a text");
    assert!(matches!(network.responses(&short, &RunOptions::default()), Err(Error::Parameter(_))));
}
