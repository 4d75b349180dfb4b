// Binding 1: the arena, all activations of a chunk. Addresses count elements (f32).
//
// Kernels work on quads, four neighbouring elements. With VEC4 every quad's address is a multiple of four.
// Without, a quad may begin anywhere and only its first `lanes` elements are written; the others are read as
// whatever lies behind, which the arena's spare tail makes safe, and thrown away.

#ifdef VEC4
@group(0) @binding(1) var<storage, read_write> arena: array<vec4<f32>>;

fn read4(at: u32) -> vec4<f32> {
    return arena[at >> 2u];
}

fn write4(at: u32, value: vec4<f32>, lanes: u32) {
    arena[at >> 2u] = value;
}
#else
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;

fn read4(at: u32) -> vec4<f32> {
    return vec4<f32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
}

fn write4(at: u32, value: vec4<f32>, lanes: u32) {
    arena[at] = value.x;
    if lanes > 1u {
        arena[at + 1u] = value.y;
    }
    if lanes > 2u {
        arena[at + 2u] = value.z;
    }
    if lanes > 3u {
        arena[at + 3u] = value.w;
    }
}
#endif
