//! Which convolution kernel: a pure function of shapes and capabilities.
//!
//! Sizes are those of a whole chunk, which depend on the run and never on which chunk of it is at hand; and every
//! kernel adds in the same order, so the choice changes the time and not the numbers (but for cooperative matrices, in f16 alone, which
//! add in an order of their own).

/// What the choice of a kernel depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Whether the adapter is a software rasteriser.
    pub software: bool,
    /// Whether f16 products run on the adapter's matrix units, and were found right.
    pub cooperative: bool,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Threads that a workgroup may have.
    pub workgroup_threads: u32,
    /// Workgroups along an axis of the grid.
    pub grid_groups: u32,
    /// Bytes of one storage binding.
    pub binding_bytes: u64,
    /// Multiply-adds of a chunk: as many as keep a slow adapter's watchdog quiet.
    pub chunk_macs: u64,
}

/// A convolution kernel: tile sizes of `shaders/conv_tiled.wgsl`, or `shaders/conv_registers.wgsl`.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tile {
    /// 128 columns × 64 outputs: the most arithmetic for each load.
    Tall,
    /// 64 × 64.
    Square,
    /// 32 × 32: for few columns or few outputs.
    Small,
    /// Without workgroup memory: for software adapters, where barriers cost a factor of three.
    Registers,
    /// 64 × 32 in cooperative matrices: for f16 on adapters that have them.
    Cooperative,
}

impl Tile {
    /// All that need nothing that an adapter may lack.
    pub const ALL: [Tile; 4] = [Tile::Tall, Tile::Square, Tile::Small, Tile::Registers];

    /// Columns and outputs of a tile.
    pub(crate) fn size(self) -> [u32; 2] {
        match self {
            Tile::Tall => [128, 64],
            Tile::Square => [64, 64],
            Tile::Small => [32, 32],
            Tile::Cooperative => [64, 32],
            Tile::Registers => [4, 4],
        }
    }

    /// Depth of a tile along K.
    pub(crate) fn depth(self) -> u32 {
        match self {
            Tile::Tall | Tile::Square | Tile::Cooperative => 16,
            Tile::Small => 8,
            Tile::Registers => 1,
        }
    }

    /// Workgroups for a product of `columns` × `outputs`.
    pub(crate) fn groups(self, columns: u32, outputs: u32) -> u64 {
        let [width, height] = self.size();
        u64::from(columns.div_ceil(width)) * u64::from(outputs.div_ceil(height))
    }

    fn fits(self, caps: &Caps) -> bool {
        let (bytes, threads) = match self {
            Tile::Tall => ((128 * 5 + 16 * 16) * 16, 256),
            Tile::Square => ((64 * 5 + 16 * 16) * 16, 256),
            Tile::Small => ((32 * 3 + 8 * 8) * 16, 64),
            Tile::Cooperative => (1536 * 2 + 640 * 2 + 2304 * 4, 32),
            Tile::Registers => (0, 64),
        };
        bytes <= caps.workgroup_bytes && threads <= caps.workgroup_threads
    }
}

/// Workgroups that keep a large GPU busy: some two for each of a hundred-odd multiprocessors.
const BUSY_GROUPS: u64 = 256;

/// The kernel for a convolution without groups of `columns` (samples × output pixels) × `outputs`.
pub(crate) fn choose(columns: u32, outputs: u32, caps: &Caps) -> Tile {
    if caps.software {
        return Tile::Registers;
    }
    // Smaller products are not worth a tile that is mostly empty.
    if caps.cooperative && columns >= 64 && outputs >= 16 && Tile::Cooperative.fits(caps) {
        return Tile::Cooperative;
    }
    // Outputs that fill less than three quarters of tiles of 64 are better cut into tiles of 32.
    let narrow = 4 * outputs < 3 * outputs.next_multiple_of(64)
        && outputs.next_multiple_of(64) != outputs.next_multiple_of(32);
    let wanted: &[Tile] = if narrow {
        &[Tile::Small]
    } else if Tile::Tall.groups(columns, outputs) >= BUSY_GROUPS {
        &[Tile::Tall, Tile::Square, Tile::Small]
    } else if Tile::Square.groups(columns, outputs) >= BUSY_GROUPS / 2 {
        &[Tile::Square, Tile::Small]
    } else {
        &[Tile::Small]
    };
    wanted.iter().copied().find(|tile| tile.fits(caps)).unwrap_or(Tile::Registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: Caps = Caps {
        software: false,
        cooperative: false,
        workgroup_bytes: 32 << 10,
        workgroup_threads: 1024,
        grid_groups: 65_535,
        binding_bytes: (1 << 31) - 1,
        chunk_macs: 1 << 38,
    };

    #[test]
    fn the_table() {
        let least = Caps { workgroup_bytes: 16 << 10, workgroup_threads: 256, ..GPU };
        let tiny = Caps { workgroup_bytes: 8 << 10, workgroup_threads: 128, ..GPU };
        let none = Caps { workgroup_bytes: 0, ..GPU };
        let software = Caps { software: true, ..GPU };
        let matrices = Caps { cooperative: true, ..GPU };
        let cases = [
            // columns, outputs, capabilities, choice
            (100 * 12_544, 64, GPU, Tile::Tall), // ResNet's first layer
            (100 * 49, 2048, GPU, Tile::Tall),   // its last
            (40 * 49, 512, GPU, Tile::Square),
            (40 * 196, 96, GPU, Tile::Square), // three quarters of two tiles of 64 still count as full
            (100 * 12_544, 24, GPU, Tile::Small), // MobileNet's narrow layers
            (100 * 12_544, 72, GPU, Tile::Small),
            (40, 1000, GPU, Tile::Small), // a Linear over a small chunk
            (1, 10, GPU, Tile::Small),
            (100 * 12_544, 64, least, Tile::Tall),
            (100 * 12_544, 64, tiny, Tile::Small),
            (100 * 12_544, 64, none, Tile::Registers),
            (100 * 12_544, 64, software, Tile::Registers),
            (100 * 12_544, 64, matrices, Tile::Cooperative),
            (64, 16, matrices, Tile::Cooperative),
            (63, 64, matrices, Tile::Small),
            (100 * 12_544, 10, matrices, Tile::Small),
            (100 * 12_544, 64, Caps { workgroup_bytes: 8 << 10, ..matrices }, Tile::Small),
        ];
        for (columns, outputs, caps, expected) in cases {
            assert_eq!(choose(columns, outputs, &caps), expected, "{columns} × {outputs} on {caps:?}");
        }
    }
}
