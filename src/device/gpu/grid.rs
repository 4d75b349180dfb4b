//! Dispatch arithmetic: how many workgroups, in which grid. The only place where it is done.

/// Threads in a workgroup of every kernel but the tiled convolution.
pub(crate) const GROUP_THREADS: u32 = 64;

/// A two-dimensional grid of at least `groups` workgroups, with at most `most` along an axis.
///
/// Kernels number the workgroups `y · x_groups + x` and ignore those beyond the last.
pub(crate) fn grid(groups: u32, most: u32) -> [u32; 2] {
    let lines = groups.div_ceil(most).max(1);
    [groups.div_ceil(lines).max(1), lines]
}

/// The grid of `threads` threads, [`GROUP_THREADS`] a workgroup.
pub(crate) fn grid_of_threads(threads: u32, most: u32) -> [u32; 2] {
    grid(threads.div_ceil(GROUP_THREADS), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_cover_and_fit() {
        for groups in [0, 1, 2, 65_534, 65_535, 65_536, 131_070, 131_071, 1 << 24, (1 << 24) + 1] {
            let [x, y] = grid(groups, 65_535);
            assert!(x <= 65_535 && y <= 65_535, "{groups}");
            assert!(u64::from(x) * u64::from(y) >= u64::from(groups), "{groups}");
            // At most a workgroup a line is wasted.
            assert!(u64::from(x) * u64::from(y) < u64::from(groups) + u64::from(y).max(2), "{groups}");
        }
    }
}
