// What every expanding kernel (shaders/perturb/) shares: its uniform and its output.
//
// A thread writes one element of the chunk: element `e % len` of row `e / len`, e being the thread's flat number.
// Rows of the output lie `stride` elements apart.

#import grid
#import stored

// Peer: ExpandParams in src/perturb/mod.rs
struct ExpandParams {
    total: u32,         // elements to write: rows of the chunk · len
    len: u32,           // elements per row
    groups_x: u32,
    stride: u32,        // elements from one row of the output to the next
    params: vec4<u32>,  // the kernel's own
}

@group(0) @binding(0) var<uniform> params: ExpandParams;
@group(0) @binding(1) var<storage, read_write> output: array<Stored>;

const THREADS: u32 = 64u;
