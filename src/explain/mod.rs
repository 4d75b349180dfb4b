//! Explanations: a method a file, over any [`Game`].

mod control;
mod explanation;
mod game;
mod image;
mod lime;
mod pick;
mod stability;
mod table_game;

pub use control::Control;
pub use explanation::{Attribution, Explanation, Progress};
pub use game::{FunctionGame, Game};
pub use image::{ImageExplainer, ImageExplanation, MaskResolution};
pub use lime::{Labels, Lime};
pub use pick::submodular_pick;
pub use stability::Stability;
pub use table_game::TableGame;
