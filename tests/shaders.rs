//! Every permutation of every shader, checked without a GPU.

use std::collections::HashSet;

use whybox::device::gpu::check_shaders;

#[test]
fn shaders_are_valid_and_agree_with_rust() {
    let reflections = check_shaders().unwrap_or_else(|problems| panic!("\n{problems}"));
    let names: HashSet<&str> = reflections.iter().map(|reflection| &reflection.name[..]).collect();
    assert_eq!(names.len(), reflections.len(), "a permutation is listed twice");
    for expected in ["conv_tiled+TALL+VEC4", "conv_registers+MASKED", "perturb/segments", "perturb/bernoulli"]
    {
        assert!(names.contains(expected), "{expected} is missing");
    }
    for reflection in &reflections {
        println!(
            "{:30} {:4} threads {:6} bytes",
            reflection.name, reflection.threads, reflection.workgroup_bytes
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
