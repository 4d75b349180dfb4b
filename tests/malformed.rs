//! Damaged ONNX files: an error or a model every time, never a panic, and no more memory than a small file may ask for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rten_onnx::onnx::{
    AttributeProto, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use whybox::model::Model;
use whybox::plan::Plan;
use whybox::{Device, Error, Result};

/// Files that are tried; `WHYBOX_MUTATIONS=1000000` tries that many, for whoever has the time.
const MUTATIONS: usize = 10_000;

/// Most memory that reading a file of a few kilobytes may take.
const MOST_BYTES: usize = 512 << 20;

/// The system's allocator, counting what this thread holds.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(layout.size())));
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Counts an allocation; refuses (which ends the process) what would take the machine with it.
fn grow(bytes: usize) -> bool {
    let counted = LIVE.try_with(|live| {
        live.set(live.get().saturating_add(bytes));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        live.get() <= 4 * MOST_BYTES
    });
    counted.unwrap_or(true)
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, and the most memory that it held.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

/// A small generator: the same files everywhere.
struct Draws(u64);

impl Draws {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    /// A stretch of up to `longest` places below `end`.
    fn stretch(&mut self, end: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(end);
        start..(start + 1 + self.below(longest)).min(end)
    }
}

fn valid_files() -> Vec<(PathBuf, Vec<u8>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = ["onnx", "families"].into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(fixtures.join(folder)).expect("the fixtures are there");
        entries.map(|entry| entry.expect("a file").path())
    });
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

/// A damaged copy of `bytes`; `other` is another valid file to take pieces from.
fn damage(bytes: &[u8], other: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut file = bytes.to_vec();
    match draws.below(6) {
        // Single bits.
        0 => {
            for _ in 0..=draws.below(4) {
                let at = draws.below(file.len());
                file[at] ^= 1 << draws.below(8);
            }
        }
        // Bytes that numbers and lengths trip over.
        1 => {
            for _ in 0..=draws.below(3) {
                let at = draws.below(file.len());
                file[at] = [0, 1, 2, 0x7f, 0x80, 0xff][draws.below(6)];
            }
        }
        // A long number in place of what was there.
        2 => {
            for at in draws.stretch(file.len(), 9) {
                file[at] |= 0x80;
            }
        }
        3 => file.truncate(draws.below(bytes.len())),
        // A piece of another file, over or between the bytes.
        4 => {
            let piece = other[draws.stretch(other.len(), 200)].to_vec();
            let at = draws.below(file.len());
            let end = if draws.below(2) == 0 { at } else { (at + piece.len()).min(file.len()) };
            file.splice(at..end, piece);
        }
        // A piece lost, or doubled.
        _ => {
            let piece = draws.stretch(file.len(), 60);
            let copy = if draws.below(2) == 0 { Vec::new() } else { file[piece.clone()].repeat(2) };
            file.splice(piece, copy);
        }
    }
    file
}

/// Reads a file, plans it if it can be read, and makes it resident if it is small; what panicked, if anything did.
fn read(bytes: &[u8]) -> std::result::Result<Result<()>, String> {
    let work = || {
        let model = Model::from_onnx_bytes("damaged", bytes)?;
        let plan = Plan::new(&model)?;
        // The engine's own check has to accept every plan.
        if plan.activation_elements() < 1 << 20 {
            Device::cpu().load(&model).expect("a sound plan");
        }
        Ok(())
    };
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| PANIC.take())
}

#[test]
fn damaged_files_never_panic() {
    std::panic::set_hook(Box::new(|info| PANIC.with_borrow_mut(|text| *text = info.to_string())));
    let files = valid_files();
    let mut draws = Draws(7);
    let (mut models, mut errors, mut most) = (0, 0, 0);
    let mut failures = Vec::new();
    let mutations =
        std::env::var("WHYBOX_MUTATIONS").map_or(MUTATIONS, |count| count.parse().expect("a number"));
    for at in 0..mutations {
        let (path, bytes) = &files[at % files.len()];
        let other = &files[draws.below(files.len())].1;
        let file = damage(bytes, other, &mut draws);
        let (outcome, peak) = measured(|| read(&file));
        most = most.max(peak);
        match outcome {
            Ok(Ok(())) => models += 1,
            Ok(Err(_)) => errors += 1,
            Err(panic) => failures.push(format!("{at} ({}): {panic}", path.display())),
        }
        if peak > MOST_BYTES {
            failures.push(format!("{at} ({}): {peak} bytes", path.display()));
        }
    }
    let _ = std::panic::take_hook();
    println!("{models} models, {errors} errors, at most {most} bytes");
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Both happen, or the damage is of the wrong kind.
    assert!(models > mutations / 20 && errors > mutations / 20, "{models} models, {errors} errors");
}

// Files written on purpose.

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), ..AttributeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), ..AttributeProto::default() }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

fn int_constant(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(DataType::INT64),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn float_constant(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(DataType::FLOAT),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn file(input: &[i64], initializer: Vec<TensorProto>, node: Vec<NodeProto>) -> Vec<u8> {
    let dim = input.iter().map(|&size| Dimension { dim_value: Some(size), ..Dimension::default() }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape };
    let r#type = Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() });
    let input = vec![ValueInfoProto { name: Some("x".into()), r#type }];
    let output = vec![ValueInfoProto { name: Some("y".into()), ..ValueInfoProto::default() }];
    let graph = Some(GraphProto { node, initializer, input, output, ..GraphProto::default() });
    let opset_import = vec![OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() }];
    ModelProto { graph, opset_import, ..ModelProto::default() }.write_buf().expect("it can be written")
}

/// Small files that ask for what no machine has: each is refused, and costs little.
#[test]
fn small_files_cannot_ask_for_much() {
    const HUGE: i64 = 1 << 40;
    let filled = |dims: &[i64]| {
        let shape = int_constant("s", &[dims.len() as i64], dims);
        let made = node("ConstantOfShape", &["s"], "c", vec![]);
        file(&[1, 4], vec![shape], vec![made, node("Add", &["x", "c"], "y", vec![])])
    };
    let windowed = |op: &str, attributes: Vec<AttributeProto>| {
        let weight = float_constant("w", &[1, 1, 1, 1], &[1.0]);
        let inputs: &[&str] = if op == "Conv" { &["x", "w"] } else { &["x"] };
        file(&[1, 1, 4, 4], vec![weight], vec![node(op, inputs, "y", attributes)])
    };
    // Doubles a constant at every step: 2³⁰ numbers in the end.
    let doubling = {
        let mut nodes = vec![node("Constant", &[], "v0", vec![ints("value_ints", &[0; 64])])];
        for k in 0..24 {
            let (from, to) = (format!("v{k}"), format!("v{}", k + 1));
            nodes.push(node("Concat", &[&from, &from], &to, vec![int("axis", 0)]));
        }
        nodes.push(node("Add", &["x", "v24"], "y", vec![]));
        file(&[1, 4], vec![], nodes)
    };
    // 2¹² rows of 2¹² numbers, gathered 2¹² times.
    let gathering = {
        let rows = int_constant("n", &[2], &[1 << 12, 1 << 11]);
        let indices = int_constant("i", &[1 << 12], &vec![0; 1 << 12]);
        let nodes = vec![
            node("ConstantOfShape", &["n"], "a", vec![]),
            node("Gather", &["a", "i"], "b", vec![]),
            node("Gather", &["b", "i"], "c", vec![]),
            node("Gather", &["c", "i"], "d", vec![]),
            node("Add", &["x", "d"], "y", vec![]),
        ];
        file(&[1, 4], vec![rows, indices], nodes)
    };
    // One matrix of 2²² weights, used by 40 layers.
    let shared = {
        let shape = int_constant("s", &[2], &[1 << 11, 1 << 11]);
        let mut nodes =
            vec![node("ConstantOfShape", &["s"], "w", vec![]), node("Identity", &["x"], "v0", vec![])];
        for k in 0..40 {
            let (from, to) = (format!("v{k}"), format!("v{}", k + 1));
            nodes.push(node("MatMul", &[&from, "w"], &to, vec![]));
        }
        nodes.push(node("Identity", &["v40"], "y", vec![]));
        file(&[1, 1 << 11], vec![shape], nodes)
    };
    let relu = || vec![node("Relu", &["x"], "y", vec![])];
    let cases = [
        ("input", file(&[1, HUGE, HUGE], vec![], relu())),
        ("input of one huge axis", file(&[1, HUGE], vec![], relu())),
        ("constant of no element", {
            let weight = float_constant("w", &[0, HUGE, HUGE], &[]);
            file(
                &[1, 4],
                vec![weight],
                vec![node("Transpose", &["w"], "t", vec![]), node("Add", &["x", "t"], "y", vec![])],
            )
        }),
        ("filled", filled(&[HUGE])),
        ("filled square", filled(&[1 << 32, 1 << 32])),
        ("filled to the brim", filled(&[1 << 31])),
        ("filled negative", filled(&[-4])),
        ("doubling", doubling),
        ("gathering", gathering),
        ("shared", shared),
        ("pads", windowed("Conv", vec![ints("pads", &[HUGE; 4])])),
        ("stride", windowed("MaxPool", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[i64::MAX; 2])])),
        (
            "dilation",
            windowed("MaxPool", vec![ints("kernel_shape", &[2, 2]), ints("dilations", &[i64::MAX; 2])]),
        ),
        (
            "kernel",
            windowed("AveragePool", vec![ints("kernel_shape", &[i64::MAX; 2]), ints("pads", &[i64::MAX; 4])]),
        ),
        ("reshape", {
            let target = int_constant("t", &[3], &[0, HUGE, -1]);
            file(&[1, 4], vec![target], vec![node("Reshape", &["x", "t"], "y", vec![])])
        }),
        ("axis", file(&[1, 4], vec![], vec![node("Softmax", &["x"], "y", vec![int("axis", i64::MIN)])])),
        (
            "permutation",
            file(&[1, 4], vec![], vec![node("Transpose", &["x"], "y", vec![ints("perm", &[0, i64::MAX])])]),
        ),
        ("widening", {
            let wide = int_constant("s", &[3], &[1 << 10, 1 << 10, 1]);
            let nodes =
                vec![node("ConstantOfShape", &["s"], "c", vec![]), node("Add", &["x", "c"], "y", vec![])];
            file(&[1, 1, 1, 1 << 12], vec![wide], nodes)
        }),
    ];
    let mut failures = Vec::new();
    for (name, bytes) in &cases {
        let (outcome, peak) = measured(|| read(bytes));
        match outcome {
            Ok(Err(Error::Limits(_) | Error::Model(_) | Error::Unsupported(_))) => {}
            Ok(other) => failures.push(format!("{name}: {other:?}")),
            Err(panic) => failures.push(format!("{name}: {panic}")),
        }
        if peak > MOST_BYTES {
            failures.push(format!("{name}: {peak} bytes"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What no flipped byte arrives at.
#[test]
fn contradictions_are_named() {
    let cases = [
        ("empty", vec![], "holds no graph|does not say its opset"),
        ("text", b"this is no network".to_vec(), "no ONNX file"),
        (
            "circle",
            file(
                &[1, 4],
                vec![],
                vec![node("Add", &["x", "y"], "a", vec![]), node("Relu", &["a"], "y", vec![])],
            ),
            "circle",
        ),
        ("nothing makes it", file(&[1, 4], vec![], vec![node("Relu", &["z"], "y", vec![])]), "\"z\""),
        ("unknown", file(&[1, 4], vec![], vec![node("Fancy", &["x"], "y", vec![])]), "Fancy, opset 17"),
        ("no input", file(&[1, 4], vec![], vec![node("Relu", &[], "y", vec![])]), "input 0 is missing"),
        (
            "constant output",
            file(&[1, 4], vec![], vec![node("Shape", &["x"], "y", vec![])]),
            "Shape, opset 17",
        ),
    ];
    for (name, bytes, expected) in cases {
        let error = read(&bytes).expect("no panic").expect_err(name).to_string();
        assert!(expected.split('|').any(|text| error.contains(text)), "{name}: {error}");
    }
    let axes: Vec<i64> = [1].into_iter().chain([2; 9]).collect();
    let many = file(
        &axes,
        vec![],
        vec![node("Transpose", &["x"], "y", vec![ints("perm", &[0, 9, 8, 7, 6, 5, 4, 3, 2, 1])])],
    );
    let error = read(&many).expect("no panic").expect_err("nine axes");
    assert!(error.to_string().contains("more than 6 axes"), "{error}");
}
