//! Philox4x32-10: random draws by number, the same on every device.
//!
//! A counter-based generator is a keyed bijection of a counter: draw *i* costs the same as draw 0
//! and depends on nothing but the seed and *i*. It needs 32-bit integer arithmetic only, so a
//! graphics processor gives the same bits as the host.
//!
//! Source: J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, *Parallel random numbers: as easy
//! as 1, 2, 3*, SC 2011, section 3.3. Its reference library's known answers are in the tests.

use std::convert::Infallible;

use rand::TryRng;

/// The rounds' two multipliers (Salmon et al. 2011, table 2).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What each round adds to the key: the golden ratio and √3 − 1, as 32-bit fractions.
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// Rounds recommended with a margin of safety.
const ROUNDS: usize = 10;
/// Words that one evaluation gives.
const LANES: u64 = 4;

/// The Philox4x32-10 bijection: four random words for a counter and a key.
///
/// # Example
/// ```
/// use whybox::perturb::philox::philox4x32_10;
///
/// assert_eq!(
///     philox4x32_10([0; 4], [0; 2]),
///     [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
/// );
/// ```
#[inline(always)]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut left, mut right]) = (counter, key);
    for _ in 0..ROUNDS {
        let (low1, high1) = multiply(MULTIPLIERS[0], a);
        let (low2, high2) = multiply(MULTIPLIERS[1], c);
        (a, b, c, d) = (high2 ^ b ^ left, low2, high1 ^ d ^ right, low1);
        left = left.wrapping_add(KEY_STEPS[0]);
        right = right.wrapping_add(KEY_STEPS[1]);
    }
    [a, b, c, d]
}

/// The low and the high half of a product.
#[inline(always)]
fn multiply(a: u32, b: u32) -> (u32, u32) {
    let [low, high] = halves(u64::from(a) * u64::from(b));
    (low, high)
}

/// Splits a 64-bit number into the two words of a key or counter, low word first.
#[inline(always)]
pub(super) fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// A sequence of random words that can be entered anywhere.
///
/// Word `i` is lane `i % 4` of [`philox4x32_10`] at counter `(i / 4 low, i / 4 high, 0, stream)` and
/// key `(seed low, seed high)`. Streams of one seed never overlap, so each purpose takes its own.
/// It implements the generator trait of the `rand` crate, and so draws from any of its
/// distributions; it is not for cryptography.
///
/// # Example
/// ```
/// use rand::Rng;
/// use whybox::perturb::philox::Philox;
///
/// let mut sequence = Philox::new(42, 0);
/// let words: Vec<u32> = (0..6).map(|_| sequence.next_u32()).collect();
/// assert_eq!(words[5], Philox::new(42, 0).at(5));
/// assert_ne!(words[5], Philox::new(42, 1).at(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
    stream: u32,
    next: u64,
    /// The evaluation that holds word `next`, unless `next` is its first.
    lanes: [u32; LANES as usize],
}

impl Philox {
    /// The sequence of `seed` and `stream`, at its first word.
    pub fn new(seed: u64, stream: u32) -> Self {
        Self { key: halves(seed), stream, next: 0, lanes: [0; LANES as usize] }
    }

    /// Word number `draw`, wherever the sequence stands.
    pub fn at(&self, draw: u64) -> u32 {
        self.block(draw / LANES)[(draw % LANES) as usize]
    }

    /// Goes to word number `draw`.
    ///
    /// # Example
    /// ```
    /// use rand::Rng;
    /// use whybox::perturb::philox::Philox;
    ///
    /// let mut sequence = Philox::new(7, 0);
    /// sequence.seek(1_000_001);
    /// assert_eq!(sequence.next_u32(), sequence.at(1_000_001));
    /// ```
    pub fn seek(&mut self, draw: u64) {
        self.next = draw;
        self.lanes = self.block(draw / LANES);
    }

    fn block(&self, block: u64) -> [u32; LANES as usize] {
        let [low, high] = halves(block);
        philox4x32_10([low, high, 0, self.stream], self.key)
    }
}

impl TryRng for Philox {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let lane = self.next % LANES;
        if lane == 0 {
            self.lanes = self.block(self.next / LANES);
        }
        self.next = self.next.wrapping_add(1);
        Ok(self.lanes[lane as usize])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand::rand_core::utils::next_u64_via_u32(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        rand::rand_core::utils::fill_bytes_via_next_word(bytes, || self.try_next_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    /// The reference library's `kat_vectors` for philox4x32 with 10 rounds.
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn random_access_agrees_with_the_sequence() {
        let mut sequence = Philox::new(0x0123_4567_89ab_cdef, 9);
        let words: Vec<u32> = (0..23).map(|_| sequence.next_u32()).collect();
        for (draw, &word) in words.iter().enumerate() {
            assert_eq!(sequence.at(draw as u64), word);
            let mut entered = Philox::new(0x0123_4567_89ab_cdef, 9);
            entered.seek(draw as u64);
            assert_eq!(entered.next_u32(), word);
        }
        let mut bytes = [0; 10];
        Philox::new(0x0123_4567_89ab_cdef, 9).fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], words[0].to_le_bytes());
    }
}
