// LIME's coalitions, every player present or absent by a fair coin. Output [rows, words], packed a bit each.
// Peer: src/perturb/sampler.rs, bit for bit.
//
// Word w of row r is lane w % 4 of Philox4x32-10 at counter (w / 4, r, 0, 1) and key `seed`, with the bits beyond
// the last player cleared. Row 0 is the instance: all players are present. With `paired`, row 2k is the complement of
// row 2k − 1. A thread writes one word.
//
// Bindings of group 0: 0 params BernoulliParams, 1 output. Grid: flat, words fastest.

#import grid
#import philox

// Peer: src/device/gpu/uniforms.rs
struct BernoulliParams {
    total: u32,        // words to write: rows · words
    groups_x: u32,
    words: u32,        // words per row: ceil(players / 32)
    players: u32,
    first_row: u32,    // the run's number of the first row written
    paired: u32,
    seed_low: u32,
    seed_high: u32,
}

@group(0) @binding(0) var<uniform> params: BernoulliParams;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

const THREADS: u32 = 64u;
const LIME_STREAM: u32 = 1u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let line = id / params.words;
    let word = id - line * params.words;
    let row = params.first_row + line;
    let mirrored = params.paired == 1u && row > 0u && row % 2u == 0u;
    let drawn = row - select(0u, 1u, mirrored);
    let lanes = philox4x32_10(
        vec4<u32>(word / 4u, drawn, 0u, LIME_STREAM),
        vec2<u32>(params.seed_low, params.seed_high),
    );
    var bits = select(lanes[word % 4u], 0xffffffffu, row == 0u);
    bits = select(bits, ~bits, mirrored);
    let used = params.players - word * 32u;
    if used < 32u {
        bits &= (1u << used) - 1u;
    }
    output[id] = bits;
}
