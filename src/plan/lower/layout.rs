//! Where values lie: memory orders, reshapes, copies, and strides.

use super::{COPY_AXES, Lowering, Matrix, Stored};
use crate::model;
use crate::plan::{Copy, Kernel, Map};

impl Lowering<'_> {
    /// A fresh matrix for a value of the given shape whose axes lie in the given order.
    pub(super) fn store(&mut self, shape: &[usize], order: Vec<usize>) -> Stored {
        let channels = order.last().map_or(1, |&axis| shape[axis]);
        let len: usize = shape.iter().product();
        let matrix = self.matrices.len();
        self.matrices.push(Matrix {
            rows: len / channels.max(1),
            channels,
            part_of: None,
            pinned: false,
            writer: None,
        });
        Stored { matrix, shape: shape.to_vec(), order, flattened: None }
    }

    /// The same memory under another shape. Flattening a picture keeps the memory's order and remembers it, so
    /// that a Linear can move its weights instead of the activations.
    pub(super) fn reshape(&mut self, input: &Stored, shape: Vec<usize>) -> Stored {
        let order: Vec<usize> = (0..shape.len()).collect();
        if shape.len() == 1 && input.shape.len() == 1 {
            return Stored { shape, order, ..input.clone() };
        }
        let input = self.unflattened(input);
        let plain: Vec<usize> = (0..input.shape.len()).collect();
        let in_order = same_order(&input.shape, &input.order, &plain);
        if shape.len() == 1 && !in_order {
            let matrix = self.contiguous_if(true, input.matrix);
            return Stored { matrix, shape, order, flattened: Some((input.shape, input.order)) };
        }
        if let Some(order) = regrouped(&input.shape, &input.order, &shape)
            && self.keeps_rows(&input, &shape, &order)
        {
            return Stored { shape, order, ..input };
        }
        let input = self.in_order(&input, &plain);
        let matrix = self.contiguous_if(true, input.matrix);
        Stored { matrix, shape, order, flattened: None }
    }

    /// Whether the matrix's rows end between two axes of the order: then it may be a part of another. Any
    /// contiguous matrix will do, but has to stay so.
    fn keeps_rows(&mut self, input: &Stored, shape: &[usize], order: &[usize]) -> bool {
        let matrix = &mut self.matrices[input.matrix];
        let mut rows = 1;
        let ends = order.iter().any(|&axis| {
            let found = rows == matrix.rows;
            rows *= shape[axis];
            found
        });
        if ends || rows == matrix.rows {
            return true;
        }
        if matrix.part_of.is_some() {
            return false;
        }
        matrix.pinned = true;
        true
    }

    pub(super) fn channels_last(&mut self, input: &Stored) -> Stored {
        let input = self.unflattened(input);
        let order = last_first(input.shape.len());
        let mut input = self.in_order(&input, &order);
        // Axes of length 1 may stand elsewhere; name the order as the kernels read it.
        input.order = order;
        let channels = input.shape.first().copied().unwrap_or(1).max(1);
        let rows = input.shape.iter().product::<usize>() / channels;
        input.matrix = self.as_matrix(input.matrix, rows, channels);
        input
    }

    /// The value with its axes in memory as `order` says; a copy only if they are not.
    pub(super) fn in_order(&mut self, input: &Stored, order: &[usize]) -> Stored {
        if same_order(&input.shape, &input.order, order) && input.flattened.is_none() {
            return Stored { order: order.to_vec(), ..input.clone() };
        }
        let input = self.unflattened(input);
        self.copied(&input, order)
    }

    /// A copy of the value with its axes in memory as `order` says.
    pub(super) fn copied(&mut self, input: &Stored, order: &[usize]) -> Stored {
        let output = self.store(&input.shape, order.to_vec());
        let in_strides = broadcast_strides(&input.shape, &input.order, &input.shape, order);
        let out_strides = broadcast_strides(&input.shape, order, &input.shape, order);
        let lengths: Vec<usize> = order.iter().map(|&axis| input.shape[axis]).collect();
        let source = self.contiguous_if(true, input.matrix);
        self.push_copy(&lengths, &in_strides, &out_strides, source, output.matrix);
        output
    }

    pub(super) fn push_copy(
        &mut self,
        lengths: &[usize],
        from: &[usize],
        to: &[usize],
        source: usize,
        target: usize,
    ) {
        let mut axes = collapse(lengths, [from, to, to]);
        // With as many long axes as a copy takes, an innermost one of length 1 is too many.
        axes.truncate(COPY_AXES);
        let mut copy = Copy { shape: [1; 6], in_strides: [0; 6], out_strides: [0; 6] };
        for (at, axis) in axes.iter().enumerate() {
            let at = at + 6 - axes.len();
            copy.shape[at] = axis[0];
            copy.in_strides[at] = axis[1];
            copy.out_strides[at] = axis[2];
        }
        self.matrices[target].pinned = true;
        self.step("layout", Kernel::Copy(copy), &[source], target, 0);
    }

    pub(super) fn contiguous(&mut self, input: &Stored) -> Stored {
        Stored { matrix: self.contiguous_if(true, input.matrix), ..input.clone() }
    }

    /// The matrix itself if it need not, or can, be contiguous; else a contiguous copy.
    pub(super) fn contiguous_if(&mut self, needed: bool, matrix: usize) -> usize {
        if !needed {
            return matrix;
        }
        if self.matrices[matrix].part_of.is_none() {
            self.matrices[matrix].pinned = true;
            return matrix;
        }
        let Matrix { rows, channels, .. } = self.matrices[matrix];
        let copy = self.matrices.len();
        self.matrices.push(Matrix { rows, channels, part_of: None, pinned: true, writer: None });
        let kernel = Kernel::Map(Map { rows, channels, activation: model::Activation::Identity });
        self.step("layout", kernel, &[matrix], copy, 0);
        copy
    }

    /// The matrix for a reader that sees it as `rows` × `channels`: itself if it was made so, or if it is, and
    /// stays, contiguous; else a contiguous copy.
    pub(super) fn as_matrix(&mut self, matrix: usize, rows: usize, channels: usize) -> usize {
        let made_so = (self.matrices[matrix].rows, self.matrices[matrix].channels) == (rows, channels);
        self.contiguous_if(!made_so, matrix)
    }

    /// Undoes a lazy flattening: the elements in the logical order of the flattened axis.
    pub(super) fn unflattened(&mut self, input: &Stored) -> Stored {
        let Some((shape, order)) = input.flattened.clone() else { return input.clone() };
        let before = Stored { matrix: input.matrix, shape: shape.clone(), order, flattened: None };
        let plain: Vec<usize> = (0..shape.len()).collect();
        let copied = self.copied(&before, &plain);
        Stored {
            matrix: copied.matrix,
            shape: input.shape.clone(),
            order: input.order.clone(),
            flattened: None,
        }
    }
}

/// Height and width of `[C, H, W]`, or `[1, L]` of `[C, L]`.
pub(super) fn space(shape: &[usize]) -> [usize; 2] {
    match *shape {
        [_, length] => [1, length],
        [_, height, width] => [height, width],
        // Convolutions and pools are made with two or three axes only.
        _ => [1, shape.iter().skip(1).product()],
    }
}

/// Memory order of a value stored channels last: axis 0 is innermost.
pub(super) fn last_first(rank: usize) -> Vec<usize> {
    (1..rank).chain((rank > 0).then_some(0)).collect()
}

pub(super) fn position(list: &[usize], wanted: usize) -> usize {
    // Callers look up an axis that the list holds by construction.
    list.iter().position(|&item| item == wanted).unwrap_or(0)
}

/// The memory order of a value under another shape, if its axes only split, or join where they are neighbours in
/// memory.
pub(super) fn regrouped(before: &[usize], order: &[usize], after: &[usize]) -> Option<Vec<usize>> {
    // Runs of axes of both shapes that hold the same elements.
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        let (mut own, mut new) = (Vec::new(), Vec::new());
        let (mut left, mut right) = (1, 1);
        while left != right || (own.is_empty() && new.is_empty()) {
            if left <= right && i < before.len() {
                left *= before[i];
                own.push(i);
                i += 1;
            } else if j < after.len() {
                right *= after[j];
                new.push(j);
                j += 1;
            } else if i < before.len() {
                left *= before[i];
                own.push(i);
                i += 1;
            } else {
                return None;
            }
        }
        groups.push((own, new));
    }
    let long: Vec<usize> = order.iter().copied().filter(|&axis| before[axis] > 1).collect();
    let mut result = Vec::with_capacity(after.len());
    let mut at = 0;
    while at < long.len() {
        let (own, new) = groups.iter().find(|(own, _)| own.contains(&long[at]))?;
        let run: Vec<usize> = own.iter().copied().filter(|&axis| before[axis] > 1).collect();
        if !long[at..].starts_with(&run) {
            return None;
        }
        at += run.len();
        result.extend(new.iter().copied().filter(|&axis| after[axis] > 1));
    }
    // Axes of length 1 may stand anywhere.
    let mut all: Vec<usize> = (0..after.len()).filter(|&axis| after[axis] == 1).collect();
    all.extend(result);
    Some(all)
}

/// Whether two memory orders are the same, axes of length 1 left aside.
pub(super) fn same_order(shape: &[usize], a: &[usize], b: &[usize]) -> bool {
    let long = |order: &[usize]| order.iter().copied().filter(|&axis| shape[axis] > 1).collect::<Vec<_>>();
    long(a) == long(b)
}

/// For each place in memory (axes in `order`), the row-major index of the element there.
pub(super) fn memory_to_logical(shape: &[usize], order: &[usize]) -> Vec<usize> {
    let mut row_major = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        row_major[axis - 1] = row_major[axis] * shape[axis];
    }
    let mut places = vec![0];
    for &axis in order {
        places = places
            .iter()
            .flat_map(|&base| (0..shape[axis]).map(move |index| (base, index)))
            .map(|(base, index)| base + index * row_major[axis])
            .collect();
    }
    places
}

/// Strides of an operand over the output's axes in the output's memory order; 0 where it repeats. Shapes align
/// from the right, as NumPy's do.
pub(super) fn broadcast_strides(
    shape: &[usize],
    order: &[usize],
    out_shape: &[usize],
    out_order: &[usize],
) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for &axis in order.iter().rev() {
        strides[axis] = step;
        step *= shape[axis];
    }
    let lead = out_shape.len() - shape.len();
    out_order
        .iter()
        .map(|&axis| match axis.checked_sub(lead) {
            Some(own) if shape[own] > 1 => strides[own],
            Some(own) if out_shape[axis] == 1 => strides[own],
            _ => 0,
        })
        .collect()
}

/// Joins neighbouring axes over which every operand walks evenly, and drops axes of length 1; the innermost
/// axis stays apart, because it is the channels. Each result is (length, three strides).
pub(super) fn collapse(lengths: &[usize], strides: [&[usize]; 3]) -> Vec<[usize; 4]> {
    let mut axes: Vec<[usize; 4]> = Vec::new();
    for at in 0..lengths.len() {
        let axis = [lengths[at], strides[0][at], strides[1][at], strides[2][at]];
        let innermost = at + 1 == lengths.len();
        if axis[0] == 1 && !innermost {
            continue;
        }
        let joins =
            axes.last().is_some_and(|outer| !innermost && (1..4).all(|k| outer[k] == axis[k] * axis[0]));
        match axes.last_mut() {
            Some(outer) if joins => *outer = [outer[0] * axis[0], axis[1], axis[2], axis[3]],
            _ => axes.push(axis),
        }
    }
    if axes.len() == 1 {
        axes.insert(0, [1, 0, 0, 0]);
        axes[0] = [1, axes[1][0] * axes[1][1], axes[1][0] * axes[1][2], axes[1][0] * axes[1][3]];
    }
    axes
}
