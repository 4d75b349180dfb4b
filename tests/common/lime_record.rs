//! What recordings of lime's fits look like.

use serde::Deserialize;
use whybox::solve::{Selection, SurrogateOptions};

/// Fits with one way of selecting features, an answer for each label.
#[derive(Deserialize)]
pub struct Fit {
    pub selection: String,
    pub num_features: usize,
    pub answers: Vec<Answer>,
}

#[derive(Deserialize)]
pub struct Answer {
    pub label: usize,
    pub intercept: f64,
    pub features: Vec<usize>,
    pub coefficients: Vec<f64>,
    pub score: f64,
    pub local_prediction: f64,
    /// What a table's features have to be, if that was recorded.
    #[serde(default)]
    pub conditions: Vec<String>,
}

impl Fit {
    pub fn options(&self) -> SurrogateOptions {
        let selection = selection(&self.selection);
        SurrogateOptions { selection, num_features: self.num_features, ..SurrogateOptions::default() }
    }
}

pub fn selection(name: &str) -> Selection {
    match name {
        "auto" => Selection::Auto,
        "none" => Selection::None,
        "lasso_path" => Selection::LassoPath,
        "forward_selection" => Selection::Forward,
        "highest_weights" => Selection::HighestWeights,
        other => panic!("{other}"),
    }
}

/// The largest difference, over the largest number.
pub fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(1e-300, |max: f64, x| max.max(x.abs()));
    ours.iter().zip(theirs).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs())) / largest
}
