//! Felzenszwalb and Huttenlocher's graph-based segmentation.

use super::planes::Planes;
use super::syntax::within;
use super::{SegmentMap, smooth};
use crate::error::Result;

/// Greedy merging over the graph of neighbouring pixels, as a minimum spanning tree grows.
///
/// The image is smoothed; each pixel is joined to its eight neighbours by an edge that costs the
/// Euclidean distance of their RGB colours (0 to 1); edges are taken from the cheapest on, and one
/// joins the segments A and B at its ends if it costs less than the smaller of
/// Int(A) + scale/(255·|A|) and Int(B) + scale/(255·|B|), where Int is the dearest edge inside.
/// Then every segment below `min_size` pixels joins the neighbour across its cheapest edge.
/// Source: Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 59(2),
/// 2004, in the form of `skimage.segmentation.felzenszwalb` 0.26. Edges of equal cost are taken in
/// a fixed order here, in any order there.
///
/// # Example
/// ```
/// use whybox::perturb::segment::{Segmentation, Felzenszwalb};
///
/// let segmentation = Segmentation::Felzenszwalb(Felzenszwalb { scale: 50.0, ..Felzenszwalb::default() });
/// assert_eq!("felzenszwalb:scale=50".parse(), Ok(segmentation.clone()));
/// let image = ndarray::Array3::from_shape_fn((20, 20, 3), |(_, x, _)| if x < 10 { 0.1 } else { 0.9 });
/// assert!(segmentation.segment(&image.view(), 0)?.count() >= 1);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Felzenszwalb {
    /// Size preference, 0 to 10⁹; larger gives larger segments. Default 100.
    pub scale: f64,
    /// Standard deviation in pixels of the Gaussian smoothing, 0 to 100; default 0.5.
    pub sigma: f64,
    /// Least pixels in a segment, 0 to 10⁹; default 50.
    pub min_size: usize,
}

impl Default for Felzenszwalb {
    fn default() -> Self {
        Felzenszwalb { scale: 100.0, sigma: 0.5, min_size: 50 }
    }
}

impl Felzenszwalb {
    pub(super) fn check(&self) -> Result<()> {
        within("felzenszwalb:scale", self.scale, 0.0, 1e9)?;
        within("felzenszwalb:sigma", self.sigma, 0.0, 100.0)?;
        within("felzenszwalb:min", self.min_size as f64, 0.0, 1e9)
    }

    pub(super) fn segment(&self, mut image: Planes) -> Result<SegmentMap> {
        self.check()?;
        smooth::gaussian(&mut image, self.sigma);
        let mut edges = edges(&image);
        // Stable: edges of equal cost stay in the order in which they were made.
        edges.sort_by(|one, other| one.cost.total_cmp(&other.cost));

        let scale = self.scale / 255.0;
        let mut forest = Forest::new(image.len());
        for edge in &edges {
            let (a, b) = (forest.root(edge.a), forest.root(edge.b));
            // Rounded to f32, as in scikit-image: it decides near-ties.
            let bar = |root: u32| (forest.inner(root) + scale / forest.size(root)) as f32;
            if a != b && edge.cost < f64::from(bar(a).min(bar(b))) {
                forest.join(a, b, edge.cost);
            }
        }
        for edge in &edges {
            let (a, b) = (forest.root(edge.a), forest.root(edge.b));
            if a != b && forest.size(a).min(forest.size(b)) < self.min_size as f64 {
                forest.join(a, b, edge.cost);
            }
        }
        let roots = (0..image.len() as u32).map(|pixel| forest.root(pixel)).collect();
        SegmentMap::new(image.height, image.width, roots)
    }
}

/// Two neighbouring pixels and the distance between their colours.
struct Edge {
    cost: f64,
    a: u32,
    b: u32,
}

/// The edges to the right, then down, then to the lower right, then to the lower left.
fn edges(image: &Planes) -> Vec<Edge> {
    let (height, width) = (image.height, image.width);
    let mut edges = Vec::with_capacity(4 * image.len());
    for (down, right) in [(0, 1), (1, 0), (1, 1), (1, -1)] {
        for y in 0..height - down.min(height) {
            for x in 0..width {
                let Some(other_x) = x.checked_add_signed(right).filter(|&x| x < width) else {
                    continue;
                };
                let (a, b) = (y * width + x, (y + down) * width + other_x);
                let cost = image.colour_distance_sq(a, b).sqrt();
                // Pixels are numbered in 32 bits.
                edges.push(Edge { cost, a: a as u32, b: b as u32 });
            }
        }
    }
    edges
}

/// Disjoint sets of pixels; the root of each is its first pixel.
struct Forest {
    parents: Vec<u32>,
    /// Pixels in the set and its dearest edge, kept at the root.
    sets: Vec<(f64, f64)>,
}

impl Forest {
    fn new(pixels: usize) -> Self {
        Forest { parents: (0..pixels as u32).collect(), sets: vec![(1.0, 0.0); pixels] }
    }

    fn root(&mut self, mut pixel: u32) -> u32 {
        while self.parents[pixel as usize] != pixel {
            let next = self.parents[pixel as usize];
            self.parents[pixel as usize] = self.parents[next as usize];
            pixel = next;
        }
        pixel
    }

    fn size(&self, root: u32) -> f64 {
        self.sets[root as usize].0
    }

    fn inner(&self, root: u32) -> f64 {
        self.sets[root as usize].1
    }

    /// Joins two sets, given by their roots, over an edge.
    fn join(&mut self, a: u32, b: u32, cost: f64) {
        let size = self.size(a) + self.size(b);
        let (root, child) = (a.min(b), a.max(b));
        self.parents[child as usize] = root;
        self.sets[root as usize] = (size, cost);
    }
}
