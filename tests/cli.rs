//! The program as a user runs it: a process, its exit code, its files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, GenericImageView, ImageBuffer, Luma, Rgb, RgbImage, Rgba};
use tempfile::TempDir;

fn whybox(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whybox"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Runs `image` quickly on the processor.
fn image(folder: &Path, arguments: &[&str]) -> Output {
    let mut all = vec!["image", "--device", "cpu"];
    if !arguments.contains(&"--samples") {
        all.extend(["--samples", "60"]);
    }
    all.extend(arguments);
    whybox(folder, &all)
}

/// The program failed with this exit code, said something on standard error that holds all of `words`, did not
/// panic, and kept to a few lines.
fn assert_error(output: &Output, code: i32, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(message.starts_with("error:"), "{message}");
    assert!(message.trim().lines().count() <= 8, "{message}");
}

fn assert_good(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn network() -> String {
    fixture("assets/network/cifar10_resnet.onnx").display().to_string()
}

/// A small photo with a red disc.
fn photo() -> RgbImage {
    RgbImage::from_fn(48, 40, |x, y| {
        let inside = (f64::from(x) - 24.0).hypot(f64::from(y) - 20.0) < 12.0;
        if inside { Rgb([200, 40, 30]) } else { Rgb([(x * 4) as u8, (y * 5) as u8, 120]) }
    })
}

#[test]
fn the_first_command_explains_the_built_in_photo() {
    let folder = folder();
    let text = assert_good(&image(folder.path(), &["--samples", "300"]));
    for word in
        ["CPU", "cifar10_resnet", "Prediction", "cat", "segment", "R²", "per second", "evaluate", "seed"]
    {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    let out = folder.path().join("whybox-out");
    let picture = image::open(out.join("explanation.png")).expect("a PNG");
    assert!(picture.width() > 800 && picture.height() > 600);
    // A picture with something in it.
    let colours: std::collections::HashSet<_> = picture.pixels().map(|(_, _, pixel)| pixel).collect();
    assert!(colours.len() > 1000);
    let page = std::fs::read_to_string(out.join("explanation.html")).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("data:image/png;base64,"));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("explanation.json")).expect("a document"))
            .expect("JSON");
    assert_eq!(json["evaluations"], 300);
    assert_eq!(json["outputs"][0]["name"], "cat");
    let leftovers: Vec<_> = std::fs::read_dir(&out)
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with("explanation"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn the_same_seed_gives_the_same_document_and_another_seed_another() {
    let folder = folder();
    let document = |seed: &str, more: &[&str]| {
        let mut arguments = vec!["--json", "--seed", seed];
        arguments.extend(more);
        let text = assert_good(&image(folder.path(), &arguments));
        let json: serde_json::Value = serde_json::from_str(&text).expect("the document alone");
        json["outputs"].clone()
    };
    assert_eq!(document("3", &[]), document("3", &[]));
    assert_ne!(document("3", &[]), document("4", &[]));
    let memory = document("3", &["--memory", "64MiB"]);
    let weights = |outputs: &serde_json::Value| -> Vec<f64> {
        outputs[0]["weights"]
            .as_array()
            .expect("weights")
            .iter()
            .map(|w| w.as_f64().expect("a number"))
            .collect()
    };
    let (small, usual) = (weights(&memory), weights(&document("3", &[])));
    let difference: f64 = small.iter().zip(&usual).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let size: f64 = usual.iter().map(|w| w * w).sum::<f64>().sqrt();
    assert!(difference <= 1e-5 * size, "{difference} of {size}");
    assert!(!folder.path().join("whybox-out").exists(), "--json alone writes no files");
}

#[test]
fn photos_of_every_kind_work() {
    let folder = folder();
    let save = |name: &str, picture: DynamicImage| {
        picture.save(folder.path().join(name)).expect("a picture is saved");
    };
    let rgb = photo();
    save("rgb.png", rgb.clone().into());
    save("grey.png", DynamicImage::from(rgb.clone()).to_luma8().into());
    save("grey16.png", DynamicImage::from(rgb.clone()).to_luma16().into());
    save("rgb16.png", DynamicImage::from(rgb.clone()).to_rgb16().into());
    save(
        "rgba.png",
        DynamicImage::from(ImageBuffer::from_fn(50, 30, |x, y| {
            Rgba([x as u8 * 5, y as u8 * 8, 90, if x > 25 { 0 } else { 255 }])
        })),
    );
    save("one.png", DynamicImage::from(ImageBuffer::from_pixel(1, 1, Luma([77u8]))));
    save(
        "wide.bmp",
        DynamicImage::from(rgb.clone()).resize_exact(300, 20, image::imageops::FilterType::Triangle),
    );
    save("photo.jpg", rgb.into());
    for name in
        ["rgb.png", "grey.png", "grey16.png", "rgb16.png", "rgba.png", "one.png", "wide.bmp", "photo.jpg"]
    {
        let out = format!("out-{name}");
        assert_good(&image(folder.path(), &[name, "--out", &out]));
        assert!(folder.path().join(out).join("explanation.png").exists(), "{name}");
    }
}

#[test]
fn masks_at_the_photo_s_resolution_work() {
    let folder = folder();
    photo().save(folder.path().join("photo.png")).expect("a picture is saved");
    let arguments = ["photo.png", "--mask-resolution", "photo", "--segments", "grid:rows=4,cols=5", "--json"];
    let json: serde_json::Value =
        serde_json::from_str(&assert_good(&image(folder.path(), &arguments))).expect("the document alone");
    assert_eq!(json["segments"]["count"], 20);
}

#[test]
fn bad_photos_are_named() {
    let folder = folder();
    std::fs::write(folder.path().join("empty.png"), "").expect("a file");
    std::fs::write(folder.path().join("text.png"), "this is no picture").expect("a file");
    let whole = {
        photo().save(folder.path().join("whole.png")).expect("a picture is saved");
        std::fs::read(folder.path().join("whole.png")).expect("a file")
    };
    std::fs::write(folder.path().join("cut.png"), &whole[..whole.len() / 2]).expect("a file");
    assert_error(&image(folder.path(), &["missing.png"]), 1, &["missing.png", "help:"]);
    assert_error(&image(folder.path(), &["empty.png"]), 1, &["empty", "help:"]);
    assert_error(&image(folder.path(), &["text.png"]), 1, &["no picture", "text.png"]);
    assert_error(&image(folder.path(), &["cut.png"]), 1, &["no picture", "cut.png"]);
    assert!(!folder.path().join("whybox-out").exists());
}

#[test]
fn bad_networks_are_named() {
    let folder = folder();
    let whole = std::fs::read(network()).expect("the built-in network");
    std::fs::write(folder.path().join("empty.onnx"), "").expect("a file");
    std::fs::write(folder.path().join("cut.onnx"), &whole[..whole.len() / 2]).expect("a file");
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(folder.path().join("noise.onnx"), noise).expect("a file");
    assert_error(&image(folder.path(), &["--model", "missing.onnx"]), 1, &["missing.onnx", "help:"]);
    for name in ["empty.onnx", "cut.onnx", "noise.onnx"] {
        assert_error(&image(folder.path(), &["--model", name]), 1, &[name, "help:"]);
    }
}

#[test]
fn wrong_settings_are_named() {
    let folder = folder();
    std::fs::write(folder.path().join("two.txt"), "one\ntwo\n").expect("a file");
    let model = network();
    let with = |arguments: &[&str]| image(folder.path(), arguments);
    assert_error(&with(&["--labels", "two.txt", "--model", &model]), 1, &["2 labels", "10 outputs"]);
    assert_error(&with(&["--class", "10"]), 1, &["no output 10", "0 to 9"]);
    assert_error(&with(&["--class", "unicorn"]), 1, &["unicorn"]);
    assert_error(&with(&["--memory", "2KiB"]), 1, &["one sample", "--memory"]);
    assert_error(&with(&["--explain", "nowhere"]), 1, &["nowhere", "inspect"]);
    assert_error(&with(&["--segments", "file:missing.png"]), 1, &["missing.png"]);
    assert_error(&with(&["--samples", "0"]), 2, &["--samples"]);
    assert_error(&with(&["--samples", "-3"]), 2, &[]);
    assert_error(&with(&["--segments", "voronoi"]), 2, &["voronoi"]);
    assert_error(&with(&["--segments", "slic:m=3"]), 2, &["slic"]);
    assert_error(&with(&["--preprocess", "imagnet"]), 2, &["imagnet", "imagenet"]);
    assert_error(&with(&["--baseline", "void"]), 2, &["void"]);
    assert_error(&with(&["--kernel-width", "0"]), 1, &["width"]);
    assert_error(&with(&["--colour"]), 2, &["--colour"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = folder();
    std::fs::write(folder.path().join("occupied"), "a file, no folder").expect("a file");
    assert_error(&image(folder.path(), &["--out", "occupied"]), 1, &["occupied", "help:"]);
    assert_error(&image(folder.path(), &["--out", "occupied/below"]), 1, &["occupied", "help:"]);
}

#[test]
fn without_preprocess_a_warning_names_the_presets() {
    let folder = folder();
    let text = assert_good(&image(folder.path(), &["--model", &network()]));
    for word in ["imagenet", "caffe", "--preprocess", "Prediction"] {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

#[test]
fn inspect_shows_the_folded_graph() {
    let folder = folder();
    let text = assert_good(&whybox(folder.path(), &["inspect", &network()]));
    for word in ["Conv 3×3", "Add", "Relu", "parameters", "MFLOP", "samples per chunk"] {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    assert_error(&whybox(folder.path(), &["inspect", "missing.onnx"]), 1, &["missing.onnx"]);
    // The samples of a chunk are what the engine takes: fewer under a smaller cap. What one sample needs depends on the
    // machine's threads; the refusal tells.
    let refused =
        whybox(folder.path(), &["inspect", &network(), "--json", "--device", "cpu", "--memory", "4KiB"]);
    assert_error(&refused, 1, &["at least", "MiB with --memory"]);
    let message = String::from_utf8_lossy(&refused.stderr);
    let least = message.split("at least ").nth(1).and_then(|rest| rest.split(' ').next());
    let least: f64 = least.and_then(|number| number.parse().ok()).expect("a number of MiB");
    let chunk = |memory: &str| {
        let arguments = ["inspect", &network(), "--json", "--device", "cpu", "--memory", memory];
        let text = assert_good(&whybox(folder.path(), &arguments));
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(document["parameters"].as_u64().is_some_and(|count| count > 10_000), "{text}");
        assert!(document["steps"].as_array().is_some_and(|steps| steps.len() > 5), "{text}");
        document["samples_per_chunk"].as_u64().expect("a number")
    };
    let (small, large) = (chunk(&format!("{}MiB", least + 1.0)), chunk(&format!("{}MiB", least + 1000.0)));
    assert!(0 < small && small < large, "{small} and {large}");
}

#[test]
fn a_profile_names_kernels_and_shares() {
    let folder = folder();
    let arguments = ["inspect", &network(), "--device", "cpu", "--profile=3"];
    let text = assert_good(&whybox(folder.path(), &arguments));
    for word in ["kernel", "GFLOP/s", "share", "over 3 samples"] {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    let text = assert_good(&whybox(folder.path(), &[&arguments[..], &["--json"]].concat()));
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let steps = document["steps"].as_array().expect("steps");
    let share: f64 = steps.iter().map(|step| step["profile"]["share"].as_f64().expect("a share")).sum();
    assert!((share - 1.0).abs() < 1e-9 && document["profile"]["samples"] == 3, "{share}: {text}");
    assert_error(&whybox(folder.path(), &["inspect", &network(), "--profile=0"]), 2, &["--profile"]);
}

#[test]
fn devices_lists_the_processor() {
    let text = assert_good(&whybox(folder().path(), &["devices"]));
    assert!(text.contains("CPU (") && text.contains("(best)"), "{text}");
}

#[test]
fn help_and_usage() {
    let folder = folder();
    let text = assert_good(&whybox(folder.path(), &["--help"]));
    for word in ["image", "predict", "inspect", "devices", "Examples"] {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    assert_good(&whybox(folder.path(), &["--version"]));
    assert_eq!(whybox(folder.path(), &[]).status.code(), Some(2));
    assert_error(&whybox(folder.path(), &["explain"]), 2, &["explain"]);
}
