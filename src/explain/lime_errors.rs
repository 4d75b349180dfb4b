//! Standard errors of LIME's coefficients, from what each draw of the design adds to them.

use ndarray::Array2;

use super::control::Evaluated;
use crate::Result;
use crate::perturb::{Coalitions, Sampling, lime_coalition_rows};
use crate::solve::sandwich::Influence;
use crate::solve::{Gram, Ridge, Surrogate};

/// Rows looked at together: an even number, so that pairs stay whole.
const BLOCK_ROWS: usize = 4096;

/// A surrogate's line over some features.
pub(super) struct Line {
    intercept: f64,
    /// Feature and slope.
    slopes: Vec<(usize, f64)>,
}

impl Line {
    pub fn of(surrogate: &Surrogate) -> Self {
        Line { intercept: surrogate.intercept, slopes: surrogate.coefficients.clone() }
    }

    /// Of the first response, on the features of this line.
    pub fn fit_alike(&self, gram: &Gram, alpha: f64) -> Result<Self> {
        let features = self.features();
        let fit = Ridge::fit(gram, &features, &[0], alpha)?;
        let slopes = features.into_iter().zip(fit.coefficients.column(0).to_vec()).collect();
        Ok(Line { intercept: fit.intercepts[0], slopes })
    }

    /// This line less another one on the same features.
    pub fn less(&self, other: &Line) -> Self {
        let slopes = self.slopes.iter().zip(&other.slopes);
        Line {
            intercept: self.intercept - other.intercept,
            slopes: slopes.map(|(&(feature, a), &(_, b))| (feature, a - b)).collect(),
        }
    }

    pub fn features(&self) -> Vec<usize> {
        self.slopes.iter().map(|&(feature, _)| feature).collect()
    }

    fn at(&self, coalitions: &Coalitions, row: usize) -> f64 {
        let present = self.slopes.iter().filter(|&&(feature, _)| coalitions.contains(row, feature));
        self.intercept + present.map(|&(_, slope)| slope).sum::<f64>()
    }
}

/// A cheap model that is asked about coalitions of its own beside those that were evaluated.
pub(super) struct Cheap<'a> {
    /// For each evaluated row.
    pub values: &'a [f64],
    pub line: Line,
    /// Coalitions that it is asked about, for each evaluated one.
    pub ratio: f64,
}

impl Evaluated<'_> {
    /// Writes standard errors into `surrogate`, whose line is that of `gram` (or of any moments of the same rows and weights) with
    /// penalty `alpha`: those of the design's groups. `missed` is the line of the responses less those of the cheap model. Where there
    /// are too few groups, the errors stay as they are.
    ///
    /// The instance is in every sample: it adds no scatter.
    pub fn design_errors(
        &self,
        surrogate: &mut Surrogate,
        column: usize,
        gram: &Gram,
        missed: &Line,
        cheap: Option<&Cheap<'_>>,
        alpha: f64,
    ) -> Result<()> {
        let size = match self.lime.sampling {
            Sampling::Paired | Sampling::Orthogonal => 2,
            Sampling::Independent | Sampling::Removal => 1,
        };
        let influence = Influence::new(gram, &missed.features(), alpha)?;
        let responses = self.responses.column(column);
        let samples = responses.len();
        let mut variances = vec![0.0; missed.features().len()];
        let mut add = |influences: &Array2<f64>, times: f64| {
            for row in influences.outer_iter() {
                variances.iter_mut().zip(row).for_each(|(sum, a)| *sum += times * a * a);
            }
        };
        for first in (1..samples).step_by(BLOCK_ROWS) {
            let rows = first..samples.min(first + BLOCK_ROWS);
            let (seed, sampling) = (self.lime.seed, self.lime.sampling);
            let coalitions = lime_coalition_rows(self.players, samples, rows, seed, sampling)?;
            let weights = self.row_weights(&coalitions);
            let each = |of: &dyn Fn(usize) -> f64| (0..coalitions.rows()).map(of).collect::<Vec<f64>>();
            let value = |row| cheap.map_or(0.0, |cheap| cheap.values[first + row]);
            let left = each(&|row| responses[first + row] - value(row) - missed.at(&coalitions, row));
            let mut influences = influence.of(&coalitions, &weights, &left, size);
            if let Some(cheap) = cheap {
                // The model's own scatter: over evaluated coalitions together with what it misses, over its own ones alone.
                let bent = each(&|row| value(row) - cheap.line.at(&coalitions, row));
                let bent = influence.of(&coalitions, &weights, &bent, size) / cheap.ratio;
                influences += &bent;
                add(&bent, cheap.ratio - 1.0);
            }
            add(&influences, 1.0);
        }
        let groups = (samples - 1).div_ceil(size) as f64;
        // Of pairs, the odd halves have no intercept.
        let freedom = groups - influence.used() - if size == 1 { 1.0 } else { 0.0 };
        if freedom >= 1.0 {
            let errors = variances.iter().map(|variance| (variance * groups / freedom).sqrt());
            surrogate.standard_errors = Some(errors.collect());
            surrogate.degrees_of_freedom = freedom;
        }
        Ok(())
    }
}
