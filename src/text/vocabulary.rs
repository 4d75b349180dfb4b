//! A vocabulary: which number each token has. `docs/tables.md` describes the file.

use std::collections::HashMap;
use std::path::Path;

use super::Tokenizer;
use super::indexed::{IndexedText, Occurrences};
use crate::{Error, Result};

/// Names of the line that unknown tokens get, and of the one that fills up.
const UNKNOWN: [&str; 4] = ["[UNK]", "<unk>", "<UNK>", "UNK"];
const PADDING: [&str; 4] = ["[PAD]", "<pad>", "<PAD>", "PAD"];

/// What a network reads of a text.
///
/// # Example
/// ```
/// use whybox::text::{TextInput, Tokenizer, Vocabulary};
///
/// let vocabulary = Vocabulary::parse("[PAD]\n[UNK]\nso\ngood\n", "words.txt", Tokenizer::Words)?;
/// let row = |input| vocabulary.row("so so good", input);
/// assert_eq!(row(TextInput::Counts), [0.0, 0.0, 2.0, 1.0]);
/// assert_eq!(row(TextInput::Binary), [0.0, 0.0, 1.0, 1.0]);
/// assert_eq!(row(TextInput::Ids(4)), [2.0, 2.0, 3.0, 0.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextInput {
    /// How often each token of the vocabulary occurs.
    Counts,
    /// Whether it occurs: 0 or 1.
    Binary,
    /// The tokens' numbers in order, cut off or filled up to this length.
    Ids(usize),
}

/// Tokens by number: the first line of the file is 0.
///
/// # Example
/// ```
/// use whybox::text::{TextInput, Tokenizer, Vocabulary};
///
/// let vocabulary = Vocabulary::parse("[PAD]\n[UNK]\ngood\nfilm\n", "words.txt", Tokenizer::Words)?;
/// assert_eq!(vocabulary.row("Good good!", TextInput::Counts), [0.0, 0.0, 2.0, 0.0]);
/// assert_eq!(vocabulary.row("a good film", TextInput::Ids(5)), [1.0, 2.0, 3.0, 0.0, 0.0]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    numbers: HashMap<String, usize>,
    len: usize,
    unknown: Option<usize>,
    padding: usize,
    tokenizer: Tokenizer,
    /// No token has a capital letter, so texts lose theirs.
    lowercase: bool,
}

impl Vocabulary {
    /// Reads a vocabulary file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; else as [`Vocabulary::parse`].
    pub fn read(path: impl AsRef<Path>, tokenizer: Tokenizer) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::io(
                format!("the vocabulary cannot be read: {error}"),
                &at,
                "give a UTF-8 file, one token a line",
            )
        })?;
        Self::parse(&text, &at, tokenizer)
    }

    /// Reads the text of a vocabulary: one token a line.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an empty vocabulary, an empty line, or a token that comes twice.
    pub fn parse(text: &str, name: &str, tokenizer: Tokenizer) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut numbers = HashMap::new();
        let mut lowercase = true;
        for (number, line) in text.trim_end().lines().enumerate() {
            let token = line.trim();
            let what = match numbers.insert(token.to_owned(), number) {
                _ if token.is_empty() => "the line is empty".to_owned(),
                Some(first) => format!("{token:?} is on line {} already", first + 1),
                None => {
                    let special = UNKNOWN.contains(&token) || PADDING.contains(&token);
                    lowercase &= special || !token.chars().any(char::is_uppercase);
                    continue;
                }
            };
            return Err(Error::parameter(
                what,
                format!("{name}, line {}", number + 1),
                "give one token a line",
            ));
        }
        if numbers.is_empty() {
            return Err(Error::parameter("the vocabulary is empty", name, "give one token a line"));
        }
        let find = |names: [&str; 4]| names.iter().find_map(|name| numbers.get(*name).copied());
        Ok(Vocabulary {
            unknown: find(UNKNOWN),
            padding: find(PADDING).unwrap_or(0),
            len: numbers.len(),
            numbers,
            tokenizer,
            lowercase,
        })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a vocabulary has tokens.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of a token as it stands in a text; that of unknown ones if it has none of its own, `None` if they have none.
    pub fn number(&self, token: &str) -> Option<usize> {
        let own = match self.numbers.get(token) {
            None if self.lowercase => self.numbers.get(&token.to_lowercase()),
            own => own,
        };
        own.copied().or(self.unknown)
    }

    /// What fills up.
    pub fn padding(&self) -> usize {
        self.padding
    }

    /// A text as the network reads it: `[len]` numbers, for [`TextInput::Ids`] as many as asked for. Unknown tokens are those of
    /// the line `[UNK]` (or `<unk>`), and left out if there is none; `[PAD]` (or `<pad>`, or line 0) fills up.
    pub fn row(&self, text: &str, input: TextInput) -> Vec<f32> {
        let lower = if self.lowercase { text.to_lowercase() } else { text.to_owned() };
        // A text without tokens is a row of nothing.
        let indexed = IndexedText::new(&lower, self.tokenizer, Occurrences::Apart);
        let tokens = indexed.as_ref().map_or(&[][..], IndexedText::tokens);
        let numbers = tokens.iter().filter_map(|token| self.numbers.get(token).copied().or(self.unknown));
        match input {
            TextInput::Ids(length) => {
                let mut ids: Vec<f32> = numbers.take(length).map(|number| number as f32).collect();
                ids.resize(length, self.padding as f32);
                ids
            }
            TextInput::Counts | TextInput::Binary => {
                let mut row = vec![0.0; self.len];
                for number in numbers {
                    row[number] = if input == TextInput::Binary { 1.0 } else { row[number] + 1.0 };
                }
                row
            }
        }
    }
}
