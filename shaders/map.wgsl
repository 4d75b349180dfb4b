// A scalar function of each element: out[r, c] = act(in[r, c]).
//
// Bindings of group 0: 0 params ChannelParams, 1 arena. Shapes and grid: shared/channels.wgsl.

#import channels

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let quad = quad_of(flat_thread(workgroup, params.groups_x, THREADS, thread));
    if quad.live {
        finish(quad, read4(quad.source));
    }
}
