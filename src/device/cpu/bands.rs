//! Steps that run together in bands of pixels, where the activations of a whole sample would leave the cache.
//!
//! In a group of consecutive steps each reads what the one before has written, and nobody else does. So a thread makes a
//! band of the last step's output at a time: of each step before, the pixels that this band needs. What lies between the steps of a
//! group is as large as a band, and pixels that two bands need are computed twice.
//!
//! A band of a step is a step of its own, on a smaller picture with the padding that is left, on the same kernel. Sums of an
//! element do not depend on the other elements of a picture, and Winograd's tiles begin where they would have begun; so the
//! answers are the same bits.

use std::ops::Range;
use std::time::Instant;

use super::compiled::{Executable, compile};
use super::layout::{Layout, Segment};
use super::memory::{Operands, Rows, Workspace};
use super::select::{ConvKernel, choose};
use super::simd::Level;
use super::winograd;
use crate::Result;
use crate::plan::access::{Accesses, Extent, accesses};
use crate::plan::{Kernel, Plan, Sliding};

/// When steps run in bands, and how large these are.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Steps run in bands where one hands at least so many bytes of a sample to the next.
    pub large_bytes: usize,
    /// What a step of a band reads and writes takes at most so many bytes.
    pub band_bytes: usize,
    /// Work that is done twice, at most, as a share of the group's.
    pub twice: f64,
}

impl Limits {
    /// For a second cache of 2 MiB, as measured (docs/performance.md); smaller ones lose little.
    pub const CACHE: Limits = Limits { large_bytes: 1 << 20, band_bytes: 3 << 19, twice: 0.2 };
}

/// Bands of a sample, at most.
const MOST_BANDS: usize = 256;

/// Weights of a group stay in the second cache from band to band.
const MOST_WEIGHT_BYTES: usize = 1 << 19;

/// Steps that run in bands.
pub(super) struct Group {
    pub steps: Range<usize>,
    /// Steps of bands, each made once.
    forms: Vec<Box<dyn Executable>>,
    bands: Vec<Vec<Piece>>,
    /// Channels of each step's output,
    channels: Vec<usize>,
    /// and pixels of the last one's.
    pixels: usize,
    /// Whether the output has to wait, since it will lie where the group still reads.
    waits: bool,
    /// Floats of the largest value between two steps.
    between: usize,
}

/// A step's part of a band.
#[derive(Debug, PartialEq)]
struct Piece {
    form: usize,
    /// First pixel that is read, and the pixels that are written.
    input: usize,
    output: Range<usize>,
}

/// A step as its pixels see it.
struct Shape {
    sliding: Sliding,
    cin: usize,
    cout: usize,
    /// Bands begin at multiples of so many pixels of the output.
    granule: usize,
}

impl Shape {
    fn of(kernel: &Kernel, compiled: &dyn Executable) -> Option<Self> {
        match kernel {
            Kernel::Conv(conv) => {
                let width = if conv.sliding.is_pointwise() { 1 } else { conv.sliding.output[1] };
                let tiles = if compiled.name() == winograd::NAME { winograd::OUT } else { 1 };
                Some(Shape { sliding: conv.sliding, cin: conv.cin, cout: conv.cout, granule: width * tiles })
            }
            Kernel::Pool(pool) => Some(Shape {
                sliding: pool.sliding,
                cin: pool.channels,
                cout: pool.channels,
                granule: pool.sliding.output[1],
            }),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        self.sliding.output_rows() * self.cout * size_of::<f32>()
    }

    /// Whole rows of the output (or tiles of rows) around some pixels.
    fn rounded(&self, pixels: Range<usize>) -> Range<usize> {
        let end = pixels.end.next_multiple_of(self.granule).min(self.sliding.output_rows());
        pixels.start / self.granule * self.granule..end
    }

    /// The step that makes these pixels, whole rows, and the first pixel that it reads.
    fn band(&self, pixels: &Range<usize>) -> (Sliding, usize) {
        let mut sliding = self.sliding;
        if sliding.is_pointwise() {
            sliding.input = [1, pixels.len()];
            sliding.output = sliding.input;
            return (sliding, pixels.start);
        }
        let rows = pixels.start / sliding.output[1]..pixels.end / sliding.output[1];
        let window = &mut sliding.window;
        // Rows of the padded picture.
        let first = rows.start * window.stride[0];
        let end = (rows.end - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1;
        let [above, below] = [window.pads[0], window.pads[0] + sliding.input[0]];
        let inside = first.clamp(above, below) - above..end.clamp(above, below) - above;
        window.pads[0] = above.saturating_sub(first);
        if inside.end < sliding.input[0] {
            window.pads[2] = 0;
        }
        sliding.input[0] = inside.len();
        sliding.output[0] = rows.len();
        (sliding, inside.start * sliding.input[1])
    }
}

fn with_sliding(kernel: &Kernel, sliding: Sliding) -> Kernel {
    let mut kernel = kernel.clone();
    match &mut kernel {
        Kernel::Conv(conv) => conv.sliding = sliding,
        Kernel::Pool(pool) => pool.sliding = sliding,
        _ => {}
    }
    kernel
}

/// The groups of a plan, in order.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if a step has too few inputs.
pub(super) fn groups(
    level: Level,
    plan: &Plan,
    steps: &[Box<dyn Executable>],
    segments: &[Segment],
    layout: &Layout,
    limits: Limits,
    forced: Option<ConvKernel>,
) -> Result<Vec<Group>> {
    let accesses = plan.steps.iter().map(accesses).collect::<Result<Vec<_>>>()?;
    let shapes: Vec<Option<Shape>> = plan
        .steps
        .iter()
        .zip(steps)
        .map(|(step, compiled)| Shape::of(&step.kernel, compiled.as_ref()))
        .collect();
    let shape = |step: usize| shapes[step].as_ref();
    // Whether what a step writes is large, and the next step its only reader.
    let joined = |step: usize| {
        let (Some(before), Some(after)) = (shape(step), shape(step + 1)) else { return false };
        before.bytes() >= limits.large_bytes
            && before.cout == after.cin
            && before.sliding.output_rows() == after.sliding.input_rows()
            && plan.steps[step].output == plan.steps[step + 1].inputs[0]
            && layout.passed_on[step]
    };
    let mut groups = Vec::new();
    for segment in segments.iter().filter(|segment| segment.tile.is_some()) {
        let mut first = segment.steps.start;
        while first < segment.steps.end {
            let mut weights = steps[first].weight_bytes();
            let mut end = first + 1;
            while end < segment.steps.end && joined(end - 1) {
                weights += steps[end].weight_bytes();
                if weights > MOST_WEIGHT_BYTES {
                    break;
                }
                end += 1;
            }
            let shapes: Vec<&Shape> = (first..end).filter_map(shape).collect();
            let macs: Vec<u64> = plan.steps[first..end].iter().map(|step| step.macs).collect();
            // As many of these steps as bands can be found for.
            let found = (2..=shapes.len())
                .rev()
                .find_map(|len| Some((len, bands(&shapes[..len], &macs[..len], limits)?)));
            let length = found.as_ref().map_or(1, |(length, _)| *length);
            if let Some((_, bands)) = found {
                let range = first..first + length;
                groups.push(Group::new(level, plan, &accesses, range, &shapes[..length], &bands, forced));
            }
            first += length;
        }
    }
    Ok(groups)
}

/// Of each band, the pixels of every step: as few bands as stay in the cache; `None` if one would do, or if too much would be
/// computed twice.
fn bands(shapes: &[&Shape], macs: &[u64], limits: Limits) -> Option<Vec<Vec<Range<usize>>>> {
    let last = shapes[shapes.len() - 1];
    // Whole rows of a pointwise step, too, where the step before it tells how long they are.
    let same = |shape: &&&Shape| shape.sliding.output_rows() == last.sliding.output_rows();
    let row = shapes.iter().rev().take_while(same).map(|shape| shape.granule).max().unwrap_or(1);
    let rows = last.sliding.output_rows().div_ceil(row);
    // Reads and writes of a band's largest step.
    let bytes = |band: &Vec<Range<usize>>| {
        let pairs = band.windows(2).zip(shapes.windows(2));
        let pairs =
            pairs.map(|(pixels, shapes)| pixels[0].len() * shapes[0].cout + pixels[1].len() * shapes[1].cout);
        size_of::<f32>() * pairs.max().unwrap_or(0)
    };
    let cut = |count: usize| -> Vec<Vec<Range<usize>>> {
        let row = |band: usize| (rows * band / count * row).min(last.sliding.output_rows());
        (0..count).map(|band| needed(shapes, last.rounded(row(band)..row(band + 1)))).collect()
    };
    // Every number at first, then each an eighth larger than the one before: close enough, and soon at the end.
    let counts = std::iter::successors(Some(1), |count| Some(count + 1 + count / 8));
    let counts = counts.take_while(|&count| count <= rows.min(MOST_BANDS));
    let fits = |bands: &Vec<Vec<_>>| bands.iter().map(bytes).max() <= Some(limits.band_bytes);
    let cut = counts.map(cut).find(fits)?;
    if cut.iter().flatten().any(|pixels| pixels.is_empty()) {
        // Some rows of the output see padding alone.
        return None;
    }
    let work = |pixels: &Vec<Range<usize>>| -> f64 {
        let steps = pixels.iter().zip(shapes).zip(macs);
        let share = |pixels: usize, shape: &Shape| pixels as f64 / shape.sliding.output_rows() as f64;
        steps.map(|((pixels, shape), &macs)| macs as f64 * share(pixels.len(), shape)).sum()
    };
    let (banded, whole) =
        (cut.iter().map(work).sum::<f64>(), macs.iter().map(|&macs| macs as f64).sum::<f64>());
    (cut.len() > 1 && banded <= whole * (1.0 + limits.twice)).then_some(cut)
}

/// The pixels that each step has to make for some of the last one's.
fn needed(shapes: &[&Shape], last: Range<usize>) -> Vec<Range<usize>> {
    let mut pixels = vec![last];
    for pair in shapes.windows(2).rev() {
        let made = &pixels[pixels.len() - 1];
        let (sliding, first) = pair[1].band(made);
        pixels.push(pair[0].rounded(first..first + sliding.input_rows()));
    }
    pixels.reverse();
    pixels
}

impl Group {
    fn new(
        level: Level,
        plan: &Plan,
        accesses: &[Accesses],
        steps: Range<usize>,
        shapes: &[&Shape],
        bands: &[Vec<Range<usize>>],
        forced: Option<ConvKernel>,
    ) -> Self {
        let mut kernels: Vec<Kernel> = Vec::new();
        let mut forms = Vec::new();
        let mut piece = |step: usize, output: &Range<usize>| {
            let whole = &plan.steps[steps.start + step].kernel;
            let (sliding, input) = shapes[step].band(output);
            let kernel = with_sliding(whole, sliding);
            let form = kernels.iter().position(|other| *other == kernel).unwrap_or_else(|| {
                // On the kernel of the whole picture, whatever this one's size.
                let choice = match whole {
                    Kernel::Conv(conv) => Some(choose(conv, forced)),
                    _ => None,
                };
                forms.push(compile(level, plan, &kernel, choice));
                kernels.push(kernel);
                forms.len() - 1
            });
            Piece { form, input, output: output.clone() }
        };
        let bands: Vec<Vec<Piece>> = bands
            .iter()
            .map(|band| band.iter().enumerate().map(|(step, pixels)| piece(step, pixels)).collect())
            .collect();
        let channels: Vec<usize> = shapes.iter().map(|shape| shape.cout).collect();
        let between = bands.iter().flat_map(|band| band.iter().zip(&channels));
        let between = between.map(|(piece, channels)| piece.output.len() * channels).max().unwrap_or(0);
        let output = &accesses[steps.end - 1].write;
        let outside = |(number, accesses): (usize, &Accesses)| {
            // The first read of later steps is what the one before has written.
            accesses.reads.iter().skip(usize::from(number > 0)).any(|read: &Extent| read.overlaps(output))
        };
        let waits = accesses[steps.clone()].iter().enumerate().any(outside);
        let pixels = shapes[shapes.len() - 1].sliding.output_rows();
        Group { steps, forms, bands, channels, pixels, waits, between }
    }

    /// Floats of a thread's memory for what lies between the steps.
    pub fn floats(&self) -> usize {
        2 * self.between + self.aside()
    }

    /// Floats of the output that waits.
    fn aside(&self) -> usize {
        if self.waits { self.pixels * self.channels[self.steps.len() - 1] } else { 0 }
    }

    /// Runs the group on a tile of samples; adds each step's seconds.
    ///
    /// # Safety
    /// As [`Executable::run`], for the operands of each step, which `operands` gives by its number.
    pub unsafe fn run(
        &self,
        level: Level,
        operands: impl Fn(usize) -> Operands,
        work: &mut Workspace,
        seconds: &mut [f64],
    ) {
        let mut between = std::mem::take(&mut work.between);
        between.reserve(self.floats());
        let places = between.as_mut_slice().as_mut_ptr();
        let count = self.steps.len();
        let (first, last) = (operands(self.steps.start), operands(self.steps.end - 1));
        let row = |base: *mut f32, stride: usize| Rows { base, sample: 0, stride };
        for sample in 0..first.samples {
            // SAFETY (all of this): rows of the sample that the plan's views have; `floats` has room for two values of
            // `between` floats and the output that waits.
            unsafe {
                let aside = row(places.add(2 * self.between), self.channels[count - 1]);
                for band in &self.bands {
                    let mut from = row(first.input.row(sample, band[0].input), first.input.stride);
                    for (step, piece) in band.iter().enumerate() {
                        let start = Instant::now();
                        let output = if step + 1 < count {
                            row(places.add(step % 2 * self.between), self.channels[step])
                        } else if self.waits {
                            row(aside.row(0, piece.output.start), aside.stride)
                        } else {
                            row(last.output.row(sample, piece.output.start), last.output.stride)
                        };
                        let second = operands(self.steps.start + step).second;
                        let second =
                            second.map(|second| row(second.row(sample, piece.output.start), second.stride));
                        let form = &self.forms[piece.form];
                        let part = Operands { samples: 1, input: from, second, output };
                        form.run(level, &part, 0..form.panels(), work);
                        if let Some(next) = band.get(step + 1) {
                            from = row(output.row(0, next.input - piece.output.start), output.stride);
                        }
                        seconds[self.steps.start + step] += start.elapsed().as_secs_f64();
                    }
                }
                if self.waits {
                    let channels = self.channels[count - 1];
                    for pixel in 0..self.pixels {
                        let to = last.output.row(sample, pixel);
                        to.copy_from_nonoverlapping(aside.row(0, pixel), channels);
                    }
                }
            }
        }
        work.between = between;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::CpuNetwork;
    use super::*;
    use crate::device::RunOptions;
    use crate::model::{Activation, Builder, Model, PoolKind, Window};
    use crate::perturb::{Perturbation, Rows as Inputs};

    /// Every chain runs in bands of a row or two.
    const TINY: Limits = Limits { large_bytes: 64, band_bytes: 3 << 17, twice: 100.0 };

    const NONE: Limits = Limits { large_bytes: usize::MAX, ..TINY };

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 23.0 - 0.4).collect()
    }

    fn conv(model: Builder, cout: usize, window: Window, groups: usize) -> Builder {
        let cin = model.shape()[0];
        let weights = numbers(window.kernel.iter().product::<usize>() * cin / groups * cout, cin + cout);
        model.conv(&weights, Some(&numbers(cout, 5)), cout, window, groups).unwrap()
    }

    fn relu(model: Builder) -> Builder {
        model.activation(Activation::Relu).unwrap()
    }

    /// Name, network, and the lengths of its groups.
    fn networks() -> Vec<(&'static str, Model, Vec<usize>)> {
        let three = Window::square(3).pad(1);
        // Large enough for each sample to pass alone.
        let picture = |channels| Model::builder("bands", &[channels, 161, 123]);
        let stem = relu(conv(picture(3), 24, Window::square(7).stride(2).pad(3), 1));
        let stem = stem.max_pool(three.stride(2)).unwrap();

        let start = relu(conv(picture(3), 16, three, 1));
        let skip = start.mark();
        let block = relu(conv(relu(conv(start, 24, Window::square(1), 1)), 24, three, 24));
        let block = conv(block, 16, Window::square(1), 1).add(skip).unwrap();
        let block = conv(relu(conv(block, 24, Window::square(1), 1)), 24, three.stride(2), 24);

        let winograd =
            relu(conv(relu(conv(relu(conv(picture(16), 16, three, 1)), 20, three, 1)), 16, three, 1));
        let winograd = winograd.max_pool(Window::square(2).stride(2)).unwrap();

        let average = PoolKind::Average { count_include_pad: true };
        let pools = conv(picture(2), 8, Window::square(1), 1).pool(average, three.stride(2), true).unwrap();
        let pools = pools.pool(PoolKind::Average { count_include_pad: false }, three, true).unwrap();

        let uneven = Window { kernel: [3, 2], stride: [2, 1], dilation: [2, 3], pads: [3, 1, 0, 2] };
        let uneven = conv(conv(picture(3), 8, uneven, 1), 8, Window { pads: [0, 2, 4, 1], ..three }, 8);

        // Each value is read twice, so no step has its input for itself.
        let twice = relu(conv(picture(3), 8, three, 1));
        let skip = twice.mark();
        let twice = conv(twice, 8, three, 1).add(skip).unwrap();
        let done = |model: Builder| model.flatten().build().unwrap();
        vec![
            ("stem", done(stem), vec![2]),
            ("inverted residual", done(block), vec![5]),
            ("winograd", done(winograd), vec![4]),
            ("pools", done(pools), vec![3]),
            ("uneven", done(uneven), vec![2]),
            ("read twice", done(twice), vec![]),
        ]
    }

    fn answers(network: &CpuNetwork, plan: &Plan, inputs: &[f32]) -> Vec<f32> {
        let inputs = Inputs::new(inputs, plan.input_layout.len()).unwrap();
        let expander = inputs.bind(&plan.input_layout).unwrap();
        let mut answers = Vec::new();
        let mut sink = |_: Range<usize>, values: &[f32]| {
            answers.extend_from_slice(values);
            Ok(())
        };
        network.run(expander.as_ref(), 3, &RunOptions::default(), &mut sink).unwrap();
        answers
    }

    #[test]
    fn bands_give_the_same_bits() {
        let mut waiting = [0, 0];
        for (name, model, lengths) in networks() {
            let plan = Arc::new(Plan::new(&model).unwrap());
            let inputs = numbers(3 * plan.input_layout.len(), 3);
            for level in Level::all() {
                for forced in [None, Some(ConvKernel::Direct)] {
                    let load = |limits| CpuNetwork::new(level, plan.clone(), forced, limits).unwrap();
                    let banded = load(TINY);
                    let found: Vec<usize> = banded.groups().iter().map(|group| group.steps.len()).collect();
                    assert_eq!(found, lengths, "{name}");
                    assert!(banded.groups().iter().all(|group| group.bands.len() > 1), "{name}");
                    banded.groups().iter().for_each(|group| waiting[usize::from(group.waits)] += 1);
                    let whole = load(NONE);
                    assert!(whole.groups().is_empty());
                    let [found, expected] = [&banded, &whole].map(|network| answers(network, &plan, &inputs));
                    assert_eq!(found.len(), 3 * plan.outputs);
                    assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
                }
            }
        }
        // Outputs that may and that may not lie where the group still reads.
        assert!(waiting.iter().all(|&groups| groups > 0), "{waiting:?}");
    }

    #[test]
    fn a_band_in_the_wrong_place_is_seen() {
        let (_, model, _) = networks().swap_remove(0);
        let plan = Arc::new(Plan::new(&model).unwrap());
        let inputs = numbers(3 * plan.input_layout.len(), 3);
        let mut network = CpuNetwork::new(Level::detect(), plan.clone(), None, TINY).unwrap();
        let right = answers(&network, &plan, &inputs);
        network.groups_mut()[0].bands[1][0].input -= 123;
        assert_ne!(answers(&network, &plan, &inputs), right);
    }

    #[test]
    fn pictures_of_any_size_are_cut_soon_or_not_at_all() {
        let shape = |side: usize, kernel: usize, cout: usize, granule: usize| Shape {
            sliding: Sliding {
                input: [side; 2],
                output: [side; 2],
                window: Window::square(kernel).pad(kernel / 2),
            },
            cin: 32,
            cout,
            granule,
        };
        let cut = |shapes: &[Shape]| {
            let macs = vec![1 << 62; shapes.len()];
            let count =
                bands(&shapes.iter().collect::<Vec<_>>(), &macs, Limits::CACHE).map(|bands| bands.len());
            count.unwrap_or(0)
        };
        let side = 1024;
        // Bands of whole rows, as long as the step before has them.
        let pointwise = [shape(side, 3, 8, side), shape(side, 1, 2, 1)];
        assert!((25..60).contains(&cut(&pointwise)), "{}", cut(&pointwise));
        // A single row of tiles is too much, whatever the last step looks like.
        let tiles = |cout| shape(side, 3, cout, 4 * side);
        assert_eq!(cut(&[tiles(32), tiles(32), shape(side, 1, 2, 1)]), 0);
        assert_eq!(cut(&[shape(1 << 14, 1, 64, 1), shape(1 << 14, 1, 64, 1)]), 0);
    }

    #[test]
    fn pixels_that_a_band_needs() {
        let (_, model, _) = networks().swap_remove(0);
        let plan = Arc::new(Plan::new(&model).unwrap());
        let network = CpuNetwork::new(Level::detect(), plan.clone(), None, TINY).unwrap();
        let Group { bands, .. } = &network.groups()[0];
        // An 81 × 62 picture becomes one of 41 × 31; a row of that needs three rows, the first and the last one less.
        let rows: Vec<_> =
            bands.iter().map(|band| (band[0].output.clone(), band[1].output.clone())).collect();
        assert_eq!(rows[0].1.start, 0);
        assert_eq!(rows[rows.len() - 1].1.end, 41 * 31);
        for (made, last) in rows {
            let (first, end) = (last.start / 31, last.end / 31);
            assert_eq!(made, (2 * first).saturating_sub(1) * 62..(2 * end).min(81) * 62);
        }
    }
}
