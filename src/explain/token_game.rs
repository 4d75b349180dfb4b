//! Texts before networks that read token ids.

use std::sync::Arc;

use ndarray::Array2;

use super::Game;
use crate::device::RunOptions;
use crate::perturb::{Absent, Coalitions, Tokens};
use crate::text::{Hide, IndexedText, Vocabulary};
use crate::{Error, Network, Result};

/// A text with a network over the numbers of its tokens: hidden tokens are taken out or masked on the device
/// ([`Tokens`]), no text is put together.
///
/// # Example
/// ```
/// use whybox::explain::{Game, TokenGame};
/// use whybox::perturb::Coalitions;
/// use whybox::text::{Hide, IndexedText, Occurrences, Tokenizer, Vocabulary};
/// use whybox::{Device, model::Model};
///
/// let vocabulary = Vocabulary::parse("[PAD]\ngood\nbad\n", "words.txt", Tokenizer::Words)?;
/// let text = IndexedText::new("Good, not bad", Tokenizer::Words, Occurrences::Together)?;
/// let model = Model::builder("first", &[3]).linear(&[1.0, 0.0, 0.0], &[0.0], 1)?.build()?;
/// let network = Device::cpu().load(&model)?;
/// let game = TokenGame::new(&network, &text, &vocabulary, &Hide::Remove, Default::default())?;
/// // The numbers are 1, 2, 0; without "good" they are 2, 0, 0.
/// let values = game.values(&Coalitions::from_words(3, vec![0b111, 0b110])?)?;
/// assert_eq!(values.into_raw_vec_and_offset().0, [1.0, 2.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct TokenGame<'a> {
    network: &'a Network,
    ids: Vec<u32>,
    players: Vec<u32>,
    absent: Absent,
    count: usize,
    options: RunOptions,
}

impl<'a> TokenGame<'a> {
    /// The game of a text. Tokens that the vocabulary has no number for are left out, and vary nothing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a text of more tokens than the network reads, and for a mask that has no number.
    pub fn new(
        network: &'a Network,
        text: &IndexedText,
        vocabulary: &Vocabulary,
        hide: &Hide,
        options: RunOptions,
    ) -> Result<Self> {
        let length = network.input().len();
        let padding = vocabulary.padding() as u32;
        let absent = match hide {
            Hide::Remove => Absent::Removed { pad: padding },
            Hide::Mask(mask) => match vocabulary.number(mask) {
                Some(number) => Absent::Masked(number as u32),
                None => {
                    return Err(Error::parameter(
                        format!("the vocabulary has neither {mask:?} nor a line for unknown tokens"),
                        "--mask",
                        "name a token of the vocabulary, for example [MASK]",
                    ));
                }
            },
        };
        let known = text.pieces().iter().zip(text.owners()).filter_map(|(piece, owner)| {
            Some((vocabulary.number(piece)? as u32, u32::try_from((*owner)?).ok()?))
        });
        // A separator has no owner, and is never looked at.
        let (mut ids, mut players): (Vec<u32>, Vec<u32>) = known.unzip();
        if ids.len() > length {
            return Err(Error::parameter(
                format!("the text has {} tokens, the network reads {length}", ids.len()),
                "text",
                "give a shorter text",
            ));
        }
        ids.resize(length, padding);
        players.resize(length, u32::MAX);
        Ok(TokenGame { network, ids, players, absent, count: text.tokens().len(), options })
    }
}

impl Game for TokenGame<'_> {
    fn players(&self) -> usize {
        self.count
    }

    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    fn work(&self) -> f64 {
        self.network.plan().macs() as f64
    }

    fn varying(&self) -> Vec<bool> {
        (0..self.count as u32).map(|player| self.players.contains(&player)).collect()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let rows = Tokens::new(&self.ids, &self.players, self.absent, Arc::new(coalitions.clone()))?;
        Ok(self.network.responses(&rows, &self.options)?.mapv(f64::from))
    }
}
