//! The networks, the photo and the table that are built into the program, so that it explains something at once.
//!
//! How each was made, by whom, and under which licence: `assets/network/README.md`,
//! `assets/photos/README.md`, `assets/table/README.md`.

use image::RgbImage;

use crate::Result;
use crate::model::Model;
use crate::perturb::picture::{Preprocess, decode_photo};
use crate::table::RawTable;

const NETWORK: &[u8] = include_bytes!("../assets/network/cifar10_resnet.onnx");
const CLASSES: &str = include_str!("../assets/network/cifar10_classes.txt");
const PHOTO: &[u8] = include_bytes!("../assets/photos/cat.png");
const TABLE: &[u8] = include_bytes!("../assets/table/breast_cancer.csv");
const TABLE_NETWORK: &[u8] = include_bytes!("../assets/table/breast_cancer_mlp.onnx");
const TABLE_CLASSES: &str = include_str!("../assets/table/breast_cancer_classes.txt");

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

/// The built-in table: 30 measures of 569 tumours, and the column [`TABLE_TARGET`].
///
/// # Errors
/// None but for a defect: the file is part of the program.
///
/// # Example
/// ```
/// let table = whybox::builtin::table()?;
/// assert_eq!((table.rows(), table.columns().len()), (569, 31));
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn table() -> Result<RawTable> {
    RawTable::parse(TABLE, "built-in table")
}

/// The column of the built-in table that its network predicts.
pub const TABLE_TARGET: &str = "diagnosis";

/// The MLP trained on the built-in table; its output is logits of [`table_classes`].
///
/// # Errors
/// None but for a defect: the file is part of the program.
pub fn table_network() -> Result<Model> {
    Model::from_onnx_bytes("breast_cancer_mlp", TABLE_NETWORK)
}

/// Names of the outputs of [`table_network`].
pub fn table_classes() -> Vec<String> {
    TABLE_CLASSES.lines().map(str::to_owned).collect()
}
