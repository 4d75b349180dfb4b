//! Explanations: a method a file, over any [`Game`].

mod explanation;
mod game;
mod image;
mod lime;
mod table_game;

pub use explanation::{Attribution, Explanation, Progress};
pub use game::{FunctionGame, Game};
pub use image::{ImageExplainer, ImageExplanation, MaskResolution};
pub use lime::{Labels, Lime};
pub use table_game::TableGame;
