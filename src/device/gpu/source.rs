//! The shaders and the variants in which they are compiled.

use std::fmt;

use super::preprocess::{PreprocessError, preprocess};
use super::uniforms::{self, UniformInfo};
use crate::device::Precision;

/// A shader with what Rust binds to it.
///
/// Bindings of group 0: 0 = the uniform (dynamic offset), 1 = `output` (read-write storage), 2… = those of
/// `constants` that the permutation has, in order (read-only storage).
#[derive(Debug)]
pub(crate) struct Shader {
    /// Path under `shaders/`, without the ending.
    pub name: &'static str,
    text: &'static str,
    /// The uniform's layout.
    pub uniform: &'static UniformInfo,
    /// Name of binding 1.
    pub output: &'static str,
    /// Read-only buffers: name, and the define without which they are absent.
    constants: &'static [(&'static str, Option<&'static str>)],
    /// The defines of each permutation.
    permutations: &'static [&'static [&'static str]],
}

/// A shader with its defines: what a pipeline is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Permutation {
    /// Name of the shader.
    pub shader: &'static str,
    /// Names that are defined.
    pub defines: &'static [&'static str],
}

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../shaders/", $name, ".wgsl"))
    };
}

const CONV_CONSTANTS: &[(&str, Option<&str>)] = &[
    ("weights", None),
    ("bias", None),
    ("players", Some("MASKED")),
    ("instance", Some("MASKED")),
    ("baseline", Some("MASKED")),
    ("masks", Some("MASKED")),
    ("tables", Some("SHARED")),
];

/// The product in cooperative matrices, of which there are none in f32.
pub(crate) const COOPERATIVE: &str = "conv_cooperative";

/// Kernels over quads of channels: aligned or not.
const QUADS: &[&[&str]] = &[&[], &["VEC4"]];

/// The same, and over columns.
const SHARED_QUADS: &[&[&str]] = &[&[], &["VEC4"], &["SHARED"], &["SHARED", "VEC4"]];

/// Every shader.
pub(crate) const SHADERS: &[Shader] = &[
    Shader {
        name: "conv_tiled",
        text: text!("conv_tiled"),
        uniform: &uniforms::CONV,
        output: "arena",
        constants: CONV_CONSTANTS,
        permutations: &[
            &[],
            &["VEC4"],
            &["MASKED"],
            &["TALL"],
            &["TALL", "VEC4"],
            &["TALL", "MASKED"],
            &["SMALL"],
            &["SMALL", "VEC4"],
            &["SMALL", "MASKED"],
            &["SHARED"],
            &["SHARED", "VEC4"],
            &["TALL", "SHARED"],
            &["TALL", "SHARED", "VEC4"],
            &["SMALL", "SHARED"],
            &["SMALL", "SHARED", "VEC4"],
        ],
    },
    Shader {
        name: "conv_registers",
        text: text!("conv_registers"),
        uniform: &uniforms::CONV,
        output: "arena",
        constants: CONV_CONSTANTS,
        permutations: &[&[], &["VEC4"], &["MASKED"], &["SHARED"], &["SHARED", "VEC4"]],
    },
    Shader {
        name: COOPERATIVE,
        text: text!("conv_cooperative"),
        uniform: &uniforms::CONV,
        output: "arena",
        constants: CONV_CONSTANTS,
        permutations: &[
            &["COOPERATIVE"],
            &["COOPERATIVE", "VEC4"],
            &["COOPERATIVE", "MASKED"],
            &["COOPERATIVE", "SHARED"],
            &["COOPERATIVE", "SHARED", "VEC4"],
            &[],
            &["VEC4"],
            &["MASKED"],
            &["SHARED"],
            &["SHARED", "VEC4"],
        ],
    },
    Shader {
        name: "conv_depthwise",
        text: text!("conv_depthwise"),
        uniform: &uniforms::CONV,
        output: "arena",
        constants: CONV_CONSTANTS,
        permutations: SHARED_QUADS,
    },
    Shader {
        name: "pool",
        text: text!("pool"),
        uniform: &uniforms::POOL,
        output: "arena",
        constants: &[("tables", Some("SHARED"))],
        permutations: SHARED_QUADS,
    },
    Shader {
        name: "reduce",
        text: text!("reduce"),
        uniform: &uniforms::REDUCE,
        output: "arena",
        constants: &[],
        permutations: QUADS,
    },
    Shader {
        name: "map",
        text: text!("map"),
        uniform: &uniforms::CHANNELS,
        output: "arena",
        constants: &[],
        permutations: QUADS,
    },
    Shader {
        name: "affine",
        text: text!("affine"),
        uniform: &uniforms::CHANNELS,
        output: "arena",
        constants: &[("scale", None), ("shift", None)],
        permutations: QUADS,
    },
    Shader {
        name: "binary",
        text: text!("binary"),
        uniform: &uniforms::BINARY,
        output: "arena",
        constants: &[("constant", Some("CONSTANT")), ("tables", Some("SHARED"))],
        permutations: &[
            &[],
            &["VEC4"],
            &["CONSTANT"],
            &["CONSTANT", "VEC4"],
            &["SHARED"],
            &["SHARED", "VEC4"],
        ],
    },
    Shader {
        name: "copy",
        text: text!("copy"),
        uniform: &uniforms::COPY,
        output: "arena",
        constants: &[],
        permutations: QUADS,
    },
    Shader {
        name: "softmax",
        text: text!("softmax"),
        uniform: &uniforms::SOFTMAX,
        output: "arena",
        constants: &[],
        permutations: &[&[]],
    },
    Shader {
        name: "fill",
        text: text!("fill"),
        uniform: &uniforms::FILL,
        output: "arena",
        constants: &[("value", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "select",
        text: text!("select"),
        uniform: &uniforms::SELECT,
        output: "arena",
        constants: &[("indices", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "embedding",
        text: text!("embedding"),
        uniform: &uniforms::EMBEDDING,
        output: "arena",
        constants: &[("table", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "matmul",
        text: text!("matmul"),
        uniform: &uniforms::MATMUL,
        output: "arena",
        constants: &[],
        permutations: &[&[], &["REGISTERS"]],
    },
    Shader {
        name: "normalize",
        text: text!("normalize"),
        uniform: &uniforms::NORMALIZE,
        output: "arena",
        constants: &[("scale", Some("SCALE")), ("shift", Some("SHIFT"))],
        permutations: &[&[], &["SCALE"], &["SHIFT"], &["SCALE", "SHIFT"]],
    },
    Shader {
        name: "lrn",
        text: text!("lrn"),
        uniform: &uniforms::LRN,
        output: "arena",
        constants: &[],
        permutations: &[&[]],
    },
    Shader {
        name: "table_mlp",
        text: text!("table_mlp"),
        uniform: &uniforms::TABLE_MLP,
        output: "output",
        constants: &[
            ("rows", None),
            ("players", None),
            ("units", None),
            ("layers", None),
            ("weights", None),
            ("members", None),
            ("totals", None),
        ],
        permutations: &[&[]],
    },
    Shader {
        name: "table_parts",
        text: text!("table_parts"),
        uniform: &uniforms::TABLE_PARTS,
        output: "output",
        constants: &[("rows", None), ("players", None), ("units", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "table_meet",
        text: text!("table_meet"),
        uniform: &uniforms::TABLE_MEET,
        output: "arena",
        constants: &[("bias", None), ("parts", None), ("sides", None)],
        permutations: QUADS,
    },
    Shader {
        name: "gather",
        text: text!("gather"),
        uniform: &uniforms::GATHER,
        output: "arena",
        constants: &[("tables", None), ("columns", Some("EXPAND"))],
        permutations: &[&[], &["VEC4"], &["EXPAND"], &["EXPAND", "VEC4"]],
    },
    Shader {
        name: "group_sums",
        text: text!("group_sums"),
        uniform: &uniforms::GROUP_SUMS,
        output: "output",
        constants: &[("arena", None), ("weights", None), ("wanted", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "perturb/segments",
        text: text!("perturb/segments"),
        uniform: &uniforms::EXPAND,
        output: "output",
        constants: &[("players", None), ("instance", None), ("baseline", None), ("masks", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "perturb/resized",
        text: text!("perturb/resized"),
        uniform: &uniforms::EXPAND,
        output: "output",
        constants: &[("footprints", None), ("colours", None), ("masks", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "perturb/rows",
        text: text!("perturb/rows"),
        uniform: &uniforms::EXPAND,
        output: "output",
        constants: &[("rows", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "perturb/background",
        text: text!("perturb/background"),
        uniform: &uniforms::EXPAND,
        output: "output",
        constants: &[("instances", None), ("background", None), ("players", None), ("masks", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "perturb/tokens",
        text: text!("perturb/tokens"),
        uniform: &uniforms::EXPAND,
        output: "output",
        constants: &[("ids", None), ("players", None), ("masks", None)],
        permutations: &[&[]],
    },
    Shader {
        name: "perturb/bernoulli",
        text: text!("perturb/bernoulli"),
        uniform: &uniforms::BERNOULLI,
        output: "output",
        constants: &[],
        permutations: &[&[]],
    },
];

/// The text of `shaders/shared/{name}.wgsl`.
fn shared(name: &str) -> Option<&'static str> {
    Some(match name {
        "activation" => text!("shared/activation"),
        "arena" => text!("shared/arena"),
        "channels" => text!("shared/channels"),
        "columns" => text!("shared/columns"),
        "convolution" => text!("shared/convolution"),
        "expand_params" => text!("shared/expand_params"),
        "grid" => text!("shared/grid"),
        "nan" => text!("shared/nan"),
        "philox" => text!("shared/philox"),
        "stored" => text!("shared/stored"),
        "taps" => text!("shared/taps"),
        "strided" => text!("shared/strided"),
        _ => return None,
    })
}

impl Shader {
    /// The shader of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Shader> {
        SHADERS.iter().find(|shader| shader.name == name)
    }

    /// Names of the read-only buffers of a permutation, from binding 2 on.
    pub(crate) fn constants(&self, defines: &[&str]) -> Vec<&'static str> {
        let present = |needed: Option<&str>| needed.is_none_or(|define| defines.contains(&define));
        self.constants.iter().filter(|(_, needed)| present(*needed)).map(|&(name, _)| name).collect()
    }

    /// The WGSL of a permutation for numbers stored in `precision`.
    pub(crate) fn wgsl(&self, defines: &[&str], precision: Precision) -> Result<String, PreprocessError> {
        let file = format!("{}.wgsl", self.name);
        match precision {
            Precision::F32 => preprocess(&file, self.text, defines, shared),
            Precision::F16 => {
                let matrices = defines.contains(&"COOPERATIVE");
                let enable = if matrices { "enable f16, wgpu_cooperative_matrix;" } else { "enable f16;" };
                let defines = [defines, &["HALF"]].concat();
                // An `enable` comes before everything else.
                Ok(format!("{enable}\n{}", preprocess(&file, self.text, &defines, shared)?))
            }
        }
    }
}

/// Every permutation that the engine uses in a precision.
pub(crate) fn permutations(precision: Precision) -> impl Iterator<Item = Permutation> {
    let there = move |shader: &&Shader| precision == Precision::F16 || shader.name != COOPERATIVE;
    SHADERS.iter().filter(there).flat_map(|shader| {
        shader.permutations.iter().map(|&defines| Permutation { shader: shader.name, defines })
    })
}

impl Permutation {
    /// Whether the kernel finds what it reads through tables of columns.
    pub(crate) fn reads_tables(&self) -> bool {
        Shader::named(self.shader).is_some_and(|shader| shader.constants(self.defines).contains(&"tables"))
    }

    /// The kernel's name in a profile: the shader, and the tile of columns × outputs where there are several.
    pub(crate) fn kernel(&self) -> &'static str {
        let has = |define: &str| self.defines.contains(&define);
        match self.shader {
            "conv_tiled" if has("TALL") => "tiles 128×64",
            "conv_tiled" if has("SMALL") => "tiles 32×32",
            "conv_tiled" => "tiles 64×64",
            COOPERATIVE => "matrices 64×32",
            "conv_registers" => "registers",
            "conv_depthwise" => "depthwise",
            "matmul" if has("REGISTERS") => "matmul registers",
            other => other,
        }
    }
}

impl fmt::Display for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shader)?;
        self.defines.iter().try_for_each(|define| write!(f, "+{define}"))
    }
}
