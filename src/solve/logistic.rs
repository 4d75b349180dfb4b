//! Logistic regression on coalitions.

use ndarray::{Array2, ArrayView1};

use super::{Gram, Ridge};
use crate::Result;
use crate::perturb::Coalitions;

/// Newton's steps at most: each about doubles the digits, and no more than a few are needed.
const STEPS: usize = 12;

/// Change of the coefficients, as a share of the largest, below which the steps end.
const CLOSE: f64 = 1e-4;

/// Penalty of the squared coefficients, enough to keep them finite where coalitions separate 0 from 1.
const PENALTY: f64 = 0.01;

/// A logistic model of a game: `1 / (1 + exp(−(a + Σ bₚ zₚ)))`.
pub(crate) struct Logistic {
    intercept: f64,
    pub coefficients: Vec<f64>,
}

impl Logistic {
    /// Penalised maximum likelihood by iteratively reweighted least squares (McCullagh and Nelder 1989, section 2.5), for
    /// responses between 0 and 1. `None` if the steps lead nowhere.
    pub fn fit(coalitions: &Coalitions, weights: &[f64], responses: ArrayView1<f64>) -> Result<Option<Self>> {
        let players = coalitions.players();
        let features: Vec<usize> = (0..players).collect();
        let mean = responses.mean().unwrap_or(0.5).clamp(1e-3, 1.0 - 1e-3);
        let mut model = Logistic { intercept: (mean / (1.0 - mean)).ln(), coefficients: vec![0.0; players] };
        for _ in 0..STEPS {
            let mut working = Array2::zeros((responses.len(), 1));
            let mut information = Vec::with_capacity(responses.len());
            for (row, &response) in responses.iter().enumerate() {
                // Far out the information vanishes, and a step along it would never come back.
                let linear = model.linear(coalitions, row).clamp(-12.0, 12.0);
                let chance = sigmoid(linear);
                let slope = chance * (1.0 - chance);
                working[[row, 0]] = linear + (response - chance) / slope;
                information.push(weights[row] * slope);
            }
            let mut gram = Gram::new(players, 1);
            gram.add(coalitions, &information, working.view())?;
            let fit = Ridge::fit(&gram, &features, &[0], PENALTY)?;
            let next =
                Logistic { intercept: fit.intercepts[0], coefficients: fit.coefficients.column(0).to_vec() };
            if !next.all().all(f64::is_finite) {
                return Ok(None);
            }
            let largest = next.all().fold(0.0, |most: f64, b| most.max(b.abs()));
            let change = next.all().zip(model.all()).map(|(a, b)| (a - b).abs());
            // The next step would be about the square of this one.
            let close = change.fold(0.0, f64::max) <= CLOSE * largest;
            model = next;
            if close {
                break;
            }
        }
        Ok(Some(model))
    }

    fn all(&self) -> impl Iterator<Item = f64> {
        self.coefficients.iter().copied().chain([self.intercept])
    }

    /// The model's probability for a coalition.
    pub fn value(&self, coalitions: &Coalitions, row: usize) -> f64 {
        sigmoid(self.linear(coalitions, row))
    }

    fn linear(&self, coalitions: &Coalitions, row: usize) -> f64 {
        let mut sum = self.intercept;
        for (coefficients, word) in self.coefficients.chunks(32).zip(coalitions.row_words(row)) {
            for (bit, coefficient) in coefficients.iter().enumerate() {
                sum += f64::from(word >> bit & 1) * coefficient;
            }
        }
        sum
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
