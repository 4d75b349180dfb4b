// A strided copy over six axes, outermost first; the axes are held as three outer and three inner ones.
//
// A thread copies a quad along the last axis. Bindings of group 0: 0 params CopyParams, 1 arena. Grid: flat, last axis
// fastest, then the others, then samples.

#import strided
#import grid

// Peer: src/device/gpu/uniforms.rs
struct CopyParams {
    shape_outer: vec4<u32>,   // axes 0 to 2; w is not used
    shape_inner: vec4<u32>,   // axes 3 to 5
    in_outer: vec4<u32>,      // strides
    in_inner: vec4<u32>,
    out_outer: vec4<u32>,
    out_inner: vec4<u32>,
    total: u32,               // threads: rows · axes 0 to 4 · quads
    groups_x: u32,
    quads: u32,               // ceil(axis 5 / 4)
    in_base: u32,
    in_sample: u32,
    out_base: u32,
    out_sample: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: CopyParams;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    var rest = id / params.quads;
    let last = (id - rest * params.quads) * 4u;
    var inner = vec3<u32>(0u, 0u, last);
    var outer = vec3<u32>(0u);
    inner.y = rest % params.shape_inner.y;
    rest /= params.shape_inner.y;
    inner.x = rest % params.shape_inner.x;
    rest /= params.shape_inner.x;
    outer.z = rest % params.shape_outer.z;
    rest /= params.shape_outer.z;
    outer.y = rest % params.shape_outer.y;
    rest /= params.shape_outer.y;
    outer.x = rest % params.shape_outer.x;
    let sample = rest / params.shape_outer.x;

    let lanes = min(4u, params.shape_inner.z - last);
    let source = params.in_base + sample * params.in_sample
        + dot(outer, params.in_outer.xyz) + dot(inner, params.in_inner.xyz);
    let to = params.out_base + sample * params.out_sample
        + dot(outer, params.out_outer.xyz) + dot(inner, params.out_inner.xyz);
    write_along(to, params.out_inner.z, read_along(source, params.in_inner.z, lanes), lanes);
}
