//! LIME's discretisers: a column cut into bins, with what the table says of each.
//!
//! Source: `lime/discretize.py` of `lime` 0.2.0.1; percentiles are those of numpy (linear interpolation), the entropy tree
//! that of scikit-learn's `DecisionTreeClassifier(criterion="entropy", max_depth=3)` on the one column.

use crate::{Error, Result};

/// Depth of the entropy tree: at most 8 bins.
const DEPTH: usize = 3;
/// Values closer than this are not told apart by the tree, whose features have 32 bits.
const APART: f32 = 1e-7;
/// lime's guard against a bin without spread.
const LEAST_STD: f64 = 1e-11;

/// How columns of numbers are cut.
///
/// # Example
/// ```
/// use whybox::perturb::{Bins, Discretiser};
///
/// let column: Vec<f64> = (0..100).map(f64::from).collect();
/// let labels: Vec<usize> = (0..100).map(|row| usize::from(row >= 70)).collect();
/// let bins = |discretiser| Bins::new(&column, discretiser, Some(&labels)).map(|bins| bins.map(|bins| bins.edges));
/// assert_eq!(bins(Discretiser::Quartile)?.unwrap().len(), 3);
/// assert_eq!(bins(Discretiser::Decile)?.unwrap().len(), 9);
/// assert_eq!(bins(Discretiser::Entropy)?.unwrap(), [69.5]); // where the class changes
/// assert!(bins(Discretiser::None)?.is_none());
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discretiser {
    /// At the quartiles.
    #[default]
    Quartile,
    /// At the deciles.
    Decile,
    /// Where a decision tree of depth 3 on the labels splits; at the median if it splits nowhere.
    Entropy,
    /// Not at all.
    None,
}

/// The bins of one column: `x <= e₀`, `e₀ < x <= e₁`, …, `x > e_last`.
///
/// # Example
/// ```
/// use whybox::perturb::{Bins, Discretiser};
///
/// let bins = Bins::new(&[1.0, 2.0, 3.0, 4.0], Discretiser::Quartile, None)?.unwrap();
/// assert_eq!(bins.edges, [1.75, 2.5, 3.25]);
/// assert_eq!((bins.means[0], bins.shares[0]), (1.0, 0.25));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    /// Edges, ascending and distinct, `[bins - 1]`.
    pub edges: Vec<f64>,
    /// Mean of the table's values in each bin, 0 in an empty one, `[bins]`.
    pub means: Vec<f64>,
    /// Their standard deviation (not Bessel's) plus 1e-11, `[bins]`.
    pub stds: Vec<f64>,
    /// Lower end of each bin; the first is the table's smallest value, `[bins]`.
    pub lows: Vec<f64>,
    /// Upper end of each bin; the last is the table's largest value, `[bins]`.
    pub highs: Vec<f64>,
    /// Share of the table's values in each bin, `[bins]`.
    pub shares: Vec<f64>,
}

impl Bins {
    /// Cuts a column of at least one finite value; `None` without a discretiser.
    ///
    /// # Errors
    /// [`Error::Parameter`] for [`Discretiser::Entropy`] without a label for each value.
    ///
    /// # Example
    /// ```
    /// use whybox::perturb::{Bins, Discretiser};
    ///
    /// let bins = Bins::new(&[1.0, 2.0, 3.0, 4.0, 5.0], Discretiser::Quartile, None)?.unwrap();
    /// assert_eq!(bins.edges, [2.0, 3.0, 4.0]);
    /// assert_eq!((bins.of(2.0), bins.of(2.1), bins.of(9.0)), (0, 1, 3));
    /// assert_eq!(bins.condition("age", 1), "2.00 < age <= 3.00");
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn new(column: &[f64], discretiser: Discretiser, labels: Option<&[usize]>) -> Result<Option<Self>> {
        let mut sorted = column.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut edges: Vec<f64> = match discretiser {
            Discretiser::None => return Ok(None),
            Discretiser::Quartile => [25, 50, 75].map(|p| percentile(&sorted, p)).to_vec(),
            Discretiser::Decile => (1..10).map(|tenth| percentile(&sorted, tenth * 10)).collect(),
            Discretiser::Entropy => {
                let labels = labels.filter(|labels| labels.len() == column.len()).ok_or_else(|| {
                    Error::parameter(
                        "the entropy discretiser needs a class for each row",
                        "--discretizer entropy",
                        "name the column of classes with --target, or take quartile",
                    )
                })?;
                let splits = entropy_splits(column, labels);
                if splits.is_empty() { vec![percentile(&sorted, 50)] } else { splits }
            }
        };
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        Ok(Some(Self::with_edges(column, &sorted, edges)))
    }

    fn with_edges(column: &[f64], sorted: &[f64], edges: Vec<f64>) -> Self {
        let count = edges.len() + 1;
        let mut bins = Bins {
            means: vec![0.0; count],
            stds: vec![LEAST_STD; count],
            lows: sorted[..1].iter().chain(&edges).copied().collect(),
            highs: edges.iter().chain(&sorted[sorted.len() - 1..]).copied().collect(),
            shares: vec![0.0; count],
            edges,
        };
        let mut members = vec![Vec::new(); count];
        column.iter().for_each(|&x| members[bins.of(x)].push(x));
        for (bin, members) in members.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
            let n = members.len() as f64;
            let mean = members.iter().sum::<f64>() / n;
            bins.means[bin] = mean;
            bins.stds[bin] += (members.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            bins.shares[bin] = n / column.len() as f64;
        }
        bins
    }

    /// The bin of a value.
    pub fn of(&self, x: f64) -> usize {
        self.edges.partition_point(|&edge| edge < x)
    }

    /// The bin as `lime` prints it, for example `30.00 < age <= 45.00`.
    pub fn condition(&self, name: &str, bin: usize) -> String {
        match (bin.checked_sub(1).map(|below| self.edges[below]), self.edges.get(bin)) {
            (None, Some(high)) => format!("{name} <= {high:.2}"),
            (Some(low), Some(high)) => format!("{low:.2} < {name} <= {high:.2}"),
            (Some(low), None) => format!("{name} > {low:.2}"),
            // There is always an edge.
            (None, None) => name.to_owned(),
        }
    }
}

/// numpy's percentile with linear interpolation, of sorted values.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() - 1) as f64 * (percent as f64 / 100.0);
    let low = at.floor() as usize;
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    let part = at - low as f64;
    // As numpy does, from the nearer end.
    if part >= 0.5 { b - (b - a) * (1.0 - part) } else { a + (b - a) * part }
}

/// Thresholds of the entropy tree.
fn entropy_splits(column: &[f64], labels: &[usize]) -> Vec<f64> {
    let mut rows: Vec<(f32, usize)> = column.iter().map(|&x| x as f32).zip(labels.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut splits = Vec::new();
    split(&rows, classes, DEPTH, &mut splits);
    splits
}

/// `n` times the entropy of counts that sum to `n`, in bits.
fn weighted_entropy(counts: &[usize]) -> f64 {
    let n: usize = counts.iter().sum();
    let share = |count: usize| count as f64 / n as f64;
    let bits: f64 = counts.iter().filter(|&&c| c > 0).map(|&c| share(c) * share(c).log2()).sum();
    -bits * n as f64
}

fn split(rows: &[(f32, usize)], classes: usize, depth: usize, splits: &mut Vec<f64>) {
    let mut right = vec![0; classes];
    rows.iter().for_each(|&(_, class)| right[class] += 1);
    if depth == 0 || rows.len() < 2 || right.iter().filter(|&&count| count > 0).count() < 2 {
        return;
    }
    let mut left = vec![0; classes];
    let mut best: Option<(f64, usize)> = None;
    for at in 1..rows.len() {
        let class = rows[at - 1].1;
        left[class] += 1;
        right[class] -= 1;
        if rows[at].0 <= rows[at - 1].0 + APART {
            continue;
        }
        let gain = -(weighted_entropy(&right) + weighted_entropy(&left));
        if best.is_none_or(|(most, _)| gain > most) {
            best = Some((gain, at));
        }
    }
    if let Some((_, at)) = best {
        splits.push(f64::from(rows[at - 1].0) / 2.0 + f64::from(rows[at].0) / 2.0);
        split(&rows[..at], classes, depth - 1, splits);
        split(&rows[at..], classes, depth - 1, splits);
    }
}
