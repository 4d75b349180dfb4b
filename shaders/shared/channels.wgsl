// Kernels over rows × channels: out[r, c] = f(in[r, c]). Views in the arena, quads of channels.

#import arena
#import activation
#import grid

// Peer: src/device/gpu/uniforms.rs
struct ChannelParams {
    total: u32,        // threads: rows of the chunk · rows · quads
    groups_x: u32,
    quads: u32,        // ceil(channels / 4)
    channels: u32,
    rows: u32,         // rows per sample
    in_base: u32,
    in_sample: u32,
    in_stride: u32,
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
    activation: u32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<uniform> params: ChannelParams;

const THREADS: u32 = 64u;

// A quad of channels of a row: where it is read and written.
struct Quad {
    live: bool,     // false for threads beyond the last quad
    channel: u32,   // its first channel
    source: u32,
    to: u32,
}

fn quad_of(id: u32) -> Quad {
    let all_rows = id / params.quads;
    let channel = (id - all_rows * params.quads) * 4u;
    let sample = all_rows / params.rows;
    let row = all_rows - sample * params.rows;
    return Quad(
        id < params.total,
        channel,
        params.in_base + sample * params.in_sample + row * params.in_stride + channel,
        params.out_base + sample * params.out_sample + row * params.out_stride + channel,
    );
}

fn finish(quad: Quad, value: vec4<f32>) {
    let result = activate(value, params.activation, params.low, params.high);
    write4(quad.to, result, min(4u, params.channels - quad.channel));
}
