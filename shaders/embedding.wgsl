// Rows of a table by number: out[r, c] = table[in[r], c].
//
// A thread writes an element. Ids are checked on the host; whatever comes here instead stays within the table.
//
// Bindings of group 0: 0 params EmbeddingParams, 1 arena (in contiguous), 2 table [vocabulary, width]. Grid: flat, columns
// fastest, then rows, then samples.

#import arena
#import grid

// Peer: src/device/gpu/uniforms.rs
struct EmbeddingParams {
    total: u32,        // threads: samples · rows · width
    groups_x: u32,
    rows: u32,
    width: u32,
    vocabulary: u32,
    in_base: u32,
    in_sample: u32,
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: EmbeddingParams;
@group(0) @binding(2) var<storage, read> table: array<Stored>;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let all_rows = id / params.width;
    let column = id - all_rows * params.width;
    let sample = all_rows / params.rows;
    let row = all_rows - sample * params.rows;
    let token = u32(max(read1(params.in_base + sample * params.in_sample + row), 0.0));
    let to = params.out_base + sample * params.out_sample + row * params.out_stride + column;
    write1(to, f32(table[min(token, params.vocabulary - 1u) * params.width + column]));
}
