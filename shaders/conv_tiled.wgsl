// Convolution without groups and matrix product, as one implicit GEMM in workgroup memory:
//
//   out[column, o] = act(Σ_k in[column, k] · weights[k, o] + bias[o] (+ residual[column, o]))
//
// A workgroup makes a tile of columns × outputs, a thread 4 columns × 4 outputs (TALL: 8 × 4). A tile of
// the input, TILE_K deep, is gathered straight from the activations (no im2col is ever written); the next one is
// fetched into registers while the present one is multiplied.
//
//   permutation   columns × outputs × K   threads   workgroup memory
//   TALL          128 × 64 × 16           256       14 KiB
//   (none)         64 × 64 × 16           256        9 KiB
//   SMALL          32 × 32 × 8             64        2.5 KiB
//
// VEC4: four input channels a load. Otherwise one at a time, and MASKED reads the masked input.
// Bindings and shapes: shared/convolution.wgsl. Grid: a workgroup a tile, tiles along the outputs fastest.

#import taps

#ifdef SMALL
const THREADS: u32 = 64u;
const THREADS_X: u32 = 8u;          // threads along the outputs = quads of outputs in a tile
const TILE_COLUMNS: u32 = 32u;
const K_QUADS: u32 = 2u;
#else
const THREADS: u32 = 256u;
const THREADS_X: u32 = 16u;
#ifdef TALL
const TILE_COLUMNS: u32 = 128u;
#else
const TILE_COLUMNS: u32 = 64u;
#endif
const K_QUADS: u32 = 4u;
#endif
const TILE_K: u32 = K_QUADS * 4u;
const LOADED: u32 = THREADS / K_QUADS;  // columns that the threads load at once
const PITCH: u32 = K_QUADS + 1u;        // one more than needed, against bank conflicts

var<workgroup> tile_in: array<vec4<f32>, TILE_COLUMNS * PITCH>;       // [column][quad of K]
var<workgroup> tile_weights: array<vec4<f32>, TILE_K * THREADS_X>;    // [k][quad of outputs]

// sum + Σ_j a[j] · w_j, in the order of K.
fn dot4(a: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return fma(a.wwww, w3, fma(a.zzzz, w2, fma(a.yyyy, w1, fma(a.xxxx, w0, sum))));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = flat_group(group, params.groups_x);
    let tile_row = tile / params.tiles;
    let first_quad = (tile - tile_row * params.tiles) * THREADS_X;
    let first_column = tile_row * TILE_COLUMNS;
    if first_column >= params.columns {
        return;
    }

    // What this thread loads.
    let row = thread / K_QUADS;
    let k_quad = thread % K_QUADS;
    let column = column_of(first_column + row);
#ifdef TALL
    let column_b = column_of(first_column + row + LOADED);
#endif
    let tap_number = k_quad * 4u / params.cin;
    var tap = Tap(
        k_quad * 4u - tap_number * params.cin,
        tap_number % params.kernel_width,
        tap_number / params.kernel_width,
    );
    let weight_quad = first_quad + thread % THREADS_X;
    var weight_k = thread / THREADS_X;

    // What this thread makes.
    let x = thread % THREADS_X;
    let y = thread / THREADS_X;
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
#ifdef TALL
    var sum4 = vec4<f32>(0.0);
    var sum5 = vec4<f32>(0.0);
    var sum6 = vec4<f32>(0.0);
    var sum7 = vec4<f32>(0.0);
#endif

    var next = load_quad(column, tap);
#ifdef TALL
    var next_b = load_quad(column_b, tap);
#endif
    var next_weights = load_weights(weight_k, weight_quad);
    for (var step = 0u; step < params.steps; step += 1u) {
        tile_in[row * PITCH + k_quad] = next;
#ifdef TALL
        tile_in[(row + LOADED) * PITCH + k_quad] = next_b;
#endif
        tile_weights[thread] = next_weights;
        workgroupBarrier();

        // Beyond the last tile all of these are 0.
        tap = advance(tap, params.step_channels, params.step_x, params.step_y);
        weight_k += TILE_K;
        next = load_quad(column, tap);
#ifdef TALL
        next_b = load_quad(column_b, tap);
#endif
        next_weights = load_weights(weight_k, weight_quad);

        for (var quad = 0u; quad < K_QUADS; quad += 1u) {
            let w = quad * 4u * THREADS_X + x;
            let w0 = tile_weights[w];
            let w1 = tile_weights[w + THREADS_X];
            let w2 = tile_weights[w + 2u * THREADS_X];
            let w3 = tile_weights[w + 3u * THREADS_X];
            let a = y * 4u * PITCH + quad;
            sum0 = dot4(tile_in[a], w0, w1, w2, w3, sum0);
            sum1 = dot4(tile_in[a + PITCH], w0, w1, w2, w3, sum1);
            sum2 = dot4(tile_in[a + 2u * PITCH], w0, w1, w2, w3, sum2);
            sum3 = dot4(tile_in[a + 3u * PITCH], w0, w1, w2, w3, sum3);
#ifdef TALL
            let b = a + 64u * PITCH;
            sum4 = dot4(tile_in[b], w0, w1, w2, w3, sum4);
            sum5 = dot4(tile_in[b + PITCH], w0, w1, w2, w3, sum5);
            sum6 = dot4(tile_in[b + 2u * PITCH], w0, w1, w2, w3, sum6);
            sum7 = dot4(tile_in[b + 3u * PITCH], w0, w1, w2, w3, sum7);
#endif
        }
        workgroupBarrier();
    }

    let quad = first_quad + x;
    let made = first_column + y * 4u;
    store(column_of(made), 0u, quad, sum0);
    store(column_of(made + 1u), 0u, quad, sum1);
    store(column_of(made + 2u), 0u, quad, sum2);
    store(column_of(made + 3u), 0u, quad, sum3);
#ifdef TALL
    store(column_of(made + 64u), 0u, quad, sum4);
    store(column_of(made + 65u), 0u, quad, sum5);
    store(column_of(made + 66u), 0u, quad, sum6);
    store(column_of(made + 67u), 0u, quad, sum7);
#endif
}
