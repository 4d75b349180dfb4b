// Rows as they are: copies them to where the network reads them. Output [rows, len].
//
// Bindings of group 0: 0 params ExpandParams, 1 output, 2 rows [rows, len].

#import expand_params

@group(0) @binding(2) var<storage, read> rows: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.len;
    output[row * params.stride + id - row * params.len] = stored1(rows[id]);
}
