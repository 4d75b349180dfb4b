//! Games over the rows of a table.

use std::cell::RefCell;
use std::sync::Arc;

use ndarray::Array2;

use super::{Game, Progress};
use crate::device::{Means, RunOptions};
use crate::perturb::{Background, Coalitions, TableMasker};
use crate::{Error, Network, Result};

/// A network with one or many rows of a table: the value of a coalition is the mean answer over the background, the
/// present players' columns being those of the row; see [`TableMasker`].
///
/// All rows are played at once: with R rows and O explained outputs of the network, the game has R · O outputs, those
/// of row 0 first. Masks, and what the background adds to a first Linear layer, are shared by all rows.
///
/// # Example
/// Of a linear network the Shapley value of a column is `w · (x − mean b)`, and so is what it adds alone:
/// ```
/// use ndarray::array;
/// use whybox::explain::{Game, TableGame};
/// use whybox::perturb::{Coalitions, TableMasker};
/// use whybox::{Device, model::Model};
///
/// let model = Model::builder("line", &[2]).linear(&[2.0, -1.0], &[0.5], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let masker = TableMasker::new(array![[1.0, 1.0]].view(), array![[0.0, 2.0], [0.0, 4.0]].view())?;
/// let game = TableGame::new(&network, masker)?;
/// let values = game.values(&Coalitions::from_words(2, vec![0b00, 0b01, 0b10, 0b11])?)?;
/// assert_eq!(values.into_raw_vec_and_offset().0, [-2.5, -0.5, -0.5, 1.5]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct TableGame<'a> {
    network: &'a Network,
    masker: TableMasker,
    outputs: Vec<usize>,
    options: RunOptions,
    /// Evaluations done, and whom to tell.
    progress: RefCell<(usize, Box<Progress<'a>>)>,
}

impl<'a> TableGame<'a> {
    /// The game of all outputs.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the rows have not the network's width.
    pub fn new(network: &'a Network, masker: TableMasker) -> Result<Self> {
        if masker.features() != network.input().len() {
            return Err(Error::parameter(
                format!(
                    "rows have {} columns, the network takes {}",
                    masker.features(),
                    network.input().len()
                ),
                "table",
                format!("give rows of shape {:?}", network.input().shape),
            ));
        }
        Ok(TableGame {
            network,
            masker,
            outputs: (0..network.outputs()).collect(),
            options: RunOptions::default(),
            progress: RefCell::new((0, Box::new(|_| {}))),
        })
    }

    /// The game of some outputs of the network, in this order: only these are computed, where the last layer allows it.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is none, or one that the network has not.
    pub fn outputs_of(self, outputs: &[usize]) -> Result<Self> {
        let bad = outputs.iter().find(|&&output| output >= self.network.outputs());
        if bad.is_some() || outputs.is_empty() {
            return Err(Error::parameter(
                bad.map_or("no output is asked for".to_owned(), |output| {
                    format!("output {output} does not exist")
                }),
                "outputs",
                format!("the network has outputs 0 to {}", self.network.outputs().saturating_sub(1)),
            ));
        }
        Ok(TableGame { outputs: outputs.to_vec(), ..self })
    }

    /// The same game with a memory cap, or a form of averaging.
    pub fn with_options(self, options: RunOptions) -> Self {
        TableGame { options, ..self }
    }

    /// The same game, telling the evaluations of the network that have been done.
    pub fn with_progress(self, progress: impl FnMut(usize) + 'a) -> Self {
        TableGame { progress: RefCell::new((0, Box::new(progress))), ..self }
    }

    /// Rows, background and players.
    pub fn masker(&self) -> &TableMasker {
        &self.masker
    }

    /// The network's outputs that are explained.
    pub fn explained(&self) -> &[usize] {
        &self.outputs
    }

    /// Evaluations of the network that one coalition costs: rows × background rows.
    pub fn evaluations_per_coalition(&self) -> usize {
        self.masker.instances() * self.masker.weights().len()
    }
}

impl Game for TableGame<'_> {
    fn players(&self) -> usize {
        self.masker.players()
    }

    fn outputs(&self) -> usize {
        self.masker.instances() * self.outputs.len()
    }

    fn instances(&self) -> usize {
        self.masker.instances()
    }

    /// A player varies if it does for some row.
    fn varying(&self) -> Vec<bool> {
        let mut varies = vec![false; self.players()];
        for instance in 0..self.masker.instances() {
            self.masker.varying(instance).into_iter().for_each(|player| varies[player] = true);
            if varies.iter().all(|&varies| varies) {
                break;
            }
        }
        varies
    }

    /// Of one row: rows that are played together get the values that they get alone.
    fn work(&self) -> f64 {
        self.network.plan().macs() as f64 * self.masker.weights().len() as f64
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let rows = Background::new(self.masker.clone(), Arc::new(coalitions.clone()))?;
        let means = Means { weights: self.masker.weights(), outputs: &self.outputs };
        let mut values = Vec::with_capacity(coalitions.rows() * self.outputs());
        let before = self.progress.borrow().0;
        self.network.means(&rows, &means, &self.options, &mut |groups, answers| {
            values.extend_from_slice(answers);
            let told = &mut *self.progress.borrow_mut();
            told.0 = before + groups.end * means.weights.len();
            (told.1)(told.0);
            Ok(())
        })?;
        Array2::from_shape_vec((coalitions.rows(), self.outputs()), values).map_err(|error| {
            Error::device(error.to_string(), "means", "this is a defect of whybox: please report it")
        })
    }
}
