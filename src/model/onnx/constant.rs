//! Constants of a file, and arithmetic on them while shapes are worked out.

use std::cell::Ref;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use rten_onnx::onnx::{DataLocation, DataType, TensorProto};

use crate::model::{BinaryKind, Tensor};
use crate::{Error, Result};

/// Most elements that a constant or a value may have: 2³¹, so that byte counts stay far from overflow.
pub(super) const MAX_ELEMENTS: usize = 1 << 31;

/// Most axes that a shape may have.
const MAX_AXES: usize = 64;

/// Multiples of the batch among the integers of a shape computation (Shape → Gather → Mul → Concat → Reshape): `k · N`
/// is `SYMBOLIC + k`, 0 < k < [`MOST_BATCHES`]. No number of a file lies there (see [`Constant::read`]).
const SYMBOLIC: i64 = -(1 << 61);
const MOST_BATCHES: i64 = 1 << 40;

/// The batch itself.
pub(super) const BATCH: i64 = SYMBOLIC + 1;

/// `k · N` as an integer of a shape computation.
pub(super) fn batches(k: usize) -> i64 {
    // Products of lengths are at most `MAX_ELEMENTS`.
    SYMBOLIC + k as i64
}

/// `k` of a multiple of the batch, `k · N`.
pub(super) fn multiple(v: i64) -> Option<usize> {
    (v > SYMBOLIC && v < SYMBOLIC + MOST_BATCHES).then(|| (v - SYMBOLIC) as usize)
}

/// Whether an integer of a shape computation depends on the batch.
pub(super) fn is_symbolic(v: i64) -> bool {
    multiple(v).is_some()
}

/// Integer arithmetic of shapes. `None`: it overflows; `Some(None)`: the result is no multiple of the batch.
pub(super) fn arithmetic(kind: BinaryKind, x: i64, y: i64) -> Option<Option<i64>> {
    let scaled = |k: Option<i64>| k.filter(|&k| 0 < k && k < MOST_BATCHES).map(|k| SYMBOLIC + k);
    let count = |k: usize| k as i64;
    Some(match (multiple(x), multiple(y), kind) {
        (None, None, BinaryKind::Add) => Some(x.checked_add(y)?),
        (None, None, BinaryKind::Sub) => Some(x.checked_sub(y)?),
        (None, None, BinaryKind::Mul) => Some(x.checked_mul(y)?),
        (None, None, BinaryKind::Div) => Some(x.checked_div(y)?),
        (None, None, BinaryKind::Max) => Some(x.max(y)),
        (None, None, BinaryKind::Min) => Some(x.min(y)),
        (Some(a), Some(b), BinaryKind::Add) => scaled(count(a).checked_add(count(b))),
        (Some(a), Some(b), BinaryKind::Sub) if a == b => Some(0),
        (Some(a), Some(b), BinaryKind::Sub) => scaled(count(a).checked_sub(count(b))),
        (Some(a), Some(b), BinaryKind::Div) if a % b == 0 => Some(count(a / b)),
        (Some(_), None, BinaryKind::Add | BinaryKind::Sub) if y == 0 => Some(x),
        (None, Some(_), BinaryKind::Add) if x == 0 => Some(y),
        (Some(_), None, BinaryKind::Mul) if y == 0 => Some(0),
        (None, Some(_), BinaryKind::Mul) if x == 0 => Some(0),
        (Some(a), None, BinaryKind::Mul) => scaled(count(a).checked_mul(y)),
        (None, Some(b), BinaryKind::Mul) => scaled(count(b).checked_mul(x)),
        (Some(a), None, BinaryKind::Div) if y > 0 && count(a) % y == 0 => scaled(Some(count(a) / y)),
        _ => None,
    })
}

/// A constant: floats, or integers (shapes, axes, indices, truth values).
#[derive(Debug, Clone)]
pub(super) enum Constant {
    Float(Tensor),
    Int { shape: Vec<usize>, data: Vec<i64> },
}

/// The product of the lengths, if neither it nor any partial product is too large. An axis of length 0 does not
/// excuse the others: strides are products of them.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length.max(1)))?;
    let fits = product <= MAX_ELEMENTS && shape.len() <= MAX_AXES;
    fits.then_some(if shape.contains(&0) { 0 } else { product })
}

impl Constant {
    /// What a caller gives for an input that the file declares as `kind`.
    pub(super) fn bound(shape: &[usize], data: &[f32], kind: Option<DataType>) -> Result<Self> {
        if elements(shape) != Some(data.len()) {
            return Err(Error::parameter(
                format!("shape {shape:?} does not hold {} elements", data.len()),
                "bound input",
                "give as many numbers as the shape holds",
            ));
        }
        Ok(match kind {
            Some(DataType::INT64 | DataType::INT32 | DataType::INT8 | DataType::UINT8 | DataType::BOOL) => {
                Constant::Int { shape: shape.to_vec(), data: data.iter().map(|&v| v as i64).collect() }
            }
            _ => Constant::Float(Tensor::new(shape, data)),
        })
    }

    pub(super) fn ints(data: Vec<i64>) -> Self {
        Constant::Int { shape: vec![data.len()], data }
    }

    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Constant::Float(tensor) => &tensor.shape,
            Constant::Int { shape, .. } => shape,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Constant::Float(tensor) => tensor.len(),
            Constant::Int { data, .. } => data.len(),
        }
    }

    /// The same elements in the same order under another shape.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Self {
        match self {
            Constant::Float(tensor) => Constant::Float(Tensor { shape, data: tensor.data }),
            Constant::Int { data, .. } => Constant::Int { shape, data },
        }
    }

    /// The elements at the given places, under the given shape; the base of Gather, Slice and Transpose.
    pub(super) fn picked(&self, shape: Vec<usize>, places: impl Iterator<Item = usize>) -> Self {
        match self {
            Constant::Float(tensor) => {
                let data: Vec<f32> = places.map(|at| tensor.data[at]).collect();
                Constant::Float(Tensor { shape, data: data.into() })
            }
            Constant::Int { data, .. } => Constant::Int { shape, data: places.map(|at| data[at]).collect() },
        }
    }

    /// Whether one of the numbers depends on the batch.
    pub(super) fn has_batch(&self) -> bool {
        matches!(self, Constant::Int { data, .. } if data.iter().any(|&v| is_symbolic(v)))
    }

    /// Reads a tensor of the file.
    pub(super) fn read(tensor: &TensorProto, folder: Option<&Path>) -> Result<Self> {
        let name = tensor.name.clone().unwrap_or_default();
        let at = format!("constant {name:?}");
        let damaged = |what: &str| Error::model(what.to_owned(), at.clone(), "export the network again");
        let shape = tensor.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| damaged("an axis has a negative length"))?;
        let elements = elements(&shape)
            .ok_or_else(|| Error::limits("its shape is too large", at.clone(), "use a smaller network"))?;
        let kind = tensor.data_type.unwrap_or(DataType(0));
        let width = element_bytes(kind);
        let raw = raw_bytes(tensor, folder, &at)?;
        let expect = |found: usize| {
            if found == elements {
                Ok(())
            } else {
                Err(damaged(&format!("shape {shape:?} needs {elements} elements, the file holds {found}")))
            }
        };
        if let (Some(raw), Some(width)) = (&raw, width)
            && raw.len() != elements.saturating_mul(width)
        {
            return Err(damaged(&format!("{} bytes do not hold {elements} elements of {kind}", raw.len())));
        }
        // Collected where they stay: a network's weights are not copied once more.
        let floats = |data: Arc<[f32]>| {
            expect(data.len())?;
            Ok(Constant::Float(Tensor { shape: shape.clone(), data }))
        };
        let ints = |data: Vec<i64>| {
            expect(data.len())?;
            if data.iter().any(|&v| is_symbolic(v)) {
                return Err(damaged("one of its numbers makes no sense"));
            }
            Ok(Constant::Int { shape: shape.clone(), data })
        };
        match (kind, raw) {
            (DataType::FLOAT, Some(raw)) => floats(each(&raw, f32::from_le_bytes)),
            (DataType::FLOAT, None) => floats(tensor.float_data.as_slice().into()),
            (DataType::DOUBLE, Some(raw)) => floats(each(&raw, |b| f64::from_le_bytes(b) as f32)),
            (DataType::DOUBLE, None) => floats(tensor.double_data.iter().map(|&v| v as f32).collect()),
            (DataType::FLOAT16, Some(raw)) => floats(each(&raw, |b| half::f16::from_le_bytes(b).to_f32())),
            (DataType::FLOAT16, None) => {
                floats(tensor.int32_data.iter().map(|&v| half::f16::from_bits(v as u16).to_f32()).collect())
            }
            (DataType::BFLOAT16, Some(raw)) => floats(each(&raw, |b| half::bf16::from_le_bytes(b).to_f32())),
            (DataType::INT64, Some(raw)) => ints(each(&raw, i64::from_le_bytes)),
            (DataType::INT64, None) => ints(tensor.int64_data.clone()),
            (DataType::INT32, Some(raw)) => ints(each(&raw, |b| i64::from(i32::from_le_bytes(b)))),
            (DataType::UINT8 | DataType::BOOL, Some(raw)) => {
                ints(raw.iter().map(|&b| i64::from(b)).collect())
            }
            (DataType::INT8, Some(raw)) => ints(each(&raw, |b| i64::from(i8::from_le_bytes(b)))),
            (DataType::INT32 | DataType::BOOL | DataType::UINT8 | DataType::INT8, None) => {
                ints(tensor.int32_data.iter().map(|&v| i64::from(v)).collect())
            }
            (kind, _) => Err(Error::unsupported(
                format!("constants of type {kind} are not supported"),
                at.clone(),
                "export the network in float32 or float16",
            )),
        }
    }
}

fn element_bytes(kind: DataType) -> Option<usize> {
    match kind {
        DataType::DOUBLE | DataType::INT64 => Some(8),
        DataType::FLOAT | DataType::INT32 => Some(4),
        DataType::FLOAT16 | DataType::BFLOAT16 => Some(2),
        DataType::UINT8 | DataType::INT8 | DataType::BOOL => Some(1),
        _ => None,
    }
}

/// Reads little-endian elements of `WIDTH` bytes.
fn each<const WIDTH: usize, T, C: FromIterator<T>>(raw: &[u8], read: impl Fn([u8; WIDTH]) -> T) -> C {
    raw.as_chunks::<WIDTH>().0.iter().map(|bytes| read(*bytes)).collect()
}

/// Bytes that are read once, where they lie.
enum Raw<'t> {
    Document(Ref<'t, Vec<u8>>),
    File(Vec<u8>),
}

impl Deref for Raw<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Raw::Document(bytes) => bytes,
            Raw::File(bytes) => bytes,
        }
    }
}

/// The raw bytes of a tensor, from the document or from the file beside it.
fn raw_bytes<'t>(tensor: &'t TensorProto, folder: Option<&Path>, at: &str) -> Result<Option<Raw<'t>>> {
    if tensor.data_location != Some(DataLocation::EXTERNAL) {
        return Ok(tensor.raw_data.as_ref().map(|raw| Raw::Document(raw.borrow())));
    }
    let entry = |key: &str| {
        tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key)).and_then(|e| e.value.clone())
    };
    let wrong = |what: String| {
        Error::model(
            what,
            at,
            "keep the file with the weights beside the .onnx file, under its original name",
        )
    };
    let location = entry("location").ok_or_else(|| wrong("external data has no location".into()))?;
    let folder = folder.ok_or_else(|| wrong(format!("the weights are in another file, {location:?}")))?;
    // A location is a plain relative path: a file must not read anything outside its own folder.
    let relative = Path::new(&location);
    if !relative.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Err(wrong(format!("external data at {location:?} is outside the folder")));
    }
    let number = |key: &str| entry(key).map(|text| text.parse::<u64>()).transpose();
    let path = folder.join(relative);
    let unreadable = |error: std::io::Error| wrong(format!("{} cannot be read: {error}", path.display()));
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let offset = number("offset").map_err(|_| wrong("external data has a bad offset".into()))?.unwrap_or(0);
    let length = number("length").map_err(|_| wrong("external data has a bad length".into()))?;
    let length = length.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(wrong(format!("{} is too short", path.display())));
    }
    use std::io::{Read, Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| wrong("external data is too long".into()))?];
    file.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(Some(Raw::File(bytes)))
}
