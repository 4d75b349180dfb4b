// Entries of the middle axis, picked by a table: [rows, outer, len, inner] becomes [rows, outer, count, inner]; both
// contiguous, in the arena. An index below 0 picks nothing: the entry is filled.
//
// A thread writes an element. Bindings of group 0: 0 params SelectParams, 1 arena, 2 indices [count]. Grid: flat, inner
// fastest, then count, outer and samples.

#import arena
#import grid

// Peer: src/device/gpu/uniforms.rs
struct SelectParams {
    total: u32,        // threads: rows · outer · count · inner
    groups_x: u32,
    outer: u32,
    len: u32,
    inner: u32,
    count: u32,
    in_base: u32,
    in_sample: u32,
    out_base: u32,
    out_sample: u32,
    fill: f32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: SelectParams;
@group(0) @binding(2) var<storage, read> indices: array<f32>;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let entry = id / params.inner;
    let channel = id - entry * params.inner;
    let line = entry / params.count;
    let sample = line / params.outer;
    let outer = line - sample * params.outer;
    let index = indices[entry - line * params.count];
    // Where nothing is picked, entry 0 is read and thrown away.
    let at = (outer * params.len + u32(max(index, 0.0))) * params.inner + channel;
    let picked = read1(params.in_base + sample * params.in_sample + at);
    let to = params.out_base + sample * params.out_sample + id - sample * params.outer * params.count * params.inner;
    write1(to, select(params.fill, picked, index >= 0.0));
}
