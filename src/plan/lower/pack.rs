//! Weights in the order in which the steps keep them: output channels last.

/// Outputs that are turned together: sixteen floats are a line of the cache, so each line is written once.
const BLOCK: usize = 16;

/// The transpose `[order.len(), outputs]` of the rows `[outputs, order.len()]`, column `order[k]` becoming row `k`.
///
/// Block by block: one read at a time down the columns would fetch a line of the cache for every float, which takes seconds for a
/// Linear of a hundred million weights.
pub(super) fn transposed(rows: &[f32], outputs: usize, order: &[usize], packed: &mut [f32]) {
    let depth = order.len();
    for first in (0..outputs).step_by(BLOCK) {
        let block = first..outputs.min(first + BLOCK);
        let rows = &rows[block.start * depth..block.end * depth];
        for (&column, line) in order.iter().zip(packed.chunks_exact_mut(outputs)) {
            for (element, row) in line[block.clone()].iter_mut().zip(rows.chunks_exact(depth)) {
                *element = row[column];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for outputs in [1, 15, 16, 37] {
            let order = [2, 0, 3, 1];
            let rows: Vec<f32> = (0..4 * outputs).map(|at| at as f32).collect();
            let mut packed = vec![-1.0; rows.len()];
            transposed(&rows, outputs, &order, &mut packed);
            for (k, column) in order.into_iter().enumerate() {
                for o in 0..outputs {
                    assert_eq!(packed[k * outputs + o], rows[o * 4 + column], "{outputs} outputs");
                }
            }
        }
    }
}
