//! Explanations: a method a file, over any [`Game`].

mod explanation;
mod game;
mod image;
mod lime;
mod lime_tabular;
mod lime_text;

pub use explanation::{Attribution, Explanation, Progress};
pub use game::{FunctionGame, Game};
pub use image::{ImageExplainer, ImageExplanation, MaskResolution};
pub use lime::{Labels, Lime};
pub use lime_tabular::{LimeTabular, RowFunction};
pub use lime_text::{TextFunction, TextGame};
