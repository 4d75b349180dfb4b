//! The network and the photo that are built into the program, so that it explains something at once.
//!
//! How each was made, by whom, and under which licence: `assets/network/README.md` and
//! `assets/photos/README.md`.

use image::RgbImage;

use crate::Result;
use crate::model::Model;
use crate::perturb::picture::{Preprocess, decode_photo};

const NETWORK: &[u8] = include_bytes!("../assets/network/cifar10_resnet.onnx");
const CLASSES: &str = include_str!("../assets/network/cifar10_classes.txt");
const PHOTO: &[u8] = include_bytes!("../assets/photos/cat.png");

/// The residual CNN trained on CIFAR-10; its output is logits of ten classes.
///
/// # Errors
/// None but for a defect: the file is part of the program.
///
/// # Example
/// ```
/// let model = whybox::builtin::network()?;
/// assert_eq!(model.input_shape(), [3, 32, 32]);
/// assert_eq!(model.output_len(), whybox::builtin::classes().len());
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn network() -> Result<Model> {
    Model::from_onnx_bytes("cifar10_resnet", NETWORK)
}

/// Names of the built-in network's classes.
pub fn classes() -> Vec<String> {
    CLASSES.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// How the built-in network wants its pictures.
pub fn preprocess() -> Preprocess {
    // "cifar10" is one of the presets.
    Preprocess::preset("cifar10").unwrap_or_else(|| unreachable!("a preset of this name exists"))
}

/// The built-in photo.
///
/// # Errors
/// None but for a defect: the file is part of the program.
pub fn photo() -> Result<RgbImage> {
    decode_photo(PHOTO, "built-in photo")
}
