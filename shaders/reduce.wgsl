// Reduction over the middle axis. Input [rows, outer, len, inner], output [rows, outer, inner], in the arena.
//
// A thread makes a quad of `inner`; it adds four partial results, so that rounding errors grow more slowly.
//
// Bindings of group 0: 0 params ReduceParams, 1 arena. Grid: flat, quads fastest, then outer and samples.

#import arena
#import grid
#import nan

// Peer: src/device/gpu/uniforms.rs
struct ReduceParams {
    total: u32,        // threads: rows · outer · quads
    groups_x: u32,
    quads: u32,        // ceil(inner / 4)
    outer: u32,
    len: u32,
    inner: u32,
    in_base: u32,
    in_sample: u32,
    in_stride: u32,    // elements from one entry of the middle axis to the next
    out_base: u32,
    out_sample: u32,
    out_stride: u32,   // elements from one entry of the outer axis to the next
    kind: u32,         // 0 mean, 1 sum, 2 max, 3 min, 4 product
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: ReduceParams;

const THREADS: u32 = 64u;

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    switch params.kind {
        case 2u: {
            return select(a, b, (b > a) | is_nan4(b));
        }
        case 3u: {
            return select(a, b, (b < a) | is_nan4(b));
        }
        case 4u: {
            return a * b;
        }
        default: {
            return a + b;
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.quads;
    let first = (id - row * params.quads) * 4u;
    let sample = row / params.outer;
    let outer = row - sample * params.outer;
    let source = params.in_base + sample * params.in_sample + outer * params.len * params.in_stride + first;

    // The first four entries begin the partial results; where there are fewer, entry 0 begins a maximum again,
    // a sum 0 and a product 1.
    let start = read4(source);
    let empty = vec4<f32>(select(0.0, 1.0, params.kind == 4u));
    let none = select(empty, start, params.kind == 2u || params.kind == 3u);
    var a = start;
    var b = none;
    var c = none;
    var d = none;
    var at = source + params.in_stride;
    for (var i = 1u; i < params.len; i += 1u) {
        let value = read4(at);
        at += params.in_stride;
        switch i & 3u {
            case 0u: {
                a = combine(a, value);
            }
            case 1u: {
                b = combine(b, value);
            }
            case 2u: {
                c = combine(c, value);
            }
            default: {
                d = combine(d, value);
            }
        }
    }
    var result = combine(combine(a, b), combine(c, d));
    if params.kind == 0u {
        result /= f32(params.len);
    }
    let to = params.out_base + sample * params.out_sample + outer * params.out_stride + first;
    write4(to, result, min(4u, params.inner - first));
}
