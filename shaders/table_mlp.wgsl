// A perceptron over rows that mix an instance with background rows: all layers of a tile of rows in workgroup memory,
// only the weighted sums of the answers are written.
//
// A workgroup takes a *task*: a group (a coalition and an instance) and a block of BLOCK_ROWS background rows, in tiles of
// TILE_ROWS. An element of the tile is (feature or neuron, quad of rows), quads fastest. A thread computes four neurons
// of four rows. Layers are at most MOST_WIDTH wide.
//
// Bindings of group 0: 0 params TableMlpParams, 1 output [tasks, outputs],
//   2 rows     [instances + background rows, features], as the first layer takes them
//   3 players  [features] the player of each feature; 4294967295 = always the instance
//   4 masks    [coalitions, words]  bit p % 32 of word p / 32 = 1: player p is present
//   5 layers   [layers, 2] as vec4: inputs, quads of outputs, first vec4 of the weights, activation; low, high, 0, 0
//   6 weights  for each layer [inputs, quads of outputs], then its bias [quads of outputs]; lanes beyond the last are 0
//   7 members  [background rows] the weight of each

#import activation
#import grid

// Peer: src/device/gpu/uniforms.rs
struct TableMlpParams {
    tasks: u32,        // of this dispatch
    groups_x: u32,
    group: u32,        // of the first task
    block: u32,        // of the first task
    blocks: u32,       // blocks of the background
    instances: u32,
    background: u32,   // background rows
    features: u32,
    words: u32,        // words of a coalition
    layers: u32,
    softmax: u32,      // 0: none, 1: Softmax, 2: its logarithm
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: TableMlpParams;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> players: array<u32>;
@group(0) @binding(4) var<storage, read> masks: array<u32>;
@group(0) @binding(5) var<storage, read> layers: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> members: array<f32>;

const THREADS: u32 = 64u;
const BLOCK_ROWS: u32 = 256u;   // Peer: src/device/gpu/table_mlp.rs
const TILE_ROWS: u32 = 32u;
const QUADS: u32 = 8u;          // of rows in a tile
const MOST_WIDTH: u32 = 64u;    // Peer: src/device/gpu/table_mlp.rs
const ALWAYS: u32 = 0xffffffffu;
const HALF: u32 = 512u;         // MOST_WIDTH · QUADS

// Two tiles: a layer reads one and writes the other.
var<workgroup> tile: array<vec4<f32>, 1024>;

fn value(coalition: u32, instance: u32, other: u32, feature: u32) -> f32 {
    let player = players[feature];
    let word = select(coalition * params.words + (player >> 5u), 0u, player == ALWAYS);
    let present = player == ALWAYS || ((masks[word] >> (player & 31u)) & 1u) == 1u;
    let row = select(params.instances + min(other, params.background - 1u), instance, present);
    return rows[row * params.features + feature];
}

fn softmax(base: u32, quad: u32) {
    var largest = tile[base + quad];
    for (var i = 1u; i < params.outputs; i += 1u) {
        let x = tile[base + i * QUADS + quad];
        largest = select(largest, x, (x > largest) | (x != x));
    }
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < params.outputs; i += 1u) {
        sum += exp(tile[base + i * QUADS + quad] - largest);
    }
    for (var i = 0u; i < params.outputs; i += 1u) {
        let x = tile[base + i * QUADS + quad] - largest;
        tile[base + i * QUADS + quad] = select(exp(x) / sum, x - log(sum), params.softmax == 2u);
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let task = flat_group(workgroup, params.groups_x);
    if task >= params.tasks {
        return;
    }
    let further = (params.block + task) / params.blocks;
    let block = params.block + task - further * params.blocks;
    let group = params.group + further;
    let coalition = group / params.instances;
    let instance = group - coalition * params.instances;
    let end = min((block + 1u) * BLOCK_ROWS, params.background);
    var sum = 0.0;
    for (var first = block * BLOCK_ROWS; first < end; first += TILE_ROWS) {
        for (var item = thread; item < params.features * QUADS; item += THREADS) {
            let feature = item / QUADS;
            let other = first + (item - feature * QUADS) * 4u;
            tile[item] = vec4<f32>(
                value(coalition, instance, other, feature),
                value(coalition, instance, other + 1u, feature),
                value(coalition, instance, other + 2u, feature),
                value(coalition, instance, other + 3u, feature),
            );
        }
        workgroupBarrier();
        var base = 0u;
        for (var number = 0u; number < params.layers; number += 1u) {
            let layer = layers[2u * number];
            let range = bitcast<vec4<f32>>(layers[2u * number + 1u]);
            let to = HALF - base;
            for (var item = thread; item < layer.y * QUADS; item += THREADS) {
                let four = item / QUADS;
                let quad = item - four * QUADS;
                let bias = weights[layer.z + layer.x * layer.y + four];
                var s0 = vec4<f32>(bias.x);
                var s1 = vec4<f32>(bias.y);
                var s2 = vec4<f32>(bias.z);
                var s3 = vec4<f32>(bias.w);
                for (var k = 0u; k < layer.x; k += 1u) {
                    let x = tile[base + k * QUADS + quad];
                    let w = weights[layer.z + k * layer.y + four];
                    s0 += w.x * x;
                    s1 += w.y * x;
                    s2 += w.z * x;
                    s3 += w.w * x;
                }
                let at = to + four * 4u * QUADS + quad;
                tile[at] = activate(s0, layer.w, range.x, range.y);
                tile[at + QUADS] = activate(s1, layer.w, range.x, range.y);
                tile[at + 2u * QUADS] = activate(s2, layer.w, range.x, range.y);
                tile[at + 3u * QUADS] = activate(s3, layer.w, range.x, range.y);
            }
            base = to;
            workgroupBarrier();
        }
        if params.softmax != 0u {
            if thread < QUADS {
                softmax(base, thread);
            }
            workgroupBarrier();
        }
        if thread < params.outputs {
            for (var row = first; row < min(first + TILE_ROWS, end); row += 1u) {
                let lane = row - first;
                sum += members[row] * tile[base + thread * QUADS + lane / 4u][lane % 4u];
            }
        }
        workgroupBarrier();
    }
    if thread < params.outputs {
        output[task * params.outputs + thread] = sum;
    }
}
