//! Every permutation of every shader, checked without a GPU.

use std::collections::HashSet;

use whybox::device::Precision;
use whybox::device::gpu::check_shaders;

#[test]
fn shaders_are_valid_and_agree_with_rust() {
    let reflections = check_shaders().unwrap_or_else(|problems| panic!("\n{problems}"));
    let names: HashSet<&str> = reflections.iter().map(|reflection| &reflection.name[..]).collect();
    let both: HashSet<_> =
        reflections.iter().map(|reflection| (&reflection.name[..], reflection.precision)).collect();
    assert_eq!(both.len(), reflections.len(), "a permutation is listed twice");
    // Every kernel in both precisions, but for matrix units, which multiply f16.
    let only_half = |name: &&&str| !both.contains(&(**name, Precision::F32));
    assert!(names.iter().filter(only_half).all(|name| name.starts_with("conv_cooperative")));
    assert!(names.iter().all(|name| both.contains(&(*name, Precision::F16))));
    for expected in [
        "conv_tiled+TALL+VEC4",
        "conv_cooperative+COOPERATIVE+VEC4",
        "conv_registers+MASKED",
        "perturb/segments",
        "perturb/bernoulli",
    ] {
        assert!(names.contains(expected), "{expected} is missing");
    }
    for reflection in &reflections {
        println!(
            "{:30} {} {:4} threads {:6} bytes",
            reflection.name, reflection.precision, reflection.threads, reflection.workgroup_bytes
        );
        // The least that every WebGPU adapter offers.
        assert!(reflection.threads <= 256, "{}", reflection.name);
        assert!(reflection.workgroup_bytes <= 16 << 10, "{}", reflection.name);
    }
}

#[test]
fn every_file_is_in_the_table() {
    // A shader that no permutation names would never be checked.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let reflections = check_shaders().unwrap_or_else(|problems| panic!("\n{problems}"));
    for (under, prefix) in [("", ""), ("perturb", "perturb/")] {
        for entry in std::fs::read_dir(folder.join(under)).expect("the shaders are part of the sources") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_some_and(|ending| ending == "wgsl") {
                let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("an ASCII name");
                let name = format!("{prefix}{stem}");
                let listed = |reflected: &str| reflected.split('+').next() == Some(&name);
                assert!(
                    reflections.iter().any(|reflection| listed(&reflection.name)),
                    "{name} is not in the table"
                );
            }
        }
    }
}

/// No adapter of the tests has cooperative matrices, so their shaders are at least translated to what Vulkan reads.
#[test]
fn matrices_become_spirv() {
    use naga::back::spv;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    let reflections = check_shaders().unwrap_or_else(|problems| panic!("\n{problems}"));
    let matrices = reflections.iter().filter(|reflection| reflection.name.contains("+COOPERATIVE"));
    let mut translated = 0;
    for reflection in matrices {
        let module = naga::front::wgsl::parse_str(&reflection.wgsl).expect("checked above");
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
        let options = spv::Options { lang_version: (1, 6), ..spv::Options::default() };
        let words = spv::write_vec(&module, &info.expect("checked above"), &options, None).expect("SPIR-V");
        // OpCooperativeMatrixMulAddKHR: eight products a step.
        let products = instructions(&words).filter(|&code| code == 4459).count();
        assert_eq!(products, 8, "{}", reflection.name);
        translated += 1;
    }
    assert_eq!(translated, 5);
}

/// The instructions' numbers, behind a header of five words.
fn instructions(words: &[u32]) -> impl Iterator<Item = u32> {
    let mut at = 5;
    std::iter::from_fn(move || {
        let word = *words.get(at)?;
        at += (word >> 16) as usize;
        Some(word & 0xffff)
    })
}
