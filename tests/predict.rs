//! `whybox predict` as a process: element types, orders, shapes, batches larger than a chunk.

use std::path::Path;
use std::process::{Command, Output};

use half::f16;
use npyz::{NpyFile, Order, WriterBuilder};
use whybox::device::RunOptions;
use whybox::perturb::Rows;
use whybox::{Device, builtin};

const ROWS: usize = 37;
const SHAPE: [u64; 4] = [ROWS as u64, 3, 32, 32];
const LEN: usize = 3 * 32 * 32;

fn predict(folder: &Path, input: &str, more: &[&str]) -> Output {
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/network/cifar10_resnet.onnx");
    Command::new(env!("CARGO_BIN_EXE_whybox"))
        .args(["predict", "--device", "cpu", "--input", input, "--out", "y.npy", "--model"])
        .arg(network)
        .args(more)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

/// Whole numbers from 0 to 15: exact in every element type.
fn inputs() -> Vec<f32> {
    (0..ROWS * LEN).map(|i| ((i * 7 + i / 31) % 16) as f32).collect()
}

/// What the library answers for the same rows.
fn expected() -> Vec<f32> {
    let network = Device::cpu().load(&builtin::network().expect("built in")).expect("it loads");
    let data = inputs();
    let rows = Rows::new(&data, LEN).expect("whole rows");
    network.responses(&rows, &RunOptions::default()).expect("it runs").into_raw_vec_and_offset().0
}

fn save<T: npyz::Serialize + npyz::AutoSerialize>(path: &Path, shape: &[u64], order: Order, data: Vec<T>) {
    let file = std::fs::File::create(path).expect("a file");
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .order(order)
        .shape(shape)
        .writer(file)
        .begin_nd()
        .expect("a header");
    writer.extend(data).expect("data");
    writer.finish().expect("a whole file");
}

/// Row-major data in column-major order.
fn fortran(data: &[f32]) -> Vec<f32> {
    let [n, c, h, w] = SHAPE.map(|length| length as usize);
    let mut out = Vec::with_capacity(data.len());
    for x in 0..w {
        for y in 0..h {
            for k in 0..c {
                out.extend((0..n).map(|row| data[((row * c + k) * h + y) * w + x]));
            }
        }
    }
    out
}

fn answer(folder: &Path) -> (Vec<u64>, Vec<f32>) {
    let file =
        NpyFile::new(std::fs::File::open(folder.join("y.npy")).expect("outputs")).expect("a .npy file");
    let shape = file.shape().to_vec();
    (shape, file.into_vec().expect("float32"))
}

fn check(folder: &Path, output: &Output) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    let (shape, values) = answer(folder);
    assert_eq!(shape, [ROWS as u64, 10]);
    let expected = expected();
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = values.iter().zip(&expected).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst <= 1e-5 * largest, "{worst} of {largest}");
    // The check can fail: rows in another order are not accepted.
    let shifted = values.iter().skip(10).zip(&expected).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(shifted > 1e-3 * largest);
}

#[test]
fn every_element_type_and_order_gives_the_same_outputs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.npy");
    let data = inputs();
    save(&path, &SHAPE, Order::C, data.clone());
    check(folder.path(), &predict(folder.path(), "x.npy", &[]));
    save(&path, &SHAPE, Order::C, data.iter().map(|&v| f64::from(v)).collect());
    check(folder.path(), &predict(folder.path(), "x.npy", &[]));
    save(&path, &SHAPE, Order::C, data.iter().map(|&v| v as u8).collect());
    check(folder.path(), &predict(folder.path(), "x.npy", &[]));
    save(&path, &SHAPE, Order::C, data.iter().map(|&v| f16::from_f32(v)).collect());
    check(folder.path(), &predict(folder.path(), "x.npy", &[]));
    save(&path, &SHAPE, Order::Fortran, fortran(&data));
    check(folder.path(), &predict(folder.path(), "x.npy", &[]));
    // A cap just above the least that works.
    check(folder.path(), &predict(folder.path(), "x.npy", &["--memory", "35MiB"]));
}

#[test]
fn wrong_inputs_are_named_and_leave_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.npy");
    let refuse = |words: &[&str]| {
        let output = predict(folder.path(), "x.npy", &[]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is missing in: {message}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
        assert!(left.len() <= 1, "{left:?}");
    };
    refuse(&["x.npy"]);
    std::fs::write(&path, "no array").expect("a file");
    refuse(&["no .npy file"]);
    save(&path, &[2, 32, 32, 3], Order::C, vec![0.0f32; 2 * LEN]);
    refuse(&["[N, 32, 32, 3]", "[N, 3, 32, 32]"]);
    save(&path, &[2, 3, 32, 32], Order::C, vec![0i64; 2 * LEN]);
    refuse(&["i8", "float32"]);
    save(&path, &[2, 3, 32, 32], Order::C, vec![0.0f32; 2 * LEN]);
    let whole = std::fs::read(&path).expect("a file");
    std::fs::write(&path, &whole[..whole.len() - 100]).expect("a file");
    refuse(&["too short"]);
}

#[test]
fn an_empty_batch_gives_an_empty_answer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    save::<f32>(&folder.path().join("x.npy"), &[0, 3, 32, 32], Order::C, vec![]);
    assert!(predict(folder.path(), "x.npy", &[]).status.success());
    assert_eq!(answer(folder.path()).0, [0, 10]);
}
