//! A column of a table as LIME's neighbourhood draws it, many rows at a time.
//!
//! Cells are drawn a [`TILE`] of rows of one column at a time, in loops without branches that the compiler turns into vectors of
//! whatever instruction set it is told of ([`pulp`]). They do nothing whose result is not exactly rounded (sums, products, quotients, square roots, bits), in
//! the order in which they are written: every instruction set gives the same bits. Only tails thinner than one in 10¹¹ ask the library
//! for a logarithm, number by number.

use statrs::distribution::{ContinuousCDF, Normal};

use super::bins::Bins;
use super::philox::{halves, philox4x32_10};
use super::quantile::{CENTRAL, LEAST_TAIL, central_quantile, normal_quantile, tail_quantile};

/// The stream that neighbourhoods are drawn from.
const NEIGHBOURHOOD_STREAM: u32 = 16;

/// Rows that are drawn together.
pub(super) const TILE: usize = 64;

/// A number for each row of a tile.
pub(super) type Lanes = [f64; TILE];

/// One column as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// Codes and their cumulative shares.
    Categories { values: Vec<f64>, cumulative: Vec<f64> },
    /// Bins, and how each is drawn from.
    Binned { bins: Bins, cumulative: Vec<f64>, draws: Vec<Truncated> },
    /// Mean and standard deviation (1 for a constant column).
    Continuous { mean: f64, scale: f64 },
}

/// A normal distribution between two ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Truncated {
    /// Lower-tail probability of one end, and how much the other's is above it; of the mirror image of the distribution, if it lies
    /// above its mean.
    from: f64,
    width: f64,
    mean: f64,
    /// Below 0 for a mirror image.
    scale: f64,
    low: f64,
    high: f64,
}

impl Truncated {
    fn new(bins: &Bins, bin: usize) -> Self {
        let normal = Normal::standard();
        let (mean, std) = (bins.means[bin], bins.stds[bin]);
        let (low, high) = (bins.lows[bin], bins.highs[bin]);
        let standard = |x: f64| (x - mean) / std;
        // Far above the mean, probabilities near 1 have lost their digits; the mirror image has not.
        let mirrored = standard(low) > 0.0;
        let [from, to] =
            if mirrored { [-standard(high), -standard(low)] } else { [standard(low), standard(high)] }
                .map(|z| normal.cdf(z));
        Truncated { from, width: to - from, mean, scale: if mirrored { -std } else { std }, low, high }
    }
}

impl Column {
    pub fn categories(mut column: Vec<f64>) -> Self {
        column.sort_by(f64::total_cmp);
        let total = column.len() as f64;
        let runs: Vec<(f64, usize)> = column.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
        let shares: Vec<f64> = runs.iter().map(|&(_, count)| count as f64 / total).collect();
        Column::Categories {
            values: runs.iter().map(|&(value, _)| value).collect(),
            cumulative: cumulative(&shares),
        }
    }

    pub fn binned(bins: Bins) -> Self {
        let draws = (0..bins.means.len()).map(|bin| Truncated::new(&bins, bin)).collect();
        Column::Binned { cumulative: cumulative(&bins.shares), draws, bins }
    }

    pub fn continuous(column: &[f64]) -> Self {
        let n = column.len() as f64;
        let mean = column.iter().sum::<f64>() / n;
        let scale = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        // As scikit-learn's StandardScaler: a constant column is not scaled.
        let constant = scale <= 10.0 * f64::EPSILON * mean.abs();
        Column::Continuous { mean, scale: if constant { 1.0 } else { scale } }
    }

    /// The code or bin of the instance's value; unused for continuous columns.
    pub fn place(&self, x: f64) -> f64 {
        match self {
            Column::Binned { bins, .. } => bins.of(x) as f64,
            _ => x,
        }
    }

    /// What the surrogate (`data`) and what the black box (`codes`) sees, for two uniform numbers a row. `own`: the instance's
    /// [`place`](Column::place); `centre`: what a continuous column is drawn around, if not the table's mean.
    #[inline(always)]
    pub fn draw(
        &self,
        [choice, within]: &[Lanes; 2],
        own: f64,
        centre: Option<f64>,
        data: &mut Lanes,
        codes: &mut Lanes,
    ) {
        match self {
            Column::Categories { values, cumulative } => {
                for lane in 0..TILE {
                    codes[lane] = values[pick(cumulative, choice[lane])];
                    data[lane] = f64::from(u8::from(codes[lane] == own));
                }
            }
            Column::Binned { cumulative, draws, .. } => {
                truncated(cumulative, draws, [choice, within], data, codes);
                for data in data {
                    *data = if *data == own { 1.0 } else { 0.0 };
                }
            }
            Column::Continuous { mean, scale } => {
                let centre = centre.unwrap_or(*mean);
                quantiles(within, codes);
                for (data, code) in data.iter_mut().zip(codes) {
                    *code = *code * scale + centre;
                    *data = (*code - mean) / scale;
                }
            }
        }
    }
}

/// Picks a bin for each `choice` and draws a number in it; `picked` gets the bins' numbers.
#[inline(always)]
fn truncated(
    cumulative: &[f64],
    draws: &[Truncated],
    [choice, within]: [&Lanes; 2],
    picked: &mut Lanes,
    codes: &mut Lanes,
) {
    let first = draws[0];
    *picked = [0.0; TILE];
    let (mut from, mut width) = ([first.from; TILE], [first.width; TILE]);
    let (mut mean, mut scale) = ([first.mean; TILE], [first.scale; TILE]);
    let (mut low, mut high) = ([first.low; TILE], [first.high; TILE]);
    // The last bin whose predecessors' share is not above the choice: as `pick`, without branches.
    for bin in 1..=last(cumulative) {
        let (before, draw, number) = (cumulative[bin - 1], draws[bin], bin as f64);
        for lane in 0..TILE {
            let beyond = before <= choice[lane];
            let choose = |new: f64, old: f64| if beyond { new } else { old };
            picked[lane] = choose(number, picked[lane]);
            from[lane] = choose(draw.from, from[lane]);
            width[lane] = choose(draw.width, width[lane]);
            mean[lane] = choose(draw.mean, mean[lane]);
            scale[lane] = choose(draw.scale, scale[lane]);
            low[lane] = choose(draw.low, low[lane]);
            high[lane] = choose(draw.high, high[lane]);
        }
    }
    for lane in 0..TILE {
        from[lane] += within[lane] * width[lane];
    }
    quantiles(&from, codes);
    for lane in 0..TILE {
        let value = mean[lane] + scale[lane] * codes[lane];
        // Rounding, or a bin that is one value.
        let value = if value.is_finite() { value } else { mean[lane] };
        let value = if value < low[lane] { low[lane] } else { value };
        codes[lane] = if value > high[lane] { high[lane] } else { value };
    }
}

/// [`normal_quantile`] of each number.
#[inline(always)]
fn quantiles(p: &Lanes, z: &mut Lanes) {
    for (z, &p) in z.iter_mut().zip(p) {
        *z = central_quantile(p);
    }
    // The tails, moved together.
    let (mut tails, mut lanes, mut count) = ([LEAST_TAIL; TILE], [0; TILE], 0);
    for (lane, &p) in p.iter().enumerate() {
        // Counting instead of branching: where the tails are is up to chance.
        (tails[count], lanes[count]) = (if p < 0.5 { p } else { 1.0 - p }, lane);
        count += usize::from((p - 0.5).abs() > CENTRAL);
    }
    let mut far = [0.0; TILE];
    for (far, tails) in far.chunks_exact_mut(8).zip(tails.chunks_exact(8)).take(count.div_ceil(8)) {
        for (far, &tail) in far.iter_mut().zip(tails) {
            *far = tail_quantile(tail);
        }
    }
    for at in 0..count {
        let (lane, tail) = (lanes[at], tails[at]);
        z[lane] = match tail >= LEAST_TAIL {
            true if p[lane] < 0.5 => -far[at],
            true => far[at],
            false => normal_quantile(p[lane]),
        };
    }
}

fn cumulative(shares: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    shares
        .iter()
        .map(|share| {
            sum += share;
            sum
        })
        .collect()
}

/// The last share above zero.
fn last(cumulative: &[f64]) -> usize {
    cumulative.partition_point(|&sum| sum < cumulative[cumulative.len() - 1])
}

/// The first place whose cumulative share exceeds `u`; rounding at the end goes to the last share above zero.
fn pick(cumulative: &[f64], u: f64) -> usize {
    cumulative.partition_point(|&sum| sum <= u).min(last(cumulative))
}

/// Two uniform numbers in (0, 1) for each of the rows from `row` on.
#[inline(always)]
pub(super) fn uniforms(row: u64, feature: u32, seed: u64) -> [Lanes; 2] {
    let mut numbers = [[0.0; TILE]; 2];
    let [choice, within] = &mut numbers;
    let key = halves(seed);
    for lane in 0..TILE {
        let [low, high] = halves(row + lane as u64);
        let [a, b, c, d] = philox4x32_10([low, high, feature, NEIGHBOURHOOD_STREAM], key);
        choice[lane] = uniform(a, b);
        within[lane] = uniform(c, d);
    }
    numbers
}

/// `(n + 1/2) / 2⁵²` for the upper 52 of 64 bits: they are the fraction of a number in 1..2, from which 1 less half a step is taken, and
/// the difference has no rounding.
#[inline(always)]
fn uniform(low: u32, high: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
    f64::from_bits(1.0f64.to_bits() | bits) - (1.0 - f64::EPSILON / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perturb::Discretiser;

    #[test]
    fn uniform_numbers_lie_in_the_middle_of_their_steps() {
        for (low, high) in [(0, 0), (u32::MAX, u32::MAX), (0x1234_5678, 0x9abc_def0), (1 << 12, 0)] {
            let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
            assert_eq!(uniform(low, high), (bits as f64 + 0.5) / (1u64 << 52) as f64);
        }
        assert!(uniform(0, 0) > 0.0 && uniform(u32::MAX, u32::MAX) < 1.0);
    }

    /// Bin by bin, with the functions of one number.
    #[test]
    fn tiles_are_what_single_draws_are() {
        let column: Vec<f64> = (0..300).map(|i| (f64::from(i) * 0.61).sin().powi(3) * 40.0).collect();
        for discretiser in [Discretiser::Quartile, Discretiser::Decile] {
            let bins = Bins::new(&column, discretiser, None).unwrap().unwrap();
            let drawn = Column::binned(bins.clone());
            let Column::Binned { cumulative, draws, .. } = &drawn else { unreachable!() };
            let numbers = uniforms(5, 2, 9);
            let (mut data, mut codes) = ([0.0; TILE], [0.0; TILE]);
            drawn.draw(&numbers, 1.0, None, &mut data, &mut codes);
            for lane in 0..TILE {
                let bin = pick(cumulative, numbers[0][lane]);
                let Truncated { from, width, mean, scale, .. } = draws[bin];
                let value = mean + scale * normal_quantile(from + numbers[1][lane] * width);
                assert_eq!(codes[lane], value.clamp(bins.lows[bin], bins.highs[bin]));
                assert_eq!(data[lane] == 1.0, bin == 1);
            }
        }
    }

    #[test]
    fn empty_bins_are_never_picked() {
        let shares = cumulative(&[0.0, 0.5, 0.0, 0.5, 0.0]);
        for (u, bin) in [(0.0, 1), (0.4999, 1), (0.5, 3), (0.9999, 3), (1.0, 3)] {
            assert_eq!(pick(&shares, u), bin, "{u}");
        }
    }
}
