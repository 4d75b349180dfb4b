// Quads along an axis of any stride. With VEC4 the stride is 1 and every quad is full.

#import arena

#ifdef VEC4
fn read_along(at: u32, stride: u32, lanes: u32) -> vec4<f32> {
    return read4(at);
}

fn write_along(at: u32, stride: u32, value: vec4<f32>, lanes: u32) {
    write4(at, value, lanes);
}
#else
fn read_along(at: u32, stride: u32, lanes: u32) -> vec4<f32> {
    // Lanes beyond the end repeat the last element.
    let last = lanes - 1u;
    return vec4<f32>(
        read1(at),
        read1(at + min(1u, last) * stride),
        read1(at + min(2u, last) * stride),
        read1(at + min(3u, last) * stride),
    );
}

fn write_along(at: u32, stride: u32, value: vec4<f32>, lanes: u32) {
    write1(at, value.x);
    if lanes > 1u {
        write1(at + stride, value.y);
    }
    if lanes > 2u {
        write1(at + 2u * stride, value.z);
    }
    if lanes > 3u {
        write1(at + 3u * stride, value.w);
    }
}
#endif
