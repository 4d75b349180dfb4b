// Weighted sums of a chunk's answers, group by group: out[group, j] = Σ_member weights[member] · answers[row, wanted[j]].
//
// A workgroup makes one number: its threads take every THREADS-th row of the group, their sums are added pair by
// pair. Of a group that lies in several chunks, a chunk adds the rows that it holds.
//
// Bindings of group 0: 0 params GroupSumParams, 1 output [groups that the chunk touches, outputs],
//   2 arena    of which [rows, in_sample] from in_base on are the answers
//   3 weights  [group_rows]
//   4 wanted   [outputs] numbers of the answers that are summed
// Grid: a workgroup a number, outputs fastest.

#import grid
#import stored

// Peer: src/device/gpu/uniforms.rs
struct GroupSumParams {
    cells: u32,          // numbers to make
    groups_x: u32,
    outputs: u32,
    rows: u32,           // of the chunk
    first_member: u32,   // place of the chunk's first row within its group
    group_rows: u32,
    in_base: u32,
    in_sample: u32,
}

@group(0) @binding(0) var<uniform> params: GroupSumParams;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read> arena: array<Stored>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> wanted: array<u32>;

const THREADS: u32 = 64u;

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let cell = flat_group(workgroup, params.groups_x);
    if cell >= params.cells {
        return;
    }
    let group = cell / params.outputs;
    let answer = params.in_base + wanted[cell - group * params.outputs];
    // Counted from the start of the chunk's first group.
    let start = group * params.group_rows;
    let first = max(start, params.first_member);
    let end = min(start + params.group_rows, params.first_member + params.rows);
    var sum = 0.0;
    for (var at = first + thread; at < end; at += THREADS) {
        sum += weights[at - start] * f32(arena[answer + (at - params.first_member) * params.in_sample]);
    }
    partial[thread] = sum;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] += partial[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        output[cell] = partial[0];
    }
}
