//! An order of instances in which similar ones stand side by side.

/// Above this many, the distances between all pairs cost more than they show.
const MOST: usize = 2000;

/// The leaves of a hierarchical clustering (average linkage of Euclidean distances) of `rows`; at each fork the branch of smaller
/// `keys` comes first. Too many rows are in order of their keys alone.
pub(super) fn similar(rows: &[Vec<f64>], keys: &[f64]) -> Vec<usize> {
    let n = rows.len();
    let mut order: Vec<usize> = (0..n).collect();
    if !(3..=MOST).contains(&n) {
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        return order;
    }
    // Squares of extremes must not overflow.
    let largest = rows.iter().flatten().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let mut distances = Vec::with_capacity(n * (n - 1) / 2);
    for a in 0..n {
        for b in a + 1..n {
            let square = rows[a].iter().zip(&rows[b]).map(|(x, y)| (x / largest - y / largest).powi(2));
            distances.push(square.sum::<f64>().sqrt());
        }
    }
    let tree = kodama::linkage(&mut distances, n, kodama::Method::Average);
    // Each cluster: its leaves in order, and the sum of their keys.
    let mut clusters: Vec<(Vec<usize>, f64)> = (0..n).map(|i| (vec![i], keys[i])).collect();
    for step in tree.steps() {
        let a = std::mem::take(&mut clusters[step.cluster1]);
        let b = std::mem::take(&mut clusters[step.cluster2]);
        let mean = |c: &(Vec<usize>, f64)| c.1 / c.0.len() as f64;
        let (mut first, second) = if mean(&a) <= mean(&b) { (a, b) } else { (b, a) };
        first.0.extend(second.0);
        first.1 += second.1;
        clusters.push(first);
    }
    clusters.pop().map_or(order, |(leaves, _)| leaves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_stay_together() {
        let rows: Vec<Vec<f64>> =
            (0..12).map(|i| vec![f64::from(i % 3) * 10.0, f64::from(i) * 0.01]).collect();
        let keys: Vec<f64> = rows.iter().map(|r| r[0] + r[1]).collect();
        let order = similar(&rows, &keys);
        let groups: Vec<usize> = order.iter().map(|i| i % 3).collect();
        assert_eq!(groups, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(similar(&rows[..2], &[2.0, 1.0]), [1, 0]);
    }
}
