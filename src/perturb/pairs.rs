//! Pairs of complementary coalitions for Shapley regressions, without replacement.

use std::collections::{HashMap, HashSet};

use rand::Rng;

use super::Coalitions;
use super::philox::Philox;
use crate::{Error, Result};

/// Streams of the generator: one for each size of coalition, from here on.
const PAIRS_STREAM: u32 = 0x5348_0000;

/// Sizes with at most this many pairs are shuffled exactly; larger ones reject what was drawn before.
const MOST_SHUFFLED: f64 = (1 << 22) as f64;

/// How the evaluations are shared out among the sizes of coalitions.
///
/// # Example
/// ```
/// use whybox::perturb::{PairSampler, SizeSampling};
///
/// let single = |sampling| -> whybox::Result<usize> {
///     let mut pairs = PairSampler::new(40, sampling, 0)?;
///     pairs.extend(200);
///     let drawn = pairs.coalitions();
///     Ok((0..200).filter(|&row| [1, 39].contains(&drawn.count(row))).count())
/// };
/// // The Shapley kernel prefers the smallest and the largest coalitions.
/// assert!(single(SizeSampling::Kernel)? > single(SizeSampling::Leverage)?);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SizeSampling {
    /// Every size alike: the leverage scores of the Shapley regression (Musco and Witter, *Provably accurate
    /// Shapley value estimation via leverage score sampling*, ICLR 2025, arXiv 2410.01917).
    #[default]
    Leverage,
    /// By the Shapley kernel, `1 / (s (n - s))`, as `shap` does.
    Kernel,
}

/// A growing sample of pairs (S, N∖S), stratified by size and drawn without replacement.
///
/// Each further pair goes to the size that is furthest behind its share (Webster's method), so sizes with few
/// coalitions are soon enumerated, and the sample of a smaller budget is a prefix of that of a larger one: draws
/// do not depend on rounds or blocks.
///
/// # Example
/// ```
/// use whybox::perturb::{PairSampler, SizeSampling};
///
/// let mut sampler = PairSampler::new(10, SizeSampling::Leverage, 42)?;
/// sampler.extend(100);
/// assert_eq!(sampler.coalitions().rows(), 100);
/// sampler.extend(10_000);
/// assert!(sampler.complete()); // there are 2^9 - 1 pairs
/// assert_eq!(sampler.coalitions().rows(), 511);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PairSampler {
    coalitions: Coalitions,
    strata: Vec<Stratum>,
    /// The stratum of each pair.
    order: Vec<u32>,
}

/// The pairs whose smaller coalition has `size` players.
#[derive(Debug, Clone)]
struct Stratum {
    size: usize,
    /// Pairs that there are.
    pairs: f64,
    /// Part of the evaluations, up to a constant.
    share: f64,
    /// Sum of the Shapley kernel over the stratum, up to the same constant for all.
    mass: f64,
    drawn: usize,
    draws: Draws,
}

#[derive(Debug, Clone)]
enum Draws {
    /// A shuffle of the ranks of which only the displaced ones are kept.
    Shuffled(HashMap<u64, u64>, Philox),
    Rejecting(HashSet<Vec<u32>>, Philox),
}

impl PairSampler {
    /// No pairs yet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for zero players.
    pub fn new(players: usize, sampling: SizeSampling, seed: u64) -> Result<Self> {
        if players == 0 {
            return Err(Error::parameter(
                "zero players",
                "coalitions for Shapley values",
                "give at least one segment, column or token to vary",
            ));
        }
        let strata = (1..=players / 2).map(|size| Stratum::new(players, size, sampling, seed)).collect();
        Ok(Self { coalitions: Coalitions::new(players), strata, order: Vec::new() })
    }

    /// Draws until there are `pairs` pairs, or no more.
    pub fn extend(&mut self, pairs: usize) {
        while self.order.len() < pairs {
            let claim = |stratum: &Stratum| stratum.share / (stratum.drawn as f64 + 0.5);
            let open = self.strata.iter().enumerate().filter(|(_, stratum)| !stratum.complete());
            let next = open.reduce(|best, other| if claim(other.1) > claim(best.1) { other } else { best });
            let Some((place, _)) = next else { return };
            let members = self.strata[place].draw(self.coalitions.players());
            self.coalitions.push(|player| members.binary_search(&player).is_ok());
            self.order.push(place as u32);
        }
    }

    /// One coalition of each pair, in the order of drawing.
    pub fn coalitions(&self) -> &Coalitions {
        &self.coalitions
    }

    /// Whether every pair has been drawn.
    pub fn complete(&self) -> bool {
        self.strata.iter().all(Stratum::complete)
    }

    /// The stratum of each pair: a number below [`PairSampler::strata`].
    pub fn stratum(&self, pair: usize) -> usize {
        self.order[pair] as usize
    }

    /// For each stratum, how many pairs were drawn, and which part of all that is.
    pub fn strata(&self) -> Vec<(usize, f64)> {
        self.strata.iter().map(|stratum| (stratum.drawn, stratum.drawn as f64 / stratum.pairs)).collect()
    }

    /// The weight of each pair: the Shapley kernel over the probability of inclusion, so that a size counts for its
    /// whole mass (corrected weights: Olsen and Jullum, arXiv 2410.04883). The mass of a size that no pair of was
    /// drawn goes to the nearest size.
    pub fn weights(&self) -> Vec<f64> {
        let mut masses: Vec<f64> = self.strata.iter().map(|s| s.mass).collect();
        let drawn: Vec<usize> = (0..self.strata.len()).filter(|&s| self.strata[s].drawn > 0).collect();
        for empty in (0..self.strata.len()).filter(|&s| self.strata[s].drawn == 0) {
            if let Some(&nearest) = drawn.iter().min_by_key(|s| s.abs_diff(empty)) {
                masses[nearest] += masses[empty];
            }
        }
        let each: Vec<f64> =
            masses.iter().zip(&self.strata).map(|(m, s)| m / s.drawn.max(1) as f64).collect();
        self.order.iter().map(|&stratum| each[stratum as usize]).collect()
    }
}

impl Stratum {
    fn new(players: usize, size: usize, sampling: SizeSampling, seed: u64) -> Self {
        // At half the players, a coalition and its complement are of one size.
        let half = if 2 * size == players { 0.5 } else { 1.0 };
        let mass = half / (size as f64 * (players - size) as f64);
        let pairs = half * binomial(players, size);
        let generator = Philox::new(seed, PAIRS_STREAM.wrapping_add(size as u32));
        Stratum {
            size,
            pairs: pairs.round(),
            share: match sampling {
                SizeSampling::Leverage => half,
                SizeSampling::Kernel => mass,
            },
            mass,
            drawn: 0,
            draws: if pairs <= MOST_SHUFFLED {
                Draws::Shuffled(HashMap::new(), generator)
            } else {
                Draws::Rejecting(HashSet::new(), generator)
            },
        }
    }

    fn complete(&self) -> bool {
        self.drawn as f64 >= self.pairs
    }

    /// The members of a coalition that was not drawn before, ascending.
    fn draw(&mut self, players: usize) -> Vec<usize> {
        let half = 2 * self.size == players;
        let first = self.drawn as u64;
        self.drawn += 1;
        match &mut self.draws {
            Draws::Shuffled(moved, generator) => {
                let other = first + below(generator, self.pairs as u64 - first);
                let here = moved.remove(&first).unwrap_or(first);
                let rank = if other == first { here } else { moved.insert(other, here).unwrap_or(other) };
                // Of a pair of halves, the one with player 0 is taken.
                match half {
                    true => std::iter::once(0)
                        .chain(unrank(players - 1, self.size - 1, rank).into_iter().map(|p| p + 1))
                        .collect(),
                    false => unrank(players, self.size, rank),
                }
            }
            Draws::Rejecting(seen, generator) => loop {
                // Floyd's sample of `size` of the players.
                let mut members: Vec<u32> = Vec::with_capacity(self.size);
                for bound in players - self.size..players {
                    let draw = below(generator, bound as u64 + 1) as u32;
                    members.push(if members.contains(&draw) { bound as u32 } else { draw });
                }
                members.sort_unstable();
                if half && members[0] != 0 {
                    members = (0..players as u32).filter(|p| members.binary_search(p).is_err()).collect();
                }
                if seen.insert(members.clone()) {
                    return members.into_iter().map(|p| p as usize).collect();
                }
            },
        }
    }
}

/// An integer below `bound`, from two words; the bias is below `bound / 2^64`.
pub(crate) fn below(generator: &mut Philox, bound: u64) -> u64 {
    ((u128::from(generator.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// A permutation of `players` players by its number: the same whatever was drawn before.
pub(crate) fn permutation(players: usize, seed: u64, stream: u32, number: u64) -> Vec<usize> {
    let mut generator = Philox::new(seed, stream);
    generator.seek(number * 2 * players as u64);
    let mut order: Vec<usize> = (0..players).collect();
    for last in (1..players).rev() {
        order.swap(last, below(&mut generator, last as u64 + 1) as usize);
    }
    order
}

/// `C(n, k)`; infinite where f64 ends.
pub(crate) fn binomial(n: usize, k: usize) -> f64 {
    let k = k.min(n - k);
    (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64)
}

/// The subset of `size` of `players` with a rank in the order of their largest members.
fn unrank(players: usize, size: usize, mut rank: u64) -> Vec<usize> {
    let mut members = vec![0; size];
    let mut limit = players;
    for place in (0..size).rev() {
        let count = |top: usize| if top < place + 1 { 0 } else { binomial(top, place + 1).round() as u64 };
        // The largest member whose predecessors do not reach the rank.
        let top = (place..limit).rev().find(|&top| count(top) <= rank).unwrap_or(place);
        rank -= count(top);
        members[place] = top;
        limit = top;
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pairs_are_drawn_once_and_a_prefix_is_a_smaller_sample() {
        for players in 1..=11 {
            for sampling in [SizeSampling::Leverage, SizeSampling::Kernel] {
                let mut all = PairSampler::new(players, sampling, 5).unwrap();
                all.extend(usize::MAX);
                let pairs = (1usize << (players - 1)) - 1;
                assert_eq!(all.coalitions().rows(), pairs, "{players} players");
                let mut seen = HashSet::new();
                let complement = all.coalitions().complement();
                for pair in 0..pairs {
                    assert!(seen.insert(all.coalitions().row_words(pair).to_vec()));
                    assert!(seen.insert(complement.row_words(pair).to_vec()));
                }
                let mut rounds = PairSampler::new(players, sampling, 5).unwrap();
                [1, 7, 30].into_iter().for_each(|pairs| rounds.extend(pairs));
                let rows = rounds.coalitions().rows();
                assert_eq!(rounds.coalitions(), &all.coalitions().slice(0..rows));
            }
        }
    }

    #[test]
    fn many_players_are_drawn_without_repetition() {
        let mut sampler = PairSampler::new(60, SizeSampling::Leverage, 1).unwrap();
        sampler.extend(5000);
        let rows: HashSet<&[u32]> = (0..5000).map(|row| sampler.coalitions().row_words(row)).collect();
        assert_eq!(rows.len(), 5000);
        let total: f64 = sampler.weights().iter().sum();
        let mass: f64 = sampler.strata.iter().map(|s| s.mass).sum();
        assert!((total - mass).abs() < 1e-12 * mass);
    }

    #[test]
    fn ranks_are_one_to_one() {
        let sets: HashSet<Vec<usize>> = (0..126).map(|rank| unrank(9, 4, rank)).collect();
        assert_eq!(sets.len(), 126);
        assert!(sets.iter().all(|set| set.windows(2).all(|w| w[0] < w[1]) && set[3] < 9));
    }
}
