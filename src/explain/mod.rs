//! Explanations: a method a file, over any [`Game`].

mod explanation;
mod game;
mod image;
mod lime;
mod shapley;

pub use explanation::{Attribution, Explanation, Progress};
pub use game::{FunctionGame, Game};
pub use image::{ImageExplainer, ImageExplanation, MaskResolution};
pub use lime::{Labels, Lime};
pub use shapley::{
    Budget, CoalitionValues, Estimator, ExactShapley, Forecast, Hierarchy, InteractionIndex, Interactions,
    KernelShap, Link, Linkage, Linked, OwenValues, PermutationShap, ShapleySampling, Terms,
};
