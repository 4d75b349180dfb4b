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
/// Coalitions under `--seconds` at most, if no number is given: far more than any device does in the time.
pub const MANY: usize = 1 << 24;
/// Rows among which these are divided at most: so many may still be one block that shares its coalitions.
const TOGETHER: usize = 64;
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
    /// Stop after S seconds, for all rows together (then a clock decides the result)
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
        if self.tolerance.is_some() && !in_rounds(method) {
            return refuse(
                "this method has no tolerance: nothing in it is random",
                "--tolerance",
                "leave it out, or choose --method shap, permutation or sampling",
            );
        }
        if self.seconds.is_some() && method == Method::Exact {
            return refuse(
                "exact values need all coalitions, however long they take",
                "--seconds",
                "leave it out, or choose another method",
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

    /// The estimator of a game as `request` says.
    pub fn estimator(
        &self,
        method: Method,
        request: &Request,
        labels: Labels,
        hierarchy: &dyn Fn() -> Result<Hierarchy>,
    ) -> Result<Box<dyn Estimator>> {
        let Request { players, rows, samples, seed, .. } = *request;
        let all = 1usize.checked_shl(players as u32).unwrap_or(usize::MAX);
        let cap = match (samples, self.seconds) {
            (Some(samples), _) => samples,
            (None, Some(_)) => MANY / rows.clamp(1, TOGETHER),
            (None, None) => CAP.min((CAP_OF_ALL / rows.max(1)).max(LEAST_CAP + 2 * players)),
        };
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
                terms: request.terms(),
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

    /// Settings as name and value. `fitted`: what Kernel SHAP fitted, where it was the method that was taken.
    pub fn settings(
        &self,
        method: Method,
        samples: Option<usize>,
        fitted: Option<Terms>,
    ) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        if let Some(samples) = samples {
            set("samples", samples.to_string());
        }
        let rounds = in_rounds(method) && (method != Method::Shap || fitted.is_some());
        match self.tolerance {
            Some(tolerance) => set("tolerance", tolerance.to_string()),
            None if samples.is_none() && self.seconds.is_none() && rounds => set("tolerance", "0.01".into()),
            None => {}
        }
        if let Some(seconds) = self.seconds {
            set("seconds", seconds.to_string());
        }
        if let Some(terms) = fitted {
            set("sampling", format!("{:?}", KernelShap::default().sampling).to_lowercase());
            set("terms", format!("{terms:?}").to_lowercase());
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
    pub fn left(&self, method: Method, explanations: &[Explanation]) -> Option<String> {
        let more = if self.seconds.is_some() { "--samples or --seconds" } else { "--samples" };
        if method == Method::Partition {
            let short = explanations.iter().filter(|explanation| !explanation.exact).count();
            let rows = match explanations.len() {
                1 => String::new(),
                rows => format!(" for {short} of {rows} rows"),
            };
            return (short > 0).then(|| {
                format!(
                    "The evaluations ended{rows} before every group of features was split: features of one group share its effect equally. Allow more with {more}."
                )
            });
        }
        let errors = explanations.iter().map(Explanation::relative_error);
        let worst = errors.reduce(|a, b| Some(a?.max(b?))).flatten()?;
        let wanted = self.tolerance.unwrap_or(0.01);
        (worst > wanted).then(|| {
            format!(
                "The largest standard error is {:.1} % of the range of the values: more {more} lower it.",
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
    /// Multiply-adds of the network for one coalition of one row, about.
    pub work: usize,
}

impl Request {
    /// What Kernel SHAP is asked to fit. A third-order model of at most 1,024 pairs takes as many multiplications for each coalition
    /// and row: for many rows of a cheaper network, single players are faster.
    pub fn terms(&self) -> Terms {
        if self.rows == 1 || self.work >= 1024 { Terms::Triples } else { Terms::Single }
    }
}

/// Whether it evaluates more and more until a tolerance is met.
fn in_rounds(method: Method) -> bool {
    matches!(method, Method::Shap | Method::Permutation | Method::Sampling)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_rows_of_a_cheap_network_are_fitted_without_triples() {
        let request = |rows, work| Request { players: 20, rows, samples: None, seed: 0, work };
        assert_eq!(request(1, 10).terms(), Terms::Triples);
        assert_eq!(request(2, 1024).terms(), Terms::Triples);
        assert_eq!(request(2, 1023).terms(), Terms::Single);
    }

    #[test]
    fn seconds_alone_lift_the_cap() -> Result<()> {
        let most = |seconds, samples, rows| -> Result<usize> {
            let args =
                ShapleyArgs { link: LinkChoice::Identity, tolerance: None, seconds, interactions: false };
            let request = Request { players: 30, rows, samples, seed: 0, work: 5000 };
            let hierarchy = || Hierarchy::balanced(30);
            Ok(args.estimator(Method::Shap, &request, Labels::All, &hierarchy)?.most_evaluations(30))
        };
        assert_eq!(most(None, None, 1)?, 50_000);
        assert_eq!(most(None, None, 10_000)?, 2048 + 60);
        assert_eq!(most(Some(5.0), None, 1)?, 1 << 24);
        assert_eq!(most(Some(5.0), None, 10_000)?, 1 << 18);
        assert_eq!(most(Some(5.0), Some(700), 10_000)?, 700);
        Ok(())
    }
}
