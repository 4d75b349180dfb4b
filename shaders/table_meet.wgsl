// Where instance and background meet behind a first Linear layer: the layer's outputs of each row of the chunk, from what
// the layer made of the parts of rows (shaders/table_parts.wgsl), without bias.
//
// Row (coalition c, instance r, background row b): act(part(c, r) + part(c, b) + bias). If c is the complement of the
// coalition before, its parts are what that one's leave of the totals.
//
// A thread makes a quad of channels of a row. Bindings of group 0: 0 params TableMeetParams, 1 arena (the output),
//   2 bias   [quads of channels] as vec4
//   3 parts  [units of the chunk and totals, instances + background rows, parts_stride] from parts_base on
//   4 sides  [coalitions] twice the unit, and 1 if the coalition is the unit's second
// Grid: flat, quads fastest.

#import arena
#import activation
#import grid

// Peer: src/device/gpu/uniforms.rs
struct TableMeetParams {
    total: u32,          // threads: rows of the chunk · quads
    groups_x: u32,
    quads: u32,          // ceil(channels / 4)
    channels: u32,
    first_group: u32,    // of the chunk's first row: a group is a coalition with an instance, instances fastest
    first_member: u32,   // its background row
    instances: u32,
    background: u32,     // background rows
    first_unit: u32,     // of the chunk
    units: u32,          // of the chunk; the totals lie behind them
    parts_base: u32,
    parts_stride: u32,   // a multiple of four
    out_base: u32,
    out_sample: u32,
    activation: u32,
    low: f32,
    high: f32,
    pad_0: u32,
    pad_1: u32,
    pad_2: u32,
}

@group(0) @binding(0) var<uniform> params: TableMeetParams;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> parts: array<Stored4>;
@group(0) @binding(4) var<storage, read> sides: array<u32>;

const THREADS: u32 = 64u;

// Of a unit (counted from the chunk's first), an instance or, behind the instances, a background row.
fn part(unit: u32, row: u32, channel: u32) -> vec4<f32> {
    let number = unit * (params.instances + params.background) + row;
    return vec4<f32>(parts[(params.parts_base + number * params.parts_stride + channel) >> 2u]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let row = id / params.quads;
    let quad = id - row * params.quads;
    let channel = 4u * quad;
    let member = params.first_member + row;
    let further = member / params.background;
    let hidden = params.instances + member - further * params.background;
    let group = params.first_group + further;
    let coalition = group / params.instances;
    let instance = group - coalition * params.instances;
    let side = sides[coalition];
    let unit = (side >> 1u) - params.first_unit;
    var absent = part(unit, hidden, channel);
    var present = part(unit, instance, channel);
    if (side & 1u) == 1u {
        absent = part(params.units, hidden, channel) - absent;
        present = part(params.units, instance, channel) - present;
    }
    let sum = activate(absent + present + bias[quad], params.activation, params.low, params.high);
    write4(params.out_base + row * params.out_sample + channel, sum, min(4u, params.channels - channel));
}
