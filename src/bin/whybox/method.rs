//! How a table or a text is explained: the method, its budget, its link.

use clap::{Args, ValueEnum};
use whybox::explain::{
    Budget, Estimator, ExactShapley, Explanation, Hierarchy, InteractionIndex, KernelShap, Labels, Link,
    OwenValues, PermutationShap, ShapleySampling, Terms,
};
use whybox::{Error, Result};

/// Coalitions of a row at most, where no budget is given and rows are few.
const CAP: usize = 50_000;
/// Coalitions of all rows, and of a row besides its players, where rows are many; the latter is shap's own number.
const CAP_OF_ALL: usize = 500_000;
const LEAST_CAP: usize = 2048;
/// All coalitions of all rows are evaluated up to this many.
const EXACT: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Shapley values: exact for few players, else Kernel SHAP
    Shap,
    /// A weighted linear surrogate
    Lime,
    /// Shapley values from all coalitions
    Exact,
    /// Shapley values from orders of joining, each walked in both directions
    Permutation,
    /// Shapley values from independent orders
    Sampling,
    /// Owen values over a hierarchy of players
    Partition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LinkChoice {
    Identity,
    Logit,
}

/// What the Shapley methods are asked for.
#[derive(Debug, Clone, Args)]
pub struct ShapleyArgs {
    /// What adds up: the mean answer, or its log-odds
    #[arg(long, value_enum, default_value = "identity", hide_short_help = true)]
    pub link: LinkChoice,
    /// Stop when the largest standard error is this part of the values' range [default: 0.01, without --samples]
    #[arg(long, value_name = "T")]
    pub tolerance: Option<f64>,
    /// Stop after S seconds (then a clock decides the result)
    #[arg(long, value_name = "S", hide_short_help = true)]
    pub seconds: Option<f64>,
    /// Effects of pairs too (shap, exact)
    #[arg(long)]
    pub interactions: bool,
}

impl ShapleyArgs {
    pub fn link(&self) -> Link {
        match self.link {
            LinkChoice::Identity => Link::Identity,
            LinkChoice::Logit => Link::Logit,
        }
    }

    /// Refuses what the method cannot do.
    pub fn check(&self, method: Method) -> Result<()> {
        let refuse = |what: &str, at: &str, remedy: &str| Err(Error::parameter(what, at, remedy));
        let shapley = self.link == LinkChoice::Logit || self.tolerance.is_some() || self.seconds.is_some();
        if method == Method::Lime && shapley {
            return refuse(
                "LIME has neither a link nor a tolerance",
                "--method lime",
                "say --explain logits for log-odds, and --samples for the evaluations",
            );
        }
        if self.interactions && !matches!(method, Method::Shap | Method::Exact) {
            return refuse(
                "this method gives no interactions",
                "--interactions",
                "choose --method shap or exact",
            );
        }
        Ok(())
    }

    /// The estimator of a game with `players` players, for `rows` instances. `dear`: an evaluation costs more than a model of the game.
    pub fn estimator(
        &self,
        method: Method,
        request: &Request,
        labels: Labels,
        hierarchy: &dyn Fn() -> Result<Hierarchy>,
    ) -> Result<Box<dyn Estimator>> {
        let Request { players, rows, samples, seed, dear } = *request;
        let all = 1usize.checked_shl(players as u32).unwrap_or(usize::MAX);
        let cap = samples.unwrap_or_else(|| CAP.min((CAP_OF_ALL / rows.max(1)).max(LEAST_CAP + 2 * players)));
        let limited = samples.is_some() || self.tolerance.is_some() || self.seconds.is_some();
        let tolerance = match (self.tolerance, samples) {
            (None, None) if self.seconds.is_none() => Some(0.01),
            (tolerance, _) => tolerance,
        };
        let budget = Budget { evaluations: cap, tolerance, seconds: self.seconds };
        let few = !limited && all <= CAP && all.saturating_mul(rows) <= EXACT;
        let interactions = self.interactions.then_some(InteractionIndex::Shapley);
        let exact = ExactShapley {
            evaluations: samples.unwrap_or(ExactShapley::default().evaluations),
            interactions,
            labels: labels.clone(),
        };
        Ok(match method {
            Method::Exact => Box::new(exact),
            Method::Shap if few => Box::new(exact),
            Method::Shap => Box::new(KernelShap {
                budget,
                terms: if dear { Terms::Triples } else { Terms::Single },
                interactions: self.interactions,
                labels,
                seed,
                ..KernelShap::default()
            }),
            Method::Permutation => Box::new(PermutationShap { budget, labels, seed }),
            Method::Sampling => Box::new(ShapleySampling { budget, labels, seed }),
            Method::Partition => Box::new(OwenValues { hierarchy: Some(hierarchy()?), budget, labels }),
            Method::Lime => {
                return Err(Error::parameter("LIME is no Shapley method", "--method lime", "choose another"));
            }
        })
    }

    /// The same without another limit than a number of evaluations.
    pub fn checked(&self) -> Self {
        ShapleyArgs { tolerance: None, seconds: None, interactions: false, ..self.clone() }
    }

    /// Settings as name and value; exact values have no tolerance.
    pub fn settings(&self, samples: Option<usize>, exact: bool) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        if let Some(samples) = samples {
            set("samples", samples.to_string());
        }
        match self.tolerance {
            Some(tolerance) => set("tolerance", tolerance.to_string()),
            None if samples.is_none() && self.seconds.is_none() && !exact => set("tolerance", "0.01".into()),
            None => {}
        }
        if let Some(seconds) = self.seconds {
            set("seconds", seconds.to_string());
        }
        settings
    }

    /// Words of the command that repeats the run.
    pub fn words(&self, words: &mut Vec<String>) {
        if self.link == LinkChoice::Logit {
            words.push("--link logit".into());
        }
        for (name, limit) in [("tolerance", self.tolerance), ("seconds", self.seconds)] {
            words.extend(limit.map(|limit| format!("--{name} {limit}")));
        }
        if self.interactions {
            words.push("--interactions".into());
        }
    }

    /// What the reader must know of the error that is left.
    pub fn left(&self, explanations: &[Explanation]) -> Option<String> {
        let errors = explanations.iter().map(Explanation::relative_error);
        let worst = errors.reduce(|a, b| Some(a?.max(b?))).flatten()?;
        let wanted = self.tolerance.unwrap_or(0.01);
        (worst > wanted).then(|| {
            format!(
                "The largest standard error is {:.1} % of the range of the values: more --samples lower it.",
                100.0 * worst
            )
        })
    }
}

/// What decides the estimator besides its options.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub players: usize,
    pub rows: usize,
    pub samples: Option<usize>,
    pub seed: u64,
    /// Whether an evaluation costs more than a third-order model of the game.
    pub dear: bool,
}
