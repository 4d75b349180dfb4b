//! Responses averaged over groups of rows, as a table's are over its background.

use std::ops::Range;

use super::{RunReport, Sink, check_finite};
use crate::{Error, Result};

/// Receives means: the groups that are done and `[groups, outputs]` numbers, in ascending order of groups.
///
/// # Example
/// ```
/// use whybox::device::{MeanSink, Means};
/// use whybox::{Device, model::Model, perturb::Rows};
///
/// let model = Model::builder("same", &[1]).linear(&[1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let mut means = Vec::new();
/// let sink: &mut MeanSink<'_> = &mut |_, values| {
///     means.extend_from_slice(values);
///     Ok(())
/// };
/// let even = Means { weights: &[0.5, 0.5], outputs: &[0] };
/// network.means(&Rows::new(&[1.0, 3.0, 4.0, 8.0], 1)?, &even, &Default::default(), sink)?;
/// assert_eq!(means, [2.0, 6.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub type MeanSink<'a> = dyn FnMut(Range<usize>, &[f64]) -> Result<()> + 'a;

/// How rows are averaged: every `weights.len()` consecutive rows make a group.
///
/// # Example
/// ```
/// use whybox::device::Means;
///
/// // Pairs of rows, the second counted three times as much; outputs 2 and 0.
/// let means = Means { weights: &[0.25, 0.75], outputs: &[2, 0] };
/// assert_eq!(means.weights.iter().sum::<f64>(), 1.0);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// A weight for each row of a group, the same for all groups.
    pub weights: &'a [f64],
    /// The outputs that are wanted, in this order.
    pub outputs: &'a [usize],
}

/// How the means come about.
///
/// # Example
/// ```
/// use whybox::device::{MeansForm, RunOptions};
///
/// let plain = RunOptions { means: Some(MeansForm::Rows), ..RunOptions::default() };
/// assert_ne!(plain.means, Some(MeansForm::Fused));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeansForm {
    /// Every row goes through the plan's steps; the responses are averaged: in f64, or on a GPU in f32 by pairs, chunk by
    /// chunk, so that only sums come back.
    Rows,
    /// Instance and background meet behind the first layer, which has to be Linear over the whole row and its only reader: no
    /// row of features is written. Of a small chain of Linear layers, nothing is written but means.
    Fused,
}

/// What happened in a run for means.
///
/// # Example
/// ```
/// use whybox::device::{Means, MeansForm};
/// use whybox::{Device, model::Model, perturb::Rows};
///
/// let model = Model::builder("same", &[1]).linear(&[1.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let means = Means { weights: &[1.0], outputs: &[0] };
/// let report = network.means(&Rows::new(&[1.0], 1)?, &means, &Default::default(), &mut |_, _| Ok(()))?;
/// // Rows that are given cannot be fused.
/// assert_eq!(report.form, MeansForm::Rows);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeansReport {
    /// How the means came about.
    pub form: MeansForm,
}

impl Means<'_> {
    /// Checks weights and outputs, and gives the number of groups.
    pub(crate) fn check(&self, rows: usize, outputs: usize) -> Result<usize> {
        if self.weights.is_empty() || !rows.is_multiple_of(self.weights.len()) {
            return Err(Error::parameter(
                format!("{rows} rows are no whole groups of {}", self.weights.len()),
                "weights",
                "give a weight for each row of a group",
            ));
        }
        if self.outputs.is_empty() {
            return Err(Error::parameter("no output is asked for", "outputs", "name at least one"));
        }
        if let Some(output) = self.outputs.iter().find(|&&output| output >= outputs) {
            return Err(Error::parameter(
                format!("output {output} does not exist"),
                "outputs",
                format!("the network has outputs 0 to {}", outputs.saturating_sub(1)),
            ));
        }
        Ok(rows / self.weights.len())
    }

    /// Averages the responses of a run of all outputs, in f64 and in the order of the rows.
    pub(crate) fn by_rows(
        &self,
        outputs: usize,
        sink: &mut MeanSink<'_>,
        run: impl FnOnce(&mut Sink<'_>) -> Result<RunReport>,
    ) -> Result<MeansReport> {
        let group_rows = self.weights.len();
        let wanted = self.outputs.len();
        let mut sums = vec![0.0; wanted];
        let mut done = Vec::new();
        run(&mut |rows, responses| {
            check_finite(rows.start, outputs, responses)?;
            done.clear();
            for (row, response) in rows.clone().zip(responses.chunks_exact(outputs)) {
                let member = row % group_rows;
                for (sum, &output) in sums.iter_mut().zip(self.outputs) {
                    *sum += self.weights[member] * f64::from(response[output]);
                }
                if member + 1 == group_rows {
                    done.extend(sums.iter_mut().map(std::mem::take));
                }
            }
            let groups = rows.start / group_rows..rows.end / group_rows;
            if groups.is_empty() { Ok(()) } else { sink(groups, &done) }
        })?;
        Ok(MeansReport { form: MeansForm::Rows })
    }
}

/// Reports the first NaN or infinity among the means of groups `first_group..`.
pub(crate) fn check_means(first_group: usize, outputs: &[usize], values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::numeric(
            format!("the network's mean answer is {}", values[at]),
            format!("group {}, output {}", first_group + at / outputs.len(), outputs[at % outputs.len()]),
            "check the preprocessing and the network's weights",
        )),
    }
}

/// The error of a form that a run cannot have.
pub(crate) fn cannot_fuse() -> Error {
    Error::parameter(
        "this network cannot take instance and background apart",
        "means: fused",
        "leave the choice open: it needs a Linear layer over the whole row before everything else, and rows of a table",
    )
}
