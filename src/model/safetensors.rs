//! Weights from safetensors files.

use std::path::Path;

use safetensors::{Dtype, SafeTensorError, SafeTensors as Document};

use super::Tensor;
use crate::{Error, Result};

/// The named tensors of a safetensors file: what PyTorch users save with `safetensors.torch.save_file`.
///
/// Elements of type float32, float16 and bfloat16 are read, the latter two widened to float32.
///
/// # Example
/// ```
/// use whybox::model::{Activation, Model, SafeTensors};
///
/// # let bytes = {
/// #     let header = br#"{"fc.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
/// #     let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
/// #     bytes.extend_from_slice(header);
/// #     [1.0f32, -1.0, 0.5].iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
/// #     bytes
/// # };
/// let weights = SafeTensors::from_bytes("net.safetensors", bytes)?; // or SafeTensors::open(path)
/// let [weight, bias] = [weights.tensor("fc.weight", &[1, 2])?, weights.tensor("fc.bias", &[1])?];
/// let model = Model::builder("net", &[2])
///     .linear(&weight.data, &bias.data, 1)?
///     .activation(Activation::Relu)?
///     .build()?;
/// assert_eq!(model.parameters(), 3);
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SafeTensors {
    /// The file's name, for errors.
    at: String,
    bytes: Vec<u8>,
}

impl SafeTensors {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Model`] if it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            Error::io(format!("the weights cannot be read: {error}"), &at, "check the path")
        })?;
        Self::from_bytes(at, bytes)
    }

    /// Takes a file's bytes; `at` names it in errors.
    ///
    /// # Errors
    /// [`Error::Model`] if they are damaged.
    pub fn from_bytes(at: impl Into<String>, bytes: Vec<u8>) -> Result<Self> {
        let at = at.into();
        document(&at, &bytes)?;
        Ok(SafeTensors { at, bytes })
    }

    /// The tensors' names and shapes, sorted by name.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        // Checked when it was opened.
        let tensors = document(&self.at, &self.bytes).map(|document| document.tensors()).unwrap_or_default();
        let mut shapes: Vec<_> =
            tensors.into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect();
        shapes.sort();
        shapes
    }

    /// The tensor called `name`, which has to have this shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such tensor or its shape is another one, [`Error::Unsupported`] if its
    /// elements are neither float32 nor float16 nor bfloat16.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.get(name)?;
        if tensor.shape != shape {
            return Err(Error::parameter(
                format!("the tensor has shape {:?}, not {shape:?}", tensor.shape),
                self.place(name),
                "check the layer's sizes",
            ));
        }
        Ok(tensor)
    }

    /// The tensor called `name`, whatever its shape.
    ///
    /// # Errors
    /// Those of [`tensor`](SafeTensors::tensor) but for the shape.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        let document = document(&self.at, &self.bytes)?;
        let Ok(view) = document.tensor(name) else {
            let names: Vec<String> = self.shapes().into_iter().map(|(name, _)| name).take(8).collect();
            return Err(Error::parameter(
                "there is no such tensor",
                self.place(name),
                format!("the file holds {} tensors, the first are: {}", document.len(), names.join(", ")),
            ));
        };
        let bytes = view.data();
        let data: Vec<f32> = match view.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => {
                bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()
            }
            other => {
                return Err(Error::unsupported(
                    format!("elements of type {other:?} are not read"),
                    self.place(name),
                    "save the weights as float32, float16 or bfloat16",
                ));
            }
        };
        Ok(Tensor::new(view.shape(), data))
    }

    fn place(&self, name: &str) -> String {
        format!("{}: tensor {name:?}", self.at)
    }
}

/// The parsed header, with offsets that are checked against the bytes.
fn document<'a>(at: &str, bytes: &'a [u8]) -> Result<Document<'a>> {
    Document::deserialize(bytes).map_err(|error| {
        let what = match error {
            SafeTensorError::HeaderTooSmall
            | SafeTensorError::InvalidHeaderLength
            | SafeTensorError::MetadataIncompleteBuffer => {
                "the file is too short for what its header says".to_owned()
            }
            other => format!("this is no safetensors file: {other}"),
        };
        Error::model(what, at, "save the weights again with safetensors")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn halves_are_widened() {
        let header = r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1,1],"data_offsets":[4,6]}}"#;
        let data = [
            half::f16::from_f32(0.5).to_le_bytes(),
            half::f16::from_f32(-2.0).to_le_bytes(),
            half::bf16::from_f32(1.5).to_le_bytes(),
        ]
        .concat();
        let weights = SafeTensors::from_bytes("w", file(header, &data)).unwrap();
        assert_eq!(weights.shapes(), [("a".into(), vec![2]), ("b".into(), vec![1, 1])]);
        assert_eq!(*weights.tensor("a", &[2]).unwrap().data, [0.5, -2.0]);
        assert_eq!(*weights.get("b").unwrap().data, [1.5]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
        let whole = file(header, &[0; 12]);
        let weights = SafeTensors::from_bytes("w.safetensors", whole.clone()).unwrap();
        let text = |error: Error| error.to_string();
        let error = weights.tensor("b", &[2, 3]).unwrap_err();
        assert!(
            matches!(error, Error::Parameter(_)) && text(error.clone()).contains("[1], not [2, 3]"),
            "{error}"
        );
        let error = weights.get("c").unwrap_err();
        assert!(matches!(error, Error::Parameter(_)) && text(error.clone()).contains("a, b"), "{error}");
        let error = weights.get("a").unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)) && text(error.clone()).contains("I64"), "{error}");
        for length in 0..whole.len() {
            let error = SafeTensors::from_bytes("w", whole[..length].to_vec()).unwrap_err();
            assert!(matches!(error, Error::Model(_)), "{error}");
        }
        let error = SafeTensors::open("nowhere.safetensors").unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error}");
    }
}
