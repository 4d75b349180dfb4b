// Table rows whose absent features take the values of background rows. Output [rows, len].
//
// Bindings of group 0: 0 params ExpandParams, 1 output,
//   2 instances   [instances, len]
//   3 background  [background rows, len]
//   4 players     the number of coalitions, then [len] the player of each feature; 4294967295 = always the instance
//   5 masks       [coalitions, words]  bit p % 32 of word p / 32 = 1: player p is present
// params.params = [group of the chunk's first row, its background row, background rows, instances]: a group is the
// rows of a coalition and an instance, instances fastest.

#import expand_params

@group(0) @binding(2) var<storage, read> instances: array<f32>;
@group(0) @binding(3) var<storage, read> background: array<f32>;
@group(0) @binding(4) var<storage, read> players: array<u32>;
@group(0) @binding(5) var<storage, read> masks: array<u32>;

const ALWAYS: u32 = 0xffffffffu;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.len;
    let feature = id - row * params.len;
    let member = params.params.y + row;
    let further = member / params.params.z;
    let other = member - further * params.params.z;
    let group = params.params.x + further;
    let coalition = group / params.params.w;
    let instance = group - coalition * params.params.w;
    let words = arrayLength(&masks) / players[0];
    let player = players[1u + feature];
    let word = select(coalition * words + (player >> 5u), 0u, player == ALWAYS);
    let present = player == ALWAYS || ((masks[word] >> (player & 31u)) & 1u) == 1u;
    var value = background[other * params.len + feature];
    if present {
        value = instances[instance * params.len + feature];
    }
    output[row * params.stride + feature] = stored1(value);
}
