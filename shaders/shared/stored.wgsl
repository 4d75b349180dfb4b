// How the numbers of large buffers lie in memory: as f32 or, with HALF, as f16. Kernels compute in f32, whatever is stored.

#ifdef HALF
alias Stored = f16;
alias Stored4 = vec4<f16>;

const LARGEST_HALF: f32 = 65504.0;
const LARGEST: f32 = 3.4028235e38;

// A number that f16 does not hold becomes NaN, which kernels pass on, so that it shows in the answer: as an infinity it
// could vanish behind the next activation. What was infinite before stays so.
fn stored1(x: f32) -> f16 {
    let not_a_number = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    return f16(select(x, not_a_number, abs(x) > LARGEST_HALF && abs(x) <= LARGEST));
}

fn stored4(x: vec4<f32>) -> vec4<f16> {
    let not_a_number = bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) | vec4<u32>(0x7fc00000u));
    let beyond = (abs(x) > vec4<f32>(LARGEST_HALF)) & (abs(x) <= vec4<f32>(LARGEST));
    return vec4<f16>(select(x, not_a_number, beyond));
}
#else
alias Stored = f32;
alias Stored4 = vec4<f32>;

fn stored1(x: f32) -> f32 {
    return x;
}

fn stored4(x: vec4<f32>) -> vec4<f32> {
    return x;
}
#endif
