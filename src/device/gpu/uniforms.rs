//! The kernels' uniforms. Each struct has a peer of the same name and fields in a shader; `reflect` compares
//! them. Addresses and strides count elements (f32).

use bytemuck::{Pod, Zeroable};

use crate::perturb::ExpandParams;

/// Name, size and fields of a uniform struct.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UniformInfo {
    /// Name of the struct.
    pub name: &'static str,
    /// Its size.
    pub bytes: usize,
    /// Name and byte offset of each field, in order.
    pub fields: &'static [(&'static str, usize)],
}

macro_rules! info {
    ($name:ident { $($field:ident),* }) => {
        UniformInfo {
            name: stringify!($name),
            bytes: size_of::<$name>(),
            fields: &[$((stringify!($field), std::mem::offset_of!($name, $field))),*],
        }
    };
}

macro_rules! uniforms {
    ($($(#[$doc:meta])* $name:ident as $info:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
        pub(crate) struct $name {
            $(pub $field: $kind,)*
        }

        #[doc = concat!("Layout of [`", stringify!($name), "`].")]
        pub(crate) const $info: UniformInfo = info!($name { $($field),* });
    )*};
}

/// Layout of [`ExpandParams`].
pub(crate) const EXPAND: UniformInfo = info!(ExpandParams { total, len, groups_x, stride, params });

uniforms! {
    /// `shaders/shared/convolution.wgsl`
    ConvParams as CONV {
        columns: u32,
        groups_x: u32,
        tiles: u32,
        steps: u32,
        in_base: u32,
        in_sample: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        residual: u32,
        residual_base: u32,
        residual_sample: u32,
        residual_stride: u32,
        in_height: u32,
        in_width: u32,
        out_height: u32,
        out_width: u32,
        out_pixels: u32,
        kernel_height: u32,
        kernel_width: u32,
        stride_y: u32,
        stride_x: u32,
        dilation_y: u32,
        dilation_x: u32,
        pad_top: u32,
        pad_left: u32,
        cin: u32,
        cout: u32,
        groups: u32,
        quads: u32,
        weight_rows: u32,
        step_channels: u32,
        step_x: u32,
        step_y: u32,
        words_per_row: u32,
        activation: u32,
        low: f32,
        high: f32,
        origins: u32,
        in_pixels: u32,
        residual_pixels: u32,
        pad_0: u32,
        pad_1: u32,
    }

    /// `shaders/pool.wgsl`
    PoolParams as POOL {
        total: u32,
        groups_x: u32,
        quads: u32,
        channels: u32,
        in_base: u32,
        in_sample: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        in_height: u32,
        in_width: u32,
        out_height: u32,
        out_width: u32,
        kernel_height: u32,
        kernel_width: u32,
        stride_y: u32,
        stride_x: u32,
        dilation_y: u32,
        dilation_x: u32,
        pad_top: u32,
        pad_left: u32,
        padded_height: u32,
        padded_width: u32,
        average: u32,
        include_pad: u32,
        origins: u32,
        in_pixels: u32,
    }

    /// `shaders/reduce.wgsl`
    ReduceParams as REDUCE {
        total: u32,
        groups_x: u32,
        quads: u32,
        outer: u32,
        len: u32,
        inner: u32,
        in_base: u32,
        in_sample: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        kind: u32,
        pad: u32,
    }

    /// `shaders/shared/channels.wgsl`
    ChannelParams as CHANNELS {
        total: u32,
        groups_x: u32,
        quads: u32,
        channels: u32,
        rows: u32,
        in_base: u32,
        in_sample: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        activation: u32,
        low: f32,
        high: f32,
    }

    /// `shaders/binary.wgsl`
    BinaryParams as BINARY {
        shape: [u32; 4],
        a_strides: [u32; 4],
        b_strides: [u32; 4],
        out_strides: [u32; 4],
        total: u32,
        groups_x: u32,
        quads: u32,
        kind: u32,
        a_base: u32,
        a_sample: u32,
        b_base: u32,
        b_sample: u32,
        out_base: u32,
        out_sample: u32,
        swapped: u32,
        activation: u32,
        low: f32,
        high: f32,
        origins: u32,
        a_pixels: u32,
        b_pixels: u32,
        pad_0: u32,
        pad_1: u32,
        pad_2: u32,
    }

    /// `shaders/copy.wgsl`
    CopyParams as COPY {
        shape_outer: [u32; 4],
        shape_inner: [u32; 4],
        in_outer: [u32; 4],
        in_inner: [u32; 4],
        out_outer: [u32; 4],
        out_inner: [u32; 4],
        total: u32,
        groups_x: u32,
        quads: u32,
        in_base: u32,
        in_sample: u32,
        out_base: u32,
        out_sample: u32,
        pad: u32,
    }

    /// `shaders/softmax.wgsl`
    SoftmaxParams as SOFTMAX {
        total: u32,
        groups_x: u32,
        outer: u32,
        len: u32,
        inner: u32,
        in_base: u32,
        in_sample: u32,
        out_base: u32,
        out_sample: u32,
        logarithm: u32,
    }

    /// `shaders/fill.wgsl`
    FillParams as FILL {
        total: u32,
        groups_x: u32,
        rows: u32,
        channels: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        pad: u32,
    }

    /// `shaders/select.wgsl`
    SelectParams as SELECT {
        total: u32,
        groups_x: u32,
        outer: u32,
        len: u32,
        inner: u32,
        count: u32,
        in_base: u32,
        in_sample: u32,
        out_base: u32,
        out_sample: u32,
        fill: f32,
        pad: u32,
    }

    /// `shaders/embedding.wgsl`
    EmbeddingParams as EMBEDDING {
        total: u32,
        groups_x: u32,
        rows: u32,
        width: u32,
        vocabulary: u32,
        in_base: u32,
        in_sample: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
    }

    /// `shaders/matmul.wgsl`
    MatMulParams as MATMUL {
        a_strides: [u32; 4],
        b_strides: [u32; 4],
        out_strides: [u32; 4],
        total: u32,
        groups_x: u32,
        batch_p: u32,
        batch_q: u32,
        m: u32,
        k: u32,
        n: u32,
        tiles_i: u32,
        tiles_j: u32,
        a_base: u32,
        a_sample: u32,
        b_base: u32,
        b_sample: u32,
        out_base: u32,
        out_sample: u32,
        pad: u32,
    }

    /// `shaders/normalize.wgsl`
    NormalizeParams as NORMALIZE {
        sets: u32,
        groups_x: u32,
        outer: u32,
        len: u32,
        groups: u32,
        width: u32,
        in_base: u32,
        in_sample: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        kind: u32,
        epsilon: f32,
        activation: u32,
        low: f32,
        high: f32,
        pad: u32,
    }

    /// `shaders/lrn.wgsl`
    LrnParams as LRN {
        total: u32,
        groups_x: u32,
        rows: u32,
        channels: u32,
        in_base: u32,
        in_sample: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        size: u32,
        alpha: f32,
        beta: f32,
        bias: f32,
    }

    /// `shaders/table_mlp.wgsl`
    TableMlpParams as TABLE_MLP {
        tasks: u32,
        groups_x: u32,
        chunk: u32,
        block: u32,
        blocks: u32,
        chunks: u32,
        chunk_instances: u32,
        instances: u32,
        background: u32,
        features: u32,
        words: u32,
        layers: u32,
        softmax: u32,
        outputs: u32,
        quads_log2: u32,
        second: u32,
        sides: u32,
        pad_0: u32,
        pad_1: u32,
        pad_2: u32,
    }

    /// `shaders/table_parts.wgsl`
    TablePartsParams as TABLE_PARTS {
        total: u32,
        groups_x: u32,
        features: u32,
        stride: u32,
        instances: u32,
        rows: u32,
        first_unit: u32,
        units: u32,
        words: u32,
        pad_0: u32,
        pad_1: u32,
        pad_2: u32,
    }

    /// `shaders/table_meet.wgsl`
    TableMeetParams as TABLE_MEET {
        total: u32,
        groups_x: u32,
        quads: u32,
        channels: u32,
        first_group: u32,
        first_member: u32,
        instances: u32,
        background: u32,
        first_unit: u32,
        units: u32,
        parts_base: u32,
        parts_stride: u32,
        out_base: u32,
        out_sample: u32,
        activation: u32,
        low: f32,
        high: f32,
        pad_0: u32,
        pad_1: u32,
        pad_2: u32,
    }

    /// `shaders/gather.wgsl`
    GatherParams as GATHER {
        total: u32,
        groups_x: u32,
        quads: u32,
        channels: u32,
        out_pixels: u32,
        first_row: u32,
        origins: u32,
        pixels: u32,
        in_base: u32,
        in_stride: u32,
        out_base: u32,
        out_sample: u32,
        out_stride: u32,
        pad_0: u32,
        pad_1: u32,
        pad_2: u32,
    }

    /// `shaders/group_sums.wgsl`
    GroupSumParams as GROUP_SUMS {
        cells: u32,
        groups_x: u32,
        outputs: u32,
        rows: u32,
        first_member: u32,
        group_rows: u32,
        in_base: u32,
        in_sample: u32,
    }

    /// `shaders/perturb/bernoulli.wgsl`
    BernoulliParams as BERNOULLI {
        total: u32,
        groups_x: u32,
        words: u32,
        players: u32,
        first_row: u32,
        paired: u32,
        seed_low: u32,
        seed_high: u32,
    }
}
