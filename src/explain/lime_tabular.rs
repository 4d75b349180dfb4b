//! LIME on tables: a weighted linear surrogate around a row.

use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::lime::attribution;
use super::{Explanation, Labels, Progress};
use crate::perturb::Neighbourhood;
use crate::solve::{Distance, Gram, Kernel, Selection, Surrogate, SurrogateOptions};
use crate::{Error, Result};

/// Rows that are drawn, evaluated and summed together, at most: threads meet four times for each block.
const BLOCK_ROWS: usize = 8192;

/// Cells of a block, about, where rows are long.
const BLOCK_CELLS: usize = 1 << 20;

/// Cells whose distances are worth waking other threads for.
const MANY_CELLS: usize = 1 << 18;

/// A black box over a table's rows: `[rows, features]`, numbers and codes of categories, to `[rows, outputs]`.
///
/// # Example
/// ```
/// use ndarray::{ArrayView2, Axis, array};
/// use whybox::explain::RowFunction;
///
/// let black_box: &mut RowFunction<'_> =
///     &mut |rows: ArrayView2<f64>| Ok(rows.sum_axis(Axis(1)).insert_axis(Axis(1)));
/// assert_eq!(black_box(array![[1.0, 2.0], [3.0, 4.0]].view())?, array![[3.0], [7.0]]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub type RowFunction<'a> = dyn FnMut(ArrayView2<f64>) -> Result<Array2<f64>> + 'a;

/// LIME over any function of a table's rows. The defaults are those of `lime_tabular` 0.2.0.1, but for the labels (the top one
/// instead of output 1); the discretiser is a matter of the [`Neighbourhood`].
///
/// Source of the formulas: `lime_tabular.py` and `lime_base.py` of that package. There a regression's coefficients appear a second
/// time with the other sign, as label 0; here they are those of the output.
///
/// # Example
/// ```
/// use ndarray::{Array2, Axis, array};
/// use whybox::explain::{Labels, LimeTabular};
/// use whybox::perturb::{Discretiser, Neighbourhood};
///
/// // y = 3a − b, on a grid.
/// let table = Array2::from_shape_fn((100, 2), |(row, f)| if f == 0 { row % 10 } else { row / 10 } as f64);
/// let neighbourhood = Neighbourhood::new(table.view(), &[false, false], Discretiser::None, None)?;
/// let mut line = |rows: ndarray::ArrayView2<f64>| Ok(rows.dot(&array![3.0, -1.0]).insert_axis(Axis(1)));
/// let lime = LimeTabular { alpha: 1e-9, ..LimeTabular::default() };
/// let explanation = lime.explain(&neighbourhood, &[2.0, 5.0], &mut line, &mut |_| {})?;
/// // Per standard deviation, as in lime.
/// let deviation = (99.0f64 / 12.0).sqrt();
/// assert!((explanation.attributions[0].values[0] - 3.0 * deviation).abs() < 1e-6);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LimeTabular {
    /// Rows of the neighbourhood, the instance itself included. Default: 5,000.
    pub samples: usize,
    /// Distance of a row from the instance. Default: Euclidean.
    pub distance: Distance,
    /// Width of the exponential kernel. Default: `0.75 sqrt(features)`.
    pub kernel_width: Option<f64>,
    /// How features are selected. Default: `auto`.
    pub selection: Selection,
    /// Features at most. Default: 10.
    pub num_features: usize,
    /// Penalty of the ridge regression. Default: 1.
    pub alpha: f64,
    /// Which outputs are explained. Default: the top one.
    pub labels: Labels,
    /// Seed of the rows. Default: 0.
    pub seed: u64,
}

impl Default for LimeTabular {
    fn default() -> Self {
        LimeTabular {
            samples: 5000,
            distance: Distance::Euclidean,
            kernel_width: None,
            selection: Selection::Auto,
            num_features: 10,
            alpha: 1.0,
            labels: Labels::Top(1),
            seed: 0,
        }
    }
}

impl LimeTabular {
    /// Explains what a black box says about one row, given as codes. Memory does not grow with the number of samples.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than two samples, an instance of another width or with a number that is not
    /// finite, a kernel width or penalty that makes no sense, or an output that the black box has not; [`Error::Numeric`] for a black
    /// box that answers NaN; whatever the black box reports.
    pub fn explain(
        &self,
        neighbourhood: &Neighbourhood,
        instance: &[f64],
        black_box: &mut RowFunction<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Explanation> {
        self.check(neighbourhood, instance)?;
        let features = neighbourhood.features();
        let kernel = Kernel::new(self.kernel_width.unwrap_or(0.75 * (features as f64).sqrt()))?;
        let origin = neighbourhood.origin(instance);
        let mut gram = Gram::about(origin.clone(), 0);
        let (mut prediction, mut labels) = (Vec::new(), Vec::new());
        let (mut drawing, mut evaluating, mut solving) = (0.0, 0.0, 0.0);
        // Blocks of the same size: the last should not be a small one.
        let most = (BLOCK_CELLS / features.max(1)).clamp(1, BLOCK_ROWS);
        let block = self.samples.div_ceil(self.samples.div_ceil(most));
        for first in (0..self.samples).step_by(block) {
            let rows = first..self.samples.min(first + block);
            let start = Instant::now();
            let drawn = neighbourhood.draw(instance, rows.clone(), self.samples, self.seed);
            drawing += start.elapsed().as_secs_f64();
            let start = Instant::now();
            let values = black_box(drawn.codes.view())?;
            evaluating += start.elapsed().as_secs_f64();
            if values.nrows() != rows.len()
                || values.ncols() == 0
                || (first > 0 && values.ncols() != prediction.len())
            {
                return Err(Error::parameter(
                    format!("the black box answered {:?} for {} rows", values.dim(), rows.len()),
                    "LIME on a table",
                    "return [rows, outputs]",
                ));
            }
            let start = Instant::now();
            if first == 0 {
                prediction = values.row(0).to_vec();
                self.labels.check(prediction.len())?;
                labels = self.labels.choose(&prediction);
                gram = Gram::about(origin.clone(), labels.len());
            }
            // Drawn row by row, so one slice.
            let cells = drawn.data.as_slice().unwrap_or_else(|| unreachable!());
            let weight = |row: &[f64]| kernel.weight(self.distance.between(row, &origin));
            let weights: Vec<f64> = match cells.len() < MANY_CELLS {
                true => cells.chunks_exact(features).map(weight).collect(),
                false => cells.par_chunks_exact(features).map(weight).collect(),
            };
            gram.add_rows(drawn.data.view(), &weights, values.select(Axis(1), &labels).view())?;
            solving += start.elapsed().as_secs_f64();
            neighbourhood.keep(drawn);
            progress(rows.end);
        }
        let start = Instant::now();
        let options = SurrogateOptions {
            selection: self.selection,
            num_features: self.num_features,
            alpha: self.alpha,
            ..SurrogateOptions::default()
        };
        let columns: Vec<usize> = (0..labels.len()).collect();
        let surrogates = Surrogate::fit_all(&gram, &columns, &options)?;
        let attributions = (surrogates.iter().zip(&labels))
            .map(|(surrogate, &output)| attribution(surrogate, features, output, prediction[output]))
            .collect();
        solving += start.elapsed().as_secs_f64();
        Ok(Explanation {
            method: "LIME",
            players: features,
            attributions,
            interactions: None,
            exact: false,
            prediction,
            evaluations: self.samples,
            seed: self.seed,
            seconds: vec![
                ("draw".into(), drawing),
                ("evaluate".into(), evaluating),
                ("solve".into(), solving),
            ],
        })
    }

    fn check(&self, neighbourhood: &Neighbourhood, instance: &[f64]) -> Result<()> {
        if instance.len() != neighbourhood.features() {
            return Err(Error::parameter(
                format!("an instance of {} features", instance.len()),
                "LIME on a table",
                format!("the table has {}", neighbourhood.features()),
            ));
        }
        if let Some(feature) = instance.iter().position(|value| !value.is_finite()) {
            return Err(Error::parameter(
                format!("the instance is {}", instance[feature]),
                format!("feature {feature}"),
                "give finite numbers",
            ));
        }
        if self.samples < 2 {
            return Err(Error::parameter(
                format!("{} samples cannot be fitted", self.samples),
                format!("--samples {}", self.samples),
                "ask for at least 2; 5,000 is usual",
            ));
        }
        if self.num_features == 0 {
            return Err(Error::parameter(
                "a surrogate without features",
                "--features 0",
                "ask for at least 1",
            ));
        }
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            return Err(Error::parameter(
                format!("a penalty of {} makes no sense", self.alpha),
                "--alpha",
                "give a number of at least 0; 1 is usual",
            ));
        }
        Ok(())
    }
}
