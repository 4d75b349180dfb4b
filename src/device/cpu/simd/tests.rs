//! Every operation of every instruction set of this machine against its definition, number by number.

use super::{Job, Level, Simd};

/// Numbers where instruction sets might differ.
const AWKWARD: [f32; 20] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.499,
    1e-40,
    f32::MIN_POSITIVE,
    4_194_303.5,
    8_388_609.0,
    -1e10,
    1e30,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    -7.25,
    std::f32::consts::PI,
];

/// Three operands.
type Operands = [f32; 3];

/// What an operation is.
type Definition = fn(Operands) -> Answer;

/// What an operation gives: a number, NaN, or either of two.
enum Answer {
    Bits(f32),
    Nan,
    NanOr(f32),
}

impl Answer {
    fn of(x: f32) -> Self {
        if x.is_nan() { Answer::Nan } else { Answer::Bits(x) }
    }

    /// −0 and 0 are one number here.
    fn is(&self, found: f32) -> bool {
        match *self {
            Answer::Bits(x) => found == x,
            Answer::Nan => found.is_nan(),
            Answer::NanOr(x) => found.is_nan() || found == x,
        }
    }
}

/// The names of the operations that [`Operations`] computes, in its order, and what each should give.
const OPERATIONS: [(&str, Definition); 11] = [
    ("add", |[a, b, _]| Answer::of(a + b)),
    ("sub", |[a, b, _]| Answer::of(a - b)),
    ("mul", |[a, b, _]| Answer::of(a * b)),
    ("div", |[a, b, _]| Answer::of(a / b)),
    ("max", |[a, b, _]| if a.is_nan() || b.is_nan() { Answer::NanOr(b) } else { Answer::of(a.max(b)) }),
    ("min", |[a, b, _]| if a.is_nan() || b.is_nan() { Answer::NanOr(b) } else { Answer::of(a.min(b)) }),
    ("keep_nan", |[a, b, _]| Answer::of(if a.is_nan() { a } else { b })),
    ("sqrt", |[a, ..]| Answer::of(a.sqrt())),
    ("round", |[a, ..]| Answer::of(a.round_ties_even())),
    ("floor", |[a, ..]| Answer::of(a.floor())),
    ("select_less", |[a, b, c]| Answer::of(if a < b { c } else { b })),
];

/// Computes all [`OPERATIONS`] for operands `[LANES]` each.
struct Operations<'a> {
    operands: [&'a [f32]; 3],
    results: &'a mut [Vec<f32>],
}

impl Job for Operations<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        assert!(self.operands.iter().all(|operand| operand.len() == S::LANES));
        // SAFETY: LANES floats each, by the assertion.
        let [a, b, c] = unsafe { self.operands.map(|operand| simd.load(operand.as_ptr())) };
        let results = [
            simd.add(a, b),
            simd.sub(a, b),
            simd.mul(a, b),
            simd.div(a, b),
            simd.max(a, b),
            simd.min(a, b),
            simd.keep_nan(a, b),
            simd.sqrt(a),
            simd.round(a),
            simd.floor(a),
            simd.select_less(a, b, c, b),
        ];
        for (to, result) in self.results.iter_mut().zip(results) {
            to.resize(S::LANES, 0.0);
            // SAFETY: just made as long.
            unsafe { simd.store(to.as_mut_ptr(), result) };
        }
    }
}

#[test]
fn operations_on_awkward_numbers() {
    let mut wrong = Vec::new();
    for level in Level::all() {
        let lanes = level.lanes();
        for shift in 0..AWKWARD.len() {
            for start in (0..AWKWARD.len()).step_by(lanes) {
                let number = |lane: usize| AWKWARD[lane % AWKWARD.len()];
                let operands = [0, shift, shift * 7 + 3]
                    .map(|by| (0..lanes).map(|lane| number(start + lane + by)).collect::<Vec<_>>());
                let mut results = vec![Vec::new(); OPERATIONS.len()];
                let slices = operands.each_ref().map(Vec::as_slice);
                level.run(Operations { operands: slices, results: &mut results });
                for ((name, expected), found) in OPERATIONS.iter().zip(&results) {
                    for lane in 0..lanes {
                        let operands = slices.map(|operand| operand[lane]);
                        if !expected(operands).is(found[lane]) {
                            wrong.push(format!("{} {name} {operands:?}: {}", level.name(), found[lane]));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `a · b + c`, and `a · 2ⁿ` for the whole number in `b`.
struct Products<'a>([&'a [f32]; 3], [&'a mut [f32]; 2]);

impl Job for Products<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Products(operands, [product, scaled]) = self;
        assert!(operands.iter().all(|operand| operand.len() == S::LANES));
        assert!(product.len() == S::LANES && scaled.len() == S::LANES);
        // SAFETY: LANES floats each, by the assertions.
        unsafe {
            let [a, b, c] = operands.map(|operand| simd.load(operand.as_ptr()));
            simd.store(product.as_mut_ptr(), simd.mul_add(a, b, c));
            simd.store(scaled.as_mut_ptr(), simd.scale(a, b));
        }
    }
}

#[test]
fn products_and_powers_of_two() {
    for level in Level::all() {
        let lanes = level.lanes();
        for power in -250..=250 {
            let a: Vec<f32> = (0..lanes).map(|lane| 1.0 + lane as f32 / 17.0).collect();
            let (b, c) = (vec![power as f32; lanes], vec![0.3; lanes]);
            let (mut product, mut scaled) = (vec![0.0; lanes], vec![0.0; lanes]);
            level.run(Products([&a, &b, &c], [&mut product, &mut scaled]));
            for lane in 0..lanes {
                let exact = f64::from(a[lane]) * f64::from(b[lane]) + f64::from(c[lane]);
                // With one rounding or with two.
                assert!((f64::from(product[lane]) - exact).abs() <= 1.2e-7 * (exact.abs() + 0.3));
                let exact = (f64::from(a[lane]) * f64::from(power).exp2()) as f32;
                // What is subnormal may be rounded twice.
                let near = (scaled[lane] - exact).abs() <= f32::from_bits(1);
                assert!(scaled[lane] == exact || near, "{} {power} {}", level.name(), scaled[lane]);
            }
        }
    }
}

/// Copies the first `count` of `LANES` floats at most, through [`Simd::load_upto`] and [`Simd::store_upto`]; `all` gets the whole vector.
struct Part<'a> {
    count: usize,
    from: &'a [f32],
    to: &'a mut [f32],
    all: &'a mut [f32],
}

impl Job for Part<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Part { count, from, to, all } = self;
        assert!(
            from.len() >= count.min(S::LANES) && to.len() >= count.min(S::LANES) && all.len() == S::LANES
        );
        // SAFETY: the lengths above.
        unsafe {
            let vector = simd.load_upto(from.as_ptr(), count);
            simd.store(all.as_mut_ptr(), vector);
            simd.store_upto(to.as_mut_ptr(), vector, count);
        }
    }
}

#[test]
fn parts_of_vectors_touch_nothing_else() {
    for level in Level::all() {
        let lanes = level.lanes();
        for count in 0..=lanes + 1 {
            let copied = count.min(lanes);
            let from: Vec<f32> = (1..=copied).map(|i| i as f32).collect();
            let (mut to, mut all) = (vec![-1.0; lanes + 1], vec![-1.0; lanes]);
            level.run(Part { count, from: &from, to: &mut to, all: &mut all });
            let padded = |with: f32, len: usize| [from.clone(), vec![with; len - copied]].concat();
            assert_eq!(to, padded(-1.0, lanes + 1), "{} {count}", level.name());
            assert_eq!(all, padded(0.0, lanes), "{} {count}", level.name());
        }
    }
}

#[test]
fn the_portable_form_is_the_last_of_several() {
    let names: Vec<_> = Level::all().into_iter().map(Level::name).collect();
    assert_eq!(names.last(), Some(&"portable"));
    assert_eq!(names[0], Level::detect().name());
    if cfg!(target_arch = "aarch64") {
        assert_eq!(names, ["NEON", "portable"]);
    }
}
