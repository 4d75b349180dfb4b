//! Where the activations of a chunk lie: all in one buffer, the *arena*.
//!
//! One buffer serves all steps, so a step may read and write the same plan buffer (a Concat in place does); and
//! it serves all chunks in flight, since a queue runs them one after the other.

use crate::device::Precision;
use crate::plan::{Needs, Plan};

/// Regions begin at multiples of so many bytes: a binding may begin there on every adapter.
const ALIGN_BYTES: u64 = 256;

/// Elements behind the last region: kernels that read by quads may read over the end.
const TAIL: usize = 64;

/// A region's place: element (sample n, element e) lies at `base + n · sample + e`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    /// First element.
    pub base: u32,
    /// Elements from one sample to the next.
    pub sample: u32,
}

/// The arena of chunks of up to `rows` samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arena {
    /// The plan's buffers, in order.
    pub buffers: Vec<Region>,
    /// The outputs, `[rows, outputs]` without gaps.
    pub responses: Region,
    /// Elements of the whole.
    pub len: u64,
    /// How elements are stored.
    pub precision: Precision,
}

/// Elements from a sample to the next: quads have to begin at multiples of four in every sample.
fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

impl Arena {
    /// Lays out the arena. The caller sees to it that [`bytes`](Arena::bytes) stay below 2³¹, so that every number
    /// here fits in 32 bits.
    pub(crate) fn new(plan: &Plan, rows: usize, precision: Precision) -> Self {
        let align = (ALIGN_BYTES / precision.bytes()) as usize;
        let mut next = 0;
        let mut place = |sample: usize| {
            let region = Region { base: next as u32, sample: sample as u32 };
            next += (rows * sample).next_multiple_of(align);
            region
        };
        let buffers = plan.buffers.iter().map(|&len| place(padded(len))).collect();
        let responses = place(plan.outputs);
        Arena { buffers, responses, len: (next + TAIL) as u64, precision }
    }

    /// Bytes of the arena.
    pub(crate) fn bytes(&self) -> u64 {
        self.precision.bytes() * self.len
    }

    /// Byte at which an element lies.
    pub(crate) fn offset(&self, element: u32) -> u64 {
        self.precision.bytes() * u64::from(element)
    }

    /// Bytes of `len` elements, in whole words.
    pub(crate) fn bytes_of(&self, len: usize) -> u64 {
        (self.precision.bytes() * len as u64).next_multiple_of(4)
    }

    /// What the arena of a chunk takes: gaps between regions, and the samples.
    pub(crate) fn needs(plan: &Plan, precision: Precision) -> Needs {
        let stored = plan.buffers.iter().map(|&len| padded(len)).sum::<usize>() + plan.outputs;
        let gaps = ALIGN_BYTES * (plan.buffers.len() as u64 + 1);
        let bytes = precision.bytes();
        Needs { fixed_bytes: bytes * TAIL as u64 + gaps, sample_bytes: bytes * stored as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{InputLayout, Schedule, View};

    fn plan(buffers: &[usize], outputs: usize) -> Plan {
        let view = View { buffer: 0, offset: 0, stride: 1 };
        Plan {
            input_layout: InputLayout { shape: vec![buffers[0]], channels_last: false, vocabulary: None },
            input: view,
            output: view,
            outputs,
            buffers: buffers.to_vec(),
            steps: Vec::new(),
            weights: Vec::new(),
        }
    }

    #[test]
    fn regions_are_aligned_and_apart() {
        let plan = plan(&[5, 8, 1], 3);
        let arena = Arena::new(&plan, 7, Precision::F32);
        assert_eq!(arena.buffers[0], Region { base: 0, sample: 8 });
        assert_eq!(arena.buffers[1], Region { base: 64, sample: 8 });
        assert_eq!(arena.buffers[2], Region { base: 128, sample: 4 });
        assert_eq!(arena.responses, Region { base: 192, sample: 3 });
        assert_eq!((arena.len, arena.bytes()), (320, 1280));
        let arena = Arena::new(&plan, 7, Precision::F16);
        assert_eq!(arena.buffers[1], Region { base: 128, sample: 8 });
        assert_eq!((arena.len, arena.bytes()), (3 * 128 + 128 + 64, 1152));
        assert_eq!((arena.offset(128), arena.bytes_of(21)), (256, 44));
    }

    #[test]
    fn the_schedule_keeps_the_cap() {
        let both = |cap: u64| [(cap, Precision::F32), (cap, Precision::F16)];
        for (buffers, outputs) in [(vec![1, 1, 1], 1), (vec![150_528, 802_816], 1000), (vec![13, 41, 7], 2)] {
            let plan = plan(&buffers, outputs);
            for (cap, precision) in [8 << 10, 1 << 20, 100 << 20].into_iter().flat_map(both) {
                let needs = Arena::needs(&plan, precision);
                if let Ok(schedule) = Schedule::new(&plan, 1 << 30, None, needs, cap, 1 << 30) {
                    let bytes = Arena::new(&plan, schedule.chunk_rows, precision).bytes();
                    assert!(bytes <= cap, "{buffers:?} {cap}");
                }
            }
        }
    }
}
