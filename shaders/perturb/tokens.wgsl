// Texts whose absent tokens are masked or removed. Output [rows, len].
//
// Bindings of group 0: 0 params ExpandParams, 1 output,
//   2 ids      [len]
//   3 players  [len] the player of each position; 4294967295 = always kept
//   4 masks    [rows, words]  bit p % 32 of word p / 32 = 1: player p is present
// params.params = [words, removed (1) or masked (0), bits of the id that stands for an absent token or fills the end, 0].

#import expand_params

@group(0) @binding(2) var<storage, read> ids: array<f32>;
@group(0) @binding(3) var<storage, read> players: array<u32>;
@group(0) @binding(4) var<storage, read> masks: array<u32>;

const ALWAYS: u32 = 0xffffffffu;

fn kept(row: u32, position: u32) -> bool {
    let player = players[position];
    let word = select(row * params.params.x + (player >> 5u), 0u, player == ALWAYS);
    return player == ALWAYS || ((masks[word] >> (player & 31u)) & 1u) == 1u;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.len;
    let position = id - row * params.len;
    var value = bitcast<f32>(params.params.z);
    if params.params.y == 0u {
        if kept(row, position) {
            value = ids[position];
        }
    } else {
        // The token that has `position` kept ones before it.
        var before = 0u;
        for (var at = 0u; at < params.len; at += 1u) {
            if kept(row, at) {
                if before == position {
                    value = ids[at];
                    break;
                }
                before += 1u;
            }
        }
    }
    output[row * params.stride + position] = stored1(value);
}
