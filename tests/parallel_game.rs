//! A closure that several threads call answers as one that a single thread calls.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use whybox::explain::{Budget, Estimator, ExactShapley, FunctionGame, Game, KernelShap, Lime};
use whybox::perturb::Coalitions;
use whybox::{Error, Result};

/// A game whose sums depend on their order.
fn value(present: &[bool], out: &mut [f64]) {
    for (k, out) in out.iter_mut().enumerate() {
        let sum: f64 =
            present.iter().zip(1..).filter(|(here, _)| **here).map(|(_, i)| 1.0 / (i + k) as f64).sum();
        *out = sum.sin() * 1e3 + (3.0 * sum).tanh();
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
}

#[test]
fn values_are_those_of_one_thread_bit_for_bit() -> Result<()> {
    let serial = FunctionGame::new(11, 3, value);
    let parallel = FunctionGame::new(11, 3, value).parallel();
    assert_eq!((parallel.players(), parallel.outputs()), (11, 3));
    let all = Coalitions::from_words(11, (0..1 << 11).collect())?;
    let expected = serial.values(&all)?;
    assert_eq!(expected.dim(), (1 << 11, 3));
    for threads in [1, 2, 5] {
        let found = pool(threads).install(|| parallel.values(&all))?;
        assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{threads} threads");
        let kernel = KernelShap { budget: Budget::of(300), interactions: true, ..KernelShap::default() };
        let lime = Lime { samples: 300, ..Lime::default() };
        for method in [&kernel as &(dyn Estimator + Sync), &ExactShapley::default(), &lime] {
            let found = pool(threads).install(|| method.explain(&parallel, &mut |_| {}))?;
            let expected = method.explain(&serial, &mut |_| {})?;
            for (found, expected) in found.attributions.iter().zip(&expected.attributions) {
                assert!(found.values.iter().zip(&expected.values).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
    // No outputs, no coalitions: nothing to share out.
    assert_eq!(FunctionGame::new(11, 0, value).parallel().values(&all)?.dim(), (1 << 11, 0));
    assert_eq!(parallel.values(&Coalitions::new(11))?.dim(), (0, 3));
    Ok(())
}

#[test]
fn more_than_one_thread_asks() -> Result<()> {
    let threads = |parallel: bool| -> Result<usize> {
        let seen: Mutex<HashSet<ThreadId>> = Mutex::default();
        let waited = AtomicBool::new(false);
        let game = FunctionGame::new(8, 1, |_: &[bool], out: &mut [f64]| {
            seen.lock().expect("no panic").insert(thread::current().id());
            // The first to come waits for another, but not for ever.
            if parallel && !waited.swap(true, Ordering::Relaxed) {
                let start = Instant::now();
                while seen.lock().expect("no panic").len() < 2 && start.elapsed() < Duration::from_secs(60) {
                    thread::yield_now();
                }
            }
            out[0] = 1.0;
        });
        let all = Coalitions::from_words(8, (0..256).collect())?;
        pool(4).install(|| if parallel { game.parallel().values(&all) } else { game.values(&all) })?;
        Ok(seen.into_inner().expect("no panic").len())
    };
    assert!(threads(true)? > 1);
    // Negative control.
    assert_eq!(threads(false)?, 1);
    Ok(())
}

#[test]
fn the_first_number_that_is_not_finite_is_reported() -> Result<()> {
    let wrong = |present: &[bool], out: &mut [f64]| {
        out[1] = if present[3] && present[7] { f64::NAN } else { 0.0 };
    };
    let all = Coalitions::from_words(9, (0..512).collect())?;
    let expected = FunctionGame::new(9, 2, wrong).values(&all).expect_err("NaN").to_string();
    assert!(expected.contains("coalition 136, output 1"), "{expected}");
    for _ in 0..20 {
        let error = FunctionGame::new(9, 2, wrong).parallel().values(&all).expect_err("NaN");
        assert!(matches!(error, Error::Numeric(_)) && error.to_string() == expected);
    }
    Ok(())
}
