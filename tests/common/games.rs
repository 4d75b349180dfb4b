//! Games of a closed form.
#![allow(dead_code, reason = "each test uses a part")]

use whybox::explain::FunctionGame;

/// A smooth game of high order.
pub fn smooth(players: usize, outputs: usize) -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(players, outputs, move |present: &[bool], out: &mut [f64]| {
        for (k, out) in out.iter_mut().enumerate() {
            let sum = |a: f64, b: f64| -> f64 {
                (0..players).filter(|&i| present[i]).map(|i| (a * (i + 3 * k) as f64 + b).sin()).sum()
            };
            *out = (sum(1.7, 0.3)).tanh() + 0.5 * (sum(2.9, 1.0) * 1.5).sin();
        }
    })
}

/// A step and a hinge: some players matter in few orders.
pub fn steps(players: usize) -> FunctionGame<impl Fn(&[bool], &mut [f64])> {
    FunctionGame::new(players, 1, move |present: &[bool], out: &mut [f64]| {
        let sum = |a: f64, b: f64| -> f64 {
            (0..players).filter(|&i| present[i]).map(|i| (a * i as f64 + b).sin()).sum()
        };
        out[0] = f64::from(u8::from(sum(1.7, 0.3) > 0.4)) + sum(0.9, 0.0).max(0.0);
    })
}
