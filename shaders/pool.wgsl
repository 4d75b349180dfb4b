// Max or average pooling. Input [rows, in_height · in_width, channels], output [rows, out_height · out_width,
// channels], both in the arena.
//
// A thread makes a quad of channels of an output pixel. Taps in the padding never win a maximum; an average divides
// by the taps inside the picture or, with `include_pad`, by those inside the padded picture.
//
// Bindings of group 0: 0 params PoolParams, 1 arena, with SHARED, where both are columns of a block, 2 tables
// (shared/columns.wgsl). Grid: flat, quads of channels fastest, then pixels and samples, or columns.

#import arena
#import grid
#import nan
#ifdef SHARED
#import columns
#endif

// Peer: src/device/gpu/uniforms.rs
struct PoolParams {
    total: u32,           // threads: rows · out_height · out_width · quads
    groups_x: u32,
    quads: u32,           // ceil(channels / 4)
    channels: u32,
    in_base: u32,
    in_sample: u32,
    in_stride: u32,
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
    in_height: u32,
    in_width: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    dilation_y: u32,
    dilation_x: u32,
    pad_top: u32,
    pad_left: u32,
    padded_height: u32,   // in_height + padding above and below
    padded_width: u32,
    average: u32,         // 1: mean, 0: maximum
    include_pad: u32,
    origins: u32,         // shared: tables of the output's columns
    in_pixels: u32,       // and of the input's pixels
}

@group(0) @binding(0) var<uniform> params: PoolParams;
#ifdef SHARED
@group(0) @binding(2) var<storage, read> tables: array<u32>;
#endif

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let position = id / params.quads;
    let channel = (id - position * params.quads) * 4u;
#ifdef SHARED
    let origin = origin_of(params.origins, position);
    let y = origin.pixel / params.out_width;
    let x = origin.pixel - y * params.out_width;
    let source = params.in_base + channel;
#else
    let row = position / params.out_width;
    let x = position - row * params.out_width;
    let sample = row / params.out_height;
    let y = row - sample * params.out_height;
    let source = params.in_base + sample * params.in_sample + channel;
#endif

    var result = vec4<f32>(0.0);
    var taps = 0u;         // taps inside the picture
    var padded_taps = 0u;  // taps inside the padded picture
    for (var ky = 0u; ky < params.kernel_height; ky += 1u) {
        // Row and column within the padded picture; within the picture they wrap around below zero.
        let padded_y = y * params.stride_y + ky * params.dilation_y;
        let in_y = padded_y - params.pad_top;
        for (var kx = 0u; kx < params.kernel_width; kx += 1u) {
            let padded_x = x * params.stride_x + kx * params.dilation_x;
            let in_x = padded_x - params.pad_left;
            if padded_y < params.padded_height && padded_x < params.padded_width {
                padded_taps += 1u;
            }
            if in_y < params.in_height && in_x < params.in_width {
                let pixel = in_y * params.in_width + in_x;
#ifdef SHARED
                let source_row = column_at_pixel(params.in_pixels, pixel, origin.row);
#else
                let source_row = pixel;
#endif
                let value = read4(source + source_row * params.in_stride);
                if params.average == 1u {
                    result += value;
                } else {
                    // A NaN wins, so that it is seen.
                    let wins = (value > result) | is_nan4(value);
                    result = select(result, value, wins | vec4<bool>(taps == 0u));
                }
                taps += 1u;
            }
        }
    }
    if params.average == 1u {
        result /= f32(max(select(taps, padded_taps, params.include_pad == 1u), 1u));
    }
#ifdef SHARED
    let to = params.out_base + position * params.out_stride;
#else
    let to = params.out_base + sample * params.out_sample + (y * params.out_width + x) * params.out_stride;
#endif
    write4(to + channel, result, min(4u, params.channels - channel));
}
