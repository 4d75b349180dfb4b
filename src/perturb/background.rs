//! Table rows whose absent features take the values of background rows.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::ArrayView2;

use super::{Coalitions, Data, Expander, Perturbation, Program};
use crate::plan::{InputLayout, Mixture};
use crate::{Error, Result};

/// What the games over a table share: instances, a weighted background, and which player each column belongs to.
///
/// The value of a coalition S is the mean answer over the background, weighted:
/// `v(S) = Σ_b w_b · f(x_S, b_!S)`: features of present players come from the instance, the others from background
/// row b (Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017, section 4.1, with
/// features taken as independent; shap's `maskers.Independent`).
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::TableMasker;
///
/// let masker = TableMasker::new(array![[1.0, 2.0, 3.0]].view(), array![[0.0, 2.0, 0.0], [1.0, 2.0, 5.0]].view())?
///     .weighted(&[1.0, 3.0])?
///     .grouped(&[0, 1, 0])?;
/// assert_eq!(masker.players(), 2);
/// assert_eq!(masker.weights(), [0.25, 0.75]);
/// assert_eq!(masker.varying(0), [0]); // Column 1 is the same everywhere.
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TableMasker {
    features: usize,
    instances: Arc<[f32]>,
    background: Arc<[f32]>,
    weights: Arc<[f64]>,
    players: Arc<[u32]>,
    player_count: usize,
}

impl TableMasker {
    /// Instances `[R, F]` against background rows `[B, F]` of equal weight; every column is a player.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no instance, no background row or no column, if the widths differ, or if a
    /// number is NaN or infinite.
    pub fn new(instances: ArrayView2<'_, f32>, background: ArrayView2<'_, f32>) -> Result<Self> {
        let features = instances.ncols();
        let wrong = |what: &str, at: &str, remedy: &str| Err(Error::parameter(what, at, remedy));
        if instances.nrows() == 0 {
            return wrong("there is no row to explain", "instances", "give at least one row");
        }
        if background.nrows() == 0 {
            return wrong("the background has no rows", "background", "give at least one row");
        }
        if features == 0 {
            return wrong("the rows have no columns", "instances", "give rows of the network's width");
        }
        if background.ncols() != features {
            return Err(Error::parameter(
                format!("background rows have {} columns, instances {features}", background.ncols()),
                "background",
                "give both the same columns, in the same order",
            ));
        }
        for (name, rows) in [("instances", &instances), ("background", &background)] {
            if let Some(((row, column), value)) = rows.indexed_iter().find(|(_, value)| !value.is_finite()) {
                return Err(Error::parameter(
                    format!("a cell holds {value}"),
                    format!("{name}: row {row}, column {column}"),
                    "fill or drop missing values first",
                ));
            }
        }
        let rows = background.nrows();
        Ok(TableMasker {
            features,
            instances: instances.iter().copied().collect(),
            background: background.iter().copied().collect(),
            weights: vec![1.0 / rows as f64; rows].into(),
            players: (0..features as u32).collect(),
            player_count: features,
        })
    }

    /// The same with a weight for each background row; weights are divided by their sum.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is not one for each row, one is negative or not finite, or all are 0.
    pub fn weighted(self, weights: &[f64]) -> Result<Self> {
        if weights.len() != self.weights.len() {
            return Err(Error::parameter(
                format!("{} weights for {} background rows", weights.len(), self.weights.len()),
                "background weights",
                "give a weight for each background row",
            ));
        }
        let sum: f64 = weights.iter().sum();
        let bad = weights.iter().position(|&weight| !(weight.is_finite() && weight >= 0.0));
        if let Some(row) = bad {
            return Err(Error::parameter(
                format!("a weight is {}", weights[row]),
                format!("background weights: row {row}"),
                "use finite weights of at least 0",
            ));
        }
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(Error::parameter(
                format!("the weights add up to {sum}"),
                "background weights",
                "give at least one row a weight",
            ));
        }
        Ok(TableMasker { weights: weights.iter().map(|weight| weight / sum).collect(), ..self })
    }

    /// The same with columns grouped: `groups[j]` is the player of column j (a one-hot encoded column is one player).
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is not a group for each column, or a number below the largest has no column.
    pub fn grouped(self, groups: &[usize]) -> Result<Self> {
        if groups.len() != self.features {
            return Err(Error::parameter(
                format!("{} groups for {} columns", groups.len(), self.features),
                "groups",
                "give the group of each column",
            ));
        }
        // At most as many groups as columns, or one of them is empty.
        let count = groups.iter().map(|&group| group.saturating_add(1)).max().unwrap_or(0);
        let empty = (0..count.min(self.features + 1)).find(|group| !groups.contains(group));
        if let Some(group) = empty {
            return Err(Error::parameter(
                format!("group {group} has no column"),
                "groups",
                "number the groups from 0 without gaps",
            ));
        }
        let players = groups.iter().map(|&group| group as u32).collect();
        Ok(TableMasker { players, player_count: count, ..self })
    }

    /// The game of some players only, in this order: the others always show the instance.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a player does not exist or is named twice.
    pub fn restricted(&self, players: &[usize]) -> Result<Self> {
        let mut numbers = vec![u32::MAX; self.player_count];
        for (number, &player) in players.iter().enumerate() {
            match numbers.get_mut(player) {
                Some(slot) if *slot == u32::MAX => *slot = number as u32,
                _ => {
                    return Err(Error::parameter(
                        format!("player {player} does not exist or is named twice"),
                        "players",
                        format!("name players 0 to {} once each", self.player_count.saturating_sub(1)),
                    ));
                }
            }
        }
        let renamed = |&player: &u32| numbers.get(player as usize).copied().unwrap_or(u32::MAX);
        let renamed = self.players.iter().map(renamed).collect();
        Ok(TableMasker { players: renamed, player_count: players.len(), ..self.clone() })
    }

    /// The same game for other instances.
    ///
    /// # Errors
    /// As [`new`](TableMasker::new).
    pub fn with_instances(&self, instances: ArrayView2<'_, f32>) -> Result<Self> {
        let one = ArrayView2::from_shape((1, self.features), &self.background[..self.features])
            .map_err(|error| Error::parameter(error.to_string(), "background", "give rows of equal width"))?;
        let checked = Self::new(instances, one)?;
        Ok(TableMasker { instances: checked.instances, ..self.clone() })
    }

    /// Number of players.
    pub fn players(&self) -> usize {
        self.player_count
    }

    /// Number of columns.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of instances.
    pub fn instances(&self) -> usize {
        self.instances.len() / self.features
    }

    /// A weight for each background row; they add up to 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Players that have a column in which some background row differs from the instance, ascending: the others'
    /// Shapley values are 0. Numbers are the same where `|x − b| ≤ 1e-8 + 1e-5·|b|`, as in shap's KernelExplainer.
    ///
    /// # Panics
    /// As indexing a slice does, if there is no such instance.
    pub fn varying(&self, instance: usize) -> Vec<usize> {
        let row = &self.instances[instance * self.features..][..self.features];
        let mut varies = vec![false; self.player_count];
        for background in self.background.chunks_exact(self.features) {
            if varies.iter().all(|&varies| varies) {
                break;
            }
            for ((&x, &b), &player) in row.iter().zip(background).zip(self.players.iter()) {
                if let Some(varies) = varies.get_mut(player as usize) {
                    let (x, b) = (f64::from(x), f64::from(b));
                    *varies |= (x - b).abs() > 1e-8 + 1e-5 * b.abs();
                }
            }
        }
        (0..self.player_count).filter(|&player| varies[player]).collect()
    }
}

/// Coalitions × instances × background rows of a [`TableMasker`], in the order of [`Mixture`]: background rows
/// fastest, then instances, then coalitions.
///
/// Rows are expanded chunk by chunk and never stored: memory is the tables' and the masks'.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use ndarray::array;
/// use whybox::perturb::{Background, Coalitions, Perturbation, TableMasker};
/// use whybox::{Device, model::Model};
///
/// let masker = TableMasker::new(array![[1.0, 2.0]].view(), array![[10.0, 20.0], [30.0, 40.0]].view())?;
/// let coalitions = Coalitions::from_words(2, vec![0b00, 0b01, 0b11])?;
/// let rows = Background::new(masker, Arc::new(coalitions))?;
/// let sum = Model::builder("sum", &[2]).linear(&[1.0, 1.0], &[0.0], 1)?.build()?;
/// let responses = Device::cpu().load(&sum)?.responses(&rows, &Default::default())?;
/// assert_eq!(responses.into_raw_vec_and_offset().0, [30.0, 70.0, 21.0, 41.0, 3.0, 3.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Background {
    masker: TableMasker,
    coalitions: Arc<Coalitions>,
}

impl Background {
    /// Every coalition for every instance.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the coalitions are of another number of players, or the rows too many to count.
    pub fn new(masker: TableMasker, coalitions: Arc<Coalitions>) -> Result<Self> {
        if coalitions.players() != masker.players() {
            return Err(Error::parameter(
                format!("coalitions of {} players, a table of {}", coalitions.players(), masker.players()),
                "coalitions",
                "make coalitions of the table's players",
            ));
        }
        let counts = [coalitions.rows(), masker.instances(), masker.weights.len()];
        if counts.iter().try_fold(1usize, |rows, &count| rows.checked_mul(count)).is_none() {
            return Err(Error::parameter(
                "there are more rows than can be counted",
                "coalitions",
                "ask for fewer coalitions, instances or background rows",
            ));
        }
        Ok(Background { masker, coalitions })
    }

    /// What the coalitions are of.
    pub fn masker(&self) -> &TableMasker {
        &self.masker
    }
}

impl Perturbation for Background {
    fn rows(&self) -> usize {
        self.coalitions.rows() * self.masker.instances() * self.masker.weights.len()
    }

    fn bind<'a>(&'a self, input: &InputLayout) -> Result<Box<dyn Expander + 'a>> {
        let masker = &self.masker;
        if masker.features != input.len() {
            return Err(Error::parameter(
                format!("rows have {} columns, the network takes {}", masker.features, input.len()),
                "table",
                format!("give rows of shape {:?}", input.shape),
            ));
        }
        let stored = |rows: &Arc<[f32]>| -> Arc<[f32]> {
            if !input.channels_last {
                return rows.clone();
            }
            let mut out = vec![0.0; rows.len()];
            for (row, stored) in rows.chunks_exact(input.len()).zip(out.chunks_exact_mut(input.len())) {
                input.store(row, stored);
            }
            out.into()
        };
        let mut players = masker.players.clone();
        if input.channels_last {
            // Columns are numbered in the graph's order: these numbers are below 2²⁴ and so exact as f32.
            let numbers: Vec<f32> = (0..masker.features).map(|column| column as f32).collect();
            let mut order = vec![0.0; numbers.len()];
            input.store(&numbers, &mut order);
            players = order.iter().map(|&column| masker.players[column as usize]).collect();
        }
        let mixture = Mixture {
            features: masker.features,
            instances: stored(&masker.instances),
            background: stored(&masker.background),
            players,
            player_count: masker.player_count,
            masks: self.coalitions.words().into(),
            words_per_row: self.coalitions.words_per_row(),
        };
        Ok(Box::new(Bound { mixture, fixed: OnceLock::new() }))
    }
}

struct Bound {
    mixture: Mixture,
    /// The mixture's bytes for a GPU, made when one asks.
    fixed: OnceLock<[Arc<[u8]>; 4]>,
}

impl Expander for Bound {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.mixture.features)) {
            self.mixture.write(row, out);
        }
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let Mixture { instances, background, players, masks, .. } = &self.mixture;
        let fixed = self.fixed.get_or_init(|| {
            // The number of coalitions goes with the players: the uniform has no room for it.
            let mut header = vec![self.mixture.coalitions() as u32];
            header.extend(&players[..]);
            [
                bytemuck::cast_slice(instances).into(),
                bytemuck::cast_slice(background).into(),
                bytemuck::cast_slice(&header).into(),
                bytemuck::cast_slice(masks).into(),
            ]
        });
        let background = self.mixture.background_rows();
        // Rows of a background and groups are below 2³²: their numbers and masks lie in memory.
        let params = [
            (rows.start / background) as u32,
            (rows.start % background) as u32,
            background as u32,
            self.mixture.instance_rows() as u32,
        ];
        let buffers = fixed.iter().cloned().map(Data::Fixed).collect();
        Program { shader: "perturb/background", buffers, params }
    }

    fn mixture(&self) -> Option<&Mixture> {
        Some(&self.mixture)
    }
}
