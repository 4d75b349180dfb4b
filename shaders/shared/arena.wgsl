// Binding 1: the arena, all activations of a chunk. Addresses count elements.
//
// Kernels work on quads, four neighbouring elements. With VEC4 every quad's address is a multiple of four.
// Without, a quad may begin anywhere and only its first `lanes` elements are written; the others are read as
// whatever lies behind, which the arena's spare tail makes safe, and thrown away.

#import stored

#ifdef VEC4
@group(0) @binding(1) var<storage, read_write> arena: array<Stored4>;

fn read4(at: u32) -> vec4<f32> {
    return vec4<f32>(arena[at >> 2u]);
}

fn write4(at: u32, value: vec4<f32>, lanes: u32) {
    arena[at >> 2u] = stored4(value);
}
#else
@group(0) @binding(1) var<storage, read_write> arena: array<Stored>;

fn read1(at: u32) -> f32 {
    return f32(arena[at]);
}

fn write1(at: u32, value: f32) {
    arena[at] = stored1(value);
}

fn read4(at: u32) -> vec4<f32> {
    return vec4<f32>(read1(at), read1(at + 1u), read1(at + 2u), read1(at + 3u));
}

fn write4(at: u32, value: vec4<f32>, lanes: u32) {
    write1(at, value.x);
    if lanes > 1u {
        write1(at + 1u, value.y);
    }
    if lanes > 2u {
        write1(at + 2u, value.z);
    }
    if lanes > 3u {
        write1(at + 3u, value.w);
    }
}
#endif
