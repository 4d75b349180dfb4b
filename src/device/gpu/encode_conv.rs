//! The dispatches of convolutions and products with constants.

use bytemuck::bytes_of;

use super::encode::{Encoded, Encoder, Place, aligned, is_depthwise, permutation, shared_permutation, word};
use super::grid::{grid, grid_of_threads};
use super::pack::{K_MULTIPLE, group_channels};
use super::select::{Caps, Tile, choose};
use super::source::{COOPERATIVE, Permutation};
use super::uniforms::ConvParams;
use crate::plan::{Conv, Step};

/// What a convolution runs over, and from where it reads.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Samples of pixels.
    Dense,
    /// The same, with the masked input: words of a row of masks.
    Masked(usize),
    /// Columns of a block, by tables of the output's origins, the input's pixels and the residual's.
    Shared([u32; 3]),
}

/// Where a convolution's operands lie.
pub(super) struct ConvAt {
    pub from: Place,
    pub to: Place,
    pub residual: Option<Place>,
    /// Whether all quads begin at multiples of four.
    pub whole: bool,
    /// Samples × output pixels, or columns, of the chunk at hand,
    pub columns: usize,
    /// and of those for which the kernel is chosen.
    pub most_columns: usize,
    pub form: Form,
}

fn convolution(tile: Tile, form: Form, whole: bool, cooperative: bool) -> Permutation {
    let (shader, defines): (_, &'static [&'static str]) = match (tile, form, whole) {
        (Tile::Cooperative, ..) => return in_matrices(form, whole, cooperative),
        (Tile::Tall, Form::Dense, true) => ("conv_tiled", &["TALL", "VEC4"]),
        (Tile::Tall, Form::Dense, false) => ("conv_tiled", &["TALL"]),
        (Tile::Tall, Form::Masked(_), _) => ("conv_tiled", &["TALL", "MASKED"]),
        (Tile::Tall, Form::Shared(_), true) => ("conv_tiled", &["TALL", "SHARED", "VEC4"]),
        (Tile::Tall, Form::Shared(_), false) => ("conv_tiled", &["TALL", "SHARED"]),
        (Tile::Square, Form::Dense, true) => ("conv_tiled", &["VEC4"]),
        (Tile::Square, Form::Dense, false) => ("conv_tiled", &[]),
        (Tile::Square, Form::Masked(_), _) => ("conv_tiled", &["MASKED"]),
        (Tile::Square, Form::Shared(_), true) => ("conv_tiled", &["SHARED", "VEC4"]),
        (Tile::Square, Form::Shared(_), false) => ("conv_tiled", &["SHARED"]),
        (Tile::Small, Form::Dense, true) => ("conv_tiled", &["SMALL", "VEC4"]),
        (Tile::Small, Form::Dense, false) => ("conv_tiled", &["SMALL"]),
        (Tile::Small, Form::Masked(_), _) => ("conv_tiled", &["SMALL", "MASKED"]),
        (Tile::Small, Form::Shared(_), true) => ("conv_tiled", &["SMALL", "SHARED", "VEC4"]),
        (Tile::Small, Form::Shared(_), false) => ("conv_tiled", &["SMALL", "SHARED"]),
        (Tile::Registers, Form::Dense, true) => ("conv_registers", &["VEC4"]),
        (Tile::Registers, Form::Dense, false) => ("conv_registers", &[]),
        (Tile::Registers, Form::Masked(_), _) => ("conv_registers", &["MASKED"]),
        (Tile::Registers, Form::Shared(_), true) => ("conv_registers", &["SHARED", "VEC4"]),
        (Tile::Registers, Form::Shared(_), false) => ("conv_registers", &["SHARED"]),
    };
    Permutation { shader, defines }
}

/// The product in cooperative matrices; tests may ask for it where there are none.
fn in_matrices(form: Form, whole: bool, cooperative: bool) -> Permutation {
    let defines: &'static [&'static str] = match (form, whole, cooperative) {
        (Form::Dense, true, true) => &["COOPERATIVE", "VEC4"],
        (Form::Dense, false, true) => &["COOPERATIVE"],
        (Form::Masked(_), _, true) => &["COOPERATIVE", "MASKED"],
        (Form::Shared(_), true, true) => &["COOPERATIVE", "SHARED", "VEC4"],
        (Form::Shared(_), false, true) => &["COOPERATIVE", "SHARED"],
        (Form::Dense, true, false) => &["VEC4"],
        (Form::Dense, false, false) => &[],
        (Form::Masked(_), _, false) => &["MASKED"],
        (Form::Shared(_), true, false) => &["SHARED", "VEC4"],
        (Form::Shared(_), false, false) => &["SHARED"],
    };
    Permutation { shader: COOPERATIVE, defines }
}

impl Encoder<'_> {
    pub(super) fn conv(&self, step: &Step, conv: &Conv, masked_words: Option<usize>) -> Encoded {
        let pixels = conv.sliding.output_rows();
        let residual = conv.residual.then(|| step.inputs[1]);
        let at = ConvAt {
            from: self.place(step.inputs[0]),
            to: self.place(step.output),
            residual: residual.map(|view| self.place(view)),
            whole: aligned(step.inputs[0], conv.sliding.input_rows())
                && aligned(step.output, pixels)
                && residual.is_none_or(|view| aligned(view, pixels)),
            columns: self.rows * pixels,
            most_columns: self.chunk_rows * pixels,
            form: masked_words.map_or(Form::Dense, Form::Masked),
        };
        conv_at(self.caps, self.tile, conv, &at)
    }
}

/// The dispatch of a convolution whose operands lie anywhere.
pub(super) fn conv_at(caps: &Caps, forced: Option<Tile>, conv: &Conv, at: &ConvAt) -> Encoded {
    let ConvAt { from, to, residual, columns, most_columns, form, .. } = *at;
    let depthwise = is_depthwise(conv);
    // A depthwise convolution is one group whose channels do not mix.
    let (groups, [cout, cin]) =
        if depthwise { (1, [conv.cout, conv.cin]) } else { (conv.groups, group_channels(conv)) };
    let sliding = &conv.sliding;
    let [kernel_height, kernel_width] = sliding.window.kernel;
    let pixels = sliding.output_rows();
    let quads = cout.div_ceil(4);
    let whole = at.whole && cin.is_multiple_of(4) && cout.is_multiple_of(4);

    let tile = if groups > 1 {
        Tile::Registers
    } else {
        forced.unwrap_or_else(|| choose(word(most_columns), word(cout), caps))
    };
    let flat = |threads: usize| grid_of_threads(word(threads), caps.grid_groups);
    let (columns, tiles, grid) = if depthwise {
        // Strips of four: neighbours in a row of a sample, or columns that follow each other.
        let in_row = sliding.output[1].div_ceil(4);
        match form {
            Form::Shared(_) => (columns, in_row, flat(columns.div_ceil(4) * quads)),
            _ => {
                let strips = columns / pixels * sliding.output[0] * in_row;
                (strips, in_row, flat(strips * quads))
            }
        }
    } else if tile == Tile::Registers {
        (columns, 1, flat(columns.div_ceil(4) * groups * quads))
    } else {
        let tiles = cout.div_ceil(tile.size()[1] as usize);
        let groups = columns.div_ceil(tile.size()[0] as usize) * tiles;
        (columns, tiles, grid(word(groups), caps.grid_groups))
    };
    let permutation = match (depthwise, form) {
        (false, _) => convolution(tile, form, whole, caps.cooperative),
        (true, Form::Shared(_)) => shared_permutation("conv_depthwise", whole),
        (true, _) => permutation("conv_depthwise", whole),
    };

    let depth = tile.depth() as usize;
    let k = kernel_height * kernel_width * cin;
    let [origins, in_pixels, residual_pixels] = match form {
        Form::Shared(tables) => tables,
        _ => [0; 3],
    };
    let masked_words = match form {
        Form::Masked(words) => words,
        _ => 0,
    };
    let residual_place = residual.unwrap_or(to);
    let (activation, low, high) = conv.activation.code();
    let params = ConvParams {
        columns: word(columns),
        groups_x: grid[0],
        tiles: word(tiles),
        steps: word(k.div_ceil(depth)),
        in_base: from.base,
        in_sample: from.sample,
        in_stride: from.stride,
        out_base: to.base,
        out_sample: to.sample,
        out_stride: to.stride,
        residual: u32::from(residual.is_some()),
        residual_base: residual_place.base,
        residual_sample: residual_place.sample,
        residual_stride: residual_place.stride,
        in_height: word(sliding.input[0]),
        in_width: word(sliding.input[1]),
        out_height: word(sliding.output[0]),
        out_width: word(sliding.output[1]),
        out_pixels: word(pixels),
        kernel_height: word(kernel_height),
        kernel_width: word(kernel_width),
        stride_y: word(sliding.window.stride[0]),
        stride_x: word(sliding.window.stride[1]),
        dilation_y: word(sliding.window.dilation[0]),
        dilation_x: word(sliding.window.dilation[1]),
        pad_top: word(sliding.window.pads[0]),
        pad_left: word(sliding.window.pads[1]),
        cin: word(cin),
        cout: word(cout),
        groups: word(groups),
        quads: word(quads),
        weight_rows: word(k.next_multiple_of(K_MULTIPLE)),
        step_channels: word(depth % cin),
        step_x: word(depth / cin % kernel_width),
        step_y: word(depth / cin / kernel_width),
        words_per_row: word(masked_words),
        activation,
        low,
        high,
        origins,
        in_pixels,
        residual_pixels,
        pad_0: 0,
        pad_1: 0,
    };
    (permutation, bytes_of(&params).to_vec(), grid)
}
