// Convolution without groups and matrix product, as conv_tiled.wgsl, in cooperative matrices: f16 products of 16 × 16 × 16, sums
// in f32. A workgroup is one subgroup of 32 threads and makes 64 columns × 32 outputs, from tiles of K = 16.
//
// COOPERATIVE: on the matrix units. Without it the same tiles are multiplied by plain loops: slow, and there so that everything
// but the three built-in functions is tested on adapters that have none.
// VEC4: four input channels a load. Otherwise one at a time, and MASKED reads the masked input.
// Workgroup memory: 14 KiB. Bindings and shapes: shared/convolution.wgsl. Grid: a workgroup a tile, tiles along the outputs fastest.

#import taps

const THREADS: u32 = 32u;
const TILE_COLUMNS: u32 = 64u;
const TILE_OUTPUTS: u32 = 32u;
const TILE_QUADS: u32 = 8u;       // quads of outputs
const TILE_K: u32 = 16u;
// Elements from a row to the next: rows begin at multiples of 16 bytes, as cooperative loads want them.
const PITCH_IN: u32 = 24u;
const PITCH_WEIGHTS: u32 = 40u;
const PITCH_OUT: u32 = 36u;

var<workgroup> tile_in: array<Stored, 1536>;       // [column][k]
var<workgroup> tile_weights: array<Stored, 640>;   // [k][output]
var<workgroup> tile_out: array<f32, 2304>;         // [column][output]

// What the matrix units read. What comes from the arena is exact.
fn narrow(value: vec4<f32>) -> Stored4 {
#ifdef MASKED
    return stored4(value);
#else
    return Stored4(value);
#endif
}

// Sixteen elements of K of a column, from `tap` on.
fn fill_column(row: u32, column: Column, tap: Tap, quad_step: Tap) {
    var at = tap;
    for (var quad = 0u; quad < TILE_K / 4u; quad += 1u) {
        let value = narrow(load_quad(column, at));
        let to = row * PITCH_IN + quad * 4u;
        tile_in[to] = value.x;
        tile_in[to + 1u] = value.y;
        tile_in[to + 2u] = value.z;
        tile_in[to + 3u] = value.w;
        at = advance(at, quad_step.channel, quad_step.kx, quad_step.ky);
    }
}

fn fill_weights(first_k: u32, first_quad: u32, thread: u32) {
    for (var item = thread; item < TILE_K * TILE_QUADS; item += THREADS) {
        let k = item / TILE_QUADS;
        let quad = item - k * TILE_QUADS;
        let value = Stored4(load_weights(first_k + k, first_quad + quad));
        let to = k * PITCH_WEIGHTS + quad * 4u;
        tile_weights[to] = value.x;
        tile_weights[to + 1u] = value.y;
        tile_weights[to + 2u] = value.z;
        tile_weights[to + 3u] = value.w;
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // Nobody leaves early: matrices want all threads. A tile beyond the last has no live column.
    let tile = flat_group(group, params.groups_x);
    let tile_row = tile / params.tiles;
    let first_quad = (tile - tile_row * params.tiles) * TILE_QUADS;
    let first_column = tile_row * TILE_COLUMNS;
    let column_a = column_of(first_column + thread);
    let column_b = column_of(first_column + thread + THREADS);
    let further = 4u / params.cin;
    let quad_step =
        Tap(4u - further * params.cin, further % params.kernel_width, further / params.kernel_width);
    var tap = Tap(0u, 0u, 0u);

#ifdef COOPERATIVE
    var sum00 = coop_mat16x16<f32, C>();
    var sum01 = coop_mat16x16<f32, C>();
    var sum10 = coop_mat16x16<f32, C>();
    var sum11 = coop_mat16x16<f32, C>();
    var sum20 = coop_mat16x16<f32, C>();
    var sum21 = coop_mat16x16<f32, C>();
    var sum30 = coop_mat16x16<f32, C>();
    var sum31 = coop_mat16x16<f32, C>();
#else
    for (var item = thread; item < TILE_COLUMNS * PITCH_OUT; item += THREADS) {
        tile_out[item] = 0.0;
    }
#endif
    for (var step = 0u; step < params.steps; step += 1u) {
        fill_column(thread, column_a, tap, quad_step);
        fill_column(thread + THREADS, column_b, tap, quad_step);
        fill_weights(step * TILE_K, first_quad, thread);
        tap = advance(tap, params.step_channels, params.step_x, params.step_y);
        workgroupBarrier();
#ifdef COOPERATIVE
        let weights0 = coopLoadT<coop_mat16x16<f16, B>>(&tile_weights[0], PITCH_WEIGHTS);
        let weights1 = coopLoadT<coop_mat16x16<f16, B>>(&tile_weights[16], PITCH_WEIGHTS);
        let in0 = coopLoadT<coop_mat16x16<f16, A>>(&tile_in[0], PITCH_IN);
        sum00 = coopMultiplyAdd(in0, weights0, sum00);
        sum01 = coopMultiplyAdd(in0, weights1, sum01);
        let in1 = coopLoadT<coop_mat16x16<f16, A>>(&tile_in[384], PITCH_IN);
        sum10 = coopMultiplyAdd(in1, weights0, sum10);
        sum11 = coopMultiplyAdd(in1, weights1, sum11);
        let in2 = coopLoadT<coop_mat16x16<f16, A>>(&tile_in[768], PITCH_IN);
        sum20 = coopMultiplyAdd(in2, weights0, sum20);
        sum21 = coopMultiplyAdd(in2, weights1, sum21);
        let in3 = coopLoadT<coop_mat16x16<f16, A>>(&tile_in[1152], PITCH_IN);
        sum30 = coopMultiplyAdd(in3, weights0, sum30);
        sum31 = coopMultiplyAdd(in3, weights1, sum31);
#else
        for (var item = thread; item < TILE_COLUMNS * TILE_OUTPUTS; item += THREADS) {
            let row = item / TILE_OUTPUTS;
            let output = item - row * TILE_OUTPUTS;
            var sum = tile_out[row * PITCH_OUT + output];
            for (var k = 0u; k < TILE_K; k += 1u) {
                let weight = f32(tile_weights[k * PITCH_WEIGHTS + output]);
                sum = fma(f32(tile_in[row * PITCH_IN + k]), weight, sum);
            }
            tile_out[row * PITCH_OUT + output] = sum;
        }
#endif
        workgroupBarrier();
    }
#ifdef COOPERATIVE
    coopStoreT(sum00, &tile_out[0], PITCH_OUT);
    coopStoreT(sum01, &tile_out[16], PITCH_OUT);
    coopStoreT(sum10, &tile_out[576], PITCH_OUT);
    coopStoreT(sum11, &tile_out[592], PITCH_OUT);
    coopStoreT(sum20, &tile_out[1152], PITCH_OUT);
    coopStoreT(sum21, &tile_out[1168], PITCH_OUT);
    coopStoreT(sum30, &tile_out[1728], PITCH_OUT);
    coopStoreT(sum31, &tile_out[1744], PITCH_OUT);
    workgroupBarrier();
#endif

    for (var item = thread; item < TILE_COLUMNS * TILE_QUADS; item += THREADS) {
        let row = item / TILE_QUADS;
        let quad = item - row * TILE_QUADS;
        let at = row * PITCH_OUT + quad * 4u;
        let sum = vec4<f32>(tile_out[at], tile_out[at + 1u], tile_out[at + 2u], tile_out[at + 3u]);
        store(column_of(first_column + row), 0u, first_quad + quad, sum);
    }
}
