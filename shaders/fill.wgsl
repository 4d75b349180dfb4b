// A constant, the same for every sample: out[r, c] = value[r, c].
//
// A thread writes an element. Bindings of group 0: 0 params FillParams, 1 arena, 2 value [rows, channels]. Grid: flat,
// channels fastest, then rows, then samples.

#import arena
#import grid

// Peer: src/device/gpu/uniforms.rs
struct FillParams {
    total: u32,        // threads: samples · rows · channels
    groups_x: u32,
    rows: u32,
    channels: u32,
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: FillParams;
@group(0) @binding(2) var<storage, read> value: array<f32>;

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
    let to = params.out_base + sample * params.out_sample + row * params.out_stride + channel;
    write1(to, value[row * params.channels + channel]);
}
