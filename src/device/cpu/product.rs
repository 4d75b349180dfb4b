//! The matrix product under convolutions: rows given by address, weights packed in panels.
//!
//! `out[r, o] = act(Σ_{t,i} rows[r][t][i] · w[t, i, o] + bias[o] (+ residual[r, o]))`. For each tap
//! `t`, each row `r` is an address of `depth` contiguous floats (a pixel's channels, or zeros outside
//! the picture), so that convolutions need no copy of their input. [`MR`] rows by up to four vectors of
//! output channels are summed in registers.
//!
//! The order of additions for an element depends on the weights' shape only: not on the number of rows,
//! nor on their place in a block. So results do not change with the number of samples or threads.

use std::ops::Range;

use super::memory::Aligned;
use super::simd::{Job, Level, Simd, is_deferred};
use crate::model::Activation;

/// Rows of a register tile.
pub(crate) const MR: usize = 6;

/// Most multiply-adds for one element in one pass: the panel streams from the second cache, the rows of
/// a tile stay in the first.
pub(crate) const PASS_DEPTH: usize = 512;

/// Most output channels of a tile.
const MAX_WIDTH: usize = 64;

/// Vectors of output channels of a register tile, at most: `v` of them take [`MR`] · v sums, v weights and an input. So
/// 4 with 32 registers, 2 with 16.
fn tile_vectors(level: Level) -> usize {
    (level.registers() - 1) / (MR + 1)
}

/// A group of output channels that are summed together.
#[derive(Clone, Copy)]
struct Panel {
    /// Its first output channel.
    first: usize,
    /// Vectors of output channels.
    vectors: usize,
    /// Start within a matrix.
    offset: usize,
}

/// Taps and channels that are summed in one pass.
#[derive(Clone)]
struct Pass {
    taps: Range<usize>,
    channels: Range<usize>,
}

/// Weights in the order in which the product reads them: `[matrices][panels][taps · depth][vectors ·
/// LANES]`, missing output channels 0.
pub(crate) struct Packed {
    data: Aligned,
    panels: Vec<Panel>,
    passes: Vec<Pass>,
    matrix_len: usize,
    taps: usize,
    depth: usize,
    channels: usize,
}

impl Packed {
    /// Packs `matrices` matrices of `[taps · depth, channels]`; `weight(m, k, o)` is an element.
    pub fn new(
        level: Level,
        [matrices, taps, depth, channels]: [usize; 4],
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let lanes = level.lanes();
        let rows = taps * depth;
        let mut panels = Vec::new();
        let mut offset = 0;
        let vectors = channels.div_ceil(lanes);
        let count = vectors.div_ceil(tile_vectors(level)).max(1);
        let mut first = 0;
        for panel in 0..count {
            // Panels of equal width, or nearly: a narrow last one would waste the registers.
            let width = vectors * (panel + 1) / count - vectors * panel / count;
            panels.push(Panel { first, vectors: width, offset });
            first += width * lanes;
            offset += rows * width * lanes;
        }
        let mut data = Aligned::zeros(matrices * offset);
        let all = data.as_mut_slice();
        for matrix in 0..matrices {
            for panel in &panels {
                let width = panel.vectors * lanes;
                let used = width.min(channels - panel.first);
                for k in 0..rows {
                    let start = matrix * offset + panel.offset + k * width;
                    for (o, element) in all[start..start + used].iter_mut().enumerate() {
                        *element = weight(matrix, k, panel.first + o);
                    }
                }
            }
        }
        Packed { data, panels, passes: passes(taps, depth), matrix_len: offset, taps, depth, channels }
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.panels.len()
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    /// Floats of partial sums for each row, 0 if one pass does.
    pub fn partial_floats(&self, level: Level) -> usize {
        if self.passes.len() == 1 { 0 } else { tile_vectors(level) * level.lanes() }
    }

    /// [`partial_floats`](Packed::partial_floats) of a matrix that is packed later.
    pub fn partial_floats_for(level: Level, depth: usize) -> usize {
        if depth <= PASS_DEPTH { 0 } else { tile_vectors(level) * level.lanes() }
    }

    /// Contiguous floats of each row.
    pub fn depth(&self) -> usize {
        self.depth
    }
}

/// Splits taps × depth into passes of about [`PASS_DEPTH`] multiply-adds, equally.
fn passes(taps: usize, depth: usize) -> Vec<Pass> {
    let split = |total: usize, most: usize| {
        let count = total.div_ceil(most.max(1)).max(1);
        (0..count).map(move |i| total * i / count..total * (i + 1) / count)
    };
    if depth > PASS_DEPTH {
        let each = |tap| split(depth, PASS_DEPTH).map(move |channels| Pass { taps: tap..tap + 1, channels });
        (0..taps).flat_map(each).collect()
    } else {
        let most = PASS_DEPTH / depth.max(1);
        split(taps, most).map(|taps| Pass { taps, channels: 0..depth }).collect()
    }
}

/// A block of rows times a range of panels.
pub(crate) struct Product<'a> {
    /// The weights,
    pub weights: &'a Packed,
    /// of which this matrix is used,
    pub matrix: usize,
    /// and these panels of it.
    pub panels: Range<usize>,
    /// `[tiles, taps, MR]`: where each row's `depth` floats lie. Rows beyond the last repeat any valid one.
    pub inputs: &'a [*const f32],
    /// `[rows]`: where each row of the result goes.
    pub outputs: &'a [*mut f32],
    /// `[rows]`, or empty: what is added before the activation.
    pub residuals: &'a [*const f32],
    /// One for each output channel, or empty.
    pub bias: &'a [f32],
    /// Applied last.
    pub activation: Activation,
    /// Room for [`Packed::partial_floats`] × rows rounded up to tiles.
    pub partial: &'a mut [f32],
}

/// What a register tile is summed from and where it goes.
struct Tile<'a> {
    /// `[taps, MR]`
    inputs: *const *const f32,
    taps: usize,
    /// First channel and number of channels.
    channel: usize,
    depth: usize,
    panel: *const f32,
    /// `[MR, vectors · LANES]`
    partial: *mut f32,
    first_pass: bool,
    last_pass: bool,
    outputs: &'a [*mut f32],
    residuals: &'a [*const f32],
    /// First output channel and number of them.
    column: usize,
    columns: usize,
    bias: &'a [f32],
    activation: Activation,
}

impl Product<'_> {
    /// Checks the lengths on which the addresses within [`run`](Job::run) rely.
    fn check(&self) {
        let tiles = self.outputs.len().div_ceil(MR);
        assert!(self.inputs.len() >= tiles * self.weights.taps * MR);
        assert!(self.residuals.is_empty() || self.residuals.len() == self.outputs.len());
        assert!(self.bias.is_empty() || self.bias.len() == self.weights.channels);
        assert!(self.panels.end <= self.weights.panels.len());
        assert!((self.matrix + 1) * self.weights.matrix_len <= self.weights.data.len());
    }
}

impl Job for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.check();
        let weights = self.weights;
        let tiles = self.outputs.len().div_ceil(MR);
        let matrix = &weights.data.as_slice()[self.matrix * weights.matrix_len..];
        for panel in &weights.panels[self.panels.clone()] {
            let width = panel.vectors * S::LANES;
            assert!(weights.passes.len() == 1 || self.partial.len() >= tiles * MR * width);
            for (number, pass) in weights.passes.iter().enumerate() {
                let k = pass.taps.start * weights.depth + pass.channels.start;
                for tile in 0..tiles {
                    let rows = tile * MR..((tile + 1) * MR).min(self.outputs.len());
                    let residuals =
                        if self.residuals.is_empty() { &[] } else { &self.residuals[rows.clone()] };
                    let tile = Tile {
                        inputs: self.inputs[(tile * weights.taps + pass.taps.start) * MR..].as_ptr(),
                        taps: pass.taps.len(),
                        channel: pass.channels.start,
                        depth: pass.channels.len(),
                        panel: matrix[panel.offset + k * width..].as_ptr(),
                        partial: if weights.passes.len() == 1 {
                            std::ptr::null_mut()
                        } else {
                            self.partial[tile * MR * width..].as_mut_ptr()
                        },
                        first_pass: number == 0,
                        last_pass: number + 1 == weights.passes.len(),
                        outputs: &self.outputs[rows],
                        residuals,
                        column: panel.first,
                        columns: width.min(weights.channels - panel.first),
                        bias: self.bias,
                        activation: self.activation,
                    };
                    // SAFETY: `check` and the assertion on `partial` above; the addresses are the caller's
                    // promise; the panel holds taps · depth · width floats from k · width on.
                    unsafe {
                        match panel.vectors {
                            1 => tile.run::<S, 1>(simd),
                            2 => tile.run::<S, 2>(simd),
                            3 => tile.run::<S, 3>(simd),
                            _ => tile.run::<S, 4>(simd),
                        }
                    }
                }
            }
        }
    }
}

impl Tile<'_> {
    /// # Safety
    /// All addresses are valid for what the fields say.
    #[inline(always)]
    unsafe fn run<S: Simd, const NV: usize>(&self, simd: S) {
        let lanes = S::LANES;
        let mut sums = [[simd.splat(0.0); NV]; MR];
        // SAFETY (whole body): rows of `depth` floats at each address, a panel of taps · depth · NV ·
        // LANES floats, MR · NV · LANES partial sums, `columns` outputs, residuals and biases.
        unsafe {
            if !self.first_pass {
                for (i, row) in sums.iter_mut().enumerate() {
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum = simd.load(self.partial.add((i * NV + j) * lanes));
                    }
                }
            } else if !self.bias.is_empty() {
                for j in 0..NV {
                    let left = self.columns.saturating_sub(j * lanes);
                    let bias = simd
                        .load_upto(self.bias.as_ptr().add(self.column + (j * lanes).min(self.columns)), left);
                    for row in &mut sums {
                        row[j] = bias;
                    }
                }
            }
            let mut weights = self.panel;
            for tap in 0..self.taps {
                let mut rows = [std::ptr::null(); MR];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = (*self.inputs.add(tap * MR + i)).add(self.channel);
                }
                for k in 0..self.depth {
                    let mut w = [simd.splat(0.0); NV];
                    for (j, w) in w.iter_mut().enumerate() {
                        *w = simd.load(weights.add(j * lanes));
                    }
                    for i in 0..MR {
                        let x = simd.splat(*rows[i].add(k));
                        for j in 0..NV {
                            sums[i][j] = simd.mul_add(x, w[j], sums[i][j]);
                        }
                    }
                    weights = weights.add(NV * lanes);
                }
            }
            if !self.last_pass {
                store_sums(simd, &sums, self.partial);
            } else if self.outputs.len() == MR && self.columns == NV * lanes {
                self.finish_full(simd, &mut sums);
            } else {
                self.finish_part(simd, &sums);
            }
        }
    }

    /// Finishes a tile of `MR` rows and `NV` whole vectors.
    ///
    /// The loops have constant bounds and no branch within, so that the sums stay in registers.
    ///
    /// # Safety
    /// As [`run`](Tile::run), and the tile is full.
    #[inline(always)]
    unsafe fn finish_full<S: Simd, const NV: usize>(&self, simd: S, sums: &mut [[S::Vector; NV]; MR]) {
        // SAFETY (whole body): as in `run`.
        unsafe {
            if !self.residuals.is_empty() {
                let residuals = self.residuals.as_ptr();
                for (i, row) in sums.iter_mut().enumerate() {
                    let residual = (*residuals.add(i)).add(self.column);
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum = simd.add(*sum, simd.load(residual.add(j * S::LANES)));
                    }
                }
            }
            // Matched here, not for each vector.
            match self.activation {
                Activation::Relu => each(sums, |x| simd.activate(Activation::Relu, x)),
                Activation::Clip { low, high } => {
                    each(sums, |x| simd.activate(Activation::Clip { low, high }, x))
                }
                Activation::LeakyRelu { slope } => {
                    each(sums, |x| simd.activate(Activation::LeakyRelu { slope }, x))
                }
                Activation::HardSwish => each(sums, |x| simd.activate(Activation::HardSwish, x)),
                // Nothing, or left for the end.
                _ => {}
            }
            let outputs = self.outputs.as_ptr();
            for (i, row) in sums.iter().enumerate() {
                let out = (*outputs.add(i)).add(self.column);
                for (j, &sum) in row.iter().enumerate() {
                    simd.store(out.add(j * S::LANES), sum);
                }
            }
            if is_deferred(self.activation) {
                for out in self.outputs {
                    simd.finish(self.activation, out.add(self.column), self.columns);
                }
            }
        }
    }

    /// Finishes a tile with missing rows or columns.
    ///
    /// # Safety
    /// As [`run`](Tile::run).
    #[inline(always)]
    unsafe fn finish_part<S: Simd, const NV: usize>(&self, simd: S, sums: &[[S::Vector; NV]; MR]) {
        // Sums that are indexed by a variable would live in memory from the start: these are a copy.
        let mut copy = [0.0f32; MR * MAX_WIDTH];
        // SAFETY (whole body): as in `run`; NV · LANES ≤ MAX_WIDTH.
        unsafe {
            store_sums(simd, sums, copy.as_mut_ptr());
            for (i, out) in self.outputs.iter().enumerate() {
                for at in (0..self.columns).step_by(S::LANES) {
                    let left = self.columns - at;
                    let mut sum = simd.load(copy.as_ptr().add(i * NV * S::LANES + at));
                    if !self.residuals.is_empty() {
                        sum = simd.add(sum, simd.load_upto(self.residuals[i].add(self.column + at), left));
                    }
                    simd.store_upto(out.add(self.column + at), simd.activate(self.activation, sum), left);
                }
                simd.finish(self.activation, out.add(self.column), self.columns);
            }
        }
    }
}

/// Applies a function to all sums.
#[inline(always)]
fn each<V: Copy, const NV: usize>(sums: &mut [[V; NV]; MR], f: impl Fn(V) -> V) {
    for row in sums {
        for sum in row {
            *sum = f(*sum);
        }
    }
}

/// Writes `[MR, NV · LANES]` sums.
///
/// # Safety
/// `to` is valid for them.
#[inline(always)]
unsafe fn store_sums<S: Simd, const NV: usize>(simd: S, sums: &[[S::Vector; NV]; MR], to: *mut f32) {
    for (i, row) in sums.iter().enumerate() {
        for (j, &sum) in row.iter().enumerate() {
            // SAFETY: by the caller's promise.
            unsafe { simd.store(to.add((i * NV + j) * S::LANES), sum) };
        }
    }
}
