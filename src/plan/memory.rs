//! Which values share a buffer.

use std::cmp::Reverse;

/// From its first write to its last read, in step numbers; the input's first is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// Step that writes first; the network's input is there before step 0.
    pub(super) first: Option<usize>,
    /// Step that reads last; the network's output outlives all steps.
    pub(super) last: usize,
    /// Elements per sample.
    pub(super) len: usize,
}

/// Gives each value a buffer. Values whose lifetimes do not touch may share one: a step never reads and writes
/// the same buffer. Returns each value's buffer and the buffers' lengths, rounded up to whole vectors of
/// four so that rows of four channels stay aligned in every sample.
///
/// Greedy by size, largest first (Pisarchyk and Lee, "Efficient memory management for deep neural net
/// inference", 2020): within a few per cent of the optimum for chains and residual networks.
pub(super) fn share(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<usize>) {
    let mut storage = Storage::default();
    storage.share(lifetimes);
    (storage.places, storage.buffers)
}

/// Which buffer each value has; the memory serves one plan after the other.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// Buffer of each value.
    pub(super) places: Vec<usize>,
    /// Elements of each buffer.
    pub(super) buffers: Vec<usize>,
    /// Values, largest first.
    by_size: Vec<usize>,
    /// Whether a buffer holds a value that lives at the same time.
    taken: Vec<bool>,
}

impl Storage {
    /// As [`share`].
    pub(super) fn share(&mut self, lifetimes: &[Lifetime]) {
        let Storage { places, buffers, by_size, taken } = self;
        by_size.clear();
        by_size.extend(0..lifetimes.len());
        by_size.sort_unstable_by_key(|&value| (Reverse(lifetimes[value].len), value));
        places.clear();
        places.resize(lifetimes.len(), 0);
        buffers.clear();
        for (rank, &value) in by_size.iter().enumerate() {
            taken.clear();
            taken.resize(buffers.len(), false);
            for &other in &by_size[..rank] {
                taken[places[other]] |= overlap(lifetimes[value], lifetimes[other]);
            }
            places[value] = taken.iter().position(|&taken| !taken).unwrap_or(buffers.len());
            if places[value] == buffers.len() {
                buffers.push(lifetimes[value].len.next_multiple_of(4));
            }
        }
    }
}

fn overlap(a: Lifetime, b: Lifetime) -> bool {
    let starts_after = |x: Lifetime, y: Lifetime| x.first.is_some_and(|first| first > y.last);
    !starts_after(a, b) && !starts_after(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let life = |first, last, len| Lifetime { first, last, len };
        let chain = [life(None, 0, 10), life(Some(0), 1, 40), life(Some(1), 2, 30), life(Some(2), 3, 5)];
        let (assigned, buffers) = share(&chain);
        assert_eq!(buffers.len(), 2);
        for pair in assigned.windows(2) {
            assert_ne!(pair[0], pair[1], "a step must not read and write one buffer");
        }
        assert_eq!(buffers, [40, 32]);
    }
}
