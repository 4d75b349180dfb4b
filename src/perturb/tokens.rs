//! Texts as rows of token ids, whose absent tokens are masked or removed.

use std::ops::Range;
use std::sync::Arc;

use super::{Coalitions, Data, Expander, Perturbation, Program};
use crate::plan::InputLayout;
use crate::{Error, Result};

/// What stands in for an absent token. Ids are below 2²⁴, so that a network's f32 input holds them exactly.
///
/// # Example
/// ```
/// use whybox::perturb::Absent;
///
/// // BERT's [MASK], or the end filled up with 0.
/// let (masked, removed) = (Absent::Masked(103), Absent::Removed { pad: 0 });
/// assert_ne!(masked, removed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// This id, in its place (for example `[MASK]`, or 0).
    Masked(u32),
    /// Nothing: later tokens move to the left, and this id fills the end.
    Removed {
        /// The padding's id.
        pad: u32,
    },
}

/// A text with some of its tokens kept: for networks whose input is `[L]` token ids, as numbers.
///
/// A player is one position or several (all positions of a word, for LIME's bag of words). A network over counts of words
/// needs none of this: a [`Background`](super::Background) of one row of zeros keeps a present word's count.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use whybox::perturb::{Absent, Coalitions, Tokens};
/// use whybox::{Device, model::Model};
///
/// // "the cat the" as players "the" and "cat", without "the".
/// let coalitions = Arc::new(Coalitions::from_words(2, vec![0b10])?);
/// let rows = |absent| Tokens::new(&[7, 9, 7], &[0, 1, 0], absent, coalitions.clone());
/// let model = Model::builder("first", &[3]).linear(&[1.0, 0.0, 0.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let first = |absent| network.responses(&rows(absent)?, &Default::default());
/// assert_eq!(first(Absent::Masked(1))?[[0, 0]], 1.0);
/// assert_eq!(first(Absent::Removed { pad: 0 })?[[0, 0]], 9.0);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokens {
    ids: Arc<[f32]>,
    players: Arc<[u32]>,
    absent: Absent,
    coalitions: Arc<Coalitions>,
}

/// Ids from here on are not all exact as f32.
const MOST_ID: u32 = 1 << 24;

impl Tokens {
    /// The text `ids` with `players[i]` the player of position i; `u32::MAX` = always kept (padding, `[CLS]`).
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no token, there is not a player for each, a player is not among the
    /// coalitions', or an id is 2²⁴ or more.
    pub fn new(ids: &[u32], players: &[u32], absent: Absent, coalitions: Arc<Coalitions>) -> Result<Self> {
        let wrong = |what: String, at: &str, remedy: &str| Err(Error::parameter(what, at, remedy));
        if ids.is_empty() || ids.len() != players.len() {
            return wrong(
                format!("{} tokens with {} players", ids.len(), players.len()),
                "tokens",
                "give at least one token, and a player for each",
            );
        }
        let (Absent::Masked(fill) | Absent::Removed { pad: fill }) = absent;
        if let Some(id) = ids.iter().chain([&fill]).find(|&&id| id >= MOST_ID) {
            return wrong(format!("token id {id} is too large"), "tokens", "use ids below 2^24");
        }
        let count = coalitions.players();
        if let Some(player) = players.iter().find(|&&p| p != u32::MAX && p as usize >= count) {
            return wrong(
                format!("player {player} of a token is none of the {count} players"),
                "tokens",
                "make coalitions of the text's players",
            );
        }
        let ids = ids.iter().map(|&id| id as f32).collect();
        Ok(Tokens { ids, players: players.into(), absent, coalitions })
    }

    /// What stands for an absent token, or fills the end.
    fn fill(&self) -> f32 {
        let (Absent::Masked(fill) | Absent::Removed { pad: fill }) = self.absent;
        fill as f32
    }
}

impl Perturbation for Tokens {
    fn rows(&self) -> usize {
        self.coalitions.rows()
    }

    fn bind<'a>(&'a self, input: &InputLayout) -> Result<Box<dyn Expander + 'a>> {
        // One channel is stored in the same order whichever axis is last.
        let reordered = input.channels_last && input.channels_pixels().0 != 1;
        if input.len() != self.ids.len() || reordered {
            return Err(Error::parameter(
                format!("a text of {} tokens does not fit an input {:?}", self.ids.len(), input.shape),
                "tokens",
                "pad or cut the text to the network's length",
            ));
        }
        Ok(Box::new(Bound { tokens: self }))
    }
}

struct Bound<'a> {
    tokens: &'a Tokens,
}

impl Expander for Bound<'_> {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        let Tokens { ids, players, absent, coalitions } = self.tokens;
        for (row, out) in rows.zip(out.chunks_exact_mut(ids.len())) {
            let kept = |at: usize| players[at] == u32::MAX || coalitions.contains(row, players[at] as usize);
            out.fill(self.tokens.fill());
            match absent {
                Absent::Masked(_) => {
                    (0..ids.len()).filter(|&at| kept(at)).for_each(|at| out[at] = ids[at]);
                }
                Absent::Removed { .. } => {
                    let kept = (0..ids.len()).filter(|&at| kept(at));
                    out.iter_mut().zip(kept).for_each(|(out, at)| *out = ids[at]);
                }
            }
        }
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let Tokens { ids, players, absent, coalitions } = self.tokens;
        let words = coalitions.words_per_row();
        let masks = &coalitions.words()[rows.start * words..rows.end * words];
        let removed = matches!(absent, Absent::Removed { .. });
        Program {
            shader: "perturb/tokens",
            buffers: vec![
                Data::Fixed(bytemuck::cast_slice(ids).into()),
                Data::Fixed(bytemuck::cast_slice(players).into()),
                Data::Chunk(bytemuck::cast_slice(masks).to_vec()),
            ],
            params: [words as u32, u32::from(removed), self.tokens.fill().to_bits(), 0],
        }
    }
}
