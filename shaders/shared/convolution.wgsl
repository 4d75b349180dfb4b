// What the convolution kernels share: bindings, where a tap reads, how a result is stored.
//
// A *column* is an output pixel of a sample; the batch is folded into the columns. K counts (tap, input
// channel), input channels fastest. Products are added in the order of K, whatever the kernel, so that
// all kernels give the same numbers.
//
// Bindings of group 0:
//   0 params    ConvParams
//   1 arena     activations: input [rows, in_height · in_width, cin], output [rows, out_pixels, cout]
//   2 weights   vec4 [groups, K rounded up, quads] (depthwise: [taps, quads]); lanes beyond the last are 0
//   3 bias      vec4 [groups, quads]
//   with MASKED, instead of the input in the arena:
//   4 players   [in_height · in_width]  player of each pixel; 4294967295 = always the instance
//   5 instance  [in_height · in_width, cin]
//   6 baseline  [in_height · in_width, cin]
//   7 masks     [rows, words_per_row]  bit = 1: the player is present
//   with SHARED, where all values are columns of a block (shared/columns.wgsl) and not samples of pixels:
//   4 tables

#import arena
#import activation
#import grid
#ifdef SHARED
#import columns
#endif

// Peer: src/device/gpu/uniforms.rs
struct ConvParams {
    columns: u32,          // rows of the chunk · out_pixels (depthwise: rows · out_height · strips)
    groups_x: u32,
    tiles: u32,            // tiled: tiles along the outputs; depthwise: strips of four in an output row
    steps: u32,            // tiled: tiles along K
    in_base: u32,          // element (sample 0, pixel 0, channel 0)
    in_sample: u32,        // elements from a sample to the next
    in_stride: u32,        // elements from a pixel to the next
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
    residual: u32,         // 1: added before the activation
    residual_base: u32,
    residual_sample: u32,
    residual_stride: u32,
    in_height: u32,
    in_width: u32,
    out_height: u32,
    out_width: u32,
    out_pixels: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    dilation_y: u32,
    dilation_x: u32,
    pad_top: u32,
    pad_left: u32,
    cin: u32,              // input channels of a group
    cout: u32,             // output channels of a group
    groups: u32,
    quads: u32,            // ceil(cout / 4): quads of outputs of a group (depthwise: of all channels)
    weight_rows: u32,      // rows of a group in `weights`
    step_channels: u32,    // tiled: one tile along K as channels, columns and rows of taps
    step_x: u32,
    step_y: u32,
    words_per_row: u32,    // masked: words of a row of masks
    activation: u32,
    low: f32,
    high: f32,
    origins: u32,          // shared: tables of the output's columns,
    in_pixels: u32,        // of the input's pixels
    residual_pixels: u32,  // and of the residual's
    pad_0: u32,
    pad_1: u32,
}

@group(0) @binding(0) var<uniform> params: ConvParams;
@group(0) @binding(2) var<storage, read> weights: array<Stored4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
#ifdef MASKED
@group(0) @binding(4) var<storage, read> players: array<u32>;
@group(0) @binding(5) var<storage, read> instance: array<f32>;
@group(0) @binding(6) var<storage, read> baseline: array<f32>;
@group(0) @binding(7) var<storage, read> masks: array<u32>;
#endif

#ifdef SHARED
@group(0) @binding(4) var<storage, read> tables: array<u32>;
#endif

fn weight4(at: u32) -> vec4<f32> {
    return vec4<f32>(weights[at]);
}

struct Column {
    live: bool,   // false beyond the last column
    sample: u32,  // shared: the row of the block that the column stands for
    pixel: u32,
    y: u32,       // input row and column of tap (0, 0); wraps around below zero
    x: u32,
    index: u32,   // shared: the column's number
}

fn column_at(live: bool, sample: u32, y: u32, x: u32) -> Column {
    return Column(
        live,
        sample,
        y * params.out_width + x,
        y * params.stride_y - params.pad_top,
        x * params.stride_x - params.pad_left,
        0u,
    );
}

#ifdef SHARED
fn column_of(index: u32) -> Column {
    let live = index < params.columns;
    let origin = origin_of(params.origins, select(0u, index, live));
    let y = origin.pixel / params.out_width;
    var column = column_at(live, origin.row, y, origin.pixel - y * params.out_width);
    column.index = index;
    return column;
}
#else
fn column_of(index: u32) -> Column {
    let sample = index / params.out_pixels;
    let pixel = index - sample * params.out_pixels;
    let y = pixel / params.out_width;
    return column_at(index < params.columns, sample, y, pixel - y * params.out_width);
}
#endif

// Where a tap of a column reads.
struct Place {
    inside: bool,    // false in the padding
    at: u32,         // element of input channel 0 (0 if not inside)
    present: bool,   // masked: whether the instance shows
}

fn place_of(column: Column, ky: u32, kx: u32) -> Place {
    let y = column.y + ky * params.dilation_y;
    let x = column.x + kx * params.dilation_x;
    // A row or column below zero has wrapped around to a large number.
    let inside = column.live && ky < params.kernel_height && y < params.in_height && x < params.in_width;
    let pixel = select(0u, y * params.in_width + x, inside);
#ifdef MASKED
    let player = players[pixel];
    let word = select(0u, column.sample * params.words_per_row + (player >> 5u), inside && player != 0xffffffffu);
    let present = player == 0xffffffffu || ((masks[word] >> (player & 31u)) & 1u) == 1u;
    return Place(inside, pixel * params.cin, present);
#else
#ifdef SHARED
    let at = params.in_base + column_at_pixel(params.in_pixels, pixel, column.sample) * params.in_stride;
#else
    let at = params.in_base + column.sample * params.in_sample + pixel * params.in_stride;
#endif
    return Place(inside, select(0u, at, inside), true);
#endif
}

// Input channel `channel` at a place; 0 in the padding.
#ifdef MASKED
fn load1(place: Place, channel: u32) -> f32 {
    let at = place.at + channel;
    return select(0.0, select(baseline[at], instance[at], place.present), place.inside);
}
#else
#ifndef VEC4
fn load1(place: Place, channel: u32) -> f32 {
    return select(0.0, read1(place.at + channel), place.inside);
}
#endif
#endif

// Input channels `channel`..`channel` + 4 at a place; 0 in the padding.
#ifndef MASKED
fn load4(place: Place, channel: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), read4(place.at + channel), place.inside);
}
#endif

// Adds bias and residual, applies the activation and writes quad `quad` of group `group`.
fn store(column: Column, group: u32, quad: u32, sum: vec4<f32>) {
    let first = quad * 4u;
    if !column.live || first >= params.cout {
        return;
    }
    let channel = group * params.cout + first;
    var value = sum + bias[group * params.quads + quad];
    if params.residual == 1u {
#ifdef SHARED
        let source_column = column_at_pixel(params.residual_pixels, column.pixel, column.sample);
        value += read4(params.residual_base + source_column * params.residual_stride + channel);
#else
        let at = params.residual_base + column.sample * params.residual_sample;
        value += read4(at + column.pixel * params.residual_stride + channel);
#endif
    }
    value = activate(value, params.activation, params.low, params.high);
#ifdef SHARED
    let to = params.out_base + column.index * params.out_stride;
#else
    let to = params.out_base + column.sample * params.out_sample + column.pixel * params.out_stride;
#endif
    write4(to + channel, value, min(4u, params.cout - first));
}
