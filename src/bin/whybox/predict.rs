//! `whybox predict`: raw outputs for a batch of any size, in bounded memory.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use clap::Args;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, WriterBuilder};
use whybox::device::check_finite;
use whybox::model::Model;
use whybox::perturb::Rows;
use whybox::{Error, Network, Result};

use crate::help;
use crate::input::RunArgs;

/// Bytes of input read at a time.
const BLOCK_BYTES: usize = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  whybox predict --model net.onnx --input x.npy --out y.npy
  whybox predict --model net.onnx --input x.npy --out y.npy --device cpu --memory 512MiB";

#[derive(Debug, Args)]
#[command(after_help = help::short(EXAMPLES), after_long_help = EXAMPLES)]
pub struct PredictArgs {
    /// The network's ONNX file
    #[arg(long, value_name = "MODEL.onnx")]
    model: PathBuf,
    /// The inputs, [N, …]: float64, float32, float16 or uint8
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Where to write the outputs, [N, …] float32
    #[arg(long, value_name = "Y.npy")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

pub fn run(args: &PredictArgs) -> Result<()> {
    let mut input = Input::open(&args.input)?;
    let model = Model::from_onnx(&args.model)?;
    input.check(model.input_shape())?;
    let network = args.run.device()?.load(&model)?;
    // The file appears under its name only when it is whole.
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = args.out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = folder.join(format!(".{name}.partial-{}", std::process::id()));
    let result = write(&mut input, &model, &network, args, &partial);
    if let Err(error) = result {
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    std::fs::rename(&partial, &args.out).map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        cannot_write(&args.out, &error)
    })
}

fn write(
    input: &mut Input,
    model: &Model,
    network: &Network,
    args: &PredictArgs,
    partial: &Path,
) -> Result<()> {
    let cannot = |error: std::io::Error| cannot_write(&args.out, &error);
    let file = BufWriter::new(File::create(partial).map_err(cannot)?);
    let shape: Vec<u64> =
        std::iter::once(input.rows).chain(model.output_shape().iter().copied()).map(|n| n as u64).collect();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd().map_err(cannot)?;
    let block_rows = (BLOCK_BYTES / (4 * input.row_len).max(1)).max(1);
    let options = args.run.options();
    let mut block = Vec::new();
    let mut warned = false;
    for first in (0..input.rows).step_by(block_rows) {
        let count = block_rows.min(input.rows - first);
        input.read(first, count, &mut block)?;
        let rows = Rows::new(&block, input.row_len)?;
        network.run(&rows, &options, &mut |chunk, values| {
            // Raw outputs are written as they are, but not in silence.
            if !warned && let Err(error) = check_finite(first + chunk.start, network.outputs(), values) {
                eprintln!("warning: {error}");
                warned = true;
            }
            values.iter().try_for_each(|value| writer.push(value)).map_err(cannot)
        })?;
    }
    writer.finish().map_err(cannot)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::io(
        format!("the outputs cannot be written: {error}"),
        path.display().to_string(),
        "choose a folder that exists and can be written with --out",
    )
}

/// A batch in a .npy file, read in pieces.
struct Input {
    file: File,
    path: String,
    /// Where the elements begin.
    data: u64,
    kind: Kind,
    fortran: bool,
    rows: usize,
    shape: Vec<usize>,
    row_len: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    F64,
    F32,
    F16,
    U8,
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Kind::F64 => 8,
            Kind::F32 => 4,
            Kind::F16 => 2,
            Kind::U8 => 1,
        }
    }

    fn append(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Kind::F64 => out.extend(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32)),
            Kind::F32 => out.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))),
            Kind::F16 => {
                out.extend(bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()));
            }
            Kind::U8 => out.extend(bytes.iter().map(|&b| f32::from(b))),
        }
    }
}

impl Input {
    fn open(path: &Path) -> Result<Self> {
        let at = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            Error::io(format!("the inputs cannot be read: {error}"), &at, "check the path")
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let header = NpyHeader::from_reader(&mut file).map_err(|error| {
            Error::parameter(format!("this is no .npy file: {error}"), &at, "save the inputs with numpy.save")
        })?;
        let data = file.stream_position().map_err(unreadable)?;
        let dtype = header.dtype();
        let kind = match &dtype {
            DType::Plain(text) if text.endianness() != Endianness::Big => {
                match (text.type_char(), text.size_field()) {
                    (TypeChar::Float, 8) => Some(Kind::F64),
                    (TypeChar::Float, 4) => Some(Kind::F32),
                    (TypeChar::Float, 2) => Some(Kind::F16),
                    (TypeChar::Uint, 1) => Some(Kind::U8),
                    _ => None,
                }
            }
            _ => None,
        };
        let kind = kind.ok_or_else(|| {
            Error::parameter(
                format!("elements of type {} are not read", dtype.descr()),
                &at,
                "save the inputs as float64, float32, float16 or uint8, little-endian",
            )
        })?;
        let shape: Vec<usize> =
            header.shape().iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        let (&rows, rest) = shape.split_first().ok_or_else(|| {
            Error::parameter("the input is a single number", &at, "save a batch of shape [N, …]")
        })?;
        let row_len = rest.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let bytes = row_len.and_then(|len| len.checked_mul(rows)?.checked_mul(kind.bytes()));
        let end = bytes.and_then(|bytes| data.checked_add(bytes as u64));
        let size = file.metadata().map_err(unreadable)?.len();
        if end.is_none_or(|end| end > size) {
            return Err(Error::parameter(
                format!("the file is too short for its shape {shape:?}"),
                at,
                "save the inputs again",
            ));
        }
        // Counted above, or the file would have been too short.
        let (row_len, rest) = (row_len.unwrap_or(0), rest.to_vec());
        let fortran = header.order() == Order::Fortran;
        Ok(Input { file, path: at, data, kind, fortran, rows, shape: rest, row_len })
    }

    fn check(&self, expected: &[usize]) -> Result<()> {
        if self.shape == expected {
            return Ok(());
        }
        let shape = |sizes: &[usize]| {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            format!("[N, {}]", sizes.join(", "))
        };
        Err(Error::parameter(
            format!("the inputs have shape {}, the network takes {}", shape(&self.shape), shape(expected)),
            self.path.clone(),
            "reshape the inputs; `whybox inspect MODEL` shows what the network takes",
        ))
    }

    /// Rows `first..first + count`, row-major.
    fn read(&mut self, first: usize, count: usize, block: &mut Vec<f32>) -> Result<()> {
        block.clear();
        let width = self.kind.bytes();
        if !self.fortran {
            let bytes = self.bytes(first * self.row_len * width, count * self.row_len * width)?;
            self.kind.append(&bytes, block);
            return Ok(());
        }
        // The batch is the fastest axis: one run of `count` elements for each place of a row. Places come in
        // column-major order of the row's axes.
        block.resize(count * self.row_len, 0.0);
        let mut run = Vec::with_capacity(count);
        for place in 0..self.row_len {
            let (mut rest, mut at) = (place, 0);
            let mut step = self.row_len;
            let mut strides = Vec::with_capacity(self.shape.len());
            for &length in &self.shape {
                step /= length;
                strides.push(step);
            }
            for (length, stride) in self.shape.iter().zip(&strides) {
                at += rest % length * stride;
                rest /= length;
            }
            let bytes = self.bytes((place * self.rows + first) * width, count * width)?;
            run.clear();
            self.kind.append(&bytes, &mut run);
            for (row, &value) in run.iter().enumerate() {
                block[row * self.row_len + at] = value;
            }
        }
        Ok(())
    }

    fn bytes(&mut self, offset: usize, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let at = self.data + offset as u64;
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| {
            Error::io(format!("the inputs cannot be read: {error}"), self.path.clone(), "check the file")
        })?;
        Ok(bytes)
    }
}
