// A scale and a shift for each channel: out[r, c] = act(scale[c] · in[r, c] + shift[c]).
//
// Bindings of group 0: 0 params ChannelParams, 1 arena, 2 scale and 3 shift: vec4 [quads], lanes beyond the last
// channel 0. Shapes and grid: shared/channels.wgsl.

#import channels

@group(0) @binding(2) var<storage, read> scale: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> shift: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let quad = quad_of(flat_thread(workgroup, params.groups_x, THREADS, thread));
    if quad.live {
        let c = quad.channel / 4u;
        finish(quad, fma(scale[c], read4(quad.source), shift[c]));
    }
}
