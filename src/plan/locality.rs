//! Which players each part of the input depends on.

use std::sync::Arc;

/// Which players each input pixel depends on, and the coalitions of the run.
///
/// A two-state input: pixel `p` shows the instance where its player is present and the baseline where it
/// is absent. An engine may select while it reads the first layer's input (the *fused* form), or share
/// early layers between coalitions; the numbers are those of the expanding kernel.
///
/// # Example
/// ```
/// use whybox::model::{Model, Window};
/// use whybox::plan::{Locality, Plan};
///
/// // Two pixels, each a player, in two rows.
/// let locality = Locality {
///     players: [0, 1].into(),
///     instance: [5.0, 7.0].into(),
///     baseline: [1.0, 1.0].into(),
///     masks: [0b01, 0b11].into(),
///     words_per_row: 1,
/// };
/// let model = Model::builder("double", &[1, 1, 2]).conv(&[2.0], None, 1, Window::square(1), 1)?.build()?;
/// assert!(Plan::new(&model)?.can_mask(&locality));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Locality {
    /// Player of each pixel; `u32::MAX` = the pixel always shows the instance.
    pub players: Arc<[u32]>,
    /// The instance, stored as the plan's input is.
    pub instance: Arc<[f32]>,
    /// The baseline, stored as the plan's input is.
    pub baseline: Arc<[f32]>,
    /// Packed coalitions: bit `p % 32` of word `n · words_per_row + p / 32` says that player `p` is
    /// present in row `n`.
    pub masks: Arc<[u32]>,
    /// Words per row of `masks`.
    pub words_per_row: usize,
}

/// Which players each pixel of the stored input depends on, one or several, and the coalitions of the run: what early
/// layers can be shared by (see [`sharing`](super::sharing)). Two rows of the run whose coalitions agree on a pixel's
/// players show the same pixel.
///
/// # Example
/// ```
/// use whybox::plan::{Dependence, Locality};
///
/// // The first pixel is a player's, the second always shows the instance.
/// let locality = Locality {
///     players: [0, u32::MAX].into(),
///     instance: [5.0, 7.0].into(),
///     baseline: [1.0, 1.0].into(),
///     masks: [0b01, 0b11].into(),
///     words_per_row: 1,
/// };
/// let dependence = Dependence::from(&locality);
/// assert_eq!((&dependence.starts[..], &dependence.players[..]), (&[0, 1, 1][..], &[0][..]));
/// assert_eq!(dependence.pixels(), 2);
/// assert!(dependence.is_sound(2) && !dependence.is_sound(3)); // there are masks of two rows
/// ```
#[derive(Debug, Clone)]
pub struct Dependence {
    /// Pixel p depends on `players[starts[p]..starts[p + 1]]`.
    pub starts: Arc<[u32]>,
    /// Players, each below `32 · words_per_row`.
    pub players: Arc<[u32]>,
    /// Packed coalitions, as in [`Locality::masks`].
    pub masks: Arc<[u32]>,
    /// Words per row of `masks`.
    pub words_per_row: usize,
}

impl Dependence {
    /// Pixels of the input.
    pub fn pixels(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether every pixel's players are there, with a bit in each of `rows` rows of masks.
    pub fn is_sound(&self, rows: usize) -> bool {
        let last = self.starts.last().map_or(0, |&end| end as usize);
        last == self.players.len()
            && self.starts.is_sorted()
            && self.masks.len() >= rows * self.words_per_row
            && self.players.iter().all(|&player| (player as usize) < 32 * self.words_per_row)
    }
}

impl From<&Locality> for Dependence {
    /// At most one player for each pixel.
    fn from(locality: &Locality) -> Self {
        let mut starts = Vec::with_capacity(locality.players.len() + 1);
        let mut players = Vec::with_capacity(locality.players.len());
        starts.push(0);
        for &player in locality.players.iter() {
            players.extend(Some(player).filter(|&player| player != u32::MAX));
            starts.push(players.len() as u32);
        }
        Dependence {
            starts: starts.into(),
            players: players.into(),
            masks: locality.masks.clone(),
            words_per_row: locality.words_per_row,
        }
    }
}
