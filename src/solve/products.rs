//! Sums over rows of products of columns, tile by tile: `Σ_n left[n, i] · right[n, j]`.
//!
//! A tile of sums stays in registers while a block of rows passes. Each sum is added to in the order of the rows, one product at a
//! time and without fused rounding, so that neither blocks nor tiles nor the instruction set change a bit.

use pulp::NullaryFnOnce;
use rayon::prelude::*;

/// Columns of a tile, on the left and on the right.
const TALL: usize = 4;
const WIDE: usize = 8;

/// Rows that pass a tile after the other while they are in the first cache.
const BLOCK_ROWS: usize = 64;

/// Products that are worth waking other threads for.
const LEAST_PRODUCTS: usize = 1 << 18;

/// Rows of numbers, each filled up with zeros to whole tiles.
pub(super) struct Padded {
    cells: Vec<f64>,
    columns: usize,
}

impl Padded {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Padded { cells: vec![0.0; rows * columns.next_multiple_of(WIDE)], columns }
    }

    fn stride(&self) -> usize {
        self.columns.next_multiple_of(WIDE)
    }

    pub fn row(&mut self, row: usize) -> &mut [f64] {
        let stride = self.stride();
        &mut self.cells[row * stride..][..self.columns]
    }
}

/// The sums of some columns on the left with all on the right from some column on.
struct Task<'a> {
    /// First column on the left, a multiple of [`TALL`].
    first: usize,
    /// `[columns of the task, columns on the right]`
    sums: &'a mut [f64],
    left: &'a Padded,
    right: &'a Padded,
    rows: usize,
    /// Whether only sums with `j ≥ i` are wanted.
    upper: bool,
}

/// `sums[i, j] += Σ left[n, i] · right[n, j]` over the first `rows` rows. If `upper`, what lies below the diagonal of `sums` gets whatever
/// falls into a tile.
pub(super) fn add_products(sums: &mut [f64], left: &Padded, right: &Padded, rows: usize, upper: bool) {
    let (columns, width) = (left.columns, right.columns);
    if sums.is_empty() {
        return;
    }
    let products = rows * columns * if upper { width / 2 } else { width };
    let parts = if products < LEAST_PRODUCTS { 1 } else { 4 * rayon::current_num_threads() };
    let mut tasks = Vec::with_capacity(parts);
    let (mut rest, mut first) = (sums, 0);
    for part in 1..=parts {
        let share = part as f64 / parts as f64;
        // Of a triangle, later columns have shorter rows: the ends share it out evenly.
        let share = if upper { 1.0 - (1.0 - share).sqrt() } else { share };
        let end = ((columns as f64 * share) as usize).next_multiple_of(TALL);
        let end = if part == parts { columns } else { end.clamp(first, columns) };
        let sums = rest.split_off_mut(..(end - first) * width).unwrap_or_default();
        tasks.push(Task { first, sums, left, right, rows, upper });
        first = end;
    }
    let simd = pulp::Arch::new();
    match parts {
        1 => tasks.into_iter().for_each(|task| simd.dispatch(task)),
        _ => tasks.into_par_iter().for_each(|task| simd.dispatch(task)),
    }
}

impl NullaryFnOnce for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Task { first, sums, left, right, rows, upper } = self;
        let (left_tiles, right_tiles) = (left.stride() / TALL, right.stride() / WIDE);
        let (left, width) = (left.cells.as_chunks::<TALL>().0, right.columns);
        let right = right.cells.as_chunks::<WIDE>().0;
        for block in (0..rows).step_by(BLOCK_ROWS) {
            let rows = block..rows.min(block + BLOCK_ROWS);
            let left = &left[rows.start * left_tiles..rows.end * left_tiles];
            let right = &right[rows.start * right_tiles..rows.end * right_tiles];
            for (at, sums) in sums.chunks_mut(TALL * width).enumerate() {
                let i = first / TALL + at;
                let from = if upper { i * TALL / WIDE } else { 0 };
                for j in from..right_tiles {
                    tile(sums, width, j, (&left[i..], left_tiles), (&right[j..], right_tiles));
                }
            }
        }
    }
}

/// Adds a block of rows to the tile of `sums` `[at most TALL, width]` whose columns are the `j`-th [`WIDE`]. Of both sides' rows, each
/// has its part at the start of a stride.
#[inline(always)]
fn tile(
    sums: &mut [f64],
    width: usize,
    j: usize,
    (left, left_stride): (&[[f64; TALL]], usize),
    (right, right_stride): (&[[f64; WIDE]], usize),
) {
    let columns = j * WIDE..width.min((j + 1) * WIDE);
    let mut tile = [[0.0; WIDE]; TALL];
    for (tile, sums) in tile.iter_mut().zip(sums.chunks(width)) {
        tile[..columns.len()].copy_from_slice(&sums[columns.clone()]);
    }
    // Four names instead of an array: the compiler keeps them in registers, and makes vectors of eight.
    let [mut a, mut b, mut c, mut d] = tile;
    for (left, right) in left.chunks(left_stride).zip(right.chunks(right_stride)) {
        let ([p, q, r, s], right) = (left[0], right[0]);
        for k in 0..WIDE {
            a[k] += p * right[k];
            b[k] += q * right[k];
            c[k] += r * right[k];
            d[k] += s * right[k];
        }
    }
    let tile = [a, b, c, d];
    for (tile, sums) in tile.iter().zip(sums.chunks_mut(width)) {
        sums[columns.clone()].copy_from_slice(&tile[..columns.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_add_what_single_sums_add() {
        for (rows, columns, width) in
            [(1, 1, 1), (3, 4, 8), (64, 5, 9), (200, 30, 30), (700, 61, 61), (130, 9, 1)]
        {
            let mut left = Padded::zeros(rows, columns);
            let mut right = Padded::zeros(rows, width);
            for row in 0..rows {
                let value = |column: usize| ((row * 37 + column * 11) as f64).sin();
                left.row(row).iter_mut().enumerate().for_each(|(i, x)| *x = value(i));
                right.row(row).iter_mut().enumerate().for_each(|(j, x)| *x = value(j + 1000).cos());
            }
            let start = |at: usize| at as f64 / 7.0;
            for upper in [false, true] {
                if upper && columns != width {
                    continue;
                }
                let mut sums: Vec<f64> = (0..columns * width).map(start).collect();
                add_products(&mut sums, &left, &right, rows, upper);
                for i in 0..columns {
                    for j in if upper { i } else { 0 }..width {
                        let sum = (0..rows).fold(start(i * width + j), |sum, row| {
                            sum + left.row(row)[i] * right.row(row)[j]
                        });
                        assert_eq!(sums[i * width + j], sum, "{rows} rows, {i}, {j}");
                    }
                }
            }
        }
    }
}
