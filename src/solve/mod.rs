//! From coalitions, weights and responses to coefficients: plain f64 arithmetic on the host.
//!
//! Nothing here knows a model. A chunk of rows goes into a [`Gram`], which keeps weighted sums and
//! forgets the rows, so memory does not grow with their number; everything else is computed from
//! those sums:
//!
//! ```text
//! distances, Kernel ─► weights ┐
//! coalitions, responses ───────┴─► Gram ─► select ─► Ridge ─► Surrogate
//!                                            └─ lars_path
//! ```
//!
//! - [`kernel`]: LIME's distances and weights;
//! - [`gram`]: the weighted moments of rows and responses;
//! - [`ridge`]: weighted ridge regression, its weighted R² and standard errors;
//! - [`lars`]: the least-angle and lasso paths;
//! - [`mod@select`]: LIME's feature selection;
//! - [`shapley`]: the Shapley regression, with `shap`'s selection of players;
//! - [`surrogate`]: LIME's local model, all of the above in order.
//!
//! The answers agree with those of `lime` 0.2.0.1 and scikit-learn, given the same rows and
//! responses.
//!
//! # Example
//! A linear game is its own explanation:
//! ```
//! use ndarray::Array2;
//! use whybox::perturb::{Sampling, lime_coalitions};
//! use whybox::solve::{Distance, Gram, Kernel, Surrogate, SurrogateOptions, distances};
//!
//! let coalitions = lime_coalitions(3, 500, 42, Sampling::Independent)?;
//! let responses = Array2::from_shape_fn((500, 1), |(row, _)| {
//!     1.0 + 2.0 * f64::from(u8::from(coalitions.contains(row, 2)))
//! });
//! let weights = Kernel::new(0.25)?.weights(&distances(&coalitions, Distance::Cosine));
//!
//! let mut gram = Gram::new(3, 1);
//! gram.add(&coalitions, &weights, responses.view())?;
//! let surrogate = Surrogate::fit(&gram, 0, &SurrogateOptions::default())?;
//! assert_eq!(surrogate.coefficients[0].0, 2);
//! assert!((surrogate.coefficients[0].1 - 2.0).abs() < 0.1); // the ridge shrinks it a little
//! assert!(surrogate.score > 0.99);
//! # Ok::<(), whybox::Error>(())
//! ```

pub(crate) mod cubic;
mod factor;
pub(crate) mod gaussian_process;
pub mod gram;
pub mod kernel;
pub mod lars;
mod lasso;
pub(crate) mod logistic;
pub(crate) mod paired;
pub(crate) mod pairwise;
mod products;
pub mod ridge;
pub(crate) mod sandwich;
mod scatter;
pub mod select;
pub mod shapley;
pub mod surrogate;

pub use gram::Gram;
pub use kernel::{Distance, Kernel, distances};
pub use lars::{LarsMethod, LarsOptions, LarsPath, lars_path};
pub use ridge::Ridge;
pub use select::{Selection, select};
pub use shapley::{L1Reg, shapley_regression};
pub use surrogate::{Regression, Surrogate, SurrogateOptions};
