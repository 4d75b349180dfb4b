// Convolution, with groups or without, in registers alone: for adapters on which workgroup memory costs more than
// it saves (software ones), and for groups, whose products are too small for tiles.
//
//   out[column, o] = act(Σ_k in[column, k] · weights[k, o] + bias[o] (+ residual[column, o]))
//
// A thread makes 4 columns × 4 outputs of one group. VEC4: four input channels a step.
// Otherwise one at a time, and MASKED reads the masked input.
// Bindings and shapes: shared/convolution.wgsl. Grid: flat, quads of outputs fastest, then groups, then columns by 4.

#import convolution

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    let all_quads = params.groups * params.quads;
    let block = id / all_quads;
    let first = block * 4u;
    if first >= params.columns {
        return;
    }
    let group_quad = id - block * all_quads;
    let group = group_quad / params.quads;
    let quad = group_quad - group * params.quads;

    let column0 = column_of(first);
    let column1 = column_of(first + 1u);
    let column2 = column_of(first + 2u);
    let column3 = column_of(first + 3u);
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);

    let channels = group * params.cin;
    var weight = group * params.weight_rows * params.quads + quad;
    for (var ky = 0u; ky < params.kernel_height; ky += 1u) {
        for (var kx = 0u; kx < params.kernel_width; kx += 1u) {
            let place0 = place_of(column0, ky, kx);
            let place1 = place_of(column1, ky, kx);
            let place2 = place_of(column2, ky, kx);
            let place3 = place_of(column3, ky, kx);
#ifdef VEC4
            for (var c = 0u; c < params.cin; c += 4u) {
                let a0 = load4(place0, channels + c);
                let a1 = load4(place1, channels + c);
                let a2 = load4(place2, channels + c);
                let a3 = load4(place3, channels + c);
                let w0 = weight4(weight);
                let w1 = weight4(weight + params.quads);
                let w2 = weight4(weight + 2u * params.quads);
                let w3 = weight4(weight + 3u * params.quads);
                sum0 = fma(a0.wwww, w3, fma(a0.zzzz, w2, fma(a0.yyyy, w1, fma(a0.xxxx, w0, sum0))));
                sum1 = fma(a1.wwww, w3, fma(a1.zzzz, w2, fma(a1.yyyy, w1, fma(a1.xxxx, w0, sum1))));
                sum2 = fma(a2.wwww, w3, fma(a2.zzzz, w2, fma(a2.yyyy, w1, fma(a2.xxxx, w0, sum2))));
                sum3 = fma(a3.wwww, w3, fma(a3.zzzz, w2, fma(a3.yyyy, w1, fma(a3.xxxx, w0, sum3))));
                weight += 4u * params.quads;
            }
#else
            for (var c = 0u; c < params.cin; c += 1u) {
                let w = weight4(weight);
                sum0 = fma(vec4<f32>(load1(place0, channels + c)), w, sum0);
                sum1 = fma(vec4<f32>(load1(place1, channels + c)), w, sum1);
                sum2 = fma(vec4<f32>(load1(place2, channels + c)), w, sum2);
                sum3 = fma(vec4<f32>(load1(place3, channels + c)), w, sum3);
                weight += params.quads;
            }
#endif
        }
    }

    store(column0, group, quad, sum0);
    store(column1, group, quad, sum1);
    store(column2, group, quad, sum2);
    store(column3, group, quad, sum3);
}
