//! LIME's local model: choose features, then fit a weighted ridge regression on them.

use std::collections::BTreeMap;

use super::gram::Gram;
use super::lasso::lasso;
use super::ridge::Ridge;
use super::select::{Selection, select};
use crate::Result;

/// How a surrogate is made. The default is LIME's on images: all features, penalty 1.
///
/// # Example
/// ```
/// use whybox::solve::{Selection, SurrogateOptions};
///
/// let few = SurrogateOptions { num_features: 5, selection: Selection::LassoPath, ..Default::default() };
/// assert_eq!(few.alpha, SurrogateOptions::default().alpha);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurrogateOptions {
    /// Default: [`Selection::Auto`].
    pub selection: Selection,
    /// Features at most. Default: 100,000, so all.
    pub num_features: usize,
    /// The penalty on the chosen features. Default: 1.
    pub alpha: f64,
    /// What is fitted on the chosen features. Default: a ridge regression.
    pub regression: Regression,
}

/// What a surrogate is on its features.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::Coalitions;
/// use whybox::solve::{Gram, Regression, Surrogate, SurrogateOptions};
///
/// // 1 + 2·x₀ + 3·x₁
/// let rows = array![[1u8, 1], [0, 1], [1, 0], [0, 0]];
/// let mut gram = Gram::new(2, 1);
/// gram.add(&Coalitions::from_dense(rows.view())?, &[1.0; 4], array![[6.0], [4.0], [3.0], [1.0]].view())?;
/// let lasso = SurrogateOptions { regression: Regression::Lasso, alpha: 0.625, ..Default::default() };
/// let fit = Surrogate::fit(&gram, 0, &lasso)?;
/// let [(1, strong), (0, weak)] = fit.coefficients[..] else { panic!("two players, the stronger first") };
/// assert!((strong - 0.5).abs() < 1e-9 && weak.abs() < 1e-9); // a ridge leaves no zero
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Regression {
    /// [`Ridge`], as in `lime`.
    #[default]
    Ridge,
    /// The lasso, whose coefficients may be 0: the minimum of `Σ w (y − b − βᵀx)² / 2 Σ w + α |β|₁`. `captum`'s Lime, with
    /// a penalty of 0.01. It has no standard errors.
    Lasso,
}

impl Default for SurrogateOptions {
    fn default() -> Self {
        Self { selection: Selection::Auto, num_features: 100_000, alpha: 1.0, regression: Regression::Ridge }
    }
}

/// A linear model of one output around the instance.
///
/// Source: `lime_base.LimeBase.explain_instance_with_data` of `lime` 0.2.0.1, whose four results
/// are `intercept`, `coefficients`, `score` and `local_prediction`; [`Ridge`] has the formulas.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::perturb::Coalitions;
/// use whybox::solve::{Gram, Surrogate, SurrogateOptions};
///
/// let rows = array![[1u8, 1], [0, 1], [1, 0], [0, 0]];
/// let mut gram = Gram::new(2, 1);
/// gram.add(&Coalitions::from_dense(rows.view())?, &[1.0; 4], array![[6.0], [4.0], [3.0], [1.0]].view())?;
/// let surrogate = Surrogate::fit(&gram, 0, &SurrogateOptions { alpha: 0.0, ..Default::default() })?;
/// let [(first, strong), (second, weak)] = surrogate.coefficients[..] else { unreachable!("two players") };
/// assert!((first, second) == (1, 0) && (strong - 3.0).abs() < 1e-12 && (weak - 2.0).abs() < 1e-12);
/// assert!((surrogate.intercept - 1.0).abs() < 1e-12 && (surrogate.score - 1.0).abs() < 1e-12);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Surrogate {
    /// The output that it models.
    pub output: usize,
    /// The surrogate at the row of zeros: with no player present.
    pub intercept: f64,
    /// Chosen features with their coefficients, the largest in size first.
    pub coefficients: Vec<(usize, f64)>,
    /// The coefficients' standard errors, in the same order; `None` where the samples are too few.
    pub standard_errors: Option<Vec<f64>>,
    /// How many independent pieces of information the standard errors rest on; infinite where it is not known to be few.
    pub degrees_of_freedom: f64,
    /// Local fidelity: the weighted R², at most 1.
    pub score: f64,
    /// The surrogate at the instance: with all players present.
    pub local_prediction: f64,
}

impl Surrogate {
    /// The surrogate of one output.
    ///
    /// # Errors
    /// As [`Surrogate::fit_all`].
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use whybox::perturb::Coalitions;
    /// use whybox::solve::{Gram, Surrogate, SurrogateOptions};
    ///
    /// let rows = array![[1u8, 1], [0, 1], [1, 0], [0, 0]];
    /// let mut gram = Gram::new(2, 1);
    /// let responses = array![[6.0], [4.0], [3.0], [1.0]];
    /// gram.add(&Coalitions::from_dense(rows.view())?, &[1.0; 4], responses.view())?;
    /// let options = SurrogateOptions { num_features: 1, alpha: 0.0, ..Default::default() };
    /// let surrogate = Surrogate::fit(&gram, 0, &options)?;
    /// assert_eq!(surrogate.coefficients.len(), 1);
    /// assert_eq!(surrogate.coefficients[0].0, 1);
    /// assert!((surrogate.local_prediction - 5.0).abs() < 1e-12);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn fit(gram: &Gram, output: usize, options: &SurrogateOptions) -> Result<Self> {
        // One surrogate an output, so exactly one here.
        Self::fit_all(gram, &[output], options).map(|mut all| all.swap_remove(0))
    }

    /// The surrogates of several outputs, in their order. Outputs for which the same features are
    /// chosen share one factorisation.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for an output that is out of range or
    /// repeated, no output, zero features, or a penalty that is negative or not finite;
    /// [`Error::Numeric`](crate::Error::Numeric) where fewer than two rows have a weight above 0.
    pub fn fit_all(gram: &Gram, outputs: &[usize], options: &SurrogateOptions) -> Result<Vec<Self>> {
        let chosen = select(gram, outputs, options.num_features, options.selection)?;
        let mut groups: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for (place, features) in chosen.into_iter().enumerate() {
            groups.entry(features).or_default().push(place);
        }
        let mut surrogates = Vec::with_capacity(outputs.len());
        for (features, places) in groups {
            if options.regression == Regression::Lasso {
                for place in places {
                    surrogates.push((place, lasso(gram, &features, outputs[place], options.alpha)?));
                }
                continue;
            }
            let members: Vec<usize> = places.iter().map(|&place| outputs[place]).collect();
            let fit = Ridge::fit(gram, &features, &members, options.alpha)?;
            for (k, place) in places.into_iter().enumerate() {
                surrogates.push((place, Self::from_fit(&fit, &features, k, outputs[place])));
            }
        }
        surrogates.sort_by_key(|&(place, _)| place);
        Ok(surrogates.into_iter().map(|(_, surrogate)| surrogate).collect())
    }

    /// Column `k` of a fit, sorted.
    fn from_fit(fit: &Ridge, features: &[usize], k: usize, output: usize) -> Self {
        let beta = fit.coefficients.column(k);
        let mut order: Vec<usize> = (0..features.len()).collect();
        order.sort_by(|&a, &b| beta[b].abs().total_cmp(&beta[a].abs()));
        Self {
            output,
            intercept: fit.intercepts[k],
            coefficients: order.iter().map(|&i| (features[i], beta[i])).collect(),
            standard_errors: (fit.standard_errors.as_ref())
                .map(|errors| order.iter().map(|&i| errors[[i, k]]).collect()),
            degrees_of_freedom: f64::INFINITY,
            score: fit.scores[k],
            local_prediction: fit.local_predictions[k],
        }
    }
}
