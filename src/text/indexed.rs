//! A text cut into tokens and what stands between them.

use std::collections::HashMap;

use crate::{Error, Result};

/// What a token is.
///
/// # Example
/// ```
/// use whybox::text::{IndexedText, Occurrences, Tokenizer};
///
/// let count = |tokenizer| IndexedText::new("It's me", tokenizer, Occurrences::Apart).map(|text| text.tokens().len());
/// assert_eq!(count(Tokenizer::Words)?, 3); // It, s, me
/// assert_eq!(count(Tokenizer::Whitespace)?, 2);
/// assert_eq!(count(Tokenizer::Characters)?, 7);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tokenizer {
    /// Runs of letters, digits and underscores, as `lime` cuts at `\W+`.
    #[default]
    Words,
    /// What white space separates.
    Whitespace,
    /// Every character.
    Characters,
}

/// Whether equal tokens are one player.
///
/// # Example
/// ```
/// use whybox::text::{IndexedText, Occurrences, Tokenizer};
///
/// let players = |occurrences| IndexedText::new("so so", Tokenizer::Words, occurrences).map(|text| text.tokens().len());
/// assert_eq!((players(Occurrences::Together)?, players(Occurrences::Apart)?), (1, 2));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occurrences {
    /// All occurrences of a token are one player: a bag of words.
    #[default]
    Together,
    /// Each position is a player.
    Apart,
}

/// What becomes of a hidden token.
///
/// # Example
/// ```
/// use whybox::text::{Hide, IndexedText, Occurrences, Tokenizer};
///
/// let text = IndexedText::new("a good film", Tokenizer::Words, Occurrences::Apart)?;
/// let without_good = |hide: Hide| text.hide(&hide, |token| token != 1);
/// assert_eq!(without_good(Hide::Remove), "a  film");
/// assert_eq!(without_good(Hide::Mask("[MASK]".into())), "a [MASK] film");
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hide {
    /// It is taken out; what stands around it stays.
    Remove,
    /// It is replaced by this text.
    Mask(String),
}

/// A text whose tokens can be hidden.
///
/// Source: `IndexedString` and `IndexedCharacters` of `lime_text.py`, `lime` 0.2.0.1.
///
/// # Example
/// ```
/// use whybox::text::{Hide, IndexedText, Occurrences, Tokenizer};
///
/// let text = IndexedText::new("good, very good", Tokenizer::Words, Occurrences::Together)?;
/// assert_eq!(text.tokens(), ["good", "very"]);
/// assert_eq!(text.hide(&Hide::Remove, |token| token == 1), ", very ");
/// assert_eq!(text.hide(&Hide::Mask("…".into()), |token| token == 0), "good, … good");
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedText {
    /// Tokens and separators in order.
    pieces: Vec<String>,
    /// The player that each piece belongs to; none for separators.
    owners: Vec<Option<usize>>,
    tokens: Vec<String>,
}

impl IndexedText {
    /// Cuts a text.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it holds no token.
    pub fn new(text: &str, tokenizer: Tokenizer, occurrences: Occurrences) -> Result<Self> {
        let inside = |c: char| match tokenizer {
            Tokenizer::Words => c.is_alphanumeric() || c == '_',
            Tokenizer::Whitespace => !c.is_whitespace(),
            Tokenizer::Characters => true,
        };
        let mut cut: Vec<(&str, bool)> = Vec::new();
        let mut start = 0;
        let places: Vec<(usize, char)> = text.char_indices().collect();
        for (i, &(_, c)) in places.iter().enumerate() {
            let end = places.get(i + 1).map_or(text.len(), |next| next.0);
            let ends = match places.get(i + 1) {
                None => true,
                Some(&(_, next)) => tokenizer == Tokenizer::Characters || inside(next) != inside(c),
            };
            if ends {
                cut.push((&text[start..end], inside(c)));
                start = end;
            }
        }
        Self::of(text, &cut, occurrences)
    }

    /// Cuts a text by a function of the user's, which gives its tokens in order; what stands between them separates them.
    /// `IndexedString(split_expression=callable)` of `lime`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no token, an empty one, or one that does not follow in the text.
    ///
    /// # Example
    /// ```
    /// use whybox::text::{IndexedText, Occurrences};
    ///
    /// let pairs = |text: &str| text.split(", ").map(str::to_owned).collect();
    /// let text = IndexedText::split_by("very good, not bad", pairs, Occurrences::Together)?;
    /// assert_eq!(text.tokens(), ["very good", "not bad"]);
    /// assert_eq!(text.pieces(), ["very good", ", ", "not bad"]);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn split_by(
        text: &str,
        split: impl FnOnce(&str) -> Vec<String>,
        occurrences: Occurrences,
    ) -> Result<Self> {
        let mut cut: Vec<(&str, bool)> = Vec::new();
        let mut rest = text;
        for token in split(text) {
            let place = if token.is_empty() { None } else { rest.find(&token) };
            let Some(place) = place else {
                return Err(Error::parameter(
                    format!("the token {token:?} does not follow in the text"),
                    format!("at {:?}", rest.chars().take(20).collect::<String>()),
                    "let the tokeniser give parts of the text, not empty, in their order",
                ));
            };
            if place > 0 {
                cut.push((&rest[..place], false));
            }
            cut.push((&rest[place..place + token.len()], true));
            rest = &rest[place + token.len()..];
        }
        if !rest.is_empty() {
            cut.push((rest, false));
        }
        Self::of(text, &cut, occurrences)
    }

    /// Pieces of a text, each a token or what separates tokens.
    fn of(text: &str, cut: &[(&str, bool)], occurrences: Occurrences) -> Result<Self> {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut tokens = Vec::new();
        let owners: Vec<Option<usize>> = cut
            .iter()
            .map(|&(piece, token)| {
                if !token {
                    return None;
                }
                if occurrences == Occurrences::Together
                    && let Some(&owner) = known.get(piece)
                {
                    return Some(owner);
                }
                known.insert(piece, tokens.len());
                tokens.push(piece.to_owned());
                Some(tokens.len() - 1)
            })
            .collect();
        if tokens.is_empty() {
            return Err(Error::parameter(
                "the text has no words",
                format!("{text:?}"),
                "give a text with words",
            ));
        }
        Ok(IndexedText { pieces: cut.iter().map(|&(piece, _)| piece.to_owned()).collect(), owners, tokens })
    }

    /// The players' tokens, in the order of their first occurrence.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Tokens and separators in order; together they are the text.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// The player that each piece belongs to; none for separators.
    pub fn owners(&self) -> &[Option<usize>] {
        &self.owners
    }

    /// The places of a player's pieces.
    pub fn positions(&self, token: usize) -> Vec<usize> {
        (0..self.pieces.len()).filter(|&piece| self.owners[piece] == Some(token)).collect()
    }

    /// The text with just the tokens that are `present`.
    pub fn hide(&self, hide: &Hide, present: impl Fn(usize) -> bool) -> String {
        let mut text = String::new();
        for (piece, owner) in self.pieces.iter().zip(&self.owners) {
            match (owner, hide) {
                (Some(token), Hide::Mask(mask)) if !present(*token) => text.push_str(mask),
                (Some(token), Hide::Remove) if !present(*token) => {}
                _ => text.push_str(piece),
            }
        }
        text
    }
}
