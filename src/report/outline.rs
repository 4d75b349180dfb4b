//! The shapes of segments in a label map: outlines to draw and hover, and a place for a number.

use std::fmt::Write;

/// A label map `[height, width]`, row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) labels: &'a [u32],
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The closed loops around a segment: outer borders clockwise, holes anticlockwise. Vertices are the
/// corners of pixels, and each edge is horizontal or vertical.
pub(super) type Outline = Vec<Vec<(i32, i32)>>;

/// Where a segment is thickest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pole {
    pub(super) x: f64,
    pub(super) y: f64,
}

const EAST: usize = 0;
/// One step towards east, south, west and north (y grows downwards).
const STEP: [(i32, i32); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

impl Labels<'_> {
    fn at(&self, x: i32, y: i32) -> Option<u32> {
        let inside = x >= 0 && y >= 0 && (x as usize) < self.width && (y as usize) < self.height;
        inside.then(|| self.labels[y as usize * self.width + x as usize])
    }

    /// The outline of each segment, `[count]`; empty where a segment has no pixel. Pixels that touch
    /// only at a corner belong to different loops.
    pub(super) fn outlines(&self, count: usize) -> Vec<Outline> {
        let mut outlines = vec![Outline::new(); count];
        // Each loop runs east along the top edge of at least one pixel, so those edges find all loops.
        let mut visited = vec![false; self.labels.len()];
        for y in 0..self.height as i32 {
            for x in 0..self.width as i32 {
                let label = self.at(x, y);
                let Some(outline) = label.and_then(|l| outlines.get_mut(l as usize)) else {
                    continue;
                };
                let seen = visited[y as usize * self.width + x as usize];
                if !seen && self.at(x, y - 1) != label {
                    outline.push(self.trace(x, y, &mut visited));
                }
            }
        }
        outlines
    }

    /// Walks the border that passes the top edge of pixel (x, y), the segment at the right hand.
    fn trace(&self, x: i32, y: i32, visited: &mut [bool]) -> Vec<(i32, i32)> {
        let label = self.at(x, y);
        let start = (x, y);
        let (mut at, mut heading) = (start, EAST);
        let mut corners = vec![start];
        loop {
            if heading == EAST {
                visited[at.1 as usize * self.width + at.0 as usize] = true;
            }
            at = (at.0 + STEP[heading].0, at.1 + STEP[heading].1);
            // The two pixels ahead of the vertex `at`, left and right of the heading.
            let (left, right) = match heading {
                EAST => ((0, -1), (0, 0)),
                1 => ((0, 0), (-1, 0)),
                2 => ((-1, 0), (-1, -1)),
                _ => ((-1, -1), (0, -1)),
            };
            let same = |(dx, dy): (i32, i32)| self.at(at.0 + dx, at.1 + dy) == label;
            let turned = match (same(left), same(right)) {
                (_, false) => (heading + 1) % 4,
                (false, true) => heading,
                (true, true) => (heading + 3) % 4,
            };
            if at == start && turned == EAST {
                // The start is a corner: a pixel before it on the same edge would have been visited.
                return corners;
            }
            if turned != heading {
                corners.push(at);
            }
            heading = turned;
        }
    }

    /// Where each segment is thickest, `[count]`; `None` where it has no pixel. Among equally thick
    /// places the one nearest to the segment's centroid.
    pub(super) fn poles(&self, count: usize) -> Vec<Option<Pole>> {
        let depth = self.depths();
        let mut sums = vec![(0.0f64, 0.0f64, 0.0f64); count];
        for (i, &label) in self.labels.iter().enumerate() {
            if let Some((x, y, n)) = sums.get_mut(label as usize) {
                *x += (i % self.width) as f64;
                *y += (i / self.width) as f64;
                *n += 1.0;
            }
        }
        let mut best: Vec<Option<(u32, f64, usize)>> = vec![None; count];
        for (i, &label) in self.labels.iter().enumerate() {
            let Some(&(sx, sy, n)) = sums.get(label as usize) else {
                continue;
            };
            let (dx, dy) = ((i % self.width) as f64 - sx / n, (i / self.width) as f64 - sy / n);
            let off = dx * dx + dy * dy;
            let best = &mut best[label as usize];
            if best.is_none_or(|(d, o, _)| depth[i] > d || (depth[i] == d && off < o)) {
                *best = Some((depth[i], off, i));
            }
        }
        let pole = |(thickest, _, i): (u32, f64, usize)| {
            let (x, y) = ((i % self.width) as i32, (i / self.width) as i32);
            // In the middle of neighbours that are as thick, as in a square of even size.
            let (mut sum, mut n) = ((0.0, 0.0), 0.0);
            for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
                let (x, y) = (x + dx, y + dy);
                let peer = self.at(x, y) == Some(self.labels[i])
                    && depth[y as usize * self.width + x as usize] == thickest;
                if peer {
                    sum = (sum.0 + f64::from(x) + 0.5, sum.1 + f64::from(y) + 0.5);
                    n += 1.0;
                }
            }
            // The place itself counts, so n is at least 1.
            Pole { x: sum.0 / n, y: sum.1 / n }
        };
        best.into_iter().map(|b| b.map(pole)).collect()
    }

    /// The chamfer distance (3 per side step, 4 per diagonal) from each pixel to the nearest one of
    /// another segment or outside the picture.
    fn depths(&self) -> Vec<u32> {
        let (w, h) = (self.width as i32, self.height as i32);
        let mut depth = vec![u32::MAX; self.labels.len()];
        let index = |x: i32, y: i32| y as usize * self.width + x as usize;
        let mut relax = |x: i32, y: i32, neighbours: [(i32, i32, u32); 4]| {
            let label = self.at(x, y);
            let mut d = depth[index(x, y)];
            for (dx, dy, step) in neighbours {
                let there = self.at(x + dx, y + dy);
                let base = if there == label { depth[index(x + dx, y + dy)] } else { 0 };
                d = d.min(base.saturating_add(step));
            }
            depth[index(x, y)] = d;
        };
        for y in 0..h {
            for x in 0..w {
                relax(x, y, [(-1, 0, 3), (0, -1, 3), (-1, -1, 4), (1, -1, 4)]);
            }
        }
        for y in (0..h).rev() {
            for x in (0..w).rev() {
                relax(x, y, [(1, 0, 3), (0, 1, 3), (1, 1, 4), (-1, 1, 4)]);
            }
        }
        depth
    }
}

/// The SVG path of an outline along the corners of its pixels; fill it even-odd.
pub(super) fn exact_path(outline: &Outline) -> String {
    let mut path = String::new();
    for corners in outline {
        let mut at = corners[0];
        push(&mut path, format_args!("M{} {}", at.0, at.1));
        for &(x, y) in &corners[1..] {
            if y == at.1 {
                push(&mut path, format_args!("h{}", x - at.0));
            } else {
                push(&mut path, format_args!("v{}", y - at.1));
            }
            at = (x, y);
        }
        path.push('z');
    }
    path
}

/// The SVG path of an outline through the middles of its pixels' edges: stairs become slopes, and
/// each corner loses an eighth of a pixel. Fill it even-odd.
pub(super) fn smooth_path(outline: &Outline) -> String {
    let mut path = String::new();
    for corners in outline {
        // In half pixels, so that all numbers are whole.
        let mut points: Vec<(i32, i32)> = Vec::with_capacity(corners.len() * 2);
        for (i, &(x, y)) in corners.iter().enumerate() {
            let (nx, ny) = corners[(i + 1) % corners.len()];
            let (dx, dy) = ((nx - x).signum(), (ny - y).signum());
            points.push((2 * x + dx, 2 * y + dy));
            points.push((2 * nx - dx, 2 * ny - dy));
        }
        points.dedup();
        let n = points.len();
        let bends = |i: usize| {
            let (a, b, c) = (points[(i + n - 1) % n], points[i], points[(i + 1) % n]);
            (b.0 - a.0) * (c.1 - b.1) != (b.1 - a.1) * (c.0 - b.0)
        };
        let kept: Vec<_> = (0..n).filter(|&i| bends(i)).map(|i| points[i]).collect();
        for (i, &(x, y)) in kept.iter().enumerate() {
            if i == 0 {
                push(&mut path, format_args!("M{} {}", f64::from(x) / 2.0, f64::from(y) / 2.0));
            } else {
                let (dx, dy) = (f64::from(x - kept[i - 1].0) / 2.0, f64::from(y - kept[i - 1].1) / 2.0);
                push(&mut path, format_args!("l{dx} {dy}"));
            }
        }
        path.push('z');
    }
    path
}

fn push(path: &mut String, text: std::fmt::Arguments) {
    // Writing to a String cannot fail.
    let _ = path.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, labels: &[u32]) -> Labels<'_> {
        Labels { labels, width, height: labels.len() / width }
    }

    /// Twice the signed area that a loop encloses (clockwise positive, y downwards).
    fn area(corners: &[(i32, i32)]) -> i32 {
        let next = corners.iter().cycle().skip(1);
        corners.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum()
    }

    #[test]
    fn one_pixel_is_a_square() {
        let outlines = map(1, &[0]).outlines(1);
        assert_eq!(exact_path(&outlines[0]), "M0 0h1v1h-1z");
        assert_eq!(smooth_path(&outlines[0]), "M0.5 0l0.5 0.5l-0.5 0.5l-0.5 -0.5z");
    }

    #[test]
    fn a_ring_has_a_hole_and_a_missing_segment_no_outline() {
        #[rustfmt::skip]
        let labels = [
            0, 0, 0,
            0, 1, 0,
            0, 0, 0,
        ];
        let outlines = map(3, &labels).outlines(3);
        assert_eq!(outlines[0].iter().map(|l| area(l)).collect::<Vec<_>>(), [18, -2]);
        assert_eq!(exact_path(&outlines[1]), "M1 1h1v1h-1z");
        assert!(outlines[2].is_empty());
    }

    #[test]
    fn outlines_enclose_exactly_the_pixels() {
        // A map with many touching corners, stairs, holes and pixels outside.
        let (width, height) = (37, 23);
        let labels: Vec<u32> = (0..width * height)
            .map(|i| match (i % width * 7 + i / width * 13 + (i * i) % 11) % 5 {
                4 => u32::MAX,
                l => l as u32,
            })
            .collect();
        let map = Labels { labels: &labels, width, height };
        for (segment, outline) in map.outlines(4).iter().enumerate() {
            let pixels = labels.iter().filter(|&&l| l as usize == segment).count();
            assert_eq!(outline.iter().map(|l| area(l)).sum::<i32>(), 2 * pixels as i32);
            assert!(outline.iter().all(|l| l.len() % 2 == 0), "edges alternate in direction");
        }
    }

    #[test]
    fn poles_lie_inside_and_in_the_middle() {
        #[rustfmt::skip]
        let labels = [
            0, 0, 0, 0, 0, 0, 0,
            0, 1, 1, 1, 1, 1, 0,
            0, 1, 1, 1, 1, 1, 0,
            0, 1, 1, 1, 1, 1, 0,
            0, 0, 0, 0, 0, 0, 0,
        ];
        let poles = map(7, &labels).poles(3);
        let centre = poles[1].unwrap();
        assert_eq!((centre.x, centre.y), (3.5, 2.5));
        let ring = poles[0].unwrap();
        assert_eq!(labels[ring.y as usize * 7 + ring.x as usize], 0);
        assert_eq!(poles[2], None);
        assert_eq!(map(4, &[0; 16]).poles(1), [Some(Pole { x: 2.0, y: 2.0 })]);
    }
}
