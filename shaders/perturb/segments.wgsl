// Pictures (or rows) varied by segment: an element shows the instance where its pixel's player is present and the
// baseline where it is absent. Output [rows, len].
//
// Bindings of group 0: 0 params ExpandParams, 1 output,
//   2 players   [pixels]  player of each pixel; 4294967295 = always the instance
//   3 instance  [len]
//   4 baseline  [len]
//   5 masks     [rows, words]  bit p % 32 of word p / 32 = 1: player p is present
// params.params = [inner, pixels, words, 0]: the pixel of element e is (e / inner) % pixels.

#import expand_params

@group(0) @binding(2) var<storage, read> players: array<u32>;
@group(0) @binding(3) var<storage, read> instance: array<f32>;
@group(0) @binding(4) var<storage, read> baseline: array<f32>;
@group(0) @binding(5) var<storage, read> masks: array<u32>;

const ALWAYS: u32 = 0xffffffffu;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.len;
    let element = id - row * params.len;
    let player = players[(element / params.params.x) % params.params.y];
    let word = select(row * params.params.z + (player >> 5u), 0u, player == ALWAYS);
    let present = player == ALWAYS || ((masks[word] >> (player & 31u)) & 1u) == 1u;
    output[row * params.stride + element] = stored1(select(baseline[element], instance[element], present));
}
