//! Any bytes as an ONNX file: an error or a model that can be planned, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whybox::model::Model;
use whybox::plan::Plan;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = Model::from_onnx_bytes("fuzzed", bytes) {
        let _ = Plan::new(&model);
    }
});
