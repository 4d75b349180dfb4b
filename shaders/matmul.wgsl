// Products of two activations: out[p, q, i, j] = Σ_k a[p, q, i, k] · b[p, q, k, j]; every axis has strides, 0 repeats.
//
// A workgroup makes a tile of 32 × 32 of one product: 64 threads make 4 × 4 each. Tiles of `a` and `b` of depth 8 are held
// in workgroup memory. With REGISTERS (software adapters, where barriers cost more than they save) a thread makes 4 × 4 on
// its own and reads what it needs. Terms are added in the order of k, either way.
//
// Bindings of group 0: 0 params MatMulParams, 1 arena. Grid: workgroups (with REGISTERS threads), tiles along j fastest,
// then along i, then q, p, samples.

#import arena
#import grid

// Peer: src/device/gpu/uniforms.rs
struct MatMulParams {
    a_strides: vec4<u32>,     // of p, q, i, k
    b_strides: vec4<u32>,     // of p, q, k, j
    out_strides: vec4<u32>,   // of p, q, i, j
    total: u32,               // tiles: samples · p · q · rows of tiles · columns of tiles
    groups_x: u32,
    batch_p: u32,
    batch_q: u32,
    m: u32,
    k: u32,
    n: u32,
    tiles_i: u32,
    tiles_j: u32,
    a_base: u32,
    a_sample: u32,
    b_base: u32,
    b_sample: u32,
    out_base: u32,
    out_sample: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: MatMulParams;

const THREADS: u32 = 64u;

// Where the operands of a tile's product begin, and its first row and column in tiles.
struct Place {
    a: u32,
    b: u32,
    to: u32,
    i: u32,
    j: u32,
}

fn place_of(id: u32) -> Place {
    let lines = id / params.tiles_j;
    let j = id - lines * params.tiles_j;
    let products = lines / params.tiles_i;
    let i = lines - products * params.tiles_i;
    let outer = products / params.batch_q;
    let q = products - outer * params.batch_q;
    let sample = outer / params.batch_p;
    let p = outer - sample * params.batch_p;
    return Place(
        params.a_base + sample * params.a_sample + p * params.a_strides.x + q * params.a_strides.y,
        params.b_base + sample * params.b_sample + p * params.b_strides.x + q * params.b_strides.y,
        params.out_base + sample * params.out_sample + p * params.out_strides.x + q * params.out_strides.y,
        i,
        j,
    );
}

fn store(place: Place, i: u32, j: u32, sum: vec4<f32>) {
    if i >= params.m {
        return;
    }
    for (var lane = 0u; lane < 4u; lane += 1u) {
        if j + lane < params.n {
            write1(place.to + i * params.out_strides.z + (j + lane) * params.out_strides.w, sum[lane]);
        }
    }
}

#ifdef REGISTERS
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let place = place_of(id);
    let i = place.i * 4u;
    let j = place.j * 4u;
    // Rows and columns beyond the last repeat it.
    let last_i = params.m - 1u;
    let last_j = params.n - 1u;
    let a0 = place.a + min(i, last_i) * params.a_strides.z;
    let a1 = place.a + min(i + 1u, last_i) * params.a_strides.z;
    let a2 = place.a + min(i + 2u, last_i) * params.a_strides.z;
    let a3 = place.a + min(i + 3u, last_i) * params.a_strides.z;
    let b0 = place.b + min(j, last_j) * params.b_strides.w;
    let b1 = place.b + min(j + 1u, last_j) * params.b_strides.w;
    let b2 = place.b + min(j + 2u, last_j) * params.b_strides.w;
    let b3 = place.b + min(j + 3u, last_j) * params.b_strides.w;
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var k = 0u; k < params.k; k += 1u) {
        let a = k * params.a_strides.w;
        let b = k * params.b_strides.z;
        let row = vec4<f32>(read1(b0 + b), read1(b1 + b), read1(b2 + b), read1(b3 + b));
        sum0 = fma(vec4<f32>(read1(a0 + a)), row, sum0);
        sum1 = fma(vec4<f32>(read1(a1 + a)), row, sum1);
        sum2 = fma(vec4<f32>(read1(a2 + a)), row, sum2);
        sum3 = fma(vec4<f32>(read1(a3 + a)), row, sum3);
    }
    store(place, i, j, sum0);
    store(place, i + 1u, j, sum1);
    store(place, i + 2u, j, sum2);
    store(place, i + 3u, j, sum3);
}
#else
const SIDE: u32 = 32u;
const DEPTH: u32 = 8u;

var<workgroup> tile_a: array<f32, 256>;         // [DEPTH, SIDE]
var<workgroup> tile_b: array<vec4<f32>, 64>;    // [DEPTH, SIDE / 4]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_group(workgroup, params.groups_x);
    // The same for all threads of a workgroup, so none waits for others in vain.
    if id >= params.total {
        return;
    }
    let place = place_of(id);
    let first_i = place.i * SIDE;
    let first_j = place.j * SIDE;
    let row = thread / 8u * 4u;
    let quad = thread % 8u;
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var first = 0u; first < params.k; first += DEPTH) {
        // Each thread fetches four elements of `a`, k fastest, and four columns of one row of `b`.
        for (var e = thread; e < SIDE * DEPTH; e += THREADS) {
            let i = first_i + e / DEPTH;
            let k = first + e % DEPTH;
            let inside = i < params.m && k < params.k;
            let at = place.a + select(0u, i * params.a_strides.z + k * params.a_strides.w, inside);
            tile_a[(e % DEPTH) * SIDE + e / DEPTH] = select(0.0, read1(at), inside);
        }
        let k = first + thread / 8u;
        var columns = vec4<f32>(0.0);
        for (var lane = 0u; lane < 4u; lane += 1u) {
            let j = first_j + quad * 4u + lane;
            let inside = j < params.n && k < params.k;
            let at = place.b + select(0u, k * params.b_strides.z + j * params.b_strides.w, inside);
            columns[lane] = select(0.0, read1(at), inside);
        }
        tile_b[thread] = columns;
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += 1u) {
            let b = tile_b[d * 8u + quad];
            let a = d * SIDE + row;
            sum0 = fma(vec4<f32>(tile_a[a]), b, sum0);
            sum1 = fma(vec4<f32>(tile_a[a + 1u]), b, sum1);
            sum2 = fma(vec4<f32>(tile_a[a + 2u]), b, sum2);
            sum3 = fma(vec4<f32>(tile_a[a + 3u]), b, sum3);
        }
        workgroupBarrier();
    }
    let i = first_i + row;
    let j = first_j + quad * 4u;
    store(place, i, j, sum0);
    store(place, i + 1u, j, sum1);
    store(place, i + 2u, j, sum2);
    store(place, i + 3u, j, sum3);
}
#endif
