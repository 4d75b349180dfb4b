// Columns moved to where others read them: out[c] = in[column that c reads], channels side by side.
//
// Without EXPAND both are columns of the block, of which the output's may be more (a piece of a Concat). With EXPAND the
// output is samples of the arena, for the rest of the network, which is dense.
//
// A thread moves a quad of channels. Bindings of group 0: 0 params GatherParams, 1 arena (the output; without EXPAND
// the input too), 2 tables (shared/columns.wgsl), with EXPAND 3 columns: the input. Grid: flat, quads fastest.

#import arena
#import grid
#import columns

// Peer: src/device/gpu/uniforms.rs
struct GatherParams {
    total: u32,        // threads: columns of the output (EXPAND: samples · pixels) · quads
    groups_x: u32,
    quads: u32,        // ceil(channels / 4)
    channels: u32,
    out_pixels: u32,   // EXPAND: pixels of a sample
    first_row: u32,    // EXPAND: the first sample's row of the block
    origins: u32,      // without EXPAND: of the output
    pixels: u32,       // of the input
    in_base: u32,
    in_stride: u32,
    out_base: u32,
    out_sample: u32,   // EXPAND: elements from a sample to the next
    out_stride: u32,
    pad_0: u32,
    pad_1: u32,
    pad_2: u32,
}

@group(0) @binding(0) var<uniform> params: GatherParams;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
#ifdef EXPAND
#ifdef VEC4
@group(0) @binding(3) var<storage, read> columns: array<Stored4>;
#else
@group(0) @binding(3) var<storage, read> columns: array<Stored>;
#endif
#endif

const THREADS: u32 = 64u;

fn read_column(at: u32) -> vec4<f32> {
#ifdef EXPAND
#ifdef VEC4
    return vec4<f32>(columns[at >> 2u]);
#else
    return vec4<f32>(f32(columns[at]), f32(columns[at + 1u]), f32(columns[at + 2u]), f32(columns[at + 3u]));
#endif
#else
    return read4(at);
#endif
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let made = id / params.quads;
    let channel = (id - made * params.quads) * 4u;
#ifdef EXPAND
    let sample = made / params.out_pixels;
    let pixel = made - sample * params.out_pixels;
    let source_column = column_at_pixel(params.pixels, pixel, params.first_row + sample);
    let to = params.out_base + sample * params.out_sample + pixel * params.out_stride;
#else
    let origin = origin_of(params.origins, made);
    let source_column = column_at_pixel(params.pixels, origin.pixel, origin.row);
    let to = params.out_base + made * params.out_stride;
#endif
    let value = read_column(params.in_base + source_column * params.in_stride + channel);
    write4(to + channel, value, min(4u, params.channels - channel));
}
