//! k-means centres of a table, snapped to values that the table has.

use ndarray::{Array2, ArrayView2, Axis};
use rand::Rng;
use rayon::prelude::*;

use crate::perturb::philox::Philox;
use crate::{Error, Result};

/// The stream that starting centres are drawn from.
const STREAM: u32 = 20;
/// Starts, of which the one with the least sum of squares is taken.
const STARTS: u32 = 10;
/// Rounds of Lloyd's algorithm at most, as in scikit-learn.
const ROUNDS: usize = 300;
/// Rounds end when the centres move less than this part of the columns' mean variance, as in scikit-learn.
const TOLERANCE: f64 = 1e-4;

/// `k` centres of `rows` `[N, columns]`, and the share of the rows that each stands for.
///
/// Lloyd's algorithm from ten k-means++ starts. Each coordinate of a centre is then replaced by the nearest value in
/// its column, so that a centre holds possible values; shares are those of the clusters. Fewer than `k` centres come back
/// where fewer rows are distinct.
///
/// Source: D. Arthur and S. Vassilvitskii, *k-means++*, SODA 2007; the snapping is that of `shap.kmeans`.
///
/// # Errors
/// [`Error::Parameter`] unless `1 <= k <= N`.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::table::kmeans;
///
/// let rows = array![[0.0], [1.0], [1.0], [9.0]];
/// let (centres, shares) = kmeans(rows.view(), 2, 0)?;
/// let far = usize::from(centres[[1, 0]] > 5.0);
/// assert_eq!((centres[[far, 0]], shares[far]), (9.0, 0.25));
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn kmeans(rows: ArrayView2<f64>, k: usize, seed: u64) -> Result<(Array2<f64>, Vec<f64>)> {
    if k == 0 || k > rows.nrows() {
        return Err(Error::parameter(
            format!("{k} centres of {} rows", rows.nrows()),
            format!("kmeans:{k}"),
            format!("ask for 1 to {} centres", rows.nrows()),
        ));
    }
    let rows = rows.as_standard_layout();
    let starts: Vec<Clusters> =
        (0..STARTS).map(|start| lloyd(rows.view(), k, &mut Philox::new(seed, STREAM + start))).collect();
    // Never empty: there are ten starts.
    let best =
        starts.into_iter().min_by(|a, b| a.inertia.total_cmp(&b.inertia)).unwrap_or_else(|| unreachable!());
    let mut counts = vec![0usize; best.centres.nrows()];
    best.members.iter().for_each(|&cluster| counts[cluster] += 1);
    let kept: Vec<usize> = (0..counts.len()).filter(|&cluster| counts[cluster] > 0).collect();
    let mut centres = best.centres.select(Axis(0), &kept);
    for (column, mut values) in centres.axis_iter_mut(Axis(1)).enumerate() {
        for value in &mut values {
            *value = nearest(rows.column(column).iter().copied(), *value);
        }
    }
    let shares = kept.iter().map(|&cluster| counts[cluster] as f64 / rows.nrows() as f64).collect();
    Ok((centres, shares))
}

/// The first of the values that are nearest to `target`.
fn nearest(values: impl Iterator<Item = f64>, target: f64) -> f64 {
    values.fold(f64::NAN, |best, value| {
        if best.is_nan() || (value - target).abs() < (best - target).abs() { value } else { best }
    })
}

struct Clusters {
    centres: Array2<f64>,
    members: Vec<usize>,
    inertia: f64,
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Rows of a matrix in standard layout.
fn slices<'a>(rows: &'a ArrayView2<'a, f64>) -> Vec<&'a [f64]> {
    // `kmeans` brings rows to standard layout, and centres are made in it.
    rows.outer_iter().map(|row| row.to_slice().unwrap_or_else(|| unreachable!())).collect()
}

fn lloyd(rows: ArrayView2<f64>, k: usize, draws: &mut Philox) -> Clusters {
    let table = slices(&rows);
    let mut centres = plus_plus(&table, k, draws);
    let least = TOLERANCE * rows.var_axis(Axis(0), 0.0).mean().unwrap_or(0.0);
    let (mut members, mut inertia) = assign(&table, &centres);
    for _ in 0..ROUNDS {
        let mut means = Array2::<f64>::zeros(centres.dim());
        let mut counts = vec![0usize; k];
        for (row, &member) in rows.outer_iter().zip(&members) {
            means.row_mut(member).scaled_add(1.0, &row);
            counts[member] += 1;
        }
        for (cluster, &count) in counts.iter().enumerate() {
            match count {
                0 => means.row_mut(cluster).assign(&centres.row(cluster)),
                _ => means.row_mut(cluster).mapv_inplace(|sum| sum / count as f64),
            }
        }
        let moved: f64 = means.iter().zip(&centres).map(|(a, b)| (a - b) * (a - b)).sum();
        centres = means;
        (members, inertia) = assign(&table, &centres);
        if moved <= least {
            break;
        }
    }
    Clusters { centres, members, inertia }
}

/// The nearest centre of each row, and the sum of squared distances from it.
fn assign(table: &[&[f64]], centres: &Array2<f64>) -> (Vec<usize>, f64) {
    let view = centres.view();
    let places = slices(&view);
    let nearest = |row: &&[f64]| {
        let all = places.iter().enumerate().map(|(at, centre)| (at, distance(row, centre)));
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    };
    let found: Vec<(usize, f64)> = table.par_iter().map(nearest).collect();
    let inertia = found.iter().map(|&(_, d)| d).sum();
    (found.into_iter().map(|(at, _)| at).collect(), inertia)
}

/// Centres drawn one after the other, each row with a chance that grows with its squared distance from those before.
fn plus_plus(table: &[&[f64]], k: usize, draws: &mut Philox) -> Array2<f64> {
    let mut uniform = || (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut chosen = vec![((uniform() * table.len() as f64) as usize).min(table.len() - 1)];
    let mut near: Vec<f64> = table.iter().map(|row| distance(row, table[chosen[0]])).collect();
    while chosen.len() < k {
        let mut target = uniform() * near.iter().sum::<f64>();
        let at = near.iter().position(|&d| {
            target -= d;
            target < 0.0
        });
        // All rows are centres already, or rounding ran past the end: the farthest row.
        let farthest = || (0..near.len()).max_by(|&a, &b| near[a].total_cmp(&near[b])).unwrap_or(0);
        let next = at.unwrap_or_else(farthest);
        chosen.push(next);
        near.par_iter_mut().zip(table.par_iter()).for_each(|(d, row)| *d = d.min(distance(row, table[next])));
    }
    Array2::from_shape_fn((k, table[0].len()), |(cluster, column)| table[chosen[cluster]][column])
}
