//! Pictures under segment masks, and networks whose early layers can be shared.

use std::ops::Range;
use std::sync::Arc;

use whybox::device::cpu::Cpu;
use whybox::device::gpu::GpuNetwork;
use whybox::device::{RunOptions, RunReport};
use whybox::model::{Activation, ReduceKind};
use whybox::perturb::{Data, Expander, Program};
use whybox::plan::*;

use super::plans::{Draws, Making, sliding, square, whole};

/// Height and width of all pictures here.
pub const SIZE: [usize; 2] = [13, 11];
pub const PIXELS: usize = SIZE[0] * SIZE[1];

/// A picture whose pixels are a base plus a difference for each present player.
pub struct Picture {
    /// `[rows, pixels, channels]`
    pub data: Vec<f32>,
    pub channels: usize,
    pub dependence: Dependence,
}

impl Picture {
    /// `footprint(pixel)` are the players of a pixel, `present(row, player)` the coalitions.
    pub fn new(
        channels: usize,
        rows: usize,
        footprint: impl Fn(usize) -> Vec<u32>,
        present: impl Fn(usize, u32) -> bool,
    ) -> Self {
        let words_per_row = 4;
        let mut draws = Draws::new(77);
        let mut masks = vec![0u32; rows * words_per_row];
        for row in 0..rows {
            for player in (0..128).filter(|&player| present(row, player)) {
                masks[row * words_per_row + player as usize / 32] |= 1 << (player % 32);
            }
        }
        let (mut starts, mut players) = (vec![0], Vec::new());
        let mut data = vec![0.0; rows * PIXELS * channels];
        for pixel in 0..PIXELS {
            let seen = footprint(pixel);
            let base = draws.floats(channels);
            let differences = draws.floats(channels * seen.len());
            for row in 0..rows {
                let to = &mut data[(row * PIXELS + pixel) * channels..][..channels];
                to.copy_from_slice(&base);
                for (at, _) in seen.iter().enumerate().filter(|(_, player)| present(row, **player)) {
                    to.iter_mut().zip(&differences[at * channels..]).for_each(|(x, d)| *x += d);
                }
            }
            players.extend(seen);
            starts.push(players.len() as u32);
        }
        let dependence =
            Dependence { starts: starts.into(), players: players.into(), masks: masks.into(), words_per_row };
        Picture { data, channels, dependence }
    }

    pub fn rows(&self) -> usize {
        self.data.len() / (PIXELS * self.channels)
    }
}

impl Expander for Picture {
    fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        let len = PIXELS * self.channels;
        out.copy_from_slice(&self.data[rows.start * len..rows.end * len]);
    }

    fn program(&self, rows: Range<usize>) -> Program {
        let len = PIXELS * self.channels;
        let floats = &self.data[rows.start * len..rows.end * len];
        let bytes = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        Program { shader: "perturb/rows", buffers: vec![Data::Chunk(bytes)], params: [0; 4] }
    }

    fn dependence(&self) -> Option<Dependence> {
        Some(self.dependence.clone())
    }

    fn pixel(&self, row: usize, pixel: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.data[(row * PIXELS + pixel) * self.channels..][..self.channels]);
    }
}

/// A coin for each row and player.
pub fn coin(row: usize, player: u32) -> bool {
    Draws::new(row as u64 * 1000 + u64::from(player) + 5).pick(0..2) == 1
}

/// Patches of 4 × 5 pixels, each a player; a few pixels belong to nobody.
pub fn patches(pixel: usize) -> Vec<u32> {
    let (y, x) = (pixel / SIZE[1], pixel % SIZE[1]);
    if pixel % 29 == 3 { Vec::new() } else { vec![(y / 4 * 3 + x / 5) as u32] }
}

/// Segments at the photo's resolution: pixels at the patches' borders see several.
pub fn footprints(pixel: usize) -> Vec<u32> {
    let (y, x) = ((pixel / SIZE[1]) as u32, (pixel % SIZE[1]) as u32);
    let mut seen = vec![y / 4 * 3 + x / 5];
    if y % 4 == 3 {
        seen.push((y / 4 + 1) * 3 + x / 5);
    }
    if x % 5 == 4 {
        seen.push(y / 4 * 3 + x / 5 + 1);
    }
    seen
}

/// A player for every pixel: many more than a restriction's key holds in one pass.
pub fn own_players(pixel: usize) -> Vec<u32> {
    vec![pixel as u32 % 128]
}

/// The pictures that every network is shown.
pub fn pictures(channels: usize) -> Vec<(&'static str, Picture)> {
    vec![
        ("one sample", Picture::new(channels, 1, patches, coin)),
        ("identical samples", Picture::new(channels, 40, patches, |_, player| player % 3 == 0)),
        ("patches", Picture::new(channels, 40, patches, coin)),
        ("footprints", Picture::new(channels, 30, footprints, coin)),
        ("a player for each pixel", Picture::new(channels, 12, own_players, coin)),
        (
            "all distinct everywhere",
            Picture::new(channels, 4, |_| vec![0, 1], |row, player| player < 2 && row >> player & 1 == 1),
        ),
    ]
}

pub fn run(plan: &Plan, picture: &Picture, options: &RunOptions) -> (Vec<f32>, RunReport) {
    let network = Cpu::new().load(Arc::new(plan.clone())).expect("the plan is sound");
    let mut all = Vec::new();
    let report = network
        .run(picture, picture.rows(), options, &mut |_, values| {
            all.extend_from_slice(values);
            Ok(())
        })
        .expect("the plan runs");
    (all, report)
}

/// The same on a GPU.
pub fn run_on(network: &GpuNetwork, picture: &Picture, options: &RunOptions) -> (Vec<f32>, RunReport) {
    let mut all = Vec::new();
    let report = network
        .evaluate(picture, picture.rows(), options, &mut |rows, values| {
            assert_eq!(rows.len() * all.len(), rows.start * values.len(), "rows come in order");
            all.extend_from_slice(values);
            Ok(())
        })
        .expect("the plan runs");
    (all, report)
}

pub fn off() -> RunOptions {
    RunOptions { sharing: Sharing::Off, ..RunOptions::default() }
}

pub fn most() -> RunOptions {
    RunOptions { sharing: Sharing::First(usize::MAX), ..RunOptions::default() }
}

/// Ends with a Linear over the whole picture, which cannot be shared.
pub fn with_linear(mut making: Making, buffer: usize, len: usize) -> Plan {
    let linear = making.conv(sliding([1, 1], square(1, 1, 1, 0)), len, 5, 1, Activation::Identity);
    let out = making.buffer(5);
    making.step(Kernel::Conv(linear), &[whole(buffer, len)], whole(out, 5));
    making.finish(out, 5)
}

/// A network that ends sharing half way: what lies side by side and what is added is expanded together.
pub fn network() -> Plan {
    let same = sliding(SIZE, square(3, 1, 1, 1));
    let mut making = Making::new(23, [3, SIZE[0], SIZE[1]]);
    let [a, b, c] = [0; 3].map(|_| making.buffer(PIXELS * 16));
    let first = making.conv(same, 3, 16, 1, Activation::Relu);
    making.step(Kernel::Conv(first), &[whole(0, 3)], whole(a, 16));
    for offset in [0, 8] {
        let half = making.conv(same, 16, 8, 1, Activation::Relu);
        making.step(Kernel::Conv(half), &[whole(a, 16)], View { buffer: b, offset, stride: 16 });
    }
    let mean = Reduce { kind: ReduceKind::Mean, outer: 1, len: PIXELS, inner: 16 };
    let d = making.buffer(16);
    making.step(Kernel::Reduce(mean), &[whole(b, 16)], whole(d, 16));
    let mut last = making.conv(same, 16, 16, 1, Activation::Relu);
    last.residual = true;
    making.step(Kernel::Conv(last), &[whole(b, 16), whole(a, 16)], whole(c, 16));
    with_linear(making, c, PIXELS * 16)
}
