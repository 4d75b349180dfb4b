// Depthwise convolution, directly: out[p, c] = act(Σ_t in[p + t, c] · weights[t, c] + bias[c] (+ residual[p, c])).
//
// A thread makes a quad of channels at four neighbouring pixels of an output row (a strip), so that a weight is
// read once for four products. Bindings and shapes: shared/convolution.wgsl (groups is 1 and cin = cout = all channels).
// Grid: flat, quads of channels fastest, then strips, output rows and samples. With SHARED a strip is four columns that
// follow each other.

#import convolution

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    let strip = id / params.quads;
    let quad = id - strip * params.quads;
#ifdef SHARED
    let strips = (params.columns + 3u) / 4u;
#else
    let strips = params.columns;
#endif
    if strip >= strips {
        return;
    }
#ifdef SHARED
    let column0 = column_of(strip * 4u);
    let column1 = column_of(strip * 4u + 1u);
    let column2 = column_of(strip * 4u + 2u);
    let column3 = column_of(strip * 4u + 3u);
#else
    let row = strip / params.tiles;
    let x = (strip - row * params.tiles) * 4u;
    let sample = row / params.out_height;
    let y = row - sample * params.out_height;

    let column0 = column_at(true, sample, y, x);
    let column1 = column_at(x + 1u < params.out_width, sample, y, x + 1u);
    let column2 = column_at(x + 2u < params.out_width, sample, y, x + 2u);
    let column3 = column_at(x + 3u < params.out_width, sample, y, x + 3u);
#endif
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);

    let channel = quad * 4u;
    var weight = quad;
    for (var ky = 0u; ky < params.kernel_height; ky += 1u) {
        for (var kx = 0u; kx < params.kernel_width; kx += 1u) {
            let w = weight4(weight);
            sum0 = fma(load4(place_of(column0, ky, kx), channel), w, sum0);
            sum1 = fma(load4(place_of(column1, ky, kx), channel), w, sum1);
            sum2 = fma(load4(place_of(column2, ky, kx), channel), w, sum2);
            sum3 = fma(load4(place_of(column3, ky, kx), channel), w, sum3);
            weight += params.quads;
        }
    }

    store(column0, 0u, quad, sum0);
    store(column1, 0u, quad, sum1);
    store(column2, 0u, quad, sum2);
    store(column3, 0u, quad, sum3);
}
