//! Metrics of explanations: is an attribution faithful, stable, concise, in the right place?
//!
//! Every metric that asks the black box again does so through the [`Game`] that was explained,
//! so that all coalitions of a metric are one batch on the resident network. What the peers call pixels or features are
//! players here; where each player is one input feature the numbers are those of the peers.
//!
//! | metric | good is | asks again | source |
//! |---|---|---|---|
//! | [`deletion`] | low | yes | Petsiuk, Das and Saenko, *RISE*, BMVC 2018 |
//! | [`insertion`] | high | yes | the same |
//! | [`faithfulness_correlation`] | high | yes | Bhatt, Weller and Moura, IJCAI 2020 |
//! | [`infidelity`] | low | yes | Yeh et al., NeurIPS 2019 |
//! | [`sensitivity_max`] | low | explains again | the same |
//! | [`sparseness`] | high | no | Chalasani et al., ICML 2020 (Gini index) |
//! | [`complexity`] | low | no | Bhatt, Weller and Moura, IJCAI 2020 (entropy) |
//! | [`pointing_game`], [`relevance_mass`], [`relevance_rank`] | high | no | Zhang et al., ECCV 2016; Arras et al., 2022 |
//! | [`randomised`] with [`rank_correlation`] | near 0 | explains again | Adebayo et al., NeurIPS 2018 |
//!
//! A [`Comparison`] judges several methods by several metrics; [`Scores`] hold its means and standard errors over instances.

mod candidate;
mod comparison;
mod concentration;
mod curve;
mod faithfulness;
mod localisation;
mod metric;
mod sanity;
mod scores;
mod sensitivity;
mod statistics;

pub use candidate::{Candidate, Estimated, RandomExplanation, View, Which};
pub use comparison::{Case, Comparison, Judgement};
pub use concentration::{complexity, sparseness};
pub use curve::{Curve, deletion, insertion};
pub use faithfulness::{Faithfulness, faithfulness_correlation, infidelity};
pub use localisation::{Object, pointing_game, relevance_mass, relevance_rank};
pub use metric::{Better, Metric};
pub use sanity::randomised;
pub use scores::{Judged, Scores, Summary};
pub use sensitivity::{Sensitivity, sensitivity_max};
pub use statistics::{correlation, rank_correlation};

use ndarray::Array1;

use crate::explain::Game;
use crate::perturb::Coalitions;
use crate::{Error, Result};

/// One output of a game for the given coalitions.
fn ask(game: &dyn Game, coalitions: &Coalitions, output: usize) -> Result<Array1<f64>> {
    if output >= game.outputs() {
        return Err(Error::parameter(
            format!("there is no output {output}"),
            "output",
            format!("the game has the outputs 0 to {}", game.outputs().saturating_sub(1)),
        ));
    }
    Ok(game.values(coalitions)?.column(output).to_owned())
}

/// Checks that there is one finite attribution for each player.
fn check(values: &[f64], players: usize) -> Result<()> {
    if values.len() != players || values.is_empty() {
        return Err(Error::parameter(
            format!("{} attributions for {players} players", values.len()),
            "attributions",
            "give one number for each player",
        ));
    }
    finite(values)
}

/// Checks that all attributions are numbers.
fn finite(values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::numeric(
            format!("an attribution is {}", values[at]),
            format!("player {at}"),
            "explain again: a metric of such numbers would mean nothing",
        )),
    }
}
