// Local response normalisation: out[r, c] = in[r, c] / (bias + alpha · Σ in[r, k]²)^beta, k in a window of `size` channels
// from ⌊(size − 1) / 2⌋ before c on.
//
// A thread makes one element. Bindings of group 0: 0 params LrnParams, 1 arena. Grid: flat, channels fastest, then rows
// and samples.

#import arena
#import grid

// Peer: src/device/gpu/uniforms.rs
struct LrnParams {
    total: u32,        // threads: rows of the chunk · rows · channels
    groups_x: u32,
    rows: u32,         // rows per sample
    channels: u32,
    in_base: u32,
    in_sample: u32,
    in_stride: u32,
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
    size: u32,
    alpha: f32,        // already divided by `size`
    beta: f32,
    bias: f32,
}

@group(0) @binding(0) var<uniform> params: LrnParams;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let all_rows = id / params.channels;
    let channel = id - all_rows * params.channels;
    let sample = all_rows / params.rows;
    let row = all_rows - sample * params.rows;
    let source = params.in_base + sample * params.in_sample + row * params.in_stride;

    let before = (params.size - 1u) / 2u;
    let first = channel - min(channel, before);
    let end = min(params.channels, channel + params.size - before);
    var sum = 0.0;
    for (var c = first; c < end; c += 1u) {
        let x = read1(source + c);
        sum += x * x;
    }
    let to = params.out_base + sample * params.out_sample + row * params.out_stride + channel;
    write1(to, read1(source + channel) / pow(params.bias + params.alpha * sum, params.beta));
}
