//! The steps of a plan that can run over columns, with every value written once.
//!
//! Buffers of a plan are shared by values that do not live at the same time, and pieces of a Concat are written side
//! by side. Here each write is a value of its own, and a read names the values that it sees; where it sees several
//! side by side, they are joined first. What cannot be followed pixel by pixel (anything over space, or a view that
//! cuts rows differently) ends the program.

use crate::Result;
use crate::plan::access::{Accesses, Extent, accesses, ends};
use crate::plan::{Binary, Kernel, Operand, Plan, Sliding, Step, View};

/// Number of a value.
pub type ValueId = usize;

/// Pixels by channels, written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Pixels per sample.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
}

/// Channels of a value from one on: as many as the reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The value.
    pub value: ValueId,
    /// First channel.
    pub channel: usize,
}

/// Channels of a value that become channels of a joined one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where they are.
    pub from: Source,
    /// The first of them within the joined value.
    pub to: usize,
    /// How many.
    pub channels: usize,
}

/// What makes a value from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The step itself, from its inputs in order.
    Step {
        /// Where each input is.
        inputs: Vec<Source>,
        /// What it writes.
        output: ValueId,
    },
    /// Values side by side become one, for a step that reads them together.
    Join {
        /// Each value's channels.
        pieces: Vec<Piece>,
        /// All of them.
        output: ValueId,
    },
}

impl Op {
    /// The value that is made.
    pub fn output(&self) -> ValueId {
        match self {
            Op::Step { output, .. } | Op::Join { output, .. } => *output,
        }
    }

    /// The values that are read.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        let (inputs, pieces): (&[Source], &[Piece]) = match self {
            Op::Step { inputs, .. } => (inputs, &[]),
            Op::Join { pieces, .. } => (&[], pieces),
        };
        inputs.iter().map(|source| source.value).chain(pieces.iter().map(|piece| piece.from.value))
    }
}

/// A value that the dense rest of a plan reads, and where it expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// The value.
    pub value: ValueId,
    /// The step that writes it in the plan; `None` for the input.
    pub step: Option<usize>,
    /// Its rows, as many as it has pixels.
    pub view: View,
}

/// The steps from a plan's first on that can run over columns. Value 0 is the input.
#[derive(Debug, Clone)]
pub struct Program {
    /// All values.
    pub values: Vec<Value>,
    /// In executable order, with the step that each is for.
    pub ops: Vec<(usize, Op)>,
    /// For each number of steps, from none to all that can be shared: the values that later steps read, in the
    /// order in which they were written.
    pub live: Vec<Vec<Live>>,
}

/// How a step that can be shared reads: rows of channels, each output pixel from some pixels of each input.
pub(crate) enum Reading {
    /// Windows over the first input; a second input, if any, is read at the output's pixel.
    Window(Sliding),
    /// Every input at the output's pixel.
    Pixel,
}

/// Reads and writes of a step that can be shared.
struct Rowwise {
    /// View, rows and channels of each input.
    reads: Vec<(View, usize, usize)>,
    /// The same of the output.
    write: (View, usize, usize),
}

/// How a step reads pixels, if it can be followed pixel by pixel.
pub(crate) fn reading(kernel: &Kernel) -> Option<Reading> {
    match kernel {
        Kernel::Conv(conv) => Some(Reading::Window(conv.sliding)),
        Kernel::Pool(pool) => Some(Reading::Window(pool.sliding)),
        Kernel::Map(_) | Kernel::Affine(_) | Kernel::Binary(_) => Some(Reading::Pixel),
        _ => None,
    }
}

/// Rows, channels and the three rows' strides of a binary step that treats every pixel by itself.
pub(crate) fn binary_rows(binary: &Binary) -> Option<(usize, usize, [usize; 3])> {
    let [outer, more, rows, channels] = binary.shape;
    let axes = [binary.a_strides, binary.b_strides, binary.out_strides];
    let in_rows = |strides: &[usize; 4]| strides[3] == 1 || channels == 1;
    let sound = outer == 1
        && more == 1
        && in_rows(&axes[0])
        && in_rows(&axes[2])
        && (binary.b != Operand::Input || in_rows(&axes[1]))
        && (rows == 1 || (axes[0][2] >= channels && axes[2][2] >= channels))
        // A constant may differ from channel to channel, not from pixel to pixel.
        && (rows == 1 || (binary.b == Operand::Input) == (axes[1][2] >= channels))
        && (rows == 1 || binary.b == Operand::Input || axes[1][2] == 0);
    // The stride of a single row means nothing.
    sound.then_some((rows, channels, axes.map(|strides| if rows == 1 { channels } else { strides[2] })))
}

impl Rowwise {
    fn new(step: &Step) -> Option<Self> {
        let input = |at: usize, rows: usize, channels: usize| Some((*step.inputs.get(at)?, rows, channels));
        Some(match &step.kernel {
            Kernel::Conv(conv) => {
                let mut reads = vec![input(0, conv.sliding.input_rows(), conv.cin)?];
                if conv.residual {
                    reads.push(input(1, conv.sliding.output_rows(), conv.cout)?);
                }
                Rowwise { reads, write: (step.output, conv.sliding.output_rows(), conv.cout) }
            }
            Kernel::Pool(pool) => Rowwise {
                reads: vec![input(0, pool.sliding.input_rows(), pool.channels)?],
                write: (step.output, pool.sliding.output_rows(), pool.channels),
            },
            Kernel::Map(map) => Rowwise {
                reads: vec![input(0, map.rows, map.channels)?],
                write: (step.output, map.rows, map.channels),
            },
            Kernel::Affine(affine) => Rowwise {
                reads: vec![input(0, affine.rows, affine.channels)?],
                write: (step.output, affine.rows, affine.channels),
            },
            Kernel::Binary(binary) => {
                let (rows, channels, strides) = binary_rows(binary)?;
                let of = |view: View, stride: usize| (View { stride, ..view }, rows, channels);
                let mut reads = vec![of(*step.inputs.first()?, strides[0])];
                if binary.b == Operand::Input {
                    reads.push(of(*step.inputs.get(1)?, strides[1]));
                }
                Rowwise { reads, write: of(step.output, strides[2]) }
            }
            _ => return None,
        })
    }
}

/// A write that may still be read.
#[derive(Clone, Copy)]
struct Written {
    value: ValueId,
    step: Option<usize>,
    view: View,
    rows: usize,
    channels: usize,
}

impl Written {
    fn extent(&self) -> Extent {
        Extent {
            buffer: self.view.buffer,
            start: self.view.offset,
            end: self.view.offset + (self.rows - 1) * self.view.stride + self.channels,
            stride: self.view.stride,
            channels: self.channels,
        }
    }

    /// First channel of a view with the same rows, seen from the first channel of the buffer's rows.
    fn aligned(&self, view: View, rows: usize) -> Option<[usize; 2]> {
        let same = self.view.stride == view.stride
            && self.rows == rows
            && self.view.offset / view.stride == view.offset / view.stride;
        same.then(|| [self.view.offset % view.stride, view.offset % view.stride])
    }
}

impl Program {
    /// Follows a plan whose input has `pixels` pixels as far as it goes; `None` if not even the first step can run
    /// over columns.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if a step has too few inputs.
    pub fn new(plan: &Plan, pixels: usize) -> Result<Option<Self>> {
        let len = plan.input_layout.len();
        let channels = plan.input.stride;
        if pixels == 0 || channels == 0 || pixels.checked_mul(channels) != Some(len) {
            return Ok(None);
        }
        let mut program =
            Program { values: vec![Value { pixels, channels }], ops: Vec::new(), live: Vec::new() };
        let mut visible = vec![Written { value: 0, step: None, view: plan.input, rows: pixels, channels }];
        let mut joined: Vec<(Vec<Piece>, ValueId)> = Vec::new();
        let accesses = plan.steps.iter().map(accesses).collect::<Result<Vec<_>>>()?;
        program.live.push(live(plan, &accesses, &visible, 0));
        for (number, step) in plan.steps.iter().enumerate() {
            let Some(Rowwise { reads, write }) = Rowwise::new(step) else { break };
            let found: Option<Vec<Vec<Piece>>> =
                reads.iter().map(|&(view, rows, channels)| resolve(&visible, view, rows, channels)).collect();
            let Some(found) = found else { break };
            let mut inputs = Vec::new();
            for (pieces, &(_, rows, channels)) in found.into_iter().zip(&reads) {
                if let [piece] = pieces[..] {
                    inputs.push(piece.from);
                    continue;
                }
                let known = joined.iter().find(|(known, _)| *known == pieces).map(|(_, value)| *value);
                let value = known.unwrap_or_else(|| {
                    let output = program.values.len();
                    program.values.push(Value { pixels: rows, channels });
                    program.ops.push((number, Op::Join { pieces: pieces.clone(), output }));
                    joined.push((pieces, output));
                    output
                });
                inputs.push(Source { value, channel: 0 });
            }
            let output = program.values.len();
            let (view, rows, channels) = write;
            program.values.push(Value { pixels: rows, channels });
            program.ops.push((number, Op::Step { inputs, output }));
            let written = Written { value: output, step: Some(number), view, rows, channels };
            visible.retain(|older| !written.extent().covers(&older.extent()));
            visible.push(written);
            program.live.push(live(plan, &accesses, &visible, number + 1));
        }
        Ok((program.live.len() > 1).then_some(program))
    }

    /// Steps that can be shared.
    pub fn steps(&self) -> usize {
        self.live.len() - 1
    }

    /// The operations of the first `steps` steps.
    pub fn ops_of(&self, steps: usize) -> &[(usize, Op)] {
        &self.ops[..self.ops.partition_point(|(step, _)| *step < steps)]
    }
}

/// The values under a view, channel by channel, newest first; `None` if something cannot be followed.
fn resolve(visible: &[Written], view: View, rows: usize, channels: usize) -> Option<Vec<Piece>> {
    let read = Written { value: 0, step: None, view, rows, channels }.extent();
    let mut sources: Vec<Option<Source>> = vec![None; channels];
    for written in visible.iter().rev().filter(|written| written.extent().overlaps(&read)) {
        if sources.iter().all(Option::is_some) {
            break;
        }
        let [base, first] = written.aligned(view, rows)?;
        for (channel, source) in sources.iter_mut().enumerate().filter(|(_, source)| source.is_none()) {
            let column = first + channel;
            if (base..base + written.channels).contains(&column) {
                *source = Some(Source { value: written.value, channel: column - base });
            }
        }
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for (to, source) in sources.into_iter().enumerate() {
        let from = source?;
        match pieces
            .last_mut()
            .filter(|last| last.from.value == from.value && last.from.channel + last.channels == from.channel)
        {
            Some(last) => last.channels += 1,
            None => pieces.push(Piece { from, to, channels: 1 }),
        }
    }
    Some(pieces)
}

/// The values among `visible` that steps from `cut` on, or the reader of the output, may see.
fn live(plan: &Plan, accesses: &[Accesses], visible: &[Written], cut: usize) -> Vec<Live> {
    let [_, output] = ends(plan);
    let mut seen = vec![false; visible.len()];
    let mut later: Vec<Extent> = Vec::new();
    let mut look = |read: &Extent, later: &[Extent]| {
        let mut columns = vec![false; read.channels];
        // Newest first, until one write covers what is read, or several side by side do.
        let old = visible.iter().enumerate().rev().map(|(at, written)| (Some(at), written.extent()));
        for (at, written) in later.iter().rev().map(|extent| (None, *extent)).chain(old) {
            if !written.overlaps(read) {
                continue;
            }
            if let Some(at) = at {
                seen[at] = true;
            }
            mark(&mut columns, read, &written);
            if written.covers(read) || (!columns.is_empty() && columns.iter().all(|&column| column)) {
                break;
            }
        }
    };
    for Accesses { reads, write } in &accesses[cut..] {
        reads.iter().for_each(|read| look(read, &later));
        later.push(*write);
    }
    look(&output, &later);
    let chosen = visible.iter().zip(&seen).filter(|(_, seen)| **seen);
    chosen.map(|(written, _)| Live { value: written.value, step: written.step, view: written.view }).collect()
}

/// Marks the columns of `read` that `written` makes in all rows.
fn mark(columns: &mut [bool], read: &Extent, written: &Extent) {
    let stride = read.stride;
    if stride == 0
        || written.stride != stride
        || written.start / stride != read.start / stride
        || written.end.div_ceil(stride) != read.end.div_ceil(stride)
    {
        return;
    }
    let first = written.start % stride;
    for (column, seen) in columns.iter_mut().enumerate() {
        *seen |= (first..first + written.channels).contains(&(read.start % stride + column));
    }
}
