//! The methods that `whybox evaluate` compares, all with the same budget.

use clap::ValueEnum;
use whybox::evaluate::{Candidate, Estimated, RandomExplanation};
use whybox::explain::{
    Budget, Estimator, ExactShapley, Hierarchy, KernelShap, Labels, Lime, OwenValues, PermutationShap,
    ShapleySampling,
};
use whybox::{Error, Result};

/// Players that exact values take.
const EXACT_PLAYERS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    Lime,
    Shap,
    Permutation,
    Sampling,
    Partition,
    Exact,
    Random,
}

impl Method {
    /// The name on the command line.
    pub fn name(self) -> String {
        // None of these values is skipped.
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }

    /// The method for a game of `players` players: the input with number `input`. `hierarchy` is that of its players.
    pub fn candidate(
        self,
        (players, input): (usize, usize),
        (samples, seed): (usize, u64),
        hierarchy: &dyn Fn() -> Result<Hierarchy>,
    ) -> Result<Box<dyn Candidate>> {
        let (budget, labels) = (Budget::of(samples), Labels::All);
        let estimator: Box<dyn Estimator> = match self {
            Method::Lime => Box::new(Lime { samples, labels, seed, ..Lime::default() }),
            Method::Shap => Box::new(KernelShap { budget, labels, seed, ..KernelShap::default() }),
            Method::Permutation => Box::new(PermutationShap { budget, labels, seed }),
            Method::Sampling => Box::new(ShapleySampling { budget, labels, seed }),
            Method::Partition => Box::new(OwenValues { hierarchy: Some(hierarchy()?), budget, labels }),
            Method::Exact if players > EXACT_PLAYERS => {
                return Err(Error::limits(
                    format!("exact values of {players} players take 2^{players} evaluations"),
                    "--methods exact",
                    format!("at most {EXACT_PLAYERS} players: cut coarser segments, or leave exact out"),
                ));
            }
            Method::Exact => {
                Box::new(ExactShapley { evaluations: 1 << EXACT_PLAYERS, interactions: None, labels })
            }
            // Inputs are fewer than 2³²; if not, controls repeat.
            Method::Random => return Ok(Box::new(RandomExplanation::new(seed, input as u32))),
        };
        Ok(Box::new(Estimated { name: self.name(), estimator }))
    }
}
