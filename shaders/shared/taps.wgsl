// Positions along K of an implicit GEMM, and what is read there.

#import convolution

// A position along K.
struct Tap {
    channel: u32,
    kx: u32,
    ky: u32,
}

// Moves on by a number of channels, columns and rows, of which each is smaller than the axis.
fn advance(tap: Tap, channels: u32, x: u32, y: u32) -> Tap {
    var to = Tap(tap.channel + channels, tap.kx + x, tap.ky + y);
    if to.channel >= params.cin {
        to.channel -= params.cin;
        to.kx += 1u;
    }
    if to.kx >= params.kernel_width {
        to.kx -= params.kernel_width;
        to.ky += 1u;
    }
    return to;
}

// Four elements of K of a column.
fn load_quad(column: Column, tap: Tap) -> vec4<f32> {
#ifdef VEC4
    return load4(place_of(column, tap.ky, tap.kx), tap.channel);
#else
    // A whole element of K lies between neighbours, also where a tap has a single channel.
    let one = select(0u, 1u, params.cin > 1u);
    let one_x = select(0u, 1u, params.cin == 1u && params.kernel_width > 1u);
    let one_y = 1u - one - one_x;
    let b = advance(tap, one, one_x, one_y);
    let c = advance(b, one, one_x, one_y);
    let d = advance(c, one, one_x, one_y);
    return vec4<f32>(
        load1(place_of(column, tap.ky, tap.kx), tap.channel),
        load1(place_of(column, b.ky, b.kx), b.channel),
        load1(place_of(column, c.ky, c.kx), c.channel),
        load1(place_of(column, d.ky, d.kx), d.channel),
    );
#endif
}

fn load_weights(k: u32, quad: u32) -> vec4<f32> {
    let inside = k < params.weight_rows && quad < params.quads;
    return select(vec4<f32>(0.0), weight4(select(0u, k * params.quads + quad, inside)), inside);
}
