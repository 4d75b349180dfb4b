//! Texts: their tokens as players, and how a vocabulary makes a network's numbers of them.

mod indexed;
mod vocabulary;

pub use indexed::{Hide, IndexedText, Occurrences, Tokenizer};
pub use vocabulary::{TextInput, Vocabulary};
