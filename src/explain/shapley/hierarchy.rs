//! Hierarchies of players: binary trees whose leaves are players.

use ndarray::{Array2, ArrayView2};

use crate::{Error, Result};

/// How the distance of two clusters follows from those of their members.
///
/// # Example
/// ```
/// use ndarray::array;
/// use whybox::explain::{Hierarchy, Linkage};
///
/// // Points at 0, 1, 3 and 5.5: the nearest members chain, the farthest ones do not.
/// let points = array![0.0_f64, 1.0, 3.0, 5.5];
/// let distances = ndarray::Array2::from_shape_fn((4, 4), |(a, b)| (points[a] - points[b]).abs());
/// let merges = |linkage| Hierarchy::from_distances(distances.view(), linkage).map(|tree| tree.merges().to_vec());
/// assert_eq!(merges(Linkage::Single)?[1], [2, 4]);
/// assert_eq!(merges(Linkage::Complete)?[1], [2, 3]);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Linkage {
    /// The nearest members.
    Single,
    /// The farthest members, as `shap.utils.hclust` does for features.
    #[default]
    Complete,
    /// The mean over all pairs of members.
    Average,
}

/// A binary tree over players: merge k joins two clusters to cluster `players + k`, as in a SciPy linkage.
///
/// # Example
/// ```
/// use whybox::explain::{Estimator, FunctionGame, Hierarchy, OwenValues};
///
/// // Players 0 and 1 act together, 2 alone.
/// let game = FunctionGame::new(3, 1, |present: &[bool], out: &mut [f64]| {
///     out[0] = if present[0] && present[1] { 4.0 } else { 0.0 } + if present[2] { 1.0 } else { 0.0 };
/// });
/// let tree = Hierarchy::new(3, vec![[0, 1], [3, 2]])?;
/// let owen = OwenValues { hierarchy: Some(tree), ..OwenValues::default() };
/// let values = &owen.explain(&game, &mut |_| {})?.attributions[0].values;
/// assert!(values.iter().zip([2.0, 2.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    players: usize,
    merges: Vec<[usize; 2]>,
}

impl Hierarchy {
    /// Takes the merges in order: `players - 1` pairs of clusters, of which those below `players` are players.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the merges are no binary tree over the players.
    ///
    /// # Example
    /// ```
    /// use whybox::explain::Hierarchy;
    ///
    /// // (0 and 2), then 1.
    /// let hierarchy = Hierarchy::new(3, vec![[0, 2], [3, 1]])?;
    /// assert_eq!(hierarchy.members(3), [0, 2]);
    /// assert!(Hierarchy::new(3, vec![[0, 2], [0, 1]]).is_err());
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn new(players: usize, merges: Vec<[usize; 2]>) -> Result<Self> {
        let wrong = |what: String| {
            Err(Error::parameter(
                what,
                "hierarchy",
                "join each player and each cluster once, until one is left",
            ))
        };
        if merges.len() + 1 != players {
            return wrong(format!("{} merges do not join {players} players", merges.len()));
        }
        let mut joined = vec![false; players + merges.len()];
        for (number, merge) in merges.iter().enumerate() {
            for &cluster in merge {
                if cluster >= players + number || std::mem::replace(&mut joined[cluster], true) {
                    return wrong(format!("merge {number} joins cluster {cluster}, which is not there"));
                }
            }
        }
        Ok(Hierarchy { players, merges })
    }

    /// The tree that halves the players in their order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for zero players.
    pub fn balanced(players: usize) -> Result<Self> {
        fn join(players: std::ops::Range<usize>, count: usize, merges: &mut Vec<[usize; 2]>) -> usize {
            if players.len() == 1 {
                return players.start;
            }
            let middle = players.start + players.len() / 2;
            let left = join(players.start..middle, count, merges);
            let right = join(middle..players.end, count, merges);
            merges.push([left, right]);
            count + merges.len() - 1
        }
        let mut merges = Vec::new();
        if players > 0 {
            join(0..players, players, &mut merges);
        }
        Self::new(players, merges)
    }

    /// Agglomerative clustering: joins the two nearest clusters, time after time; of equal distances the first.
    /// Cost: players³.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the distances are not a square of finite numbers, or there are none.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use whybox::explain::{Hierarchy, Linkage};
    ///
    /// let distances = array![[0.0, 5.0, 1.0], [5.0, 0.0, 4.0], [1.0, 4.0, 0.0]];
    /// let hierarchy = Hierarchy::from_distances(distances.view(), Linkage::Average)?;
    /// assert_eq!(hierarchy.merges(), [[0, 2], [1, 3]]);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn from_distances(distances: ArrayView2<f64>, linkage: Linkage) -> Result<Self> {
        let players = distances.nrows();
        if distances.ncols() != players || distances.iter().any(|d| !d.is_finite()) {
            return Err(Error::parameter(
                format!("distances {:?} are not a square of finite numbers", distances.dim()),
                "hierarchy",
                "give [players, players] finite distances",
            ));
        }
        let mut near = distances.to_owned();
        // Row r of `near` stands for cluster `ids[r]` of `sizes[r]` players.
        let mut ids: Vec<usize> = (0..players).collect();
        let mut sizes = vec![1.0; players];
        let mut open: Vec<usize> = (0..players).collect();
        let mut merges = Vec::new();
        while open.len() > 1 {
            let mut best = (f64::INFINITY, open[0], open[1]);
            for (place, &a) in open.iter().enumerate() {
                for &b in &open[place + 1..] {
                    if near[[a, b]] < best.0 {
                        best = (near[[a, b]], a, b);
                    }
                }
            }
            let (_, a, b) = best;
            merges.push([ids[a].min(ids[b]), ids[a].max(ids[b])]);
            open.retain(|&row| row != b);
            for &other in open.iter().filter(|&&row| row != a) {
                let (x, y) = (near[[a, other]], near[[b, other]]);
                let joined = match linkage {
                    Linkage::Single => x.min(y),
                    Linkage::Complete => x.max(y),
                    Linkage::Average => (sizes[a] * x + sizes[b] * y) / (sizes[a] + sizes[b]),
                };
                near[[a, other]] = joined;
                near[[other, a]] = joined;
            }
            sizes[a] += sizes[b];
            ids[a] = players + merges.len() - 1;
        }
        Self::new(players, merges)
    }

    /// Clusters columns of a table by `1 - |correlation|`; a constant column is at distance 1 from all others.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a table without columns or with a NaN.
    pub fn from_correlations(rows: ArrayView2<f64>, linkage: Linkage) -> Result<Self> {
        Self::from_distances(Self::correlation_distances(rows).view(), linkage)
    }

    /// `1 - |correlation|` of each pair of columns, `[columns, columns]`; 1 for a constant column.
    pub fn correlation_distances(rows: ArrayView2<f64>) -> Array2<f64> {
        let columns = rows.ncols();
        let standard = rows.columns().into_iter().map(|column| {
            let mean = column.sum() / column.len().max(1) as f64;
            let centred = column.mapv(|x| x - mean);
            let norm = centred.dot(&centred).sqrt();
            if norm > 0.0 { centred / norm } else { centred }
        });
        let standard: Vec<_> = standard.collect();
        Array2::from_shape_fn((columns, columns), |(a, b)| {
            if a == b { 0.0 } else { 1.0 - standard[a].dot(&standard[b]).abs() }
        })
    }

    /// Number of players.
    pub fn players(&self) -> usize {
        self.players
    }

    /// The merges in order: merge k makes cluster `players + k`.
    pub fn merges(&self) -> &[[usize; 2]] {
        &self.merges
    }

    /// The two clusters of a cluster; `None` for a player.
    pub fn children(&self, cluster: usize) -> Option<[usize; 2]> {
        cluster.checked_sub(self.players).and_then(|merge| self.merges.get(merge).copied())
    }

    /// The players of a cluster, ascending.
    pub fn members(&self, cluster: usize) -> Vec<usize> {
        let (mut open, mut members) = (vec![cluster], Vec::new());
        while let Some(cluster) = open.pop() {
            match self.children(cluster) {
                Some(children) => open.extend(children),
                None => members.push(cluster),
            }
        }
        members.sort_unstable();
        members
    }

    /// The cluster of all players.
    pub fn root(&self) -> usize {
        self.players + self.merges.len() - 1
    }
}
