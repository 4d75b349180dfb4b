// A perceptron over rows that mix an instance with background rows: all layers of a tile of rows in workgroup memory,
// only the weighted sums of the answers are written.
//
// A workgroup takes a *task*: a unit of coalitions, a chunk of instances and a block of BLOCK_ROWS background rows. A unit
// is a coalition, or a coalition z and its complement z̄. The first layer's sums have two parts: the bias and what the
// present features of the instance add, and what the absent features of the background row add. For z the instances'
// part is computed once for a task, the background's part once for a tile of 4 · quads rows; for each instance of the
// chunk the two are added and go through the other layers. For z̄ each part is what is left of the *total* of both sides:
// of a background row all that players' features add, of an instance the same and twice what z and z̄ both have (the
// bias and the features that are always present).
//
// Two tiles: a layer reads one and writes the other. An element of a tile is (feature or neuron, quad of rows), quads
// fastest. A thread computes four neurons of four rows; of the first layer it has one such patch at most, which stays
// in registers. How many quads and instances fit in memory is worked out by the host (`Layout`).
//
// Bindings of group 0: 0 params TableMlpParams, 1 output [tasks, sides, instances of a chunk, outputs],
//   2 rows     [instances + background rows, features], as the first layer takes them
//   3 players  [features] the player of each feature; 4294967295 = always the instance
//   4 units    [units, 1 + words]  1, or 2 with the complement; then bit p % 32 of word p / 32 = 1: player p is present
//   5 layers   [layers, 2] as vec4: inputs, quads of outputs, first vec4 of the weights, activation; low, high, 0, 0
//   6 weights  for each layer [inputs, quads of outputs], then its bias [quads of outputs]; lanes beyond the last are 0
//   7 members  [background rows] the weight of each, four to a vec4; lanes beyond the last are 0
//   8 totals   [instances + background rows, quads of outputs] of the first layer; not read where sides is 1

#import activation
#import grid
#import nan

// Peer: src/device/gpu/uniforms.rs
struct TableMlpParams {
    tasks: u32,            // of this dispatch
    groups_x: u32,
    chunk: u32,            // of the first task; chunks of instances, unit by unit
    block: u32,            // of the first task
    blocks: u32,           // blocks of the background
    chunks: u32,           // chunks of a unit
    chunk_instances: u32,
    instances: u32,
    background: u32,       // background rows
    features: u32,
    words: u32,            // words of a coalition
    layers: u32,
    softmax: u32,          // 0: none, 1: Softmax, 2: its logarithm
    outputs: u32,
    quads_log2: u32,       // quads of rows in a tile
    second: u32,           // where the second tile begins
    sides: u32,            // coalitions of a unit, at most
    pad_0: u32,
    pad_1: u32,
    pad_2: u32,
}

@group(0) @binding(0) var<uniform> params: TableMlpParams;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> players: array<u32>;
@group(0) @binding(4) var<storage, read> units: array<u32>;
@group(0) @binding(5) var<storage, read> layers: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> members: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> totals: array<vec4<f32>>;

const THREADS: u32 = 128u;      // Peer: src/device/gpu/table_mlp.rs
const BLOCK_ROWS: u32 = 256u;   // Peer: src/device/gpu/table_mlp.rs
const ALWAYS: u32 = 0xffffffffu;

// Both tiles. Peer: TILE_QUADS in src/device/gpu/table_mlp.rs
var<workgroup> tiles: array<vec4<f32>, 768>;
// The instances' part of the first layer [instances of the chunk, neurons rounded up to four], then the weighted sums
// [sides, instances of the chunk, outputs]. Peer: SUMS in src/device/gpu/table_mlp.rs
var<workgroup> sums: array<f32, 1024>;

// Four neurons of four rows: a vector of rows for each neuron.
struct Patch {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// Loads rows `first`.. into the second tile, the last repeated beyond the end: the features of present players, or
// those of absent ones, and 0 for the others. They are not multiplied by 0, since they may be no numbers. The unit's
// coalition begins at `mask`.
fn load(mask: u32, present: bool, first: u32, last: u32, thread: u32) {
    for (var item = thread; item < (params.features << params.quads_log2); item += THREADS) {
        let feature = item >> params.quads_log2;
        let row = first + 4u * (item - (feature << params.quads_log2));
        let player = players[feature];
        let word = select(mask + (player >> 5u), 0u, player == ALWAYS);
        let shows = player == ALWAYS || ((units[word] >> (player & 31u)) & 1u) == 1u;
        let x = vec4<f32>(
            rows[min(row, last) * params.features + feature],
            rows[min(row + 1u, last) * params.features + feature],
            rows[min(row + 2u, last) * params.features + feature],
            rows[min(row + 3u, last) * params.features + feature],
        );
        tiles[params.second + item] = select(vec4<f32>(0.0), x, shows == present);
    }
}

// Adds up a layer over the tile at `base`, for neurons 4 · `four`.. and the rows of a quad.
fn layer_sums(layer: vec4<u32>, base: u32, four: u32, quad: u32, start: vec4<f32>) -> Patch {
    var sum = Patch(vec4<f32>(start.x), vec4<f32>(start.y), vec4<f32>(start.z), vec4<f32>(start.w));
    for (var k = 0u; k < layer.x; k += 1u) {
        let x = tiles[base + (k << params.quads_log2) + quad];
        let w = weights[layer.z + k * layer.y + four];
        sum.a += w.x * x;
        sum.b += w.y * x;
        sum.c += w.z * x;
        sum.d += w.w * x;
    }
    return sum;
}

fn bias(layer: vec4<u32>, four: u32) -> vec4<f32> {
    return weights[layer.z + layer.x * layer.y + four];
}

// The totals of four rows for neurons 4 · `four`.., less a part: rows `row`.. of `totals`, none beyond `last`.
fn rest(part: Patch, row: u32, last: u32, four: u32) -> Patch {
    let fours = layers[0].y;
    let x = totals[min(row, last) * fours + four];
    let y = totals[min(row + 1u, last) * fours + four];
    let z = totals[min(row + 2u, last) * fours + four];
    let w = totals[min(row + 3u, last) * fours + four];
    return Patch(
        vec4<f32>(x.x, y.x, z.x, w.x) - part.a,
        vec4<f32>(x.y, y.y, z.y, w.y) - part.b,
        vec4<f32>(x.z, y.z, z.z, w.z) - part.c,
        vec4<f32>(x.w, y.w, z.w, w.w) - part.d,
    );
}

// Applies a layer's activation and writes a patch into the tile at `to`.
fn store(number: u32, to: u32, four: u32, quad: u32, sum: Patch) {
    let kind = layers[2u * number].w;
    let range = bitcast<vec4<f32>>(layers[2u * number + 1u]);
    let quads = 1u << params.quads_log2;
    let at = to + ((4u * four) << params.quads_log2) + quad;
    tiles[at] = activate(sum.a, kind, range.x, range.y);
    tiles[at + quads] = activate(sum.b, kind, range.x, range.y);
    tiles[at + 2u * quads] = activate(sum.c, kind, range.x, range.y);
    tiles[at + 3u * quads] = activate(sum.d, kind, range.x, range.y);
}

fn softmax(base: u32, quad: u32) {
    var largest = tiles[base + quad];
    for (var i = 1u; i < params.outputs; i += 1u) {
        let x = tiles[base + (i << params.quads_log2) + quad];
        largest = select(largest, x, (x > largest) | is_nan4(x));
    }
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < params.outputs; i += 1u) {
        sum += exp(tiles[base + (i << params.quads_log2) + quad] - largest);
    }
    for (var i = 0u; i < params.outputs; i += 1u) {
        let at = base + (i << params.quads_log2) + quad;
        let x = tiles[at] - largest;
        tiles[at] = select(exp(x) / sum, x - log(sum), params.softmax == 2u);
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
    let chunk = params.chunk + further;
    let unit = chunk / params.chunks;
    let first_instance = (chunk - unit * params.chunks) * params.chunk_instances;
    let sides = units[unit * (1u + params.words)];
    let mask = unit * (1u + params.words) + 1u;
    let instances = min(params.chunk_instances, params.instances - first_instance);
    let end = min((block + 1u) * BLOCK_ROWS, params.background);
    let quads = 1u << params.quads_log2;
    // The thread's patch of the first layer.
    let opening = layers[0];
    let four = thread >> params.quads_log2;
    let quad = thread & (quads - 1u);
    let has_patch = four < opening.y;

    let width = 4u * opening.y;
    let answers = params.chunk_instances * width;
    let side_answers = params.chunk_instances * params.outputs;
    for (var item = thread; item < sides * side_answers; item += THREADS) {
        sums[answers + item] = 0.0;
    }
    for (var first = 0u; first < instances; first += 4u * quads) {
        load(mask, true, first_instance + first, first_instance + instances - 1u, thread);
        workgroupBarrier();
        if has_patch {
            let part = layer_sums(opening, params.second, four, quad, bias(opening, four));
            for (var lane = 0u; lane < 4u; lane += 1u) {
                let instance = first + 4u * quad + lane;
                if instance < instances {
                    let at = instance * width + 4u * four;
                    sums[at] = part.a[lane];
                    sums[at + 1u] = part.b[lane];
                    sums[at + 2u] = part.c[lane];
                    sums[at + 3u] = part.d[lane];
                }
            }
        }
        workgroupBarrier();
    }

    let last = params.instances + params.background - 1u;
    for (var first = block * BLOCK_ROWS; first < end; first += 4u * quads) {
        load(mask, false, params.instances + first, last, thread);
        workgroupBarrier();
        var absent = Patch();
        if has_patch {
            absent = layer_sums(opening, params.second, four, quad, vec4<f32>(0.0));
        }
        for (var side = 0u; side < sides; side += 1u) {
            if side == 1u && has_patch {
                absent = rest(absent, params.instances + first + 4u * quad, last, four);
            }
            for (var instance = 0u; instance < instances; instance += 1u) {
                if has_patch {
                    let at = instance * width + 4u * four;
                    var present = vec4<f32>(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
                    if side == 1u {
                        present = totals[(first_instance + instance) * opening.y + four] - present;
                    }
                    let sum = Patch(
                        absent.a + present.x,
                        absent.b + present.y,
                        absent.c + present.z,
                        absent.d + present.w,
                    );
                    store(0u, 0u, four, quad, sum);
                }
                workgroupBarrier();
                // The first layer wrote the first tile.
                var base = 0u;
                for (var number = 1u; number < params.layers; number += 1u) {
                    let layer = layers[2u * number];
                    let to = params.second - base;
                    for (var item = thread; item < (layer.y << params.quads_log2); item += THREADS) {
                        let four = item >> params.quads_log2;
                        let quad = item & (quads - 1u);
                        store(number, to, four, quad, layer_sums(layer, base, four, quad, bias(layer, four)));
                    }
                    base = to;
                    workgroupBarrier();
                }
                if params.softmax != 0u {
                    if thread < quads {
                        softmax(base, thread);
                    }
                    workgroupBarrier();
                }
                if thread < params.outputs {
                    var sum = vec4<f32>(0.0);
                    let live = min(quads, (end - first + 3u) / 4u);
                    for (var quad = 0u; quad < live; quad += 1u) {
                        sum += members[first / 4u + quad] * tiles[base + (thread << params.quads_log2) + quad];
                    }
                    let at = answers + side * side_answers + instance * params.outputs + thread;
                    sums[at] += (sum.x + sum.y) + (sum.z + sum.w);
                }
                workgroupBarrier();
            }
        }
    }
    if thread < params.outputs {
        for (var side = 0u; side < sides; side += 1u) {
            for (var instance = 0u; instance < instances; instance += 1u) {
                let answer = side * side_answers + instance * params.outputs + thread;
                output[task * params.sides * side_answers + answer] = sums[answers + answer];
            }
        }
    }
}
