// A function of two operands with broadcasting: out = act(a ∘ b) over four axes; a stride of 0 repeats.
//
// A thread makes a quad along the last axis. Bindings of group 0: 0 params BinaryParams, 1 arena (a, out and, without
// CONSTANT, b); with CONSTANT 2 = b, the same for every sample. Grid: flat, last axis fastest, then the others, then
// samples. With SHARED a, b and out are columns of a block, `*_sample` elements apart, and 2 = tables
// (shared/columns.wgsl).

#import strided
#import activation
#import grid
#import nan
#ifdef SHARED
#import columns
#endif

// Peer: src/device/gpu/uniforms.rs
struct BinaryParams {
    shape: vec4<u32>,         // of the output, outermost first
    a_strides: vec4<u32>,
    b_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,               // threads: rows · shape.x · shape.y · shape.z · quads
    groups_x: u32,
    quads: u32,               // ceil(shape.w / 4)
    kind: u32,                // BinaryKind::code: 0 add, 1 subtract, 2 multiply, 3 divide, 4 max, …
    a_base: u32,
    a_sample: u32,
    b_base: u32,
    b_sample: u32,
    out_base: u32,
    out_sample: u32,
    swapped: u32,             // 1: b ∘ a
    activation: u32,
    low: f32,
    high: f32,
    origins: u32,             // shared: tables of the output's columns,
    a_pixels: u32,            // of a's pixels
    b_pixels: u32,            // and of b's
    pad_0: u32,
    pad_1: u32,
    pad_2: u32,
}

@group(0) @binding(0) var<uniform> params: BinaryParams;
#ifdef CONSTANT
@group(0) @binding(2) var<storage, read> constant: array<f32>;
#endif
#ifdef SHARED
@group(0) @binding(2) var<storage, read> tables: array<u32>;
#endif

const THREADS: u32 = 64u;

fn read_b(at: u32, lanes: u32) -> vec4<f32> {
#ifdef CONSTANT
    let last = lanes - 1u;
    let stride = params.b_strides.w;
    return vec4<f32>(
        constant[at],
        constant[at + min(1u, last) * stride],
        constant[at + min(2u, last) * stride],
        constant[at + min(3u, last) * stride],
    );
#else
    return read_along(at, params.b_strides.w, lanes);
#endif
}

// 1 where it holds. With f16 storage NaN is a number that was too large to compare: it stays NaN.
fn truth(holds: vec4<bool>, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let result = select(vec4<f32>(0.0), vec4<f32>(1.0), holds);
#ifdef HALF
    return lost(lost(result, a), b);
#else
    return result;
#endif
}

#ifdef HALF
// `x` where it is NaN, else `result`.
fn lost(result: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    return select(result, x, is_nan4(x));
}
#endif

// `taken` where it holds, else 0, of a condition `a`.
fn gate(holds: vec4<bool>, taken: vec4<f32>, a: vec4<f32>) -> vec4<f32> {
    let result = select(vec4<f32>(0.0), taken, holds);
#ifdef HALF
    return lost(result, a);
#else
    return result;
#endif
}

// By the numbers of `BinaryKind::code` (src/model/graph.rs).
fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    switch params.kind {
        case 0u: {
            return a + b;
        }
        case 1u: {
            return a - b;
        }
        case 2u: {
            return a * b;
        }
        case 16u: { // equal
            return truth(a == b, a, b);
        }
        case 17u: { // greater
            return truth(a > b, a, b);
        }
        case 18u: { // greater or equal
            return truth(a >= b, a, b);
        }
        case 19u: { // less
            return truth(a < b, a, b);
        }
        case 20u: { // less or equal
            return truth(a <= b, a, b);
        }
        case 21u: { // b where a is true
            return gate(a != vec4<f32>(0.0), b, a);
        }
        case 22u: { // b where a is false
            return gate(a == vec4<f32>(0.0), b, a);
        }
        case 4u: {
            return select(b, a, (a > b) | is_nan4(a));
        }
        case 5u: {
            return select(b, a, (a < b) | is_nan4(a));
        }
        case 6u: {
            return power(a, b);
        }
        case 7u: {
            return select(a, a * b, a < vec4<f32>(0.0));
        }
        default: {
            return a / b;
        }
    }
}

// a^b; a negative base has a power where the exponent is an integer.
fn power(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let size = pow(abs(a), b);
    let odd = fract(b * 0.5) != vec4<f32>(0.0);
    let integral = select(sqrt(a), select(size, -size, odd), fract(b) == vec4<f32>(0.0));
    return select(select(size, integral, a < vec4<f32>(0.0)), vec4<f32>(1.0), b == vec4<f32>(0.0));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let outer2 = id / params.quads;
    let w = (id - outer2 * params.quads) * 4u;
    let outer1 = outer2 / params.shape.z;
    let z = outer2 - outer1 * params.shape.z;
    let outer0 = outer1 / params.shape.y;
    let y = outer1 - outer0 * params.shape.y;
    let sample = outer0 / params.shape.x;
    let x = outer0 - sample * params.shape.x;
    let index = vec4<u32>(x, y, z, w);

    let lanes = min(4u, params.shape.w - w);
#ifdef SHARED
    let origin = origin_of(params.origins, sample);
    let a_sample = column_at_pixel(params.a_pixels, origin.pixel, origin.row);
    let b_sample = column_at_pixel(params.b_pixels, origin.pixel, origin.row);
#else
    let a_sample = sample;
    let b_sample = sample;
#endif
    let a_at = params.a_base + a_sample * params.a_sample + dot(index, params.a_strides);
    let b_at = params.b_base + b_sample * params.b_sample + dot(index, params.b_strides);
    let out_at = params.out_base + sample * params.out_sample + dot(index, params.out_strides);
    let a = read_along(a_at, params.a_strides.w, lanes);
    let b = read_b(b_at, lanes);
    let swapped = params.swapped == 1u;
    let result = combine(select(a, b, swapped), select(b, a, swapped));
    let value = activate(result, params.activation, params.low, params.high);
    write_along(out_at, params.out_strides.w, value, lanes);
}
