//! Explanations: a method a file, over any [`Game`].

mod control;
mod explanation;
mod game;
mod image;
mod image_game;
mod lime;
mod lime_errors;
mod lime_tabular;
mod lime_text;
mod many;
mod pick;
mod precision;
mod shapley;
mod stability;
mod table_game;
mod token_game;

pub use control::Control;
pub use explanation::{Attribution, Explanation, Progress};
pub use game::{FunctionGame, Game, ParallelGame};
pub use image::{ImageExplainer, ImageExplanation, MaskResolution};
pub use image_game::ImageGame;
pub use lime::{Labels, Lime};
pub use lime_tabular::{LimeTabular, RowFunction};
pub use lime_text::{TextFunction, TextGame};
pub use many::{EachBlock, ExplainMany, ManyProgress};
pub use pick::submodular_pick;
pub use precision::relative_distance;
pub use shapley::{
    Budget, CoalitionValues, Estimator, ExactShapley, Forecast, Hierarchy, InteractionErrors,
    InteractionIndex, Interactions, KernelShap, Link, Linkage, Linked, OwenValues, PermutationShap,
    ShapleySampling, Terms,
};
pub use stability::Stability;
pub use table_game::TableGame;
pub use token_game::TokenGame;
