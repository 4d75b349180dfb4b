// Parts of table rows for a first Linear layer: of each unit of coalitions (src/device/gpu/table_units.rs), what its
// coalition shows of each instance and what it hides of each background row; 0 elsewhere. Behind the units, as if they
// were one more, what both sides of any pair add up to: an instance with features that are always present twice, a
// background row without them.
//
// A thread writes a feature. Bindings of group 0: 0 params TablePartsParams,
//   1 output   [parts, stride], a part for each instance and then for each background row, unit by unit
//   2 rows     [instances + background rows, features], as the layer takes them
//   3 players  [features] the player of each feature; 4294967295 = always the instance
//   4 units    [units, 1 + words]  how many coalitions, then bit p % 32 of word p / 32 = 1: player p is present in the first

#import grid
#import stored

// Peer: src/device/gpu/uniforms.rs
struct TablePartsParams {
    total: u32,         // threads: parts · features
    groups_x: u32,
    features: u32,
    stride: u32,
    instances: u32,
    rows: u32,          // instances and background rows
    first_unit: u32,
    units: u32,         // of the chunk
    words: u32,         // of a coalition
    pad_0: u32,
    pad_1: u32,
    pad_2: u32,
}

@group(0) @binding(0) var<uniform> params: TablePartsParams;
@group(0) @binding(1) var<storage, read_write> output: array<Stored>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> players: array<u32>;
@group(0) @binding(4) var<storage, read> units: array<u32>;

const THREADS: u32 = 64u;
const ALWAYS: u32 = 0xffffffffu;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let number = id / params.features;
    let feature = id - number * params.features;
    let unit = number / params.rows;
    let row = number - unit * params.rows;
    let is_instance = row < params.instances;
    let player = players[feature];
    let is_always = player == ALWAYS;
    let x = rows[row * params.features + feature];
    // Selected, not multiplied: cells that do not count may be no numbers.
    var value = 0.0;
    if unit == params.units {
        if !is_always {
            value = x;
        } else if is_instance {
            value = 2.0 * x;
        }
    } else {
        let mask = (params.first_unit + unit) * (1u + params.words) + 1u;
        let word = select(mask + (player >> 5u), 0u, is_always);
        let present = is_always || ((units[word] >> (player & 31u)) & 1u) == 1u;
        if present == is_instance {
            value = x;
        }
    }
    output[number * params.stride + feature] = stored1(value);
}
