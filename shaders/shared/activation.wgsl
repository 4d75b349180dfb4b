// Scalar functions of an element, by the numbers of `Activation::code` (src/model/activation.rs).
// `select` keeps a NaN where `max`, `min` and `clamp` may hide it.

fn activate(x: vec4<f32>, kind: u32, low: f32, high: f32) -> vec4<f32> {
    switch kind {
        case 1u: { // Relu
            return select(x, vec4<f32>(0.0), x < vec4<f32>(0.0));
        }
        case 2u: { // LeakyRelu, slope `low`
            return select(x, low * x, x < vec4<f32>(0.0));
        }
        case 3u: { // Sigmoid
            return 1.0 / (1.0 + exp(-x));
        }
        case 4u: { // Tanh; some drivers form e^2x, which overflows where tanh has long been 1
            return select(tanh(x), sign(x), abs(x) > vec4<f32>(15.0));
        }
        case 5u: { // Clip to [low, high]
            let above = select(x, vec4<f32>(low), x < vec4<f32>(low));
            return select(above, vec4<f32>(high), above > vec4<f32>(high));
        }
        default: { // Identity
            return x;
        }
    }
}
