// Pictures masked at the photo's resolution and resized afterwards: a pixel is its baseline plus what each present
// segment under the resize filter adds. Output [rows, len].
//
// Bindings of group 0: 0 params ExpandParams, 1 output,
//   2 footprints  [pixels + 1] first entry of each pixel, then [entries] the player of each entry
//   3 colours     [pixels, channels] the baseline, then [entries, channels] what each entry adds
//   4 masks       [rows, words]  bit p % 32 of word p / 32 = 1: player p is present
// params.params = [channels, pixels, words, channels last (1) or first (0)].

#import expand_params

@group(0) @binding(2) var<storage, read> footprints: array<u32>;
@group(0) @binding(3) var<storage, read> colours: array<f32>;
@group(0) @binding(4) var<storage, read> masks: array<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = flat_thread(workgroup, params.groups_x, THREADS, thread);
    if id >= params.total {
        return;
    }
    let channels = params.params.x;
    let pixels = params.params.y;
    let row = id / params.len;
    let element = id - row * params.len;
    var pixel = element / channels;
    var channel = element - pixel * channels;
    if params.params.w == 0u {
        channel = element / pixels;
        pixel = element - channel * pixels;
    }
    var value = colours[pixel * channels + channel];
    for (var entry = footprints[pixel]; entry < footprints[pixel + 1u]; entry += 1u) {
        let player = footprints[pixels + 1u + entry];
        let present = (masks[row * params.params.z + (player >> 5u)] >> (player & 31u)) & 1u;
        value += f32(present) * colours[(pixels + entry) * channels + channel];
    }
    output[row * params.stride + element] = stored1(value);
}
