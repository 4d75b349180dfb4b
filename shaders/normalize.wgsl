// Normalisation: out = act(norm(in) · scale[c] + shift[c]). A sample is [outer, len, groups, width], rows outer · len and
// channels groups · width; the elements of one (outer, group) are normalised together.
//
// A workgroup takes such a set: its threads sum every 64th element, then one adds their sums. The mean is taken off
// before squares are summed, so that nothing cancels. Bindings of group 0: 0 params NormalizeParams, 1 arena, then, with
// SCALE and SHIFT, [groups · width] each. Grid: a workgroup a set, groups fastest, then outer and samples.

#import arena
#import activation
#import grid

// Peer: src/device/gpu/uniforms.rs
struct NormalizeParams {
    sets: u32,         // rows of the chunk · outer · groups
    groups_x: u32,
    outer: u32,
    len: u32,
    groups: u32,
    width: u32,
    in_base: u32,
    in_sample: u32,
    in_stride: u32,    // elements from a row to the next
    out_base: u32,
    out_sample: u32,
    out_stride: u32,
    kind: u32,         // 0 mean and variance, 1 root mean square, 2 sum of absolute values, 3 root of the sum of squares
    epsilon: f32,
    activation: u32,
    low: f32,
    high: f32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: NormalizeParams;
#ifdef SCALE
@group(0) @binding(2) var<storage, read> scale: array<f32>;
#ifdef SHIFT
@group(0) @binding(3) var<storage, read> shift: array<f32>;
#endif
#else
#ifdef SHIFT
@group(0) @binding(2) var<storage, read> shift: array<f32>;
#endif
#endif

const THREADS: u32 = 64u;

var<workgroup> sums: array<f32, THREADS>;

// The sum of f(x − centre) over the set that begins at `source`; f is 0 x, 1 x², 2 |x|. All threads have to come here.
fn total(source: u32, thread: u32, centre: f32, f: u32) -> f32 {
    var sum = 0.0;
    for (var at = thread; at < params.len * params.width; at += THREADS) {
        let row = at / params.width;
        let x = read1(source + row * params.in_stride + at - row * params.width) - centre;
        switch f {
            case 0u: {
                sum += x;
            }
            case 1u: {
                sum += x * x;
            }
            default: {
                sum += abs(x);
            }
        }
    }
    sums[thread] = sum;
    workgroupBarrier();
    var all = 0.0;
    for (var other = 0u; other < THREADS; other += 1u) {
        all += sums[other];
    }
    workgroupBarrier();
    return all;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let number = flat_group(workgroup, params.groups_x);
    // The same for the whole workgroup.
    if number >= params.sets {
        return;
    }
    let outer_all = number / params.groups;
    let group = number - outer_all * params.groups;
    let sample = outer_all / params.outer;
    let first_row = (outer_all - sample * params.outer) * params.len;
    let first = group * params.width;
    let source = params.in_base + sample * params.in_sample + first_row * params.in_stride + first;
    let to = params.out_base + sample * params.out_sample + first_row * params.out_stride + first;
    let count = f32(params.len * params.width);

    var centre = 0.0;
    if params.kind == 0u {
        centre = total(source, thread, 0.0, 0u) / count;
    }
    let sum = total(source, thread, centre, select(1u, 2u, params.kind == 2u));
    var factor = 0.0;
    switch params.kind {
        case 2u: {
            factor = select(1.0 / sum, 0.0, sum == 0.0);
        }
        case 3u: {
            factor = select(1.0 / sqrt(sum), 0.0, sum == 0.0);
        }
        default: {
            factor = 1.0 / sqrt(sum / count + params.epsilon);
        }
    }
    for (var at = thread; at < params.len * params.width; at += THREADS) {
        let row = at / params.width;
        let channel = at - row * params.width;
        var value = (read1(source + row * params.in_stride + channel) - centre) * factor;
#ifdef SCALE
        value *= scale[first + channel];
#endif
#ifdef SHIFT
        value += shift[first + channel];
#endif
        let result = activate(vec4<f32>(value), params.activation, params.low, params.high);
        write1(to + row * params.out_stride + channel, result.x);
    }
}
