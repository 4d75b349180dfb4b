// Scalar functions of an element, by the numbers of `Activation::code` (src/model/activation.rs).
// `select` keeps a NaN where `max`, `min` and `clamp` may hide it.

// `bounded` keeps exp from overflowing, which WGSL leaves open.

const INV_SQRT2: f32 = 0.70710678;
const GELU_SLOPE: f32 = 0.7978846;
const GELU_CUBIC: f32 = 0.044715;

// x, but no more than `limit`.
fn bounded(x: vec4<f32>, limit: f32) -> vec4<f32> {
    return select(x, vec4<f32>(limit), x > vec4<f32>(limit));
}

// Some drivers form e^2x, which overflows where tanh has long been 1.
fn tanh4(x: vec4<f32>) -> vec4<f32> {
    return select(tanh(x), sign(x), abs(x) > vec4<f32>(15.0));
}

// The fit of src/device/cpu/simd/math.rs.
fn erf4(x: vec4<f32>) -> vec4<f32> {
    let s = x * x;
    var p = s * 1.992417e-8 - 1.9578379e-6;
    p = p * s + 1.4185172e-4;
    p = p * s + 3.7016657e-3;
    p = p * s + 5.057351e-2;
    p = p * s + 0.19992585;
    p = p * s + 1.1283791;
    var q = s * 9.560524e-4 + 1.4353319e-2;
    q = q * s + 0.11499897;
    q = q * s + 0.51051134;
    q = q * s + 1.0;
    return select(x * p / q, sign(x), abs(x) > vec4<f32>(3.92));
}

// alpha · (e^x − 1) below zero; near 0 by its series, where the difference would lose its digits.
fn below_zero(x: vec4<f32>, alpha: f32) -> vec4<f32> {
    let series = x * (1.0 + x * (0.5 + x * (0.16666667 + x * 0.041666667)));
    return alpha * select(exp(x) - 1.0, series, abs(x) < vec4<f32>(0.05));
}

// ln(1 + u) for u in [0, 1], as 2 artanh(u / (2 + u)).
fn log_1p(u: vec4<f32>) -> vec4<f32> {
    let s = u / (u + 2.0);
    let t = s * s;
    var p = t * 0.13333333 + 0.15384615;
    p = p * t + 0.18181818;
    p = p * t + 0.22222222;
    p = p * t + 0.2857143;
    p = p * t + 0.4;
    p = p * t + 0.6666667;
    return (p * t + 2.0) * s;
}

// x^exponent; `parity` is 0 for an exponent that is no integer, 1 for an even and 2 for an odd one.
fn power_of(x: vec4<f32>, exponent: f32, parity: f32) -> vec4<f32> {
    if exponent == 2.0 {
        return x * x;
    }
    if exponent == 3.0 {
        return x * x * x;
    }
    if exponent == 0.0 {
        return vec4<f32>(1.0);
    }
    let size = pow(abs(x), vec4<f32>(exponent));
    if parity == 0.0 {
        return select(size, sqrt(x), x < vec4<f32>(0.0)); // not a number
    }
    return select(size, -size, (x < vec4<f32>(0.0)) & vec4<bool>(parity == 2.0));
}

fn activate(x: vec4<f32>, kind: u32, low: f32, high: f32) -> vec4<f32> {
    switch kind {
        case 1u: { // Relu
            return select(x, vec4<f32>(0.0), x < vec4<f32>(0.0));
        }
        case 2u: { // LeakyRelu, slope `low`
            return select(x, low * x, x < vec4<f32>(0.0));
        }
        case 3u: { // Sigmoid
            return 1.0 / (1.0 + exp(bounded(-x, 88.0)));
        }
        case 4u: { // Tanh
            return tanh4(x);
        }
        case 5u: { // Clip to [low, high]
            let above = select(x, vec4<f32>(low), x < vec4<f32>(low));
            return select(above, vec4<f32>(high), above > vec4<f32>(high));
        }
        case 6u: { // Elu, alpha `low`
            return select(x, below_zero(x, low), x < vec4<f32>(0.0));
        }
        case 7u: { // Selu, alpha `low`, gamma `high`
            return high * select(x, below_zero(x, low), x < vec4<f32>(0.0));
        }
        case 8u: { // Celu, alpha `low`
            return select(x, below_zero(x / low, low), x < vec4<f32>(0.0));
        }
        case 9u: { // Gelu
            return 0.5 * x * (1.0 + erf4(x * INV_SQRT2));
        }
        case 10u: { // GeluTanh
            return 0.5 * x * (1.0 + tanh4(GELU_SLOPE * x * (1.0 + GELU_CUBIC * x * x)));
        }
        case 11u: { // HardSigmoid, slope `low`, value at zero `high`
            let line = low * x + high;
            let above = select(line, vec4<f32>(0.0), line < vec4<f32>(0.0));
            return select(above, vec4<f32>(1.0), above > vec4<f32>(1.0));
        }
        case 12u: { // HardSwish
            let line = x / 6.0 + 0.5;
            let above = select(line, vec4<f32>(0.0), line < vec4<f32>(0.0));
            return x * select(above, vec4<f32>(1.0), above > vec4<f32>(1.0));
        }
        case 13u: { // Swish, steepness `low`
            return x / (1.0 + exp(bounded(-low * x, 88.0)));
        }
        case 14u: { // Softplus
            return select(x, vec4<f32>(0.0), x < vec4<f32>(0.0)) + log_1p(exp(-abs(x)));
        }
        case 15u: { // Softsign
            return x / (1.0 + abs(x));
        }
        case 16u: { // Mish: tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2)
            let e = exp(bounded(x, 20.0));
            let n = e * (e + 2.0);
            return x * (n / (n + 2.0));
        }
        case 17u: { // ThresholdedRelu, threshold `low`
            return select(x, vec4<f32>(0.0), x <= vec4<f32>(low));
        }
        case 18u: {
            return erf4(x);
        }
        case 19u: {
            return exp(x);
        }
        case 20u: {
            return log(x);
        }
        case 21u: {
            return sqrt(x);
        }
        case 22u: {
            return abs(x);
        }
        case 23u: {
            return -x;
        }
        case 24u: {
            return 1.0 / x;
        }
        case 25u: {
            return floor(x);
        }
        case 26u: {
            return ceil(x);
        }
        case 27u: {
            return round(x);
        }
        case 28u: { // Sign
            return select(x, sign(x), x == x);
        }
        case 29u: { // Pow, exponent `low`, parity `high`
            return power_of(x, low, high);
        }
        default: { // Identity
            return x;
        }
    }
}
