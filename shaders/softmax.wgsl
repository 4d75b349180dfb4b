// Softmax over the middle axis of [rows, outer, len, inner], or its logarithm; both operands contiguous, in the arena.
//
// A thread makes one line of `len` elements. The largest element is taken off first, so nothing overflows.
//
// Bindings of group 0: 0 params SoftmaxParams, 1 arena. Grid: flat, inner fastest, then outer and samples.

#import arena
#import grid
#import nan

// Peer: src/device/gpu/uniforms.rs
struct SoftmaxParams {
    total: u32,        // threads: rows · outer · inner
    groups_x: u32,
    outer: u32,
    len: u32,
    inner: u32,
    in_base: u32,
    in_sample: u32,
    out_base: u32,
    out_sample: u32,
    logarithm: u32,    // 1: LogSoftmax
}

@group(0) @binding(0) var<uniform> params: SoftmaxParams;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.inner;
    let sample = row / params.outer;
    let line = (row - sample * params.outer) * params.len * params.inner + id - row * params.inner;
    let source = params.in_base + sample * params.in_sample + line;
    let to = params.out_base + sample * params.out_sample + line;

    var largest = read1(source);
    for (var i = 1u; i < params.len; i += 1u) {
        let value = read1(source + i * params.inner);
        largest = select(largest, value, value > largest || is_nan(value));
    }
    var sum = 0.0;
    for (var i = 0u; i < params.len; i += 1u) {
        sum += exp(read1(source + i * params.inner) - largest);
    }
    if params.logarithm == 1u {
        let shift = log(sum);
        for (var i = 0u; i < params.len; i += 1u) {
            write1(to + i * params.inner, read1(source + i * params.inner) - largest - shift);
        }
    } else {
        for (var i = 0u; i < params.len; i += 1u) {
            write1(to + i * params.inner, exp(read1(source + i * params.inner) - largest) / sum);
        }
    }
}
