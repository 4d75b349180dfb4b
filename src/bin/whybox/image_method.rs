//! The methods of `whybox image`.

use clap::{Args, ValueEnum};
use whybox::explain::{
    Budget, Control, Estimator, ExactShapley, Explanation, ImageGame, KernelShap, Labels, Lime, Link,
    OwenValues, PermutationShap, ShapleySampling,
};
use whybox::perturb::Sampling;
use whybox::{Error, Result};

use crate::lime::{DistanceChoice, SelectionChoice, at_least_one, at_least_two};
use crate::method::MANY;
use crate::precision::checked;

/// Players that exact values take unless more evaluations are allowed.
const EXACT_PLAYERS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// A weighted linear surrogate around the photo
    Lime,
    /// Kernel SHAP
    Shap,
    /// Permutation SHAP
    Permutation,
    /// Owen values over a tree of neighbouring segments
    Partition,
    /// Shapley sampling
    Sampling,
    /// Shapley values from all coalitions, for up to 20 segments
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LinkChoice {
    /// As the network answers
    Identity,
    /// Log-odds of probabilities
    Logit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SamplingChoice {
    Independent,
    Paired,
    Orthogonal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ControlChoice {
    None,
    Logistic,
    GaussianProcess,
}

impl ControlChoice {
    /// As the option takes it.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The method, what it may cost, and LIME's settings.
#[derive(Debug, Clone, Args)]
pub struct MethodArgs {
    /// The method
    #[arg(
        long,
        value_enum,
        default_value = "lime",
        hide_possible_values = true,
        help = "lime, or Shapley values by \
        shap (Kernel SHAP), permutation, sampling, exact (up to 20 segments); partition: Owen values"
    )]
    pub method: Method,
    /// Evaluations of the network: LIME 1000, other methods at most 50000
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    samples: Option<usize>,
    /// Stop when the largest standard error is this part of the effects' range [default: 0.01, not for LIME]
    #[arg(long, value_name = "PART")]
    tolerance: Option<f64>,
    /// Stop after this many seconds (not for LIME)
    #[arg(long, value_name = "S", hide_short_help = true)]
    seconds: Option<f64>,
    /// Scale on which the outputs are explained
    #[arg(
        long,
        value_enum,
        default_value = "identity",
        hide_possible_values = true,
        hide_short_help = true,
        help = "Scale of the explained outputs: identity, or logit (log-odds of probabilities)"
    )]
    pub link: LinkChoice,
    /// Repeat LIME over N seeds and tell how far the runs agree
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    pub stability: Option<usize>,
    /// Distance of a masked picture from the photo
    #[arg(long, value_enum, default_value = "cosine", help_heading = "LIME", hide_short_help = true)]
    distance: DistanceChoice,
    /// Width of LIME's kernel
    #[arg(
        long,
        value_name = "WIDTH",
        default_value_t = 0.25,
        allow_negative_numbers = true,
        help_heading = "LIME",
        hide_short_help = true
    )]
    kernel_width: f64,
    /// How features are selected
    #[arg(long, value_enum, default_value = "auto", help_heading = "LIME", hide_short_help = true)]
    selection: SelectionChoice,
    /// Segments in the surrogate at most
    #[arg(long, value_name = "K", default_value_t = 100_000, value_parser = at_least_one, help_heading = "LIME", hide_short_help = true)]
    features: usize,
    /// Penalty of the ridge regression
    #[arg(
        long,
        value_name = "ALPHA",
        default_value_t = 1.0,
        allow_negative_numbers = true,
        help_heading = "LIME",
        hide_short_help = true
    )]
    alpha: f64,
    /// How masks are drawn (independent is what lime does; orthogonal scatters least with --control none)
    #[arg(long, value_enum, default_value = "paired", help_heading = "LIME", hide_short_help = true)]
    sampling: SamplingChoice,
    /// Model of the network that takes scatter out of the effects (none is what lime does)
    #[arg(
        long,
        value_enum,
        default_value = "gaussian-process",
        help_heading = "LIME",
        hide_short_help = true
    )]
    control: ControlChoice,
    /// Seed of all random draws
    #[arg(long, value_name = "S", default_value_t = 0, hide_short_help = true)]
    pub seed: u64,
}

impl MethodArgs {
    /// Refuses options that the method has not.
    pub fn check(&self) -> Result<()> {
        let lime = self.method == Method::Lime;
        let senseless = |option: &str, help: &str| {
            let method = format!("{:?}", self.method).to_lowercase();
            Err(Error::parameter(format!("the method {method} has no {option}"), format!("--{option}"), help))
        };
        let rounds = matches!(self.method, Method::Shap | Method::Permutation | Method::Sampling);
        if self.tolerance.is_some() && !rounds {
            return senseless("tolerance", "leave it out, or choose --method shap, permutation or sampling");
        }
        if self.seconds.is_some() && (lime || self.method == Method::Exact) {
            return senseless("seconds", "give --samples instead, or choose another method");
        }
        if self.stability.is_some() && !lime {
            return senseless(
                "stability",
                "its standard errors say how far to trust it: leave --stability out",
            );
        }
        Ok(())
    }

    /// Evaluations at most for a photo, as far as they are known before it is segmented.
    pub fn most_evaluations(&self) -> usize {
        match self.method {
            Method::Lime => self.lime_samples(),
            Method::Exact => self.exact_evaluations(),
            _ => self.budget().evaluations,
        }
    }

    fn lime_samples(&self) -> usize {
        self.samples.unwrap_or(1000)
    }

    fn exact_evaluations(&self) -> usize {
        self.samples.unwrap_or(1 << EXACT_PLAYERS)
    }

    fn budget(&self) -> Budget {
        let usual = Budget::default();
        let limited = self.samples.is_some() || self.seconds.is_some();
        Budget {
            evaluations: self.samples.unwrap_or(if self.seconds.is_some() {
                MANY
            } else {
                usual.evaluations
            }),
            tolerance: self.tolerance.or(usual.tolerance.filter(|_| !limited)),
            seconds: self.seconds,
        }
    }

    /// How outputs are scaled before they are explained.
    pub fn link(&self) -> Link {
        match self.link {
            LinkChoice::Identity => Link::Identity,
            LinkChoice::Logit => Link::Logit,
        }
    }

    /// LIME with these settings.
    pub fn lime(&self, labels: Labels) -> Lime {
        Lime {
            samples: self.lime_samples(),
            distance: self.distance.into(),
            kernel_width: self.kernel_width,
            selection: self.selection.into(),
            num_features: self.features,
            alpha: self.alpha,
            sampling: match self.sampling {
                SamplingChoice::Independent => Sampling::Independent,
                SamplingChoice::Paired => Sampling::Paired,
                SamplingChoice::Orthogonal => Sampling::Orthogonal,
            },
            control: match self.control {
                ControlChoice::None => Control::None,
                ControlChoice::Logistic => Control::Logistic,
                ControlChoice::GaussianProcess => Control::GaussianProcess,
            },
            labels,
            seed: self.seed,
            ..Lime::default()
        }
    }

    /// The method for a game.
    pub fn estimator(&self, game: &ImageGame<'_>, labels: Labels) -> Result<Box<dyn Estimator>> {
        let (budget, seed) = (self.budget(), self.seed);
        Ok(match self.method {
            Method::Lime => Box::new(self.lime(labels)),
            Method::Shap => Box::new(KernelShap { budget, labels, seed, ..KernelShap::default() }),
            Method::Permutation => Box::new(PermutationShap { budget, labels, seed }),
            Method::Sampling => Box::new(ShapleySampling { budget, labels, seed }),
            Method::Partition => Box::new(OwenValues { hierarchy: Some(game.hierarchy()?), budget, labels }),
            Method::Exact => {
                let (segments, evaluations) =
                    (whybox::explain::Game::players(game), self.exact_evaluations());
                if segments >= 31 || 1 << segments > evaluations {
                    return Err(Error::limits(
                        format!(
                            "{segments} segments have 2^{segments} coalitions, more than {evaluations} evaluations"
                        ),
                        "--method exact",
                        "cut the photo into fewer segments, for example --segments grid:rows=3,cols=4, or choose --method shap",
                    ));
                }
                Box::new(ExactShapley { evaluations, interactions: None, labels })
            }
        })
    }

    /// The same with as many evaluations as a check of the precision takes; all coalitions stay all.
    pub fn checked(&self, players: usize) -> Self {
        let samples = match self.method {
            Method::Exact => self.samples,
            Method::Lime => Some(checked(players, Some(self.lime_samples()))),
            _ => Some(checked(players, self.samples)),
        };
        MethodArgs { samples, tolerance: None, seconds: None, ..self.clone() }
    }

    /// What the budget did not reach, as a warning.
    pub fn shortfall(&self, explanation: &Explanation) -> Option<String> {
        let evaluations = explanation.evaluations;
        if self.method == Method::Partition && !explanation.exact {
            return Some(format!(
                "The {evaluations} evaluations ended before every group of segments was split: segments of one group share its effect equally. Allow more with --samples."
            ));
        }
        let tolerance = self.budget().tolerance.filter(|_| self.method != Method::Lime)?;
        let error = explanation.relative_error().filter(|&error| error > tolerance)?;
        Some(format!(
            "The tolerance of {tolerance} was not met within {evaluations} evaluations: a standard error of {error:.3} of the effects’ range is left. Allow more with --samples."
        ))
    }

    /// Settings as name and value.
    pub fn settings(&self) -> Vec<(String, String)> {
        let lower = |value: String| value.to_lowercase();
        let mut settings = vec![("link", lower(format!("{:?}", self.link)))];
        if self.method == Method::Lime {
            settings.extend([
                ("samples", self.lime_samples().to_string()),
                ("sampling", lower(format!("{:?}", self.sampling))),
                ("control", self.control.name()),
                ("distance", lower(format!("{:?}", self.distance))),
                ("kernel width", self.kernel_width.to_string()),
                ("selection", lower(format!("{:?}", self.selection))),
                ("features", self.features.to_string()),
                ("alpha", self.alpha.to_string()),
                ("stability runs", self.stability.map_or("none".into(), |runs| runs.to_string())),
            ]);
        } else {
            settings.push(("samples at most", self.most_evaluations().to_string()));
            let limit = |limit: Option<f64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
            if self.method != Method::Exact {
                settings.push(("seconds at most", limit(self.budget().seconds)));
            }
            if !matches!(self.method, Method::Exact | Method::Partition) {
                settings.push(("tolerance", limit(self.budget().tolerance)));
            }
            match self.method {
                Method::Shap => {
                    settings.extend([("sampling", "leverage".into()), ("terms", "triples".into())])
                }
                Method::Partition => settings.push(("hierarchy", "neighbouring segments".into())),
                _ => {}
            }
        }
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Words of the command that repeats the run.
    pub fn words(&self, words: &mut Vec<String>) {
        let lower = |value: String| value.to_lowercase();
        let mut option = |name: &str, value: String| words.push(format!("--{name} {value}"));
        if self.method == Method::Lime {
            option("samples", self.lime_samples().to_string());
        } else {
            option("method", lower(format!("{:?}", self.method)));
            if let Some(samples) = self.samples {
                option("samples", samples.to_string());
            }
        }
        if let Some(tolerance) = self.tolerance {
            option("tolerance", tolerance.to_string());
        }
        if let Some(seconds) = self.seconds {
            option("seconds", seconds.to_string());
        }
        if self.link != LinkChoice::Identity {
            option("link", "logit".into());
        }
        if let Some(runs) = self.stability {
            option("stability", runs.to_string());
        }
        if self.distance != DistanceChoice::Cosine {
            option("distance", lower(format!("{:?}", self.distance)));
        }
        if self.kernel_width != 0.25 {
            option("kernel-width", self.kernel_width.to_string());
        }
        if self.selection != SelectionChoice::Auto {
            option("selection", lower(format!("{:?}", self.selection)));
        }
        if self.features != 100_000 {
            option("features", self.features.to_string());
        }
        if self.alpha != 1.0 {
            option("alpha", self.alpha.to_string());
        }
        if self.control != ControlChoice::GaussianProcess {
            option("control", self.control.name());
        }
        if self.sampling != SamplingChoice::Paired {
            option("sampling", lower(format!("{:?}", self.sampling)));
        }
        option("seed", self.seed.to_string());
    }
}
